"""The durable mark: how far the journal is on disk, for readers in other processes.

The file `durable` is mapped into memory by the writer and its readers. It has two slots that are
written in turn, each with its own checksum, so that a reader that meets a half-written slot still
has the one before. The mark moves only after the bytes it speaks of are synced; it is itself not
synced, and so may be behind after a power cut, but never ahead.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Protocol

import msgspec

from novate.journal.disk import Disk, Mapping, write_all
from novate.journal.interface import NO_HASH, Position, Witness

MARK_FILE = "durable"
MARK_BYTES = 4096
MAGIC = b"NOVATEM1"
SLOT_OFFSETS = (512, 1024)
# counter, seq, end offset, first seq of the segment, epoch, record hash; then the CRC of these.
SLOT = struct.Struct("<QQQQQ32s")
CRC = struct.Struct("<I")


class Mark(msgspec.Struct, frozen=True, gc=False):
    """How far the journal is durable.

    Attributes:
        seq: Last durable seq; 0 = none.
        segment_seq: First seq of the segment that holds it.
        end_offset: Byte offset right behind its record, in that segment.
        epoch: Epoch of the writer.
        record_hash: Hash of its record (32 bytes).
    """

    seq: int = 0
    segment_seq: int = 1
    end_offset: int = 0
    epoch: int = 0
    record_hash: bytes = NO_HASH

    def witness(self) -> Witness:
        """This mark as a witness of how far the journal got."""
        return Witness("the durable mark", self.seq, self.record_hash)


class MarkReader(Protocol):
    """What says to a reader how far it may go."""

    def load(self) -> Mark:
        """How far that is now."""

    def close(self) -> None:
        """Let go of what it holds."""


class FixedMark:
    """The end of a journal that nobody writes, in the place of its durable mark: a copy's.

    Args:
        mark: That end.
    """

    def __init__(self, mark: Mark) -> None:
        self._mark = mark

    def load(self) -> Mark:
        """See `MarkReader`."""
        return self._mark

    def close(self) -> None:
        """See `MarkReader`."""


class DurableMark:
    """The mark of one data folder, for its writer (`write=True`) or for a reader.

    Args:
        folder: The data folder.
        disk: Where the folder is.
        write: Whether this process is the writer; the file is made where it is missing.

    Raises:
        FileNotFoundError: A reader found no mark.
    """

    def __init__(self, folder: Path, disk: Disk, *, write: bool = False) -> None:
        path = folder / MARK_FILE
        self.unreadable = False
        if write:
            self._make(folder, path, disk)
        self._mapping: Mapping = disk.map(path, write=write)
        self._buffer = self._mapping.buffer
        self._counter = 0
        if len(self._buffer) < MARK_BYTES:
            self._mapping.close()
            raise FileNotFoundError(f"{path} is not a durable mark")
        self._read_slots()

    def _make(self, folder: Path, path: Path, disk: Disk) -> None:
        if disk.exists(path):
            file = disk.open(path)
            whole = file.size() >= MARK_BYTES and file.pread(len(MAGIC), 0) == MAGIC
            file.close()
            if whole:
                return
            self.unreadable = True
        disk.make_dir(folder)
        made = path.with_suffix(".made")
        file = disk.open(made, create=True)
        write_all(file, MAGIC.ljust(MARK_BYTES, b"\0"), 0)
        file.fdatasync()
        file.close()
        disk.rename(made, path)
        disk.fsync_dir(folder)

    def load(self) -> Mark:
        """The mark as it is now."""
        return self._read_slots()

    def epoch(self) -> int:
        """Epoch of the newest writer."""
        return self._read_slots().epoch

    def store(self, position: Position, segment_seq: int, epoch: int) -> None:
        """Move the mark to a position whose bytes are synced."""
        self._counter += 1
        slot = SLOT.pack(
            self._counter,
            position.seq,
            position.end_offset,
            segment_seq,
            epoch,
            position.record_hash,
        )
        at = SLOT_OFFSETS[self._counter & 1]
        self._buffer[at : at + SLOT.size + CRC.size] = slot + CRC.pack(zlib.crc32(slot))

    def _read_slots(self) -> Mark:
        best: tuple[int, int, int, int, int, bytes] | None = None
        written = False
        for at in SLOT_OFFSETS:
            image = bytes(self._buffer[at : at + SLOT.size + CRC.size])
            slot = image[: SLOT.size]
            if CRC.unpack_from(image, SLOT.size)[0] != zlib.crc32(slot):
                written = written or any(image)
                continue
            fields = SLOT.unpack(slot)
            if best is None or fields[0] > best[0]:
                best = fields
        if best is None:
            self.unreadable = self.unreadable or written
            return Mark()
        counter, seq, end_offset, segment_seq, epoch, record_hash = best
        self._counter = max(self._counter, counter)
        return Mark(seq, segment_seq, end_offset, epoch, record_hash)

    def close(self) -> None:
        """Let go of the file."""
        self._mapping.close()
