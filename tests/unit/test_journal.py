"""The journal's writer and readers on a real folder: append, roll, read, tail, find, prune."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from novate.journal.disk import RealDisk
from novate.journal.interface import Appended, Batch, Witness
from novate.journal.layout import SEGMENT_HEADER_BYTES, SegmentHeader, segment_name
from novate.journal.mark import MARK_FILE, DurableMark
from novate.journal.reading import JournalReader
from novate.journal.segments import SegmentJournal
from novate.journal.tail import MarkTail
from novate.model.errors import JournalBehindWitness, JournalCorrupt

SEGMENT_BYTES = 16 << 10


def batch_of(first_seq: int, count: int = 1) -> Batch:
    """A batch whose bytes tell its seq."""
    return Batch(
        first_seq=first_seq,
        count=count,
        timestamp_ns=1_000 * first_seq,
        commands=b"".join(b"command %08d|" % (first_seq + i) for i in range(count)),
        outcomes=b"outcomes before %d" % first_seq,
        events_hash=first_seq.to_bytes(32),
    )


def open_journal(folder: Path, **options: object) -> SegmentJournal:
    options.setdefault("segment_bytes", SEGMENT_BYTES)
    return SegmentJournal(folder, **options)  # type: ignore[arg-type]


def fill(journal: SegmentJournal, batches: int, count: int = 3) -> list[Batch]:
    appended = []
    for _ in range(batches):
        seq = journal.last().seq
        batch = batch_of(seq + 1, count)
        assert journal.append(seq, journal.epoch, batch, sync=False) is Appended.WRITTEN
        journal.prepare()
        appended.append(batch)
    journal.sync()
    return appended


def batches_in(journal: SegmentJournal, first_seq: int = 1) -> list[Batch]:
    return [record.batch for record in journal.read(first_seq)]


def segments_in(folder: Path) -> list[Path]:
    return sorted((folder / "journal").glob("*.journal"))


def test_an_empty_journal_ends_before_the_first_seq(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    assert journal.last().seq == 0
    assert batches_in(journal) == []
    assert journal.warnings == []
    assert [path.name for path in segments_in(tmp_path)] == [segment_name(1)]


def test_what_is_appended_is_read_back_here_and_after_a_restart(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    appended = fill(journal, 200)
    assert len(segments_in(tmp_path)) > 3
    assert batches_in(journal) == appended
    last = journal.last()
    journal.close()
    again = open_journal(tmp_path)
    assert batches_in(again) == appended
    assert again.last() == last
    assert again.warnings == []
    assert again.epoch == journal.epoch + 1
    assert batches_in(again)[-1].last_seq == 600
    appended += fill(again, 10)
    assert batches_in(again) == appended


def test_a_record_tells_where_it_stands(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    fill(journal, 100)
    records = list(journal.read(1))
    assert records[-1].position() == journal.last()
    assert records[0].offset == SEGMENT_HEADER_BYTES
    for before, record in pairwise(records):
        if before.segment == record.segment:
            assert before.end_offset == record.offset
        assert record.offset % 8 == 0


def test_reading_begins_with_the_record_that_holds_the_seq(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    appended = fill(journal, 150)
    for first_seq in (1, 2, 3, 4, 200, 449, 450):
        assert batches_in(journal, first_seq) == [b for b in appended if b.last_seq >= first_seq]
    assert batches_in(journal, 451) == []


def test_reading_from_a_position_reads_nothing_before_it(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    appended = fill(journal, 150)
    records = list(journal.read(1))
    positions = [record.position() for record in records]
    journal.close()
    for path in segments_in(tmp_path)[:-1]:
        if path.name < positions[120].segment:
            path.write_bytes(b"nothing to be read")
    start = positions[120]
    again = open_journal(tmp_path, start=start, witnesses=[Witness("a snapshot", start.seq)])
    assert [r.batch for r in again.read(start.seq + 1, start)] == appended[121:]


@pytest.mark.slow
def test_every_position_can_be_started_from(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    appended = fill(journal, 90)
    positions = [record.position() for record in journal.read(1)]
    journal.close()
    for at, position in enumerate(positions):
        again = open_journal(tmp_path, start=position)
        assert again.last() == positions[-1]
        assert [r.batch for r in again.read(position.seq + 1, position)] == appended[at + 1 :]
        again.close()


def test_a_position_of_another_journal_is_refused(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "one")
    other = open_journal(tmp_path / "two")
    fill(journal, 5, count=3)
    fill(other, 5, count=2)
    with pytest.raises(JournalCorrupt, match="another record"):
        list(journal.read(1, next(iter(other.read(1))).position()))


def test_an_unexpected_seq_or_an_old_epoch_is_fenced(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    fill(journal, 2, count=1)
    assert journal.append(1, journal.epoch, batch_of(2)) is Appended.FENCED
    assert journal.append(3, journal.epoch, batch_of(4)) is Appended.FENCED
    assert journal.append(2, journal.epoch - 1, batch_of(3)) is Appended.FENCED
    assert len(batches_in(journal)) == 2


def test_a_writer_is_fenced_by_a_newer_one(tmp_path: Path) -> None:
    old = open_journal(tmp_path)
    fill(old, 1)
    new = open_journal(tmp_path)
    assert old.append(3, old.epoch, batch_of(4)) is Appended.FENCED
    assert new.append(3, new.epoch, batch_of(4)) is Appended.DURABLE


def test_a_batch_that_does_not_follow_on_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    with pytest.raises(ValueError, match="a batch of 1 from 2 at 0"):
        journal.append(0, journal.epoch, batch_of(2))


def test_a_batch_larger_than_a_segment_gets_one_of_its_own(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    small = fill(journal, 1)
    large = fill(journal, 1, count=5_000)
    after = fill(journal, 3)
    journal.close()
    again = open_journal(tmp_path)
    assert batches_in(again) == small + large + after


def test_unsynced_batches_are_believed_after_the_sync(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    fill(journal, 1)
    answer = journal.append(3, journal.epoch, batch_of(4), sync=False)
    assert answer is Appended.WRITTEN
    assert journal.last().seq == 4
    assert journal.durable().seq == 3
    tail = journal.tail(1)
    assert [record.batch.last_seq for record in tail.records()] == [3]
    journal.sync()
    assert journal.durable().seq == 4
    assert [record.batch.last_seq for record in tail.records()] == [4]


def test_a_tail_follows_across_rolls_and_never_passes_the_mark(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    mark = DurableMark(tmp_path, RealDisk())
    tail = MarkTail(JournalReader(tmp_path, RealDisk()), mark, 1)
    assert tail.take() is None
    appended: list[Batch] = []
    taken: list[Batch] = []
    for _ in range(40):
        appended += fill(journal, 7)
        taken += [record.batch for record in tail.records()]
        assert taken == appended
        assert tail.take() is None
    assert len(segments_in(tmp_path)) > 3
    tail.close()
    late = MarkTail(JournalReader(tmp_path, RealDisk()), mark, 500)
    assert [r.batch for r in late.records()] == [b for b in appended if b.last_seq >= 500]
    late.close()
    mark.close()


def test_a_tail_from_a_position_goes_on_behind_it(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    appended = fill(journal, 60)
    position = list(journal.read(1))[29].position()
    tail = journal.tail(position.seq + 1, position)
    assert [record.batch for record in tail.records()] == appended[30:]


@pytest.mark.slow
def test_outcomes_stand_in_the_record_behind(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    appended = fill(journal, 300)
    assert len(segments_in(tmp_path)) > 3
    for batch, behind in pairwise(appended):
        assert journal.outcomes_of(batch.first_seq) == behind.outcomes
        assert journal.outcomes_of(batch.last_seq) == behind.outcomes
    newest = journal.last().seq
    assert journal.outcomes_of(newest) is None
    assert journal.outcomes_of(newest + 1) is None
    (behind,) = fill(journal, 1)
    assert journal.outcomes_of(newest) == behind.outcomes


def test_outcomes_are_found_before_they_are_synced(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    for seq in (1, 2):
        assert journal.append(seq - 1, journal.epoch, batch_of(seq), sync=False)
    assert journal.durable().seq == 0
    assert journal.outcomes_of(1) == batch_of(2).outcomes
    assert journal.outcomes_of(2) is None


def test_outcomes_are_found_anywhere_in_a_large_segment(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, segment_bytes=4 << 20)
    appended = fill(journal, 1_000)
    appended += fill(journal, 1, count=60_000)
    appended += fill(journal, 1_000)
    behind = {b.last_seq: after.outcomes for b, after in pairwise(appended)}
    for batch in [*appended[:-1:37], *appended[990:1010]]:
        assert journal.outcomes_of(batch.last_seq) == behind[batch.last_seq]
    appended += fill(journal, 300)
    assert journal.outcomes_of(appended[-2].first_seq) == appended[-1].outcomes


def test_outcomes_of_a_damaged_record_are_refused(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    fill(journal, 3)
    record = list(journal.read(1))[1]
    path = tmp_path / "journal" / record.segment
    image = bytearray(path.read_bytes())
    image[record.end_offset - 12] ^= 1
    path.write_bytes(image)
    with pytest.raises(JournalCorrupt, match="checksum"):
        journal.outcomes_of(1)


def test_pruning_gives_up_whole_segments_alone(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    appended = fill(journal, 200)
    firsts = [int(path.name[:20]) for path in segments_in(tmp_path)]
    assert journal.prune(firsts[1] - 1) == 0
    assert journal.prune(firsts[2] + 1) == 2
    assert journal.first_seq() == firsts[2]
    kept = [batch for batch in appended if batch.first_seq >= firsts[2]]
    assert batches_in(journal, firsts[2]) == kept
    assert journal.outcomes_of(1) is None
    assert journal.outcomes_of(firsts[2]) == kept[1].outcomes
    with pytest.raises(JournalBehindWitness, match=f"begins with seq {firsts[2]}"):
        list(journal.read(1))
    assert journal.prune(journal.last().seq + 100) == len(firsts) - 3
    assert journal.last().seq == 600


def test_a_position_at_the_end_of_a_pruned_segment_still_serves(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    appended = fill(journal, 100)
    second = int(segments_in(tmp_path)[1].name[:20])
    position = next(r for r in journal.read(1) if r.batch.last_seq == second - 1).position()
    journal.prune(second)
    after = [batch for batch in appended if batch.first_seq >= second]
    assert [r.batch for r in journal.read(second, position)] == after


def test_a_segment_that_has_only_its_header_is_the_end(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    appended = fill(journal, 20)
    last = journal.last()
    journal.close()
    header = SegmentHeader(
        0, last.seq + 1, b"8 bytes.", last.timestamp_ns, last.epoch, last.rules,
        last.record_hash, last.events_hash,
    )  # fmt: skip
    path = tmp_path / "journal" / segment_name(last.seq + 1)
    path.write_bytes(header.encode().ljust(SEGMENT_BYTES, b"\0"))
    again = open_journal(tmp_path)
    found = again.last()
    assert (found.seq, found.record_hash, found.timestamp_ns, found.events_hash) == (
        last.seq,
        last.record_hash,
        last.timestamp_ns,
        last.events_hash,
    )
    appended += fill(again, 5)
    assert batches_in(again) == appended


def test_the_mark_outlives_a_half_written_slot(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    fill(journal, 9)
    fill(journal, 1)
    journal.close()
    path = tmp_path / MARK_FILE
    image = bytearray(path.read_bytes())
    for slot in (512, 1024):
        torn = bytearray(image)
        torn[slot + 9] ^= 0xFF
        path.write_bytes(torn)
        mark = DurableMark(tmp_path, RealDisk())
        assert mark.load().seq in (27, 30)
        mark.close()


def test_a_mark_that_cannot_be_read_is_made_anew_and_said(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    appended = fill(journal, 3)
    journal.close()
    (tmp_path / MARK_FILE).write_bytes(b"short")
    again = open_journal(tmp_path)
    assert again.warnings == ["the durable mark can't be read: it is made anew"]
    assert batches_in(again) == appended
    mark = DurableMark(tmp_path, RealDisk())
    assert mark.load().seq == 9
    mark.close()
