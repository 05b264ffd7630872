"""Many WebSocket subscribers of one book, each of which must hold exactly that book at the end.

    python -m novate.loadtest.audience --port 8000 --count 1000
One line of JSON when every subscriber has its snapshot; `finish` on stdin; one line with the
result. A book message that was sent to all is decoded once for all, and only its sequences while
the load runs: each subscriber keeps the chain of messages it received, and the chains are folded
into books when it is over. Of a trades message the sequences alone are read.
"""

import argparse
import asyncio
import functools
import statistics
import sys
import time
import urllib.request
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, cast

import msgspec
import uvloop

from novate.loadtest import frames
from novate.process import allow_files

_HEAD_END = b"\r\n\r\n"
_CONNECTING = 50
_POLL_S = 0.25
_SETTLE_S_MAX = 30.0
_DEPTH_LEVELS = 1_000
_DELTA = b'{"type":"orderbook_delta"'
_SNAPSHOT = b'{"type":"orderbook_snapshot"'
_TRADES = b'{"type":"trades"'
_TRADES_BEGIN = b'"trades":['
_TRADES_HEAD_MAX = 400

Levels = dict[Decimal, Decimal]
Book = tuple[Levels, Levels]
Rows = list[tuple[Decimal, Decimal]]

_decoder = msgspec.json.Decoder(float_hook=Decimal)


class Level(msgspec.Struct):
    """One price level of a message."""

    price: Decimal
    quantity: Decimal


class Head(msgspec.Struct):
    """What is read of every message while the load runs."""

    type: str
    sequence: int = 0
    prev_sequence: int = 0


class Sides(msgspec.Struct):
    """What is read of a book message when books are folded."""

    bids: list[Level]
    asks: list[Level]


_head_decoder = msgspec.json.Decoder(Head)
_sides_decoder = msgspec.json.Decoder(Sides)


class Frame:
    """One message, shared by every subscriber that received the same bytes."""

    __slots__ = ("_sides", "head", "payload")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.head = _head_decoder.decode(payload)
        self._sides: Sides | None = None

    def sides(self) -> Sides:
        """The levels, decoded when first asked for."""
        if self._sides is None:
            self._sides = _sides_decoder.decode(self.payload)
        return self._sides


class Audience:
    """What all subscribers share: the frames seen, and the counts."""

    def __init__(self, instrument: str) -> None:
        self.instrument = instrument
        self.subscribers: list[Subscriber] = []
        self.frames: dict[bytes, Frame] = {}
        self.trade_heads: dict[bytes, Head] = {}
        self.lost = 0
        self._last: Frame | None = None

    def frame(self, payload: bytes) -> Frame:
        """The shared frame of these bytes."""
        last = self._last
        if last is not None and last.payload == payload:
            return last
        found = self.frames.get(payload)
        if found is None:
            found = self.frames[payload] = Frame(payload)
        self._last = found
        return found

    def trades_head(self, head: bytes) -> Head:
        """The sequences of a trades message, from its bytes before the trades."""
        found = self.trade_heads.get(head)
        if found is None:
            found = self.trade_heads[head] = _head_decoder.decode(head + b'"trades":[]}')
        return found


class Subscriber(asyncio.Protocol):
    """One WebSocket that keeps the chain of book messages since its last snapshot."""

    def __init__(self, audience: Audience, upgrade: bytes) -> None:
        self._audience = audience
        self._upgrade = upgrade
        self._reader = frames.FrameReader()
        self._transport: asyncio.WriteTransport | None = None
        self._head = b""
        self._open = False
        self._resyncing = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.chain: list[Frame] = []
        self.trades_sequence = 0
        self.updates = 0
        self.trade_messages = 0
        self.gaps = 0
        self.snapshots = 0
        self.received = 0
        self.unwelcome: list[str] = []

    @property
    def sequence(self) -> int:
        """The sequence of the book this subscriber holds."""
        return self.chain[-1].head.sequence if self.chain else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is open."""
        # uvloop's transports are not of asyncio's classes, though they do the same.
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.write(self._upgrade)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone."""
        self._audience.lost += 1
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("closed before its first snapshot"))

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes have come."""
        self.received += len(data)
        if not self._open:
            data = self._opened(data)
        for opcode, received, start, end in self._reader.spans(data):
            if opcode == frames.TEXT:
                self._message(received, start, end)
            elif opcode == frames.PING and self._transport is not None:
                self._transport.write(frames.ws_frame(received[start:end], frames.PONG))

    def _opened(self, data: bytes) -> bytes:
        self._head += data
        end = self._head.find(_HEAD_END)
        if end < 0:
            return b""
        if not self._head.startswith(b"HTTP/1.1 101"):
            self.ready.set_exception(ConnectionError(self._head[:200].decode("latin-1")))
            return b""
        self._open = True
        self._send({"op": "subscribe", "channels": ["orderbook_deltas", "trades"]})
        return self._head[end + 4 :]

    def _send(self, message: dict[str, Any]) -> None:
        message["instrument"] = self._audience.instrument
        if self._transport is not None:
            self._transport.write(frames.ws_frame(msgspec.json.encode(message)))

    def _message(self, received: bytes, start: int, end: int) -> None:
        if received.startswith(_DELTA, start):
            self._delta(self._audience.frame(received[start:end]))
        elif received.startswith(_TRADES, start):
            stop = received.find(_TRADES_BEGIN, start, min(end, start + _TRADES_HEAD_MAX))
            self._trades(self._audience.trades_head(received[start:stop]))
        elif received.startswith(_SNAPSHOT, start):
            self._snapshot(self._audience.frame(received[start:end]))
        elif received.startswith(b'{"type":"error"', start):
            self.unwelcome.append(received[start : min(end, start + 300)].decode())

    def _snapshot(self, frame: Frame) -> None:
        self.snapshots += 1
        self.chain = [frame]
        self._resyncing = False
        if not self.ready.done():
            self.ready.set_result(None)

    def _delta(self, frame: Frame) -> None:
        self.updates += 1
        if frame.head.prev_sequence == self.sequence:
            self.chain.append(frame)
        elif not self._resyncing:
            self.gaps += 1
            self._resyncing = True
            self._send({"op": "resync"})

    def _trades(self, head: Head) -> None:
        self.trade_messages += 1
        if self.trades_sequence and head.prev_sequence != self.trades_sequence:
            self.gaps += 1
        self.trades_sequence = head.sequence

    def close(self) -> None:
        """Close without ceremony."""
        if self._transport is not None:
            self._transport.close()


def fold(chain: Iterable[Frame]) -> Book:
    """The book after a snapshot and its deltas: price to quantity, bids and asks."""
    bids: Levels = {}
    asks: Levels = {}
    for frame in chain:
        sides = frame.sides()
        _apply(bids, sides.bids)
        _apply(asks, sides.asks)
    return bids, asks


def _apply(side: Levels, changes: list[Level]) -> None:
    for change in changes:
        if change.quantity == 0:
            side.pop(change.price, None)
        else:
            side[change.price] = change.quantity


def top(book: Book, levels: int) -> tuple[Rows, Rows]:
    """The best levels of both sides, best first."""
    bids, asks = book
    return sorted(bids.items(), reverse=True)[:levels], sorted(asks.items())[:levels]


async def connect(audience: Audience, host: str, port: int, count: int) -> None:
    """Open every subscriber and wait for its first snapshot."""
    loop = asyncio.get_running_loop()
    for first in range(0, count, _CONNECTING):
        opening = []
        for _ in range(first, min(first + _CONNECTING, count)):
            upgrade = frames.ws_handshake("/stream", f"{host}:{port}")
            _, subscriber = await loop.create_connection(
                functools.partial(Subscriber, audience, upgrade), host, port
            )
            audience.subscribers.append(subscriber)
            opening.append(subscriber.ready)
        await asyncio.gather(*opening)


async def settle(audience: Audience, host: str, port: int) -> tuple[int, tuple[Rows, Rows]]:
    """Wait until all hold the sequence of the book that the server shows; that book."""
    deadline = time.monotonic() + _SETTLE_S_MAX
    while True:
        served = await asyncio.to_thread(_served_book, host, port, audience.instrument)
        held = {subscriber.sequence for subscriber in audience.subscribers}
        if held == {served[0]} or time.monotonic() > deadline:
            return served
        await asyncio.sleep(_POLL_S)


def _served_book(host: str, port: int, instrument: str) -> tuple[int, tuple[Rows, Rows]]:
    url = f"http://{host}:{port}/orderbook?instrument={instrument}&levels={_DEPTH_LEVELS}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        body = answer.read()
    sides = _sides_decoder.decode(body)
    sequence = _decoder.decode(body)["sequence"]
    bids = {level.price: level.quantity for level in sides.bids}
    asks = {level.price: level.quantity for level in sides.asks}
    return sequence, top((bids, asks), _DEPTH_LEVELS)


def verdict(
    audience: Audience, served: tuple[int, tuple[Rows, Rows]], seconds: float
) -> dict[str, Any]:
    """The result: how many books are right, and what each subscriber received."""
    sequence, book = served
    folded: dict[tuple[int, ...], bool] = {}
    right = 0
    for subscriber in audience.subscribers:
        chain = tuple(map(id, subscriber.chain))
        if chain not in folded:
            folded[chain] = top(fold(subscriber.chain), _DEPTH_LEVELS) == book
        right += folded[chain]
    members = audience.subscribers
    rates = [subscriber.updates / seconds for subscriber in members]
    return {
        "subscribers": len(members),
        "books_right": right,
        "books_wrong": len(members) - right,
        "sequence": sequence,
        "levels": len(book[0]) + len(book[1]),
        "updates_per_second_min": round(min(rates), 2),
        "updates_per_second_median": round(statistics.median(rates), 2),
        "trade_messages_min": min(subscriber.trade_messages for subscriber in members),
        "gaps": sum(subscriber.gaps for subscriber in members),
        "snapshots": sum(subscriber.snapshots for subscriber in members),
        "connections_lost": audience.lost,
        "megabytes": round(sum(subscriber.received for subscriber in members) / 1e6, 1),
        "errors": sorted({what for subscriber in members for what in subscriber.unwelcome})[:5],
    }


async def attend(host: str, port: int, count: int, instrument: str) -> None:
    """The life of the process: connect, say so, watch, settle, say what was seen."""
    audience = Audience(instrument)
    await connect(audience, host, port, count)
    started = time.monotonic()
    _say({"ready": count})
    await asyncio.to_thread(sys.stdin.readline)
    seconds = time.monotonic() - started
    # The rate is of the time under load: what comes while it settles does not count.
    updates = [subscriber.updates for subscriber in audience.subscribers]
    served = await settle(audience, host, port)
    for subscriber, seen in zip(audience.subscribers, updates, strict=True):
        subscriber.updates = seen
    _say(verdict(audience, served, seconds))


def _say(document: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run as the audience process of a load test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--instrument", default="BTC-USD")
    chosen = parser.parse_args()
    allow_files()
    uvloop.run(attend(chosen.host, chosen.port, chosen.count, chosen.instrument))


if __name__ == "__main__":
    main()
