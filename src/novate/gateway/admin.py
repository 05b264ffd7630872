"""The operator's calls: health, readiness, status, snapshots, new instruments.

Owns what these calls look like; what they say comes from the exchange, behind `ExchangeView`.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final, Protocol

import msgspec

from novate.config import Settings
from novate.gateway import requests
from novate.gateway.fields import decoded, given
from novate.gateway.instruments import Instruments
from novate.gateway.operations import Operations, Partition
from novate.gateway.problems import FieldError, ProblemError, refused, shown
from novate.model import codec
from novate.model.instrument import (
    PRICE_TICKS_MAX,
    QUANTITY_LOTS_MAX,
    QUOTE_UNITS_PER_STEP_MAX,
    Instrument,
)

SIZE_EXPONENT: Final = 18
"""Decimals that a tick or lot size may have."""

SIZE_MAX: Final = 10**9
"""Highest tick or lot size; and highest coefficient of one, without its power of ten."""

QUOTE_SCALE_DEFAULT: Final = 12
QUOTE_SCALE_MAX: Final = 24

_NAMES: Final = "expected 1 to 32 of A-Z a-z 0-9 . _ : -"
_encode = msgspec.json.Encoder(decimal_format="number").encode


class MetricsView(Protocol):
    """What the gateway asks of metrics."""

    def order_received(self, order_type: str, side: str) -> None:
        """A placed order came in."""
        ...

    def rejected(self, reason: str) -> None:
        """A request was refused."""
        ...

    def http(self, route: str, status: int) -> None:
        """A request was answered."""
        ...

    def latency(self, seconds: float) -> None:
        """An order was answered, so long after it was read."""
        ...

    def render(self) -> bytes:
        """Everything, in Prometheus' text format."""
        ...


class ExchangeView(Protocol):
    """What the gateway asks of the exchange as a whole."""

    @property
    def settings(self) -> Settings:
        """Its settings."""
        ...

    @property
    def partition(self) -> Partition:
        """Its partition."""
        ...

    @property
    def operations(self) -> Operations:
        """Its operations."""
        ...

    @property
    def metrics(self) -> MetricsView:
        """Its metrics."""
        ...

    def health(self) -> tuple[int, dict[str, Any]]:
        """HTTP status and body of /healthz: status, timestamp, checks."""
        ...

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """HTTP status and body of /readyz: 200 and status ready, or 503 and why."""
        ...

    def status(self) -> dict[str, Any]:
        """Body of /admin/status."""
        ...

    def snapshots(self) -> list[dict[str, Any]]:
        """Every snapshot kept, newest first: seq, timestamp, bytes, path."""
        ...

    def take_snapshot(self) -> Awaitable[dict[str, Any]]:
        """A snapshot at a definite sequence, once it is persisted; raises NotAccepting if not."""
        ...


def encode(value: object) -> bytes:
    """A value as JSON; decimals as numbers."""
    return _encode(value)


def read_instrument(body: bytes, instruments: Instruments) -> Instrument:
    """The instrument that a request asks for.

    Raises:
        ProblemError: 400, or 409 if there is one of this name.
    """
    request = decoded(requests.decode_create_instrument, body)
    errors: list[FieldError] = []
    name = _name("name", request.name, errors)
    base = _name("base", request.base, errors)
    quote = _name("quote", request.quote, errors)
    tick = _size("tick_size", request.tick_size, errors)
    lot = _size("lot_size", request.lot_size, errors)
    if errors:
        raise refused(errors)
    scale = _quote_scale(request.quote_scale, tick, lot)
    price_max = _bound("price_max", request.price_max, tick, PRICE_TICKS_MAX, errors)
    least = _bound("quantity_min", request.quantity_min, lot, 1, errors)
    most = _bound("quantity_max", request.quantity_max, lot, QUANTITY_LOTS_MAX, errors)
    if not errors and least > most:
        errors.append(FieldError("quantity_min", "expected at most quantity_max", "out_of_bounds"))
    if errors:
        raise refused(errors)
    if instruments.find(name) is not None:
        raise ProblemError(409, "instrument_exists", f"an instrument is named {name} already")
    return Instrument(
        name=name,
        base=base,
        quote=quote,
        tick_coefficient=tick[0],
        tick_exponent=tick[1],
        lot_coefficient=lot[0],
        lot_exponent=lot[1],
        quote_scale=scale,
        price_ticks_max=price_max,
        quantity_lots_min=least,
        quantity_lots_max=most,
    )


def _quote_scale(asked: int | None, tick: tuple[int, int], lot: tuple[int, int]) -> int:
    """Decimals of the quote asset's unit: those asked for, else 12 or what the grid makes of it."""
    least = tick[1] + lot[1]
    scale = max(QUOTE_SCALE_DEFAULT, least) if asked is None else asked
    while asked is None and scale > least and _units(tick, lot, scale) > QUOTE_UNITS_PER_STEP_MAX:
        scale -= 1
    if least <= scale <= QUOTE_SCALE_MAX and _units(tick, lot, scale) <= QUOTE_UNITS_PER_STEP_MAX:
        return scale
    message = (
        f"expected tick_size x lot_size to be 1 to {QUOTE_UNITS_PER_STEP_MAX} units of 10^-{scale},"
        f" and quote_scale at most {QUOTE_SCALE_MAX}"
    )
    raise refused([FieldError("quote_scale", message, "invalid_value")])


def _units(tick: tuple[int, int], lot: tuple[int, int], scale: int) -> int:
    """What one tick times one lot is, in units of `10**-scale` of the quote asset."""
    return int(tick[0] * lot[0] * 10 ** (scale - tick[1] - lot[1]))


def _name(field: str, value: str | None, errors: list[FieldError]) -> str:
    if value is None:
        errors.append(FieldError(field, f"{_NAMES}, found nothing", "missing_field"))
        return ""
    if not codec.valid_id(value) or len(value) > 32:
        errors.append(FieldError(field, f"{_NAMES}, found {shown(value)}", "invalid_id"))
    return value


def _size(field: str, raw: msgspec.Raw, errors: list[FieldError]) -> tuple[int, int]:
    """A step as coefficient and exponent (`coefficient * 10**-exponent`), both the least."""
    text = given(raw)
    value = 0
    if not text:
        errors.append(FieldError(field, "expected a positive decimal", "missing_field"))
        return 1, 0
    try:
        value = codec.parse_scaled(text, 1, SIZE_EXPONENT, SIZE_MAX * 10**SIZE_EXPONENT)
        if value == 0:
            errors.append(FieldError(field, "expected a positive decimal", "out_of_bounds"))
    except codec.DecimalError as error:
        errors.append(FieldError(field, f"{error}, found {shown(text)}", error.code))
    exponent = SIZE_EXPONENT
    while exponent and value % 10 == 0:
        value //= 10
        exponent -= 1
    if value > SIZE_MAX:
        message = f"expected at most {len(str(SIZE_MAX)) - 1} digits, found {shown(text)}"
        errors.append(FieldError(field, message, "out_of_bounds"))
    return value or 1, exponent


def _bound(
    field: str, raw: msgspec.Raw, step: tuple[int, int], default: int, errors: list[FieldError]
) -> int:
    """A bound of prices or quantities, in steps."""
    text = given(raw)
    if not text:
        return default
    most = PRICE_TICKS_MAX if field == "price_max" else QUANTITY_LOTS_MAX
    try:
        value = codec.parse_scaled(text, step[0], step[1], most)
    except codec.DecimalError as error:
        errors.append(FieldError(field, f"{error}, found {shown(text)}", error.code))
        return default
    if value < 1:
        errors.append(FieldError(field, "expected a positive decimal", "out_of_bounds"))
    return value
