"""A command that can't be applied: the exchange stops, the operator skips it, all replays agree."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from novate import skip
from novate.config import Settings
from novate.engine import Reporter
from novate.journal.choosing import open_journal
from novate.journal.disk import RealDisk
from novate.journal.interface import Appended, Batch
from novate.journal.reading import JournalReader
from novate.lock import FolderLock
from novate.model import codec
from novate.model.errors import CommandFailed, DataFolderLocked, JournalError, NovateError
from novate.model.instrument import Limits
from novate.recovery import open_partition
from novate.skip import run
from tests.conftest import Server, wait_until
from tests.integration.data_folder import fill, place, replayed, settings_of, take_snapshot
from tests.postgres import Postgres

TOO_MUCH = codec.pack_configure(Limits(idempotency_keys_max=10**9))
"""48 GB, more than these processes may have: as if it was journaled on a larger machine."""

ADDRESS_SPACE = 16 << 30


@pytest.fixture(autouse=True)
def _a_small_machine() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def order(number: int) -> bytes:
    return place(number)[0]


def append(settings: Settings, commands: list[bytes]) -> int:
    """Journal a batch without applying it, as a server does that fails at it; its first seq."""
    end = replayed(settings) if not settings.journal_url else open_closed(settings)
    journal = open_journal(settings, RealDisk(), None, [])
    batch = Batch(
        end.seq + 1,
        len(commands),
        end.timestamp_ns + 1,
        b"".join(commands),
        end.pending,
        end.events_hash,
    )
    assert journal.append(end.seq, journal.epoch, batch) is Appended.DURABLE
    journal.close()
    return batch.first_seq


def open_closed(settings: Settings) -> Any:
    recovered = open_partition(settings)
    recovered.close()
    return recovered


def poisoned(settings: Settings) -> int:
    """A folder whose last batch has a command in its middle that can't be applied; its seq."""
    fill(settings, range(60))
    return append(settings, [order(60), order(61), TOO_MUCH, order(62)]) + 2


def novate(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "novate", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.slow
def test_an_operator_gets_past_a_command_that_cannot_be_applied(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    seq = poisoned(settings_of(folder))
    server = make_server(folder).start(ready=False)
    assert server.process is not None
    assert server.process.wait(60) == 1
    assert "can't be applied: MemoryError" in server.log()
    assert "novate skip" in server.log()

    end = JournalReader(folder, RealDisk()).end()
    found = novate("skip", "--data-dir", folder)
    assert found.returncode == 1
    assert f"seq {seq} (CONFIGURE) can't be applied: MemoryError" in found.stdout
    assert f"novate skip --seq {seq}" in found.stdout
    assert JournalReader(folder, RealDisk()).end() == end

    skipped = novate("skip", "--data-dir", folder, "--seq", seq)
    assert (skipped.returncode, skipped.stdout) == (
        0,
        f"seq {seq} is skipped, as journaled in seq {seq + 2}\n",
    )
    server.start()
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for number in (60, 61, 62):
            assert client.get(f"/orders/order-{number}").status_code == 200
        wait_until(lambda: client.get("/admin/status").json()["follower"]["state"] == "running")
        taken = client.post("/admin/snapshot").json()
        wait_until(
            lambda: client.get("/admin/status").json()["ledger"]["lag_sequences"] == 0, 60, "ledger"
        )
        assert client.get("/admin/status").json()["follower"]["restarts"] == 0
    assert server.stop() == 0
    assert novate("verify", "--data-dir", folder).returncode == 0
    assert f"state {taken['state_hash']}" in novate("replay", "--data-dir", folder).stdout
    assert novate("reconcile", "--data-dir", folder).returncode == 0
    assert novate("rebuild", "--data-dir", folder).returncode == 0
    again = novate("skip", "--data-dir", folder)
    assert (again.returncode, "nothing to skip" in again.stdout) == (0, True)
    exported = tmp_path / "trades.csv"
    assert novate("export", "trades", "--out", exported, "--data-dir", folder).returncode == 0


def test_all_that_fail_in_the_batch_are_skipped_with_one_record(
    tmp_path: Path, capsys: Any
) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(20))
    first = append(settings, [TOO_MUCH, order(20), TOO_MUCH])
    assert run(settings, []) == 1
    assert f"novate skip --seq {first}\n" in capsys.readouterr().out
    assert run(settings, [first]) == 1
    assert f"novate skip --seq {first + 2} --seq {first}\n" in capsys.readouterr().out
    with pytest.raises(CommandFailed):
        open_partition(settings)
    assert run(settings, [first + 2, first]) == 0
    recovered = open_partition(settings)
    assert recovered.seq == first + 4
    recovered.close()
    fill(settings, range(21, 30))
    assert replayed(settings).seq == first + 4 + 9


def test_a_snapshot_behind_it_and_one_before_it_come_to_the_same(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(30))
    take_snapshot(settings)
    seq = append(settings, [order(30), TOO_MUCH]) + 1
    assert run(settings, [seq]) == 0
    from_before = replayed(settings, from_zero=False)
    take_snapshot(settings)
    from_behind = replayed(settings, from_zero=False)
    assert from_before.seq == from_behind.seq == seq + 1
    assert from_before.engine.state_hash() == replayed(settings).engine.state_hash()
    assert from_behind.engine.state_hash() == from_before.engine.state_hash()


def test_nothing_else_is_ever_skipped(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(10))
    end = replayed(settings)
    with pytest.raises(NovateError, match=f"seq {end.seq}: expected a command that can't be app"):
        run(settings, [end.seq])
    first = append(settings, [order(10), TOO_MUCH])
    with pytest.raises(NovateError, match=f"seq {end.seq}: expected a seq of the journal's last"):
        run(settings, [end.seq])
    with pytest.raises(NovateError, match=f"seq {first}: expected a command that can't be applied"):
        run(settings, [first, first + 1])
    assert run(settings, []) == 1
    with pytest.raises(CommandFailed):
        replayed(settings)


def test_what_has_more_behind_it_was_applied_once_and_is_not_skipped(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(10))
    end = replayed(settings)
    journal = open_journal(settings, RealDisk(), None, [])
    for seq in (end.seq + 1, end.seq + 2):
        batch = Batch(seq, 1, end.timestamp_ns, TOO_MUCH, b"", end.events_hash)
        assert journal.append(seq - 1, journal.epoch, batch) is Appended.DURABLE
    journal.close()
    with pytest.raises(JournalError, match="more stands behind it, so that it was applied before"):
        run(settings, [end.seq + 1])


def test_a_running_exchange_keeps_its_folder(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(3))
    lock = FolderLock(settings.data_dir)
    with pytest.raises(DataFolderLocked):
        run(settings, [])
    lock.close()


class _Deadly(Reporter):
    """A reporter whose process ends at a certain order, as of a fault in compiled code."""

    def apply(self, batch: bytes, first_seq: int, timestamp_ns: int) -> Any:
        if order(12) in batch:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().apply(batch, first_seq, timestamp_ns)


def test_a_command_that_ends_the_process_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(10))
    first = append(settings, [order(10), order(11), order(12), order(13)])
    monkeypatch.setattr(skip, "Reporter", _Deadly)
    assert run(settings, []) == 1
    said = capsys.readouterr().out
    assert f"seq {first + 2} (PLACE) can't be applied: the process that applied it was end" in said
    assert "ended by SIGKILL" in said
    assert run(settings, [first + 2]) == 0
    # This engine could apply it; the journal says that it is left out.
    state = replayed(settings)
    assert state.seq == first + 4
    found = {
        number: state.reporter.order_json(f"order-{number}") is not None
        for number in (10, 11, 12, 13)
    }
    assert found == {10: True, 11: True, 12: False, 13: True}


@pytest.mark.slow
def test_a_journal_in_postgres_is_skipped_in_likewise(tmp_path: Path, postgres: Postgres) -> None:
    settings = settings_of(tmp_path / "data", journal_url=postgres.make_database("skip"))
    fill(settings, range(20))
    seq = append(settings, [order(20), TOO_MUCH, order(21)]) + 1
    with pytest.raises(CommandFailed):
        open_partition(settings)
    assert run(settings, [seq]) == 0
    recovered = open_partition(settings)
    assert recovered.seq == seq + 2
    for number in (20, 21):
        assert recovered.reporter.order_json(f"order-{number}") is not None
    recovered.close()
