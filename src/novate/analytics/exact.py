"""Sums that never round and never wrap: of lots, and of price times quantity.

A price has up to 50 bits and a quantity too, so one product may have 100. Where the greatest
magnitudes say that int64 holds the sum, it is int64; else what is summed is split into halves, and
if need be the factors before, and the partial sums are put together in Python integers. Every way
gives the same.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Integers = NDArray[np.object_]
"""A column of Python integers, which have no limit."""

INT64_MAX: Final = 2**63 - 1
HALF_BITS: Final = 25
HALF_MASK: Final = (1 << HALF_BITS) - 1
FACTOR_MAX: Final = 2**50
"""Least magnitude of a factor that is refused; prices and quantities end at 10**15."""


def as_int64(name: str, values: Any) -> Int64s:
    """`values` as a one-dimensional int64 array, without a copy where it is one.

    Raises:
        ValueError: they are no integers, don't fit, or are no column.
    """
    found = np.asarray(values)
    if found.ndim != 1:
        raise ValueError(f"{name}: expected a column of integers, got {found.ndim} dimensions")
    if found.size and found.dtype.kind not in "iu":
        raise ValueError(f"{name}: expected integers, got {found.dtype}")
    if found.dtype.kind == "u" and found.size and int(found.max()) > INT64_MAX:
        raise ValueError(f"{name}: expected at most {INT64_MAX}, got {int(found.max())}")
    return found.astype(np.int64, copy=False)


def columns(**named: Any) -> list[Int64s]:
    """Columns of one length, as int64.

    Raises:
        ValueError: their lengths differ, or one is no column of integers.
    """
    found = [as_int64(name, values) for name, values in named.items()]
    if len({len(each) for each in found}) > 1:
        lengths = ", ".join(f"{name} {len(each)}" for name, each in zip(named, found, strict=True))
        raise ValueError(f"expected columns of one length, got {lengths}")
    return found


def sums(values: Int64s, starts: Int64s) -> Integers:
    """The exact sum of each group of `values`.

    Args:
        values: Int64, of any sign.
        starts: Where each group begins, ascending, the first 0; no group is empty.

    Returns:
        One Python integer a group.
    """
    if not len(starts):
        return np.empty(0, object)
    if _magnitude(values) * _group_size_max(len(values), starts) <= INT64_MAX:
        return np.add.reduceat(values, starts).astype(object)
    high = np.add.reduceat(values >> 32, starts).astype(object)
    low = np.add.reduceat(values & 0xFFFFFFFF, starts).astype(object)
    found: Integers = (high << 32) + low
    return found


def sums_of_products(prices: Int64s, quantities: Int64s, starts: Int64s) -> Integers:
    """The exact sum of price times quantity of each group.

    Args:
        prices: Ticks, of any sign, under 2**50 in magnitude.
        quantities: Lots, likewise.
        starts: Where each group begins, ascending, the first 0; no group is empty.

    Returns:
        One Python integer a group, in ticks times lots.

    Raises:
        ValueError: a factor is out of its range.
    """
    if not len(starts):
        return np.empty(0, object)
    price_max, quantity_max = _magnitude(prices), _magnitude(quantities)
    if max(price_max, quantity_max) >= FACTOR_MAX:
        found = max(price_max, quantity_max)
        raise ValueError(f"expected prices and quantities under 2**50, got {found}")
    if price_max * quantity_max <= INT64_MAX:
        return sums(prices * quantities, starts)
    price_high, price_low = prices >> HALF_BITS, prices & HALF_MASK
    quantity_high, quantity_low = quantities >> HALF_BITS, quantities & HALF_MASK
    high = sums(price_high * quantity_high, starts)
    middle = sums(price_high * quantity_low, starts) + sums(price_low * quantity_high, starts)
    low = sums(price_low * quantity_low, starts)
    whole: Integers = (high << (2 * HALF_BITS)) + (middle << HALF_BITS) + low
    return whole


def rounded_half_even(numerator: int, denominator: int) -> int:
    """`numerator / denominator` to the nearest integer, a half to the even one; denominator > 0."""
    whole, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return whole + (twice > denominator or (twice == denominator and whole % 2 == 1))


def _magnitude(values: Int64s) -> int:
    return max(abs(int(values.max())), abs(int(values.min()))) if len(values) else 0


def _group_size_max(count: int, starts: Int64s) -> int:
    return int(np.diff(starts, append=count).max())
