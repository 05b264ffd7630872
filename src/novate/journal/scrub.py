"""A check of the journal's older part, which a start from a snapshot does not read.

A start believes the snapshot and reads what is behind it. What is before it, the follower reads
once in small slices when it has nothing else to do: every checksum and the chain of hashes up to
the snapshot's record. Damage there costs no state, but the audit trail and whatever is rebuilt
from it; it is better known while there is a copy. What is in the archive was read whole when it
came there, and is not read again here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from novate.journal.choosing import Reader
from novate.journal.interface import Position, Record
from novate.journal.layout import segment_seq
from novate.journal.reading import Bound
from novate.journal.verify import require_taken_of
from novate.model.errors import JournalAway, JournalError


class Scrub:
    """A check from the first record that is neither pruned nor archived to a position.

    Args:
        reader: The journal; closed at the end.
        end: Where to end; the record there must be the one it names.
        clock: Seconds that only grow.

    Attributes:
        seq: How far it has come.
        fault: What is damaged, with segment, offset and seq; "" so far.
        over: Whether it has come to an end, good or bad.
    """

    def __init__(
        self, reader: Reader, end: Position, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._reader = reader
        self._end = end
        self._clock = clock
        self._first_seq = 0
        self._records: Iterator[Record] | None = None
        self.seq = 0
        self.fault = ""
        self.over = False

    def _read(self) -> Iterator[Record]:
        self._first_seq = self._reader.first_seq()
        bound = Bound(self._end.seq, segment_seq(self._end.segment) or 0, self._end.end_offset)
        return self._reader.read(self._reader.kept_seq(), bound=bound)

    def slice(self, seconds: float) -> bool:
        """Go on for so long; whether it is over with that."""
        until = self._clock() + seconds
        try:
            self._records = self._records or self._read()
            for record in self._records:
                self.seq = record.batch.last_seq
                if self.seq == self._end.seq:
                    require_taken_of(record, self._end.record_hash)
                if self._clock() >= until:
                    return False
        except JournalAway:
            self._finish()  # whoever follows it says so
        except (JournalError, FileNotFoundError) as fault:
            pruned = self._reader.first_seq() != self._first_seq
            self._finish("" if pruned else str(fault))
        else:
            self._finish()
        return True

    def _finish(self, fault: str = "") -> None:
        self.over = True
        self.fault = fault
        self._records = iter(())
        self._reader.close()
