"""What a command costs does not grow with orders that are none of its business."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from novate.engine import Engine
from novate.model.commands import OrderType, Phase, Side, TimeInForce
from novate.model.instrument import OrderLimits, Rules
from tests.conftest import scaled
from tests.oracle.duel import START_NS, spec
from tests.oracle.words import Command, Create, Place, SetPhase, SetRules, to_bytes, to_numbered

OTHERS = scaled(200_000)
RUNS, COMMANDS = 40, 20
GROWTH_MAX = 20
"""A walk over the others would cost a hundred times and more."""


def engine_with(others: list[Command]) -> Engine:
    """Three instruments, and other orders in the last two."""
    engine = Engine()
    for number in range(3):
        engine.apply(to_bytes(Create(spec(number))), timestamp_ns=START_NS)
    engine.apply(b"".join(to_numbered(each) for each in others), timestamp_ns=START_NS)
    return engine


def least_seconds(engine: Engine, turn: Callable[[int], list[Command]]) -> float:
    """The shortest of some runs of the commands of a turn."""
    seconds = []
    for number in range(RUNS):
        batch = b"".join(to_numbered(each) for each in turn(number))
        began = time.perf_counter()
        engine.apply(batch, timestamp_ns=START_NS)
        seconds.append(time.perf_counter() - began)
    engine.check_invariants()
    return min(seconds)


def growth(others: list[Command], turn: Callable[[int], list[Command]]) -> float:
    """How many times longer a turn takes beside the others than beside a few of them."""
    return least_seconds(engine_with(others), turn) / least_seconds(engine_with(others[:3]), turn)


def resting(number: int, instrument: int, **terms: int) -> Place:
    """A bid of client 0."""
    return Place(0, number, Side.BUY, 1, 100 + number % 7, instrument, OrderType.LIMIT, **terms)


@pytest.mark.slow
def test_the_end_of_a_day_looks_at_its_own_orders_alone() -> None:
    end_ns = START_NS + 10**12
    others: list[Command] = [
        resting(1 + number, 1 + number % 2, force=TimeInForce.GTD, expire_ns=end_ns)
        for number in range(OTHERS)
    ]

    def days(turn: int) -> list[Command]:
        first = OTHERS + 1 + turn * COMMANDS
        made: list[Command] = []
        for number in range(first, first + COMMANDS):
            made.append(resting(number, 0, force=TimeInForce.DAY))
            made.append(SetPhase(Phase.CLOSED))
            made.append(SetPhase(Phase.CONTINUOUS))
        return made

    assert growth(others, days) < GROWTH_MAX


@pytest.mark.slow
def test_a_limit_of_open_orders_does_not_walk_through_those_of_other_instruments() -> None:
    others: list[Command] = [resting(1 + number, 1 + number % 2) for number in range(OTHERS)]
    limited = SetRules(Rules(limits=OrderLimits(open_orders_max=OTHERS // 2)))
    asked = engine_with([*others, limited, resting(OTHERS + 1, 0)])
    few = engine_with([*others[:3], limited, resting(OTHERS + 1, 0)])

    def orders(turn: int) -> list[Command]:
        first = OTHERS + 2 + turn * COMMANDS
        return [resting(number, 0) for number in range(first, first + COMMANDS)]

    assert least_seconds(asked, orders) < GROWTH_MAX * least_seconds(few, orders)
