"""When the books are stored, and what of them: the same for whoever replays the same journal.

A record that begins a new period by its commands' time, or that asks for a snapshot, has the books
stored as they are behind it: those that changed since they were stored last.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from novate.model.events import BOOK_KINDS, EventKind
from novate.model.instrument import Instrument, Rules

SECOND_NS: Final = 10**9
PERIOD_NS: Final = 60 * SECOND_NS
LEVELS: Final = 50
"""Price levels that are stored of each side."""

_CHANGING: Final = np.array(BOOK_KINDS, dtype=np.uint8)


class EngineView(Protocol):
    """What the ledger reads of the engine that the journal is replayed on."""

    def instruments(self) -> list[Instrument]:
        """Every instrument."""
        ...

    def rules(self, instrument: int) -> Rules:
        """Rules of an instrument."""
        ...

    def depth(self, instrument: int, levels: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Price levels of both sides, arrays of `LEVEL`, best first."""
        ...

    def best(self, instrument: int) -> tuple[int, int, int, int]:
        """(bid ticks, bid lots, ask ticks, ask lots) of the best levels; 0: an empty side."""
        ...


class BookKeeper:
    """Stores books as their time comes.

    Args:
        engine: Has the books.
        timestamp_ns: Time of the last record that was looked at, 0: none.
        seq: Where books were stored last.
        changed: Instruments whose books changed since.
        quotes: Best prices stored last, by instrument.
    """

    def __init__(
        self,
        engine: EngineView,
        timestamp_ns: int,
        seq: int,
        changed: set[int],
        quotes: dict[int, tuple[int, int]],
    ) -> None:
        self._engine = engine
        self._quoted = quotes
        # Whose best prices may be others: of what a writer before did not tell, of any.
        self._moved = {each.index for each in engine.instruments()}
        self.quotes: list[tuple[int, ...]] = []
        self._timestamp_ns = timestamp_ns
        self._changed = changed
        self._unseen: list[NDArray[Any]] = []
        self.seq = seq
        self.snapshots: list[tuple[int, ...]] = []
        self.levels: list[tuple[int, ...]] = []

    def before(self, timestamp_ns: int) -> None:
        """A record of that time is about to be applied: what stands now ended the seconds before.

        Without a call at each record no best prices are stored.
        """
        second = self._timestamp_ns // SECOND_NS
        if timestamp_ns // SECOND_NS == second:
            return
        if self._unseen:
            self._see()
        for instrument in sorted(self._moved):
            bid, _, ask, _ = self._engine.best(instrument)
            if (bid, ask) != self._quoted.get(instrument, (0, 0)):
                self._quoted[instrument] = bid, ask
                self.quotes.append((instrument, second, bid, ask))
        self._moved = set()

    def look(self, events: NDArray[Any], last_seq: int, timestamp_ns: int) -> None:
        """See a record that was applied just now; store what is due.

        A small record costs little here: what changed is found when it is asked for.
        """
        self._unseen.append(events)
        asked = EventKind.SNAPSHOT_REQUESTED in events["kind"].tobytes()
        before = self._timestamp_ns
        self._timestamp_ns = timestamp_ns
        if asked or (before and timestamp_ns // PERIOD_NS != before // PERIOD_NS):
            self._store(last_seq, timestamp_ns, asked)

    def _see(self) -> None:
        """Note the instruments that changed in the records since it was last done."""
        kinds = np.concatenate([events["kind"] for events in self._unseen])
        instruments = np.concatenate([events["instrument"] for events in self._unseen])
        touched = np.unique(instruments[np.isin(kinds, _CHANGING)]).tolist()
        self._changed.update(touched)
        self._moved.update(touched)
        self._unseen = []

    def _store(self, seq: int, timestamp_ns: int, asked: bool) -> None:
        self._see()
        for instrument in sorted(self._changed):
            self.snapshots.append((seq, instrument, timestamp_ns, int(asked)))
            for side, found in enumerate(self._engine.depth(instrument, LEVELS)):
                self.levels += [
                    (seq, instrument, side, place, price, quantity, orders)
                    for place, (price, quantity, orders, _) in enumerate(found.tolist())
                ]
        self._changed = set()
        self.seq = seq

    def take(self) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]], list[tuple[int, ...]]]:
        """Rows of the books stored since the last call, of their levels, and of best prices."""
        if self._unseen:
            self._see()
        taken = self.snapshots, self.levels, self.quotes
        self.snapshots, self.levels, self.quotes = [], [], []
        return taken
