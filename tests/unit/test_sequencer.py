"""The sequencer at its border: order, batches, bounds, stalls, failures, stop, relaxed."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import blake2b

import pytest

from novate.journal.interface import NO_HASH, Appended
from novate.model.errors import (
    InvariantViolated,
    JournalAway,
    JournalBehindWitness,
    JournalCorrupt,
    JournalFailed,
    JournalFenced,
    JournalFull,
    NotAccepting,
    QueueFull,
)
from novate.outcomes import OutcomeStore, pack_outcomes, unpack_outcomes
from novate.sequencer import Bounds, Sequencer, Standing
from novate.testing.clock import ManualClock
from novate.testing.journal import MemoryJournal
from tests.conftest import PATIENCE_SECONDS, wait_until_async

COMMAND_BYTES = 8


@dataclass
class FakeApplied:
    """What a reporter returns, made by hand."""

    first_seq: int
    last_seq: int
    timestamp_ns: int
    count: int
    replies: list[tuple[int, bytes | None, int]]
    events: bytes
    outcomes: list[tuple[int, bytes]] = field(default_factory=list)


class FakeReporter:
    """Answers every command with its own text; `key=N` repeats the answer of seq N."""

    def __init__(self) -> None:
        self.applied: list[FakeApplied] = []
        self.fault: Exception | None = None

    def apply(self, batch: bytes, first_seq: int, timestamp_ns: int) -> FakeApplied:
        if self.fault is not None:
            raise self.fault
        commands = [batch[at : at + COMMAND_BYTES] for at in range(0, len(batch), COMMAND_BYTES)]
        replies: list[tuple[int, bytes | None, int]] = []
        outcomes = []
        for seq, command in enumerate(commands, first_seq):
            if command.startswith(b"key="):
                replies.append((0, None, int(command[4:])))
            else:
                replies.append((201, command, 0))
                outcomes.append((seq, command))
        last = first_seq + len(commands) - 1
        applied = FakeApplied(
            first_seq, last, timestamp_ns, len(commands), replies, batch, outcomes
        )
        self.applied.append(applied)
        return applied

    def render_outcome(self, outcome: bytes) -> tuple[int, bytes]:
        return 201, outcome


@dataclass
class Rig:
    """A sequencer over fakes, and everything it answered."""

    sequencer: Sequencer
    journal: MemoryJournal
    reporter: FakeReporter
    clock: ManualClock
    answers: list[tuple[bytes, int, bytes, bool]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def submit(self, text: str) -> None:
        command = text.encode().ljust(COMMAND_BYTES)

        def answered(status: int, body: bytes, replayed: bool) -> None:
            self.answers.append((command.strip(), status, body.strip(), replayed))
            self.changed.set()

        self.sequencer.submit(command, answered)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for a condition, looking again whenever the loop has turned."""
        await wait_until_async(holds, PATIENCE_SECONDS)

    async def answered(self, count: int) -> None:
        await self.until(lambda: len(self.answers) >= count)

    async def writing(self) -> None:
        """Wait until the writer stands at the journal's gate."""
        await self.until(self.journal.appending.is_set)


def run(
    scenario: Callable[[Rig], Awaitable[None]],
    bounds: Bounds | None = None,
    standing: Standing | None = None,
    pending: bytes = b"",
    journal: MemoryJournal | None = None,
) -> None:
    """Play a scenario on a fresh sequencer; always ends its writer."""
    journal = journal or MemoryJournal()

    async def play() -> None:
        reporter, clock = FakeReporter(), ManualClock()
        sequencer = Sequencer(
            journal,
            reporter,  # type: ignore[arg-type]
            OutcomeStore(journal, pending),
            standing or Standing(),
            bounds=bounds,
            clock=clock,
        )
        rig = Rig(sequencer, journal, reporter, clock)
        try:
            await scenario(rig)
        finally:
            journal.gate.set()
            journal.sync_gate.set()
            await sequencer.stop(PATIENCE_SECONDS)

    asyncio.run(play())


def test_commands_are_answered_in_the_order_of_their_arrival() -> None:
    async def scenario(rig: Rig) -> None:
        for number in range(500):
            rig.submit(f"c{number}")
        await rig.answered(500)
        assert [answer[0] for answer in rig.answers] == [f"c{n}".encode() for n in range(500)]
        assert [answer[1:] for answer in rig.answers] == [
            (201, f"c{n}".encode(), False) for n in range(500)
        ]
        assert rig.sequencer.seq == 500

    run(scenario)


def test_what_arrives_while_a_batch_is_written_becomes_the_next_batch() -> None:
    async def scenario(rig: Rig) -> None:
        rig.journal.gate.clear()
        rig.submit("first")
        await rig.writing()
        for number in range(7):
            rig.submit(f"c{number}")
        assert rig.answers == []
        assert rig.sequencer.depth == 8
        rig.journal.gate.set()
        await rig.answered(8)
        assert [(batch.first_seq, batch.count) for batch in rig.journal.batches] == [(1, 1), (2, 7)]
        assert rig.sequencer.depth == 0

    run(scenario)


def test_nothing_is_applied_or_answered_before_it_is_durable() -> None:
    async def scenario(rig: Rig) -> None:
        rig.journal.gate.clear()
        rig.submit("one")
        await rig.writing()
        assert rig.reporter.applied == []
        assert rig.answers == []
        rig.journal.gate.set()
        await rig.answered(1)

    run(scenario)


def test_a_batch_holds_at_most_its_bound() -> None:
    async def scenario(rig: Rig) -> None:
        for number in range(25):
            rig.submit(f"c{number}")
        await rig.answered(25)
        assert [batch.count for batch in rig.journal.batches] == [10, 10, 5]
        assert rig.sequencer.tally.batch_commands_max == 10

    run(scenario, Bounds(queue_commands_max=100, batch_commands_max=10))


def test_the_queue_refuses_past_its_bound_and_takes_again_when_there_is_room() -> None:
    async def scenario(rig: Rig) -> None:
        rig.journal.gate.clear()
        rig.submit("first")
        await rig.writing()
        for number in range(10):
            rig.submit(f"c{number}")
        with pytest.raises(QueueFull) as refusal:
            rig.submit("over")
        assert (refusal.value.code, refusal.value.retry_after) == ("queue_full", 1)
        rig.journal.gate.set()
        await rig.answered(11)
        rig.submit("again")
        await rig.answered(12)
        assert rig.sequencer.tally.refused == 1

    run(scenario, Bounds(queue_commands_max=10, batch_commands_max=10))


def test_a_group_is_taken_whole_or_not_at_all_and_has_consecutive_seqs() -> None:
    async def scenario(rig: Rig) -> None:
        groups: list[list[tuple[int, bytes, bool]]] = []
        commands = [f"g{number}".encode().ljust(COMMAND_BYTES) for number in range(8)]
        rig.submit("before")
        rig.sequencer.submit_many(commands, groups.append)
        with pytest.raises(QueueFull):
            rig.sequencer.submit_many(commands, groups.append)
        rig.submit("after")
        await rig.answered(2)
        assert groups == [[(201, command, False) for command in commands]]
        journaled = b"".join(batch.commands for batch in rig.journal.batches)
        assert journaled[COMMAND_BYTES : 9 * COMMAND_BYTES] == b"".join(commands)

    run(scenario, Bounds(queue_commands_max=10, batch_commands_max=4))


def test_a_group_is_never_split_over_two_batches() -> None:
    async def scenario(rig: Rig) -> None:
        groups: list[list[tuple[int, bytes, bool]]] = []
        rig.submit("single")
        for _ in range(3):
            rig.sequencer.submit_many([b"grouped "] * 3, groups.append)
        await rig.until(lambda: len(groups) == 3)
        assert [batch.count for batch in rig.journal.batches] == [4, 3, 3]

    run(scenario, Bounds(queue_commands_max=100, batch_commands_max=5))


def test_an_empty_group_is_answered_at_once() -> None:
    async def scenario(rig: Rig) -> None:
        groups: list[list[tuple[int, bytes, bool]]] = []
        rig.sequencer.submit_many([], groups.append)
        assert groups == [[]]

    run(scenario)


def test_time_never_goes_back_and_starts_at_what_was_journaled() -> None:
    async def scenario(rig: Rig) -> None:
        rig.clock.now_ns = 5_000
        rig.submit("a")
        await rig.answered(1)
        rig.clock.now_ns = 9_000
        rig.submit("b")
        await rig.answered(2)
        rig.clock.advance(-5e-6)
        rig.submit("c")
        await rig.answered(3)
        assert [batch.timestamp_ns for batch in rig.journal.batches] == [7_000, 9_000, 9_000]
        assert [batch.first_seq for batch in rig.journal.batches] == [42, 43, 44]

    rig_standing = Standing(seq=41, timestamp_ns=7_000)

    async def primed(rig: Rig) -> None:
        # The journal of this scenario has an earlier life that it need not hold.
        rig.journal.base_seq = 41
        await scenario(rig)

    run(primed, standing=rig_standing)


def test_each_record_carries_the_hash_of_the_events_and_the_outcomes_before_it() -> None:
    async def scenario(rig: Rig) -> None:
        for number in range(3):
            rig.submit(f"c{number}")
            await rig.answered(number + 1)
        expected = NO_HASH
        for batch, before in zip(rig.journal.batches, [None, *rig.reporter.applied], strict=False):
            if before is not None:
                expected = blake2b(expected + before.events, digest_size=32).digest()
                assert batch.outcomes == pack_outcomes(before.outcomes)
            assert batch.events_hash == expected
        last = rig.reporter.applied[-1].events
        assert rig.sequencer.events_hash == blake2b(expected + last, digest_size=32).digest()

    run(scenario)


def test_a_repeated_key_gets_the_first_answer_from_wherever_it_is_kept() -> None:
    async def scenario(rig: Rig) -> None:
        rig.submit("first")
        rig.submit("key=1")  # in its own batch
        await rig.answered(2)
        rig.submit("key=1")  # kept in memory until the next record is written
        await rig.answered(3)
        rig.submit("later")
        await rig.answered(4)
        rig.submit("key=1")  # in the journal
        await rig.answered(5)
        repeats = [answer[1:] for answer in rig.answers if answer[0] == b"key=1"]
        assert repeats == [(201, b"first", True)] * 3

    run(scenario)


def test_a_repeated_key_whose_answer_is_gone_is_a_503_and_not_another_order() -> None:
    async def scenario(rig: Rig) -> None:
        rig.submit("key=77")
        await rig.answered(1)
        assert rig.answers[0][1] == 503
        assert json.loads(rig.answers[0][2])["code"] == "outcome_unavailable"

    run(scenario)


class UnreadableJournal(MemoryJournal):
    """A journal whose outcomes can't be read."""

    fault: Exception

    def outcomes_of(self, seq: int) -> bytes | None:
        raise self.fault


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", [OSError(24, "Too many open files"), JournalCorrupt("a checksum"), RuntimeError("?")]
)
def test_an_answer_that_cannot_be_read_is_a_503_for_a_command_and_for_a_group(
    fault: Exception,
) -> None:
    async def scenario(rig: Rig) -> None:
        rig.submit("first")
        await rig.answered(1)
        rig.submit("next")  # from here on the first answer is in the journal alone
        await rig.answered(2)
        rig.submit("key=1")
        await rig.answered(3)
        _, status, body, replayed = rig.answers[2]
        assert (status, replayed) == (503, False)
        assert json.loads(body)["code"] == "outcome_unavailable"
        group: list[tuple[int, bytes, bool]] = []
        rig.sequencer.submit_many([b"key=1   ", b"another "], group.extend)
        await rig.until(lambda: bool(group))
        assert [(status, replayed) for status, _, replayed in group] == [(503, False), (201, False)]

    journal = UnreadableJournal()
    journal.fault = fault
    run(scenario, journal=journal)


@pytest.mark.parametrize("fault", [OSError(5, "Input/output error"), JournalCorrupt("a checksum")])
def test_a_store_finds_nothing_where_the_journal_cannot_be_read(fault: Exception) -> None:
    journal = UnreadableJournal()
    journal.fault = fault
    assert OutcomeStore(journal).find(1) is None


def test_the_pending_outcomes_of_a_restart_go_into_the_first_record() -> None:
    pending = pack_outcomes([(9, b"nine"), (10, b"ten")])

    async def scenario(rig: Rig) -> None:
        rig.journal.base_seq = 10
        rig.submit("key=9")
        await rig.answered(1)
        assert rig.answers[0][1:] == (201, b"nine", True)
        assert rig.journal.batches[0].outcomes == pending

    run(scenario, standing=Standing(seq=10), pending=pending)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [JournalFull, JournalAway])
def test_a_full_disk_keeps_the_batch_fills_the_queue_and_resumes_by_itself(
    fault: type[JournalFull | JournalAway],
) -> None:
    async def scenario(rig: Rig) -> None:
        rig.journal.endings.extend([fault("no space left")] * 3)
        rig.submit("kept")
        await rig.until(lambda: rig.sequencer.state == "stalled")
        assert "no space left" in rig.sequencer.why
        for number in range(5):
            rig.submit(f"c{number}")
        with pytest.raises(QueueFull) as refusal:
            rig.submit("over")
        assert "no space left" in refusal.value.detail
        await rig.answered(6)
        assert rig.sequencer.state == "running"
        assert rig.sequencer.why == ""
        assert [answer[0] for answer in rig.answers][:2] == [b"kept", b"c0"]
        assert [batch.first_seq for batch in rig.journal.batches] == [1, 2]

    run(scenario, Bounds(queue_commands_max=5, batch_commands_max=5))


def test_a_journal_that_is_away_while_nobody_orders_is_a_stall_until_it_is_back() -> None:
    async def scenario(rig: Rig) -> None:
        rig.submit("before")
        await rig.answered(1)
        rig.journal.away = JournalAway("connection refused")
        await rig.until(lambda: rig.sequencer.state == "stalled")
        assert rig.sequencer.why == "connection refused"
        rig.journal.away = None
        await rig.until(lambda: rig.sequencer.state == "running")
        assert rig.sequencer.why == ""
        rig.submit("after")
        await rig.answered(2)

    run(scenario, Bounds(probe_seconds=0.005))


def test_a_writer_that_is_replaced_while_nobody_orders_stops_the_exchange() -> None:
    async def scenario(rig: Rig) -> None:
        failures: list[str] = []
        rig.sequencer.on_failed.append(failures.append)
        rig.journal.away = JournalFenced("another server has taken the journal over")
        await rig.until(lambda: rig.sequencer.state == "failed")
        assert failures == ["JournalFenced: another server has taken the journal over"]

    run(scenario, Bounds(probe_seconds=0.005))


def test_a_write_that_takes_long_is_a_stall_while_it_lasts() -> None:
    async def scenario(rig: Rig) -> None:
        rig.journal.gate.clear()
        rig.submit("slow")
        await rig.until(lambda: rig.sequencer.state == "stalled")
        assert "a write to the journal has taken" in rig.sequencer.why
        rig.journal.gate.set()
        await rig.answered(1)
        assert rig.sequencer.state == "running"

    run(scenario, Bounds(stall_seconds=0.01))


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (JournalFailed("fsync failed"), "journal_failed"),
        (OSError(5, "Input/output error"), "journal_failed"),
        (JournalBehindWitness("the journal ends with seq 1"), "journal_failed"),
        (Appended.FENCED, "exchange_stopped"),
        (Appended.UNKNOWN, "exchange_stopped"),
    ],
)
def test_a_failed_append_stops_everything_and_answers_everybody(
    ending: Appended | Exception, code: str
) -> None:
    async def scenario(rig: Rig) -> None:
        failures: list[str] = []
        rig.sequencer.on_failed.append(failures.append)
        rig.journal.gate.clear()
        rig.journal.endings.append(ending)
        rig.submit("in")
        await rig.writing()
        rig.submit("waiting")
        rig.journal.gate.set()
        await rig.answered(2)
        assert [answer[1] for answer in rig.answers] == [503, 503]
        assert {json.loads(answer[2])["code"] for answer in rig.answers} == {code}
        assert rig.reporter.applied == []
        assert len(failures) == 1
        assert rig.sequencer.state == "failed"
        with pytest.raises(NotAccepting) as refusal:
            rig.submit("after")
        assert refusal.value.code == "exchange_stopped"
        assert not isinstance(refusal.value, QueueFull)

    run(scenario)


def test_a_violated_invariant_publishes_nothing_of_its_batch() -> None:
    async def scenario(rig: Rig) -> None:
        published: list[object] = []
        failures: list[str] = []
        rig.sequencer.on_applied.append(published.append)
        rig.sequencer.on_failed.append(failures.append)
        rig.submit("good")
        await rig.answered(1)
        rig.reporter.fault = InvariantViolated("crossed book", 2)
        rig.submit("bad")
        await rig.answered(2)
        assert rig.answers[1][1] == 503
        assert len(published) == 1
        assert "crossed book (seq 2)" in failures[0]

    run(scenario)


@pytest.mark.slow
def test_a_reply_or_subscriber_that_fails_costs_nobody_else_anything() -> None:
    async def scenario(rig: Rig) -> None:
        def broken(*_: object) -> None:
            raise ConnectionResetError

        rig.sequencer.on_applied.append(broken)
        rig.sequencer.submit(b"broken  ", broken)
        rig.submit("fine")
        await rig.answered(1)
        rig.submit("next")
        await rig.answered(2)

    run(scenario)


def test_stop_finishes_what_was_taken_and_refuses_the_rest() -> None:
    async def scenario(rig: Rig) -> None:
        rig.journal.gate.clear()
        rig.submit("one")
        await rig.writing()
        rig.submit("two")
        stopping = asyncio.create_task(rig.sequencer.stop(PATIENCE_SECONDS))
        await rig.until(lambda: rig.sequencer.state == "stopping")
        with pytest.raises(NotAccepting) as refusal:
            rig.submit("late")
        assert refusal.value.code == "stopping"
        rig.journal.gate.set()
        assert await stopping
        assert [answer[1] for answer in rig.answers] == [201, 201]

    run(scenario)


def test_stop_gives_up_on_a_disk_that_does_not_answer() -> None:
    async def scenario(rig: Rig) -> None:
        rig.journal.gate.clear()
        rig.submit("stuck")
        await rig.writing()
        rig.submit("queued")
        assert not await rig.sequencer.stop(0.05)
        assert [answer[1] for answer in rig.answers] == [503, 503]
        rig.journal.gate.set()
        await rig.until(lambda: rig.journal.seq == 1)
        await rig.sequencer.stop(PATIENCE_SECONDS)  # the writer's late word is heard before its end
        assert rig.reporter.applied == []

    run(scenario)


def test_relaxed_answers_before_the_sync_and_syncs_within_the_window() -> None:
    async def scenario(rig: Rig) -> None:
        rig.journal.sync_gate.clear()
        rig.submit("one")
        await rig.answered(1)
        assert rig.journal.syncs == 0
        assert rig.sequencer.unsynced_seconds > 0
        rig.journal.sync_gate.set()
        await rig.until(lambda: rig.journal.synced == 1)
        await rig.until(lambda: rig.sequencer.unsynced_seconds == 0.0)
        for number in range(50):
            rig.submit(f"c{number}")
        await rig.answered(51)
        assert await rig.sequencer.stop()
        assert rig.journal.synced == len(rig.journal.batches)

    run(scenario, Bounds(relaxed_ms=5))


def test_relaxed_stops_when_a_sync_fails() -> None:
    async def scenario(rig: Rig) -> None:
        rig.journal.sync_error = JournalFailed("fsync failed")
        rig.submit("one")
        await rig.answered(1)
        assert rig.answers[0][1] == 201
        await rig.until(lambda: rig.sequencer.state == "failed")

    run(scenario, Bounds(relaxed_ms=1))


def test_outcomes_survive_packing_and_a_cut_blob_is_refused() -> None:
    outcomes = [(1, b""), (2**63, b"image"), (7, bytes(300))]
    blob = pack_outcomes(outcomes)
    assert list(unpack_outcomes(blob)) == outcomes
    for cut in (blob[:5], blob[:-1]):
        with pytest.raises(ValueError, match="outcomes: expected"):
            list(unpack_outcomes(cut))


def test_the_repeat_of_a_whole_batch_reads_the_journal_once() -> None:
    class Counting:
        reads = 0

        def outcomes_of(self, seq: int) -> bytes | None:
            self.reads += 1
            return (
                pack_outcomes([(seq, b"%d" % seq) for seq in range(1, 501)]) if seq < 600 else None
            )

    journal = Counting()
    store = OutcomeStore(journal, pack_outcomes([(700, b"newest")]))
    assert [store.find(seq) for seq in range(1, 501)] == [b"%d" % seq for seq in range(1, 501)]
    assert journal.reads == 1
    assert (store.find(700), store.find(555), store.find(650)) == (b"newest", None, None)
