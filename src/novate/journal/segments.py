"""The journal in segment files of its own: the writer.

It owns the files under `journal/` and the durable mark of a data folder. Only one process may have
it open, and only one thread may append. It must never say DURABLE before the bytes are synced,
never believe a write that failed, and never sync a file again whose sync has failed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from novate.journal.archive import archive_witness
from novate.journal.disk import Disk, DiskFile, RealDisk, write_all
from novate.journal.index import OutcomeFinder
from novate.journal.interface import Appended, Batch, Position, Record, Witness
from novate.journal.layout import (
    RECORD_BYTES_MAX,
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    encode_record,
    record_length,
    segment_name,
)
from novate.journal.mark import DurableMark
from novate.journal.preparing import NextSegment
from novate.journal.reading import (
    JOURNAL_FOLDER,
    ZEROS,
    Bound,
    End,
    JournalReader,
    Segment,
    find_end,
    segment_seqs,
)
from novate.journal.tail import MarkTail
from novate.model.errors import JournalBehindWitness, JournalFailed, JournalFull

SEGMENT_BYTES = 64 << 20


class SegmentJournal:
    """The journal of one data folder, open for writing. See `Journal` for what it promises.

    Opening finds the end, cuts a torn write behind it, and makes sure that what is believed is
    on disk. Records before the last segment are checked when they are read.

    Args:
        folder: The data folder; made where it is missing.
        disk: Where it is.
        partition: Number of the partition.
        segment_bytes: Length of a segment file.
        start: A known position (of a snapshot), so that less is read to find the end.
        witnesses: Those who saw how far the journal got, besides durable mark and archive.
        archive: Folder of the segments that were archived, which are read from there; None = there
            is none.
        random_bytes: Source of the segments' marks.

    Attributes:
        epoch: Epoch of this writer, to be given with every append.
        warnings: What was found and put right at opening, in words.

    Raises:
        JournalCorrupt: A record is damaged and good ones stand behind it.
        JournalBehindWitness: The journal ends before a witness.
        JournalFull: There is no room for its first segment.
        JournalFailed: What was found could not be synced.
    """

    def __init__(
        self,
        folder: Path,
        *,
        disk: Disk | None = None,
        partition: int = 0,
        segment_bytes: int = SEGMENT_BYTES,
        start: Position | None = None,
        witnesses: Sequence[Witness] = (),
        archive: Path | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.folder = folder
        self.disk: Disk = disk or RealDisk()
        self.partition = partition
        self.segment_bytes = max(segment_bytes, 2 * SEGMENT_HEADER_BYTES)
        self.warnings: list[str] = []
        self._random_bytes = random_bytes
        self._failed = ""
        self._unsynced = False
        self._dirty_end = 0
        self._file: DiskFile | None = None
        self._reader = JournalReader(folder, self.disk, partition, archive)
        self._finder = OutcomeFinder(folder, self.disk, partition, archive)
        self._next = NextSegment(folder, self.disk, self.segment_bytes)
        try:
            self.disk.make_dir(folder / JOURNAL_FOLDER)
            self._mark = DurableMark(folder, self.disk, write=True)
        except OSError as fault:
            raise JournalFull(f"the data folder can't be made ready: {fault}") from fault
        if self._mark.unreadable:
            self.warnings.append("the durable mark can't be read: it is made anew")
        try:
            seen = archive_witness(archive, self.disk, self.warnings)
            self._open(start, [self._mark.load().witness(), *seen, *witnesses])
        except BaseException:
            self.close()
            raise

    # --- opening ------------------------------------------------------------------------------

    def _open(self, start: Position | None, witnesses: Sequence[Witness]) -> None:
        self._next.drop()
        seqs = segment_seqs(self.folder, self.disk)
        if seqs:
            self._open_last(seqs[-1], start, witnesses)
        else:
            nothing = SegmentHeader(self.partition, 1, b"").position()
            check_witnesses(nothing, witnesses)
            self._last = nothing
            self._begin_segment(self.segment_bytes)
        self._synced = self._last
        self.epoch = max(self._mark.epoch(), self._last.epoch) + 1
        self._publish()

    def _open_last(
        self, first_seq: int, start: Position | None, witnesses: Sequence[Witness]
    ) -> None:
        path = self.folder / JOURNAL_FOLDER / segment_name(first_seq)
        segment = Segment(self.disk.open(path, write=True), first_seq, self.partition)
        self._file, self._header = segment.file, segment.header
        here = start if start is not None and start.segment == segment.name else None
        vouched = here is None or segment.vouches_for(here)
        end = find_end(segment, here if vouched else None)
        check_witnesses(end.position, witnesses, end.torn)
        if here is not None and not vouched:
            raise segment.corrupt(
                "the journal has another record here than the position to start from",
                here.offset,
                here.seq,
            )
        self._last, self._offset = end.position, end.position.end_offset
        self._cut(end)

    def _cut(self, end: End) -> None:
        """Zeros over whatever stands behind the end; then all that is believed is synced."""
        file = self._open_file()
        size = file.size()
        try:
            if end.torn:
                self.warnings.append(
                    f"a write that never finished was cut behind seq {end.position.seq} "
                    f"(segment {end.position.segment}, offset {self._offset}): {end.torn}"
                )
                self._write_zeros(self._offset, size)
            self._size = max(size, self.segment_bytes)
            if size < self._size:
                file.allocate(self._size)
        except OSError as fault:
            raise JournalFull(
                f"the journal's end can't be made ready: {fault}", self._header.name(), self._offset
            ) from fault
        self._sync_file(file)
        self._sync_names()

    # --- writing ------------------------------------------------------------------------------

    def append(self, expected_seq: int, epoch: int, batch: Batch, *, sync: bool = True) -> Appended:
        """See `Journal`."""
        self._refuse_if_failed()
        if batch.first_seq != expected_seq + 1 or batch.count < 1:
            raise ValueError(f"a batch of {batch.count} from {batch.first_seq} at {expected_seq}")
        if epoch != self.epoch or expected_seq != self._last.seq or self._mark.epoch() != epoch:
            return Appended.FENCED
        length = record_length(batch)
        if length > RECORD_BYTES_MAX:
            raise ValueError(f"a record of {length} bytes: {RECORD_BYTES_MAX} is the limit")
        if self._offset + length > self._size:
            self._roll(length)
        image, image_hash = encode_record(
            batch, self._header.mark, epoch, self._synced.seq, self._last.record_hash
        )
        if not self._write(image):
            return Appended.UNKNOWN
        position = Position(
            seq=batch.last_seq,
            timestamp_ns=batch.timestamp_ns,
            record_hash=image_hash,
            events_hash=batch.events_hash,
            segment=self._header.name(),
            offset=self._offset,
            end_offset=self._offset + length,
            epoch=epoch,
            rules=batch.rules,
        )
        self._unsynced = True
        if sync:
            self._sync_file(self._open_file())
        self._offset += length
        self._last = position
        if not sync:
            return Appended.WRITTEN
        self._believe()
        return Appended.DURABLE

    def sync(self) -> None:
        """See `Journal`."""
        self._refuse_if_failed()
        if self._unsynced:
            self._sync_file(self._open_file())
            self._believe()

    def prepare(self) -> bool:
        """Do a small piece of making the next segment ready; whether there is more to do now.

        To be called on the writer's thread when a batch was answered. Never raises for a full
        disk: the roll will.
        """
        if self._failed or self._offset * 2 < self._size:
            return False
        try:
            return self._next.step()
        except OSError:
            return False

    def _believe(self) -> None:
        self._unsynced = False
        self._synced = self._last
        self._publish()

    def _publish(self) -> None:
        self._mark.store(self._synced, self._header.first_seq, self.epoch)

    def _write(self, image: bytes) -> bool:
        """Write a record at the end; False where it can't be known what is there.

        Raises:
            JournalFull: It is not there whole; the same place is used again.
        """
        file = self._open_file()
        end = self._offset + len(image)
        try:
            # Before the record: once that is whole, it is there, and must not be called refused.
            self._write_zeros(end, self._dirty_end)
            write_all(file, image, self._offset)
        except OSError as fault:
            self._dirty_end = max(self._dirty_end, end)
            try:
                found = file.pread(len(image), self._offset)
            except OSError as unreadable:
                self._failed = f"a failed write can't be read back: {unreadable}"
                return False
            if found != image:
                raise JournalFull(
                    f"the batch could not be written: {fault}",
                    self._header.name(),
                    self._offset,
                    self._last.seq + 1,
                ) from fault
        self._dirty_end = 0
        return True

    def _write_zeros(self, offset: int, end: int) -> None:
        file = self._open_file()
        while offset < end:
            piece = memoryview(ZEROS)[: end - offset]
            write_all(file, piece, offset)
            offset += len(piece)

    def _sync_file(self, file: DiskFile) -> None:
        try:
            file.fdatasync()
        except OSError as fault:
            raise self._fail(f"fdatasync failed: {fault}") from fault

    def _sync_names(self) -> None:
        try:
            self.disk.fsync_dir(self.folder / JOURNAL_FOLDER)
        except OSError as fault:
            raise self._fail(f"fsync of the journal's folder failed: {fault}") from fault

    def _fail(self, why: str) -> JournalFailed:
        self._failed = why
        return JournalFailed(why, self._header.name(), self._offset, self._last.seq + 1)

    def _refuse_if_failed(self) -> None:
        if self._failed:
            raise JournalFailed(
                f"the journal takes nothing more until a restart: {self._failed}",
                self._header.name(),
                self._offset,
                self._last.seq + 1,
            )

    def _open_file(self) -> DiskFile:
        if self._file is None:
            raise JournalFailed("the journal is closed")
        return self._file

    # --- rolling ------------------------------------------------------------------------------

    def _roll(self, length: int) -> None:
        """Go on in the next segment; the present one is closed, synced and clean behind its end."""
        file = self._open_file()
        if self._dirty_end > self._offset:
            try:
                self._write_zeros(self._offset, self._dirty_end)
            except OSError as fault:
                raise self._full(fault) from fault
            self._dirty_end = 0
            self._unsynced = True
        if self._unsynced:
            self._sync_file(file)
            self._believe()
        self._begin_segment(max(self.segment_bytes, SEGMENT_HEADER_BYTES + length))
        file.close()

    def _full(self, fault: OSError) -> JournalFull:
        return JournalFull(
            f"no room for the next segment: {fault}",
            segment_name(self._last.seq + 1),
            0,
            self._last.seq + 1,
        )

    def _begin_segment(self, length: int) -> None:
        """Make the segment that follows the last record, durable with its header and its name."""
        last = self._last
        header = SegmentHeader(
            partition=self.partition,
            first_seq=last.seq + 1,
            mark=self._random_bytes(8),
            timestamp_ns=last.timestamp_ns,
            epoch=last.epoch,
            rules=last.rules,
            record_hash=last.record_hash,
            events_hash=last.events_hash,
        )
        try:
            file = self._next.take(length)
            try:
                write_all(file, header.encode(), 0)
            except OSError:
                file.close()
                raise
        except OSError as fault:
            raise self._full(fault) from fault
        before = self._file
        self._header = header
        self._offset = SEGMENT_HEADER_BYTES
        self._size = length
        self._file = file
        self._sync_file(file)
        try:
            self.disk.rename(self._next.path, self.folder / JOURNAL_FOLDER / header.name())
        except OSError as fault:
            raise self._fail(f"the next segment can't be given its name: {fault}") from fault
        self._sync_names()
        if before is not None:
            before.close()

    @property
    def place(self) -> str:
        """See `Journal`."""
        return str(self.folder / JOURNAL_FOLDER)

    # --- reading ------------------------------------------------------------------------------

    def last(self) -> Position:
        """See `Journal`."""
        return self._last

    def durable(self) -> Position:
        """The end of what is on disk; before `last` only where appends were left unsynced."""
        return self._synced

    def first_seq(self) -> int:
        """The first seq that is not pruned."""
        return self._reader.first_seq()

    def read(self, first_seq: int, start: Position | None = None) -> Iterator[Record]:
        """See `Journal`."""
        end = self._last
        return self._reader.read(first_seq, start, self._bound(end))

    def tail(self, first_seq: int, start: Position | None = None) -> MarkTail:
        """See `Journal`."""
        return MarkTail(self._reader, self._mark, first_seq, start)

    def outcomes_of(self, seq: int) -> bytes | None:
        """See `Journal`."""
        # What is written whole, synced or not: under relaxed durability the first answer has gone
        # out already, and the engine that asks has applied no more than that.
        return self._finder.outcomes_of(seq, self._bound(self._last))

    def _bound(self, position: Position) -> Bound:
        return Bound(position.seq, int(position.segment[:20]), position.end_offset)

    # --- upkeep -------------------------------------------------------------------------------

    def prune(self, before_seq: int) -> int:
        """See `Journal`."""
        seqs = segment_seqs(self.folder, self.disk)
        removed = 0
        for first_seq, next_seq in pairwise(seqs):
            if next_seq > before_seq or next_seq > self._synced.seq:
                break
            self.disk.unlink(self.folder / JOURNAL_FOLDER / segment_name(first_seq))
            self.disk.fsync_dir(self.folder / JOURNAL_FOLDER)
            removed += 1
        if removed:
            self._finder.forget()
        return removed

    def close(self) -> None:
        """See `Journal`."""
        self._mark.close()
        self._next.close()
        self._finder.forget()
        if self._file is not None:
            self._file.close()
            self._file = None


def check_witnesses(last: Position, witnesses: Sequence[Witness], torn: str = "") -> None:
    """Refuse a journal that ends before someone saw it end.

    Raises:
        JournalBehindWitness: It ends too early, or ends with another record than was seen.
    """
    for witness in witnesses:
        if witness.seq > last.seq:
            what = f"the journal ends with seq {last.seq}, but {witness.name} saw {witness.seq}"
            why = f"{what}: {torn}" if torn else what
            why = f"{why}; {witness.advice}" if witness.advice else why
        elif witness.seq == last.seq and witness.record_hash not in (b"", last.record_hash):
            why = f"the journal ends with another record than the one that {witness.name} saw"
        else:
            continue
        raise JournalBehindWitness(why, last.segment, last.end_offset, last.seq + 1)
