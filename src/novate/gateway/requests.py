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


_UNSUPPORTED = "Not in this version: anything but null is answered 400 `unsupported`."

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
Price = Annotated[Raw, _decimal("A multiple of the tick size.", 70150.5)]
Quantity = Annotated[Raw, _decimal("A multiple of the lot size.", 0.25)]


class PlaceOrder(Struct, forbid_unknown_fields=True, gc=False):
    """An order. `client_id`, `side` and `type` are required."""

    client_id: ClientId = None
    side: Annotated[str | None, _text("Buy or sell.", enum=["buy", "sell"])] = None
    type: Annotated[
        str | None,
        _text("`stop` and `stop_limit` are not in this version.", enum=["limit", "market"]),
    ] = None
    instrument: InstrumentName = None
    price: Annotated[
        Raw, _decimal("Of a limit order, and of no other: a multiple of the tick size.", 70150.5)
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
        _text("Default gtc. `day` and `gtd` are not in this version.", enum=["gtc", "ioc", "fok"]),
    ] = None
    post_only: Annotated[
        bool | None, Meta(description="Refuse the order rather than let it trade at once.")
    ] = None
    self_trade_prevention: Annotated[
        str | None, _text("Only `none` in this version.", enum=["none"])
    ] = None
    stop_price: Annotated[Raw, _text(_UNSUPPORTED, type="null")] = ABSENT
    expires_at: Annotated[Raw, _text(_UNSUPPORTED, type="null")] = ABSENT
    display_quantity: Annotated[Raw, _text(_UNSUPPORTED, type="null")] = ABSENT
    minimum_quantity: Annotated[Raw, _text(_UNSUPPORTED, type="null")] = ABSENT


class CancelOrder(Struct, forbid_unknown_fields=True, gc=False):
    """The body of a cancel, which needs none."""

    client_id: OwnerId = None
    idempotency_key: Key = None


class AmendOrder(Struct, forbid_unknown_fields=True, gc=False):
    """What to change of an order: price, quantity, or both."""

    price: Price = ABSENT
    quantity: Annotated[Raw, _decimal("The new total, filled part included.", 0.5)] = ABSENT
    client_id: OwnerId = None
    idempotency_key: Key = None


class Operation(Struct, forbid_unknown_fields=True, gc=False):
    """One operation of a batch: `place` with an order, `cancel` or `amend` with an order_id."""

    op: Annotated[str | None, _text("What to do.", enum=["place", "cancel", "amend"])] = None
    order: PlaceOrder | None = None
    order_id: Annotated[str | None, _text("Of a cancel or amend.", pattern=ID_PATTERN)] = None
    price: Price = ABSENT
    quantity: Annotated[Raw, _decimal("Of an amend: the new total.", 0.5)] = ABSENT
    client_id: OwnerId = None
    idempotency_key: Key = None


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


decode_place = msgspec.json.Decoder(PlaceOrder).decode
decode_cancel = msgspec.json.Decoder(CancelOrder).decode
decode_amend = msgspec.json.Decoder(AmendOrder).decode
decode_operation = msgspec.json.Decoder(Operation).decode
decode_batch = msgspec.json.Decoder(Batch).decode
decode_raw_batch = msgspec.json.Decoder(RawBatch).decode
decode_create_instrument = msgspec.json.Decoder(CreateInstrument).decode
