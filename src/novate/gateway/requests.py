"""Bodies of requests: what may stand in them, field by field.

The same structs decode a request and document it. A decimal stays raw JSON here: it is read, once
its instrument is known, by `novate.model.codec.parse_scaled`, and never through a float. Absent and
null mean the same, so that every field has a default; what is required is said by validation.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

ABSENT: Final = Raw()
"""A decimal that was not given."""

ID_PATTERN: Final = "^[A-Za-z0-9._:-]{1,64}$"
"""Ids and idempotency keys."""

NAME_PATTERN: Final = "^[A-Za-z0-9._:-]{1,32}$"
"""Names of instruments and assets."""

DECIMAL_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": r"^[0-9]{1,30}(\.[0-9]{1,18})?$", "maxLength": 30},
    ]
}


def _text(description: str, **schema: Any) -> Meta:
    return Meta(description=description, extra_json_schema=schema)


def _decimal(description: str, example: object) -> Meta:
    return Meta(
        description=description, extra_json_schema={**DECIMAL_SCHEMA, "examples": [example]}
    )


def _time(description: str) -> Meta:
    schema = {"type": "string", "format": "date-time", "examples": ["2030-01-01T00:00:00.000000Z"]}
    return Meta(description=description, extra_json_schema=schema)


OrderId = Annotated[
    str | None,
    _text(
        "Yours to choose, unique among the orders in memory; else the server makes a UUID.",
        pattern=ID_PATTERN,
        examples=["order-1"],
    ),
]
ClientId = Annotated[str | None, _text("Whose order.", pattern=ID_PATTERN, examples=["client-A"])]
OwnerId = Annotated[
    str | None,
    _text("Whose order it is; if given, it must be the owner.", pattern=ID_PATTERN),
]
Key = Annotated[
    str | None,
    _text(
        "Same key, same answer; also as header `Idempotency-Key`. Scope: the client.",
        pattern=ID_PATTERN,
        examples=["abc-123"],
    ),
]
InstrumentName = Annotated[
    str | None, _text("Default BTC-USD.", pattern=NAME_PATTERN, examples=["BTC-USD"])
]
Prevention = Annotated[
    str | None,
    _text(
        "What happens when the order would trade with one of the same owner. Default none.",
        enum=["none", "cancel_newest", "cancel_oldest", "cancel_both", "decrement"],
    ),
]
StopPrice = Annotated[
    Raw, _decimal("Of a stop or stop_limit order: a multiple of the tick size.", 70100)
]
Price = Annotated[Raw, _decimal("A multiple of the tick size.", 70150.5)]
Quantity = Annotated[Raw, _decimal("A multiple of the lot size.", 0.25)]


class PlaceOrder(Struct, forbid_unknown_fields=True, gc=False):
    """An order. `client_id`, `side` and `type` are required."""

    client_id: ClientId = None
    side: Annotated[str | None, _text("Buy or sell.", enum=["buy", "sell"])] = None
    type: Annotated[
        str | None,
        _text(
            "A stop order waits until a trade reaches its stop price.",
            enum=["limit", "market", "stop", "stop_limit"],
        ),
    ] = None
    instrument: InstrumentName = None
    price: Annotated[
        Raw, _decimal("Of a limit or stop_limit order: a multiple of the tick size.", 70150.5)
    ] = ABSENT
    quantity: Quantity = ABSENT
    quote_quantity: Annotated[
        Raw,
        _decimal("Of a market order, instead of quantity: money to spend or to raise.", 1000),
    ] = ABSENT
    order_id: OrderId = None
    idempotency_key: Key = None
    time_in_force: Annotated[
        str | None,
        _text(
            "Default gtc. `day` ends at the instrument's session end, `gtd` at `expires_at`.",
            enum=["gtc", "ioc", "fok", "day", "gtd"],
        ),
    ] = None
    post_only: Annotated[
        bool | None, Meta(description="Refuse the order rather than let it trade at once.")
    ] = None
    self_trade_prevention: Prevention = None
    stop_price: StopPrice = ABSENT
    expires_at: Annotated[Raw, _time("Of a gtd order: when it ends.")] = ABSENT
    display_quantity: Annotated[
        Raw, _decimal("An iceberg: so much of it is shown at a time.", 0.05)
    ] = ABSENT
    minimum_quantity: Annotated[
        Raw, _decimal("Least that must trade at once as it comes in, or it ends.", 0.1)
    ] = ABSENT
    self_trade_group: Annotated[
        int | None,
        Meta(
            description="Clients of one group count as one owner.",
            extra_json_schema={"minimum": 1, "maximum": 2**32 - 1},
        ),
    ] = None
    oco: Annotated[
        str | None,
        _text(
            "One cancels the other: an open order of the client that this one is paired with.",
            pattern=ID_PATTERN,
        ),
    ] = None
    replaces: Annotated[
        str | None,
        _text(
            "An open order of the client that is cancelled first, in the same command.",
            pattern=ID_PATTERN,
        ),
    ] = None


class CancelOrder(Struct, forbid_unknown_fields=True, gc=False):
    """The body of a cancel, which needs none."""

    client_id: OwnerId = None
    idempotency_key: Key = None


class AmendOrder(Struct, forbid_unknown_fields=True, gc=False):
    """What to change of an order: at least one of its terms."""

    price: Price = ABSENT
    quantity: Annotated[Raw, _decimal("The new total, filled part included.", 0.5)] = ABSENT
    client_id: OwnerId = None
    idempotency_key: Key = None
    stop_price: StopPrice = ABSENT
    display_quantity: Annotated[
        Raw, _decimal("Of an amend: the new part that is shown; 0 shows all.", 0.1)
    ] = ABSENT
    expires_at: Annotated[Raw, _time("Of an amend of a gtd order: its new end.")] = ABSENT
    self_trade_prevention: Prevention = None


class Operation(Struct, forbid_unknown_fields=True, gc=False):
    """One operation of a batch.

    `place` with an order, `cancel` or `amend` with an order_id, `mass_cancel` with a client_id.
    """

    op: Annotated[
        str | None, _text("What to do.", enum=["place", "cancel", "amend", "mass_cancel"])
    ] = None
    order: PlaceOrder | None = None
    order_id: Annotated[str | None, _text("Of a cancel or amend.", pattern=ID_PATTERN)] = None
    price: Price = ABSENT
    quantity: Annotated[Raw, _decimal("Of an amend: the new total.", 0.5)] = ABSENT
    client_id: OwnerId = None
    idempotency_key: Key = None
    stop_price: StopPrice = ABSENT
    display_quantity: Annotated[
        Raw, _decimal("Of an amend: the new part that is shown; 0 shows all.", 0.1)
    ] = ABSENT
    expires_at: Annotated[Raw, _time("Of an amend of a gtd order: its new end.")] = ABSENT
    self_trade_prevention: Prevention = None
    instrument: Annotated[
        str | None, _text("Of a mass_cancel; default: every one.", pattern=NAME_PATTERN)
    ] = None
    side: Annotated[str | None, _text("Of a mass_cancel; default: both.", enum=["buy", "sell"])] = (
        None
    )


class Batch(Struct, forbid_unknown_fields=True):
    """Up to 1,000 operations, done in order; one that fails does not stop the others."""

    operations: Annotated[
        list[Operation] | None, Meta(extra_json_schema={"minItems": 1, "maxItems": 1000})
    ] = None
    client_id: Annotated[
        str | None,
        _text(
            "Whose idempotency key and rate; default: the first placed order's.", pattern=ID_PATTERN
        ),
    ] = None
    idempotency_key: Key = None


class RawBatch(Struct, forbid_unknown_fields=True):
    """A batch whose operations are decoded one by one, so that one bad one stands alone."""

    operations: list[Raw] | None = None
    client_id: str | None = None
    idempotency_key: str | None = None


class CreateInstrument(Struct, forbid_unknown_fields=True):
    """A new instrument. `name`, `base`, `quote`, `tick_size` and `lot_size` are required."""

    name: Annotated[str | None, _text("Its name.", pattern=NAME_PATTERN, examples=["SOL-USD"])] = (
        None
    )
    base: Annotated[
        str | None, _text("Asset that is traded.", pattern=NAME_PATTERN, examples=["SOL"])
    ] = None
    quote: Annotated[
        str | None, _text("Asset it is paid in.", pattern=NAME_PATTERN, examples=["USD"])
    ] = None
    tick_size: Annotated[Raw, _decimal("Step of prices.", 0.01)] = ABSENT
    lot_size: Annotated[Raw, _decimal("Step of quantities.", 0.001)] = ABSENT
    quote_scale: (
        Annotated[
            int,
            Meta(
                description="Decimals of the quote asset's unit; one tick times one lot is whole"
                " in it. Default: 12, or what the two sizes ask for.",
                ge=0,
                le=24,
            ),
        ]
        | None
    ) = None
    price_max: Annotated[Raw, _decimal("Highest price.", 100000)] = ABSENT
    quantity_min: Annotated[Raw, _decimal("Least quantity of an order.", 0.01)] = ABSENT
    quantity_max: Annotated[Raw, _decimal("Most.", 1000000)] = ABSENT


class DistanceBody(Struct, forbid_unknown_fields=True):
    """A distance from a price: an amount, a percentage, or the lesser of both."""

    price: Annotated[Raw, _decimal("In the quote asset: a multiple of the tick size.", 50)] = ABSENT
    percent: Annotated[Raw, _decimal("Of that price; tenths of a percent count.", 2.5)] = ABSENT


class LimitsBody(Struct, forbid_unknown_fields=True):
    """Limits of orders; what is not given is off."""

    quantity_min: Annotated[Raw, _decimal("Least quantity.", 0.001)] = ABSENT
    quantity_max: Annotated[Raw, _decimal("Most.", 100)] = ABSENT
    notional_min: Annotated[Raw, _decimal("Least price times quantity.", 10)] = ABSENT
    notional_max: Annotated[Raw, _decimal("Most.", 1000000)] = ABSENT
    open_orders_max: Annotated[
        int | None, Meta(description="Open orders of a client on the instrument.")
    ] = None
    last_price_distance: DistanceBody | None = None


class ScheduledBody(Struct, forbid_unknown_fields=True):
    """A phase that begins every day at the same time."""

    at: Annotated[str | None, _text("Time of day in UTC.", examples=["08:00:00"])] = None
    phase: Annotated[str | None, _text("Which phase.", examples=["auction"])] = None


class SetRules(Struct, forbid_unknown_fields=True):
    """All rules of an instrument, in place of those before; what is not given is off."""

    limits: LimitsBody | None = None
    iceberg_parts_max: Annotated[
        int | None, Meta(description="Most parts an iceberg may come in. Default 100.")
    ] = None
    protection: DistanceBody | None = None
    static_band: DistanceBody | None = None
    dynamic_band: DistanceBody | None = None
    band_action: Annotated[
        str | None, _text("What a trade outside a band leads to.", enum=["reject", "auction"])
    ] = None
    volatility_auction_seconds: Annotated[
        int | None, Meta(description="How long that auction takes. Default 300.")
    ] = None
    reference_price: Annotated[
        Raw, _decimal("Reference price until an auction finds one.", 70000)
    ] = ABSENT
    session_end: Annotated[
        str | None, _text("When day orders end, UTC. Default 00:00:00.", examples=["17:05:00"])
    ] = None
    schedule: Annotated[
        list[ScheduledBody] | None, Meta(description="The phases of a day, by time.")
    ] = None


class SetPhase(Struct, forbid_unknown_fields=True):
    """A phase of an instrument. `phase` is required."""

    phase: Annotated[
        str | None,
        _text(
            "Which phase.",
            enum=["continuous", "pre_open", "auction", "halt", "cancel_only", "closed"],
        ),
    ] = None
    until: Annotated[Raw, _time("When continuous trading follows; absent: when told.")] = ABSENT


class SetLimits(LimitsBody, forbid_unknown_fields=True):
    """A client's own limits on an instrument, in place of those before; none: the rules' again."""

    instrument: InstrumentName = None


class Kill(Struct, forbid_unknown_fields=True):
    """A kill switch. On: all orders end and none is taken. `on` is required."""

    on: Annotated[bool | None, Meta(description="True ends, false takes orders again.")] = None


class CancelAfter(Struct, forbid_unknown_fields=True):
    """A dead-man timer: all orders of the client end then. Both members are required."""

    client_id: ClientId = None
    seconds: Annotated[Raw, _decimal("From now, to the millisecond; 0 stops the timer.", 30)] = (
        ABSENT
    )


decode_rules = msgspec.json.Decoder(SetRules).decode
decode_phase = msgspec.json.Decoder(SetPhase).decode
decode_limits = msgspec.json.Decoder(SetLimits).decode
decode_kill = msgspec.json.Decoder(Kill).decode
decode_cancel_after = msgspec.json.Decoder(CancelAfter).decode
decode_place = msgspec.json.Decoder(PlaceOrder).decode
decode_cancel = msgspec.json.Decoder(CancelOrder).decode
decode_amend = msgspec.json.Decoder(AmendOrder).decode
decode_operation = msgspec.json.Decoder(Operation).decode
decode_batch = msgspec.json.Decoder(Batch).decode
decode_raw_batch = msgspec.json.Decoder(RawBatch).decode
decode_create_instrument = msgspec.json.Decoder(CreateInstrument).decode
