"""Reading a journal that stands in PostgreSQL: rows in order, checked like the records of a file.

A row is one record, byte for byte as in a segment, and is named by its first seq. Whatever can be
read is committed, and what is committed is durable; so the end of the table is the durable mark.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from novate import logs
from novate.journal.codec import scan
from novate.journal.disk import Disk, RealDisk
from novate.journal.interface import NO_HASH, Position, Record
from novate.journal.layout import RECORD_HEADER, RECORD_HEADER_BYTES, Fields, why_bad
from novate.journal.mark import MarkReader
from novate.journal.postgres_link import (
    PostgresLink,
    Row,
    StatementFailed,
    place_of,
    retryable,
    to_int,
)
from novate.journal.reading import Bound, End
from novate.journal.skips import skipping
from novate.model.errors import (
    JournalAway,
    JournalBehindWitness,
    JournalCorrupt,
    JournalError,
    JournalFailed,
)

SCHEMA: Final = "novate_journal"
FORMAT: Final = 1

RANGE_SEQS: Final = 20_000
"""Seqs asked for at once: some MB of records, whatever their number."""

REOPEN_SECONDS: Final = 0.5
"""Pause between two tries of a follower to reach a server that is away."""

WRITER: Final = """
    SELECT format, epoch, mark, pruned_seq, pruned_hash FROM novate_journal.writer
    WHERE partition = $1
"""
EXISTS: Final = "SELECT to_regclass('novate_journal.writer') IS NOT NULL"
RANGE: Final = """
    SELECT first_seq, image FROM novate_journal.record
    WHERE partition = $1 AND first_seq >= $2 AND first_seq < $3 ORDER BY first_seq
"""
HOLDER: Final = """
    SELECT first_seq, image FROM novate_journal.record
    WHERE partition = $1 AND first_seq <= $2 ORDER BY first_seq DESC LIMIT 1
"""
FIRST: Final = """
    SELECT first_seq FROM novate_journal.record WHERE partition = $1 ORDER BY first_seq LIMIT 1
"""
LAST: Final = """
    SELECT first_seq, image FROM novate_journal.record
    WHERE partition = $1 ORDER BY first_seq DESC LIMIT 1
"""
BEHIND: Final = """
    SELECT first_seq, image FROM novate_journal.record
    WHERE partition = $1 AND first_seq > $2
      AND EXISTS (SELECT FROM novate_journal.record WHERE partition = $1 AND first_seq <= $2)
    ORDER BY first_seq LIMIT 1
"""


class WriterRow(msgspec.Struct, frozen=True, gc=False):
    """What the journal says of itself.

    Attributes:
        epoch: Epoch of the newest writer.
        mark: Eight bytes that all its records carry.
        pruned_seq: Last seq that was pruned, 0 = none.
        pruned_hash: Hash of the record that ended with it (32 bytes).
    """

    epoch: int
    mark: bytes
    pruned_seq: int = 0
    pruned_hash: bytes = NO_HASH


def row_name(first_seq: int) -> str:
    """What a row is called in messages and positions, as a segment by its file name."""
    return f"{first_seq:020d}.row"


def corrupt(why: str, first_seq: int, seq: int) -> JournalCorrupt:
    """The fault that names a row."""
    return JournalCorrupt(why, row_name(first_seq), 0, seq)


def parse_row(row: Row, mark: bytes, seq: int, chain: bytes | None) -> Record:
    """The record of a row.

    Args:
        row: Its first seq and its image.
        mark: The journal's mark.
        seq: The first seq expected.
        chain: Hash of the record before; None where that is not looked at.

    Raises:
        JournalCorrupt: It isn't that record, whole.
    """
    first_seq, image = to_int(row[0]), row[1] or b""
    if first_seq != seq:
        raise corrupt(f"a record is missing: the next row begins with seq {first_seq}", seq, seq)
    if len(image) < RECORD_HEADER_BYTES:
        raise corrupt(f"a row of {len(image)} bytes holds no record", seq, seq)
    before = image[64:96] if chain is None else chain
    found = scan(image, 0, mark, seq, before, row_name(seq), True)
    if len(found) == 1 and found[0].end_offset == len(image):
        record: Record = found[0]
        return record
    fields: Fields = RECORD_HEADER.unpack_from(image)
    why = why_bad(fields, len(image), mark, seq)
    if not why and fields[1] != len(image):
        why = f"expected a record of {len(image)} bytes, found one of {fields[1]}"
    if not why and fields[12] != before:
        why = "a record doesn't carry the hash of the one before"
    raise corrupt(why or "a record fails its checksum", seq, seq)


class PostgresReader:
    """A journal in PostgreSQL, read by any thread; the counterpart of `JournalReader`.

    The connection is made when first needed and made anew when it was lost.

    Args:
        url: Of the database.
        folder: The data folder, for its witnesses; it may be empty or missing.
        disk: Where that is.
        partition: Number of the partition.
        seconds: Longest wait for an answer.
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        disk: Disk | None = None,
        partition: int = 0,
        seconds: float = 5.0,
    ) -> None:
        self.place = place_of(url)
        self.folder = folder
        self.disk: Disk = disk or RealDisk()
        self.partition = partition
        self._url = url
        self._seconds = seconds
        self._link: PostgresLink | None = None
        self._lock = threading.Lock()
        self._mark = b""

    def query(self, statement: str, *values: int, seconds: float | None = None) -> list[Row]:
        """Rows of a statement about this partition, which is its first parameter.

        Raises:
            JournalAway: The server can't be reached, or does not answer in time.
            JournalFailed: It refuses the statement.
        """
        with self._lock:
            link = self._connected()
            try:
                return link.query(statement, self.partition, *values, seconds=seconds)
            except StatementFailed as fault:
                raise fault_of(self.place, fault) from fault

    def _connected(self) -> PostgresLink:
        if self._link is None or self._link.closed:
            name = f"novate reader, partition {self.partition}"
            self._link = PostgresLink(self._url, self._seconds, name)
        return self._link

    @property
    def connected(self) -> bool:
        """Whether a query would find an open connection."""
        link = self._link
        return link is not None and not link.closed

    def connect(self) -> None:
        """Make the connection now, if there is none."""
        with self._lock:
            self._connected()

    # --- where it begins and ends -------------------------------------------------------------

    def writer(self) -> WriterRow | None:
        """What the journal says of itself; None where there is no journal.

        Raises:
            JournalCorrupt: It is of a format that this version doesn't know.
        """
        with self._lock:
            (exists,) = self._connected().query(EXISTS)
        rows = self.query(WRITER) if exists[0] == b"\1" else []
        if not rows:
            return None
        version, epoch, mark, pruned_seq, pruned_hash = rows[0]
        if to_int(version) != FORMAT:
            found = f"expected format {FORMAT}, found {to_int(version)}: a newer Novate wrote it"
            raise JournalCorrupt(f"{self.place}: {found}")
        self._mark = mark or b""
        return WriterRow(to_int(epoch), self._mark, to_int(pruned_seq), pruned_hash or NO_HASH)

    def mark(self) -> bytes:
        """The bytes that all records carry; none where there is no journal."""
        if not self._mark:
            self.writer()
        return self._mark

    def stored(self) -> str:
        """How it is kept, for people."""
        return self.place

    def name_of(self, first_seq: int) -> str:
        """What messages call the place of the record that begins with `first_seq`."""
        return row_name(first_seq)

    def first_seq(self) -> int:
        """The first seq that is not pruned; 1 where there is no record yet."""
        rows = self.query(FIRST) if self.writer() else []
        return to_int(rows[0][0]) if rows else 1

    def kept_seq(self) -> int:
        """As `first_seq`: rows are not archived."""
        return self.first_seq()

    def end(self, start: Position | None = None) -> End | None:
        """The end of the journal now; None where there is no journal."""
        writer = self.writer()
        if writer is None:
            return None
        record = self.last_record()
        if record is None:
            return End(nowhere(), 1)
        return End(record.position(), record.batch.first_seq)

    def last_record(self) -> Record | None:
        """The newest record, itself checked; None where there is none."""
        rows = self.query(LAST)
        return parse_row(rows[0], self.mark(), to_int(rows[0][0]), None) if rows else None

    # --- records ------------------------------------------------------------------------------

    def read(
        self, first_seq: int, start: Position | None = None, bound: Bound | None = None
    ) -> Iterator[Record]:
        """Records from the one that holds `first_seq` on, to the bound or the journal's end.

        They are as they are to be applied: see `novate.journal.skips`.
        """
        return skipping(self._read(first_seq, start, bound))

    def _read(
        self, first_seq: int, start: Position | None, bound: Bound | None
    ) -> Iterator[Record]:
        if bound is None:
            end = self.end()
            if end is None:
                return
            bound = end.bound()
        if bound.seq < first_seq:
            return
        for record in PostgresCursor(self, first_seq, start).records(bound.seq):
            if record.batch.last_seq >= first_seq:
                yield record

    def before(self, first_seq: int) -> Position:
        """The place before the record that holds `first_seq`.

        Raises:
            JournalBehindWitness: It is pruned.
        """
        writer = self.writer()
        pruned = writer.pruned_seq if writer else 0
        if first_seq <= pruned:
            raise JournalBehindWitness(
                f"the journal begins with seq {pruned + 1}: what is before is pruned", seq=first_seq
            )
        rows = self.query(HOLDER, first_seq)
        return self.place_at(to_int(rows[0][0]) - 1) if rows else self.place_at(pruned)

    def place_at(self, seq: int) -> Position:
        """The place behind the record that ends with `seq`.

        Raises:
            JournalCorrupt: No record ends there.
        """
        writer = self.writer()
        if writer is None or seq == 0:
            return nowhere()
        if seq == writer.pruned_seq:
            return msgspec.structs.replace(nowhere(), seq=seq, record_hash=writer.pruned_hash)
        rows = self.query(HOLDER, seq)
        if not rows:
            raise corrupt("a record is missing", seq, seq)
        record = parse_row(rows[0], writer.mark, to_int(rows[0][0]), None)
        if record.batch.last_seq != seq:
            last = record.batch.last_seq
            raise corrupt(f"a record is missing: the one before ends with seq {last}", seq, seq)
        return record.position()

    def outcomes_behind(self, seq: int, seconds: float) -> bytes | None:
        """The outcomes blob in the record behind the one that holds `seq`; None without one."""
        rows = self.query(BEHIND, seq, seconds=seconds)
        if not rows:
            return None
        return parse_row(rows[0], self._mark, to_int(rows[0][0]), None).batch.outcomes

    def close(self) -> None:
        """Let go of the connection; the next question makes another."""
        with self._lock:
            if self._link is not None:
                self._link.close()


class PostgresCursor:
    """A way through the rows from a place on, which goes on where it was when it is asked again.

    Args:
        reader: The journal.
        first_seq: A seq of the first record wanted.
        start: A known position at or before it.

    Raises:
        JournalCorrupt: The start isn't in this journal.
    """

    def __init__(self, reader: PostgresReader, first_seq: int, start: Position | None) -> None:
        self._reader = reader
        if start is None:
            start = reader.before(first_seq)
        elif reader.place_at(start.seq).record_hash != start.record_hash:
            raise JournalCorrupt(
                "the journal has another record here than the one it is to be read from",
                row_name(start.seq),
                0,
                start.seq,
            )
        self.next_seq = start.seq + 1
        self._chain = start.record_hash

    def records(self, last_seq: int) -> Iterator[Record]:
        """Every record up to the one that ends with `last_seq`."""
        mark = self._reader.mark()
        while self.next_seq <= last_seq:
            behind = min(self.next_seq + RANGE_SEQS, last_seq + 1)
            rows = self._reader.query(RANGE, self.next_seq, behind)
            if not rows:
                raise corrupt(
                    f"a record is missing: the records end before seq {last_seq}",
                    self.next_seq,
                    self.next_seq,
                )
            for row in rows:
                record = parse_row(row, mark, self.next_seq, self._chain)
                self.next_seq, self._chain = record.batch.last_seq + 1, record.record_hash
                yield record


class PostgresTail:
    """Follows a journal in PostgreSQL; while the server is away it has nothing new. See `Tail`.

    Args:
        reader: The journal; its own from here on.
        mark: The durable mark of the writer's data folder, which spares the server the question
            whether there is more. None where the folder is another machine's.
        first_seq: A seq of the first record wanted.
        start: A known position at or before it.
    """

    def __init__(
        self,
        reader: PostgresReader,
        mark: MarkReader | None,
        first_seq: int,
        start: Position | None = None,
    ) -> None:
        self._reader = reader
        self._durable = mark
        self._first_seq = first_seq
        self._start = start
        self._cursor: PostgresCursor | None = None
        self._walk: Iterator[Record] = iter(())
        self._next_try = 0.0
        self._log = logs.get("tail")

    def take(self) -> Record | None:
        """See `Tail`."""
        if self._next_try and time.monotonic() < self._next_try:
            return None
        try:
            record = self._take()
        except JournalAway as fault:
            self._walk = iter(())
            tried, self._next_try = self._next_try, time.monotonic() + REOPEN_SECONDS
            if not tried:
                self._log.warning("journal_away", why=str(fault))
            return None
        if self._next_try:
            self._log.info("journal_back", seq=self._first_seq - 1)
            self._next_try = 0.0
        return record

    def _take(self) -> Record | None:
        while True:
            for record in self._walk:
                if record.batch.last_seq >= self._first_seq:
                    self._first_seq = record.batch.last_seq + 1
                    return record
            last_seq = self.durable_seq()
            if last_seq < self._first_seq:
                return None
            if self._cursor is None:
                self._cursor = PostgresCursor(self._reader, self._first_seq, self._start)
            self._walk = self._cursor.records(last_seq)

    def records(self) -> Iterator[Record]:
        """See `Tail`."""
        while (record := self.take()) is not None:
            yield record

    def durable_seq(self) -> int:
        """The last durable seq."""
        if self._durable is not None:
            return self._durable.load().seq
        end = self._reader.end()
        return end.position.seq if end else 0

    def close(self) -> None:
        """See `Tail`."""
        self._walk = iter(())
        self._reader.close()


def nowhere() -> Position:
    """The place before the first record."""
    return Position(0, 0, NO_HASH, NO_HASH, row_name(1), 0, 0, 0)


def fault_of(place: str, fault: StatementFailed) -> JournalError:
    """What a refused statement means for the journal."""
    if retryable(fault):
        return JournalAway(f"{place}: {fault}")
    return JournalFailed(f"{place}: {fault}")
