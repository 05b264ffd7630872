"""Keeps the follower running: starts it, hears what it says, starts it again when it dies.

The server asks here how far the follower has come and waits here for a snapshot. A follower that
diverged is not started again: it would only say the same, and what it found must be looked at.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec

from novate import logs
from novate.config import NO_LEDGER, Settings, to_environ
from novate.follower import EXIT_DIVERGED

RESTART_SECONDS_MAX: Final = 30.0
STEADY_SECONDS: Final = 60.0
"""A follower that ran so long is started again without a longer pause."""

SILENT_SECONDS: Final = 60.0
"""Silence after which a follower is taken for hung: it says something every ten seconds."""

STOP_SECONDS: Final = 2.0
LINE_BYTES_MAX: Final = 65536
NOT_STARTED: Final = -1
"""Stands for the exit code of a process that there never was."""

FollowerState = Literal["off", "starting", "running", "down", "diverged"]
LedgerState = Literal["off", "starting", "up", "down", "fault"]

log = logs.get("supervisor")


class FollowerDown(Exception):
    """The follower can't take the snapshot; says why."""


class SnapshotFailed(Exception):
    """The follower runs, and the snapshot failed or is late; says why."""


class SnapshotTaken(msgspec.Struct, frozen=True):
    """A snapshot that is on disk.

    Attributes:
        seq: Last command in it.
        timestamp_ns: Time of that command, nanoseconds since 1970 UTC.
        bytes: Length of its file.
        path: Its file.
        state_hash: Hash of the state in it.
    """

    seq: int
    timestamp_ns: int
    bytes: int
    path: str
    state_hash: str


class _Progress(msgspec.Struct, tag_field="kind", tag="progress"):
    seq: int


class _Ready(_Progress, tag="ready"):
    pass


class _Snapshot(msgspec.Struct, tag_field="kind", tag="snapshot"):
    seq: int
    timestamp_ns: int
    bytes: int
    path: str
    state_hash: str


class _SnapshotFailed(msgspec.Struct, tag_field="kind", tag="snapshot_failed"):
    seq: int
    why: str


class _Diverged(msgspec.Struct, tag_field="kind", tag="diverged"):
    why: str


class _Checked(msgspec.Struct, tag_field="kind", tag="journal_checked"):
    seq: int
    why: str


class _Ledger(msgspec.Struct, tag_field="kind", tag="ledger"):
    state: Literal["up", "down", "fault"]
    seq: int
    why: str


_decode = msgspec.json.Decoder(
    _Ready | _Progress | _Snapshot | _SnapshotFailed | _Diverged | _Checked | _Ledger
).decode


class LedgerStanding(msgspec.Struct, frozen=True):
    """What the follower said of the ledger.

    Attributes:
        state: `starting` before it said anything; `down`: its database is away, and tried again;
            `fault`: it is left alone.
        seq: The last command whose rows it has.
        why: What is the matter, "" if nothing.
    """

    state: LedgerState
    seq: int = 0
    why: str = ""

    def lag(self, seq: int) -> int | None:
        """Sequences it is behind `seq`; None where that is not known yet."""
        return None if self.state in ("off", "starting") else max(0, seq - self.seq)

    def is_well(self, seq: int, lag_max: int) -> bool:
        """Whether it is written, and not too far behind `seq`."""
        return self.state in ("up", "starting", "off") and (self.lag(seq) or 0) <= lag_max

    def check(self, seq: int) -> dict[str, Any]:
        """It as `/healthz` and `/admin/status` say it."""
        found: dict[str, Any] = {"status": self.state, "lag_sequences": self.lag(seq)}
        if self.state not in ("off", "starting"):
            found["sequence"] = self.seq
        if self.why:
            found["reason"] = self.why
        return found


class FollowerSupervisor:
    """The follower's process, seen from the server. Used on the loop's thread only.

    Attributes:
        state: How it stands.
        why: Why it isn't running, "" if it is.
        seq: How far it said it has come.
        restarts: How often it was started again.
        snapshot: The newest snapshot that it took, None before the first.
        snapshot_fault: Why the last snapshot failed, "" if it did not.
        journal_fault: What of the journal before its snapshot is damaged, "" so far as it knows.
        stopping: Whether the exchange ends, so that its end is no fault.
        ledger: How the ledger stands.
        on_ledger_up: Called when the ledger is written, and was not before.
    """

    def __init__(
        self,
        settings: Settings,
        command: Sequence[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._heard = clock()
        self._command = command or (
            sys.executable, "-m", "novate", "follow", "--parent-pid", str(os.getpid()),
        )  # fmt: skip
        self.state: FollowerState = "off"
        self.why = "the follower is off"
        self.seq = 0
        self.restarts = 0
        self.snapshot: SnapshotTaken | None = None
        self.snapshot_fault = ""
        self.journal_fault = ""
        self.stopping = False
        self.ledger = LedgerStanding("off")
        self.on_ledger_up: Callable[[], object] = bool
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiters: list[tuple[int, asyncio.Future[SnapshotTaken]]] = []

    @property
    def pid(self) -> int:
        """Its process id, 0 where there is none."""
        return self._process.pid if self._process and self._process.returncode is None else 0

    @property
    def waiting(self) -> int:
        """How many wait for a snapshot."""
        return len(self._waiters)

    def silence(self) -> str:
        """That it runs and says nothing, for how long; "" of one that was heard of lately."""
        seconds = self._clock() - self._heard
        if self.state != "running" or seconds < SILENT_SECONDS:
            return ""
        return f"the follower runs, and has said nothing for {seconds:.0f} s"

    def start(self) -> None:
        """Start it, if the settings want one, and keep it running."""
        if self._settings.follower and self._task is None:
            self.state, self.why = "starting", "the follower is starting"
            if self._settings.ledger_url != NO_LEDGER:
                self.ledger = LedgerStanding("starting")
            self._task = asyncio.create_task(self._keep_running())

    async def stop(self) -> None:
        """End it; closing its stdin is all it needs, and a signal if it does not hear."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        process = self._process
        if process is not None and process.returncode is None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                if process.returncode is None:  # it may have ended at the last moment
                    process.kill()
                await process.wait()
        self._down("off", "the follower is off")

    async def snapshot_at(self, seq: int, seconds: float) -> SnapshotTaken:
        """Wait for a snapshot that holds `seq`.

        Raises:
            FollowerDown: it is not running, or died meanwhile.
            SnapshotFailed: it failed to, or took too long.
        """
        if self.snapshot is not None and self.snapshot.seq >= seq:
            return self.snapshot
        self.require_running()
        future: asyncio.Future[SnapshotTaken] = asyncio.get_running_loop().create_future()
        waiter = (seq, future)
        self._waiters.append(waiter)
        try:
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            raise SnapshotFailed(f"no snapshot was taken within {seconds:g} s") from None
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def require_running(self) -> None:
        """Raise FollowerDown unless it runs, or is just starting."""
        if self.state not in ("running", "starting"):
            raise FollowerDown(self.why)

    async def _keep_running(self) -> None:
        first = pause = self._settings.follower_restart_seconds
        furthest = -1
        while True:
            began = time.monotonic()
            code = await self._run_once_or_say_why()
            if code == EXIT_DIVERGED:
                self._down("diverged", self.why or "its events differ from those journaled")
                log.critical("follower_diverged", why=self.why)
                return
            if self.stopping:
                self._down("down", f"the follower ended with code {code}")
                log.info("follower_ended", code=code)
                return
            # What ends it again and again at one place is not tried ever so often; but one that
            # comes further each time is only unlucky.
            if self.seq > furthest or time.monotonic() - began > STEADY_SECONDS:
                pause = first
            furthest = max(furthest, self.seq)
            self._down("down", f"the follower ended with code {code} and is started again")
            log.warning("follower_ended", code=code, again_in_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, max(first, RESTART_SECONDS_MAX))
            self.restarts += 1

    async def _run_once_or_say_why(self) -> int:
        """Its exit code; also where it couldn't be started, or can't be heard any more."""
        self._process = None
        try:
            return await self._run_once()
        except (OSError, ValueError) as error:
            why = str(error)
        process: asyncio.subprocess.Process | None = self._process
        code = NOT_STARTED
        if process is not None:
            if process.returncode is None:
                process.kill()
            code = await process.wait()
        log.error("follower_not_started", why=why)
        return code

    async def _run_once(self) -> int:
        self._process = process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **to_environ(self._settings)},
            limit=LINE_BYTES_MAX,
        )
        assert process.stdout is not None
        while line := await process.stdout.readline():
            self._hear(line)
        return await process.wait()

    def _hear(self, line: bytes) -> None:
        """Take one line; a child that says nonsense costs no more than what it did not say."""
        try:
            said = _decode(line)
        except (msgspec.DecodeError, ValueError, RecursionError):
            log.warning("follower_unintelligible", line=line[:200].decode("utf-8", "replace"))
            return
        self._heard = self._clock()
        if isinstance(said, _Progress):
            self.state, self.why = "running", ""
            self.seq = said.seq
        elif isinstance(said, _Ledger):
            before, self.ledger = self.ledger, LedgerStanding(said.state, said.seq, said.why)
            if said.state == "up" and before.state != "up":
                self.on_ledger_up()
        elif isinstance(said, _Checked):
            self.journal_fault = said.why
        elif isinstance(said, _Snapshot):
            self._on_snapshot(SnapshotTaken(**msgspec.structs.asdict(said)))
        elif isinstance(said, _SnapshotFailed):
            self._on_snapshot_failed(said)
        else:
            self._down("diverged", said.why)

    def _on_snapshot(self, taken: SnapshotTaken) -> None:
        self.snapshot = taken
        self.snapshot_fault = ""
        self.seq = max(self.seq, taken.seq)
        for seq, future in self._waiters:
            if seq <= taken.seq and not future.done():
                future.set_result(taken)

    def _on_snapshot_failed(self, failed: _SnapshotFailed) -> None:
        self.snapshot_fault = f"the snapshot of seq {failed.seq} failed: {failed.why}"
        for seq, future in self._waiters:
            if seq <= failed.seq and not future.done():
                future.set_exception(SnapshotFailed(self.snapshot_fault))

    def _down(self, state: FollowerState, why: str) -> None:
        self.state, self.why = state, why
        if self.ledger.state not in ("off", "fault"):
            self.ledger = LedgerStanding("down", self.ledger.seq, f"nobody writes it: {why}")
        for _, future in self._waiters:
            if not future.done():
                future.set_exception(FollowerDown(why))
