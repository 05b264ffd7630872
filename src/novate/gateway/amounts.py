"""Amounts as text, however large: sums of what one order may be worth pass 128 bits."""

from __future__ import annotations

from typing import Final

from novate.model import codec

_WIDE: Final = 1 << 127


def exact_text(value: int, coefficient: int, exponent: int) -> bytes:
    """`value * coefficient * 10**-exponent` as exact decimal text, as `codec.format_scaled`."""
    value *= coefficient
    if -_WIDE < value < _WIDE:
        return codec.format_scaled(value, 1, exponent)
    whole, rest = divmod(abs(value), 10**exponent)
    fraction = f"{rest:0{exponent}d}".rstrip("0") if rest else ""
    sign = "-" if value < 0 else ""
    return f"{sign}{whole}.{fraction}".rstrip(".").encode()
