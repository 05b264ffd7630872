"""Snapshots: the whole state at a seq, so that a restart needs not replay from the beginning.

A snapshot is only a saving of time: whatever it holds can be had from the journal again. It is
written beside its name and renamed when it is durable, and checked as a whole when it is read; one
that fails the check is passed over for the one before it.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import msgspec

from novate.journal.disk import Disk, DiskFile, RealDisk, write_all
from novate.journal.interface import RULES, Position, Witness
from novate.model.errors import SnapshotCorrupt

SNAPSHOT_FOLDER = "snapshots"
SNAPSHOT_SUFFIX = ".snapshot"
UNFINISHED_SUFFIX = ".unfinished"
FORMAT_VERSION = 1
MAGIC = b"NOVATES1"
WRITE_BYTES = 4 << 20

# magic, format, partition, seq, timestamp; then of the position in the journal: segment's first
# seq, offset, end offset, epoch, rules; lengths of dump and pending outcomes; record hash, events
# hash, length of the state hash, state hash.
HEADER = struct.Struct("<8sIIQqQQQQIIQQ32s32sI4x64s")
CHECKSUM_BYTES = 32


class Snapshot(msgspec.Struct, frozen=True):
    """The state behind the record that ends with `seq`.

    Attributes:
        seq: Last command in it.
        timestamp_ns: Time of that command.
        record_hash: Hash of the record that ends with it (32 bytes).
        events_hash: Running hash of the events up to and with that batch (32 bytes).
        state_hash: The engine's state hash, in hex.
        dump: The engine's dump.
        pending_outcomes: Outcomes blob of that batch, which is in no record up to there.
        rules: Version of the rules in force.
        partition: Number of the partition.
        segment: File name of the journal segment that holds the record.
        offset: Byte offset at which the record begins.
        end_offset: Byte offset right behind it.
        epoch: Epoch of the record's writer.
    """

    seq: int
    timestamp_ns: int
    record_hash: bytes
    events_hash: bytes
    state_hash: str
    dump: bytes
    pending_outcomes: bytes = b""
    rules: int = RULES
    partition: int = 0
    segment: str = ""
    offset: int = 0
    end_offset: int = 0
    epoch: int = 0

    def position(self) -> Position:
        """Where the journal is to be read on from.

        Its `events_hash` is that of the snapshot: after the batch, not before it.
        """
        return Position(
            seq=self.seq,
            timestamp_ns=self.timestamp_ns,
            record_hash=self.record_hash,
            events_hash=self.events_hash,
            segment=self.segment,
            offset=self.offset,
            end_offset=self.end_offset,
            epoch=self.epoch,
            rules=self.rules,
        )

    def witness(self) -> Witness:
        """This snapshot as a witness of how far the journal got."""
        return Witness(f"the snapshot of seq {self.seq}", self.seq, self.record_hash)


class SnapshotFile(msgspec.Struct, frozen=True):
    """A snapshot as it lies in the folder.

    Attributes:
        seq: Last command in it.
        timestamp_ns: Time of that command.
        bytes: Length of the file.
        path: The file.
        state_hash: The engine's state hash, in hex.
    """

    seq: int
    timestamp_ns: int
    bytes: int
    path: Path
    state_hash: str = ""


def snapshot_at(
    position: Position,
    *,
    events_hash: bytes,
    state_hash: str,
    dump: bytes,
    pending_outcomes: bytes = b"",
    partition: int = 0,
) -> Snapshot:
    """A snapshot of the state right behind `position`."""
    return Snapshot(
        seq=position.seq,
        timestamp_ns=position.timestamp_ns,
        record_hash=position.record_hash,
        events_hash=events_hash,
        state_hash=state_hash,
        dump=dump,
        pending_outcomes=pending_outcomes,
        rules=position.rules,
        partition=partition,
        segment=position.segment,
        offset=position.offset,
        end_offset=position.end_offset,
        epoch=position.epoch,
    )


def encode_header(snapshot: Snapshot) -> bytes:
    """The fixed part of a snapshot file."""
    state_hash = snapshot.state_hash.encode()
    if len(state_hash) > 64:
        raise ValueError(f"a state hash of {len(state_hash)} characters does not fit")
    return HEADER.pack(
        MAGIC,
        FORMAT_VERSION,
        snapshot.partition,
        snapshot.seq,
        snapshot.timestamp_ns,
        int(snapshot.segment[:20] or 0),
        snapshot.offset,
        snapshot.end_offset,
        snapshot.epoch,
        snapshot.rules,
        0,
        len(snapshot.dump),
        len(snapshot.pending_outcomes),
        snapshot.record_hash,
        snapshot.events_hash,
        len(state_hash),
        state_hash,
    )


def decode(image: bytes, name: str, partition: int) -> Snapshot:
    """A snapshot from the bytes of its file.

    Raises:
        SnapshotCorrupt: The bytes are not those that were written, or not of this partition.
    """
    if len(image) < HEADER.size + CHECKSUM_BYTES or not image.startswith(MAGIC):
        raise SnapshotCorrupt(f"{name}: this is not a whole Novate snapshot")
    fields = HEADER.unpack_from(image)
    view = memoryview(image)
    checksum = hashlib.blake2b(view[:-CHECKSUM_BYTES], digest_size=CHECKSUM_BYTES).digest()
    if checksum != image[-CHECKSUM_BYTES:]:
        raise SnapshotCorrupt(f"{name}: it fails its checksum")
    if fields[1] != FORMAT_VERSION:
        raise SnapshotCorrupt(f"{name}: expected format {FORMAT_VERSION}, found {fields[1]}")
    if fields[2] != partition:
        raise SnapshotCorrupt(f"{name}: expected partition {partition}, found {fields[2]}")
    dump_end = HEADER.size + fields[11]
    outcomes_end = dump_end + fields[12]
    if outcomes_end + CHECKSUM_BYTES != len(image):
        raise SnapshotCorrupt(f"{name}: its parts don't add up to its length {len(image)}")
    return Snapshot(
        seq=fields[3],
        timestamp_ns=fields[4],
        record_hash=fields[13],
        events_hash=fields[14],
        state_hash=fields[16][: fields[15]].decode(),
        dump=bytes(view[HEADER.size : dump_end]),
        pending_outcomes=bytes(view[dump_end:outcomes_end]),
        rules=fields[9],
        partition=fields[2],
        segment=f"{fields[5]:020d}.journal",
        offset=fields[6],
        end_offset=fields[7],
        epoch=fields[8],
    )


class SnapshotStore:
    """The snapshots of one data folder. One process saves; any may read.

    Args:
        folder: The data folder.
        disk: Where it is.
        keep: How many of the newest are kept when one is saved.
        partition: Number of the partition.
    """

    def __init__(
        self, folder: Path, disk: Disk | None = None, keep: int = 3, partition: int = 0
    ) -> None:
        self.folder = folder / SNAPSHOT_FOLDER
        self.keep = max(keep, 1)
        self.partition = partition
        self._disk: Disk = disk or RealDisk()

    def save(self, snapshot: Snapshot) -> SnapshotFile:
        """Make a snapshot durable; older ones than the `keep` newest are removed.

        Raises:
            OSError: It could not be made durable; those before it are as they were.
        """
        self._disk.make_dir(self.folder)
        path = self.path(snapshot.seq)
        unfinished = path.with_suffix(UNFINISHED_SUFFIX)
        length = self._write(unfinished, snapshot)
        self._disk.rename(unfinished, path)
        self._disk.fsync_dir(self.folder)
        self._remove_old()
        return SnapshotFile(snapshot.seq, snapshot.timestamp_ns, length, path, snapshot.state_hash)

    def path(self, seq: int) -> Path:
        """File of the snapshot at `seq`."""
        return self.folder / f"{seq:020d}{SNAPSHOT_SUFFIX}"

    def _write(self, path: Path, snapshot: Snapshot) -> int:
        digest = hashlib.blake2b(digest_size=CHECKSUM_BYTES)
        offset = 0
        file = self._disk.open(path, create=True)
        try:
            for part in (encode_header(snapshot), snapshot.dump, snapshot.pending_outcomes):
                digest.update(part)
                offset = self._write_part(file, part, offset)
            offset = self._write_part(file, digest.digest(), offset)
            file.fdatasync()
        except OSError:
            file.close()
            self._disk.unlink(path)
            raise
        file.close()
        return offset

    def _write_part(self, file: DiskFile, part: bytes, offset: int) -> int:
        view = memoryview(part)
        while view:
            write_all(file, view[:WRITE_BYTES], offset)
            offset += min(len(view), WRITE_BYTES)
            view = view[WRITE_BYTES:]
        return offset

    def _remove_old(self) -> None:
        """Remove what is over the number to keep; that it fails costs only room."""
        try:
            names = self._disk.listdir(self.folder)
            for seq in self.seqs()[self.keep :]:
                self._disk.unlink(self.path(seq))
            for name in names:
                if name.endswith(UNFINISHED_SUFFIX):
                    self._disk.unlink(self.folder / name)
        except OSError:
            return

    def seqs(self) -> list[int]:
        """Seqs of the snapshots, newest first; none of them is read."""
        names = self._disk.listdir(self.folder)
        stems = [name.removesuffix(SNAPSHOT_SUFFIX) for name in names if is_snapshot(name)]
        return sorted((int(stem) for stem in stems), reverse=True)

    def load(self, seq: int) -> Snapshot:
        """The snapshot at `seq`, checked as a whole.

        Raises:
            SnapshotCorrupt: It can't be believed.
            OSError: It can't be read.
        """
        path = self.path(seq)
        file = self._disk.open(path)
        try:
            image = file.pread(file.size(), 0)
        finally:
            file.close()
        snapshot = decode(image, path.name, self.partition)
        if snapshot.seq != seq:
            raise SnapshotCorrupt(f"{path.name}: it holds the state of seq {snapshot.seq}")
        return snapshot

    def latest(self) -> tuple[Snapshot | None, list[str]]:
        """The newest snapshot that can be believed, and a warning for each that can't.

        Its name is on disk on return: a run that was killed may have left it unsynced, and the
        journal may be pruned for it.
        """
        warnings: list[str] = []
        for seq in self.seqs():
            try:
                snapshot = self.load(seq)
                self._disk.fsync_dir(self.folder)
                return snapshot, warnings
            except (SnapshotCorrupt, OSError) as fault:
                warnings.append(f"a snapshot is passed over: {fault}")
        return None, warnings

    def list(self) -> list[SnapshotFile]:
        """The snapshots, newest first, from their headers alone: their checksums aren't tested."""
        found = []
        for seq in self.seqs():
            try:
                file = self._disk.open(self.path(seq))
            except OSError:
                continue
            head, length = file.pread(HEADER.size, 0), file.size()
            file.close()
            if len(head) == HEADER.size and head.startswith(MAGIC):
                fields = HEADER.unpack(head)
                state_hash = fields[16][: fields[15]].decode(errors="replace")
                found.append(SnapshotFile(seq, fields[4], length, self.path(seq), state_hash))
        return found


def is_snapshot(name: str) -> bool:
    """Whether a file of that name is a finished snapshot."""
    stem = name.removesuffix(SNAPSHOT_SUFFIX)
    return stem != name and len(stem) == 20 and stem.isascii() and stem.isdigit()
