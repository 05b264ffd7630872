"""The verbs of the ledger: migrate it, write it anew from the journal, and say what it holds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Final

from rich.progress import Progress

from novate import logs
from novate.config import NO_LEDGER, Settings
from novate.journal.choosing import open_reader
from novate.journal.interface import Record, Tail
from novate.journal.reading import End
from novate.journal.verify import believed_end
from novate.ledger import database
from novate.ledger.digest import digest
from novate.ledger_feed import Scribe
from novate.model.errors import ConfigurationError, LedgerAway
from novate.recovery import Replayer

DIGEST_SECONDS_MAX: Final = 86400.0
"""How long one statement of a digest may take: it reads whole tables."""

log: Final = logs.get("rebuild")


def ledger_url(settings: Settings) -> str:
    """URL of the ledger that settings name.

    Raises:
        ConfigurationError: they want none.
    """
    if settings.ledger_url == NO_LEDGER:
        raise ConfigurationError("ledger_url: expected the URL of a ledger, found none")
    return database.url_of(settings.ledger_url, settings.data_dir)


@contextlib.contextmanager
def naming(url: str) -> Iterator[None]:
    """Say of a ledger that is away which one it is."""
    try:
        yield
    except LedgerAway as away:
        raise LedgerAway(f"{database.shown(url)}: {away}") from away


class WholeJournal:
    """The journal that settings name, from its first command to its end as it is now."""

    def __init__(self, settings: Settings) -> None:
        self._reader = open_reader(settings)
        self._partition = settings.partition
        self.end: End = believed_end(self._reader)

    def replayer_at(self, seq: int) -> Replayer:
        """A replayer at zero: whoever rebuilds believes the journal alone."""
        return Replayer.at_zero(self._partition)

    def tail_of(self, replayer: Replayer) -> Tail:
        """The records behind a replayer."""
        return _Records(self._reader.read(replayer.seq + 1, replayer.position, self.end.bound()))

    def close(self) -> None:
        """Let go of it."""
        self._reader.close()


class _Records:
    """A tail that ends."""

    def __init__(self, records: Iterator[Record]) -> None:
        self._records = records

    def take(self) -> Record | None:
        return next(self._records, None)

    def records(self) -> Iterator[Record]:
        return self._records

    def close(self) -> None:
        self._records = iter(())


def run_migrate(settings: Settings) -> int:
    """`novate migrate`."""
    url = ledger_url(settings)
    engine = database.open_writer(url)
    with naming(url):
        changed = database.migrate(engine)
    engine.dispose()
    state = "migrated to" if changed else "was at"
    print(f"{database.shown(url)} {state} revision {database.newest_revision()}")
    return 0


def run_rebuild(settings: Settings) -> int:
    """`novate rebuild`: drop every table and write them anew, as the journal has it.

    One transaction: until its end others see the ledger as it was, or wait. A follower that runs
    meanwhile finds the ledger moved, and goes on from where it is.
    """
    url, journal = ledger_url(settings), WholeJournal(settings)
    began = time.monotonic()
    try:
        with naming(url):
            seq = write(url, journal, settings.partition, anew=True)
    finally:
        journal.close()
    seconds = time.monotonic() - began
    log.info("rebuilt", seq=seq, seconds=round(seconds, 3))
    print(f"{database.shown(url)} rebuilt to seq {seq} in {seconds:.1f} s")
    return 0


def write(url: str, journal: WholeJournal, partition: int = 0, anew: bool = False) -> int:
    """Write all of a journal into a ledger, with a bar for who watches; the last seq."""
    scribe = Scribe(url, journal, partition, anew)
    try:
        scribe.connect()
        with Progress(transient=True) as progress:
            bar = progress.add_task("rebuilding", total=journal.end.position.seq)
            more = True
            while more:
                more = scribe.gather()
                if scribe.gathered:
                    scribe.write()
                progress.update(bar, completed=scribe.seq)
        if anew:
            scribe.commit()
        return scribe.seq
    finally:
        scribe.close()


def run_digest(settings: Settings) -> int:
    """`novate ledger-digest`."""
    url = ledger_url(settings)
    engine = database.open_reader(url, DIGEST_SECONDS_MAX, 1)
    with naming(url):
        found = digest(engine)
    engine.dispose()
    for name in sorted(found):
        print(f"{found[name]}  {name or 'all tables'}")
    return 0
