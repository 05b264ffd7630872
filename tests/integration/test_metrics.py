"""What /metrics says of a real server after a known course of events."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Server, wait_until
from tests.integration.ws_client import WsClient, limit

MakeServer = Callable[..., Server]
Samples = dict[tuple[str, tuple[str, ...]], float]


def samples(server: Server) -> Samples:
    """Every sample by its name and its label values in the order of their names."""
    found = {}
    for family in text_string_to_metric_families(
        httpx.get(f"{server.url}/metrics", timeout=30).text
    ):
        for sample in family.samples:
            values = tuple(value for _, value in sorted(sample.labels.items()))
            found[sample.name, values] = sample.value
    return found


@pytest.mark.slow
def test_the_figures_follow_what_happened(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as http:
        http.post("/orders", json=limit("sell", 100, 2, order_id="s1"))
        http.post("/orders", json=limit("buy", 100, "0.5", order_id="b1"))
        http.post("/orders", json=limit("buy", 100, 1, post_only=True))
        http.post("/orders", json=limit("buy", "1e99", 1))
        http.post("/orders/unknown/cancel")
    with WsClient(server.port) as client:
        client.ask({"op": "place", "order": limit("buy", 99, 1)})
        client.ask({"op": "place", "order": limit("buy", "99.001", 1)})
        found = samples(server)
        assert found["websocket_connections", ()] == 1
    assert found["orders_received_total", ("sell", "limit")] == 1
    assert found["orders_received_total", ("buy", "limit")] == 3
    assert found["orders_received_total", ("invalid", "invalid")] == 2
    assert found["orders_rejected_total", ("post_only_would_cross",)] == 1
    assert found["orders_rejected_total", ("exponent_out_of_range",)] == 1
    assert found["orders_rejected_total", ("not_multiple",)] == 1
    assert found["orders_rejected_total", ("unknown_order",)] == 1
    assert found["orders_matched_total", ("BTC-USD",)] == 2
    assert found["trades_total", ()] == 1
    assert found["trade_volume_total", ()] == 0.5
    assert found["current_orderbook_depth", ("BTC-USD", "buy")] == 1
    assert found["current_orderbook_depth", ("BTC-USD", "sell")] == 1
    assert found["http_requests_total", ("/orders", "201")] == 2
    assert found["http_requests_total", ("/orders", "422")] == 1
    assert found["order_latency_seconds_count", ()] >= 5
    assert found["journal_commit_seconds_count", ()] >= 5
    assert found["journal_batch_size_sum", ()] >= 5
    assert found["queue_depth", ()] == 0
    wait_until(lambda: samples(server).get(("follower_lag_sequences", ())) == 0.0)
    wait_until(lambda: samples(server)["websocket_connections", ()] == 0.0)
