"""Every access that the journal and the snapshots make to a disk.

It is a protocol so that the tests can put a disk in its place that forgets, fills up and fails
(`novate.testing.disk`). Nothing here decides anything: an `OSError` goes up as it came.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Protocol


class DiskFile(Protocol):
    """An open file. Offsets and lengths are bytes."""

    def pread(self, length: int, offset: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end of the file."""

    def pwrite(self, payload: bytes | memoryview, offset: int) -> int:
        """Write at `offset` and return how many bytes were taken, which may be fewer."""

    def fdatasync(self) -> None:
        """Return when every byte written to this file is on disk."""

    def allocate(self, length: int) -> None:
        """Make the file at least `length` bytes long, with room on disk for each of them."""

    def truncate(self, length: int) -> None:
        """Cut the file, or lengthen it with zeros, to `length` bytes."""

    def size(self) -> int:
        """Length of the file."""

    def close(self) -> None:
        """Let go of the file, whatever was synced or not."""


class Mapping(Protocol):
    """A file mapped into memory, shared with every process that maps it."""

    @property
    def buffer(self) -> bytearray | mmap.mmap | memoryview:
        """The mapped bytes."""

    def flush(self) -> None:
        """Return when the mapped bytes are on disk."""

    def close(self) -> None:
        """Let go of the mapping."""


class Disk(Protocol):
    """A file system, as far as durable files need one."""

    def open(self, path: Path, *, write: bool = False, create: bool = False) -> DiskFile:
        """Open a file; with `create`, a new and empty one whatever was there."""

    def map(self, path: Path, *, write: bool = False) -> Mapping:
        """Map a whole file, which must not be empty."""

    def exists(self, path: Path) -> bool:
        """Whether there is such a file or folder."""

    def listdir(self, path: Path) -> list[str]:
        """Names in a folder, sorted; empty where there is no such folder."""

    def make_dir(self, path: Path) -> None:
        """Make a folder, and those above it, where they are missing; durable on return."""

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name, in place of a file that has it."""

    def unlink(self, path: Path) -> None:
        """Remove a file; nothing happens where there is none."""

    def fsync_dir(self, path: Path) -> None:
        """Return when the names in a folder are on disk."""


class RealFile:
    """A file of the operating system."""

    def __init__(self, path: Path, flags: int) -> None:
        self._descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)

    def pread(self, length: int, offset: int) -> bytes:
        """See `DiskFile`."""
        chunk = os.pread(self._descriptor, length, offset)
        if len(chunk) == length or not chunk:
            return chunk
        parts = [chunk]
        have = len(chunk)
        while have < length and (chunk := os.pread(self._descriptor, length - have, offset + have)):
            parts.append(chunk)
            have += len(chunk)
        return b"".join(parts)

    def pwrite(self, payload: bytes | memoryview, offset: int) -> int:
        """See `DiskFile`."""
        return os.pwrite(self._descriptor, payload, offset)

    def fdatasync(self) -> None:
        """See `DiskFile`."""
        os.fdatasync(self._descriptor)

    def allocate(self, length: int) -> None:
        """See `DiskFile`."""
        os.posix_fallocate(self._descriptor, 0, length)

    def truncate(self, length: int) -> None:
        """See `DiskFile`."""
        os.ftruncate(self._descriptor, length)

    def size(self) -> int:
        """See `DiskFile`."""
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """See `DiskFile`."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class RealMapping:
    """A file mapped by the operating system."""

    def __init__(self, path: Path, *, write: bool) -> None:
        descriptor = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC)
        try:
            access = mmap.ACCESS_WRITE if write else mmap.ACCESS_READ
            self._map = mmap.mmap(descriptor, 0, access=access)
        finally:
            os.close(descriptor)

    @property
    def buffer(self) -> mmap.mmap:
        """See `Mapping`."""
        return self._map

    def flush(self) -> None:
        """See `Mapping`."""
        self._map.flush()

    def close(self) -> None:
        """See `Mapping`."""
        self._map.close()


class RealDisk:
    """The file system of the operating system."""

    def open(self, path: Path, *, write: bool = False, create: bool = False) -> RealFile:
        """See `Disk`."""
        flags = os.O_RDWR if write or create else os.O_RDONLY
        return RealFile(path, flags | (os.O_CREAT | os.O_TRUNC if create else 0))

    def map(self, path: Path, *, write: bool = False) -> RealMapping:
        """See `Disk`."""
        return RealMapping(path, write=write)

    def exists(self, path: Path) -> bool:
        """See `Disk`."""
        return path.exists()

    def listdir(self, path: Path) -> list[str]:
        """See `Disk`."""
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            return []

    def make_dir(self, path: Path) -> None:
        """See `Disk`."""
        if path.is_dir():
            return
        self.make_dir(path.parent)
        path.mkdir(exist_ok=True)
        self.fsync_dir(path.parent)

    def rename(self, source: Path, target: Path) -> None:
        """See `Disk`."""
        os.replace(source, target)

    def unlink(self, path: Path) -> None:
        """See `Disk`."""
        path.unlink(missing_ok=True)

    def fsync_dir(self, path: Path) -> None:
        """See `Disk`."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_all(file: DiskFile, payload: bytes | memoryview, offset: int) -> None:
    """Write every byte of `payload` at `offset`, in as many writes as it takes.

    Raises:
        OSError: A write failed; bytes before the place of failure may have been written.
    """
    view = memoryview(payload)
    while view:
        taken = file.pwrite(view, offset)
        if taken <= 0:
            raise OSError("a write took no byte")
        view = view[taken:]
        offset += taken
