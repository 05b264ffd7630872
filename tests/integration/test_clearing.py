"""Clearing from outside: funds, fees, positions, settlements, busts; and all of it after a kill."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from novate.model.clearing import pack_settle
from tests.conftest import PATIENCE_SECONDS, Server, wait_until
from tests.integration.data_folder import command, settings_of

MakeServer = Callable[..., Server]
FEES = [{"maker_bps": "-0.5", "taker_bps": 3}]


@pytest.fixture
def client(server: Server) -> Any:
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        yield client


def read(reply: httpx.Response, status: int = 200) -> Any:
    assert reply.status_code == status, reply.text
    return json.loads(reply.text, parse_float=Decimal, parse_int=int)


def place(client: httpx.Client, client_id: str, side: str, quantity: object, price: object) -> Any:
    order = {"client_id": client_id, "side": side, "quantity": quantity}
    order |= {"type": "limit", "price": price} if price else {"type": "market"}
    return read(client.post("/orders", json=order), 201)


def fund(client: httpx.Client, client_id: str, asset: str, amount: object, **more: object) -> Any:
    members = {"client_id": client_id, "asset": asset, "amount": amount, **more}
    return read(client.post("/admin/deposits", json=members), 201)


def funded(client: httpx.Client, **more: object) -> Any:
    terms = {"mode": "funded", **more}
    return read(client.post("/admin/instruments/BTC-USD/clearing", json=terms))


def balances(client: httpx.Client, client_id: str) -> dict[str, tuple[Decimal, Decimal]]:
    found = read(client.get(f"/clients/{client_id}/balances"))["balances"]
    return {row["asset"]: (Decimal(row["available"]), Decimal(row["held"])) for row in found}


def test_an_instrument_is_open_until_told(client: httpx.Client) -> None:
    terms = read(client.get("/admin/instruments/BTC-USD/clearing"))
    assert (terms["mode"], terms["fees"], terms["mark_price"]) == ("open", [], None)
    new = {"name": "SOL-USD", "base": "SOL", "quote": "USD", "tick_size": 0.01, "lot_size": 0.001}
    read(client.post("/admin/instruments", json=new), 201)
    assert read(client.get("/admin/instruments/SOL-USD/clearing"))["mode"] == "open"
    assert client.get("/admin/instruments/NO/clearing").status_code == 404


def test_funds_are_held_paid_and_given_back(client: httpx.Client) -> None:
    assert funded(client, fees=FEES)["fees"] == [{"maker_bps": Decimal("-0.5"), "taker_bps": 3}]
    fund(client, "ann", "BTC", 2)
    said = fund(client, "bob", "USD", "1000.5", idempotency_key="wire-1")
    assert (said["asset"], said["amount"]) == ("USD", Decimal("1000.5"))
    again = client.post(
        "/admin/deposits", json={"client_id": "bob", "asset": "USD", "amount": 1000.5},
        headers={"Idempotency-Key": "wire-1"},
    )  # fmt: skip
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    other = {"client_id": "bob", "asset": "USD", "amount": 7, "idempotency_key": "wire-1"}
    assert client.post("/admin/deposits", json=other).status_code == 422
    place(client, "ann", "sell", 1, 500)
    poor = client.post(
        "/orders",
        json={"client_id": "bob", "side": "buy", "type": "limit", "price": 1001, "quantity": 1},
    )
    assert poor.status_code == 422
    assert (poor.json()["status"], poor.json()["reason"]) == ("rejected", "insufficient_funds")
    bought = place(client, "bob", "buy", "0.5", 510)
    assert bought["status"] == "filled"
    assert bought["trade_count"] == 1
    assert balances(client, "bob") == {
        "USD": (Decimal("1000.5") - 250 - Decimal("0.075"), Decimal(0)),
        "BTC": (Decimal("0.5"), Decimal(0)),
    }
    assert balances(client, "ann") == {
        "BTC": (Decimal(1), Decimal("0.5")),
        "USD": (Decimal(250) + Decimal("0.0125"), Decimal(0)),
    }
    over = {"client_id": "ann", "asset": "BTC", "amount": "1.00000001"}
    refused = client.post("/admin/withdrawals", json=over)
    assert (refused.status_code, refused.json()["code"]) == (422, "insufficient_funds")
    read(client.post("/admin/withdrawals", json={**over, "amount": 1}), 201)


BAD = [
    ("/admin/deposits", {"client_id": "a", "asset": "USD"}, "missing_field"),
    ("/admin/deposits", {"client_id": "a", "asset": "XXX", "amount": 1}, "invalid_value"),
    ("/admin/deposits", {"client_id": "a", "asset": "USD", "amount": 0}, "out_of_bounds"),
    ("/admin/deposits", {"client_id": "a", "asset": "USD", "amount": -1}, "out_of_bounds"),
    ("/admin/withdrawals", {"asset": "USD", "amount": 1}, "missing_field"),
    ("/admin/instruments/BTC-USD/clearing", {"mode": "free"}, "invalid_value"),
    ("/admin/instruments/BTC-USD/clearing", {"fees": [{"maker_bps": -2}]}, "out_of_bounds"),
    ("/admin/instruments/BTC-USD/mark", {"price": "1.001"}, None),
    ("/admin/clients/a/tier", {}, "missing_field"),
    ("/admin/clients/a/tier", {"tier": 16}, "invalid_type"),
    ("/admin/settlements/1/state", {"state": "open"}, "invalid_value"),
    ("/admin/settlements/cutoff", {"at": "25:00:00"}, "invalid_value"),
    ("/admin/trades/0-1-0/bust", {"instrument": "NO"}, "unknown_instrument"),
    ("/admin/trades/0-1-0/bust", {"new_price": 5}, "missing_field"),
]


def test_what_is_malformed_is_answered_with_400(client: httpx.Client) -> None:
    for path, members, code in BAD:
        reply = client.post(path, json=members)
        assert reply.status_code == 400, (path, members, reply.text)
        assert code in (None, reply.json()["code"]), reply.text
    for path in ("/clients/nobody/balances", "/clients/nobody/statement", "/settlements/7"):
        assert client.get(path).status_code == 404
    assert client.post("/admin/trades/x/bust", json={}).status_code == 404
    assert client.get("/settlements/open?format=xml").status_code == 400


def test_positions_at_cost_and_at_the_mark(client: httpx.Client) -> None:
    place(client, "ann", "sell", 3, 100)
    place(client, "bob", "buy", 2, 100)
    place(client, "bob", "buy", 1, 100)
    (row,) = read(client.get("/market/positions/bob"))["positions"]
    assert (row["net_quantity"], row["total_cost"], row["avg_price"]) == (3, 300, 100)
    assert (row["realized_pnl"], row["unrealized_pnl"], row["mark_price"]) == (0, 0, 100)
    marked = read(client.post("/admin/instruments/BTC-USD/mark", json={"price": 110.5}))
    assert marked["mark_price"] == Decimal("110.5")
    (row,) = read(client.get("/market/positions/ann"))["positions"]
    assert (row["net_quantity"], row["unrealized_pnl"]) == (-3, Decimal("-31.5"))
    read(client.post("/admin/instruments/BTC-USD/mark", json={}))
    read(client.post("/admin/instruments/BTC-USD/clearing", json={"mark": "mid"}))
    place(client, "cat", "buy", 1, 99)
    place(client, "cat", "sell", 1, "100.01")
    (row,) = read(client.get("/market/positions/bob"))["positions"]
    assert row["mark_price"] == Decimal("99.505")
    assert row["unrealized_pnl"] == Decimal("-1.485")


def trade_for_a_cycle(client: httpx.Client) -> list[dict[str, Any]]:
    """A few trades with fees, and they with their clients."""
    read(client.post("/admin/instruments/BTC-USD/clearing", json={"fees": FEES}))
    place(client, "ann", "sell", 3, 100)
    place(client, "bob", "buy", 1, 100)
    place(client, "cat", "buy", "1.5", 101)
    place(client, "ann", "buy", "0.25", 90)
    place(client, "bob", "sell", "0.25", 90)
    trades: list[dict[str, Any]] = read(client.get("/trades/detailed"))["trades"]
    return trades


def test_orders_of_the_greatest_worth_are_settled(client: httpx.Client) -> None:
    """10^33 units of the quote asset each, which is what one order may be worth."""
    new = {"name": "DEAR-UNI", "base": "DEAR", "quote": "UNI", "tick_size": 1, "lot_size": 1}
    read(client.post("/admin/instruments", json={**new, "quote_scale": 18}), 201)
    order = {"instrument": "DEAR-UNI", "type": "limit", "price": 10**7, "quantity": 10**8}
    for client_id, side in (("ann", "sell"), ("bob", "buy")) * 3:
        read(client.post("/orders", json={**order, "client_id": client_id, "side": side}), 201)
    dearer = {**order, "client_id": "ann", "side": "sell", "price": 10**7 + 1}
    assert client.post("/orders", json=dearer).json()["reason"] == "notional_too_large"
    worth, lots = 3 * 10**15, 3 * 10**8
    expected = [("ann", "DEAR", -lots), ("ann", "UNI", worth)]
    expected += [("bob", "DEAR", lots), ("bob", "UNI", -worth)]
    for report in (
        read(client.get("/settlements/open")),
        read(client.post("/admin/settlements", json={"cycle": 20250131}), 201),
        read(client.get("/settlements/20250131")),
    ):
        rows = [(row["client_id"], row["asset"], row["amount"]) for row in report["obligations"]]
        assert rows == expected


def test_a_report_ties_to_the_trades(client: httpx.Client) -> None:
    trades = trade_for_a_cycle(client)
    report = read(client.post("/admin/settlements", json={"cycle": 20250131}), 201)
    expected: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for trade in trades:
        value = trade["price"] * Decimal(trade["quantity"])
        taker = trade["taker_side"]
        fees = {"taker": value * Decimal("0.0003"), "maker": value * Decimal("-0.00005")}
        buys, sells = trade["buy_client_id"], trade["sell_client_id"]
        expected[buys, "BTC"] += trade["quantity"]
        expected[sells, "BTC"] -= trade["quantity"]
        expected[buys, "USD"] -= value + fees["taker" if taker == "buy" else "maker"]
        expected[sells, "USD"] += value - fees["taker" if taker == "sell" else "maker"]
    found = {
        (row["client_id"], row["asset"]): row["amount"]
        for row in report["obligations"]
        if row["client_id"]
    }
    assert found == {place: units for place, units in expected.items() if units}
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in report["obligations"]:
        sums[row["asset"]] += row["amount"]
    assert set(sums.values()) == {0}
    (totals,) = report["instruments"]
    assert totals["trade_count"] == len(trades)
    assert totals["quantity"] == sum(each["quantity"] for each in trades)
    house = [row["amount"] for row in report["obligations"] if row["client_id"] is None]
    assert house == [totals["fees"]]
    text = client.get("/settlements/20250131?format=csv")
    assert text.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(text.text)))
    signed = {
        (row["client_id"], row["asset"]): Decimal(row["amount"])
        * (1 if row["direction"] == "receive" else -1)
        for row in rows
    }
    assert {place: units for place, units in signed.items() if place[0] != "house"} == found


def test_closing_a_cycle_twice_changes_nothing_and_states_follow_each_other(
    client: httpx.Client,
) -> None:
    trade_for_a_cycle(client)
    first = read(client.post("/admin/settlements", json={"cycle": 5}), 201)
    assert read(client.post("/admin/settlements", json={"cycle": 5}), 200) == first
    assert client.post("/admin/settlements", json={"cycle": 4}).status_code == 409
    listed = read(client.get("/settlements"))["settlements"]
    assert [(row["cycle"], row["state"]) for row in listed] == [(None, "trading"), (5, "open")]
    statement = read(client.get("/clients/bob/statement"))
    assert [row["cycle"] for row in statement["settling"]] == [5]
    assert statement["due"] == []
    for state, status in (
        ("settled", 409), ("instructed", 200), ("failed", 200), ("instructed", 200),
        ("settled", 200), ("failed", 409),
    ):  # fmt: skip
        reply = client.post("/admin/settlements/5/state", json={"state": state})
        assert reply.status_code == status, reply.text
    assert read(client.get("/clients/bob/statement"))["settling"] == []
    assert client.post("/admin/settlements/6/state", json={"state": "failed"}).status_code == 404
    by_itself = read(client.post("/admin/settlements/cutoff", json={"at": "17:00:00"}))
    assert by_itself["cutoff_seconds"] == 61_200


def test_a_trade_is_busted_once_or_corrected(client: httpx.Client) -> None:
    trades = trade_for_a_cycle(client)
    wanted = {"instrument": "BTC-USD"}
    newest = trades[0]["trade_id"]
    assert read(client.post(f"/admin/trades/{newest}/bust", json=wanted))["busted"] is True
    again = client.post(f"/admin/trades/{newest}/bust", json=wanted)
    assert (again.status_code, again.json()["code"]) == (409, "trade_busted_already")
    fix = {**wanted, "new_price": 95, "new_quantity": 1}
    read(client.post(f"/admin/trades/{trades[1]['trade_id']}/bust", json=fix))
    whole = {
        **wanted, "price": 100, "quantity": 1, "buy_client_id": "bob", "sell_client_id": "ann",
    }  # fmt: skip
    wrong = {**whole, "price": 99}
    path = f"/admin/trades/{trades[2]['trade_id']}/bust"
    assert client.post(path, json=wrong).json()["code"] == "trade_differs"
    read(client.post(path, json=whole))
    report = read(client.get("/settlements/open"))
    usd = {
        row["client_id"]: row["amount"] for row in report["obligations"] if row["asset"] == "USD"
    }
    fee, rebate = Decimal("95") * Decimal("0.0003"), Decimal("95") * Decimal("0.00005")
    assert usd == {"ann": 95 + rebate, "cat": -95 - fee, None: fee - rebate}


def today() -> int:
    """The UTC date as a cycle's number."""
    return int(datetime.now(UTC).strftime("%Y%m%d"))


def seconds_of_today() -> float:
    """How much of the UTC day is left."""
    now = datetime.now(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight - now).total_seconds()


def test_no_cycle_is_numbered_past_today(client: httpx.Client) -> None:
    wait_until(lambda: seconds_of_today() > 60, what="another day")
    for number in (20991231, 2**53):
        refused = client.post("/admin/settlements", json={"cycle": number})
        assert (refused.status_code, refused.json()["code"]) == (400, "out_of_bounds")
        (error,) = refused.json()["errors"]
        expected = f"expected at most {today()}, today's date, found {number}"
        assert (error["field"], error["message"]) == ("cycle", expected)
    before = read(client.get("/settlements"))
    assert [row["cycle"] for row in before["settlements"]] == [None]
    assert before["cutoff"] == {"at": None, "next_at": None, "last": None}
    number = read(client.post("/admin/settlements"), 201)["cycle"]
    assert number == today()
    assert read(client.post("/admin/settlements"))["cycle"] == number
    assert read(client.post("/admin/settlements", json={"cycle": number}))["cycle"] == number


@pytest.mark.slow
def test_a_journal_with_a_number_past_today_still_loads_and_settles(
    make_server: MakeServer,
) -> None:
    """Older versions took any number."""
    server = make_server()
    command(settings_of(server.data_dir), [pack_settle(99991231)])
    server.start()
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        trade_for_a_cycle(client)
        refused = client.post("/admin/settlements")
        assert (refused.status_code, refused.json()["code"]) == (409, "cycle_closed_already")
        assert "expected its number, 99991232, found nothing" in refused.json()["detail"]
        beyond = client.post("/admin/settlements", json={"cycle": 99991233})
        expected = "cycle: expected at most 99991232, the one after the last, found 99991233"
        assert (beyond.status_code, beyond.json()["detail"]) == (400, expected)
        again = read(client.post("/admin/settlements", json={"cycle": 99991231}))
        assert again["obligation_count"] == 0
        closed = read(client.post("/admin/settlements", json={"cycle": 99991232}), 201)
        assert closed["instruments"][0]["trade_count"] == 3


def cut_off_at(client: httpx.Client, moment: datetime) -> Any:
    """Let cycles close at this time of day; what /settlements says of that."""
    at = f"{moment:%H:%M:%S}"
    read(client.post("/admin/settlements/cutoff", json={"at": at}))
    found = read(client.get("/settlements"))["cutoff"]
    assert (found["at"], found["next_at"][10:]) == (at, f"T{at}.000000Z")
    return found


def cut_off_soon(client: httpx.Client) -> str:
    """Let cycles close at a time that comes in a moment, and wait for it; when it was due."""
    before = read(client.get("/settlements"))["cutoff"]["last"]
    for seconds in (2, 10, 60):  # a machine may be so slow that the first has passed by then
        moment = datetime.now(UTC) + timedelta(seconds=seconds)
        due_at = f"{moment:%Y-%m-%dT%H:%M:%S}.000000Z"
        found = cut_off_at(client, moment)
        if found["next_at"] == due_at or found["last"] != before:
            break
    wait_until(lambda: read(client.get("/settlements"))["cutoff"]["last"] != before)
    return due_at


@pytest.mark.slow
def test_a_cut_off_that_closed_nothing_is_seen_everywhere(make_server: MakeServer) -> None:
    server = make_server().start()
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        for number in range(1, 65):
            read(client.post("/admin/settlements", json={"cycle": number}), 201)
        trade_for_a_cycle(client)
        far = datetime.now(UTC) + timedelta(hours=6)
        set_to = cut_off_at(client, far)
        assert (set_to["next_at"], set_to["last"]) == (f"{far:%Y-%m-%dT%H:%M:%S}.000000Z", None)
        due_at = cut_off_soon(client)
        shown = read(client.get("/settlements"))["cutoff"]
        last = shown["last"]
        assert last["due_at"] == due_at < shown["next_at"]
        assert (last["closed"], last["reason"]) == (False, "cycles_limit")
        assert last["cycle"] == int(last["due_at"][:10].replace("-", ""))
        health = read(client.get("/healthz"))
        assert health["status"] == "degraded"
        assert health["checks"]["settlement"]["status"] == "cutoff_missed"
        assert "closed no cycle: cycles_limit" in health["checks"]["settlement"]["reason"]
        assert "settlement_cutoff_missed 1.0" in client.get("/metrics").text

        def logged() -> list[Any]:
            found = [each for each in server.log().split("\n")[:-1] if '"cutoff_missed"' in each]
            return [json.loads(each) for each in found]

        lines = wait_until(logged, what="a line in the log")  # a thread of its own writes them
        assert [(line["level"], line["cycle"], line["reason"]) for line in lines] == [
            ("warning", last["cycle"], "cycles_limit")
        ]
    server.kill()
    server.start()
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        assert read(client.get("/settlements"))["cutoff"] == shown
        assert read(client.get("/healthz"))["checks"]["settlement"]["status"] == "cutoff_missed"
        end = read(client.get("/settlements"))["settlements"][0]["sequence"]
        stats = "/trades/stats"
        wait_until(lambda: client.get(stats).json().get("ledger_sequence", 0) >= end)
        assert missed(server) == [(last["cycle"], "cycles_limit")]
        for state in ("instructed", "settled"):
            read(client.post("/admin/settlements/1/state", json={"state": state}))
        cut_off_soon(client)
        assert read(client.get("/settlements"))["cutoff"]["last"]["closed"]
        (_, newest, *_) = read(client.get("/settlements"))["settlements"]
        assert newest["cycle"] == read(client.get("/settlements"))["cutoff"]["last"]["cycle"]
        assert newest["instruments"][0]["trade_count"] == 3
        assert read(client.get("/healthz"))["checks"]["settlement"] == {"status": "ok"}
        assert "settlement_cutoff_missed 0.0" in client.get("/metrics").text


def missed(server: Server) -> list[tuple[int, str]]:
    """The cut-offs that the ledger says closed nothing: (cycle, reason)."""
    asked = "SELECT order_number, reason FROM audit_trail WHERE kind = 'cutoff_missed'"
    with contextlib.closing(sqlite3.connect(server.data_dir / "ledger.db")) as ledger:
        return ledger.execute(asked).fetchall()


@pytest.mark.slow
def test_every_account_is_there_after_a_kill(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        funded(client, fees=FEES)
        fund(client, "ann", "BTC", 2)
        fund(client, "bob", "USD", 1000)
        place(client, "ann", "sell", 1, 100)
        place(client, "bob", "buy", "0.5", 100)
        read(client.post("/admin/settlements", json={"cycle": 1}), 201)
        before = [
            {**read(client.get(f"/clients/{name}/statement")), "sequence": 0}
            for name in ("ann", "bob")
        ]
    server.kill()
    server.start()
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        after = [
            {**read(client.get(f"/clients/{name}/statement")), "sequence": 0}
            for name in ("ann", "bob")
        ]
        assert after == before
        assert read(client.post("/admin/settlements", json={"cycle": 1}), 200)["cycle"] == 1


@pytest.mark.slow
def test_novate_settle_closes_and_prints_the_report(server: Server, tmp_path: Path) -> None:
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        trade_for_a_cycle(client)
    command = [sys.executable, "-m", "novate", "settle", "--url", server.url, "--cycle", "9"]
    environment = {**os.environ, "NO_COLOR": "1"}
    first = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert '"cycle":9' in first.stdout
    again = subprocess.run(
        [*command, "--format", "csv"], capture_output=True, text=True, env=environment, check=True
    )
    assert again.stdout.startswith("cycle,client_id,asset,direction,amount\n9,ann,BTC,")
