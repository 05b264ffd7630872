"""Amounts of an instrument as exact decimals, and its averages by the one rule they all have."""

from __future__ import annotations

from typing import Final

from novate.analytics.exact import rounded_half_even
from novate.model import codec
from novate.model.instrument import Instrument

AVERAGE_DIGITS: Final = 4
"""Digits of an average beyond those of the tick."""


class Amounts:
    """Writes the amounts of one instrument.

    Args:
        instrument: Whose grid of prices and quantities it is.
    """

    def __init__(self, instrument: Instrument) -> None:
        self._tick = (instrument.tick_coefficient, instrument.tick_exponent)
        self._lot = (instrument.lot_coefficient, instrument.lot_exponent)
        self._quote = (instrument.quote_units, instrument.quote_scale)

    def price(self, ticks: int) -> bytes:
        """A price in the quote asset."""
        return codec.format_scaled(ticks, *self._tick)

    def quantity(self, lots: int) -> bytes:
        """A quantity in the base asset."""
        return codec.format_scaled(lots, *self._lot)

    def notional(self, ticks_times_lots: int) -> bytes:
        """Money in the quote asset."""
        return codec.format_scaled(ticks_times_lots, *self._quote)

    def average(self, ticks_sum: int, count: int) -> bytes:
        """`ticks_sum / count` as a price, rounded half-even to the tick's digits and four more.

        With a sum of ticks times lots and a count of lots it is the volume-weighted price. A count
        of 0 gives `null`.
        """
        if count == 0:
            return b"null"
        coefficient, exponent = self._tick
        if count < 0:
            ticks_sum, count = -ticks_sum, -count
        scaled = rounded_half_even(ticks_sum * coefficient * 10**AVERAGE_DIGITS, count)
        return codec.format_scaled(scaled, 1, exponent + AVERAGE_DIGITS)
