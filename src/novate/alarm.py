"""The alarm: has time journaled when something is due in the engine and no command comes.

The engine knows no clock: what is due (an order's end, a phase, a timer) happens with the next
command whose time is not before it. Where none comes by then, the alarm submits one that says
nothing but the time. It decides nothing, and may ring once too often.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from novate import logs
from novate.model.errors import NotAccepting
from novate.model.packing import pack_advance_time

LOOK_SECONDS_MAX: Final = 60.0
"""The longest sleep: a clock that is put forward is noticed by then."""

LOOK_SECONDS_MIN: Final = 0.001
AGAIN_SECONDS: Final = 1.0
"""Pause where the command was not taken, or where what was due is due still."""

log = logs.get("alarm")


class Submitter(Protocol):
    """What the alarm asks of a sequencer."""

    def submit(self, command: bytes, on_outcome: Callable[[int, bytes, bool], None], /) -> None:
        """Queue a command; NotAccepting if it can't be."""
        ...


class Handle(Protocol):
    """A callback that is to run later."""

    def cancel(self) -> object:
        """Don't run it."""


class Timers(Protocol):
    """The part of an event loop that is needed; a manual clock in tests."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Handle:
        """Run a callback after so many seconds."""


class Alarm:
    """Watches one partition's next due item. Used on its loop's thread only.

    Args:
        sequencer: Where the time is journaled.
        next_due_ns: When the engine's next item is due, ns since 1970 UTC; 0: none is.
        clock: The sequencer's clock, ns since 1970 UTC.
        timers: The event loop.

    Attributes:
        rung: Commands submitted.
    """

    def __init__(
        self,
        sequencer: Submitter,
        next_due_ns: Callable[[], int],
        clock: Callable[[], int],
        timers: Timers,
    ) -> None:
        self._sequencer = sequencer
        self._next_due_ns = next_due_ns
        self._clock = clock
        self._timers = timers
        self._set_for = 0
        self._handle: Handle | None = None
        self._last_rung = 0
        self._waiting = False
        self._stopped = False
        self.rung = 0

    def look(self, _applied: Any = None) -> None:
        """Set the alarm for what is due next; called after every batch."""
        due = self._next_due_ns()
        if due != self._set_for:
            self._set(due)

    def stop(self) -> None:
        """Never ring again."""
        self._stopped = True
        self._set(0)

    def _set(self, due: int) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._set_for = due
        if due and not self._stopped:
            wait = (due - self._clock()) / 1e9
            wait = min(max(wait, LOOK_SECONDS_MIN), LOOK_SECONDS_MAX)
            again = due == self._last_rung
            self._handle = self._timers.call_later(
                max(wait, AGAIN_SECONDS) if again else wait, self._wake
            )

    def _wake(self) -> None:
        self._handle = None
        due, refusal = self._set_for, ""
        if due <= self._clock() and not self._waiting:
            refusal = self._ring(due)
        self._set(due)
        if refusal:
            log.warning("time_not_taken", why=refusal)

    def _ring(self, due: int) -> str:
        """Have the time journaled; why it was not taken, "" if it was."""
        self._last_rung = due
        try:
            self._sequencer.submit(pack_advance_time(), self._told)
        except NotAccepting as error:
            return error.detail
        self._waiting = True
        self.rung += 1
        return ""

    def _told(self, _status: int, _body: bytes, _replayed: bool) -> None:
        self._waiting = False
