"""Decimal text in and out, against Python's own exact arithmetic."""

from __future__ import annotations

import re
import string
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from novate.model import codec

JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
MAXIMUM = 10**15

digits = st.text(string.digits, min_size=1, max_size=12)
numbers = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "", "-"]),
    st.integers(0, 10**16).map(str),
    st.one_of(st.just(""), digits.map(".{}".format)),
    st.one_of(st.just(""), st.integers(-22, 22).map("e{}".format), digits.map("E+{}".format)),
)
coefficients = st.sampled_from([1, 1, 5, 25, 250])
exponents = st.integers(0, 12)


def expected(text: str, coefficient: int, exponent: int) -> int | set[str]:
    """The multiple, or the codes of which one must be given."""
    if len(text) > codec.DIGITS_MAX:
        return {"too_long"}
    if JSON_NUMBER.fullmatch(text) is None:
        return {"malformed"}
    written = re.split("[eE]", text)
    power = int(written[1]) if len(written) == 2 else 0
    if abs(power) > codec.EXPONENT_MAX:
        return {"exponent_out_of_range"}
    value = Fraction(written[0]) * Fraction(10) ** power
    multiple = value * Fraction(10) ** exponent / coefficient
    codes = set()
    if not 0 <= multiple <= MAXIMUM:
        codes.add("out_of_bounds")
    if multiple.denominator != 1:
        codes.add("not_multiple")
    return codes or int(multiple)


def check(text: str, coefficient: int, exponent: int) -> None:
    """Bytes, str and quoted string all read as expected."""
    wanted = expected(text, coefficient, exponent)
    for raw in (text, text.encode(), f'"{text}"', f'"{text}"'.encode()):
        if isinstance(wanted, int):
            assert codec.parse_scaled(raw, coefficient, exponent, MAXIMUM) == wanted
            continue
        with pytest.raises(codec.DecimalError) as raised:
            codec.parse_scaled(raw, coefficient, exponent, MAXIMUM)
        assert raised.value.code in wanted
        assert str(raised.value)


@pytest.mark.slow
@given(numbers, coefficients, exponents)
@example("1e18", 1, 0)
@example("1e-18", 1, 12)
@example("1e19", 1, 0)
@example("1e999999999", 1, 2)
@example("0e18", 1, 0)
@example("-0", 1, 2)
@example("-0.0e5", 1, 2)
@example("1000000000000000", 1, 0)
@example("1000000000000001", 1, 0)
@example("0.000000000000000000000000001", 1, 12)
@example("999999999999999999999999999999", 1, 0)
@example("9999999999999999999999999999999", 1, 0)
@example("0.10000000000000000000", 1, 2)
def test_numbers_read_exactly(text: str, coefficient: int, exponent: int) -> None:
    check(text, coefficient, exponent)


@pytest.mark.slow
@given(st.text(st.sampled_from("0123456789.eE+-  _xX,٣\uff11²\0\"'nNaAiIfF"), max_size=12))
@example("")
@example(".5")
@example("5.")
@example("+5")
@example("05")
@example("--5")
@example("1e")
@example("1e+")
@example("1.e5")
@example("NaN")
@example("Infinity")
@example("0x10")
@example("1_000")
@example("١٢")
@example("\uff11")
@example("5\0")
@example(" 5")
def test_anything_else_is_malformed(text: str) -> None:
    if not (text.startswith('"') and text.endswith('"')):
        check(text, 1, 2)


@pytest.mark.slow
@given(st.integers(0, MAXIMUM), coefficients, exponents)
@example(0, 1, 0)
@example(30, 1, 2)
@example(MAXIMUM, 250, 12)
def test_a_number_is_written_as_it_reads(value: int, coefficient: int, exponent: int) -> None:
    text = codec.format_scaled(value, coefficient, exponent).decode()
    assert re.fullmatch(r"(0|[1-9][0-9]*)(\.[0-9]*[1-9])?", text, re.ASCII)
    assert Fraction(text) == Fraction(value * coefficient, 10**exponent)
    if len(text) <= codec.DIGITS_MAX:
        assert codec.parse_scaled(text, coefficient, exponent, MAXIMUM) == value


@pytest.mark.slow
@given(st.text(max_size=70))
@example("a" * 64)
@example("a" * 65)
@example("order-1.x_Y:9")
@example("\uff41")
@example("a\n")
def test_ids_are_of_the_alphabet(text: str) -> None:
    fits = re.fullmatch(r"[A-Za-z0-9_:.\-]{1,64}", text, re.ASCII) is not None
    assert codec.valid_id(text) is fits
    assert codec.valid_id(text.encode("utf-8", "surrogatepass")) is fits
