"""Which journal an exchange has, by its settings: segment files, or rows in PostgreSQL.

What drives PostgreSQL is imported only where it is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from novate.config import Settings
from novate.journal.disk import Disk, RealDisk
from novate.journal.interface import OpenJournal, Position, Record, Tail, Witness
from novate.journal.mark import MarkReader
from novate.journal.reading import Bound, End, JournalReader
from novate.journal.segments import SegmentJournal
from novate.journal.skips import SkippingTail
from novate.journal.tail import MarkTail


class Reader(Protocol):
    """Reads a journal that someone else writes, or no one, and changes nothing."""

    @property
    def folder(self) -> Path:
        """The data folder, whose durable mark and snapshots saw how far the journal got."""

    @property
    def disk(self) -> Disk:
        """Where that is."""

    @property
    def partition(self) -> int:
        """Number of the partition."""

    @property
    def place(self) -> str:
        """Where the journal is, for people."""

    def stored(self) -> str:
        """How it is kept, for people."""

    def name_of(self, first_seq: int) -> str:
        """What messages call the place of the record that begins with `first_seq`."""

    def first_seq(self) -> int:
        """The first seq that is not pruned; 1 where there is no journal yet."""

    def kept_seq(self) -> int:
        """The first seq that is not in the archive either; 1 where there is no journal yet."""

    def end(self, start: Position | None = None) -> End | None:
        """The end of the journal as it stands now; None where there is no journal."""

    def read(
        self, first_seq: int, start: Position | None = None, bound: Bound | None = None
    ) -> Iterator[Record]:
        """Records from the one that holds `first_seq` on, to the bound or the journal's end."""

    def close(self) -> None:
        """Let go of what it holds."""


def open_journal(
    settings: Settings, disk: Disk, start: Position | None, witnesses: Sequence[Witness]
) -> OpenJournal:
    """The journal for writing; the data folder must be locked. Raises as its class says."""
    if not settings.journal_url:
        return SegmentJournal(
            settings.data_dir,
            disk=disk,
            partition=settings.partition,
            segment_bytes=settings.journal_segment_bytes,
            start=start,
            witnesses=witnesses,
            archive=settings.archive_dir,
        )
    from novate.journal.postgres import PostgresJournal

    return PostgresJournal(
        settings.journal_url,
        settings.data_dir,
        disk=disk,
        partition=settings.partition,
        seconds=settings.journal_answer_seconds,
        witnesses=witnesses,
    )


def open_reader(settings: Settings, disk: Disk | None = None) -> Reader:
    """The journal for reading it once."""
    if not settings.journal_url:
        return JournalReader(
            settings.data_dir, disk or RealDisk(), settings.partition, settings.archive_dir
        )
    from novate.journal.postgres_reading import PostgresReader

    return PostgresReader(
        settings.journal_url,
        settings.data_dir,
        disk=disk,
        partition=settings.partition,
        seconds=settings.journal_answer_seconds,
    )


def open_tail(
    settings: Settings, disk: Disk, mark: MarkReader | None, first_seq: int, start: Position | None
) -> Tail:
    """The journal for following it; its records are as they are to be applied.

    Args:
        settings: Name it.
        disk: Where the data folder is.
        mark: The data folder's durable mark, which the tail doesn't close; None, for a journal in
            PostgreSQL alone, where the folder is another machine's.
        first_seq: A seq of the first record wanted.
        start: A known position at or before it.
    """
    reader = open_reader(settings, disk)
    if isinstance(reader, JournalReader):
        assert mark is not None
        return SkippingTail(MarkTail(reader, mark, first_seq, start))
    from novate.journal.postgres_reading import PostgresReader, PostgresTail

    assert isinstance(reader, PostgresReader)
    return SkippingTail(PostgresTail(reader, mark, first_seq, start))
