"""`novate export`: every row that there is, exact in every format, and whole files or none."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow
import pyarrow.parquet
import pytest

from novate.config import Settings
from novate.export import tables
from novate.export.columns import Column, ExportError, Kind, Scales
from novate.export.command import Options, parse_time, run
from novate.export.files import decimal_array, decimal_text, new_file
from novate.export.journal_source import JournalSource
from novate.export.sources import Wanted
from novate.journal.segments import SegmentJournal
from novate.model.errors import JournalError
from novate.model.instrument import Instrument
from tests.conftest import PATIENCE_SECONDS, Server
from tests.integration import data_folder
from tests.oracle import analytics as naive

MakeServer = Callable[..., Server]
Rows = list[dict[str, Any]]
ORDERS = 1_500
CORRECTED = ("trade_id", "price", "quantity")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A folder with trades in two instruments and a snapshot in the middle of its journal."""
    settings = data_folder.settings_of(tmp_path_factory.mktemp("export") / "data")
    data_folder.fill(settings, range(ORDERS // 2))
    data_folder.take_snapshot(settings)
    data_folder.fill(settings, range(ORDERS // 2, ORDERS))
    return settings


def exported(settings: Settings, out: Path, table: str, **options: Any) -> Rows:
    """The rows of an export, as its format's own reader gives them."""
    assert run(settings, Options(table=table, out=out, **options)) == 0
    assert [each.name for each in out.parent.iterdir() if each.suffix == ".part"] == []
    if out.suffix == ".csv":
        with out.open(newline="") as file:
            return list(csv.DictReader(file))
    if out.suffix == ".arrow":
        with pyarrow.ipc.open_file(out) as file:
            found = file.read_all()
    else:
        found = pyarrow.parquet.read_table(out)
    found.validate(full=True)
    rows: Rows = found.to_pylist()
    return rows


def unmarked(row: dict[str, Any], nothing: object = None) -> None:
    """Take from a trade's row what busts would say, of which there are none."""
    for name in ("bust_sequence", *(f"correction_{each}" for each in CORRECTED)):
        assert row.pop(name) == nothing


def true_trades(settings: Settings, number: type = Decimal) -> Rows:
    """All trades as the API shows them, oldest first; `number` reads their numbers."""
    reporter = data_folder.replayed(settings).reporter
    found: Rows = []
    for book in range(2):
        body = reporter.trades_json(book, 10_000, None, True)
        found += json.loads(body or b"", parse_float=number, parse_int=number)["trades"][::-1]
    return sorted(found, key=lambda each: int(each["sequence"]))


def true_orders(settings: Settings) -> Rows:
    reporter = data_folder.replayed(settings).reporter
    listed, _ = reporter.orders_json(None, -1, None, 100_000, 0)
    return [json.loads(each, parse_float=Decimal, parse_int=Decimal) for each in listed]


def time_of(row: dict[str, Any], name: str = "timestamp") -> str:
    return str(row[name].strftime("%Y-%m-%dT%H:%M:%S.%fZ"))


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_trades_are_all_there_and_exact(settings: Settings, tmp_path: Path, ending: str) -> None:
    rows = exported(settings, tmp_path / f"trades.{ending}", "trades")
    truth = true_trades(settings)
    assert len(truth) > ORDERS // 4
    for row in rows:
        assert row["notional"] == row["price"] * row["quantity"]
        row["timestamp"] = time_of(row)
        assert row["trade_id"] == f"0-{row['sequence']}-{row['trade_index']}"
        del row["notional"], row["trade_index"]
        unmarked(row)
    assert sorted(rows, key=lambda each: int(each["sequence"])) == rows
    assert rows == truth


def test_csv_says_amounts_as_the_api_does(settings: Settings, tmp_path: Path) -> None:
    rows = exported(settings, tmp_path / "trades.csv", "trades", instruments=("ETH-USD",))
    truth = [each for each in true_trades(settings, str) if each["instrument"] == "ETH-USD"]
    for row in rows:
        assert Decimal(row["notional"]) == Decimal(row["price"]) * Decimal(row["quantity"])
        assert row.pop("notional").rstrip("0")[-1] in "123456789."
        del row["trade_index"]
        unmarked(row, "")
    assert rows == truth


def test_orders_are_all_there_as_they_ended(settings: Settings, tmp_path: Path) -> None:
    rows = exported(settings, tmp_path / "orders.parquet", "orders")
    truth = {each["order_id"]: each for each in true_orders(settings)}
    assert len(rows) == len(truth) == ORDERS
    for row in rows:
        told = truth[row["order_id"]]
        row["created_at"], row["updated_at"] = (
            time_of(row, "created_at"),
            time_of(row, "updated_at"),
        )
        for name, value in row.items():
            assert value == told.get(name), (name, row["order_id"])
    open_ones = [row["order_id"] for row in rows if truth[row["order_id"]]["working"]]
    assert open_ones == [row["order_id"] for row in rows[-len(open_ones) :]], "open ones last"


def true_candles(trades: Rows, interval_ns: int, instrument: str) -> list[dict[str, int]]:
    own = [
        (
            parse_time("", each["timestamp"]),
            int(each["price"] * 100),
            int(each["quantity"] * 10**8),
        )
        for each in trades
        if each["instrument"] == instrument
    ]
    return naive.candles(own, interval_ns)


@pytest.mark.parametrize("fold", [1, 7, 1_000_000])
def test_candles_do_not_depend_on_how_the_replay_is_cut(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fold: int
) -> None:
    monkeypatch.setattr(tables, "TRADES_PER_FOLD", fold)
    monkeypatch.setattr(tables, "ROWS_PER_CHUNK", 3)
    rows = exported(settings, tmp_path / "candles.parquet", "candles", interval="1s")
    for name in ("BTC-USD", "ETH-USD"):
        truth = true_candles(true_trades(settings), 10**9, name)
        own = [row for row in rows if row["instrument"] == name]
        assert [parse_time("", time_of(row, "time")) for row in own] == [c["start"] for c in truth]
        for row, candle in zip(own, truth, strict=True):
            for side in ("open", "high", "low", "close"):
                assert row[side] * 100 == candle[side]
            assert row["volume"] * 10**8 == candle["volume"]
            assert row["notional"] * 10**10 == candle["notional"]
            assert row["trade_count"] == candle["count"]
            average = Decimal(candle["notional"]) / candle["volume"]
            assert row["vwap"] == round(average / 100, 6)


@pytest.mark.slow
def test_filters_take_what_they_say(settings: Settings, tmp_path: Path) -> None:
    whole = exported(settings, tmp_path / "all.parquet", "trades")
    orders = exported(settings, tmp_path / "orders.parquet", "orders")
    first, last = whole[len(whole) // 3]["sequence"], whole[-5]["sequence"]
    found = exported(settings, tmp_path / "1.parquet", "trades", first_seq=first, last_seq=last)
    assert found == [row for row in whole if first <= row["sequence"] <= last]
    since, until = time_of(whole[len(whole) // 2]), time_of(whole[-3])
    found = exported(settings, tmp_path / "2.arrow", "trades", since=since, until=until)
    assert found == [row for row in whole if since <= time_of(row) < until]
    assert found
    found = exported(settings, tmp_path / "3.parquet", "orders", since=since, first_seq=first)
    assert found == [
        row for row in orders if time_of(row, "created_at") >= since and row["sequence"] >= first
    ]
    found = exported(
        settings, tmp_path / "4.parquet", "candles", interval="1s", last_seq=last,
        instruments=("BTC-USD",),
    )  # fmt: skip
    wanted = [r for r in whole if r["sequence"] <= last and r["instrument"] == "BTC-USD"]
    assert sum(row["trade_count"] for row in found) == len(wanted)
    assert sum(row["notional"] for row in found) == sum(row["notional"] for row in wanted)


@pytest.mark.slow
def test_a_late_export_begins_at_a_snapshot(settings: Settings, tmp_path: Path) -> None:
    snapshot_seq = data_folder.store_of(settings).seqs()[0]
    wanted = Wanted(first_seq=snapshot_seq + 1)
    source = JournalSource.open(settings, wanted)
    assert source.first_seq == snapshot_seq + 1
    assert JournalSource.open(settings, Wanted(first_seq=snapshot_seq)).first_seq == 1
    for table in ("trades", "orders"):
        whole = exported(settings, tmp_path / "all.parquet", table)
        late = exported(settings, tmp_path / "late.parquet", table, first_seq=wanted.first_seq)
        assert late == [row for row in whole if row["sequence"] > snapshot_seq]


@pytest.mark.slow
def test_a_pruned_journal_gives_what_is_left_and_says_so(tmp_path: Path) -> None:
    settings = data_folder.settings_of(tmp_path / "data")
    data_folder.fill(settings, range(6_000))
    file = data_folder.take_snapshot(settings)
    data_folder.fill(settings, range(6_000, 6_200))
    whole = exported(settings, tmp_path / "all.parquet", "trades")
    journal = SegmentJournal(settings.data_dir, segment_bytes=1 << 20)
    journal.prune(file.seq)
    journal.close()
    source = JournalSource.open(settings, Wanted())
    assert source.warnings == [f"seq 1 to {file.seq} are pruned: nothing of them is exported"]
    left = exported(settings, tmp_path / "left.parquet", "trades")
    assert left == [row for row in whole if row["sequence"] > file.seq]
    file.path.unlink()
    with pytest.raises(JournalError):
        JournalSource.open(settings, Wanted())


def test_a_failed_export_leaves_what_was_there(settings: Settings, tmp_path: Path) -> None:
    out = tmp_path / "trades.csv"
    out.write_text("before")

    def fails() -> Iterator[None]:
        with new_file(out) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(fails())
    assert out.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["trades.csv"]


@pytest.mark.slow
def test_windows_of_no_closed_orders_lose_no_row(tmp_path: Path) -> None:
    settings = data_folder.settings_of(
        tmp_path / "data", closed_orders_max=0, trades_per_instrument_max=1
    )
    data_folder.fill(settings, range(300))
    orders = exported(settings, tmp_path / "orders.parquet", "orders")
    assert sorted(int(row["order_id"].removeprefix("order-")) for row in orders) == list(range(300))
    trades = exported(settings, tmp_path / "trades.parquet", "trades")
    clients = {f"client-{number}" for number in range(data_folder.CLIENTS)}
    assert {row["buy_client_id"] for row in trades} <= clients
    filled = sum(row["filled_quantity"] for row in orders)
    assert filled == 2 * sum(row["quantity"] for row in trades)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": Path("x.xlsx")}, "--format: expected one of parquet, csv, arrow"),
        ({"table": "fills"}, "expected one of trades, orders, candles; found 'fills'"),
        ({"source": "memory"}, "--from: expected one of journal, ledger"),
        ({"interval": "2d"}, "--interval: expected an interval from 1s to 1d"),
        ({"since": "yesterday"}, "--since: expected a time as 2026-01-01"),
        ({"since": "2026-01-02", "until": "2026-01-01"}, "--until: expected a time after"),
        ({"first_seq": 5, "last_seq": 4}, r"--last-seq: expected at least --first-seq \(5\)"),
        ({"instruments": ("DOGE",)}, "expected an instrument of BTC-USD, ETH-USD; found 'DOGE'"),
        ({"out": Path("/nowhere/x.csv")}, "--out: expected a file in a folder that exists"),
    ],
)
def test_what_can_not_be_exported_is_said(
    settings: Settings, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    given = {"table": "trades", "out": tmp_path / "x.csv", **options}
    with pytest.raises(ExportError, match=message):
        run(settings, Options(**given))
    assert list(tmp_path.iterdir()) == []


def test_times_without_a_zone_are_utc() -> None:
    assert parse_time("", "1970-01-02") == 86_400 * 10**9
    assert parse_time("", "1970-01-01T01:00:00.000001+01:00") == 1000


def test_decimals_keep_every_digit() -> None:
    column = Column("amount", Kind.DECIMAL, 38, 10)
    values = [0, None, -1, 10**38 - 1, -(10**38) + 1, 2**64, -(2**64)]
    found = decimal_array(column, values).to_pylist()
    assert found == [None if v is None else Decimal(f"{v}e-10") for v in values]
    with pytest.raises(ExportError, match="at most 38 digits, found 39"):
        decimal_array(column, [10**38])
    assert [decimal_text(v, 3) for v in (0, 1, -1, 1000, -1010)] == [
        "0", "0.001", "-0.001", "1", "-1.01",
    ]  # fmt: skip


def test_scales_hold_all_instruments_or_say_that_they_can_not() -> None:
    coarse = Instrument(name="A", base="A", quote="Q", tick_exponent=0, lot_exponent=0)
    fine = Instrument(name="B", base="B", quote="Q", tick_coefficient=5, tick_exponent=3)
    scales = Scales.of([coarse, fine])
    assert (scales.price, scales.quantity, scales.average) == ((19, 3), (24, 8), (38, 7))
    assert (scales.price_factor(coarse), scales.price_factor(fine)) == (1000, 5)
    far = Instrument(name="C", base="C", quote="Q", tick_coefficient=10**15, tick_exponent=0)
    tiny = Instrument(name="D", base="D", quote="Q", tick_exponent=18, lot_exponent=0)
    with pytest.raises(ExportError, match="prices of at most 38 digits, found 49"):
        Scales.of([far, tiny])


def command(*words: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "novate", "export", *map(str, words)]
    return subprocess.run(
        line, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


@pytest.mark.slow
def test_the_command_reads_beside_a_running_server(server: Server, tmp_path: Path) -> None:
    """Orders of every kind, by the real ways, and an auction's trade that has no taker."""
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as http:
        base = {"client_id": "client-A", "side": "sell", "type": "limit", "quantity": "0.5"}
        http.post("/orders", json={**base, "price": "70000.5", "order_id": "s1"})
        market = {"client_id": "client-B", "side": "buy", "type": "market"}
        http.post("/orders", json={**market, "quote_quantity": "7000.05", "order_id": "m1"})
        stop = {**base, "type": "stop", "stop_price": "60000", "order_id": "stop-1"}
        http.post("/orders", json=stop)
        http.post("/orders", json={**base, "price": 70000, "post_only": True, "order_id": "s2"})
        refused = {**base, "side": "buy", "price": 80000, "post_only": True, "order_id": "b1"}
        assert http.post("/orders", json=refused).status_code == 422
        http.post("/admin/instruments/BTC-USD/phase", json={"phase": "auction"})
        http.post("/orders", json={**base, "side": "buy", "price": 71000, "order_id": "b2"})
        http.post("/admin/instruments/BTC-USD/phase", json={"phase": "continuous"})
    out = tmp_path / "orders.csv"
    done = command("orders", "--out", out, "--data-dir", server.data_dir)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"6 orders written to {out}\n"
    with out.open(newline="") as file:
        orders = {row["order_id"]: row for row in csv.DictReader(file)}
    assert set(orders) == {"s1", "s2", "m1", "stop-1", "b1", "b2"}
    assert (orders["m1"]["quote_quantity"], orders["m1"]["filled_quote_quantity"]) == (
        "7000.05", "7000.05",
    )  # fmt: skip
    assert orders["stop-1"]["stop_price"] == "60000"
    assert orders["b1"]["status"] == "rejected"
    out = tmp_path / "trades.csv"
    assert command("trades", "--out", out, "--data-dir", server.data_dir).returncode == 0
    with out.open(newline="") as file:
        sides = [row["taker_side"] for row in csv.DictReader(file)]
    assert sides[0] == "buy"
    assert sides[1:] == [""] * len(sides[1:])
    assert len(sides) > 1
    done = command("trades", "--out", out, "--data-dir", tmp_path / "none")
    assert (done.returncode, done.stdout) == (1, "")
    assert "expected a journal" in done.stderr
