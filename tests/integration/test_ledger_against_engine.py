"""The ledger says of orders, trades and positions what the engine says, over the whole rulebook."""

from __future__ import annotations

import re
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import RowMapping, text

from novate.ledger import database, rendering
from novate.ledger.digest import digest
from novate.ledger.queries import LedgerReader, OrderFilter
from novate.ledger.wide import join
from tests.conftest import scaled
from tests.integration.ledger_stand import SPECS, LedgerStand
from tests.oracle.words import Deposit, SetTier, Withdraw
from tests.postgres import Postgres

PARTNER = re.compile(r',"oco":"[^"]*"')
"""Whom an order is paired with is known of open orders, and in memory alone."""


def compare_orders(stand: LedgerStand, reader: LedgerReader) -> int:
    """Every order as the engine has it in memory; how many there are."""
    rows = reader.orders(OrderFilter(limit=1_000_000)).rows
    for row in rows:
        memory = stand.reporter.order_json(row["order_id"])
        assert memory is not None
        assert rendering.order(row) == PARTNER.sub("", memory.decode())
    assert [row["order_number"] for row in rows] == sorted(
        (order.number for order in stand.oracle.registry.orders.values()), reverse=True
    )
    return len(rows)


def compare_trades(stand: LedgerStand, reader: LedgerReader) -> int:
    count = 0
    for instrument in range(len(SPECS)):
        rows = reader.trades(instrument, 1_000_000, None).rows
        listed = ",".join(rendering.trade(row, 0, detailed=True) for row in rows)
        memory = stand.reporter.trades_json(instrument, 1_000_000, None, True)
        assert memory is not None
        assert memory.decode().partition('"trades":')[2] == f"[{listed}]}}"
        count += len(rows)
    return count


def compare_statuses(reader: LedgerReader) -> set[str]:
    """The filter by status finds what rendering calls so."""
    every = reader.orders(OrderFilter(limit=1_000_000)).rows
    status = {
        row["order_number"]: msgspec.json.decode(rendering.order(row))["status"] for row in every
    }
    for wanted in set(status.values()):
        found = reader.orders(OrderFilter(status=wanted, limit=1_000_000)).rows
        numbers = [number for number, each in status.items() if each == wanted]
        assert [row["order_number"] for row in found] == numbers
    return set(status.values())


def positions_of(url: str) -> dict[tuple[str, int], RowMapping]:
    """The ledger's positions by client and instrument."""
    asked = "SELECT c.client_id, p.* FROM positions p JOIN clients c ON c.client = p.client"
    with database.open_writer(url).connect() as connection:
        rows = connection.execute(text(asked)).mappings().all()
    return {(row["client_id"], row["instrument"]): row for row in rows}


def compare_positions(url: str, reader: LedgerReader) -> None:
    """Net quantities add up from the trades; what was paid and received is all accounted for."""
    net: dict[tuple[str, int], int] = defaultdict(int)
    paid: dict[tuple[str, int], int] = defaultdict(int)
    for instrument in range(len(SPECS)):
        for row in reader.trades(instrument, 1_000_000, None).rows:
            sign = 1 if row["taker_side"] == 0 else -1
            for side, signed in (("taker", sign), ("maker", -sign)):
                key = row[f"{side}_client_id"], instrument
                net[key] += signed * row["quantity_lots"]
                paid[key] += signed * row["quantity_lots"] * row["price_ticks"]
    assert net
    held_by = positions_of(url)
    assert set(held_by) == set(net)
    for client_id, instrument in net:
        row = held_by[client_id, instrument]
        held = join(row["net_high"], row["net_low"])
        cost = join(row["cost_high"], row["cost_low"])
        assert held == net[client_id, instrument]
        # Cost is what was paid in all, less what was received, plus what was gained by it.
        realized = join(row["realized_high"], row["realized_low"])
        assert cost - realized == paid[client_id, instrument]
        assert (cost > 0) - (cost < 0) == (held > 0) - (held < 0)
    assert sum(net.values()) == 0


def compare_minutes(reader: LedgerReader) -> None:
    for instrument in range(len(SPECS)):
        trades = reader.trades(instrument, 1_000_000, None).rows[::-1]
        for minute in reader.minutes(instrument, 0, 2**40).rows:
            inside = [
                row for row in trades if row["timestamp_ns"] // 60_000_000_000 == minute["minute"]
            ]
            prices = [row["price_ticks"] for row in inside]
            assert [minute[f"{name}_ticks"] for name in ("open", "high", "low", "close")] == [
                prices[0], max(prices), min(prices), prices[-1],
            ]  # fmt: skip
            assert minute["trade_count"] == len(inside)
            sums = {
                "volume": sum(row["quantity_lots"] for row in inside),
                "notional": sum(row["quantity_lots"] * row["price_ticks"] for row in inside),
                "price_sum": sum(prices),
            }
            for name, expected in sums.items():
                assert join(minute[f"{name}_high"], minute[f"{name}_low"]) == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_orders_trades_positions_and_minutes(seed: int, tmp_path: Path, postgres: Postgres) -> None:
    urls = [f"sqlite:///{tmp_path}/ledger.db", postgres.make_database(f"engine_{seed}")]
    stand = LedgerStand(urls, seed)
    stand.play_market(seed, scaled(8_000), batch=40, step_ns=700_000_000)
    stand.close()
    for url in urls:
        reader = LedgerReader(url, 30, 1)
        assert compare_orders(stand, reader) > scaled(8_000) // 3
        assert compare_trades(stand, reader) > scaled(8_000) // 20
        assert {"filled", "cancelled", "rejected"} <= compare_statuses(reader)
        compare_positions(url, reader)
        compare_minutes(reader)
        reader.close()
    digests = [digest(database.open_writer(url)) for url in urls]
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_trades_that_were_taken_back_are_marked_as_memory_marks_them(
    tmp_path: Path, postgres: Postgres
) -> None:
    urls = [f"sqlite:///{tmp_path}/ledger.db", postgres.make_database("engine_busts")]
    stand = LedgerStand(urls, 3)
    stand.play_clearing(3, scaled(20_000), batch=40, step_ns=200_000_000)
    stand.close()
    said = []
    for url in urls:
        reader = LedgerReader(url, 30, 1)
        marked = corrected = 0
        for instrument in range(len(SPECS)):
            rows = reader.trades(instrument, 1_000_000, None).rows
            listed = msgspec.json.decode(
                f"[{','.join(rendering.trade(row, 0, detailed=True) for row in rows)}]"
            )
            for each in listed:
                marked += each.get("busted", False)
                bust_seq, standing = each.pop("bust_sequence", 0), each.pop("correction", None)
                assert bool(bust_seq) == each.get("busted", False)
                assert standing is None or int(standing["trade_id"].split("-")[1]) >= bust_seq
                corrected += standing is not None
            memory = stand.reporter.trades_json(instrument, 1_000_000, None, True) or b""
            assert msgspec.json.decode(memory)["trades"] == listed
        reader.close()
        said.append((marked, corrected))
    assert said[0] == said[1]
    assert said[0][0] > said[0][1] > 5


@pytest.mark.slow
def test_how_rows_are_batched_does_not_show(tmp_path: Path) -> None:
    digests = []
    for batch in (1, 7, 400):
        url = f"sqlite:///{tmp_path}/ledger-{batch}.db"
        stand = LedgerStand([url], batch)
        stand.play_market(5, scaled(4_000), batch, step_ns=2_000_000_000)
        stand.close()
        digests.append(digest(database.open_writer(url)))
    assert digests[0] == digests[1] == digests[2]
    empty = database.open_writer(f"sqlite:///{tmp_path}/empty.db")
    database.migrate(empty)
    unused = {
        "ledger_transfers",
        "settlement_totals",
        "settlement_cycles",
        "settlement_obligations",
    }
    same = {name for name, found in digest(empty).items() if found == digests[0][name]}
    assert same == unused


def test_a_client_that_a_deposit_or_a_tier_names_first_is_known(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    stand = LedgerStand([url], 0)
    stand.play([Deposit("ann", 1, 5), SetTier("bob", 2), Withdraw("ann", 1, 5)])
    stand.write()
    stand.close()
    with database.open_writer(url).connect() as connection:
        known = connection.execute(text("SELECT client, client_id FROM clients ORDER BY client"))
        assert [tuple(row) for row in known] == [(0, "ann"), (1, "bob")]


def test_an_average_is_rounded_half_even() -> None:
    row = {"tick_coefficient": 1, "tick_exponent": 2}
    for notional, lots in ((1, 3), (5, 80_000), (15, 80_000), (7, 2), (123_456_789, 7)):
        exact = Fraction(notional, lots) / 100
        text = rendering.average(row, notional, lots)
        assert abs(Fraction(text) - exact) <= Fraction(1, 2 * 10**6)
    assert rendering.average(row, 1, 20_000) == "0"  # 0.0000005: to the even neighbour
    assert rendering.average(row, 3, 20_000) == "0.000002"
    assert rendering.average(row, 0, 0) == "null"
