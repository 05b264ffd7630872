"""A venue on loopback that plays a capture as Binance does: combined stream, depth, exchangeInfo.

Its book is always the true one: diffs count when they happen, whether anybody was told of them or
not. So a cut or a swallowed diff is a real one, and only a new snapshot mends it.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

SYMBOL = "ETHUSDT"
EXCHANGE_INFO = {
    "symbols": [
        {
            "symbol": SYMBOL,
            "baseAsset": "ETH",
            "quoteAsset": "USDT",
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": "0.01000000"},
                {"filterType": "LOT_SIZE", "stepSize": "0.00010000"},
            ],
        }
    ]
}


def capture_messages(path: Path, count: int) -> Iterator[dict[str, Any]]:
    """The first messages of a gzipped capture."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for _, line in zip(range(count), lines, strict=False):
            yield json.loads(line.partition(" ")[2])


class Venue:
    """One symbol's market. It is up, on `address`, while it is used as a context.

    Args:
        port: Of 127.0.0.1; 0 is any.
    """

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self.refuse_info = 0
        self.last_update_id = 1000
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}
        self.snapshots_served = 0
        self.connections = 0
        self.refuse_snapshots = 0
        self._server: Server | None = None
        self._consumer: ServerConnection | None = None

    async def __aenter__(self) -> Venue:
        self._server = await serve(
            self._stream,
            "127.0.0.1",
            self._port,
            process_request=self._rest,
            # It cuts nobody off by itself, however long a busy machine lets it wait.
            open_timeout=None,
            ping_interval=None,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def address(self) -> str:
        assert self._server is not None
        host, port = next(iter(self._server.sockets)).getsockname()
        return f"{host}:{port}"

    @property
    def is_connected(self) -> bool:
        return self._consumer is not None

    async def _stream(self, connection: ServerConnection) -> None:
        self.connections += 1
        self._consumer = connection
        await connection.wait_closed()
        if self._consumer is connection:
            self._consumer = None

    def _rest(self, connection: ServerConnection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        if path == "/stream":
            return None
        if path == "/api/v3/exchangeInfo" and self.refuse_info:
            self.refuse_info -= 1
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "")
        if path == "/api/v3/exchangeInfo":
            return connection.respond(HTTPStatus.OK, json.dumps(EXCHANGE_INFO))
        if path != "/api/v3/depth":
            return connection.respond(HTTPStatus.NOT_FOUND, "")
        if self.refuse_snapshots:
            self.refuse_snapshots -= 1
            return connection.respond(HTTPStatus.TOO_MANY_REQUESTS, '{"code":-1003}')
        self.snapshots_served += 1
        snapshot = {
            "lastUpdateId": self.last_update_id,
            "bids": list(self.bids.items()),
            "asks": list(self.asks.items()),
        }
        return connection.respond(HTTPStatus.OK, json.dumps(snapshot))

    def happen(self, message: dict[str, Any]) -> None:
        """A message of a capture becomes true here; nobody is told."""
        if "lastUpdateId" in message:
            self.last_update_id = message["lastUpdateId"]
            self._set(message["bids"], message["asks"])
        elif "@depth" in message["stream"] and message["data"]["u"] > self.last_update_id:
            self.last_update_id = message["data"]["u"]
            self._set(message["data"]["b"], message["data"]["a"])

    def _set(self, bids: list[list[str]], asks: list[list[str]]) -> None:
        for table, levels in ((self.bids, bids), (self.asks, asks)):
            for price, quantity in levels:
                if float(quantity):
                    table[price] = quantity
                else:
                    table.pop(price, None)

    async def tell(self, message: dict[str, Any]) -> None:
        """A message becomes true and goes to whoever is connected."""
        self.happen(message)
        if self._consumer is not None and "stream" in message:
            try:
                await self._consumer.send(json.dumps(message))
            except ConnectionClosed:
                self._consumer = None
        await asyncio.sleep(0)  # lets the server answer; no time passes

    async def diff(self, bids: dict[str, str], asks: dict[str, str]) -> None:
        """Tell a diff of one update."""
        update_id = self.last_update_id + 1
        change = {"U": update_id, "u": update_id, "b": list(bids.items()), "a": list(asks.items())}
        await self.tell({"stream": "ethusdt@depth@100ms", "data": change})

    def cut(self) -> None:
        """Break the connection as a network does: no close frame."""
        assert self._consumer is not None
        self._consumer.transport.abort()
        self._consumer = None

    def levels(self) -> tuple[dict[float, float], dict[float, float]]:
        """The true book: bids and asks, price to quantity (as JSON numbers read back)."""
        bids = {float(price): float(quantity) for price, quantity in self.bids.items()}
        asks = {float(price): float(quantity) for price, quantity in self.asks.items()}
        return bids, asks
