"""A WebSocket to the exchange: batches out, their results and a client's order updates in.

A batch over it costs the feed an eighth of what it costs over HTTP, and the updates say what others
took from the mirror.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from novate import logs
from novate.feeds import FeedError
from novate.feeds.binance.backoff import Backoff
from novate.feeds.binance.grid import Grid
from novate.feeds.binance.operations import OrderState
from novate.feeds.binance.order_entry import BatchReply
from novate.feeds.binance.wire import decode_stream_message

MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024
ANSWER_SECONDS_MAX: Final = 30.0
CONNECT_SECONDS_MAX: Final = 10.0


class ExchangeSession:
    """One session on the exchange's `/stream`, connected again whenever it is cut.

    Args:
        url: The exchange, `http://` or `https://`.
        instrument: What is traded.
        grid: Its tick and lot.
        backoff: Waits between connections.
        client_id: Whose order updates are followed; None follows none.
        on_update: Called with each of those orders as it changes.
        on_cut: Called at each connection but the first: updates may have been missed.
    """

    def __init__(
        self,
        url: str,
        instrument: str,
        grid: Grid,
        backoff: Backoff,
        *,
        client_id: str | None = None,
        on_update: Callable[[OrderState], None] = lambda state: None,
        on_cut: Callable[[], None] = lambda: None,
    ) -> None:
        self._address = "ws" + url.removeprefix("http").rstrip("/") + "/stream"
        self._instrument = instrument
        self._grid = grid
        self._backoff = backoff
        self._requests = 0
        self._socket: ClientConnection | None = None
        self._connected = asyncio.Event()
        self._waiting: tuple[str, asyncio.Future[BatchReply]] | None = None
        self._client_id = client_id
        self.on_update = on_update
        self.on_cut = on_cut

    async def send(self, texts: list[str]) -> BatchReply:
        """The answer to a batch of operations; one is on its way at a time.

        Raises:
            ConnectionError: none came; the batch may have been done or not.
        """
        self._requests += 1
        request_id = str(self._requests)
        answer: asyncio.Future[BatchReply] = asyncio.get_running_loop().create_future()
        batch = f'{{"op":"batch","request_id":"{request_id}","operations":[{",".join(texts)}]}}'
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                await self._connected.wait()
            assert self._socket is not None
            self._waiting = (request_id, answer)
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                await self._socket.send(batch)
                return await answer
        except (TimeoutError, OSError, WebSocketException) as error:
            raise ConnectionError(str(error)) from error
        finally:
            self._waiting = None

    async def run(self) -> None:
        """Keep the session up until cancelled."""
        again = False
        options = {"max_size": MESSAGE_BYTES_MAX, "compression": None}
        while True:
            try:
                async with connect(self._address, **options) as socket:  # type: ignore[arg-type]
                    if self._client_id is not None:
                        await socket.send(self._subscription(self._client_id))
                    self._socket = socket
                    self._connected.set()
                    if again:
                        self.on_cut()
                    while True:
                        self._take(await socket.recv(decode=False))
                        self._backoff.reset()
            except (OSError, TimeoutError, WebSocketException, FeedError) as error:
                logs.get("binance").warning("session interrupted", reason=str(error)[:200])
                self._lose(error)
            again = True
            await asyncio.sleep(self._backoff.next_seconds())

    def _subscription(self, client_id: str) -> str:
        request = {"op": "subscribe", "channels": ["orders"], "instrument": self._instrument}
        return msgspec.json.encode(request | {"client_id": client_id}).decode()

    def _take(self, raw: bytes) -> None:
        message = decode_stream_message(raw, self._grid)
        if message.order is not None:
            self.on_update(message.order)
        if self._waiting is None or message.request_id != self._waiting[0]:
            return
        answer = self._waiting[1]
        if not answer.done():
            body = raw if message.status == 200 else message.text.encode()
            answer.set_result(BatchReply(message.status, body, message.retry_after_seconds))

    def _lose(self, error: Exception) -> None:
        self._connected.clear()
        self._socket = None
        if self._waiting is not None and not self._waiting[1].done():
            self._waiting[1].set_exception(ConnectionError(str(error)))
