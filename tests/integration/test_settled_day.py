"""A real market for a day: played in, settled, and tied out by the SQL that the docs show."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT, SOAK, Server, wait_until
from tests.integration.test_binance import (
    COUNTS,
    FILES,
    INSTRUMENT,
    SECONDS_MAX,
    capture_part,
    play,
    play_files,
    require_captures,
)
from tests.integration.test_clearing import read
from tests.integration.test_history import ledger_seq

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * SECONDS_MAX)]

CYCLE = 20240809
CLIENTS = ("binance-mirror", "binance-taker")
MARKET = {"name": INSTRUMENT, "base": "ETH", "quote": "USDT", "tick_size": 0.01, "lot_size": 0.0001}
FEES = [{"maker_bps": "-0.25", "taker_bps": "1.5"}]
TAKER, MAKER = Decimal("0.00015"), Decimal("-0.000025")


def queries() -> list[str]:
    """The queries of the last section, in their order."""
    text = (ROOT / "docs" / "clearing.md").read_text().partition("## 11. ")[2]
    return re.findall(r"```sql\n(.*?)```", text, re.DOTALL)


def novate(*words: str) -> str:
    command = [sys.executable, "-m", "novate", *words]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr[-4000:] + run.stdout
    return run.stdout


def number(value: object) -> Decimal:
    return Decimal(str(value))


def settled(server: Server, folder: Path) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The day played and settled: the report, the clients' statements, the report as CSV."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        read(client.post("/admin/instruments", json=MARKET), 201)
        read(client.post(f"/admin/instruments/{INSTRUMENT}/clearing", json={"fees": FEES}))
        if SOAK:
            assert play_files(server, FILES)["trades"] == COUNTS["trades"]
        else:
            play(server, "--file", str(capture_part(folder)), "--speed", "max")
        words = ("settle", "--url", server.url, "--cycle", str(CYCLE))
        report = json.loads(novate(*words), parse_float=Decimal)
        as_csv = novate(*words, "--format", "csv")
        statements = {each: read(client.get(f"/clients/{each}/statement")) for each in CLIENTS}
        end = read(client.get("/settlements"))["settlements"][0]["sequence"]
        wait_until(lambda: ledger_seq(client) >= end, what="a ledger that caught up")
    return report, statements, as_csv


def test_every_figure_of_the_report_ties_out(server: Server, tmp_path: Path) -> None:
    require_captures()
    report, statements, as_csv = settled(server, tmp_path)
    assert server.stop() == 0
    print("\n" + as_csv)
    for each in CLIENTS:
        print(json.dumps(statements[each], default=str))
    said = novate("reconcile", "--data-dir", str(server.data_dir))
    print(said)
    count = report["instruments"][0]["trade_count"]
    assert re.match(rf"reconciled at seq \d+: \d+ figures from {count} trades", said)
    if SOAK:
        assert as_csv in (ROOT / "docs" / "clearing.md").read_text()

    with closing(sqlite3.connect(server.data_dir / "ledger.db")) as ledger:
        traded, owed, house, now, held = (ledger.execute(query).fetchall() for query in queries())
        listed = ledger.execute("SELECT price, quantity, taker_client_id FROM trade_list")
        trades = [(Decimal(p), Decimal(q), who) for p, q, who in listed]
    (totals,) = report["instruments"]
    stated = [totals["trade_count"], totals["quantity"], totals["turnover"]]
    ((name, *figures),) = traded
    assert (name, totals["instrument"]) == (INSTRUMENT, INSTRUMENT)
    assert list(map(number, figures)) == [*map(number, stated), *map(number, stated),
                                          number(totals["fees"])]  # fmt: skip
    assert number(totals["turnover"]) == sum(price * quantity for price, quantity, _ in trades)
    # each side's fee is rounded up to the unit
    exact = sum(price * quantity * (TAKER + MAKER) for price, quantity, _ in trades)
    assert 0 <= number(totals["fees"]) - exact < len(trades) * Decimal("2e-10")

    obligations = {(row["client_id"], row["asset"]): number(row["amount"])
                   for row in report["obligations"]}  # fmt: skip
    assert {(who, asset): number(amount) for who, asset, amount, _ in owed} == {
        key: amount for key, amount in obligations.items() if key[0]
    }
    assert all(amount == sums for _, _, amount, sums in owed)
    assert [(who, asset, number(amount)) for who, asset, amount in house] == [
        ("house", "USDT", obligations[None, "USDT"])
    ]
    signs = {"receive": 1, "pay": -1}
    assert obligations == {
        (None if row["client_id"] == "house" else row["client_id"], row["asset"]):
            signs[row["direction"]] * Decimal(row["amount"])
        for row in csv.DictReader(io.StringIO(as_csv))
    }  # fmt: skip
    settling = {(who, asset): number(amount) for who, asset, account, amount in now
                if account == "settling"}  # fmt: skip
    assert settling == {key: amount for key, amount in obligations.items() if key[0]}
    assert {number(amount) for _, _, account, amount in now if account != "settling"} == {0}

    positions = {who: list(map(number, row)) for who, _, *row in held}
    for client in CLIENTS:
        (own,) = statements[client]["positions"]
        assert positions[client] == [
            number(own[member]) for member in ("net_quantity", "total_cost", "realized_pnl")
        ]
        assert positions[client][0] == obligations[client, "ETH"]
        _, cost, realized = positions[client]
        assert obligations[client, "USDT"] == realized - cost - number(own["fees"])
        (cycle,) = statements[client]["settling"]
        assert {(client, row["asset"]): number(row["amount"]) for row in cycle["obligations"]} == {
            key: amount for key, amount in obligations.items() if key[0] == client
        }
