"""Naps between pieces of work: a clock that is driven, a sleep that moves it."""

from __future__ import annotations

import pytest

from novate.naps import NAP_SECONDS, WORK_SECONDS, Naps


class Time:
    """Moves when somebody works or sleeps."""

    def __init__(self) -> None:
        self.now = 5.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def worked(pieces: int, seconds: float, allowed: bool) -> list[float]:
    """What was slept beside so many pieces of so many seconds."""
    time = Time()
    naps = Naps(lambda: time.now, time.sleep)
    naps.allowed = allowed
    for _ in range(pieces):
        time.now += seconds
        naps.between()
    return time.slept


@pytest.mark.parametrize(
    ("seconds", "naps"),
    [(WORK_SECONDS * 1.1, 20), (WORK_SECONDS / 1.9, 10), (WORK_SECONDS / 30, 0)],
)
def test_a_nap_follows_every_stretch_of_work(seconds: float, naps: int) -> None:
    assert worked(20, seconds, allowed=True) == [NAP_SECONDS] * naps


def test_who_is_behind_does_not_sleep() -> None:
    assert worked(20, 1.0, allowed=False) == []
