"""The writer thread: it alone appends to the journal, a batch at a time.

It knows no engine and no client, and decides nothing: what became of a batch is told to the
sequencer, which owns the queue, the sequence and the clock.
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
    """Appends one batch at a time and tells what became of it.

    Args:
        journal: The journal.
        epoch: This writer's epoch.
        window_seconds: How long a record may stay unsynced; 0: none does.
        probe_seconds: How often an idle journal is looked at; 0: never.
        told: Is called, on this thread, with an `Appended` or an exception for every batch, and
            with None at the end.
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
        """Append what comes into the inbox until None does."""
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
