"""Where an export's rows come from: the journal, replayed batch by batch.

The journal needs no ledger and is exact: an engine applies what was applied, and its running hash
is compared, so that an export of a damaged or diverged journal ends with a fault and no file. A
running server is not disturbed: only what is durable is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from novate.engine import Applied, Engine, Reporter
from novate.export.columns import ExportError
from novate.journal.disk import RealDisk
from novate.journal.interface import Record
from novate.journal.reading import End, JournalReader
from novate.journal.snapshots import Snapshot, SnapshotFile, SnapshotStore
from novate.journal.verify import believed_end
from novate.model.errors import SnapshotCorrupt
from novate.model.events import EventKind
from novate.model.instrument import Instrument
from novate.recovery import Replayer, from_latest_snapshot

INT64_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which rows are wanted.

    Attributes:
        instruments: Names; empty: every instrument.
        first_seq, last_seq: Sequences, both included.
        since_ns: Time from which on.
        until_ns: Time up to which, itself not included.
    """

    instruments: tuple[str, ...] = ()
    first_seq: int = 1
    last_seq: int = INT64_MAX
    since_ns: int = 0
    until_ns: int = INT64_MAX

    def covers_time(self, time_ns: int) -> bool:
        """Whether this time is wanted."""
        return self.since_ns <= time_ns < self.until_ns

    def covers_seq(self, seq: int) -> bool:
        """Whether this sequence is wanted."""
        return self.first_seq <= seq <= self.last_seq


Trades = NDArray[np.void]
"""Records `EVENT` of kind TRADE."""


class JournalSource:
    """The history of a data folder.

    Args:
        reader: Its journal.
        store: Its snapshots.
        wanted: What is going to be asked for, so that a replay can begin as late as it may.

    Attributes:
        instruments: Those that are wanted, by number.
        warnings: What of the wanted is not there any more, in words.
        first_seq, last_seq: What will be replayed.

    Raises:
        ExportError: no instrument has a name that was asked for.
        JournalError: there is no journal, or it can't be believed.
    """

    def __init__(self, reader: JournalReader, store: SnapshotStore, wanted: Wanted) -> None:
        self._reader = reader
        self._store = store
        self._end: End = believed_end(reader)
        self.wanted = wanted
        self.warnings: list[str] = []
        self.instruments = self._chosen(self._latest().instruments())
        self._snapshot = self._start()
        self.first_seq = self._snapshot.seq + 1 if self._snapshot else 1
        self.last_seq = self._end.position.seq

    @classmethod
    def open(cls, folder: Path, partition: int, wanted: Wanted) -> JournalSource:
        """The journal of a data folder."""
        disk = RealDisk()
        store = SnapshotStore(folder, disk, partition=partition)
        return cls(JournalReader(folder, disk, partition), store, wanted)

    def _latest(self) -> Engine:
        """The state at the end, for the instruments there are."""
        replayer, _ = from_latest_snapshot(self._store, self.warnings)
        for record in self._reader.read(replayer.seq + 1, replayer.position, self._end.bound()):
            replayer.apply(record)
        return replayer.engine

    def _chosen(self, known: list[Instrument]) -> dict[int, Instrument]:
        names = {each.name for each in known}
        for name in self.wanted.instruments:
            if name not in names:
                listed = ", ".join(sorted(names)[:20])
                raise ExportError(f"expected an instrument of {listed}; found {name!r}")
        chosen = [each for each in known if each.name in (self.wanted.instruments or names)]
        return {each.index: each for each in chosen}

    def _start(self) -> Snapshot | None:
        """The last snapshot before all that is wanted; None: the journal's beginning.

        Where the journal is pruned, the oldest snapshot from which it goes on.
        """
        begins = self._reader.first_seq()
        usable = [each for each in self._store.list() if each.seq + 1 >= begins]
        early = [each for each in usable if self._is_before_all(each)]
        for file in early:
            try:
                return self._store.load(file.seq)
            except (SnapshotCorrupt, OSError) as fault:
                self.warnings.append(f"the snapshot of seq {file.seq} is passed over: {fault}")
        if begins == 1:
            return None
        for file in reversed(usable):
            try:
                snapshot = self._store.load(file.seq)
            except (SnapshotCorrupt, OSError):
                continue
            self.warnings.append(f"seq 1 to {file.seq} are pruned: nothing of them is exported")
            return snapshot
        raise ExportError(f"seq 1 to {begins - 1} are pruned, and no whole snapshot holds them")

    def _is_before_all(self, file: SnapshotFile) -> bool:
        wanted, end = self.wanted, self._end.position.seq
        if file.seq > end:
            return False
        return file.seq < wanted.first_seq or file.timestamp_ns < wanted.since_ns

    def _replayer(self) -> Replayer:
        if self._snapshot is None:
            return Replayer.at_zero(self._store.partition)
        engine = Engine.load(self._snapshot.dump)
        return Replayer(engine, self._snapshot, self._store.partition)

    def _records(self, replayer: Replayer, last_seq: int) -> Iterator[Record]:
        bound = self._end.bound()
        for record in self._reader.read(replayer.seq + 1, replayer.position, bound):
            if record.batch.first_seq > last_seq:
                break
            yield record

    def trades(self, seen: Callable[[int], None]) -> Iterator[tuple[int, Trades]]:
        """(time in ns, trades) of every batch up to the last wanted, without their texts.

        Args:
            seen: Called with the last sequence of each batch.
        """
        replayer = self._replayer()
        for record in self._records(replayer, self.wanted.last_seq):
            events = replayer.apply(record)
            yield replayer.engine.last_timestamp_ns, events[events["kind"] == EventKind.TRADE]
            seen(replayer.seq)

    def batches(
        self, seen: Callable[[int], None], *, updates: bool
    ) -> Iterator[tuple[Reporter, Applied]]:
        """Every batch as it was applied, with its texts.

        Args:
            seen: Called with the last sequence of each batch.
            updates: With every order that changed, and to the end of the journal; otherwise up to
                the last wanted sequence.
        """
        replayer = self._replayer()
        replayer.reporter.want_updates = updates
        last_seq = INT64_MAX if updates else self.wanted.last_seq
        for record in self._records(replayer, last_seq):
            yield replayer.reporter, replayer.apply_rendered(record)
            seen(replayer.seq)
