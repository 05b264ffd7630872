"""Every setting: its name, type, default, limit, unit and one line of documentation, in one place.

The command line's flags, the NOVATE_* variables, the keys of a `--config` TOML file and
`.env.example` are all made from the fields of `Settings`. A value is taken from the first that
gives it: flag, variable, file, default. This module reads; it never starts, opens or locks.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from novate.model.errors import ConfigurationError
from novate.model.instrument import Limits
from novate.setting_kinds import (
    DURABILITY,
    GIB,
    INT64_MAX,
    JOURNAL_URL,
    KIB,
    MIB,
    NAME,
    PREFIX,
    InstrumentSettings,
    Setting,
    choice,
    folder,
    instruments_given,
    ledger_address,
    matching,
    optional_folder,
    seconds,
    size,
    switch,
    to_text,
    whole,
)

LEDGER_FILE = "ledger.db"
"""The ledger's file in the data folder, where `ledger_url` is empty."""

NO_LEDGER = "none"
"""The `ledger_url` of an exchange without a ledger."""

CONFIG_VARIABLE = "NOVATE_CONFIG"
# Variables of this prefix that choose how the project is built and tested, and set nothing here.
OTHER_VARIABLES = frozenset({CONFIG_VARIABLE, "NOVATE_BUILD", "NOVATE_SOAK"})

DEFAULT_INSTRUMENTS = (
    InstrumentSettings("BTC-USD", "0.01", "0.00000001", "BTC", "USD"),
    InstrumentSettings("ETH-USD", "0.01", "0.00000001", "ETH", "USD"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one exchange, checked; an attribute each, units last in the name."""

    # Where
    host: str = matching(
        "127.0.0.1",
        re.compile(r"[A-Za-z0-9.:_-]{1,253}"),
        "a host name or address",
        "Address to listen on",
    )
    port: int = whole(8000, 0, 65535, "TCP port for HTTP and WebSocket; 0 takes a free one")
    data_dir: Path = folder(  # noqa: RUF009 - it is a dataclass field, made by a function
        "./data", "Folder of the journal and the snapshots"
    )
    partition: int = whole(0, 0, 65535, "Number of this partition, part of what it writes")

    # Durability and the journal
    durability: str = matching(
        "fsync",
        DURABILITY,
        "fsync, or relaxed=MS with MS from 1 to 99999",
        "When a command is answered: after it is on disk (fsync), or before, losing at most the "
        "last MS milliseconds in a crash of the machine (relaxed=MS)",
    )
    journal_url: str = matching(
        "",
        JOURNAL_URL,
        "nothing, or a URL as postgresql://user:password@host:5432/database",
        "Database of the journal, in PostgreSQL; empty = segment files in the data folder",
    )
    journal_answer_seconds: float = seconds(
        5.0,
        0.1,
        600,
        "Longest wait for an answer of the journal's database; then the connection is made anew, "
        "and what became of the batch is read back",
    )
    queue_commands_max: int = whole(
        65536,
        1000,
        4_194_304,
        "Commands waiting for the journal; more are answered 503",
        "commands",
    )
    batch_commands_max: int = whole(
        8192, 1000, 65536, "Commands written with one fsync", "commands"
    )
    journal_segment_bytes: int = size(64 * MIB, MIB, 4 * GIB, "Size of one journal file")
    archive_dir: Path | None = optional_folder(  # noqa: RUF009 - as data_dir
        "Folder that `novate archive` moves old journal files to, and that they are read from; "
        "empty = none"
    )
    journal_stall_seconds: float = seconds(
        1.0, 0.05, 600, "A write that takes longer makes /readyz say that the journal stalls"
    )

    # Limits on clients
    rate_limit_per_second: int = whole(
        20_000, 0, 100_000_000, "Commands per second of one client; 0 = no limit", "commands/s"
    )
    rate_limit_burst: int = whole(
        40_000, 1000, 100_000_000, "Commands at once of a client that was quiet", "commands"
    )
    rate_limit_clients_max: int = whole(
        100_000, 1000, 10_000_000, "Clients whose rate is remembered", "clients"
    )
    body_bytes_max: int = size(MIB, KIB, 64 * MIB, "Body of one request; more is a 413")
    message_bytes_max: int = size(MIB, KIB, 64 * MIB, "One WebSocket message")
    header_bytes_max: int = size(64 * KIB, 4 * KIB, MIB, "Request line and headers together")
    json_depth_max: int = whole(16, 4, 64, "Nesting of JSON that is read", "levels")
    connections_max: int = whole(
        4096, 1, 1_000_000, "Open connections, HTTP and WebSocket together", "connections"
    )
    connection_backlog_max: int = whole(
        2048, 1, 65535, "Connections that wait to be accepted", "connections"
    )
    request_timeout_seconds: float = seconds(
        10.0, 0.1, 3600, "Time for a whole request to arrive; a slower one is closed"
    )
    keep_alive_seconds: float = seconds(75.0, 1, 86400, "Time an idle connection is kept")

    # What is kept in memory
    open_orders_max: int = whole(4_000_000, 1, 1_000_000_000, "Open orders", "orders")
    closed_orders_max: int = whole(
        1_000_000, 0, 1_000_000_000, "Closed orders that are still answered from memory", "orders"
    )
    trades_per_instrument_max: int = whole(
        10_000, 1, 10_000_000, "Trades of an instrument answered from memory", "trades"
    )
    idempotency_keys_max: int = whole(
        10_000_000, 4, 1_000_000_000, "Idempotency keys remembered", "keys"
    )
    idempotency_window_hours: int = whole(
        24, 1, 8760, "Time an idempotency key is remembered at most", "hours"
    )
    idempotency_window_minutes_min: int = whole(
        10, 0, 1440, "Time an idempotency key is remembered at least", "minutes"
    )
    clients_max: int = whole(1_000_000, 1, 100_000_000, "Client ids known", "clients")
    instruments_max: int = whole(65_000, 1, 65_000, "Instruments", "instruments")
    price_levels_max: int = whole(
        1_000_000, 1, 100_000_000, "Price levels of one side of a book", "levels"
    )

    # Streaming
    publish_interval_ms: int = whole(
        20,
        0,
        10_000,
        "Time between two messages of a book; 0 = one for every batch",
        "milliseconds",
    )
    publish_interval_ms_max: int = whole(
        200, 0, 60_000, "How far that time stretches under load", "milliseconds"
    )
    websocket_buffer_bytes: int = size(
        MIB, KIB, GIB, "Unsent bytes of a consumer past which its book deltas are conflated"
    )
    websocket_buffer_bytes_max: int = size(
        8 * MIB, KIB, GIB, "Unsent bytes of a consumer past which it is closed"
    )
    websocket_subscriptions_max: int = whole(
        1000, 1, 100_000, "Subscriptions of one connection", "subscriptions"
    )
    disconnect_grace_seconds: float = seconds(
        5, 0, 3600, "Time before a dropped session's orders are cancelled, where it asks for none"
    )
    disconnect_grace_seconds_max: float = seconds(
        60, 0, 3600, "Longest such time that a session may ask for"
    )
    websocket_requests_max: int = whole(
        8192, 1, 65536, "Unanswered commands of one connection; reading waits past it", "commands"
    )
    candle_window_hours: int = whole(24, 1, 168, "Reach of the candles kept in memory", "hours")
    candle_rows_max: int = whole(
        1_000_000, 100_000, 100_000_000, "Seconds with trades kept for them, in all", "rows"
    )
    activity_rows_max: int = whole(
        200_000, 10_000, 10_000_000, "Minutes and seconds kept for ratios and markouts", "rows"
    )
    heartbeat_seconds: float = seconds(15.0, 0.1, 3600, "Silence after which a heartbeat is sent")

    # Snapshots and the follower
    snapshot_commands: int = whole(
        500_000, 0, 1_000_000_000, "Commands between two snapshots; 0 = not by count", "commands"
    )
    snapshot_seconds: float = seconds(
        300.0, 0, 604_800, "Time between two snapshots; 0 = not by time"
    )
    snapshot_wait_seconds: float = seconds(
        30.0, 0.1, 3600, "Time POST /admin/snapshot waits for its snapshot"
    )
    snapshots_kept: int = whole(3, 2, 1000, "Snapshots kept; older ones are removed", "files")
    follower: bool = switch(True, "Run the follower, which takes the snapshots")
    follower_restart_seconds: float = seconds(
        1.0, 0.01, 3600, "Pause before a follower that died is started again"
    )
    follower_lag_max: int = whole(
        1_000_000,
        1,
        INT64_MAX >> 1,
        "Lag of the follower from which /healthz says degraded",
        "sequences",
    )

    # The ledger: history in SQL, written by the follower
    ledger_url: str = ledger_address(
        "", "Database of the ledger; empty = ledger.db in the data folder, none = no ledger"
    )
    ledger_lag_max: int = whole(
        1_000_000,
        1,
        INT64_MAX >> 1,
        "Lag of the ledger from which /healthz says degraded",
        "sequences",
    )
    ledger_start_seconds: float = seconds(
        1.0,
        0.01,
        600,
        "Longest that a start waits for the ledger to say how far the journal got; then it starts "
        "without that",
    )
    history_seconds: float = seconds(5.0, 0.1, 600, "Longest that a question to the ledger takes")
    history_threads: int = whole(
        4, 1, 64, "Questions to the ledger that are asked at a time", "questions"
    )
    history_waiting_max: int = whole(
        64, 1, 10_000, "Questions to the ledger that wait; past it 503", "questions"
    )
    history_probe_seconds: float = seconds(
        2.0, 0.05, 600, "How often a ledger that was away is tried again"
    )

    # Running and watching it
    shutdown_seconds: float = seconds(10.0, 0.1, 600, "Time to finish what was begun, at a stop")
    log_level: str = choice("info", ("debug", "info", "warning", "error"), "Least level logged")
    log_format: str = choice(
        "auto", ("auto", "console", "json"), "Form of log lines; auto = console on a terminal"
    )
    log_orders_per_second_max: int = whole(
        500, 1, 1_000_000, "Order log lines per second; past it they are sampled", "lines/s"
    )
    metrics_instruments_max: int = whole(
        1000, 1, 65_000, "Instruments with metrics of their own", "instruments"
    )

    # The market at the first start
    default_instrument: str = matching(
        "BTC-USD", NAME, "an instrument's name", "Instrument of requests that name none"
    )
    instruments: tuple[InstrumentSettings, ...] = instruments_given(
        DEFAULT_INSTRUMENTS, "Instruments created at the first start"
    )

    @property
    def relaxed_ms(self) -> int:
        """Milliseconds of acknowledged commands that a crash may lose; 0 under fsync."""
        match = DURABILITY.fullmatch(self.durability)
        return int(match[1] or 0) if match else 0

    @property
    def journal_probe_seconds(self) -> float:
        """How often an idle exchange asks after its journal's database; 0 = it has none."""
        return 1.0 if self.journal_url else 0.0

    @property
    def limits(self) -> Limits:
        """The engine's limits at the first start; later they change by command alone."""
        return Limits(
            open_orders_max=self.open_orders_max,
            closed_orders_max=self.closed_orders_max,
            trades_per_instrument_max=self.trades_per_instrument_max,
            idempotency_keys_max=self.idempotency_keys_max,
            idempotency_window_ns=self.idempotency_window_hours * 3600 * 10**9,
            idempotency_window_ns_min=self.idempotency_window_minutes_min * 60 * 10**9,
            clients_max=self.clients_max,
            instruments_max=self.instruments_max,
            price_levels_max=self.price_levels_max,
        )

    def __post_init__(self) -> None:
        """Check what holds between settings; each alone was checked when it was read."""
        _ordered(self, "websocket_buffer_bytes", "websocket_buffer_bytes_max")
        _ordered(self, "disconnect_grace_seconds", "disconnect_grace_seconds_max")
        _ordered(self, "publish_interval_ms", "publish_interval_ms_max")
        _ordered(self, "batch_commands_max", "queue_commands_max")
        if self.journal_url and self.relaxed_ms:
            raise ConfigurationError(
                "durability: expected fsync where journal_url is set (PostgreSQL has no window of "
                f"loss that could be promised in milliseconds), found {self.durability!r}"
            )
        if self.archive_dir is not None:
            self._check_archive(self.archive_dir)
        if self.idempotency_window_minutes_min > self.idempotency_window_hours * 60:
            raise ConfigurationError(
                "idempotency_window_minutes_min: expected at most idempotency_window_hours "
                f"({self.idempotency_window_hours} h), found {self.idempotency_window_minutes_min}"
            )

    def _check_archive(self, archive: Path) -> None:
        if self.journal_url:
            raise ConfigurationError(
                "archive_dir: expected none where journal_url is set (rows in PostgreSQL are not "
                f"archived), found {str(archive)!r}"
            )
        taken = [self.data_dir, self.data_dir / "journal", self.data_dir / "snapshots"]
        if archive.resolve() in [folder.resolve() for folder in taken]:
            raise ConfigurationError(
                "archive_dir: expected a folder of its own, found the data folder or one of its "
                f"own folders: {str(archive)!r}"
            )


def _ordered(settings: Settings, lower: str, upper: str) -> None:
    low, high = getattr(settings, lower), getattr(settings, upper)
    if low > high:
        raise ConfigurationError(f"{lower}: expected at most {upper} ({high}), found {low}")


TABLE: tuple[Setting, ...] = tuple(
    Setting(each.name, each.default, each.metadata["rule"]) for each in dataclasses.fields(Settings)
)


def load(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    config: Path | None = None,
) -> Settings:
    """The settings, each from the first of flag, variable, file and default that gives it.

    `flags` are values by setting name, None where the flag was not given. An empty variable counts
    as not set. The file is `config`, else the one that NOVATE_CONFIG names.

    Raises:
        ConfigurationError: an unknown key, an unreadable file or a value out of its limits; says
            where it came from, what was expected and what was found.
    """
    flags, environ = flags or {}, environ or {}
    path = config or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    written = _read_file(path) if path else {}
    _refuse_unknown(flags, "flag")
    _refuse_unknown(written, str(path))
    chosen: dict[str, Any] = {}
    for setting in TABLE:
        if flags.get(setting.name) is not None:
            chosen[setting.name] = _parsed(setting, flags[setting.name], setting.flag)
        elif environ.get(setting.variable):
            chosen[setting.name] = _parsed(setting, environ[setting.variable], setting.variable)
        elif setting.name in written:
            origin = f"{path}: {setting.name}"
            chosen[setting.name] = _parsed(setting, written[setting.name], origin)
    return Settings(**chosen)


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """NOVATE_* variables that set nothing, so that a misspelt one can be said aloud.

    They are not refused: an orchestrator adds variables of its own under a service's name.
    """
    known = {setting.variable for setting in TABLE} | OTHER_VARIABLES
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)


def to_environ(settings: Settings) -> dict[str, str]:
    """Every setting as its variable, so that a child process runs under exactly the same."""
    return {each.variable: to_text(getattr(settings, each.name)) for each in TABLE}


def _read_file(path: Path) -> dict[str, object]:
    try:
        # Decimals stay text: a tick size must never pass through a float.
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=str)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: expected a readable TOML file, found {error.strerror}"
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: expected TOML, found {error}") from error


def _refuse_unknown(given: Mapping[str, object], origin: str) -> None:
    known = sorted(setting.name for setting in TABLE)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            meant = f" (is it {near[0]}?)" if near else ""
            listed = ", ".join(known)
            raise ConfigurationError(f"{origin}: found {name!r}{meant}, expected one of {listed}")


def _parsed(setting: Setting, raw: object, origin: str) -> Any:
    try:
        return setting.rule.parse(raw)
    except ConfigurationError as error:
        raise ConfigurationError(f"{origin}: {error}") from None
