"""Sessions whose orders end with their connection: opened, taken up again, and closed in time.

A WebSocket session asks for it; from then on what it places bears the session's number. When the
connection drops, the session is closed in the journal after its grace time, unless the client comes
back before and takes it up again. What a stop or a crash leaves open, the next start ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import msgspec

from novate import logs
from novate.gateway.fields import check_id
from novate.gateway.operations import unavailable
from novate.gateway.problems import FieldError, ProblemError, refused, shown
from novate.model import packing
from novate.model.errors import NotAccepting

AGAIN_SECONDS: Final = 1.0
"""Pause before a session whose end was not taken is closed again."""

_NUMBER = re.compile(rb"[0-9]{1,9}(\.[0-9]{1,9})?")

log = logs.get("sessions")


class Submitter(Protocol):
    """What is asked of a sequencer."""

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


class Bond(msgspec.Struct):
    """A session that ends with its connection.

    Attributes:
        number: Its number in the journal.
        token: What a client names it by, to take it up again.
        grace_seconds: How long it outlives its connection.
    """

    number: int
    token: str
    grace_seconds: float


class Sessions:
    """The sessions of one partition. Used on its loop's thread only.

    Args:
        sequencer: Where they are opened and closed.
        timers: The event loop.
        grace_seconds: Grace time of a session that asks for none.
        grace_seconds_max: The longest that may be asked for.
    """

    def __init__(
        self,
        sequencer: Submitter,
        timers: Timers,
        grace_seconds: float = 5,
        grace_seconds_max: float = 60,
    ) -> None:
        self._sequencer = sequencer
        self._timers = timers
        self._grace_seconds = grace_seconds
        self._grace_seconds_max = grace_seconds_max
        self._last = 0
        self._dropped: dict[str, tuple[Bond, Handle]] = {}

    def grace(self, raw: bytes) -> float:
        """The grace time that a message asks for, in seconds; ProblemError 400."""
        if raw in (b"", b"null"):
            return self._grace_seconds
        if _NUMBER.fullmatch(raw) and float(raw) <= self._grace_seconds_max:
            return float(raw)
        expected = f"expected 0 to {self._grace_seconds_max:g} seconds, found {shown(raw)}"
        raise refused([FieldError("grace_seconds", expected, "out_of_bounds")])

    def open(self, token: str, grace_seconds: float, on_outcome: Callable[..., None]) -> Bond:
        """Open a session; its number may be used at once, for commands keep their order.

        Raises:
            ProblemError: 503, the exchange takes no commands now.
        """
        number = self._last % (2**32 - 1) + 1
        try:
            self._sequencer.submit(packing.pack_session_open(number), on_outcome)
        except NotAccepting as error:
            raise unavailable(error) from None
        self._last = number
        return Bond(number, token, grace_seconds)

    def take_up(self, token: str) -> Bond:
        """Give a dropped session to its client again.

        Raises:
            ProblemError: 404, it is closed, was never opened, or has a connection.
        """
        errors: list[FieldError] = []
        check_id("resume", token, errors)
        if errors:
            raise refused(errors)
        found = self._dropped.pop(token, None)
        if found is None:
            raise ProblemError(404, "unknown_session", f"no session {shown(token)} can be resumed")
        found[1].cancel()
        return found[0]

    def drop(self, bond: Bond) -> None:
        """The connection is gone: close the session when its grace time is over."""
        handle = self._timers.call_later(bond.grace_seconds, partial(self._close, bond))
        self._dropped[bond.token] = bond, handle

    def _close(self, bond: Bond) -> None:
        self._dropped.pop(bond.token, None)
        try:
            self._sequencer.submit(packing.pack_session_close(bond.number), _closed)
        except NotAccepting as error:
            # A stop ends it too: the next start journals that it is lost.
            self._timers.call_later(AGAIN_SECONDS, partial(self._close, bond))
            log.warning("session_not_closed", session=bond.number, why=error.detail)


def _closed(status: int, body: bytes, _replayed: bool) -> None:
    """A session that is closed has nobody to tell."""
    if status >= 500:
        log.warning("session_not_closed", status=status, why=body.decode("utf-8", "replace"))
