"""The U/u rule: which diff may be applied to the book, and when a new snapshot is due.

A small state machine without I/O. It owns the order of updates, never their content.

Source: Binance Spot API, "How to manage a local order book correctly".
"""

from __future__ import annotations

from collections import deque
from typing import Final

from novate.feeds.binance.messages import DepthDiff, DepthSnapshot

HELD_MAX: Final = 10_000
"""Diffs held back while a snapshot is on its way: 1,000 s of the 100 ms stream."""

Step = DepthSnapshot | DepthDiff


class DepthSequence:
    """Puts diffs and snapshot in order.

    Before a snapshot, diffs are held back. A snapshot drops those it covers; the next one must
    straddle `last_update_id + 1`. Afterwards a diff that starts later than that is a gap: all is
    forgotten but that diff, and a new snapshot is due.

    Attributes:
        last_update_id: Of the book as applied, -1 before the first snapshot.
        is_synced: A snapshot was applied and no gap came since.
        gaps, stale: Gaps seen; diffs dropped because the book had them already.
        snapshots_refused: Snapshots older than the first diff held, or not wanted.
    """

    def __init__(self, held_max: int = HELD_MAX) -> None:
        self.last_update_id = -1
        self.is_synced = False
        self.gaps = 0
        self.stale = 0
        self.snapshots_refused = 0
        self._held: deque[DepthDiff] = deque(maxlen=held_max)

    @property
    def held(self) -> int:
        """Diffs held back now."""
        return len(self._held)

    def reset(self) -> None:
        """Forget the book: the stream was cut, or what it said can't be true."""
        self.is_synced = False
        self._held.clear()

    def take(self, message: Step) -> list[Step]:
        """What is to be applied now, in order: nothing, a diff, or a snapshot and diffs."""
        if isinstance(message, DepthSnapshot):
            return self._take_snapshot(message)
        if not self.is_synced:
            # A full buffer loses its oldest diff; the snapshot must then be newer than that one.
            self._held.append(message)
            return []
        return [message] if self._follows(message) else []

    def _take_snapshot(self, snapshot: DepthSnapshot) -> list[Step]:
        first = next((d for d in self._held if d.last_update_id > snapshot.last_update_id), None)
        if self.is_synced or (
            first is not None and first.first_update_id > snapshot.last_update_id + 1
        ):
            self.snapshots_refused += 1
            return []
        held = list(self._held)
        self._held.clear()
        self.is_synced = True
        self.last_update_id = snapshot.last_update_id
        steps: list[Step] = [snapshot]
        for diff in held:
            steps.extend(self.take(diff))
        return steps

    def _follows(self, diff: DepthDiff) -> bool:
        if diff.last_update_id <= self.last_update_id:
            self.stale += 1
            return False
        if diff.first_update_id > self.last_update_id + 1:
            self.gaps += 1
            self.reset()
            self._held.append(diff)
            return False
        self.last_update_id = diff.last_update_id
        return True
