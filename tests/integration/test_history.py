"""The history API: pages that reach past memory, audit trails, figures that add up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from novate.config import LEDGER_FILE
from novate.testing.workload import decode_json
from tests.conftest import PATIENCE_SECONDS, Server, wait_until
from tests.integration.ws_client import WsClient

ORDERS = 160
CLOSED_KEPT = 20
TRADES_KEPT = 10


def get(client: httpx.Client, path: str, **query: object) -> Any:
    reply = client.get(path, params={name: str(value) for name, value in query.items()})
    assert reply.status_code == 200, reply.text
    return decode_json(reply.content)


def every_page(client: httpx.Client, path: str, list_name: str, **query: object) -> list[Any]:
    found: list[Any] = []
    cursor: dict[str, object] = {}
    while True:
        page = get(client, path, **query, **cursor)
        assert page["count"] == len(page[list_name])
        found += page[list_name]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, list[Any]]]:
    """A server that has forgotten most of what it did, and every order as it was placed."""
    folder = tmp_path_factory.mktemp("history") / "data"
    flags = {"closed_orders_max": CLOSED_KEPT, "trades_per_instrument_max": TRADES_KEPT}
    server = Server(folder, {**flags, "rate_limit_per_second": 0}).start()
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        placed = [place(client, number) for number in range(ORDERS)]
        end = placed[-1]["sequence"]
        wait_until(lambda: ledger_seq(client) >= end, what="a ledger that caught up")
        wait_until(lambda: client.get("/trades/stats").status_code == 200)
        yield client, placed
    server.close()


def ledger_seq(client: httpx.Client) -> int:
    return int(client.get("/healthz").json()["checks"]["ledger"].get("sequence", 0))


def place(client: httpx.Client, number: int) -> Any:
    """Orders of which some stay open from long ago, and most trade."""
    order: dict[str, Any] = {
        "client_id": f"client-{number % 3}",
        "order_id": f"order-{number}",
        "side": "sell" if number % 2 else "buy",
        "type": "limit",
        "price": "1" if number % 16 == 0 else f"100.{number % 7:02d}",
        "quantity": f"0.{number % 5 + 1}",
    }
    if number % 10 == 9:
        order |= {"time_in_force": "ioc", "price": "1000"}
    reply = client.post("/orders", json=order)
    assert reply.status_code == 201, reply.text
    return decode_json(reply.content)


@pytest.mark.slow
def test_a_list_of_orders_goes_on_in_the_ledger(traded: tuple[httpx.Client, list[Any]]) -> None:
    client, placed = traded
    ids = [order["order_id"] for order in placed][::-1]
    for limit in (7, 40, 1000):
        listed = every_page(client, "/orders", "orders", limit=limit)
        assert [order["order_id"] for order in listed] == ids
    for order in listed:
        single = get(client, f"/orders/{order['order_id']}")
        single.pop("ledger_sequence", None)
        assert single == order
    assert get(client, "/orders", limit=1000)["ledger_sequence"] >= placed[-1]["sequence"]
    assert "ledger_sequence" not in get(client, "/orders", limit=2)


@pytest.mark.slow
def test_an_order_past_memory_over_websocket(traded: tuple[httpx.Client, list[Any]]) -> None:
    client, placed = traded
    with WsClient(client.base_url.port or 0) as stream:
        for order in placed[::20]:
            reply = stream.ask({"op": "status", "order_id": order["order_id"]})
            told = get(client, f"/orders/{order['order_id']}")
            assert (reply["type"], reply["order"]) == ("order_accepted", told)
        unknown = stream.ask({"op": "status", "order_id": "nobody"})["problem"]
    assert unknown == client.get("/orders/nobody").json()
    assert "ledger_sequence" in get(client, f"/orders/{placed[1]['order_id']}")


@pytest.mark.slow
def test_filters_hold_in_both_parts(traded: tuple[httpx.Client, list[Any]]) -> None:
    client, _ = traded
    every = every_page(client, "/orders", "orders", limit=1000)
    statuses = {order["status"] for order in every}
    assert {"open", "filled", "cancelled"} <= statuses
    for status in statuses:
        for limit in (3, 50):
            listed = every_page(client, "/orders", "orders", limit=limit, status=status)
            assert listed == [order for order in every if order["status"] == status]
    mine = every_page(client, "/orders", "orders", limit=6, client_id="client-1")
    assert mine == [order for order in every if order["client_id"] == "client-1"]
    assert every_page(client, "/orders", "orders", instrument="ETH-USD") == []


@pytest.mark.slow
def test_trades_go_on_in_the_ledger(traded: tuple[httpx.Client, list[Any]]) -> None:
    client, placed = traded
    made = [trade for order in placed for trade in order["trades"]][::-1]
    assert len(made) > 4 * TRADES_KEPT
    assert get(client, "/trades", limit=1000)["trades"] == made
    found: list[Any] = []
    before: dict[str, object] = {}
    while page := get(client, "/trades", limit=7, **before)["trades"]:
        found += page
        before = {"before": page[-1]["trade_id"]}
    assert found == made
    detailed = get(client, "/trades/detailed", limit=1000)["trades"]
    owners = {order["order_id"]: order["client_id"] for order in placed}
    assert [trade["buy_client_id"] for trade in detailed] == [
        owners[trade["buy_order_id"]] for trade in made
    ]


@pytest.mark.slow
def test_an_audit_trail_tells_an_orders_whole_life(
    traded: tuple[httpx.Client, list[Any]],
) -> None:
    client, placed = traded
    trades = [trade for order in placed for trade in order["trades"]]
    for order in placed[::9]:
        order_id = order["order_id"]
        events = every_page(client, f"/orders/{order_id}/events", "events", limit=2)
        assert events[0]["event"] == "order_accepted"
        mine = [
            trade["trade_id"]
            for trade in trades
            if order_id in (trade["buy_order_id"], trade["sell_order_id"])
        ]
        assert [each["trade_id"] for each in events if each["event"] == "trade"] == mine
        now = get(client, f"/orders/{order_id}")
        traded_quantity = sum(
            Decimal(each["quantity"]) for each in events if each["event"] == "trade"
        )
        assert traded_quantity == now["filled_quantity"]
        ended = [each["reason"] for each in events if each["event"] == "order_ended"]
        assert ended == ([now["reason"]] if now["reason"] else [])


@pytest.mark.slow
def test_figures_add_up_from_the_trades(traded: tuple[httpx.Client, list[Any]]) -> None:
    client, _ = traded
    trades = get(client, "/trades", limit=1000)["trades"][::-1]
    quantity = sum(Decimal(trade["quantity"]) for trade in trades)
    notional = sum(Decimal(trade["quantity"]) * Decimal(trade["price"]) for trade in trades)
    prices = [Decimal(trade["price"]) for trade in trades]
    stats = get(client, "/trades/stats", window="2h")
    assert (stats["count"], stats["volume"], stats["quote_volume"]) == (
        len(trades), quantity, notional,
    )  # fmt: skip
    assert [stats[name] for name in ("open", "high", "low", "last")] == [
        prices[0], max(prices), min(prices), prices[-1],
    ]  # fmt: skip
    assert stats["vwap"] == (notional / quantity).quantize(Decimal("0.000001"))
    for interval in (1, 5, 60):
        found = get(client, "/market/analytics", interval=interval)
        buckets = found["aggregates"]
        assert sum(each["trade_count"] for each in buckets) == len(trades)
        assert sum(Decimal(each["total_quantity"]) for each in buckets) == quantity
        assert sum(Decimal(each["total_volume"]) for each in buckets) == notional
        assert found["overall_vwap"] == stats["vwap"]
        assert (buckets[0]["open"], buckets[-1]["close"]) == (prices[0], prices[-1])


@pytest.mark.slow
def test_positions_net_to_nothing(traded: tuple[httpx.Client, list[Any]]) -> None:
    client, _ = traded
    found = [get(client, f"/market/positions/client-{n}")["positions"][0] for n in range(3)]
    assert sum(Decimal(each["net_quantity"]) for each in found) == 0
    # What one gained another lost, once everything is marked at one price.
    gains = [Decimal(each["realized_pnl"]) + Decimal(each["unrealized_pnl"]) for each in found]
    assert sum(gains) == 0
    assert any(gains)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/trades/stats?window=5y", "window"),
        ("/trades/stats?window=0m", "window"),
        ("/trades/stats?instrument=NONE", "instrument"),
        ("/market/analytics?interval=0", "interval"),
        ("/market/analytics?start_time=yesterday", "start_time"),
        ("/market/analytics?start_time=0001-01-01T00:00:00Z", "start_time"),
        ("/market/analytics?end_time=2026-01-01&start_time=2026-01-02", "end_time"),
        ("/market/positions/%20", "client_id"),
        ("/orders/order-1/events?cursor=x", "cursor"),
        ("/market/positions/a?depth=3", "depth"),
    ],
)
def test_what_makes_no_sense_is_a_400(
    path: str, field: str, traded: tuple[httpx.Client, list[Any]]
) -> None:
    reply = traded[0].get(path)
    assert reply.status_code == 400, reply.text
    assert reply.json()["errors"][0]["field"] == field


@pytest.mark.slow
def test_what_never_was_is_a_404(traded: tuple[httpx.Client, list[Any]]) -> None:
    for path in ("/orders/never", "/orders/never/events"):
        reply = traded[0].get(path)
        assert (reply.status_code, reply.json()["code"]) == (404, "unknown_order")


@pytest.mark.slow
def test_without_a_ledger_history_is_a_503(make_server: Callable[..., Server]) -> None:
    server = make_server(ledger_url="none").start()
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        refused = client.get("/trades/stats")
        assert (refused.status_code, refused.json()["code"]) == (503, "ledger_off")
        assert int(refused.headers["retry-after"]) > 0
        assert client.get("/orders/never").status_code == 404
        assert client.get("/orders").json()["orders"] == []
        health = client.get("/healthz").json()
        assert (health["status"], health["checks"]["ledger"]["status"]) == ("healthy", "off")
    assert not (server.data_dir / "ledger.db").exists()


@pytest.mark.slow
def test_a_ledger_that_is_not_made_yet_is_said_to_be_so(
    make_server: Callable[..., Server],
) -> None:
    server = make_server(follower="false")
    server.data_dir.mkdir(parents=True)
    (server.data_dir / LEDGER_FILE).touch()  # as the follower leaves it at first
    server.start()
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        for _ in range(2):  # by the question, then by the breaker
            reply = client.get("/trades/stats")
            problem = reply.json()
            assert (reply.status_code, problem["code"]) == (503, "ledger_away")
            assert problem["detail"] == (
                "the ledger cannot be asked now: the ledger is not made yet; the follower makes it"
            )
