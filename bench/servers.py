"""Servers of a bench: an exchange in a folder of its own, bounded in time, ended by its pid."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bench.machine import ROOT
from novate.loadtest.ceiling import free_port
from tests.postgres import Postgres

READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 15.0
_POLL_SECONDS = 0.002


class Exchange:
    """One `novate serve` process on a data folder; may be ended and started again."""

    def __init__(self, data_dir: Path, *flags: str) -> None:
        self.data_dir = data_dir
        self.flags = flags
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it; gives the seconds from the start of the process to `/readyz` saying 200."""
        command = [sys.executable, "-m", "novate", "serve", "--port", str(self.port)]
        command += ["--data-dir", str(self.data_dir), "--log-format", "json", *self.flags]
        began = time.monotonic()
        with self.data_dir.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        while time.monotonic() - began < READY_SECONDS_MAX:
            if self.process.poll() is not None:
                raise RuntimeError(f"the exchange ended: {self.log_tail()}")
            if self._ready():
                return time.monotonic() - began
            time.sleep(_POLL_SECONDS)
        raise TimeoutError(f"not ready after {READY_SECONDS_MAX:g} s: {self.log_tail()}")

    def _ready(self) -> bool:
        with contextlib.suppress(OSError):
            return self.get("/readyz", 1.0)[0] == 200
        return False

    def get(self, path: str, seconds_max: float = 30.0) -> tuple[int, bytes]:
        """The status and body of a GET."""
        return self._answer(urllib.request.Request(self.url(path)), seconds_max)

    def post(self, path: str, body: bytes = b"", seconds_max: float = 60.0) -> tuple[int, bytes]:
        """The status and body of a POST of JSON."""
        headers = {"content-type": "application/json"}
        return self._answer(urllib.request.Request(self.url(path), body, headers), seconds_max)

    def _answer(self, request: urllib.request.Request, seconds_max: float) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(request, timeout=seconds_max) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read()

    def url(self, path: str) -> str:
        """The whole address of a path here."""
        return f"http://127.0.0.1:{self.port}{path}"

    def log_tail(self) -> str:
        """The end of what it logged."""
        return self.data_dir.with_suffix(".log").read_text()[-1500:]

    def kill(self) -> None:
        """Kill it (SIGKILL), if it runs; its follower ends with it."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_SECONDS_MAX)

    def stop(self) -> None:
        """End it (SIGTERM), and kill it if it takes too long."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()


@contextlib.contextmanager
def exchange(*flags: str) -> Iterator[Exchange]:
    """A running exchange on an empty folder of the project's own disk, removed afterwards."""
    with data_folder() as folder:
        running = Exchange(folder, *flags)
        try:
            running.start()
            yield running
        finally:
            running.stop()


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The URL of a running PostgreSQL of the bench's own, removed afterwards.

    Its folder is under the system's temporary one (it may have to run as another user).
    """
    server = Postgres(free_port())
    try:
        yield server.start().url
    finally:
        server.close()


@contextlib.contextmanager
def data_folder() -> Iterator[Path]:
    """An empty folder on the project's own disk: a memory file system would flatter fsync."""
    parent = ROOT / "build" / "bench"
    parent.mkdir(parents=True, exist_ok=True)
    whole = Path(tempfile.mkdtemp(dir=parent))
    try:
        yield whole / "data"
    finally:
        shutil.rmtree(whole, ignore_errors=True)
