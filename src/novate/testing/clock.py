"""A clock that moves only when it is told to."""

from __future__ import annotations


class ManualClock:
    """Nanoseconds since 1970 UTC, as `time.time_ns` gives them, moved by hand.

    Call it to read it. It may be set back, as real clocks are.
    """

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        """The time now, in nanoseconds."""
        return self.now_ns

    def advance(self, seconds: float) -> None:
        """Move the clock by `seconds`, negative for back."""
        self.now_ns += round(seconds * 1e9)
