"""The follower with everything on, from a journal to a ledger: in SQLite and in PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import journal_flow, servers
from bench.row import Figures, Row, Scale, at_least

COMMANDS = 400_000
END_SECONDS = 10.0


def fed(folder: Path, url: str, end: int) -> dict[str, float]:
    """Feed a ledger by `novate follow`: from its first connection to the journal's last seq."""
    command = [sys.executable, "-m", "novate", "follow", "--data-dir", str(folder)]
    command += ["--ledger-url", url, "--log-level", "error"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    began = 0.0
    try:
        for line in process.stdout:
            said = json.loads(line)
            if said["kind"] != "ledger":
                continue
            if said["state"] != "up":
                raise RuntimeError(f"expected a ledger that is up, found {said}")
            began = began or time.monotonic()
            if said["seq"] >= end:
                return {"seconds": time.monotonic() - began, "seq": said["seq"]}
        raise RuntimeError(f"the follower ended with {process.wait()}")
    finally:
        process.terminate()
        process.wait(END_SECONDS)


@contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    """A ledger's URL in a file beside the journal."""
    yield f"sqlite:///{folder}/ledger.db"


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A ledger's URL in a PostgreSQL of its own."""
    from novate.loadtest.ceiling import free_port
    from tests.postgres import Postgres

    server = Postgres(free_port(), {"max_wal_size": "4GB", "shared_buffers": "256MB"})
    try:
        yield server.start().make_database("ledger")
    finally:
        server.close()


def measuring(database: Callable[[Path], object]) -> Callable[[Scale], Figures]:
    """A measurement on a database of that kind."""

    def measure(scale: Scale) -> Figures:
        commands = scale.count(COMMANDS)
        with servers.data_folder() as folder:
            end = journal_flow.make(folder, commands)
            with database(folder) as url:  # type: ignore[attr-defined]
                run = fed(folder, url, end)
        return {"commands_per_second": end / run["seconds"], **run}

    return measure


def say(figures: Figures) -> str:
    return f"{figures['commands_per_second']:,.0f} commands/s ({figures['seconds']:.1f} s)"


FLOW = "80% limit orders over a band of 201 ticks, 20% market orders, 200 clients, UUIDs as ids; \
snapshots on"

SQLITE = Row(
    name="ledger_sqlite",
    title="Follower with everything on, from the journal to a ledger in SQLite",
    flow=FLOW,
    target="40,000 commands/s",
    checks=(at_least("commands_per_second", 40_000),),
    measure=measuring(sqlite),
    say=say,
)
POSTGRES = Row(
    name="ledger_postgres",
    title="Follower with everything on, from the journal to a ledger in PostgreSQL (COPY)",
    flow=FLOW,
    target="30,000 commands/s",
    checks=(at_least("commands_per_second", 30_000),),
    measure=measuring(postgres),
    say=say,
)
