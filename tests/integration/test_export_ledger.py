"""`novate export --from ledger`: the same rows as from the journal."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from novate.config import Settings
from novate.export.columns import ExportError
from novate.export.command import Options, run
from novate.model.errors import LedgerAway
from novate.rebuild import run_rebuild
from tests.conftest import PATIENCE_SECONDS, Server
from tests.integration import data_folder
from tests.integration.test_busted_trades import bust, trade, wait_for_ledger
from tests.integration.test_export import exported
from tests.postgres import Postgres

pytestmark = pytest.mark.slow

MakeServer = Callable[..., Server]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A folder with trades, and a ledger of it."""
    url = ""
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.make_database("export")
    folder = tmp_path_factory.mktemp("ledger") / "data"
    settings = data_folder.settings_of(folder, ledger_url=url)
    data_folder.fill(settings, range(1_200))
    assert run_rebuild(settings) == 0
    return settings


def both(settings: Settings, tmp_path: Path, table: str, **options: Any) -> list[Any]:
    return [
        exported(settings, tmp_path / f"{source}.parquet", table, source=source, **options)
        for source in ("journal", "ledger")
    ]


def test_trades_are_the_same(settings: Settings, tmp_path: Path) -> None:
    journal, ledger = both(settings, tmp_path, "trades")
    assert len(journal) > 300
    assert ledger == journal
    middle = journal[len(journal) // 2]
    since = middle["timestamp"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    for options in (
        {"instruments": ("ETH-USD",), "first_seq": middle["sequence"]},
        {"last_seq": middle["sequence"]},
        {"since": since},
        {"until": since},
    ):
        journal, ledger = both(settings, tmp_path, "trades", **options)
        assert journal
        assert ledger == journal


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_busts_and_corrections_are_marked_from_both_as_the_api_marks_them(
    kind: str, make_server: MakeServer, postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.make_database("export_busts") if kind == "postgresql" else ""
    server = make_server(**{"ledger_url": url} if url else {}).start()
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        ids = trade(client, 8)
        gone = bust(client, ids[0])
        corrected = bust(client, ids[2], new_price="101.5", new_quantity="0.25")
        undone = bust(client, ids[4], new_price=90, new_quantity=1)
        again = bust(client, ids[6], new_price=99, new_quantity=4)
        wait_for_ledger(client, again)
        bust(client, f"0-{undone}-0")
        last = bust(client, f"0-{again}-0", new_price=98, new_quantity=3)
    assert server.stop() == 0
    settings = data_folder.settings_of(server.data_dir, ledger_url=url)
    assert run_rebuild(settings) == 0
    said = {
        ids[0]: (gone, None, None, None),
        ids[2]: (corrected, f"0-{corrected}-0", Decimal("101.5"), Decimal("0.25")),
        ids[4]: (undone, None, None, None),  # what took its place was taken back
        ids[6]: (again, f"0-{last}-0", 98, 3),
    }
    names = ("bust_sequence", "correction_trade_id", "correction_price", "correction_quantity")
    # What is wanted may end before the busts: how a trade stands is of the end all the same.
    for options in ({}, {"last_seq": gone - 1}, {"instruments": ("BTC-USD",)}):
        journal, ledger = both(settings, tmp_path, "trades", **options)
        assert journal == ledger
        assert [row["trade_id"] for row in journal] == ids[::-1]
        for row in journal:
            found = tuple(row[name] for name in names)
            assert found == said.get(row["trade_id"], (None, None, None, None))
            assert (row["price"], row["notional"]) == (100, 100 * row["quantity"])


def test_orders_are_the_same(settings: Settings, tmp_path: Path) -> None:
    def name(row: dict[str, Any]) -> str:
        return str(row["order_id"])

    journal, ledger = both(settings, tmp_path, "orders")
    assert len(journal) == 1_200
    assert sorted(ledger, key=name) == sorted(journal, key=name)
    journal, ledger = both(settings, tmp_path, "orders", first_seq=600, last_seq=900)
    assert journal
    assert sorted(ledger, key=name) == sorted(journal, key=name)


def test_candles_are_the_same(settings: Settings, tmp_path: Path) -> None:
    journal, ledger = both(settings, tmp_path, "candles", interval="1s")
    assert ledger == journal


def test_a_ledger_that_is_not_there_is_said(settings: Settings, tmp_path: Path) -> None:
    nowhere = data_folder.settings_of(tmp_path / "empty")
    options = Options(table="trades", out=tmp_path / "x.csv", source="ledger")
    with pytest.raises(LedgerAway):
        run(nowhere, options)
    off = data_folder.settings_of(settings.data_dir, ledger_url="none")
    with pytest.raises(ExportError, match="expected a --ledger-url, found none"):
        run(off, options)
    with pytest.raises(ExportError, match="expected an instrument of BTC-USD, ETH-USD"):
        run(settings, Options(table="trades", out=tmp_path / "x.csv", source="ledger",
                              instruments=("DOGE",)))  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_journal_in_postgresql_is_a_source_too(tmp_path: Path, postgres: Postgres) -> None:
    settings = data_folder.settings_of(
        tmp_path / "data", journal_url=postgres.make_database("export_journal")
    )
    data_folder.fill(settings, range(300))
    trades = exported(settings, tmp_path / "trades.parquet", "trades")
    orders = exported(settings, tmp_path / "orders.parquet", "orders")
    assert len(orders) == 300
    filled = sum(row["filled_quantity"] for row in orders)
    assert filled == 2 * sum(row["quantity"] for row in trades)
    assert filled > 0
