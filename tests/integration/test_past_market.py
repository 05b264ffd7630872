"""Statistics and slippage of a time past: what memory said when that book was stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from novate.gateway.instruments import Instruments
from novate.gateway.market_reads import MarketReads
from novate.gateway.past_market import PastMarketReads
from novate.ledger.answers import open_answers
from novate.model import codec
from novate.streams.candle_window import CandleWindow
from novate.testing.workload import decode_json
from tests.conftest import Server, scaled
from tests.integration.ledger_stand import LedgerStand
from tests.integration.test_past_candles import AnsweringHistory
from tests.oracle.market import Market, MarketWorkload
from tests.unit.stream_fakes import ManualLoop

NS = 10**9
PAST_ONLY = ("book_time", "ledger_sequence")
OF_BOOK = (
    "best_bid", "best_ask", "mid", "spread", "relative_spread", "levels", "bid_quantity",
    "ask_quantity", "bid_notional", "ask_notional", "imbalance", "sequence",
)  # fmt: skip
OF_TRADES = (
    "trade_count", "volume", "notional", "vwap", "open", "high", "low", "last", "change",
    "change_percent",
)  # fmt: skip


class Stand(LedgerStand):
    """A ledger and memory that are asked the same."""

    def __init__(self, url: str, seed: int) -> None:
        super().__init__([url], seed)
        engine = self.reporter.engine
        self.window = CandleWindow(ManualLoop(), 2 * 86_400, 1_000_000)
        self.on_applied.append(self.window.on_applied)
        live = MarketReads(engine, Instruments(engine, "INS-0"), self.window)
        self.answers = open_answers(url, 30, 1, 0)
        history: Any = AnsweringHistory(self.answers)
        self.market = PastMarketReads(live, history)

    def ask(self, what: str, **query: str) -> Any:
        found: list[Any] = []

        def reply(
            status: int, body: bytes, replayed: bool = False, retry_after: int | None = None
        ) -> None:
            found.append((status, decode_json(body)))

        getattr(self.market, what)(query, reply)
        ((status, told),) = found
        assert status == 200
        return told

    def now(self) -> str:
        """The time of the last command, rounded up to where text can say it."""
        return codec.format_time(-(-self.now_ns // 1000)).decode()


@pytest.mark.slow
def test_a_time_past_is_told_as_memory_told_it_then(ledger_url: str) -> None:
    stand = Stand(ledger_url, 2)
    workload = MarketWorkload(2, stand.oracle, Market(instruments=3, numbered=False))
    told: list[tuple[str, dict[str, Any]]] = []
    minute = stand.now_ns // (60 * NS)
    for number, command in enumerate(workload.commands(scaled(6_000))):
        stand.now_ns += 400_000_000 * (number % 4)
        workload.now_ns = stand.now_ns
        stand.play([command])
        if stand.now_ns // (60 * NS) != minute:  # now the books are stored
            minute = stand.now_ns // (60 * NS)
            query = {"instrument": "INS-0"}
            told.append(
                (stand.now(), {
                    "statistics": stand.ask("statistics", levels="3", **query),
                    "buy": stand.ask("slippage", quantity="7", **query),
                    "sell": stand.ask("slippage", quantity="0.5", side="sell", **query),
                })
            )  # fmt: skip
    stand.write()
    assert len(told) > 4
    compared = 0
    for time, then in told:
        query = {"instrument": "INS-0", "time": time}
        now = stand.ask("statistics", levels="3", **query)
        stored = now.pop("book_time")
        if stored is None or stored > time or now["sequence"] > then["statistics"]["sequence"]:
            raise AssertionError("a book of later")
        assert [now[name] for name in OF_BOOK[:-1]] == [
            then["statistics"][name] for name in OF_BOOK[:-1]
        ]
        compared += now["best_bid"] is not None
        for side, quantity in (("buy", "7"), ("sell", "0.5")):
            slipped = stand.ask("slippage", side=side, quantity=quantity, **query)
            assert slipped["ledger_sequence"] == stand.oracle.seq
            for name in (*PAST_ONLY, "sequence"):
                slipped.pop(name)
                then[side].pop(name, None)
            assert slipped == then[side]
    assert compared > 0
    last = stand.ask("statistics", instrument="INS-0")
    whole = codec.format_time((stand.now_ns // NS + 1) * 10**6).decode()
    past = stand.ask("statistics", instrument="INS-0", time=whole)
    assert [past[name] for name in OF_TRADES] == [last[name] for name in OF_TRADES]
    assert last["trade_count"] > 0
    before = stand.ask("statistics", instrument="INS-0", time="2001-01-01")
    assert [before[name] for name in ("trade_count", "best_bid", "book_time")] == [0, None, None]
    stand.answers.close()
    stand.close()


@pytest.mark.slow
def test_bad_times_and_a_missing_ledger_are_told(make_server: Callable[..., Server]) -> None:
    server = make_server(ledger_url="none").start()
    for path in ("statistics?", "slippage?quantity=1&"):
        reply = httpx.get(f"{server.url}/market/{path}time=noon")
        assert (reply.status_code, reply.json()["errors"][0]["field"]) == (400, "time")
        reply = httpx.get(f"{server.url}/market/{path}time=2026-01-01T00:00:00Z")
        assert (reply.status_code, reply.json()["code"]) == (503, "ledger_off")
        assert httpx.get(f"{server.url}/market/{path[:-1]}").status_code == 200
