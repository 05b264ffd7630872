"""The waiting room: what the exchange's address answers while the state is being rebuilt.

Recovery keeps the main thread, so this has a thread and a loop of its own. Every request is
answered 503 with Retry-After and its connection closed, so that the next one reaches the exchange;
`/readyz` and `/healthz` say how far the recovery is. Connections are held to the exchange's own
limits, and taken so slowly that clients who try again at once can't slow the recovery: those not
taken wait, and find the exchange.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

import uvicorn
import uvloop
from uvicorn.server import ServerState
from websockets.http11 import Request

from novate import logs
from novate.config import Settings
from novate.gateway.admin import encode
from novate.gateway.calls import Call
from novate.gateway.fast_lane import Lane, protocol_class
from novate.gateway.handshake import HandshakeProtocol
from novate.gateway.problems import CONTENT_TYPE, problem
from novate.model import codec

CODE: Final = "recovering"
TAKEN_MAX: Final = 8
PAUSE_SECONDS: Final = 0.02
"""So many connections are taken, then none for so long: 400 a second, a tenth of a processor."""

LAST_LOOKS: Final = 10
LAST_LOOK_SECONDS: Final = 0.005
"""How long connections may finish at the end."""

RETRY_AFTER: Final = ((b"retry-after", b"1"), (b"connection", b"close"))

Send = Callable[[dict[str, Any]], Any]

log = logs.get("waiting_room")


class _NoCalls:
    """No call is known here: all go the ordinary way."""

    def recognise(self, method: bytes, target: bytes) -> Call | None:
        """None."""
        return None


class _Uncounted:
    """Nothing is counted before there are metrics."""

    def http(self, route: str, status: int) -> None:
        """Do nothing."""

    def latency(self, seconds: float) -> None:
        """Do nothing."""


class _WaitingHandshake(HandshakeProtocol):
    """A handshake while the state is rebuilt: it is answered as any request is."""

    answer: Callable[[str], tuple[bytes, bytes]]

    def handle_connect(self, event: Request) -> None:
        """Refuse it."""
        body, content_type = self.answer(event.path.partition("?")[0])
        self.respond(503, body, content_type, {"Retry-After": "1"})


class WaitingRoom:
    """Answers on a listening socket between `with` and its end; the socket itself stays open.

    Args:
        listener: The exchange's socket, listening.
        settings: What connections are held to.
        says: How far the recovery is, in words; called on another thread.
    """

    def __init__(
        self, listener: socket.socket, settings: Settings, says: Callable[[], str]
    ) -> None:
        self._listener = listener
        self._says = says
        self._lane = Lane(_NoCalls(), settings, _Uncounted())
        self._loop = uvloop.new_event_loop()
        self._left = asyncio.Event()
        self._connecting: asyncio.Task[object] | None = None
        self._thread = threading.Thread(target=self._run, name="waiting-room", daemon=True)

    def __enter__(self) -> WaitingRoom:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop answering; whoever connects from here on is for the exchange to take."""
        with contextlib.suppress(RuntimeError):  # its loop failed, and is closed
            self._loop.call_soon_threadsafe(self._left.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except OSError as error:
            # Nobody hears how far it is; that is no reason to give a recovery up.
            log.warning("recovery_unheard", why=str(error))

    async def _serve(self) -> None:
        config = uvicorn.Config(
            self.application,
            http=protocol_class(self._lane),
            ws=self._handshakes(),
            interface="asgi3",
            proxy_headers=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
        )
        config.load()
        state = ServerState()
        taking = asyncio.create_task(self._take(config, state))
        await self._left.wait()
        taking.cancel()
        await asyncio.wait([taking])
        if self._connecting is not None:
            await asyncio.gather(self._connecting, return_exceptions=True)
        for _ in range(LAST_LOOKS):  # what was taken and has asked is answered
            if not self._lane.connections:
                break
            await asyncio.sleep(LAST_LOOK_SECONDS)
        for connection in list(state.connections):
            connection.shutdown()
        await asyncio.gather(*state.tasks, return_exceptions=True)

    async def _take(self, config: uvicorn.Config, state: ServerState) -> None:
        """Take connections for ever, a few at a time."""

        def connected() -> asyncio.Protocol:
            return config.http_protocol_class(  # type: ignore[call-arg]
                config=config, server_state=state, app_state={}, _loop=self._loop
            )

        self._listener.setblocking(False)
        taken = 0
        while True:
            try:
                connection, _ = await self._loop.sock_accept(self._listener)
                # Cut off in its middle it would close the socket, and tell its protocol nothing.
                self._connecting = asyncio.create_task(
                    self._loop.connect_accepted_socket(connected, connection)
                )
                await asyncio.shield(self._connecting)
            except OSError as error:  # it is gone again, or there are no files left
                log.debug("connection_not_taken", why=str(error))
                taken = TAKEN_MAX
            taken += 1
            if taken >= TAKEN_MAX:
                taken = 0
                await asyncio.sleep(PAUSE_SECONDS)

    async def application(self, scope: dict[str, Any], receive: object, send: Send) -> None:
        """The ASGI application: every path and method."""
        body, content_type = self._answer(scope["path"])
        headers = [
            (b"content-type", content_type),
            (b"content-length", b"%d" % len(body)),
            *RETRY_AFTER,
        ]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _handshakes(self) -> type[_WaitingHandshake]:
        """What uvicorn takes as `ws=`."""
        shared = {
            "answer": staticmethod(self._answer),
            "request_timeout_seconds": self._lane.limits.request_timeout_seconds,
        }
        return type("WaitingHandshake", (_WaitingHandshake,), shared)

    def _answer(self, path: str) -> tuple[bytes, bytes]:
        why = self._says()
        if path == "/readyz":
            ready = {"status": "not_ready", "state": "recovering", "reason": why}
            return encode(ready), b"application/json"
        if path == "/healthz":
            now = codec.format_time(time.time_ns() // 1000).decode()
            checks = {"journal": {"status": "recovering", "reason": why}}
            health = {"status": "unhealthy", "timestamp": now, "checks": checks}
            return encode(health), b"application/json"
        return problem(503, CODE, f"the exchange is starting: {why}"), CONTENT_TYPE
