"""`novate feed binance`: options in, one line and a JSON summary out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Final

import httpx
import msgspec
import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from novate import logs
from novate.feeds import FeedError
from novate.feeds.binance import capture, live
from novate.feeds.binance.backoff import Backoff
from novate.feeds.binance.grid import Grid
from novate.feeds.binance.messages import VenueInstrument
from novate.feeds.binance.mirror import Mirror
from novate.feeds.binance.order_entry import ApiOrderEntry, ensure_instrument
from novate.feeds.binance.play import Player
from novate.feeds.binance.session import ExchangeSession

MIRROR_ID: Final = "binance-mirror"
TAKER_ID: Final = "binance-taker"
TIMEOUT_SECONDS: Final = 30.0
EXIT_DIFFERS: Final = 1


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is to do.

    Attributes:
        factor: Speed of a capture: 1 as it was, 10 ten times as fast, infinity as fast as can be.
        run: Part of every order id, new for each run on an exchange.
    """

    instrument: str
    symbol: str
    url: str
    stream_url: str
    rest_url: str
    files: list[Path]
    factor: float
    book_only: bool
    compare: bool
    keep: bool
    run: str
    tick_size: Decimal | None
    lot_size: Decimal | None


class Summary(msgspec.Struct, kw_only=True):
    """What a run did. Of a capture it is the same every time, at any speed."""

    instrument: str
    commands: int
    placed: int
    amended: int
    cancelled: int
    market_orders: int
    unfilled: int
    trades: int
    rejected: int
    trades_left_out: int
    gaps: int
    stale_diffs: int
    levels_left_out: int
    broken_books: int
    last_update_id: int
    best_bid: Decimal | None
    best_ask: Decimal | None
    compared: int
    differing: int

    def line(self) -> str:
        """One line for a person."""
        compared = f", {self.compared} tops compared, {self.differing} differ" * bool(self.compared)
        return (
            f"{self.instrument}: {self.commands} commands, {self.trades} trades, "
            f"{self.rejected} rejected, update {self.last_update_id}, "
            f"best {_shown(self.best_bid)} / {_shown(self.best_ask)}{compared}"
        )


def _shown(price: Decimal | None) -> str:
    return "none" if price is None else format(price, "f")


class Pace:
    """Holds messages back until their time, `factor` times as fast as they came in.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        factor: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._factor = factor
        self._clock = clock
        self._sleep = sleep
        self._first: tuple[int, float] | None = None

    def seconds_until(self, time_ns: int) -> float:
        """Seconds until a message is due, 0 if it is."""
        if math.isinf(self._factor):
            return 0.0
        if self._first is None:
            self._first = (time_ns, self._clock())
        first_ns, started = self._first
        due = started + (time_ns - first_ns) / 1e9 / self._factor
        return max(0.0, due - self._clock())

    async def wait(self, seconds: float) -> None:
        """Let that time pass."""
        await self._sleep(seconds)


async def play_files(player: Player, files: list[Path], pace: Pace, shown: bool) -> None:
    """Play captures one after the other, as one stream."""
    size = sum(file.stat().st_size for file in files if file.exists())
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as progress:
        bar = progress.add_task("playing", total=size)
        done = lambda count: progress.update(bar, completed=count)  # noqa: E731
        for time_ns, message in capture.read(files, done):
            delay = pace.seconds_until(time_ns)
            if delay > 0:
                await player.flush()
                await pace.wait(delay)
            await player.take(message)
        await player.flush()


async def execute(options: Options) -> Summary:
    """Do a whole run: instrument, mirror, stream or files, summary.

    Raises:
        FeedError: the exchange, a file or the venue gave what it can't go on with.
    """
    async with (
        httpx.AsyncClient(base_url=options.url, timeout=TIMEOUT_SECONDS) as http,
        httpx.AsyncClient(base_url=options.rest_url, timeout=TIMEOUT_SECONDS) as rest,
    ):
        venue = await _venue_instrument(options, rest)
        name = options.instrument
        grid = await ensure_instrument(http, name, venue.base, venue.quote, venue.grid)
        if not grid.holds(venue.grid):
            raise FeedError(
                f"expected {name} here to hold tick {venue.grid.tick:f} and lot "
                f"{venue.grid.lot:f}, found {grid.tick:f} and {grid.lot:f}"
            )
        # At top speed there is no time for anybody else: the mirror learns from answers alone.
        watched = None if options.files and math.isinf(options.factor) else MIRROR_ID
        session = ExchangeSession(options.url, name, grid, _backoff(), client_id=watched)
        entry = ApiOrderEntry(http, session, name, grid, _backoff())
        mirror = Mirror(MIRROR_ID, f"mirror-{options.run}-")
        player = Player(
            entry,
            mirror,
            grid,
            taker_id=None if options.book_only else TAKER_ID,
            id_prefix=f"taker-{options.run}-",
            compare=options.compare,
        )
        await entry.withdraw(MIRROR_ID)
        async with _connected(session, player):
            if options.files:
                pace = Pace(options.factor)
                await play_files(player, options.files, pace, sys.stderr.isatty())
                _require_book(player)
            else:
                await _play_live(player, rest, options)
        summary = await _summary(options, player, entry, grid)
        if not options.files and not options.keep:
            await entry.withdraw(MIRROR_ID)
        return summary


def _backoff() -> Backoff:
    return Backoff(random.SystemRandom())


def _require_book(player: Player) -> None:
    if not player.depth.is_synced:
        raise FeedError(
            "expected a depth snapshot that the diffs follow on, found none: "
            f"{player.depth.held} diffs held back, {player.depth.gaps} gaps"
        )


async def _venue_instrument(options: Options, rest: httpx.AsyncClient) -> VenueInstrument:
    """Assets and grid: of the options, of the capture, or of the venue's exchangeInfo."""
    base, dash, quote = options.instrument.partition("-")
    if options.tick_size and options.lot_size:
        grid = Grid(options.tick_size, options.lot_size)
        return VenueInstrument(options.symbol, base, quote if dash else base, grid)
    if options.files:
        grid = capture.grid_of(options.files)
        return VenueInstrument(options.symbol, base, quote if dash else base, grid)
    return await live.venue_instrument(rest, options.symbol, _backoff())


@contextlib.asynccontextmanager
async def _connected(session: ExchangeSession, player: Player) -> AsyncIterator[None]:
    """Keep the session up, and the mirror told of its orders, while the body runs."""
    session.on_update = player.mirror.observe
    session.on_cut = player.request_reconcile
    task = asyncio.create_task(session.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _play_live(player: Player, rest: httpx.AsyncClient, options: Options) -> None:
    """Play the live stream until SIGINT or SIGTERM."""
    stream = live.LiveStream(
        player,
        rest,
        options.stream_url,
        options.symbol,
        _backoff(),
        on_event=lambda kind, reason: logs.get("binance").info(kind, reason=reason),
    )
    task = asyncio.create_task(stream.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _summary(options: Options, player: Player, entry: ApiOrderEntry, grid: Grid) -> Summary:
    top = await entry.top_of_book()
    depth = player.depth
    return Summary(
        instrument=options.instrument,
        **msgspec.structs.asdict(player.tally),
        gaps=depth.gaps,
        stale_diffs=depth.stale,
        last_update_id=depth.last_update_id,
        best_bid=top.bid_ticks * grid.tick if top.bid_ticks else None,
        best_ask=top.ask_ticks * grid.tick if top.ask_ticks else None,
    )


def _factor(text: str) -> float:
    if text == "max":
        return math.inf
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0.001 <= factor <= 1_000_000:
        raise typer.BadParameter(f"expected max, or a factor such as 1 or 10, found {text!r}")
    return factor


def _size(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        size = Decimal(text)
    except InvalidOperation:
        size = Decimal(0)
    if not size.is_finite() or size <= 0:
        raise typer.BadParameter(f"expected a positive decimal, found {text!r}")
    return size


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def binance(
    *,
    instrument: Annotated[str, typer.Option(help="Instrument here, created if absent.")],
    symbol: Annotated[str, typer.Option(help="Symbol there; default: without the dash.")] = "",
    url: Annotated[str, typer.Option(help="The exchange.")] = "http://127.0.0.1:8000",
    stream_url: Annotated[str, typer.Option(help="The venue's WebSocket.")] = live.STREAM_URL,
    rest_url: Annotated[str, typer.Option(help="The venue's REST API.")] = live.REST_URL,
    file: Annotated[
        list[Path] | None, typer.Option(help="Play a capture instead; several are one stream.")
    ] = None,
    speed: Annotated[str, typer.Option(help="Of a capture: 1, 10, ... or max.")] = "1",
    book_only: Annotated[
        bool, typer.Option("--book-only", help="Mirror the book, leave the trades out.")
    ] = False,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Compare the best bid and ask with bookTicker's; exit 1 if one differs.",
        ),
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the mirror's orders in the book at the end.")
    ] = False,
    run: Annotated[str, typer.Option(help="Part of the order ids; default: chance.")] = "",
    tick_size: Annotated[str | None, typer.Option(help="Of an instrument to create.")] = None,
    lot_size: Annotated[str | None, typer.Option(help="Of an instrument to create.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as JSON.")] = False,
) -> None:
    """Mirror a Binance spot market's book and trades as orders here."""
    options = Options(
        instrument=instrument,
        symbol=symbol or instrument.replace("-", "").upper(),
        url=url.rstrip("/"),
        stream_url=stream_url,
        rest_url=rest_url.rstrip("/"),
        files=file or [],
        factor=_factor(speed),
        book_only=book_only,
        compare=compare,
        keep=keep,
        run=run or secrets.token_hex(4),
        tick_size=_size(tick_size),
        lot_size=_size(lot_size),
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        summary = runner.run(execute(options))
    encoder = msgspec.json.Encoder(decimal_format="number")
    print(encoder.encode(summary).decode() if as_json else summary.line())
    raise typer.Exit(EXIT_DIFFERS if summary.differing else 0)


def main(arguments: list[str]) -> int:
    """Run with these arguments; the exit code.

    Raises:
        FeedError: the run could not go on.
    """
    logs.configure()
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every request
    result = app(args=arguments, prog_name="novate feed binance", standalone_mode=False)
    return int(result or 0)
