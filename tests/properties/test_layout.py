"""What grows and is cut inside the engine doesn't show: many levels, long windows, kept events."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest

from bench import core_flows
from novate.engine import Engine, Reporter
from novate.model import codec
from novate.model.commands import COMMAND, CommandKind, Side
from novate.model.events import EventKind
from novate.model.instrument import Instrument, Limits
from tests.conftest import scaled

START = 1_000_000


def new_engine(limits: Limits | None = None) -> Engine:
    engine = Engine(limits or Limits())
    engine.apply(codec.pack_create_instrument(Instrument(name="X-Y", base="X", quote="Y")))
    return engine


def orders(numbers: range, side: Side, prices: list[int], client: int = 0) -> np.ndarray:
    """Resting orders of one lot each, at the prices given."""
    rows = np.zeros(len(numbers), COMMAND)
    rows["kind"] = CommandKind.PLACE
    rows["side"] = side
    rows["client"] = client
    rows["order_number"] = numbers
    rows["price_ticks"] = prices
    rows["quantity_lots"] = 1
    return rows


def cancels(numbers: list[int]) -> np.ndarray:
    rows = np.zeros(len(numbers), COMMAND)
    rows["kind"] = CommandKind.CANCEL
    rows["order_number"] = numbers
    return rows


def prices_of(engine: Engine, side: Side) -> list[int]:
    levels = engine.depth(0, 10**6)[side]
    assert (levels["quantity_lots"] == levels["orders"]).all()
    return levels["price_ticks"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
@pytest.mark.parametrize("spread", [1, 7, 1_000_003])
def test_a_ladder_of_many_levels_stays_in_order(side: Side, spread: int) -> None:
    """Levels that open and empty in any order, in blocks that split and vanish."""
    chance = random.Random(side * 10 + spread)
    engine = new_engine()
    count = scaled(40_000)
    prices = [START + spread * step for step in range(count)]
    chance.shuffle(prices)
    engine.apply(orders(range(1, count + 1), side, prices))
    engine.check_invariants()
    resting = dict(enumerate(prices, start=1))
    assert prices_of(engine, side) == sorted(prices, reverse=side == Side.BUY)
    number = count
    while resting:
        gone = chance.sample(sorted(resting), min(len(resting), count // 5))
        engine.apply(cancels(gone))
        for each in gone:
            del resting[each]
        if len(resting) > count // 3:  # some come back where there was a level before
            back = [prices[each - 1] for each in gone[: count // 10]]
            engine.apply(orders(range(number + 1, number + 1 + len(back)), side, back))
            resting.update(enumerate(back, start=number + 1))
            prices.extend(back)
            number += len(back)
        engine.check_invariants()
        left = sorted(set(resting.values()), reverse=side == Side.BUY)
        assert prices_of(engine, side) == left


def test_levels_that_open_one_above_the_other() -> None:
    engine = new_engine()
    engine.apply(orders(range(1, 1001), Side.BUY, list(range(START, START + 1000))))
    engine.apply(orders(range(1001, 2001), Side.SELL, list(range(START + 3000, START + 2000, -1))))
    engine.check_invariants()
    assert engine.best(0) == (START + 999, 1, START + 2001, 1)


def test_a_window_grows_while_one_command_closes_more_than_it_holds() -> None:
    engine = new_engine(Limits(closed_orders_max=100))
    engine.apply(orders(range(1, 5001), Side.BUY, list(range(START, START + 5000)), client=3))
    sweep = np.zeros(1, COMMAND)
    sweep["kind"] = CommandKind.MASS_CANCEL
    sweep["side"] = 255
    sweep["client"] = 3
    events = engine.apply(sweep)
    assert len(events) == 5001
    assert engine.usage()["closed_orders"] == 100
    engine.check_invariants()
    answers = engine.apply(cancels([5000, 101, 100, 1]))  # the newest orders closed first
    assert set(answers["kind"]) == {EventKind.COMMAND_REFUSED}
    assert answers["order"].tolist() == [0, 0, 100, 1]
    hashed = engine.state_hash()
    assert Engine.load(engine.dump()).state_hash() == hashed


def test_events_that_are_kept_do_not_change() -> None:
    """Arrays may share the engine's buffers, never each other's bytes."""
    engine = new_engine()
    kept = []
    for batch in range(8):
        first = 1 + batch * 1000
        placed = orders(range(first, first + 1000), Side.BUY, list(range(START, START + 1000)))
        events = engine.apply(placed)
        kept.append((events, events.copy()))
        if batch % 3 == 2:
            del kept[0]
    del engine
    assert all((events == copy).all() for events, copy in kept)


@pytest.mark.slow
@pytest.mark.parametrize("client", [None, "a", "b"])
@pytest.mark.parametrize("status", [None, "open", "cancelled", "filled"])
def test_pages_of_orders_are_complete_and_newest_first(
    client: str | None, status: str | None
) -> None:
    """Open and closed orders however they ended, page by page, each once."""
    reporter, expected = listed_exchange(client, status)
    pages, cursor = [], 0
    while True:
        page, cursor = reporter.orders_json(client, -1, status, 97, cursor)
        assert len(page) == 97 or not cursor
        pages.extend(msgspec.json.decode(each)["order_id"] for each in page)
        if not cursor:
            break
    assert pages == expected


def listed_exchange(client: str | None, status: str | None) -> tuple[Reporter, list[str]]:
    """An exchange of 3,000 orders, half of its window of closed orders gone, and what to list."""
    chance = random.Random(7)
    engine = new_engine(Limits(closed_orders_max=1000))
    owners: dict[str, str] = {}
    states: dict[str, str] = {}
    closed: list[str] = []
    for number in range(3000):
        name, owner = f"order-{number:04}", chance.choice("ab")
        filled = number % 5 == 0
        price = START + 10 if filled else START
        engine.apply(place(name, owner, Side.BUY, price))
        owners[name], states[name] = owner, "open"
        ended = [name] if filled else []
        if filled:
            engine.apply(place(f"taker-{number:04}", "c", Side.SELL, price))
            ended.append(f"taker-{number:04}")
            owners[ended[1]] = "c"
        elif number % 5 == 3:
            working = [each for each, state in states.items() if state == "open"]
            ended = [chance.choice(working)]
            engine.apply(codec.pack_cancel(ended[0].encode()))
        states.update(dict.fromkeys(ended, "filled" if filled else "cancelled"))
        closed += ended  # a maker is closed before its taker
    for gone in closed[:-1000]:
        del states[gone]
    engine.check_invariants()
    kept = [
        each
        for each, state in states.items()
        if status in (None, state) and client in (None, owners[each])
    ]
    order = {name: at for at, name in enumerate(owners)}
    return Reporter(engine), sorted(kept, key=lambda each: -order[each])


@pytest.mark.slow
def test_a_very_long_history_is_listed_as_a_short_one() -> None:
    engine = new_engine()
    engine.apply(place("maker", "b", Side.SELL, START) + place("first", "a", Side.BUY, START))
    lonely = [
        codec.pack_place(0, 0, 0, 1, 0, START, 1, 0, b"ioc-%d" % number, b"a")
        for number in range(60_000)
    ]
    engine.apply(b"".join(lonely))
    reporter = Reporter(engine)
    [only], cursor = reporter.orders_json("a", -1, "filled", 5, 0)
    assert (msgspec.json.decode(only)["order_id"], cursor) == ("first", 0)
    page, cursor = reporter.orders_json("a", -1, None, 2, 0)
    assert [msgspec.json.decode(each)["order_id"] for each in page] == ["ioc-59999", "ioc-59998"]
    assert cursor


def place(order_id: str, client: str, side: Side, price: int) -> bytes:
    return codec.pack_place(0, side, 0, 0, 0, price, 1, 0, order_id.encode(), client.encode())


@pytest.mark.slow
def test_very_many_levels_are_the_same_however_far_is_looked_ahead() -> None:
    """More levels than a side's cache is asked about; levels open and end anywhere in the book."""
    book = core_flows.resting(60_000, 20_000)
    commands = core_flows.churn(book, 15_000)
    engines = new_engine(), new_engine()
    for engine in engines:
        engine.apply(book)
    whole = engines[0].apply(commands)
    alone = [engines[1].apply(commands[at : at + 1]) for at in range(len(commands))]
    assert (np.concatenate(alone) == whole).all()
    assert engines[0].state_hash() == engines[1].state_hash()
    for engine in engines:
        engine.check_invariants()
    assert len(engines[0].depth(0, 100_000)[0]) > 16_384
