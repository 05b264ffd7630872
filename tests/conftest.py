"""What every test shares: its counts, its deadlines, its server. See tests/README.md."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import novate
from tests.oracle import tally
from tests.postgres import Postgres

SOAK = os.environ.get("NOVATE_SOAK") == "1"
ROOT = Path(__file__).resolve().parent.parent
SLOW_SECONDS = 0.25
PATIENCE_SECONDS = 120.0
"""How long anything is waited for that has to come: what is right is slow on a busy machine, and
the follower, behind all others in priority, may stand still there for many seconds."""

STOP_SECONDS = 10.0
"""What a stop may take by contract, where the machine has time for it."""

PORTS_HELD_MAX = 400

LOG_SHOWN = 4000
"""Characters of a server's log that the report of a failed test ends with."""

_held_ports: deque[socket.socket] = deque()

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell starts what it runs in its background; the servers of the tests would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "quick", max_examples=100, deadline=None, derandomize=True, print_blob=True
)
settings.register_profile(
    "soak",
    max_examples=1000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("soak" if SOAK else "quick")


def scaled(full: int) -> int:
    """The count of a soak run, or a tenth of it (at least 1) in an ordinary one."""
    return full if SOAK else max(1, full // 10)


def wait_until(
    holds: Callable[[], Any], seconds: float = PATIENCE_SECONDS, what: str = "the condition"
) -> Any:
    """Wait until `holds()` is true, give back what it gave, and fail past the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        is_late = time.monotonic() > deadline  # looked at before: who was held up looks once more
        if found := holds():
            return found
        if is_late:
            raise AssertionError(f"{what} did not come true within {seconds:g} s")
        time.sleep(0.002)  # here and below alone: a test waits by these functions


async def wait_until_async(
    holds: Callable[[], Any], seconds: float = PATIENCE_SECONDS, what: str = "the condition"
) -> Any:
    """As `wait_until`, letting the event loop go on."""
    deadline = time.monotonic() + seconds
    while True:
        is_late = time.monotonic() > deadline
        if found := holds():
            return found
        if is_late:
            raise AssertionError(f"{what} did not come true within {seconds:g} s")
        await asyncio.sleep(0.001)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now, and that nobody else is given.

    The socket stays bound, without listening, while the last few hundred are: so the kernel gives
    the port to no other test of this machine and to no outgoing connection, and whoever connects is
    refused; a server that reuses addresses, as all here do, may still bind it and listen.
    """
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _held_ports.append(holder)
    if len(_held_ports) > PORTS_HELD_MAX:
        _held_ports.popleft().close()
    return int(holder.getsockname()[1])


@dataclass
class Server:
    """A `novate serve` of its own, in its own process and on its own port."""

    data_dir: Path
    flags: dict[str, object] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/stream"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def log_path(self) -> Path:
        return self.data_dir.with_name(self.data_dir.name + ".log")

    def log(self) -> str:
        """Everything it has logged so far, over all its starts."""
        return self.log_path.read_text(encoding="utf-8") if self.log_path.exists() else ""

    def start(
        self,
        *,
        ready: bool = True,
        stdout: int | None = None,
        stderr: int | None = None,
        shell: str = "",
    ) -> Server:
        """Start it and, if asked, wait until it takes orders; it speaks to `log_path`, or there.

        `shell` is a line that becomes it: `exec "$@"` with what it shall find.
        """
        command = [sys.executable, "-m", "novate", "serve", "--port", str(self.port)]
        command += ["--data-dir", str(self.data_dir), "--log-format", "json"]
        for name, value in self.flags.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        if shell:
            command = ["sh", "-c", shell, "sh", *command]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log if stdout is None else stdout,
                stderr=log if stderr is None else stderr,
                cwd=ROOT,
            )
        if ready:
            wait_until(self._is_ready, what="ready server")
        return self

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"exited with {self.process.returncode}:\n{self.log()[-4000:]}")
        # Asked often: an httpx client would load the machine's certificates each time.
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """Kill it as a power cut would: no warning, no goodbye."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def stop(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Ask it to stop (SIGTERM) and give its exit code, for which it has so long."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def close(self) -> None:
        """Leave no process behind, whatever the test came to."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def show_log(self) -> None:
        """Print the end of its log, for the report of a test that fails."""
        if self.log_path.exists():
            print(f"--- the end of {self.log_path.name}", self.log()[-LOG_SHOWN:], sep="\n")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own NOVATE_* variables must not change what a test sees."""
    for name in list(os.environ):
        if name.startswith("NOVATE_") and name not in ("NOVATE_SOAK", "NOVATE_BUILD"):
            monkeypatch.delenv(name)


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Make servers, not yet started: `make_server(rate_limit_per_second=0).start()`."""
    made: list[Server] = []

    def make(data_dir: Path | None = None, **flags: object) -> Server:
        server = Server(data_dir or tmp_path / f"data-{len(made)}", flags)
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()
        server.show_log()


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    """A running server of the test's own, with the default settings."""
    return make_server().start()


@pytest.fixture(name="wait_until")
def _wait_until() -> Callable[..., Any]:
    return wait_until


@pytest.fixture(name="scaled")
def _scaled() -> Callable[[int], int]:
    return scaled


@pytest.fixture(name="free_port")
def _free_port() -> Callable[[], int]:
    return free_port


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL; make a database of your own in it, and leave it running."""
    server = Postgres(free_port())
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new ledger, in each kind of database in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.make_database(f"ledger_{uuid.uuid4().hex}")


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A running PostgreSQL of the test's own, to be killed and started again."""
    server = Postgres(free_port())
    try:
        yield server.start()
    finally:
        server.close()


def pytest_configure() -> None:
    """See that the build under test is the one that was asked for."""
    checked = ROOT / "build" / "checked" in Path(novate.__file__).parents
    if checked != (os.environ.get("NOVATE_BUILD") == "checked"):
        raise pytest.UsageError(f"NOVATE_BUILD asks for another build than {novate.__file__}")


def pytest_unconfigure() -> None:
    """Let go of the ports."""
    while _held_ports:
        _held_ports.pop().close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Note with a test how many commands it played to engine and oracle alike."""
    before = tally.so_far()
    yield
    item.user_properties.append(("agreed", tally.since(before)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was compared, and which tests took long without being marked so."""
    say_what_was_compared(terminalreporter)
    say_what_took_long(terminalreporter)


def say_what_was_compared(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the commands over which the engine was held against the oracle."""
    tallies = [
        properties["agreed"]
        for report in terminalreporter.getreports("passed")
        if report.when == "call"
        and (properties := dict(report.user_properties)).get("agreed", {}).get("commands")
    ]
    if tallies:
        build = os.environ.get("NOVATE_BUILD", "release")
        terminalreporter.section(f"the engine ({build} build) as the oracle")
        for line in tally.in_words(tallies):
            terminalreporter.line(line)


def say_what_took_long(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that took long and aren't marked so; a busy machine alone fails nothing."""
    reports = [
        report
        for report in terminalreporter.getreports("passed")
        if report.when == "call"
        and report.duration > SLOW_SECONDS
        and "slow" not in report.keywords
    ]
    if reports:
        terminalreporter.section(f"over {SLOW_SECONDS} s and not marked slow")
    for report in sorted(reports, key=lambda each: -each.duration)[:20]:
        terminalreporter.line(f"{report.duration:6.2f} s  {report.nodeid}")
