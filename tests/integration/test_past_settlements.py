"""Reports of cycles that left memory, and the lines of statements: from the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from itertools import count
from typing import Any

import httpx
import pytest

from tests.conftest import Server, wait_until
from tests.integration.test_clearing import fund, funded, place, read, trade_for_a_cycle
from tests.integration.test_history import ledger_seq
from tests.postgres import Postgres

pytestmark = pytest.mark.slow

MakeServer = Callable[..., Server]
KEPT = 64
NUMBERS = count()


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, make_server: MakeServer, postgres: Postgres) -> Server:
    """A running server whose ledger is in either database."""
    flags = {}
    if request.param == "postgresql":
        flags["ledger_url"] = postgres.make_database(f"settlements_{next(NUMBERS)}")
    return make_server(**flags).start()


def close(client: httpx.Client, cycle: int) -> Any:
    """Close a cycle and settle it; its report."""
    read(client.post("/admin/settlements", json={"cycle": cycle}), 201)
    for state in ("instructed", "settled"):
        report = read(client.post(f"/admin/settlements/{cycle}/state", json={"state": state}))
    return report


def wait_for_ledger(client: httpx.Client) -> None:
    end = read(client.get("/settlements"))["settlements"][0]["sequence"]
    wait_until(lambda: ledger_seq(client) >= end, what="a ledger that caught up")
    wait_until(lambda: client.get("/trades/stats").status_code == 200)


def test_a_cycle_that_left_memory_is_reported_as_it_was(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        trades = trade_for_a_cycle(client)
        bust = f"/admin/trades/{trades[1]['trade_id']}/bust"
        fix = {"instrument": "BTC-USD", "new_price": 95, "new_quantity": 1}
        read(client.post(bust, json=fix))
        report = close(client, 7)
        as_csv = client.get("/settlements/7?format=csv").text
        place(client, "bob", "buy", 1, 200)
        for cycle in range(8, 8 + KEPT):
            last = close(client, cycle)
        wait_for_ledger(client)
        found = read(client.get("/settlements/7"))
        assert found.pop("ledger_sequence") >= last["sequence"]
        assert found == report
        assert report["instruments"][0]["bust_count"] == 1
        csv = client.get("/settlements/7?format=csv")
        assert (csv.text, csv.headers["content-type"]) == (as_csv, "text/csv; charset=utf-8")
        assert read(client.get("/settlements/8"))["cycle"] == 8  # still in memory
        assert "ledger_sequence" not in client.get("/settlements/8").json()
        for name in ("6", "900", "x"):
            assert client.get(f"/settlements/{name}").json()["code"] == "unknown_cycle"


def test_closing_a_cycle_that_left_memory_again_answers_as_the_first_time(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        trade_for_a_cycle(client)
        first = read(client.post("/admin/settlements", json={"cycle": 7}), 201)
        for cycle in range(8, 8 + KEPT - 1):
            close(client, cycle)
        for state in ("instructed", "settled"):
            report = read(client.post("/admin/settlements/7/state", json={"state": state}))
        close(client, 7 + KEPT)
        wait_for_ledger(client)
        before = read(client.get("/settlements"))["settlements"][1:]
        again = read(client.post("/admin/settlements", json={"cycle": 7}))
        assert again.pop("ledger_sequence") >= report["sequence"]
        assert again == report
        assert again == {**first, "state": "settled", "sequence": report["sequence"]}
        for never in (6, 1):
            refused = client.post("/admin/settlements", json={"cycle": never})
            assert (refused.status_code, refused.json()["code"]) == (409, "cycle_closed_already")
        assert read(client.get("/settlements"))["settlements"][1:] == before


def test_the_list_goes_on_in_the_ledger(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        trade_for_a_cycle(client)
        closed = []
        for cycle in range(1, KEPT + 7):
            row = close(client, cycle)
            closed.insert(0, {name: row[name] for name in row if name != "obligations"})
        wait_for_ledger(client)
        listed = read(client.get("/settlements"))
        assert listed["settlements"][1:] == closed[:KEPT]
        assert "ledger_sequence" not in listed
        pages: list[Any] = []
        while not pages or len(pages[-1]["settlements"]) == 9:
            before = f"&before={pages[-1]['settlements'][-1]['cycle']}" if pages else ""
            pages.append(read(client.get(f"/settlements?limit=9{before}")))
            assert pages[-1]["count"] == len(pages[-1]["settlements"])
        every = [row for page in pages for row in page["settlements"]]
        assert every[0]["state"] == "trading"
        assert every[1:] == closed
        assert closed[-1]["instruments"][0]["trade_count"] == 3
        parts = [page.get("ledger_sequence") for page in pages]
        assert parts[0] is None
        assert parts[-1] >= closed[0]["sequence"]
        assert read(client.get("/settlements?limit=100"))["settlements"][1:] == closed
        (oldest,) = read(client.get("/settlements?before=2"))["settlements"]
        assert oldest == closed[-1]
        assert read(client.get("/settlements?before=1"))["settlements"] == []
        for query in (
            "limit=0",
            "limit=101",
            "before=0",
            "before=x",
            f"before={10**18}",
            "cursor=1",
        ):
            assert client.get(f"/settlements?{query}").status_code == 400


def test_the_lines_of_a_statement_come_to_its_accounts(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        trade_for_a_cycle(client)
        read(client.post("/admin/settlements", json={"cycle": 3}), 201)
        place(client, "bob", "sell", "0.5", 80)
        place(client, "cat", "buy", "0.5", 80)
        wait_for_ledger(client)
        statement = read(client.get("/clients/bob/statement"))
        assert "lines" not in statement
        lines: list[Any] = []
        while True:
            before = f"&before={lines[-1]['line_id']}" if lines else ""
            page = read(client.get(f"/clients/bob/statement?limit=4{before}"))
            assert page["ledger_sequence"] >= statement["sequence"]
            assert {name: page[name] for name in statement} == statement
            lines += page["lines"]
            if len(page["lines"]) < 4:
                break
    places = [tuple(map(int, line["line_id"].split("-"))) for line in lines]
    assert places == sorted(set(places), reverse=True)
    assert {line["kind"] for line in lines} == {"trade", "fee", "netted"}
    assert {line["cycle"] for line in lines if line["kind"] == "netted"} == {3}
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for line in lines:
        sums[line["account"], line["asset"]] += Decimal(line["amount"])
    owed = {("due", row["asset"]): row["amount"] for row in statement["due"]}
    (cycle,) = statement["settling"]
    owed |= {("settling", row["asset"]): row["amount"] for row in cycle["obligations"]}
    assert {key: amount for key, amount in sums.items() if amount} == owed


def test_amounts_past_64_bits_are_exact(server: Server) -> None:
    """A million BTC at 10^8 and more: 10^20 units of USD, which no column of 64 bits holds."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        fees = [{"maker_bps": "-0.5", "taker_bps": 3}]
        read(client.post("/admin/instruments/BTC-USD/clearing", json={"fees": fees}))
        price, quantity = "99999999.99", "1000000.00000001"
        for _ in range(2):
            place(client, "ann", "sell", quantity, price)
            place(client, "bob", "buy", quantity, price)
        report = close(client, 1)
        turnover = 2 * Decimal(price) * Decimal(quantity)
        assert Decimal(report["instruments"][0]["turnover"]) == turnover
        assert turnover * 10**8 > 2**64
        for cycle in range(2, 2 + KEPT):
            close(client, cycle)
        wait_for_ledger(client)
        found = read(client.get("/settlements/1"))
        found.pop("ledger_sequence")
        assert found == report
        listed = read(client.get("/settlements"))["settlements"]
        assert [row["cycle"] for row in listed] == [None, *range(1 + KEPT, 1, -1)]  # open, closed
        lines = read(client.get("/clients/bob/statement?limit=1000"))["lines"]
        paid = [line for line in lines if (line["kind"], line["asset"]) == ("trade", "USD")]
        assert sum(Decimal(line["amount"]) for line in paid) == -turnover
        settled = [line for line in lines if line["kind"] == "settled"]
        assert {line["cycle"] for line in settled} == {1}
        trades = read(client.get("/trades"))["trades"]
        assert {line["trade_id"] for line in paid} == {each["trade_id"] for each in trades}


def test_lines_of_funds_that_are_held(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        funded(client)
        fund(client, "bob", "USD", 1000)
        place(client, "bob", "buy", 1, 100)
        wait_for_ledger(client)
        lines = read(client.get("/clients/bob/statement?limit=10"))["lines"]
        assert [(line["kind"], line["account"], line["amount"]) for line in lines] == [
            ("hold", "held", 100), ("hold", "available", -100), ("deposit", "available", 1000),
        ]  # fmt: skip
        for query in ("limit=0", "before=x", "before=1", "offset=3"):
            assert client.get(f"/clients/bob/statement?{query}").status_code == 400
        assert client.get("/clients/nobody/statement?limit=3").status_code == 404


@pytest.mark.parametrize(
    ("url", "code"),
    [("none", "ledger_off"), ("postgresql://novate@127.0.0.1:1/ledger", "ledger_away")],
)
def test_without_a_ledger_only_what_needs_it_is_refused(
    url: str, code: str, make_server: MakeServer
) -> None:
    server = make_server(ledger_url=url).start()
    with httpx.Client(base_url=server.url, timeout=30) as client:
        trade_for_a_cycle(client)
        for cycle in range(1, KEPT + 2):
            close(client, cycle)
        refused = client.get("/clients/bob/statement?limit=3")
        assert (refused.status_code, refused.json()["code"]) == (503, code)
        assert int(refused.headers["retry-after"]) >= 1
        assert read(client.get("/clients/bob/statement"))["client_id"] == "bob"
        assert read(client.get("/settlements/2"))["cycle"] == 2
        gone = client.get("/settlements/1")
        expected = (404, "unknown_cycle") if url == "none" else (503, code)
        assert (gone.status_code, gone.json()["code"]) == expected
        assert len(read(client.get("/settlements"))["settlements"]) == 1 + KEPT
        again = client.post("/admin/settlements", json={"cycle": 1})
        expected = (409, "cycle_closed_already") if url == "none" else (503, code)
        assert (again.status_code, again.json()["code"]) == expected
        older = client.get("/settlements?before=2")
        if url == "none":
            assert read(older)["settlements"] == []
        else:
            assert (older.status_code, older.json()["code"]) == (503, code)
