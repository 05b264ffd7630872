"""Databases of the ledger: URLs, connections, isolation, migrations.

SQLite (a file, the default) or PostgreSQL through psycopg 3. Whatever a database throws is a
`LedgerAway` here: whoever writes or asks tries again later.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.pool import NullPool, QueuePool

from novate.config import LEDGER_FILE
from novate.ledger import views
from novate.ledger.schema import FORMER_TABLES, ledger_state, metadata
from novate.model.errors import ConfigurationError, LedgerAway, LedgerSlow

if TYPE_CHECKING:
    from alembic.config import Config as AlembicConfig

CONNECT_SECONDS: Final = 3
SOCKET_MS: Final = 5_000
"""After so long without an answer of its kernel a PostgreSQL server counts as gone."""

BUSY_SECONDS: Final = 5.0
LOCK_MS: Final = 5_000
"""How long the writer waits for somebody who migrates or rebuilds."""

MIGRATION_LOCK: Final = 0x6E6F76617465
"""Number of the advisory lock that a migration holds, so that two don't meet."""

_CANCELED: Final = "57014"
"""What PostgreSQL calls a statement that its time limit ended."""

_MIGRATIONS: Final = Path(__file__).parent / "migrations"


def url_of(setting: str, data_dir: Path) -> str:
    """The URL that a `ledger_url` setting means: "" is a SQLite file in the data folder.

    Raises:
        ConfigurationError: neither SQLite nor PostgreSQL.
    """
    text = setting or f"sqlite:///{(data_dir / LEDGER_FILE).absolute()}"
    try:
        url = make_url(text)
    except sa.exc.ArgumentError:
        url = None
    if url is None or url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigurationError(
            f"ledger_url: expected sqlite:///PATH, postgresql://... or none, found {shown(text)}"
        )
    return text


def shown(url: str) -> str:
    """A URL for people: without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return repr(url[:20])


def is_sqlite(engine: Engine) -> bool:
    """Whether a database is SQLite."""
    return engine.dialect.name == "sqlite"


def open_writer(url: str) -> Engine:
    """A database for the one who writes. Nothing is connected yet.

    PostgreSQL works at READ COMMITTED there: the writer's transaction first moves `ledger_state`
    from the seq it knows to the next, which locks that row and fails where another writer moved
    it; after that it only adds or changes rows that nobody else writes. A stricter level would
    detect nothing more and could fail for no cause.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, read_only=False)
    return sa.create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        isolation_level="READ COMMITTED",
        poolclass=NullPool,
        connect_args=_postgres_arguments(
            "synchronous_commit=off",  # as SQLite's synchronous=NORMAL, below
            f"lock_timeout={LOCK_MS}",
            # Few rows against a large table, by its key; an estimate without statistics of the
            # few would read all of the large one.
            "enable_hashjoin=off",
            "enable_mergejoin=off",
        ),
    )


def open_reader(url: str, seconds: float, connections: int) -> Engine:
    """A database for those who ask: it can't write, and ends what takes longer than `seconds`.

    PostgreSQL works at REPEATABLE READ, READ ONLY there, and SQLite reads under one transaction:
    a reply's rows and the seq up to which they are true are then of one moment, however many
    statements it takes.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, read_only=True, connections=connections)
    limit = f"statement_timeout={int(seconds * 1000)}"
    return sa.create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        isolation_level="REPEATABLE READ",
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        connect_args=_postgres_arguments("default_transaction_read_only=on", limit),
    )


def _postgres_arguments(*options: str) -> dict[str, Any]:
    return {
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": SOCKET_MS,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "application_name": "novate",
        "options": " ".join(f"-c {option}" for option in options),
    }


def _sqlite(url: URL, read_only: bool, connections: int = 1) -> Engine:
    path = url.database or ""
    uri = Path(path).absolute().as_uri()

    def connect() -> sqlite3.Connection:
        mode = "ro" if read_only else "rwc"
        try:
            connection = sqlite3.connect(
                f"{uri}?mode={mode}", uri=True, isolation_level=None, timeout=BUSY_SECONDS,
                check_same_thread=False,
            )  # fmt: skip
        except sqlite3.OperationalError as error:
            if read_only:
                raise
            raise sqlite3.OperationalError("its file can't be opened or made") from error
        for pragma in _READER_PRAGMAS if read_only else _WRITER_PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        return connection

    pool: dict[str, Any] = {"poolclass": NullPool}
    if read_only:
        pool = {"poolclass": QueuePool, "pool_size": connections, "max_overflow": 0}
    engine = sa.create_engine("sqlite://", creator=connect, **pool)
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
    # The driver begins no transactions by itself (isolation_level None), so that they begin here:
    # a reader's at its first look, a writer's with the lock, lest it fail halfway for want of it.
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


_READER_PRAGMAS: Final = ("query_only=ON", "mmap_size=268435456")
_WRITER_PRAGMAS: Final = (
    "journal_mode=WAL",  # readers go on while the writer writes
    # After a power cut the last transactions may be missing, never a part of one; the journal has
    # them, and they are written again. Syncing each would cost what it protects from.
    "synchronous=NORMAL",
    "cache_size=-65536",
    "temp_store=MEMORY",
    "mmap_size=268435456",
    # 1 MB is synced at a time: a batch of orders that goes to the same disk waits for all of it.
    "wal_autocheckpoint=250",
)


NOT_MADE: Final = "the ledger is not made yet; the follower makes it"

_NO_FILE: Final = "unable to open database file"
"""What SQLite says to a reader whose file is not there."""

_NO_TABLE: Final = ("no such table", "42P01")
"""How SQLite's answer to a reader begins whose tables are not there, and what PostgreSQL calls it.
All are made in one transaction."""


@contextlib.contextmanager
def faults() -> Iterator[None]:
    """What a database throws, as `LedgerAway`."""
    try:
        yield
    except (sa.exc.DBAPIError, sa.exc.TimeoutError, OSError, sqlite3.Error) as error:
        cause = getattr(error, "orig", None) or error
        text = str(cause).strip().split("\n")[0][:200]
        state = getattr(cause, "sqlstate", None)
        if text == _NO_FILE or text.startswith(_NO_TABLE[0]) or state == _NO_TABLE[1]:
            raise LedgerAway(NOT_MADE) from error
        slow = text == "interrupted" or state == _CANCELED
        kind = LedgerSlow if slow else LedgerAway
        raise kind(f"{type(cause).__name__}: {text}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "psycopg":
            raise
        text = str(error).strip().split("\n")[0][:200]
        raise LedgerAway(f"{type(error).__name__}: {text}") from error


# --- migrations -----------------------------------------------------------------------------------


# Alembic takes half as long to import as SQLAlchemy, and a ledger that is up to date needs none of
# it: what says so, here and below, does without.
_REVISIONS: Final = sa.table("alembic_version", sa.column("version_num", sa.String))


def newest_revision() -> str:
    """The revision that this version's tables have: the last of the migrations, by their names."""
    return max(path.name[1:5] for path in (_MIGRATIONS / "versions").glob("r[0-9]*_*.py"))


def revision_of(connection: Connection) -> str | None:
    """The revision that a database's tables have, None: there are none."""
    if not sa.inspect(connection).has_table(_REVISIONS.name):
        return None
    return connection.execute(sa.select(_REVISIONS.c.version_num)).scalar()


def migrate(engine: Engine) -> bool:
    """Bring the tables to this version's form, and make the views anew; whether anything was to do.

    One transaction: a migration that is cut off has changed nothing.
    """
    with faults(), engine.begin() as connection:
        _lock(connection)
        if revision_of(connection) == newest_revision():
            return False
        views.drop(connection)
        _upgrade(connection)
        views.create(connection)
        return True


def make_anew(connection: Connection) -> None:
    """Drop every table and view of the ledger and make them anew, in the caller's transaction."""
    _drop(connection)
    _upgrade(connection)
    views.create(connection)


def drop_all(engine: Engine) -> None:
    """Drop every table and view of the ledger."""
    with faults(), engine.begin() as connection:
        _drop(connection)


def _drop(connection: Connection) -> None:
    _lock(connection)
    if sa.inspect(connection).has_table(ledger_state.name) and not _is_sqlite(connection):
        # Writers and readers take this table first: none of them can hold another one now.
        connection.exec_driver_sql(f"LOCK TABLE {ledger_state.name} IN ACCESS EXCLUSIVE MODE")
    views.drop(connection)
    metadata.drop_all(connection)
    for name in (_REVISIONS.name, *FORMER_TABLES):
        connection.execute(sa.text(f"DROP TABLE IF EXISTS {name}"))


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


def downgrade(connection: Connection, revision: str) -> None:
    """Bring the tables back to a revision, in the caller's transaction; what it lacks is lost."""
    _lock(connection)
    views.drop(connection)
    from alembic import command

    command.downgrade(_alembic(connection), revision)


def _lock(connection: Connection) -> None:
    if not _is_sqlite(connection):
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))


def _upgrade(connection: Connection) -> None:
    from alembic import command

    command.upgrade(_alembic(connection), "head")


def _alembic(connection: Connection) -> AlembicConfig:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config
