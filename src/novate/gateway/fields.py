"""Fields: how ids, words and decimals of a request are read, and what is said of a wrong one.

Each function that meets a mistake adds a `FieldError` to the list it is given and goes on, so that
a client learns all of its mistakes at once. Owns no state.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Raw

from novate.gateway.problems import FieldError, ProblemError, refused, shown, shown_name
from novate.gateway.requests import ABSENT, PlaceOrder
from novate.model import codec
from novate.model.instrument import QUOTE_UNITS_MAX, Instrument
from novate.model.names import repeated_name

SIDES: Final = {"buy": 0, "sell": 1}
TYPES: Final = {"limit": 0, "market": 1, "stop_limit": 2, "stop": 3}
TIMES_IN_FORCE: Final = {None: 0, "gtc": 0, "ioc": 1, "fok": 2, "day": 3, "gtd": 4}

ID_EXPECTED: Final = "expected 1 to 64 of A-Z a-z 0-9 . _ : -"

_valid_id = codec.valid_id
_parse_scaled = codec.parse_scaled
_PATH = re.compile(r" - at `\$\.?(.*)`$", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `(.*)`", re.DOTALL)


def given(raw: msgspec.Raw) -> bytes:
    """A decimal as it came; b"" where it was absent or null."""
    if raw is ABSENT:
        return b""
    text = bytes(raw)
    return b"" if text == b"null" else text


def given_any(value: object) -> bool:
    """Whether a field was given at all."""
    return bool(given(value)) if isinstance(value, msgspec.Raw) else value is not None


def one_key(body_key: str | None, header_key: str | None) -> str | None:
    """The idempotency key of a request, from its body or its header.

    Raises:
        ProblemError: 400, if they disagree or are not ids.
    """
    key = body_key
    if header_key is not None:
        if body_key is not None and body_key != header_key:
            message = f"expected {shown(header_key)} as in the header, found {shown(body_key)}"
            raise refused([FieldError("idempotency_key", message, "idempotency_key_conflict")])
        key = header_key
    if key is not None and not _valid_id(key):
        errors: list[FieldError] = []
        check_id("idempotency_key", key, errors)
        raise refused(errors)
    return key


def check_id(field: str, value: str | None, errors: list[FieldError]) -> str:
    """An id; one more error if it is missing or is none."""
    if value is None:
        errors.append(FieldError(field, ID_EXPECTED + ", found nothing", "missing_field"))
        return ""
    if not _valid_id(value):
        errors.append(FieldError(field, f"{ID_EXPECTED}, found {shown(value)}", "invalid_id"))
    return value


def not_one_of(field: str, expected: str, found: str | None) -> FieldError:
    """The error of a word that is not one of those expected."""
    if found is None:
        return FieldError(field, f"expected {expected}, found nothing", "missing_field")
    return FieldError(field, f"expected {expected}, found {shown(found)}", "invalid_value")


def read_decimal(
    field: str,
    raw: bytes,
    grid: tuple[int, int],
    bounds: tuple[int, int],
    errors: list[FieldError],
) -> int:
    """A decimal as whole steps; 0 and one more error if it is none.

    `grid` is a step's coefficient and exponent (`coefficient * 10**-exponent`), `bounds` the least
    and the most, in steps.
    """
    try:
        value = _parse_scaled(raw, grid[0], grid[1], bounds[1])
    except codec.DecimalError as error:
        errors.append(FieldError(field, f"{error}, found {shown(raw)}", error.code))
        return 0
    if value >= bounds[0]:
        return value
    least = codec.format_scaled(bounds[0], grid[0], grid[1]).decode()
    message = f"expected at least {least}, found {shown(raw)}"
    errors.append(FieldError(field, message, "out_of_bounds"))
    return 0


def read_signed(field: str, raw: bytes, exponent: int, most: int, errors: list[FieldError]) -> int:
    """A decimal that may be under 0, in steps of `10**-exponent`."""
    text = raw.strip(b'"')
    below = text.startswith(b"-")
    value = read_decimal(field, text[1:] if below else raw, (1, exponent), (0, most), errors)
    return -value if below else value


def read_price(
    raw: Raw, instrument: Instrument, errors: list[FieldError], field: str = "price"
) -> int:
    """A price in ticks; 0 and one more error if it is missing or none of this instrument."""
    try:
        value: int = _parse_scaled(
            raw, instrument.tick_coefficient, instrument.tick_exponent, instrument.price_ticks_max
        )
        if value > 0:
            return value
    except codec.DecimalError:
        pass
    text = given(raw)
    if not text:
        errors.append(FieldError(field, "expected a price, found nothing", "missing_field"))
        return 0
    grid = (instrument.tick_coefficient, instrument.tick_exponent)
    return read_decimal(field, text, grid, (1, instrument.price_ticks_max), errors)


def read_quantity(raw: Raw, instrument: Instrument, errors: list[FieldError]) -> int:
    """A quantity in lots; 0 and one more error if it is missing or none of this instrument."""
    least = instrument.quantity_lots_min
    try:
        value: int = _parse_scaled(
            raw, instrument.lot_coefficient, instrument.lot_exponent, instrument.quantity_lots_max
        )
        if value >= least:
            return value
    except codec.DecimalError:
        pass
    text = given(raw)
    if not text:
        errors.append(FieldError("quantity", "expected a quantity, found nothing", "missing_field"))
        return 0
    grid = (instrument.lot_coefficient, instrument.lot_exponent)
    return read_decimal("quantity", text, grid, (least, instrument.quantity_lots_max), errors)


def limit_amounts(
    order: PlaceOrder, instrument: Instrument, errors: list[FieldError]
) -> tuple[int, int, int]:
    """Price in ticks and quantity in lots of a limit order; its quote quantity is 0."""
    if order.quote_quantity is not ABSENT and given(order.quote_quantity):
        message = f"expected quantity instead, as type is {order.type}"
        errors.append(FieldError("quote_quantity", message, "unexpected_field"))
    price = read_price(order.price, instrument, errors)
    return price, read_quantity(order.quantity, instrument, errors), 0


def market_amounts(
    order: PlaceOrder, instrument: Instrument, errors: list[FieldError]
) -> tuple[int, int, int]:
    """Of a market order: price 0, and quantity in lots or quote quantity in units; else 0."""
    price = given(order.price)
    if price:
        message = f"expected null, as type is market, found {shown(price)}"
        errors.append(FieldError("price", message, "unexpected_field"))
    quote = given(order.quote_quantity)
    if not quote:
        return 0, read_quantity(order.quantity, instrument, errors), 0
    if given(order.quantity):
        message = "expected quantity or quote_quantity, not both"
        errors.append(FieldError("quote_quantity", message, "unexpected_field"))
    grid, bounds = (1, instrument.quote_scale), (1, QUOTE_UNITS_MAX)
    return 0, 0, read_decimal("quote_quantity", quote, grid, bounds, errors)


def stop_amounts(
    order: PlaceOrder, instrument: Instrument, errors: list[FieldError]
) -> tuple[int, int, int]:
    """Quantity in lots of a stop order; its price and its quote quantity are 0."""
    price = given(order.price)
    if price:
        message = f"expected null, as type is stop, found {shown(price)}"
        errors.append(FieldError("price", message, "unexpected_field"))
    if given(order.quote_quantity):
        message = "expected quantity instead, as type is stop"
        errors.append(FieldError("quote_quantity", message, "unexpected_field"))
    return 0, read_quantity(order.quantity, instrument, errors), 0


AMOUNTS: Final = (limit_amounts, market_amounts, limit_amounts, stop_amounts)
"""How price, quantity and quote quantity of an order are read, by its type."""


def check_post_only(kind: int, time_in_force: int | None, errors: list[FieldError]) -> None:
    """Post-only is for orders that may rest."""
    if kind != 0 or time_in_force in (1, 2):
        message = "expected false or null, as only a limit order that may rest can be post-only"
        errors.append(FieldError("post_only", message, "unexpected_field"))


# --- what could not be decoded --------------------------------------------------------------------


def undecodable(error: Exception) -> ProblemError:
    """The problem of a body that is no JSON, is of another shape or has an unknown field."""
    if isinstance(error, RecursionError):
        return refused([FieldError("", "expected JSON that is not nested so deep", "too_deep")])
    if isinstance(error, UnicodeDecodeError):
        return refused([FieldError("", "expected JSON in UTF-8", "malformed_json")])
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return refused([FieldError("", f"expected JSON: {text[:200]}", "malformed_json")])
    match = _PATH.search(text)
    path = match[1] if match else ""
    text = text[: match.start()] if match else text
    unknown = _UNKNOWN.search(text)
    if unknown:
        name = shown_name(unknown[1])
        field = f"{path}.{name}" if path else name
        return refused([FieldError(field, "expected no such field", "unknown_field")])
    message = text.replace("`", "").replace("Expected", "expected").replace("got", "found")
    return refused([FieldError(path, message[:200], "invalid_type")])


def decoded(decode: Callable[[bytes], Any], body: bytes) -> Any:
    """A body as its struct; ProblemError 400 where it is none, or has a name twice."""
    try:
        found = decode(body)
    except Exception as error:
        raise undecodable(error) from None
    check_names(body)
    return found


def check_names(body: bytes, outermost: bool = False) -> None:
    """Refuse JSON in which a name stands twice in one object: which value is meant?

    Raises:
        ProblemError: 400.
    """
    path = repeated_name(body, outermost)
    if path is not None:
        field = shown_name(path)
        raise refused([FieldError(field, "expected once, found twice", "duplicate_field")])


def raise_all(errors: list[FieldError]) -> None:
    """Raise what was found, if anything was."""
    if errors:
        raise refused(errors)
