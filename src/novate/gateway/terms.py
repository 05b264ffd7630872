"""Terms: what few orders say beyond side, price and quantity, and what goes together.

Read as in `novate.gateway.fields`: a mistake adds a `FieldError` and reading goes on. The result
are the members of the command's extension (`novate.model.packing.extend`), only those that are
used: an order that uses none has no extension. Owns no state.
"""

from __future__ import annotations

import re
from calendar import timegm
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from novate.gateway.fields import (
    TIMES_IN_FORCE,
    TYPES,
    check_id,
    given,
    not_one_of,
    read_decimal,
    read_price,
)
from novate.gateway.problems import FieldError, shown
from novate.gateway.requests import ABSENT, AmendOrder, Operation, PlaceOrder
from novate.model.commands import LinkUse, Sets
from novate.model.instrument import Instrument

PREVENTIONS: Final = {
    "none": 0, "cancel_newest": 1, "cancel_oldest": 2, "cancel_both": 3, "decrement": 4,
}  # fmt: skip

TIME_EXPECTED: Final = "expected a time like 2026-01-01T00:00:00.000000Z"
_YEAR_MAX: Final = 2261  # the last whole one of which ns since 1970 stand in 64 bits
TIME_BOUNDS: Final = f"expected a time after 1970-01-01T00:00:00Z and before {_YEAR_MAX + 1}"
GROUP_MAX: Final = 2**32 - 1
"""Highest number of a self-trade group."""

_LIMIT, _MARKET, _STOP_LIMIT, _STOP = 0, 1, 2, 3
_FOK, _DAY, _GTD = 2, 3, 4
_RESTING: Final = (0, _DAY, _GTD)
_PREVENTIONS: Final = "none, cancel_newest, cancel_oldest, cancel_both or decrement"
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?[Zz]", re.ASCII)

Terms = dict[str, Any]


def any_terms(order: PlaceOrder) -> bool:
    """Whether an order says more than most."""
    return (
        order.stop_price is not ABSENT
        or order.expires_at is not ABSENT
        or order.display_quantity is not ABSENT
        or order.minimum_quantity is not ABSENT
        or order.self_trade_prevention is not None
        or order.self_trade_group is not None
        or order.oco is not None
        or order.replaces is not None
    )


def explain_words(order: PlaceOrder, errors: list[FieldError]) -> None:
    """An error for each of side, type and time in force that is none of its words."""
    if order.side not in ("buy", "sell"):
        errors.append(not_one_of("side", "buy or sell", order.side))
    if order.type not in TYPES:
        errors.append(not_one_of("type", "limit, market, stop or stop_limit", order.type))
    if order.time_in_force not in TIMES_IN_FORCE:
        found = order.time_in_force
        errors.append(not_one_of("time_in_force", "gtc, ioc, fok, day or gtd", found))


def place_terms(
    order: PlaceOrder,
    instrument: Instrument,
    kind: int,
    time_in_force: int | None,
    lots: int,
    errors: list[FieldError],
) -> Terms:
    """The terms of an order; one more error for each that is wrong or does not go with another.

    `kind` is its type, `time_in_force` None where that is wrong itself, `lots` its quantity or 0.
    """
    terms: Terms = {}
    stop = _stop_price(order, instrument, kind, errors)
    display = _display(order, instrument, kind, time_in_force, errors)
    minimum = _minimum(order, instrument, errors)
    expire_ns = _expiry(order, time_in_force, errors)
    mode = read_prevention(order.self_trade_prevention, errors)
    _check_parts({"display_quantity": display, "minimum_quantity": minimum}, lots, errors)
    if given(order.quote_quantity):
        _check_by_quote(minimum, mode, errors)
    for name, value in (
        ("stop_price_ticks", stop), ("display_lots", display), ("minimum_lots", minimum),
        ("expire_ns", expire_ns), ("group", _group(order, errors)), ("self_trade", mode),
    ):  # fmt: skip
        if value:
            terms[name] = value
    return terms | _link(order, errors)


def amend_terms(
    request: AmendOrder | Operation, instrument: Instrument, errors: list[FieldError]
) -> Terms:
    """What an amendment sets beside price and quantity."""
    terms: Terms = {}
    sets = 0
    if given(request.stop_price):
        terms["stop_price_ticks"] = read_price(request.stop_price, instrument, errors, "stop_price")
        sets |= Sets.STOP_PRICE
    display = given(request.display_quantity)
    if display:
        bounds = (0, instrument.quantity_lots_max)
        terms["display_lots"] = _lots("display_quantity", display, instrument, bounds, errors)
        sets |= Sets.DISPLAY
    expires_at = given(request.expires_at)
    if expires_at:
        terms["expire_ns"] = read_time("expires_at", expires_at, errors)
        sets |= Sets.EXPIRY
    if request.self_trade_prevention is not None:
        terms["self_trade"] = read_prevention(request.self_trade_prevention, errors)
        sets |= Sets.SELF_TRADE
    if sets:
        terms["sets"] = int(sets)
    return terms


def amends_terms(request: AmendOrder | Operation) -> bool:
    """Whether anything is set beside price and quantity."""
    return bool(
        given(request.stop_price)
        or given(request.display_quantity)
        or given(request.expires_at)
        or request.self_trade_prevention is not None
    )


def asked_terms(request: AmendOrder | Operation) -> tuple[str, ...]:
    """The same as it was asked, for the digest of a key; empty where nothing is."""
    if not amends_terms(request):
        return ()
    raws = (request.stop_price, request.display_quantity, request.expires_at)
    return (*(shown(given(raw)) for raw in raws), str(request.self_trade_prevention))


def read_time(field: str, raw: bytes, errors: list[FieldError]) -> int:
    """An RFC 3339 time in UTC as ns since 1970; 0 and one more error if it is none."""
    try:
        text = msgspec.json.decode(raw, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = ""
    match = _TIME.fullmatch(text)
    if match is not None:
        numbers = [int(each) for each in match.groups()[:6]]
        micros = int((match[7] or "").ljust(6, "0"))
        try:
            moment = datetime(*numbers, tzinfo=UTC)  # type: ignore[misc, arg-type]
        except ValueError:
            moment = None
        if moment is not None:
            value = (timegm(moment.timetuple()) * 10**6 + micros) * 1000
            if value > 0 and moment.year <= _YEAR_MAX:
                return value
            message = f"{TIME_BOUNDS}, found {shown(raw)}"
            errors.append(FieldError(field, message, "out_of_bounds"))
            return 0
    errors.append(FieldError(field, f"{TIME_EXPECTED}, found {shown(raw)}", "invalid_value"))
    return 0


def read_prevention(value: str | None, errors: list[FieldError]) -> int:
    """A self-trade mode; 0 and one more error if it is none."""
    mode = PREVENTIONS.get("none" if value is None else value)
    if mode is None:
        errors.append(not_one_of("self_trade_prevention", _PREVENTIONS, value))
    return mode or 0


def _stop_price(
    order: PlaceOrder, instrument: Instrument, kind: int, errors: list[FieldError]
) -> int:
    if kind in (_STOP, _STOP_LIMIT):
        return read_price(order.stop_price, instrument, errors, "stop_price")
    raw = given(order.stop_price)
    if raw:
        message = f"expected null, as type is {order.type}, found {shown(raw)}"
        errors.append(FieldError("stop_price", message, "unexpected_field"))
    return 0


def _display(
    order: PlaceOrder,
    instrument: Instrument,
    kind: int,
    time_in_force: int | None,
    errors: list[FieldError],
) -> int:
    raw = given(order.display_quantity)
    if not raw:
        return 0
    if kind in (_MARKET, _STOP) or time_in_force not in (*_RESTING, None):
        message = "expected null, as only a limit or stop_limit order that may rest shows a part"
        errors.append(FieldError("display_quantity", message, "unexpected_field"))
        return 0
    return _lots("display_quantity", raw, instrument, (1, instrument.quantity_lots_max), errors)


def _minimum(order: PlaceOrder, instrument: Instrument, errors: list[FieldError]) -> int:
    raw = given(order.minimum_quantity)
    if not raw:
        return 0
    if order.post_only:
        message = "expected null, as a post-only order never trades at once"
        errors.append(FieldError("minimum_quantity", message, "unexpected_field"))
        return 0
    return _lots("minimum_quantity", raw, instrument, (1, instrument.quantity_lots_max), errors)


def _lots(
    field: str,
    raw: bytes,
    instrument: Instrument,
    bounds: tuple[int, int],
    errors: list[FieldError],
) -> int:
    grid = (instrument.lot_coefficient, instrument.lot_exponent)
    return read_decimal(field, raw, grid, bounds, errors)


def _expiry(order: PlaceOrder, time_in_force: int | None, errors: list[FieldError]) -> int:
    raw = given(order.expires_at)
    if time_in_force == _GTD:
        if raw:
            return read_time("expires_at", raw, errors)
        message = f"{TIME_EXPECTED}, as time_in_force is gtd, found nothing"
        errors.append(FieldError("expires_at", message, "missing_field"))
    elif raw and time_in_force is not None:
        message = f"expected null, as time_in_force is not gtd, found {shown(raw)}"
        errors.append(FieldError("expires_at", message, "unexpected_field"))
    return 0


def _group(order: PlaceOrder, errors: list[FieldError]) -> int:
    group = order.self_trade_group
    if group is None or 1 <= group <= GROUP_MAX:
        return group or 0
    message = f"expected a whole number from 1 to {GROUP_MAX}, found {shown(str(group))}"
    errors.append(FieldError("self_trade_group", message, "out_of_bounds"))
    return 0


def _check_parts(parts: dict[str, int], lots: int, errors: list[FieldError]) -> None:
    """No part of a quantity is more than all of it."""
    for field, part in parts.items():
        if lots and part > lots:
            message = "expected at most quantity"
            errors.append(FieldError(field, message, "out_of_bounds"))


def _check_by_quote(minimum: int, mode: int, errors: list[FieldError]) -> None:
    if minimum:
        message = "expected null, as the order is by quote_quantity"
        errors.append(FieldError("minimum_quantity", message, "unexpected_field"))
    if mode == PREVENTIONS["decrement"]:
        message = "expected another one, as the order is by quote_quantity"
        errors.append(FieldError("self_trade_prevention", message, "unexpected_field"))


def _link(order: PlaceOrder, errors: list[FieldError]) -> Terms:
    """The order that another one is placed for: to pair with, or to take the place of."""
    if order.oco is not None and order.replaces is not None:
        message = "expected oco or replaces, not both"
        errors.append(FieldError("replaces", message, "unexpected_field"))
        return {}
    for field, named, use in (
        ("oco", order.oco, LinkUse.ONE_CANCELS_OTHER),
        ("replaces", order.replaces, LinkUse.REPLACES),
    ):
        if named is not None:
            check_id(field, named, errors)
            return {"link_use": int(use), "link_id": named.encode("ascii", "replace")}
    return {}


def check_force(kind: int, time_in_force: int | None, errors: list[FieldError]) -> None:
    """A market order is over at once, or with its auction."""
    if kind == _MARKET and time_in_force in (_DAY, _GTD):
        message = "expected gtc, ioc or fok, as type is market"
        errors.append(FieldError("time_in_force", message, "unexpected_field"))
