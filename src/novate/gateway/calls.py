"""Calls: which operation or read a request line asks for, the same for both ways of HTTP.

A `Handler` takes the body, the header Idempotency-Key and a reply, and calls the reply once.
`recognise` knows the calls that the fast lane takes; a request line that it does not know is not
wrong, it goes the ordinary way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from novate.gateway.activity_reads import ActivityReads
from novate.gateway.clearing import Clearing
from novate.gateway.controls import Controls
from novate.gateway.operations import Operations, Reply
from novate.gateway.past import Past
from novate.gateway.past_candles import PastCandles
from novate.gateway.past_market import PastMarketReads
from novate.gateway.problems import ProblemError
from novate.gateway.reads import Reads, parse_query
from novate.gateway.switches import SwitchReads

Handler = Callable[[bytes, str | None, Reply], None]

ORDERBOOK_PARAMETERS: Final = ("instrument", "levels")
TRADES_PARAMETERS: Final = ("instrument", "limit", "before")
STATS_PARAMETERS: Final = ("instrument", "window")
ANALYTICS_PARAMETERS: Final = ("instrument", "interval", "start_time", "end_time")
EVENTS_PARAMETERS: Final = ("limit", "cursor")
CANDLES_PARAMETERS: Final = (
    "instrument", "interval", "limit", "start_time", "end_time", "cursor",
)  # fmt: skip
ACTIVITY_PARAMETERS: Final = ("instrument", "window", "start_time", "end_time")
STATISTICS_PARAMETERS: Final = ("instrument", "levels", "time")
SLIPPAGE_PARAMETERS: Final = ("instrument", "side", "quantity", "time")
ORDERS_PARAMETERS: Final = ("client_id", "instrument", "status", "limit", "cursor")
MASS_CANCEL_PARAMETERS: Final = ("client_id", "instrument", "side")

_ORDER_PATH = re.compile(rb"/orders/([A-Za-z0-9._:-]{1,64})(/cancel)?")


class Call(NamedTuple):
    """A recognised request line.

    Attributes:
        handler: What answers it.
        route: Its name in the metrics.
        places: Whether it is one order, whose latency is measured.
        reads: Whether it has no body.
        repeats: Whether other requests are likely to have the same line.
    """

    handler: Handler
    route: str
    places: bool = False
    reads: bool = False
    repeats: bool = True


def read(function: Callable[[], bytes]) -> Handler:
    """A handler that answers 200 with what a read returns, or the problem that it raises."""

    def handler(body: bytes, header_key: str | None, reply: Reply) -> None:
        try:
            found = function()
        except ProblemError as error:
            error.answer(reply)
            return
        reply(200, found)

    return handler


def late(function: Callable[[Reply], None]) -> Handler:
    """A handler of a read that answers itself, now or later, or raises a problem."""

    def handler(body: bytes, header_key: str | None, reply: Reply) -> None:
        try:
            function(reply)
        except ProblemError as error:
            error.answer(reply)

    return handler


class Calls:
    """The calls of one partition that are answered by callback.

    Attributes:
        controls: Those of the operator, and a client's dead-man timer.
    """

    def __init__(
        self,
        operations: Operations,
        reads: Reads,
        past: Past,
        candles: PastCandles,
        market: PastMarketReads,
        activity: ActivityReads,
        clearing: Clearing | None = None,
        switches: SwitchReads | None = None,
    ) -> None:
        self._clearing = clearing
        self._switches = switches
        self._operations = operations
        self._reads = reads
        self._past = past
        self._candles = candles
        self._market = market
        self._activity = activity
        self.controls = Controls(operations, reads)
        self._place = Call(operations.place, "/orders", places=True)
        self._batch = Call(operations.batch, "/orders/batch")
        self._lines = {(b"POST", b"/orders"): self._place, (b"POST", b"/orders/batch"): self._batch}

    def recognise(self, method: bytes, target: bytes) -> Call | None:
        """The call of a request line, None if only the ordinary way knows it."""
        call = self._lines.get((method, target))
        if call is not None:
            return call
        if method == b"GET" and target.startswith((b"/orderbook", b"/trades")):
            return self._market_read(target)
        match = _ORDER_PATH.fullmatch(target)
        return self._order_call(method, match[1].decode(), bool(match[2])) if match else None

    def _market_read(self, target: bytes) -> Call | None:
        path, _, query = target.partition(b"?")
        if path == b"/orderbook":
            return Call(self.orderbook(query), "/orderbook", reads=True)
        if path == b"/trades":
            return Call(self.trades(query), "/trades", reads=True)
        return None

    def _order_call(self, method: bytes, order_id: str, cancel: bool) -> Call | None:
        if cancel:
            found = method == b"POST"
            name = "/orders/{order_id}/cancel"
            return Call(self.cancel(order_id), name, repeats=False) if found else None
        if method == b"GET":
            return Call(self.order(order_id), "/orders/{order_id}", reads=True, repeats=False)
        if method == b"DELETE":
            return Call(self.cancel(order_id), "/orders/{order_id}", repeats=False)
        if method == b"PATCH":
            return Call(self.amend(order_id), "/orders/{order_id}", repeats=False)
        return None

    @property
    def clearing(self) -> Clearing:
        """Those of the clearing house."""
        assert self._clearing is not None, "this partition was wired without clearing"
        return self._clearing

    @property
    def switches(self) -> SwitchReads:
        """What is read of kill switches, limits and timers."""
        assert self._switches is not None, "this partition was wired without switches"
        return self._switches

    # --- handlers ---------------------------------------------------------------------------------

    def place(self) -> Handler:
        """POST /orders."""
        return self._operations.place

    def batch(self) -> Handler:
        """POST /orders/batch."""
        return self._operations.batch

    def cancel(self, order_id: str) -> Handler:
        """POST /orders/{order_id}/cancel and DELETE /orders/{order_id}."""
        return partial(self._operations.cancel, order_id)

    def amend(self, order_id: str) -> Handler:
        """PATCH /orders/{order_id}."""
        return partial(self._operations.amend, order_id)

    def mass_cancel(self, raw_query: bytes) -> Handler:
        """DELETE /orders."""

        def handler(body: bytes, header_key: str | None, reply: Reply) -> None:
            try:
                query = parse_query(raw_query, MASS_CANCEL_PARAMETERS)
            except ProblemError as error:
                error.answer(reply)
                return
            self._operations.mass_cancel(
                query.get("client_id"), query.get("instrument"), query.get("side"),
                header_key, reply,
            )  # fmt: skip

        return handler

    def order(self, order_id: str) -> Handler:
        """GET /orders/{order_id}."""
        return late(lambda reply: self._past.order(order_id, reply))

    def orders(self, raw_query: bytes) -> Handler:
        """GET /orders."""
        return late(
            lambda reply: self._past.orders(parse_query(raw_query, ORDERS_PARAMETERS), reply)
        )

    def order_events(self, order_id: str, raw_query: bytes) -> Handler:
        """GET /orders/{order_id}/events."""
        return late(
            lambda reply: self._past.order_events(
                order_id, parse_query(raw_query, EVENTS_PARAMETERS), reply
            )
        )

    def stats(self, raw_query: bytes) -> Handler:
        """GET /trades/stats."""
        return late(lambda reply: self._past.stats(parse_query(raw_query, STATS_PARAMETERS), reply))

    def analytics(self, raw_query: bytes) -> Handler:
        """GET /market/analytics."""
        return late(
            lambda reply: self._past.analytics(parse_query(raw_query, ANALYTICS_PARAMETERS), reply)
        )

    def orderbook(self, raw_query: bytes) -> Handler:
        """GET /orderbook."""
        return read(lambda: self._reads.orderbook(parse_query(raw_query, ORDERBOOK_PARAMETERS)))

    def trades(self, raw_query: bytes, detailed: bool = False) -> Handler:
        """GET /trades, GET /trades/detailed."""
        return late(
            lambda reply: self._past.trades(
                parse_query(raw_query, TRADES_PARAMETERS), reply, detailed
            )
        )

    def candles(self, raw_query: bytes) -> Handler:
        """GET /market/candles."""
        return late(
            lambda reply: self._candles.candles(parse_query(raw_query, CANDLES_PARAMETERS), reply)
        )

    def statistics(self, raw_query: bytes) -> Handler:
        """GET /market/statistics."""
        return late(
            lambda reply: self._market.statistics(
                parse_query(raw_query, STATISTICS_PARAMETERS), reply
            )
        )

    def slippage(self, raw_query: bytes) -> Handler:
        """GET /market/slippage."""
        return late(
            lambda reply: self._market.slippage(parse_query(raw_query, SLIPPAGE_PARAMETERS), reply)
        )

    def order_to_trade(self, raw_query: bytes) -> Handler:
        """GET /market/order-to-trade."""
        return late(
            lambda reply: self._activity.messages(
                parse_query(raw_query, ACTIVITY_PARAMETERS), reply
            )
        )

    def markouts(self, raw_query: bytes) -> Handler:
        """GET /market/markouts."""
        return late(
            lambda reply: self._activity.markouts(
                parse_query(raw_query, ACTIVITY_PARAMETERS), reply
            )
        )

    def instruments(self) -> Handler:
        """GET /instruments."""
        return read(self._reads.instruments)

    def instrument(self, name: str) -> Handler:
        """GET /instruments/{instrument}."""
        return read(lambda: self._reads.instrument(name))
