"""Reading records: one segment from a place on, the whole journal, and what a bad end means.

Every record is checked on the way: its checksum, its seq and the hash of the record before. A
segment that is not in the data folder any more is read from the archive, where there is one
(`novate.journal.archive`). This module only reads; it never changes a byte.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from novate.journal.codec import scan
from novate.journal.disk import Disk, DiskFile
from novate.journal.interface import Position, Record
from novate.journal.layout import (
    CRC,
    NO_RECORD,
    RECORD_HEADER,
    RECORD_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    Fields,
    SegmentHeader,
    parse_segment_header,
    record_hash,
    segment_name,
    segment_seq,
    why_bad,
)
from novate.journal.skips import skipping
from novate.model.errors import JournalBehindWitness, JournalCorrupt

JOURNAL_FOLDER = "journal"
CHUNK_BYTES = 1 << 20
ZEROS = bytes(CHUNK_BYTES)


class Place:
    """Where a walk through the records is, moved on as it goes.

    Attributes:
        last: The record before; None at the place where the walk began.
    """

    __slots__ = ("_before", "last")

    def __init__(self, before: Position) -> None:
        self._before = before
        self.last: Record | None = None

    @property
    def seq(self) -> int:
        """The next seq."""
        return (self.last.batch.last_seq if self.last else self._before.seq) + 1

    @property
    def record_hash(self) -> bytes:
        """Hash of the record before (32 bytes)."""
        return self.last.record_hash if self.last else self._before.record_hash

    @property
    def end_offset(self) -> int:
        """Byte offset right behind the record before."""
        return self.last.end_offset if self.last else self._before.end_offset

    def position(self) -> Position:
        """The place as a position."""
        return self.last.position() if self.last else self._before


class Segment:
    """An open segment file with its header, for reading.

    Args:
        file: The file; closed with it.
        first_seq: First seq of the segment, as in its name.
        partition: Number of the partition.

    Raises:
        JournalCorrupt: Its header is damaged or not that of the segment.
    """

    def __init__(self, file: DiskFile, first_seq: int, partition: int) -> None:
        self.name = segment_name(first_seq)
        self.file = file
        try:
            image = self.file.pread(SEGMENT_HEADER_BYTES, 0)
            self.header: SegmentHeader = parse_segment_header(image, self.name, partition)
        except BaseException:
            self.file.close()
            raise

    def corrupt(self, why: str, offset: int, seq: int) -> JournalCorrupt:
        """The fault that names this segment and a place in it."""
        return JournalCorrupt(why, segment=self.name, offset=offset, seq=seq)

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()

    def walk(self, place: Place, limit: int, *, every: bool = True) -> Iterator[Record]:
        """Each record from `place` on; `place` is moved behind it first.

        Ends where no record begins (zeros) or before `limit`, the byte offset of the end.

        Args:
            place: Where to begin.
            limit: Byte offset at which to end.
            every: Every record; otherwise only some of them and the last, all being checked.

        Raises:
            JournalCorrupt: Something stands there that isn't the next record.
        """
        mark, name = self.header.mark, self.name
        while need := self._need(place.end_offset, limit, place.seq, place.record_hash):
            offset = place.end_offset
            chunk = self.file.pread(need, offset)
            for record in scan(chunk, offset, mark, place.seq, place.record_hash, name, every):
                place.last = record
                yield record

    def _need(self, offset: int, limit: int, seq: int, chain: bytes) -> int:
        """Bytes to read at `offset` to have the whole record there; 0 where the records end."""
        room = limit - offset
        if room < RECORD_HEADER_BYTES:
            return 0
        header = self.file.pread(RECORD_HEADER_BYTES, offset)
        if header == NO_RECORD[: len(header)]:
            return 0
        if len(header) < RECORD_HEADER_BYTES:
            raise self.corrupt("the file ends inside a record", offset, seq)
        fields: Fields = RECORD_HEADER.unpack(header)
        if why := why_bad(fields, room, self.header.mark, seq):
            raise self.corrupt(why, offset, seq)
        self._check_record(fields, offset, seq, chain)
        return max(fields[1], min(CHUNK_BYTES, room))

    def _check_record(self, fields: Fields, offset: int, seq: int, chain: bytes) -> None:
        image = self.file.pread(fields[1], offset)
        if len(image) < fields[1]:
            raise self.corrupt("the file ends inside a record", offset, seq)
        if zlib.crc32(memoryview(image)[4:]) != fields[0]:
            raise self.corrupt("a record fails its checksum", offset, seq)
        if fields[12] != chain:
            raise self.corrupt("a record doesn't carry the hash of the one before", offset, seq)

    def vouches_for(self, position: Position) -> bool:
        """Whether this segment has that record at that place."""
        if position.offset == position.end_offset:
            head = self.header.position()
            return (head.seq, head.record_hash) == (position.seq, position.record_hash)
        length = position.end_offset - position.offset
        if length < RECORD_HEADER_BYTES:
            return False
        image = memoryview(self.file.pread(length, position.offset))
        return (
            len(image) == length
            and zlib.crc32(image[4:]) == CRC.unpack_from(image)[0]
            and record_hash(image[16:]) == position.record_hash
        )

    def first_not_zero(self, offset: int) -> int:
        """Byte offset of the chunk from `offset` on that has something in it; -1 = only zeros."""
        while chunk := self.file.pread(CHUNK_BYTES, offset):
            if chunk != ZEROS[: len(chunk)]:
                return offset + len(chunk) - len(chunk.lstrip(b"\0"))
            offset += len(chunk)
        return -1

    def good_record_behind(self, offset: int, seq: int) -> int:
        """Byte offset of a good record behind a bad one, written when `seq` was on disk; or -1.

        Bytes inside a command can't pass for a record: they would need the segment's mark.
        """
        size = self.file.size()
        base = offset
        while chunk := self.file.pread(CHUNK_BYTES, base):
            found = chunk.find(self.header.mark)
            while found >= 0:
                at = base + found - 8
                if at > offset and at % 8 == 0 and self._is_good(at, size, seq):
                    return at
                found = chunk.find(self.header.mark, found + 1)
            if len(chunk) < CHUNK_BYTES:
                break
            base += len(chunk) - len(self.header.mark) + 1
        return -1

    def _is_good(self, offset: int, size: int, seq: int) -> bool:
        header = self.file.pread(RECORD_HEADER_BYTES, offset)
        if len(header) < RECORD_HEADER_BYTES:
            return False
        fields: Fields = RECORD_HEADER.unpack(header)
        if why_bad(fields, size - offset, self.header.mark, fields[3]):
            return False
        image = memoryview(self.file.pread(fields[1], offset))
        return zlib.crc32(image[4:]) == fields[0] and fields[3] > seq and fields[9] >= seq


class Bound(msgspec.Struct, frozen=True, gc=False):
    """How far to read: to `seq`, which ends at `end_offset` of the segment from `segment_seq`."""

    seq: int
    segment_seq: int
    end_offset: int


class End(msgspec.Struct, frozen=True, gc=False):
    """The end of a journal as it was found.

    Attributes:
        position: Behind its last whole record.
        segment_seq: First seq of its last segment.
        torn: What is wrong behind it, in words; empty where there are only zeros.
    """

    position: Position
    segment_seq: int
    torn: str = ""

    def bound(self) -> Bound:
        """As a bound of reading."""
        return Bound(self.position.seq, self.segment_seq, self.position.end_offset)


def seqs_in(folder: Path, disk: Disk) -> list[int]:
    """First seqs of the segments whose files are in a folder, in order."""
    names = disk.listdir(folder)
    return sorted(seq for name in names if (seq := segment_seq(name)) is not None)


def segment_seqs(folder: Path, disk: Disk, archive: Path | None = None) -> list[int]:
    """First seqs of the segments of a data folder and its archive, in order, each once."""
    seqs = seqs_in(folder / JOURNAL_FOLDER, disk)
    # The archive afterwards: a segment that is moved meanwhile is then seen in one of them.
    return sorted({*seqs, *seqs_in(archive, disk)}) if archive is not None else seqs


def open_segment(
    folder: Path, disk: Disk, first_seq: int, partition: int, archive: Path | None = None
) -> Segment:
    """A segment of a data folder, or of its archive where the folder does not have it.

    Raises:
        JournalCorrupt: Its header is damaged or not that of the segment.
        FileNotFoundError: There is no such segment.
    """
    name = segment_name(first_seq)
    try:
        file = disk.open(folder / JOURNAL_FOLDER / name)
    except FileNotFoundError:
        if archive is None:
            raise
        # It is there before it leaves the folder, so that it is found at every moment.
        file = disk.open(archive / name)
    return Segment(file, first_seq, partition)


def find_end(segment: Segment, start: Position | None = None) -> End:
    """Where the last segment's records end, and whether what follows is a torn write.

    Args:
        segment: The last segment.
        start: A known position in it, so that nothing before is read.

    Raises:
        JournalCorrupt: A record is damaged and good ones stand behind it.
    """
    place = Place(start or segment.header.position())
    seen = -1
    while True:
        torn = ""
        try:
            for _ in segment.walk(place, segment.file.size(), every=False):
                pass
        except JournalCorrupt as fault:
            torn = str(fault)
        end = place.end_offset
        if not torn and (dirty := segment.first_not_zero(end)) >= 0:
            torn = f"bytes behind the last record (segment {segment.name}, offset {dirty})"
        good = segment.good_record_behind(end, place.seq) if torn else -1
        if good < 0:
            return End(place.position(), segment.header.first_seq, torn)
        if place.seq == seen:
            raise segment.corrupt(
                f"a record is damaged, and a good one stands behind it at offset {good}: {torn}",
                end,
                place.seq,
            )
        # A server that runs writes meanwhile: what it has written by now is whole.
        seen = place.seq


class Cursor:
    """A way through the journal from a position on, across its segments.

    Args:
        folder: The data folder.
        disk: Where it is.
        partition: Number of the partition.
        position: Where to begin: behind the record that ends with its seq.
        archive: Folder of the segments that were archived; None = there is none.
    """

    def __init__(
        self,
        folder: Path,
        disk: Disk,
        partition: int,
        position: Position,
        archive: Path | None = None,
    ) -> None:
        self._folder = folder
        self._disk = disk
        self._partition = partition
        self._archive = archive
        self._segment: Segment | None = None
        self._begin(position)

    def _begin(self, position: Position) -> None:
        seq = segment_seq(position.segment)
        self._place = Place(position)
        try:
            assert seq is not None, position.segment
            self._segment = self._open(seq)
        except FileNotFoundError:
            self._next_segment()
            return
        if not self._segment.vouches_for(position):
            self.close()
            raise JournalCorrupt(
                "the journal has another record here than the one it is to be read from",
                position.segment,
                position.offset,
                position.seq,
            )

    def _open(self, first_seq: int) -> Segment:
        return open_segment(self._folder, self._disk, first_seq, self._partition, self._archive)

    @property
    def next_seq(self) -> int:
        """First seq of the next record."""
        return self._place.seq

    def records(self, bound: Bound) -> Iterator[Record]:
        """Every record up to the bound; can be asked again with a later one."""
        while self._place.seq <= bound.seq:
            segment = self._segment
            assert segment is not None
            last = segment.header.first_seq == bound.segment_seq
            limit = bound.end_offset if last else segment.file.size()
            place = self._place
            for record in segment.walk(place, limit):
                yield record
                if record.batch.first_seq + record.batch.count > bound.seq:
                    return
            if last:
                raise segment.corrupt(
                    f"the records end before seq {bound.seq}", place.end_offset, place.seq
                )
            self._leave(segment)

    def _leave(self, segment: Segment) -> None:
        dirty = segment.first_not_zero(self._place.end_offset)
        if dirty >= 0:
            raise segment.corrupt(
                "bytes behind the last record of a closed segment", dirty, self._place.seq
            )
        self._next_segment()

    def _next_segment(self) -> None:
        """Go to the segment that begins with the next seq, if it is the right one."""
        seq, chain = self._place.seq, self._place.record_hash
        before = self._segment
        try:
            segment = self._open(seq)
        except FileNotFoundError:
            raise self._gap(before) from None
        if segment.header.record_hash != chain:
            segment.close()
            raise segment.corrupt(
                "the segment's header doesn't carry the hash of the record before", 0, seq
            )
        self.close()
        self._segment = segment
        self._place = Place(segment.header.position())

    def _gap(self, before: Segment | None) -> JournalCorrupt:
        seq = self._place.seq
        if before is None:
            return JournalCorrupt("the segment is missing", segment_name(seq), 0, seq)
        return before.corrupt(
            "a record is missing: nothing follows, and no segment begins with the next seq",
            self._place.end_offset,
            seq,
        )

    def close(self) -> None:
        """Let go of the file."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None


class JournalReader:
    """A journal that someone else writes, or no one: reads and follows, and changes nothing.

    Args:
        folder: The data folder.
        disk: Where it is.
        partition: Number of the partition.
        archive: Folder of the segments that were archived; None = there is none.
    """

    def __init__(
        self, folder: Path, disk: Disk, partition: int = 0, archive: Path | None = None
    ) -> None:
        self.folder = folder
        self.disk = disk
        self.partition = partition
        self.archive = archive

    @property
    def place(self) -> str:
        """Where the journal is, for people."""
        return str(self.folder)

    def stored(self) -> str:
        """How it is kept, for people."""
        kept, seqs = set(segment_seqs(self.folder, self.disk)), self._seqs()
        archived = sum(seq not in kept for seq in seqs)
        return f"{len(seqs)} segments" + (f", {archived} of them archived" if archived else "")

    def _seqs(self) -> list[int]:
        return segment_seqs(self.folder, self.disk, self.archive)

    def name_of(self, first_seq: int) -> str:
        """What messages call the place of the record that begins with `first_seq`."""
        return segment_name(first_seq)

    def close(self) -> None:
        """Nothing is held between two calls."""

    def first_seq(self) -> int:
        """The first seq that is not pruned; 1 where there is no journal yet."""
        seqs = self._seqs()
        return seqs[0] if seqs else 1

    def kept_seq(self) -> int:
        """The first seq that is not in the archive either; 1 where there is no journal yet."""
        seqs = segment_seqs(self.folder, self.disk) or self._seqs()
        return seqs[0] if seqs else 1

    def end(self, start: Position | None = None) -> End | None:
        """The end of the journal as it stands on disk now; None where there is no journal."""
        seqs = segment_seqs(self.folder, self.disk) or self._seqs()
        if not seqs:
            return None
        segment = self._open(seqs[-1])
        try:
            return find_end(segment, start if start and start.segment == segment.name else None)
        finally:
            segment.close()

    def cursor(self, first_seq: int, start: Position | None = None) -> Cursor:
        """A cursor at `start`, or at the head of the segment that holds `first_seq`.

        Raises:
            JournalBehindWitness: The journal has nothing of it any more, or not yet.
            JournalCorrupt: The start isn't in this journal.
        """
        if start is not None:
            return Cursor(self.folder, self.disk, self.partition, start, self.archive)
        seqs = [seq for seq in self._seqs() if seq <= first_seq]
        if not seqs:
            where = (
                "archive_dir names no archive"
                if self.archive is None
                else (f"the archive {self.archive} does not have it")
            )
            raise JournalBehindWitness(
                f"the journal begins with seq {self.first_seq()}: what is before is pruned, and "
                f"{where}",
                seq=first_seq,
            )
        segment = self._open(seqs[-1])
        position = segment.header.position()
        segment.close()
        return Cursor(self.folder, self.disk, self.partition, position, self.archive)

    def _open(self, first_seq: int) -> Segment:
        return open_segment(self.folder, self.disk, first_seq, self.partition, self.archive)

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
        cursor = self.cursor(first_seq, start)
        try:
            for record in cursor.records(bound):
                if record.batch.first_seq + record.batch.count > first_seq:
                    yield record
        finally:
            cursor.close()
