"""What a journal is to the rest of the exchange: the words and the promises, no implementation.

A journal holds batches of commands in the order of their seq. Its first command has seq 1; an
empty journal's last seq is 0. All times are nanoseconds since the Unix epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Protocol

import msgspec

from novate.model.commands import NEWEST_RULES

RULES = NEWEST_RULES
"""Version of the rules that new batches are written under."""

COMMAND_FORMAT = 1
"""Version of the encoding of the commands that new batches are written in."""

NO_HASH = bytes(32)
"""The hash before the first record, and the events hash before the first batch."""


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Consecutive commands that share one timestamp and become durable together.

    Attributes:
        first_seq: Seq of the first command; the others follow on.
        count: Number of commands, at least 1.
        timestamp_ns: Time of all of them.
        commands: The encoded commands, one behind the other; the journal does not look inside.
        outcomes: Outcome images of the batch before, kept so that a repeated key can be answered.
        events_hash: Running hash of the events after the batch before (32 bytes).
        rules: Version of the rules the batch is to be replayed under.
        command_format: Version of the encoding of `commands`.
    """

    first_seq: int
    count: int
    timestamp_ns: int
    commands: bytes
    outcomes: bytes = b""
    events_hash: bytes = NO_HASH
    rules: int = RULES
    command_format: int = COMMAND_FORMAT

    @property
    def last_seq(self) -> int:
        """Seq of the last command of the batch."""
        return self.first_seq + self.count - 1


class Position(msgspec.Struct, frozen=True, gc=False):
    """A place in the journal: right behind the record that ends with `seq`.

    Attributes:
        seq: Last seq of that record; 0 before the first.
        timestamp_ns: Its time; 0 before the first.
        record_hash: Its hash, which the next record carries (32 bytes).
        events_hash: The events hash it carries (32 bytes): that after the batch before it.
        segment: File name of the segment it stands in.
        offset: Byte offset at which it begins; equal to `end_offset` at the head of a segment.
        end_offset: Byte offset right behind it.
        epoch: Epoch of its writer.
        rules: Version of its rules.
    """

    seq: int
    timestamp_ns: int
    record_hash: bytes
    events_hash: bytes
    segment: str
    offset: int
    end_offset: int
    epoch: int
    rules: int = RULES


class Record(msgspec.Struct, gc=False):
    """A batch as it stands in the journal.

    Attributes:
        batch: The batch.
        segment: File name of its segment.
        offset: Byte offset at which the record begins.
        end_offset: Byte offset right behind it.
        record_hash: Hash of the record, which the next one carries (32 bytes).
        epoch: Epoch of its writer.
    """

    batch: Batch
    segment: str
    offset: int
    end_offset: int
    record_hash: bytes
    epoch: int

    def position(self) -> Position:
        """The place right behind this record, where a replay can be taken up again."""
        batch = self.batch
        return Position(
            seq=batch.last_seq,
            timestamp_ns=batch.timestamp_ns,
            record_hash=self.record_hash,
            events_hash=batch.events_hash,
            segment=self.segment,
            offset=self.offset,
            end_offset=self.end_offset,
            epoch=self.epoch,
            rules=batch.rules,
        )


class Witness(msgspec.Struct, frozen=True, gc=False):
    """Someone who saw the journal reach a seq, so that it can't end before it.

    Attributes:
        name: What it is, for the message.
        seq: The seq it saw.
        record_hash: Hash of the record that ends with `seq`; empty where it isn't known.
        advice: What to do where the journal ends before it, for the message.
    """

    name: str
    seq: int
    record_hash: bytes = b""
    advice: str = ""


class Appended(Enum):
    """The answers of `append`."""

    DURABLE = "durable"
    """On disk, for good."""
    WRITTEN = "written"
    """Written and not yet synced: durable after the next `sync`. Only where asked for."""
    FENCED = "fenced"
    """Refused, nothing written: another writer is ahead or the seq isn't the expected one."""
    UNKNOWN = "unknown"
    """It may or may not be there: believe nothing, read it back from the journal."""


class Tail(Protocol):
    """A reader that follows a journal as it grows, and never passes its durable mark."""

    def take(self) -> Record | None:
        """The next durable record, or None where the reader has caught up."""

    def records(self) -> Iterator[Record]:
        """Every durable record not yet taken; ends when caught up, and can be asked again."""

    def close(self) -> None:
        """Let go of what it holds."""


class Journal(Protocol):
    """The sequenced log: what a sequencer writes and what everything else is a replay of."""

    def append(self, expected_seq: int, epoch: int, batch: Batch, *, sync: bool = True) -> Appended:
        """Write a batch behind the last one and make it durable. Blocks; one thread only.

        Args:
            expected_seq: The seq that the writer believes to be the journal's last. The batch's
                `first_seq` is the one after it.
            epoch: The writer's epoch, as the journal gave it when it was opened.
            batch: The batch.
            sync: False leaves the batch unsynced (relaxed durability) until `sync`.

        Raises:
            JournalFull: Nothing was written; the same append may be tried again later.
            JournalAway: It can't be reached now; the same append is to be tried again later, and
                begins by finding out what became of this one.
            JournalBehindWitness: It came back without something that it had called durable.
            JournalFailed: A sync failed: the process must restart from what is on disk.
        """

    def sync(self) -> None:
        """Make durable what was appended with `sync=False`."""

    def last(self) -> Position:
        """The end of what was appended."""

    def read(self, first_seq: int, start: Position | None = None) -> Iterator[Record]:
        """Records from the one that holds `first_seq` on, checked one by one, to the end.

        Args:
            first_seq: A seq of the first record wanted.
            start: A known position at or before it, so that nothing before is read.

        Raises:
            JournalCorrupt: A record is damaged, or one is missing.
        """

    def tail(self, first_seq: int, start: Position | None = None) -> Tail:
        """A reader from the record that holds `first_seq` on, which follows the journal."""

    def outcomes_of(self, seq: int) -> bytes | None:
        """The outcomes blob that holds the outcome of `seq`, which stands in the next record.

        Any thread may ask. None where `seq` is pruned, or is in no record or in the newest one.
        """

    def prune(self, before_seq: int) -> int:
        """Give up whole segments that hold nothing from `before_seq` on; how many it were."""

    def close(self) -> None:
        """Let go of what it holds."""


class OpenJournal(Journal, Protocol):
    """A journal as the process that writes it has it."""

    @property
    def epoch(self) -> int:
        """Epoch of this writer, to be given with every append."""

    @property
    def warnings(self) -> list[str]:
        """What was found and put right at opening, in words."""

    @property
    def place(self) -> str:
        """Where it is, for people."""

    def prepare(self) -> bool:
        """Do a small piece of work ahead, on the writer's thread; whether there is more to do.

        Raises:
            JournalAway: It can't be reached; nothing is being appended.
            JournalFenced: Another writer has taken over.
        """

    def durable(self) -> Position:
        """The end of what is durable; before `last` only where appends were left unsynced."""

    def first_seq(self) -> int:
        """The first seq that is not pruned."""
