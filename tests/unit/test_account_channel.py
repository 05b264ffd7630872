"""The channel of accounts: snapshots, chains, one encoding, and those who read too slowly."""

from __future__ import annotations

import pytest

from novate.engine import Applied, Engine, Reporter
from novate.gateway.account_texts import EventRow, account_channel
from novate.model.clearing import pack_deposit
from novate.model.codec import pack_create_instrument
from novate.model.events import EVENT
from novate.model.instrument import Instrument
from novate.streams.publisher import Publisher
from tests.unit.stream_fakes import Counts, ManualLoop, Receiver, StreamOptions

NS = 1_767_225_600_000_000_000


class Stage:
    """A publisher over a real engine."""

    def __init__(self, **options: float) -> None:
        self.loop = ManualLoop()
        self.reporter = Reporter(Engine())
        self.counts = Counts()
        self.channel = account_channel(self.reporter, 0)
        self.publisher = Publisher(
            self.reporter, self.loop, StreamOptions(**options), self.counts,
            clock=self.loop.time, wall_clock=lambda: 0.0, accounts=self.channel,
        )  # fmt: skip
        self.publisher.on_applied(
            self.apply(pack_create_instrument(Instrument(name="BTC-USD", base="BTC", quote="USD")))
        )

    def apply(self, *commands: bytes) -> Applied:
        batch, first = b"".join(commands), self.reporter.engine.last_seq + 1
        return self.reporter.apply(batch, first, NS)

    def deposit(self, client_id: str = "bob", units: int = 1, times: int = 1) -> Applied:
        applied = self.apply(*[pack_deposit(client_id.encode(), 1, units)] * times)
        self.publisher.on_applied(applied)
        return applied

    def follow(self, client_id: str = "bob") -> Receiver:
        receiver = Receiver()
        self.publisher.subscribe_account(receiver, client_id)
        return receiver


@pytest.fixture
def stage() -> Stage:
    return Stage()


def chain(receiver: Receiver) -> list[int]:
    """The sequences of a snapshot and the updates behind it, which follow on each other."""
    first, *rest = receiver.messages
    assert first["type"] == "account_snapshot"
    sequences = [first["sequence"]]
    for each in rest:
        assert (each["type"], each["prev_sequence"]) == ("account_update", sequences[-1])
        sequences.append(each["sequence"])
    return sequences


def total(receiver: Receiver) -> object:
    """The balance that was told last."""
    balances = [row for each in receiver.messages for row in each["balances"]]
    return balances[-1]["total"] if balances else 0


def test_each_command_is_a_message_and_all_get_the_same_bytes(stage: Stage) -> None:
    clients = [stage.follow() for _ in range(100)]
    stage.loop.run()
    stage.deposit(times=3)
    stage.deposit("ann")
    stage.loop.run(1)
    assert chain(clients[0]) == [1, 2, 3, 4]
    assert len(clients[0].frames) == 2  # those of one batch in one write
    for position in (0, 1):
        assert len({id(each.frames[position]) for each in clients}) == 1


def test_a_later_subscriber_follows_on_the_last_message(stage: Stage) -> None:
    first = stage.follow()
    stage.loop.run()
    stage.deposit()
    stage.deposit("ann", times=3)
    late = stage.follow()
    stage.loop.run()
    stage.deposit()
    stage.loop.run(1)
    assert chain(first) == [1, 2, 6]
    assert chain(late) == [2, 6]
    assert total(first) == total(late)


def test_who_subscribes_while_a_batch_is_told_gets_it_once(stage: Stage) -> None:
    """Between a batch's being applied and its being gathered: the snapshot waits for the latter."""
    old = stage.follow()
    stage.loop.run()
    applied = stage.apply(pack_deposit(b"bob", 1, 5))
    new = stage.follow()
    stage.publisher.on_applied(applied)
    stage.loop.run(1)
    assert chain(old) == [1, 2]
    assert chain(new) == [2]
    assert total(old) == total(new) != 0


def test_what_nobody_heard_is_not_told_later(stage: Stage) -> None:
    client = stage.follow()
    stage.loop.run()
    applied = stage.apply(pack_deposit(b"bob", 1, 5))
    stage.publisher.leave(client)
    stage.publisher.on_applied(applied)
    stage.deposit(times=3)
    late = stage.follow()
    stage.loop.run()
    stage.deposit()
    stage.loop.run(1)
    assert chain(late) == [5, 6]


def test_who_subscribes_while_much_is_being_sent_misses_nothing() -> None:
    stage = Stage(websocket_buffer_bytes_max=10_000_000)
    # Each push takes so long that sending goes on over many turns of the loop.
    slow = [Receiver(lambda: setattr(stage.loop, "now", stage.loop.now + 0.01)) for _ in range(9)]
    for each in slow:
        stage.publisher.subscribe_account(each, "bob")
    stage.loop.run(1)
    stage.deposit()
    new = stage.follow()
    stage.deposit()
    stage.loop.run(5)
    stage.deposit()
    stage.loop.run(5)
    for each in slow:
        assert chain(each) == [1, 2, 3, 4]
    assert chain(new)[-1] == 4
    assert total(new) == total(slow[0])


def test_subscribing_again_brings_a_new_snapshot(stage: Stage) -> None:
    client = stage.follow()
    stage.loop.run()
    stage.deposit()
    stage.publisher.subscribe_account(client, "bob")
    stage.loop.run()
    kinds = [each["type"] for each in client.messages]
    assert kinds == ["account_snapshot", "account_update", "account_snapshot"]
    assert client.messages[-1]["sequence"] == 2


def test_who_has_no_room_is_closed_and_the_others_go_on() -> None:
    stage = Stage(websocket_buffer_bytes=500, websocket_buffer_bytes_max=2000)
    reads, stops = stage.follow(), stage.follow()
    stage.loop.run()
    stops.reads = False
    for _ in range(20):
        stage.deposit()
    assert (reads.closed, stops.closed) == (False, True)
    assert stage.counts.consumers_closed == 1
    assert chain(reads)[-1] == 21


def test_more_than_can_be_sent_closes_all_who_follow() -> None:
    stage = Stage(websocket_buffer_bytes=500, websocket_buffer_bytes_max=2000)
    client, other = stage.follow(), stage.follow("ann")
    stage.loop.run()
    stage.deposit(times=20)
    assert client.closed
    assert not other.closed
    assert [each["type"] for each in client.messages] == ["account_snapshot"]


def test_nothing_is_watched_when_nobody_follows(stage: Stage) -> None:
    client, other = stage.follow(), stage.follow("ann")
    assert stage.reporter.account_watch is not None
    assert stage.publisher.unsubscribe_account(client, "bob")
    assert not stage.publisher.unsubscribe_account(client, "bob")
    stage.publisher.leave(other)
    assert stage.reporter.account_watch is None
    stage.deposit()
    stage.loop.run(1)
    assert client.frames == other.frames == []


def test_a_row_has_the_fields_of_an_event_in_their_order() -> None:
    fields = [name.removeprefix("trade_") for name in EventRow._fields]
    assert fields == list(EVENT.names or ())
