"""The venue's live stream: connected, watched, connected again; snapshots over REST.

Owns connections and waiting. What a message means is the player's business.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from novate import logs
from novate.feeds import FeedError
from novate.feeds.binance.backoff import Backoff
from novate.feeds.binance.messages import (
    Message,
    VenueInstrument,
    decode,
    decode_exchange_info,
    decode_snapshot,
)
from novate.feeds.binance.order_entry import retry_after_seconds
from novate.feeds.binance.play import Player

STREAM_URL: Final = "wss://stream.binance.com:9443"
REST_URL: Final = "https://api.binance.com"
AWAY_STATUSES: Final = (403, 418, 429)
"""Of a venue that wants to be asked later: over its limits, or by a firewall before it."""

SNAPSHOT_LEVELS: Final = 5_000
SILENCE_SECONDS_MAX: Final = 30.0
INBOX_MAX: Final = 10_000
MESSAGE_BYTES_MAX: Final = 8 * 1024 * 1024

_Item = Message | Exception


def stream_address(stream_url: str, symbol: str) -> str:
    """Address of the combined stream of trades, depth and best prices of a symbol."""
    name = symbol.lower()
    streams = "/".join(f"{name}@{each}" for each in ("trade", "depth@100ms", "bookTicker"))
    return f"{stream_url.rstrip('/')}/stream?streams={streams}"


async def venue_instrument(
    rest: httpx.AsyncClient, symbol: str, backoff: Backoff
) -> VenueInstrument:
    """A symbol's assets and grid, from the venue; while that is away it is asked again.

    Raises:
        FeedError: the venue answers, and has no such symbol.
    """
    while True:
        delay = backoff.next_seconds()
        try:
            response = await rest.get("/api/v3/exchangeInfo", params={"symbol": symbol})
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
        else:
            status = response.status_code
            if status < 500 and status not in AWAY_STATUSES:
                return decode_exchange_info(response.content, symbol)
            reason = f"status {status}"
            delay = max(delay, retry_after_seconds(response))
        logs.get("binance").warning("no exchange info", venue=str(rest.base_url), reason=reason)
        await asyncio.sleep(delay)


class LiveStream:
    """Feeds a player from the venue, for as long as it is not cancelled.

    Args:
        rest: A client whose base address is the venue's REST API.
        silence_seconds_max: A stream that says nothing for so long is taken for dead.
        on_event: Told of `connected`, `disconnected`, `snapshot`, with a reason.
    """

    def __init__(
        self,
        player: Player,
        rest: httpx.AsyncClient,
        stream_url: str,
        symbol: str,
        backoff: Backoff,
        *,
        silence_seconds_max: float = SILENCE_SECONDS_MAX,
        on_event: Callable[[str, str], None] = lambda kind, reason: None,
    ) -> None:
        self._player = player
        self._rest = rest
        self._address = stream_address(stream_url, symbol)
        self._symbol = symbol.upper()
        self._backoff = backoff
        self._silence_seconds_max = silence_seconds_max
        self._on_event = on_event
        self.connections = 0

    async def run(self) -> None:
        """Play the stream until cancelled; a cut or a silence connects again, with backoff.

        Raises:
            FeedError: the exchange can't be reached or refuses; the venue's faults are survived.
        """
        while True:
            try:
                async with connect(self._address, max_size=MESSAGE_BYTES_MAX) as socket:
                    self.connections += 1
                    self._player.depth.reset()
                    self._on_event("connected", self._address)
                    await self._play(socket)
            except (OSError, TimeoutError, WebSocketException, _StreamFault) as error:
                self._on_event("disconnected", str(error)[:200])
            await self._player.flush()
            await asyncio.sleep(self._backoff.next_seconds())

    async def _play(self, socket: ClientConnection) -> None:
        """Play one connection until it ends, by raising."""
        inbox: asyncio.Queue[_Item] = asyncio.Queue(INBOX_MAX)
        reader = asyncio.create_task(_read(socket, inbox))
        fetcher: asyncio.Task[None] | None = None
        try:
            while True:
                message = await self._next(inbox)
                await self._player.take(message)
                self._backoff.reset()
                if inbox.empty():
                    await self._player.flush()
                if not self._player.depth.is_synced and (fetcher is None or fetcher.done()):
                    fetcher = asyncio.create_task(self._fetch_snapshot(inbox))
        finally:
            for task in (reader, fetcher):
                if task is not None:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task

    async def _next(self, inbox: asyncio.Queue[_Item]) -> Message:
        async with asyncio.timeout(self._silence_seconds_max):
            item = await inbox.get()
        if isinstance(item, Exception):
            raise _StreamFault(str(item) or type(item).__name__) from item
        return item

    async def _fetch_snapshot(self, inbox: asyncio.Queue[_Item]) -> None:
        """Put a snapshot into the inbox, sooner or later."""
        backoff = self._backoff.copy()
        wait = backoff.next_seconds
        params: dict[str, str | int] = {"symbol": self._symbol, "limit": SNAPSHOT_LEVELS}
        while True:
            try:
                response = await self._rest.get("/api/v3/depth", params=params)
                if response.status_code == 200:
                    snapshot = decode_snapshot(response.content)
                    self._on_event("snapshot", str(snapshot.last_update_id))
                    await inbox.put(snapshot)
                    # A refused snapshot is followed by another one, but not at once.
                    await asyncio.sleep(wait())
                    return
                reason = f"status {response.status_code}"
                delay = max(wait(), retry_after_seconds(response))
            except (httpx.TransportError, FeedError) as error:
                reason = str(error)
                delay = wait()
            logs.get("binance").warning("no depth snapshot", reason=reason[:200])
            await asyncio.sleep(delay)


class _StreamFault(Exception):
    """The venue's stream broke off or said what no venue says."""


async def _read(socket: ClientConnection, inbox: asyncio.Queue[_Item]) -> None:
    try:
        async for raw in socket:
            message = decode(raw)
            if message is not None:
                await inbox.put(message)
        await inbox.put(EOFError("the stream ended"))
    except (FeedError, WebSocketException, OSError) as error:
        await inbox.put(error)
