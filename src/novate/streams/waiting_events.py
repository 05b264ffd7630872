"""Events that wait to be folded: batches are only handed over, and many folded at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from novate.model.events import EVENT
from novate.streams.sources import AppliedEvents, Timers

FOLD_SECONDS: Final = 0.25
"""Time that events wait to be folded, where nobody asks for them before."""

UNFOLDED_BYTES_MAX: Final = 4 << 20
"""Events that wait at most; more are folded at once."""


class WaitingEvents:
    """The events of batches, in the order of sequence, until they are taken.

    Args:
        timers: The event loop.
        fold: Has them taken: called when they have waited long enough, or are many.
    """

    def __init__(self, timers: Timers, fold: Callable[[], None]) -> None:
        self._timers = timers
        self._fold = fold
        self._waiting: list[tuple[int, bytes]] = []
        self._bytes = 0
        self._timer_set = False

    def add(self, applied: AppliedEvents) -> None:
        """Let a batch's events wait."""
        self._waiting.append((applied.timestamp_ns, applied.events))
        self._bytes += len(applied.events)
        if self._bytes > UNFOLDED_BYTES_MAX:
            self._fold()
        elif not self._timer_set:
            self._timer_set = True
            self._timers.call_later(FOLD_SECONDS, self._on_timer)

    def _on_timer(self) -> None:
        self._timer_set = False
        self._fold()

    def take(self) -> tuple[NDArray[Any], NDArray[np.int64]] | None:
        """All that wait, an array of `EVENT`, and the time of each in ns; None where none do."""
        if not self._waiting:
            return None
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        events = np.frombuffer(b"".join(each for _, each in waiting), EVENT)
        lengths = [len(each) // EVENT.itemsize for _, each in waiting]
        return events, np.repeat([time for time, _ in waiting], lengths)
