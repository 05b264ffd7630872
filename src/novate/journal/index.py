"""Finding the record of a seq without reading the journal from its head.

For each segment that was asked about there is a sparse index: the seq and offset of a record every
16 KiB. It is made when first needed, from the record headers alone, and grows with the segment.
"""

from __future__ import annotations

import threading
import zlib
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from novate.journal.codec import landmarks
from novate.journal.disk import Disk
from novate.journal.layout import (
    RECORD_HEADER,
    RECORD_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    Fields,
    why_bad,
)
from novate.journal.reading import Bound, Segment, open_segment, segment_seqs

STEP_BYTES = 1 << 14
WALK_BYTES = 1 << 20
INDEXES_MAX = 64
SEGMENTS_OPEN_MAX = 8


class SegmentIndex:
    """Seq and offset of a record every `STEP_BYTES` of one segment, as far as it was walked."""

    __slots__ = ("next_offset", "next_seq", "offsets", "seqs")

    def __init__(self, first_seq: int) -> None:
        self.seqs = array("Q", [first_seq])
        self.offsets = array("Q", [SEGMENT_HEADER_BYTES])
        self.next_seq = first_seq
        self.next_offset = SEGMENT_HEADER_BYTES

    def extend(self, segment: Segment, limit: int) -> None:
        """Walk on to `limit`, the byte offset of the last durable record's end."""
        while limit - self.next_offset >= RECORD_HEADER_BYTES:
            offset = self.next_offset
            chunk = segment.file.pread(min(WALK_BYTES, limit - offset), offset)
            found, self.next_offset, self.next_seq = landmarks(
                chunk, offset, segment.header.mark, self.next_seq, self.offsets[-1], STEP_BYTES
            )
            for seq, at in found:
                self.seqs.append(seq)
                self.offsets.append(at)
            if self.next_offset == offset:
                next(headers(segment, offset, self.next_seq, limit), None)  # says what is wrong
                return

    def nearest(self, seq: int) -> tuple[int, int]:
        """Offset and first seq of the last record known to begin at or before `seq`."""
        at = bisect_right(self.seqs, seq) - 1
        return self.offsets[at], self.seqs[at]


def headers(segment: Segment, offset: int, seq: int, limit: int) -> Iterator[tuple[int, Fields]]:
    """Offset and fields of each record from `offset` on; the payloads are not checked."""
    mark = segment.header.mark
    while limit - offset >= RECORD_HEADER_BYTES:
        chunk = segment.file.pread(min(STEP_BYTES, limit - offset), offset)
        at = 0
        while at + RECORD_HEADER_BYTES <= len(chunk):
            fields: Fields = RECORD_HEADER.unpack_from(chunk, at)
            if why := why_bad(fields, limit - offset - at, mark, seq):
                if not any(chunk[at : at + RECORD_HEADER_BYTES]):
                    return
                raise segment.corrupt(why, offset + at, seq)
            yield offset + at, fields
            seq += fields[4]
            at += fields[1]
        if at == 0:
            return
        offset += at


class OutcomeFinder:
    """Reads the outcomes blob that holds the outcome of a seq. Safe to use from any thread.

    Args:
        folder: The data folder.
        disk: Where it is.
        partition: Number of the partition.
        archive: Folder of the segments that were archived; None = there is none.
    """

    def __init__(
        self, folder: Path, disk: Disk, partition: int, archive: Path | None = None
    ) -> None:
        self._folder = folder
        self._archive = archive
        self._disk = disk
        self._partition = partition
        self._lock = threading.Lock()
        self._seqs: list[int] = []
        self._indexes: OrderedDict[int, SegmentIndex] = OrderedDict()
        self._open: OrderedDict[int, Segment] = OrderedDict()

    def outcomes_of(self, seq: int, bound: Bound) -> bytes | None:
        """The blob in the record behind the one that holds `seq`, read no further than `bound`.

        Raises:
            JournalCorrupt: The record is damaged.
        """
        with self._lock:
            holder = self._find(seq, bound)
            if holder is None:
                return None
            _, _, fields = holder
            behind = self._find(fields[3] + fields[4], bound)
            if behind is None:
                return None
            return self._outcomes(*behind)

    def forget(self) -> None:
        """Let go of every file, and look again which segments there are."""
        with self._lock:
            self._seqs = []
            while self._open:
                self._open.popitem()[1].close()

    def _find(self, seq: int, bound: Bound) -> tuple[int, int, Fields] | None:
        """First seq of the segment, offset and fields of the record that holds `seq`."""
        if seq > bound.seq:
            return None
        if not self._seqs or self._seqs[-1] < bound.segment_seq:
            self._seqs = segment_seqs(self._folder, self._disk, self._archive)
        at = bisect_right(self._seqs, seq) - 1
        if at < 0:
            return None
        first_seq = self._seqs[at]
        try:
            segment = self._segment(first_seq)
        except FileNotFoundError:
            self._seqs = []
            return None
        last = first_seq == bound.segment_seq
        limit = bound.end_offset if last else segment.file.size()
        return self._find_in(segment, seq, limit)

    def _segment(self, first_seq: int) -> Segment:
        segment = self._open.get(first_seq)
        if segment is None:
            segment = open_segment(
                self._folder, self._disk, first_seq, self._partition, self._archive
            )
            self._open[first_seq] = segment
            if len(self._open) > SEGMENTS_OPEN_MAX:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(first_seq)
        return segment

    def _find_in(self, segment: Segment, seq: int, limit: int) -> tuple[int, int, Fields] | None:
        first_seq = segment.header.first_seq
        index = self._index(first_seq)
        if seq >= index.next_seq:
            index.extend(segment, limit)
        for offset, fields in headers(segment, *index.nearest(seq), limit):
            if seq < fields[3] + fields[4]:
                return first_seq, offset, fields
        return None

    def _index(self, first_seq: int) -> SegmentIndex:
        index = self._indexes.setdefault(first_seq, SegmentIndex(first_seq))
        self._indexes.move_to_end(first_seq)
        if len(self._indexes) > INDEXES_MAX:
            self._indexes.popitem(last=False)
        return index

    def _outcomes(self, first_seq: int, offset: int, fields: Fields) -> bytes:
        segment = self._segment(first_seq)
        image = segment.file.pread(fields[1], offset)
        if len(image) < fields[1] or zlib.crc32(memoryview(image)[4:]) != fields[0]:
            raise segment.corrupt("a record fails its checksum", offset, fields[3])
        begin = RECORD_HEADER_BYTES + fields[10]
        return image[begin : begin + fields[11]]
