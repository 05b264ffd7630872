"""The routes: one table of every call, of which application and OpenAPI document are made.

A row says what a call is; `novate.gateway.http` has the endpoint of the same name.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from novate.analytics.intervals import INTERVAL_PATTERN
from novate.gateway import clearing_forms as forms
from novate.gateway import control_replies as controls
from novate.gateway import replies, requests
from novate.gateway.reads import STATUSES


class Parameter(NamedTuple):
    """A parameter of a path, a query or a header."""

    name: str
    place: str
    description: str
    schema: dict[str, Any]


class Route(NamedTuple):
    """One call.

    Attributes:
        endpoint: Name of its endpoint; also its operationId.
        status: Status of its success.
        reply: Struct of its success, None for any JSON, or a content type.
        also: A content type that its success can be asked for in, beside JSON.
        errors: Statuses of its problems, beside 408, 431 and 503 that any call can have.
        rejects: Whether a 422 may be an order that a rule refused.
        again: Status of its success where it was done already, with the same reply.
    """

    method: str
    path: str
    endpoint: str
    tag: str
    summary: str
    reply: type[msgspec.Struct] | str | None
    status: int = 200
    request: type[msgspec.Struct] | None = None
    request_required: bool = True
    parameters: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()
    rejects: bool = False
    example: Any = None
    also: str | None = None
    again: int | None = None


_NAME: Final = {"type": "string", "pattern": requests.NAME_PATTERN}
_ID: Final = {"type": "string", "pattern": requests.ID_PATTERN}


_TIME: Final = {"type": "string", "format": "date-time"}
_CURSOR: Final = {"type": "string", "pattern": replies.CURSOR_PATTERN}


def _whole(least: int, most: int, default: int | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer", "minimum": least, "maximum": most}
    return schema if default is None else {**schema, "default": default}


PARAMETERS: Final = {
    each.name if each.place != "path" else f"{{{each.name}}}": each
    for each in (
        Parameter("order_id", "path", "The order.", _ID),
        Parameter("instrument", "path", "The instrument.", _NAME),
        Parameter("client_id", "path", "The client.", _ID),
        Parameter(
            "cycle",
            "path",
            "The cycle's number, or `open`.",
            {"type": "string", "pattern": "^(open|[1-9][0-9]{0,17})$"},
        ),
        Parameter("trade_id", "path", "The trade.", _ID),
        Parameter("format", "query", "Default json.", {"type": "string", "enum": ["json", "csv"]}),
        Parameter(
            "Idempotency-Key", "header", "Same key, same answer, once done. Scope: client.", _ID
        ),
        Parameter("instrument", "query", "Default BTC-USD.", {**_NAME, "examples": ["BTC-USD"]}),
        Parameter("client_id", "query", "Only this client's.", _ID),
        Parameter("side", "query", "Only this side.", {"type": "string", "enum": ["buy", "sell"]}),
        Parameter(
            "status", "query", "Only of this status.", {"type": "string", "enum": list(STATUSES)}
        ),
        Parameter("levels", "query", "Price levels of each side.", _whole(1, 1000, 20)),
        Parameter("limit", "query", "Most that are listed.", _whole(1, 1000, 50)),
        Parameter("cursor", "query", "next_cursor of the page before.", _CURSOR),
        Parameter(
            "window",
            "query",
            "How far back: a number of m, h or d.",
            {"type": "string", "pattern": "^[1-9][0-9]{0,4}[mhd]$", "default": "24h"},
        ),
        Parameter("interval", "query", "Minutes of one aggregate.", _whole(1, 1440, 1)),
        Parameter("start_time", "query", "From when on; rounded down to an interval.", _TIME),
        Parameter("end_time", "query", "Until when, default now; rounded up.", _TIME),
        Parameter("before", "query", "trade_id of the last trade of the page before.", _ID),
    )
}
"""Every parameter; those of a path stand under their name in braces."""

CANDLE_INTERVAL: Final = "interval of a candle"
CANDLES_END: Final = "end of candles"
LIVE_WINDOW: Final = "window of memory"
MINUTES_START: Final = "start in minutes"
MINUTES_END: Final = "end in minutes"
ORDER_SIDE: Final = "side of an order"

LINE_BEFORE: Final = "before a line"
CYCLE_BEFORE: Final = "before a cycle"
CYCLES_LIMIT: Final = "limit of cycles"

PARAMETERS.update(
    {
        CYCLE_BEFORE: Parameter(
            "before", "query", "cycle of the last one of the page before.", _whole(1, 10**18 - 1)
        ),
        CYCLES_LIMIT: Parameter(
            "limit", "query", "Most that are listed, the open one with them.", _whole(1, 100, 65)
        ),
        LINE_BEFORE: Parameter(
            "before",
            "query",
            "line_id of the last line of the page before.",
            {"type": "string", "pattern": "^[0-9]{1,18}-[0-9]{1,10}$"},
        ),
        CANDLE_INTERVAL: Parameter(
            "interval",
            "query",
            "Length of a candle, 1s to 1d; default 1m.",
            {"type": "string", "pattern": INTERVAL_PATTERN, "examples": ["1m"]},
        ),
        CANDLES_END: Parameter(
            "end_time", "query", "Until when, default the newest; rounded up.", _TIME
        ),
        LIVE_WINDOW: Parameter(
            "window",
            "query",
            "How far back in memory: a number of m or h; default and most 24h, of markouts 1h.",
            {"type": "string", "pattern": "^[1-9][0-9]{0,4}[mh]$"},
        ),
        MINUTES_START: Parameter(
            "start_time", "query", "From when on, by the ledger; rounded down to a minute.", _TIME
        ),
        MINUTES_END: Parameter(
            "end_time", "query", "Until when, by the ledger; rounded up to a minute.", _TIME
        ),
        ORDER_SIDE: Parameter(
            "side",
            "query",
            "Of the order; default buy.",
            {"type": "string", "enum": ["buy", "sell"]},
        ),
        "time": Parameter("time", "query", "As it was at this time, by the ledger.", _TIME),
        "quantity": Parameter("quantity", "query", "Of the order.", {"type": "string"}),
    }
)

_ORDER_EXAMPLE: Final = {
    "client_id": "client-A",
    "order_id": "order-1",
    "idempotency_key": "abc-123",
    "instrument": "BTC-USD",
    "side": "buy",
    "type": "limit",
    "price": 70150.5,
    "quantity": 0.25,
}
_BATCH_EXAMPLE: Final = {
    "operations": [
        {"op": "place", "order": {**_ORDER_EXAMPLE, "idempotency_key": None, "order_id": "o-2"}},
        {"op": "amend", "order_id": "o-2", "quantity": 0.5},
        {"op": "cancel", "order_id": "o-2"},
        {"op": "mass_cancel", "client_id": "client-A", "side": "buy"},
    ]
}
_INSTRUMENT_EXAMPLE: Final = {
    "name": "SOL-USD",
    "base": "SOL",
    "quote": "USD",
    "tick_size": 0.01,
    "lot_size": 0.001,
}

_RULES_EXAMPLE: Final = {
    "limits": {"quantity_max": 100, "last_price_distance": {"percent": 10}},
    "protection": {"percent": 5},
    "dynamic_band": {"percent": 3},
    "band_action": "auction",
    "volatility_auction_seconds": 120,
}

_TRANSFER_EXAMPLE: Final = {
    "client_id": "client-A",
    "asset": "USD",
    "amount": 1000.5,
    "idempotency_key": "wire-1",
}
_CLEARING_EXAMPLE: Final = {
    "mode": "funded",
    "fees": [{"maker_bps": -0.5, "taker_bps": 3}, {"maker_bps": -1, "taker_bps": 2.5}],
}

_KEY = "Idempotency-Key"
_ORDER = "{order_id}"
_BOOK = ("instrument", "levels")
_TRADES = ("instrument", "limit", "before")

ROUTES: Final = (
    Route(
        "POST", "/orders", "place_order", "orders", "Place an order", replies.Order, 201,
        requests.PlaceOrder, parameters=(_KEY,), errors=(400, 409, 413, 422, 429), rejects=True,
        example=_ORDER_EXAMPLE,
    ),
    Route(
        "GET", "/orders", "list_orders", "orders", "List orders, newest first", replies.Orders,
        parameters=("client_id", "instrument", "status", "limit", "cursor"), errors=(400,),
    ),
    Route(
        "DELETE", "/orders", "mass_cancel", "orders", "Cancel all orders of a client",
        replies.MassCancelled, parameters=("client_id", "instrument", "side", _KEY),
        errors=(400, 422, 429),
    ),
    Route(
        "POST", "/orders/batch", "batch", "orders", "Do up to 1,000 operations in order",
        replies.Outcomes, request=requests.Batch, parameters=(_KEY,),
        errors=(400, 413, 422, 429), example=_BATCH_EXAMPLE,
    ),
    Route(
        "POST", "/orders/cancel-after", "cancel_after", "orders",
        "Cancel all orders of a client, if it does not say so again in time",
        controls.TimerSet, request=requests.CancelAfter, errors=(400, 413, 429),
        example={"client_id": "client-A", "seconds": 30},
    ),
    Route(
        "POST", "/orders/{order_id}/cancel", "cancel_order", "orders", "Cancel an order",
        replies.Order, request=requests.CancelOrder, request_required=False,
        parameters=(_ORDER, _KEY), errors=(400, 404, 409, 413, 422, 429),
        example={"client_id": "client-A"},
    ),
    Route(
        "GET", "/orders/{order_id}", "get_order", "orders", "An order as it is now",
        replies.Order, parameters=(_ORDER,), errors=(400, 404),
    ),
    Route(
        "GET", "/orders/{order_id}/events", "list_order_events", "history",
        "An order's whole audit trail, oldest first", replies.OrderEvents,
        parameters=(_ORDER, "limit", "cursor"), errors=(400, 404),
    ),
    Route(
        "DELETE", "/orders/{order_id}", "delete_order", "orders", "Cancel an order",
        replies.Order, parameters=(_ORDER, _KEY), errors=(400, 404, 409, 422, 429),
    ),
    Route(
        "PATCH", "/orders/{order_id}", "amend_order", "orders", "Amend an order's price or total",
        replies.Order, request=requests.AmendOrder, parameters=(_ORDER, _KEY),
        errors=(400, 404, 409, 413, 422, 429), rejects=True, example={"quantity": 0.5},
    ),
    Route(
        "GET", "/orderbook", "get_orderbook", "market data", "The order book",
        replies.OrderBook, parameters=_BOOK, errors=(400,),
    ),
    Route(
        "GET", "/market/orderbook", "get_market_orderbook", "market data",
        "The order book, as /orderbook", replies.OrderBook, parameters=_BOOK, errors=(400,),
    ),
    Route(
        "GET", "/trades", "list_trades", "market data", "Trades, newest first",
        replies.Trades, parameters=_TRADES, errors=(400,),
    ),
    Route(
        "GET", "/market/trades", "list_market_trades", "market data", "Trades, as /trades",
        replies.Trades, parameters=_TRADES, errors=(400,),
    ),
    Route(
        "GET", "/trades/detailed", "list_detailed_trades", "market data",
        "Trades with their clients, newest first", replies.DetailedTrades, parameters=_TRADES,
        errors=(400,),
    ),
    Route(
        "GET", "/trades/stats", "get_trade_stats", "history",
        "Trading in a window that ends now, in whole minutes", replies.TradeStats,
        parameters=("instrument", "window"), errors=(400,),
    ),
    Route(
        "GET", "/market/analytics", "get_analytics", "history",
        "Aggregates of every interval in which was traded", replies.Analytics,
        parameters=("instrument", "interval", "start_time", "end_time"), errors=(400,),
    ),
    Route(
        "GET", "/market/candles", "list_candles", "market data",
        "The last candles, or those of a range of time, oldest first", replies.Candles,
        parameters=("instrument", CANDLE_INTERVAL, "limit", "start_time", CANDLES_END, "cursor"),
        errors=(400,),
    ),
    Route(
        "GET", "/market/statistics", "get_statistics", "market data",
        "The last 24 hours, and spread, depth and imbalance of the book", replies.Statistics,
        parameters=(*_BOOK, "time"), errors=(400,),
    ),
    Route(
        "GET", "/market/slippage", "get_slippage", "market data",
        "What a market order would get of the book", replies.Slippage,
        parameters=("instrument", ORDER_SIDE, "quantity", "time"), errors=(400,),
    ),
    Route(
        "GET", "/market/order-to-trade", "get_order_to_trade", "market data",
        "Messages about orders for each trade, lately or in a range of time", replies.OrderToTrade,
        parameters=("instrument", LIVE_WINDOW, MINUTES_START, MINUTES_END), errors=(400,),
    ),
    Route(
        "GET", "/market/markouts", "get_markouts", "market data",
        "Where the middle went after trades, lately or in a range of time", replies.Markouts,
        parameters=("instrument", LIVE_WINDOW, MINUTES_START, MINUTES_END), errors=(400,),
    ),
    Route(
        "GET", "/instruments", "list_instruments", "market data", "Every instrument",
        replies.Instruments,
    ),
    Route(
        "GET", "/instruments/{instrument}", "get_instrument", "market data", "One instrument",
        replies.Instrument, parameters=("{instrument}",), errors=(404,),
    ),
    Route(
        "GET", "/market/positions/{client_id}", "get_positions", "clearing",
        "A client's positions, at cost and at the mark price", forms.Positions,
        parameters=("{client_id}",), errors=(400, 404),
    ),
    Route(
        "GET", "/clients/{client_id}/balances", "get_balances", "clearing",
        "What a client has, and what of it is held", forms.Balances,
        parameters=("{client_id}",), errors=(400, 404),
    ),
    Route(
        "GET", "/clients/{client_id}/statement", "get_statement", "clearing",
        "All accounts of a client as they are now; with limit or before its entries, newest first",
        forms.Statement, parameters=("{client_id}", "limit", LINE_BEFORE), errors=(400, 404),
    ),
    Route(
        "GET", "/settlements", "list_settlements", "clearing",
        "The open cycle and the closed ones, newest first", forms.Settlements,
        parameters=(CYCLES_LIMIT, CYCLE_BEFORE), errors=(400,),
    ),
    Route(
        "GET", "/settlements/{cycle}", "get_settlement", "clearing",
        "A cycle's report, as JSON or CSV", forms.SettlementReport,
        parameters=("{cycle}", "format"), errors=(400, 404), also="text/csv",
    ),
    Route(
        "POST", "/admin/deposits", "deposit", "clearing", "Funds come in for a client",
        forms.Transferred, 201, forms.Transfer, parameters=(_KEY,),
        errors=(400, 413, 422, 429), example=_TRANSFER_EXAMPLE,
    ),
    Route(
        "POST", "/admin/withdrawals", "withdraw", "clearing",
        "Funds go out to a client, if they are available",
        forms.Transferred, 201, forms.Transfer, parameters=(_KEY,),
        errors=(400, 413, 422, 429), example=_TRANSFER_EXAMPLE,
    ),
    Route(
        "POST", "/admin/settlements", "close_cycle", "clearing",
        "Close the open cycle; 200 with its report where it is closed already",
        forms.SettlementReport, 201, forms.CloseCycle, request_required=False, again=200,
        errors=(400, 409, 413, 422), example={"cycle": 20250131},
    ),
    Route(
        "POST", "/admin/settlements/{cycle}/state", "move_settlement", "clearing",
        "Say what became of a cycle's obligations", forms.SettlementReport, 200,
        forms.MoveSettlement, parameters=("{cycle}",), errors=(400, 404, 409, 413),
        example={"state": "instructed"},
    ),
    Route(
        "POST", "/admin/settlements/cutoff", "set_cutoff", "clearing",
        "Let cycles close at a time of day", forms.CutoffSet, 200, forms.SetCutoff,
        errors=(400, 413), example={"at": "17:00:00"},
    ),
    Route(
        "POST", "/admin/trades/{trade_id}/bust", "bust_trade", "clearing",
        "Take a trade back, or correct it", forms.TradeBusted, 200, forms.BustTrade,
        parameters=("{trade_id}",), errors=(400, 404, 409, 413, 422),
        example={"instrument": "BTC-USD"},
    ),
    Route(
        "GET", "/admin/instruments/{instrument}/clearing", "get_clearing", "clearing",
        "How an instrument's trades are cleared", forms.ClearedTerms,
        parameters=("{instrument}",), errors=(404,),
    ),
    Route(
        "POST", "/admin/instruments/{instrument}/clearing", "set_clearing", "clearing",
        "Set mode and fees of an instrument", forms.ClearedTerms, 200, forms.SetClearing,
        parameters=("{instrument}",), errors=(400, 404, 409, 413), example=_CLEARING_EXAMPLE,
    ),
    Route(
        "POST", "/admin/instruments/{instrument}/mark", "set_mark", "clearing",
        "Set the mark price, or take it back", forms.ClearedTerms, 200, forms.SetMark,
        parameters=("{instrument}",), errors=(400, 404, 409, 413), example={"price": 70150.5},
    ),
    Route(
        "POST", "/admin/clients/{client_id}/tier", "set_tier", "clearing",
        "Put a client into a tier of fees", forms.TierSet, 200, forms.SetTier,
        parameters=("{client_id}",), errors=(400, 409, 413), example={"tier": 1},
    ),
    Route(
        "GET", "/healthz", "health", "operations", "How the exchange is, check by check",
        replies.Health,
    ),
    Route(
        "GET", "/readyz", "readiness", "operations", "Whether orders are taken",
        replies.Readiness,
    ),
    Route(
        "GET", "/metrics", "metrics", "operations", "Prometheus metrics", "text/plain",
    ),
    Route(
        "POST", "/admin/snapshot", "take_snapshot", "operations",
        "Take a snapshot, and answer when it is persisted", replies.Snapshot, 201,
    ),
    Route(
        "POST", "/market/orderbook/snapshot", "take_market_snapshot", "operations",
        "Take a snapshot, as /admin/snapshot", replies.Snapshot, 201,
    ),
    Route(
        "GET", "/admin/snapshots", "list_snapshots", "operations", "The snapshots kept",
        replies.Snapshots,
    ),
    Route(
        "POST", "/admin/instruments", "create_instrument", "operations", "Create an instrument",
        replies.Instrument, 201, requests.CreateInstrument, errors=(400, 409, 413),
        example=_INSTRUMENT_EXAMPLE,
    ),
    Route(
        "POST", "/admin/instruments/{instrument}/rules", "set_rules", "operations",
        "Set all rules of an instrument", replies.Instrument, 200, requests.SetRules,
        parameters=("{instrument}",), errors=(400, 404, 413), example=_RULES_EXAMPLE,
    ),
    Route(
        "POST", "/admin/instruments/{instrument}/phase", "set_phase", "operations",
        "Put an instrument into a phase", replies.Instrument, 200, requests.SetPhase,
        parameters=("{instrument}",), errors=(400, 404, 413), example={"phase": "halt"},
    ),
    Route(
        "POST", "/admin/clients/{client_id}/limits", "set_limits", "operations",
        "Give a client limits of its own", controls.LimitsSet, 200, requests.SetLimits,
        parameters=("{client_id}",), errors=(400, 413),
        example={"instrument": "BTC-USD", "quantity_max": 100},
    ),
    Route(
        "POST", "/admin/clients/{client_id}/kill", "kill_client", "operations",
        "End a client's orders and take no more of it, or take them again", controls.Killed, 200,
        requests.Kill, parameters=("{client_id}",), errors=(400, 413), example={"on": True},
    ),
    Route(
        "POST", "/admin/kill", "kill_venue", "operations",
        "End all orders and take none, or take them again", controls.Killed, 200,
        requests.Kill, errors=(400, 413), example={"on": True},
    ),
    Route(
        "GET", "/admin/controls", "list_controls", "operations",
        "Kill switches that are on, clients' own limits, timers that run", controls.Controls,
        parameters=("client_id", "limit", "cursor"), errors=(400,),
    ),
    Route(
        "GET", "/admin/status", "status", "operations",
        "Queues, commits, follower, windows, uptime, versions", None,
    ),
    Route("GET", "/openapi.json", "openapi", "documentation", "This document", None),
    Route("GET", "/docs", "docs", "documentation", "These calls, for people", "text/html"),
)  # fmt: skip
"""Every call, in the order of the documentation."""
