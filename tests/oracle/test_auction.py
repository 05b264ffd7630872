"""The auction against its definition, by brute force over every tick."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novate.model.commands import OrderType, Phase, Side
from novate.model.events import EventKind
from novate.model.instrument import Rules
from tests.oracle.auction import Uncross, at_price, indicative
from tests.oracle.book import Book
from tests.oracle.duel import Duel, spec
from tests.oracle.words import Event, Place, SetPhase, SetRules

ORDERS = st.lists(
    st.tuples(
        st.sampled_from(Side),
        st.integers(1, 9),
        st.one_of(st.just(0), st.integers(2, 10)),
        st.integers(0, 2),
    ),
    max_size=14,
)


def auction(orders: list[tuple[Side, int, int, int]], reference: int, rules: int = 2) -> Duel:
    """An instrument in its auction; a price of 0 is a market order's."""
    duel = Duel.begin(specs=[spec(0)], rules=rules)
    duel.play(SetRules(Rules(reference_price_ticks=reference)))
    duel.play(SetPhase(Phase.AUCTION))
    for number, (side, lots, price, display) in enumerate(orders):
        shown = min(display, lots) if price else 0
        kind = OrderType.LIMIT if price else OrderType.MARKET
        name = f"o{number}"
        duel.play(Place(name, name, side, lots, price, type=kind, display=shown))
    duel.compare()
    return duel


def best_ticks(book: Book, prices: Iterable[int]) -> list[Uncross]:
    """Of these prices those of most volume, and of them those of least surplus."""
    rows = [at_price(book, price) for price in prices]
    most = max((row.volume for row in rows), default=0)
    rows = [row for row in rows if row.volume == most > 0]
    return [row for row in rows if abs(row.surplus) == min(abs(each.surplus) for each in rows)]


@pytest.mark.slow
@given(ORDERS, st.integers(0, 11))
def test_the_price_is_of_most_volume_and_then_of_least_surplus(
    orders: list[tuple[Side, int, int, int]], reference: int
) -> None:
    """Over every tick between the limits, one by one, and of those it is nearest the reference."""
    book = auction(orders, reference).oracle.books[0]
    found = indicative(book)
    limits = {*book.sides[Side.BUY], *book.sides[Side.SELL]}
    ticks = range(min(limits), max(limits) + 1) if limits else [reference] if reference else []
    rows = best_ticks(book, ticks)
    assert (found in rows) if rows else (found == (0, 0, 0))
    if rows and reference:
        away = min(abs(row.price - reference) for row in rows)
        assert abs(found.price - reference) == away


@pytest.mark.slow
@given(ORDERS, st.integers(0, 11))
def test_the_first_version_of_the_rules_looked_at_limits_alone(
    orders: list[tuple[Side, int, int, int]], reference: int
) -> None:
    book = auction(orders, reference, rules=1).oracle.books[0]
    found = indicative(book, 1)
    limits = {*book.sides[Side.BUY], *book.sides[Side.SELL]}
    rows = best_ticks(book, limits or {reference} - {0})
    assert found.volume == max((row.volume for row in rows), default=0)
    if rows and found not in rows:
        assert min(rows).price < found.price < max(rows).price
        assert abs(found.surplus) <= abs(rows[0].surplus)


@pytest.mark.slow
@given(ORDERS, st.integers(0, 11))
def test_what_is_traded_is_what_was_said_and_the_better_goes_first(
    orders: list[tuple[Side, int, int, int]], reference: int
) -> None:
    duel = auction(orders, reference)
    queues = {side: list(duel.oracle.books[0].resting(side)) for side in Side}
    found = indicative(duel.oracle.books[0])
    events = duel.play(SetPhase(Phase.CONTINUOUS))
    trades = [event for event in events if event.kind is EventKind.TRADE]
    assert sum(event.quantity for event in trades) == found.volume
    assert {event.price for event in trades} <= {found.price}
    for side in Side:
        filled = [order.filled for order in queues[side]]
        taken = [order.filled == order.quantity for order in queues[side]]
        assert all(not later for full, later in zip(taken, filled[1:], strict=False) if not full)
    duel.compare()
    assert uncrosses(events) == 1


def uncrosses(events: list[Event]) -> int:
    """How often the book was uncrossed."""
    return sum(event.kind is EventKind.AUCTION_UNCROSSED for event in events)
