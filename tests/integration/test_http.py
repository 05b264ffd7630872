"""Every call of the API against the real server: what it answers, and in what form."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest

from novate.gateway.routes import ROUTES
from tests.conftest import PATIENCE_SECONDS, Server
from tests.integration.http_client import order

MakeServer = Callable[..., Server]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("shared") / "data").start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def document(shared: Server) -> dict[str, Any]:
    return httpx.get(f"{shared.url}/openapi.json", timeout=PATIENCE_SECONDS).json()


@pytest.fixture
def client(shared: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared.url, timeout=PATIENCE_SECONDS) as client:
        yield client


@pytest.fixture
def book(client: httpx.Client, request: pytest.FixtureRequest) -> str:
    """An instrument of the test's own."""
    name = request.node.name.removeprefix("test_")[:32].replace("[", ".").replace("]", "")
    asked = {"name": name, "base": "X", "quote": "USD", "tick_size": 0.5, "lot_size": 0.1}
    assert client.post("/admin/instruments", json=asked).status_code == 201
    return name


def place(client: httpx.Client, book: str, **fields: Any) -> dict[str, Any]:
    reply = client.post("/orders", json=order(instrument=book, **fields))
    assert reply.status_code == 201, reply.text
    return reply.json()


def problem(reply: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert reply.headers["content-type"] == "application/problem+json"
    body = reply.json()
    assert (reply.status_code, body["status"], body["code"]) == (status, status, code)
    assert body["type"]
    assert body["title"]
    assert body["detail"]
    return body


ORDER_FIELDS = [
    "order_id", "client_id", "instrument", "side", "type", "time_in_force", "price", "quantity",
    "filled_quantity", "remaining_quantity", "average_price", "status", "working", "reason",
    "created_at", "updated_at", "sequence",
]  # fmt: skip


def test_place_match_and_read_back(client: httpx.Client, book: str):
    maker = place(client, book, order_id="m1", side="sell", price="100.5", quantity=2)
    assert list(maker) == [*ORDER_FIELDS, "trades", "trade_count"]
    assert (maker["status"], maker["working"], maker["trades"]) == ("open", True, [])
    taker = place(client, book, client_id="B", price=101, quantity="0.5")
    assert (taker["status"], taker["working"]) == ("filled", False)
    assert (taker["filled_quantity"], taker["remaining_quantity"]) == (0.5, 0)
    assert taker["average_price"] == 100.5
    (trade,) = taker["trades"]
    assert trade["trade_id"]
    assert trade | {"trade_id": 0, "timestamp": 0, "sequence": 0} == {
        "trade_id": 0, "instrument": book, "price": 100.5, "quantity": 0.5,
        "buy_order_id": taker["order_id"], "sell_order_id": "m1", "taker_side": "buy",
        "timestamp": 0, "sequence": 0,
    }  # fmt: skip
    read = client.get("/orders/m1").json()
    assert (read["status"], read["filled_quantity"]) == ("partially_filled", 0.5)
    assert client.get("/orders/m1").headers["content-type"] == "application/json"


def test_numbers_go_out_as_exact_decimals(client: httpx.Client, book: str):
    reply = client.post("/orders", json=order(instrument=book, price="0.5", quantity="0.1"))
    assert '"price":0.5,"quantity":0.1,' in reply.text
    reply = client.post("/orders", json=order(instrument=book, price="1e3", quantity="3e-1"))
    assert '"price":1000,"quantity":0.3,' in reply.text


def test_how_orders_end(client: httpx.Client, book: str):
    def end(**fields: Any) -> tuple[str, bool, str | None]:
        ended = place(client, book, **fields)
        return ended["status"], ended["working"], ended["reason"]

    market = {"type": "market", "price": None}
    assert end(**market) == ("cancelled", False, "book_exhausted")
    assert end(time_in_force="ioc") == ("cancelled", False, "immediate_or_cancel")
    assert end(time_in_force="fok") == ("cancelled", False, "fill_or_kill")
    place(client, book, side="sell", quantity=1)
    assert end(time_in_force="fok", quantity=2) == ("cancelled", False, "fill_or_kill")
    assert end(time_in_force="ioc", quantity=2)[:2] == ("partially_filled", False)
    place(client, book, side="sell", quantity=1)
    assert end(**market, quantity=3) == ("partially_filled", False, "book_exhausted")
    place(client, book, side="sell", price=100, quantity=5)
    by_quote = place(client, book, **market, quantity=None, quote_quantity="255")
    assert (by_quote["status"], by_quote["filled_quantity"]) == ("filled", 2.5)
    assert (by_quote["quote_quantity"], by_quote["filled_quote_quantity"]) == (255, 250)


def test_post_only(client: httpx.Client, book: str):
    place(client, book, side="sell")
    reply = client.post("/orders", json=order(instrument=book, post_only=True))
    assert (reply.status_code, reply.headers["content-type"]) == (422, "application/json")
    body = reply.json()
    assert (body["status"], body["reason"]) == ("rejected", "post_only_would_cross")
    assert client.get(f"/orders/{body['order_id']}").json()["status"] == "rejected"
    assert place(client, book, post_only=True, price=99)["status"] == "open"


def test_two_idempotency_keys_that_differ(client: httpx.Client, book: str):
    sent = order(instrument=book)
    keys = [("Idempotency-Key", "two-1"), ("Idempotency-Key", "two-2")]
    problem(client.post("/orders", json=sent, headers=keys), 400, "idempotency_key_conflict")
    keys = [("Idempotency-Key", "two-1"), ("idempotency-key", "two-1")]
    assert client.post("/orders", json=sent, headers=keys).status_code == 201


def test_cancel(client: httpx.Client, book: str):
    for number, cancel in enumerate(
        (
            lambda path: client.post(f"{path}/cancel"),
            lambda path: client.post(f"{path}/cancel", json={"client_id": "A"}),
            lambda path: client.delete(path),
        )
    ):
        path = f"/orders/{book}-{number}"
        place(client, book, order_id=f"{book}-{number}")
        reply = cancel(path)
        assert (reply.status_code, reply.json()["status"]) == (200, "cancelled")
        assert reply.json()["reason"] == "by_client"
        again = problem(cancel(path), 409, "already_closed")
        assert again["order"]["order_id"] == f"{book}-{number}"
    problem(client.delete("/orders/never"), 404, "unknown_order")
    problem(client.post("/orders/never/cancel", content=b"{"), 400, "malformed_json")


def test_amend(client: httpx.Client, book: str):
    first, second = (place(client, book, quantity=2)["order_id"] for _ in range(2))
    down = client.patch(f"/orders/{first}", json={"quantity": "1.5"})
    assert (down.status_code, down.json()["quantity"]) == (200, 1.5)
    place(client, book, client_id="B", side="sell", quantity=1)
    assert client.get(f"/orders/{first}").json()["filled_quantity"] == 1  # it kept its place
    assert client.patch(f"/orders/{first}", json={"quantity": 3}).json()["remaining_quantity"] == 2
    place(client, book, client_id="B", side="sell", quantity=1)
    assert client.get(f"/orders/{second}").json()["filled_quantity"] == 1  # now the other is first
    under = client.patch(f"/orders/{first}", json={"quantity": 1})
    assert under.status_code == 422
    place(client, book, client_id="B", side="sell", price=101, quantity=1)
    crossing = client.patch(f"/orders/{first}", json={"price": 101}).json()
    assert crossing["trades"][0]["price"] == 101
    problem(client.patch("/orders/never", json={"price": 1}), 404, "unknown_order")
    problem(client.patch(f"/orders/{first}", json={}), 400, "missing_field")


def test_a_duplicate_order_id(client: httpx.Client, book: str):
    place(client, book, order_id=f"{book}-1")
    again = client.post("/orders", json=order(instrument=book, order_id=f"{book}-1"))
    problem(again, 409, "duplicate_order_id")


def test_batch(client: httpx.Client, book: str):
    operations: list[dict[str, Any]] = [
        {"op": "place", "order": order(instrument=book, order_id=f"{book}-{i}")} for i in range(3)
    ]
    operations += [
        {"op": "amend", "order_id": f"{book}-0", "quantity": 2},
        {"op": "cancel", "order_id": f"{book}-1"},
        {"op": "cancel", "order_id": f"{book}-1"},
        {"op": "place", "order": order(instrument=book, price=0.1)},
        {"op": "amend", "order_id": "never", "quantity": 2},
    ]
    reply = client.post("/orders/batch", json={"operations": operations})
    outcomes = reply.json()["outcomes"]
    assert reply.status_code == 200
    assert [each["status"] for each in outcomes] == [201, 201, 201, 200, 200, 409, 400, 404]
    assert [list(each)[1] for each in outcomes] == ["order"] * 5 + ["problem"] * 3
    sequences = [each["order"]["sequence"] for each in outcomes[:5]]
    assert sequences == list(range(sequences[0], sequences[0] + 5))
    problem(client.post("/orders/batch", json={"operations": []}), 400, "batch_size")


def test_mass_cancel(client: httpx.Client, book: str):
    mine = [place(client, book, client_id="M", side=side, price=price)["order_id"]
            for side, price in (("buy", 1), ("sell", 9), ("buy", 2))]  # fmt: skip
    place(client, book, client_id="N", price=3)
    query = {"client_id": "M", "instrument": book}
    swept = client.delete("/orders", params={**query, "side": "buy"}).json()
    assert (swept["cancelled_count"], swept["order_ids"]) == (2, [mine[2], mine[0]])
    swept = client.delete("/orders", params=query).json()
    assert swept["order_ids"] == [mine[1]]
    assert client.delete("/orders", params={"client_id": "M"}).json()["cancelled_count"] == 0
    problem(client.delete("/orders"), 400, "missing_field")
    problem(client.delete("/orders", params={"client_id": "M", "all": 1}), 400, "unknown_parameter")


def test_list_orders_page_by_page(client: httpx.Client, book: str):
    placed = [place(client, book, client_id=f"L-{i % 2}", price=1 + i % 5)["order_id"]
              for i in range(25)]  # fmt: skip
    client.delete(f"/orders/{placed[0]}")
    query = {"instrument": book, "limit": 10}
    listed: list[str] = []
    cursor = None
    while True:
        page = client.get("/orders", params=query | ({"cursor": cursor} if cursor else {})).json()
        assert page["count"] == len(page["orders"]) <= 10
        listed += [each["order_id"] for each in page["orders"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert listed == placed[::-1]
    one = client.get("/orders", params={"client_id": "L-0", "instrument": book, "limit": 1000})
    assert [each["order_id"] for each in one.json()["orders"]] == placed[::-2]
    ended = client.get("/orders", params={"instrument": book, "status": "cancelled"}).json()
    assert [each["order_id"] for each in ended["orders"]] == placed[:1]
    problem(client.get("/orders", params={"status": "lost"}), 400, "invalid_value")


def test_orderbook(client: httpx.Client, book: str):
    for side, price, quantity in (("buy", 99, 1), ("buy", 98, 2), ("buy", 99, "0.5"),
                                  ("sell", 101, 3), ("sell", 102, 1)):  # fmt: skip
        last = place(client, book, side=side, price=price, quantity=quantity)
    seen = client.get("/orderbook", params={"instrument": book}).json()
    assert list(seen) == ["instrument", "sequence", "timestamp", "bids", "asks",
                          "bid_total", "ask_total"]  # fmt: skip
    assert (seen["sequence"], seen["timestamp"]) == (last["sequence"], last["updated_at"])
    assert seen["bids"] == [
        {"price": 99, "quantity": 1.5, "orders": 2, "cumulative": 1.5},
        {"price": 98, "quantity": 2, "orders": 1, "cumulative": 3.5},
    ]
    assert [each["price"] for each in seen["asks"]] == [101, 102]
    assert (seen["bid_total"], seen["ask_total"]) == (3.5, 4)
    one = client.get("/market/orderbook", params={"instrument": book, "levels": 1}).json()
    assert (len(one["bids"]), len(one["asks"])) == (1, 1)
    for levels in ("0", "1001", "-1", "x", "1.5", "٣", "9" * 99):
        problem(client.get("/orderbook", params={"levels": levels}), 400, "invalid_value")
    problem(client.get("/orderbook", params={"instrument": "NO"}), 400, "unknown_instrument")
    assert client.get("/orderbook").json()["instrument"] == "BTC-USD"


def test_trades_page_by_page(client: httpx.Client, book: str):
    for number in range(7):
        place(client, book, side="sell", price=1 + number)
        place(client, book, client_id="B", price=1 + number)
    query = {"instrument": book, "limit": 3}
    first = client.get("/trades", params=query).json()
    assert (first["instrument"], first["count"]) == (book, 3)
    assert [each["price"] for each in first["trades"]] == [7, 6, 5]
    before = {"before": first["trades"][-1]["trade_id"]}
    rest = client.get("/market/trades", params={**query, **before, "limit": 9}).json()
    assert [each["price"] for each in rest["trades"]] == [4, 3, 2, 1]
    detailed = client.get("/trades/detailed", params=query).json()["trades"][0]
    assert (detailed["buy_client_id"], detailed["sell_client_id"]) == ("B", "A")
    for unknown in ("x", "1-2", "\x00", "é", "0-" + "9" * 99 + "-0"):
        reply = client.get("/trades", params={**query, "before": unknown})
        problem(reply, 400, "unknown_trade")


def test_instruments(client: httpx.Client, book: str):
    listed = client.get("/instruments").json()
    names = [each["instrument"] for each in listed["instruments"]]
    assert names[:2] == ["BTC-USD", "ETH-USD"]
    assert book in names
    one = client.get("/instruments/BTC-USD").json()
    assert (one["tick_size"], one["lot_size"]) == (0.01, 0.00000001)
    problem(client.get("/instruments/NO"), 404, "unknown_instrument")
    asked = {"name": book, "base": "X", "quote": "Y", "tick_size": 1, "lot_size": 1}
    problem(client.post("/admin/instruments", json=asked), 409, "instrument_exists")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "a b"}, "name"), ({"name": "x" * 33}, "name"), ({"base": None}, "base"),
        ({"tick_size": 0}, "tick_size"), ({"tick_size": "1e-19"}, "tick_size"),
        ({"lot_size": "x"}, "lot_size"), ({"lot_size": None}, "lot_size"),
        ({"quote_scale": 1, "tick_size": 0.001}, "quote_scale"),
        ({"quote_scale": 99}, "quote_scale"), ({"quote_scale": 19}, "quote_scale"),
        ({"tick_size": "123456789.123456789"}, "tick_size"), ({"price_max": 0}, "price_max"),
        ({"quantity_min": 5, "quantity_max": 4}, "quantity_min"), ({"colour": 1}, "colour"),
        ({"tick_size": "1e-18", "lot_size": "1e-18"}, "quote_scale"),
    ],
)  # fmt: skip
def test_an_instrument_that_makes_no_sense(client: httpx.Client, change: Any, field: str):
    asked = {"name": "NONE", "base": "X", "quote": "Y", "tick_size": 1, "lot_size": 1} | change
    reply = client.post("/admin/instruments", json=asked)
    assert reply.status_code == 400
    assert reply.json()["errors"][0]["field"] == field


def test_instruments_of_every_grid(client: httpx.Client):
    for number, (tick, lot) in enumerate(
        (("1", "1"), ("0.00000001", "0.00000001"), ("1e-12", "1e-12"), ("1000000000", "1"),
         ("2.5", "100"), ("0.01", "1000000"))
    ):  # fmt: skip
        name = f"GRID-{number}"
        asked = {"name": name, "base": "X", "quote": "Y", "tick_size": tick, "lot_size": lot}
        reply = client.post("/admin/instruments", json=asked)
        assert reply.status_code == 201, reply.text
        placed = place(client, name, price=tick, quantity=lot)
        assert (placed["price"], placed["quantity"]) == (float(tick), float(lot))


def test_the_finest_quote_scale(client: httpx.Client):
    asked = {"name": "FINE", "base": "X", "quote": "Y", "tick_size": 1, "lot_size": 1}
    reply = client.post("/admin/instruments", json=asked | {"quote_scale": 18})
    assert reply.status_code == 201, reply.text
    price, quantity = 10**12, 10**3  # worth as much as accounts take: 10^33 units
    place(client, "FINE", side="sell", price=price, quantity=quantity)
    budget = 10**15 - 1
    spent = place(
        client, "FINE", type="market", price=None, quantity=None, quote_quantity=str(budget)
    )
    assert (spent["filled_quantity"], spent["filled_quote_quantity"]) == (999, 999 * price)
    assert spent["average_price"] == price


def test_health_and_readiness(client: httpx.Client):
    health = client.get("/healthz")
    assert health.status_code == 200
    assert health.json()["checks"]["journal"]["status"] == "ok"
    assert client.get("/readyz").json()["status"] == "ready"


def test_snapshots(client: httpx.Client, book: str):
    last = place(client, book)
    for path in ("/admin/snapshot", "/market/orderbook/snapshot"):
        taken = client.post(path)
        assert taken.status_code == 201, taken.text
        assert taken.json()["sequence"] > last["sequence"]
        listed = client.get("/admin/snapshots").json()
        assert listed["snapshots"][0]["sequence"] == taken.json()["sequence"]


def test_status_and_metrics(client: httpx.Client, book: str):
    before = client.get("/admin/status").json()["sequence"]
    place(client, book)
    assert client.get("/admin/status").json()["sequence"] == before + 1
    reply = client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    assert 'orders_received_total{side="buy",type="limit"}' in reply.text
    assert 'http_requests_total{route="/orders",status="201"}' in reply.text


def test_what_is_not_there(client: httpx.Client):
    problem(client.get("/nothing"), 404, "not_found")
    problem(client.get("/orders/"), 404, "not_found")
    problem(client.get("/trades/nothing"), 404, "not_found")
    problem(client.get("/stream"), 426, "upgrade_required")
    reply = client.put("/orders/x")
    problem(reply, 405, "method_not_allowed")
    assert reply.headers["allow"] == "DELETE, GET, HEAD, PATCH"
    assert client.head("/orderbook").status_code == 200
    assert client.head("/orderbook").content == b""


def test_a_head_is_answered_wherever_a_get_is(client: httpx.Client):
    for path, status in (("/", 200), ("/docs", 200), ("/stream", 426), ("/instruments/none", 404)):
        get, head = client.get(path), client.head(path)
        assert (get.status_code, head.status_code) == (status, status)
        assert head.content == b""
        assert head.headers["content-type"] == get.headers["content-type"]
        assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.slow
def test_every_method_on_every_route(client: httpx.Client):
    """Never a 500, and a 405 that names what is allowed for every method that is not."""
    routes = [(route.path, route.method) for route in ROUTES]
    routes += [("/", "GET"), ("/stream", "GET")]
    patterns = [(re.sub(r"\{[a-z_]+\}", "[^/]+", path), method) for path, method in routes]
    for path in dict(routes):
        url = re.sub(r"\{[a-z_]+\}", "none", path)
        allowed = {method for pattern, method in patterns if re.fullmatch(pattern, url)}
        allowed |= {"HEAD"} if "GET" in allowed else set()
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "TRACE", "PATCH", "DELETE", "POST", "BREW"):
            reply = client.request(method, url)
            assert reply.status_code != 500, (method, url, reply.text)
            if method in allowed:
                assert reply.status_code != 405, (method, url)
            elif method != "BREW":  # which is no HTTP to the parser
                assert reply.status_code == 405, (method, url, reply.text)
    assert 'status="500"' not in client.get("/metrics").text


def test_a_body_too_large(client: httpx.Client):
    for size in (2**20 + 1, 8 * 2**20):
        reply = client.post("/orders", content=b" " * size)
        problem(reply, 413, "body_too_large")
        assert reply.headers["connection"] == "close"
    chunks = (b" " * 2**16 for _ in range(20))
    problem(client.post("/orders", content=chunks), 413, "body_too_large")


@pytest.mark.slow
def test_a_client_past_its_rate(make_server: MakeServer):
    server = make_server(rate_limit_per_second=1, rate_limit_burst=1000).start()
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        operations = [{"op": "place", "order": order()}] * 1000
        assert client.post("/orders/batch", json={"operations": operations}).status_code == 200
        # One a second comes back meanwhile, and so a slow machine may place some more.
        replies = (client.post("/orders", json=order()) for _ in range(1000))
        reply = next(each for each in replies if each.status_code != 201)
        problem(reply, 429, "rate_limited")
        assert int(reply.headers["retry-after"]) >= 1
        problem(client.post("/orders/batch", json={"operations": operations}), 429, "rate_limited")
        assert client.post("/orders", json=order("other")).status_code == 201
        assert 'orders_rejected_total{reason="rate_limited"} 2.0' in client.get("/metrics").text


def test_documentation_works_without_a_network(client: httpx.Client, document: dict[str, Any]):
    page = client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "://" not in page.text.replace("http://127.0.0.1:8000", "")
    for route in ROUTES:
        assert f">{route.path}</code>" in page.text
        assert route.method.lower() in document["paths"][route.path]
    assert client.get("/").text == page.text


@pytest.mark.slow
def test_replies_are_as_documented(client: httpx.Client, book: str, document: dict[str, Any]):
    def holds(name: str, reply: httpx.Response) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema_rs.Draft202012Validator(schema).validate(reply.json())

    place(client, book, side="sell", order_id=f"{book}-1")
    holds("Order", client.post("/orders", json=order("B", instrument=book)))
    market = order(type="market", price=None, quantity=None, quote_quantity=5, instrument=book)
    holds("Order", client.post("/orders", json=market))
    holds("Problem", client.delete(f"/orders/{book}-1"))
    holds("Problem", client.post("/orders", json={}))
    operations = [{"op": "place", "order": order(instrument=book)}, {"op": "x"}]
    holds("Outcomes", client.post("/orders/batch", json={"operations": operations}))
    query = {"instrument": book}
    for name, path in (
        ("OrderBook", "/orderbook"), ("Trades", "/trades"), ("DetailedTrades", "/trades/detailed"),
        ("Orders", "/orders"),
    ):  # fmt: skip
        holds(name, client.get(path, params=query))
    holds("Order", client.get(f"/orders/{book}-1"))
    holds("Instruments", client.get("/instruments"))
    holds("Instrument", client.get(f"/instruments/{book}"))
    holds("MassCancelled", client.delete("/orders", params={"client_id": "A"}))
    holds("Health", client.get("/healthz"))
    holds("Readiness", client.get("/readyz"))
    holds("Snapshot", client.post("/admin/snapshot"))
    holds("Snapshots", client.get("/admin/snapshots"))
    empty = {"name": f"{book}0", "base": "X", "quote": "Y", "tick_size": 1, "lot_size": 1}
    holds("Instrument", client.post("/admin/instruments", json=empty))
    holds("OrderBook", client.get("/orderbook", params={"instrument": f"{book}0"}))
