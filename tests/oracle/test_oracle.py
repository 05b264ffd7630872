"""The oracle itself: cases small enough to be checked by hand."""

from __future__ import annotations

from novate.model.commands import OrderType, Side, TimeInForce
from novate.model.events import EventKind
from novate.model.instrument import Instrument, Limits
from novate.model.rejects import Reason
from tests.oracle.exchange import Exchange
from tests.oracle.words import Amend, Cancel, Create, Event, MassCancel, Place

BUY, SELL = Side.BUY, Side.SELL
SPEC = Instrument(name="I", base="I", quote="USD", tick_exponent=0, lot_exponent=0, quote_scale=1)


def exchange(**limits: int) -> Exchange:
    """An exchange with one instrument, whose one lot at one tick costs 10 units."""
    oracle = Exchange.with_limits(Limits(**limits))
    oracle.apply(Create(SPEC))
    return oracle


def trades(events: list[Event]) -> list[tuple[int, int, int]]:
    """Maker, price and quantity of every trade."""
    return [(e.order, e.price, e.quantity) for e in events if e.kind is EventKind.TRADE]


def test_trades_go_by_price_then_time_at_the_makers_price() -> None:
    oracle = exchange()
    for name, price in (("a", 102), ("b", 101), ("c", 101)):
        oracle.apply(Place("m", name, SELL, 5, price))
    events = oracle.apply(Place("t", "x", BUY, 12, 105))
    assert trades(events) == [(3, 101, 5), (4, 101, 5), (2, 102, 2)]
    assert oracle.books[0].levels(SELL) == [(102, 3, 1)]
    oracle.check()


def test_less_at_the_same_price_keeps_priority_and_more_loses_it() -> None:
    oracle = exchange()
    for name in ("a", "b"):
        oracle.apply(Place("m", name, SELL, 5, 101))
    oracle.apply(Amend("a", quantity=4))
    assert trades(oracle.apply(Place("t", "x", BUY, 1, 101))) == [(2, 101, 1)]
    oracle.apply(Amend("a", quantity=5))
    assert trades(oracle.apply(Place("t", "y", BUY, 6, 101))) == [(3, 101, 5), (2, 101, 1)]
    oracle.check()


def test_quote_quantity_sells_whole_lots_while_they_fit() -> None:
    oracle = exchange()
    oracle.apply(Place("m", "a", BUY, 5, 10))
    oracle.apply(Place("m", "b", BUY, 5, 4))
    events = oracle.apply(Place("t", "x", SELL, type=OrderType.MARKET, quote_units=250))
    assert trades(events) == [(2, 10, 2)]
    assert events[-1].kind is EventKind.TRADE
    assert oracle.books[0].levels(BUY) == [(10, 3, 1), (4, 5, 1)]


def test_a_closed_order_keeps_its_id_as_long_as_the_window() -> None:
    oracle = exchange(closed_orders_max=1)
    oracle.apply(Place("m", "a", BUY, 5, 10))
    oracle.apply(Cancel("a"))
    again = Place("m", "a", BUY, 5, 10)
    assert oracle.apply(again)[0].reason is Reason.DUPLICATE_ORDER_ID
    oracle.apply(Place("m", "b", SELL, 5, 10, force=TimeInForce.IOC))
    assert oracle.apply(again)[0].kind is EventKind.ORDER_ACCEPTED
    oracle.check()


def test_mass_cancel_ends_the_newest_first() -> None:
    oracle = exchange()
    for name, side in (("a", BUY), ("b", SELL), ("c", BUY)):
        oracle.apply(Place("m", name, side, 5, 10 + 5 * side))
    events = oracle.apply(MassCancel("m", side=BUY))
    assert [(e.kind, e.order, e.quantity) for e in events] == [
        (EventKind.ORDER_ENDED, 4, 5),
        (EventKind.ORDER_ENDED, 2, 5),
        (EventKind.MASS_CANCELLED, 0, 2),
    ]
    assert oracle.registry.open_count() == 1
