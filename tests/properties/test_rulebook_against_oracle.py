"""The engine against the naive exchange over the whole rulebook: every event, every book."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novate.engine import Engine
from novate.model.clearing import ClearingTerms
from novate.model.commands import NEWEST_RULES, LinkUse, OrderType, Phase, Side
from novate.model.events import EventKind
from novate.model.instrument import Limits, Rules
from novate.model.rejects import Reason
from tests.conftest import SOAK, scaled
from tests.oracle.duel import Duel, spec
from tests.oracle.market import Market, MarketWorkload, draw, ranges
from tests.oracle.wide import WIDE
from tests.oracle.words import Amend, Configure, Kill, Place, SetClearing, SetPhase, SetRules
from tests.oracle.workload import TINIER, TINY

pytestmark = pytest.mark.slow

SPECS = [spec(0), spec(1, price_ticks_max=103), spec(2, quantity_lots_min=2, quantity_lots_max=9)]
LATER_NS = (0, 0, 0, 1, 0, 20_000_000, 0, 40_000_000, 0, 200_000_000)
NS = 10**9
SILENCE_NS = 30 * 3_600_000_000_000
BATCH_MOST = 10


def rows(shape: Market) -> st.SearchStrategy[dict[str, Any]]:
    """The numbers behind one command, and how much later it comes."""
    drawn = {name: st.integers(low, high) for name, (low, high) in ranges(shape).items()}
    return st.fixed_dictionaries({**drawn, "later_ns": st.sampled_from(sorted(set(LATER_NS)))})


def calm(duel: Duel) -> None:
    """Let everybody trade again, and sweep the books so that the order of queues shows."""
    duel.play(Kill(None, on=False))
    names = duel.oracle.registry.clients
    for client in sorted(duel.oracle.killed):
        duel.play(Kill(client if duel.numbered else names[client], on=False))
    for number in range(len(duel.oracle.books)):
        duel.play(SetRules(Rules(), number))
        duel.play(SetPhase(Phase.CONTINUOUS, number))
    duel.compare()
    duel.drain()


def begin(shape: Market, limits: Limits, rules: int = NEWEST_RULES) -> Duel:
    """A duel over the instruments of a market; a wide one is cleared, or it would not be wide."""
    specs = [WIDE if number == shape.wide else each for number, each in enumerate(SPECS)]
    duel = Duel.begin(limits, specs[: shape.instruments], numbered=shape.numbered, rules=rules)
    if shape.wide >= 0:
        duel.play(SetClearing(ClearingTerms(), shape.wide))
    return duel


def fight(shape: Market, limits: Limits, drawn: list[dict[str, Any]], rules: int = 2) -> None:
    """Play drawn commands and compare after each of them."""
    duel = begin(shape, limits, rules)
    workload = MarketWorkload(0, duel.oracle, shape)
    for row in drawn:
        workload.now_ns = duel.now_ns + row["later_ns"]
        duel.play(workload.command(row), row["later_ns"])
        duel.compare()
        duel.compare_keys()
    calm(duel)


SMALL = Market(keys=4)
WIDE_MARKET = Market(keys=4, instruments=2, wide=1)
SMALL_NUMBERED = Market(clients=3, instruments=2, numbered=True)


@given(st.lists(rows(SMALL), max_size=80))
def test_every_event_and_book_with_tiny_windows(drawn: list[dict[str, Any]]) -> None:
    fight(SMALL, TINY, drawn)


@given(st.lists(rows(SMALL), max_size=80))
def test_every_event_and_book_with_the_default_limits(drawn: list[dict[str, Any]]) -> None:
    fight(SMALL, Limits(), drawn)


@given(st.lists(rows(SMALL_NUMBERED), max_size=80))
def test_every_event_and_book_with_numbered_orders(drawn: list[dict[str, Any]]) -> None:
    fight(SMALL_NUMBERED, TINY, drawn)


@given(st.lists(rows(SMALL), max_size=80))
def test_every_event_and_book_under_the_first_rules(drawn: list[dict[str, Any]]) -> None:
    fight(SMALL, Limits(), drawn, rules=1)


@given(st.lists(rows(WIDE_MARKET), max_size=80))
def test_every_event_and_book_where_orders_are_worth_too_much(drawn: list[dict[str, Any]]) -> None:
    fight(WIDE_MARKET, Limits(), drawn)


def long_fight(
    seed: int,
    count: int,
    shape: Market,
    limits: Limits,
    compare_every: int,
    rules: int = NEWEST_RULES,
) -> None:
    """Play a seeded workload in uneven batches; compare events always, books now and then."""
    duel = begin(shape, limits, rules)
    workload = MarketWorkload(seed, duel.oracle, shape)
    chance, commands = np.random.default_rng(seed), workload.commands(count)
    turn = 0
    while batch := list(islice(commands, int(chance.integers(1, BATCH_MOST)))):
        turn += 1
        duel.play_batch(batch, LATER_NS[turn % len(LATER_NS)] if turn % 997 else SILENCE_NS)
        workload.now_ns = duel.now_ns
        if turn % compare_every:
            continue
        duel.compare()
        duel.compare_keys()
        duel.oracle.made.clear()
        if turn % (compare_every * 4) == 0 and duel.engine is not None:
            duel.engine = Engine.load(duel.engine.dump())
        if turn % (compare_every * 2) == 0:
            reset(duel, workload, limits)
    calm(duel)


def reset(duel: Duel, workload: MarketWorkload, limits: Limits) -> None:
    """Change windows and rules at once: every other time the engine was loaded just before."""
    if limits is TINY:
        tighter = duel.oracle.limits is TINY
        duel.play(Configure(TINIER if tighter else TINY))
    for row in draw(workload.shape, workload.chance, workload.shape.instruments):
        duel.play(SetRules(workload.rules(row), row["instrument"]))
    duel.compare()


LONG = {
    "tiny": (Market(), TINY),
    "numbered": (Market(instruments=2, numbered=True), TINY),
    "deep": (Market(ids=300, clients=40, prices=60, price_low=40, keys=500), Limits()),
    "wide": (Market(wide=1), Limits()),
    "first rules": (Market(), TINY),
    "plain": (Market(plain=85, clients=6, prices=12, price_low=94), Limits()),
    "plain numbered": (Market(plain=85, clients=6, instruments=2, numbered=True), TINY),
}
RUNS, RUN_LENGTH = (14, 240_000) if SOAK else (1, 8_000)
"""Of each kind of market. A soak's seven times 14 times 240,000 are over 23 million commands."""
COMPARE_EVERY = 101 if SOAK else 29
"""Batches between two looks at the books; at every fourth the engine is loaded from its dump."""


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("name", LONG)
def test_a_long_run(name: str, run: int) -> None:
    shape, limits = LONG[name]
    rules = 1 if name == "first rules" else NEWEST_RULES
    long_fight(20260101 + run, RUN_LENGTH, shape, limits, COMPARE_EVERY, rules)


@settings(max_examples=scaled(60))
@given(st.integers(0, 2**32 - 1))
def test_any_seed(seed: int) -> None:
    long_fight(seed, 400, Market(), TINY, 9)


def test_what_is_due_on_one_book_triggers_nothing_on_another() -> None:
    duel = begin(Market(instruments=2), Limits())
    for instrument, price in ((0, 90), (1, 102)):
        for side in (Side.SELL, Side.BUY):
            duel.play(Place(f"client-{side}", f"{side}-{instrument}", side, 1, price, instrument))
    stop = Place("client-0", "stop", Side.BUY, 1, 0, 0, type=OrderType.STOP, stop_price=100)
    duel.play(stop)
    duel.play(SetPhase(Phase.CANCEL_ONLY, 1, duel.now_ns + NS))
    due = duel.play(Place("client-1", "late", Side.SELL, 1, 95, 0), NS)
    assert [event.kind for event in due] == [EventKind.PHASE_CHANGED, EventKind.ORDER_ACCEPTED]


def test_a_pair_that_would_fill_an_order_but_ends_by_it_leaves_no_level_too_many() -> None:
    duel = begin(Market(instruments=1), Limits(price_levels_max=2))
    one = Place("client-0", "one", Side.SELL, 5, 99)
    duel.play(one)
    link = {"link": "one", "link_use": LinkUse.ONE_CANCELS_OTHER}
    duel.play(Place("client-0", "other", Side.SELL, 4, 99, **link))
    for name, price in (("low", 90), ("as low", 90), ("lower", 89)):
        duel.play(Place("client-1", name, Side.BUY, 1, price))
    (event,) = duel.play(Place("client-1", "late", Side.BUY, 7, 100))
    assert event.reason is Reason.PRICE_LEVELS_LIMIT
    (event,) = duel.play(Amend("low", price=100, quantity=7))
    assert event.reason is Reason.AMEND_LEVEL_FULL
    duel.compare()
