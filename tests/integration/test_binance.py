"""A real market through the running exchange: from a capture and from a stream that plays it."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import httpx
import numpy as np
import pytest

from novate.engine import Engine
from novate.journal.disk import RealDisk
from novate.journal.reading import JournalReader
from novate.model.events import EventKind
from tests.conftest import (
    PATIENCE_SECONDS,
    ROOT,
    SOAK,
    Server,
    free_port,
    wait_until,
    wait_until_async,
)
from tests.integration.binance_venue import Venue, capture_messages

CAPTURES = ROOT.parent / "shared" / "data" / "binance"
FILES = [CAPTURES / "ethusdt_20240808.gz", CAPTURES / "ethusdt_20240809.gz"]
INSTRUMENT = "ETH-USDT"
MESSAGES = 4_000
SHORT_MESSAGES = 6_000
"""Of each of the two files that an ordinary run plays: the captures' beginning, in two parts."""

COUNTS = {
    "commands": 271_638,
    "placed": 83_596,
    "amended": 124_596,
    "cancelled": 63_446,
    "market_orders": 14_515,
    "unfilled": 0,
    "trades": 16_086,
    "rejected": 0,
    "last_update_id": 35_346_924_199,
}
"""What both captures with their trades come to, on any machine."""

SHORT_COUNTS = {
    "commands": 37_310,
    "placed": 12_577,
    "amended": 16_515,
    "cancelled": 8_218,
    "market_orders": 1_920,
    "unfilled": 0,
    "trades": 2_067,
    "rejected": 0,
    "last_update_id": 35_346_567_594,
}
"""What the two short files come to."""

SECONDS_MAX = 280
"""A run of both captures takes a tenth of this or less on a quiet machine."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * SECONDS_MAX)]


def require_captures() -> None:
    """Skip where the market's data is not there, but on CI, where it has to be."""
    if not all(path.exists() for path in FILES):
        missing = f"no captures at {CAPTURES}: the market's data is not part of this project"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)


@pytest.fixture(scope="module", autouse=True)
def _captures() -> None:
    require_captures()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What is played as one stream: both captures, or in an ordinary run their beginning."""
    if SOAK:
        return FILES
    folder = tmp_path_factory.mktemp("captures")
    parts = [folder / f"part-{number}.gz" for number in range(2)]
    with gzip.open(FILES[0], "rb") as lines:
        for part in parts:
            part.write_bytes(gzip.compress(b"".join(islice(lines, SHORT_MESSAGES))))
    return parts


def shared_updates(files: list[Path]) -> int:
    """How many update ids, from the snapshot on, the depth and the bookTicker stream both have."""
    told: set[int] = set()
    steps: set[int] = set()
    snapshot = 0
    for path in files:
        with gzip.open(path, "rb") as lines:
            for line in lines:
                message = json.loads(line.partition(b" ")[2])
                if "lastUpdateId" in message:
                    snapshot = snapshot or message["lastUpdateId"]
                    steps.add(message["lastUpdateId"])
                elif message["stream"].endswith("@bookTicker"):
                    told.add(message["data"]["u"])
                elif "@depth" in message["stream"]:
                    steps.add(message["data"]["u"])
    assert snapshot, "the captures have no snapshot of the book"
    return sum(1 for update in steps & told if update >= snapshot)


def feed_command(server: Server, *arguments: str) -> list[str]:
    command = [sys.executable, "-m", "novate", "feed", "binance", "--instrument", INSTRUMENT]
    return [*command, "--url", server.url, "--json", *arguments]


def play_files(server: Server, files: list[Path], *arguments: str) -> dict[str, int | float]:
    """Play files as one stream; the summary."""
    named = [each for path in files for each in ("--file", str(path))]
    return play(server, *named, "--speed", "max", *arguments)


def play(server: Server, *arguments: str) -> dict[str, int | float]:
    """Run the feed to its end; the summary."""
    command = feed_command(server, *arguments)
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS_MAX)
    assert run.returncode == 0, run.stderr[-4000:] + run.stdout
    return dict(json.loads(run.stdout))


def novate(server: Server, verb: str) -> str:
    command = [sys.executable, "-m", "novate", verb, "--data-dir", str(server.data_dir)]
    run = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )
    assert run.returncode == 0, run.stderr[-4000:]
    return run.stdout


def check_conservation(data_dir: Path) -> int:
    """Replay the journal: bought = sold, entered = filled + open + ended; the number of trades."""
    engine = Engine()
    tables = []
    for record in JournalReader(data_dir, RealDisk()).read(1):
        batch = record.batch
        tables.append(engine.apply(batch.commands, batch.first_seq, batch.timestamp_ns))
    engine.check_invariants()
    events = np.concatenate(tables)
    trades = events[events["kind"] == EventKind.TRADE]
    orders = events[events["kind"] == EventKind.ORDER_ACCEPTED]
    totals = dict(zip(orders["order"].tolist(), orders["quantity_lots"].tolist(), strict=True))
    amended = events[events["kind"] == EventKind.ORDER_AMENDED]
    totals |= dict(zip(amended["order"].tolist(), amended["quantity_lots"].tolist(), strict=True))
    filled = dict.fromkeys(totals, 0)
    for name in ("order", "taker"):
        for order, lots in zip(
            trades[name].tolist(), trades["quantity_lots"].tolist(), strict=True
        ):
            filled[order] += lots
    ended = events[events["kind"] == EventKind.ORDER_ENDED]
    unfilled = dict(zip(ended["order"].tolist(), ended["quantity_lots"].tolist(), strict=True))
    assert all(filled[order] <= total for order, total in totals.items())
    assert all(filled[order] + rest == totals[order] for order, rest in unfilled.items())
    still_open = sum(
        total - filled[order] for order, total in totals.items() if order not in unfilled
    )
    bids, asks = engine.depth(engine.instrument_index(INSTRUMENT), 1_000_000)
    assert int(bids["quantity_lots"].sum() + asks["quantity_lots"].sum()) == still_open
    return len(trades)


def test_the_book_alone_has_the_venues_best_prices_at_every_shared_update(
    server: Server, files: list[Path]
) -> None:
    summary = play_files(server, files, "--book-only", "--compare")
    print(f"\nbook only: {summary}")
    assert summary["compared"] == shared_updates(files) > 0
    assert summary["differing"] == 0
    assert (summary["trades"], summary["rejected"], summary["gaps"]) == (0, 0, 0)


@pytest.mark.parametrize("run", ["first", "again"] if SOAK else ["first"])
def test_the_market_with_its_trades_keeps_every_law_and_counts_the_same_every_time(
    server: Server, files: list[Path], run: str
) -> None:
    summary = play_files(server, files, "--compare")
    print(f"\nwith trades, {run}: {summary}")
    assert summary["compared"] == shared_updates(files) > 0
    assert summary["differing"] == 0
    assert summary["best_bid"] < summary["best_ask"]
    counts = COUNTS if SOAK else SHORT_COUNTS
    assert {name: summary[name] for name in counts} == counts
    assert server.stop() == 0
    assert "journal: whole" in novate(server, "verify")
    assert "state " in novate(server, "replay")
    assert check_conservation(server.data_dir) == summary["trades"]


def capture_part(folder: Path) -> Path:
    """The first messages of the captures, in a file."""
    part = folder / "part"
    with gzip.open(FILES[0], "rb") as lines:
        part.write_bytes(b"".join(islice(lines, MESSAGES)))
    return part


def test_a_part_of_the_market_counts_the_same_twice(server: Server, tmp_path: Path) -> None:
    part = capture_part(tmp_path)
    counts = []
    for speed, run in (("max", "a"), ("100", "b")):
        summary = play(server, "--file", str(part), "--speed", speed, "--run", run)
        print(f"\npart at speed {speed}: {summary}")
        counts.append(summary)
    assert counts[0] == counts[1]
    assert counts[0]["trades"] > 0


def seq_of(client: httpx.Client) -> int:
    """The sequence that last changed the book; 0 where there is no book yet."""
    reply = client.get("/orderbook", params={"instrument": INSTRUMENT, "levels": 1})
    return int(reply.json()["sequence"]) if reply.status_code == 200 else 0


def test_an_exchange_that_is_killed_and_comes_back_has_everything_once(
    make_server, tmp_path: Path
) -> None:
    part = capture_part(tmp_path)
    undisturbed = play(make_server().start(), "--file", str(part), "--speed", "max")
    server = make_server().start()
    command = feed_command(server, "--file", str(part), "--speed", "max", "--compare")
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as feed,
        httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client,
    ):
        for commands in (3_000, 6_000, 9_000):
            wait_until(lambda at_least=commands: seq_of(client) > at_least)
            server.kill()
            server.start()
        output, errors = feed.communicate(timeout=PATIENCE_SECONDS)
    assert feed.returncode == 0, errors[-4000:]
    summary = json.loads(output)
    print(f"\nkilled three times: {summary}")
    assert summary.pop("compared") > 0
    assert summary["differing"] == undisturbed.pop("compared") == 0
    same = ("market_orders", "rejected", "last_update_id", "best_bid", "best_ask", "trades")
    assert [summary[name] for name in same] == [undisturbed[name] for name in same]
    assert server.stop() == 0
    assert check_conservation(server.data_dir) == summary["trades"]


# --- the live stream ------------------------------------------------------------------------------


class Feed:
    """`novate feed binance` in its own process, on a venue's stream."""

    def __init__(self, server: Server, venue: Venue | str, log: Path, *arguments: str) -> None:
        self._log = log
        address = venue if isinstance(venue, str) else venue.address
        addresses = ["--stream-url", f"ws://{address}", "--rest-url", f"http://{address}"]
        command = feed_command(server, *addresses, *arguments)
        with log.open("wb") as errors:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def is_up(self) -> bool:
        assert self._process.poll() is None, self.log()
        return True

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")[-4000:]

    async def stop(self) -> dict[str, int | float]:
        """Ask it to stop; its summary."""
        self._process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.to_thread(self._process.communicate, timeout=PATIENCE_SECONDS)
        assert self._process.returncode == 0, self.log()
        return dict(json.loads(output))


async def book_here(http: httpx.AsyncClient) -> tuple[dict[float, float], dict[float, float]]:
    """Our book: bids and asks, price to quantity; up to a thousand levels each."""
    reply = await http.get("/orderbook", params={"instrument": INSTRUMENT, "levels": 1000})
    if reply.status_code != 200:
        return {}, {}
    sides = (reply.json()["bids"], reply.json()["asks"])
    bids, asks = ({level["price"]: level["quantity"] for level in side} for side in sides)
    return bids, asks


def best_levels(levels: dict[float, float], highest_first: bool) -> dict[float, float]:
    best = sorted(levels, reverse=highest_first)[:1000]
    return {price: levels[price] for price in best}


async def same_book(http: httpx.AsyncClient, venue: Venue, feed: Feed) -> None:
    """Wait until our book is the venue's, level by level."""
    bids, asks = venue.levels()
    expected = (best_levels(bids, True), best_levels(asks, False))
    here: list[object] = []

    def equal() -> bool:
        return feed.is_up() and bool(here) and here[-1] == expected

    async def poll() -> None:
        while not equal():
            here[:] = [await book_here(http)]

    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await poll()
    except TimeoutError:
        raise AssertionError(f"the books differ: {feed.log()}") from None


@pytest.mark.parametrize("book_only", [True, False])
def test_the_stream_survives_a_cut_and_a_gap_and_ends_with_the_right_book(
    server: Server, tmp_path: Path, book_only: bool
) -> None:
    messages = list(capture_messages(FILES[0], MESSAGES))
    last_diff = max(n for n, each in enumerate(messages) if "@depth" in each.get("stream", ""))
    messages = messages[: last_diff + 1]
    diffs = [n for n, each in enumerate(messages) if "@depth" in each.get("stream", "")]
    snapshot_at = next(n for n, each in enumerate(messages) if "lastUpdateId" in each)
    # Where no trade waits for the diff that tells of it, our book is the venue's.
    quiet = next(
        n for n in range(len(diffs) // 2, len(diffs) - 3)
        if not any("@trade" in each.get("stream", "") for each in messages[diffs[n - 1] : diffs[n]])
    )  # fmt: skip
    swallowed = set(diffs[quiet : quiet + 3])
    cut_at = diffs[len(diffs) // 4]

    async def run() -> dict[str, int | float]:
        async with (
            Venue() as venue,
            httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_SECONDS) as http,
        ):
            venue.refuse_snapshots = 1
            for message in messages[: snapshot_at + 1]:
                venue.happen(message)
            arguments = ["--book-only"] if book_only else []
            with Feed(server, venue, tmp_path / "feed.log", *arguments) as feed:
                await wait_until_async(lambda: feed.is_up() and venue.is_connected)
                for number, message in enumerate(messages[snapshot_at + 1 :], snapshot_at + 1):
                    if number == min(swallowed):  # only a book that lives can miss something
                        await same_book(http, venue, feed)
                    if number == cut_at:
                        await wait_until_async(lambda: venue.snapshots_served > 0)
                        venue.cut()
                        for missed in messages[number : number + 200]:
                            venue.happen(missed)
                        await wait_until_async(lambda: venue.connections == 2)
                    if number in swallowed:
                        venue.happen(message)
                    elif not cut_at <= number < cut_at + 200:
                        await venue.tell(message)
                await same_book(http, venue, feed)
                assert venue.connections == 2
                summary = await feed.stop()
                assert await book_here(http) == ({}, {})  # withdrawn: nobody keeps it up to date
                return summary

    summary = asyncio.run(run())
    assert summary["gaps"] >= 1
    assert summary["rejected"] == 0
    assert (summary["market_orders"] == 0) is book_only


def test_what_a_user_takes_is_back_with_the_next_diff(server: Server, tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            Venue() as venue,
            httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_SECONDS) as http,
        ):
            venue.bids |= {"2683.80": "3.0", "2683.70": "1.5"}
            venue.asks |= {"2683.90": "2.0", "2684.00": "4.0"}
            with Feed(server, venue, tmp_path / "feed.log") as feed:
                await wait_until_async(lambda: feed.is_up() and venue.is_connected)
                await venue.diff({}, {"2684.10": "1.0"})
                await same_book(http, venue, feed)
                order = {"client_id": "user", "instrument": INSTRUMENT, "side": "buy"}
                order |= {"type": "market", "quantity": 2.5}
                reply = await http.post("/orders", json=order)
                assert reply.status_code == 201
                assert [each["price"] for each in reply.json()["trades"]] == [2683.9, 2684]
                assert (await book_here(http))[1] == {2684.0: 3.5, 2684.1: 1.0}
                # The next diffs name other levels; what was taken comes back all the same.
                await venue.diff({"2683.60": "1.0"}, {})
                await venue.diff({"2683.60": "2.0"}, {})
                await same_book(http, venue, feed)

    asyncio.run(run())


def test_a_users_order_trades_when_the_market_comes_to_it(server: Server, tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            Venue() as venue,
            httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_SECONDS) as http,
        ):
            venue.bids |= {"2683.80": "3.0"}
            venue.asks |= {"2683.90": "2.0"}
            with Feed(server, venue, tmp_path / "feed.log") as feed:
                await wait_until_async(lambda: feed.is_up() and venue.is_connected)
                await venue.diff({}, {"2684.10": "1.0"})
                await same_book(http, venue, feed)
                order = {"client_id": "user", "instrument": INSTRUMENT, "side": "buy"}
                order |= {"type": "limit", "price": 2683.85, "quantity": 1, "order_id": "user-1"}
                assert (await http.post("/orders", json=order)).status_code == 201
                await venue.diff({"2683.80": "0", "2683.70": "1.0"}, {"2683.80": "5.0"})
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while (await http.get("/orders/user-1")).json()["status"] != "filled":
                        assert feed.is_up()
                filled = (await http.get("/orders/user-1")).json()
                assert filled["average_price"] == 2683.85

    asyncio.run(run())


def test_a_venue_that_is_away_at_the_start_is_waited_for(server: Server, tmp_path: Path) -> None:
    async def run() -> None:
        port = free_port()
        with Feed(server, f"127.0.0.1:{port}", tmp_path / "feed.log") as feed:
            await wait_until_async(
                lambda: feed.is_up() and "no exchange info" in feed.log(), 20, "a first try"
            )
            venue = Venue(port)
            venue.refuse_info = 1
            venue.bids |= {"2683.80": "3.0"}
            venue.asks |= {"2683.90": "2.0"}
            async with (
                venue,
                httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_SECONDS) as http,
            ):
                await wait_until_async(lambda: feed.is_up() and venue.is_connected)
                assert "status 503" in feed.log()
                await venue.diff({}, {"2684.10": "1.0"})
                await same_book(http, venue, feed)
                await feed.stop()

    asyncio.run(run())


def test_a_symbol_that_the_venue_does_not_have_ends_the_feed(
    server: Server, tmp_path: Path
) -> None:
    async def run() -> tuple[int, str]:
        async with Venue() as venue:
            address = f"http://{venue.address}"
            command = feed_command(server, "--rest-url", address, "--symbol", "NOSUCH")
            feed = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
            async with asyncio.timeout(PATIENCE_SECONDS):
                _, errors = await feed.communicate()
            return feed.returncode or 0, errors.decode()

    code, errors = asyncio.run(run())
    assert (code, "NOSUCH" in errors) == (1, True)
