"""The stream of a real server: books that are right at every sequence, chains without gaps."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from novate.engine import Engine
from novate.journal.disk import RealDisk
from novate.journal.reading import JournalReader
from tests.conftest import Server, scaled
from tests.integration.ws_client import Closed, Message, WsClient, limit
from tests.unit.stream_fakes import BookModel

MakeServer = Callable[..., Server]
Book = dict[str, dict[Decimal, Decimal]]


def play(client: WsClient, chance: random.Random, count: int) -> None:
    """Random orders around a price, in batches, so that levels come, change and go."""
    placed: list[str] = []
    run = chance.randrange(10**9)
    for start in range(0, count, 50):
        operations: list[Message] = []
        for number in range(start, min(start + 50, count)):
            if placed and chance.random() < 0.35:
                order_id = placed.pop(chance.randrange(len(placed)))
                operations.append({"op": "cancel", "order_id": order_id})
                continue
            order_id = f"{run}-{number}"
            side = chance.choice(["buy", "sell"])
            price = (
                100 + chance.randrange(-8, 4) if side == "buy" else 100 + chance.randrange(-3, 9)
            )
            order = limit(side, price, chance.randrange(1, 20), order_id=order_id)
            operations.append({"op": "place", "order": order})
            placed.append(order_id)
        reply = client.ask({"op": "batch", "operations": operations})
        assert reply["type"] == "batch_result", reply


def replayed_books(data_dir: Path, wanted: set[int]) -> dict[int, dict[str, dict[int, int]]]:
    """The book of instrument 0 as an engine of our own has it at each wanted sequence."""
    engine = Engine()
    books = {}
    for record in JournalReader(data_dir, RealDisk(), 0).read(1):
        batch = record.batch
        engine.apply(batch.commands, batch.first_seq, batch.timestamp_ns)
        for seq in wanted & set(range(batch.first_seq, batch.first_seq + batch.count)):
            bids, asks = engine.depth(0, 1000)
            books[seq] = {
                side: {int(row["price_ticks"]): int(row["quantity_lots"]) for row in rows}
                for side, rows in (("bids", bids), ("asks", asks))
            }
    return books


def in_ticks(book: Any) -> dict[str, dict[int, int]]:
    """A book of BTC-USD in ticks and lots."""
    return {
        side: {int(Decimal(p) * 100): int(Decimal(q) * 10**8) for p, q in book[side].items()}
        for side in ("bids", "asks")
    }


def follow(messages: list[Message], model: BookModel, seen: dict[int, Any]) -> None:
    """Apply what came, and note the book at every sequence published."""
    for message in messages:
        if message["type"].startswith("orderbook_"):
            model.apply(message)
            seen[model.sequence] = in_ticks(model.levels)


def is_at(sequence: int, message: Message) -> bool:
    """Whether a message is of the book at a sequence, or of a later one."""
    return bool(message["type"].startswith("orderbook_") and message["sequence"] >= sequence)


def levels_of(orderbook: Message) -> dict[str, dict[int, int]]:
    return in_ticks(
        {
            side: {level["price"]: level["quantity"] for level in orderbook[side]}
            for side in ("bids", "asks")
        }
    )


def get_book(server: Server, instrument: str = "BTC-USD") -> Message:
    path = f"/orderbook?instrument={instrument}&levels=1000"
    book: Message = json.loads(httpx.get(server.url + path).content, parse_float=Decimal)
    return book


@pytest.mark.slow
@pytest.mark.parametrize("interval_ms", [0, 5])
def test_the_book_is_right_at_every_published_sequence(
    make_server: MakeServer, interval_ms: int
) -> None:
    """Against GET /orderbook at equal sequences, and against a replay of the journal at all."""
    server = make_server(publish_interval_ms=interval_ms).start()
    fetched: dict[int, Any] = {}
    with WsClient(server.port) as reader, WsClient(server.port) as trader:
        chance = random.Random(interval_ms)
        play(trader, chance, 200)
        reader.ask({"op": "subscribe", "channels": ["orderbook_deltas"]})
        for _ in range(scaled(40)):
            play(trader, chance, 500)
            book = get_book(server)
            last = book["sequence"]
            fetched[last] = levels_of(book)
            reader.until(partial(is_at, last))
        model, seen = BookModel(), {}
        follow(reader.messages, model, seen)
    assert model.gaps == 0
    assert model.sequence == last
    assert len(seen) > scaled(40)
    assert server.stop() == 0
    assert {seq: seen[seq] for seq in fetched if seq in seen} == {
        seq: fetched[seq] for seq in fetched if seq in seen
    }
    assert seen[last] == fetched[last]
    truth = replayed_books(server.data_dir, set(seen) - {0})
    assert {seq: seen[seq] for seq in truth} == truth


def test_the_session_greets_and_answers_pings(server: Server) -> None:
    with WsClient(server.port) as client:
        assert client.opened
        greeting = client.read()
        assert (greeting["type"], bool(greeting["session"])) == ("connected", True)
        assert client.ask({"op": "ping"})["type"] == "pong"


def test_compression_is_not_taken_up(server: Server) -> None:
    with connect(server.ws_url) as client:  # a library's client, which offers it
        assert client.protocol.extensions == []
        assert json.loads(client.recv())["type"] == "connected"
        client.send(json.dumps({"op": "ping"}))
        assert json.loads(client.recv()) == {"type": "pong"}


def test_other_paths_are_not_found(server: Server) -> None:
    with WsClient(server.port, path="/streams") as client:
        assert client.head.startswith(b"HTTP/1.1 404")
        assert b"application/problem+json" in client.head


@pytest.mark.slow
def test_heartbeats_come(make_server: MakeServer) -> None:
    server = make_server(heartbeat_seconds=0.1).start()
    with WsClient(server.port) as client:
        client.until_type("heartbeat")
        client.until_type("heartbeat")


@pytest.mark.slow
def test_a_gap_is_mended_by_resync(server: Server) -> None:
    with WsClient(server.port) as reader, WsClient(server.port) as trader:
        reader.ask({"op": "subscribe", "channels": ["book.BTC-USD"]})
        reader.until_type("orderbook_snapshot")
        trader.ask({"op": "place", "order": limit("buy", 100, 1)})
        reader.until_type("orderbook_delta")
        reader.messages.clear()  # as if what came until now had been lost
        trader.ask({"op": "place", "order": limit("buy", 101, 1)})
        model = BookModel()
        model.apply(reader.until_type("orderbook_delta"))
        assert model.gaps == 1
        reader.send({"op": "resync"})
        model.apply(reader.until_type("orderbook_snapshot"))
        trader.ask({"op": "place", "order": limit("sell", 102, 1)})
        model.apply(reader.until_type("orderbook_delta"))
        assert model.gaps == 1
        assert in_ticks(model.levels) == levels_of(get_book(server))


@pytest.mark.slow
def test_trades_come_whole_and_chained(server: Server) -> None:
    with WsClient(server.port) as reader, WsClient(server.port) as trader:
        reader.ask({"op": "subscribe", "channels": ["trades"]})
        subscribed = reader.of_type("subscribed")[0]
        for start in range(10):
            operations = [
                {"op": "place", "order": limit(side, 100, 1, order_id=f"{start}-{n}-{side}")}
                for n in range(10)
                for side in ("sell", "buy")
            ]
            trader.ask({"op": "batch", "operations": operations})
        listed = httpx.get(f"{server.url}/trades?limit=1000").json()["trades"]
        assert len(listed) == 100
        reader.until(lambda message: message.get("sequence", 0) >= listed[0]["sequence"])
        messages = reader.of_type("trades")
        before = subscribed["trades_sequence"]
        for message in messages:
            assert message["prev_sequence"] == before
            before = message["sequence"]
        came = [trade["trade_id"] for message in messages for trade in message["trades"]]
        assert came == [trade["trade_id"] for trade in reversed(listed)]
        with WsClient(server.port) as late:
            request = {"op": "subscribe", "channels": ["trades"], "from_trade_id": came[89]}
            late.ask(request)
            replay = late.until_type("trades")
            assert [trade["trade_id"] for trade in replay["trades"]] == came[90:]
            assert (replay["complete"], replay["sequence"] >= before) == (True, True)
        with WsClient(server.port) as unsure:
            seq = int(came[-1].split("-")[1])
            for trade_id in ("bad", f"0-{seq + 1000}-0", f"0-{seq}-999", f"1-{seq}-0", "0-0-0"):
                refusal = unsure.ask({**request, "from_trade_id": trade_id})
                assert refusal["problem"]["code"] == "unknown_trade"
            refusal = unsure.ask({**request, "channels": ["orderbook"]})
            assert refusal["problem"]["code"] == "unexpected_field"


def test_order_updates_of_one_client_and_of_all(server: Server) -> None:
    with (
        WsClient(server.port) as own,
        WsClient(server.port) as everyone,
        WsClient(server.port) as trader,
    ):
        own.ask({"op": "subscribe", "channels": ["orders"], "client_id": "client-A"})
        everyone.ask({"op": "subscribe", "channels": ["orders"]})
        trader.ask({"op": "place", "order": limit("sell", 100, 1, order_id="a1")})
        trader.ask({"op": "place", "order": limit("buy", 100, 1, "client-B", order_id="b1")})
        trader.ask({"op": "place", "order": limit("buy", 99, 1, order_id="a2")})
        trader.ask({"op": "cancel", "order_id": "a2"})

        def last(message: Message) -> bool:
            return message.get("order", {}).get("status") == "cancelled"

        own.until(last)
        everyone.until(last)
        states = [
            (each["order"]["order_id"], each["order"]["status"])
            for each in everyone.of_type("order_update")
        ]
        assert sorted(states[:3]) == [("a1", "filled"), ("a1", "open"), ("b1", "filled")]
        assert states[3:] == [("a2", "open"), ("a2", "cancelled")]
        assert [
            (each["order"]["order_id"], each["order"]["status"])
            for each in own.of_type("order_update")
        ] == [("a1", "open"), ("a1", "filled"), ("a2", "open"), ("a2", "cancelled")]
        sequences = [each["sequence"] for each in everyone.of_type("order_update")]
        assert sequences == sorted(sequences)


def test_nothing_comes_after_unsubscribe(server: Server) -> None:
    channels = ["orderbook_deltas", "trades", "orders"]
    with (
        WsClient(server.port) as reader,
        WsClient(server.port) as witness,
        WsClient(server.port) as trader,
    ):
        for client in (reader, witness):
            client.ask({"op": "subscribe", "channels": channels})
            client.until_type("orderbook_snapshot")
        assert reader.ask({"type": "unsubscribe", "channels": channels})["channels"] == channels
        for side in ("buy", "sell"):
            trader.ask({"op": "place", "order": limit(side, 100, 1)})
        witness.until_type("trades")  # comes last: orders go with their batch, then a tick's deltas
        assert {each["type"] for each in witness.messages} >= {"orderbook_delta", "order_update"}
        count = len(reader.messages)
        reader.ask({"op": "ping"})
        reader.ask({"op": "subscribe", "channels": ["orderbook"], "instrument": "ETH-USD"})
        reader.until_type("orderbook_snapshot")
        kinds = [each["type"] for each in reader.messages[count:]]
        assert kinds == ["pong", "subscribed", "orderbook_snapshot"]


@pytest.mark.slow
def test_a_stop_says_so(make_server: MakeServer) -> None:
    server = make_server().start()
    with WsClient(server.port) as client:
        client.ask({"op": "ping"})
        assert server.stop() == 0
        with pytest.raises(Closed) as closed:
            while True:
                client.read()
        assert closed.value.code == 1012
