"""HTTP: the application of every call, the ordinary way behind the fast lane.

Both ways reach the same handlers. Owns how a request is read and a reply is written; decides
nothing of a market.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from novate.gateway import docs, openapi
from novate.gateway.accounts import wanted_format
from novate.gateway.admin import ExchangeView, encode, read_instrument
from novate.gateway.calls import Calls, Handler, late, read
from novate.gateway.fast_lane import INTERNAL_ERROR
from novate.gateway.new_instruments import NewInstruments
from novate.gateway.operations import unavailable
from novate.gateway.problems import (
    CONTENT_TYPE,
    FieldError,
    ProblemError,
    problem,
    refused,
    retry_after_of,
    shown,
)
from novate.gateway.reads import parse_query
from novate.gateway.routes import ROUTES, Route
from novate.gateway.switches import PARAMETERS as SWITCHES_PARAMETERS
from novate.model import codec
from novate.model.errors import NotAccepting

JSON: Final = b"application/json"
METRICS_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
DISCARDED_BODY_MAX: Final = 16
"""A body of up to so many times the limit is read to its end before it is refused, so that its
sender gets to read why."""

Endpoint = Callable[[Request], Awaitable["Reply"]]


class Reply(Response):
    """A reply with its headers in the order in which the fast lane writes them."""

    def __init__(
        self,
        status: int,
        body: bytes,
        content_type: bytes | None = None,
        more: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        if content_type is None:
            content_type = CONTENT_TYPE if status >= 400 and codec.is_problem(body) else JSON
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = [
            (b"content-type", content_type),
            (b"content-length", b"%d" % len(body)),
            *more,
        ]


def reply_of(status: int, body: bytes, replayed: bool, retry_after: int | None) -> Reply:
    """The reply that an operation's answer makes."""
    more = [(b"idempotency-replayed", b"true")] if replayed else []
    if status in (429, 503):
        more.append((b"retry-after", b"%d" % (retry_after_of(body, retry_after) or 1)))
    if status == 413:
        more.append((b"connection", b"close"))
    return Reply(status, body, more=tuple(more))


def refusal(error: ProblemError) -> Reply:
    """The reply that a problem makes."""
    return reply_of(error.status, error.body(), False, error.retry_after)


def make_application(exchange: ExchangeView, calls: Calls) -> Starlette:
    """The application of every route."""
    endpoints = Endpoints(exchange, calls)
    by_path: dict[str, dict[str, Endpoint]] = {}
    for route in ROUTES:
        methods = by_path.setdefault(route.path, {})
        methods[route.method] = endpoints.counted(route)
    by_path["/"] = {"GET": endpoints.docs}
    by_path["/stream"] = {"GET": endpoints.stream}
    for methods in by_path.values():
        if "GET" in methods:
            methods["HEAD"] = methods["GET"]
    routes = [
        StarletteRoute(path, _dispatcher(methods), methods=list(methods))
        for path, methods in by_path.items()
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={HTTPException: endpoints.not_routed, Exception: endpoints.failed},
    )
    app.router.redirect_slashes = False
    return app


def _dispatcher(methods: dict[str, Endpoint]) -> Callable[[Request], Awaitable[Reply]]:
    async def endpoint(request: Request) -> Reply:
        return await methods[request.method](request)

    return endpoint


LINES_PARAMETERS: Final = ("limit", "before")

_HANDLERS: Final[dict[str, Callable[[Calls, Request], Handler]]] = {
    "place_order": lambda calls, request: calls.place(),
    "batch": lambda calls, request: calls.batch(),
    "list_orders": lambda calls, request: calls.orders(_query(request)),
    "mass_cancel": lambda calls, request: calls.mass_cancel(_query(request)),
    "cancel_order": lambda calls, request: calls.cancel(request.path_params["order_id"]),
    "delete_order": lambda calls, request: calls.cancel(request.path_params["order_id"]),
    "amend_order": lambda calls, request: calls.amend(request.path_params["order_id"]),
    "get_order": lambda calls, request: calls.order(request.path_params["order_id"]),
    "list_order_events": lambda calls, request: calls.order_events(
        request.path_params["order_id"], _query(request)
    ),
    "get_trade_stats": lambda calls, request: calls.stats(_query(request)),
    "get_analytics": lambda calls, request: calls.analytics(_query(request)),
    "get_orderbook": lambda calls, request: calls.orderbook(_query(request)),
    "get_market_orderbook": lambda calls, request: calls.orderbook(_query(request)),
    "list_trades": lambda calls, request: calls.trades(_query(request)),
    "list_market_trades": lambda calls, request: calls.trades(_query(request)),
    "list_detailed_trades": lambda calls, request: calls.trades(_query(request), detailed=True),
    "list_candles": lambda calls, request: calls.candles(_query(request)),
    "get_statistics": lambda calls, request: calls.statistics(_query(request)),
    "get_order_to_trade": lambda calls, request: calls.order_to_trade(_query(request)),
    "get_markouts": lambda calls, request: calls.markouts(_query(request)),
    "get_slippage": lambda calls, request: calls.slippage(_query(request)),
    "list_instruments": lambda calls, request: calls.instruments(),
    "get_instrument": lambda calls, request: calls.instrument(request.path_params["instrument"]),
    "cancel_after": lambda calls, request: calls.controls.cancel_after(),
    "set_rules": lambda calls, request: calls.controls.rules(request.path_params["instrument"]),
    "set_phase": lambda calls, request: calls.controls.phase(request.path_params["instrument"]),
    "set_limits": lambda calls, request: calls.controls.limits(request.path_params["client_id"]),
    "kill_client": lambda calls, request: calls.controls.kill(request.path_params["client_id"]),
    "kill_venue": lambda calls, request: calls.controls.kill(None),
    "list_controls": lambda calls, request: read(
        lambda: calls.switches.listed(parse_query(_query(request), SWITCHES_PARAMETERS))
    ),
    "deposit": lambda calls, request: calls.clearing.transfer(True),
    "withdraw": lambda calls, request: calls.clearing.transfer(False),
    "set_clearing": lambda calls, request: calls.clearing.terms(_named(request, "instrument")),
    "set_mark": lambda calls, request: calls.clearing.mark(_named(request, "instrument")),
    "set_tier": lambda calls, request: calls.clearing.tier(_named(request, "client_id")),
    "close_cycle": lambda calls, request: calls.clearing.close_cycle(),
    "move_settlement": lambda calls, request: calls.clearing.move_settlement(
        _named(request, "cycle")
    ),
    "set_cutoff": lambda calls, request: calls.clearing.cutoff(),
    "bust_trade": lambda calls, request: calls.clearing.busts.bust(_named(request, "trade_id")),
    "get_clearing": lambda calls, request: _read(
        request, partial(_terms_of, calls, _named(request, "instrument"))
    ),
    "get_balances": lambda calls, request: _read(
        request, partial(calls.clearing.reads.balances, _named(request, "client_id"))
    ),
    "get_positions": lambda calls, request: _read(
        request, partial(calls.clearing.reads.positions, _named(request, "client_id"))
    ),
    "get_statement": lambda calls, request: late(
        lambda reply: calls.clearing.past.statement(
            _named(request, "client_id"), parse_query(_query(request), LINES_PARAMETERS), reply
        )
    ),
    "list_settlements": lambda calls, request: late(
        lambda reply: calls.clearing.past.settlements(
            parse_query(_query(request), LINES_PARAMETERS), reply
        )
    ),
}
"""The endpoints whose answer comes by callback, as in the fast lane."""


def _read(request: Request, answer: Callable[[], bytes]) -> Handler:
    """Answer from memory a call that takes no parameter of a query."""

    def checked() -> bytes:
        parse_query(_query(request), ())
        return answer()

    return read(checked)


def _named(request: Request, parameter: str) -> str:
    return str(request.path_params[parameter])


def _terms_of(calls: Calls, name: str) -> bytes:
    return calls.clearing.reads.terms(calls.clearing.instrument(name))


def _query(request: Request) -> bytes:
    return bytes(request.scope["query_string"])


def _key(request: Request) -> str | None:
    """The header Idempotency-Key; ProblemError 400 where it came twice and differs."""
    keys = request.headers.getlist("idempotency-key")
    if len(set(keys)) > 1:
        message = "expected one header Idempotency-Key, found several that differ"
        raise refused([FieldError("idempotency_key", message, "idempotency_key_conflict")])
    return keys[0] if keys else None


class Endpoints:
    """The endpoint of every route."""

    def __init__(self, exchange: ExchangeView, calls: Calls) -> None:
        self._exchange = exchange
        self._calls = calls
        self._metrics = exchange.metrics
        operations = exchange.operations
        self._new_instruments = NewInstruments(operations, operations.validator.instruments)
        self._body_bytes_max = exchange.settings.body_bytes_max
        self._document = openapi.document()
        self._document_bytes = encode(self._document)
        self._page = docs.page(self._document)

    def counted(self, route: Route) -> Endpoint:
        """The endpoint of a route; its requests are counted, and its problems answered."""
        make = _HANDLERS.get(route.endpoint)
        perform: Endpoint = getattr(self, route.endpoint) if make is None else self._caller(make)
        places = route.endpoint == "place_order"

        async def endpoint(request: Request) -> Reply:
            started = time.perf_counter()
            try:
                reply = await perform(request)
            except ProblemError as error:
                reply = refusal(error)
            except NotAccepting as error:
                reply = refusal(unavailable(error))
            except ClientDisconnect:
                reply = Reply(400, problem(400, "disconnected", "the client went away"))
            self._metrics.http(route.path, reply.status_code)
            if places:
                self._metrics.latency(time.perf_counter() - started)
            return reply

        return endpoint

    def _caller(self, make: Callable[[Calls, Request], Handler]) -> Endpoint:
        async def perform(request: Request) -> Reply:
            body = b"" if request.method in ("GET", "HEAD") else await self._body(request)
            return await self._answer(make(self._calls, request), body, request)

        return perform

    async def _answer(self, handler: Handler, body: bytes, request: Request) -> Reply:
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def reply(
            status: int, body: bytes, replayed: bool = False, retry_after: int | None = None
        ) -> None:
            if not future.done():
                future.set_result(reply_of(status, body, replayed, retry_after))

        handler(body, _key(request), reply)
        return await future

    async def _body(self, request: Request) -> bytes:
        """The whole body; ProblemError 413 past the limit."""
        most = self._body_bytes_max
        declared = request.headers.get("content-length", "0")
        size = int(declared) if declared.isdigit() and len(declared) < 19 else 0
        chunks: list[bytes] = []
        received = 0
        if size <= most * DISCARDED_BODY_MAX:
            async for chunk in request.stream():
                received += len(chunk)
                if received <= most:
                    chunks.append(chunk)
                elif received > most * DISCARDED_BODY_MAX:
                    break
        if max(size, received) > most:
            detail = f"expected a body of at most {most} bytes"
            raise ProblemError(413, "body_too_large", detail)
        return b"".join(chunks)

    # --- what is not routed -----------------------------------------------------------------------

    async def not_routed(self, request: Request, error: Exception) -> Reply:
        """404 and 405 of the router."""
        assert isinstance(error, HTTPException)
        self._metrics.http("", error.status_code)
        where = f"{request.method} {shown(request.url.path)}"
        if error.status_code == 405:
            allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
            body = problem(405, "method_not_allowed", f"expected one of {allowed}, found {where}")
            return Reply(405, body, more=((b"allow", allowed.encode()),))
        status = error.status_code
        return Reply(status, problem(status, "not_found", f"there is no {where}; see /docs"))

    async def failed(self, request: Request, error: Exception) -> Reply:
        """500: an endpoint failed, and the server's log says how."""
        route = request.scope.get("route")
        self._metrics.http(route.path if isinstance(route, StarletteRoute) else "", 500)
        return Reply(500, INTERNAL_ERROR)

    async def stream(self, request: Request) -> Reply:
        """GET /stream without an upgrade."""
        body = problem(426, "upgrade_required", "expected a WebSocket")
        return Reply(426, body, more=((b"upgrade", b"websocket"),))

    # --- operations and documentation -------------------------------------------------------------

    async def health(self, request: Request) -> Reply:
        """GET /healthz."""
        status, body = self._exchange.health()
        return reply_of(status, encode(body), False, None)

    async def readiness(self, request: Request) -> Reply:
        """GET /readyz."""
        status, body = self._exchange.readiness()
        return reply_of(status, encode(body), False, None)

    async def metrics(self, request: Request) -> Reply:
        """GET /metrics."""
        return Reply(200, self._metrics.render(), METRICS_TYPE)

    async def status(self, request: Request) -> Reply:
        """GET /admin/status."""
        return Reply(200, encode(self._exchange.status()))

    async def take_snapshot(self, request: Request) -> Reply:
        """POST /admin/snapshot."""
        return Reply(201, encode(await self._exchange.take_snapshot()))

    take_market_snapshot = take_snapshot

    async def list_snapshots(self, request: Request) -> Reply:
        """GET /admin/snapshots."""
        listed = self._exchange.snapshots()
        return Reply(200, encode({"count": len(listed), "snapshots": listed}))

    async def create_instrument(self, request: Request) -> Reply:
        """POST /admin/instruments."""
        known = self._exchange.operations.validator.instruments
        wanted = read_instrument(await self._body(request), known)
        return await self._answer(
            lambda body, key, reply: self._new_instruments.create(wanted, reply), b"", request
        )

    async def get_settlement(self, request: Request) -> Reply:
        """GET /settlements/{cycle}: the report, as JSON or as CSV."""
        name = _named(request, "cycle")
        form = wanted_format(parse_query(_query(request), ("format",)))
        past = self._calls.clearing.past
        found = await self._answer(
            late(lambda reply: past.settlement(name, form, reply)), b"", request
        )
        if form == "csv" and found.status_code == 200:
            return Reply(200, bytes(found.body), b"text/csv; charset=utf-8")
        return found

    async def openapi(self, request: Request) -> Reply:
        """GET /openapi.json."""
        return Reply(200, self._document_bytes)

    async def docs(self, request: Request) -> Reply:
        """GET /docs."""
        return Reply(200, self._page, b"text/html; charset=utf-8")
