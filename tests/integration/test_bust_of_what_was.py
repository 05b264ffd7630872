"""A bust undoes the trade that was, with the fee that was: memory or ledger say it, no caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import count
from typing import Any

import httpx
import pytest

from novate import reconcile
from novate.config import Settings
from tests.conftest import PATIENCE_SECONDS, Server
from tests.integration.test_busted_trades import wait_for_ledger
from tests.integration.test_clearing import FEES, fund, funded, place, read
from tests.postgres import Postgres

pytestmark = pytest.mark.slow

KEPT = 4
NUMBERS = count()
BOTH = pytest.mark.parametrize("server", ["sqlite", "postgresql"], indirect=True)
MakeServer = Callable[..., Server]
TENFOLD = [{"maker_bps": -5, "taker_bps": 30}]


@pytest.fixture
def server(request: pytest.FixtureRequest, make_server: MakeServer, postgres: Postgres) -> Server:
    """A running server that remembers few trades, its ledger in SQLite unless told otherwise."""
    flags: dict[str, Any] = {"trades_per_instrument_max": KEPT}
    if getattr(request, "param", "sqlite") == "postgresql":
        flags["ledger_url"] = postgres.make_database(f"busts_{next(NUMBERS)}")
    return make_server(**flags).start()


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        yield client


def charge(client: httpx.Client, fees: list[dict[str, object]]) -> None:
    read(client.post("/admin/instruments/BTC-USD/clearing", json={"fees": fees}))


def trade(client: httpx.Client, quantity: object = 2, price: object = 100) -> dict[str, Any]:
    """Sold by ann to bob, who takes."""
    place(client, "ann", "sell", quantity, price)
    made: dict[str, Any] = place(client, "bob", "buy", quantity, price)["trades"][0]
    return made


def let_it_leave_memory(client: httpx.Client) -> None:
    """As many trades as are remembered, of clients that nobody else looks at."""
    for _ in range(KEPT):
        place(client, "eve", "sell", 1, 100)
        last = place(client, "eve", "buy", 1, 100)
    wait_for_ledger(client, last["sequence"])


def bust(client: httpx.Client, trade_id: str, **members: object) -> httpx.Response:
    return client.post(f"/admin/trades/{trade_id}/bust", json={"instrument": "BTC-USD", **members})


def check_reconciles(server: Server) -> None:
    """Stop a server; its ledger agrees with its journal, and every bust with its trade."""
    assert server.stop() == 0
    changed = {name: str(value) for name, value in server.flags.items() if name == "ledger_url"}
    assert reconcile.run(Settings(data_dir=server.data_dir, port=0, **changed)) == 0


def owed(client: httpx.Client) -> dict[tuple[str | None, str], Decimal]:
    """What the open cycle comes to, but for nothing and for eve."""
    rows = read(client.get("/settlements/open"))["obligations"]
    return {
        (row["client_id"], row["asset"]): Decimal(row["amount"])
        for row in rows
        if row["amount"] and row["client_id"] != "eve"
    }


def test_a_trade_that_never_was_is_not_busted(client: httpx.Client) -> None:
    made = trade(client)
    place(client, "eve", "buy", 1, 50)
    wait_for_ledger(client, made["sequence"] + 1)
    before = owed(client)
    whole = {"price": 555, "quantity": 3, "buy_client_id": "ann", "sell_client_id": "bob"}
    _, seq, _ = made["trade_id"].split("-")
    for trade_id in ("0-1-0", f"0-{seq}-1", f"0-{int(seq) + 1}-0", "0-999999-0", "0-0-0", "1-1-0"):
        for members in ({}, whole, {**whole, "new_price": 5, "new_quantity": 5}):
            refused = bust(client, trade_id, **members)
            assert (refused.status_code, refused.json()["code"]) == (404, "unknown_trade")
    elsewhere = client.post(
        f"/admin/trades/{made['trade_id']}/bust", json={"instrument": "ETH-USD"}
    )
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (404, "unknown_trade")
    assert "of ETH-USD" in elsewhere.json()["detail"]
    assert owed(client) == before


DIFFERING = [
    ({"price": "100.01"}, "price", "expected 100 as the trade had it, found"),
    ({"quantity": "0.00000001"}, "quantity", "expected 2 as the trade had it, found"),
    ({"buy_client_id": "ann"}, "buy_client_id", "expected 'bob' as the trade had it, found 'ann'"),
    ({"sell_client_id": "zoe"}, "sell_client_id", "expected 'ann' as"),
    ({"buy_fee": 0}, "buy_fee", "expected 0.06 as the trade had it, found 0"),
    ({"sell_fee": "0.01"}, "sell_fee", "expected -0.01 as the trade had it, found"),
]


@BOTH
def test_what_the_caller_says_of_a_trade_only_confirms_it(client: httpx.Client) -> None:
    charge(client, FEES)
    made = trade(client)
    before = owed(client)

    def answers() -> list[bytes]:
        found = []
        for members, field, message in DIFFERING:
            refused = bust(client, made["trade_id"], **members)
            assert refused.status_code == 409, refused.text
            problem = refused.json()
            assert (problem["code"], problem["errors"][0]["field"]) == ("trade_differs", field)
            assert problem["errors"][0]["message"].startswith(message)
            found.append(refused.content)
        both = bust(client, made["trade_id"], price=1, quantity=1).json()
        assert [each["field"] for each in both["errors"]] == ["price", "quantity"]
        return found

    remembered = answers()
    let_it_leave_memory(client)
    assert answers() == remembered  # of the ledger's trade the same is said
    assert owed(client) | {(None, "USD"): 0} == before | {(None, "USD"): 0}
    whole = {
        "price": 100, "quantity": 2, "buy_client_id": "bob", "sell_client_id": "ann",
        "buy_fee": "0.06", "sell_fee": "-0.01",
    }  # fmt: skip
    assert read(bust(client, made["trade_id"], **whole))["busted"] is True
    assert {place for place, _ in owed(client)} <= {None}


def test_malformed_fields_are_named_before_the_trade_is_looked_for(client: httpx.Client) -> None:
    for members, field, code in (
        ({"price": "1.001"}, "price", None),
        ({"quantity": 0}, "quantity", "out_of_bounds"),
        ({"buy_client_id": "b o b"}, "buy_client_id", "invalid_id"),
        ({"sell_fee": "--1"}, "sell_fee", None),
        ({"new_price": 5}, "new_quantity", "missing_field"),
        ({"new_quantity": 5}, "new_price", "missing_field"),
        ({"fee": 5}, "fee", "unknown_field"),
    ):
        refused = bust(client, "0-999-0", **members)
        assert refused.status_code == 400, refused.text
        assert refused.json()["errors"][0]["field"] == field
        assert code in (None, refused.json()["code"])


def house(client: httpx.Client) -> Decimal:
    return owed(client).get((None, "USD"), Decimal(0))


@BOTH
def test_the_fee_that_was_charged_is_given_back_whatever_the_rates_are_now(
    client: httpx.Client, server: Server
) -> None:
    charge(client, FEES)
    first, second = trade(client), trade(client)
    assert house(client) == 2 * Decimal("0.05")
    charge(client, TENFOLD)
    third = trade(client)
    assert house(client) == 2 * Decimal("0.05") + Decimal("0.5")
    wait_for_ledger(client, third["sequence"])
    read(bust(client, first["trade_id"]))  # memory has it, and what it was charged the ledger
    assert house(client) == Decimal("0.05") + Decimal("0.5")
    read(client.post("/admin/clients/bob/tier", json={"tier": 1}))
    charge(client, [{"maker_bps": 0, "taker_bps": 30}, {"taker_bps": 0}])
    wait_for_ledger(client, third["sequence"] + 3)
    read(bust(client, third["trade_id"]))
    assert house(client) == Decimal("0.05")
    charge(client, [])
    let_it_leave_memory(client)
    read(bust(client, second["trade_id"]))
    assert owed(client) == {}
    again = bust(client, second["trade_id"])
    assert (again.status_code, again.json()["code"]) == (409, "trade_busted_already")
    wait_for_ledger(client, read(client.get("/settlements/open"))["sequence"])
    check_reconciles(server)


def test_a_restart_forgets_the_rates_but_not_the_fees(client: httpx.Client, server: Server) -> None:
    charge(client, FEES)
    made = trade(client)
    charge(client, TENFOLD)
    wait_for_ledger(client, made["sequence"] + 1)
    server.kill()
    server.start()
    wait_for_ledger(client, made["sequence"] + 1)
    read(bust(client, made["trade_id"]))
    assert owed(client) == {}


@BOTH
def test_a_trade_in_anothers_place_is_taken_back_like_any_other(
    client: httpx.Client, server: Server
) -> None:
    charge(client, FEES)
    made = trade(client)
    charge(client, TENFOLD)
    wait_for_ledger(client, made["sequence"] + 1)
    fixed = read(bust(client, made["trade_id"], new_price=50, new_quantity=2))["sequence"]
    # In its place is charged at the rates in force, bob being the taker still.
    assert owed(client) == {
        ("ann", "BTC"): -2, ("bob", "BTC"): 2, (None, "USD"): Decimal("0.25"),
        ("ann", "USD"): 100 + Decimal("0.05"), ("bob", "USD"): -100 - Decimal("0.3"),
    }  # fmt: skip
    charge(client, FEES)
    wait_for_ledger(client, fixed + 1)
    wrong = bust(client, f"0-{fixed}-0", price=100)
    assert (wrong.status_code, wrong.json()["code"]) == (409, "trade_differs")
    again = read(bust(client, f"0-{fixed}-0", price=50, new_price=40, new_quantity=1))["sequence"]
    assert owed(client) == {
        ("ann", "BTC"): -1, ("bob", "BTC"): 1, (None, "USD"): Decimal("0.01"),
        ("ann", "USD"): 40 + Decimal("0.002"), ("bob", "USD"): -40 - Decimal("0.012"),
    }  # fmt: skip
    wait_for_ledger(client, again)
    assert bust(client, f"0-{fixed}-0").json()["code"] == "trade_busted_already"
    read(bust(client, f"0-{again}-0"))
    assert owed(client) == {}
    wait_for_ledger(client, read(client.get("/settlements/open"))["sequence"])
    check_reconciles(server)


def test_in_an_auction_both_get_the_takers_fee_back(client: httpx.Client) -> None:
    charge(client, FEES)
    read(client.post("/admin/instruments/BTC-USD/phase", json={"phase": "auction"}))
    place(client, "ann", "sell", 2, 100)
    place(client, "bob", "buy", 2, 100)
    read(client.post("/admin/instruments/BTC-USD/phase", json={"phase": "continuous"}))
    made = read(client.get("/trades"))["trades"][0]
    assert house(client) == Decimal("0.12")
    fixed = read(bust(client, made["trade_id"], new_price=50, new_quantity=2))["sequence"]
    assert house(client) == Decimal("0.06")
    charge(client, TENFOLD)
    wait_for_ledger(client, fixed + 1)
    again = read(bust(client, f"0-{fixed}-0", new_price=50, new_quantity=1))["sequence"]
    assert house(client) == Decimal("0.3")
    wait_for_ledger(client, again)
    read(bust(client, f"0-{again}-0"))
    assert owed(client) == {}


def test_in_funded_mode_everybody_has_what_they_had(client: httpx.Client) -> None:
    funded(client, fees=FEES)
    fund(client, "ann", "BTC", 2)
    fund(client, "bob", "USD", 1000)
    made = trade(client)
    funded(client, fees=TENFOLD)
    wait_for_ledger(client, made["sequence"] + 1)
    read(bust(client, made["trade_id"]))
    for name, asset, amount in (("ann", "BTC", 2), ("bob", "USD", 1000)):
        rows = read(client.get(f"/clients/{name}/balances"))["balances"]
        total = {row["asset"]: row["total"] for row in rows if row["total"]}
        assert total == {asset: amount}


def test_a_ledger_that_is_behind_is_waited_for(make_server: MakeServer) -> None:
    server = make_server(trades_per_instrument_max=KEPT).start()
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        charge(client, FEES)
        wait_for_ledger(client, trade(client)["sequence"])
        writer = sqlite3.connect(
            server.data_dir / "ledger.db", isolation_level=None, timeout=PATIENCE_SECONDS
        )
        writer.execute("BEGIN IMMEDIATE")  # the feed can't write; whoever reads can
        made = trade(client)
        charge(client, TENFOLD)
        late = bust(client, made["trade_id"])
        assert (late.status_code, late.json()["code"]) == (503, "ledger_behind")
        assert late.headers["retry-after"] == "1"
        charge(client, FEES)
        read(bust(client, trade(client)["trade_id"]))  # at the rates in force: memory is enough
        assert house(client) == 2 * Decimal("0.05")
        writer.execute("ROLLBACK")
        writer.close()
        wait_for_ledger(client, made["sequence"])
        read(bust(client, made["trade_id"]))
        assert house(client) == Decimal("0.05")


@pytest.mark.parametrize(
    ("url", "code"),
    [("none", "ledger_off"), ("postgresql://novate@127.0.0.1:1/ledger", "ledger_away")],
)
def test_without_a_ledger_what_memory_has_whole_is_busted_and_nothing_else(
    url: str, code: str, make_server: MakeServer
) -> None:
    server = make_server(ledger_url=url, trades_per_instrument_max=KEPT).start()
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        charge(client, FEES)
        made, other = trade(client), trade(client)
        read(bust(client, made["trade_id"]))
        assert house(client) == Decimal("0.05")
        whole = {
            "price": 100, "quantity": 2, "buy_client_id": "bob", "sell_client_id": "ann",
            "buy_fee": "0.06", "sell_fee": "-0.01",
        }  # fmt: skip
        charge(client, TENFOLD)
        before = owed(client)
        for trade_id in (other["trade_id"], made["trade_id"], "0-1-0"):
            refused = bust(client, trade_id, **whole)
            assert (refused.status_code, refused.json()["code"]) == (503, code)
            assert int(refused.headers["retry-after"]) >= 1
        assert bust(client, "0-999-0").status_code == 404
        assert owed(client) == before
