"""The journal on a disk that is full, slow or failing."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from novate.journal.disk import RealDisk
from novate.journal.interface import Appended, Batch
from novate.journal.preparing import PREPARED_NAME
from novate.journal.segments import SegmentJournal
from novate.model.errors import JournalFailed, JournalFull
from novate.testing.disk import FaultyDisk, ForgetfulDisk

SEGMENT_BYTES = 16 << 10
FOLDER = Path("/novate")


def batch_of(seq: int, length: int = 100, fill: bytes = b"c") -> Batch:
    return Batch(seq, 1, seq, fill * length)


def open_journal(folder: Path, disk: FaultyDisk | RealDisk | ForgetfulDisk) -> SegmentJournal:
    return SegmentJournal(folder, disk=disk, segment_bytes=SEGMENT_BYTES)


def append(journal: SegmentJournal, batch: Batch) -> Appended:
    return journal.append(batch.first_seq - 1, journal.epoch, batch)


def batches_in(journal: SegmentJournal) -> list[Batch]:
    return [record.batch for record in journal.read(1)]


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk(RealDisk())


@pytest.mark.parametrize("taken", [0, 1, 100, 200])
def test_a_full_disk_refuses_and_the_same_place_is_used_again(
    tmp_path: Path, disk: FaultyDisk, taken: int
) -> None:
    journal = open_journal(tmp_path, disk)
    append(journal, batch_of(1))
    disk.fill_up(taken)
    with pytest.raises(JournalFull, match="No space left") as caught:
        append(journal, batch_of(2, 300, b"x"))
    assert caught.value.seq == 2
    disk.fill_up(taken)
    with pytest.raises(JournalFull):
        append(journal, batch_of(2, 200, b"y"))
    assert journal.last().seq == 1
    assert batches_in(journal) == [batch_of(1)]
    disk.make_room()
    assert append(journal, batch_of(2)) is Appended.DURABLE
    assert append(journal, batch_of(3)) is Appended.DURABLE
    journal.close()
    again = open_journal(tmp_path, disk)
    assert batches_in(again) == [batch_of(1), batch_of(2), batch_of(3)]
    assert again.warnings == []


def test_what_a_failed_write_left_is_cut_by_a_restart(tmp_path: Path, disk: FaultyDisk) -> None:
    journal = open_journal(tmp_path, disk)
    append(journal, batch_of(1))
    disk.fill_up(150)
    with pytest.raises(JournalFull):
        append(journal, batch_of(2, 300))
    journal.close()
    disk.make_room()
    again = open_journal(tmp_path, disk)
    assert batches_in(again) == [batch_of(1)]
    assert "cut behind seq 1" in again.warnings[0]


def test_what_a_failed_write_left_does_not_outlive_a_roll(tmp_path: Path, disk: FaultyDisk) -> None:
    journal = open_journal(tmp_path, disk)
    append(journal, batch_of(1))
    disk.fill_up(150)
    with pytest.raises(JournalFull):
        append(journal, batch_of(2, 300))
    disk.make_room()
    assert append(journal, batch_of(2, 2 * SEGMENT_BYTES)) is Appended.DURABLE
    assert append(journal, batch_of(3)) is Appended.DURABLE
    assert len(batches_in(journal)) == 3


def test_a_write_that_failed_and_is_there_whole_is_believed(
    tmp_path: Path, disk: FaultyDisk
) -> None:
    journal = open_journal(tmp_path, disk)
    disk.fill_up(232)
    assert append(journal, batch_of(1)) is Appended.DURABLE


@pytest.mark.parametrize("taken", [0, 100, 200, 232, 300])
def test_a_refused_batch_is_not_there_after_a_kill(
    tmp_path: Path, disk: FaultyDisk, taken: int
) -> None:
    journal = open_journal(tmp_path, disk)
    disk.fill_up(400)
    with pytest.raises(JournalFull):
        append(journal, batch_of(1, 400))
    disk.fill_up(taken)
    with pytest.raises(JournalFull):
        append(journal, batch_of(1, 100))
    disk.make_room()
    assert batches_in(open_journal(tmp_path, disk)) == []


def test_short_writes_are_finished(tmp_path: Path, disk: FaultyDisk) -> None:
    disk.short_writes = True
    journal = open_journal(tmp_path, disk)
    for seq in range(1, 40):
        assert append(journal, batch_of(seq)) is Appended.DURABLE
        journal.prepare()
    assert batches_in(journal) == [batch_of(seq) for seq in range(1, 40)]


def test_no_room_for_the_next_segment_refuses_until_there_is(
    tmp_path: Path, disk: FaultyDisk
) -> None:
    journal = open_journal(tmp_path, disk)
    disk.allocate_error = errno.ENOSPC
    for seq in range(1, 11):
        append(journal, batch_of(seq, 1000))
        assert journal.prepare() is False
    seq = 11
    with pytest.raises(JournalFull, match="no room for the next segment"):
        append(journal, batch_of(seq, 1000))
    assert journal.last().seq == seq - 1
    with pytest.raises(JournalFull):
        append(journal, batch_of(seq, 1000))
    disk.allocate_error = None
    assert append(journal, batch_of(seq, 1000)) is Appended.DURABLE
    assert [batch.first_seq for batch in batches_in(journal)] == list(range(1, seq + 1))


def test_the_next_segment_is_ready_before_it_is_needed(tmp_path: Path, disk: FaultyDisk) -> None:
    journal = open_journal(tmp_path, disk)
    prepared = tmp_path / "journal" / PREPARED_NAME
    for seq in range(1, 10):
        append(journal, batch_of(seq, 1000))
        while journal.prepare():
            pass
    assert prepared.stat().st_size == SEGMENT_BYTES
    assert not any(prepared.read_bytes())
    disk.allocate_error = errno.ENOSPC
    for seq in range(10, 14):
        assert append(journal, batch_of(seq, 1000)) is Appended.DURABLE
    assert not prepared.exists()


def test_a_failed_sync_ends_the_journal_until_a_restart() -> None:
    forgetful = ForgetfulDisk()
    disk = FaultyDisk(forgetful)
    journal = open_journal(FOLDER, disk)
    append(journal, batch_of(1))
    disk.sync_error = errno.EIO
    with pytest.raises(JournalFailed, match="fdatasync failed") as caught:
        append(journal, batch_of(2))
    assert caught.value.seq == 2
    syncs = disk.syncs
    for _ in range(3):
        with pytest.raises(JournalFailed, match="until a restart"):
            append(journal, batch_of(2))
        with pytest.raises(JournalFailed, match="until a restart"):
            journal.sync()
    assert journal.prepare() is False
    assert disk.syncs == syncs
    assert journal.durable().seq == 1
    assert batches_in(journal) == [batch_of(1)]
    assert list(journal.tail(2).records()) == []
    journal.close()
    again = open_journal(FOLDER, FaultyDisk(forgetful))
    assert batches_in(again) == [batch_of(1)]
    assert append(again, batch_of(2)) is Appended.DURABLE


def test_a_failed_write_that_cannot_be_read_back_is_unknown(
    tmp_path: Path, disk: FaultyDisk
) -> None:
    journal = open_journal(tmp_path, disk)
    disk.write_error = disk.read_error = errno.EIO
    assert append(journal, batch_of(1)) is Appended.UNKNOWN
    disk.write_error = disk.read_error = None
    with pytest.raises(JournalFailed, match="can't be read back"):
        append(journal, batch_of(1))


def test_a_failed_sync_at_the_start_refuses(tmp_path: Path, disk: FaultyDisk) -> None:
    journal = open_journal(tmp_path, disk)
    append(journal, batch_of(1))
    journal.close()
    disk.sync_error = errno.EIO
    with pytest.raises(JournalFailed):
        open_journal(tmp_path, disk)
    assert batches_in(open_journal(tmp_path, disk)) == [batch_of(1)]


def test_no_room_at_the_first_start_says_so(tmp_path: Path, disk: FaultyDisk) -> None:
    disk.allocate_error = errno.ENOSPC
    with pytest.raises(JournalFull, match="no room for the next segment"):
        open_journal(tmp_path, disk)
    disk.allocate_error = None
    assert append(open_journal(tmp_path, disk), batch_of(1)) is Appended.DURABLE


def test_a_slow_sync_only_takes_its_time(tmp_path: Path, disk: FaultyDisk) -> None:
    journal = open_journal(tmp_path, disk)
    disk.sync_seconds = 0.02
    assert append(journal, batch_of(1)) is Appended.DURABLE
    assert journal.durable().seq == 1


def test_nothing_is_durable_before_its_sync() -> None:
    disk = ForgetfulDisk(seed=1)
    journal = open_journal(FOLDER, disk)
    append(journal, batch_of(1))
    before = disk.operations
    disk.crash_at = before + 2
    with pytest.raises(BaseException, match="power lost"):
        append(journal, batch_of(2))
    disk.start_again()
    found = batches_in(open_journal(FOLDER, disk))
    assert found in ([batch_of(1)], [batch_of(1), batch_of(2)])
