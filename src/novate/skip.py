"""`novate skip`: take a command that can't be applied out of the replay, by journaling that.

A command is journaled before it is applied. One that the engine can't apply (a fault of ours, or
more memory than this machine has) therefore stops the exchange, and every start after it. This verb
finds it: it replays to that batch, the last of the journal, and applies its commands one by one in
a child process, which may die of one. Told to skip it, it journals a SKIP_COMMAND behind the batch;
from then on every replay leaves that command out (`novate.journal.skips`). Nothing else is ever
left out, and nothing is guessed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Final, NamedTuple

from novate import logs
from novate.config import Settings
from novate.engine import Engine, Reporter
from novate.journal.disk import RealDisk
from novate.journal.interface import OpenJournal, Record
from novate.journal.skips import without
from novate.journal.snapshots import SnapshotStore
from novate.ledger_witness import ledger_witness
from novate.lock import FolderLock
from novate.model.commands import CommandKind
from novate.model.errors import (
    CommandFailed,
    InvariantViolated,
    JournalCorrupt,
    JournalError,
    NovateError,
)
from novate.model.packing import pack_skip_command, split
from novate.recovery import (
    Replayer,
    append_and_apply,
    from_latest_snapshot,
    log_warnings,
    open_journal_behind,
    replay_to_last,
)

EXIT_STUCK: Final = 1
"""Exit code where a command can't be applied and was not to be skipped."""

SAID_MAX: Final = 400
"""Characters of an error that are shown."""

log: Final = logs.get("skip")


class Culprit(NamedTuple):
    """A command that can't be applied: its seq, its kind by name, and what becomes of it."""

    seq: int
    kind: str
    why: str


def run(settings: Settings, seqs: Sequence[int]) -> int:
    """`novate skip`: say which command stops the replay; skip it where its seq is among `seqs`.

    Raises:
        DataFolderLocked: a server runs on the folder.
        NovateError: a seq is not to be skipped: its command can be applied.
        JournalError: the journal can't be believed, or goes on behind the batch.
    """
    lock = FolderLock(settings.data_dir)
    journal: OpenJournal | None = None
    try:
        warnings: list[str] = []
        store = SnapshotStore(settings.data_dir, partition=settings.partition)
        replayer, snapshot = from_latest_snapshot(store, warnings)
        witnesses = ledger_witness(settings, RealDisk(), warnings)
        journal = open_journal_behind(settings, RealDisk(), snapshot, witnesses)
        log_warnings(warnings + journal.warnings)
        last = _last_record(journal, replayer)
        if last is None:
            return _nothing_to_skip(seqs, replayer.seq)
        return _skip(last, journal, replayer, seqs)
    finally:
        if journal is not None:
            journal.close()
        lock.close()


def _nothing_to_skip(seqs: Sequence[int], seq: int) -> int:
    if seqs:
        raise NovateError(
            f"seq {seqs[0]}: expected a command that can't be applied; the journal can be applied "
            f"to its end, seq {seq}, and nothing was changed"
        )
    print(f"the journal can be applied to its end, seq {seq}: nothing to skip")
    return 0


def _skip(last: Record, journal: OpenJournal, replayer: Replayer, seqs: Sequence[int]) -> int:
    batch = last.batch
    left = sorted(set(seqs))
    skipped: list[int] = []
    for seq in left:
        if not batch.first_seq <= seq <= batch.last_seq:
            raise NovateError(
                f"seq {seq}: expected a seq of the journal's last batch, {batch.first_seq} to "
                f"{batch.last_seq}; all before it can be applied, and nothing was changed"
            )
    while (culprit := probe(replayer, without(last, skipped))) is not None:
        if culprit.seq not in left:
            print(
                f"seq {culprit.seq} ({culprit.kind}) can't be applied: {culprit.why}\n"
                f"to leave it out of the state for ever: novate skip --seq {culprit.seq}"
                + "".join(f" --seq {seq}" for seq in skipped)
            )
            return EXIT_STUCK
        skipped.append(culprit.seq)
    if needless := [seq for seq in left if seq not in skipped]:
        raise NovateError(
            f"seq {needless[0]}: expected a command that can't be applied; it can be, and nothing "
            "was changed"
        )
    replayer.apply_rendered(without(last, skipped))
    if not skipped:
        return _nothing_to_skip((), batch.last_seq)
    commands = [pack_skip_command(seq) for seq in skipped]
    append_and_apply(commands, replayer, journal)
    named = ", ".join(str(seq) for seq in skipped)
    log.warning("skipped", seqs=skipped, seq=replayer.seq)
    print(f"seq {named} is skipped, as journaled in seq {replayer.seq - len(skipped) + 1}")
    return 0


def _last_record(journal: OpenJournal, replayer: Replayer) -> Record | None:
    """Apply all but the last record, and give that one; None where nothing is to be applied."""
    try:
        return replay_to_last(replayer, journal)
    except (CommandFailed, InvariantViolated) as error:
        raise JournalError(
            f"{error}: more stands behind it, so that it was applied before, by another version or "
            "on another machine, and can't be skipped"
        ) from error


def probe(replayer: Replayer, record: Record) -> Culprit | None:
    """Apply a record's commands one by one to a copy, in a child process; None if all went well.

    Args:
        replayer: The state before; it is left as it is.
        record: What to apply.
    """
    batch = record.batch
    dump, commands = replayer.engine.dump(), _commands_of(record)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _apply_one_by_one(dump, commands, record, replayer.reporter.partition, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        said = told.read().decode(errors="replace").split("\0")
    status = os.waitpid(child, 0)[1]
    applied = len(said) - 1
    if applied == batch.count and status == 0:
        return None
    at = min(applied, batch.count - 1)
    why = said[-1] or _end_in_words(status)
    return Culprit(batch.first_seq + at, _kind_of(commands[at]), why)


def _commands_of(record: Record) -> list[bytes]:
    try:
        return split(record.batch.commands)
    except ValueError as error:
        first_seq = record.batch.first_seq
        raise JournalCorrupt(str(error), record.segment, record.offset, first_seq) from error


def _apply_one_by_one(
    dump: bytes, commands: list[bytes], record: Record, partition: int, writing: int
) -> None:
    """In the child: a zero byte for each command that went well, then what went wrong."""
    code = 1
    try:
        engine = Engine.load(dump)
        reporter = Reporter(engine, partition)
        for place, command in enumerate(commands):
            reporter.apply(command, record.batch.first_seq + place, record.batch.timestamp_ns)
            os.write(writing, b"\0")
        code = 0
    except BaseException as error:
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        os.write(writing, what[:SAID_MAX].encode(errors="replace"))
    finally:
        os._exit(code)


def _end_in_words(status: int) -> str:
    if os.WIFSIGNALED(status):
        return (
            f"the process that applied it was ended by {signal.Signals(os.WTERMSIG(status)).name}"
        )
    return f"the process that applied it ended with {os.waitstatus_to_exitcode(status)}"


def _kind_of(command: bytes) -> str:
    try:
        return CommandKind(command[0]).name
    except ValueError:
        return f"a command of the unknown kind {command[0]}"
