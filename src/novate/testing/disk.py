"""Disks for tests: one that forgets what was not synced, and one that fails on demand.

`ForgetfulDisk` keeps files in memory twice, as programs see them and as they are on disk, and
loses power at a chosen operation. `FaultyDisk` stands before any disk and makes it full, slow or
failing while a program runs. Both are `novate.journal.disk.Disk`s.

What a power cut does here, each by seeded chance: a sector (512 bytes) that was written and not
synced is there or not, and one write may stop at any byte; bytes outside a write are never
touched. A name that was made, changed or removed and whose folder was not synced is so or not; a
rename happens wholly or not at all. Mapped sectors are as they were last seen or as last synced.
"""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from pathlib import Path

from novate.journal.disk import Disk, DiskFile, Mapping

SECTOR_BYTES = 512


class PowerLoss(BaseException):
    """The machine is off: no operation returns any more. Not an `Exception`: nobody handles it."""


class Inode:
    """A file without its name: as programs see it, as it is on disk, and what lies between."""

    def __init__(self) -> None:
        self.live = bytearray()
        self.durable = b""
        self.mapped = False
        self.pending: list[tuple[int, bytes | None]] = []

    def write(self, payload: bytes, offset: int) -> None:
        """Write as programs see it."""
        self.pending.append((offset, payload))
        _apply_write(self.live, payload, offset)

    def resize(self, length: int) -> None:
        """Change the length as programs see it."""
        self.pending.append((length, None))
        _apply_size(self.live, length)

    def sync(self) -> None:
        """Put on disk what programs see."""
        self.durable = bytes(self.live)
        self.pending.clear()

    def lose_power(self, chance: random.Random) -> None:
        """Become what the disk kept."""
        kept = bytearray(self.durable)
        share = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        for place, payload in self.pending:
            if payload is None:
                if chance.random() < share:
                    _apply_size(kept, place)
            else:
                _keep_some(kept, payload, place, share, chance)
        if self.mapped:
            _keep_some(kept, bytes(self.live), 0, share, chance)
        self.live = kept
        self.sync()


def _apply_write(content: bytearray, payload: bytes, offset: int) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(payload)] = payload


def _apply_size(content: bytearray, length: int) -> None:
    if len(content) > length:
        del content[length:]
    else:
        content.extend(bytes(length - len(content)))


def _keep_some(
    content: bytearray, payload: bytes, offset: int, share: float, chance: random.Random
) -> None:
    """Write some of the sectors of `payload`; one write in four stops at a byte instead."""
    if chance.random() < 0.25 and share not in (0.0, 1.0):
        _apply_write(content, payload[: chance.randint(0, len(payload))], offset)
        return
    at = 0
    while at < len(payload):
        end = min(len(payload), at + SECTOR_BYTES - (offset + at) % SECTOR_BYTES)
        if chance.random() < share:
            _apply_write(content, payload[at:end], offset + at)
        at = end


class ForgetfulFile:
    """An open file of a `ForgetfulDisk`."""

    def __init__(self, disk: ForgetfulDisk, inode: Inode, *, write: bool) -> None:
        self._disk = disk
        self._inode = inode
        self._write = write
        self._boot = disk.boots

    def _alive(self) -> None:
        if self._boot != self._disk.boots:
            raise PowerLoss("a file that was open before the power went")

    def pread(self, length: int, offset: int) -> bytes:
        """See `DiskFile`."""
        with self._disk.lock:
            self._alive()
            return bytes(self._inode.live[offset : offset + length])

    def pwrite(self, payload: bytes | memoryview, offset: int) -> int:
        """See `DiskFile`."""
        with self._disk.lock:
            self._alive()
            if not self._write:
                raise OSError(errno.EBADF, "the file is open for reading only")
            image = bytes(payload)
            if self._disk.is_last_operation():
                image = image[: self._disk.chance.randint(0, len(image))]
                self._inode.write(image, offset)
                self._disk.crash()
            self._inode.write(image, offset)
            return len(image)

    def fdatasync(self) -> None:
        """See `DiskFile`."""
        with self._disk.lock:
            self._alive()
            if self._disk.is_last_operation():
                if self._disk.chance.random() < 0.5:
                    self._inode.sync()
                self._disk.crash()
            self._inode.sync()

    def allocate(self, length: int) -> None:
        """See `DiskFile`."""
        with self._disk.lock:
            self._alive()
            self._disk.step()
            if length > len(self._inode.live):
                self._inode.resize(length)

    def truncate(self, length: int) -> None:
        """See `DiskFile`."""
        with self._disk.lock:
            self._alive()
            self._disk.step()
            self._inode.resize(length)

    def size(self) -> int:
        """See `DiskFile`."""
        with self._disk.lock:
            self._alive()
            return len(self._inode.live)

    def forget(self) -> None:
        """Drop every page that was not synced, as a kernel does after a failed sync."""
        with self._disk.lock:
            self._inode.live = bytearray(self._inode.durable)
            self._inode.pending.clear()

    def close(self) -> None:
        """See `DiskFile`."""


class ForgetfulMapping:
    """A mapped file of a `ForgetfulDisk`."""

    def __init__(self, inode: Inode) -> None:
        self._inode = inode
        inode.mapped = True

    @property
    def buffer(self) -> bytearray:
        """See `Mapping`."""
        return self._inode.live

    def flush(self) -> None:
        """See `Mapping`."""
        self._inode.sync()

    def close(self) -> None:
        """See `Mapping`."""


NameChange = tuple[Path, Inode | None, Path | None]
"""A name, the file it is given (None = removed), and the name that goes with it (a rename)."""


class ForgetfulDisk:
    """A disk in memory that forgets, when the power goes, what was not synced.

    Args:
        seed: Of what a power cut keeps.
        crash_at: Number of the operation, counted from the last start, inside which the power
            goes; None = never. Reads are not counted.

    Attributes:
        operations: Operations since the last start.
        boots: How many times the machine was started again.
    """

    def __init__(self, seed: int = 0, crash_at: int | None = None) -> None:
        self.chance = random.Random(seed)
        self.crash_at = crash_at
        self.operations = 0
        self.boots = 0
        self.lock = threading.RLock()
        self._names: dict[Path, Inode] = {}
        self._durable_names: dict[Path, Inode] = {}
        self._pending_names: list[NameChange] = []
        self._folders: set[Path] = set()
        self._off = False

    # --- power --------------------------------------------------------------------------------

    def is_last_operation(self) -> bool:
        """Count an operation; whether the power goes inside it."""
        if self._off:
            raise PowerLoss("the machine is off")
        self.operations += 1
        return self.crash_at is not None and self.operations >= self.crash_at

    def crash(self) -> None:
        """Switch the machine off."""
        self._off = True
        raise PowerLoss(f"power lost in operation {self.operations}")

    def step(self) -> None:
        """Count an operation that happens at once or not at all."""
        if self.is_last_operation():
            self.crash()

    def start_again(self, crash_at: int | None = None, *, power_lost: bool = True) -> None:
        """Start the machine, or (`power_lost=False`) only the program after a kill -9."""
        with self.lock:
            if power_lost:
                self._lose_power()
            self._off = False
            self.operations = 0
            self.boots += 1
            self.crash_at = crash_at

    def _lose_power(self) -> None:
        share = self.chance.choice((0.0, 0.5, 1.0))
        in_order = self.chance.random() < 0.5
        for change in self._pending_names:
            kept = self.chance.random() < share
            if kept:
                _apply_name(self._durable_names, change)
            elif in_order:
                break
        self._pending_names.clear()
        self._names = dict(self._durable_names)
        for inode in {id(inode): inode for inode in self._names.values()}.values():
            inode.lose_power(self.chance)
            inode.mapped = False

    # --- names --------------------------------------------------------------------------------

    def _change(self, name: Path, inode: Inode | None, gone: Path | None = None) -> None:
        change = (name, inode, gone)
        self._pending_names.append(change)
        _apply_name(self._names, change)

    def _inode(self, path: Path) -> Inode:
        try:
            return self._names[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None

    def open(self, path: Path, *, write: bool = False, create: bool = False) -> ForgetfulFile:
        """See `Disk`."""
        with self.lock:
            if create:
                self.step()
                if path.parent not in self._folders:
                    raise FileNotFoundError(errno.ENOENT, "no such folder", str(path.parent))
                if path not in self._names:
                    self._change(path, Inode())
                self._names[path].resize(0)
            return ForgetfulFile(self, self._inode(path), write=write or create)

    def map(self, path: Path, *, write: bool = False) -> ForgetfulMapping:
        """See `Disk`."""
        with self.lock:
            return ForgetfulMapping(self._inode(path))

    def exists(self, path: Path) -> bool:
        """See `Disk`."""
        return path in self._names or path in self._folders

    def listdir(self, path: Path) -> list[str]:
        """See `Disk`."""
        with self.lock:
            return sorted(name.name for name in self._names if name.parent == path)

    def make_dir(self, path: Path) -> None:
        """See `Disk`."""
        with self.lock:
            self._folders.update((path, *path.parents))

    def rename(self, source: Path, target: Path) -> None:
        """See `Disk`."""
        with self.lock:
            self.step()
            self._change(target, self._inode(source), source)

    def unlink(self, path: Path) -> None:
        """See `Disk`."""
        with self.lock:
            self.step()
            if path in self._names:
                self._change(path, None)

    def fsync_dir(self, path: Path) -> None:
        """See `Disk`."""
        with self.lock:
            self.step()
            left: list[NameChange] = []
            for change in self._pending_names:
                if change[0].parent == path:
                    _apply_name(self._durable_names, change)
                else:
                    left.append(change)
            self._pending_names = left


def _apply_name(names: dict[Path, Inode], change: NameChange) -> None:
    name, inode, gone = change
    if gone is not None:
        names.pop(gone, None)
    if inode is None:
        names.pop(name, None)
    else:
        names[name] = inode


class FaultyFile:
    """A file of a `FaultyDisk`."""

    def __init__(self, disk: FaultyDisk, inner: DiskFile) -> None:
        self._disk = disk
        self._inner = inner

    def pread(self, length: int, offset: int) -> bytes:
        """See `DiskFile`."""
        if self._disk.read_error is not None:
            raise _os_error(self._disk.read_error)
        return self._inner.pread(length, offset)

    def pwrite(self, payload: bytes | memoryview, offset: int) -> int:
        """See `DiskFile`."""
        disk = self._disk
        if disk.write_error is not None:
            if disk.short_write_bytes:
                part = memoryview(payload)[: disk.short_write_bytes]
                disk.short_write_bytes -= len(part)
                return self._inner.pwrite(part, offset)
            raise _os_error(disk.write_error)
        if disk.short_writes and len(payload) > 1:
            payload = memoryview(payload)[: max(1, len(payload) // 3)]
        return self._inner.pwrite(payload, offset)

    def fdatasync(self) -> None:
        """See `DiskFile`."""
        disk = self._disk
        disk.syncs += 1
        if disk.sync_seconds:
            time.sleep(disk.sync_seconds)
        disk.may_sync.wait()
        if disk.sync_error is not None:
            fault = _os_error(disk.sync_error)
            disk.sync_error = None
            forget = getattr(self._inner, "forget", None)
            if forget is not None:
                forget()
            raise fault
        self._inner.fdatasync()

    def allocate(self, length: int) -> None:
        """See `DiskFile`."""
        if self._disk.allocate_error is not None:
            raise _os_error(self._disk.allocate_error)
        self._inner.allocate(length)

    def truncate(self, length: int) -> None:
        """See `DiskFile`."""
        self._inner.truncate(length)

    def size(self) -> int:
        """See `DiskFile`."""
        return self._inner.size()

    def close(self) -> None:
        """See `DiskFile`."""
        self._inner.close()


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class FaultyDisk:
    """A disk in front of another, that fails as long as it is told to.

    Args:
        inner: The disk that does the work.

    Attributes:
        write_error: An errno that every write answers (`errno.ENOSPC`: full); None = none.
        short_write_bytes: Bytes that are still taken before `write_error` is answered.
        short_writes: Whether every write takes only a part of what it is given.
        allocate_error: An errno that every allocation answers; None = none.
        read_error: An errno that every read answers; None = none.
        sync_error: An errno that the next fdatasync answers, once; what it was to sync is lost
            where the inner disk can forget. The one after it succeeds, as kernels do.
        sync_seconds: How long every fdatasync takes.
        may_sync: While it is not set, every fdatasync waits; set at first.
        syncs: How many there were.
    """

    def __init__(self, inner: Disk) -> None:
        self.inner = inner
        self.write_error: int | None = None
        self.short_write_bytes = 0
        self.short_writes = False
        self.allocate_error: int | None = None
        self.read_error: int | None = None
        self.sync_error: int | None = None
        self.sync_seconds = 0.0
        self.may_sync = threading.Event()
        self.may_sync.set()
        self.syncs = 0

    def fill_up(self, short_write_bytes: int = 0) -> None:
        """Become full; `short_write_bytes` are still taken."""
        self.write_error = self.allocate_error = errno.ENOSPC
        self.short_write_bytes = short_write_bytes

    def make_room(self) -> None:
        """Have room again."""
        self.write_error = self.allocate_error = None
        self.short_write_bytes = 0

    def open(self, path: Path, *, write: bool = False, create: bool = False) -> FaultyFile:
        """See `Disk`."""
        return FaultyFile(self, self.inner.open(path, write=write, create=create))

    def map(self, path: Path, *, write: bool = False) -> Mapping:
        """See `Disk`."""
        return self.inner.map(path, write=write)

    def exists(self, path: Path) -> bool:
        """See `Disk`."""
        return self.inner.exists(path)

    def listdir(self, path: Path) -> list[str]:
        """See `Disk`."""
        return self.inner.listdir(path)

    def make_dir(self, path: Path) -> None:
        """See `Disk`."""
        self.inner.make_dir(path)

    def rename(self, source: Path, target: Path) -> None:
        """See `Disk`."""
        self.inner.rename(source, target)

    def unlink(self, path: Path) -> None:
        """See `Disk`."""
        self.inner.unlink(path)

    def fsync_dir(self, path: Path) -> None:
        """See `Disk`."""
        self.inner.fsync_dir(path)


def flip_bit(disk: Disk, path: Path, offset: int, bit: int = 0) -> None:
    """Change one bit of a file, as a failing disk would.

    Raises:
        ValueError: The file ends before `offset`.
    """
    file = disk.open(path, write=True)
    found = file.pread(1, offset)
    if not found:
        raise ValueError(f"{path} ends before offset {offset}")
    file.pwrite(bytes([found[0] ^ (1 << bit)]), offset)
    file.fdatasync()
    file.close()
