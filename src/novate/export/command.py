"""`novate export`: what is wanted, as a file, with a bar that shows how far it is."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import novate
from novate import logs
from novate.analytics.intervals import INTERVAL_EXPECTED, parse_interval
from novate.config import NO_LEDGER, Settings
from novate.export.columns import ExportError, Scales
from novate.export.files import FORMATS, new_file, open_writer
from novate.export.journal_source import JournalSource
from novate.export.sources import INT64_MAX, Seen, Source, Wanted
from novate.export.tables import CandleTable, OrderTable, Table, TradeTable

TABLES: Final = ("trades", "orders", "candles")
SOURCES: Final = ("journal", "ledger")
SHOWN_EVERY: Final = 16
"""Batches between two moves of the bar."""

log = logs.get("export")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for; texts as they were given, empty where nothing was.

    Attributes:
        table: One of `TABLES`.
        out: The file; its ending says the format where `form` is empty.
        source: One of `SOURCES`.
        instruments: Names; none: every instrument.
    """

    table: str
    out: Path
    form: str = ""
    source: str = "journal"
    instruments: tuple[str, ...] = ()
    interval: str = "1m"
    since: str = ""
    until: str = ""
    first_seq: int = 1
    last_seq: int = INT64_MAX


def run(settings: Settings, options: Options) -> int:
    """Export and say on stdout how many rows; the exit code, 0.

    Raises:
        ExportError: the options can't be followed.
        JournalError: the journal can't be believed.
    """
    form = _format_of(options)
    _one_of("the table", options.table, TABLES)
    _one_of("--from", options.source, SOURCES)
    interval_ns = parse_interval(options.interval)
    if interval_ns is None:
        raise ExportError(f"--interval: {INTERVAL_EXPECTED}; found {options.interval!r}")
    with contextlib.closing(_open(settings, options)) as source:
        rows = _export(source, options, form, interval_ns)
    print(f"{rows} {options.table} written to {options.out}")
    return 0


def _export(source: Source, options: Options, form: str, interval_ns: int) -> int:
    """The number of rows written."""
    for warning in source.warnings:
        log.warning("export", warning=warning)
    scales = Scales.of(list(source.instruments.values()))
    table = _table(options.table, scales, interval_ns)
    return _write(source, table, options, form)


def _open(settings: Settings, options: Options) -> Source:
    """The source of that name."""
    if options.source == "ledger":
        from novate.export.ledger_source import LedgerSource
        from novate.ledger.database import url_of

        if settings.ledger_url == NO_LEDGER:
            raise ExportError("--from ledger: expected a --ledger-url, found none")
        url = url_of(settings.ledger_url, settings.data_dir)
        return LedgerSource(url, settings.partition, _wanted(options))
    return JournalSource.open(settings, _wanted(options))


def _table(name: str, scales: Scales, interval_ns: int) -> Table:
    if name == "trades":
        return TradeTable(scales)
    if name == "orders":
        return OrderTable(scales)
    return CandleTable(scales, interval_ns)


def _write(source: Source, table: Table, options: Options, form: str) -> int:
    rows = 0
    notes = {
        "novate_version": novate.__version__,
        "novate_table": options.table,
        "novate_last_sequence": str(source.last_seq),
    }
    with new_file(options.out) as part, _progress(source, options.table) as seen:
        writer = open_writer(part, form, table.columns, notes)
        try:
            for chunk in table.chunks(source, seen):
                writer.write(chunk)
                rows += len(next(iter(chunk.values())))
        finally:
            writer.close()
    return rows


@contextlib.contextmanager
def _progress(source: Source, what: str) -> Iterator[Seen]:
    """A function that is told how far the replay is, and shows it on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    shown = sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as progress:
        bar = progress.add_task(f"exporting {what}", total=source.last_seq - source.first_seq + 1)
        batches = 0

        def seen(seq: int) -> None:
            nonlocal batches
            batches += 1
            if batches % SHOWN_EVERY == 0 or seq == source.last_seq:
                progress.update(bar, completed=seq - source.first_seq + 1)

        yield seen


def _format_of(options: Options) -> str:
    found = options.form or options.out.suffix.removeprefix(".")
    if found not in FORMATS:
        listed = ", ".join(FORMATS)
        raise ExportError(
            f"--format: expected one of {listed}, or --out ending so; found {found!r}"
        )
    return found


def _one_of(what: str, found: str, known: tuple[str, ...]) -> None:
    if found not in known:
        raise ExportError(f"{what}: expected one of {', '.join(known)}; found {found!r}")


def _wanted(options: Options) -> Wanted:
    first, last = options.first_seq, options.last_seq
    since = parse_time("--since", options.since) if options.since else 0
    until = parse_time("--until", options.until) if options.until else INT64_MAX
    if first > last:
        raise ExportError(f"--last-seq: expected at least --first-seq ({first}), found {last}")
    if since >= until:
        expected = f"--until: expected a time after --since ({options.since})"
        raise ExportError(f"{expected}, found {options.until}")
    return Wanted(
        instruments=options.instruments,
        first_seq=first,
        last_seq=last,
        since_ns=since,
        until_ns=until,
    )


def parse_time(name: str, text: str) -> int:
    """A time of ISO 8601 as ns since 1970; UTC where it names no zone.

    Raises:
        ExportError: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        found = f"{name}: expected a time as 2026-01-01 or 2026-01-01T12:00:00Z, found {text!r}"
        raise ExportError(found) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    passed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    micros: int = passed.days * 86_400_000_000 + passed.seconds * 1_000_000 + passed.microseconds
    return micros * 1000
