"""The follower: reads the journal as it becomes durable, checks it, and takes the snapshots.

It runs as a process of its own (`novate follow`), below everybody's priority, and so never holds
matching up. It holds its own engine, compares the running hash in every record with that of its
own events, and stops at the first difference. It only reads the journal, and never past the
durable mark; of a copy, which has none, to the end that a start would believe. Beside it, in a
thread, a second replay feeds the ledger (`novate.ledger_feed`). To its parent it speaks in JSON
lines on stdout:

    {"kind": "ready", "seq": 0}
    {"kind": "progress", "seq": 41}               at most ten a second, one every ten at least
    {"kind": "snapshot", "seq": 41, "timestamp_ns": ..., "bytes": ..., "path": ...,
     "state_hash": ...}
    {"kind": "snapshot_failed", "seq": 41, "why": ...}
    {"kind": "diverged", "seq": 40, "why": ...}
    {"kind": "journal_checked", "seq": 41, "why": ""}                what is before its snapshot
    {"kind": "ledger", "state": "up", "seq": 41, "why": ""}          at most ten a second
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

import msgspec

from novate import logs
from novate.config import NO_LEDGER, Settings
from novate.journal.choosing import open_reader, open_tail
from novate.journal.disk import RealDisk
from novate.journal.interface import Record, Tail
from novate.journal.mark import DurableMark, FixedMark, Mark, MarkReader
from novate.journal.scrub import Scrub
from novate.journal.snapshots import SnapshotStore
from novate.journal.verify import believed_end
from novate.model import codec
from novate.model.errors import NovateError, ReplayDiverged
from novate.process import step_back
from novate.recovery import Replayer, from_latest_snapshot, print_state, replay_tail

POLL_SECONDS: Final = 0.01
"""How often a follower that has caught up looks at the durable mark."""

SCRUB_SECONDS: Final = 0.002
"""How long it looks at the journal's older part each time that it has caught up."""

PROGRESS_SECONDS: Final = 0.1
ALIVE_SECONDS: Final = 10.0
"""Silence after which it says where it is, though that is where it was."""

STEP_RECORDS_MAX: Final = 2000
LEDGER_STOP_SECONDS: Final = 1.0
PR_SET_PDEATHSIG: Final = 1
EXIT_DIVERGED: Final = 3
"""Exit code of a follower whose events differ; starting it again would not help."""

Say = Callable[[dict[str, Any]], None]

log = logs.get("follower")


class Cadence(msgspec.Struct, frozen=True):
    """When snapshots are taken.

    Attributes:
        commands: After so many commands; 0 = not by count.
        seconds: After so long, if anything changed; 0 = not by time.
    """

    commands: int
    seconds: float


class Follower:
    """Applies what its tail gives it, and takes the snapshots that are due.

    Args:
        replayer: Where it begins; its own from here on.
        tail: The durable records behind that.
        store: Where snapshots go.
        cadence: When they are taken, besides on demand.
        say: Is told what happened.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        replayer: Replayer,
        tail: Tail,
        store: SnapshotStore,
        cadence: Cadence,
        say: Say,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._replayer = replayer
        self._tail = tail
        self._store = store
        self._cadence = cadence
        self._say = say
        self._clock = clock
        self._on_demand = codec.pack_take_snapshot()
        self._snapshot_seq = replayer.seq
        # Where one was last tried: a full disk must not have every record try again.
        self._tried_seq = replayer.seq
        self._snapshot_time = clock()
        self._said_seq = -1
        self._said_time = clock() - PROGRESS_SECONDS
        self._say({"kind": "ready", "seq": replayer.seq})

    @property
    def seq(self) -> int:
        """Last sequence number applied."""
        return self._replayer.seq

    def step(self) -> int:
        """Apply what is there, at most a good deal of it; how many records it was.

        The newest record is applied with its outcomes, so that a snapshot can be taken behind it.

        Raises:
            ReplayDiverged: its events differ from those the journal vouches for.
        """
        count = 0
        held: Record | None = None
        for record in islice(self._tail.records(), STEP_RECORDS_MAX):
            if held is not None:
                self._apply(held)
            held = record
            count += 1
        if held is not None:
            self._apply(held, newest=True)
        elif self._is_due_by_time(self._replayer.seq):
            self.take_snapshot()
        self._tell_progress()
        return count

    def _apply(self, record: Record, newest: bool = False) -> None:
        batch = record.batch
        last = batch.last_seq
        due = (
            (self._cadence.commands and last - self._tried_seq >= self._cadence.commands)
            or self._is_due_by_time(last)
            or self._on_demand in batch.commands
        )
        if not (due or newest):
            self._replayer.apply(record)
            return
        self._replayer.apply_rendered(record)
        if due:
            self.take_snapshot()

    def _is_due_by_time(self, seq: int) -> bool:
        seconds = self._cadence.seconds
        return bool(
            seconds and seq > self._snapshot_seq and self._clock() - self._snapshot_time >= seconds
        )

    def take_snapshot(self) -> None:
        """Make the present state durable as a snapshot; a full disk is said and not fatal."""
        self._snapshot_time = self._clock()
        seq = self._tried_seq = self._replayer.seq
        try:
            saved = self._store.save(self._replayer.snapshot(self._store.partition))
        except OSError as error:
            self._say({"kind": "snapshot_failed", "seq": seq, "why": str(error)})
            log.warning("snapshot_failed", seq=seq, why=str(error))
            return
        self._snapshot_seq = seq
        took = round(self._clock() - self._snapshot_time, 3)
        self._say(
            {
                "kind": "snapshot",
                "seq": seq,
                "timestamp_ns": saved.timestamp_ns,
                "bytes": saved.bytes,
                "path": str(saved.path),
                "state_hash": saved.state_hash,
            }
        )
        log.info("snapshot_taken", seq=seq, bytes=saved.bytes, seconds=took)

    def _tell_progress(self) -> None:
        now = self._clock()
        news = self._replayer.seq != self._said_seq
        if now - self._said_time < (PROGRESS_SECONDS if news else ALIVE_SECONDS):
            return
        self._said_seq, self._said_time = self._replayer.seq, now
        self._say({"kind": "progress", "seq": self._replayer.seq})


def run(settings: Settings, parent_pid: int = 0, once: bool = False) -> int:
    """`novate follow`: follow a data folder until the parent ends, or until stopped.

    Args:
        settings: Name the folder and when snapshots are taken.
        parent_pid: Process whose death ends this one; 0 = nobody's.
        once: Read to the end, print seq and hashes, and exit; takes no snapshot.
    """
    if once:
        return _run_once(settings)
    if parent_pid and not _tie_to(parent_pid):
        return 0
    try:
        step_back()
    except OSError as error:
        log.warning("priority_unchanged", why=str(error))
    disk = RealDisk()
    warnings: list[str] = []
    store = SnapshotStore(
        settings.data_dir, disk, keep=settings.snapshots_kept, partition=settings.partition
    )
    replayer, snapshot = from_latest_snapshot(store, warnings)
    for warning in warnings:
        log.warning("snapshot_passed_over", why=warning)
    scrub = Scrub(open_reader(settings, disk), snapshot.position()) if snapshot else None
    mark = _open_mark(settings, disk)
    if isinstance(mark, FixedMark):
        log.info("follows_a_copy", seq=mark.load().seq, why="there is no durable mark")
    tail = open_tail(settings, disk, mark, replayer.seq + 1, replayer.position)
    ledger = _LedgerThread(settings, disk, store)
    cadence = Cadence(settings.snapshot_commands, settings.snapshot_seconds)
    try:
        follower = Follower(replayer, tail, store, cadence, _say)
        _follow(follower, bool(parent_pid), scrub)
    except ReplayDiverged as error:
        ledger.stop()  # what it has to say of this comes first
        _say({"kind": "diverged", "seq": error.seq, "why": str(error)})
        log.critical("diverged", seq=error.seq, why=str(error))
        return EXIT_DIVERGED
    except (BrokenPipeError, KeyboardInterrupt):
        return 0
    finally:
        ledger.stop()
        tail.close()
        if mark is not None:
            mark.close()
    return 0


class _LedgerSource:
    """Where the ledger's replay begins and goes on: snapshots and journal of the data folder."""

    def __init__(self, settings: Settings, disk: RealDisk, store: SnapshotStore) -> None:
        self._settings = settings
        self._disk = disk
        self._store = store
        self._mark = _open_mark(settings, disk)

    def replayer_at(self, seq: int) -> Replayer:
        return from_latest_snapshot(self._store, [], at_most=seq)[0]

    def tail_of(self, replayer: Replayer) -> Tail:
        return open_tail(
            self._settings, self._disk, self._mark, replayer.seq + 1, replayer.position
        )


class _LedgerThread:
    """Feeds the ledger beside the follower, where there is to be one."""

    def __init__(self, settings: Settings, disk: RealDisk, store: SnapshotStore) -> None:
        self._settings = settings
        self._source = _LedgerSource(settings, disk, store)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        if settings.ledger_url != NO_LEDGER:
            self._thread.start()

    def _run(self) -> None:
        # SQLAlchemy and Alembic take long to import; snapshots don't wait for them.
        from novate.ledger.database import url_of
        from novate.ledger_feed import LedgerFeed, LedgerReport, Scribe
        from novate.naps import Naps

        def report(said: LedgerReport) -> None:
            _say({"kind": "ledger", "state": said.state, "seq": said.seq, "why": said.why})

        url = url_of(self._settings.ledger_url, self._settings.data_dir)
        scribe = Scribe(url, self._source, self._settings.partition, naps=Naps())
        try:
            LedgerFeed(scribe, report, self._stop).run()
        except BrokenPipeError:
            return

    def stop(self) -> None:
        """End it, at the end of what it is writing."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(LEDGER_STOP_SECONDS)


def _open_mark(settings: Settings, disk: RealDisk) -> MarkReader | None:
    try:
        return DurableMark(settings.data_dir, disk)
    except FileNotFoundError as error:
        if settings.journal_url:  # the exchange serves on another machine
            return None
        reader = open_reader(settings, disk)
        if reader.end() is None:
            what = "expected a folder that an exchange has served from, found no journal"
            raise NovateError(f"{settings.data_dir}: {what}") from error
    # A copy, which is made without it, and which nobody writes: what a start would believe.
    end = believed_end(reader)
    at = end.position
    return FixedMark(Mark(at.seq, end.segment_seq, at.end_offset, at.epoch, at.record_hash))


def _follow(follower: Follower, tied: bool, scrub: Scrub | None) -> None:
    """Step until the parent closes our stdin; look at what is older when there is time."""
    watched = [sys.stdin.fileno()] if tied else []
    while True:
        pause = 0.0 if follower.step() else POLL_SECONDS
        if pause and scrub is not None and not scrub.over and scrub.slice(SCRUB_SECONDS):
            _tell_checked(scrub)
        readable, _, _ = select.select(watched, [], [], pause)
        if readable and not os.read(watched[0], 4096):
            return


def _tell_checked(scrub: Scrub) -> None:
    if scrub.fault:
        log.critical("journal_damaged", why=scrub.fault)
    _say({"kind": "journal_checked", "seq": scrub.seq, "why": scrub.fault})


def _run_once(settings: Settings) -> int:
    warnings: list[str] = []
    reader = open_reader(settings)
    believed_end(reader)
    store = SnapshotStore(settings.data_dir, partition=settings.partition)
    replayer, _ = from_latest_snapshot(store, warnings)
    for warning in warnings:
        log.warning("snapshot_passed_over", why=warning)
    replay_tail(replayer, reader)
    reader.close()
    print_state(replayer)
    return 0


def _tie_to(parent_pid: int) -> bool:
    """Have the kernel end this process with its parent; False if that is gone already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # A signal to the group goes to both; the parent says when we are to end, by closing stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return os.getppid() == parent_pid


_saying: Final = threading.Lock()


def _say(line: dict[str, Any]) -> None:
    with _saying:
        sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
        sys.stdout.buffer.flush()
