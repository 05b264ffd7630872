"""Candles of memory and ledger are one series, the same as from the trades, whoever has which."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from novate.export.command import parse_time
from novate.gateway.instruments import Instruments
from novate.gateway.past_candles import PastCandles
from novate.gateway.problems import ProblemError
from novate.gateway.reads import Reads
from novate.ledger import candles as ledger_candles
from novate.ledger.answers import Answers, open_answers
from novate.model import codec
from novate.model.commands import Side
from novate.streams.candle_window import CandleWindow
from novate.testing.workload import decode_json
from tests.conftest import Server, scaled, wait_until
from tests.integration.ledger_stand import ROOMY, LedgerStand
from tests.oracle import analytics as naive
from tests.oracle.words import Place
from tests.postgres import Postgres
from tests.unit.stream_fakes import ManualLoop

NS = 10**9
TINY = msgspec.structs.replace(ROOMY, trades_per_instrument_max=12)
INTERVALS = ("1s", "7s", "59s", "1m", "61s", "90s", "5m", "1h", "86399s", "1d")
STEPS_NS = (0, 0, NS // 3, NS, 2 * NS, 13 * NS, 61 * NS, 700 * NS, 40_000 * NS)
Row = tuple[int, int, int, int, int, int, int, int]


class Settings:
    candle_window_hours = 2
    candle_rows_max = 40


class AnsweringHistory:
    """Asks the ledger at once; or refuses, as the breaker does."""

    is_on = True

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.is_open = False
        self.asked = 0

    def ask(self, question: Any, done: Any, failed: Any) -> None:
        if self.is_open:
            raise ProblemError(503, "ledger_away", "away", retry_after=1)
        self.asked += 1
        done(question(self.answers))


class Stand(LedgerStand):
    """Trades of two instruments, a ledger of them, and a window that may begin anew."""

    def __init__(self, url: str, seed: int) -> None:
        super().__init__([url], seed, TINY)
        self.trades: list[list[naive.Trade]] = [[], []]
        self.answers = open_answers(url, 30, 1, 0)
        self.history = AnsweringHistory(self.answers)
        instruments = Instruments(self.reporter.engine, "INS-0")
        self.reads = Reads(self.reporter, instruments)
        self.restart()

    def restart(self) -> None:
        """Memory is then what the engine kept."""
        self.window = CandleWindow.warmed(ManualLoop(), Settings(), self.reporter)
        self.on_applied = [self.window.on_applied]
        self.past = PastCandles(self.reads, self.window, self.history)  # type: ignore[arg-type]

    def trade(self) -> None:
        self.now_ns += self.chance.choice(STEPS_NS)
        instrument = self.chance.randrange(2)
        price, lots = self.chance.randint(1, 100), self.chance.randint(2, 9)
        sides = [Side.SELL, Side.BUY]
        self.chance.shuffle(sides)
        number = self.oracle.seq
        self.play(
            [
                Place(f"c{place}", f"o-{number}-{place}", side, lots, price, instrument)
                for place, side in enumerate(sides)
            ]
        )
        self.trades[instrument].append((self.now_ns, price, lots))

    def ask(self, **query: str) -> tuple[int, Any]:
        found: list[tuple[int, Any]] = []

        def reply(
            status: int, body: bytes, replayed: bool = False, retry_after: int | None = None
        ) -> None:
            found.append((status, decode_json(body)))

        self.past.candles(query, reply)
        assert len(found) == 1
        return found[0]

    def pages(self, limit: int, **query: str) -> list[Any]:
        """Every candle, oldest first, of pages that go back in time."""
        found: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            status, page = self.ask(limit=str(limit), **query, **cursor)
            assert status == 200
            assert page["count"] == len(page["candles"]) <= limit
            found = page["candles"] + found
            if page["next_cursor"] is None:
                return found
            assert page["candles"], "a page that has a next one has a candle"
            cursor = {"cursor": page["next_cursor"]}


def row_of(candle: Any) -> Row:
    """A candle of a reply in ns, ticks, lots and ticks times lots."""
    prices = [int(Decimal(candle[name]) * 100) for name in ("open", "high", "low", "close")]
    volume, notional = int(Decimal(candle["volume"]) * 1000), Decimal(candle["notional"])
    return (
        parse_time("", candle["time"]), *prices, volume, int(notional * 100_000),
        candle["trade_count"],
    )  # type: ignore[return-value]  # fmt: skip


def rows_from(trades: list[naive.Trade], interval_s: int) -> list[Row]:
    names = ("start", "open", "high", "low", "close", "volume", "notional", "count")
    listed = naive.candles(trades, interval_s * NS)
    return [tuple(each[name] for name in names) for each in listed]  # type: ignore[misc]


def seconds_of(interval: str) -> int:
    return int(interval[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[interval[-1]]


@pytest.fixture(params=["sqlite", "postgresql"])
def make_stand(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made: list[Stand] = []

    def make(seed: int) -> Stand:
        url = f"sqlite:///{tmp_path}/ledger-{seed}.db"
        if request.param == "postgresql":
            postgres: Postgres = request.getfixturevalue("postgres")
            url = postgres.make_database(f"candles_{random.getrandbits(64):x}")
        made.append(Stand(url, seed))
        return made[-1]

    yield make
    for stand in made:
        stand.answers.close()
        stand.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_pages_of_any_length_are_the_candles_of_the_trades(
    make_stand: Callable[[int], Stand], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = make_stand(seed)
    chance = stand.chance
    for _ in range(scaled(30)):
        for _ in range(50):
            stand.trade()
            if chance.random() < 0.1:
                stand.write()
        stand.write()
        # Bounds so tight that they end pages.
        monkeypatch.setattr(ledger_candles, "TRADES_MAX", chance.choice([1, 10, 250_000]))
        monkeypatch.setattr(ledger_candles, "PIECE_TRADES", chance.choice([1, 7, 10_000]))
        if chance.random() < 0.7:
            stand.restart()
            for _ in range(chance.randrange(3)):
                stand.trade()
        behind = chance.random() < 0.3
        if not behind:
            stand.write()
        for interval in INTERVALS:
            instrument = chance.randrange(2)
            truth = rows_from(stand.trades[instrument], seconds_of(interval))
            limit = chance.choice([1 if seconds_of(interval) > 60 else 3, 7, 1000])
            name = f"INS-{instrument}"
            found = stand.pages(limit, instrument=name, interval=interval)
            if behind:  # what memory forgot before the ledger had it is missing, and not hidden
                assert {row_of(each) for each in found if each["complete"]} <= set(truth)
                continue
            assert [row_of(each) for each in found] == truth
            assert all(each["complete"] for each in found)
            assert_range(stand, instrument, interval, limit)
    assert stand.history.asked > 30


def assert_range(stand: Stand, instrument: int, interval: str, limit: int) -> None:
    """A range is rounded out to whole candles."""
    seconds, trades = seconds_of(interval), stand.trades[instrument]
    first, last = sorted(stand.chance.choice(trades)[0] for _ in range(2))
    start, end = first // NS, last // NS + stand.chance.randint(1, 100)
    within = [
        each
        for each in trades
        if start // seconds * seconds <= each[0] // NS < -(-end // seconds) * seconds
    ]
    times = {name: codec.format_time(at * 10**6).decode() for name, at in
             (("start_time", start), ("end_time", end))}  # fmt: skip
    found = stand.pages(limit, instrument=f"INS-{instrument}", interval=interval, **times)
    assert [row_of(each) for each in found] == rows_from(within, seconds)


@pytest.mark.slow
def test_a_candle_that_a_ledger_behind_may_lack_trades_of_says_so(
    make_stand: Callable[[int], Stand],
) -> None:
    stand = make_stand(8)
    for _ in range(60):
        stand.trade()
    stand.write()
    for _ in range(60):
        stand.trade()
    stand.restart()
    wrong = 0
    for interval in INTERVALS:
        truth = {row[0]: row for row in rows_from(stand.trades[0], seconds_of(interval))}
        _, page = stand.ask(instrument="INS-0", interval=interval, limit="1000")
        assert page["ledger_sequence"] < page["sequence"]
        assert page["complete_from"] is not None
        for candle in page["candles"]:
            row = row_of(candle)
            if candle["complete"]:
                assert row == truth[row[0]]
            wrong += row != truth[row[0]]
        assert any(each["complete"] for each in page["candles"]) or seconds_of(interval) > 3600
    assert wrong > 0, "a gap that was not there shows nothing"
    stand.write()
    _, page = stand.ask(instrument="INS-0", interval="1m", limit="1000")
    assert page["complete_from"] is None
    assert all(each["complete"] for each in page["candles"])


@pytest.mark.slow
def test_with_the_ledger_away_a_range_is_refused_and_the_last_candles_are_memorys(
    make_stand: Callable[[int], Stand],
) -> None:
    stand = make_stand(9)
    for _ in range(80):
        stand.trade()
    stand.write()
    stand.restart()
    stand.history.is_open = True
    oldest = codec.format_time(stand.trades[0][0][0] // 1000).decode()
    status, problem = stand.ask(instrument="INS-0", start_time=oldest)
    assert (status, problem["code"]) == (503, "ledger_away")
    status, page = stand.ask(instrument="INS-0", limit="1000")
    assert (status, "ledger_sequence" in page) == (200, False)
    assert page["candles"][0]["time"] < page["complete_from"]
    assert sum(each["trade_count"] for each in page["candles"]) == TINY.trades_per_instrument_max
    # A range that memory has is answered whatever the ledger does.
    status, page = stand.ask(instrument="INS-0", interval="1s", start_time=page["complete_from"])
    assert (status, page["next_cursor"]) == (200, None)
    assert all(each["complete"] for each in page["candles"])


@pytest.mark.slow
def test_a_restarted_server_goes_on_with_the_candles_of_its_ledger(
    make_server: Callable[..., Server],
) -> None:
    server = make_server(trades_per_instrument_max=5, rate_limit_per_second=0).start()

    def trade(client: httpx.Client, number: int) -> None:
        for side in ("sell", "buy"):
            order = {"client_id": "c", "side": side, "type": "limit", "quantity": "0.5",
                     "price": str(100 + number % 7)}  # fmt: skip
            assert client.post("/orders", json=order).status_code == 201

    with httpx.Client(base_url=server.url, timeout=30) as client:
        for number in range(30):
            trade(client, number)
        whole = decode_json(client.get("/market/candles?interval=1s").content)
    server.kill()
    server.start()
    with httpx.Client(base_url=server.url, timeout=30) as client:
        trade(client, 30)
        end = client.get("/trades?limit=1").json()["trades"][0]["sequence"]

        def ledger_seq() -> int | None:
            found: int | None = client.get("/healthz").json()["checks"]["ledger"].get("sequence")
            return found

        wait_until(lambda: ledger_seq() == end)
        wait_until(lambda: client.get("/market/candles?end_time=2100-01-01").status_code == 200)
        trades = decode_json(client.get("/trades?limit=1000").content)["trades"][::-1]
        assert len(trades) == 31
        for interval in ("1s", "1m", "1d"):
            reply = client.get(f"/market/candles?interval={interval}&limit=1000")
            page = decode_json(reply.content)
            made = naive.candles(
                [(parse_time("", each["timestamp"]), int(Decimal(each["price"]) * 100), 1)
                 for each in trades],
                seconds_of(interval) * NS,
            )  # fmt: skip
            told = [
                (parse_time("", each["time"]), int(Decimal(each["close"]) * 100),
                 each["trade_count"], Decimal(each["volume"]) * 2)
                for each in page["candles"]
            ]  # fmt: skip
            names = ("start", "close", "count", "volume")
            assert told == [tuple(each[name] for name in names) for each in made]
            assert (page["complete_from"], page["ledger_sequence"]) == (None, end)
            if interval == "1s":
                assert page["candles"][: whole["count"] - 1] == whole["candles"][:-1]
    server.stop()


@pytest.mark.slow
def test_bad_ranges_are_answered_with_the_field(server: Server) -> None:
    for query, field in (
        ("start_time=yesterday", "start_time"),
        ("end_time=0001-01-01", "end_time"),
        ("start_time=2026-01-02&end_time=2026-01-01", "end_time"),
        ("cursor=0", "cursor"),
        ("cursor=1e3", "cursor"),
        ("cursor=99999999999999", "cursor"),
        ("from=2026-01-01", "from"),
    ):
        reply = httpx.get(f"{server.url}/market/candles?{query}")
        assert reply.status_code == 400, query
        assert [each["field"] for each in reply.json()["errors"]] == [field], query
