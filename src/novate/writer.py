"""The writer thread: hands one batch at a time to the journal, and the answer to the loop.

It blocks so that the event loop need not: for an fsync, or for a database. It must never begin a
batch before the one before was answered, and never answer for the journal.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from novate.journal.interface import Appended, Batch
from novate.model.errors import JournalAway


class Appender(Protocol):
    """The part of a journal that the writer thread calls."""

    def append(self, expected_seq: int, epoch: int, batch: Batch, *, sync: bool = True) -> Appended:
        """Write one record; see `novate.journal.interface.Journal`."""
        ...

    def prepare(self) -> bool:
        """Do a small piece of work ahead; whether there is more to do. JournalAway if it can't."""
        ...

    def sync(self) -> None:
        """Make every record appended so far durable (relaxed durability only)."""
        ...


class Writer(threading.Thread):
    """Appends one batch at a time and tells the loop; it knows no engine and no client.

    Args:
        journal: Where to.
        epoch: Epoch of this writer.
        window_seconds: Time between two syncs under relaxed durability; 0 = sync every batch.
        probe_seconds: Idle, it looks after the journal so often; 0 = never.
        told: Told, on this thread, of each batch: what append answered, or the exception it
            raised; and None at the end.

    Attributes:
        inbox: Batches to append; None ends it.
        unsynced_since: When the oldest record that is not synced was begun; 0.0 = all are.
        away: Why an idle journal can't be reached, "" if it can.
    """

    def __init__(
        self,
        journal: Appender,
        epoch: int,
        window_seconds: float,
        probe_seconds: float,
        told: Callable[[Any], None],
    ) -> None:
        super().__init__(name="novate-writer", daemon=True)
        self._journal = journal
        self._epoch = epoch
        self._window_seconds = window_seconds
        self._probe_seconds = probe_seconds or None
        self._told = told
        self.inbox: SimpleQueue[Batch | None] = SimpleQueue()
        # When the oldest record that is not synced was begun; read by status, hence an attribute.
        self.unsynced_since = 0.0
        # Why an idle journal can't be reached, "" if it can; read by status likewise.
        self.away = ""

    def run(self) -> None:
        """Append until there is a None in the inbox."""
        try:
            while (batch := self._next()) is not None:
                self._told(self._append(batch))
                self._prepare()
            if self.unsynced_since:
                self._sync()
        except Exception as error:
            self._told(error)
        finally:
            self._told(None)

    def _append(self, batch: Batch) -> Any:
        began = time.monotonic()
        try:
            appended = self._journal.append(
                batch.first_seq - 1, self._epoch, batch, sync=not self._window_seconds
            )
        except Exception as error:
            return error
        if appended is Appended.WRITTEN and not self.unsynced_since:
            self.unsynced_since = began
        return appended

    def _prepare(self) -> None:
        try:
            self._journal.prepare()
            self.away = ""
        except JournalAway as fault:
            self.away = str(fault)

    def _next(self) -> Batch | None:
        while self.unsynced_since:
            rest = self.unsynced_since + self._window_seconds - time.monotonic()
            try:
                if rest > 0:
                    return self.inbox.get(timeout=rest)
            except Empty:
                pass
            self._sync()
        while True:
            try:
                return self.inbox.get(timeout=self._probe_seconds)
            except Empty:
                self._prepare()

    def _sync(self) -> None:
        self._journal.sync()
        self.unsynced_since = 0.0
