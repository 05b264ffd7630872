"""The order log of a real server: a line for what happens, a number where lines are left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.conftest import Server, wait_until
from tests.integration.ws_client import WsClient, limit

MakeServer = Callable[..., Server]


def lines(server: Server) -> list[dict[str, Any]]:
    whole = server.log().rpartition("\n")[0].splitlines()
    found = [json.loads(line) for line in whole if line.startswith("{")]
    return [line for line in found if line["stage"] == "orders"]


def test_the_life_of_orders_is_logged(server: Server) -> None:
    post = f"{server.url}/orders"
    httpx.post(post, json=limit("sell", 100, 2, order_id="s1"))
    httpx.post(post, json=limit("buy", "100.50", "0.5", order_id="b1"))
    httpx.post(f"{server.url}/orders/s1/cancel")
    httpx.post(post, json=limit("buy", "1e99", 1))
    wait_until(lambda: len(lines(server)) >= 5)
    logged = lines(server)
    assert [line["event"] for line in logged] == [
        "submitted",
        "submitted",
        "matched",
        "cancelled",
        "rejected",
    ]
    matched = logged[2]
    assert (matched["buy_order_id"], matched["sell_order_id"]) == ("b1", "s1")
    assert (matched["price"], matched["quantity"], matched["taker_side"]) == ("100", "0.5", "buy")
    assert logged[3]["order_id"] == "s1"
    assert logged[4]["reason"] == "exponent_out_of_range"


@pytest.mark.slow
def test_a_burst_is_sampled_and_the_rest_counted(make_server: MakeServer) -> None:
    server = make_server(log_orders_per_second_max=10).start()
    operations = [{"op": "place", "order": limit("buy", 100, 1)} for _ in range(500)]
    with WsClient(server.port) as client:
        client.ask({"op": "batch", "operations": operations})
        wait_until(lambda: any(line["event"] == "sampled" for line in lines(server)))
    logged = lines(server)
    submitted = sum(1 for line in logged if line["event"] == "submitted")
    left_out = sum(line["left_out"] for line in logged if line["event"] == "sampled")
    assert submitted + left_out == 500
    assert submitted < 100


@pytest.mark.slow
def test_at_level_warning_there_is_no_order_log(make_server: MakeServer) -> None:
    server = make_server(log_level="warning").start()
    httpx.post(f"{server.url}/orders", json=limit("buy", 100, 1))
    assert server.stop() == 0
    assert lines(server) == []
