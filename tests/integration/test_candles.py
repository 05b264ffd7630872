"""Candles, statistics and slippage of a real server, against the trades that it shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import httpx
import pytest

from novate.export.command import parse_time
from tests.conftest import PATIENCE_SECONDS, Server
from tests.integration.ws_client import Message, WsClient, limit

MakeServer = Callable[..., Server]
pytestmark = pytest.mark.slow


def get(server: Server, path: str) -> Message:
    reply = httpx.get(server.url + path, timeout=PATIENCE_SECONDS)
    assert reply.status_code == 200, reply.text
    found: Message = json.loads(reply.content, parse_float=Decimal)
    return found


def trade(client: WsClient, price: str, quantity: str, instrument: str = "BTC-USD") -> None:
    """A trade at a price: a seller rests, a buyer takes."""
    for side in ("sell", "buy"):
        order = limit(side, price, quantity, instrument=instrument)
        assert client.ask({"op": "place", "order": order})["type"] == "order_accepted"


def candles_of(server: Server, seconds: int, count: int) -> dict[str, Any]:
    """Candles by start, made by hand of the last `count` trades that the server lists."""
    found: dict[str, Any] = {}
    trades = get(server, f"/trades/detailed?limit={count}")["trades"]
    assert len(trades) == count
    for each in reversed(trades):
        start = parse_time("", each["timestamp"]) // 10**9 // seconds * seconds
        price, quantity = Decimal(each["price"]), Decimal(each["quantity"])
        row = found.setdefault(start, [price, price, price, price, 0, 0, 0])
        row[1], row[2], row[3] = max(row[1], price), min(row[2], price), price
        row[4], row[5], row[6] = row[4] + quantity, row[5] + price * quantity, row[6] + 1
    return found


def told(candles: list[Message]) -> dict[str, Any]:
    """Candles by start as they were told; what comes later replaces what came before."""
    names = ("open", "high", "low", "close", "volume", "notional", "trade_count")
    return {
        parse_time("", each["time"]) // 10**9: [each[name] for name in names] for each in candles
    }


def test_the_stream_ends_with_the_candles_of_the_trades(server: Server) -> None:
    with WsClient(server.port) as reader, WsClient(server.port) as trader:
        trade(trader, "70000.5", "0.1")
        reply = reader.ask({"op": "subscribe", "channels": ["candles"], "interval": "60s"})
        assert (reply["channels"], reply["interval"]) == (["candles"], "1m")
        seconds = reader.ask({"op": "subscribe", "channels": ["candles.BTC-USD"], "interval": "1s"})
        assert seconds["interval"] == "1s"
        for number in range(30):
            trade(trader, f"{70000 + number * 7 % 11}.25", f"0.{1 + number % 7}")
            trade(trader, "3500", "1", "ETH-USD")
        last = get(server, "/trades?limit=1")["trades"][0]["sequence"]
        told_last: set[str] = set()

        def is_last_of_both(each: Message) -> bool:
            if each["type"] == "candles" and each["sequence"] >= last:
                told_last.add(each["interval"])
            return told_last == {"1m", "1s"}

        reader.until(is_last_of_both)
        for interval, length in (("1m", 60), ("1s", 1)):
            own = [each for each in reader.messages if each.get("interval") == interval]
            snapshot, *changes = [each for each in own if each["type"].startswith("candles")]
            assert snapshot["type"] == "candles_snapshot"
            before = snapshot["sequence"]
            for change in changes:
                assert change["prev_sequence"] == before
                before = change["sequence"]
            every = snapshot["candles"] + [c for change in changes for c in change["candles"]]
            assert told(every) == candles_of(server, length, 31)
        reader.ask({"op": "unsubscribe", "channels": ["candles"], "interval": "1m"})
        refused = reader.ask({"op": "subscribe", "channels": ["candles"], "interval": "1w"})
        assert refused["problem"]["errors"][0]["field"] == "interval"


def test_candles_come_back_after_a_kill(make_server: MakeServer) -> None:
    server = make_server(trades_per_instrument_max=10).start()
    with WsClient(server.port) as trader:
        for number in range(8):
            trade(trader, f"{100 + number}", "1")
    path = "/market/candles?interval=1h"
    before = get(server, path)
    assert told(before["candles"]) == candles_of(server, 3600, 8)
    assert (before["count"], before["complete_from"]) == (len(before["candles"]), None)
    server.kill()
    server.start()
    assert get(server, path) == {**before, "sequence": get(server, path)["sequence"]}
    with WsClient(server.port) as trader:
        for _ in range(8):
            trade(trader, "50", "1")
    assert sum(each["trade_count"] for each in get(server, path)["candles"]) == 16
    server.kill()
    server.start()
    after = get(server, path)
    oldest = get(server, "/trades?limit=10")["trades"][-1]["timestamp"]
    assert after["complete_from"] > oldest, "of the second of the oldest trade kept some are gone"
    assert sum(each["trade_count"] for each in after["candles"]) == 10
    assert after["candles"][0]["complete"] is False


def test_statistics_tie_to_trades_and_book(server: Server) -> None:
    empty = get(server, "/market/statistics")
    assert [empty[name] for name in ("trade_count", "last", "mid", "imbalance")] == [
        0, None, None, 0,
    ]  # fmt: skip
    with WsClient(server.port) as trader:
        for price, quantity in (("100", "1"), ("103", "2"), ("101.5", "0.5")):
            trade(trader, price, quantity)
        for side, price, quantity in (
            ("buy", "99.99", "3"), ("buy", "99", "1"), ("sell", "102", "1"), ("sell", "104", "9"),
        ):  # fmt: skip
            trader.ask({"op": "place", "order": limit(side, price, quantity)})
    found = get(server, "/market/statistics?levels=1")
    notional = Decimal("100") + 206 + Decimal("50.75")
    average = (notional / Decimal("3.5")).quantize(Decimal("1e-6"), ROUND_HALF_EVEN)
    assert {name: found[name] for name in ("open", "high", "low", "last", "change")} == {
        "open": 100, "high": 103, "low": 100, "last": Decimal("101.5"), "change": Decimal("1.5"),
    }  # fmt: skip
    assert (found["notional"], found["volume"], found["trade_count"]) == (
        notional, Decimal("3.5"), 3,
    )  # fmt: skip
    assert found["vwap"] == average
    assert (found["best_bid"], found["best_ask"]) == (Decimal("99.99"), 102)
    assert (found["mid"], found["spread"]) == (Decimal("100.995"), Decimal("2.01"))
    assert found["relative_spread"] == round(Decimal("2.01") / Decimal("100.995"), 9)
    assert (found["bid_quantity"], found["ask_quantity"], found["imbalance"]) == (
        3, 1, Decimal("0.5"),
    )  # fmt: skip
    whole = get(server, "/market/statistics")
    assert (whole["bid_quantity"], whole["ask_quantity"]) == (4, 10)
    assert whole["bid_notional"] == Decimal("99.99") * 3 + 99


def test_slippage_is_what_a_market_order_then_pays(server: Server) -> None:
    with WsClient(server.port) as trader:
        for price, quantity in (("100", "1"), ("101", "2"), ("105", "1")):
            trader.ask({"op": "place", "order": limit("sell", price, quantity)})
        said = get(server, "/market/slippage?side=buy&quantity=3.5")
        order = {"client_id": "c", "side": "buy", "type": "market", "quantity": "3.5"}
        done = trader.ask({"op": "place", "order": order})["order"]
    assert said["average_price"] == done["average_price"]
    assert (said["notional"], said["levels"], said["worst_price"]) == (Decimal("354.5"), 3, 105)
    assert (said["slippage"], said["unfilled_quantity"]) == (Decimal("4.5"), 0)
    left = get(server, "/market/slippage?quantity=2")
    assert (left["filled_quantity"], left["unfilled_quantity"]) == (Decimal("0.5"), Decimal("1.5"))
    none = get(server, "/market/slippage?side=sell&quantity=1")
    assert (none["best_price"], none["average_price"], none["filled_quantity"]) == (None, None, 0)


def test_a_slippage_may_reach_deeper_than_a_reply_lists(server: Server) -> None:
    with WsClient(server.port) as trader:
        for start in range(0, 1500, 500):
            operations = [
                {"op": "place", "order": limit("sell", 100 + number, 1)}
                for number in range(start, start + 500)
            ]
            trader.ask({"op": "batch", "operations": operations})
    found = get(server, "/market/slippage?quantity=1400")
    assert (found["levels"], found["unfilled_quantity"]) == (1400, 0)
    assert found["slippage"] == sum(range(1400))


BAD_QUESTIONS = [
    ("/market/candles?interval=0s", "interval"),
    ("/market/candles?interval=1w", "interval"),
    ("/market/candles?interval=90000s", "interval"),
    ("/market/candles?limit=0", "limit"),
    ("/market/candles?instrument=DOGE", "instrument"),
    ("/market/candles?side=buy", "side"),
    ("/market/statistics?levels=1001", "levels"),
    ("/market/statistics?instrument=DOGE", "instrument"),
    ("/market/slippage", "quantity"),
    ("/market/slippage?quantity=0", "quantity"),
    ("/market/slippage?quantity=1e99", "quantity"),
    ("/market/slippage?quantity=%D9%A1", "quantity"),
    ("/market/slippage?quantity=1&side=long", "side"),
    ("/market/slippage?quantity=1&instrument=DOGE", "instrument"),
]


def test_bad_questions_are_answered_with_the_field(server: Server) -> None:
    for path, field in BAD_QUESTIONS:
        reply = httpx.get(server.url + path, timeout=PATIENCE_SECONDS)
        assert reply.status_code == 400, path
        assert [each["field"] for each in reply.json()["errors"]] == [field], path
