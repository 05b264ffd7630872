"""Who receives a stream, and what becomes of those who read more slowly than it flows.

Book deltas are conflated: a consumer with more than `buffer_bytes` unsent gets no more of them, and
a new snapshot once it has read. Trades and order updates are never conflated: a consumer that has
no room for them under `buffer_bytes_max` gets a last message that says why, and is closed. Nobody
is ever waited for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

SLICE_SECONDS = 0.002
"""How long sending may hold the event loop before others get their turn."""

REST_PER_SLICE = 1.0
"""Rest after a slice, as a multiple of what it took: orders have half of the loop at least."""

BYTES_PER_CLOCK_READ = 64 * 1024
CONSUMERS_PER_CLOCK_READ = 16


class Consumer(Protocol):
    """One receiver of frames. Its methods are called a thousand times per publication."""

    def push(self, frame: bytes) -> None:
        """Queue a frame; never waits."""

    def buffered(self) -> int:
        """Bytes queued and not yet taken by the network."""

    def overflow(self, buffered_bytes: int, limit_bytes: int) -> None:
        """Say a last message and close: the consumer had no room for what can't be dropped."""


class Job:
    """One frame on its way to the consumers that were members when it was made.

    `receivers` gives fewer of them, where not all are meant. `too_slow` is called instead of `push`
    for one with more than `room_bytes` unsent.
    """

    __slots__ = (
        "_at", "_frame", "_members", "_receivers", "_room_bytes", "_step", "_too_slow", "sent",
    )  # fmt: skip

    def __init__(
        self,
        frame: bytes,
        members: dict[Consumer, None],
        room_bytes: int,
        too_slow: Callable[[Consumer], None],
        receivers: Iterable[Consumer] | None = None,
    ) -> None:
        self._frame = frame
        self._members = members
        self._receivers = list(members if receivers is None else receivers)
        self._room_bytes = room_bytes
        self._too_slow = too_slow
        self._at = 0
        self._step = max(1, min(CONSUMERS_PER_CLOCK_READ, BYTES_PER_CLOCK_READ // len(frame)))
        self.sent = 0

    def advance(self, clock: Callable[[], float], deadline: float) -> bool:
        """Send until the deadline (at least one handful of consumers); True when it is done."""
        receivers = self._receivers
        while self._at < len(receivers):
            self._send(receivers[self._at : self._at + self._step])
            self._at += self._step
            if clock() > deadline:
                break
        return self._at >= len(receivers)

    def _send(self, receivers: Iterable[Consumer]) -> None:
        members, room, frame = self._members, self._room_bytes, self._frame
        for consumer in receivers:
            if consumer not in members:
                continue  # left, or asked for a snapshot, while the frame was on its way
            try:
                if consumer.buffered() > room:
                    self._too_slow(consumer)
                else:
                    consumer.push(frame)
                    self.sent += 1
            except RuntimeError:
                continue  # its transport is closed already, and its session is about to be told


class Fanout:
    """Sends jobs one after the other, in slices, so that orders get their turn in between.

    Args:
        clock: Monotonic seconds, fine enough to time a slice.
        call_later: Runs a callback after so many seconds.
        on_done: Called with the seconds that sending took, when all jobs are done.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], object],
        on_done: Callable[[float], None],
    ) -> None:
        self._clock = clock
        self._call_later = call_later
        self._on_done = on_done
        self._jobs: deque[Job] = deque()
        self._spent = 0.0
        self.running = False
        self.messages = 0

    def start(self, jobs: Iterable[Job]) -> None:
        """Begin to send; the first slice goes out before this returns."""
        self._jobs.extend(jobs)
        if self._jobs and not self.running:
            self.running = True
            self._spent = 0.0
            self._slice()

    def _slice(self) -> None:
        begun = self._clock()
        deadline = begun + SLICE_SECONDS
        while self._jobs and self._clock() <= deadline:
            job = self._jobs[0]
            if not job.advance(self._clock, deadline):
                break
            self.messages += job.sent
            self._jobs.popleft()
        spent = self._clock() - begun
        self._spent += spent
        if self._jobs:
            self._call_later(REST_PER_SLICE * spent, self._slice)
        else:
            self.running = False
            self._on_done(self._spent)
