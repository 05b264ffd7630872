"""The archive: a folder that old segments are moved to, and read from as before.

A segment that is closed never changes. It is copied beside its name, synced, read back whole and
renamed, and only when that is on disk does it leave the data folder; so it is at every moment in
one of the two, wherever the work is cut off, and a reader that looks into the data folder first
finds it. This module removes nothing that it has not just read in the archive, byte for byte.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from novate.journal.disk import Disk, DiskFile, RealDisk, write_all
from novate.journal.interface import Witness
from novate.journal.layout import SEGMENT_SUFFIX, SegmentHeader, segment_name
from novate.journal.reading import (
    CHUNK_BYTES,
    JOURNAL_FOLDER,
    Place,
    Segment,
    open_segment,
    seqs_in,
)
from novate.model.errors import JournalCorrupt

UNFINISHED_SUFFIX = ".unfinished"

ADVICE = (
    "put the missing end of the journal back, or, for another exchange than the one whose archive "
    "it is, name another folder by archive_dir"
)


class Archive:
    """The archive of one data folder. One process moves; any may read, beside a server too.

    Args:
        folder: The data folder.
        archive: Folder of the archive; made where it is missing.
        disk: Where both are.
        partition: Number of the partition.
    """

    def __init__(
        self, folder: Path, archive: Path, disk: Disk | None = None, partition: int = 0
    ) -> None:
        self._folder = folder
        self._journal = folder / JOURNAL_FOLDER
        self._archive = archive
        self._disk: Disk = disk or RealDisk()
        self._partition = partition

    def move(self, before_seq: int, keep: int = 0) -> Iterator[tuple[int, int]]:
        """Move whole segments that hold nothing from `before_seq` on, oldest first.

        The segment that is being written stays, whatever `before_seq` says. What was begun by
        another call and cut off is gone on with.

        Args:
            before_seq: The first seq that is still wanted in the data folder.
            keep: How many closed segments stay there in any case.

        Yields:
            First and last seq of each segment, when it is in the archive for good.

        Raises:
            JournalCorrupt: A segment is damaged or does not follow on; it is left where it is.
            JournalCorrupt: The archive has other segments than this journal, or another content, or
                lacks those before the data folder's.
            OSError: It can't be copied; it is left where it is.
        """
        self._disk.make_dir(self._archive)
        seqs = seqs_in(self._journal, self._disk)
        self._require_own(seqs)
        for name in self._disk.listdir(self._archive):
            if name.endswith(SEGMENT_SUFFIX + UNFINISHED_SUFFIX):
                self._disk.unlink(self._archive / name)
        closed = list(pairwise(seqs))
        for first_seq, next_seq in closed[: max(len(closed) - keep, 0)]:
            if next_seq > before_seq:
                break
            self._move(first_seq, self._header(next_seq))
            yield first_seq, next_seq - 1

    def _require_own(self, seqs: list[int]) -> None:
        """Refuse an archive that is not the beginning of this journal."""
        archived = seqs_in(self._archive, self._disk)
        older = [seq for seq in archived if not seqs or seq < seqs[0]]
        if foreign := sorted(set(archived).difference(older, seqs)):
            raise self._foreign(f"it has a segment {segment_name(foreign[0])}")
        if not older and seqs and seqs[0] > 1:
            raise JournalCorrupt(
                f"{self._archive}: expected the segments before seq {seqs[0]}, which are not in "
                f"{self._journal}, found none: is the archive mounted, and all of it there?"
            )
        if older and seqs:
            segment = self._archived(older[-1])
            try:
                require_whole(segment, self._header(seqs[0]))
            except JournalCorrupt as fault:
                raise self._foreign(str(fault)) from fault
            finally:
                segment.close()

    def _foreign(self, why: str) -> JournalCorrupt:
        return JournalCorrupt(
            f"{self._archive}: expected the beginning of the journal in {self._journal}, or "
            f"nothing; found that {why}"
        )

    def _header(self, first_seq: int) -> SegmentHeader:
        segment = open_segment(self._folder, self._disk, first_seq, self._partition)
        segment.close()
        return segment.header

    def _archived(self, first_seq: int) -> Segment:
        file = self._disk.open(self._archive / segment_name(first_seq))
        return Segment(file, first_seq, self._partition)

    def _move(self, first_seq: int, following: SegmentHeader) -> None:
        name = segment_name(first_seq)
        source = self._disk.open(self._journal / name)
        try:
            if self._disk.exists(self._archive / name):
                # A move that was cut off, or a copy by somebody's hand, which may be unsynced.
                target = self._disk.open(self._archive / name)
                try:
                    self._require_copy(source, target, first_seq, following)
                    target.fdatasync()
                finally:
                    target.close()
            else:
                self._copy(source, first_seq, following)
        finally:
            source.close()
        self._disk.fsync_dir(self._archive)
        self._disk.unlink(self._journal / name)
        self._disk.fsync_dir(self._journal)

    def _copy(self, source: DiskFile, first_seq: int, following: SegmentHeader) -> None:
        """Give the archive its copy, under its name only when it is synced and was read back."""
        path = self._archive / segment_name(first_seq)
        unfinished = self._archive / (path.name + UNFINISHED_SUFFIX)
        target = self._disk.open(unfinished, create=True)
        try:
            offset = 0
            while chunk := source.pread(CHUNK_BYTES, offset):
                write_all(target, chunk, offset)
                offset += len(chunk)
            target.fdatasync()
            self._require_copy(source, target, first_seq, following)
        except (OSError, JournalCorrupt):
            with contextlib.suppress(OSError):
                self._disk.unlink(unfinished)
            raise
        finally:
            target.close()
        self._disk.rename(unfinished, path)

    def _require_copy(
        self, source: DiskFile, target: DiskFile, first_seq: int, following: SegmentHeader
    ) -> None:
        """Refuse a copy that is not equal to the segment, or a segment that is not whole."""
        offset = 0
        while (chunk := source.pread(CHUNK_BYTES, offset)) or target.pread(1, offset):
            if target.pread(CHUNK_BYTES, offset) != chunk:
                name = segment_name(first_seq)
                why = f"the archive {self._archive} has another content of it than the data folder"
                raise JournalCorrupt(why, name, offset, first_seq)
            offset += len(chunk)
        require_whole(Segment(target, first_seq, self._partition), following)


def require_whole(segment: Segment, following: SegmentHeader) -> None:
    """Refuse a closed segment with a damaged record, or one that the next does not follow on.

    Args:
        segment: The segment; all of it is read.
        following: Header of the segment behind it.

    Raises:
        JournalCorrupt: It is so; names the place.
    """
    place = Place(segment.header.position())
    for _ in segment.walk(place, segment.file.size(), every=False):
        pass
    if (dirty := segment.first_not_zero(place.end_offset)) >= 0:
        raise segment.corrupt("bytes behind the last record of a closed segment", dirty, place.seq)
    if (place.seq, place.record_hash) != (following.first_seq, following.record_hash):
        raise segment.corrupt(
            f"its records do not lead to the segment {following.name()}",
            place.end_offset,
            place.seq,
        )


def archive_witness(archive: Path | None, disk: Disk, warnings: list[str]) -> list[Witness]:
    """The archive as a witness: a journal has got at least to the last segment that left it.

    Args:
        archive: Its folder; None = there is none.
        disk: Where it is.
        warnings: Gets a line where it can't be looked into; then it is no witness.
    """
    if archive is None:
        return []
    try:
        seqs = seqs_in(archive, disk)
    except OSError as fault:
        warnings.append(f"the archive {archive} can't be read: {fault.strerror or fault}")
        return []
    return [Witness(f"the archive {archive}", seqs[-1], advice=ADVICE)] if seqs else []
