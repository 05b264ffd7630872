"""WebSocket load: pipelined connections, many messages under way on each.

Answers are matched by `request_id`, whatever order they come in. Messages without one (greetings,
heartbeats) are passed over.
"""

import asyncio
import functools
import time
from typing import cast

from novate.loadtest import frames
from novate.loadtest.flow import Flow
from novate.loadtest.tally import Tally

_REQUEST_ID = b'"request_id":"'
_HEAD_END = b"\r\n\r\n"


class WsConnection(asyncio.Protocol):
    """One WebSocket: hands whole messages on, answers pings."""

    def __init__(self, load: "WsLoad", upgrade: bytes) -> None:
        self._load = load
        self._upgrade = upgrade
        self._reader = frames.FrameReader()
        self._transport: asyncio.WriteTransport | None = None
        self._head = b""
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is open."""
        # uvloop's transports are not of asyncio's classes, though they do the same.
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.write(self._upgrade)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone."""
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("closed before the WebSocket was open"))
        self._load.lost_connection()

    def write(self, sent: bytes) -> None:
        """Write frames already made."""
        assert self._transport is not None
        self._transport.write(sent)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes have come."""
        if not self.ready.done():
            data = self._opened(data)
        answers = []
        for opcode, payload in self._reader.feed(data):
            if opcode == frames.TEXT:
                answers.append(payload)
            elif opcode == frames.PING:
                self.write(frames.ws_frame(payload, frames.PONG))
        if answers:
            self._load.answered(self, answers)

    def _opened(self, data: bytes) -> bytes:
        """The bytes after the handshake, once it is whole."""
        self._head += data
        end = self._head.find(_HEAD_END)
        if end < 0:
            return b""
        if not self._head.startswith(b"HTTP/1.1 101"):
            self.ready.set_exception(ConnectionError(self._head[:200].decode("latin-1")))
            return b""
        self.ready.set_result(None)
        return self._head[end + 4 :]

    def close(self) -> None:
        """Close without ceremony."""
        if self._transport is not None:
            self._transport.close()


class WsLoad:
    """Keeps a window of messages under way on each connection, or sends them by plan."""

    def __init__(self, flow: Flow, tally: Tally, closed: bool, window: int) -> None:
        self._flow = flow
        self._tally = tally
        self._closed = closed
        self._window = window
        self._running = False
        self._stop_ns = 0
        self._planned: dict[int, int] = {}
        self._connections: list[WsConnection] = []
        self._next = 0
        self.lateness_ns: list[int] = []

    async def connect(self, host: str, port: int, connections: int, path: str = "/stream") -> None:
        """Open every WebSocket before the first message."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            upgrade = frames.ws_handshake(path, f"{host}:{port}")
            _, connection = await loop.create_connection(
                functools.partial(WsConnection, self, upgrade), host, port
            )
            await connection.ready
            self._connections.append(connection)

    def start(self, stop_ns: int) -> None:
        """Let messages go until `stop_ns`; a closed loop fills every window."""
        self._running = True
        self._stop_ns = stop_ns
        if self._closed:
            for connection in self._connections:
                now = time.monotonic_ns()
                connection.write(b"".join([self._take(now) for _ in range(self._window)]))

    def due(self, planned: list[int]) -> None:
        """Send these planned messages now, the connections taking turns."""
        now = time.monotonic_ns()
        for planned_ns in planned:
            self.lateness_ns.append(now - planned_ns)
            connection = self._connections[self._next % len(self._connections)]
            self._next += 1
            connection.write(self._take(planned_ns))

    def answered(self, connection: WsConnection, answers: list[bytes]) -> None:
        """Count answers; in a closed loop as many messages follow them."""
        now = time.monotonic_ns()
        tally = self._tally
        planned = self._planned
        matched = 0
        for payload in answers:
            at = payload.find(_REQUEST_ID)
            if at < 0:
                continue
            at += len(_REQUEST_ID)
            planned_ns = planned.pop(int(payload[at : at + 10]), 0)
            if planned_ns:
                matched += 1
                tally.bytes_received += len(payload)
                tally.message(payload, planned_ns, now)
        if self._closed and matched and now < self._stop_ns:
            connection.write(b"".join([self._take(now) for _ in range(matched)]))

    def lost_connection(self) -> None:
        """The server closed a connection while the test ran."""
        if self._running:
            self._tally.lost("connection closed")

    def under_way(self) -> int:
        """Messages whose answer has not come."""
        return len(self._planned)

    def close(self) -> None:
        """Close the connections; what is still under way is counted as unanswered."""
        self._running = False
        self._tally.lost("no answer in time", self.under_way())
        for connection in self._connections:
            connection.close()

    def _take(self, planned_ns: int) -> bytes:
        number, message = self._flow.take()
        self._planned[number] = planned_ns
        self._tally.sent += 1
        return message
