"""The channel `account` of a real server: what it says of every kind of change, and to whom."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.conftest import Server
from tests.integration.test_clearing import funded, read
from tests.integration.ws_client import Message, WsClient, limit

pytestmark = pytest.mark.slow

FEES = [{"maker_bps": "-0.5", "taker_bps": 3}]
ADMIN = "/admin/settlements"


@pytest.fixture
def client(server: Server) -> Any:
    with httpx.Client(base_url=server.url, timeout=10) as client:
        yield client


def follow(reader: WsClient, client_id: str) -> Message:
    """Subscribe, and give the snapshot."""
    reply = reader.ask({"op": "subscribe", "channels": ["account"], "client_id": client_id})
    assert reply["type"] == "subscribed", reply
    assert (reply["channels"], reply["client_id"]) == (["account"], client_id)
    assert "instrument" not in reply
    return reader.until_type("account_snapshot")


def update(reader: WsClient) -> Message:
    return reader.until_type("account_update")


def post(client: httpx.Client, path: str, status: int = 200, **members: object) -> Any:
    return read(client.post(path, json=members), status)


def money(row: Message) -> tuple[Any, ...]:
    assert row["total"] == row["available"] + row["held"]
    return row["asset"], row["available"], row["held"]


def test_funds_holds_trades_and_fees_come_with_their_sequence(
    server: Server, client: httpx.Client
) -> None:
    funded(client, fees=FEES)
    with WsClient(server.port) as reader, WsClient(server.port) as trader:
        first = follow(reader, "bob")
        members = {name: first[name] for name in ("tier", "balances", "positions", "settlements")}
        assert members == {"tier": 0, "balances": [], "positions": [], "settlements": []}
        post(client, "/admin/deposits", 201, client_id="ann", asset="BTC", amount=2)
        done = post(client, "/admin/deposits", 201, client_id="bob", asset="USD", amount=1000)
        said = update(reader)
        assert said["timestamp"].endswith("Z")
        assert {name: said[name] for name in said if name != "timestamp"} == {
            "type": "account_update", "client_id": "bob", "sequence": done["sequence"],
            "prev_sequence": first["sequence"], "final": True,
            "events": [{"event": "deposit", "asset": "USD", "amount": 1000}],
            "balances": [{"asset": "USD", "available": 1000, "held": 0, "total": 1000}],
            "positions": [],
        }  # fmt: skip
        bid = trader.ask({"op": "place", "order": limit("buy", 100, 1, "bob")})["order"]
        held = update(reader)
        assert (held["sequence"], held["events"]) == (bid["sequence"], [])
        assert list(map(money, held["balances"])) == [("USD", Decimal("899.97"), Decimal("100.03"))]
        sold = trader.ask({"op": "place", "order": limit("sell", 100, "0.4", "ann")})["order"]
        trade_id = sold["trades"][0]["trade_id"]
        traded = update(reader)
        assert traded["events"] == [
            {
                "event": "trade", "trade_id": trade_id, "instrument": "BTC-USD", "side": "buy",
                "price": 100, "quantity": Decimal("0.4"), "liquidity": "maker",
            },
            {"event": "fee", "trade_id": trade_id, "asset": "USD", "amount": Decimal("-0.002")},
        ]  # fmt: skip
        assert list(map(money, traded["balances"])) == [
            ("BTC", Decimal("0.4"), 0),
            ("USD", Decimal("899.984"), Decimal("60.018")),
        ]
        assert traded["positions"][0]["net_quantity"] == Decimal("0.4")
        assert traded["positions"] == read(client.get("/market/positions/bob"))["positions"]
        post(client, "/admin/withdrawals", 201, client_id="bob", asset="BTC", amount="0.1")
        paid = update(reader)
        assert paid["events"] == [{"event": "withdrawal", "asset": "BTC", "amount": Decimal("0.1")}]
        assert list(map(money, paid["balances"])) == [("BTC", Decimal("0.3"), 0)]
        trader.ask({"op": "cancel", "order_id": bid["order_id"]})
        freed = update(reader)
        assert freed["balances"][0]["held"] == 0
        sequences = [first["sequence"]]
        for each in reader.of_type("account_update"):
            assert each["prev_sequence"] == sequences[-1]
            sequences.append(each["sequence"])
        assert sequences == sorted(set(sequences))
        with WsClient(server.port) as late:
            snapshot = follow(late, "bob")
            assert snapshot["sequence"] == freed["sequence"]
            for path, name in (
                ("/clients/bob/balances", "balances"),
                (
                    "/market/positions/bob",
                    "positions",
                ),
            ):
                assert snapshot[name] == read(client.get(path))[name]


def test_settlements_busts_and_tiers_are_told(server: Server, client: httpx.Client) -> None:
    post(client, "/admin/instruments/BTC-USD/clearing", fees=[{"maker_bps": 0, "taker_bps": 10}])
    with WsClient(server.port) as reader, WsClient(server.port) as trader:
        follow(reader, "bob")
        trader.ask({"op": "place", "order": limit("sell", 100, 3, "ann")})
        bought = trader.ask({"op": "place", "order": limit("buy", 100, 3, "bob")})["order"]
        trade_id = bought["trades"][0]["trade_id"]
        assert [each["event"] for each in update(reader)["events"]] == ["trade", "fee"]
        wanted = {"instrument": "BTC-USD", "new_price": 90, "new_quantity": 2}
        fixed = post(client, f"/admin/trades/{trade_id}/bust", **wanted)
        said = update(reader)
        new_id = f"0-{fixed['sequence']}-0"
        leg = {"instrument": "BTC-USD", "side": "buy"}
        assert said["events"] == [
            {"event": "trade_busted", "trade_id": trade_id, **leg, "price": 100, "quantity": 3},
            {"event": "fee", "trade_id": trade_id, "asset": "USD", "amount": Decimal("-0.3")},
            {
                "event": "trade_corrected", "trade_id": new_id, **leg, "price": 90, "quantity": 2,
                "corrects": trade_id,
            },
            {"event": "fee", "trade_id": new_id, "asset": "USD", "amount": Decimal("0.18")},
        ]  # fmt: skip
        assert said["positions"] == read(client.get("/market/positions/bob"))["positions"]
        post(client, "/admin/clients/bob/tier", tier=0)
        assert update(reader)["events"] == [{"event": "tier", "tier": 0}]
        post(client, ADMIN, 201, cycle=7)
        owed = [
            {"asset": "BTC", "amount": 2},
            {"asset": "USD", "amount": Decimal("-180.18")},
        ]
        settling = {"event": "settlement", "cycle": 7, "obligations": owed}
        assert update(reader)["events"] == [{**settling, "state": "open"}]
        with WsClient(server.port) as late:
            assert follow(late, "bob")["settlements"] == [
                {"cycle": 7, "state": "open", "obligations": owed}
            ]
        for state in ("instructed", "failed", "instructed", "settled"):
            post(client, f"{ADMIN}/7/state", state=state)
            assert update(reader)["events"] == [{**settling, "state": state}]
        with WsClient(server.port) as late:
            assert follow(late, "bob")["settlements"] == []


def test_only_who_asks_is_told_and_only_of_the_client_asked_for(server: Server) -> None:
    with WsClient(server.port) as reader, WsClient(server.port) as trader:
        follow(reader, "bob")
        follow(reader, "cat")
        asked = {"channels": ["account"], "client_id": "bob"}
        assert reader.ask({"op": "unsubscribe", **asked})["channels"] == ["account"]
        for buyer in ("bob", "dan", "cat"):
            trader.ask({"op": "place", "order": limit("sell", 100, 1, "ann")})
            trader.ask({"op": "place", "order": limit("buy", 100, 1, buyer)})
        assert update(reader)["client_id"] == "cat"
        assert len(reader.of_type("account_update")) == 1
        again = follow(reader, "bob")
        assert again["positions"][0]["net_quantity"] == 1


def test_a_sweep_over_many_makers_comes_in_parts_and_is_whole(server: Server) -> None:
    makers = 2_500
    with WsClient(server.port) as reader, WsClient(server.port) as trader:
        follow(reader, "bob")
        for start in range(0, makers, 500):
            orders = [
                {"op": "place", "order": limit("sell", 100, 1, "ann")}
                for _ in range(start, start + 500)
            ]
            trader.ask({"op": "batch", "operations": orders})
        done = trader.ask({"op": "place", "order": limit("buy", 100, makers, "bob")})["order"]
        last = reader.until(lambda message: message.get("final") is True)
        parts = reader.of_type("account_update")
        assert [len(each["events"]) for each in parts] == [1000, 1000, 500]
        assert {each["sequence"] for each in parts} == {done["sequence"]}
        ids = [event["trade_id"] for each in parts for event in each["events"]]
        assert ids == [f"0-{done['sequence']}-{index}" for index in range(makers)]
        assert [bool(each["positions"]) for each in parts] == [False, False, True]
        assert last["positions"][0]["net_quantity"] == makers
