"""Commands that the operator had skipped: the record behind theirs says which.

A command that can't be applied stops the exchange with its batch the last of the journal: nothing
is applied behind it, so nothing was appended. `novate skip` appends one record of SKIP_COMMANDs,
and from then on whoever reads the journal to replay it finds, in the place of each command that
they name, a SKIP_COMMAND of its own seq. The bytes on disk stay as they were.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from novate.journal.interface import Record, Tail
from novate.model.packing import pack_skip_command, skips_of, split


def skipping(records: Iterator[Record]) -> Iterator[Record]:
    """Each record as it is to be applied."""
    held: Record | None = None
    for record in records:
        if held is not None:
            yield without_skipped(held, record)
        held = record
    if held is not None:
        yield held


def without_skipped(record: Record, behind: Record) -> Record:
    """A record without the commands that the one behind it has skipped."""
    seqs = skips_of(behind.batch.commands)
    return without(record, seqs) if seqs else record


def without(record: Record, seqs: list[int]) -> Record:
    """A record with a SKIP_COMMAND in the place of each of its commands with these seqs."""
    batch = record.batch
    within = [seq for seq in seqs if batch.first_seq <= seq <= batch.last_seq]
    if not within:
        return record
    commands = split(batch.commands)
    for seq in within:
        commands[seq - batch.first_seq] = pack_skip_command(seq)
    changed = msgspec.structs.replace(batch, commands=b"".join(commands))
    return msgspec.structs.replace(record, batch=changed)


class SkippingTail:
    """A tail whose records are as they are to be applied.

    The newest record is given at once: what is skipped in a batch is journaled before anybody
    could go on behind it.
    """

    def __init__(self, tail: Tail) -> None:
        self._tail = tail
        self._held: Record | None = None

    def take(self) -> Record | None:
        """See `Tail`."""
        record = self._held or self._tail.take()
        if record is None:
            return None
        self._held = self._tail.take()
        return record if self._held is None else without_skipped(record, self._held)

    def records(self) -> Iterator[Record]:
        """See `Tail`."""
        while (record := self.take()) is not None:
            yield record

    def close(self) -> None:
        """See `Tail`."""
        self._held = None
        self._tail.close()
