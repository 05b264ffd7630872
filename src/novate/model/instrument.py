"""What is traded, and the limits of the engine; both are set by journaled commands."""

from __future__ import annotations

from typing import Final

import msgspec

PRICE_TICKS_MAX: Final = 10**15
"""Highest price of any instrument, in ticks."""

QUANTITY_LOTS_MAX: Final = 10**15
"""Highest quantity of any order, in lots."""

QUOTE_UNITS_MAX: Final = 10**36
"""Highest quote quantity of a market order, in units of the quote asset."""

QUOTE_UNITS_PER_STEP_MAX: Final = 10**18
"""Most units of the quote asset in one tick times one lot; so a lot's cost fits in 128 bits."""


class Instrument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An instrument: its assets and the grid of its prices and quantities.

    A price is `ticks * tick_coefficient * 10**-tick_exponent` of the quote asset, a quantity
    `lots * lot_coefficient * 10**-lot_exponent` of the base asset. One tick times one lot is
    `quote_units` whole units (of `10**-quote_scale`) of the quote asset.

    Attributes:
        index: Dense number in its engine, -1 before it has one.
        price_ticks_max: Highest price an order may bear, in ticks (at least 1).
        quantity_lots_min: Least quantity of an order, in lots.
        quantity_lots_max: Most, in lots.
    """

    name: str
    base: str
    quote: str
    tick_coefficient: int = 1
    tick_exponent: int = 2
    lot_coefficient: int = 1
    lot_exponent: int = 8
    quote_scale: int = 12
    price_ticks_max: int = PRICE_TICKS_MAX
    quantity_lots_min: int = 1
    quantity_lots_max: int = QUANTITY_LOTS_MAX
    index: int = -1

    @property
    def quote_units(self) -> int:
        """Quote asset units in one tick times one lot; a whole number of at least 1."""
        shift = self.quote_scale - self.tick_exponent - self.lot_exponent
        return self.tick_coefficient * self.lot_coefficient * int(10**shift) if shift >= 0 else 0


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizes and windows of an engine. They decide answers, so they are state, set by command.

    Attributes:
        open_orders_max: Orders that may rest or trade at a time.
        closed_orders_max: Closed orders that stay answerable; the oldest leaves first.
        trades_per_instrument_max: Trades that stay answerable per instrument.
        idempotency_keys_max: Keys held at a time; one client may hold a quarter of them.
        idempotency_window_ns: How long a key answers.
        idempotency_window_ns_min: No key leaves before this for want of room.
        clients_max: Client ids known at a time; they are never forgotten.
        instruments_max: Instruments.
        price_levels_max: Price levels per side of a book.
    """

    open_orders_max: int = 4_000_000
    closed_orders_max: int = 1_000_000
    trades_per_instrument_max: int = 10_000
    idempotency_keys_max: int = 10_000_000
    idempotency_window_ns: int = 24 * 3600 * 10**9
    idempotency_window_ns_min: int = 600 * 10**9
    clients_max: int = 1_000_000
    instruments_max: int = 65_000
    price_levels_max: int = 1_000_000
