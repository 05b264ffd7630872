"""Every setting: its name, type, default, limit, unit and one line of documentation, in one place.

The command line's flags, the NOVATE_* variables, the keys of a `--config` TOML file and
`.env.example` are all made from the fields of `Settings`. A value is taken from the first that
gives it: flag, variable, file, default. This module reads; it never starts, opens or locks.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from novate.model.errors import ConfigurationError
from novate.model.instrument import Instrument, Limits

PREFIX = "NOVATE_"
CONFIG_VARIABLE = "NOVATE_CONFIG"
# Variables of this prefix that choose how the project is built and tested, and set nothing here.
OTHER_VARIABLES = frozenset({CONFIG_VARIABLE, "NOVATE_BUILD", "NOVATE_SOAK"})

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
INT64_MAX = 2**63 - 1

_BYTES = re.compile(r"([0-9]{1,18}) ?(B|KiB|MiB|GiB)?", re.ASCII)
_BYTE_UNITS = {"B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB}
_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9._:-]{1,32}", re.ASCII)
_JOURNAL_URL = re.compile(r"(postgres(ql)?://[!-~]{1,2000})?", re.ASCII)
_DURABILITY = re.compile(r"fsync|relaxed=([1-9][0-9]{0,4})", re.ASCII)
_TRUTHS = {"1": True, "true": True, "yes": True, "on": True}
_TRUTHS |= {"0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True)
class Rule:
    """What a setting may be: how its text is read, and how the limit is said to a person."""

    parse: Callable[[object], Any]
    expected: str
    doc: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: a name, its default and its rule."""

    name: str
    default: Any
    rule: Rule

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """The command line's flag that sets it."""
        return "--" + self.name.replace("_", "-")

    @property
    def default_text(self) -> str:
        """The default as a person would write it."""
        return size_text(self.default) if self.rule.unit == "bytes" else to_text(self.default)


@dataclass(frozen=True, slots=True)
class InstrumentSettings:
    """An instrument made at the first start; sizes are exact decimal text.

    `tick_size` counts in the quote asset, `lot_size` in the base asset. `quote_scale` is the
    decimal places of the quote asset's smallest unit; tick x lot must be whole in such units.
    """

    name: str
    tick_size: str
    lot_size: str
    base_asset: str
    quote_asset: str
    quote_scale: int = 12

    def to_instrument(self) -> Instrument:
        """The instrument as the engine knows it, without a number yet.

        Raises:
            ConfigurationError: tick x lot is not a whole number of quote units.
        """
        tick, tick_exponent = _coefficient(self.tick_size)
        lot, lot_exponent = _coefficient(self.lot_size)
        if (Decimal(self.tick_size) * Decimal(self.lot_size)).scaleb(self.quote_scale) % 1:
            expected = f"tick_size x lot_size of {self.name} whole in units of quote_scale"
            raise _refuse(expected, f"{self.tick_size} x {self.lot_size}, {self.quote_scale}")
        return Instrument(
            name=self.name,
            base=self.base_asset,
            quote=self.quote_asset,
            tick_coefficient=tick,
            tick_exponent=tick_exponent,
            lot_coefficient=lot,
            lot_exponent=lot_exponent,
            quote_scale=self.quote_scale,
        )


def _coefficient(size: str) -> tuple[int, int]:
    """A decimal size as `coefficient * 10**-exponent`, the exponent not below 0."""
    _, digits, exponent = Decimal(size).normalize().as_tuple()
    coefficient = int("".join(map(str, digits)))
    power = int(exponent)
    return (coefficient * 10**power, 0) if power > 0 else (coefficient, -power)


def _refuse(expected: str, found: object) -> ConfigurationError:
    shown = repr(found)
    return ConfigurationError(f"expected {expected}, found {shown[:200]}")


def _whole(default: int, minimum: int, maximum: int, doc: str, unit: str = "") -> Any:
    expected = f"a whole number from {minimum} to {maximum}"

    def parse(raw: object) -> int:
        text = raw if isinstance(raw, str) else str(raw)
        if isinstance(raw, bool) or not _INTEGER.fullmatch(text):
            raise _refuse(expected, raw)
        if not minimum <= int(text) <= maximum:
            raise _refuse(expected, raw)
        return int(text)

    return field(default=default, metadata={"rule": Rule(parse, expected, doc, unit)})


def _size(default: int, minimum: int, maximum: int, doc: str) -> Any:
    expected = f"a size from {size_text(minimum)} to {size_text(maximum)}, as 65536 or 64KiB"

    def parse(raw: object) -> int:
        match = None if isinstance(raw, bool) else _BYTES.fullmatch(str(raw))
        if match is None:
            raise _refuse(expected, raw)
        size = int(match[1]) * _BYTE_UNITS[match[2] or "B"]
        if not minimum <= size <= maximum:
            raise _refuse(expected, raw)
        return size

    return field(default=default, metadata={"rule": Rule(parse, expected, doc, "bytes")})


def _seconds(default: float, minimum: float, maximum: float, doc: str) -> Any:
    expected = f"a number of seconds from {minimum:g} to {maximum:g}"

    def parse(raw: object) -> float:
        if isinstance(raw, bool) or not _NUMBER.fullmatch(str(raw)):
            raise _refuse(expected, raw)
        seconds = float(str(raw))
        if not math.isfinite(seconds) or not minimum <= seconds <= maximum:
            raise _refuse(expected, raw)
        return seconds

    return field(default=default, metadata={"rule": Rule(parse, expected, doc, "seconds")})


def _switch(default: bool, doc: str) -> Any:
    expected = "true or false"

    def parse(raw: object) -> bool:
        if isinstance(raw, bool):
            return raw
        truth = _TRUTHS.get(str(raw).lower())
        if truth is None:
            raise _refuse(expected, raw)
        return truth

    return field(default=default, metadata={"rule": Rule(parse, expected, doc)})


def _choice(default: str, choices: tuple[str, ...], doc: str) -> Any:
    expected = "one of " + ", ".join(choices)

    def parse(raw: object) -> str:
        if raw not in choices:
            raise _refuse(expected, raw)
        return str(raw)

    return field(default=default, metadata={"rule": Rule(parse, expected, doc)})


def _matching(default: str, pattern: re.Pattern[str], expected: str, doc: str) -> Any:
    def parse(raw: object) -> str:
        if not isinstance(raw, str) or not pattern.fullmatch(raw):
            raise _refuse(expected, raw)
        return raw

    return field(default=default, metadata={"rule": Rule(parse, expected, doc)})


def _ledger_url(default: str, doc: str) -> Any:
    expected = "empty, none, sqlite:///PATH or postgresql://USER@HOST:PORT/DATABASE"

    def parse(raw: object) -> str:
        text = raw if isinstance(raw, str) else ""
        known = text in ("", "none") or text.startswith(("sqlite:///", "postgresql://"))
        if not isinstance(raw, str) or not known:
            raise _refuse(expected, str(raw).partition("://")[0])  # never show a password
        return text

    return field(default=default, metadata={"rule": Rule(parse, expected, doc)})


def _folder(default: str, doc: str) -> Any:
    expected = "the path of a folder"

    def parse(raw: object) -> Path:
        if not isinstance(raw, (str, Path)) or not str(raw) or "\0" in str(raw):
            raise _refuse(expected, raw)
        return Path(raw).expanduser()

    return field(default=Path(default), metadata={"rule": Rule(parse, expected, doc)})


def _instrument(row: object) -> InstrumentSettings:
    names = [each.name for each in dataclasses.fields(InstrumentSettings)]
    if not isinstance(row, dict) or not set(names[:-1]) <= set(row) <= set(names):
        raise _refuse(f"an instrument with {', '.join(names)}", row)
    texts = {name: str(value) for name, value in row.items()}
    for name in ("name", "base_asset", "quote_asset"):
        if not _NAME.fullmatch(texts[name]):
            raise _refuse(f"{name} of 1 to 32 of A-Z a-z 0-9 . _ : -", row[name])
    for name in ("tick_size", "lot_size"):
        if not _DECIMAL.fullmatch(texts[name]) or not Decimal(texts[name]):
            raise _refuse(f"{name} as a positive decimal", row[name])
    scale = texts.pop("quote_scale", "12")
    if not _INTEGER.fullmatch(scale) or not 0 <= int(scale) <= 18:
        raise _refuse("quote_scale from 0 to 18", scale)
    instrument = InstrumentSettings(**texts, quote_scale=int(scale))
    instrument.to_instrument()
    return instrument


def _instruments(default: tuple[InstrumentSettings, ...], doc: str) -> Any:
    expected = "a list of instruments (TOML tables, or a JSON list)"

    def parse(raw: object) -> tuple[InstrumentSettings, ...]:
        try:
            rows = json.loads(raw, parse_float=str) if isinstance(raw, str) else raw
        except (ValueError, RecursionError):
            rows = None
        if not isinstance(rows, list):
            raise _refuse(expected, raw)
        instruments = tuple(_instrument(row) for row in rows)
        if len({each.name for each in instruments}) != len(instruments):
            raise _refuse("every instrument once", [each.name for each in instruments])
        return instruments

    return field(default=default, metadata={"rule": Rule(parse, expected, doc)})


def size_text(size_bytes: int) -> str:
    """A size in the largest unit that holds it whole: 65536 is 64KiB."""
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes >= _BYTE_UNITS[unit] and size_bytes % _BYTE_UNITS[unit] == 0:
            return f"{size_bytes // _BYTE_UNITS[unit]}{unit}"
    return str(size_bytes)


DEFAULT_INSTRUMENTS = (
    InstrumentSettings("BTC-USD", "0.01", "0.00000001", "BTC", "USD"),
    InstrumentSettings("ETH-USD", "0.01", "0.00000001", "ETH", "USD"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one exchange, checked; an attribute each, units last in the name."""

    # Where
    host: str = _matching(
        "127.0.0.1",
        re.compile(r"[A-Za-z0-9.:_-]{1,253}"),
        "a host name or address",
        "Address to listen on",
    )
    port: int = _whole(8000, 0, 65535, "TCP port for HTTP and WebSocket; 0 takes a free one")
    data_dir: Path = _folder(  # noqa: RUF009 - it is a dataclass field, made by a function
        "./data", "Folder of the journal and the snapshots"
    )
    partition: int = _whole(0, 0, 65535, "Number of this partition, part of what it writes")

    # Durability and the journal
    durability: str = _matching(
        "fsync",
        _DURABILITY,
        "fsync, or relaxed=MS with MS from 1 to 99999",
        "When a command is answered: after it is on disk (fsync), or before, losing at most the "
        "last MS milliseconds in a crash of the machine (relaxed=MS)",
    )
    journal_url: str = _matching(
        "",
        _JOURNAL_URL,
        "nothing, or a URL as postgresql://user:password@host:5432/database",
        "Database of the journal, in PostgreSQL; empty = segment files in the data folder",
    )
    journal_answer_seconds: float = _seconds(
        5.0,
        0.1,
        600,
        "Longest wait for an answer of the journal's database; then the connection is made anew, "
        "and what became of the batch is read back",
    )
    queue_commands_max: int = _whole(
        65536,
        1000,
        4_194_304,
        "Commands waiting for the journal; more are answered 503",
        "commands",
    )
    batch_commands_max: int = _whole(
        8192, 1000, 65536, "Commands written with one fsync", "commands"
    )
    journal_segment_bytes: int = _size(64 * MIB, MIB, 4 * GIB, "Size of one journal file")
    journal_stall_seconds: float = _seconds(
        1.0, 0.05, 600, "A write that takes longer makes /readyz say that the journal stalls"
    )

    # Limits on clients
    rate_limit_per_second: int = _whole(
        20_000, 0, 100_000_000, "Commands per second of one client; 0 = no limit", "commands/s"
    )
    rate_limit_burst: int = _whole(
        40_000, 1000, 100_000_000, "Commands at once of a client that was quiet", "commands"
    )
    rate_limit_clients_max: int = _whole(
        100_000, 1000, 10_000_000, "Clients whose rate is remembered", "clients"
    )
    body_bytes_max: int = _size(MIB, KIB, 64 * MIB, "Body of one request; more is a 413")
    message_bytes_max: int = _size(MIB, KIB, 64 * MIB, "One WebSocket message")
    header_bytes_max: int = _size(64 * KIB, 4 * KIB, MIB, "Request line and headers together")
    json_depth_max: int = _whole(16, 4, 64, "Nesting of JSON that is read", "levels")
    connections_max: int = _whole(
        4096, 1, 1_000_000, "Open connections, HTTP and WebSocket together", "connections"
    )
    connection_backlog_max: int = _whole(
        2048, 1, 65535, "Connections that wait to be accepted", "connections"
    )
    request_timeout_seconds: float = _seconds(
        10.0, 0.1, 3600, "Time for a whole request to arrive; a slower one is closed"
    )
    keep_alive_seconds: float = _seconds(75.0, 1, 86400, "Time an idle connection is kept")

    # What is kept in memory
    open_orders_max: int = _whole(4_000_000, 1, 1_000_000_000, "Open orders", "orders")
    closed_orders_max: int = _whole(
        1_000_000, 0, 1_000_000_000, "Closed orders that are still answered from memory", "orders"
    )
    trades_per_instrument_max: int = _whole(
        10_000, 1, 10_000_000, "Trades of an instrument answered from memory", "trades"
    )
    idempotency_keys_max: int = _whole(
        10_000_000, 4, 1_000_000_000, "Idempotency keys remembered", "keys"
    )
    idempotency_window_hours: int = _whole(
        24, 1, 8760, "Time an idempotency key is remembered at most", "hours"
    )
    idempotency_window_minutes_min: int = _whole(
        10, 0, 1440, "Time an idempotency key is remembered at least", "minutes"
    )
    clients_max: int = _whole(1_000_000, 1, 100_000_000, "Client ids known", "clients")
    instruments_max: int = _whole(65_000, 1, 65_000, "Instruments", "instruments")
    price_levels_max: int = _whole(
        1_000_000, 1, 100_000_000, "Price levels of one side of a book", "levels"
    )

    # Streaming
    publish_interval_ms: int = _whole(
        20,
        0,
        10_000,
        "Time between two messages of a book; 0 = one for every batch",
        "milliseconds",
    )
    publish_interval_ms_max: int = _whole(
        200, 0, 60_000, "How far that time stretches under load", "milliseconds"
    )
    websocket_buffer_bytes: int = _size(
        MIB, KIB, GIB, "Unsent bytes of a consumer past which its book deltas are conflated"
    )
    websocket_buffer_bytes_max: int = _size(
        8 * MIB, KIB, GIB, "Unsent bytes of a consumer past which it is closed"
    )
    websocket_subscriptions_max: int = _whole(
        1000, 1, 100_000, "Subscriptions of one connection", "subscriptions"
    )
    disconnect_grace_seconds: float = _seconds(
        5, 0, 3600, "Time before a dropped session's orders are cancelled, where it asks for none"
    )
    disconnect_grace_seconds_max: float = _seconds(
        60, 0, 3600, "Longest such time that a session may ask for"
    )
    websocket_requests_max: int = _whole(
        8192, 1, 65536, "Unanswered commands of one connection; reading waits past it", "commands"
    )
    candle_window_hours: int = _whole(24, 1, 168, "Reach of the candles kept in memory", "hours")
    candle_rows_max: int = _whole(
        1_000_000, 100_000, 100_000_000, "Seconds with trades kept for them, in all", "rows"
    )
    heartbeat_seconds: float = _seconds(15.0, 0.1, 3600, "Silence after which a heartbeat is sent")

    # Snapshots and the follower
    snapshot_commands: int = _whole(
        500_000, 0, 1_000_000_000, "Commands between two snapshots; 0 = not by count", "commands"
    )
    snapshot_seconds: float = _seconds(
        300.0, 0, 604_800, "Time between two snapshots; 0 = not by time"
    )
    snapshot_wait_seconds: float = _seconds(
        30.0, 0.1, 3600, "Time POST /admin/snapshot waits for its snapshot"
    )
    snapshots_kept: int = _whole(3, 2, 1000, "Snapshots kept; older ones are removed", "files")
    follower: bool = _switch(True, "Run the follower, which takes the snapshots")
    follower_restart_seconds: float = _seconds(
        1.0, 0.01, 3600, "Pause before a follower that died is started again"
    )
    follower_lag_max: int = _whole(
        1_000_000,
        1,
        INT64_MAX >> 1,
        "Lag of the follower from which /healthz says degraded",
        "sequences",
    )

    # The ledger: history in SQL, written by the follower
    ledger_url: str = _ledger_url(
        "", "Database of the ledger; empty = ledger.db in the data folder, none = no ledger"
    )
    ledger_lag_max: int = _whole(
        1_000_000,
        1,
        INT64_MAX >> 1,
        "Lag of the ledger from which /healthz says degraded",
        "sequences",
    )
    history_seconds: float = _seconds(5.0, 0.1, 600, "Longest that a question to the ledger takes")
    history_threads: int = _whole(
        4, 1, 64, "Questions to the ledger that are asked at a time", "questions"
    )
    history_waiting_max: int = _whole(
        64, 1, 10_000, "Questions to the ledger that wait; past it 503", "questions"
    )
    history_probe_seconds: float = _seconds(
        2.0, 0.05, 600, "How often a ledger that was away is tried again"
    )

    # Running and watching it
    shutdown_seconds: float = _seconds(10.0, 0.1, 600, "Time to finish what was begun, at a stop")
    log_level: str = _choice("info", ("debug", "info", "warning", "error"), "Least level logged")
    log_format: str = _choice(
        "auto", ("auto", "console", "json"), "Form of log lines; auto = console on a terminal"
    )
    log_orders_per_second_max: int = _whole(
        500, 1, 1_000_000, "Order log lines per second; past it they are sampled", "lines/s"
    )
    metrics_instruments_max: int = _whole(
        1000, 1, 65_000, "Instruments with metrics of their own", "instruments"
    )

    # The market at the first start
    default_instrument: str = _matching(
        "BTC-USD", _NAME, "an instrument's name", "Instrument of requests that name none"
    )
    instruments: tuple[InstrumentSettings, ...] = _instruments(
        DEFAULT_INSTRUMENTS, "Instruments created at the first start"
    )

    @property
    def relaxed_ms(self) -> int:
        """Milliseconds of acknowledged commands that a crash may lose; 0 under fsync."""
        match = _DURABILITY.fullmatch(self.durability)
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
        if self.idempotency_window_minutes_min > self.idempotency_window_hours * 60:
            raise ConfigurationError(
                "idempotency_window_minutes_min: expected at most idempotency_window_hours "
                f"({self.idempotency_window_hours} h), found {self.idempotency_window_minutes_min}"
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


def to_text(value: object) -> str:
    """A setting's value as a variable or a flag would give it; `load` reads it back equal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.9f}".rstrip("0").rstrip(".")
    if isinstance(value, tuple):
        return json.dumps([dataclasses.asdict(row) for row in value], separators=(",", ":"))
    return str(value)


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
