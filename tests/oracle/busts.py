"""Trades that are taken back, and those in their place."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from novate.model.events import EventKind
from novate.model.instrument import Instrument
from novate.model.rejects import Reason
from tests.oracle.clearing import BUSTED_MAX, Leg, available, charge, lot_units, move
from tests.oracle.words import CorrectTrade

if TYPE_CHECKING:
    from tests.oracle.exchange import Exchange


def correct(exchange: Exchange, command: CorrectTrade) -> Reason:
    """A trade is reversed at its own price, and another may take its place."""
    asked, clearing = command.correction, exchange.clearing
    number, place = asked.instrument, (asked.seq, asked.index)
    known = len(exchange.registry.clients)
    if asked.buyer >= known or asked.seller >= known or asked.seq >= exchange.seq:
        return Reason.MALFORMED_COMMAND
    if not inside(exchange.books[number].instrument, command):
        return Reason.OUT_OF_BOUNDS
    if number not in clearing.terms:
        return Reason.NOT_CLEARED
    if place in clearing.busted:
        return Reason.TRADE_BUSTED_ALREADY
    if clearing.busted_before + len(clearing.busted) >= BUSTED_MAX:
        return Reason.BUSTS_LIMIT
    if clearing.is_funded(number) and not can_pay(exchange, command):
        return Reason.INSUFFICIENT_FUNDS
    clearing.busted.add(place)
    totals, price, lots = clearing.totals[number], asked.price_ticks, asked.quantity_lots
    totals.busts += 1
    totals.bust_lots += lots
    totals.bust_turnover += price * lots
    parties = {"client": asked.buyer, "taker_client": asked.seller, "instrument": number}
    named = {**parties, "order": asked.seq, "index": asked.index}
    exchange.say(EventKind.TRADE_BUSTED, **named, price=price, quantity=lots)
    move(exchange, Leg(asked.seller, number, lots, price, 0))
    move(exchange, Leg(asked.buyer, number, -lots, price, 0))
    charge(exchange, asked.buyer, number, 1, -asked.buyer_fee, asked.index)
    charge(exchange, asked.seller, number, -1, -asked.seller_fee, asked.index)
    price, lots = asked.new_price_ticks, asked.new_quantity_lots
    if lots:
        totals.trades += 1
        totals.lots += lots
        totals.turnover += price * lots
        exchange.say(EventKind.TRADE_CORRECTED, **named, price=price, quantity=lots)
        move(exchange, Leg(asked.buyer, number, lots, price, 0))
        move(exchange, Leg(asked.seller, number, -lots, price, 0))
        charge(exchange, asked.buyer, number, 1, asked.new_buyer_fee, 0)
        charge(exchange, asked.seller, number, -1, asked.new_seller_fee, 0)
    return Reason.NONE


def inside(spec: Instrument, command: CorrectTrade) -> bool:
    """Whether both trades are within the instrument's bounds, and no fee above their value."""
    asked = command.correction
    for price, lots, fees in (
        (asked.price_ticks, asked.quantity_lots, (asked.buyer_fee, asked.seller_fee)),
        (
            asked.new_price_ticks,
            asked.new_quantity_lots,
            (asked.new_buyer_fee, asked.new_seller_fee),
        ),
    ):
        busted = lots == 0 and price == asked.new_price_ticks
        bounded = 1 <= price <= spec.price_ticks_max and 1 <= lots <= spec.quantity_lots_max
        if not (busted or bounded):
            return False
        if any(abs(fee) > price * lots * spec.quote_units for fee in fees):
            return False
    return True


def can_pay(exchange: Exchange, command: CorrectTrade) -> bool:
    """Whether nobody would have less than nothing."""
    asked = command.correction
    spec = exchange.books[asked.instrument].instrument
    base, quote = exchange.clearing.base(spec), exchange.clearing.quote(spec)
    cash = asked.price_ticks * asked.quantity_lots - asked.new_price_ticks * asked.new_quantity_lots
    lots = (asked.new_quantity_lots - asked.quantity_lots) * lot_units(spec)
    changes: dict[tuple[int, int], int] = defaultdict(int)
    changes[asked.buyer, quote] += cash * spec.quote_units + asked.buyer_fee - asked.new_buyer_fee
    changes[asked.seller, quote] -= cash * spec.quote_units
    changes[asked.seller, quote] += asked.seller_fee - asked.new_seller_fee
    changes[asked.buyer, base] += lots
    changes[asked.seller, base] -= lots
    return all(available(exchange, *place) + units >= 0 for place, units in changes.items())
