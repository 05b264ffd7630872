"""`novate archive`, and everybody who reads the journal afterwards: both folders as one journal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from novate import archive, reconcile, recovery
from novate.archive import LOCK_OF_ARCHIVING
from novate.config import Settings
from novate.export.command import Options
from novate.export.command import run as export
from novate.journal.choosing import open_reader
from novate.journal.disk import RealDisk
from novate.journal.layout import segment_name
from novate.journal.reading import seqs_in
from novate.journal.verify import run_journal
from novate.lock import FolderLock
from novate.model.errors import (
    ConfigurationError,
    DataFolderLocked,
    JournalBehindWitness,
    LedgerAway,
    LedgerFault,
)
from novate.rebuild import WholeJournal, run_rebuild, write
from novate.recovery import open_partition
from tests.conftest import PATIENCE_SECONDS, Server, free_port, wait_until
from tests.integration.data_folder import fill, settings_of, take_snapshot
from tests.integration.test_ledger_faults import digest_of, has_caught_up, is_up

ORDERS = 500
BATCH = 1000
KEYED = {"client_id": "a", "side": "buy", "type": "limit", "price": "100", "quantity": "0.01"}


def filled(tmp_path: Path, **changed: Any) -> tuple[Settings, int]:
    """A folder with many small segments and a snapshot in their middle, and the seq of that."""
    settings = Settings(
        data_dir=tmp_path / "data",
        archive_dir=tmp_path / "archive",
        port=0,
        journal_segment_bytes=1 << 15,
        **changed,
    )
    fill(settings, range(ORDERS))
    taken = take_snapshot(settings)
    fill(settings, range(ORDERS, ORDERS + 100))
    return settings, taken.seq


def segments(settings: Settings) -> tuple[list[int], list[int]]:
    """First seqs of those in the data folder, and of those in the archive."""
    assert settings.archive_dir is not None
    disk = RealDisk()
    return seqs_in(settings.data_dir / "journal", disk), seqs_in(settings.archive_dir, disk)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def verified(settings: Settings, capsys: pytest.CaptureFixture[str]) -> str:
    """What `novate verify` prints; it must be whole and warn of nothing."""
    capsys.readouterr()
    assert run_journal(open_reader(settings)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def replayed_verb(settings: Settings, capsys: pytest.CaptureFixture[str]) -> str:
    """What `novate replay` prints: seq, state hash, events hash; the log's lines aside."""
    capsys.readouterr()
    assert recovery.run(settings) == 0
    printed = said(capsys).splitlines()[:3]
    assert [line.split()[0] for line in printed] == ["seq", "state", "events"]
    return "\n".join(printed)


KILLED_IN = """
import os, signal, sys
from novate.cli import main
from novate.journal.disk import RealDisk
operation, left = sys.argv.pop(1), int(sys.argv.pop(1))
does = getattr(RealDisk, operation)
def dies(*arguments):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    does(*arguments)
setattr(RealDisk, operation, dies)
main()
"""
"""The commands, in a process that is killed before it does an operation for the so many-th time."""


def start_verb(
    settings: Settings, *verb: str, killed_in: tuple[str, int] | None = None
) -> subprocess.Popen[str]:
    """Begin a command with these settings, as an operator would."""
    command = [sys.executable, "-m", "novate"]
    if killed_in:
        command = [sys.executable, "-c", KILLED_IN, killed_in[0], str(killed_in[1])]
    command += [*verb, "--data-dir", str(settings.data_dir)]
    command += ["--archive-dir", str(settings.archive_dir), "--ledger-url", settings.ledger_url]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, text=True, stdout=pipe, stderr=pipe)


def exported(settings: Settings, out: Path) -> str:
    assert export(settings, Options(table="trades", out=out)) == 0
    return out.read_text()


@pytest.mark.slow
def test_whoever_reads_the_journal_reads_it_from_its_first_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, taken = filled(tmp_path)
    assert run_rebuild(settings) == 0
    url = f"sqlite:///{settings.data_dir}/ledger.db"
    rows, state = digest_of(url), replayed_verb(settings, capsys)
    trades, whole = exported(settings, tmp_path / "before.csv"), verified(settings, capsys)
    before, _ = segments(settings)

    assert archive.run(settings) == 0
    told = said(capsys)
    kept, archived = segments(settings)
    assert sorted(archived + kept) == before
    assert len(archived) > 3
    assert kept[0] <= taken < kept[1]  # the record that the snapshot was taken of stays
    into = f"segments moved to {settings.archive_dir}"
    assert f"{len(archived)} {into}, seq 1 to {kept[0] - 1}\n" in told
    assert f"begins with seq {taken}: the oldest whole snapshot is of seq {taken}" in told

    moved = f"{len(before)} segments, {len(archived)} of them archived"
    assert verified(settings, capsys) == whole.replace(f"{len(before)} segments", moved)
    assert replayed_verb(settings, capsys) == state
    assert exported(settings, tmp_path / "after.csv") == trades
    assert reconcile.run(settings) == 0
    assert run_rebuild(settings) == 0
    assert digest_of(url) == rows
    elsewhere = replace(settings, ledger_url=f"sqlite:///{tmp_path}/new.db")
    assert run_rebuild(elsewhere) == 0
    assert digest_of(elsewhere.ledger_url) == rows
    open_partition(settings).close()

    capsys.readouterr()
    assert archive.run(settings) == 0
    assert f"0 {into}\n" in said(capsys)
    with pytest.raises(JournalBehindWitness, match=f"begins with seq {kept[0]}: .* no archive"):
        run_rebuild(replace(settings, archive_dir=None))


@pytest.mark.slow
def test_nothing_leaves_that_a_start_or_the_ledger_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, taken = filled(tmp_path)
    before, _ = segments(settings)
    assert archive.run(settings) == 0  # the ledger has taken nothing yet
    assert segments(settings) == (before, [])
    assert re.search(r"seq 0: .* is of seq \d+, the ledger .*/ledger.db has seq 0", said(capsys))

    fill(behind := settings_of(tmp_path / "behind"), range(60))
    write(f"sqlite:///{settings.data_dir}/ledger.db", WholeJournal(behind))
    with pytest.raises(LedgerFault, match="is of another journal"):
        archive.run(settings)
    (settings.data_dir / "ledger.db").unlink()
    away = replace(settings, ledger_url=f"postgresql://a@127.0.0.1:{free_port()}/b")
    with pytest.raises(LedgerAway, match=r"the ledger at 127.0.0.1:\d+/b can't be asked how far"):
        archive.run(away)
    assert segments(settings) == (before, [])

    no_ledger = replace(settings, ledger_url="none")
    (snapshot,) = (settings.data_dir / "snapshots").iterdir()
    image = snapshot.read_bytes()
    snapshot.write_bytes(image[:-1] + b"?")
    assert archive.run(no_ledger) == 0
    assert "begins with seq 0: no whole snapshot" in said(capsys)
    snapshot.write_bytes(image)
    assert archive.run(no_ledger, keep=len(before) - 2) == 0
    assert segments(settings) == (before[1:], before[:1])
    assert archive.run(no_ledger) == 0
    assert segments(settings)[0][0] <= taken


def test_settings_that_can_not_be(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for folder in (data, data / "journal", tmp_path / "data" / ".." / "data" / "snapshots"):
        with pytest.raises(ConfigurationError, match="archive_dir: expected a folder of its own"):
            Settings(data_dir=data, archive_dir=folder)
    with pytest.raises(ConfigurationError, match="archive_dir: expected none where journal_url"):
        Settings(data_dir=data, archive_dir=tmp_path, journal_url="postgresql://a@b/c")
    with pytest.raises(ConfigurationError, match="archive_dir: expected the folder of the archive"):
        archive.run(Settings(data_dir=data))
    with pytest.raises(ConfigurationError, match="data_dir: expected a folder that an exchange"):
        archive.run(Settings(data_dir=data, archive_dir=tmp_path / "archive"))
    assert not data.exists()


def test_links_that_lead_back_to_the_journal_are_refused(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path / "data", archive_dir=tmp_path / "archive", ledger_url="none"
    )
    (settings.data_dir / "journal").mkdir(parents=True)
    (tmp_path / "archive").symlink_to(settings.data_dir / "journal")  # since the settings were read
    with pytest.raises(ConfigurationError, match=r"is the folder .*/journal by another name"):
        archive.run(settings)
    (tmp_path / "archive").unlink()
    (tmp_path / "archive").mkdir()
    name = segment_name(1)
    (settings.data_dir / "journal" / name).write_bytes(b"")
    (tmp_path / "archive" / name).symlink_to(settings.data_dir / "journal" / name)
    with pytest.raises(ConfigurationError, match=f"found link .*/{name}"):
        archive.run(settings)
    assert (settings.data_dir / "journal" / name).exists()


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", archive_dir=tmp_path / "archive")
    settings.data_dir.mkdir()
    for folder, what in ((settings.data_dir, "data folder"), (tmp_path / "archive", "archive")):
        lock = FolderLock(folder, LOCK_OF_ARCHIVING)
        with pytest.raises(DataFolderLocked, match=f"process {os.getpid()} archives .* {what}"):
            archive.run(settings)
        lock.close()


@pytest.mark.slow
def test_killed_in_the_middle_again_and_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, taken = filled(tmp_path, ledger_url="none")
    state = replayed_verb(settings, capsys)
    before, _ = segments(settings)
    for operation, count in (("rename", 1), ("unlink", 1), ("fsync_dir", 4), ("rename", 2)):
        verb = start_verb(settings, "archive", killed_in=(operation, count))
        _, err = verb.communicate(timeout=PATIENCE_SECONDS)
        assert verb.returncode == -signal.SIGKILL, err
        kept, archived = segments(settings)
        assert sorted({*kept, *archived}) == before
        verified(settings, capsys)
        open_partition(settings).close()
    assert segments(settings)[1]
    ended = start_verb(settings, "archive")
    out, err = ended.communicate(timeout=PATIENCE_SECONDS)
    assert (ended.returncode, f"begins with seq {taken}" in out) == (0, True), err
    kept, archived = segments(settings)
    assert sorted(kept + archived) == before
    assert kept[0] <= taken < kept[1]
    names = sorted(path.name for path in (tmp_path / "archive").iterdir())
    assert names == [*(f"{seq:020d}.journal" for seq in archived), LOCK_OF_ARCHIVING]
    assert replayed_verb(settings, capsys) == state


@pytest.mark.slow
def test_beside_a_running_exchange(make_server: Callable[..., Server], tmp_path: Path) -> None:
    server = make_server(
        archive_dir=tmp_path / "archive",
        journal_segment_bytes=1 << 20,
        snapshots_kept=2,
        rate_limit_per_second=0,
    ).start()
    settings = Settings(data_dir=server.data_dir, archive_dir=tmp_path / "archive")
    keyed = KEYED | {"idempotency_key": "first"}
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:

        def trade(batches: int) -> None:
            for number in range(batches):
                orders = [
                    {"client_id": f"c-{i % 9}", "side": ("buy", "sell")[i & 1], "type": "limit",
                     "price": "100", "quantity": "0.01", "idempotency_key": f"{number}-{i}",
                     "order_id": f"{number}-{i}-{'x' * 50}"}
                    for i in range(BATCH)
                ]  # fmt: skip
                operations = [{"op": "place", "order": order} for order in orders]
                reply = client.post("/orders/batch", json={"operations": operations})
                assert reply.status_code == 200

        def replays_the_first() -> None:
            again = client.post("/orders", json=keyed)
            assert (again.status_code, again.json()) == (201, first.json())
            assert again.headers["idempotency-replayed"] == "true"

        first = client.post("/orders", json=keyed)
        assert first.status_code == 201
        trade(4)
        for _ in range(2):
            assert client.post("/orders", json=KEYED).status_code == 201
            assert client.post("/admin/snapshot").status_code == 201
        wait_until(lambda: is_up(client) and has_caught_up(client), what="a ledger")
        done = start_verb(settings, "archive")
        out, err = done.communicate(timeout=PATIENCE_SECONDS)
        assert done.returncode == 0, err
        assert segments(settings)[1][:1] == [1], out
        replays_the_first()
        trade(1)
        server.kill()
        # A new ledger is written from the archive's first command on.
        server.flags["ledger_url"] = url = f"sqlite:///{tmp_path}/new.db"
        server.start()
        replays_the_first()
        wait_until(lambda: is_up(client) and has_caught_up(client), what="a new ledger")
        wait_until(lambda: client.get("/healthz").json()["status"] == "healthy", what="healthy")
    assert server.stop() == 0
    write(rebuilt := f"sqlite:///{tmp_path}/rebuilt.db", WholeJournal(settings))
    assert digest_of(url) == digest_of(rebuilt)
