"""Waiting before another attempt: exponential, with full jitter. Chance comes in from outside."""

from __future__ import annotations

import random

BASE_SECONDS = 0.25
SECONDS_MAX = 30.0


class Backoff:
    """Seconds to wait before each attempt, doubling up to a limit.

    Args:
        rng: Draws the jitter, so that many feeds do not come back in the same instant.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog (full jitter, with a floor).
    """

    def __init__(
        self,
        rng: random.Random,
        base_seconds: float = BASE_SECONDS,
        seconds_max: float = SECONDS_MAX,
    ) -> None:
        self._rng = rng
        self._base_seconds = base_seconds
        self._seconds_max = seconds_max
        self._attempt = 0

    def reset(self) -> None:
        """It worked: start from the shortest wait again."""
        self._attempt = 0

    def next_seconds(self) -> float:
        """The wait before the next attempt, from a tenth of the step up to all of it."""
        step = min(self._seconds_max, self._base_seconds * 2.0 ** min(self._attempt, 30))
        self._attempt += 1
        return step * self._rng.uniform(0.1, 1.0)

    def copy(self) -> Backoff:
        """Another one of the same kind, at the shortest wait."""
        return Backoff(self._rng, self._base_seconds, self._seconds_max)
