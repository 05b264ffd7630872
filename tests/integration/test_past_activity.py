"""Order-to-trade ratio and markouts: memory and ledger say the same, and what the events say."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from novate.analytics.activity import HORIZONS_S, MESSAGES, Quotes, mean_markout, taker_seconds
from novate.ledger import activity, database
from novate.ledger.digest import digest
from novate.ledger.queries import LedgerReader
from novate.ledger.schema import order_minutes, quotes
from novate.model.events import AUCTION_TRADE, EVENT, EventKind
from novate.streams.activity_window import MESSAGES_WINDOW_S, ActivityWindow
from novate.testing.workload import decode_json
from tests.conftest import Server, scaled, wait_until
from tests.integration.ledger_stand import SPECS, LedgerStand
from tests.postgres import Postgres
from tests.unit.stream_fakes import ManualLoop

NS = 10**9


class Told:
    """Every event of a stand, by second, and the best prices at the end of each."""

    def __init__(self, stand: LedgerStand) -> None:
        self.engine = stand.reporter.engine
        self.events: list[tuple[int, Any]] = []
        self.quotes: list[dict[int, tuple[int, int]]] = [{} for _ in SPECS]
        stand.on_applied.append(self.hear)

    def hear(self, applied: Any) -> None:
        second = applied.timestamp_ns // NS
        self.events += [(second, each) for each in np.frombuffer(applied.events, EVENT)]
        for instrument, each in enumerate(self.quotes):
            bid, _, ask, _ = self.engine.best(instrument)
            each[second] = bid, ask

    def count(self, instrument: int, kind: EventKind, *reasons: int) -> int:
        return sum(
            each["kind"] == kind and each["instrument"] == instrument
            and (not reasons or each["reason"] in reasons)
            for _, each in self.events
        )  # fmt: skip

    def messages(self, instrument: int) -> dict[str, int]:
        return {
            "orders": self.count(instrument, EventKind.ORDER_ACCEPTED),
            "rejected": self.count(instrument, EventKind.ORDER_REJECTED),
            "amendments": self.count(instrument, EventKind.ORDER_AMENDED, 0),
            "cancels": self.count(instrument, EventKind.ORDER_ENDED, 1, 6),
            "trades": self.count(instrument, EventKind.TRADE),
        }

    def markouts(self, instrument: int, now_s: int, since_s: int = 0) -> list[Any]:
        own = [
            (second * NS, each["price_ticks"], each["quantity_lots"],
             0 if each["flags"] & AUCTION_TRADE else 1 if each["side"] == 0 else -1)
            for second, each in self.events
            if each["kind"] == EventKind.TRADE and each["instrument"] == instrument
            and second >= since_s
        ]  # fmt: skip
        traded = taker_seconds(*(np.array(each, np.int64) for each in zip(*own, strict=True)))
        listed = sorted(self.quotes[instrument].items())
        held = Quotes(
            [second for second, _ in listed],
            [bid for _, (bid, _) in listed],
            [ask for _, (_, ask) in listed],
        )
        return [mean_markout(traded, held, now_s, each) for each in HORIZONS_S]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_the_ledger_and_the_window_say_what_the_events_say(
    seed: int, tmp_path: Path, postgres: Postgres
) -> None:
    urls = [f"sqlite:///{tmp_path}/ledger.db", postgres.make_database(f"activity_{seed}")]
    stand = LedgerStand(urls, seed)
    told = Told(stand)
    window = ActivityWindow(ManualLoop(), stand.reporter.engine, 1_000_000)
    stand.on_applied.append(window.on_applied)
    stand.before_second.append(window.before_second)
    begun_s = stand.now_ns // NS
    stand.play_market(seed, scaled(8_000), batch=40, step_ns=130_000_000)
    now_s = stand.now_ns // NS
    end = now_s // 60 + 1
    for url in urls:
        reader = LedgerReader(url, 30, 1)
        known = 0
        for instrument in range(len(SPECS)):
            found = reader.messages(instrument, 0, end)
            expected = told.messages(instrument)
            assert {name: getattr(found.messages, name) for name in MESSAGES} == expected
            assert all(expected.values()), expected
            past = reader.markouts(instrument, 0, end * 60)
            assert past.markouts == told.markouts(instrument, now_s)
            known += sum(each.lots for each in past.markouts)
            # Memory has the last day of messages, and the last hour of markouts.
            assert now_s - begun_s < MESSAGES_WINDOW_S
            assert window.messages(instrument, 0) == found.messages
            since = now_s + 1 - 600
            assert window.markouts(instrument, since)[1] == told.markouts(instrument, now_s, since)
        assert (found.seq, known > 0) == (stand.oracle.seq, True)
        reader.close()
    stand.close()


@pytest.mark.slow
def test_parts_of_a_range_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    stand = LedgerStand([url], 3)
    stand.play_market(3, scaled(5_000), batch=40, step_ns=700_000_000)
    stand.close()
    reader = LedgerReader(url, 30, 1)
    first, end = stand.now_ns // NS // 60 - 100, stand.now_ns // NS // 60 + 1
    cut = random.Random(1).randrange(first + 1, end)
    for name in MESSAGES:
        whole, *parts = (
            getattr(reader.messages(0, *each).messages, name)
            for each in ((first, end), (first, cut), (cut, end))
        )
        assert whole == sum(parts)
    whole = reader.markouts(0, first * 60, end * 60)
    parts = [reader.markouts(0, a * 60, b * 60) for a, b in ((first, cut), (cut, end))]
    for place in range(len(HORIZONS_S)):
        for name in ("trades", "lots", "notional", "moved_twice"):
            split = sum(getattr(each.markouts[place], name) for each in parts)
            assert getattr(whole.markouts[place], name) == split
    monkeypatch.setattr(activity, "TRADES_MAX", whole.trades - 1)
    assert reader.markouts(0, first * 60, end * 60).traded is None
    reader.close()


@pytest.mark.slow
def test_a_migration_counts_what_is_there_already(ledger_url: str) -> None:
    stand = LedgerStand([ledger_url], 4)
    stand.play_market(4, scaled(4_000), batch=100, step_ns=700_000_000)
    stand.close()
    engine = database.open_writer(ledger_url)
    before = digest(engine)
    with engine.begin() as connection:
        database.downgrade(connection, "0002")
    assert database.migrate(engine) is True
    after = digest(engine)
    assert after["order_minutes"] == before["order_minutes"]
    with engine.connect() as connection:
        counted = sa.select(sa.func.count()).select_from(order_minutes)
        assert connection.execute(counted).scalar_one() > 0
        assert connection.execute(sa.select(sa.func.count()).select_from(quotes)).scalar_one() == 0
    engine.dispose()


@pytest.mark.slow
def test_a_writer_that_starts_anew_stores_the_same_quotes(tmp_path: Path) -> None:
    digests = []
    for anew in (False, True):
        url = f"sqlite:///{tmp_path}/ledger-{anew}.db"
        stand = LedgerStand([url], 6)
        for part in range(8):
            stand.play_market(part, scaled(500), batch=30, step_ns=350_000_000)
            if anew:
                stand.begin_anew()
        stand.close()
        digests.append(digest(database.open_writer(url)))
    assert digests[0]["quotes"] == digests[1]["quotes"]
    assert digests[0] == digests[1]


def get(client: httpx.Client, path: str, **query: str) -> Any:
    reply = client.get(path, params=query)
    assert reply.status_code == 200, reply.text
    return decode_json(reply.content)


def ledger_seq(client: httpx.Client) -> int:
    return int(client.get("/healthz").json()["checks"]["ledger"].get("sequence", 0))


def place(client: httpx.Client, side: str, price: str, quantity: str = "1", **more: Any) -> str:
    order = {"client_id": "c", "side": side, "type": "limit", "price": price, **more}
    reply = client.post("/orders", json={**order, "quantity": quantity})
    assert reply.status_code in (201, 422), reply.text
    return str(reply.json()["order_id"])


@pytest.mark.slow
def test_a_server_tells_both_live_and_of_the_past(make_server: Callable[..., Server]) -> None:
    server = make_server(rate_limit_per_second=0).start()
    with httpx.Client(base_url=server.url, timeout=30) as client:
        place(client, "buy", "99", "5")
        place(client, "sell", "101", "5")
        place(client, "buy", "101", "2")  # a buyer pays 101; the middle stays at 100
        place(client, "sell", "50", "1", post_only=True)  # refused: it would cross
        for _ in range(3):
            amended = place(client, "buy", "90")
            assert client.patch(f"/orders/{amended}", json={"quantity": "0.5"}).status_code == 200
        assert client.delete("/orders?client_id=c&side=buy").status_code == 200
        live = get(client, "/market/order-to-trade")
        assert [live[name] for name in MESSAGES] == [6, 1, 3, 4, 1]
        assert live["order_to_trade_ratio"] == 6 + 3 + 4 - 1
        place(client, "buy", "99", "5")

        def known() -> Any:
            place(client, "buy", "1", "0.1")
            found = get(client, "/market/markouts")
            return found if found["markouts"][0]["trade_count"] else None

        found = wait_until(known, what="a markout of a second")
        first, *rest = found["markouts"]
        assert [each["horizon"] for each in found["markouts"]] == ["1s", "5s", "30s", "1m", "5m"]
        assert (found["trade_count"], found["volume"]) == (1, 2)
        assert (first["volume"], first["average"]) == (2, -1)
        assert round(float(first["basis_points"]), 6) == round(-10_000 / 101, 6)
        assert (rest[-1]["trade_count"], rest[-1]["average"]) == (0, None)
        end = found["sequence"]
        wait_until(lambda: ledger_seq(client) >= end)
        end_time = datetime.fromisoformat(found["end_time"])
        day = {
            "start_time": f"{end_time - timedelta(hours=23):%Y-%m-%dT%H:%M:%SZ}",
            "end_time": found["end_time"],
        }
        wait_until(lambda: client.get("/market/markouts", params=day).status_code == 200)
        past = get(client, "/market/markouts", **day)
        assert past["ledger_sequence"] >= end
        assert past["markouts"][0] == first
        counted = get(client, "/market/order-to-trade", **day)
        assert counted["trades"] == 1
        assert counted["cancels"] == live["cancels"]
        server.kill()
        server.start()
        began = get(client, "/market/order-to-trade")
        assert (began["orders"], began["order_to_trade_ratio"]) == (0, None)
        assert began["complete_from"] is not None
        wait_until(lambda: client.get("/market/markouts", params=day).status_code == 200)
        assert get(client, "/market/markouts", **day)["markouts"][0] == first


@pytest.mark.slow
def test_bad_questions_are_answered_with_the_field(server: Server) -> None:
    for path, field in (
        ("/market/order-to-trade?window=25h", "window"),
        ("/market/order-to-trade?window=0m", "window"),
        ("/market/order-to-trade?window=1d", "window"),
        ("/market/markouts?window=61m", "window"),
        ("/market/markouts?instrument=DOGE", "instrument"),
        ("/market/markouts?start_time=2026-01-01&end_time=2026-01-03", "end_time"),
        ("/market/markouts?end_time=2026-01-01&start_time=2026-01-02", "end_time"),
        ("/market/order-to-trade?start_time=2025-01-01&end_time=2026-01-01", "end_time"),
        ("/market/order-to-trade?start_time=x", "start_time"),
        ("/market/order-to-trade?window=1h&start_time=2026-01-01&end_time=2026-01-02", "window"),
        ("/market/order-to-trade?limit=3", "limit"),
    ):
        reply = httpx.get(server.url + path)
        assert reply.status_code == 400, path
        assert [each["field"] for each in reply.json()["errors"]] == [field], path


@pytest.mark.slow
def test_without_a_ledger_a_range_is_a_503(make_server: Callable[..., Server]) -> None:
    server = make_server(ledger_url="none").start()
    for path in ("markouts", "order-to-trade"):
        refused = httpx.get(f"{server.url}/market/{path}?start_time=2026-01-01&end_time=2026-01-02")
        assert (refused.status_code, refused.json()["code"]) == (503, "ledger_off")
        assert httpx.get(f"{server.url}/market/{path}").status_code == 200
