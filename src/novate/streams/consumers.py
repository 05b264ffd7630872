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

SLICE_SECONDS = 0.001
"""How long sending may hold the event loop before others get their turn."""

REST_PER_SLICE = 1.5
"""Rest after a slice, as a multiple of what it took: orders have most of the loop at any time."""

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


class Frame:
    """A frame on its way to the consumers that were members when it was made.

    Args:
        content: What is sent.
        members: Who follows the stream; who leaves it is sent nothing any more.
        room_bytes: Unsent bytes past which a consumer gets `too_slow` and not the frame.
        too_slow: What becomes of such a consumer.
        receivers: Fewer than the members, where not all are meant.
    """

    __slots__ = ("content", "members", "receivers", "room_bytes", "too_slow")

    def __init__(
        self,
        content: bytes,
        members: dict[Consumer, None],
        room_bytes: int,
        too_slow: Callable[[Consumer], None],
        receivers: Iterable[Consumer] | None = None,
    ) -> None:
        self.content = content
        self.members = members
        self.receivers = dict.fromkeys(members if receivers is None else receivers)
        self.room_bytes = room_bytes
        self.too_slow = too_slow

    def is_for(self, consumer: Consumer, buffered_bytes: int) -> bool:
        """Whether the consumer still wants it and has room; too slow a one is dealt with."""
        if consumer not in self.receivers or consumer not in self.members:
            return False
        if buffered_bytes <= self.room_bytes:
            return True
        self.too_slow(consumer)
        return False


class Job:
    """One frame, or two that most receivers get both of, and then in one write."""

    __slots__ = ("_at", "_both", "_first", "_receivers", "_second", "_step", "sent")

    def __init__(self, first: Frame, second: Frame | None = None) -> None:
        self._first = first
        self._second = second
        self._both = first.content + second.content if second else first.content
        everyone = first.receivers | second.receivers if second else first.receivers
        self._receivers = list(everyone)
        self._at = 0
        self._step = max(1, min(CONSUMERS_PER_CLOCK_READ, BYTES_PER_CLOCK_READ // len(self._both)))
        self.sent = 0

    def advance(self, clock: Callable[[], float], deadline: float) -> bool:
        """Send until the deadline (at least one handful of consumers); True when it is done."""
        receivers = self._receivers
        send = self._send_both if self._second else self._send
        while self._at < len(receivers):
            send(receivers[self._at : self._at + self._step])
            self._at += self._step
            if clock() > deadline:
                break
        return self._at >= len(receivers)

    def _send(self, receivers: Iterable[Consumer]) -> None:
        first = self._first
        members, room, content = first.members, first.room_bytes, first.content
        for consumer in receivers:
            if consumer not in members:
                continue  # left, or asked for a snapshot, while the frame was on its way
            try:
                if consumer.buffered() > room:
                    first.too_slow(consumer)
                else:
                    consumer.push(content)
                    self.sent += 1
            except RuntimeError:
                continue  # its transport is closed already, and its session is about to be told

    def _send_both(self, receivers: Iterable[Consumer]) -> None:
        first, second, both = self._first, self._second, self._both
        assert second is not None
        for consumer in receivers:
            try:
                buffered = consumer.buffered()
                wants_first = first.is_for(consumer, buffered)
                if second.is_for(consumer, buffered):
                    consumer.push(both if wants_first else second.content)
                    self.sent += 1 + wants_first
                elif wants_first and consumer in first.members:
                    consumer.push(first.content)
                    self.sent += 1
            except RuntimeError:
                continue


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
