"""What is traded, and the limits of the engine; both are set by journaled commands."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, Literal

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


SCHEDULE_MAX: Final = 32
"""Entries of a daily schedule."""

ICEBERG_PARTS_MAX: Final = 10_000
"""Most tips that an instrument's rules may let an order have."""

DAY_S: Final = 86_400
"""Seconds of a day."""


class Distance(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A distance from a price: in ticks, in thousandths of that price, or the lesser of both.

    0 means that this measure is not used; both 0: no distance, what it limits is off.
    """

    ticks: int = 0
    permille: int = 0

    def of(self, price_ticks: int) -> int | None:
        """The distance in whole ticks, thousandths rounded down; None: off."""
        amounts = [self.ticks] if self.ticks else []
        if self.permille:
            amounts.append(price_ticks * self.permille // 1000)
        return min(amounts, default=None)


class OrderLimits(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Limits of an order on one instrument, for everyone or for one client; 0 is off.

    Attributes:
        quantity_lots_min: Least quantity, in lots.
        quantity_lots_max: Most, in lots.
        notional_units_min: Least notional, in units of the quote asset.
        notional_units_max: Most, in units of the quote asset.
        open_orders_max: Open orders of one client on the instrument.
        last_price_distance: How far beyond the last price a limit price may be (above it for a
            buyer, below it for a seller).
    """

    quantity_lots_min: int = 0
    quantity_lots_max: int = 0
    notional_units_min: int = 0
    notional_units_max: int = 0
    open_orders_max: int = 0
    last_price_distance: Distance = Distance()


class ScheduledPhase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A phase that begins every day at the same time.

    Attributes:
        at_s: Seconds after 00:00 UTC, 0 to 86399.
        phase: Name of the `Phase`, in lower case.
    """

    at_s: int
    phase: Literal["continuous", "pre_open", "auction", "halt", "cancel_only", "closed"]


class Rules(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The rules of one instrument, set whole by a SET_RULES command; the default is off.

    Attributes:
        limits: Limits of every order; a client's own stand before them, field by field.
        iceberg_parts_max: Most tips an iceberg may have, its quantity over its tip rounded up.
        protection: How far from the last price a market order may trade.
        static_band: How far from the reference price a trade may be.
        dynamic_band: How far from the last price a trade may be.
        band_action: What a trade outside a band leads to: the order's end, or an auction.
        volatility_auction_ns: How long that auction takes, ns.
        reference_price_ticks: Reference price until an auction finds one; 0 leaves what there is.
        session_end_s: When a DAY order ends, seconds after 00:00 UTC.
        schedule: The phases of a day, in the order of their times.
    """

    limits: OrderLimits = OrderLimits()
    iceberg_parts_max: int = 100
    protection: Distance = Distance()
    static_band: Distance = Distance()
    dynamic_band: Distance = Distance()
    band_action: Literal["reject", "auction"] = "reject"
    volatility_auction_ns: int = 300 * 10**9
    reference_price_ticks: int = 0
    session_end_s: int = 0
    schedule: tuple[ScheduledPhase, ...] = ()

    def fault(self) -> str | None:
        """What is wrong with these rules, None: nothing."""
        distances = (self.protection, self.static_band, self.dynamic_band)
        if any(distance_fault(each) for each in distances) or limits_fault(self.limits):
            return "a limit or a distance is out of its range"
        if not 1 <= self.iceberg_parts_max <= ICEBERG_PARTS_MAX:
            return f"iceberg_parts_max: expected 1 to {ICEBERG_PARTS_MAX}"
        if not 1 <= self.volatility_auction_ns <= DAY_S * 10**9:
            return "volatility_auction_ns: expected up to a day"
        if not 0 <= self.reference_price_ticks <= PRICE_TICKS_MAX:
            return f"reference_price_ticks: expected at most {PRICE_TICKS_MAX}"
        return self._times_fault()

    def _times_fault(self) -> str | None:
        times = [each.at_s for each in self.schedule]
        if not all(0 <= each < DAY_S for each in (self.session_end_s, *times)):
            return f"a time of day: expected 0 to {DAY_S - 1} seconds"
        if len(times) > SCHEDULE_MAX or any(a >= b for a, b in pairwise(times)):
            return f"schedule: expected at most {SCHEDULE_MAX} entries, each later than the last"
        return None


def distance_fault(distance: Distance) -> bool:
    """Whether a distance is out of its range."""
    return not (0 <= distance.ticks <= PRICE_TICKS_MAX and 0 <= distance.permille <= 1_000_000)


def limits_fault(limits: OrderLimits) -> bool:
    """Whether an order's limits are out of their range."""
    lots = (limits.quantity_lots_min, limits.quantity_lots_max)
    units = (limits.notional_units_min, limits.notional_units_max)
    return (
        any(not 0 <= each <= QUANTITY_LOTS_MAX for each in lots)
        or any(not 0 <= each <= QUOTE_UNITS_MAX for each in units)
        or not 0 <= limits.open_orders_max <= 2**32 - 1
        or distance_fault(limits.last_price_distance)
    )
