"""One key, one answer: byte for byte, whatever happened since, over a kill and a restart."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from tests.conftest import PATIENCE_SECONDS, Server
from tests.integration.http_client import Answer, Connection, order

MakeServer = Callable[..., Server]


class Client:
    """Requests to one server, one connection at a time.

    Every client and order it names gets the tag, and every order its instrument, so that tests
    that share a server do not meet.
    """

    def __init__(self, server: Server, tag: str = "", instrument: str = "BTC-USD") -> None:
        self.server = server
        self.tag = tag
        self.instrument = instrument

    def __call__(self, method: str, path: str, body: Any = None, key: str | None = None) -> Answer:
        path = re.sub(r"(/orders/|client_id=)(o\d|s\d|[AB]\b|nobodys)", rf"\1\2{self.tag}", path)

        async def ask() -> Answer:
            connection = await Connection.open(self.server.port)
            try:
                return await connection.request(method, path, self._tagged(body), key)
            finally:
                await connection.close()

        return asyncio.run(_with_deadline(ask()))

    def _tagged(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._tagged(each) for each in value]
        if not isinstance(value, dict):
            return value
        tagged = {name: self._tagged(each) for name, each in value.items()}
        for name in {"client_id", "order_id"} & tagged.keys():
            tagged[name] += self.tag
        return {"instrument": self.instrument, **tagged} if "side" in tagged else tagged

    def place(self, key: str | None = None, **fields: Any) -> Answer:
        return self("POST", "/orders", order(**fields), key)

    def book(self) -> Any:
        return self("GET", f"/orderbook?instrument={self.instrument}").json


async def _with_deadline(asked: Awaitable[Answer]) -> Answer:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await asked


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all of these tests; it may be killed and started again."""
    server = Server(tmp_path_factory.mktemp("shared") / "data").start()
    yield server
    server.close()


@pytest.fixture
def client(shared: Server, request: pytest.FixtureRequest) -> Client:
    tag = f"-{zlib.crc32(request.node.name.encode()):x}"
    instrument = {"name": f"X{tag}", "base": "X", "quote": "USD", "tick_size": 1, "lot_size": 1}
    client = Client(shared, tag, instrument["name"])
    assert client("POST", "/admin/instruments", instrument).status == 201
    return client


def is_replay_of(first: Answer, again: Answer) -> bool:
    assert "idempotency-replayed" not in first.headers
    assert again.headers.get("idempotency-replayed") == "true"
    assert first.headers["content-type"] == again.headers["content-type"]
    return (first.status, first.body) == (again.status, again.body)


@pytest.mark.slow
def test_the_first_answer_again_after_fills_a_cancel_and_a_kill(client: Client):
    first = client.place("k1", order_id="o1", quantity=3)
    assert (first.status, first.json["status"]) == (201, "open")
    assert is_replay_of(first, client.place("k1", order_id="o1", quantity=3))
    client.place(client_id="B", side="sell", order_id="s1")
    assert is_replay_of(first, client.place("k1", order_id="o1", quantity="3.0"))
    cancelled = client("DELETE", "/orders/o1", None, "k2")
    assert cancelled.json["status"] == "cancelled"
    assert is_replay_of(first, client.place("k1", order_id="o1", quantity=3))
    assert is_replay_of(cancelled, client("POST", "/orders/o1/cancel", None, "k2"))
    client.server.kill()
    client.server.start()
    assert is_replay_of(first, client.place("k1", order_id="o1", quantity=3))
    assert is_replay_of(cancelled, client("DELETE", "/orders/o1", {}, "k2"))
    assert client("GET", "/orders/o1").json["filled_quantity"] == 1


@pytest.mark.slow
def test_trades_and_average_are_those_of_the_first_answer(client: Client):
    for price in (100, 101, 103):
        client.place(client_id="B", side="sell", price=price)
    first = client.place("k1", type="market", price=None, quantity=5)
    assert (len(first.json["trades"]), first.json["reason"]) == (3, "book_exhausted")
    client.place(client_id="B", side="sell", price=104)
    assert is_replay_of(first, client.place("k1", type="market", price=None, quantity=5))
    client.server.kill()
    client.server.start()
    assert is_replay_of(first, client.place("k1", type="market", price=None, quantity=5))


@pytest.mark.slow
def test_what_a_rule_refused_is_kept(client: Client):
    client.place(client_id="B", side="sell", order_id="s1")
    refused = client.place("k1", post_only=True)
    assert (refused.status, refused.json["status"]) == (422, "rejected")
    assert refused.json["reason"] == "post_only_would_cross"
    assert refused.headers["content-type"] == "application/json"
    client("DELETE", "/orders/s1")
    assert is_replay_of(refused, client.place("k1", post_only=True))
    assert client.place(post_only=True).status == 201


@pytest.mark.slow
def test_another_body_is_refused_and_does_nothing(client: Client):
    first = client.place("k1")
    for change in ({"quantity": 2}, {"side": "sell"}, {"order_id": "x"}, {"time_in_force": "ioc"},
                   {"post_only": True}, {"instrument": "ETH-USD"}):  # fmt: skip
        other = client.place("k1", **change)
        assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
        assert other.headers["content-type"] == "application/problem+json"
        assert "idempotency-replayed" not in other.headers
    batch = {"operations": [{"op": "place", "order": order()}]}
    assert client("POST", "/orders/batch", batch, "k1").status == 422
    cancel = client("DELETE", f"/orders/{first.json['order_id']}", None, "k1")
    assert (cancel.status, cancel.json["code"]) == (422, "idempotency_key_reused")
    assert is_replay_of(first, client.place("k1"))
    assert client.book()["bids"][0]["orders"] == 1


@pytest.mark.slow
def test_a_key_is_its_clients_own(client: Client):
    first, other = client.place("k1", client_id="A"), client.place("k1", client_id="B")
    assert (first.status, other.status) == (201, 201)
    assert first.json["order_id"] != other.json["order_id"]


@pytest.mark.slow
def test_header_and_body_must_agree(client: Client):
    first = client.place("k1", idempotency_key="k1")
    assert is_replay_of(first, client.place("k1"))
    assert is_replay_of(first, client.place(idempotency_key="k1"))
    wrong = client.place("k1", idempotency_key="k2")
    assert (wrong.status, wrong.json["code"]) == (400, "idempotency_key_conflict")
    assert client.place("no key").status == 400


@pytest.mark.slow
def test_what_was_malformed_is_not_kept(client: Client):
    assert client.place("k1", price=0).status == 400
    first = client.place("k1")
    assert first.status == 201
    assert "idempotency-replayed" not in first.headers


@pytest.mark.slow
def test_amend_and_mass_cancel(client: Client):
    client.place(order_id="o1", quantity=5)
    amended = client("PATCH", "/orders/o1", {"quantity": 4}, "k1")
    assert client("PATCH", "/orders/o1", {"quantity": 3}).json["quantity"] == 3
    assert is_replay_of(amended, client("PATCH", "/orders/o1", {"quantity": "4.0"}, "k1"))
    assert client("PATCH", "/orders/o1", {"quantity": 2}, "k1").status == 422
    swept = client("DELETE", "/orders?client_id=A", None, "k2")
    assert swept.json["order_ids"] == ["o1" + client.tag]
    client.place(order_id="o2")
    assert is_replay_of(swept, client("DELETE", "/orders?client_id=A", None, "k2"))
    assert client("GET", "/orders/o2").json["working"] is True


@pytest.mark.slow
def test_the_key_of_an_order_on_its_way_is_its_clients(client: Client):
    """Place and keyed cancel or amendment in one batch: a repeat of the latter changes nothing."""
    operations = [
        {"op": "place", "order": order(order_id="o1", client_id="F")},
        {"op": "amend", "order_id": "o1", "quantity": 2, "idempotency_key": "k"},
        {"op": "place", "order": order(order_id="o2", client_id="G")},
        {"op": "cancel", "order_id": "o2", "idempotency_key": "k"},
    ]
    done = client("POST", "/orders/batch", {"operations": operations}).json["outcomes"]
    assert [each["status"] for each in done] == [201, 200, 201, 200]
    assert client("PATCH", "/orders/o1", {"quantity": 5}).json["quantity"] == 5
    again = client("PATCH", "/orders/o1", {"quantity": 2}, "k")
    assert (again.status, again.json["quantity"]) == (200, 2)
    assert again.headers["idempotency-replayed"] == "true"
    assert client("GET", "/orders/o1").json["quantity"] == 5
    assert client("DELETE", "/orders/o2", None, "k").json["status"] == "cancelled"


@pytest.mark.slow
def test_nobody_ends_or_changes_anothers_order(client: Client):
    client.place(order_id="o1", client_id="A")
    thief = {"client_id": "T"}
    assert client("POST", "/orders/o1/cancel", thief).status == 404
    assert client("PATCH", "/orders/o1", {"quantity": 2, **thief}).status == 404
    assert client("GET", "/orders/o1").json["working"] is True


@pytest.mark.slow
def test_keys_answer_when_their_orders_are_forgotten(make_server: Callable[..., Server]):
    settings: dict[str, Any] = {"closed_orders_max": 1, "idempotency_keys_max": 40}
    server = make_server(**settings, ledger_url="none").start()  # a ledger would not forget
    client = Client(server, "-gone", "BTC-USD")
    client.place(order_id="first", client_id="Z")  # client number 0, whose quota is not touched
    for name in ("o1", "o2"):
        client.place(order_id=name, quantity=5)
    amended = client("PATCH", "/orders/o1", {"quantity": 3}, "ka")
    ended = [client("DELETE", f"/orders/{name}", None, f"k{name}") for name in ("o1", "o2")]
    for name in ("x1", "x2"):
        client.place(order_id=name, time_in_force="ioc")
    assert client("GET", "/orders/o1").status == 404
    server.kill()
    server.start()
    assert is_replay_of(amended, client("PATCH", "/orders/o1", {"quantity": "3.00"}, "ka"))
    assert is_replay_of(ended[0], client("DELETE", "/orders/o1", None, "ko1"))
    assert is_replay_of(ended[1], client("POST", "/orders/o2/cancel", None, "ko2"))
    for number in range(10):  # a quarter of the window: it is A's that is full, and not Z's
        client.place(f"k{number}", time_in_force="ioc")
    assert client.place("one-more", time_in_force="ioc").status == 429
    assert client.place("z", client_id="Z", time_in_force="ioc").status == 201


@pytest.mark.slow
def test_a_batch_repeated_after_its_first_operation_became_possible(client: Client):
    operations = [
        {"op": "amend", "order_id": "o5", "quantity": 3},
        {"op": "place", "order": order()},
    ]
    first = client("POST", "/orders/batch", {"operations": operations, "client_id": "A"}, "kb")
    assert [each["status"] for each in first.json["outcomes"]] == [404, 201]
    client.place(order_id="o5", quantity=5)
    again = client("POST", "/orders/batch", {"operations": operations, "client_id": "A"}, "kb")
    placed = [each.json["outcomes"][1]["order"]["order_id"] for each in (first, again)]
    assert placed[0] == placed[1]
    assert client("GET", "/orders/o5").json["quantity"] == 5


BATCH = {
    "operations": [
        {"op": "place", "order": order(price=0)},
        {"op": "place", "order": order(order_id="o1", quantity=2)},
        {"op": "place", "order": order(order_id="o2")},
        {"op": "amend", "order_id": "o1", "quantity": 3},
        {"op": "cancel", "order_id": "o2"},
        {"op": "cancel", "order_id": "nobodys"},
        {"op": "dance"},
    ]
}


@pytest.mark.slow
def test_a_batch_is_answered_again_whole(client: Client):
    first = client("POST", "/orders/batch", BATCH, "k1")
    statuses = [each["status"] for each in first.json["outcomes"]]
    assert statuses == [400, 201, 201, 200, 200, 404, 400]
    client.place(client_id="B", side="sell", quantity=2)
    assert is_replay_of(first, client("POST", "/orders/batch", BATCH, "k1"))
    client.server.kill()
    client.server.start()
    keyed = {**BATCH, "idempotency_key": "k1", "client_id": "A"}
    assert is_replay_of(first, client("POST", "/orders/batch", keyed))
    other = {"operations": BATCH["operations"][:-1]}
    refused = client("POST", "/orders/batch", other, "k1")
    assert (refused.status, refused.json["code"]) == (422, "idempotency_key_reused")
    assert client("GET", "/orders/o1").json["filled_quantity"] == 2


@pytest.mark.slow
def test_an_instrument_made_since_does_not_change_the_answer(client: Client):
    operations = [
        {"op": "place", "order": order(instrument="NEW")},
        {"op": "place", "order": order(order_id="o1")},
    ]
    first = client("POST", "/orders/batch", {"operations": operations}, "k1")
    assert [each["status"] for each in first.json["outcomes"]] == [400, 201]
    made = {"name": "NEW", "base": "N", "quote": "USD", "tick_size": 1, "lot_size": 1}
    assert client("POST", "/admin/instruments", made).status == 201
    again = client("POST", "/orders/batch", {"operations": operations}, "k1")
    assert [each["status"] for each in again.json["outcomes"]] == [400, 201]
    assert again.json["outcomes"][1] == first.json["outcomes"][1]
    assert client("GET", "/orderbook?instrument=NEW").json["bids"] == []


@pytest.mark.slow
def test_operations_with_keys_of_their_own(client: Client):
    place = {"op": "place", "order": order(order_id="o1", idempotency_key="k1")}
    cancel = {"op": "cancel", "order_id": "o1"}
    first = client("POST", "/orders/batch", {"operations": [place, cancel]})
    again = client("POST", "/orders/batch", {"operations": [place]})
    assert again.json["outcomes"] == first.json["outcomes"][:1]
    alone = client.place("k1", order_id="o1")
    assert alone.headers["idempotency-replayed"] == "true"
    assert alone.body in first.body


@pytest.mark.slow
def test_a_full_window_of_young_keys_refuses_and_an_old_key_leaves(make_server: MakeServer):
    client = Client(make_server(idempotency_keys_max=8).start())
    assert [client.place(f"k{i}").status for i in range(2)] == [201, 201]
    full = client.place("k2")  # a quarter of the window is one client's
    assert (full.status, full.json["code"]) == (429, "idempotency_window_full")
    assert int(full.headers["retry-after"]) >= 1
    assert client.place("k0").headers["idempotency-replayed"] == "true"
    assert client.place().status == 201
    for number in range(3):
        assert client.place("k", client_id=f"other-{number}").status == 201
        assert client.place("l", client_id=f"other-{number}").status == 201
    assert client.place("k", client_id="last").status == 429
    assert client("GET", "/admin/status").json["idempotency"]["keys"] == 8

    other = make_server(idempotency_keys_max=8, idempotency_window_minutes_min=0).start()
    client = Client(other)
    first = client.place("k0", client_id="first")
    for number in range(8):
        assert client.place("k", client_id=f"other-{number}").status == 201
    again = client.place("k0", client_id="first")
    assert again.status == 201
    assert again.json["order_id"] != first.json["order_id"]


@pytest.mark.slow
def test_a_retry_before_the_sync_gets_its_first_answer(make_server: MakeServer) -> None:
    client = Client(make_server(durability="relaxed=2000").start())
    first = client.place("k1", order_id="o1")
    assert client.place(order_id="o2").status == 201
    again = client.place("k1", order_id="o1")
    assert (again.status, again.body) == (201, first.body)
    assert again.headers["idempotency-replayed"] == "true"
