"""Many consumers, and slow ones: nobody is waited for, and nobody is told anything wrong."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import httpx
import pytest

from tests.conftest import SOAK, Server, wait_until, wait_until_async
from tests.integration.ws_client import Message, WsClient, frame, limit
from tests.unit.stream_fakes import BookModel, parse_frames

MakeServer = Callable[..., Server]

KIB = 1024


def metric(server: Server, name: str) -> float:
    for line in httpx.get(f"{server.url}/metrics").text.splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    return 0.0


def orderbook(server: Server) -> dict[str, dict[Decimal, Decimal]]:
    body = httpx.get(f"{server.url}/orderbook?levels=1000").content
    book = json.loads(body, parse_float=Decimal)
    return {
        side: {level["price"]: level["quantity"] for level in book[side]}
        for side in ("bids", "asks")
    }


def wide_batches(chance: random.Random) -> Iterator[list[Message]]:
    """Batches that each change hundreds of levels, and never trade."""
    number = 0
    placed: list[str] = []
    while True:
        operations: list[Message] = [{"op": "cancel", "order_id": each} for each in placed]
        placed = []
        for _ in range(400):
            number += 1
            placed.append(f"w{number}")
            order = limit("buy", chance.randrange(1, 900), 1, order_id=placed[-1])
            operations.append({"op": "place", "order": order})
        yield operations


def apply_to(model: BookModel, message: Message) -> None:
    if message["type"].startswith("orderbook_"):
        model.apply(message)


def is_right(model: BookModel, expected: Any, message: Message) -> bool:
    """Apply one more message; whether the client now holds the book."""
    apply_to(model, message)
    return bool(model.levels == expected)


@pytest.fixture
def tight(make_server: MakeServer) -> Server:
    """A server with small buffers that publishes every batch."""
    return make_server(
        publish_interval_ms=0,
        publish_interval_ms_max=20,
        websocket_buffer_bytes=64 * KIB,
        websocket_buffer_bytes_max=256 * KIB,
    ).start()


@pytest.mark.slow
def test_a_client_that_stops_reading_is_conflated_and_then_right_again(tight: Server) -> None:
    with (
        WsClient(tight.port, receive_bytes=4 * KIB) as slow,
        WsClient(tight.port) as trader,
        WsClient(tight.port) as quick,
    ):
        for client in (slow, quick):
            client.ask({"op": "subscribe", "channels": ["orderbook_deltas"]})
        batches = wide_batches(random.Random(1))
        for _ in range(3000):
            trader.ask({"op": "batch", "operations": next(batches)})
            # It comes, though the other reads nothing all the while.
            quick.until(lambda message: message["type"].startswith("orderbook_"))
            if metric(tight, "stream_consumers_conflated_total"):
                break
        else:
            raise AssertionError("it was never conflated")
        trader.ask({"op": "batch", "operations": next(batches)})
        expected = orderbook(tight)
        models = []
        for client in (slow, quick):
            model = BookModel()
            for message in client.messages:
                apply_to(model, message)
            client.until(partial(is_right, model, expected))
            models.append(model)
        assert [model.gaps for model in models] == [0, 0]
        assert len(slow.of_type("orderbook_snapshot")) >= 2
        assert len(quick.of_type("orderbook_snapshot")) == 1


@pytest.mark.slow
def test_a_client_that_misses_trades_is_told_why_and_closed(tight: Server) -> None:
    with (
        WsClient(tight.port, receive_bytes=4 * KIB) as slow,
        WsClient(tight.port) as trader,
        WsClient(tight.port) as quick,
    ):
        for client in (slow, quick):
            client.ask({"op": "subscribe", "channels": ["trades"]})
        for start in range(1000):
            operations = [
                {"op": "place", "order": limit(side, 100, 1, order_id=f"{start}-{n}-{side}")}
                for n in range(500)
                for side in ("sell", "buy")
            ]
            trader.ask({"op": "batch", "operations": operations})
            quick.until_type("trades")
            if metric(tight, "stream_consumers_closed_total"):
                break
        else:
            raise AssertionError("it was never closed")
        assert slow.read_to_the_end() == 1008
        last = slow.messages[-1]
        assert (last["type"], last["problem"]["code"]) == ("error", "slow_consumer")
        chain = slow.of_type("trades")
        for before, after in itertools.pairwise(chain):
            assert after["prev_sequence"] == before["sequence"]
        assert quick.ask({"op": "ping"})["type"] == "pong"


class Subscriber(asyncio.Protocol):
    """One of many: keeps the bytes that came."""

    def __init__(self) -> None:
        self.raw = b""
        self.opened = False
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(
            b"GET /stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        self.raw += data
        if not self.opened and b"\r\n\r\n" in self.raw:
            self.opened = True
            self.raw = self.raw.split(b"\r\n\r\n", 1)[1]
            request = {"op": "subscribe", "channels": ["orderbook_deltas", "trades"]}
            self.transport.write(frame(json.dumps(request).encode()))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True


def ends_whole(raw: bytes) -> bool:
    """Whether a server's frames that came so far end with a whole one."""
    at = 0
    while len(raw) - at >= 4:
        wide = {126: 2, 127: 8}.get(raw[at + 1], 0)
        begin = at + 2 + wide
        at = begin + (int.from_bytes(raw[at + 2 : begin]) if wide else raw[at + 1])
    return at == len(raw)


async def _watch_with(
    server: Server, count: int, trade: Callable[[], tuple[int, int]]
) -> list[Subscriber]:
    """So many subscribers watch while `trade` runs in a thread, until they have what it did.

    It gives the sequence that the book then has, and how many trades there were.
    """
    loop = asyncio.get_running_loop()
    everyone: list[Subscriber] = []
    for _ in range(count):
        _, protocol = await loop.create_connection(Subscriber, "127.0.0.1", server.port)
        everyone.append(protocol)
    await wait_until_async(lambda: all(b"orderbook_snapshot" in each.raw for each in everyone))
    sequence, trades = await asyncio.to_thread(trade)
    last = b'"sequence":%d,' % sequence

    def has_all(each: Subscriber) -> bool:
        told = last in each.raw and each.raw.count(b'"trade_id"') >= trades
        return told and ends_whole(each.raw)

    await wait_until_async(lambda: all(map(has_all, everyone)))
    assert not any(each.closed for each in everyone)
    for each in everyone:
        each.transport.close()
    return everyone


@pytest.mark.slow
def test_hundreds_of_subscribers_all_hold_the_book(server: Server) -> None:
    count = 1000 if SOAK else 300

    def trade() -> tuple[int, int]:
        chance = random.Random(3)
        trades = 0
        with httpx.Client(base_url=server.url, timeout=60) as client:
            for _ in range(300):
                side = chance.choice(["buy", "sell"])
                order = limit(side, 100 + chance.randrange(-5, 6), chance.randrange(1, 5))
                reply = client.post("/orders", json=order)
                assert reply.status_code == 201
                trades += reply.json()["trade_count"]
            book = client.get("/orderbook").json()
        return book["sequence"], trades

    everyone = asyncio.run(_watch_with(server, count, trade))
    expected = orderbook(server)
    assert len({each.raw.count(b'"trade_id"') for each in everyone}) == 1
    for each in everyone:
        model = BookModel()
        for message in parse_frames(each.raw):
            if message["type"].startswith("orderbook_"):
                model.apply(message)
        assert model.gaps == 0
        assert model.levels == expected
    wait_until(lambda: metric(server, "websocket_connections") == 0, what="no connection left")
