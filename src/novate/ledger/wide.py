"""Arithmetic of wide numbers: pairs (high, low) of 64-bit integers, value = high * 10**18 + low.

Exact for what an exchange multiplies (prices and quantities up to 10**15) and for sums of up to
10**9 products. `low` is in 0 .. 10**18 - 1 and `high` bears the sign.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from novate.ledger.schema import LIMB

HALF: Final = 10**9

Ints = NDArray[np.int64]
Wide = tuple[Ints, Ints]


def split(value: int) -> tuple[int, int]:
    """A number as its two halves."""
    return divmod(value, LIMB)


def join(high: int, low: int) -> int:
    """The number that two halves stand for."""
    return high * LIMB + low


def multiply(left: Ints, right: Ints) -> Wide:
    """Products, element by element; both factors in 0 .. 10**15."""
    left_high, left_low = np.divmod(left, HALF)
    right_high, right_low = np.divmod(right, HALF)
    middle = left_high * right_low + left_low * right_high
    low = left_low * right_low + (middle % HALF) * HALF
    high = left_high * right_high + middle // HALF + low // LIMB
    return high, low % LIMB


def sums(groups: NDArray[np.intp], count: int, high: Ints, low: Ints) -> Wide:
    """Sums of wide numbers by group.

    Args:
        groups: The group of each number, 0 to count - 1.
        count: How many groups there are.
        high: High halves.
        low: Low halves.
    """
    highs, uppers, lowers = (np.zeros(count, dtype=np.int64) for _ in range(3))
    np.add.at(highs, groups, high)
    np.add.at(uppers, groups, low // HALF)
    np.add.at(lowers, groups, low % HALF)
    uppers += lowers // HALF
    return highs + uppers // HALF, (uppers % HALF) * HALF + lowers % HALF


def widened(values: Any) -> Wide:
    """Plain numbers of at least 0 as wide ones."""
    array = np.asarray(values, dtype=np.int64)
    high, low = np.divmod(array, LIMB)
    return high, low
