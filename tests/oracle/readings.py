"""What the server must say of an order, a book or a trade, by the naive exchange.

Numbers are `Decimal`, as the JSON text reads; every other value is as JSON has it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from novate.model.commands import Side
from novate.model.events import EventKind
from novate.model.instrument import Instrument
from novate.model.rejects import Reason
from tests.oracle.book import Order
from tests.oracle.exchange import Exchange
from tests.oracle.words import Event

LEFT_STANDING = (
    Reason.BOOK_EXHAUSTED,
    Reason.IMMEDIATE_OR_CANCEL,
    Reason.PRICE_PROTECTION,
    Reason.OUTSIDE_PRICE_BAND,
    Reason.AUCTION_OVER,
)
AVERAGE_DIGITS = 4


def read(body: bytes | None) -> Any:
    """A JSON body with its numbers as decimals."""
    return None if body is None else json.loads(body, parse_float=Decimal, parse_int=Decimal)


def time_text(ns: int) -> str:
    """ISO 8601 UTC with microseconds."""
    moment = datetime.fromtimestamp(ns // 10**9, UTC).replace(microsecond=ns // 1000 % 10**6)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def price_of(spec: Instrument, ticks: int) -> Decimal:
    """A price as the decimal that it means."""
    return Decimal(ticks) * spec.tick_coefficient / 10**spec.tick_exponent


def quantity_of(spec: Instrument, lots: int) -> Decimal:
    """A quantity as the decimal that it means."""
    return Decimal(lots) * spec.lot_coefficient / 10**spec.lot_exponent


def units_of(spec: Instrument, units: int) -> Decimal:
    """An amount of the quote asset as the decimal that it means."""
    return Decimal(units) / 10**spec.quote_scale


def average_of(spec: Instrument, order: Order) -> Decimal | None:
    """Value over quantity, half-even to four digits more than the tick has."""
    if not order.filled:
        return None
    mean = Decimal(order.spent) * spec.tick_coefficient / order.filled / 10**spec.tick_exponent
    step = Decimal(1).scaleb(-spec.tick_exponent - AVERAGE_DIGITS)
    return mean.quantize(step, ROUND_HALF_EVEN)


def status_of(order: Order) -> str:
    """The status that clients see."""
    if order.rejected:
        return "rejected"
    if order.open:
        return "partially_filled" if order.filled else "open"
    if order.reason is Reason.NONE:
        return "filled"
    return "partially_filled" if order.filled and order.reason in LEFT_STANDING else "cancelled"


def order_view(exchange: Exchange, order: Order) -> dict[str, Any]:
    """The order as `GET /orders/{order_id}` says it."""
    spec = exchange.books[order.instrument].instrument
    total = order.filled + order.remaining + order.ended
    view = {
        "order_id": order.ident[1],
        "client_id": exchange.registry.clients[order.client],
        "instrument": spec.name,
        "side": order.side.name.lower(),
        "type": order.type.name.lower(),
        "time_in_force": order.force.name.lower(),
        "price": price_of(spec, order.price) if order.has_limit else None,
        "quantity": quantity_of(spec, total),
        "filled_quantity": quantity_of(spec, order.filled),
        "remaining_quantity": quantity_of(spec, total - order.filled),
        "average_price": average_of(spec, order),
        "status": status_of(order),
        "working": order.open,
        "reason": None if order.reason is Reason.NONE else order.reason.name.lower(),
        "created_at": time_text(order.created_ns),
        "updated_at": time_text(order.updated_ns),
        "sequence": order.updated_seq,
    }
    if order.by_quote:
        view["quantity"] = view["remaining_quantity"] = None
        view["quote_quantity"] = units_of(spec, order.asked_units)
        view["filled_quote_quantity"] = units_of(spec, order.spent * spec.quote_units)
    return view


def trade_view(exchange: Exchange, event: Event, time_ns: int) -> dict[str, Any]:
    """A trade as the server says it, without its id and the clients."""
    spec = exchange.books[event.instrument].instrument
    maker, taker = (exchange.made[number].ident[1] for number in (event.order, event.taker))
    buyer, seller = (taker, maker) if event.side == Side.BUY else (maker, taker)
    return {
        "instrument": spec.name,
        "price": price_of(spec, event.price),
        "quantity": quantity_of(spec, event.quantity),
        "buy_order_id": buyer,
        "sell_order_id": seller,
        "taker_side": Side(event.side).name.lower(),
        "timestamp": time_text(time_ns),
        "sequence": event.seq,
    }


def trades_of(events: list[Event]) -> list[Event]:
    """The trades among events."""
    return [event for event in events if event.kind is EventKind.TRADE]


def book_view(exchange: Exchange, instrument: int) -> dict[str, Any]:
    """The whole book as `GET /orderbook` says it, without sequence and time."""
    book = exchange.books[instrument]
    view: dict[str, Any] = {"instrument": book.instrument.name}
    for name, side in (("bid", Side.BUY), ("ask", Side.SELL)):
        total, rows = 0, []
        for ticks, lots, orders in book.levels(side):
            total += lots
            rows.append(
                {
                    "price": price_of(book.instrument, ticks),
                    "quantity": quantity_of(book.instrument, lots),
                    "orders": orders,
                    "cumulative": quantity_of(book.instrument, total),
                }
            )
        view[f"{name}s"] = rows
        view[f"{name}_total"] = quantity_of(book.instrument, total)
    return view
