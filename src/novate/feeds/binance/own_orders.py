"""Watches the mirror's own orders on the exchange's stream: what others trade against them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from novate import logs
from novate.feeds import FeedError
from novate.feeds.binance.backoff import Backoff
from novate.feeds.binance.messages import Grid
from novate.feeds.binance.operations import OrderState
from novate.feeds.binance.order_entry import decode_order_update

MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024


async def watch(
    url: str,
    client_id: str,
    instrument: str,
    grid: Grid,
    backoff: Backoff,
    *,
    on_update: Callable[[OrderState], None],
    on_subscribed: Callable[[], None],
) -> None:
    """Follow the order updates of a client until cancelled; connects again when cut off.

    Args:
        url: The exchange, `http://` or `https://`.
        client_id: Whose orders.
        instrument: In which instrument.
        grid: Its tick and lot.
        backoff: Waits between connections.
        on_update: Called with each order as it changes.
        on_subscribed: Called at each subscription but the first: updates may have been missed.
    """
    address = "ws" + url.removeprefix("http").rstrip("/") + "/stream"
    subscription = {"op": "subscribe", "channels": ["orders"], "request_id": "orders"}
    subscription |= {"instrument": instrument, "client_id": client_id}
    again = False
    while True:
        try:
            async with connect(address, max_size=MESSAGE_BYTES_MAX) as socket:
                await socket.send(msgspec.json.encode(subscription).decode())
                async for message in socket:
                    if again:
                        again = False
                        on_subscribed()
                    state = decode_order_update(message, grid)
                    backoff.reset()
                    if state is not None:
                        on_update(state)
        except (OSError, TimeoutError, WebSocketException, FeedError) as error:
            logs.get("binance").warning("order updates interrupted", reason=str(error)[:200])
        again = True
        await asyncio.sleep(backoff.next_seconds())
