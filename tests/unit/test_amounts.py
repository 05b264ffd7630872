"""Amounts as text where they pass 128 bits."""

from __future__ import annotations

import random
from decimal import Context, Decimal

import pytest

from novate.gateway.amounts import exact_text

EXACT = Context(prec=200)


@pytest.mark.parametrize("edge", [1 << 127, 10**38, 10**40, 7 * 10**45])
def test_amounts_are_exact_on_both_sides_of_128_bits(edge: int) -> None:
    chance = random.Random(edge)
    near = [edge + step for step in range(-2, 3)] + [edge + chance.randrange(edge)]
    for value in [*near, *(-each for each in near)]:
        for coefficient, exponent in ((1, 0), (1, 6), (5, 24), (100, 2)):
            text = exact_text(value, coefficient, exponent).decode()
            found = Decimal(text)
            assert found == Decimal(value * coefficient).scaleb(-exponent, EXACT)
            assert "E" not in text
            assert "." not in text or text[-1] not in ".0"
