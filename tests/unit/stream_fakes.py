"""Fakes for the streams: a loop whose time is moved by hand, a book, consumers that remember."""

from __future__ import annotations

import heapq
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Levels = dict[str, dict[int, int]]


@dataclass(eq=False)
class Timer:
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class ManualLoop:
    """Timers and a clock; nothing runs until `run` is called."""

    def __init__(self) -> None:
        self.now = 100.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, Timer]] = []
        self.turns = 0

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], None]) -> Timer:
        return self.call_later(0.0, callback)

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(callback)
        heapq.heappush(self._timers, (self.now + delay, next(self._order), timer))
        return timer

    def run(self, seconds: float = 0.0) -> None:
        """Let time pass, and everything happen that is due in it."""
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= max(end, self.now):
            due, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, due)
            if not timer.cancelled:
                self.turns += 1
                timer.callback()
        self.now = max(self.now, end)


@dataclass
class StreamOptions:
    publish_interval_ms: int = 20
    publish_interval_ms_max: int = 1000
    websocket_buffer_bytes: int = 10_000
    websocket_buffer_bytes_max: int = 20_000
    heartbeat_seconds: float = 15.0


@dataclass
class Counts:
    stream_messages: int = 0
    stream_snapshots: int = 0
    consumers_conflated: int = 0
    consumers_closed: int = 0
    orders_unlogged: int = 0
    websocket_connections: int = 0
    reasons: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def latency(self, seconds: float) -> None:
        self.latencies.append(seconds)

    def rejected(self, reason: str, field: str = "", client_id: str = "") -> None:
        self.reasons.append(reason)


@dataclass
class Batch:
    """An applied batch, as the streams see it."""

    first_seq: int = 1
    trades: list[tuple[int, int, bytes]] = field(default_factory=list)
    updates: list[tuple[int, int, str, bytes]] = field(default_factory=list)
    busts: list[tuple[int, int, bytes]] = field(default_factory=list)
    replies: list[tuple[int, bytes | None, int]] = field(default_factory=list)


@dataclass
class EngineFace:
    last_seq: int = 0


def side_json(levels: dict[int, int]) -> bytes:
    rows = [{"price": price, "quantity": quantity} for price, quantity in levels.items()]
    return json.dumps(rows, separators=(",", ":")).encode()


class BookFake:
    """Books as the reporter shows them: totals by price, changes noted while watched."""

    def __init__(self) -> None:
        self.engine = EngineFace()
        self.want_updates = False
        self.books: dict[int, Levels] = {}
        self.changed_at: dict[int, int] = {}
        self.watched: dict[int, Levels] = {}
        self.history: list[bytes] = []
        self.forgets = False
        self.book_reads = 0

    def set_level(self, instrument: int, side: str, price: int, quantity: int) -> int:
        """A command changes one level; gives its sequence."""
        self.engine.last_seq += 1
        book = self.books.setdefault(instrument, {"bids": {}, "asks": {}})
        book[side][price] = quantity
        if not quantity:
            del book[side][price]
        self.changed_at[instrument] = self.engine.last_seq
        if instrument in self.watched:
            self.watched[instrument][side][price] = quantity
        return self.engine.last_seq

    def watch_book(self, instrument: int, on: bool) -> None:
        if on:
            self.watched[instrument] = {"bids": {}, "asks": {}}
        else:
            self.watched.pop(instrument, None)

    def take_deltas(self) -> list[tuple[int, int, bytes, bytes]]:
        taken = []
        for instrument, changes in self.watched.items():
            if changes["bids"] or changes["asks"]:
                sequence = self.changed_at[instrument]
                bids, asks = side_json(changes["bids"]), side_json(changes["asks"])
                taken.append((instrument, sequence, bids, asks))
                self.watched[instrument] = {"bids": {}, "asks": {}}
        return taken

    def book_json(self, instrument: int) -> tuple[int, bytes, bytes]:
        self.book_reads += 1
        book = self.books.get(instrument, {"bids": {}, "asks": {}})
        sequence = self.changed_at.get(instrument, 0)
        return sequence, side_json(book["bids"]), side_json(book["asks"])

    def trade(self, instrument: int = 0) -> tuple[int, int, bytes]:
        """A command trades."""
        self.engine.last_seq += 1
        seq = self.engine.last_seq
        trade = (
            b'{"trade_id":"0-%d-0","instrument":"BTC-USD","price":1,"quantity":1,'
            b'"buy_order_id":"b","sell_order_id":"s","taker_side":"buy","sequence":%d}' % (seq, seq)
        )
        self.history.append(trade)
        return instrument, seq, trade

    def trades_json(
        self, instrument: int, limit: int, before: str | None, detailed: bool
    ) -> bytes | None:
        trades = self.history
        if before is not None:
            match = re.fullmatch("0-([0-9]+)-([0-9]+)", before)
            if match is None:
                return None
            place = int(match[1]), int(match[2])
            trades = [each for each in trades if (json.loads(each)["sequence"], 0) < place]
        newest = trades[::-1][:limit]
        return b'{"instrument":"X","count":%d,"trades":[%b]}' % (len(newest), b",".join(newest))

    def trades_forgotten(self, instrument: int) -> bool:
        return self.forgets


class Receiver:
    """A consumer that remembers what it got; `reads` off lets its buffer fill."""

    def __init__(self, cost: Callable[[], None] | None = None) -> None:
        self.frames: list[bytes] = []
        self.unread = 0
        self.reads = True
        self.closed = False
        self._cost = cost
        self._messages: list[dict[str, Any]] = []
        self._read = 0

    def push(self, frame: bytes) -> None:
        if self._cost:
            self._cost()
        self.frames.append(frame)
        if not self.reads:
            self.unread += len(frame)

    def buffered(self) -> int:
        return self.unread

    def overflow(self, buffered_bytes: int, limit_bytes: int) -> None:
        self.closed = True

    def read_all(self) -> None:
        self.reads = True
        self.unread = 0

    @property
    def messages(self) -> list[dict[str, Any]]:
        for frame in self.frames[self._read :]:
            self._messages.extend(parse_frames(frame))
        self._read = len(self.frames)
        return self._messages

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in self.messages if each["type"] == kind]


def parse_frames(raw: bytes) -> list[dict[str, Any]]:
    """The messages in any number of a server's text frames."""
    found = []
    while raw:
        assert raw[0] == 0x81, raw[:10]
        length, begin = raw[1], 2
        if length == 126:
            length, begin = int.from_bytes(raw[2:4], "big"), 4
        elif length == 127:
            length, begin = int.from_bytes(raw[2:10], "big"), 10
        found.append(json.loads(raw[begin : begin + length]))
        raw = raw[begin + length :]
    return found


class BookModel:
    """What a client holds that applies snapshots and deltas by the contract."""

    def __init__(self) -> None:
        self.sequence = -1
        self.levels: Levels = {}
        self.gaps = 0

    def apply(self, message: dict[str, Any]) -> None:
        if message["type"] == "orderbook_snapshot":
            self.levels = {"bids": {}, "asks": {}}
        elif message["prev_sequence"] != self.sequence:
            self.gaps += 1
            return
        self.sequence = message["sequence"]
        for side in ("bids", "asks"):
            for level in message[side]:
                self.levels[side][level["price"]] = level["quantity"]
                if not level["quantity"]:
                    del self.levels[side][level["price"]]
