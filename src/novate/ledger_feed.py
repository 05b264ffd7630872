"""Feeds the ledger: a replay of the journal of its own, whose events become rows.

It runs beside the follower's own replay, in a thread, and at the ledger's pace: while the database
is away it waits where it is, and the journal is what it will catch up from. So nothing gathers in
memory, and snapshots go on. It asks the ledger how far it is, starts from a snapshot at or before
that, applies what the ledger has already without a row, and checks that both tell of one journal.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final, Literal, Protocol

import msgspec

from novate import logs
from novate.engine import Accounts, Engine
from novate.journal.interface import Tail
from novate.ledger.projection import Projection, Rows
from novate.ledger.store import LedgerStore
from novate.model.errors import InvariantViolated, LedgerAway, LedgerFault, NovateError
from novate.naps import Naps
from novate.recovery import Replayer

EVENTS_MAX: Final = 60_000
"""Events gathered for one transaction; one more record may come on top."""

FLUSH_SECONDS: Final = 0.15
"""How long lies at least between the beginnings of two transactions, where all was written.

Each writes the pages that it touches, however few of their rows are new; but what is written in one
go is what an order has to wait for whose batch goes to the same disk.
"""

POLL_SECONDS: Final = 0.01
REPORT_SECONDS: Final = 0.1
RETRY_SECONDS_FIRST: Final = 0.1
RETRY_SECONDS_MAX: Final = 5.0

LedgerState = Literal["off", "starting", "up", "down", "fault"]

log = logs.get("ledger")


class LedgerReport(msgspec.Struct, frozen=True):
    """How the ledger stands.

    Attributes:
        state: `up`: it is written; `down`: its database is away, and tried again; `fault`: it is
            not of this journal, and left alone.
        seq: The last command whose rows it has.
        why: What is the matter, "" if nothing.
    """

    state: LedgerState
    seq: int
    why: str = ""


class Source(Protocol):
    """Where a replay for the ledger begins and goes on."""

    def replayer_at(self, seq: int) -> Replayer:
        """A replayer at a snapshot at or before `seq`, or at zero."""
        ...

    def tail_of(self, replayer: Replayer) -> Tail:
        """The records behind a replayer."""
        ...


def collected(engine: Engine) -> Accounts:
    """An engine's accounts, whose entries are written down from now on."""
    accounts = Accounts(engine)
    accounts.collect_entries(True)
    return accounts


class Scribe:
    """Writes the journal into a ledger, run of records by run of records.

    Args:
        url: The ledger's database.
        source: The journal.
        partition: Whose journal it is.
        anew: Drop what is there and write all anew, in one transaction that `commit` ends.
        naps: Taken while it is not behind, None: it works without.
    """

    def __init__(
        self,
        url: str,
        source: Source,
        partition: int = 0,
        anew: bool = False,
        naps: Naps | None = None,
    ) -> None:
        self._naps = naps or Naps(sleep=lambda _: None)
        self._url = url
        self._anew = anew
        self._source = source
        self._partition = partition
        self._store: LedgerStore | None = None
        self._replayer: Replayer | None = None
        self._tail: Tail | None = None
        self._projection: Projection | None = None
        self._held: Rows | None = None
        self.seq = 0

    def connect(self) -> None:
        """Connect, and come to where the ledger is.

        Raises:
            LedgerAway: the database is away.
            LedgerFault: the ledger is not of this journal.
        """
        self.disconnect()
        self._store = LedgerStore(self._url, self._partition, self._anew, self._naps.between)
        seq = self._store.seq()
        if seq < self.seq:
            # A crash of it takes the last commits, answered ones too: they are written again.
            log.warning("ledger_stepped_back", seq=seq, written_seq=self.seq)
        held, projection = self._held, self._projection
        if held is not None and seq == held.before_seq:
            self._write(held)
            seq = held.seq
        self._held = None
        if projection is None or projection.seq != seq:
            self._begin_at_ledger()
        self.seq = seq

    def commit(self) -> None:
        """Have everybody see what was written anew."""
        assert self._store is not None
        self._store.commit()

    def disconnect(self) -> None:
        """Let go of the database; what was read and not written is kept."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def close(self) -> None:
        """Let go of everything."""
        self.disconnect()
        self._forget()

    def _forget(self) -> None:
        if self._tail is not None:
            self._tail.close()
        self._tail = self._replayer = self._projection = None

    def _begin_at_ledger(self) -> None:
        """Replay to where the ledger is, and begin to gather there."""
        assert self._store is not None
        self._forget()
        standing = self._store.standing()
        replayer = self._source.replayer_at(standing.seq)
        accounts = collected(replayer.engine)
        self._tail = self._source.tail_of(replayer)
        while replayer.seq < standing.seq:
            record = self._tail.take()
            if record is None:
                raise LedgerFault(
                    f"expected a journal that reaches the ledger's seq {standing.seq}, found its "
                    f"end at {replayer.seq}"
                )
            replayer.apply(record)
            accounts.take_entries()
        if standing.seq and (
            replayer.seq != standing.seq or replayer.events_hash != standing.events_hash
        ):
            raise LedgerFault(f"the ledger's seq {standing.seq} is of another journal")
        self._replayer = replayer
        self._projection = Projection(replayer.engine, standing, accounts)

    def gather(self) -> bool:
        """Take records while they come, up to `EVENTS_MAX`; whether more may be there at once."""
        assert self._tail is not None
        assert self._replayer is not None
        assert self._projection is not None
        replayer, projection = self._replayer, self._projection
        while projection.events_count < EVENTS_MAX:
            record = self._tail.take()
            if record is None:
                self._naps.allowed = True
                return False
            projection.before(record.batch.timestamp_ns)
            events = replayer.apply(record)
            projection.add(
                record.batch.commands,
                events,
                replayer.seq,
                replayer.timestamp_ns,
                replayer.events_hash,
            )
            self._naps.between()
        self._naps.allowed = False
        return True

    @property
    def gathered(self) -> int:
        """Events that wait to be written."""
        return self._projection.events_count if self._projection else 0

    def write(self) -> None:
        """Write what was gathered."""
        assert self._store is not None
        assert self._projection is not None
        self._held = self._projection.build(self._store.load_positions)
        self._write(self._held)
        self._held = None

    def _write(self, rows: Rows) -> None:
        assert self._store is not None
        self._store.write(rows)
        self.seq = rows.seq


class LedgerFeed:
    """Keeps a ledger up to date, on a thread that is given to it.

    Args:
        scribe: What writes.
        report: Is told how it stands, at most ten times a second; called on that thread.
        stop: Ends it, once set.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        scribe: Scribe,
        report: Callable[[LedgerReport], None],
        stop: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scribe = scribe
        self._report = report
        self._clock = clock
        self._stop = stop
        self._jitter = random.Random()
        self._told: LedgerReport | None = None
        self._told_time = clock() - REPORT_SECONDS

    def run(self) -> None:
        """Write until it is stopped, or must not go on."""
        pause = RETRY_SECONDS_FIRST
        while not self._stop.is_set():
            try:
                self._scribe.connect()
                self._tell("up")
                pause = RETRY_SECONDS_FIRST
                self._follow()
            except LedgerAway as away:
                self._scribe.disconnect()
                self._tell("down", str(away))
                log.warning("ledger_away", seq=self._scribe.seq, why=str(away))
                # Between half of the pause and all of it: what came down together does not come
                # back together.
                self._stop.wait(pause * (0.5 + self._jitter.random() / 2))
                pause = min(pause * 2, RETRY_SECONDS_MAX)
            except (NovateError, InvariantViolated, OSError) as fault:
                self._tell("fault", str(fault))
                log.critical("ledger_left_alone", seq=self._scribe.seq, why=str(fault))
                break
        self._scribe.close()

    def _follow(self) -> None:
        scribe, clock = self._scribe, self._clock
        began = clock()
        while not self._stop.is_set():
            looked = clock()
            more = scribe.gather()
            if scribe.gathered:
                scribe.write()
                began = looked
            self._tell("up")
            if not more:
                self._stop.wait(max(POLL_SECONDS, began + FLUSH_SECONDS - clock()))

    def _tell(self, state: LedgerState, why: str = "") -> None:
        report = LedgerReport(state, self._scribe.seq, why)
        now = self._clock()
        same = self._told is not None and self._told.state == state
        if report == self._told or (same and now - self._told_time < REPORT_SECONDS):
            return
        self._told, self._told_time = report, now
        self._report(report)
