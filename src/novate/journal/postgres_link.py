"""One connection to PostgreSQL that never waits longer for an answer than it was told.

It speaks to libpq below psycopg's cursors: a statement is prepared once, its parameters and rows
are binary, and one that writes a batch costs one round trip. It knows nothing of records. It must
never cancel a statement: a COMMIT that is cancelled while it waits for a replica is answered as if
it had been replicated.
"""

from __future__ import annotations

import math
import select
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from novate.model.errors import ConfigurationError, JournalAway, JournalFailed

SERVER_VERSION_MIN: Final = 140000

INT8: Final = 20
INT4: Final = 23
BYTEA: Final = 17
TEXT: Final = 25

_INT8: Final = struct.Struct(">q")
_INT4: Final = struct.Struct(">i")

Value = int | bytes | str
Row = tuple[bytes | None, ...]

RETRYABLE_CLASSES: Final = frozenset({"08", "40", "53", "55", "57", "58"})
"""Classes of SQLSTATE that pass by themselves: connections, deadlocks, want of room or of
connections, locks, the server stopping or starting, its system's faults."""

READ_ONLY: Final = "25006"
"""SQLSTATE of a server that is not, or no longer, the primary one."""

UNIQUE_VIOLATION: Final = "23505"

# A peer that is gone without a word is noticed in IDLE + INTERVAL * COUNT seconds, on both sides.
KEEPALIVE_IDLE_SECONDS: Final = 5
KEEPALIVE_INTERVAL_SECONDS: Final = 2
KEEPALIVE_COUNT: Final = 3

# The session's settings. COMMIT must mean: on this server's disk, and on the replica's where one
# is named as synchronous. READ COMMITTED is what fencing needs: see `postgres.APPEND`.
SET_UP: Final = """
    SELECT set_config('synchronous_commit',
                      CASE current_setting('synchronous_commit')
                      WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false),
           set_config('default_transaction_isolation', 'read committed', false),
           set_config('default_transaction_read_only', 'off', false),
           set_config('client_min_messages', 'warning', false),
           set_config('search_path', 'pg_catalog', false),
           set_config('statement_timeout', $1, false),
           set_config('lock_timeout', $1, false),
           set_config('idle_session_timeout', '0', false),
           set_config('client_connection_check_interval', '1s', false),
           set_config('tcp_keepalives_idle', $2, false),
           set_config('tcp_keepalives_interval', $3, false),
           set_config('tcp_keepalives_count', $4, false),
           current_setting('fsync')
"""


class StatementFailed(Exception):
    """The server refused a statement, and nothing of it was done.

    Attributes:
        sqlstate: Five characters; what was the matter.
    """

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(f"{message} (SQLSTATE {sqlstate})")
        self.sqlstate = sqlstate


def place_of(url: str) -> str:
    """Where a URL leads, for people: host, port and database, never the password.

    Raises:
        ConfigurationError: libpq can't read it.
    """
    try:
        fields = conninfo_to_dict(url)
    except psycopg.Error as error:
        raise ConfigurationError(
            f"journal_url: expected a postgresql:// URL, found one that is not: {error}"
        ) from None
    host = fields.get("host") or fields.get("hostaddr") or "the local socket"
    port = f":{fields['port']}" if fields.get("port") else ""
    return f"PostgreSQL at {host}{port}, database {fields.get('dbname') or fields.get('user')}"


class PostgresLink:
    """An open connection, for one thread at a time.

    Args:
        url: Where to; what it says itself goes before what is chosen here.
        seconds: Longest wait for an answer.
        name: What the server shows of this connection.

    Attributes:
        backend_pid: The server's process for this connection.
        warned: What the server warned of since it was last emptied.

    Raises:
        JournalAway: It can't be reached now.
        JournalFailed: It is no server that a journal can stand on.
    """

    def __init__(self, url: str, seconds: float, name: str) -> None:
        self.place = place_of(url)
        self.seconds = seconds
        self.warned: list[str] = []
        self._prepared: dict[str, bytes] = {}
        try:
            self._connection = psycopg.connect(url, autocommit=True, **_options(url, seconds, name))
        except psycopg.Error as error:
            raise self._away(f"can't be reached: {_line(error)}") from error
        self._pgconn = self._connection.pgconn
        self._connection.add_notice_handler(self._notice)
        self._poll = select.poll()
        self._poll.register(self._pgconn.socket, select.POLLIN)
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise
        self.backend_pid = self._pgconn.backend_pid

    def _set_up(self) -> None:
        version = self._pgconn.server_version
        if version < SERVER_VERSION_MIN:
            raise JournalFailed(f"{self.place}: expected version 14 or newer, found {version}")
        milliseconds = str(max(1, int(self.seconds * 1000)))
        try:
            ((*_, fsync),) = self.query(
                SET_UP,
                milliseconds,
                str(KEEPALIVE_IDLE_SECONDS),
                str(KEEPALIVE_INTERVAL_SECONDS),
                str(KEEPALIVE_COUNT),
            )
        except StatementFailed as fault:
            raise JournalFailed(f"{self.place}: the session can't be set up: {fault}") from fault
        if fsync != b"on":
            raise JournalFailed(
                f"{self.place}: expected fsync = on, found {(fsync or b'').decode()}: "
                "what such a server commits can be lost with the power"
            )

    def _notice(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            self.warned.append(notice.message_primary or "a warning without words")

    # --- statements ---------------------------------------------------------------------------

    def query(self, statement: str, *values: Value, seconds: float | None = None) -> list[Row]:
        """Run a statement and give its rows, every value in its binary form.

        Raises:
            JournalAway: The connection is lost, or no answer came in time; it is closed now, and
                whether the statement was carried out is not known.
            StatementFailed: The server refused it; the connection goes on.
        """
        result = self._run(statement, values, seconds)
        columns = range(result.nfields)
        value = result.get_value
        return [tuple(value(row, column) for column in columns) for row in range(result.ntuples)]

    def execute(self, statement: str, *values: Value) -> int:
        """Run a statement; how many rows it made, changed or removed. Raises as `query`."""
        return self._run(statement, values, None).command_tuples or 0

    def _run(
        self, statement: str, values: Sequence[Value], seconds: float | None
    ) -> pq.abc.PGresult:
        pgconn = self._pgconn
        deadline = time.monotonic() + (seconds or self.seconds)
        name = self._prepared.get(statement) or self._prepare(statement, values, deadline)
        encoded = [_encode(value) for value in values]
        formats = [pq.Format.BINARY] * len(encoded)
        return self._answer(
            lambda: pgconn.send_query_prepared(name, encoded, formats, pq.Format.BINARY), deadline
        )

    def _prepare(self, statement: str, values: Sequence[Value], deadline: float) -> bytes:
        name = b"novate_%d" % len(self._prepared)
        types = [_type(value) for value in values]
        text = statement.encode()
        self._answer(lambda: self._pgconn.send_prepare(name, text, types), deadline)
        self._prepared[statement] = name
        return name

    def _answer(self, send: Callable[[], None], deadline: float) -> pq.abc.PGresult:
        """Send, and wait until the server is ready for the next; its last result."""
        pgconn = self._pgconn
        last: pq.abc.PGresult | None = None
        try:
            send()
            while pgconn.flush():
                self._wait(deadline, select.POLLIN | select.POLLOUT)
                pgconn.consume_input()
            while True:
                while pgconn.is_busy():
                    self._wait(deadline, select.POLLIN)
                    pgconn.consume_input()
                result = pgconn.get_result()
                if result is None:
                    break
                last = result
        except psycopg.Error as error:
            self.close()
            raise self._away(f"the connection is lost: {_line(error)}") from error
        assert last is not None
        if last.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
            raise self._refused(last)
        return last

    def _wait(self, deadline: float, events: int) -> None:
        """Wait until the socket is ready, at most until the deadline."""
        rest = deadline - time.monotonic()
        self._poll.modify(self._pgconn.socket, events)
        if rest <= 0 or not self._poll.poll(math.ceil(rest * 1000)):
            self.close()
            raise self._away(f"no answer in {self.seconds:g} s")

    def _refused(self, result: pq.abc.PGresult) -> StatementFailed | JournalAway:
        sqlstate = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
        message = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY)
        text = (message or result.error_message).decode(errors="replace").strip()
        if self._pgconn.status != pq.ConnStatus.OK:
            self.close()
            return self._away(f"the connection is lost: {text}")
        return StatementFailed(sqlstate, text)

    def _away(self, why: str) -> JournalAway:
        return JournalAway(f"{self.place}: {why}")

    @property
    def closed(self) -> bool:
        """Whether it is given up."""
        return self._connection.closed

    def close(self) -> None:
        """Let it go, without waiting for anything."""
        self._connection.close()


def _options(url: str, seconds: float, name: str) -> dict[str, Any]:
    """What libpq is told besides the URL."""
    chosen = {
        "connect_timeout": max(2, math.ceil(seconds)),
        "keepalives_idle": KEEPALIVE_IDLE_SECONDS,
        "keepalives_interval": KEEPALIVE_INTERVAL_SECONDS,
        "keepalives_count": KEEPALIVE_COUNT,
        "tcp_user_timeout": int(seconds * 1000),
        "target_session_attrs": "read-write",
        "application_name": name,
    }
    given = conninfo_to_dict(url)
    return {option: value for option, value in chosen.items() if option not in given}


def _encode(value: Value) -> bytes:
    if isinstance(value, int):
        return _INT8.pack(value)
    return value if isinstance(value, bytes) else value.encode()


def _type(value: Value) -> int:
    if isinstance(value, int):
        return INT8
    return BYTEA if isinstance(value, bytes) else TEXT


def to_int(value: bytes | None) -> int:
    """A binary int4 or int8; 0 for null."""
    if not value:
        return 0
    found: int = (_INT8 if len(value) == 8 else _INT4).unpack(value)[0]
    return found


def retryable(fault: StatementFailed) -> bool:
    """Whether what the server refused may go through later, without anybody's doing."""
    return fault.sqlstate[:2] in RETRYABLE_CLASSES or fault.sqlstate == READ_ONLY


def _line(error: Exception) -> str:
    """The first line of what libpq says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
