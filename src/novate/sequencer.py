"""One bounded queue, one writer, one clock: gives every command its place, its time and its answer.

The event loop's thread gathers commands. When the writer is free, all that has been gathered is
sealed into a batch (first seq, one timestamp, the hash of the events before) and handed to the
writer thread, which appends it to the journal. When the batch is on disk it is applied, the next
one is sealed, so that the disk works while replies go out, and then every command is answered.

Nothing here may let a reply or an event out before its batch is durable (or, under relaxed
durability, written), and nothing of a batch that failed may ever be applied.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, cast

import msgspec

from novate import logs
from novate.journal.interface import NO_HASH, RULES, Appended, Batch
from novate.model.errors import (
    InvariantViolated,
    JournalAway,
    JournalFull,
    NotAccepting,
    QueueFull,
)
from novate.outcomes import OutcomeStore, pack_outcomes
from novate.writer import Appender, Writer

if TYPE_CHECKING:
    from novate.engine import Applied

Reply = Callable[[int, bytes, bool], None]
Replies = Callable[[list[tuple[int, bytes, int]]], None]
"""Takes (status, body, whether it is the first answer to a repeated key) of each command."""

Trades = list[tuple[int, int, bytes]]
Updates = list[tuple[int, int, str, bytes]]
"""Trades and order updates as `Applied` has them."""

State = Literal["running", "stalled", "failed", "stopping"]

RETRY_SECONDS: Final = (0.01, 0.05, 0.2, 0.5, 1.0)
"""Pauses between tries at a full disk or an absent database; the last one repeats."""

SECOND_NS: Final = 10**9

log = logs.get("sequencer")


class BatchApplier(Protocol):
    """The part of a reporter that the sequencer calls."""

    on_part: Callable[[Trades, Updates], None] | None

    def apply(self, batch: bytes, first_seq: int, timestamp_ns: int) -> Applied:
        """Apply a durable batch and render its answers."""
        ...

    def render_outcome(self, outcome: bytes) -> tuple[int, bytes]:
        """Render a stored outcome again: (status, body)."""
        ...


class Standing(msgspec.Struct, frozen=True):
    """Where a sequencer starts: what the journal and the engine have come to.

    Attributes:
        seq: Last sequence number given, 0 before the first.
        timestamp_ns: Time of the last batch, nanoseconds since 1970 UTC.
        events_hash: Running hash of all events up to `seq`, 32 bytes.
        rules: Version of the rules that the engine is under.
    """

    seq: int = 0
    timestamp_ns: int = 0
    events_hash: bytes = NO_HASH
    rules: int = RULES


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What the sequencer holds at most, and how durable its answers are.

    Attributes:
        queue_commands_max: Commands gathered and not yet handed to the writer.
        batch_commands_max: Commands in one batch.
        relaxed_ms: Time between two syncs under relaxed durability; 0 = fsync every batch.
        stall_seconds: A write that takes longer makes the state `stalled`.
        probe_seconds: An idle writer looks after its journal so often; 0 = never.
    """

    queue_commands_max: int = 65536
    batch_commands_max: int = 8192
    relaxed_ms: int = 0
    stall_seconds: float = 1.0
    probe_seconds: float = 0.0


class Tally(msgspec.Struct):
    """What the sequencer has done so far; for status and metrics.

    Attributes:
        commit_ns_last: From the batch handed over to the loop told that it is on disk.
        commit_ns_max: The longest of these since the start.
    """

    batches: int = 0
    commands: int = 0
    refused: int = 0
    batch_commands_last: int = 0
    batch_commands_max: int = 0
    commit_ns_last: int = 0
    commit_ns_max: int = 0
    commit_ns_total: int = 0


def stopped_body(status: int, code: str, title: str, detail: str) -> bytes:
    """An RFC 9457 problem for a command whose batch did not make it."""
    return msgspec.json.encode(
        {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    )


def _say_failed(event: str, error: Exception, **context: Any) -> None:
    """Log what went wrong where others wait: not even the line may fail."""
    with contextlib.suppress(Exception):
        log.error(event, exc_info=error, **context)


class _Group:
    """Stands for each of the commands submitted together; answers when the last outcome is in.

    Attributes:
        missing: Outcomes that have not come yet.
    """

    __slots__ = ("_outcomes", "_tell", "missing")

    def __init__(self, expected: int, tell: Replies) -> None:
        self.missing = expected
        self._outcomes: list[tuple[int, bytes, int]] = []
        self._tell = tell

    def __call__(self, status: int, body: bytes, replayed: bool) -> None:
        """Take one outcome."""
        self.take([(status, body, replayed)])

    def take(self, outcomes: list[tuple[int, bytes, int]]) -> None:
        """Take the next outcomes, mostly all."""
        self.missing -= len(outcomes)
        self._outcomes += outcomes
        if not self.missing:
            self._tell(self._outcomes)


def _border(replies: list[Reply], most: int) -> int:
    """The last place up to `most` that splits no group: its commands are durable all or none."""
    end = most
    while end and replies[end] is replies[end - 1] and isinstance(replies[end], _Group):
        end -= 1
    return end or most


class Sequencer:
    """The only writer and the only clock of a partition. Used on its loop's thread only.

    Attributes:
        on_second: Called with the time of a batch, durable and about to be applied, that is of a
            later second than the one before it.
        on_applied: Called with every batch, after it is durable, applied and answered.
        on_commit: Called with (seconds, commands) of every batch that became durable.
        on_failed: Called once, with the reason, when the exchange must stop.
    """

    def __init__(
        self,
        journal: Appender,
        reporter: BatchApplier,
        outcomes: OutcomeStore,
        standing: Standing,
        *,
        bounds: Bounds | None = None,
        epoch: int = 0,
        clock: Callable[[], int] = time.time_ns,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._bounds = bounds or Bounds()
        self._reporter = reporter
        self._outcomes = outcomes
        self._clock = clock
        self._seq = standing.seq
        self._timestamp_ns = standing.timestamp_ns
        self._events_hash = standing.events_hash
        self._rules = standing.rules
        self._outcome_blob = outcomes.pending()
        self._commands: list[bytes] = []
        self._replies: list[Reply] = []
        self._room = self._bounds.queue_commands_max
        self._idle = True
        self._batch: Batch | None = None
        self._batch_replies: list[Reply] = []
        self._handed_ns = 0
        self._second_end_ns = (standing.timestamp_ns // SECOND_NS + 1) * SECOND_NS
        self._tries = 0
        self._state: Literal["running", "stalled", "failed"] = "running"
        self._why = ""
        self._stopping = False
        self._drained: asyncio.Future[None] | None = None
        self._writer_ended = asyncio.Event()
        self.tally = Tally()
        self.on_second: list[Callable[[int], None]] = []
        self.on_applied: list[Callable[[Applied], None]] = []
        self.on_part: list[Callable[[Trades, Updates], None]] = []
        reporter.on_part = self._tell_part
        self.on_commit: list[Callable[[float, int], None]] = []
        self.on_failed: list[Callable[[str], None]] = []
        self._writer = Writer(
            journal,
            epoch,
            self._bounds.relaxed_ms / 1e3,
            self._bounds.probe_seconds,
            self._tell,
        )
        self._writer.start()

    # --- in ---------------------------------------------------------------------------------------

    def submit(self, command: bytes, on_outcome: Reply) -> None:
        """Queue one command; `on_outcome(status, body, replayed)` is called when it is answered.

        Raises:
            QueueFull: the queue is at its bound.
            NotAccepting: the exchange is stopping or has failed.
        """
        if len(self._commands) >= self._room:
            raise self._refusal(1)
        self._commands.append(command)
        self._replies.append(on_outcome)
        if self._idle:
            self._idle = False
            # Not at once: what else this turn of the loop reads goes into the same batch.
            self._loop.call_soon(self._seal)

    def submit_many(self, commands: Sequence[bytes], on_outcomes: Replies) -> None:
        """Queue commands with consecutive seqs; `on_outcomes` is called once with all outcomes.

        Raises:
            QueueFull: there is no room for all of them; none is taken.
            NotAccepting: the exchange is stopping or has failed.
        """
        if not commands:
            on_outcomes([])
            return
        if len(self._commands) + len(commands) > self._room:
            raise self._refusal(len(commands))
        self._commands.extend(commands)
        self._replies.extend([_Group(len(commands), on_outcomes)] * len(commands))
        if self._idle:
            self._idle = False
            self._loop.call_soon(self._seal)

    def _refusal(self, count: int) -> NotAccepting:
        self.tally.refused += count
        state = self.state
        if state == "failed":
            return NotAccepting("exchange_stopped", self._why, 5)
        if state == "stopping":
            return NotAccepting("stopping", "the exchange is stopping", 5)
        most = self._bounds.queue_commands_max
        detail = f"{len(self._commands)} of {most} commands wait, no room for {count} more"
        if state == "stalled":
            return QueueFull("queue_full", f"{detail}: {self.why}", 2)
        return QueueFull("queue_full", detail, 1)

    # --- to the writer and back -------------------------------------------------------------------

    def _seal(self) -> None:
        """Make a batch of what was gathered and hand it to the writer."""
        commands, replies = self._commands, self._replies
        most = self._bounds.batch_commands_max
        if not commands:
            self._idle = True
            return
        if len(commands) <= most:
            self._commands, self._replies = [], []
        else:
            end = _border(replies, most)
            self._commands, self._replies = commands[end:], replies[end:]
            commands, replies = commands[:end], replies[:end]
        self._timestamp_ns = max(self._timestamp_ns, self._clock())
        self._batch_replies = replies
        self._batch = Batch(
            first_seq=self._seq + 1,
            count=len(commands),
            timestamp_ns=self._timestamp_ns,
            commands=b"".join(commands),
            outcomes=self._outcome_blob,
            events_hash=self._events_hash,
            rules=self._rules,
        )
        self._hand_over()

    def _hand_over(self) -> None:
        self._handed_ns = time.monotonic_ns()
        self._writer.inbox.put(self._batch)

    def _tell(self, told: Any) -> None:
        """Called on the writer's thread."""
        self._loop.call_soon_threadsafe(self._heard, told)

    def _heard(self, told: Any) -> None:
        """What became of the batch, on the loop's thread."""
        if told is None:
            self._writer_ended.set()
        elif self._state == "failed":
            # A late word after a shutdown gave up on the disk: its commands were answered already.
            log.warning("late_append", outcome=str(told))
        elif told is Appended.DURABLE or told is Appended.WRITTEN:
            self._publish()
        elif isinstance(told, JournalFull | JournalAway):
            self._stall(told)
        elif told is Appended.FENCED:
            self._fail("exchange_stopped", "another server has taken the journal over")
        elif isinstance(told, Appended):
            self._fail("exchange_stopped", f"the journal answered {told.name} to an append")
        else:
            self._fail("journal_failed", f"{type(told).__name__}: {told}")

    def _publish(self) -> None:
        """Apply the batch that is on disk, keep the disk busy, then let the answers out."""
        batch, replies = self._batch, self._batch_replies
        assert batch is not None
        self._count_commit(batch.count)
        if batch.timestamp_ns >= self._second_end_ns:
            self._tell_second(batch.timestamp_ns)
        try:
            applied = self._reporter.apply(batch.commands, batch.first_seq, batch.timestamp_ns)
            if len(applied.replies) != batch.count:
                found = f"{len(applied.replies)} answers to {batch.count} commands"
                raise InvariantViolated(found, batch.first_seq)
        except Exception as error:
            what = f"{type(error).__name__} in the batch of seq {batch.first_seq}: {error}"
            self._fail("exchange_stopped", what)
            _say_failed("apply_failed", error, why=what)
            return
        resumed = self._advance(batch, applied)
        self._seal()
        self._answer(replies, applied)
        self._tell_subscribers(applied)
        if self._idle and self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if resumed:
            log.info("journal_resumed", seq=applied.last_seq)

    def _advance(self, batch: Batch, applied: Applied) -> bool:
        """Take the batch as done; whether that ends a stall."""
        self._seq = batch.first_seq + batch.count - 1
        events_hash = blake2b(self._events_hash, digest_size=32)
        events_hash.update(applied.events)
        self._events_hash = events_hash.digest()
        self._outcomes.replace(applied.outcomes)
        self._outcome_blob = pack_outcomes(applied.outcomes)
        self._batch = None
        self._batch_replies = []
        self._tries = 0
        if self._state != "stalled":
            return False
        self._state, self._why = "running", ""
        return True

    def _answer(self, replies: list[Reply], applied: Applied) -> None:
        broken: Exception | None = None
        answers = applied.replies
        at, count = 0, len(replies)
        while at < count:
            reply = replies[at]
            begin = at
            try:
                if isinstance(reply, _Group):
                    at = min(begin + reply.missing, count)
                    reply.take(self._final(answers[begin:at]))
                else:
                    at += 1
                    status, body, key_seq = answers[begin]
                    if body is None:
                        reply(*self._first_answer(key_seq))
                    else:
                        reply(status, body, False)
            except Exception as error:
                # One client's broken connection must not cost the others their answers.
                broken = error
        if broken is not None:
            _say_failed("reply_failed", broken, seq=applied.last_seq)

    def _final(self, answers: list[tuple[int, bytes | None, int]]) -> list[tuple[int, bytes, int]]:
        """A group's answers, with the first ones in place of what only names them."""
        for place, (_, body, key_seq) in enumerate(answers):
            if body is None:
                answers[place] = self._first_answer(key_seq)
        return cast("list[tuple[int, bytes, int]]", answers)

    def _tell_second(self, timestamp_ns: int) -> None:
        self._second_end_ns = (timestamp_ns // SECOND_NS + 1) * SECOND_NS
        for subscriber in self.on_second:
            try:
                subscriber(timestamp_ns)
            except Exception:
                log.error("subscriber_failed", exc_info=True)

    def _tell_subscribers(self, applied: Applied) -> None:
        for subscriber in self.on_applied:
            try:
                subscriber(applied)
            except Exception as error:
                # Streams and metrics follow the market; they can't be allowed to stop it.
                _say_failed("subscriber_failed", error)

    def _tell_part(self, trades: Trades, updates: Updates) -> None:
        """A batch at hand has made many trades and updates: its subscribers take some before."""
        for subscriber in self.on_part:
            try:
                subscriber(trades, updates)
            except Exception as error:
                _say_failed("subscriber_failed", error)

    def _first_answer(self, seq: int) -> tuple[int, bytes, bool]:
        """The outcome to tell for a repeated key; never raises, for its client waits for it."""
        try:
            image = self._outcomes.find(seq)
            if image is not None:
                return *self._reporter.render_outcome(image), True
        except Exception as error:
            _say_failed("outcome_unreadable", error, seq=seq)
        detail = f"the first answer to this key (sequence {seq}) cannot be read"
        return 503, stopped_body(503, "outcome_unavailable", "Service Unavailable", detail), False

    def _count_commit(self, count: int) -> None:
        took = time.monotonic_ns() - self._handed_ns
        tally = self.tally
        tally.batches += 1
        tally.commands += count
        tally.batch_commands_last = count
        tally.batch_commands_max = max(tally.batch_commands_max, count)
        tally.commit_ns_last = took
        tally.commit_ns_max = max(tally.commit_ns_max, took)
        tally.commit_ns_total += took
        for subscriber in self.on_commit:
            subscriber(took / 1e9, count)

    # --- when it goes wrong -----------------------------------------------------------------------

    def _stall(self, error: JournalFull | JournalAway) -> None:
        """Keep the batch and try again; the journal knows what became of it, or finds out first."""
        pause = RETRY_SECONDS[min(self._tries, len(RETRY_SECONDS) - 1)]
        self._tries += 1
        self._loop.call_later(pause, self._retry)
        was, self._state, self._why = self._state, "stalled", str(error)
        if was == "running":
            log.warning("journal_stalled", why=self._why)

    def _retry(self) -> None:
        if self._state != "failed":
            self._hand_over()

    def _fail(self, code: str, why: str) -> None:
        """Answer everybody 503 and take nothing more; what the disk holds, a restart will show."""
        if self._state == "failed":
            return
        self._state, self._why, self._room = "failed", why, 0
        detail = f"{why}; whether this command was taken is not known: ask again with its key"
        body = stopped_body(503, code, "Service Unavailable", detail)
        waiting = self._batch_replies + self._replies
        self._batch, self._batch_replies = None, []
        self._commands, self._replies = [], []
        for reply in waiting:
            try:
                reply(503, body, False)
            except Exception as error:
                _say_failed("reply_failed", error)
        for subscriber in self.on_failed:
            try:
                subscriber(why)
            except Exception as error:
                _say_failed("subscriber_failed", error)
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        with contextlib.suppress(Exception):  # `stop` has more to do
            log.critical("exchange_stopped", code=code, why=why, seq=self._seq)

    async def stop(self, seconds: float = 10.0) -> bool:
        """Refuse new commands, finish those taken, and end the writer.

        Commands that are not on disk after `seconds` are answered 503. True if all were finished.
        """
        deadline = self._loop.time() + seconds
        self._room = 0
        self._stopping = True
        if self._state != "failed" and not self._idle:
            self._drained = self._loop.create_future()
            await asyncio.wait([self._drained], timeout=seconds)
            if not self._idle:
                self._fail("exchange_stopped", f"the journal took longer than {seconds} s to stop")
        self._writer.inbox.put(None)
        try:
            await asyncio.wait_for(
                self._writer_ended.wait(), max(0.1, deadline - self._loop.time())
            )
        except TimeoutError:
            with contextlib.suppress(Exception):
                log.warning("writer_still_writing", why=self._why)
        return self._state != "failed"

    # --- how it stands ----------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """`running`, `stalled` (a full, slow or absent disk), `failed` or `stopping`."""
        if self._stopping and self._state != "failed":
            return "stopping"
        if self._state == "running" and self._trouble():
            return "stalled"
        return self._state

    @property
    def why(self) -> str:
        """Why it is not running, "" if it is."""
        if self._state == "running" and (trouble := self._trouble()):
            return trouble
        return self._why or ("the exchange is stopping" if self._stopping else "")

    @property
    def seq(self) -> int:
        """Last sequence number that was applied."""
        return self._seq

    @property
    def events_hash(self) -> bytes:
        """Running hash of all events up to `seq`."""
        return self._events_hash

    @property
    def depth(self) -> int:
        """Commands that are taken and not yet applied."""
        return len(self._commands) + len(self._batch_replies)

    @property
    def unsynced_seconds(self) -> float:
        """Age of the oldest answered command that is not yet on disk; 0.0 under fsync."""
        since = self._writer.unsynced_since
        return time.monotonic() - since if since else 0.0

    def _trouble(self) -> str:
        """What keeps a batch from being written, though none has failed yet."""
        if self._write_seconds() > self._bounds.stall_seconds:
            return f"a write to the journal has taken {self._write_seconds():.1f} s so far"
        return self._writer.away if self._batch is None else ""

    def _write_seconds(self) -> float:
        return (time.monotonic_ns() - self._handed_ns) / 1e9 if self._batch is not None else 0.0
