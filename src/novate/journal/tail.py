"""Following a journal that grows, in its writer's process or another, up to the durable mark."""

from __future__ import annotations

from collections.abc import Iterator

from novate.journal.interface import Position, Record
from novate.journal.mark import MarkReader
from novate.journal.reading import Bound, Cursor, JournalReader


class MarkTail:
    """A reader that never passes the durable mark. See `Tail`.

    Args:
        reader: The journal.
        mark: Its durable mark, or its end where nobody writes it.
        first_seq: A seq of the first record wanted.
        start: A known position at or before it, so that nothing before is read.
    """

    def __init__(
        self,
        reader: JournalReader,
        mark: MarkReader,
        first_seq: int,
        start: Position | None = None,
    ) -> None:
        self._reader = reader
        self._mark = mark
        self._first_seq = first_seq
        self._start = start
        self._cursor: Cursor | None = None
        self._walk: Iterator[Record] = iter(())

    def take(self) -> Record | None:
        """See `Tail`."""
        while True:
            for record in self._walk:
                if record.batch.last_seq >= self._first_seq:
                    self._first_seq = record.batch.last_seq + 1
                    return record
            mark = self._mark.load()
            if mark.seq < self._first_seq:
                return None
            if self._cursor is None:
                self._cursor = self._reader.cursor(self._first_seq, self._start)
            self._walk = self._cursor.records(Bound(mark.seq, mark.segment_seq, mark.end_offset))

    def records(self) -> Iterator[Record]:
        """See `Tail`."""
        while (record := self.take()) is not None:
            yield record

    def durable_seq(self) -> int:
        """The last durable seq, as the mark says now."""
        return self._mark.load().seq

    def close(self) -> None:
        """See `Tail`."""
        self._walk = iter(())
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None
