"""The names of the channels, and per channel and instrument the consumers that follow it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from novate.streams.consumers import Consumer


class Channel(Enum):
    """What can be subscribed to; the value is the name that replies use."""

    BOOK = "orderbook_deltas"
    TRADES = "trades"
    ORDERS = "orders"
    STATE = "instrument_state"
    CANDLES = "candles"
    ACCOUNT = "account"


_NAMES = {
    "orderbook_deltas": Channel.BOOK,
    "orderbook": Channel.BOOK,
    "book": Channel.BOOK,
    "trades": Channel.TRADES,
    "orders": Channel.ORDERS,
    "instrument_state": Channel.STATE,
    "instrument": Channel.STATE,
    "candles": Channel.CANDLES,
    "account": Channel.ACCOUNT,
}

CHANNEL_NAMES = (
    "orderbook_deltas, orderbook, book.INSTRUMENT, trades, trades.INSTRUMENT, orders, "
    "instrument_state, instrument.INSTRUMENT, candles, candles.INSTRUMENT, account"
)


def parse_channel(name: str) -> tuple[Channel, str | None] | None:
    """The channel a name means and the instrument in it, None where it has none.

    `book.BTC-USD` is the book of BTC-USD; an account is of no instrument. The answer is None for an
    unknown name.
    """
    head, dot, instrument = name.partition(".")
    channel = _NAMES.get(head)
    if channel is None or (dot and (not instrument or channel is Channel.ACCOUNT)):
        return None
    return channel, instrument or None


class SnapshotFeed:
    """The subscribers of something that begins with a snapshot, and goes on with changes.

    A consumer stands in one of three: `live` gets changes, `waiting` gets a snapshot at the next
    tick, `lagging` read too slowly and waits until it has drained.
    """

    __slots__ = ()

    live: dict[Consumer, None]
    waiting: dict[Consumer, None]
    lagging: dict[Consumer, None]

    def __contains__(self, consumer: Consumer) -> bool:
        return consumer in self.live or consumer in self.waiting or consumer in self.lagging

    def await_snapshot(self, consumer: Consumer) -> None:
        """The consumer (new or known) gets a snapshot at the next tick, and no change before."""
        self.remove(consumer)
        self.waiting[consumer] = None

    def fall_behind(self, consumer: Consumer) -> None:
        """The consumer gets no more changes until it has drained."""
        self.live.pop(consumer, None)
        self.lagging[consumer] = None

    def remove(self, consumer: Consumer) -> bool:
        """True if it was there."""
        known = consumer in self
        for group in (self.live, self.waiting, self.lagging):
            group.pop(consumer, None)
        return known

    def is_empty(self) -> bool:
        """True when nobody follows it any more."""
        return not (self.live or self.waiting or self.lagging)


@dataclass(eq=False, slots=True)
class BookFeed(SnapshotFeed):
    """The subscribers of one book.

    Attributes:
        published: Sequence last published, -1 before the first.
    """

    instrument: int
    name: str
    published: int = -1
    live: dict[Consumer, None] = field(default_factory=dict)
    waiting: dict[Consumer, None] = field(default_factory=dict)
    lagging: dict[Consumer, None] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class TradeFeed:
    """The subscribers of one instrument's trades.

    Attributes:
        published: Sequence of the last message, or, before the first, the sequence up to which
            nothing is to be published.
        pending: Trades (JSON) that the next message will bear, oldest first.
        pending_seq: Sequence of the newest of them.
        pending_bytes: Their size, and that of `busts`.
        busts: Trades taken back (frames), which go out behind them.
    """

    instrument: int
    name: str
    published: int
    pending: list[bytes] = field(default_factory=list)
    busts: list[bytes] = field(default_factory=list)
    pending_seq: int = 0
    pending_bytes: int = 0
    members: dict[Consumer, None] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class OrderFeed:
    """The subscribers of one instrument's order updates, of one client or of all.

    Attributes:
        pending: Frames that wait for the sending before them to end, oldest first.
        pending_bytes: Their size.
    """

    name: str
    pending: list[bytes] = field(default_factory=list)
    pending_bytes: int = 0
    members: dict[Consumer, None] = field(default_factory=dict)


OrderKey = tuple[int, str | None]
"""Instrument, and the client whose orders are shown or None for everyone's."""


@dataclass(eq=False, slots=True)
class StateFeed:
    """The subscribers of an instrument's phases and auctions.

    Attributes:
        indicative: What was last said of the uncross that would be now; b"": nothing.
        pending: Changes (frames) that go out with the next tick, oldest first.
        waiting: New subscribers, who are told how things stand at the next tick.
    """

    instrument: int
    name: str
    indicative: bytes = b""
    pending: list[bytes] = field(default_factory=list)
    members: dict[Consumer, None] = field(default_factory=dict)
    waiting: dict[Consumer, None] = field(default_factory=dict)
