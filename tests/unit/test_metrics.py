"""Metrics: names and labels as the API promises them, and numbers that add up."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from novate.metrics import Histogram, Metrics
from novate.model.instrument import Instrument
from tests.unit.stream_fakes import Batch

BTC = Instrument(name="BTC-USD", base="BTC", quote="USD", index=0)
ETH = Instrument(name="ETH-USD", base="ETH", quote="USD", index=1, lot_exponent=2)


@dataclass
class EngineFake:
    listed: list[Instrument]

    def instruments(self) -> list[Instrument]:
        return self.listed


@dataclass
class ReporterFake:
    engine: EngineFake

    def counters(self, instrument: int) -> tuple[int, int, int, int, int]:
        return [(3, 150_000_000, 5, 10, 20), (1, 250, 2, 0, 7)][instrument]


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels, from the text that a scraper gets."""
    found = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(ReporterFake(EngineFake([BTC, ETH])))


def test_counters_bear_their_labels(metrics: Metrics) -> None:
    metrics.order_received("limit", "buy")
    metrics.order_received("limit", "buy")
    metrics.order_received("invalid", "invalid")
    metrics.rejected("rate_limited")
    metrics.http("/orders/{order_id}", 404)
    found = samples(metrics)
    assert found["orders_received_total", (("side", "buy"), ("type", "limit"))] == 2
    assert found["orders_received_total", (("side", "invalid"), ("type", "invalid"))] == 1
    assert found["orders_rejected_total", (("reason", "rate_limited"),)] == 1
    route = (("route", "/orders/{order_id}"), ("status", "404"))
    assert found["http_requests_total", route] == 1


def test_what_the_engine_refuses_is_counted_by_reason(metrics: Metrics) -> None:
    rejected = b'{"order_id":"a","status":"rejected","reason":"post_only_would_cross"}'
    unknown = b'{"type":"about:blank","status":404,"code":"unknown_order","detail":"x"}'
    replies = [(201, b'{"order_id":"b"}', 0), (422, rejected, 0), (404, unknown, 0), (0, None, 1)]
    told: list[tuple[str, str, str]] = []
    metrics.on_rejected = lambda *refusal: told.append(refusal)
    metrics.on_applied(Batch(replies=replies))
    found = samples(metrics)
    assert found["orders_rejected_total", (("reason", "post_only_would_cross"),)] == 1
    assert found["orders_rejected_total", (("reason", "unknown_order"),)] == 1
    assert told == []
    metrics.rejected("malformed_json")
    metrics.rejected("not_multiple", "price", "A")
    assert told == [("malformed_json", "", ""), ("not_multiple", "price", "A")]


def test_market_figures_are_read_when_asked(metrics: Metrics) -> None:
    found = samples(metrics)
    btc = (("instrument", "BTC-USD"),)
    assert found["trades_total", ()] == 4
    assert found["trade_volume_total", ()] == 4.0
    assert found["orders_matched_total", btc] == 5
    assert found["instrument_trade_volume_total", btc] == 1.5
    assert found["current_orderbook_depth", (*btc, ("side", "buy"))] == 10
    assert found["current_orderbook_depth", (*btc, ("side", "sell"))] == 20


def test_instruments_with_metrics_of_their_own_are_bounded() -> None:
    found = samples(Metrics(ReporterFake(EngineFake([BTC, ETH])), instruments_max=1))
    assert ("orders_matched_total", (("instrument", "ETH-USD"),)) not in found
    assert found["trades_total", ()] == 4


def test_gauges_are_asked_of_others(metrics: Metrics) -> None:
    metrics.queue_depth = lambda: 12
    metrics.follower_lag = lambda: None
    metrics.websocket_connections = 3
    found = samples(metrics)
    assert found["queue_depth", ()] == 12
    assert found["websocket_connections", ()] == 3
    assert ("follower_lag_sequences", ()) not in found
    metrics.follower_lag = lambda: 99
    assert samples(metrics)["follower_lag_sequences", ()] == 99


def test_a_bucket_holds_what_is_at_most_its_bound(metrics: Metrics) -> None:
    for seconds in (0.00005, 0.0001, 0.00011, 99.0):
        metrics.latency(seconds)
    metrics.commit(0.0002, 512)
    found = samples(metrics)
    assert found["order_latency_seconds_bucket", (("le", "0.0001"),)] == 2
    assert found["order_latency_seconds_bucket", (("le", "0.00025"),)] == 3
    assert found["order_latency_seconds_bucket", (("le", "+Inf"),)] == 4
    assert found["order_latency_seconds_count", ()] == 4
    assert found["order_latency_seconds_sum", ()] == pytest.approx(99.00026)
    assert found["journal_commit_seconds_count", ()] == 1
    assert found["journal_batch_size_sum", ()] == 512


def test_every_promised_name_is_there(metrics: Metrics) -> None:
    metrics.order_received("limit", "buy")
    metrics.rejected("x")
    metrics.http("/orders", 201)
    names = {name for name, _ in samples(metrics)}
    assert names >= {
        "orders_received_total",
        "orders_rejected_total",
        "orders_matched_total",
        "trades_total",
        "trade_volume_total",
        "order_latency_seconds_bucket",
        "current_orderbook_depth",
        "journal_commit_seconds_bucket",
        "journal_batch_size_bucket",
        "queue_depth",
        "log_lines_lost_total",
        "follower_lag_sequences",
        "websocket_connections",
        "http_requests_total",
    }


def test_without_a_reporter_the_rest_is_there() -> None:
    assert ("queue_depth", ()) in samples(Metrics())


def test_a_histogram_is_cumulative_in_prometheus_words() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.5, 1.7, 5.0):
        histogram.observe(value)
    assert histogram.counts == [1, 2, 1]
    buckets = [each for each in histogram.family("x", "X").samples if each.name == "x_bucket"]
    assert [each.value for each in buckets] == [1, 3, 4]
