"""The whole rulebook from outside: terms of orders, phases, rules, limits, switches, sessions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.conftest import Server, wait_until
from tests.integration.ws_client import WsClient, limit

MakeServer = Callable[..., Server]
MEMBERS = {"client_id": "c", "side": "buy", "type": "limit", "price": 100, "quantity": 1}


@pytest.fixture
def client(server: Server) -> Any:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One server for all that is refused, which changes nothing."""
    server = Server(tmp_path_factory.mktemp("shared") / "data")
    try:
        with httpx.Client(base_url=server.start().url, timeout=30) as client:
            before = client.get("/admin/status").json()["sequence"]
            yield client
            assert client.get("/admin/status").json()["sequence"] == before
    finally:
        server.close()


def place(client: httpx.Client, **changes: object) -> dict[str, Any]:
    """Place an order; what came back, with its status code."""
    members = {name: each for name, each in {**MEMBERS, **changes}.items() if each is not ...}
    reply = client.post("/orders", json=members)
    body: dict[str, Any] = reply.json()
    return {"http": reply.status_code, **body}


def order(client: httpx.Client, order_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/orders/{order_id}").json()
    return found


def post(client: httpx.Client, path: str, members: object = None) -> dict[str, Any]:
    reply = client.post(path, json=members if members is not None else {})
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


def test_a_stop_waits_is_triggered_and_trades(client: httpx.Client) -> None:
    place(client, order_id="b1", price=100, client_id="maker")
    place(client, order_id="b2", price=99, client_id="maker")
    waiting = place(
        client, order_id="s", side="sell", type="stop", price=..., stop_price=100, quantity=0.5
    )
    assert (waiting["http"], waiting["status"], waiting["triggered"]) == (201, "open", False)
    assert waiting["price"] is None
    crossing = place(client, side="sell", client_id="x")
    assert [each["quantity"] for each in crossing["trades"]] == [1]
    stopped = order(client, "s")
    assert (stopped["status"], stopped["triggered"]) == ("filled", True)
    assert stopped["average_price"] == 99
    trades = client.get("/trades").json()["trades"]
    assert [each["price"] for each in trades] == [99, 100]


def test_an_iceberg_shows_its_tip_alone(client: httpx.Client) -> None:
    shown = place(client, order_id="i", quantity=5, display_quantity=2)
    assert (shown["quantity"], shown["remaining_quantity"], shown["display_quantity"]) == (5, 5, 2)
    assert client.get("/orderbook").json()["bids"][0]["quantity"] == 2
    assert "display_quantity" not in place(client, price=99)
    amended = client.patch("/orders/i", json={"display_quantity": 0}).json()
    assert "display_quantity" not in amended
    assert client.get("/orderbook").json()["bids"][0]["quantity"] == 5


@pytest.mark.slow
def test_an_order_ends_in_time_though_nobody_says_anything(client: httpx.Client) -> None:
    end = datetime.now(UTC) + timedelta(seconds=3)  # it has to come before
    placed = place(
        client, order_id="g", time_in_force="gtd", expires_at=end.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    )
    assert placed["http"] == 201
    wait_until(lambda: order(client, "g")["status"] == "cancelled", what="the end of the order")
    assert order(client, "g")["reason"] == "expired"
    late = place(client, time_in_force="gtd", expires_at="2020-01-01T00:00:00Z")
    assert (late["http"], late["reason"]) == (422, "expires_in_past")


def test_pairs_replacements_and_self_trades(client: httpx.Client) -> None:
    place(client, order_id="a", side="sell", price=110)
    paired = place(
        client, order_id="b", side="sell", type="stop", price=..., stop_price=90, oco="a"
    )
    assert (paired["oco"], order(client, "a")["oco"]) == ("a", "b")
    assert place(client, oco="none")["reason"] == "link_not_open"
    place(client, order_id="d", side="sell", price=111, replaces="a")
    assert order(client, "a")["reason"] == "replaced"
    assert order(client, "b")["reason"] == "one_cancels_other"
    refused = place(client, price=111, self_trade_prevention="cancel_newest")
    assert (refused["http"], refused["status"], refused["reason"]) == (
        201, "cancelled", "self_trade_prevented",
    )  # fmt: skip


def test_a_repeat_is_answered_with_every_term_again(client: httpx.Client) -> None:
    place(client, order_id="m", side="sell", price=100, client_id="maker")
    asked = {
        "order_id": "k", "idempotency_key": "k", "display_quantity": 1, "quantity": 3,
        "self_trade_group": 7,
    }  # fmt: skip
    first = place(client, **asked)
    assert len(first["trades"]) == 1
    assert place(client, **asked) == first


def test_an_operator_halts_and_an_auction_opens(client: httpx.Client) -> None:
    path = "/admin/instruments/BTC-USD/phase"
    assert post(client, path, {"phase": "halt"})["state"] == "halt"
    halted = place(client)
    assert (halted["http"], halted["status"], halted["reason"]) == (422, "rejected", "halted")
    assert post(client, path, {"phase": "auction"})["auction"] == {
        "price": None, "volume": 0, "imbalance": 0,
    }  # fmt: skip
    place(client, order_id="b", price=102, quantity=3)
    place(client, order_id="s", side="sell", price=100, quantity=2, client_id="d")
    found = client.get("/instruments/BTC-USD").json()
    assert found["state"] == "auction"
    assert (found["auction"]["volume"], found["auction"]["imbalance"]) == (2, 1)
    post(client, path, {"phase": "continuous"})
    (trade,) = client.get("/trades").json()["trades"]
    assert (trade["taker_side"], trade["price"]) == (None, found["auction"]["price"])
    assert order(client, "b")["filled_quantity"] == 2


def test_rules_are_set_whole_and_said_again(client: httpx.Client) -> None:
    rules = {
        "limits": {"quantity_max": 10, "last_price_distance": {"percent": 2.5}},
        "iceberg_parts_max": 5,
        "protection": {"price": 50},
        "band_action": "auction",
        "dynamic_band": {"price": 5.01, "percent": 1},
        "volatility_auction_seconds": 60,
        "session_end": "17:05:00",
        "reference_price": 100,
    }
    path = "/admin/instruments/BTC-USD/rules"
    before = client.get("/instruments/BTC-USD").content
    assert post(client, path, rules)["rules"] == rules
    assert client.get("/instruments/BTC-USD").json()["rules"] == rules
    large = place(client, quantity=11)
    assert (large["http"], large["reason"]) == (422, "quantity_too_large")
    limits = {"instrument": "BTC-USD", "quantity_max": 12}
    post(client, "/admin/clients/c/limits", limits)
    assert place(client, quantity=11)["http"] == 201
    post(client, path)
    assert client.get("/instruments/BTC-USD").content == before


@pytest.mark.parametrize(
    ("path", "members", "field"),
    [
        ("/admin/instruments/BTC-USD/rules", {"protection": {"price": 0.001}}, "protection.price"),
        ("/admin/instruments/BTC-USD/rules", {"protection": {"percent": 0.01}},
         "protection.percent"),
        ("/admin/instruments/BTC-USD/rules", {"limits": {"quantity_max": -1}},
         "limits.quantity_max"),
        ("/admin/instruments/BTC-USD/rules", {"session_end": "25:00:00"}, "session_end"),
        ("/admin/instruments/BTC-USD/rules", {"schedule": [{"at": "01:00:00", "phase": "x"}]},
         "schedule[0].phase"),
        ("/admin/instruments/BTC-USD/rules",
         {"schedule": [{"at": "01:00:00", "phase": "halt"}] * 2}, "schedule"),
        ("/admin/instruments/BTC-USD/rules", {"band_action": "x"}, "band_action"),
        ("/admin/instruments/BTC-USD/rules", {"ticks": 1}, "ticks"),
        ("/admin/instruments/BTC-USD/phase", {"phase": "open"}, "phase"),
        ("/admin/instruments/BTC-USD/phase",
         {"phase": "continuous", "until": "2100-01-01T00:00:00Z"}, "until"),
        ("/admin/clients/c/limits", {"instrument": "X"}, "instrument"),
        ("/admin/clients/a%20b/kill", {}, "client_id"),
        ("/admin/kill", {"on": 1}, "on"),
        ("/admin/kill", {}, "on"),
        ("/orders/cancel-after", {"client_id": "c"}, "seconds"),
        ("/orders/cancel-after", {"client_id": "c", "seconds": 86401}, "seconds"),
        ("/orders/cancel-after", {"seconds": 1}, "client_id"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_control(
    shared: httpx.Client, path: str, members: object, field: str
) -> None:
    reply = shared.post(path, json=members)
    assert reply.status_code == 400, reply.text
    assert field in [each["field"] for each in reply.json()["errors"]]


def test_an_instrument_that_is_not_there(shared: httpx.Client) -> None:
    for verb in ("rules", "phase"):
        assert shared.post(f"/admin/instruments/X/{verb}", json={}).status_code == 404


def test_switches_end_all_and_refuse_more(client: httpx.Client) -> None:
    place(client, order_id="a")
    killed = post(client, "/admin/clients/c/kill", {"on": True})
    assert (killed["client_id"], killed["on"], killed["cancelled_count"]) == ("c", True, 1)
    assert order(client, "a")["reason"] == "kill_switch"
    assert place(client)["reason"] == "client_killed"
    post(client, "/admin/clients/c/kill", {"on": False})
    assert place(client)["http"] == 201
    venue = post(client, "/admin/kill", {"on": True})
    assert (venue["client_id"], venue["cancelled_count"]) == (None, 1)
    assert place(client, client_id="d")["reason"] == "venue_killed"
    post(client, "/admin/kill", {"on": False})
    assert place(client, client_id="d")["http"] == 201


def test_what_is_set_is_read_and_paged(client: httpx.Client) -> None:
    def controls(**query: object) -> dict[str, Any]:
        reply = client.get("/admin/controls", params=query)
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    nothing = controls()
    assert (nothing["venue_killed"], nothing["clients"], nothing["next_cursor"]) == (
        False,
        [],
        None,
    )
    place(client, client_id="plain")
    for name in ("a", "b", "c"):
        post(client, f"/admin/clients/{name}/kill", {"on": True})
    limits = {"quantity_max": 2.5, "notional_min": 10, "last_price_distance": {"percent": 1.5}}
    for instrument in ("ETH-USD", "BTC-USD"):
        post(client, "/admin/clients/b/limits", {"instrument": instrument, **limits})
    timer = post(client, "/orders/cancel-after", {"client_id": "b", "seconds": 60})
    post(client, "/admin/clients/a/kill", {"on": False})
    expected = [
        {"client_id": "b", "killed": True, "cancels_at": timer["cancels_at"],
         "limits": [{"instrument": name, **limits} for name in ("BTC-USD", "ETH-USD")]},
        {"client_id": "c", "killed": True, "cancels_at": None, "limits": []},
    ]  # fmt: skip
    found = controls()
    assert (found["count"], found["clients"], found["next_cursor"]) == (2, expected, None)
    assert found["sequence"] == client.get("/admin/status").json()["sequence"]
    first = controls(limit=1)
    assert first["clients"] == expected[:1]
    second = controls(limit=1, cursor=first["next_cursor"])
    assert (second["clients"], second["next_cursor"]) == (expected[1:], None)
    assert controls(client_id="c")["clients"] == expected[1:]
    assert controls(client_id="plain")["clients"] == controls(client_id="nobody")["clients"] == []
    for query in ({"limit": 0}, {"limit": 1001}, {"cursor": "x"}, {"client_id": "/"}, {"x": 1}):
        assert client.get("/admin/controls", params=query).status_code == 400
    post(client, "/admin/clients/b/kill", {"on": False})
    post(client, "/orders/cancel-after", {"client_id": "b", "seconds": 0})
    post(client, "/admin/clients/b/limits", {"instrument": "ETH-USD"})
    (left,) = controls(client_id="b")["clients"]
    assert left == {**expected[0], "killed": False, "cancels_at": None,
                    "limits": expected[0]["limits"][:1]}  # fmt: skip


def test_a_dead_mans_timer(client: httpx.Client) -> None:
    place(client, order_id="a")
    place(client, order_id="other", client_id="other")
    assert post(client, "/orders/cancel-after", {"client_id": "c", "seconds": 60})["cancels_at"]
    stopped = post(client, "/orders/cancel-after", {"client_id": "c", "seconds": 0})
    assert stopped["cancels_at"] is None
    post(client, "/orders/cancel-after", {"client_id": "c", "seconds": 0.2})
    wait_until(lambda: order(client, "a")["status"] == "cancelled", what="the timer")
    assert order(client, "a")["reason"] == "cancel_after"
    assert order(client, "other")["status"] == "open"


def test_a_dropped_session_ends_its_orders_and_no_others(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as http:
        with WsClient(server.port) as stream:
            stream.ask({"op": "place", "order": limit("buy", 90, 1, order_id="free")})
            bound = stream.ask({"op": "cancel_on_disconnect", "grace_seconds": 0.1})
            assert bound["type"] == "cancel_on_disconnect", bound
            stream.ask({"op": "place", "order": limit("buy", 91, 1, order_id="bound")})
            assert order(http, "bound")["status"] == "open"
        wait_until(lambda: order(http, "bound")["status"] == "cancelled", what="the session's end")
        assert order(http, "bound")["reason"] == "session_closed"
        assert order(http, "free")["status"] == "open"


def test_a_session_that_is_taken_up_again_keeps_its_orders(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as http:
        with WsClient(server.port) as stream:
            bound = stream.ask({"op": "cancel_on_disconnect", "grace_seconds": 60})
            stream.ask({"op": "place", "order": limit("buy", 91, 1, order_id="bound")})
        with WsClient(server.port) as stream:
            ask = {"op": "cancel_on_disconnect", "resume": bound["session"], "grace_seconds": 0}
            wait_until(lambda: stream.ask(ask)["type"] != "error", what="the session")
            assert order(http, "bound")["status"] == "open"
        wait_until(lambda: order(http, "bound")["status"] == "cancelled", what="the session's end")


@pytest.mark.slow
def test_a_restart_ends_the_orders_of_sessions_that_are_lost(make_server: MakeServer) -> None:
    server = make_server().start()
    with WsClient(server.port) as stream:
        stream.ask({"op": "place", "order": limit("buy", 90, 1, order_id="free")})
        stream.ask({"op": "cancel_on_disconnect"})
        stream.ask({"op": "place", "order": limit("buy", 91, 1, order_id="bound")})
        server.kill()
    server.start()
    with httpx.Client(base_url=server.url, timeout=30) as http:
        lost = order(http, "bound")
        assert (lost["status"], lost["reason"]) == ("cancelled", "session_lost")
        assert order(http, "free")["status"] == "open"
        sequence = http.get("/admin/status").json()["sequence"]
    server.kill()
    server.start()
    with httpx.Client(base_url=server.url, timeout=30) as http:
        assert http.get("/admin/status").json()["sequence"] == sequence


@pytest.mark.slow
@pytest.mark.parametrize("snapshot", [False, True], ids=["journal", "snapshot"])
def test_switches_limits_and_timers_survive_kill_9(make_server: MakeServer, snapshot: bool) -> None:
    server = make_server().start()
    with httpx.Client(base_url=server.url, timeout=30) as http:
        post(http, "/admin/clients/k/kill", {"on": True})
        post(http, "/admin/clients/c/limits", {"instrument": "BTC-USD", "quantity_max": 2})
        post(http, "/admin/instruments/ETH-USD/phase", {"phase": "halt"})
        place(http, order_id="timed", client_id="t")
        place(http, order_id="untimed", client_id="u")
        for client_id, seconds in (("t", 3), ("u", 60), ("u", 0), ("v", 3600)):
            post(http, "/orders/cancel-after", {"client_id": client_id, "seconds": seconds})
        if snapshot:
            assert http.post("/admin/snapshot").status_code == 201
        before = http.get("/admin/controls").json()["clients"]
        assert {each["client_id"] for each in before} - {"t"} == {"k", "c", "v"}
    server.kill()
    server.start()
    with httpx.Client(base_url=server.url, timeout=30) as http:
        after = http.get("/admin/controls").json()["clients"]
        lasting = [each for each in before if each["client_id"] != "t"]  # its time may be over
        assert [each for each in after if each["client_id"] != "t"] == lasting
        assert place(http, client_id="k")["reason"] == "client_killed"
        assert place(http, client_id="c", quantity=3)["reason"] == "quantity_too_large"
        assert place(http, client_id="c", quantity=2)["http"] == 201
        assert place(http, client_id="d", quantity=3)["http"] == 201
        assert place(http, client_id="d", instrument="ETH-USD")["reason"] == "halted"
        wait_until(lambda: order(http, "timed")["status"] == "cancelled", what="the timer")
        assert order(http, "timed")["reason"] == "cancel_after"
        assert order(http, "untimed")["status"] == "open"
        post(http, "/admin/kill", {"on": True})
    server.kill()
    server.start()
    with httpx.Client(base_url=server.url, timeout=30) as http:
        assert http.get("/admin/controls").json()["venue_killed"] is True
        assert place(http, client_id="d")["reason"] == "venue_killed"
        assert order(http, "untimed")["reason"] == "kill_switch"


def test_phases_and_auctions_are_streamed(server: Server) -> None:
    path = "/admin/instruments/BTC-USD/phase"
    with httpx.Client(base_url=server.url, timeout=30) as http, WsClient(server.port) as stream:
        stream.ask({"op": "subscribe", "channels": ["instrument.BTC-USD"]})
        assert stream.until_type("instrument_state")["state"] == "continuous"
        post(http, path, {"phase": "auction"})
        changed = stream.until_type("instrument_state")
        assert (changed["state"], changed["state_before"]) == ("auction", "continuous")
        place(http, price=102, quantity=3)
        place(http, side="sell", price=100, quantity=2, client_id="d")
        found = stream.until(lambda each: each["type"] == "auction_indicative" and each["volume"])
        assert (found["volume"], found["imbalance"]) == (2, 1)
        post(http, path, {"phase": "continuous"})
        uncrossed = stream.until_type("instrument_state")
        assert uncrossed["uncrossed"] == {
            "price": found["price"], "volume": 2, "imbalance": 1,
        }  # fmt: skip
        assert stream.until_type("instrument_state")["state"] == "continuous"
        left = stream.ask({"op": "unsubscribe", "channels": ["instrument_state"]})
        assert left["type"] == "unsubscribed"
