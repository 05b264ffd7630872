"""The channel `candles`: the last candles, and then each change of the newest at the publish tick.

A candle is sent whole whenever it changed, so that a consumer only ever keeps the newest one for
each time. It is `final` when a command at or behind the end of its bucket was applied: the
commands' own time decides. Where the market is silent the heartbeat says so for display, by the
wall clock; should a batch that was on its way still bring a trade of that bucket, the candle comes
again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from novate.analytics.candles import SECOND_NS, Candles
from novate.analytics.decimals import Amounts
from novate.analytics.intervals import interval_text
from novate.analytics.rendering import candle_json, time_text
from novate.model.instrument import Instrument
from novate.streams import frames
from novate.streams.bars import Bar
from novate.streams.candle_window import CandleWindow
from novate.streams.consumers import Consumer, Frame
from novate.streams.subscriptions import SnapshotFeed

SNAPSHOT_CANDLES: Final = 100
"""Candles of a snapshot; `GET /market/candles` gives up to 1,000."""

Conflate = Callable[[SnapshotFeed], Callable[[Consumer], None]]


@dataclass(eq=False, slots=True)
class CandleFeed(SnapshotFeed):
    """The subscribers of one instrument's candles of one length.

    Attributes:
        bar: The newest candle, None before the first trade.
        final: Whether its bucket is over.
        changed: Whether it is to be sent.
        ended: Candles that ended since the last tick and were not sent as final yet, oldest first.
        published: Sequence of the last message.
    """

    instrument: int
    name: str
    interval_s: int
    amounts: Amounts
    published: int
    bar: Bar | None = None
    final: bool = False
    changed: bool = False
    ended: list[Bar] = field(default_factory=list)
    live: dict[Consumer, None] = field(default_factory=dict)
    waiting: dict[Consumer, None] = field(default_factory=dict)
    lagging: dict[Consumer, None] = field(default_factory=dict)

    def take(self, bar: Bar) -> None:
        """Take in what was traded in a second."""
        start_s = bar.start_s // self.interval_s * self.interval_s
        if self.bar is not None and self.bar.start_s == start_s:
            self.bar.add(bar)
        else:
            if self.bar is not None and not self.final:
                self.ended.append(self.bar)
            self.bar = bar.starting(start_s)
        self.final = False
        self.changed = True

    def end_by(self, time_ns: int) -> None:
        """The newest candle is final if its bucket is over at that time."""
        if self.bar is not None and not self.final:
            self.final = (self.bar.start_s + self.interval_s) * SECOND_NS <= time_ns
            self.changed |= self.final


class CandleChannel:
    """The candles of one partition.

    Args:
        window: What they are made of.
        room_bytes: Unsent bytes past which a consumer gets a new snapshot when it has drained.
    """

    def __init__(self, window: CandleWindow, room_bytes: int) -> None:
        self._window = window
        self._room = room_bytes
        self._feeds: dict[tuple[int, int], CandleFeed] = {}
        self._by_instrument: dict[int, list[CandleFeed]] = {}
        window.on_bar = self._take

    def __bool__(self) -> bool:
        return bool(self._feeds)

    def subscribe(self, consumer: Consumer, instrument: Instrument, interval_ns: int) -> None:
        """Follow candles: a snapshot at the next tick, changes from there on."""
        key = (instrument.index, interval_ns)
        feed = self._feeds.get(key)
        if feed is None:
            self._window.fold()
            interval_s = interval_ns // SECOND_NS
            feed = CandleFeed(
                instrument.index,
                instrument.name,
                interval_s,
                Amounts(instrument),
                self._window.sequence,
                self._window.bucket(instrument.index, interval_s),
            )
            feed.end_by(self._window.time_ns)
            feed.changed = False
            self._feeds[key] = feed
            self._by_instrument.setdefault(instrument.index, []).append(feed)
        feed.await_snapshot(consumer)

    def unsubscribe(self, consumer: Consumer, instrument: int, interval_ns: int) -> bool:
        """True if it was subscribed."""
        feed = self._feeds.get((instrument, interval_ns))
        if feed is None:
            return False
        known = feed.remove(consumer)
        if feed.is_empty():
            del self._feeds[instrument, interval_ns]
            self._by_instrument[instrument].remove(feed)
            if not self._by_instrument[instrument]:
                del self._by_instrument[instrument]
        return known

    def leave(self, consumer: Consumer) -> None:
        """The consumer has gone."""
        for instrument, interval_ns in list(self._feeds):
            self.unsubscribe(consumer, instrument, interval_ns)

    def feeds(self) -> Iterator[CandleFeed]:
        """Every feed."""
        return iter(self._feeds.values())

    def _take(self, instrument: int, bar: Bar) -> None:
        for feed in self._by_instrument.get(instrument, ()):
            feed.take(bar)

    def end_by_clock(self, unix_seconds: float) -> None:
        """Say that buckets are over by the wall clock: for display, where nothing happens."""
        self._window.fold()
        for feed in self._feeds.values():
            feed.end_by(int(unix_seconds * SECOND_NS))

    def frames(self, conflate: Conflate) -> list[Frame]:
        """What goes out at a tick: to each feed its changes, and snapshots to those who wait.

        Args:
            conflate: Gives what becomes of a consumer of a feed that reads too slowly.
        """
        self._window.fold()
        made = []
        for feed in self._feeds.values():
            feed.end_by(self._window.time_ns)
            if feed.changed:
                content = self._changes(feed)
                if feed.live:
                    made.append(Frame(content, feed.live, self._room, conflate(feed)))
            if feed.waiting:
                content = self._snapshot(feed)
                waiting, feed.waiting = feed.waiting, {}
                feed.live.update(waiting)
                made.append(Frame(content, feed.live, self._room, conflate(feed), waiting))
        return made

    def _changes(self, feed: CandleFeed) -> bytes:
        assert feed.bar is not None
        each = [self._candle(feed, bar, True) for bar in feed.ended]
        each.append(self._candle(feed, feed.bar, feed.final))
        content = frames.candles(
            feed.name, interval_text(feed.interval_s * SECOND_NS), self._window.sequence,
            feed.published, each,
        )  # fmt: skip
        feed.ended.clear()
        feed.changed = False
        feed.published = self._window.sequence
        return content

    def _candle(self, feed: CandleFeed, bar: Bar, final: bool) -> bytes:
        return candle_json(
            feed.amounts,
            bar.start_s * SECOND_NS,
            (bar.open, bar.high, bar.low, bar.close),
            (bar.volume, bar.notional, bar.count),
            final,
            self._window.is_complete(feed.instrument, bar.start_s),
        )

    def _snapshot(self, feed: CandleFeed) -> bytes:
        interval_ns = feed.interval_s * SECOND_NS
        over_ns = self._window.time_ns
        if feed.bar is not None and feed.final:  # perhaps by the clock
            over_ns = max(over_ns, (feed.bar.start_s + feed.interval_s) * SECOND_NS)
        found = self._window.candles(feed.instrument, interval_ns, SNAPSHOT_CANDLES)
        is_complete = partial(self._window.is_complete, feed.instrument)
        each = candles_json(found, feed.amounts, over_ns, is_complete)
        complete_from = complete_text(self._window.complete_s(feed.instrument))
        name, length = feed.name, interval_text(interval_ns)
        return frames.candles_snapshot(name, length, feed.published, complete_from, each)


def candles_json(
    found: Candles, amounts: Amounts, over_ns: int, is_complete: Callable[[int], bool]
) -> list[bytes]:
    """Candles as JSON objects, oldest first.

    Args:
        found: The candles.
        amounts: Of their instrument.
        over_ns: Those that end by this time are final.
        is_complete: Whether every trade of the one that begins at a second is in it.
    """
    rows = zip(
        found.start_ns.tolist(), found.open_ticks.tolist(), found.high_ticks.tolist(),
        found.low_ticks.tolist(), found.close_ticks.tolist(), found.volume_lots.tolist(),
        found.notional.tolist(), found.trade_count.tolist(), strict=True,
    )  # fmt: skip
    return [
        candle_json(
            amounts,
            start,
            (first, high, low, last),
            (volume, notional, count),
            start + found.interval_ns <= over_ns,
            is_complete(start // SECOND_NS),
        )
        for start, first, high, low, last, volume, notional, count in rows
    ]


def complete_text(complete_s: int | None) -> bytes:
    """Since when a window is complete, as JSON; null: from the first trade there was."""
    return b"null" if complete_s is None else time_text(complete_s * SECOND_NS)
