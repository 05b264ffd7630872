"""Reads a whole journal and says whether every record is there and as it was written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from novate.journal.choosing import Reader
from novate.journal.disk import Disk, RealDisk
from novate.journal.interface import Position, Record, Witness
from novate.journal.mark import MARK_FILE, DurableMark
from novate.journal.reading import End, JournalReader
from novate.journal.segments import check_witnesses
from novate.journal.snapshots import Snapshot, SnapshotStore
from novate.model.errors import JournalCorrupt, JournalError, SnapshotCorrupt


class Verified(msgspec.Struct):
    """What a whole journal holds.

    Attributes:
        stored: How it is kept, for people.
        records: Number of records, one per batch.
        commands: Number of commands.
        command_bytes: Bytes of commands.
        first_seq: First seq that is not pruned.
        last: The journal's end; None where there is no journal.
        snapshots: Seqs of the snapshots that can be believed, newest first.
        warnings: What is not as it should be and does no harm, in words.
    """

    stored: str = ""
    records: int = 0
    commands: int = 0
    command_bytes: int = 0
    first_seq: int = 1
    last: Position | None = None
    snapshots: list[int] = []
    warnings: list[str] = []


def verify(folder: Path, disk: Disk | None = None, partition: int = 0) -> Verified:
    """Check a data folder's segment files as `verify_journal` does."""
    return verify_journal(JournalReader(folder, disk or RealDisk(), partition))


def verify_journal(reader: Reader, witnesses: Sequence[Witness] = ()) -> Verified:
    """Check every record of a journal, and its data folder's snapshots and mark against it.

    Nothing is changed, and a server may be running: what it is just writing is not counted.

    Args:
        reader: The journal.
        witnesses: Others who saw how far it got, asked before this is called.

    Raises:
        JournalError: The journal can't be believed; the place is named.
    """
    while True:
        first_seq = reader.first_seq()
        try:
            return _verify(reader, witnesses)
        except (JournalError, FileNotFoundError):
            if reader.first_seq() == first_seq:  # else it was pruned while it was read
                raise


def _verify(reader: Reader, others: Sequence[Witness]) -> Verified:
    found = Verified()
    snapshots, witnesses = _witnesses(reader, found)
    witnesses += others
    end = reader.end()
    if end is None:
        check_witnesses(_nothing(), witnesses)
        return found
    if end.torn:
        found.warnings.append(f"an unfinished write stands behind the last record: {end.torn}")
    found.stored = reader.stored()
    found.first_seq = reader.first_seq()
    _check_beginning(found, reader.name_of(found.first_seq))
    hashes = {snapshot.seq: snapshot.record_hash for snapshot in snapshots}
    for record in reader.read(found.first_seq, bound=end.bound()):
        batch = record.batch
        found.records += 1
        found.commands += batch.count
        found.command_bytes += len(batch.commands)
        if batch.last_seq in hashes:
            require_taken_of(record, hashes[batch.last_seq])
    check_witnesses(end.position, witnesses, end.torn)
    found.last = end.position
    return found


def require_taken_of(record: Record, record_hash: bytes) -> None:
    """Refuse a snapshot that names another hash for the record at its seq."""
    if record.record_hash != record_hash:
        why = "the snapshot of this seq was taken of another record"
        raise JournalCorrupt(why, record.segment, record.offset, record.batch.last_seq)


def believed_end(reader: Reader, witnesses: Sequence[Witness] = ()) -> End:
    """The journal's end, held against the durable mark, the snapshots and other witnesses.

    Raises:
        JournalError: There is no journal, its end is damaged, or it is before a witness.
    """
    _, own = _witnesses(reader, Verified())
    end = reader.end()
    torn = end.torn if end else ""
    check_witnesses(end.position if end else _nothing(), [*own, *witnesses], torn)
    if end is None:
        raise JournalError(f"expected a journal, there is none in {reader.place}")
    return end


def _check_beginning(found: Verified, name: str) -> None:
    """What is gone before the first record must be in a snapshot, else it is lost."""
    first_seq = found.first_seq
    if first_seq == 1:
        return
    missing = f"seq 1 to {first_seq - 1} are missing"
    if max(found.snapshots, default=0) < first_seq - 1:
        why = f"{missing}, and no whole snapshot holds them"
        raise JournalCorrupt(why, name, 0, first_seq)
    found.warnings.append(f"{missing} (pruned)")


def _witnesses(reader: Reader, found: Verified) -> tuple[list[Snapshot], list[Witness]]:
    """The snapshots that can be believed, and everyone who saw how far the journal got.

    To be asked before the journal is read, for a running server goes on meanwhile.
    """
    witnesses = _mark_witness(reader.folder, reader.disk, found)
    snapshots = _snapshots(reader.folder, reader.disk, reader.partition, found)
    return snapshots, witnesses + [snapshot.witness() for snapshot in snapshots]


def _nothing() -> Position:
    return Position(0, 0, bytes(32), bytes(32), "", 0, 0, 0)


def _mark_witness(folder: Path, disk: Disk, found: Verified) -> list[Witness]:
    try:
        mark = DurableMark(folder, disk)
    except FileNotFoundError:
        # Beside a journal in PostgreSQL the folder may be a new one, as on another machine.
        if disk.listdir(folder):
            found.warnings.append(_unmarked(f"there is no {folder / MARK_FILE}"))
        return []
    witness = mark.load().witness()
    if mark.unreadable:
        found.warnings.append(_unmarked(f"{folder / MARK_FILE} can't be read"))
    elif not witness.seq:  # as a start makes it that finds none, and is then refused
        found.warnings.append(_unmarked(f"{folder / MARK_FILE} was made anew"))
    mark.close()
    return [witness]


def _unmarked(why: str) -> str:
    return f"{why}: the durable mark does not say how far the journal got"


def _snapshots(folder: Path, disk: Disk, partition: int, found: Verified) -> list[Snapshot]:
    """The snapshots that can be believed, without their dumps; the others become warnings."""
    store = SnapshotStore(folder, disk, partition=partition)
    good: list[Snapshot] = []
    for seq in store.seqs():
        try:
            good.append(msgspec.structs.replace(store.load(seq), dump=b""))
        except (SnapshotCorrupt, OSError) as fault:
            found.warnings.append(f"a snapshot can't be believed: {fault}")
    found.snapshots = [snapshot.seq for snapshot in good]
    return good


def run(folder: Path, disk: Disk | None = None, partition: int = 0) -> int:
    """Verify a data folder's segment files and print what was found, as `run_journal` does."""
    return run_journal(JournalReader(folder, disk or RealDisk(), partition))


def run_journal(
    reader: Reader, witnesses: Sequence[Witness] = (), warnings: Sequence[str] = ()
) -> int:
    """Verify and print what was found, behind `warnings`; the exit code: 0 = whole, 1 = not."""
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    try:
        found = verify_journal(reader, witnesses)
    except JournalError as fault:
        print(f"journal: FAILED: {fault}", file=sys.stderr)
        return 1
    finally:
        reader.close()
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if found.last is None:
        print(
            f"journal: FAILED: there is none in {reader.place}",
            file=sys.stderr,
        )
        return 1
    print(
        f"journal: whole, {found.stored}, {found.records} records, "
        f"{found.commands} commands ({found.command_bytes} bytes), "
        f"seq {found.first_seq} to {found.last.seq}"
    )
    print(f"record hash: {found.last.record_hash.hex()}")
    print(f"snapshots: {len(found.snapshots)} whole" + _seqs(found.snapshots))
    return 0


def _seqs(seqs: list[int]) -> str:
    return ", at seq " + ", ".join(map(str, seqs)) if seqs else ""
