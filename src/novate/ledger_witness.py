"""The ledger as a witness of how far the journal got, asked at a start.

The follower reads no further than the journal is durable, so a ledger that is ahead of the journal
says that acknowledged batches are missing. It is asked read-only, for two rows, and by the drivers
alone: SQLAlchemy takes longer to import than a start may take. A ledger that can't be asked in time
is no witness, and the start goes on without it, for orders don't depend on that database.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

import msgspec

from novate.config import LEDGER_FILE, NO_LEDGER, Settings
from novate.journal.choosing import open_reader
from novate.journal.disk import Disk
from novate.journal.interface import Witness
from novate.journal.mark import DurableMark
from novate.model.errors import LedgerAway, LedgerFault, NovateError

ADVICE: Final = (
    "put the missing end of the journal back; or, where that is given up, have `novate rebuild` "
    "write the ledger anew from what is left, or name another ledger by ledger_url"
)

_HAS_TABLES_SQLITE: Final = "SELECT count(*) FROM sqlite_master WHERE name = 'ledger_state'"
_HAS_TABLES_POSTGRES: Final = "SELECT count(to_regclass('ledger_state'))"
_SEQ: Final = "SELECT seq FROM ledger_state WHERE partition = {partition:d}"
_FIRST: Final = "SELECT created_seq, created_ns FROM instruments ORDER BY instrument LIMIT 1"


T = TypeVar("T")


class Connection(Protocol):
    """What a driver's connection has to have."""

    def execute(self, query: Any, /) -> Any:
        """Run a statement; its rows can be fetched."""


class Seen(msgspec.Struct, frozen=True):
    """What a ledger says of the journal that it was made of.

    Attributes:
        seq: The last command whose rows it has.
        created_seq: The command that made its first instrument; 0: it has none.
        created_ns: The time of that.
    """

    seq: int
    created_seq: int = 0
    created_ns: int = 0


def ledger_witness(settings: Settings, disk: Disk, warnings: list[str]) -> list[Witness]:
    """The ledger, where it saw more of the journal than the durable mark has.

    Nothing of the journal may have been changed yet.

    Args:
        settings: Name the ledger and the journal.
        disk: Where the data folder is.
        warnings: Gets a line where there is a ledger that is no witness.

    Returns:
        One witness or none.
    """
    ask = _question(settings)
    if ask is None:
        return []
    place = shown(settings)
    try:
        seen = within(settings.ledger_start_seconds, ask)
    except Exception as fault:
        why = str(fault).strip().partition("\n")[0][:200]
        warnings.append(
            f"{place} can't be asked how far the journal got ({type(fault).__name__}: {why})"
        )
        return []
    if seen is None or seen.seq <= _marked_seq(settings, disk):
        return []
    if _is_of_another(settings, disk, seen):
        warnings.append(
            f"{place} is of another journal: it has seq {seen.seq}, and another first instrument"
        )
        return []
    return [Witness(place, seen.seq, advice=ADVICE)]


def ledger_seq(settings: Settings, disk: Disk) -> int:
    """The last command whose rows the ledger has; 0 where it has none or is not there yet.

    Raises:
        LedgerAway: It does not answer in time.
        LedgerFault: It is of another journal.
    """
    ask = _question(settings)
    if ask is None:
        return 0
    try:
        seen = within(settings.ledger_start_seconds, ask)
    except Exception as fault:
        why = str(fault).strip().partition("\n")[0][:200]
        raise LedgerAway(f"{shown(settings)} can't be asked how far it is: {why}") from fault
    if seen is None:
        return 0
    if _is_of_another(settings, disk, seen):
        raise LedgerFault(f"{shown(settings)} is of another journal: its first instrument differs")
    return seen.seq


def shown(settings: Settings) -> str:
    """Where the ledger is, for people: without a password."""
    url = settings.ledger_url
    if url.startswith("postgresql:"):
        parts = urlsplit(url)
        return f"the ledger at {parts.netloc.rpartition('@')[2]}{parts.path}"
    return f"the ledger {_sqlite_path(settings)}"


def within(seconds: float, ask: Callable[[], T]) -> T:
    """What a question comes to.

    It is asked on a thread, for nothing else bounds the look-up of a name or the recovery of a
    file; one that takes too long is left to itself.

    Raises:
        TimeoutError: no answer came in time.
        Exception: what the question raised.
    """
    answers: list[T] = []
    faults: list[Exception] = []

    def run() -> None:
        try:
            answers.append(ask())
        except Exception as fault:
            faults.append(fault)

    thread = threading.Thread(target=run, name="ledger-witness", daemon=True)
    thread.start()
    thread.join(seconds)
    for fault in faults:
        raise fault
    for answer in answers:
        return answer
    raise TimeoutError(f"no answer within {seconds:g} s")


def _question(settings: Settings) -> Callable[[], Seen | None] | None:
    """What asks the ledger, None: there is none."""
    url, partition = settings.ledger_url, settings.partition
    if url == NO_LEDGER:
        return None
    if url.startswith("postgresql:"):
        return lambda: _ask_postgres(url, partition, settings.ledger_start_seconds)
    path = _sqlite_path(settings)
    if not path.exists():
        return None
    return lambda: _ask_sqlite(path, partition, settings.ledger_start_seconds)


def _sqlite_path(settings: Settings) -> Path:
    if not settings.ledger_url:
        return settings.data_dir / LEDGER_FILE
    return Path(settings.ledger_url.removeprefix("sqlite:///").partition("?")[0])


def _ask_sqlite(path: Path, partition: int, seconds: float) -> Seen | None:
    import sqlite3

    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=seconds)
    with contextlib.closing(connection):
        connection.execute("BEGIN")
        return _read(connection, _HAS_TABLES_SQLITE, partition)


def _ask_postgres(url: str, partition: int, seconds: float) -> Seen | None:
    import psycopg

    limit = int(seconds * 1000)
    options = f"-c statement_timeout={limit} -c default_transaction_read_only=on"
    with psycopg.connect(
        url, connect_timeout=max(1, int(seconds)), options=options, application_name="novate start"
    ) as connection:
        return _read(connection, _HAS_TABLES_POSTGRES, partition)


def _read(connection: Connection, has_tables: str, partition: int) -> Seen | None:
    """What the tables say, of one moment; None where there are none, or none of this partition."""
    if not connection.execute(has_tables).fetchone()[0]:
        return None
    row = connection.execute(_SEQ.format(partition=partition)).fetchone()
    if row is None:
        return None
    first: Sequence[int] = connection.execute(_FIRST).fetchone() or ()
    return Seen(row[0], *first)


def _marked_seq(settings: Settings, disk: Disk) -> int:
    try:
        mark = DurableMark(settings.data_dir, disk)
    except OSError:
        return 0
    seq = mark.load().seq
    mark.close()
    return seq


def _is_of_another(settings: Settings, disk: Disk, seen: Seen) -> bool:
    """Whether the ledger's first instrument was made at another time than this journal has.

    Where the ledger has none, or the journal doesn't have that command, nothing says so.
    """
    if not seen.created_seq:
        return False
    try:
        with contextlib.closing(open_reader(settings, disk)) as reader:
            for record in reader.read(seen.created_seq):
                return record.batch.timestamp_ns != seen.created_ns
    except (NovateError, OSError):
        pass  # who opens the journal for writing says what is the matter with it
    return False
