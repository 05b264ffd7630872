"""Naps: how work that can wait leaves the processors to work that can't.

A process that is behind all others in priority still has a processor of two for as long as it
works, where nobody waits for that very one; and those that wait for the other are moved over only
when this one falls idle. So who has time works in short pieces, and sleeps a little in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

WORK_SECONDS: Final = 0.0005
NAP_SECONDS: Final = 0.0005


class Naps:
    """Sleeps between pieces of work, while there is time.

    Args:
        clock: Seconds that only grow.
        sleep: Sleeps so many seconds.

    Attributes:
        allowed: Whether there is time.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._woke = clock()
        self.allowed = False

    def between(self) -> None:
        """Called between two pieces of work: sleeps where it has worked for long enough."""
        if self.allowed and self._clock() - self._woke >= WORK_SECONDS:
            self._sleep(NAP_SECONDS)
            self._woke = self._clock()
