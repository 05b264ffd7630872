"""Clearing's requests and replies as JSON has them. Owns no rules."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

from novate.gateway.replies import Number, OptionalNumber, PartSequence, Time
from novate.gateway.requests import (
    ABSENT,
    DECIMAL_SCHEMA,
    NAME_PATTERN,
    ClientId,
    InstrumentName,
    Key,
)

STATES: Final = ("open", "instructed", "settled", "failed")

_SIGNED: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "number"},
        {"type": "string", "pattern": r"^-?[0-9]{1,30}(\.[0-9]{1,18})?$", "maxLength": 30},
    ]
}


def _text(description: str, **schema: Any) -> Meta:
    return Meta(description=description, extra_json_schema=schema)


def _decimal(description: str, example: object, signed: bool = False) -> Meta:
    schema = _SIGNED if signed else DECIMAL_SCHEMA
    return Meta(description=description, extra_json_schema={**schema, "examples": [example]})


AssetName = Annotated[str | None, _text("The asset.", pattern=NAME_PATTERN, examples=["USD"])]


class Transfer(Struct, forbid_unknown_fields=True):
    """Funds in or out. `client_id`, `asset` and `amount` are required."""

    client_id: ClientId = None
    asset: AssetName = None
    amount: Annotated[Raw, _decimal("How much.", 1000.5)] = ABSENT
    idempotency_key: Key = None


class FeeTierBody(Struct, forbid_unknown_fields=True):
    """What clients of a tier pay, in basis points (hundredths of a percent) of a trade's value."""

    maker_bps: Annotated[Raw, _decimal("Two decimals at most; under 0: a rebate.", -0.5, True)] = (
        ABSENT
    )
    taker_bps: Annotated[Raw, _decimal("Two decimals at most.", 3, True)] = ABSENT


class SetClearing(Struct, forbid_unknown_fields=True):
    """How an instrument's trades are cleared, in place of the terms before."""

    mode: Annotated[
        str | None,
        _text("`open` (default): netted at settlement. `funded`: paid at the match.",
                   enum=["open", "funded"]),
    ] = None  # fmt: skip
    fees: Annotated[
        list[FeeTierBody] | None, Meta(description="By tier, from 0; at most 16. Default: none.")
    ] = None
    mark: Annotated[
        str | None,
        _text("Mark price where the operator sets none.", enum=["last", "mid"]),
    ] = None


class SetMark(Struct, forbid_unknown_fields=True):
    """The operator's mark price."""

    price: Annotated[Raw, _decimal("Absent or null: as the terms say.", 70150.5)] = ABSENT


class SetTier(Struct, forbid_unknown_fields=True):
    """The tier of a client's fees. `tier` is required."""

    tier: Annotated[int, Meta(description="0 to 15.", ge=0, le=15)] | None = None


class CloseCycle(Struct, forbid_unknown_fields=True):
    """Close the open cycle."""

    cycle: (
        Annotated[
            int,
            Meta(
                description="Its number, over the last and not past today's date such as 20250131, "
                "the default.",
                ge=1,
                le=2**53,
            ),
        ]
        | None
    ) = None


class MoveSettlement(Struct, forbid_unknown_fields=True):
    """What became of a cycle's obligations. `state` is required."""

    state: Annotated[
        str | None, _text("The new state.", enum=["instructed", "settled", "failed"])
    ] = None


class SetCutoff(Struct, forbid_unknown_fields=True):
    """When cycles close by themselves."""

    at: Annotated[
        str | None, _text("Time of day in UTC; absent or null: never.", examples=["17:00:00"])
    ] = None


class BustTrade(Struct, forbid_unknown_fields=True):
    """A trade that is taken back, or with both new fields corrected.

    The exchange knows what the trade was and what it was charged; what is said of that here only
    confirms it.
    """

    instrument: InstrumentName = None
    price: Annotated[Raw, _decimal("As it was.", 70150.5)] = ABSENT
    quantity: Annotated[Raw, _decimal("As it was.", 0.25)] = ABSENT
    buy_client_id: ClientId = None
    sell_client_id: ClientId = None
    buy_fee: Annotated[Raw, _decimal("As it was charged; under 0: a rebate.", 1, True)] = ABSENT
    sell_fee: Annotated[Raw, _decimal("The same of the seller.", 1, True)] = ABSENT
    new_price: Annotated[Raw, _decimal("A correction: as it is to be.", 70100)] = ABSENT
    new_quantity: Annotated[Raw, _decimal("A correction: as it is to be.", 0.2)] = ABSENT


REQUESTS: tuple[type[Struct], ...] = (
    Transfer,
    FeeTierBody,
    SetClearing,
    SetMark,
    SetTier,
    CloseCycle,
    MoveSettlement,
    SetCutoff,
    BustTrade,
)

REQUIRED = {
    "Transfer": ("client_id", "asset", "amount"),
    "SetTier": ("tier",),
    "MoveSettlement": ("state",),
}


# --- replies --------------------------------------------------------------------------------------


class Transferred(Struct, kw_only=True):
    """Funds that came in or went out."""

    client_id: str
    asset: str
    amount: Number
    sequence: int


class Balance(Struct, kw_only=True):
    """What a client has of an asset."""

    asset: str
    available: Number
    held: Number
    total: Number


class Balances(Struct, kw_only=True):
    """What a client has."""

    client_id: str
    sequence: int
    balances: list[Balance]


class Position(Struct, kw_only=True):
    """A client's position in an instrument; amounts in its quote asset."""

    instrument: str
    net_quantity: Number
    total_cost: Number
    avg_price: OptionalNumber
    realized_pnl: Number
    unrealized_pnl: OptionalNumber
    mark_price: OptionalNumber
    fees: Number
    last_updated: Time


class Positions(Struct, kw_only=True):
    """A client's positions."""

    client_id: str
    sequence: int
    positions: list[Position]


class ClearedTerms(Struct, kw_only=True):
    """How an instrument's trades are cleared."""

    instrument: str
    mode: str | None
    fees: list[Any]
    mark: str | None
    mark_price: OptionalNumber
    sequence: int


class TierSet(Struct, kw_only=True):
    """The tier of a client."""

    client_id: str
    tier: int
    sequence: int


class CutoffSet(Struct, kw_only=True):
    """When cycles close by themselves."""

    cutoff_seconds: int | None
    sequence: int


class TradeBusted(Struct, kw_only=True):
    """A trade that was taken back."""

    instrument: str
    busted: bool
    sequence: int


class Obligation(Struct, kw_only=True):
    """What a client is to receive of an asset, under 0: to pay. `null` is the house."""

    client_id: str | None
    asset: str
    amount: Number


class CycleTotals(Struct, kw_only=True):
    """What an instrument's cycle came to."""

    instrument: str
    trade_count: int
    quantity: Number
    turnover: Number
    fees: Number
    bust_count: int
    bust_quantity: Number
    bust_turnover: Number


class Settlement(Struct, kw_only=True):
    """A cycle: the open one has no number, and nothing of it is owed yet."""

    cycle: int | None
    state: str
    closed_at: str | None
    sequence: int
    obligation_count: int
    instruments: list[CycleTotals]


class SettlementReport(Settlement, kw_only=True):
    """A cycle with its obligations."""

    obligations: list[Obligation]
    ledger_sequence: PartSequence = None


class LastCutoff(Struct, kw_only=True):
    """What came of a cut-off: `cycle` was closed, or was to be and why not."""

    due_at: Time
    cycle: int
    closed: bool
    reason: str | None


class Cutoff(Struct, kw_only=True):
    """When cycles close by themselves: a time of day in UTC, and the next and the last time."""

    at: str | None
    next_at: Time | None
    last: LastCutoff | None


class Settlements(Struct, kw_only=True):
    """The open cycle and the closed ones, newest first."""

    count: int
    settlements: list[Settlement]
    cutoff: Cutoff
    ledger_sequence: PartSequence = None


class StatementLine(Struct, kw_only=True):
    """An entry of a client's account: over 0 it is given, under 0 taken."""

    line_id: str
    sequence: int
    timestamp: Time
    kind: str
    account: str
    asset: str
    amount: Number
    trade_id: str | None
    cycle: int | None


class Statement(Struct, kw_only=True):
    """All accounts of a client."""

    client_id: str
    tier: int
    sequence: int
    balances: list[Balance]
    positions: list[Position]
    due: list[Obligation]
    settling: list[Any]
    lines: list[StatementLine] | None = None
    ledger_sequence: PartSequence = None


REPLIES: tuple[type[Struct], ...] = (
    Transferred,
    Balances,
    Positions,
    ClearedTerms,
    TierSet,
    CutoffSet,
    TradeBusted,
    SettlementReport,
    Settlements,
    Statement,
)


decode_transfer = msgspec.json.Decoder(Transfer).decode
decode_clearing = msgspec.json.Decoder(SetClearing).decode
decode_mark = msgspec.json.Decoder(SetMark).decode
decode_tier = msgspec.json.Decoder(SetTier).decode
decode_close = msgspec.json.Decoder(CloseCycle).decode
decode_move = msgspec.json.Decoder(MoveSettlement).decode
decode_cutoff = msgspec.json.Decoder(SetCutoff).decode
decode_bust = msgspec.json.Decoder(BustTrade).decode
