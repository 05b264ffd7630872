"""The server of the port: uvicorn's, ended the exchange's way.

Signals are the exchange's, which has batches to finish. At the end whoever does not read the answer
it asked for is let go without a word: that is a client's doing, and no error of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import uvicorn

from novate import logs
from novate.gateway.fast_lane import HttpProtocol

WAIT_SHARE: Final = 0.7
"""Share of uvicorn's time for a shutdown after which connections are ended from this side."""

UNWIND_SECONDS: Final = 0.1
"""How long a request has to end by itself once its connection is gone."""

Application = Callable[[Any, Any, Any], Awaitable[None]]

log = logs.get("server")


def ends_quietly(application: Application) -> Application:
    """The application, of which a request that is cancelled at the end raises nothing."""

    async def ended(scope: Any, receive: Any, send: Any) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await application(scope, receive, send)

    return ended


class Server(uvicorn.Server):
    """uvicorn's server, without its handling of signals and of clients that don't read."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests under way finish; end the connections of those that don't in time."""
        loop = asyncio.get_running_loop()
        seconds = (self.config.timeout_graceful_shutdown or 1) * WAIT_SHARE
        ending = loop.call_later(seconds, self._end_connections)
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()

    def _end_connections(self) -> None:
        connections = list(self.server_state.connections)
        for connection in connections:
            if isinstance(connection, HttpProtocol):
                connection.abandon()
            else:
                connection.transport.abort()
        asyncio.get_running_loop().call_later(UNWIND_SECONDS, self._end_tasks)
        if connections:
            log.info("connections_ended", count=len(connections))

    def _end_tasks(self) -> None:
        for task in list(self.server_state.tasks):
            task.cancel()
