"""kill -9 under load: what was acknowledged is there, once, and three replays agree."""

import asyncio
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from novate.testing.auditor import Auditor
from novate.testing.workload import Mix, Trader, Workload, decode_json
from tests.conftest import Server, scaled, wait_until_async

TRADERS = 12
KILLS = 50
LIFE_ANSWERS = (1, 500)
"""Fewest and most answers between a start and a kill; a slow machine kills no less often."""

FLAGS = {"trades_per_instrument_max": 1_000_000, "rate_limit_per_second": 0}


def replay(data_dir: Path, *verb: str) -> dict[str, str]:
    """Run a verb that replays a data folder, and give what it printed by name."""
    command = [sys.executable, "-m", "novate", *verb, "--data-dir", str(data_dir)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 0, finished.stderr
    return dict(line.split(" ", 1) for line in finished.stdout.splitlines())


def audit(server: Server, auditor: Auditor) -> int:
    """Check everything from the outside; the number of trades."""
    with httpx.Client(base_url=server.url, timeout=30) as client:

        def read(path: str) -> Any:
            response = client.get(path)
            assert response.status_code == 200, response.text
            return decode_json(response.content)

        clients = tuple(f"client-{number}" for number in range(TRADERS))
        return auditor.check(read, Mix().instruments, clients)


async def kill_under_load(
    server: Server, kills: int, auditor: Auditor, seed: int, first: Callable[[], object] = bool
) -> list[Trader]:
    """Trade without a pause while the server is killed and started again.

    Each life lasts until `first` holds, if it is given, and then for some more answers.
    """
    chance = random.Random(seed)
    stop = asyncio.Event()
    traders = [
        Trader(Workload(seed, f"client-{number}"), server.port, auditor.settled)
        for number in range(TRADERS)
    ]
    running = [asyncio.create_task(trader.run(stop)) for trader in traders]
    for _ in range(kills):
        if first is not bool:
            await wait_until_async(first, 30, "what a life waits for")
        wanted = auditor.statuses.total() + chance.randint(*LIFE_ANSWERS)
        await wait_until_async(lambda n=wanted: auditor.statuses.total() >= n, 30, "answers")
        server.kill()
        await asyncio.to_thread(server.start)
    stop.set()
    await asyncio.wait_for(asyncio.gather(*running), 30)
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
