"""What every journal promises, held against each: segment files, and rows in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace

from novate.journal.disk import RealDisk
from novate.journal.interface import Appended, Witness
from novate.journal.mark import DurableMark
from novate.journal.snapshots import SnapshotStore, snapshot_at
from novate.journal.verify import run_journal, verify_journal
from novate.model.errors import JournalBehindWitness, JournalCorrupt
from tests.integration.journals import Place, append, batch_of, batches_in, fill


@pytest.fixture(params=["segments", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty journal of each kind."""
    url = request.getfixturevalue("postgres").url if request.param == "postgres" else ""
    made = Place(tmp_path / "data", url)
    yield made
    made.close()


def test_an_empty_journal_ends_before_the_first_seq(place: Place) -> None:
    journal = place.open()
    assert journal.last().seq == 0
    assert journal.durable().seq == 0
    assert journal.first_seq() == 1
    assert batches_in(journal) == []
    assert journal.warnings == []
    assert journal.outcomes_of(1) is None


def test_nothing_is_there_before_a_writer_came(place: Place) -> None:
    reader = place.reader()
    assert reader.end() is None
    assert reader.first_seq() == 1
    assert list(reader.read(1)) == []


def test_what_is_appended_is_read_back_here_and_after_a_restart(place: Place) -> None:
    journal = place.open()
    appended = fill(journal, 20)
    assert batches_in(journal) == appended
    last = journal.last()
    assert journal.durable() == last
    journal.close()
    again = place.open()
    assert batches_in(again) == appended
    assert again.last() == last
    assert again.epoch == journal.epoch + 1
    appended += fill(again, 3)
    assert [record.batch for record in place.reader().read(1)] == appended
    end = place.reader().end()
    assert end is not None
    assert end.position == again.last()


def test_a_record_has_the_same_hash_in_every_journal(place: Place, tmp_path: Path) -> None:
    journal, other = place.open(), Place(tmp_path / "other").open()
    fill(journal, 5)
    fill(other, 5)
    assert [each.record_hash for each in journal.read(1)] == [
        each.record_hash for each in other.read(1)
    ]
    other.close()


@pytest.mark.slow
def test_a_batch_of_any_size_comes_back_whole(place: Place) -> None:
    journal = place.open()
    appended = [append(journal, count) for count in (1, 400, 480, 60_000, 1)]
    journal.close()
    assert batches_in(place.open()) == appended


def test_reading_begins_with_the_record_that_holds_the_seq(place: Place) -> None:
    journal = place.open()
    appended = fill(journal, 12)
    for first_seq in (1, 2, 3, 4, 20, 35, 36):
        assert batches_in(journal, first_seq) == [b for b in appended if b.last_seq >= first_seq]
    assert batches_in(journal, 37) == []


@pytest.mark.slow
def test_every_position_can_be_read_from(place: Place) -> None:
    journal = place.open()
    appended = fill(journal, 10)
    records = list(journal.read(1))
    assert records[-1].position() == journal.last()
    for at, record in enumerate(records):
        start = record.position()
        behind = [each.batch for each in journal.read(start.seq + 1, start)]
        assert behind == appended[at + 1 :]
        assert [
            each.batch for each in place.tail(journal, start.seq + 1, start).records()
        ] == behind


def test_a_position_of_another_journal_is_refused(place: Place) -> None:
    journal = place.open()
    fill(journal, 5)
    position = list(journal.read(1))[1].position()
    strange = replace(position, record_hash=b"x" * 32)
    with pytest.raises(JournalCorrupt, match="another record"):
        list(journal.read(7, strange))
    with pytest.raises(JournalCorrupt, match="another record"):
        place.tail(journal, 7, strange).take()


def test_an_unexpected_seq_or_an_old_epoch_is_fenced(place: Place) -> None:
    journal = place.open()
    fill(journal, 2, count=1)
    assert journal.append(1, journal.epoch, batch_of(2)) is Appended.FENCED
    assert journal.append(3, journal.epoch, batch_of(4)) is Appended.FENCED
    assert journal.append(2, journal.epoch - 1, batch_of(3)) is Appended.FENCED
    assert len(batches_in(journal)) == 2


def test_a_batch_that_does_not_follow_on_is_a_mistake_of_the_caller(place: Place) -> None:
    journal = place.open()
    with pytest.raises(ValueError, match="a batch of 1 from 2 at 0"):
        journal.append(0, journal.epoch, batch_of(2))


@pytest.mark.slow
def test_a_tail_follows_and_goes_on_where_it_was(place: Place) -> None:
    journal = place.open()
    tail = place.tail(journal, 1)
    assert tail.take() is None
    appended, taken = [], []
    for _ in range(6):
        appended += fill(journal, 3)
        taken += [record.batch for record in tail.records()]
        assert taken == appended
        assert tail.take() is None
    late = place.tail(journal, 20)
    assert [record.batch for record in late.records()] == [b for b in appended if b.last_seq >= 20]


def test_the_mark_says_how_far_it_is_durable(place: Place) -> None:
    journal = place.open()
    mark = DurableMark(place.folder, RealDisk())
    assert mark.load().seq == 0
    for _ in range(3):
        append(journal)
        loaded = mark.load()
        assert (loaded.seq, loaded.record_hash) == (journal.last().seq, journal.last().record_hash)
        assert loaded.epoch == journal.epoch
    mark.close()


@pytest.mark.slow
def test_outcomes_stand_in_the_record_behind(place: Place) -> None:
    journal = place.open()
    appended = fill(journal, 12)
    for batch, behind in pairwise(appended):
        assert journal.outcomes_of(batch.first_seq) == behind.outcomes
        assert journal.outcomes_of(batch.last_seq) == behind.outcomes
    newest = journal.last().seq
    assert journal.outcomes_of(newest) is None
    assert journal.outcomes_of(newest + 1) is None
    behind = append(journal)
    assert journal.outcomes_of(newest) == behind.outcomes


@pytest.mark.slow
def test_pruning_keeps_what_holds_the_seq_and_never_removes_the_end(place: Place) -> None:
    journal = place.open()
    appended = [append(journal, 40) for _ in range(60)]
    assert journal.prune(1) == 0
    assert journal.prune(1500) > 0
    first_seq = journal.first_seq()
    assert 1 < first_seq <= 1500
    kept = [batch for batch in appended if batch.first_seq >= first_seq]
    assert batches_in(journal, first_seq) == kept
    assert journal.outcomes_of(1) is None
    with pytest.raises(JournalBehindWitness, match=f"begins with seq {first_seq}"):
        list(journal.read(1))
    assert journal.prune(journal.last().seq + 100) > 0
    assert journal.last().seq == 2400
    assert journal.first_seq() <= 2400
    journal.close()
    again = place.open()
    assert again.last() == journal.last()
    assert append(again) in batches_in(again, 2401)


@pytest.mark.slow
def test_a_position_at_the_beginning_of_what_is_left_still_serves(place: Place) -> None:
    journal = place.open()
    appended = [append(journal, 40) for _ in range(60)]
    records = list(journal.read(1))
    journal.prune(1500)
    first_seq = journal.first_seq()
    before = next(record for record in records if record.batch.last_seq == first_seq - 1)
    behind = [record.batch for record in journal.read(first_seq, before.position())]
    assert behind == [batch for batch in appended if batch.first_seq >= first_seq]


@pytest.mark.slow
def test_a_journal_that_ends_before_a_witness_is_refused(place: Place) -> None:
    journal = place.open()
    fill(journal, 3)
    last = journal.last()
    journal.close()
    with pytest.raises(JournalBehindWitness, match="ends with seq 9, but a snapshot saw 10"):
        place.open(witnesses=[Witness("a snapshot", 10)])
    with pytest.raises(JournalBehindWitness, match="another record"):
        place.open(witnesses=[Witness("a snapshot", 9, b"x" * 32)])
    place.open(witnesses=[Witness("a snapshot", 9, last.record_hash), Witness("another", 4)])


@pytest.mark.parametrize("offset", [0, 4, 9, 17, 41, 65, 97, 129, 170])
def test_a_flipped_bit_is_found_and_its_seq_named(place: Place, offset: int) -> None:
    journal = place.open()
    fill(journal, 6)
    record = list(journal.read(1))[2]
    journal.close()
    place.damage(record, offset)
    with pytest.raises(JournalCorrupt) as caught:
        verify_journal(place.reader())
    assert caught.value.seq == record.batch.first_seq


@pytest.mark.slow
def test_verify_answers_0_or_1_with_the_seq(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = place.reader()
    assert run_journal(reader) == 1
    assert "there is none in" in capsys.readouterr().err
    journal = place.open()
    fill(journal, 6)
    record = list(journal.read(1))[2]
    snapshot = snapshot_at(
        record.position(),
        events_hash=bytes(32),
        state_hash="",
        dump=b"state",
        partition=place.partition,
    )
    SnapshotStore(place.folder, partition=place.partition).save(snapshot)
    assert run_journal(place.reader()) == 0
    said = capsys.readouterr().out
    assert "6 records, 18 commands" in said
    assert "seq 1 to 18" in said
    assert "snapshots: 1 whole, at seq 9" in said
    journal.close()
    place.damage(record, 129)
    assert run_journal(place.reader()) == 1
    assert "seq 7" in capsys.readouterr().err


def test_verify_refuses_a_snapshot_of_another_record(place: Place) -> None:
    journal = place.open()
    fill(journal, 6)
    strange = snapshot_at(
        list(journal.read(1))[2].position(),
        events_hash=bytes(32),
        state_hash="",
        dump=b"state",
        partition=place.partition,
    )
    SnapshotStore(place.folder, partition=place.partition).save(
        replace(strange, record_hash=b"x" * 32)
    )
    with pytest.raises(JournalCorrupt, match="taken of another record"):
        verify_journal(place.reader())
