"""The rate limit: what a client may send, to the token, on a clock that the test moves."""

from __future__ import annotations

import pytest

from novate.gateway.throttle import Throttle


class Clock:
    """Seconds that move when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_the_rate():
    clock = Clock()
    throttle = Throttle(10, 5, 100, clock)
    assert [throttle.take("A") for _ in range(5)] == [0.0] * 5
    assert throttle.take("A") == pytest.approx(0.1)
    assert throttle.take("B") == 0.0
    clock.now += 0.1
    assert throttle.take("A") == 0.0
    assert throttle.take("A") > 0
    clock.now += 100
    assert [throttle.take("A") for _ in range(6)].count(0.0) == 5


def test_the_wait_is_true():
    clock = Clock()
    throttle = Throttle(3, 4, 100, clock)
    sent = 0
    while clock.now < 1100:
        wait = throttle.take("A")
        if wait:
            clock.now += wait
        else:
            sent += 1
    assert sent == pytest.approx(3 * 100 + 4, abs=1)


def test_many_tokens_at_once():
    clock = Clock()
    throttle = Throttle(10, 100, 100, clock)
    assert throttle.take("A", 100) == 0.0
    assert throttle.take("A", 100) == pytest.approx(10.0)
    clock.now += 10
    assert throttle.take("A", 1000) == 0.0  # more than a bucket holds: from a full one, on credit
    assert throttle.take("A") == pytest.approx(90.1)


def test_no_limit():
    throttle = Throttle(0, 5, 100)
    assert {throttle.take("A", 1000) for _ in range(100)} == {0.0}
    assert len(throttle) == 0


def test_the_table_is_bounded_and_forgets_the_silent():
    clock = Clock()
    throttle = Throttle(1, 1, 100, clock)
    for number in range(10_000):
        throttle.take(f"client-{number}")
        throttle.take("busy")
        assert len(throttle) <= 200
    assert throttle.take("busy") > 0
