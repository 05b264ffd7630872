"""Records as they are to be applied: what the record behind has skipped is left out."""

from collections.abc import Iterator
from itertools import islice

from novate.journal.interface import Batch, Record
from novate.journal.skips import SkippingTail, skipping
from novate.model.packing import pack_advance_time, pack_skip_command

PLAIN = pack_advance_time()


def record(first_seq: int, *commands: bytes) -> Record:
    batch = Batch(first_seq, len(commands), 0, b"".join(commands))
    return Record(batch, "", 0, 0, b"", 0)


class Given:
    """A tail that has what was put in."""

    def __init__(self, *records: Record) -> None:
        self.there = list(records)
        self.closed = False

    def take(self) -> Record | None:
        return self.there.pop(0) if self.there else None

    def records(self) -> Iterator[Record]:
        while (found := self.take()) is not None:
            yield found

    def close(self) -> None:
        self.closed = True


BEFORE = record(1, PLAIN)
BATCH = record(2, PLAIN, PLAIN, PLAIN)
SKIP = record(5, pack_skip_command(3), pack_skip_command(4))
BEHIND = record(7, PLAIN)
APPLIED = [PLAIN, PLAIN + pack_skip_command(3) + pack_skip_command(4), SKIP.batch.commands, PLAIN]


def test_what_is_skipped_is_replaced_and_all_else_is_as_it_was() -> None:
    records = list(skipping(iter([BEFORE, BATCH, SKIP, BEHIND])))
    assert [each.batch.commands for each in records] == APPLIED
    assert records[0] is BEFORE
    assert records[2] is SKIP
    assert records[1].batch.count == 3
    assert BATCH.batch.commands == PLAIN * 3
    assert list(skipping(iter([]))) == []


def test_only_the_batch_right_before_is_meant() -> None:
    stray = record(8, pack_skip_command(3), pack_skip_command(99))
    assert [each.batch.commands for each in skipping(iter([BATCH, SKIP, BEHIND, stray]))][
        2
    ] == PLAIN


def test_a_batch_that_is_not_meant_is_not_even_read() -> None:
    opaque = record(1, b"not a command at all")
    assert next(skipping(iter([opaque, SKIP]))) is opaque


def test_a_tail_taken_in_steps_of_any_length_comes_to_the_same() -> None:
    for step in range(1, 6):
        tail = SkippingTail(Given(BEFORE, BATCH, SKIP, BEHIND))
        found: list[bytes] = []
        while part := [each.batch.commands for each in islice(tail.records(), step)]:
            found += part
        assert found == APPLIED


def test_the_newest_record_does_not_wait_for_the_next() -> None:
    given = Given(BATCH)
    tail = SkippingTail(given)
    assert tail.take() is BATCH
    assert tail.take() is None
    given.there.append(BEHIND)
    assert tail.take() is BEHIND
    tail.close()
    assert given.closed
