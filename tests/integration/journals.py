"""The two journals behind one way to open, read and damage them, for tests of both."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from novate.journal.choosing import Reader
from novate.journal.disk import RealDisk
from novate.journal.interface import Appended, Batch, OpenJournal, Position, Record, Tail
from novate.journal.postgres import PostgresJournal
from novate.journal.postgres_reading import PostgresReader
from novate.journal.reading import JournalReader
from novate.journal.segments import SegmentJournal
from tests.conftest import PATIENCE_SECONDS


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


def append(journal: OpenJournal, count: int = 1) -> Batch:
    """Append the next batch and see that it is durable."""
    seq = journal.last().seq
    batch = batch_of(seq + 1, count)
    assert journal.append(seq, journal.epoch, batch) is Appended.DURABLE
    return batch


def fill(journal: OpenJournal, batches: int, count: int = 3) -> list[Batch]:
    """Append many."""
    return [append(journal, count) for _ in range(batches)]


def batches_in(journal: OpenJournal, first_seq: int = 1) -> list[Batch]:
    """What it holds."""
    return [record.batch for record in journal.read(first_seq)]


@dataclass
class Place:
    """Where a journal of one kind is."""

    folder: Path
    url: str = ""
    partition: int = field(default_factory=itertools.count(1).__next__)
    opened: list[Any] = field(default_factory=list)

    def open(self, **more: Any) -> OpenJournal:
        """Open it for writing."""
        if self.url:
            options = {"partition": self.partition, "seconds": PATIENCE_SECONDS} | more
            journal: Any = PostgresJournal(self.url, self.folder, **options)
        else:
            journal = SegmentJournal(
                self.folder, partition=self.partition, segment_bytes=16 << 10, **more
            )
        self.opened.append(journal)
        return journal

    def reader(self) -> Reader:
        """Open it for reading."""
        reader: Any
        if self.url:
            reader = PostgresReader(
                self.url, self.folder, partition=self.partition, seconds=PATIENCE_SECONDS
            )
        else:
            reader = JournalReader(self.folder, RealDisk(), self.partition)
        self.opened.append(reader)
        return reader

    def tail(self, journal: OpenJournal, first_seq: int, start: Position | None = None) -> Tail:
        """Follow it."""
        tail = journal.tail(first_seq, start)
        self.opened.append(tail)
        return tail

    def damage(self, record: Record, offset: int) -> None:
        """Flip a bit of a record that is stored, `offset` bytes behind its beginning."""
        if self.url:
            first_seq = record.batch.first_seq
            self.execute(
                "UPDATE novate_journal.record SET image = "
                f"set_byte(image, {offset}, get_byte(image, {offset}) # 1) "
                f"WHERE partition = {self.partition} AND first_seq = {first_seq}"
            )
            return
        path = self.folder / "journal" / record.segment
        image = bytearray(path.read_bytes())
        image[record.offset + offset] ^= 1
        path.write_bytes(image)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement in the database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        """Let go of everything that was opened; it can be opened again."""
        for each in self.opened:
            each.close()
