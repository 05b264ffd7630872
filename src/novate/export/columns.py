"""Columns of an export, and chunks of rows in them. Amounts are integers with a scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from novate.model.errors import NovateError
from novate.model.instrument import PRICE_TICKS_MAX, QUANTITY_LOTS_MAX, Instrument

DECIMAL_DIGITS_MAX: Final = 38
"""Digits of a decimal of 128 bits."""

NARROW_DIGITS: Final = 18
"""Digits of a decimal that readers hold in 64 bits, and so multiply fast and without overflow."""


class ExportError(NovateError):
    """An export that can't be made as it was asked for."""


class Kind(Enum):
    """What a column holds."""

    TEXT = "text"
    INTEGER = "integer"
    TIME = "time"  # microseconds since 1970 UTC
    DECIMAL = "decimal"  # integers, to be scaled by 10**-scale


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `digits` and `scale` are those of a decimal."""

    name: str
    kind: Kind
    digits: int = 0
    scale: int = 0


Chunk = Mapping[str, Sequence[Any]]
"""Rows: the values of every column, by its name; None where there is none."""


@dataclass(frozen=True, slots=True)
class Scales:
    """Decimal places and digits that hold every amount of some instruments exactly.

    An amount of an instrument is brought to the common scale by a factor of its own.
    """

    price: tuple[int, int]
    average: tuple[int, int]
    quantity: tuple[int, int]
    notional: tuple[int, int]

    @classmethod
    def of(cls, instruments: Sequence[Instrument]) -> Scales:
        """The scales for these instruments together.

        Raises:
            ExportError: no decimal of 38 digits holds the prices or quantities of all of them.
        """
        price = _scale("prices", PRICE_TICKS_MAX, _ticks(instruments))
        quantity = _scale("quantities", QUANTITY_LOTS_MAX, _lots(instruments))
        quote = max((each.quote_scale for each in instruments), default=0)
        average = (DECIMAL_DIGITS_MAX, price[1] + 4)
        return cls(price, average, quantity, (DECIMAL_DIGITS_MAX, quote))

    def price_factor(self, instrument: Instrument) -> int:
        """What a tick of it is in units of the common scale."""
        shift: int = 10 ** (self.price[1] - instrument.tick_exponent)
        return instrument.tick_coefficient * shift

    def quantity_factor(self, instrument: Instrument) -> int:
        """What a lot of it is."""
        shift: int = 10 ** (self.quantity[1] - instrument.lot_exponent)
        return instrument.lot_coefficient * shift

    def notional_factor(self, instrument: Instrument) -> int:
        """What one tick times one lot of it is."""
        shift: int = 10 ** (self.notional[1] - instrument.quote_scale)
        return instrument.quote_units * shift


def _ticks(instruments: Sequence[Instrument]) -> list[tuple[int, int]]:
    return [(each.tick_coefficient, each.tick_exponent) for each in instruments]


def _lots(instruments: Sequence[Instrument]) -> list[tuple[int, int]]:
    return [(each.lot_coefficient, each.lot_exponent) for each in instruments]


def _scale(what: str, most: int, grids: list[tuple[int, int]]) -> tuple[int, int]:
    """(digits, scale) that hold `most` steps of every grid."""
    scale = max((exponent for _, exponent in grids), default=0)
    largest = max((most * step * 10 ** (scale - exponent) for step, exponent in grids), default=0)
    digits = max(NARROW_DIGITS, len(str(largest)))
    if digits > DECIMAL_DIGITS_MAX:
        raise ExportError(
            f"expected {what} of at most {DECIMAL_DIGITS_MAX} digits, found {digits} over all the "
            "instruments: export one of them at a time (--instrument)"
        )
    return digits, scale
