"""The auction against its definition, by brute force over every tick."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novate.model.commands import OrderType, Phase, Side
from novate.model.events import EventKind
from novate.model.instrument import Rules
from tests.oracle.auction import at_price, indicative
from tests.oracle.duel import Duel, spec
from tests.oracle.words import Event, Place, SetPhase, SetRules

PRICES = range(1, 12)
ORDERS = st.lists(
    st.tuples(
        st.sampled_from(Side),
        st.integers(1, 9),
        st.one_of(st.just(0), st.integers(2, 10)),
        st.integers(0, 2),
    ),
    max_size=14,
)


def auction(orders: list[tuple[Side, int, int, int]], reference: int) -> Duel:
    """An instrument in its auction; a price of 0 is a market order's."""
    duel = Duel.begin(specs=[spec(0)], alone=True)
    duel.play(SetRules(Rules(reference_price_ticks=reference)))
    duel.play(SetPhase(Phase.AUCTION))
    for number, (side, lots, price, display) in enumerate(orders):
        shown = min(display, lots) if price else 0
        kind = OrderType.LIMIT if price else OrderType.MARKET
        duel.play(Place(number, number, side, lots, price, type=kind, display=shown))
    return duel


@pytest.mark.slow
@given(ORDERS, st.integers(0, 11))
def test_the_price_is_of_most_volume_and_then_of_least_surplus(
    orders: list[tuple[Side, int, int, int]], reference: int
) -> None:
    book = auction(orders, reference).oracle.books[0]
    found = indicative(book)
    assert found.volume == max(0, *(at_price(book, price).volume for price in PRICES)) or (
        not reference and not any(book.sides.values())
    )
    if not found.volume:
        return
    limits = {*book.sides[Side.BUY], *book.sides[Side.SELL]}
    rows = [at_price(book, price) for price in limits]
    least = min((abs(row.surplus) for row in rows if row.volume == found.volume), default=None)
    assert least is None or abs(found.surplus) <= least
    if found.price not in limits:
        assert found.price == reference or not reference


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
