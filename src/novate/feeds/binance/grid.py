"""The grid of an instrument: decimal text as whole ticks and lots, and back. Never a float."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import msgspec

from novate.feeds import FeedError
from novate.model.codec import DecimalError, format_scaled, parse_scaled
from novate.model.instrument import PRICE_TICKS_MAX, QUANTITY_LOTS_MAX

Text = str | bytes | msgspec.Raw


class Grid:
    """Tick and lot of an instrument."""

    __slots__ = ("_lot", "_tick", "lot", "tick")

    def __init__(self, tick: Decimal, lot: Decimal) -> None:
        self.tick = tick
        self.lot = lot
        self._tick = _scale(tick)
        self._lot = _scale(lot)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and (self.tick, self.lot) == (other.tick, other.lot)

    def __hash__(self) -> int:
        return hash((self.tick, self.lot))

    def __repr__(self) -> str:
        return f"Grid(tick={self.tick}, lot={self.lot})"

    def ticks(self, price: Text) -> int:
        """A price in ticks; FeedError if it is not a whole number of them."""
        try:
            return parse_scaled(price, *self._tick, PRICE_TICKS_MAX)
        except DecimalError as error:
            raise _off(price, "tick", self.tick, error) from None

    def lots(self, quantity: Text) -> int:
        """A quantity in lots; FeedError if it is not a whole number of them."""
        try:
            return parse_scaled(quantity, *self._lot, QUANTITY_LOTS_MAX)
        except DecimalError as error:
            raise _off(quantity, "lot", self.lot, error) from None

    def lots_within(self, quantity: str) -> int:
        """The whole lots in a quantity; one, if it is less than that but not nothing.

        Venues coarsen their lots; what was resting before stays in the book with its odd rest.
        """
        try:
            return parse_scaled(quantity, *self._lot, QUANTITY_LOTS_MAX)
        except DecimalError as error:
            if error.code != "not_multiple":
                raise _off(quantity, "lot", self.lot, error) from None
        return max(1, int(Decimal(quantity) // self.lot))

    def holds(self, other: Grid) -> bool:
        """Every price and quantity of the other grid lies on this one."""
        return other.tick % self.tick == 0 and other.lot % self.lot == 0

    def price(self, ticks: int) -> str:
        """Ticks as plain decimal text."""
        return format_scaled(ticks, *self._tick).decode()

    def quantity(self, lots: int) -> str:
        """Lots as plain decimal text."""
        return format_scaled(lots, *self._lot).decode()


def unit(text: str) -> Decimal:
    """A tick or lot size; FeedError if it is not a positive decimal."""
    try:
        size = Decimal(text).normalize()
    except InvalidOperation:
        size = Decimal(0)
    if not size.is_finite() or size <= 0:
        raise FeedError(f"expected a positive tick or step size, found {text[:60]!r}")
    return size


def _scale(size: Decimal) -> tuple[int, int]:
    """A size as coefficient and exponent: `coefficient * 10**-exponent`."""
    exponent = max(0, -int(size.normalize().as_tuple().exponent))
    return int(size.scaleb(exponent)), exponent


def _off(text: Text, name: str, size: Decimal, error: DecimalError) -> FeedError:
    shown = text if isinstance(text, str) else bytes(text).decode("ascii", "replace")
    return FeedError(
        f"expected a multiple of the {name} size {size:f}, found {shown[:60]!r}: {error}"
    )
