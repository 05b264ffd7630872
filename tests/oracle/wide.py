"""An instrument of which some orders are worth more than accounts take, and commands of its size.

What a workload draws is small; here it becomes large enough: of nine lots at a hundred ticks the
first three are worth less than 10^33 units of the quote asset, the others more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from novate.model.instrument import Distance, OrderLimits, Rules
from tests.oracle.duel import spec
from tests.oracle.registry import ident_of
from tests.oracle.words import Amend, Command, Place, SetClientLimits, SetRules

if TYPE_CHECKING:
    from tests.oracle.exchange import Exchange

WIDE = msgspec.structs.replace(
    spec(9, price_ticks_max=10**15, quantity_lots_max=10**15, quote_scale=12),
    base="WID",
    quote="UNI",
)
PRICE, LOTS = 10**11, 3 * 10**12
MONEY = PRICE * LOTS * 10**6


def widened(command: Command, exchange: Exchange, instrument: int) -> Command:
    """The command in the numbers of the wide instrument, if it is about it."""
    match command:
        case Place() if command.instrument == instrument:
            return replace(
                command,
                price=command.price * PRICE,
                stop_price=command.stop_price * PRICE,
                quantity=command.quantity * LOTS,
                display=command.display * LOTS,
                minimum=command.minimum * LOTS,
                quote_units=command.quote_units * MONEY,
            )
        case Amend():
            order = exchange.registry.orders.get(ident_of(command.order))
            return command if order is None or order.instrument != instrument else larger(command)
        case SetRules(rules) if command.instrument == instrument:
            return replace(command, rules=rules_of(rules))
        case SetClientLimits() if command.instrument == instrument:
            most = command.limits.open_orders_max
            return replace(command, limits=OrderLimits(open_orders_max=most))
    return command


def larger(command: Amend) -> Amend:
    """An amendment of one of its orders."""
    return replace(
        command,
        price=command.price * PRICE,
        quantity=command.quantity * LOTS,
        stop_price=command.stop_price * PRICE,
        display=None if command.display is None else command.display * LOTS,
    )


def rules_of(rules: Rules) -> Rules:
    """Its rules, without limits of orders."""
    return msgspec.structs.replace(
        rules,
        limits=OrderLimits(),
        protection=farther(rules.protection),
        static_band=farther(rules.static_band),
        dynamic_band=farther(rules.dynamic_band),
        reference_price_ticks=rules.reference_price_ticks * PRICE,
    )


def farther(distance: Distance) -> Distance:
    """A distance between its prices."""
    return msgspec.structs.replace(distance, ticks=distance.ticks * PRICE)
