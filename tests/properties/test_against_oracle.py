"""The engine against the naive exchange: the same commands, every event and the whole book."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novate.engine import Engine
from novate.model.instrument import Limits
from tests.conftest import SOAK, scaled
from tests.oracle.duel import Duel, spec
from tests.oracle.words import Command, Configure
from tests.oracle.workload import KINDS, TINIER, TINY, Shape, Workload

SPECS = [spec(0), spec(1, price_ticks_max=103), spec(2, quantity_lots_min=2, quantity_lots_max=9)]
NS_BETWEEN = 20_000_000
BATCH_MOST = 10


def rows(shape: Shape) -> st.SearchStrategy[dict[str, Any]]:
    """The numbers behind one command, as `Workload.command` reads them."""
    kinds = [0] * 6 + [1] * 2 + [2] * 2 + [3]
    assert max(kinds) < len(KINDS)
    return st.fixed_dictionaries(
        {
            "kind": st.sampled_from(kinds),
            "id": st.integers(0, shape.ids - 1),
            "client": st.integers(0, shape.clients - 1),
            "key": st.integers(-shape.keys, shape.keys - 1),
            "body": st.integers(0, 1),
            "instrument": st.integers(0, shape.instruments - 1),
            "side": st.integers(0, 1),
            "price": st.integers(shape.price_low, shape.price_low + shape.prices - 1),
            "quantity": st.integers(1, shape.quantity_max),
            "fresh": st.integers(0, 2),
            "way": st.integers(0, 19),
            "later_ns": st.sampled_from([0, 0, 1, NS_BETWEEN, 10 * NS_BETWEEN]),
        }
    )


SMALL = Shape(ids=12, clients=6, keys=4, instruments=3, prices=5, quantity_max=6)
SMALL_NUMBERED = Shape(ids=12, clients=3, instruments=2, prices=5, quantity_max=6, numbered=True)


def fight(shape: Shape, limits: Limits, drawn: list[dict[str, Any]]) -> None:
    """Play drawn commands and compare after each of them."""
    duel = Duel.begin(limits, SPECS, numbered=shape.numbered)
    workload = Workload(0, shape)
    for row in drawn:
        duel.play(workload.command(row), row["later_ns"])
        duel.compare()
        duel.compare_keys()
    duel.drain()


@pytest.mark.slow
@given(st.lists(rows(SMALL), max_size=80))
def test_every_event_and_book_with_tiny_windows(drawn: list[dict[str, Any]]) -> None:
    fight(SMALL, TINY, drawn)


@pytest.mark.slow
@given(st.lists(rows(SMALL), max_size=80))
def test_every_event_and_book_with_the_default_limits(drawn: list[dict[str, Any]]) -> None:
    fight(SMALL, Limits(), drawn)


@pytest.mark.slow
@given(st.lists(rows(SMALL_NUMBERED), max_size=80))
def test_every_event_and_book_with_numbered_orders(drawn: list[dict[str, Any]]) -> None:
    fight(SMALL_NUMBERED, TINY, drawn)


def long_fight(seed: int, count: int, shape: Shape, limits: Limits, compare_every: int) -> None:
    """Play a seeded workload in uneven batches; compare events always, books now and then."""
    duel = Duel.begin(limits, SPECS[: shape.instruments], numbered=shape.numbered)
    chance, commands = np.random.default_rng(seed), Workload(seed, shape).commands(count)
    turn = 0
    while batch := list(islice(commands, int(chance.integers(1, BATCH_MOST)))):
        turn += 1
        duel.play_batch(batch, NS_BETWEEN)
        if turn % compare_every:
            continue
        duel.compare()
        duel.compare_keys()
        if turn % (compare_every * 7) == 0:
            duel.engine = Engine.load(duel.engine.dump())
        if limits is TINY and turn % (compare_every * 3) == 0:
            tighter = duel.oracle.limits is TINY
            duel.play(Configure(TINIER if tighter else TINY))
    duel.drain()


LONG = {
    "tiny": (Shape(), TINY),
    "numbered": (Shape(instruments=2, numbered=True), TINY),
    "deep": (Shape(ids=300, clients=40, prices=60, price_low=40, keys=500), Limits()),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_a_long_run(name: str) -> None:
    shape, limits = LONG[name]
    long_fight(20260101, scaled(400_000) if SOAK else 8_000, shape, limits, 101)


@pytest.mark.slow
@settings(max_examples=scaled(60))
@given(st.integers(0, 2**32 - 1))
def test_any_seed(seed: int) -> None:
    long_fight(seed, 400, Shape(), TINY, 9)


@pytest.mark.slow
def test_the_workload_reaches_every_event_and_reason() -> None:
    """A workload that never meets a rule proves nothing about it."""
    duel = Duel.begin(TINY, SPECS)
    seen: set[str] = set()
    commands: list[Command] = list(Workload(7).commands(9000))
    for command in commands:
        events = duel.oracle.apply(command, duel.now_ns)
        duel.now_ns += NS_BETWEEN
        seen |= {event.reason.name for event in events} | {event.kind.name for event in events}
    assert seen >= {
        "ORDER_ACCEPTED",
        "ORDER_REJECTED",
        "TRADE",
        "ORDER_AMENDED",
        "MASS_CANCELLED",
        "BY_CLIENT",
        "IMMEDIATE_OR_CANCEL",
        "FILL_OR_KILL",
        "BOOK_EXHAUSTED",
        "QUOTE_QUANTITY_TOO_SMALL",
        "MASS_CANCEL",
        "POST_ONLY_WOULD_CROSS",
        "OPEN_ORDERS_LIMIT",
        "PRICE_LEVELS_LIMIT",
        "DUPLICATE_ORDER_ID",
        "UNKNOWN_ORDER",
        "ALREADY_CLOSED",
        "AMEND_QUANTITY_TOO_LOW",
        "AMEND_WOULD_CROSS",
        "AMEND_LEVEL_FULL",
        "IDEMPOTENCY_KEY_REPEATED",
        "IDEMPOTENCY_KEY_REUSED",
        "IDEMPOTENCY_WINDOW_FULL",
        "CLIENTS_LIMIT",
        "OUT_OF_BOUNDS",
    }
