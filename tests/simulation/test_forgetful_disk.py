"""Law 1 on a disk that forgets: what was acknowledged is there, in order, once, after any crash."""

import errno
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from novate.journal.disk import Disk
from novate.journal.interface import Appended, Batch, Position
from novate.journal.segments import SegmentJournal
from novate.journal.snapshots import Snapshot, SnapshotStore, snapshot_at
from novate.model.errors import JournalFailed, JournalFull
from novate.testing.disk import FaultyDisk, ForgetfulDisk, PowerLoss
from tests.conftest import scaled

SEEDS = scaled(1000)
FOLDER = Path("/novate")
LIVES = 6
SEGMENT_BYTES = 16 << 10


@dataclass
class Auditor:
    """What was acknowledged, and what may or may not be there."""

    acknowledged: list[Batch] = field(default_factory=list)
    submitted: Batch | None = None
    unsynced: list[Batch] = field(default_factory=list)
    snapshot: Snapshot | None = None
    snapshot_submitted: Snapshot | None = None

    def recovered(self, found: list[Batch], first_seq: int) -> None:
        known = [batch for batch in self.acknowledged if batch.last_seq >= first_seq]
        assert found[: len(known)] == known
        maybe = [*self.unsynced, *([self.submitted] if self.submitted else [])]
        extra = found[len(known) :]
        assert extra == maybe[: len(extra)]
        self.acknowledged += extra
        self.submitted, self.unsynced = None, []

    def snapshot_found(self, found: Snapshot | None) -> None:
        if found is not None and found == self.snapshot_submitted:
            self.snapshot = found
        assert found == self.snapshot
        self.snapshot_submitted = None


class Life:
    """One run of a program on the disk, from its start to the next crash."""

    def __init__(
        self, disk: Disk, auditor: Auditor, chance: random.Random, relaxed: bool = False
    ) -> None:
        self.disk, self.auditor, self.chance, self.relaxed = disk, auditor, chance, relaxed
        self.store = SnapshotStore(FOLDER, disk, keep=2)
        self.start: Position | None = None

    def recover_and_live(self, steps: int) -> None:
        self.recover()
        self.live(steps)

    def recover(self) -> None:
        snapshot, _ = self.store.latest()
        self.auditor.snapshot_found(snapshot)
        self.start = snapshot.position() if snapshot else None
        self.journal = SegmentJournal(
            FOLDER,
            disk=self.disk,
            segment_bytes=SEGMENT_BYTES,
            start=self.start,
            witnesses=[snapshot.witness()] if snapshot else [],
            random_bytes=self.chance.randbytes,
        )
        first_seq = self.start.seq + 1 if self.start else 1
        found = [record.batch for record in self.journal.read(first_seq, self.start)]
        self.auditor.recovered(found, first_seq)
        assert self.journal.last().seq == self.last_seq

    @property
    def last_seq(self) -> int:
        batches = [*self.auditor.acknowledged, *self.auditor.unsynced]
        return batches[-1].last_seq if batches else 0

    def live(self, steps: int) -> None:
        for _ in range(steps):
            step = self.chance.random()
            if step < 0.8:
                self.append()
            elif step < 0.9 and self.relaxed:
                self.sync()
            elif step < 0.97:
                self.save_snapshot()
            else:
                self.prune()

    def append(self) -> None:
        count = self.chance.choice((1, 1, 3, 40))
        batch = Batch(
            self.last_seq + 1,
            count,
            self.chance.getrandbits(40),
            self.chance.randbytes(88 * count),
            self.chance.randbytes(self.chance.choice((0, 9, 100))),
            self.chance.randbytes(32),
        )
        sync = not self.relaxed
        self.auditor.submitted = batch
        answer = self.journal.append(self.last_seq, self.journal.epoch, batch, sync=sync)
        assert answer is (Appended.DURABLE if sync else Appended.WRITTEN)
        (self.auditor.acknowledged if sync else self.auditor.unsynced).append(batch)
        self.auditor.submitted = None
        self.journal.prepare()
        if not sync and self.journal.durable().seq >= self.auditor.unsynced[0].first_seq:
            self.believe()

    def believe(self) -> None:
        """What a roll has synced on its way is acknowledged too."""
        durable = self.journal.durable().seq
        done = [batch for batch in self.auditor.unsynced if batch.last_seq <= durable]
        self.auditor.acknowledged += done
        del self.auditor.unsynced[: len(done)]

    def sync(self) -> None:
        self.journal.sync()
        self.auditor.acknowledged += self.auditor.unsynced
        self.auditor.unsynced = []

    def save_snapshot(self) -> None:
        position = self.journal.durable()
        newest = self.auditor.snapshot
        if position.seq == 0 or (newest is not None and newest.seq >= position.seq):
            return
        snapshot = snapshot_at(
            position,
            events_hash=self.chance.randbytes(32),
            state_hash="",
            dump=self.chance.randbytes(self.chance.randint(0, 3000)),
            pending_outcomes=b"pending",
        )
        self.auditor.snapshot_submitted = snapshot
        self.store.save(snapshot)
        self.auditor.snapshot, self.auditor.snapshot_submitted = snapshot, None

    def prune(self) -> None:
        seqs = self.store.seqs()
        if seqs:
            self.journal.prune(seqs[-1])


class FailingLife(Life):
    """A run on a disk that is full at times, and whose syncs fail now and then."""

    disk: FaultyDisk

    def append(self) -> None:
        if self.chance.random() < 0.1:
            self.disk.fill_up(self.chance.randint(0, 400))
        elif self.chance.random() < 0.5:
            self.disk.make_room()
        self.disk.short_writes = self.chance.random() < 0.1
        if self.chance.random() < 0.02:
            self.disk.sync_error = errno.EIO
        try:
            super().append()
        except JournalFull:
            self.auditor.submitted = None

    def save_snapshot(self) -> None:
        try:
            super().save_snapshot()
        except OSError:
            self.auditor.snapshot_submitted = None


def live_and_crash(seed: int, relaxed: bool) -> Auditor:
    chance = random.Random(seed)
    disk = ForgetfulDisk(seed)
    auditor = Auditor()
    for _ in range(LIVES):
        crash_at = chance.choice((chance.randint(1, 12), chance.randint(1, 300)))
        disk.start_again(crash_at, power_lost=chance.random() < 0.7)
        with pytest.raises(PowerLoss):
            Life(disk, auditor, chance, relaxed).recover_and_live(400)
    disk.start_again()
    Life(disk, auditor, chance, relaxed).recover_and_live(20)
    return auditor


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_what_was_acknowledged_survives_any_crash(part: int) -> None:
    for seed in range(part * SEEDS // 10, (part + 1) * SEEDS // 10):
        try:
            auditor = live_and_crash(seed, relaxed=False)
        except BaseException as fault:
            fault.add_note(f"seed {seed}")
            raise
        assert auditor.acknowledged


@pytest.mark.slow
@pytest.mark.parametrize("part", range(5))
def test_relaxed_durability_loses_only_what_was_not_synced(part: int) -> None:
    for seed in range(part * SEEDS // 5, (part + 1) * SEEDS // 5):
        try:
            live_and_crash(seed, relaxed=True)
        except BaseException as fault:
            fault.add_note(f"seed {seed}")
            raise


def live_with_faults(seed: int) -> Auditor:
    chance = random.Random(seed)
    disk = ForgetfulDisk(seed)
    auditor = Auditor()
    for _ in range(LIVES):
        disk.start_again(chance.randint(1, 300), power_lost=chance.random() < 0.5)
        with pytest.raises((PowerLoss, JournalFailed)):
            FailingLife(FaultyDisk(disk), auditor, chance).recover_and_live(1000)
    disk.start_again()
    Life(disk, auditor, chance).recover_and_live(20)
    return auditor


@pytest.mark.slow
@pytest.mark.parametrize("part", range(5))
def test_what_was_acknowledged_survives_full_and_failing_disks(part: int) -> None:
    for seed in range(part * SEEDS // 5, (part + 1) * SEEDS // 5):
        try:
            assert live_with_faults(seed).acknowledged
        except BaseException as fault:
            fault.add_note(f"seed {seed}")
            raise
