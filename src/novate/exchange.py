"""The exchange: every stage made once, in the order of the flow, and wired to the next.

This is the composition root: it decides who knows whom, and nothing else. It also ends what it
began: on SIGTERM new commands are refused, what was taken is finished, and every part is closed in
the reverse order.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import socket
import sys
import time
from typing import Any, Final

import uvicorn

import novate
from novate import logs
from novate.alarm import Alarm
from novate.config import Settings
from novate.cutoff_watch import CutoffWatch
from novate.engine import Accounts, Engine, Reporter, Switches
from novate.gateway.account_texts import account_channel
from novate.gateway.accounts import AccountReads
from novate.gateway.activity_reads import ActivityReads
from novate.gateway.busts import Busts
from novate.gateway.calls import Calls
from novate.gateway.clearing import Clearing
from novate.gateway.fast_lane import Lane, protocol_class
from novate.gateway.history import History, ledger_opener
from novate.gateway.http import make_application
from novate.gateway.market_reads import MarketReads
from novate.gateway.operations import Operations
from novate.gateway.past import Past
from novate.gateway.past_accounts import PastAccounts
from novate.gateway.past_candles import PastCandles
from novate.gateway.past_market import PastMarketReads
from novate.gateway.problems import problem
from novate.gateway.reads import Reads
from novate.gateway.server import Server, ends_quietly
from novate.gateway.sessions import Sessions
from novate.gateway.switches import SwitchReads
from novate.gateway.throttle import Throttle
from novate.gateway.waiting_room import WaitingRoom
from novate.gateway.websocket import StreamDesk
from novate.gateway.ws_lane import LaneLimits, lane_class
from novate.journal.disk import Disk
from novate.journal.interface import OpenJournal
from novate.journal.snapshots import SnapshotStore
from novate.listening import listen
from novate.metrics import Metrics
from novate.model import codec
from novate.model.errors import NotAccepting
from novate.order_log import OrderLog
from novate.outcomes import OutcomeStore
from novate.process import FILES_KEPT, connections_allowed, say, tune_process
from novate.recovery import Progress, Recovered, open_partition
from novate.sequencer import Bounds, Sequencer, Standing
from novate.streams.activity_window import ActivityWindow
from novate.streams.candle_window import CandleWindow
from novate.streams.publisher import Publisher
from novate.supervisor import FollowerDown, FollowerSupervisor, SnapshotFailed

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
STOP_SHARE: Final = 0.6
"""Share of the time for a stop that goes to finishing batches; the rest closes connections."""

EXIT_FAILED: Final = 1

log = logs.get("exchange")


class Partition:
    """A set of instruments with its own engine, journal and sequencer: a value, never a global.

    Attributes:
        number: Its number, which records, snapshots and server-made order ids carry.
        engine: The state.
        reporter: Reads it.
        journal: What the state is a function of.
        outcomes: First answers to idempotency keys.
        sequencer: The way in.
    """

    def __init__(self, number: int, recovered: Recovered, bounds: Bounds) -> None:
        self.number = number
        self.engine: Engine = recovered.engine
        self.reporter: Reporter = recovered.reporter
        self.journal: OpenJournal = recovered.journal
        self.outcomes = OutcomeStore(self.journal, recovered.pending)
        self.sequencer = Sequencer(
            self.journal,
            self.reporter,
            self.outcomes,
            Standing(recovered.seq, recovered.timestamp_ns, recovered.events_hash, recovered.rules),
            bounds=bounds,
            epoch=self.journal.epoch,
        )

    def replay(self, key_digest: bytes, command_digest: int) -> tuple[int, bytes] | None:
        """The first answer to an idempotency key: (status, body), None if the key is unknown.

        A key that came with another command is a 422; an answer that can't be read is a 503, and
        never a second order.
        """
        found = self.engine.find_key(key_digest)
        if found is None:
            return None
        seq, digest, _ = found
        if digest != command_digest:
            detail = "the idempotency key was used before, with another body"
            return 422, problem(422, "idempotency_key_reused", detail)
        image = self.outcomes.find(seq)
        if image is None:
            detail = f"the first answer to this key (sequence {seq}) cannot be read"
            return 503, problem(503, "outcome_unavailable", detail)
        status, body = self.reporter.render_outcome(image)
        return status, body


class Exchange:
    """One exchange on one machine. Made on its event loop; `start`, then `stop`.

    Args:
        settings: All of them.
        disk: Where the data folder is; the real disk if None.
        progress: Told how far the recovery is.

    Raises:
        NovateError: the data folder can't be opened, recovered or believed.
    """

    def __init__(
        self, settings: Settings, disk: Disk | None = None, progress: Progress | None = None
    ) -> None:
        self.settings = settings
        self._began = time.monotonic()
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        # 1. The data folder: locked, its journal opened, its state rebuilt.
        self.recovered = open_partition(settings, disk, progress=progress)

        # 2. The writer, the clock and the queue before them.
        self.partition = Partition(settings.partition, self.recovered, bounds_of(settings))
        sequencer = self.partition.sequencer

        # 3. What is counted and logged of every batch.
        self.metrics = Metrics(self.partition.reporter, settings.metrics_instruments_max)
        self._order_log = make_order_log(settings, self.metrics)

        # 4. The streams.
        loop = asyncio.get_running_loop()
        reporter = self.partition.reporter
        self.window = CandleWindow.warmed(loop, settings, reporter)
        self.activity = ActivityWindow(loop, reporter.engine, settings.activity_rows_max)
        self.publisher = Publisher(
            reporter, loop, settings, self.metrics, window=self.window,
            accounts=account_channel(reporter, settings.partition),
        )  # fmt: skip

        # 5. The gateway: the same operations behind HTTP and WebSocket.
        throttle = Throttle(
            settings.rate_limit_per_second,
            settings.rate_limit_burst,
            settings.rate_limit_clients_max,
        )
        self.operations = Operations(
            self.partition, throttle, self.metrics, settings.default_instrument
        )

        # 6. The follower, in a process of its own.
        self.store = SnapshotStore(
            settings.data_dir, disk, settings.snapshots_kept, settings.partition
        )
        self.follower = FollowerSupervisor(settings)

        # 7. The way to what the follower writes.
        self.history = History(settings, loop, ledger_opener(settings))
        self.follower.on_ledger_up = self.history.probe

        # 8. Who hears of a batch that is durable and applied, after its clients were answered.
        sequencer.on_second.append(self.activity.before_second)
        sequencer.on_applied += [self.window.on_applied, self.publisher.on_applied]
        sequencer.on_applied += [self.activity.on_applied, self.metrics.on_applied]
        sequencer.on_part += [self.window.on_part, self.publisher.on_part]
        if self._order_log is not None:
            sequencer.on_applied.append(self._order_log.on_applied)
            sequencer.on_part.append(self._order_log.on_part)
            self._order_log.want_updates = self.publisher.keep_updates
            self.publisher.keep_updates(True)
        self._alarm = Alarm(sequencer, self.partition.engine.next_due_ns, time.time_ns, loop)
        self._cutoffs = CutoffWatch(Accounts(self.partition.engine))
        sequencer.on_applied += [self._alarm.look, self._cutoffs.look]
        sequencer.on_commit.append(self.metrics.commit)
        sequencer.on_failed.append(self._on_failed)
        self.metrics.queue_depth = lambda: sequencer.depth
        self.metrics.follower_lag = self._follower_lag
        self.metrics.ledger_lag = lambda: self.follower.ledger.lag(sequencer.seq)
        self.metrics.ledger_up = lambda: self.follower.ledger.state == "up"
        self.metrics.cutoff_missed = lambda: bool(self._cutoffs.fault)
        self.metrics.log_lines_lost = logs.lines_lost

    async def start(self) -> None:
        """Begin what runs beside the requests."""
        self.follower.start()
        self._alarm.look()

    async def stop(self) -> bool:
        """Refuse new commands and finish those taken; True if nothing taken was given up."""
        self.follower.stopping = True
        self._alarm.stop()
        return await self.partition.sequencer.stop(self.settings.shutdown_seconds * STOP_SHARE)

    async def close(self) -> None:
        """Let go of everything; after `stop`, and when no request can come any more."""
        self.history.close()
        await self.follower.stop()
        self.recovered.close()

    def _on_failed(self, why: str) -> None:
        self.end(EXIT_FAILED)
        self.publisher.close()  # what it holds may be of a batch that came to nothing
        log.critical("stopping", why=why, exit_code=EXIT_FAILED)

    def end(self, code: int) -> None:
        """Have `serve` stop and exit with this code; the first one counts."""
        if not self.ended.done():
            self.ended.set_result(code)

    # --- what the operator asks -------------------------------------------------------------------

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """HTTP status and body of /readyz."""
        sequencer = self.partition.sequencer
        state = sequencer.state
        if state == "running":
            return 200, {"status": "ready"}
        return 503, {"status": "not_ready", "state": state, "reason": sequencer.why}

    def health(self) -> tuple[int, dict[str, Any]]:
        """HTTP status and body of /healthz."""
        sequencer, follower = self.partition.sequencer, self.follower
        state = sequencer.state
        journal: dict[str, Any] = {"status": "ok" if state in ("running", "stopping") else state}
        if sequencer.why:
            journal["reason"] = sequencer.why
        if self.settings.relaxed_ms:
            journal["loss_window_ms"] = self.settings.relaxed_ms
            journal["unsynced_ms"] = round(sequencer.unsynced_seconds * 1000, 3)
        lag = self._follower_lag()
        follow: dict[str, Any] = {"status": follower.state, "lag_sequences": lag}
        silence = follower.silence()
        if follower.why or silence:
            follow["reason"] = follower.why or silence
        behind = lag is not None and lag > self.settings.follower_lag_max
        well = follower.state in ("running", "starting", "off") and not (behind or silence)
        well = well and not follower.snapshot_fault and not follower.journal_fault
        ledger, written = follower.ledger, sequencer.seq
        well = well and ledger.is_well(written, self.settings.ledger_lag_max)
        well = well and not self._cutoffs.fault
        overall = "healthy" if well else "degraded"
        if journal["status"] != "ok":
            overall = "unhealthy"
        return 503 if overall == "unhealthy" else 200, {
            "status": overall,
            "timestamp": _iso(time.time_ns()),
            "checks": {
                "journal": journal,
                "follower": follow,
                "snapshots": _check("failing", follower.snapshot_fault),
                "archive": _check("damaged", follower.journal_fault),
                "ledger": ledger.check(written),
                "settlement": _check("cutoff_missed", self._cutoffs.fault),
            },
        }

    def status(self) -> dict[str, Any]:
        """Body of /admin/status."""
        sequencer, tally = self.partition.sequencer, self.partition.sequencer.tally
        return {
            "version": novate.__version__,
            "python": sys.version.split()[0],
            "pid": os.getpid(),
            "partition": self.partition.number,
            "uptime_seconds": round(time.monotonic() - self._began, 3),
            "state": sequencer.state,
            "reason": sequencer.why or None,
            "sequence": sequencer.seq,
            "events_hash": sequencer.events_hash.hex(),
            "queue": {
                "depth": sequencer.depth,
                "commands_max": self.settings.queue_commands_max,
                "refused": tally.refused,
            },
            "batches": {
                "count": tally.batches,
                "commands": tally.commands,
                "commands_last": tally.batch_commands_last,
                "commands_max": tally.batch_commands_max,
            },
            "commit_ms": {
                "last": tally.commit_ns_last / 1e6,
                "max": tally.commit_ns_max / 1e6,
                "mean": round(tally.commit_ns_total / max(1, tally.batches) / 1e6, 6),
            },
            "durability": self._durability(),
            "recovery": {
                "seconds": round(self.recovered.seconds, 3),
                "snapshot_sequence": self.recovered.snapshot_seq or None,
                "replayed_commands": self.recovered.replayed_commands,
                "warnings": self.recovered.warnings,
            },
            "follower": self._follower_status(),
            "ledger": self.follower.ledger.check(sequencer.seq),
            "usage": {**self.partition.engine.usage(), "candle_rows": self.window.rows},
            "idempotency": self._idempotency_reach(),
        }

    def _durability(self) -> dict[str, Any]:
        window = self.settings.relaxed_ms
        return {
            "mode": self.settings.durability,
            "journal": self.partition.journal.place,
            "loss_window_ms": window,
            "unsynced_ms": round(self.partition.sequencer.unsynced_seconds * 1000, 3),
        }

    def _follower_status(self) -> dict[str, Any]:
        follower = self.follower
        files = self.store.list()
        return {
            "state": follower.state,
            "reason": follower.why or None,
            "pid": follower.pid or None,
            "sequence": follower.seq,
            "lag_sequences": self._follower_lag(),
            "restarts": follower.restarts,
            "last_snapshot": self.snapshots()[0] if files else None,
        }

    def _idempotency_reach(self) -> dict[str, Any]:
        """How far back a key is answered now: the age of the oldest one that is held."""
        usage = self.partition.engine.usage()
        oldest = usage.get("key_oldest_ns", 0)
        return {
            "keys": usage.get("keys", 0),
            "keys_max": self.settings.idempotency_keys_max,
            "window_hours": self.settings.idempotency_window_hours,
            "oldest": _iso(oldest) if oldest else None,
            "reach_seconds": round((time.time_ns() - oldest) / 1e9, 3) if oldest else None,
        }

    def _follower_lag(self) -> int | None:
        if self.follower.state in ("off", "starting"):
            return None
        return max(0, self.partition.sequencer.seq - self.follower.seq)

    def snapshots(self) -> list[dict[str, Any]]:
        """Every snapshot kept, newest first."""
        return [
            {
                "sequence": file.seq,
                "timestamp": _iso(file.timestamp_ns),
                "bytes": file.bytes,
                "path": str(file.path),
                "state_hash": file.state_hash,
            }
            for file in self.store.list()
        ]

    async def take_snapshot(self) -> dict[str, Any]:
        """A snapshot at the sequence where this was asked, once it is persisted.

        Raises:
            NotAccepting: the follower is down, its snapshot failed or is late, or the
                exchange takes no commands.
        """
        seconds = self.settings.snapshot_wait_seconds
        try:
            self.follower.require_running()
            async with asyncio.timeout(seconds):
                seq = await self._request_snapshot()
            taken = await self.follower.snapshot_at(seq, seconds)
        except FollowerDown as down:
            raise NotAccepting("follower_down", f"no snapshot can be taken: {down}", 5) from None
        except SnapshotFailed as fault:
            raise NotAccepting("snapshot_failed", str(fault), 5) from None
        except TimeoutError:
            why = self.partition.sequencer.why or "the journal is slow"
            raise NotAccepting("journal_stalled", f"no snapshot can be taken: {why}", 5) from None
        return {
            "sequence": taken.seq,
            "timestamp": _iso(taken.timestamp_ns),
            "bytes": taken.bytes,
            "path": taken.path,
            "state_hash": taken.state_hash,
        }

    async def _request_snapshot(self) -> int:
        """Journal the request; the seq that its batch ends with, behind which it is taken."""
        sequencer = self.partition.sequencer
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def on_outcome(status: int, body: bytes, replayed: bool) -> None:
            if future.done():
                return
            if status >= 400:
                future.set_exception(NotAccepting("exchange_stopped", sequencer.why, 5))
            else:
                future.set_result(sequencer.seq)

        sequencer.submit(codec.pack_take_snapshot(), on_outcome)
        return await future


def _check(word: str, fault: str) -> dict[str, str]:
    """A check of /healthz: ok, or that word and the fault."""
    return {"status": word, "reason": fault} if fault else {"status": "ok"}


def _iso(timestamp_ns: int) -> str:
    return codec.format_time(timestamp_ns // 1000).decode()


def bounds_of(settings: Settings) -> Bounds:
    """The sequencer's bounds as the settings give them."""
    return Bounds(
        queue_commands_max=settings.queue_commands_max,
        batch_commands_max=settings.batch_commands_max,
        relaxed_ms=settings.relaxed_ms,
        stall_seconds=settings.journal_stall_seconds,
        probe_seconds=settings.journal_probe_seconds,
    )


def make_order_log(settings: Settings, metrics: Metrics) -> OrderLog | None:
    """The order log, None where the level leaves its lines out."""
    if settings.log_level not in ("debug", "info"):
        return None
    loop = asyncio.get_running_loop()
    order_log = OrderLog(
        logs.lines("orders", loop.call_soon),
        settings.log_orders_per_second_max,
        metrics,
        loop.call_later,
    )
    metrics.on_rejected = order_log.refused
    return order_log


# --- serving --------------------------------------------------------------------------------------


def make_server(exchange: Exchange) -> Server:
    """The HTTP and WebSocket server in front of an exchange."""
    settings, partition = exchange.settings, exchange.partition
    operations, instruments = exchange.operations, exchange.operations.validator.instruments
    reporter, engine = partition.reporter, partition.engine
    reads = Reads(reporter, instruments, engine.rules)
    past = Past(reads, reporter, exchange.history)
    candles = PastCandles(reads, exchange.window, exchange.history)
    market = PastMarketReads(MarketReads(engine, instruments, exchange.window), exchange.history)
    activity = ActivityReads(reads, exchange.activity, exchange.history)
    accounts = Accounts(engine)
    past_accounts = PastAccounts(AccountReads(engine, accounts), exchange.history)
    busts = Busts(operations, accounts, engine, reporter, exchange.history, settings.partition)
    clearing = Clearing(operations, accounts, past_accounts, busts)
    switches = SwitchReads(Switches(engine), engine, instruments)
    calls = Calls(operations, reads, past, candles, market, activity, clearing, switches)
    desk = StreamDesk(
        operations,
        past.order,
        exchange.publisher,
        instruments,
        exchange.metrics,
        settings.websocket_subscriptions_max,
        settings.json_depth_max,
        Sessions(
            partition.sequencer,
            asyncio.get_running_loop(),
            settings.disconnect_grace_seconds,
            settings.disconnect_grace_seconds_max,
        ),
        calls.controls.cancel_after(),
    )
    config = uvicorn.Config(
        ends_quietly(make_application(exchange, calls)),
        http=protocol_class(Lane(calls, settings, exchange.metrics)),
        ws=lane_class(desk, LaneLimits.of(settings)),
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        backlog=settings.connection_backlog_max,
        timeout_keep_alive=int(settings.keep_alive_seconds),
        timeout_graceful_shutdown=max(1, int(settings.shutdown_seconds * (1 - STOP_SHARE) / 2)),
        ws_max_size=settings.message_bytes_max,
    )
    return Server(config)


async def serve(settings: Settings) -> int:
    """Serve an exchange until SIGTERM or SIGINT, or until it fails; the exit code.

    Raises:
        NovateError: it could not be started.
    """
    tune_process()
    listener = listen(settings)
    # A Ctrl-C ends a long recovery at once; there is nothing yet that wants to be finished.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    progress = Progress()
    try:
        with WaitingRoom(listener, settings, progress.in_words):
            exchange = Exchange(settings, progress=progress)
    except BaseException:
        listener.close()
        raise
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, end_by_signal, exchange, loop, number)
    gc.collect()
    gc.freeze()
    return await run(exchange, listener)


def end_by_signal(
    exchange: Exchange, loop: asyncio.AbstractEventLoop, number: signal.Signals
) -> None:
    """Begin to stop; a further signal ends the process at once, by what the system does of one."""
    for each in STOP_SIGNALS:
        loop.remove_signal_handler(each)
        signal.signal(each, signal.SIG_DFL)
    exchange.end(0)
    log.info("stopping", signal=number.name, seconds_max=exchange.settings.shutdown_seconds)


async def run(exchange: Exchange, listener: socket.socket) -> int:
    """Run an exchange behind a listening socket until `exchange.end` is called; the exit code.

    Every client is answered, every file and process let go of when it returns.
    """
    server = make_server(exchange)
    serving = asyncio.create_task(server.serve([listener]))
    await exchange.start()
    announce(exchange, listener)
    either: list[asyncio.Future[Any]] = [exchange.ended, serving]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    clean = await exchange.stop()
    server.should_exit = True
    await serving
    await exchange.close()
    exchange.end(EXIT_FAILED)
    code = exchange.ended.result() or int(not clean)
    log.info(
        "stopped",
        seq=exchange.partition.sequencer.seq,
        state_hash=exchange.partition.engine.state_hash() if clean else None,
        exit_code=code,
    )
    return code


def announce(exchange: Exchange, listener: socket.socket) -> None:
    """Say in one line where it is and what it found; and in the log what was put right."""
    settings, recovered = exchange.settings, exchange.recovered
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    source = f"snapshot {recovered.snapshot_seq}" if recovered.snapshot_seq else "no snapshot"
    journal = f"journal in {recovered.journal.place}, " if settings.journal_url else ""
    durability = "fsync"
    if settings.relaxed_ms:
        durability = f"relaxed, a crash may lose the last {settings.relaxed_ms} ms"
    line = (
        f"Novate {novate.__version__} at http://{shown}:{port} (docs at /docs), data in "
        f"{settings.data_dir}, {journal}seq {recovered.seq} recovered in {recovered.seconds:.2f} s"
        f" ({source}, {recovered.replayed_commands} commands replayed), durability {durability}\n"
    )
    if not say(line):
        log.warning("not_announced", line=line.rstrip())
    for warning in recovered.warnings:
        log.warning("recovered", warning=warning)
    allowed = connections_allowed(settings.connections_max)
    if allowed < settings.connections_max:
        log.warning(
            "few_open_files",
            limit=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            needed=settings.connections_max + FILES_KEPT,
            connections=allowed,
            advice="raise the hard limit (ulimit -Hn), or lower connections_max",
        )
