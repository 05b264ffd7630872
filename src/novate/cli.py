"""The verbs of the `novate` command.

This is the table of verbs and nothing more: each imports the module that does its work only when
it is called, so that `novate version` never loads a server. The flags that set the exchange up are
made from the table of settings in `novate.config`.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

import novate
from novate import config, logs
from novate.model.errors import ConfigurationError, InvariantViolated, NovateError
from novate.process import collect_rarely, keep_standard_files
from novate.setting_kinds import Setting

EXIT_FAULT = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="novate",
    help="An exchange and clearing house in a box.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # the framed form cuts long flags short
    context_settings={"help_option_names": ["-h", "--help"]},
)
feed = typer.Typer(
    help="Bring another venue's market data in.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(feed, name="feed")

Verb = Callable[..., int | None]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file of settings; a flag or a variable goes before it."),
]
LOG_SETTINGS = ("log_level", "log_format")
STORE_SETTINGS = (
    "data_dir",
    "journal_url",
    "journal_answer_seconds",
    "archive_dir",
    "partition",
    *LOG_SETTINGS,
)
WITNESS_SETTINGS = (*STORE_SETTINGS, "ledger_url", "ledger_start_seconds")
# For a verb whose module reads its own arguments, --help among them.
OWN_COMMAND_LINE = {"allow_extra_args": True, "ignore_unknown_options": True}


def settings_flags(*names: str) -> Callable[[Verb], Callable[..., None]]:
    """Give a verb the flags of these settings (of all, if none is named), and `settings` itself.

    The verb's own parameters stay as they are; its `settings` parameter becomes `--config` and one
    flag per setting. The verb's result is the exit code; None is 0.
    """
    rows = [row for row in config.TABLE if not names or row.name in names]
    switches = [row for row in rows if isinstance(row.default, bool)]

    def decorate(verb: Verb) -> Callable[..., None]:
        signature = inspect.signature(verb, eval_str=True)
        own = [each for each in signature.parameters.values() if each.name != "settings"]

        @functools.wraps(verb)
        def run(**given: Any) -> None:
            flags = {row.name: given.pop(row.name) for row in rows}
            for row in switches:
                if given.pop(f"no_{row.name}"):
                    flags[row.name] = _switched_off(row, flags[row.name])
            settings = config.load(flags, os.environ, given.pop("config"))
            logs.configure(settings.log_level, settings.log_format)
            _warn_of_unknown_variables()
            raise typer.Exit(verb(settings=settings, **given) or 0)

        parameters = [*own, _keyword("config", ConfigOption), *map(_flag, rows)]
        parameters += map(_negation, switches)
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def _flag(row: Setting) -> inspect.Parameter:
    """One setting as an option; its text is read by the setting's own rule."""
    words = f"{row.rule.doc} ({row.rule.expected}; default {row.default_text})."
    option = typer.Option(row.flag, help=words, show_default=False, metavar=row.rule.unit or None)
    return _keyword(row.name, Annotated[str | None, option])


def _negation(row: Setting) -> inspect.Parameter:
    """The short way to set a true-or-false setting to false."""
    option = typer.Option(_negative(row), help=f"As {row.flag} false.", show_default=False)
    return _keyword(f"no_{row.name}", Annotated[bool, option], default=False)


def _negative(row: Setting) -> str:
    return f"--no-{row.flag.removeprefix('--')}"


def _switched_off(row: Setting, given: str | None) -> str:
    if given is not None:
        what = f"expected {row.flag} or {_negative(row)}, found both"
        raise ConfigurationError(f"{row.flag}: {what}")
    return "false"


def _keyword(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _warn_of_unknown_variables() -> None:
    unknown = config.unknown_variables(os.environ)
    if unknown:
        logs.get("config").warning("variables that set nothing", variables=unknown)


@app.command()
@settings_flags()
def serve(*, settings: config.Settings) -> int:
    """Serve the exchange: HTTP and WebSocket on one port."""
    import asyncio

    import uvloop

    from novate.exchange import serve as serve_exchange

    with (
        logs.in_background(),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(serve_exchange(settings))


@app.command()
@settings_flags()
def follow(
    *,
    parent_pid: Annotated[
        int, typer.Option(help="Process whose death ends this one; 0 = nobody's.", min=0)
    ] = 0,
    once: Annotated[
        bool, typer.Option("--once", help="Read to the end, print the state's hash and exit.")
    ] = False,
    settings: config.Settings,
) -> int:
    """Follow a journal and take snapshots (a child of serve)."""
    from novate.follower import run

    with logs.in_background():
        return run(settings, parent_pid, once)


@app.command()
@settings_flags(*WITNESS_SETTINGS)
def verify(*, settings: config.Settings) -> int:
    """Read the whole journal; exit 1 names what is damaged."""
    from novate.journal.choosing import open_reader
    from novate.journal.disk import RealDisk
    from novate.journal.verify import run_journal
    from novate.ledger_witness import ledger_witness

    warnings: list[str] = []
    witnesses = ledger_witness(settings, RealDisk(), warnings)
    return run_journal(open_reader(settings), witnesses, warnings)


@app.command()
@settings_flags(*WITNESS_SETTINGS)
def replay(
    *,
    until: Annotated[
        int,
        typer.Option(help="Stop behind the batch that has this sequence; 0 = at the end.", min=0),
    ] = 0,
    from_snapshot: Annotated[
        bool, typer.Option("--from-snapshot", help="Start at the latest snapshot, not at zero.")
    ] = False,
    settings: config.Settings,
) -> int:
    """Rebuild the state from the journal and print its hash."""
    from novate.recovery import run

    return run(settings, until=until, from_snapshot=from_snapshot)


@app.command()
@settings_flags(*WITNESS_SETTINGS)
def archive(
    *,
    keep: Annotated[
        int, typer.Option(help="Closed journal files to leave in the data folder.", min=0)
    ] = 0,
    settings: config.Settings,
) -> int:
    """Move old journal files to the archive, from where they are read as before."""
    from novate.archive import run

    return run(settings, keep)


@app.command()
@settings_flags(*WITNESS_SETTINGS)
def skip(
    *,
    seq: Annotated[
        list[int] | None,
        typer.Option(help="Skip the command of this sequence; may be repeated.", min=1),
    ] = None,
    settings: config.Settings,
) -> int:
    """Find the command that the exchange can't start over; with --seq, skip it for ever."""
    from novate.skip import run

    return run(settings, seq or [])


@app.command()
@settings_flags("data_dir", "ledger_url", *LOG_SETTINGS)
def migrate(*, settings: config.Settings) -> int:
    """Bring the ledger's tables to this version's form."""
    from novate.rebuild import run_migrate

    return run_migrate(settings)


@app.command()
@settings_flags(*STORE_SETTINGS, "ledger_url")
def rebuild(*, settings: config.Settings) -> int:
    """Drop the ledger and write it anew from the journal."""
    from novate.rebuild import run_rebuild

    return run_rebuild(settings)


@app.command()
@settings_flags(*STORE_SETTINGS, "ledger_url")
def reconcile(*, settings: config.Settings) -> int:
    """Hold the ledger's trades, entries and tables against the engine; exit 1 says what differs."""
    from novate.reconcile import run

    return run(settings)


@app.command()
@settings_flags("data_dir", "ledger_url", *LOG_SETTINGS)
def ledger_digest(*, settings: config.Settings) -> int:
    """Print a hash of every table of the ledger, and one of all."""
    from novate.rebuild import run_digest

    return run_digest(settings)


@app.command()
@settings_flags("host", "port", *LOG_SETTINGS)
def snapshot(
    *,
    url: Annotated[str, typer.Option(help="The exchange; from --host and --port if empty.")] = "",
    settings: config.Settings,
) -> int:
    """Have a running exchange take a snapshot."""
    import httpx

    base = url.rstrip("/") or f"http://{settings.host}:{settings.port}"
    try:
        reply = httpx.post(f"{base}/admin/snapshot", timeout=settings.snapshot_wait_seconds + 5)
    except httpx.HTTPError as error:
        raise NovateError(f"expected an exchange at {base}, found: {error}") from error
    print(reply.text)
    return 0 if reply.is_success else EXIT_FAULT


@app.command()
@settings_flags("host", "port", *LOG_SETTINGS)
def settle(
    *,
    cycle: Annotated[int, typer.Option(help="The cycle's number; 0 = today's date.", min=0)] = 0,
    form: Annotated[str, typer.Option("--format", help="json or csv.")] = "json",
    url: Annotated[str, typer.Option(help="The exchange; from --host and --port if empty.")] = "",
    settings: config.Settings,
) -> int:
    """Have a running exchange close its settlement cycle, and print the report."""
    from novate.settle import run

    return run(url.rstrip("/") or f"http://{settings.host}:{settings.port}", cycle, form)


@app.command()
def match(
    file: Annotated[Path, typer.Argument(help="CSV of new orders and cancels.")],
    bbo: Annotated[Path | None, typer.Option(help="Write the best bid and ask here.")] = None,
) -> None:
    """Play a CSV of orders and print the engine's reports."""
    from novate.match import run

    raise typer.Exit(run(file, bbo))


@app.command()
@settings_flags(*STORE_SETTINGS, "ledger_url")
def export(
    table: Annotated[str, typer.Argument(help="trades, orders or candles.")],
    out: Annotated[Path, typer.Option(help="The file; it appears when it is whole.")],
    *,
    form: Annotated[
        str, typer.Option("--format", help="parquet, csv or arrow; else as --out ends.")
    ] = "",
    source: Annotated[
        str, typer.Option("--from", help="Where it is read: journal or ledger.")
    ] = "journal",
    instrument: Annotated[
        list[str] | None, typer.Option(help="Only this one; may be repeated.")
    ] = None,
    interval: Annotated[str, typer.Option(help="Of candles, 1s to 1d.")] = "1m",
    since: Annotated[str, typer.Option(help="Only from this time on (ISO 8601, UTC).")] = "",
    until: Annotated[str, typer.Option(help="Only before this time.")] = "",
    first_seq: Annotated[int, typer.Option(help="Only from this sequence on.", min=1)] = 1,
    last_seq: Annotated[int, typer.Option(help="Only up to this sequence.", min=1)] = 2**63 - 1,
    settings: config.Settings,
) -> int:
    """Write trades, orders or candles into a file for other tools."""
    from novate.export.command import Options, run

    options = Options(
        table=table,
        out=out,
        form=form,
        source=source,
        instruments=tuple(instrument or ()),
        interval=interval,
        since=since,
        until=until,
        first_seq=first_seq,
        last_seq=last_seq,
    )
    return run(settings, options)


@feed.command(context_settings=OWN_COMMAND_LINE, add_help_option=False)
def binance(context: typer.Context) -> None:
    """Mirror a Binance spot market's book and trades as orders here."""
    from novate.feeds.binance.cli import main as run

    raise typer.Exit(run(context.args))


@app.command(context_settings=OWN_COMMAND_LINE, add_help_option=False)
def loadtest(context: typer.Context) -> None:
    """Load an exchange here with orders and report latencies."""
    from novate.loadtest import main as run

    raise typer.Exit(run(context.args))


@app.command()
def version() -> None:
    """Print the version."""
    print(novate.__version__)


def main() -> None:
    """Run the command line; what goes wrong is one line on stderr and an exit code, no traceback.

    Exits with 0, a verb's own code, 1 for a fault, 2 for bad usage or a bad setting and 130 after
    Ctrl-C.
    """
    keep_standard_files()
    collect_rarely()
    try:
        app()
    except ConfigurationError as error:
        _stop(str(error), EXIT_USAGE)
    except NovateError as error:
        _stop(str(error), EXIT_FAULT)
    except OSError as error:
        _stop(f"{error.filename or 'system'}: {error.strerror or error}", EXIT_FAULT)
    except InvariantViolated as error:
        _stop(f"invariant violated: {error}", EXIT_FAULT)
    except SystemExit as stop:
        if stop.code == EXIT_INTERRUPTED:  # what the framework makes of Ctrl-C, in silence
            print("novate: interrupted", file=sys.stderr)
        raise


def _stop(message: str, code: int) -> NoReturn:
    print(f"novate: {message}", file=sys.stderr)
    sys.exit(code)
