"""A journal in memory, for tests of what stands in front of one."""

from __future__ import annotations

import threading
from collections import deque

from novate.journal.interface import Appended, Batch

PATIENCE_SECONDS = 10.0


class MemoryJournal:
    """Keeps batches in a list; can be held up, and told how its next appends end.

    Attributes:
        batches: What was appended, in order; under relaxed durability synced or not.
        synced: How many of `batches` were synced.
        syncs: How often they were.
        sync_error: Raised by every sync, if set.
        appending: Set while an append is at the gate.
        endings: How the next appends end, first come first served: an `Appended` or an exception
            to raise. An append without one is durable.
        base_seq: The seq before the first batch, for a journal with an earlier life.
        away: Raised by every `prepare`, if set.
        gate: Appends wait while it is clear.
        sync_gate: Syncs wait while it is clear.
    """

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.base_seq = 0
        self.synced = 0
        self.syncs = 0
        self.endings: deque[Appended | Exception] = deque()
        self.gate = threading.Event()
        self.gate.set()
        self.sync_gate = threading.Event()
        self.sync_gate.set()
        self.appending = threading.Event()
        self.sync_error: Exception | None = None
        self.away: Exception | None = None

    def append(self, expected_seq: int, epoch: int, batch: Batch, *, sync: bool = True) -> Appended:
        """Keep the batch, unless an ending says otherwise."""
        self.appending.set()
        if not self.gate.wait(PATIENCE_SECONDS):
            raise TimeoutError("the gate of a MemoryJournal was not opened")
        self.appending.clear()
        ending = self.endings.popleft() if self.endings else Appended.DURABLE
        if isinstance(ending, Exception):
            raise ending
        if ending is Appended.DURABLE:
            if (expected_seq, batch.first_seq) != (self.seq, self.seq + 1):
                raise AssertionError(f"expected seq {self.seq}, found {expected_seq}")
            self.batches.append(batch)
            return Appended.DURABLE if sync else Appended.WRITTEN
        return ending

    def prepare(self) -> bool:
        """Nothing to make ready in memory; what is the matter is said here."""
        if self.away is not None:
            raise self.away
        return False

    def sync(self) -> None:
        """Count every batch so far as synced."""
        if not self.sync_gate.wait(PATIENCE_SECONDS):
            raise TimeoutError("the sync gate of a MemoryJournal was not opened")
        if self.sync_error is not None:
            raise self.sync_error
        self.syncs += 1
        self.synced = len(self.batches)

    @property
    def seq(self) -> int:
        """Last seq appended."""
        if not self.batches:
            return self.base_seq
        return self.batches[-1].first_seq + self.batches[-1].count - 1

    def outcomes_of(self, seq: int) -> bytes | None:
        """The outcomes blob in the first record that begins behind `seq`."""
        for batch in self.batches:
            if batch.first_seq > seq:
                return batch.outcomes
        return None
