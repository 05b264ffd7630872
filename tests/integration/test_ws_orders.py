"""Order entry over WebSocket: the answers of HTTP, replays, clients that ask without reading."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import httpx
import pytest

from tests.conftest import Server, scaled, wait_until
from tests.integration.ws_client import Message, WsClient, frame, limit

MakeServer = Callable[..., Server]


def test_an_order_lives_over_the_stream(server: Server) -> None:
    with WsClient(server.port) as client:
        placed = client.ask({"op": "place", "order": limit("buy", "100.5", 2, order_id="o1")})
        assert (placed["type"], placed["order"]["status"]) == ("order_accepted", "open")
        status = client.ask({"op": "status", "order_id": "o1"})
        assert status["order"]["price"] == placed["order"]["price"]
        amended = client.ask({"op": "amend", "order_id": "o1", "quantity": 1})
        assert (amended["type"], amended["order"]["quantity"]) == ("order_accepted", 1)
        over_http = httpx.get(f"{server.url}/orders/o1").json()
        assert over_http["quantity"] == 1
        cancelled = client.ask({"op": "cancel", "order_id": "o1"})
        assert cancelled["order"]["status"] == "cancelled"
        again = client.ask({"op": "cancel", "order_id": "o1"})
        assert (again["type"], again["problem"]["code"]) == ("error", "already_closed")
        unknown = client.ask({"op": "cancel", "order_id": "o2"})
        assert unknown["problem"]["code"] == "unknown_order"


@pytest.mark.slow
def test_a_field_that_stands_twice_is_refused_as_over_http(server: Server) -> None:
    order = json.dumps(limit("buy", 100, 1, order_id="o1"))[:-1] + ',"side":"sell"}'
    with WsClient(server.port) as client:
        client.send_raw(frame(b'{"op":"place","request_id":"r","order":%b}' % order.encode()))
        problem = client.until_type("error")["problem"]
        assert problem == httpx.post(f"{server.url}/orders", content=order).json()
        assert problem["code"] == "duplicate_field"
        operations = f'[{{"op":"place","order":{order}}}]'
        client.send_raw(frame(b'{"op":"batch","operations":%b}' % operations.encode()))
        outcomes = client.until_type("batch_result")["outcomes"]
        batch = f'{{"operations":{operations}}}'
        over_http = httpx.post(f"{server.url}/orders/batch", content=batch)
        assert outcomes == over_http.json()["outcomes"]
        assert outcomes[0]["problem"]["code"] == "duplicate_field"
        ask = {"op": "status", "order_id": "o1"}  # 503 before the ledger can be asked
        wait_until(lambda: client.ask(ask)["problem"]["status"] == 404, what="an unknown order")


def test_a_refusal_by_rule_is_an_order(server: Server) -> None:
    with WsClient(server.port) as client:
        client.ask({"op": "place", "order": limit("sell", 100, 1)})
        refused = client.ask({"op": "place", "order": limit("buy", 100, 1, post_only=True)})
        assert refused["type"] == "order_rejected"
        assert refused["order"]["reason"] == "post_only_would_cross"


def test_a_key_answers_the_same_over_both(server: Server) -> None:
    order = limit("buy", 100, 1, idempotency_key="k1")
    with WsClient(server.port) as client:
        first = client.ask({"op": "place", "order": order})
        second = client.ask({"op": "place", "order": order})
        assert "replayed" not in first
        assert second["replayed"] is True
        assert second["order"] == first["order"]
        over_http = httpx.post(f"{server.url}/orders", json=order)
        assert over_http.headers["idempotency-replayed"] == "true"
        assert over_http.json()["order_id"] == first["order"]["order_id"]
        other = client.ask({"op": "place", "order": {**order, "quantity": 2}})
        assert other["problem"]["code"] == "idempotency_key_reused"


def test_a_batch_is_answered_as_one(server: Server) -> None:
    with WsClient(server.port) as client:
        operations = [
            {"op": "place", "order": limit("buy", 100, 1, order_id="a")},
            {"op": "place", "order": limit("buy", -1, 1)},
            {"op": "cancel", "order_id": "a"},
        ]
        result = client.ask({"op": "batch", "operations": operations})
        assert result["type"] == "batch_result"
        assert [each["status"] for each in result["outcomes"]] == [201, 400, 200]


def test_mass_cancel_alone_and_in_a_batch(server: Server) -> None:
    with WsClient(server.port) as client:
        for side, price in (("buy", 90), ("sell", 110), ("buy", 91)):
            client.ask({"op": "place", "order": limit(side, price, 1, order_id=f"{side}-{price}")})
        client.ask({"op": "place", "order": limit("buy", 92, 1, "client-B", order_id="other")})
        ask = {"op": "mass_cancel", "client_id": "client-A", "side": "buy", "idempotency_key": "k"}
        reply = client.ask(ask)
        assert (reply["type"], reply["cancelled_count"]) == ("mass_cancelled", 2)
        assert reply["order_ids"] == ["buy-91", "buy-90"]
        again = client.ask(ask)
        assert (again["replayed"], again["cancelled_count"]) == (True, 2)
        rest = {"op": "mass_cancel", "client_id": "client-A"}
        place = {"op": "place", "order": limit("buy", 93, 1, order_id="late")}
        batch = client.ask({"op": "batch", "operations": [place, rest, {**rest, "side": "up"}]})
        placed, swept, refused = batch["outcomes"]
        assert placed["order"]["status"] == "open"
        assert swept["mass_cancelled"]["order_ids"] == ["late", "sell-110"]
        assert (swept["status"], refused["status"]) == (200, 400)
        assert client.ask({"op": "status", "order_id": "other"})["order"]["status"] == "open"
        wrong = client.ask({"op": "mass_cancel", "client_id": "client-A", "instrument": "X"})
        assert wrong["problem"]["errors"][0]["field"] == "instrument"


def test_a_dead_mans_timer_is_set_stopped_and_runs_out(server: Server) -> None:
    with WsClient(server.port) as client:
        client.ask({"op": "subscribe", "channels": ["orders"], "client_id": "client-A"})
        client.ask({"op": "place", "order": limit("buy", 90, 1, order_id="a")})
        ask = {"op": "cancel_all_after", "client_id": "client-A"}
        assert client.ask({**ask, "seconds": 60})["cancels_at"]
        assert client.ask({**ask, "seconds": 0})["cancels_at"] is None
        assert client.ask(ask)["problem"]["errors"][0]["field"] == "seconds"
        assert client.ask({**ask, "seconds": "0.05"})["type"] == "cancel_all_after"
        ended = client.until(
            lambda each: each["type"] == "order_update" and not each["order"]["working"]
        )
        assert (ended["order"]["order_id"], ended["order"]["reason"]) == ("a", "cancel_after")


@pytest.mark.slow
@pytest.mark.parametrize(
    "message",
    [
        {"op": "place", "order": limit("buy", 100, 1)},
        {"op": "mass_cancel", "client_id": "client-A"},
        {"op": "cancel_all_after", "client_id": "client-A", "seconds": 0},
    ],
    ids=lambda message: message["op"],
)
def test_many_clients_rates_are_limited(make_server: MakeServer, message: Message) -> None:
    server = make_server(rate_limit_per_second=1, rate_limit_burst=1000).start()
    with WsClient(server.port) as client:
        text = json.dumps(message).encode()
        client.send_raw(frame(text) * 1100)
        error = client.until_type("error")
        assert (error["problem"]["status"], error["problem"]["code"]) == (429, "rate_limited")
        assert error["retry_after"] >= 1


@pytest.mark.slow
def test_who_asks_without_reading_is_read_no_further_and_answered_in_the_end(
    make_server: MakeServer,
) -> None:
    """More replies than any buffer holds: the server stops to read, and loses none."""
    server = make_server(websocket_requests_max=64, rate_limit_per_second=0).start()
    count = scaled(200_000)
    sent = bytearray()
    for number in range(count):
        message = {"op": "place", "request_id": number, "order": limit("buy", 100, 1)}
        sent += frame(json.dumps(message).encode())
    with WsClient(server.port, receive_bytes=4096) as client:
        sender = threading.Thread(target=client.send_raw, args=(bytes(sent),))
        client.socket.settimeout(600)  # for all that is sent
        sender.start()
        assert httpx.get(f"{server.url}/readyz", timeout=60).status_code == 200
        received = 0
        while received < count:
            message = client.read()
            if message["type"] == "order_accepted":
                assert message["request_id"] == received
                received += 1
        sender.join(60)
        assert not sender.is_alive()
    assert httpx.get(f"{server.url}/orderbook").json()["bids"][0]["orders"] == count
