"""Publishes what was applied: books, trades and orders, encoded once for all subscribers.

Books and trades are published at ticks: each `publish_interval_ms` while something changes, or
later when sending takes long, so that no more than a share of the loop's time goes into it. A
snapshot is made at a tick, right after the deltas of that tick were taken, and so bears the
sequence that was last published. Order updates go out with the batch that made them.

It reads the engine through its reporter and is fed by applied batches; it never reaches the writer.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from novate.model.instrument import Instrument
from novate.streams import frames
from novate.streams.account_channel import AccountChannel, AccountFeed
from novate.streams.candle_channel import CandleChannel
from novate.streams.candle_window import CandleWindow
from novate.streams.consumers import Consumer, Fanout, Frame, Job
from novate.streams.sources import (
    AppliedBatch,
    BookReader,
    StreamCounters,
    StreamSettings,
    TimerHandle,
    Timers,
)
from novate.streams.subscriptions import (
    BookFeed,
    OrderFeed,
    OrderKey,
    SnapshotFeed,
    StateFeed,
    TradeFeed,
)

COST_MULTIPLE = 3
"""A tick begins no sooner after the one before than this times what publishing that one took. Most
of what a tick costs may be trades, which a longer interval makes no fewer: a higher multiple would
then stretch it without end."""

REPLAY_TRADES_MAX = 1000
LAGGING_CHECK_SECONDS = 0.05


class _TradeMark(msgspec.Struct):
    trade_id: str
    sequence: int


class _TradeList(msgspec.Struct):
    trades: list[msgspec.Raw]


_decode_trades = msgspec.json.Decoder(_TradeList).decode
_decode_mark = msgspec.json.Decoder(_TradeMark).decode


class Publisher:
    """The streams of one partition. All calls come from the event loop's thread.

    Args:
        reporter: Reads the engine; its watches and `want_updates` are set here alone.
        timers: The event loop.
        settings: Intervals and buffer sizes.
        counters: The metrics.
        clock: Monotonic seconds.
        wall_clock: Unix seconds, for heartbeats.
        window: What candles are made of.
        accounts: The channel of accounts, None: there is none.
    """

    def __init__(
        self,
        reporter: BookReader,
        timers: Timers,
        settings: StreamSettings,
        counters: StreamCounters,
        clock: Callable[[], float] = time.perf_counter,
        wall_clock: Callable[[], float] = time.time,
        window: CandleWindow | None = None,
        accounts: AccountChannel | None = None,
    ) -> None:
        self._reporter = reporter
        self._timers = timers
        self._settings = settings
        self._counters = counters
        self._clock = clock
        self._wall_clock = wall_clock
        self._interval = settings.publish_interval_ms / 1000
        self._stretch_max = max(settings.publish_interval_ms_max / 1000, self._interval)
        self._room = settings.websocket_buffer_bytes
        self._consumers: dict[Consumer, None] = {}
        self._books: dict[int, BookFeed] = {}
        self._trades: dict[int, TradeFeed] = {}
        self._orders: dict[OrderKey, OrderFeed] = {}
        self._updates_kept = False
        self._states: dict[int, StateFeed] = {}
        self._candles = CandleChannel(window or CandleWindow(timers, 1, 1), self._room)
        self._orders_pending: dict[OrderFeed, None] = {}
        self.accounts = accounts
        self._fanout = Fanout(clock, timers.call_later, self._on_sent)
        self._tick_begun = self._tick_due = clock()
        self._ticking = False  # while sending: a tick is among what is sent
        self._building = 0.0  # seconds that making the jobs of that tick took
        self._tick_timer: TimerHandle | None = None
        self._tick_wanted = False  # while sending: a tick is to follow
        self._lag_timer: TimerHandle | None = None
        self._heartbeat_timer: TimerHandle | None = None

    # --- who listens ------------------------------------------------------------------------------

    def join(self, consumer: Consumer) -> None:
        """A session begins: it gets heartbeats."""
        self._consumers[consumer] = None
        if self._heartbeat_timer is None:
            self._schedule_heartbeat()

    def leave(self, consumer: Consumer) -> None:
        """A session has ended: it gets nothing any more."""
        self._consumers.pop(consumer, None)
        for instrument in list(self._books):
            self.unsubscribe_book(consumer, instrument)
        for instrument in list(self._trades):
            self.unsubscribe_trades(consumer, instrument)
        for key in list(self._orders):
            self.unsubscribe_orders(consumer, *key)
        for instrument in list(self._states):
            self.unsubscribe_state(consumer, instrument)
        self._candles.leave(consumer)
        if self.accounts is not None:
            self.accounts.leave(consumer)

    def subscribe_book(self, consumer: Consumer, instrument: int, name: str) -> None:
        """Follow a book: a snapshot at the next tick, deltas from there on.

        For a consumer that follows it already this is the way to a new snapshot (resync).
        """
        feed = self._books.get(instrument)
        if feed is None:
            feed = self._books[instrument] = BookFeed(instrument, name)
            self._reporter.watch_book(instrument, True)
        feed.await_snapshot(consumer)
        self._want_tick()

    def unsubscribe_book(self, consumer: Consumer, instrument: int) -> bool:
        """True if it was subscribed."""
        feed = self._books.get(instrument)
        if feed is None:
            return False
        known = feed.remove(consumer)
        if feed.is_empty():
            del self._books[instrument]
            self._reporter.watch_book(instrument, False)
        return known

    def follows_book(self, consumer: Consumer, instrument: int) -> bool:
        """True if it is subscribed."""
        feed = self._books.get(instrument)
        return feed is not None and consumer in feed

    def subscribe_trades(self, consumer: Consumer, instrument: int, name: str) -> int:
        """Follow an instrument's trades; gives the sequence that the next message follows on."""
        feed = self._trades.get(instrument)
        if feed is None:
            feed = TradeFeed(instrument, name, self._reporter.engine.last_seq)
            self._trades[instrument] = feed
        feed.members[consumer] = None
        return feed.published

    def may_replay(self, instrument: int, trade_id: str) -> bool:
        """Whether an id is of a trade in memory, or of one that may have left it."""
        if not (trade_id.isascii() and trade_id.isprintable()):
            return False
        if self._reporter.trades_json(instrument, 1, trade_id, False) is None:
            return False
        head, _, index = trade_id.rpartition("-")
        latest = self._reporter.trades_json(instrument, 1, f"{head}-{int(index) + 1}", False)
        if latest is None or b'"trade_id"' in latest:
            return b'"trade_id":"%b"' % trade_id.encode() in (latest or b"")
        return self._reporter.trades_forgotten(instrument)

    def replay_trades(self, consumer: Consumer, instrument: int, from_trade_id: str) -> None:
        """Send the trades after `from_trade_id` up to where the consumer's stream begins.

        At most 1,000, the newest; `complete` in the message is false where the id is not among
        them. For a consumer that has just subscribed to the trades.
        """
        feed = self._trades[instrument]
        body = self._reporter.trades_json(instrument, REPLAY_TRADES_MAX, None, False)
        each, complete = _trades_after(body or b'{"trades":[]}', from_trade_id, feed.published)
        each = [frames.public_trade(trade) for trade in each]
        consumer.push(frames.trades_replay(feed.name, feed.published, complete, each))

    def unsubscribe_trades(self, consumer: Consumer, instrument: int) -> bool:
        """True if it was subscribed."""
        feed = self._trades.get(instrument)
        if feed is None or consumer not in feed.members:
            return False
        del feed.members[consumer]
        if not feed.members:
            del self._trades[instrument]
        return True

    def subscribe_orders(
        self, consumer: Consumer, instrument: int, name: str, client_id: str | None
    ) -> None:
        """Follow the orders of one client, or of all, in an instrument."""
        feed = self._orders.get((instrument, client_id))
        if feed is None:
            feed = self._orders[instrument, client_id] = OrderFeed(name)
        feed.members[consumer] = None
        self._reporter.want_updates = True

    def unsubscribe_orders(
        self, consumer: Consumer, instrument: int, client_id: str | None
    ) -> bool:
        """True if it was subscribed."""
        feed = self._orders.get((instrument, client_id))
        if feed is None or consumer not in feed.members:
            return False
        del feed.members[consumer]
        if not feed.members:
            del self._orders[instrument, client_id]
            self._reporter.want_updates = self._updates_kept or bool(self._orders)
        return True

    def keep_updates(self, wanted: bool) -> None:
        """Have order updates rendered though nobody subscribes to them, for another reader."""
        self._updates_kept = wanted
        self._reporter.want_updates = wanted or bool(self._orders)

    def subscribe_state(self, consumer: Consumer, instrument: int, name: str) -> None:
        """Follow an instrument's phases and auctions: at the next tick how it stands, then on."""
        feed = self._states.get(instrument)
        if feed is None:
            feed = self._states[instrument] = StateFeed(instrument, name)
        feed.waiting[consumer] = None
        self._want_tick()

    def unsubscribe_state(self, consumer: Consumer, instrument: int) -> bool:
        """True if it was subscribed."""
        feed = self._states.get(instrument)
        if feed is None or not (consumer in feed.members or consumer in feed.waiting):
            return False
        feed.members.pop(consumer, None)
        feed.waiting.pop(consumer, None)
        if not feed.members and not feed.waiting:
            del self._states[instrument]
        return True

    def subscribe_candles(
        self, consumer: Consumer, instrument: Instrument, interval_ns: int
    ) -> None:
        """Follow an instrument's candles of a length in whole seconds: the last ones, then on."""
        self._candles.subscribe(consumer, instrument, interval_ns)
        self._want_tick()

    def unsubscribe_candles(self, consumer: Consumer, instrument: int, interval_ns: int) -> bool:
        """True if it was subscribed."""
        return self._candles.unsubscribe(consumer, instrument, interval_ns)

    def subscribe_account(self, consumer: Consumer, client_id: str) -> None:
        """Follow a client's accounts: at once how they stand, then each change."""
        assert self.accounts is not None
        self.accounts.subscribe(consumer, client_id)
        # Not from within a batch, whose changes are not gathered yet.
        self._timers.call_later(0.0, self._send_orders)

    def unsubscribe_account(self, consumer: Consumer, client_id: str) -> bool:
        """True if it was subscribed."""
        return self.accounts is not None and self.accounts.unsubscribe(consumer, client_id)

    def close(self) -> None:
        """Stop the timers; nothing is published any more."""
        for timer in (self._tick_timer, self._lag_timer, self._heartbeat_timer):
            if timer is not None:
                timer.cancel()

    # --- what happened ----------------------------------------------------------------------------

    def on_part(
        self, trades: list[tuple[int, int, bytes]], updates: list[tuple[int, int, str, bytes]]
    ) -> None:
        """Take a part of what a batch did that is being applied; nothing of it goes out yet."""
        if self._orders and updates:
            self._gather_updates(updates)
        if self._trades and trades:
            self._gather_trades(trades)

    def on_applied(self, applied: AppliedBatch) -> None:
        """Take what a durable batch did; called in the order of sequence, right after it."""
        self.on_part(applied.trades, applied.updates)
        if self.accounts:
            for feed in self.accounts.gather(applied, self._settings.websocket_buffer_bytes_max):
                self._give_up(feed)
        self._send_orders()
        if self._trades and applied.busts:
            self._gather_busts(applied.busts)
        if self._states and applied.changes:
            self._gather_changes(applied.changes)
        if self._books or self._trades or self._states or self._candles:
            if self._interval or self._fanout.running or self._clock() < self._tick_due:
                self._want_tick()
            else:
                self._tick()

    def _gather_trades(self, trades: list[tuple[int, int, bytes]]) -> None:
        for instrument, seq, trade in trades:
            feed = self._trades.get(instrument)
            if feed is not None:
                public = frames.public_trade(trade)
                feed.pending.append(public)
                feed.pending_seq = seq
                feed.pending_bytes += len(public)
                if feed.pending_bytes > self._settings.websocket_buffer_bytes_max:
                    self._give_up(feed)

    def _gather_busts(self, busts: list[tuple[int, int, bytes]]) -> None:
        for instrument, seq, members in busts:
            feed = self._trades.get(instrument)
            if feed is not None:
                frame = frames.trade_busted(feed.name, seq, members)
                feed.busts.append(frame)
                feed.pending_bytes += len(frame)
                if feed.pending_bytes > self._settings.websocket_buffer_bytes_max:
                    self._give_up(feed)

    def _gather_changes(self, changes: list[tuple[int, int, bytes]]) -> None:
        for instrument, seq, members in changes:
            feed = self._states.get(instrument)
            if feed is not None:
                feed.pending.append(frames.instrument_state(feed.name, seq, members))

    def _gather_updates(self, updates: list[tuple[int, int, str, bytes]]) -> None:
        for instrument, seq, client_id, order in updates:
            frame = b""
            for key in ((instrument, None), (instrument, client_id)):
                feed = self._orders.get(key)
                if feed is not None:
                    frame = frame or frames.order_update(feed.name, seq, order)
                    feed.pending.append(frame)
                    feed.pending_bytes += len(frame)
                    self._orders_pending[feed] = None
                    if feed.pending_bytes > self._settings.websocket_buffer_bytes_max:
                        self._give_up(feed)
                        del self._orders_pending[feed]

    # --- what goes out ----------------------------------------------------------------------------

    def _want_tick(self) -> None:
        """Have a tick as soon as it is due; every tick before that one is the same tick."""
        if self._fanout.running:
            self._tick_wanted = True
        elif self._tick_timer is None:
            delay = max(self._tick_due - self._clock(), 0.0)
            self._tick_timer = self._timers.call_later(delay, self._tick)

    def _tick(self) -> None:
        if self._tick_timer is not None:
            self._tick_timer.cancel()
            self._tick_timer = None
        if self._fanout.running:
            self._tick_wanted = True
            return
        self._tick_begun = self._clock()
        deltas, trades = self._delta_frames(), self._trade_frames()
        jobs = [Job(frame, trades.pop(instrument, None)) for instrument, frame in deltas.items()]
        jobs += [Job(frame) for frame in (*self._snapshot_frames(), *trades.values())]
        jobs += [Job(frame) for feed in self._states.values() for frame in self._state_frames(feed)]
        if self._candles:
            jobs += [Job(frame) for frame in self._candle_frames()]
        self._ticking = bool(jobs)
        self._building = self._clock() - self._tick_begun
        self._fanout.start(jobs)
        self._watch_lagging()

    def _delta_frames(self) -> dict[int, Frame]:
        made = {}
        for instrument, sequence, bids, asks in self._reporter.take_deltas():
            feed = self._books.get(instrument)
            if feed is None or sequence == feed.published:
                continue
            if feed.live:
                content = frames.book_delta(feed.name, sequence, feed.published, bids, asks)
                made[instrument] = Frame(content, feed.live, self._room, self._conflate(feed))
            feed.published = sequence
        return made

    def _snapshot_frames(self) -> list[Frame]:
        """The deltas up to now are taken, so the book as it is now bears the sequence published."""
        made = []
        for feed in self._books.values():
            self._revive(feed)
            if not feed.waiting:
                continue
            sequence, bids, asks = self._reporter.book_json(feed.instrument)
            if feed.published < 0:
                feed.published = sequence
            content = frames.book_snapshot(feed.name, feed.published, bids, asks)
            waiting, feed.waiting = feed.waiting, {}
            feed.live.update(waiting)
            self._counters.stream_snapshots += len(waiting)
            made.append(Frame(content, feed.live, self._room, self._conflate(feed), waiting))
        return made

    def _trade_frames(self) -> dict[int, Frame]:
        made = {}
        for feed in self._trades.values():
            if feed.pending or feed.busts:
                content = b""
                if feed.pending:
                    content = frames.trades(
                        feed.name, feed.pending_seq, feed.published, feed.pending
                    )
                    feed.published = feed.pending_seq
                content = b"".join((content, *feed.busts))
                feed.pending.clear()
                feed.busts.clear()
                feed.pending_bytes = 0
                made[feed.instrument] = self._sure_frame(content, feed.members)
        return made

    def _state_frames(self, feed: StateFeed) -> list[Frame]:
        """What changed, and in an auction what it would give, where that is news."""
        made = []
        sequence = self._reporter.engine.last_seq
        if feed.pending:
            made.append(self._sure_frame(b"".join(feed.pending), feed.members))
            feed.pending.clear()
        indicative = self._reporter.auction_json(feed.instrument) or b""
        if indicative and indicative != feed.indicative and feed.members:
            content = frames.auction_indicative(feed.name, sequence, indicative)
            made.append(Frame(content, feed.members, self._room, _skip))
        feed.indicative = indicative
        if feed.waiting:
            members = self._reporter.state_members(feed.instrument)
            content = frames.instrument_state(feed.name, sequence, members)
            waiting, feed.waiting = feed.waiting, {}
            feed.members.update(waiting)
            made.append(Frame(content, feed.members, self._room, _skip, waiting))
        return made

    def _candle_frames(self) -> list[Frame]:
        for feed in self._candles.feeds():
            self._revive(feed)
        return self._candles.frames(self._conflate)

    def _send_orders(self) -> None:
        """Begin to send what leaves with its batch; later, if something is being sent."""
        ready = self._orders_pending or (self.accounts is not None and self.accounts.has_ready)
        if ready and not self._fanout.running:
            self._fanout.start(self._order_jobs())

    def _order_jobs(self) -> list[Job]:
        jobs = []
        for feed in self._orders_pending:
            jobs.append(Job(self._sure_frame(b"".join(feed.pending), feed.members)))
            feed.pending.clear()
            feed.pending_bytes = 0
        self._orders_pending.clear()
        if self.accounts is not None:
            jobs += [Job(frame) for frame in self.accounts.frames(self._sure_frame)]
        return jobs

    def _sure_frame(
        self,
        content: bytes,
        members: dict[Consumer, None],
        receivers: dict[Consumer, None] | None = None,
    ) -> Frame:
        """A frame that nobody meant by it may miss: who has no room for it is closed."""
        room = self._settings.websocket_buffer_bytes_max - len(content)
        return Frame(content, members, max(room, 0), self._close_slow, receivers)

    def _on_sent(self, seconds: float) -> None:
        """Say when the next tick is due, and go on with what waited for the sending to end."""
        self._counters.stream_messages = self._fanout.messages
        if self._ticking:
            self._ticking = False
            stretched = min(COST_MULTIPLE * (seconds + self._building), self._stretch_max)
            self._tick_due = self._tick_begun + max(self._interval, stretched)
            self._watch_lagging()
        self._send_orders()
        if self._tick_wanted and not self._fanout.running:
            self._tick_wanted = False
            self._want_tick()

    # --- slow consumers ---------------------------------------------------------------------------

    def _conflate(self, feed: SnapshotFeed) -> Callable[[Consumer], None]:
        def fall_behind(consumer: Consumer) -> None:
            feed.fall_behind(consumer)
            self._counters.consumers_conflated += 1

        return fall_behind

    def _close_slow(self, consumer: Consumer) -> None:
        self._counters.consumers_closed += 1
        self.leave(consumer)
        consumer.overflow(consumer.buffered(), self._settings.websocket_buffer_bytes_max)

    def _give_up(self, feed: TradeFeed | OrderFeed | AccountFeed) -> None:
        """More happens than can be sent: nobody here can be kept without a loss."""
        for consumer in list(feed.members):
            self._close_slow(consumer)
        feed.pending.clear()
        feed.pending_bytes = 0

    def _revive(self, feed: SnapshotFeed) -> None:
        """Those who have drained to half the buffer get a new snapshot."""
        for consumer in list(feed.lagging):
            if consumer.buffered() <= self._room // 2:
                feed.await_snapshot(consumer)

    def _watch_lagging(self) -> None:
        """Look again soon, even if the market falls silent."""
        feeds = (*self._books.values(), *self._candles.feeds())
        if self._lag_timer is None and any(feed.lagging for feed in feeds):
            self._lag_timer = self._timers.call_later(LAGGING_CHECK_SECONDS, self._check_lagging)

    def _check_lagging(self) -> None:
        self._lag_timer = None
        self._want_tick()

    # --- heartbeats -------------------------------------------------------------------------------

    def _schedule_heartbeat(self) -> None:
        delay = self._settings.heartbeat_seconds
        self._heartbeat_timer = self._timers.call_later(delay, self._heartbeat)

    def _heartbeat(self) -> None:
        self._heartbeat_timer = None
        if self._consumers:
            content = frames.heartbeat(self._wall_clock())
            self._fanout.start([Job(Frame(content, self._consumers, self._room, _skip))])
            self._schedule_heartbeat()
        if self._candles:
            self._candles.end_by_clock(self._wall_clock())
            self._want_tick()


def _skip(_consumer: Consumer) -> None:
    """Whoever has much to read already knows that we live."""


def _trades_after(body: bytes, trade_id: str, sequence_max: int) -> tuple[list[bytes], bool]:
    """Trades later than an id up to `sequence_max`, oldest first; False if the id is not there.

    `body` lists the newest first.
    """
    later: list[bytes] = []
    complete = False
    for each in _decode_trades(body).trades:
        mark = _decode_mark(each)
        if mark.trade_id == trade_id:
            complete = True
            break
        if mark.sequence <= sequence_max:
            later.append(bytes(each))
    later.reverse()
    return later, complete
