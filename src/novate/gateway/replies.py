"""Bodies of replies, as the OpenAPI document describes them.

They are never built from these structs: an order's JSON is written by compiled code. A test holds
what is sent to what is written here.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct


def _number(description: str, **schema: Any) -> Meta:
    return Meta(description=description, extra_json_schema={"type": "number", **schema})


def _used(description: str, kind: str) -> Meta:
    """A member that only orders have which use it."""
    return Meta(description=description, extra_json_schema={"type": [kind, "null"]})


Number = Annotated[Any, _number("Plain exact decimal text: no exponent, no trailing zeros.")]
OptionalNumber = Annotated[
    Any,
    Meta(description="An exact decimal, or null.", extra_json_schema={"type": ["number", "null"]}),
]
Time = Annotated[
    str,
    Meta(
        description="ISO 8601 UTC, microseconds, Z.",
        extra_json_schema={"format": "date-time", "examples": ["2026-01-01T00:00:00.000000Z"]},
    ),
]
LedgerSequence = Annotated[int, Meta(description="It is true up to this sequence.")]
PartSequence = Annotated[
    int | None, Meta(description="Where the ledger had a part in it: true up to this sequence.")
]
LiveSequence = Annotated[
    int | None, Meta(description="Where it is of memory: true up to this sequence.")
]
CURSOR_PATTERN: Final = "^[1-9][0-9]{0,18}$"
"""A whole number as text, for it can be past what a browser's number holds."""

REASON: Final = {"$ref": "#/components/schemas/Reason"}
"""The table of reasons, as the OpenAPI document has it."""

ReasonCode = Annotated[
    Any,
    Meta(
        description="Why it ended or was refused; null: neither.",
        extra_json_schema={"anyOf": [REASON, {"type": "null"}]},
    ),
]
ProblemCode = Annotated[
    Any,
    Meta(
        description="Stable: a reason, or what a gateway refuses by itself.",
        extra_json_schema={"anyOf": [REASON, {"type": "string", "pattern": "^[a-z0-9_]+$"}]},
    ),
]
Side = Literal["buy", "sell"]
Status = Literal["open", "partially_filled", "filled", "cancelled", "rejected"]


class StandingTrade(Struct, kw_only=True):
    """A trade that stands in the place of one that was corrected."""

    trade_id: str
    price: Number
    quantity: Number


class Trade(Struct, kw_only=True):
    """A match between two orders."""

    trade_id: str
    instrument: str
    price: Number
    quantity: Number
    buy_order_id: str
    sell_order_id: str
    taker_side: Annotated[Side | None, Meta(description="null: a trade of an auction.")]
    timestamp: Time
    sequence: int
    busted: Annotated[
        bool | None, Meta(description="Only of a trade that the operator took back or corrected.")
    ] = None
    bust_sequence: Annotated[
        int | None, Meta(description="When that was; of a trade that left memory.")
    ] = None
    correction: Annotated[
        StandingTrade | None, Meta(description="What stands in its place now; as bust_sequence.")
    ] = None


class DetailedTrade(Trade, kw_only=True):
    """A trade with its clients."""

    buy_client_id: str
    sell_client_id: str


class Order(Struct, kw_only=True):
    """An order as it is."""

    order_id: str
    client_id: str
    instrument: str
    side: Side
    type: Literal["limit", "market", "stop", "stop_limit"]
    time_in_force: Literal["gtc", "ioc", "fok", "day", "gtd"]
    price: OptionalNumber
    quantity: OptionalNumber
    filled_quantity: Number
    remaining_quantity: OptionalNumber
    average_price: OptionalNumber
    status: Status
    working: bool
    reason: ReasonCode
    created_at: Time
    updated_at: Time
    sequence: int
    quote_quantity: OptionalNumber = None
    filled_quote_quantity: OptionalNumber = None
    stop_price: Annotated[Any, _used("Of a stop or stop_limit order.", "number")] = None
    triggered: Annotated[bool | None, Meta(description="Whether its stop was reached.")] = None
    display_quantity: Annotated[Any, _used("So much of it is shown.", "number")] = None
    minimum_quantity: Annotated[Any, _used("Least to trade at once.", "number")] = None
    expires_at: Annotated[Any, _used("When a day or gtd order ends.", "string")] = None
    self_trade_prevention: Annotated[str | None, Meta(description="Where it is not none.")] = None
    self_trade_group: int | None = None
    oco: Annotated[str | None, Meta(description="The open order it is paired with.")] = None
    trades: Annotated[
        list[Trade] | None,
        Meta(description="In the reply to a place or amend: the first 1,000 of its trades."),
    ] = None
    trade_count: Annotated[int | None, Meta(description="All of its trades.")] = None
    ledger_sequence: PartSequence = None


class OrderEvent(Struct, kw_only=True):
    """One entry of an order's audit trail."""

    sequence: int
    event: Literal[
        "order_accepted",
        "order_rejected",
        "order_triggered",
        "order_amended",
        "order_ended",
        "trade",
    ]
    timestamp: Time
    reason: ReasonCode
    price: OptionalNumber
    quantity: Annotated[
        Any,
        _used(
            "The order's total (null: by quote quantity); traded; of order_ended the rest.",
            "number",
        ),
    ]
    remaining_quantity: Annotated[
        Any, _used("Open after it; null: of a trade in which it was the taker.", "number")
    ]
    trade_id: str | None
    busted: Annotated[
        bool | None, Meta(description="Only of a trade that the operator took back or corrected.")
    ] = None
    bust_sequence: Annotated[int | None, Meta(description="When that was.")] = None


class OrderEvents(Struct, kw_only=True):
    """An order's audit trail, oldest first."""

    order_id: str
    count: int
    events: list[OrderEvent]
    next_cursor: Annotated[
        Annotated[str, Meta(pattern=CURSOR_PATTERN)] | None,
        Meta(description="For the page after; null at the end."),
    ]
    ledger_sequence: LedgerSequence


class TradeStats(Struct, kw_only=True):
    """Trading in a window."""

    instrument: str
    window: str
    start_time: Annotated[Time, Meta(description="The start of a minute.")]
    end_time: Time
    count: int
    volume: Number
    quote_volume: Number
    vwap: OptionalNumber
    open: OptionalNumber
    high: OptionalNumber
    low: OptionalNumber
    last: OptionalNumber
    ledger_sequence: LedgerSequence


class Aggregate(Struct, kw_only=True):
    """Trading in one interval."""

    time_bucket: Time
    trade_count: int
    total_quantity: Number
    total_volume: Annotated[Any, _number("In the quote asset.")]
    open: Number
    high: Number
    low: Number
    close: Number
    avg_price: Annotated[Any, _number("Mean of the trades' prices.")]
    min_price: Number
    max_price: Number
    vwap: Number


class Analytics(Struct, kw_only=True):
    """Aggregates, oldest first; intervals without a trade are left out."""

    instrument: str
    start_time: Time
    end_time: Time
    interval_minutes: int
    aggregates: list[Aggregate]
    overall_vwap: OptionalNumber
    ledger_sequence: LedgerSequence


class FieldProblem(Struct):
    """One thing that is wrong with one field."""

    field: str
    message: str


class Problem(Struct, kw_only=True):
    """RFC 9457. `code` is stable; `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: ProblemCode
    errors: list[FieldProblem] = []
    order: Order | None = None


class MassCancelled(Struct, kw_only=True):
    """What a mass cancel ended."""

    client_id: str
    cancelled_count: Annotated[int, Meta(description="How many orders.")]
    order_ids: Annotated[list[str], Meta(description="Which, newest first; at most 1,000.")]
    sequence: int


class Outcome(Struct, kw_only=True):
    """What became of one operation: an order, what a mass cancel ended, or a problem."""

    status: int
    order: Order | None = None
    mass_cancelled: MassCancelled | None = None
    problem: Problem | None = None


class Outcomes(Struct):
    """What became of a batch, in its order."""

    outcomes: list[Outcome]


class Orders(Struct, kw_only=True):
    """Orders, newest first."""

    count: int
    orders: list[Order]
    next_cursor: Annotated[
        Annotated[str, Meta(pattern=CURSOR_PATTERN)] | None,
        Meta(description="For the page after; null at the end."),
    ]
    ledger_sequence: PartSequence = None


class BookLevel(Struct, kw_only=True):
    """A price level; `cumulative` is the quantity up to it."""

    price: Number
    quantity: Number
    orders: int
    cumulative: Number


class OrderBook(Struct, kw_only=True):
    """A book: bids highest first, asks lowest first."""

    instrument: str
    sequence: Annotated[int, Meta(description="The last one that changed this book.")]
    timestamp: Time | None
    bids: list[BookLevel]
    asks: list[BookLevel]
    bid_total: Number
    ask_total: Number


class Trades(Struct, kw_only=True):
    """Trades, newest first."""

    instrument: str
    count: int
    trades: list[Trade]
    ledger_sequence: PartSequence = None


class DetailedTrades(Struct, kw_only=True):
    """Trades with their clients, newest first."""

    instrument: str
    count: int
    trades: list[DetailedTrade]
    ledger_sequence: PartSequence = None


CompleteFrom = Annotated[
    Time | None, Meta(description="Since when no trade is missing; null: from the first.")
]


class Candle(Struct, kw_only=True):
    """What was traded in an interval of time; there is none where nothing was."""

    time: Annotated[Time, Meta(description="Its beginning.")]
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number
    notional: Number
    vwap: Number
    trade_count: int
    final: Annotated[bool, Meta(description="Whether its end has come, by the commands' time.")]
    complete: Annotated[bool, Meta(description="Whether every trade of it is in it.")]


class Candles(Struct, kw_only=True):
    """Candles, oldest first."""

    instrument: str
    interval: str
    sequence: int
    complete_from: CompleteFrom
    count: int
    candles: list[Candle]
    next_cursor: Annotated[
        Annotated[str, Meta(pattern=CURSOR_PATTERN)] | None,
        Meta(description="For the page of older ones; null at the end."),
    ]
    ledger_sequence: PartSequence = None


BookTime = Annotated[
    Time | None, Meta(description="Of a time past: when its book was stored; null: none was yet.")
]


class Statistics(Struct, kw_only=True):
    """A market's last 24 hours, by the commands' time, and its book, now or at a time."""

    instrument: str
    sequence: int
    timestamp: Time
    complete_from: CompleteFrom
    window_seconds: int
    trade_count: int
    volume: Number
    notional: Number
    vwap: OptionalNumber
    open: OptionalNumber
    high: OptionalNumber
    low: OptionalNumber
    last: OptionalNumber
    change: OptionalNumber
    change_percent: OptionalNumber
    realized_volatility: Annotated[
        Any,
        Meta(
            description="Of 5-minute closes, annualised with a year of 365.25 days; a ratio.",
            extra_json_schema={"type": ["number", "null"]},
        ),
    ]
    best_bid: OptionalNumber
    best_ask: OptionalNumber
    mid: OptionalNumber
    spread: OptionalNumber
    relative_spread: OptionalNumber
    levels: Annotated[int, Meta(description="Levels of each side in what follows.")]
    bid_quantity: Number
    ask_quantity: Number
    bid_notional: Number
    ask_notional: Number
    imbalance: Annotated[Any, _number("(bids - asks) / (bids + asks), -1 to 1.")]
    book_time: BookTime = None
    ledger_sequence: PartSequence = None


Ratio = Annotated[
    Any,
    Meta(
        description="A statistic, or null: nothing is known.",
        extra_json_schema={"type": ["number", "null"]},
    ),
]


class OrderToTrade(Struct, kw_only=True):
    """Messages about orders for each trade, less one."""

    instrument: str
    start_time: Time
    end_time: Time
    complete_from: CompleteFrom
    orders: Annotated[int, Meta(description="Orders accepted.")]
    rejected: Annotated[int, Meta(description="Orders that a rule refused; not in the ratio.")]
    amendments: int
    cancels: Annotated[int, Meta(description="Orders that their client cancelled.")]
    trades: int
    order_to_trade_ratio: Ratio
    sequence: LiveSequence = None
    ledger_sequence: PartSequence = None


class Markout(Struct, kw_only=True):
    """Where the middle was, a time after trades, against their prices."""

    horizon: Annotated[str, Meta(description="How long after the second of the trade.")]
    trade_count: Annotated[int, Meta(description="Trades whose later middle is known.")]
    volume: Annotated[Number, Meta(description="Their quantity.")]
    average: Annotated[
        OptionalNumber,
        Meta(description="In the mean by quantity; over 0: it went the takers' way."),
    ]
    basis_points: Ratio


class Markouts(Struct, kw_only=True):
    """Markouts of what takers traded."""

    instrument: str
    start_time: Time
    end_time: Time
    complete_from: CompleteFrom
    trade_count: int
    volume: Number
    markouts: list[Markout]
    sequence: LiveSequence = None
    ledger_sequence: PartSequence = None


class Slippage(Struct, kw_only=True):
    """What a market order would get of what the book shows, or showed at a time."""

    instrument: str
    sequence: int
    side: Side
    quantity: Number
    filled_quantity: Number
    unfilled_quantity: Number
    notional: Number
    levels: Annotated[int, Meta(description="Price levels that it would reach.")]
    best_price: OptionalNumber
    worst_price: OptionalNumber
    average_price: OptionalNumber
    slippage: Annotated[Any, _number("What it costs beyond the best price, in the quote asset.")]
    average_slippage: OptionalNumber
    book_time: BookTime = None
    ledger_sequence: PartSequence = None


class Auction(Struct, kw_only=True):
    """The uncross that would be now."""

    price: OptionalNumber
    volume: Number
    imbalance: Annotated[
        Any, _number("What is left over at that price: over 0 of buyers, under 0 of sellers.")
    ]


class Instrument(Struct, kw_only=True):
    """What is traded, and its grid of prices and quantities."""

    instrument: str
    base: str
    quote: str
    tick_size: Number
    lot_size: Number
    state: Annotated[
        Literal["continuous", "pre_open", "auction", "halt", "cancel_only", "closed"] | None,
        Meta(description="The phase of its trading."),
    ] = None
    state_until: Annotated[Time | None, Meta(description="When the phase ends by itself.")] = None
    auction: Annotated[Auction | None, Meta(description="In an auction.")] = None
    rules: Annotated[Any, Meta(description="As they were set; absent: none.")] = None


class Instruments(Struct, kw_only=True):
    """Every instrument."""

    count: int
    instruments: list[Instrument]


class Health(Struct, kw_only=True):
    """How the exchange is: healthy, degraded or unhealthy, check by check."""

    status: Literal["healthy", "degraded", "unhealthy"]
    timestamp: Time
    checks: dict[str, Any]


class Readiness(Struct, kw_only=True):
    """Whether orders are taken; `state` and `reason` where they are not."""

    status: Literal["ready", "not_ready"]
    state: Literal["recovering", "stalled", "failed", "stopping"] | None = None
    reason: str | None = None


class Snapshot(Struct, kw_only=True):
    """A persisted snapshot."""

    sequence: Annotated[int, Meta(description="The last command that it holds.")]
    timestamp: Time | None = None


class Snapshots(Struct, kw_only=True):
    """The snapshots kept, newest first."""

    count: int
    snapshots: list[Snapshot]
