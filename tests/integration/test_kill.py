"""kill -9 under load: what was acknowledged is there, once, and three replays agree."""

import asyncio
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from novate.journal.snapshots import SnapshotStore
from novate.testing.auditor import Auditor
from novate.testing.workload import Mix, Trader, Workload, decode_json
from tests.conftest import PATIENCE_SECONDS, Server, scaled, wait_until_async

TRADERS = 12
KILLS = 50
LIFE_ANSWERS = (1, 500)
"""Fewest and most answers between a start and a kill; a slow machine kills no less often."""

MOMENTS = ("recovering", "any", "spawned", "any")
"""When a start is killed: held in its recovery, at a random instant of it, right at its begin."""

FLAGS = {"trades_per_instrument_max": 1_000_000, "rate_limit_per_second": 0}


def replay(data_dir: Path, *verb: str) -> dict[str, str]:
    """Run a verb that replays a data folder, and give what it printed by name."""
    command = [sys.executable, "-m", "novate", *verb, "--data-dir", str(data_dir)]
    finished = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return dict(line.split(" ", 1) for line in finished.stdout.splitlines())


def audit(server: Server, auditor: Auditor) -> int:
    """Check everything from the outside; the number of trades."""
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:

        def read(path: str) -> Any:
            response = client.get(path)
            assert response.status_code == 200, response.text
            return decode_json(response.content)

        clients = tuple(f"client-{number}" for number in range(TRADERS))
        return auditor.check(read, Mix().instruments, clients)


async def kill_while_it_starts(server: Server, moment: str, seconds: float) -> None:
    """Kill a server at once, start it again and kill that before it takes orders, or about then."""
    server.kill()
    pipe = SnapshotStore(server.data_dir).path(10**12)
    if moment == "recovering":
        pipe.parent.mkdir(exist_ok=True)
        os.mkfifo(pipe)  # whoever opens it to read waits: the recovery is held there
    server.start(ready=False)
    if moment == "recovering":
        await wait_until_async(lambda: takes_connections(server), what="a recovery")
    elif moment == "any":
        over = time.monotonic() + seconds
        await wait_until_async(lambda: time.monotonic() > over, what="a moment of its start")
    assert server.process is not None
    assert server.process.poll() is None, server.log()
    server.kill()
    pipe.unlink(missing_ok=True)


def takes_connections(server: Server) -> bool:
    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS),
    ):
        return True
    return False


async def kill_under_load(
    server: Server, kills: int, auditor: Auditor, seed: int, first: Callable[[], object] = bool
) -> list[Trader]:
    """Trade without a pause while the server is killed and started again.

    Each life lasts until `first` holds, if it is given, and then for some more answers; but every
    second one is killed while it starts.
    """
    chance = random.Random(seed)
    stop = asyncio.Event()
    traders = [
        Trader(Workload(seed, f"client-{number}"), server.port, auditor.settled)
        for number in range(TRADERS)
    ]
    running = [asyncio.create_task(trader.run(stop)) for trader in traders]
    start_seconds = 0.0
    for kill in range(kills):
        if kill % 2 and start_seconds:
            moment = MOMENTS[kill // 2 % len(MOMENTS)]
            await kill_while_it_starts(server, moment, start_seconds * chance.random())
        else:
            if first is not bool:
                await wait_until_async(first, what="what a life waits for")
            wanted = auditor.statuses.total() + chance.randint(*LIFE_ANSWERS)
            await wait_until_async(lambda n=wanted: auditor.statuses.total() >= n, what="answers")
            server.kill()
        begun = time.monotonic()
        await asyncio.to_thread(server.start)
        start_seconds = time.monotonic() - begun
    stop.set()
    await asyncio.wait_for(asyncio.gather(*running), PATIENCE_SECONDS)
    return traders


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_kill_loses_or_doubles_what_was_acknowledged(
    make_server: Callable[..., Server],
) -> None:
    server = make_server(**FLAGS).start()
    auditor = Auditor()
    traders = asyncio.run(kill_under_load(server, scaled(KILLS), auditor, seed=7))
    assert sum(trader.retries for trader in traders) > 0
    assert audit(server, auditor) > 0
    server.kill()
    from_zero = replay(server.data_dir, "replay")
    followed = replay(server.data_dir, "follow", "--once")
    assert followed == from_zero
    server.start()
    assert server.stop() == 0
    (stopped,) = re.findall(r'"event":"stopped".*"seq":(\d+).*"state_hash":"(\w+)"', server.log())
    assert stopped == (from_zero["seq"], from_zero["state"])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_kill_while_snapshots_are_taken_leaves_a_state_that_restarts(
    make_server: Callable[..., Server],
) -> None:
    server = make_server(**FLAGS, snapshot_commands=50, snapshots_kept=2).start()
    auditor = Auditor()
    folder = server.data_dir / "snapshots"
    seen: set[str] = set()

    def has_new_snapshot() -> bool:
        names = {path.name for path in folder.glob("*.snapshot")}
        new = bool(names - seen)
        seen.update(names)
        return new

    asyncio.run(kill_under_load(server, scaled(20), auditor, 11, has_new_snapshot))
    assert audit(server, auditor) > 0
    server.kill()
    from_zero = replay(server.data_dir, "replay")
    assert replay(server.data_dir, "replay", "--from-snapshot") == from_zero
    assert replay(server.data_dir, "follow", "--once") == from_zero
