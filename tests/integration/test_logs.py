"""The order log of a real server: a line for what happens, a number where lines are left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.conftest import Server, wait_until
from tests.integration.ws_client import WsClient, limit

MakeServer = Callable[..., Server]

AHEAD_SECONDS = 4
"""How far ahead an end of an order lies that is told by the clock: the order has to come before."""


def lines(server: Server) -> list[dict[str, Any]]:
    whole = server.log().rpartition("\n")[0].splitlines()
    found = [json.loads(line) for line in whole if line.startswith("{")]
    return [line for line in found if line["stage"] == "orders"]


def test_the_life_of_orders_is_logged(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as http:
        http.post("/orders", json=limit("sell", 100, 2, order_id="s1"))
        http.post("/orders", json=limit("buy", "100.50", "0.5", order_id="b1"))
        http.post("/orders/s1/cancel")
        http.post("/orders", json=limit("buy", "1e99", 1))
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


def _ended(server: Server, order_id: str) -> dict[str, Any]:
    """The one line that says that an order is over."""

    def found() -> list[dict[str, Any]]:
        return [
            line
            for line in lines(server)
            if line["event"] == "cancelled" and line["order_id"] == order_id
        ]

    wait_until(found, what=f"a line of the end of {order_id}")
    [line] = found()
    return line


@pytest.mark.slow
def test_every_kind_of_end_is_a_line_with_its_reason(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as http:

        def place(order_id: str, price: int = 90, client: str = "A", **more: Any) -> None:
            side = more.pop("side", "buy")
            order = limit(side, price, 1, client, order_id=order_id, **more)
            assert http.post("/orders", json=order).status_code == 201

        def ended(order_id: str, client: str, reason: str) -> None:
            line = _ended(server, order_id)
            assert (line["client_id"], line["instrument"], line["reason"]) == (
                client,
                "BTC-USD",
                reason,
            )

        soon = datetime.now(UTC) + timedelta(seconds=AHEAD_SECONDS)
        expires_at = soon.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        place("timed", time_in_force="gtd", expires_at=expires_at)
        place("older", 100)
        place("newer", 100, side="sell", self_trade_prevention="cancel_both")
        place("whole", 120, client="B", time_in_force="fok")
        place("swept-1", client="C")
        place("swept-2", client="C")
        assert http.delete("/orders?client_id=C").json()["cancelled_count"] == 2
        place("killed", client="D")
        http.post("/admin/clients/D/kill", json={"on": True})
        place("replaced", client="E")
        place("replacement", client="E", replaces="replaced")
        place("timer", client="F")
        http.post("/orders/cancel-after", json={"client_id": "F", "seconds": 0.2})
        with WsClient(server.port) as stream:
            stream.ask({"op": "cancel_on_disconnect", "grace_seconds": 0.1})
            stream.ask({"op": "place", "order": limit("buy", 91, 1, "G", order_id="bound")})
        day_ends = datetime.now(UTC) + timedelta(seconds=AHEAD_SECONDS + 1)  # whole ones are said
        rules = {"session_end": day_ends.strftime("%H:%M:%S")}
        assert http.post("/admin/instruments/BTC-USD/rules", json=rules).status_code == 200
        place("of-the-day", client="H", time_in_force="day")

        ended("timed", "A", "expired")
        ended("older", "A", "self_trade_prevented")
        ended("newer", "A", "self_trade_prevented")
        ended("whole", "B", "fill_or_kill")
        ended("swept-1", "C", "mass_cancel")
        ended("swept-2", "C", "mass_cancel")
        ended("killed", "D", "kill_switch")
        ended("replaced", "E", "replaced")
        ended("timer", "F", "cancel_after")
        ended("bound", "G", "session_closed")
        ended("of-the-day", "H", "expired")
        place("own")
        http.delete("/orders/own")
        ended("own", "A", "by_client")
    [swept] = [line for line in lines(server) if line["event"] == "mass_cancelled"]
    assert (swept["client_id"], swept["count"]) == ("C", 2)
    [killed] = [line for line in lines(server) if line["event"] == "kill_switched"]
    assert (killed["client_id"], killed["count"], killed["on"]) == ("D", 1, True)


def test_a_refused_request_is_a_line_with_its_field_and_client(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as http, WsClient(server.port) as stream:
        http.post("/orders", json=limit("buy", "1e99", 1))
        http.post("/orders", content=b"{")
        stream.ask({"op": "place", "order": limit("buy", 100, 0, "B")})
        stream.ask({"op": "subscribe", "channels": ["nothing"]})
        stream.ask({"op": "unsubscribe", "channels": ["trades"]})
        stream.ask({"op": "subscribe", "channels": 5})
        stream.ask({"op": "cancel"})
        http.delete("/orders/none")
        wait_until(lambda: len(lines(server)) >= 5)
        refused = [
            (line["client_id"], line.get("field"), line["reason"])
            for line in lines(server)
            if line["event"] == "rejected"
        ]
        assert refused == [
            ("client-A", "price", "exponent_out_of_range"),
            (None, None, "malformed_json"),
            ("B", "quantity", "out_of_bounds"),
            (None, "order_id", "missing_field"),
            (None, None, "unknown_order"),
        ]
        counted = http.get("/metrics").text
    assert 'orders_rejected_total{reason="missing_field"} 1.0' in counted
    assert "not_subscribed" not in counted
    assert "unknown_channel" not in counted


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
