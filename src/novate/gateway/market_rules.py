"""Rules of an instrument and limits of clients, as people write them and as commands bear them.

In: decimals in the instrument's own units, never ticks or lots. Out: the same members, only those
that are set. Owns no state.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from novate.gateway import requests
from novate.gateway.fields import given, not_one_of, read_decimal
from novate.gateway.problems import FieldError, shown
from novate.model import codec
from novate.model.instrument import (
    DAY_S,
    ICEBERG_PARTS_MAX,
    PRICE_TICKS_MAX,
    QUANTITY_LOTS_MAX,
    QUOTE_UNITS_MAX,
    SCHEDULE_MAX,
    Distance,
    Instrument,
    OrderLimits,
    Rules,
    ScheduledPhase,
)

PHASES: Final = ("continuous", "pre_open", "auction", "halt", "cancel_only", "closed")
PHASES_EXPECTED: Final = "continuous, pre_open, auction, halt, cancel_only or closed"
OPEN_ORDERS_MAX: Final = 2**32 - 1

_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])", re.ASCII)
_Errors = list[FieldError]


def read_rules(asked: requests.SetRules, instrument: Instrument, errors: _Errors) -> Rules:
    """The rules that are asked for; one more error for each member that is wrong."""
    rules = Rules(
        limits=read_limits(asked.limits or requests.LimitsBody(), instrument, errors, "limits."),
        iceberg_parts_max=_whole(
            "iceberg_parts_max", asked.iceberg_parts_max, 100, (1, ICEBERG_PARTS_MAX), errors
        ),
        protection=_distance("protection", asked.protection, instrument, errors),
        static_band=_distance("static_band", asked.static_band, instrument, errors),
        dynamic_band=_distance("dynamic_band", asked.dynamic_band, instrument, errors),
        band_action="auction" if asked.band_action == "auction" else "reject",
        volatility_auction_ns=_whole(
            "volatility_auction_seconds", asked.volatility_auction_seconds, 300, (1, DAY_S), errors
        )
        * 10**9,
        reference_price_ticks=_price("reference_price", asked.reference_price, instrument, errors),
        session_end_s=_time_of_day("session_end", asked.session_end, errors),
        schedule=_schedule(asked.schedule or [], errors),
    )
    if asked.band_action not in (None, "reject", "auction"):
        errors.append(not_one_of("band_action", "reject or auction", asked.band_action))
    fault = None if errors else rules.fault()
    if fault is not None:
        errors.append(FieldError(fault.partition(":")[0], fault, "invalid_value"))
    return rules


def read_limits(
    asked: requests.LimitsBody, instrument: Instrument, errors: _Errors, path: str = ""
) -> OrderLimits:
    """The limits that are asked for; one more error for each member that is wrong."""
    lot = instrument.lot_coefficient, instrument.lot_exponent
    quote = 1, instrument.quote_scale
    least, most = _amounts(
        path, {"quantity_min": asked.quantity_min, "quantity_max": asked.quantity_max},
        lot, QUANTITY_LOTS_MAX, errors,
    )  # fmt: skip
    floor, ceiling = _amounts(
        path, {"notional_min": asked.notional_min, "notional_max": asked.notional_max},
        quote, QUOTE_UNITS_MAX, errors,
    )  # fmt: skip
    name = f"{path}last_price_distance"
    return OrderLimits(
        quantity_lots_min=least,
        quantity_lots_max=most,
        notional_units_min=floor,
        notional_units_max=ceiling,
        open_orders_max=_whole(
            f"{path}open_orders_max", asked.open_orders_max, 0, (0, OPEN_ORDERS_MAX), errors
        ),
        last_price_distance=_distance(name, asked.last_price_distance, instrument, errors),
    )


def _amounts(
    path: str,
    raws: dict[str, msgspec.Raw],
    grid: tuple[int, int],
    most: int,
    errors: _Errors,
) -> list[int]:
    """Amounts in steps of a grid, 0 where there is none."""
    return [
        read_decimal(f"{path}{name}", given(raw), grid, (0, most), errors) if given(raw) else 0
        for name, raw in raws.items()
    ]


def _distance(
    name: str, asked: requests.DistanceBody | None, instrument: Instrument, errors: _Errors
) -> Distance:
    if asked is None:
        return Distance()
    percent = given(asked.percent)
    return Distance(
        ticks=_price(f"{name}.price", asked.price, instrument, errors),
        permille=read_decimal(f"{name}.percent", percent, (1, 1), (0, 10**6), errors)
        if percent
        else 0,
    )


def _price(name: str, raw: msgspec.Raw, instrument: Instrument, errors: _Errors) -> int:
    """A price in ticks, 0 where there is none."""
    grid = instrument.tick_coefficient, instrument.tick_exponent
    text = given(raw)
    return read_decimal(name, text, grid, (0, PRICE_TICKS_MAX), errors) if text else 0


def _whole(
    name: str, asked: int | None, default: int, bounds: tuple[int, int], errors: _Errors
) -> int:
    if asked is None:
        return default
    if bounds[0] <= asked <= bounds[1]:
        return asked
    message = f"expected {bounds[0]} to {bounds[1]}, found {shown(str(asked))}"
    errors.append(FieldError(name, message, "out_of_bounds"))
    return default


def _time_of_day(name: str, text: str | None, errors: _Errors) -> int:
    """Seconds after 00:00 UTC."""
    if text is None:
        return 0
    match = _TIME_OF_DAY.fullmatch(text)
    if match is None:
        message = f"expected a time of day in UTC like 17:05:00, found {shown(text)}"
        errors.append(FieldError(name, message, "invalid_value"))
        return 0
    return int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])


def _schedule(asked: list[requests.ScheduledBody], errors: _Errors) -> tuple[ScheduledPhase, ...]:
    if len(asked) > SCHEDULE_MAX:
        message = f"expected at most {SCHEDULE_MAX} entries, found {len(asked)}"
        errors.append(FieldError("schedule", message, "out_of_bounds"))
        return ()
    entries = []
    for number, each in enumerate(asked):
        at_s = _time_of_day(f"schedule[{number}].at", each.at or "", errors)
        if each.phase not in PHASES:
            name = f"schedule[{number}].phase"
            errors.append(not_one_of(name, PHASES_EXPECTED, each.phase))
        else:
            entries.append(ScheduledPhase(at_s=at_s, phase=each.phase))  # type: ignore[arg-type]
    return tuple(entries)


# --- out ------------------------------------------------------------------------------------------


def rules_json(rules: Rules, instrument: Instrument) -> bytes:
    """The rules as they are asked for, without what is as by default; `{}`: all of it."""
    members: dict[str, Any] = {}
    limits = limits_members(rules.limits, instrument)
    if limits:
        members["limits"] = limits
    usual = Rules()
    if rules.iceberg_parts_max != usual.iceberg_parts_max:
        members["iceberg_parts_max"] = rules.iceberg_parts_max
    for name in ("protection", "static_band", "dynamic_band"):
        distance = _distance_members(getattr(rules, name), instrument)
        if distance:
            members[name] = distance
    if rules.band_action != usual.band_action:
        members["band_action"] = rules.band_action
    if rules.volatility_auction_ns != usual.volatility_auction_ns:
        members["volatility_auction_seconds"] = rules.volatility_auction_ns // 10**9
    if rules.reference_price_ticks:
        members["reference_price"] = _price_text(rules.reference_price_ticks, instrument)
    if rules.session_end_s:
        members["session_end"] = _clock_text(rules.session_end_s)
    if rules.schedule:
        members["schedule"] = [
            {"at": _clock_text(each.at_s), "phase": each.phase} for each in rules.schedule
        ]
    return msgspec.json.encode(members)


def limits_members(limits: OrderLimits, instrument: Instrument) -> dict[str, Any]:
    """The limits as they are asked for, without those that are off."""
    lot = instrument.lot_coefficient, instrument.lot_exponent
    quote = 1, instrument.quote_scale
    amounts = {
        "quantity_min": (limits.quantity_lots_min, lot),
        "quantity_max": (limits.quantity_lots_max, lot),
        "notional_min": (limits.notional_units_min, quote),
        "notional_max": (limits.notional_units_max, quote),
    }
    members: dict[str, Any] = {
        name: msgspec.Raw(codec.format_scaled(value, *grid))
        for name, (value, grid) in amounts.items()
        if value
    }
    if limits.open_orders_max:
        members["open_orders_max"] = limits.open_orders_max
    distance = _distance_members(limits.last_price_distance, instrument)
    if distance:
        members["last_price_distance"] = distance
    return members


def _distance_members(distance: Distance, instrument: Instrument) -> dict[str, msgspec.Raw]:
    members = {}
    if distance.ticks:
        members["price"] = _price_text(distance.ticks, instrument)
    if distance.permille:
        members["percent"] = msgspec.Raw(codec.format_scaled(distance.permille, 1, 1))
    return members


def _price_text(ticks: int, instrument: Instrument) -> msgspec.Raw:
    grid = instrument.tick_coefficient, instrument.tick_exponent
    return msgspec.Raw(codec.format_scaled(ticks, *grid))


def _clock_text(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
