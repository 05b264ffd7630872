"""What the world sees of a trade that the operator took back or corrected."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.conftest import PATIENCE_SECONDS, Server, wait_until
from tests.integration.test_clearing import place, read
from tests.integration.test_history import ledger_seq
from tests.integration.ws_client import WsClient
from tests.postgres import Postgres

pytestmark = pytest.mark.slow

KEPT = 10
MARK = b',"busted":true'


def trade(client: httpx.Client, count: int) -> list[str]:
    """Make trades, each of one lot more than the one before; their ids, newest first."""
    made = []
    for number in range(1, count + 1):
        place(client, "ann", "sell", number, 100)
        made.append(place(client, "bob", "buy", number, 100)["trades"][0]["trade_id"])
    return made[::-1]


def bust(client: httpx.Client, trade_id: str, **members: object) -> int:
    """Bust or correct a trade; the sequence of that."""
    asked = {"instrument": "BTC-USD", **members}
    sequence: int = read(client.post(f"/admin/trades/{trade_id}/bust", json=asked))["sequence"]
    return sequence


def wait_for_ledger(client: httpx.Client, seq: int) -> None:
    wait_until(lambda: ledger_seq(client) >= seq, what="a ledger that caught up")
    wait_until(lambda: client.get("/trades/stats").status_code == 200)


def unmarked(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Trades without what a bust adds to them."""
    added = ("busted", "bust_sequence", "correction")
    return [{name: each[name] for name in each if name not in added} for each in listed]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_busted_trade_is_marked_in_memory_and_in_the_ledger(
    kind: str, make_server: Callable[..., Server], postgres: Postgres
) -> None:
    flags: dict[str, object] = {"trades_per_instrument_max": KEPT}
    if kind == "postgresql":
        flags["ledger_url"] = postgres.make_database("busted_trades")
    server = make_server(**flags).start()
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        ids = trade(client, 8)
        plain = client.get("/trades").content
        detailed = client.get("/trades/detailed").content
        wait_for_ledger(client, read(client.get("/trades"))["trades"][0]["sequence"])
        stats = read(client.get("/trades/stats"))
        taken_back = bust(client, ids[0])
        corrected = bust(client, ids[2], new_price=101, new_quantity=5)
        undone = bust(client, ids[4], new_price=90, new_quantity=1)
        again = bust(client, ids[6], new_price=99, new_quantity=4)
        wait_for_ledger(client, again)
        bust(client, f"0-{undone}-0")
        last = bust(client, f"0-{again}-0", new_price=98, new_quantity=3)

        def marked(listed: bytes) -> bytes:
            """What was listed before the busts, with a mark at the end of four of the trades."""
            trades = listed[:-3].split(b"},")
            for at in (0, 2, 4, 6):
                trades[at] += MARK
            return b"},".join(trades) + b"}]}"

        assert client.get("/trades").content == marked(plain)
        assert client.get("/trades/detailed").content == marked(detailed)
        assert client.get("/market/trades?limit=2").content.count(MARK) == 1

        server.kill()
        server.start()
        assert client.get("/trades").content == marked(plain)

        trade(client, KEPT)
        wait_for_ledger(client, read(client.get("/trades"))["trades"][0]["sequence"])
        for path, before in (("/trades", plain), ("/trades/detailed", detailed)):
            page = client.get(path, params={"limit": 1000})
            older = read(page)["trades"][KEPT:]
            was = read(httpx.Response(200, content=before))["trades"]
            assert unmarked(older) == was
            assert [older[at] for at in (1, 3, 5, 7)] == [was[at] for at in (1, 3, 5, 7)]
            assert MARK not in page.content.split(b"},")[-1]  # one that stands reads as ever
            said = {
                each["trade_id"]: (each["bust_sequence"], each["correction"])
                for each in older
                if each.get("busted")
            }
            assert said == {
                ids[0]: (taken_back, None),
                ids[2]: (
                    corrected, {"trade_id": f"0-{corrected}-0", "price": 101, "quantity": 5},
                ),
                ids[4]: (undone, None),  # what took its place was taken back
                ids[6]: (again, {"trade_id": f"0-{last}-0", "price": 98, "quantity": 3}),
            }  # fmt: skip

        events = read(client.get(f"/orders/{older[0]['buy_order_id']}/events"))["events"]
        (of_trade,) = [each for each in events if each["event"] == "trade"]
        assert (of_trade["busted"], of_trade["bust_sequence"]) == (True, taken_back)
        events = read(client.get(f"/orders/{older[1]['sell_order_id']}/events"))["events"]
        assert all("busted" not in each for each in events)

        # Statistics are of what was traded when it was traded.
        now = read(client.get("/trades/stats"))
        assert now["count"] == stats["count"] + KEPT == 8 + KEPT
        assert now["high"] == now["low"] == 100
    assert server.stop() == 0


def test_the_stream_tells_of_a_bust_at_once(server: Server) -> None:
    with (
        WsClient(server.port) as reader,
        httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client,
    ):
        reader.ask({"op": "subscribe", "channels": ["trades"]})
        other = WsClient(server.port)
        other.ask({"op": "subscribe", "channels": ["trades"], "instrument": "ETH-USD"})
        ids = trade(client, 3)
        sequence = bust(client, ids[0])
        corrected = bust(client, ids[1], new_price="101.5", new_quantity="0.5")
        first = reader.until_type("trade_busted")
        assert first.pop("timestamp").endswith("Z")
        assert first == {
            "type": "trade_busted", "instrument": "BTC-USD", "sequence": sequence,
            "trade_id": ids[0], "price": 100, "quantity": 3, "correction": None,
        }  # fmt: skip
        second = reader.until_type("trade_busted")
        assert (second["sequence"], second["trade_id"]) == (corrected, ids[1])
        assert second["correction"] == {
            "trade_id": f"0-{corrected}-0", "price": Decimal("101.5"), "quantity": Decimal("0.5"),
        }  # fmt: skip
        trade(client, 1)
        reader.until(lambda message: message.get("sequence", 0) > corrected)
        chain = reader.of_type("trades")
        assert [each["prev_sequence"] for each in chain[1:]] == [
            each["sequence"] for each in chain[:-1]
        ]
        with WsClient(server.port) as late:
            late.ask({"op": "subscribe", "channels": ["trades"], "from_trade_id": ids[2]})
            replayed = late.until_type("trades")["trades"]
            assert [each.get("busted") for each in replayed] == [True, True, None]
        other.ask({"op": "ping"})
        assert other.of_type("trade_busted") == []
        other.socket.close()
