"""Segments on their way to the archive: at every moment the journal is read whole."""

from __future__ import annotations

import errno
from itertools import count
from pathlib import Path

import pytest

from novate.journal.archive import Archive
from novate.journal.disk import Disk, RealDisk
from novate.journal.interface import Appended, Batch, Witness
from novate.journal.layout import SEGMENT_HEADER_BYTES
from novate.journal.reading import JournalReader, seqs_in
from novate.journal.segments import SegmentJournal
from novate.journal.tail import MarkTail
from novate.journal.verify import verify_journal
from novate.model.errors import JournalBehindWitness, JournalCorrupt
from novate.testing.disk import FaultyDisk, ForgetfulDisk, PowerLoss, flip_bit

SEGMENT_BYTES = 16 << 10
FOLDER, ARCHIVE = Path("/novate"), Path("/archive")
BATCHES = 60


def open_journal(
    folder: Path, disk: Disk, archive: Path | None, **options: object
) -> SegmentJournal:
    return SegmentJournal(
        folder,
        disk=disk,
        segment_bytes=SEGMENT_BYTES,
        archive=archive,
        **options,  # type: ignore[arg-type]
    )


def batch_of(seq: int, fill: bytes = b"c") -> Batch:
    return Batch(seq, 1, seq, fill * 1000, outcomes=b"of %d" % (seq - 1))


def append(journal: SegmentJournal, batch: Batch) -> None:
    assert journal.append(batch.first_seq - 1, journal.epoch, batch) is Appended.DURABLE


def filled(folder: Path, disk: Disk, fill: bytes = b"c") -> list[int]:
    """A journal of several segments; their first seqs."""
    journal = open_journal(folder, disk, None)
    for seq in range(1, BATCHES + 1):
        written = journal.append(seq - 1, journal.epoch, batch_of(seq, fill), sync=False)
        assert written is Appended.WRITTEN
    journal.sync()
    journal.close()
    seqs = seqs_in(folder / "journal", disk)
    assert len(seqs) > 4
    return seqs


def seqs_read(folder: Path, disk: Disk, archive: Path | None, first_seq: int = 1) -> list[int]:
    """Every seq that a reader of both finds; each is checked."""
    reader = JournalReader(folder, disk, archive=archive)
    return [record.batch.first_seq for record in reader.read(first_seq)]


def test_both_are_one_journal_to_everybody(tmp_path: Path) -> None:
    folder, archive, disk = tmp_path / "data", tmp_path / "away" / "archive", RealDisk()
    seqs = filled(folder, disk)
    before = (folder / "journal" / f"{seqs[0]:020d}.journal").read_bytes()
    moved = list(Archive(folder, archive).move(seqs[3]))
    assert moved == [(seqs[at], seqs[at + 1] - 1) for at in range(3)]
    assert seqs_in(folder / "journal", disk) == seqs[3:]
    assert seqs_in(archive, disk) == seqs[:3]
    assert (archive / f"{seqs[0]:020d}.journal").read_bytes() == before
    everything = list(range(1, BATCHES + 1))
    assert seqs_read(folder, disk, archive) == everything
    assert seqs_read(folder, disk, archive, seqs[1] + 1) == everything[seqs[1] :]
    found = verify_journal(JournalReader(folder, disk, archive=archive))
    assert (found.first_seq, found.commands, found.warnings) == (1, BATCHES, [])
    assert found.stored == f"{len(seqs)} segments, 3 of them archived"
    journal = open_journal(folder, disk, archive)
    assert journal.first_seq() == 1
    assert journal.outcomes_of(seqs[2] - 1) == b"of %d" % (seqs[2] - 1)
    assert journal.outcomes_of(1) == b"of 1"
    tail = journal.tail(1)
    assert isinstance(tail, MarkTail)
    assert [record.batch.first_seq for record in tail.records()] == everything
    append(journal, batch_of(BATCHES + 1))
    assert [record.batch.first_seq for record in tail.records()] == [BATCHES + 1]
    tail.close()
    journal.close()


def test_without_the_archive_it_is_said_where_it_begins(tmp_path: Path) -> None:
    folder, archive = tmp_path / "data", tmp_path / "archive"
    seqs = filled(folder, RealDisk())
    list(Archive(folder, archive).move(seqs[1]))
    begins = f"the journal begins with seq {seqs[1]}: what is before is pruned, and"
    with pytest.raises(JournalBehindWitness, match=f"{begins} archive_dir names no archive"):
        seqs_read(folder, RealDisk(), None)
    with pytest.raises(JournalBehindWitness, match=f"{begins} the archive .*/empty does not have"):
        seqs_read(folder, RealDisk(), tmp_path / "empty")


def test_a_reader_goes_on_while_segments_leave(tmp_path: Path) -> None:
    folder, archive, disk = tmp_path / "data", tmp_path / "archive", RealDisk()
    seqs = filled(folder, disk)
    reader = JournalReader(folder, disk, archive=archive)
    found = []
    for record in reader.read(1):
        if record.batch.first_seq == seqs[1]:  # it stands in the second, and all but one leave
            list(Archive(folder, archive).move(seqs[-1]))
        found.append(record.batch.first_seq)
    assert found == list(range(1, BATCHES + 1))
    assert len(seqs_in(folder / "journal", disk)) == 1


def test_the_last_segment_and_those_to_keep_stay(tmp_path: Path) -> None:
    folder, archive, disk = tmp_path / "data", tmp_path / "archive", RealDisk()
    seqs = filled(folder, disk)
    assert list(Archive(folder, archive).move(0)) == []
    assert list(Archive(folder, archive).move(seqs[1] - 1)) == []
    assert list(Archive(folder, archive).move(10**6, keep=len(seqs))) == []
    list(Archive(folder, archive).move(10**6, keep=2))
    assert seqs_in(folder / "journal", disk) == seqs[-3:]
    list(Archive(folder, archive).move(10**6))
    assert seqs_in(folder / "journal", disk) == seqs[-1:]
    assert list(Archive(folder, archive).move(10**6)) == []
    assert seqs_read(folder, disk, archive) == list(range(1, BATCHES + 1))


@pytest.mark.slow
@pytest.mark.parametrize("power_lost", [False, True])
def test_cut_off_anywhere_nothing_is_lost_and_the_next_call_goes_on(power_lost: bool) -> None:
    for crash_at in count(1):
        disk = ForgetfulDisk(seed=crash_at)
        seqs = filled(FOLDER, disk)
        disk.start_again(crash_at, power_lost=False)
        try:
            list(Archive(FOLDER, ARCHIVE, disk).move(seqs[2]))
            ended = True
        except PowerLoss:
            ended = False
        disk.start_again(power_lost=power_lost)
        assert seqs_read(FOLDER, disk, ARCHIVE) == list(range(1, BATCHES + 1)), crash_at
        list(Archive(FOLDER, ARCHIVE, disk).move(seqs[3]))
        assert seqs_in(ARCHIVE, disk) == seqs[:3], crash_at
        assert disk.listdir(ARCHIVE) == [f"{seq:020d}.journal" for seq in seqs[:3]], crash_at
        assert seqs_in(FOLDER / "journal", disk) == seqs[3:], crash_at
        disk.start_again()
        assert seqs_read(FOLDER, disk, ARCHIVE) == list(range(1, BATCHES + 1)), crash_at
        if ended:
            assert crash_at > 10
            return


@pytest.mark.parametrize("at", [0, 40, 5000, -1])
def test_a_damaged_segment_stays_where_it_is(tmp_path: Path, at: int) -> None:
    folder, archive, disk = tmp_path / "data", tmp_path / "archive", RealDisk()
    seqs = filled(folder, disk)
    path = folder / "journal" / f"{seqs[1]:020d}.journal"
    flip_bit(disk, path, at if at >= 0 else path.stat().st_size - 1)
    with pytest.raises(JournalCorrupt, match=f"segment {path.name}"):
        list(Archive(folder, archive).move(seqs[3]))
    # Where its header is, nothing says any more that the one before leads to it.
    assert seqs_in(archive, disk) == ([] if 0 <= at < SEGMENT_HEADER_BYTES else seqs[:1])
    assert sorted([*seqs_in(folder / "journal", disk), *seqs_in(archive, disk)]) == seqs
    assert len(disk.listdir(archive)) == len(seqs_in(archive, disk))


def test_a_copy_that_is_not_equal_is_not_believed(tmp_path: Path) -> None:
    folder, archive, disk = tmp_path / "data", tmp_path / "archive", RealDisk()
    seqs = filled(folder, disk)
    name = f"{seqs[0]:020d}.journal"
    archive.mkdir()
    (archive / name).write_bytes((folder / "journal" / name).read_bytes())
    flip_bit(disk, archive / name, 5000)
    with pytest.raises(JournalCorrupt, match="has another content of it than the data folder"):
        list(Archive(folder, archive).move(seqs[3]))
    flip_bit(disk, archive / name, 5000)
    with (archive / name).open("ab") as longer:
        longer.write(b"\0")
    with pytest.raises(JournalCorrupt, match="has another content of it than the data folder"):
        list(Archive(folder, archive).move(seqs[3]))
    (archive / name).write_bytes((folder / "journal" / name).read_bytes())
    assert len(list(Archive(folder, archive).move(seqs[3]))) == 3  # a whole copy by hand will do
    assert seqs_read(folder, disk, archive) == list(range(1, BATCHES + 1))


def test_the_archive_of_another_journal_is_refused(tmp_path: Path) -> None:
    archive, disk = tmp_path / "archive", RealDisk()
    mine, others = tmp_path / "mine", tmp_path / "others"
    seqs = filled(mine, disk)
    filled(others, disk, b"d")
    list(Archive(others, archive).move(seqs[2]))
    with pytest.raises(JournalCorrupt, match="has another content"):
        list(Archive(mine, archive).move(seqs[2]))
    list(Archive(mine, tmp_path / "right").move(seqs[2]))
    with pytest.raises(JournalCorrupt, match=r"the beginning of the journal in .*/mine"):
        list(Archive(mine, archive).move(seqs[3]))
    list(Archive(others, archive).move(seqs[4]))
    (mine / "journal" / f"{seqs[3]:020d}.journal").unlink()
    with pytest.raises(JournalCorrupt, match=f"it has a segment {seqs[3]:020d}.journal"):
        list(Archive(mine, archive).move(seqs[4]))
    assert seqs_in(mine / "journal", disk) == [seqs[2], *seqs[4:]]


def test_an_archive_that_is_not_there_is_not_begun_anew(tmp_path: Path) -> None:
    folder, archive, disk = tmp_path / "data", tmp_path / "archive", RealDisk()
    seqs = filled(folder, disk)
    list(Archive(folder, archive).move(seqs[1]))
    archive.rename(tmp_path / "away")
    with pytest.raises(JournalCorrupt, match=f"before seq {seqs[1]}, which .* found none"):
        list(Archive(folder, archive).move(seqs[3]))
    archive.rmdir()
    (tmp_path / "away").rename(archive)
    assert len(list(Archive(folder, archive).move(seqs[3]))) == 2
    assert seqs_read(folder, disk, archive) == list(range(1, BATCHES + 1))


def test_a_full_archive_leaves_the_segment_where_it_is(tmp_path: Path) -> None:
    folder, archive, disk = tmp_path / "data", tmp_path / "archive", FaultyDisk(RealDisk())
    seqs = filled(folder, disk)
    disk.fill_up(9000)
    with pytest.raises(OSError, match="No space left"):
        list(Archive(folder, archive, disk).move(seqs[2]))
    assert disk.listdir(archive) == []
    disk.make_room()
    disk.sync_error = errno.EIO
    with pytest.raises(OSError, match="Input/output error"):
        list(Archive(folder, archive, disk).move(seqs[2]))
    assert disk.listdir(archive) == []
    assert seqs_in(folder / "journal", disk) == seqs
    assert len(list(Archive(folder, archive, disk).move(seqs[2]))) == 2


def test_the_archive_is_a_witness_of_how_far_the_journal_got(tmp_path: Path) -> None:
    folder, archive, disk = tmp_path / "data", tmp_path / "archive", RealDisk()
    seqs = filled(folder, disk)
    list(Archive(folder, archive).move(seqs[3]))
    with pytest.raises(JournalBehindWitness, match=f"seq 0, but the archive .* saw {seqs[2]}"):
        open_journal(tmp_path / "new", disk, archive)
    assert seqs_in(tmp_path / "new" / "journal", disk) == []
    journal = open_journal(folder, disk, archive, witnesses=[Witness("a test", BATCHES)])
    assert (journal.last().seq, journal.warnings) == (BATCHES, [])
    journal.close()
    archive.rename(tmp_path / "elsewhere")
    archive.write_text("no folder")
    journal = open_journal(folder, disk, archive)
    assert journal.warnings == [f"the archive {archive} can't be read: Not a directory"]
    journal.close()
