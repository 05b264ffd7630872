"""Snapshots: saved whole or not at all, checked when read, the one before as the way back."""

from __future__ import annotations

import errno
from pathlib import Path

import msgspec
import pytest

from novate.journal.disk import RealDisk
from novate.journal.interface import Position
from novate.journal.snapshots import Snapshot, SnapshotStore, snapshot_at
from novate.model.errors import SnapshotCorrupt
from novate.testing.disk import FaultyDisk


def snapshot_of(seq: int, dump: bytes = b"the state") -> Snapshot:
    position = Position(
        seq=seq,
        timestamp_ns=10 * seq,
        record_hash=seq.to_bytes(32),
        events_hash=bytes(32),
        segment=f"{1:020d}.journal",
        offset=4096 + seq,
        end_offset=4096 + 8 * seq,
        epoch=3,
    )
    return snapshot_at(
        position,
        events_hash=(seq + 1).to_bytes(32),
        state_hash="ab" * 32,
        dump=dump,
        pending_outcomes=b"pending of %d" % seq,
    )


def test_a_saved_snapshot_is_the_latest(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    assert store.latest() == (None, [])
    snapshot = snapshot_of(7, dump=bytes(range(256)) * 50_000)
    saved = store.save(snapshot)
    assert store.latest() == (snapshot, [])
    assert saved.path.stat().st_size == saved.bytes
    assert store.list() == [saved]
    assert snapshot.position().end_offset == 4096 + 56
    assert snapshot.witness().seq == 7


def test_the_newest_are_kept(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path, keep=2)
    (tmp_path / "snapshots").mkdir()
    left = tmp_path / "snapshots" / f"{3:020d}.unfinished"
    left.write_bytes(b"half")
    for seq in (1, 5, 9, 12):
        store.save(snapshot_of(seq))
    assert store.seqs() == [12, 9]
    assert [file.seq for file in store.list()] == [12, 9]
    assert not left.exists()


@pytest.mark.slow
def test_a_damaged_snapshot_falls_back_to_the_one_before(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    for seq in (1, 5):
        store.save(snapshot_of(seq))
    path = store.path(5)
    whole = path.read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << (at % 8)
        path.write_bytes(damaged)
        found, warnings = store.latest()
        assert found == snapshot_of(1)
        assert [path.name in warning for warning in warnings] == [True]
    for cut in range(0, len(whole), 13):
        path.write_bytes(whole[:cut])
        assert store.latest()[0] == snapshot_of(1)


def test_no_snapshot_is_left_when_all_are_damaged(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    store.save(snapshot_of(1))
    store.path(1).write_bytes(b"")
    found, warnings = store.latest()
    assert (found, len(warnings)) == (None, 1)
    assert store.list() == []


def test_another_partition_or_name_or_format_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SnapshotStore(tmp_path)
    store.save(msgspec.structs.replace(snapshot_of(1), partition=4))
    with pytest.raises(SnapshotCorrupt, match="expected partition 0, found 4"):
        store.load(1)
    store.save(snapshot_of(2)).path.rename(store.path(3))
    with pytest.raises(SnapshotCorrupt, match="it holds the state of seq 2"):
        store.load(3)
    with monkeypatch.context() as newer:
        newer.setattr("novate.journal.snapshots.FORMAT_VERSION", 2)
        store.save(snapshot_of(5))
    with pytest.raises(SnapshotCorrupt, match="expected format 1, found 2"):
        store.load(5)


def test_a_disk_without_room_keeps_the_snapshots_before(tmp_path: Path) -> None:
    disk = FaultyDisk(RealDisk())
    store = SnapshotStore(tmp_path, disk)
    store.save(snapshot_of(1))
    disk.fill_up(short_write_bytes=100)
    with pytest.raises(OSError, match="No space left"):
        store.save(snapshot_of(2))
    disk.make_room()
    disk.sync_error = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        store.save(snapshot_of(2))
    assert store.latest() == (snapshot_of(1), [])
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == [store.path(1).name]
