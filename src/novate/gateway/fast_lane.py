"""The fast lane: hot calls are answered in the protocol itself, with no task and no ASGI.

`HttpProtocol` is uvicorn's own HTTP protocol. A request that `Calls.recognise` knows, whole and
with nothing pipelined before it, goes to its handler, and the handler's reply is one write. All
else goes uvicorn's way, through the application, to the same handlers: both ways answer the same
bytes. The limits on a connection (whole requests in time, size of heads, idle time, number) are
kept here for both ways.

A request's head that was parsed before, byte for byte, is known without parsing it again: at the
border between two requests the parser has no memory, so equal bytes mean an equal request.
"""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import Any, Final, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from novate.gateway.calls import Call
from novate.gateway.problems import CONTENT_TYPE, problem, retry_after_of
from novate.process import connections_allowed

KNOWN_HEADS_MAX: Final = 1024
KNOWN_HEAD_BYTES_MAX: Final = 2048
SWEEP_SECONDS: Final = 0.5
"""How often the connections' deadlines are looked at."""

HEADERS_MAX: Final = 256
"""Header lines of one request."""

INTERNAL_ERROR: Final = problem(500, "internal_error", "the server failed; see its log")

_STATUS_LINES: Final = {
    each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus
}


class HttpCounters(Protocol):
    """What is counted of HTTP."""

    def http(self, route: str, status: int) -> None:
        """A request was answered."""
        ...

    def latency(self, seconds: float) -> None:
        """An order was answered, so long after it was read."""
        ...


class Recogniser(Protocol):
    """Knows the calls that are answered in the protocol itself."""

    def recognise(self, method: bytes, target: bytes) -> Call | None:
        """The call of a request line, None if only the ordinary way knows it."""
        ...


class LaneLimits(Protocol):
    """The settings that connections are held to."""

    @property
    def body_bytes_max(self) -> int:
        """Bytes of one body."""

    @property
    def header_bytes_max(self) -> int:
        """Bytes of a request line with its headers."""

    @property
    def connections_max(self) -> int:
        """Connections open at a time."""

    @property
    def request_timeout_seconds(self) -> float:
        """Time for a whole request to arrive."""

    @property
    def keep_alive_seconds(self) -> float:
        """Time an idle connection is kept."""


class KnownHead:
    """A head that was parsed before: what it asks for, and how long its body is."""

    __slots__ = ("call", "length")

    def __init__(self, call: Call, length: int) -> None:
        self.call = call
        self.length = length


class Lane:
    """What the connections of one server share.

    Args:
        calls: The calls that are recognised.
        limits: What connections are held to.
        metrics: Counts requests.
        enabled: Whether there is a fast lane; without, every request goes the ordinary way.
    """

    def __init__(
        self, calls: Recogniser, limits: LaneLimits, metrics: HttpCounters, enabled: bool = True
    ) -> None:
        self.recognise = calls.recognise
        self.limits = limits
        self.connections_max = connections_allowed(limits.connections_max)
        self.metrics = metrics
        self.enabled = enabled
        self.known_heads: dict[bytes, KnownHead] = {}
        self.connections: set[HttpProtocol] = set()
        self._sweeping = False
        self._default_headers: list[tuple[bytes, bytes]] | None = None
        self._starts: dict[tuple[int, bool], bytes] = {}

    def learn(self, head: bytes, call: Call, length: int) -> None:
        """Remember a head that was parsed."""
        if len(self.known_heads) >= KNOWN_HEADS_MAX:
            self.known_heads.clear()
        self.known_heads[head] = KnownHead(call, length)

    def start_of(
        self, status: int, is_problem: bool, default_headers: list[tuple[bytes, bytes]]
    ) -> bytes:
        """A reply up to the number of its content-length; kept while the date is the same."""
        if default_headers is not self._default_headers:
            self._default_headers = default_headers
            self._starts = {}
        start = self._starts.get((status, is_problem))
        if start is None:
            lines = [name + b": " + value + b"\r\n" for name, value in default_headers]
            content_type = CONTENT_TYPE if is_problem else b"application/json"
            lines.append(b"content-type: " + content_type + b"\r\ncontent-length: ")
            start = self._starts[(status, is_problem)] = _STATUS_LINES[status] + b"".join(lines)
        return start

    def add(self, connection: HttpProtocol) -> None:
        """Watch over a connection."""
        self.connections.add(connection)
        if not self._sweeping:
            self._sweeping = True
            connection.loop.call_later(SWEEP_SECONDS, self._sweep, connection.loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self.connections):
            connection.check_deadlines(now)
        self._sweeping = bool(self.connections)
        if self._sweeping:
            loop.call_later(SWEEP_SECONDS, self._sweep, loop)


class _NoEvent:
    """Stands where a cycle has the event that its application waits on: here nobody waits."""

    def set(self) -> None:
        """Wake nobody."""


_NO_EVENT = _NoEvent()


class FastCycle:
    """A request in the fast lane, with what uvicorn asks of a cycle; one for each connection."""

    __slots__ = ("disconnected", "keep_alive", "message_event", "more_body", "response_complete")

    def __init__(self) -> None:
        self.response_complete = True
        self.disconnected = False
        self.keep_alive = True
        self.more_body = False
        self.message_event = _NO_EVENT


class HttpProtocol(HttpToolsProtocol):
    """One connection. A subclass made by `protocol_class` bears the lane.

    Attributes:
        lane: What the connections of the server share.
    """

    lane: Lane
    cycle: Any  # uvicorn's, or ours

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fast = FastCycle()
        # The call whose body is coming in, and the one whose reply is due.
        self._collecting: Call | None = None
        self._call: Call | None = None
        self._key: str | None = None
        self._body: list[bytes] = []
        self._started = 0.0
        self._learnable: tuple[Call, bytes] | None = None
        # Moments of the loop's clock; 0.0 where there is none.
        self._message_since = 0.0
        self._idle_since = 0.0
        self._unread_since = 0.0
        self._head_done = False
        # Of a head that comes in parts, without what came with the end of the request before it.
        self._head_bytes = 0
        self._ended_one = False  # a request ended in what is being read
        self._refused = False
        self._broken = False
        self._answered: RequestResponseCycle | None = None

    # --- the connection ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start; one connection too many is answered 503 when it speaks."""
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        self._refused = len(self.connections) > self.lane.connections_max
        self.lane.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End; a reply that comes later goes nowhere."""
        self._fast.disconnected = True
        self._hang_up()
        self.lane.connections.discard(self)
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """The client has left: the transport closes now, and tells of it later."""
        self._hang_up()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over; behind answers that are due it ends after them instead."""
        if self._is_answering():
            self._fail(400, "malformed_http", "expected no upgrade behind a request")
            return
        self.lane.connections.discard(self)
        super().handle_websocket_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """An upgrade to nothing we know is ignored; what follows it can't be read any more."""
        self._broken = True
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def data_received(self, data: bytes) -> None:
        """Take what came: a request whose head is known goes straight to its handler."""
        cycle = self.cycle
        if not self._message_since and (cycle is None or cycle.response_complete):
            end = data.find(b"\r\n\r\n") + 4
            known = self.lane.known_heads.get(data[:end])
            if (
                known is not None
                and len(data) == end + known.length
                and not self.flow.write_paused
                and not self._refused
            ):
                fast = self._fast
                fast.response_complete = False
                self.cycle = fast
                self._handle(known.call, data[end:], None)
                return
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        if self._refused:
            detail = f"the server has its {self.lane.connections_max} connections"
            self._end_with(503, "too_many_connections", detail, b"retry-after: 1\r\n")
            return
        if self._broken:
            return
        self._learnable = None
        self._ended_one = False
        super().data_received(data)
        self._learn(data)
        if self._message_since and not self._head_done and not self._ended_one:
            self._head_bytes += len(data)
            if self._head_bytes > self.lane.limits.header_bytes_max:
                self._fail(431, "headers_too_large", self._head_limit())

    def _learn(self, data: bytes) -> None:
        """Remember the head, if these bytes were one whole request that may come again."""
        if self._learnable is None:
            return
        call, body = self._learnable
        end = data.find(b"\r\n\r\n") + 4
        if end + len(body) == len(data) and end <= KNOWN_HEAD_BYTES_MAX:
            self.lane.learn(data[:end], call, len(body))

    # --- the parser's callbacks -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._head_done = False
        self._head_bytes = 0
        self._message_since = self.loop.time()
        self._learnable = None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header as it came; names are folded only for the ordinary way."""
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Choose the way."""
        if self._broken:
            return
        self._head_done = True
        lane = self.lane
        cycle = self.cycle
        if (
            lane.enabled
            and (cycle is None or cycle.response_complete)
            and not self.flow.write_paused
            and self._enter()
        ):
            return
        self._go_ordinary()

    def _enter(self) -> bool:
        """Take the request into the fast lane, if it may go there."""
        parser = self.parser
        call = self.lane.recognise(parser.get_method(), self.url)
        if call is None or parser.should_upgrade() or not parser.should_keep_alive():
            return False
        if parser.get_http_version() != "1.1" or len(self.url) > KNOWN_HEAD_BYTES_MAX:
            return False
        length, key, seen = 0, None, 0
        for name, value in self.headers:
            seen += len(name) + len(value) + 4
            size = len(name)
            if size == 14 and name.lower() == b"content-length":
                length = int(value) if value.isdigit() and len(value) < 12 else -1
            elif size == 15 and name.lower() == b"idempotency-key":
                if key is not None:
                    return False
                key = value.decode("latin-1")
            elif size in (6, 17) and name.lower() in (b"expect", b"transfer-encoding"):
                return False
        limits = self.lane.limits
        if not 0 <= length <= limits.body_bytes_max or len(self.headers) > HEADERS_MAX:
            return False
        if seen > limits.header_bytes_max or (call.reads and length):
            return False
        self._collecting, self._key, self._body = call, key, []
        fast = self._fast
        fast.response_complete = False
        fast.more_body = True
        self.cycle = fast
        return True

    def _go_ordinary(self) -> None:
        self.headers = [(name.lower(), value) for name, value in self.headers]
        seen = len(self.url)
        for name, value in self.headers:
            seen += len(name) + len(value) + 4
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
        if seen > self.lane.limits.header_bytes_max or len(self.headers) > HEADERS_MAX:
            self._fail(431, "headers_too_large", self._head_limit())
            return
        self.scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,  # type: ignore[typeddict-item]
            "root_path": self.root_path,
            "headers": self.headers,
            "state": self.app_state.copy(),
        }
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        if self._collecting is not None:
            self._body.append(body)
        elif not self._broken:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole: a recognised one is handled now."""
        self._message_since = 0.0
        self._ended_one = True
        call = self._collecting
        if call is None:
            if not self._broken:
                super().on_message_complete()
            return
        body = b"".join(self._body)
        self._body = []
        self._collecting = None
        self._fast.more_body = False
        if call.repeats and self._key is None:
            self._learnable = (call, body)
        self._handle(call, body, self._key)

    # --- replies ----------------------------------------------------------------------------------

    def _handle(self, call: Call, body: bytes, key: str | None) -> None:
        self._call = call
        self._started = time.perf_counter()
        try:
            call.handler(body, key, self._reply)
        except Exception:
            self.logger.exception("a handler of %s failed", call.route)
            self._reply(500, INTERNAL_ERROR)

    def _reply(
        self, status: int, body: bytes, replayed: bool = False, retry_after: int | None = None
    ) -> None:
        """Answer the request in the fast lane, in one write."""
        call, fast = self._call, self._fast
        self._call = None
        if fast.disconnected or call is None:
            return
        lane = self.lane
        is_problem = status >= 400 and body.startswith(b'{"type":')
        start = lane.start_of(status, is_problem, self.server_state.default_headers)
        if status < 400 and not replayed and fast.keep_alive:
            self.transport.write(b"%b%d\r\n\r\n%b" % (start, len(body), body))
        else:
            more = extra_headers(status, replayed, retry_after_of(body, retry_after))
            if not fast.keep_alive:
                more += b"connection: close\r\n"
            self.transport.write(b"%b%d\r\n%b\r\n%b" % (start, len(body), more, body))
        fast.response_complete = True
        metrics = lane.metrics
        metrics.http(call.route, status)
        if call.places:
            metrics.latency(time.perf_counter() - self._started)
        if not fast.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """Go on with what is pipelined; else the connection is idle from now on."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        else:
            self._idle_since = self.loop.time()

    # --- deadlines and bad requests ---------------------------------------------------------------

    def check_deadlines(self, now: float) -> None:
        """Close the connection if it is idle, unread, or its request incomplete, for too long."""
        limits = self.lane.limits
        if self._unread_since and now - self._unread_since > limits.keep_alive_seconds:
            self.abandon()
        if self.transport.is_closing():
            return
        if self._refused:
            self._parse(b"")
        elif self._message_since:
            if now - self._message_since <= limits.request_timeout_seconds:
                return
            if self._is_answering():
                # It waits behind an answer of ours: that is not its fault.
                self._message_since = now
                return
            detail = f"expected a whole request within {limits.request_timeout_seconds:g} s"
            self._fail(408, "request_timeout", detail)
        elif not self._is_answering() and now - self._idle_since > limits.keep_alive_seconds:
            self.transport.close()

    def abandon(self) -> None:
        """End at once, whatever is not read yet of the answers.

        The transport resumes who waits to write before it says that it is lost; so it is said here.
        """
        self._hang_up()
        self.transport.abort()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Remember which request is being answered: `cycle` is the last one that came."""
        self._answered = cycle

        async def listened_to(scope: Any, receive: Any, send: Any) -> None:
            async def say(message: Any) -> None:
                try:
                    self.transport.write(b"")  # the only question that a closed one answers
                except RuntimeError:
                    cycle.disconnected = True
                await send(message)

            await app(scope, receive, say)

        super()._start_asgi_task(cycle, listened_to)

    def _hang_up(self) -> None:
        """Tell the request that is being answered that nobody listens."""
        if self._answered is not None:
            self._answered.disconnected = True

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered."""
        self._unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It reads again."""
        self._unread_since = 0.0
        if self.transport.is_closing():
            self._hang_up()
        super().resume_writing()

    def _is_answering(self) -> bool:
        """Whether a whole request waits for its answer."""
        if self.pipeline:
            return True
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and not cycle.more_body

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP; after the answers that are due, the connection ends instead."""
        self._fail(400, "malformed_http", "expected an HTTP/1.1 request")

    def _fail(self, status: int, code: str, detail: str) -> None:
        """Take no more of this connection; answer with a problem, unless answers are due."""
        if self._broken:
            return
        self._broken = True
        self._collecting = None
        cycle = self.cycle
        receives = cycle is not None and cycle.more_body
        if self._is_answering() and not receives:
            cycle.keep_alive = False
            self.flow.pause_reading()
        elif self.pipeline or (receives and self._has_started(cycle)):
            self.transport.close()
        else:
            self._end_with(status, code, detail)

    @staticmethod
    def _has_started(cycle: RequestResponseCycle | FastCycle) -> bool:
        """Whether an answer to a request that still comes in is under way or done."""
        return isinstance(cycle, RequestResponseCycle) and cycle.response_started

    def _head_limit(self) -> str:
        bytes_max = self.lane.limits.header_bytes_max
        return f"expected at most {HEADERS_MAX} headers of at most {bytes_max} bytes together"

    def _end_with(self, status: int, code: str, detail: str, more: bytes = b"") -> None:
        """Answer with a problem and close."""
        self._call = None
        body = problem(status, code, detail)
        start = self.lane.start_of(status, True, self.server_state.default_headers)
        self.lane.metrics.http("", status)
        head = b"%b%d\r\n%bconnection: close\r\n\r\n" % (start, len(body), more)
        self.transport.write(head + body)
        self.transport.close()


def extra_headers(status: int, replayed: bool, retry_after: int | None) -> bytes:
    """The header lines that only some replies have."""
    more = b"idempotency-replayed: true\r\n" if replayed else b""
    if status in (429, 503):
        more += b"retry-after: %d\r\n" % (retry_after or 1)
    return more


def protocol_class(lane: Lane) -> type[HttpProtocol]:
    """What uvicorn takes as `http=`: connections that share a lane."""
    return type("LaneProtocol", (HttpProtocol,), {"lane": lane})
