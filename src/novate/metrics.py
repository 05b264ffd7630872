"""Metrics: plain numbers on the hot path, made into Prometheus' text when it is asked for.

Owns every metric's name, labels and buckets. What others know (trades, depth, lag, queue) is read
from them at that moment, and nothing is kept twice.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from novate.model.instrument import Instrument

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

ORDER_LATENCY_BUCKETS: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
)  # fmt: skip
COMMIT_BUCKETS: Final = (
    0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0,
)  # fmt: skip
BATCH_SIZE_BUCKETS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3)


class Histogram:
    """Counts of observations by upper bound, cheap to add to."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value; a bucket holds what is at most its bound."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def family(self, name: str, documentation: str) -> HistogramMetricFamily:
        """The histogram in Prometheus' words: cumulative counts."""
        buckets = []
        cumulative = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            cumulative += count
            buckets.append(("+Inf" if bound == float("inf") else f"{bound:g}", cumulative))
        family = HistogramMetricFamily(name, documentation)
        family.add_metric([], buckets=buckets, sum_value=self.total)
        return family


class AppliedReplies(Protocol):
    """What metrics read of an applied batch."""

    @property
    def replies(self) -> list[tuple[int, bytes | None, int]]:
        """Status and body of each command's answer; status 0 for the repeat of a key."""


class _Refusal(msgspec.Struct):
    """Why: `reason` of a rejected order, `code` of a problem."""

    reason: str | None = None
    code: str | None = None


_decode_refusal = msgspec.json.Decoder(_Refusal).decode


class InstrumentEngine(Protocol):
    """What metrics ask of an engine."""

    def instruments(self) -> list[Instrument]:
        """Every instrument, by number."""


class CountingReporter(Protocol):
    """What metrics ask of a reporter."""

    @property
    def engine(self) -> InstrumentEngine:
        """The engine it reports of."""

    def counters(self, instrument: int, /) -> tuple[int, int, int, int, int]:
        """Trades, volume in lots, orders that got their first fill, bid levels, ask levels."""


class Metrics(Collector):
    """Every metric of one server.

    Args:
        reporter: Where trades and depth are read; None before there is one.
        instruments_max: Instruments with metrics of their own; the others count in the totals.

    Attributes:
        queue_depth: Gives the commands that wait.
        follower_lag: Gives the sequences the follower is behind; None where it is unknown.
        ledger_lag: Gives the sequences the ledger is behind; None where it is unknown.
        ledger_up: Whether the ledger is written.
        cutoff_missed: Whether the last cut-off closed no cycle, and none has closed since.
        log_lines_lost: Gives the log lines that could not be written.
        on_rejected: Told of each request that a gateway refused, as `rejected` is, for the log.
    """

    def __init__(
        self, reporter: CountingReporter | None = None, instruments_max: int = 1000
    ) -> None:
        self.reporter = reporter
        self.queue_depth: Callable[[], int] = _zero
        self.follower_lag: Callable[[], int | None] = _zero
        self.ledger_lag: Callable[[], int | None] = _none
        self.ledger_up: Callable[[], bool] = bool
        self.cutoff_missed: Callable[[], bool] = bool
        self.log_lines_lost: Callable[[], int] = _zero
        self.on_rejected: Callable[[str, str, str], None] | None = None
        self._instruments_max = instruments_max
        self._received: dict[tuple[str, str], int] = {}
        self._rejected: dict[str, int] = {}
        self._http: dict[tuple[str, int], int] = {}
        self.order_latency = Histogram(ORDER_LATENCY_BUCKETS)
        self.journal_commit = Histogram(COMMIT_BUCKETS)
        self.journal_batch = Histogram(BATCH_SIZE_BUCKETS)
        self.latency = self.order_latency.observe
        self.websocket_connections = 0
        self.stream_messages = 0
        self.stream_snapshots = 0
        self.consumers_conflated = 0
        self.consumers_closed = 0
        self.orders_unlogged = 0
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    # --- counting ---------------------------------------------------------------------------------

    def order_received(self, order_type: str, side: str, count: int = 1) -> None:
        """Orders came in, good or bad."""
        key = (order_type, side)
        self._received[key] = self._received.get(key, 0) + count

    def rejected(self, reason: str, field: str = "", client_id: str = "") -> None:
        """A gateway refused a request; what the engine refuses is counted by `on_applied`.

        Args:
            reason: Code of the problem.
            field: The first field that is wrong, "" for none.
            client_id: Who asked, "" where that is not known.
        """
        self._rejected[reason] = self._rejected.get(reason, 0) + 1
        if self.on_rejected is not None:
            self.on_rejected(reason, field, client_id)

    def on_applied(self, applied: AppliedReplies) -> None:
        """Count what the engine refused of a batch."""
        for status, body, _ in applied.replies:
            if status >= 400 and body is not None:
                refusal = _decode_refusal(body)
                reason = refusal.reason or refusal.code or "unknown"
                self._rejected[reason] = self._rejected.get(reason, 0) + 1

    def http(self, route: str, status: int) -> None:
        """A request was answered; `route` is the pattern, never the path."""
        key = (route, status)
        self._http[key] = self._http.get(key, 0) + 1

    def commit(self, seconds: float, batch_size: int) -> None:
        """A batch became durable."""
        self.journal_commit.observe(seconds)
        self.journal_batch.observe(batch_size)

    # --- reading ----------------------------------------------------------------------------------

    def render(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Everything, as Prometheus' client wants it."""
        yield from self._order_families()
        if self.reporter is not None:
            yield from self._market_families(self.reporter)
        yield self.order_latency.family(
            "order_latency_seconds", "From the request read to the reply written."
        )
        yield self.journal_commit.family(
            "journal_commit_seconds", "From a batch handed to the writer to its being durable."
        )
        yield self.journal_batch.family("journal_batch_size", "Commands written with one fsync.")
        yield from self._gauges()
        yield from self._stream_families()

    def _order_families(self) -> Iterator[Metric]:
        received = CounterMetricFamily(
            "orders_received", "Orders submitted, whatever became of them.", labels=["type", "side"]
        )
        for key, count in list(self._received.items()):
            received.add_metric(key, count)
        yield received
        rejected = CounterMetricFamily(
            "orders_rejected", "Requests refused, by validation or by rule.", labels=["reason"]
        )
        for reason, count in list(self._rejected.items()):
            rejected.add_metric([reason], count)
        yield rejected
        http = CounterMetricFamily(
            "http_requests", "HTTP requests answered.", labels=["route", "status"]
        )
        for (route, status), count in list(self._http.items()):
            http.add_metric([route, str(status)], count)
        yield http

    def _market_families(self, reporter: CountingReporter) -> Iterator[Metric]:
        matched = CounterMetricFamily(
            "orders_matched", "Orders that got their first fill.", labels=["instrument"]
        )
        depth = GaugeMetricFamily(
            "current_orderbook_depth",
            "Price levels of one side of a book.",
            labels=["instrument", "side"],
        )
        own_trades = CounterMetricFamily(
            "instrument_trades", "Trades of an instrument.", labels=["instrument"]
        )
        own_volume = CounterMetricFamily(
            "instrument_trade_volume",
            "Quantity traded of an instrument, in its base asset.",
            labels=["instrument"],
        )
        trades, volume = 0, 0.0
        for number, instrument in enumerate(reporter.engine.instruments()):
            count, lots, orders, bids, asks = reporter.counters(instrument.index)
            quantity = lots * instrument.lot_coefficient / 10**instrument.lot_exponent
            trades += count
            volume += quantity
            if number < self._instruments_max:
                matched.add_metric([instrument.name], orders)
                depth.add_metric([instrument.name, "buy"], bids)
                depth.add_metric([instrument.name, "sell"], asks)
                own_trades.add_metric([instrument.name], count)
                own_volume.add_metric([instrument.name], quantity)
        yield CounterMetricFamily("trades", "Trades.", value=trades)
        yield CounterMetricFamily(
            "trade_volume", "Quantity traded, base assets of all instruments summed.", value=volume
        )
        yield from (matched, depth, own_trades, own_volume)

    def _gauges(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "queue_depth", "Commands that wait for the journal.", value=self.queue_depth()
        )
        lag = self.follower_lag()
        if lag is not None:
            yield GaugeMetricFamily(
                "follower_lag_sequences", "Sequences the follower is behind.", value=lag
            )
        behind = self.ledger_lag()
        if behind is not None:
            yield GaugeMetricFamily(
                "ledger_lag_sequences", "Sequences the ledger is behind.", value=behind
            )
            yield GaugeMetricFamily(
                "ledger_up", "Whether the ledger is written.", value=self.ledger_up()
            )
        yield GaugeMetricFamily(
            "settlement_cutoff_missed",
            "Whether the last cut-off closed no cycle, and none has closed since.",
            value=self.cutoff_missed(),
        )
        yield GaugeMetricFamily(
            "websocket_connections", "Open WebSockets.", value=self.websocket_connections
        )

    def _stream_families(self) -> Iterator[Metric]:
        for name, text, value in (
            ("stream_messages", "Stream messages sent.", self.stream_messages),
            ("stream_snapshots", "Snapshots of books sent to subscribers.", self.stream_snapshots),
            (
                "stream_consumers_conflated",
                "Times a slow consumer lost deltas for a new snapshot.",
                self.consumers_conflated,
            ),
            ("stream_consumers_closed", "Consumers closed as too slow.", self.consumers_closed),
            ("order_log_lines_left_out", "Order log lines not written.", self.orders_unlogged),
            ("log_lines_lost", "Log lines that could not be written.", self.log_lines_lost()),
        ):
            yield CounterMetricFamily(name, text, value=value)


def _none() -> None:
    return None


def _zero() -> int:
    return 0
