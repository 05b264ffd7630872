"""Restarts: snapshot and journal, what is put right, what is refused, and what is never lost."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from novate.exchange import Partition, bounds_of
from novate.follower import run as follow
from novate.journal.disk import RealDisk
from novate.journal.interface import Appended, Batch
from novate.journal.mark import MARK_FILE
from novate.journal.segments import SegmentJournal
from novate.lock import FolderLock
from novate.model import codec
from novate.model.errors import (
    ConfigurationError,
    DataFolderLocked,
    JournalBehindWitness,
    JournalCorrupt,
    JournalError,
    ReplayDiverged,
)
from novate.recovery import open_partition
from novate.recovery import run as replay
from novate.testing.auditor import Auditor
from novate.testing.disk import flip_bit
from novate.testing.workload import Mix, Trader, Workload, decode_json
from tests.conftest import STOP_SECONDS, Server, wait_until_async
from tests.integration.data_folder import (
    fill,
    place,
    replayed,
    settings_of,
    store_of,
    take_snapshot,
)


@pytest.mark.slow
def test_a_snapshot_and_the_tail_give_the_state_of_a_replay_from_zero(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(300))
    taken = take_snapshot(settings)
    fill(settings, range(300, 500))
    recovered = open_partition(settings)
    recovered.close()
    whole = replayed(settings)
    assert recovered.snapshot_seq == taken.seq
    assert recovered.replayed_commands == 200
    assert (recovered.seq, recovered.events_hash) == (whole.seq, whole.events_hash)
    assert recovered.engine.state_hash() == whole.engine.state_hash()
    assert recovered.warnings == []
    recovered.engine.check_invariants()


@pytest.mark.slow
@pytest.mark.parametrize("snapshot_after", [None, 400, 500])
def test_every_key_gets_its_first_answer_again_after_a_restart(
    tmp_path: Path, snapshot_after: int | None
) -> None:
    settings = settings_of(tmp_path / "data")
    answers = fill(settings, range(400))
    if snapshot_after == 400:
        take_snapshot(settings)
    answers |= fill(settings, range(400, 500))
    if snapshot_after == 500:
        take_snapshot(settings)

    async def ask() -> None:
        recovered = open_partition(settings)
        partition = Partition(0, recovered, bounds_of(settings))
        for (key_digest, digest), answer in answers.items():
            assert partition.replay(key_digest, digest) == answer
        status, body = partition.replay(next(iter(answers))[0], 12345) or (0, b"")
        assert (status, decode_json(body)["code"]) == (422, "idempotency_key_reused")
        assert partition.replay(bytes(16), 1) is None
        await partition.sequencer.stop()
        recovered.close()

    asyncio.run(ask())
    assert len(answers) == 500


@pytest.mark.slow
def test_a_damaged_snapshot_is_passed_over_for_the_one_before_and_said(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(100))
    older = take_snapshot(settings)
    fill(settings, range(100, 200))
    newer = take_snapshot(settings)
    flip_bit(RealDisk(), newer.path, newer.bytes // 2)
    recovered = open_partition(settings)
    recovered.close()
    assert recovered.snapshot_seq == older.seq
    assert any(f"seq {newer.seq}" in warning for warning in recovered.warnings)
    assert recovered.engine.state_hash() == replayed(settings).engine.state_hash()
    flip_bit(RealDisk(), older.path, older.bytes // 3)
    recovered = open_partition(settings)
    recovered.close()
    assert recovered.snapshot_seq == 0
    assert len(recovered.warnings) == 2
    assert recovered.engine.state_hash() == replayed(settings).engine.state_hash()


def test_a_journal_older_than_its_snapshot_is_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(100))
    shutil.copytree(tmp_path / "data", tmp_path / "older")
    fill(settings, range(100, 200))
    taken = take_snapshot(settings)
    older = settings_of(tmp_path / "older")
    shutil.copytree(store_of(settings).folder, store_of(older).folder)
    with pytest.raises(JournalBehindWitness, match=f"snapshot of seq {taken.seq}"):
        open_partition(older)
    # What was refused is not changed, and not left locked.
    with pytest.raises(JournalBehindWitness):
        open_partition(older)


@pytest.mark.slow
def test_a_damaged_journal_is_refused_with_the_place(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(300))
    (segment,) = (tmp_path / "data" / "journal").glob("*1.journal")
    flip_bit(RealDisk(), segment, 8000)
    with pytest.raises(JournalCorrupt) as refusal:
        open_partition(settings)
    assert refusal.value.segment == segment.name
    assert 0 < refusal.value.offset <= 8000
    assert refusal.value.seq > 0
    command = [sys.executable, "-m", "novate", "serve", "--data-dir", str(tmp_path / "data")]
    refused = subprocess.run(
        [*command, "--port", "0"], capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode == 1
    assert f"segment {segment.name}" in refused.stderr


def test_a_wrong_events_hash_stops_the_replay_and_names_the_batch(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(50))
    end = replayed(settings)
    journal = SegmentJournal(settings.data_dir, segment_bytes=settings.journal_segment_bytes)
    batch = Batch(end.seq + 1, 1, end.timestamp_ns, place(50)[0], b"", bytes(31) + b"x")
    assert journal.append(end.seq, journal.epoch, batch) is Appended.DURABLE
    journal.close()
    with pytest.raises(ReplayDiverged, match=f"up to seq {end.seq} gave other events") as refusal:
        open_partition(settings)
    assert 0 < refusal.value.seq <= end.seq


def test_changed_limits_are_journaled_once(tmp_path: Path) -> None:
    first = fill(settings_of(tmp_path / "data"), range(10))
    changed = settings_of(tmp_path / "data", closed_orders_max=77)
    before = replayed(changed).seq
    for _ in range(2):
        recovered = open_partition(changed)
        recovered.close()
        assert recovered.engine.limits().closed_orders_max == 77
        assert recovered.seq == before + 1
    assert replayed(changed).engine.state_hash() == recovered.engine.state_hash()
    assert len(first) == 10


def test_the_first_start_journals_limits_and_instruments(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    recovered = open_partition(settings)
    recovered.close()
    assert recovered.seq == 1 + 2 * len(settings.instruments)  # each made, and cleared
    instruments = recovered.engine.instruments()
    assert [each.name for each in instruments] == ["BTC-USD", "ETH-USD"]
    assert (instruments[0].tick_coefficient, instruments[0].tick_exponent) == (1, 2)
    assert (instruments[0].lot_coefficient, instruments[0].lot_exponent) == (1, 8)
    assert replayed(settings).engine.state_hash() == recovered.engine.state_hash()


def test_a_folder_has_one_server_at_a_time(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "data")
    with pytest.raises(DataFolderLocked, match=r"process \d+ serves this data folder"):
        FolderLock(tmp_path / "data")
    with pytest.raises(DataFolderLocked):
        open_partition(settings_of(tmp_path / "data"))
    lock.close()
    FolderLock(tmp_path / "data").close()


@pytest.mark.slow
def test_a_second_server_is_refused_and_the_first_goes_on(
    make_server: Callable[..., Server],
) -> None:
    first = make_server().start()
    second = make_server(first.data_dir).start(ready=False)
    assert second.process is not None
    assert second.process.wait(60) == 1
    assert f"process {first.pid} serves this data folder" in second.log()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{second.url}/readyz")
    assert httpx.get(f"{first.url}/readyz").status_code == 200


@pytest.mark.slow
def test_sigterm_under_load_exits_0_and_loses_nothing(make_server: Callable[..., Server]) -> None:
    server = make_server(trades_per_instrument_max=1_000_000, rate_limit_per_second=0).start()
    auditor = Auditor()
    clients = tuple(f"client-{number}" for number in range(8))

    async def trade() -> None:
        stop = asyncio.Event()
        traders = [Trader(Workload(3, name), server.port, auditor.settled) for name in clients]
        running = [asyncio.create_task(trader.run(stop)) for trader in traders]
        await wait_until_async(lambda: auditor.statuses.total() > 200)
        assert await asyncio.to_thread(server.stop, STOP_SECONDS) == 0
        await asyncio.to_thread(server.start)
        stop.set()
        await asyncio.wait_for(asyncio.gather(*running), 60)

    asyncio.run(trade())
    with httpx.Client(base_url=server.url, timeout=30) as client:
        trades = auditor.check(
            lambda path: decode_json(client.get(path).content), Mix().instruments, clients
        )
    assert trades > 0
    assert server.stop() == 0


def test_what_a_snapshot_request_journals_changes_no_book(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(20))
    end = replayed(settings)
    books = [end.engine.depth(number, 100) for number in range(2)]
    journal = SegmentJournal(settings.data_dir, segment_bytes=settings.journal_segment_bytes)
    batch = Batch(
        end.seq + 1, 1, end.timestamp_ns, codec.pack_take_snapshot(), b"", end.events_hash
    )
    journal.append(end.seq, journal.epoch, batch)
    journal.close()
    after = replayed(settings).engine
    for before, number in zip(books, range(2), strict=True):
        for old, new in zip(before, after.depth(number, 100), strict=True):
            assert old.tolist() == new.tolist()


def test_replay_and_follow_refuse_a_folder_without_a_journal(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    with pytest.raises(JournalError, match="there is none in"):
        replay(settings)
    with pytest.raises(JournalError, match="there is none in"):
        follow(settings, once=True)
    assert not settings.data_dir.exists()


def test_replay_and_follow_refuse_a_journal_older_than_its_snapshot(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(20))
    shutil.copytree(settings.data_dir / "journal", tmp_path / "older")
    fill(settings, range(20, 40))
    take_snapshot(settings)
    shutil.rmtree(settings.data_dir / "journal")
    shutil.copytree(tmp_path / "older", settings.data_dir / "journal")
    with pytest.raises(JournalBehindWitness):
        replay(settings)
    (settings.data_dir / MARK_FILE).unlink()
    with pytest.raises(JournalBehindWitness, match="snapshot"):
        replay(settings, from_snapshot=True)
    with pytest.raises(JournalBehindWitness, match="snapshot"):
        follow(settings, once=True)


def test_replay_refuses_an_end_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(20))
    last = replayed(settings).seq
    assert replay(settings, until=last) == 0
    assert f"seq {last}" in capsys.readouterr().out
    with pytest.raises(JournalError, match=f"to {last}, where the journal ends; found {last + 1}"):
        replay(settings, until=last + 1)


def test_a_default_instrument_that_is_not_there_refuses_the_start(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data", default_instrument="NOPE")
    with pytest.raises(ConfigurationError, match="one of BTC-USD, ETH-USD; found 'NOPE'"):
        open_partition(settings)
    open_partition(settings_of(tmp_path / "data")).close()
