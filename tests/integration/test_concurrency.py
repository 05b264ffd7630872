"""Many clients at once: totals are right, nothing fills twice, one key is one order."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import httpx
import pytest

from tests.conftest import PATIENCE_SECONDS, Server
from tests.integration.http_client import Answer, close_all, open_many, order

CLIENTS = 1000


class Market(NamedTuple):
    """Where a test trades."""

    port: int
    url: str
    name: str

    def order(self, client_id: str = "A", **fields: Any) -> dict[str, Any]:
        return order(client_id, instrument=self.name, **fields)

    def book(self) -> Any:
        return httpx.get(
            f"{self.url}/orderbook", params={"instrument": self.name}, timeout=PATIENCE_SECONDS
        ).json()


def decimals(value: Any) -> Decimal:
    return Decimal(str(value))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("shared") / "data").start()
    yield server
    server.close()


@pytest.fixture
def market(shared: Server, request: pytest.FixtureRequest) -> Market:
    """A server, and an instrument of the test's own."""
    name = request.node.name.removeprefix("test_")[:32]
    asked = {"name": name, "base": "X", "quote": "USD", "tick_size": 1, "lot_size": 1}
    assert (
        httpx.post(
            f"{shared.url}/admin/instruments", json=asked, timeout=PATIENCE_SECONDS
        ).status_code
        == 201
    )
    return Market(shared.port, shared.url, name)


async def all_at_once(port: int, bodies: list[dict[str, Any]], key: str | None) -> list[Answer]:
    """Every body on a connection of its own, all sent before any answer is read."""
    connections = await open_many(port, len(bodies))
    try:
        return await asyncio.gather(
            *(
                each.request("POST", "/orders", body, key)
                for each, body in zip(connections, bodies, strict=True)
            )
        )
    finally:
        await close_all(connections)


def send_all(market: Market, bodies: list[dict[str, Any]], key: str | None = None) -> list[Answer]:
    return asyncio.run(all_at_once(market.port, bodies, key))


def final_orders(market: Market, answers: list[Answer]) -> list[dict[str, Any]]:
    with httpx.Client(base_url=market.url, timeout=PATIENCE_SECONDS) as client:
        return [client.get(f"/orders/{each.json['order_id']}").json() for each in answers]


def all_trades(market: Market) -> list[dict[str, Any]]:
    """Every trade, page by page."""
    listed: list[dict[str, Any]] = []
    query = {"instrument": market.name, "limit": 1000}
    before = ""
    with httpx.Client(base_url=market.url, timeout=PATIENCE_SECONDS) as client:
        while True:
            page = client.get("/trades", params=query | {"before": before}).json()
            listed += page["trades"]
            if page["count"] < 1000:
                return listed
            before = listed[-1]["trade_id"]


def check_fills(orders: list[dict[str, Any]], trades: list[dict[str, Any]]) -> None:
    """Each order's filled quantity is the sum of its trades, and none is over its quantity."""
    assert len({each["trade_id"] for each in trades}) == len(trades)
    filled: Counter[str] = Counter()
    for trade in trades:
        filled[trade["buy_order_id"]] += decimals(trade["quantity"])  # type: ignore[assignment]
        filled[trade["sell_order_id"]] += decimals(trade["quantity"])  # type: ignore[assignment]
    for each in orders:
        assert decimals(each["filled_quantity"]) == filled[each["order_id"]]
        assert decimals(each["filled_quantity"]) <= decimals(each["quantity"])


@pytest.mark.slow
def test_1000_clients_at_once_at_one_price(market: Market):
    quantities = [1 + number % 7 for number in range(CLIENTS)]
    bodies = [
        market.order(f"client-{number}", side="buy" if number % 2 else "sell", quantity=quantity)
        for number, quantity in enumerate(quantities)
    ]
    answers = send_all(market, bodies)
    assert {each.status for each in answers} == {201}
    assert len({each.json["order_id"] for each in answers}) == CLIENTS
    assert len({each.json["sequence"] for each in answers}) == CLIENTS
    orders, trades = final_orders(market, answers), all_trades(market)
    check_fills(orders, trades)
    bought = sum(quantities[1::2])
    sold = sum(quantities[0::2])
    traded = sum(decimals(each["quantity"]) for each in trades)
    assert traded == min(bought, sold)
    book = market.book()
    assert decimals(book["bid_total"]) == bought - traded
    assert decimals(book["ask_total"]) == sold - traded


@pytest.mark.slow
def test_market_orders_at_once_exhaust_the_book_and_no_more(market: Market):
    makers = [market.order("maker", side="sell", price=100 + number % 5) for number in range(60)]
    makers_answers = send_all(market, makers)
    takers = [
        market.order(f"taker-{number}", type="market", price=None, quantity=2)
        for number in range(50)
    ]
    answers = send_all(market, takers)
    assert {each.status for each in answers} == {201}
    trades = all_trades(market)
    check_fills(final_orders(market, answers + makers_answers), trades)
    assert sum(decimals(each["quantity"]) for each in trades) == 60
    kinds = Counter((each.json["status"], each.json["reason"]) for each in answers)
    assert kinds == {("filled", None): 30, ("cancelled", "book_exhausted"): 20}
    book = market.book()
    assert (book["bids"], book["asks"]) == ([], [])


@pytest.mark.slow
def test_one_key_from_50_connections_at_once_is_one_order(market: Market):
    httpx.post(
        f"{market.url}/orders",
        json=market.order("maker", side="sell", quantity=50),
        timeout=PATIENCE_SECONDS,
    )
    body = market.order("taker", type="market", price=None)
    answers = send_all(market, [body] * 50, key="once")
    assert {each.status for each in answers} == {201}
    assert len({each.body for each in answers}) == 1
    replayed = Counter(each.headers.get("idempotency-replayed") for each in answers)
    assert replayed == {None: 1, "true": 49}
    assert [decimals(each["quantity"]) for each in all_trades(market)] == [1]


@pytest.mark.slow
def test_one_key_with_other_bodies_at_once_is_one_order(market: Market):
    bodies = [market.order("A", quantity=1 + number % 2) for number in range(40)]
    answers = send_all(market, bodies, key="once")
    by_status = Counter(each.status for each in answers)
    assert by_status == {201: 20, 422: 20}
    refused = {each.json["code"] for each in answers if each.status == 422}
    assert refused == {"idempotency_key_reused"}
    book = market.book()
    assert book["bids"][0]["orders"] == 1


@pytest.mark.slow
def test_one_batch_from_20_connections_at_once_is_one_batch(market: Market):
    operations = [
        {"op": "place", "order": market.order("A", order_id=f"batched-{i}")} for i in range(50)
    ]
    operations.insert(10, {"op": "place", "order": market.order("A", price=0)})
    body = {"operations": operations, "idempotency_key": "whole"}

    async def send() -> list[Answer]:
        connections = await open_many(market.port, 20)
        try:
            return await asyncio.gather(
                *(each.request("POST", "/orders/batch", body) for each in connections)
            )
        finally:
            await close_all(connections)

    answers = asyncio.run(send())
    assert {each.status for each in answers} == {200}
    assert len({each.body for each in answers}) == 1
    assert Counter("idempotency-replayed" in each.headers for each in answers)[False] == 1
    statuses = [each["status"] for each in answers[0].json["outcomes"]]
    assert statuses == [201] * 10 + [400] + [201] * 40
    assert market.book()["bids"][0]["orders"] == 50
