"""The publisher: ticks, chains of sequences, one encoding for all, turns of the loop."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from novate.streams.publisher import Publisher
from tests.conftest import scaled
from tests.unit.stream_fakes import (
    Batch,
    BookFake,
    BookModel,
    Counts,
    ManualLoop,
    Receiver,
    StreamOptions,
)


class Stage:
    """A publisher among fakes."""

    def __init__(self, **options: float) -> None:
        self.loop = ManualLoop()
        self.book = BookFake()
        self.counts = Counts()
        self.publisher = Publisher(
            self.book,
            self.loop,
            StreamOptions(**options),
            self.counts,
            clock=self.loop.time,
            wall_clock=lambda: 0.0,
        )

    def set_level(self, side: str, price: int, quantity: int, instrument: int = 0) -> None:
        self.book.set_level(instrument, side, price, quantity)
        self.publisher.on_applied(Batch())

    def trade(self) -> None:
        self.publisher.on_applied(Batch(trades=[self.book.trade()]))

    def subscribe(self, receiver: Receiver | None = None) -> Receiver:
        receiver = receiver or Receiver()
        self.publisher.subscribe_book(receiver, 0, "BTC-USD")
        return receiver


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_snapshot_comes_first_and_the_delta_follows_on_it(stage: Stage) -> None:
    stage.set_level("bids", 100, 5)
    client = stage.subscribe()
    stage.loop.run(0.1)
    stage.set_level("asks", 101, 7)
    stage.loop.run(0.1)
    assert client.messages == [
        {
            "type": "orderbook_snapshot",
            "instrument": "BTC-USD",
            "sequence": 1,
            "bids": [{"price": 100, "quantity": 5}],
            "asks": [],
        },
        {
            "type": "orderbook_delta",
            "instrument": "BTC-USD",
            "sequence": 2,
            "prev_sequence": 1,
            "bids": [],
            "asks": [{"price": 101, "quantity": 7}],
        },
    ]


def test_changes_of_one_interval_go_out_as_one_delta(stage: Stage) -> None:
    client = stage.subscribe()
    stage.loop.run(0.1)
    for quantity in range(1, 11):
        stage.set_level("bids", 100, quantity)
        stage.loop.run(0.001)
    stage.loop.run(0.1)
    deltas = client.of_type("orderbook_delta")
    assert len(deltas) == 2  # the first change at once, the others an interval later
    assert deltas[-1]["bids"] == [{"price": 100, "quantity": 10}]
    assert deltas[-1]["prev_sequence"] == deltas[0]["sequence"]


def test_interval_zero_publishes_every_batch() -> None:
    stage = Stage(publish_interval_ms=0)
    client = stage.subscribe()
    stage.loop.run(0.01)
    for quantity in range(1, 6):
        stage.set_level("bids", 100, quantity)
        stage.loop.run(0.000001)
    assert [each["sequence"] for each in client.of_type("orderbook_delta")] == [1, 2, 3, 4, 5]


def test_all_subscribers_get_the_same_bytes_object(stage: Stage) -> None:
    clients = [stage.subscribe() for _ in range(100)]
    stage.loop.run(0.1)
    stage.set_level("bids", 100, 1)
    stage.loop.run(0.1)
    for position in (0, 1):
        assert len({id(client.frames[position]) for client in clients}) == 1
    assert stage.book.book_reads == 1
    assert stage.counts.stream_messages == 200


class Follower:
    """A client that checks all it is told against what was true, and the chains of sequences."""

    def __init__(self, stage: Stage) -> None:
        self.receiver = stage.subscribe()
        self.model = BookModel()
        self.traded = stage.publisher.subscribe_trades(self.receiver, 0, "BTC-USD")
        self._read = 0

    def read(self, truth: dict[int, str]) -> None:
        for message in self.receiver.messages[self._read :]:
            if message["type"] == "trades":
                assert message["prev_sequence"] == self.traded
                self.traded = message["sequence"]
                continue
            self.model.apply(message)
            assert self.model.gaps == 0
            if self.model.sequence in truth:
                assert repr(_sorted(self.model.levels)) == truth[self.model.sequence]
        self._read = len(self.receiver.messages)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(scaled(200)))
def test_a_client_holds_the_book_at_every_published_sequence(seed: int) -> None:
    """Subscribers come, go, ask anew and stop to read while the book changes and trades."""
    chance = random.Random(seed)
    stage = Stage(websocket_buffer_bytes=2000, websocket_buffer_bytes_max=1_000_000)
    truth: dict[int, str] = {}
    clients: list[Follower] = []
    for _ in range(300):
        what = chance.random()
        if what < 0.07:
            clients.append(Follower(stage))
        elif what < 0.2 and clients:
            one = chance.choice(clients)
            if what < 0.1:
                stage.subscribe(one.receiver)
            elif what < 0.12:
                stage.publisher.leave(one.receiver)
                clients.remove(one)
            elif one.receiver.reads:
                one.receiver.reads = False
            else:
                one.receiver.read_all()
        elif what < 0.35:
            stage.trade()
        else:
            _change(stage, chance)
            truth[stage.book.engine.last_seq] = repr(_sorted(stage.book.books[0]))
        if chance.random() < 0.3:
            stage.loop.run(chance.random() * 0.05)
        for client in clients:
            client.read(truth)
    for client in clients:
        client.receiver.read_all()
    stage.loop.run(1)
    for client in clients:
        client.read(truth)
        assert _sorted(client.model.levels) == _sorted(stage.book.books[0])


def _change(stage: Stage, chance: random.Random) -> None:
    side = chance.choice(["bids", "asks"])
    stage.set_level(side, chance.randrange(5), chance.randrange(1, 4))
    if chance.random() < 0.3:
        for price in list(stage.book.books[0][side])[:2]:
            stage.set_level(side, price, 0)


def _sorted(levels: dict[str, dict[int, int]]) -> dict[str, list[tuple[int, int]]]:
    return {side: sorted(levels[side].items()) for side in ("bids", "asks")}


def test_a_resync_brings_a_snapshot_that_bears_the_sequence_published(stage: Stage) -> None:
    client, other = stage.subscribe(), stage.subscribe()
    stage.loop.run(0.1)
    stage.set_level("bids", 100, 1)
    stage.loop.run(0.1)
    stage.subscribe(client)
    stage.set_level("bids", 100, 2)
    stage.loop.run(0.1)
    stage.set_level("bids", 100, 3)
    stage.loop.run(0.1)
    kinds = [(each["type"], each["sequence"]) for each in client.messages]
    assert kinds[-2:] == [("orderbook_snapshot", 2), ("orderbook_delta", 3)]
    assert [each["sequence"] for each in other.of_type("orderbook_delta")] == [1, 2, 3]


def test_the_book_is_watched_only_while_someone_follows_it(stage: Stage) -> None:
    first, second = stage.subscribe(), stage.subscribe()
    assert 0 in stage.book.watched
    stage.publisher.leave(first)
    assert 0 in stage.book.watched
    assert stage.publisher.unsubscribe_book(second, 0)
    assert 0 not in stage.book.watched
    assert not stage.publisher.unsubscribe_book(second, 0)
    stage.set_level("bids", 100, 1)
    stage.loop.run(1)
    assert first.frames == [] == second.frames


def test_one_who_subscribes_after_all_have_left_starts_anew(stage: Stage) -> None:
    first = stage.subscribe()
    stage.loop.run(0.1)
    stage.publisher.leave(first)
    stage.set_level("bids", 100, 1)
    second = stage.subscribe()
    stage.loop.run(0.1)
    stage.set_level("bids", 100, 2)
    stage.loop.run(0.1)
    model = BookModel()
    for message in second.messages:
        model.apply(message)
    assert (model.gaps, model.levels["bids"]) == (0, {100: 2})


def costly(stage: Stage, seconds: float) -> Callable[[], None]:
    def spend() -> None:
        stage.loop.now += seconds

    return spend


def test_the_interval_stretches_with_what_sending_costs(stage: Stage) -> None:
    clients = [stage.subscribe(Receiver(costly(stage, 0.001))) for _ in range(100)]
    stage.loop.run(2)
    begun = stage.loop.now
    while stage.loop.now < begun + 10:
        stage.set_level("bids", 100, 1 + int(stage.loop.now * 1e6) % 1000)
        stage.loop.run(0.005)
    ticks = len(clients[0].of_type("orderbook_delta"))
    assert 30 <= ticks <= 34  # each costs 0.1 s, and sending may take a third of the time


def test_the_stretch_has_a_limit() -> None:
    stage = Stage(publish_interval_ms_max=100)
    client = stage.subscribe(Receiver(costly(stage, 0.2)))
    stage.loop.run(2)
    begun = stage.loop.now
    while stage.loop.now < begun + 10:
        stage.set_level("bids", 100, 1 + int(stage.loop.now * 1e6) % 1000)
        stage.loop.run(0.005)
    assert len(client.of_type("orderbook_delta")) >= 30


def test_sending_gives_the_loop_its_turn(stage: Stage) -> None:
    stalls: list[float] = []
    clients = [stage.subscribe(Receiver(costly(stage, 0.00005))) for _ in range(1000)]
    stage.loop.run(2)
    stage.set_level("bids", 100, 1)

    def watch() -> None:
        stalls.append(stage.loop.now)
        if not clients[-1].of_type("orderbook_delta"):
            stage.loop.call_later(0.0005, watch)

    watch()
    stage.loop.run(1)
    gaps = [after - before for before, after in itertools.pairwise(stalls)]
    assert max(gaps) < 0.004
    assert stalls[-1] - stalls[0] > 2.4 * 0.05  # most of the time was others'


def test_who_leaves_while_a_frame_is_on_its_way_does_not_get_it(stage: Stage) -> None:
    clients = [stage.subscribe(Receiver(costly(stage, 0.0005))) for _ in range(50)]
    stage.loop.run(2)
    got = len(clients[-1].frames)
    stage.loop.call_soon(lambda: stage.publisher.leave(clients[-1]))
    stage.set_level("bids", 100, 1)
    stage.loop.run(2)
    assert len(clients[0].frames) == got + 1
    assert len(clients[-1].frames) == got


# --- trades and orders --------------------------------------------------------------------------


def test_trades_chain_from_what_the_subscription_says(stage: Stage) -> None:
    stage.trade()
    client = Receiver()
    begins = stage.publisher.subscribe_trades(client, 0, "BTC-USD")
    assert begins == 1
    for _ in range(3):
        stage.trade()
        stage.trade()
        stage.loop.run(0.1)
    messages = client.of_type("trades")
    assert [each["sequence"] for each in messages] == [3, 5, 7]
    assert [each["prev_sequence"] for each in messages] == [1, 3, 5]
    assert [len(each["trades"]) for each in messages] == [2, 2, 2]


def test_a_trade_on_the_stream_says_what_the_public_needs(stage: Stage) -> None:
    client = Receiver()
    stage.publisher.subscribe_trades(client, 0, "BTC-USD")
    stage.trade()
    stage.loop.run(0.1)
    [message] = client.messages
    assert message["trades"] == [
        {"trade_id": "0-1-0", "price": 1, "quantity": 1, "taker_side": "buy", "sequence": 1}
    ]


def test_delta_and_trades_of_a_tick_go_out_in_one_write(stage: Stage) -> None:
    both, book_alone, trades_alone = Receiver(), Receiver(), Receiver()
    for client in (both, book_alone):
        stage.subscribe(client)
    for client in (both, trades_alone):
        stage.publisher.subscribe_trades(client, 0, "BTC-USD")
    stage.loop.run(0.1)
    writes = len(both.frames)
    stage.book.set_level(0, "bids", 100, 1)
    stage.trade()
    late = stage.subscribe()
    stage.publisher.subscribe_trades(late, 0, "BTC-USD")
    stage.loop.run(0.1)
    assert len(both.frames) == writes + 1
    assert [each["type"] for each in both.messages[-2:]] == ["orderbook_delta", "trades"]
    assert book_alone.messages[-1]["type"] == "orderbook_delta"
    assert [each["type"] for each in trades_alone.messages] == ["trades"]
    assert sorted(each["type"] for each in late.messages) == ["orderbook_snapshot", "trades"]


def test_a_later_subscriber_follows_on_the_last_message(stage: Stage) -> None:
    stage.publisher.subscribe_trades(Receiver(), 0, "BTC-USD")
    stage.trade()
    stage.loop.run(0.1)
    stage.trade()
    late = Receiver()
    assert stage.publisher.subscribe_trades(late, 0, "BTC-USD") == 1
    stage.loop.run(0.1)
    message = late.messages[0]
    assert (message["prev_sequence"], message["sequence"]) == (1, 2)


@pytest.mark.parametrize(
    ("from_trade_id", "complete", "ids"),
    [
        ("0-2-0", True, ["0-3-0", "0-4-0"]),
        ("0-4-0", True, []),
        ("gone", False, ["0-1-0", "0-2-0", "0-3-0", "0-4-0"]),
    ],
)
def test_recent_trades_are_replayed(
    stage: Stage, from_trade_id: str, complete: bool, ids: list[str]
) -> None:
    stage.publisher.subscribe_trades(Receiver(), 0, "BTC-USD")
    for _ in range(4):
        stage.trade()
    stage.loop.run(0.1)
    stage.trade()  # gathered and not published yet: it comes with the stream, not with the replay
    client = Receiver()
    stage.publisher.subscribe_trades(client, 0, "BTC-USD")
    stage.publisher.replay_trades(client, 0, from_trade_id)
    stage.loop.run(0.1)
    replay, live = client.messages
    assert [each["trade_id"] for each in replay["trades"]] == ids
    assert (replay["complete"], replay["replay"], replay["sequence"]) == (complete, True, 4)
    assert [each["trade_id"] for each in live["trades"]] == ["0-5-0"]
    assert live["prev_sequence"] == 4


def test_more_trades_than_can_be_sent_close_the_stream() -> None:
    stage = Stage(websocket_buffer_bytes=1000, websocket_buffer_bytes_max=2000)
    client = Receiver()
    stage.publisher.subscribe_trades(client, 0, "BTC-USD")
    stage.publisher.on_applied(Batch(trades=[stage.book.trade() for _ in range(100)]))
    assert client.closed
    assert client.frames == []


def bust(seq: int, trade_id: str) -> tuple[int, int, bytes]:
    return 0, seq, b'"trade_id":"%b","correction":null' % trade_id.encode()


def test_a_busted_trade_is_told_behind_the_trades_and_outside_their_chain(stage: Stage) -> None:
    client, other = Receiver(), Receiver()
    stage.publisher.subscribe_trades(client, 0, "BTC-USD")
    stage.publisher.subscribe_trades(other, 1, "ETH-USD")
    stage.publisher.on_applied(Batch(trades=[stage.book.trade()], busts=[bust(2, "T1")]))
    stage.loop.run(0.1)
    stage.publisher.on_applied(Batch(busts=[bust(3, "T0")]))
    stage.loop.run(0.1)
    stage.trade()
    stage.loop.run(0.1)
    assert [each["type"] for each in client.messages] == [
        "trades", "trade_busted", "trade_busted", "trades",
    ]  # fmt: skip
    first, told, _, second = client.messages
    assert told == {
        "type": "trade_busted", "instrument": "BTC-USD", "sequence": 2, "trade_id": "T1",
        "correction": None,
    }  # fmt: skip
    assert second["prev_sequence"] == first["sequence"]
    assert other.messages == []


def test_more_busts_than_can_be_sent_close_the_stream() -> None:
    stage = Stage(websocket_buffer_bytes=1000, websocket_buffer_bytes_max=2000)
    client = Receiver()
    stage.publisher.subscribe_trades(client, 0, "BTC-USD")
    stage.publisher.on_applied(Batch(busts=[bust(seq, "T1") for seq in range(1, 100)]))
    assert client.closed
    assert client.frames == []


def test_parts_of_a_batch_go_out_when_it_is_over(stage: Stage) -> None:
    client = Receiver()
    stage.publisher.subscribe_trades(client, 0, "BTC-USD")
    stage.publisher.subscribe_orders(client, 0, "BTC-USD", None)
    early, late = stage.book.trade(), stage.book.trade()
    stage.publisher.on_part([early], [(0, 7, "A", b'{"n":1}')])
    stage.loop.run(1)
    assert client.frames == []
    stage.publisher.on_applied(Batch(trades=[late], updates=[(0, 7, "A", b'{"n":2}')]))
    stage.loop.run(1)
    assert [each["order"] for each in client.of_type("order_update")] == [{"n": 1}, {"n": 2}]
    assert [len(each["trades"]) for each in client.of_type("trades")] == [2]


def test_parts_alone_are_enough(stage: Stage) -> None:
    client = Receiver()
    stage.publisher.subscribe_trades(client, 0, "BTC-USD")
    stage.publisher.subscribe_orders(client, 0, "BTC-USD", "A")
    stage.publisher.on_part([stage.book.trade()], [(0, 7, "A", b"{}")])
    stage.publisher.on_applied(Batch())
    stage.loop.run(1)
    assert {each["type"] for each in client.messages} == {"trades", "order_update"}


def test_more_updates_than_can_be_sent_close_those_who_follow_them() -> None:
    stage = Stage(websocket_buffer_bytes=1000, websocket_buffer_bytes_max=2000)
    everyone, own = Receiver(), Receiver()
    stage.publisher.subscribe_orders(everyone, 0, "BTC-USD", None)
    stage.publisher.subscribe_orders(own, 0, "BTC-USD", "client-7")
    updates = [(0, 5, f"client-{number}", b'{"status":"open"}') for number in range(50)]
    stage.publisher.on_part([], updates)
    stage.publisher.on_applied(Batch())
    stage.loop.run(1)
    assert (everyone.closed, everyone.frames) == (True, [])
    assert not own.closed
    assert [each["sequence"] for each in own.messages] == [5]


def test_order_updates_go_to_their_client_and_to_those_who_watch_all(stage: Stage) -> None:
    own, everyone, other = Receiver(), Receiver(), Receiver()
    assert not stage.book.want_updates
    stage.publisher.subscribe_orders(own, 0, "BTC-USD", "client-A")
    stage.publisher.subscribe_orders(everyone, 0, "BTC-USD", None)
    stage.publisher.subscribe_orders(other, 1, "ETH-USD", "client-A")
    assert stage.book.want_updates
    updates = [(0, 7, "client-A", b'{"n":1}'), (0, 8, "client-B", b'{"n":2}')]
    stage.publisher.on_applied(Batch(updates=updates))
    stage.loop.run(0.1)
    assert own.messages == [
        {"type": "order_update", "instrument": "BTC-USD", "sequence": 7, "order": {"n": 1}}
    ]
    assert [each["sequence"] for each in everyone.messages] == [7, 8]
    assert other.messages == []
    for client in (own, everyone, other):
        stage.publisher.leave(client)
    assert not stage.book.want_updates


def test_order_updates_keep_their_order_while_a_book_is_being_sent(stage: Stage) -> None:
    watcher = Receiver()
    stage.publisher.subscribe_orders(watcher, 0, "BTC-USD", None)
    for _ in range(100):
        stage.subscribe(Receiver(costly(stage, 0.0005)))
    for seq in range(1, 50):
        stage.loop.call_later(
            seq * 0.0007,
            lambda seq=seq: stage.publisher.on_applied(Batch(updates=[(0, seq, "A", b"{}")])),
        )
    stage.loop.run(2)
    assert [each["sequence"] for each in watcher.messages] == list(range(1, 50))


def test_heartbeats_go_to_everyone(stage: Stage) -> None:
    client = Receiver()
    stage.publisher.join(client)
    stage.loop.run(31)
    expected = {"type": "heartbeat", "time": "1970-01-01T00:00:00.000000Z"}
    assert client.messages == [expected, expected]
    stage.publisher.leave(client)
    stage.loop.run(31)
    assert len(client.messages) == 2


# --- slow consumers -----------------------------------------------------------------------------


def test_a_slow_consumer_loses_deltas_for_a_new_snapshot() -> None:
    stage = Stage(websocket_buffer_bytes=1000, websocket_buffer_bytes_max=2000)
    slow, quick = stage.subscribe(), stage.subscribe()
    stage.loop.run(0.1)
    slow.reads = False
    for quantity in range(1, 101):
        stage.set_level("bids", 100 + quantity % 7, quantity)
        stage.loop.run(0.03)
    assert stage.counts.consumers_conflated == 1
    assert slow.unread < 1300
    assert len(quick.of_type("orderbook_delta")) == 100
    slow.read_all()
    stage.loop.run(0.2)  # nothing happens in the market, and yet it is brought up to date
    model = BookModel()
    for message in slow.messages:
        model.apply(message)
    assert model.gaps == 0
    assert model.levels == stage.book.books[0]
    assert len(slow.of_type("orderbook_snapshot")) == 2
    stage.set_level("bids", 50, 1)
    stage.loop.run(0.1)
    model.apply(slow.messages[-1])
    assert model.gaps == 0
    assert model.levels == stage.book.books[0]


def test_trades_are_never_dropped_and_who_has_no_room_is_closed() -> None:
    stage = Stage(websocket_buffer_bytes=1000, websocket_buffer_bytes_max=2000)
    slow, quick = Receiver(), Receiver()
    for client in (slow, quick):
        stage.publisher.join(client)
        stage.publisher.subscribe_trades(client, 0, "BTC-USD")
    slow.reads = False
    for _ in range(50):
        stage.trade()
        stage.loop.run(0.03)
    assert slow.closed
    assert stage.counts.consumers_closed == 1
    assert 1000 < slow.unread <= 2000
    got = [each["sequence"] for each in slow.of_type("trades")]
    assert got == list(range(1, len(got) + 1))
    assert not quick.closed
    assert [each["sequence"] for each in quick.of_type("trades")] == list(range(1, 51))


def test_a_slow_consumer_of_orders_is_closed() -> None:
    stage = Stage(websocket_buffer_bytes=1000, websocket_buffer_bytes_max=2000)
    slow = Receiver()
    slow.reads = False
    stage.publisher.subscribe_orders(slow, 0, "BTC-USD", None)
    for seq in range(1, 50):
        stage.publisher.on_applied(Batch(updates=[(0, seq, "A", b'{"status":"open"}')]))
    assert slow.closed
    assert not stage.book.want_updates
