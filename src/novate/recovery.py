"""From a data folder to a running state: the latest good snapshot and the journal behind it.

Restart, follower and `novate replay` are one code path: a `Replayer` is fed records, and stops at
the first one whose running hash says that its events are not those that were published. Only
`open_partition` writes: the commands that set an exchange up, or that change its limits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec
from numpy.typing import NDArray

from novate import logs
from novate.config import Settings
from novate.engine import Engine, Reporter
from novate.journal.choosing import Reader, open_journal, open_reader
from novate.journal.disk import Disk, RealDisk
from novate.journal.interface import (
    COMMAND_FORMAT,
    NO_HASH,
    RULES,
    Appended,
    Batch,
    OpenJournal,
    Position,
    Record,
    Witness,
)
from novate.journal.snapshots import Snapshot, SnapshotStore, snapshot_at
from novate.journal.verify import believed_end
from novate.ledger_witness import ledger_witness
from novate.lock import FolderLock
from novate.model import codec, packing
from novate.model.clearing import ClearingTerms, pack_set_clearing
from novate.model.errors import (
    CommandFailed,
    ConfigurationError,
    InvariantViolated,
    JournalCorrupt,
    JournalError,
    JournalFailed,
    ReplayDiverged,
    SnapshotCorrupt,
)
from novate.model.instrument import Instrument, Limits
from novate.outcomes import pack_outcomes
from novate.setting_kinds import InstrumentSettings

if TYPE_CHECKING:
    from novate.engine import Applied

NAMED_MAX: Final = 20
"""Instruments that a refusal names at most."""

log = logs.get("recovery")


class Replayer:
    """Applies the journal's records to an engine and compares the hashes of their events.

    Attributes:
        engine: The engine; nobody else may apply to it meanwhile.
        reporter: Its reporter.
        seq: Last sequence number applied.
        timestamp_ns: Time of the last batch.
        events_hash: Running hash of the events up to `seq`.
        position: Behind the last record, None before the first and without a snapshot.
        pending: Outcomes blob of the last batch, where it was applied by `apply_rendered` or came
            with the snapshot; else b"".
    """

    def __init__(
        self, engine: Engine, snapshot: Snapshot | None = None, partition: int = 0
    ) -> None:
        self.engine = engine
        self.reporter = Reporter(engine, partition)
        self.seq = snapshot.seq if snapshot else 0
        self.timestamp_ns = snapshot.timestamp_ns if snapshot else 0
        self.events_hash = snapshot.events_hash if snapshot else NO_HASH
        self.position: Position | None = snapshot.position() if snapshot else None
        self.pending = snapshot.pending_outcomes if snapshot else b""
        self._batch_seq = self.seq

    @classmethod
    def at_zero(cls, partition: int = 0) -> Replayer:
        """A replayer before the first command."""
        return cls(Engine(), partition=partition)

    def apply(self, record: Record) -> NDArray[Any]:
        """Apply a record without rendering its answers: the fast way.

        Returns:
            Its events, an array of `EVENT`.

        Raises:
            ReplayDiverged: the events before this record are not those it vouches for.
            JournalCorrupt: the record does not follow on, or this version can't read it.
            CommandFailed: a command of it can't be applied; names the record.
            InvariantViolated: the engine is wrong; names the record.
        """
        batch = record.batch
        self._require_next(record)
        try:
            events = self.engine.apply(batch.commands, batch.first_seq, batch.timestamp_ns)
        except Exception as error:
            raise self._blamed(record, error) from error
        self.pending = b""
        self._advance(record, events.tobytes())
        return events

    def _require_next(self, record: Record) -> None:
        """Refuse a record that does not follow on, or is of rules that this version lacks."""
        batch = record.batch
        if batch.events_hash != self.events_hash or batch.first_seq != self.seq + 1:
            self._refuse(record)
        if batch.rules > RULES or batch.command_format != COMMAND_FORMAT:
            self._refuse_version(record)
        if self.seq == 0 and batch.rules >= 1:
            self.engine.begin_under(batch.rules)
        if batch.rules != self.engine.rules_version:
            self._refuse_version(record)

    def apply_rendered(self, record: Record) -> Applied:
        """Apply a record as the server does, with its outcomes, which stay in `pending`."""
        batch = record.batch
        self._require_next(record)
        try:
            applied = self.reporter.apply(batch.commands, batch.first_seq, batch.timestamp_ns)
        except Exception as error:
            raise self._blamed(record, error) from error
        self.pending = pack_outcomes(applied.outcomes)
        self._advance(record, applied.events)
        return applied

    def _advance(self, record: Record, events: bytes) -> None:
        batch = record.batch
        self._batch_seq = batch.first_seq
        self.seq = batch.first_seq + batch.count - 1
        if self.engine.last_seq != self.seq:
            found = f"expected {batch.count} commands, found {self.engine.last_seq - self.seq} more"
            raise JournalCorrupt(found, record.segment, record.offset, batch.first_seq)
        self.timestamp_ns = batch.timestamp_ns
        running = blake2b(self.events_hash, digest_size=32)
        running.update(events)
        self.events_hash = running.digest()
        self.position = record.position()

    def _refuse(self, record: Record) -> None:
        batch = record.batch
        if batch.first_seq != self.seq + 1:
            found = f"expected seq {self.seq + 1}, found {batch.first_seq}"
            raise JournalCorrupt(found, record.segment, record.offset, batch.first_seq)
        raise ReplayDiverged(
            f"the batch up to seq {self.seq} gave other events than were journaled: expected hash "
            f"{batch.events_hash.hex()[:16]}, found {self.events_hash.hex()[:16]}, "
            f"named by segment {record.segment}, offset {record.offset}",
            self._batch_seq,
        )

    def _refuse_version(self, record: Record) -> None:
        batch = record.batch
        raise JournalCorrupt(
            f"expected rules {self.engine.rules_version} and command format {COMMAND_FORMAT}, "
            f"found {batch.rules} and {batch.command_format}: written by another version",
            record.segment,
            record.offset,
            batch.first_seq,
        )

    def _blamed(self, record: Record, error: Exception) -> Exception:
        batch = record.batch
        place = f"segment {record.segment}, offset {record.offset}"
        if isinstance(error, InvariantViolated):
            return InvariantViolated(f"{error}, replaying {place}", batch.first_seq)
        if isinstance(error, ValueError):
            return JournalCorrupt(str(error), record.segment, record.offset, batch.first_seq)
        span = f"the batch of seq {batch.first_seq} to {batch.last_seq}"
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        return CommandFailed(f"{span} ({place}) can't be applied: {what}", batch.first_seq)

    def snapshot(self, partition: int) -> Snapshot:
        """The state as a snapshot; the last record must have been applied by `apply_rendered`."""
        assert self.position is not None
        return snapshot_at(
            self.position,
            events_hash=self.events_hash,
            state_hash=self.engine.state_hash(),
            dump=self.engine.dump(),
            pending_outcomes=self.pending,
            partition=partition,
        )


def from_latest_snapshot(
    store: SnapshotStore, warnings: list[str], at_most: int | None = None
) -> tuple[Replayer, Snapshot | None]:
    """A replayer at the newest snapshot that can be believed, else at zero.

    A snapshot that fails its checksum, does not load or does not have the hash that it names is
    passed over for the one before, with a line in `warnings`; one behind seq `at_most` silently.
    """
    for seq in store.seqs():
        if at_most is not None and seq > at_most:
            continue
        try:
            snapshot = store.load(seq)
            if (found := Engine.hash_of(snapshot.dump)) != snapshot.state_hash:
                raise SnapshotCorrupt(f"expected state {snapshot.state_hash}, found {found}")
            engine = Engine.load(snapshot.dump)
        except (SnapshotCorrupt, OSError) as fault:
            warnings.append(f"the snapshot of seq {seq} is passed over: {fault}")
            continue
        return Replayer(engine, snapshot, store.partition), snapshot
    return Replayer.at_zero(store.partition), None


class Recovered(msgspec.Struct, kw_only=True):
    """An open partition, recovered and ready for a sequencer.

    Attributes:
        seq: Last sequence number applied.
        timestamp_ns: Time of the last batch.
        events_hash: Running hash of the events up to `seq`.
        pending: Outcomes blob of the newest batch, which is in no record.
        snapshot_seq: Snapshot it started from, 0 = from the beginning.
        replayed_commands: Commands of the journal applied behind it.
        seconds: Duration of the recovery.
        warnings: What was found and put right, for people.
    """

    lock: FolderLock
    journal: OpenJournal
    engine: Engine
    reporter: Reporter
    seq: int
    timestamp_ns: int
    events_hash: bytes
    pending: bytes
    snapshot_seq: int
    replayed_commands: int
    seconds: float
    warnings: list[str]

    @property
    def rules(self) -> int:
        """Version of the rules that the next command is under."""
        return self.engine.rules_version

    def close(self) -> None:
        """Let go of the files and the folder."""
        self.journal.close()
        self.lock.close()


class Progress:
    """How far a recovery is; written by the one that recovers, read on another thread.

    Attributes:
        replayer: What the journal is replayed into; None before there is one.
        end_seq: Where the journal ends; 0 until that is known.
    """

    def __init__(self) -> None:
        self.replayer: Replayer | None = None
        self.end_seq = 0

    def in_words(self) -> str:
        """How far it is, for people."""
        if self.replayer is None:
            return "the latest snapshot is being loaded"
        if not self.end_seq:
            return f"the journal is being checked from sequence {self.replayer.seq} on"
        return f"the journal is being replayed, sequence {self.replayer.seq} of {self.end_seq}"


def open_partition(
    settings: Settings,
    disk: Disk | None = None,
    clock: Callable[[], int] = time.time_ns,
    progress: Progress | None = None,
) -> Recovered:
    """Lock a data folder, rebuild its state, and journal what the settings ask for anew.

    `progress` is told how far it is.

    Raises:
        DataFolderLocked: another server has the folder.
        JournalError: the journal is damaged, or ends before a witness; names the place.
        ReplayDiverged: the replay gave other events than were published.
        ConfigurationError: the default instrument is none of those there are.
    """
    lock = FolderLock(settings.data_dir)
    journal: OpenJournal | None = None
    progress = progress or Progress()
    try:
        began = time.monotonic()
        real = disk or RealDisk()
        warnings: list[str] = []
        store = SnapshotStore(
            settings.data_dir, real, keep=settings.snapshots_kept, partition=settings.partition
        )
        replayer, snapshot = from_latest_snapshot(store, warnings)
        progress.replayer = replayer
        witnesses = ledger_witness(settings, real, warnings)
        journal = open_journal_behind(settings, real, snapshot, witnesses)
        warnings += journal.warnings
        progress.end_seq = journal.last().seq
        replayed = replay_tail(replayer, journal)
        _end_lost_sessions(replayer, journal, clock)
        _adopt_newest_rules(replayer, journal, clock)
        _set_up(settings, replayer, journal, clock, warnings)
        _require_default_instrument(settings, replayer.engine)
        return Recovered(
            lock=lock,
            journal=journal,
            engine=replayer.engine,
            reporter=replayer.reporter,
            seq=replayer.seq,
            timestamp_ns=replayer.timestamp_ns,
            events_hash=replayer.events_hash,
            pending=replayer.pending,
            snapshot_seq=snapshot.seq if snapshot else 0,
            replayed_commands=replayed,
            seconds=time.monotonic() - began,
            warnings=warnings,
        )
    except BaseException:
        if journal is not None:
            journal.close()
        lock.close()
        raise


def open_journal_behind(
    settings: Settings, disk: Disk, snapshot: Snapshot | None, witnesses: Sequence[Witness] = ()
) -> OpenJournal:
    """The journal for writing, to be read from a snapshot on, which is a witness of its own."""
    if snapshot is None:
        return open_journal(settings, disk, None, witnesses)
    return open_journal(settings, disk, snapshot.position(), [snapshot.witness(), *witnesses])


def replay_tail(replayer: Replayer, journal: OpenJournal | Reader) -> int:
    """Apply everything behind the replayer's seq; how many commands it was.

    The last record is rendered, for its outcomes are in no other record.
    """
    before = replayer.seq
    last = replay_to_last(replayer, journal)
    if last is not None:
        replayer.apply_rendered(last)
    return replayer.seq - before


def replay_to_last(replayer: Replayer, journal: OpenJournal | Reader) -> Record | None:
    """Apply everything behind the replayer's seq but the last record, and give that one."""
    held: Record | None = None
    apply = replayer.apply
    for record in journal.read(replayer.seq + 1, replayer.position):
        if held is not None:
            apply(held)
        held = record
    return held


def _end_lost_sessions(replayer: Replayer, journal: OpenJournal, clock: Callable[[], int]) -> None:
    """Journal that sessions which were open are lost: nobody is left who could close them.

    A record of its own, before anything else of this start.
    """
    if replayer.engine.sessions():
        lost = [packing.pack_sessions_lost()]
        append_and_apply(lost, replayer, journal, clock)


def _adopt_newest_rules(replayer: Replayer, journal: OpenJournal, clock: Callable[[], int]) -> None:
    """Journal that what follows is under newer rules, where this version has them.

    Each step a record of its own, for a record is under one version. A new journal needs none: its
    first record names the rules that it begins under.
    """
    while replayer.seq and replayer.engine.rules_version < RULES:
        adopted = [packing.pack_adopt_rules(replayer.engine.rules_version + 1)]
        append_and_apply(adopted, replayer, journal, clock)


def _set_up(
    settings: Settings,
    replayer: Replayer,
    journal: OpenJournal,
    clock: Callable[[], int],
    warnings: list[str],
) -> None:
    """Journal the limits where they changed, and the instruments and their terms at the first."""
    limits = settings.limits
    commands: list[bytes] = []
    if replayer.seq == 0 or replayer.engine.limits() != limits:
        _require_memory(limits)
        commands.append(codec.pack_configure(limits))
    if replayer.seq == 0:
        commands += [
            codec.pack_create_instrument(instrument_of(row)) for row in settings.instruments
        ]
        commands += [
            pack_set_clearing(number, ClearingTerms())
            for number in range(len(settings.instruments))
        ]
    if not commands:
        return
    append_and_apply(commands, replayer, journal, clock)
    if replayer.engine.limits() != limits:
        warnings.append("the engine refused the changed limits; those before stay in force")


def _require_memory(limits: Limits) -> None:
    """Refuse limits that this machine can't hold before they are journaled for ever."""
    try:
        Engine(limits)
    except MemoryError as error:
        message = f"the settings ask for more memory than there is: {error}"
        raise ConfigurationError(message) from None


def append_and_apply(
    commands: Sequence[bytes],
    replayer: Replayer,
    journal: OpenJournal,
    clock: Callable[[], int] = time.time_ns,
) -> None:
    """Journal commands behind the replayer's seq, as one batch, and apply them to it.

    Raises:
        JournalFailed: The journal did not make them durable.
    """
    batch = Batch(
        first_seq=replayer.seq + 1,
        count=len(commands),
        timestamp_ns=max(replayer.timestamp_ns, clock()),
        commands=b"".join(commands),
        outcomes=replayer.pending,
        events_hash=replayer.events_hash,
        rules=replayer.engine.rules_version,
    )
    appended = journal.append(replayer.seq, journal.epoch, batch)
    if appended is not Appended.DURABLE:
        raise JournalFailed(f"the journal answered {appended.name} to the first append")
    at = journal.last()
    replayer.apply_rendered(
        Record(
            batch=batch,
            segment=at.segment,
            offset=at.offset,
            end_offset=at.end_offset,
            record_hash=at.record_hash,
            epoch=at.epoch,
        )
    )


def _require_default_instrument(settings: Settings, engine: Engine) -> None:
    """Refuse a default that every request without an instrument would fail on.

    An exchange that has no instruments yet gets them by command, the default one among them.
    """
    known = [each.name for each in engine.instruments()]
    if known and settings.default_instrument not in known:
        listed = ", ".join(known[:NAMED_MAX]) + (", ..." if len(known) > NAMED_MAX else "")
        raise ConfigurationError(
            f"default_instrument: expected one of {listed}; found {settings.default_instrument!r}"
        )


def instrument_of(row: InstrumentSettings) -> Instrument:
    """An instrument as the settings describe it."""
    tick, lot = _grid(row.tick_size), _grid(row.lot_size)
    return Instrument(
        name=row.name,
        base=row.base_asset,
        quote=row.quote_asset,
        tick_coefficient=tick[0],
        tick_exponent=tick[1],
        lot_coefficient=lot[0],
        lot_exponent=lot[1],
        quote_scale=row.quote_scale,
    )


def _grid(size: str) -> tuple[int, int]:
    """A positive decimal as (coefficient, exponent): coefficient x 10^-exponent."""
    _, digits, exponent = Decimal(size).normalize().as_tuple()
    coefficient = int("".join(map(str, digits)))
    assert isinstance(exponent, int)
    return (coefficient * 10**exponent, 0) if exponent > 0 else (coefficient, -exponent)


def run(settings: Settings, until: int = 0, from_snapshot: bool = False) -> int:
    """`novate replay`: rebuild the state from a data folder, changing nothing, and print its hash.

    Args:
        settings: Names the folder.
        until: Stop behind the record that holds this seq; 0 = at the end.
        from_snapshot: Start at the latest snapshot and not at zero.

    Raises:
        JournalError: there is no journal, it can't be believed, or it ends before `until`.
    """
    began = time.monotonic()
    warnings: list[str] = []
    witnesses = ledger_witness(settings, RealDisk(), warnings)
    reader = open_reader(settings)
    end = believed_end(reader, witnesses)
    store = SnapshotStore(settings.data_dir, partition=settings.partition)
    replayer, snapshot = Replayer.at_zero(settings.partition), None
    if from_snapshot:
        replayer, snapshot = from_latest_snapshot(store, warnings)
    start = replayer.seq
    if until and not start <= until <= end.position.seq:
        expected = f"expected --until from {start} to {end.position.seq}, where the journal ends"
        raise JournalError(f"{expected}; found {until}")
    for record in reader.read(start + 1, replayer.position, end.bound()):
        if until and record.batch.first_seq > until:
            break
        replayer.apply(record)
    reader.close()
    replayer.engine.check_invariants()
    log_warnings(warnings)
    print_state(replayer)
    seconds = time.monotonic() - began
    log.info(
        "replayed",
        commands=replayer.seq - start,
        seconds=round(seconds, 3),
        from_snapshot=snapshot.seq if snapshot else 0,
    )
    return 0


def log_warnings(warnings: Sequence[str]) -> None:
    """Say what was found and put right on the way."""
    for warning in warnings:
        log.warning("replay", warning=warning)


def print_state(replayer: Replayer) -> None:
    """Print what a replay came to: seq, state hash and events hash, a line each."""
    print(f"seq {replayer.seq}")
    print(f"state {replayer.engine.state_hash()}")
    print(f"events {replayer.events_hash.hex()}")
