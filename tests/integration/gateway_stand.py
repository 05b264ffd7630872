"""A gateway on a thread of its own, before a real engine and a journal that is always at once.

Its clock stands still, so that two of them answer the same requests with the same bytes.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import uvicorn
import uvloop

from novate.config import Settings
from novate.engine import Engine, Reporter
from novate.gateway.activity_reads import ActivityReads
from novate.gateway.calls import Calls
from novate.gateway.fast_lane import Lane, protocol_class
from novate.gateway.history import History
from novate.gateway.http import make_application
from novate.gateway.market_reads import MarketReads
from novate.gateway.operations import Operations
from novate.gateway.past import Past
from novate.gateway.past_candles import PastCandles
from novate.gateway.past_market import PastMarketReads
from novate.gateway.reads import Reads
from novate.gateway.throttle import Throttle
from novate.metrics import Metrics
from novate.model import codec
from novate.model.instrument import Instrument
from novate.streams.activity_window import ActivityWindow
from novate.streams.candle_window import CandleWindow
from tests.conftest import PATIENCE_SECONDS, wait_until

TIMESTAMP_NS = 1_767_225_600 * 10**9
PATIENT: dict[str, Any] = {"request_timeout_seconds": 3600, "keep_alive_seconds": 3600}
"""Limits on time that no test comes to, however slow the machine."""


class InstantSequencer:
    """Applies every command on the loop's next turn, at one and the same time."""

    def __init__(self, reporter: Reporter, loop: asyncio.AbstractEventLoop) -> None:
        self.reporter = reporter
        self.loop = loop
        self.seq = 0
        self.held: list[Any] | None = None
        self.outcomes: dict[int, bytes] = {}

    def submit(self, command: bytes, on_outcome: Any) -> None:
        self.loop.call_soon(self._answer, command, on_outcome)

    def submit_many(self, commands: list[bytes], on_outcomes: Any) -> None:
        self.loop.call_soon(lambda: on_outcomes([self.apply(each) for each in commands]))

    def _answer(self, command: bytes, on_outcome: Any) -> None:
        outcome = self.apply(command)
        if self.held is None:
            on_outcome(*outcome)
        else:
            self.held.append((on_outcome, outcome))

    def apply(self, command: bytes) -> tuple[int, bytes, bool]:
        self.seq += 1
        applied = self.reporter.apply(command, self.seq, TIMESTAMP_NS)
        self.outcomes.update(applied.outcomes)
        status, body, key_seq = applied.replies[0]
        if body is None:
            return *self.reporter.render_outcome(self.outcomes[key_seq]), True
        return status, body, False


class StandPartition:
    """A partition without a journal; a repeated key is told by the engine alone."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.number = 0
        self.engine = Engine()
        self.reporter = Reporter(self.engine)
        self.sequencer = InstantSequencer(self.reporter, loop)
        for name in ("BTC-USD", "ETH-USD"):
            instrument = Instrument(name=name, base=name[:3], quote="USD")
            self.sequencer.apply(codec.pack_create_instrument(instrument))

    def replay(self, key_digest: bytes, command_digest: int) -> tuple[int, bytes] | None:
        return None


class PushedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock can be put forward, so that what is due in an hour is due at once."""

    ahead_seconds = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_seconds


class Stand:
    """A running gateway; also what the application asks of an exchange.

    Args:
        fast_lane: Whether the fast lane is on.
        settings: The limits; without, those on time are such that no test comes to them.
        pushed: Whether its clock can be put forward, by `pass_time`.
    """

    def __init__(
        self, fast_lane: bool, settings: Settings | None = None, pushed: bool = False
    ) -> None:
        self.settings = settings or Settings(rate_limit_per_second=0, **PATIENT)
        self.fast_lane = fast_lane
        self.loop = PushedLoop() if pushed else uvloop.new_event_loop()
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.partition = StandPartition(self.loop)
        self.metrics = Metrics(self.partition.reporter)
        throttle = Throttle(
            self.settings.rate_limit_per_second, self.settings.rate_limit_burst, 1000
        )
        self.operations = Operations(self.partition, throttle, self.metrics)
        self.server = self._make_server()
        self.thread = threading.Thread(target=self._run)

    def _make_server(self) -> uvicorn.Server:
        instruments = self.operations.validator.instruments
        reads = Reads(self.partition.reporter, instruments)
        history = History(self.settings, self.loop, None)
        past = Past(reads, self.partition.reporter, history)
        window = CandleWindow(self.loop, 86_400, 100_000)
        live = MarketReads(self.partition.engine, instruments, window)
        market = PastMarketReads(live, history)
        seen = ActivityWindow(self.loop, self.partition.engine, 10_000)
        activity = ActivityReads(reads, seen, history)
        candles = PastCandles(reads, window, history)
        calls = Calls(self.operations, reads, past, candles, market, activity)
        self.lane = Lane(calls, self.settings, self.metrics, self.fast_lane)
        config = uvicorn.Config(
            make_application(self, calls), http=protocol_class(self.lane), ws="none",
            lifespan="off", log_config=None, access_log=False, server_header=False,
            timeout_graceful_shutdown=int(PATIENCE_SECONDS),
        )  # fmt: skip
        return uvicorn.Server(config)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self.server.serve([self.listener]))
        self.loop.close()

    def __enter__(self) -> Stand:
        self.thread.start()
        wait_until(lambda: self.server.started, what="a started gateway")
        return self

    def __exit__(self, *exception: object) -> None:
        self.server.should_exit = True
        self.thread.join(PATIENCE_SECONDS)
        self.listener.close()
        assert not self.thread.is_alive()

    def connect(self) -> socket.socket:
        """A new connection, with a deadline on everything."""
        return socket.create_connection(self.address, timeout=PATIENCE_SECONDS)

    def read_what_was_sent(self) -> None:
        """Come back when the gateway has read all that was sent to it before."""
        asking = HTTPConnection(*self.address, timeout=PATIENCE_SECONDS)
        with closing(asking):
            asking.request("GET", "/readyz")
            assert asking.getresponse().status == 200

    def pass_time(self, seconds: float) -> None:
        """Put the clock of a pushed one forward."""
        loop = self.loop
        assert isinstance(loop, PushedLoop)
        ahead = loop.ahead_seconds + seconds
        self._on_the_loop(lambda: setattr(loop, "ahead_seconds", ahead))

    def hold(self, on: bool) -> None:
        """Hold answers back, as a slow disk does, or let those held go."""

        def switch() -> None:
            sequencer = self.partition.sequencer
            held, sequencer.held = sequencer.held or [], [] if on else None
            for on_outcome, outcome in held:
                on_outcome(*outcome)

        self._on_the_loop(switch)

    def _on_the_loop(self, act: Callable[[], object]) -> None:
        done = threading.Event()

        def run() -> None:
            act()
            done.set()

        self.loop.call_soon_threadsafe(run)
        assert done.wait(PATIENCE_SECONDS)

    # --- what the application asks of an exchange -------------------------------------------------

    def health(self) -> tuple[int, dict[str, Any]]:
        return 200, {"status": "healthy"}

    def readiness(self) -> tuple[int, dict[str, Any]]:
        return 200, {"status": "ready"}

    def status(self) -> dict[str, Any]:
        return {"sequence": self.partition.sequencer.seq}

    def snapshots(self) -> list[dict[str, Any]]:
        return []

    async def take_snapshot(self) -> dict[str, Any]:
        raise RuntimeError("a failure that is ours")
