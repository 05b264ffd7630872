"""The alarm: rings when something is due, once, by the sequencer's clock and no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from novate.alarm import AGAIN_SECONDS, LOOK_SECONDS_MAX, Alarm
from novate.model.commands import COMMAND, CommandKind
from novate.model.errors import NotAccepting

SECOND = 10**9


@dataclass(eq=False)
class Timer:
    at: float
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Stand:
    """An engine with one due item, a clock, and a sequencer that takes commands."""

    due: int = 0
    now: float = 1000.0
    taking: bool = True
    timers: list[Timer] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)
    replies: list[Callable[[int, bytes, bool], None]] = field(default_factory=list)

    def submit(self, command: bytes, reply: Callable[[int, bytes, bool], None]) -> None:
        if not self.taking:
            raise NotAccepting("stopping", "the exchange is stopping", 5)
        self.taken.append(command)
        self.replies.append(reply)

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + delay, callback))
        return self.timers[-1]

    def sleep(self, seconds: float) -> None:
        """Let time go on, and run what it wakes."""
        end = self.now + seconds
        while ready := [each for each in self.timers if not each.cancelled and each.at <= end]:
            first = min(ready, key=lambda each: each.at)
            self.timers.remove(first)
            self.now = max(self.now, first.at)
            first.callback()
        self.now = end

    def alarm(self) -> Alarm:
        return Alarm(self, lambda: self.due, lambda: round(self.now * SECOND), self)


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_it_sleeps_while_nothing_is_due(stand: Stand) -> None:
    stand.alarm().look()
    assert stand.timers == []


def test_it_rings_when_something_is_due_and_not_before(stand: Stand) -> None:
    alarm = stand.alarm()
    stand.due = 1005 * SECOND
    alarm.look()
    stand.sleep(4.99)
    assert stand.taken == []
    stand.sleep(0.02)
    assert [np.frombuffer(each, COMMAND)["kind"][0] for each in stand.taken] == [
        CommandKind.ADVANCE_TIME
    ]
    stand.due = 0
    stand.replies[0](200, b"", False)
    alarm.look()
    stand.sleep(1000)
    assert alarm.rung == 1


def test_what_a_command_did_in_time_rings_nothing(stand: Stand) -> None:
    alarm = stand.alarm()
    stand.due = 1005 * SECOND
    alarm.look()
    stand.due = 1010 * SECOND
    alarm.look()
    stand.sleep(9)
    assert stand.taken == []
    stand.sleep(2)
    assert len(stand.taken) == 1


def test_a_clock_put_forward_is_noticed(stand: Stand) -> None:
    alarm = stand.alarm()
    stand.due = 10**6 * SECOND
    alarm.look()
    assert stand.timers[0].at == stand.now + LOOK_SECONDS_MAX
    stand.now = 2 * 10**6
    stand.sleep(0)
    assert alarm.rung == 1


def test_what_is_not_taken_is_tried_again(stand: Stand) -> None:
    alarm = stand.alarm()
    stand.taking = False
    stand.due = 999 * SECOND
    alarm.look()
    stand.sleep(0.5)
    assert alarm.rung == 0
    stand.taking = True
    stand.sleep(AGAIN_SECONDS)
    assert alarm.rung == 1


def test_it_waits_for_the_answer_and_then_does_not_hurry(stand: Stand) -> None:
    alarm = stand.alarm()
    stand.due = 999 * SECOND
    alarm.look()
    stand.sleep(10)
    assert alarm.rung == 1
    stand.replies[0](200, b"", False)
    stand.sleep(2 * AGAIN_SECONDS)
    assert 2 <= alarm.rung <= 3


def test_a_stopped_one_never_rings(stand: Stand) -> None:
    alarm = stand.alarm()
    stand.due = 1001 * SECOND
    alarm.look()
    alarm.stop()
    alarm.look()
    stand.sleep(10)
    assert stand.taken == []
