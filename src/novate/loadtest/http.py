"""HTTP load: N keep-alive connections with one request under way on each.

Closed loop: an answer sends the next request. Open loop: a request is sent when it is due, or waits
for a free connection while its latency, counted from when it was due, goes on growing.
"""

import asyncio
import time
from collections import deque
from typing import cast

from novate.loadtest.flow import Flow
from novate.loadtest.tally import Tally

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class HttpConnection(asyncio.Protocol):
    """One keep-alive connection: `send` a request, and the load is told of its whole answer."""

    def __init__(self, load: "HttpLoad") -> None:
        self._load = load
        self._transport: asyncio.WriteTransport | None = None
        self._received: list[bytes] = []
        self._missing = 0
        self._body_at = 0
        self.planned_ns = 0
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is open."""
        # uvloop's transports are not of asyncio's classes, though they do the same.
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone."""
        self._load.lost_connection(self)

    def send(self, request: bytes, planned_ns: int) -> None:
        """Send one request; nothing else may be under way on this connection."""
        assert self._transport is not None
        self.planned_ns = planned_ns
        self.busy = True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes have come."""
        if self._received:
            self._more(data)
            return
        head_end = data.find(_HEAD_END)
        if head_end < 0:
            self._received.append(data)
            return
        self._body_at = head_end + 4
        self._missing = self._body_at + content_length(data, head_end) - len(data)
        if self._missing > 0:
            self._received.append(data)
        else:
            self._answered(data)

    def _more(self, data: bytes) -> None:
        """A later piece of an answer; a head that came in pieces is put together first."""
        received = self._received
        received.append(data)
        if self._missing > 0:
            self._missing -= len(data)
            if self._missing > 0:
                return
        whole = b"".join(received)
        received.clear()
        if self._missing <= 0 < self._body_at:
            self._answered(whole)
        else:
            self.data_received(whole)

    def _answered(self, response: bytes) -> None:
        self.busy = False
        body_at = self._body_at
        self._body_at = 0
        self._missing = 0
        self._load.answered(self, response, body_at)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


def content_length(response: bytes, head_end: int) -> int:
    """The Content-Length of a response whose head ends at `head_end`; 0 without one."""
    head = response[:head_end].lower()
    at = head.find(_LENGTH)
    if at < 0:
        return 0
    end = head.find(b"\r", at)
    return int(head[at + len(_LENGTH) : end if end >= 0 else head_end])


class HttpLoad:
    """Keeps the connections busy, by plan or in a closed loop."""

    def __init__(self, flow: Flow, tally: Tally, closed: bool) -> None:
        self._flow = flow
        self._tally = tally
        self._closed = closed
        self._running = False
        self._stop_ns = 0
        self._free: list[HttpConnection] = []
        self._waiting: deque[int] = deque()
        self._connections: list[HttpConnection] = []
        self.lateness_ns: list[int] = []

    async def connect(self, host: str, port: int, connections: int) -> None:
        """Open every connection before the first request."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, connection = await loop.create_connection(lambda: HttpConnection(self), host, port)
            self._connections.append(connection)
        self._free = list(self._connections)

    def start(self, stop_ns: int) -> None:
        """Let requests go until `stop_ns`; a closed loop starts one on every connection."""
        self._running = True
        self._stop_ns = stop_ns
        if self._closed:
            free, self._free = self._free, []
            for connection in free:
                self._send(connection, time.monotonic_ns())

    def due(self, planned: list[int]) -> None:
        """Send these planned requests now, or queue them for the next free connection."""
        free = self._free
        now = time.monotonic_ns()
        for planned_ns in planned:
            self.lateness_ns.append(now - planned_ns)
            if free:
                self._send(free.pop(), planned_ns)
            else:
                self._waiting.append(planned_ns)

    def answered(self, connection: HttpConnection, response: bytes, body_at: int) -> None:
        """Count an answer and give its connection the next request there is."""
        now = time.monotonic_ns()
        tally = self._tally
        tally.bytes_received += len(response)
        tally.http(response, body_at, connection.planned_ns, now)
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        elif self._closed and now < self._stop_ns:
            self._send(connection, now)
        else:
            self._free.append(connection)

    def lost_connection(self, connection: HttpConnection) -> None:
        """A connection that the server closed takes its request with it."""
        if not self._running:
            return
        if connection.busy:
            self._tally.lost("connection closed without an answer")
            connection.busy = False
        elif connection in self._free:
            self._free.remove(connection)
            self._tally.lost("idle connection closed")

    def under_way(self) -> int:
        """Requests sent or due whose answer has not come."""
        return len(self._waiting) + sum(connection.busy for connection in self._connections)

    def close(self) -> None:
        """Close the connections; what is still under way is counted as unanswered."""
        self._running = False
        self._tally.lost("no answer in time", self.under_way())
        for connection in self._connections:
            connection.close()

    def _send(self, connection: HttpConnection, planned_ns: int) -> None:
        self._tally.sent += 1
        connection.send(self._flow.take()[1], planned_ns)
