"""Sessions whose orders end with their connection: opened, dropped, taken up, closed in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from novate.gateway.problems import ProblemError, problem
from novate.gateway.sessions import AGAIN_SECONDS, Sessions
from novate.gateway.websocket import Session, StreamDesk
from novate.model import packing
from novate.model.errors import NotAccepting
from tests.unit.test_websocket_session import InstrumentsFake, OperationsFake, Stage


@dataclass(eq=False)
class Timer:
    delay: float
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Stand:
    taking: bool = True
    taken: list[bytes] = field(default_factory=list)
    replies: list[Callable[[int, bytes, bool], None]] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)

    def submit(self, command: bytes, reply: Callable[[int, bytes, bool], None]) -> None:
        if not self.taking:
            raise NotAccepting("queue_full", "no room", 1)
        self.taken.append(command)
        self.replies.append(reply)

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(delay, callback))
        return self.timers[-1]


@pytest.fixture
def stand() -> Stand:
    return Stand()


@pytest.fixture
def sessions(stand: Stand) -> Sessions:
    return Sessions(stand, stand, 5, 60)


def told(*_: object) -> None:
    """Whoever waits for an outcome."""


def test_numbers_begin_at_one_and_are_never_used_twice(stand: Stand, sessions: Sessions) -> None:
    bonds = [sessions.open(name, 1, told) for name in "ab"]
    assert [each.number for each in bonds] == [1, 2]
    assert stand.taken == [packing.pack_session_open(1), packing.pack_session_open(2)]


def test_a_dropped_session_is_closed_when_its_grace_is_over(
    stand: Stand, sessions: Sessions
) -> None:
    sessions.drop(sessions.open("a", 7, told))
    (timer,) = stand.timers
    assert timer.delay == 7
    timer.callback()
    assert stand.taken[1:] == [packing.pack_session_close(1)]
    with pytest.raises(ProblemError) as caught:
        sessions.take_up("a")
    assert caught.value.status == 404


def test_a_client_that_comes_back_in_time_keeps_its_orders(
    stand: Stand, sessions: Sessions
) -> None:
    bond = sessions.open("a", 7, told)
    with pytest.raises(ProblemError):
        sessions.take_up("a")
    sessions.drop(bond)
    assert sessions.take_up("a") is bond
    assert stand.timers[0].cancelled
    with pytest.raises(ProblemError):
        sessions.take_up("a")


def test_an_end_that_is_not_taken_is_sent_again(stand: Stand, sessions: Sessions) -> None:
    sessions.drop(sessions.open("a", 0, told))
    stand.taking = False
    stand.timers[0].callback()
    assert stand.timers[1].delay == AGAIN_SECONDS
    stand.taking = True
    stand.timers[1].callback()
    assert stand.taken[-1] == packing.pack_session_close(1)


def test_what_is_not_opened_is_a_503(stand: Stand, sessions: Sessions) -> None:
    stand.taking = False
    with pytest.raises(ProblemError) as caught:
        sessions.open("a", 0, told)
    assert caught.value.status == 503
    stand.taking = True
    assert sessions.open("a", 0, told).number == 1


@pytest.mark.parametrize(("raw", "seconds"), [(b"", 5), (b"null", 5), (b"0", 0), (b"2.5", 2.5)])
def test_the_grace_that_is_asked_for(sessions: Sessions, raw: bytes, seconds: float) -> None:
    assert sessions.grace(raw) == seconds


@pytest.mark.parametrize("raw", [b"61", b"-1", b'"5"', b"1e1", b"true", b"[]", b"NaN", b"9" * 400])
def test_another_grace_is_refused(sessions: Sessions, raw: bytes) -> None:
    with pytest.raises(ProblemError) as caught:
        sessions.grace(raw)
    assert caught.value.status == 400


class BoundStage(Stage):
    """A WebSocket session over a sequencer that answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.stand = Stand()
        self.operations = SessionOperations()
        self.sessions = Sessions(self.stand, self.stand, 5, 60)
        self.session = self.connect("first")

    def connect(self, name: str) -> Session:
        """A further connection."""
        desk = StreamDesk(
            self.operations,
            self.orders.order,
            self.publisher,
            InstrumentsFake(),  # type: ignore[arg-type]
            self.counts,  # type: ignore[arg-type]
            sessions=self.sessions,
        )
        session = Session(desk, self.outlet)
        session.open(name, 0.0)
        return session


class SessionOperations(OperationsFake):
    def place(
        self, body: bytes, key: str | None, reply: Callable[..., None], session: int = 0
    ) -> None:
        self._take("place", session, reply=reply)

    def batch(
        self, body: bytes, key: str | None, reply: Callable[..., None], session: int = 0
    ) -> None:
        self._take("batch", session, reply=reply)


ASK = {"op": "cancel_on_disconnect", "request_id": "1"}
PLACE = {"op": "place", "order": {}}


@pytest.fixture
def stage() -> BoundStage:
    return BoundStage()


def test_what_is_placed_after_the_request_bears_the_session(stage: BoundStage) -> None:
    stage.say(PLACE)
    assert stage.say(ASK | {"grace_seconds": 0.5}) == []
    stage.say(PLACE)
    stage.say({"op": "batch", "operations": []})
    assert stage.operations.asked == [("place", 0), ("place", 1), ("batch", 1)]
    stage.stand.replies[0](200, b"{}", False)
    expected = {"type": "cancel_on_disconnect", "request_id": "1", "session": "first"}
    assert stage.outlet.messages[-1] == expected | {"grace_seconds": 0.5}
    assert stage.say(ASK | {"grace_seconds": 2}) == [expected | {"grace_seconds": 2.0}]
    stage.session.close()
    assert [each.delay for each in stage.stand.timers] == [2.0]


def test_a_connection_that_asked_for_nothing_ends_nothing(stage: BoundStage) -> None:
    stage.say(PLACE)
    stage.session.close()
    assert stage.stand.taken == []
    assert stage.stand.timers == []


def test_a_session_that_is_not_opened_is_said_to_be_so(stage: BoundStage) -> None:
    stage.say(ASK)
    stage.stand.replies[0](503, problem(503, "sessions_limit", "no room"), False)
    assert stage.outlet.messages[-1]["type"] == "error"
    stage.say(PLACE)
    assert stage.operations.asked == [("place", 0)]
    stage.session.close()
    assert stage.stand.timers == []


def test_the_next_connection_takes_the_session_up(stage: BoundStage) -> None:
    stage.say(ASK)
    stage.stand.replies[0](200, b"{}", False)
    stage.session.close()
    stage.session = stage.connect("second")
    [reply] = stage.say(ASK | {"resume": "first"})
    assert (reply["type"], reply["session"]) == ("cancel_on_disconnect", "first")
    stage.say(PLACE)
    assert stage.operations.asked == [("place", 1)]
    [reply] = stage.say(ASK | {"resume": "first"})
    assert (reply["type"], reply["problem"]["status"]) == ("error", 409)


def test_a_session_keeps_its_grace_unless_another_is_asked_for(stage: BoundStage) -> None:
    stage.say(ASK | {"grace_seconds": 30})
    stage.stand.replies[0](200, b"{}", False)
    assert stage.say(ASK)[0]["grace_seconds"] == 30
    stage.session.close()
    stage.session = stage.connect("second")
    assert stage.say(ASK | {"resume": "first"})[0]["grace_seconds"] == 30
    stage.session.close()
    stage.session = stage.connect("third")
    assert stage.say(ASK | {"resume": "first", "grace_seconds": 0})[0]["grace_seconds"] == 0
    stage.session.close()
    assert [each.delay for each in stage.stand.timers] == [30, 30, 0]


@pytest.mark.parametrize("more", [{"grace_seconds": 61}, {"resume": "x"}, {"grace": 1}])
def test_a_request_for_a_session_that_is_wrong(stage: BoundStage, more: dict[str, object]) -> None:
    [reply] = stage.say(ASK | more)
    assert reply["type"] == "error"
    assert stage.stand.taken == []
