"""A disk that is full, slow or failing while the exchange runs: what clients see, what is kept."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from novate.config import Settings
from novate.exchange import Exchange, run
from novate.journal.disk import RealDisk
from novate.listening import listen
from novate.testing.disk import FaultyDisk
from tests.conftest import PATIENCE_SECONDS, wait_until_async
from tests.integration.data_folder import replayed, settings_of

QUEUE = 1000
ORDER = {"client_id": "a", "side": "buy", "type": "limit", "price": "100", "quantity": "0.01"}


@dataclass
class Stand:
    """An exchange that runs in this process, on a disk that fails on demand."""

    exchange: Exchange
    disk: FaultyDisk
    client: httpx.AsyncClient
    running: asyncio.Task[int]

    async def place(self, order_id: str, **more: Any) -> httpx.Response:
        """Place one order."""
        return await self.client.post("/orders", json=ORDER | {"order_id": order_id} | more)

    async def place_many(self, count: int, prefix: str) -> httpx.Response:
        """Place many in one batch."""
        operations = [
            {"op": "place", "order": ORDER | {"order_id": f"{prefix}-{number}"}}
            for number in range(count)
        ]
        return await self.client.post("/orders/batch", json={"operations": operations})

    async def fill_queue(self) -> tuple[asyncio.Task[Any], asyncio.Task[Any]]:
        """One command in the writer's hands and the queue behind it full; both answers to come."""
        sequencer = self.exchange.partition.sequencer
        before = self.disk.syncs
        first = asyncio.create_task(self.place("first"))
        await wait_until_async(lambda: sequencer.depth == 1)
        await wait_until_async(lambda: self.disk.syncs > before or sequencer.state == "stalled")
        batch = asyncio.create_task(self.place_many(QUEUE, "queued"))
        await wait_until_async(lambda: sequencer.depth == QUEUE + 1)
        return first, batch


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Stand]:
    """An exchange behind its server, until the block ends."""
    disk = FaultyDisk(RealDisk())
    listener = listen(settings)
    exchange = Exchange(settings, disk)
    task = asyncio.create_task(run(exchange, listener))
    host, port = listener.getsockname()[:2]
    try:
        async with httpx.AsyncClient(
            base_url=f"http://{host}:{port}", timeout=PATIENCE_SECONDS
        ) as client:
            assert (await client.get("/readyz")).status_code == 200
            yield Stand(exchange, disk, client, task)
    finally:
        disk.make_room()
        disk.may_sync.set()
        exchange.end(0)
        await task


def play(
    folder: Path, scenario: Callable[[Stand], Coroutine[Any, Any, None]], **changed: Any
) -> Settings:
    """Play a scenario against an exchange with a small queue."""
    settings = settings_of(
        folder,
        follower=False,
        queue_commands_max=QUEUE,
        batch_commands_max=QUEUE,
        log_level="error",
        **changed,
    )

    async def main() -> None:
        async with running(settings) as stand:
            await scenario(stand)

    asyncio.run(main())
    return settings


@pytest.mark.slow
@pytest.mark.parametrize("short_write_bytes", [0, 100])
def test_a_full_disk_stalls_says_so_and_resumes_with_nothing_lost(
    tmp_path: Path, short_write_bytes: int
) -> None:
    async def scenario(stand: Stand) -> None:
        assert (await stand.place("before")).status_code == 201
        stand.disk.fill_up(short_write_bytes)
        first, batch = await stand.fill_queue()
        refused = await stand.place("over")
        assert refused.status_code == 503
        assert refused.json()["code"] == "queue_full"
        assert "No space left" in refused.json()["detail"]
        assert int(refused.headers["retry-after"]) > 0
        ready = await stand.client.get("/readyz")
        assert ready.status_code == 503
        assert "No space left" in ready.json()["reason"]
        assert (await stand.client.get("/healthz")).json()["status"] == "unhealthy"
        book = (await stand.client.get("/orderbook")).json()
        assert [level["orders"] for level in book["bids"]] == [1]
        assert not first.done()
        assert not batch.done()
        stand.disk.make_room()
        assert (await first).status_code == 201
        assert [each["status"] for each in (await batch).json()["outcomes"]] == [201] * QUEUE
        assert (await stand.place("after")).status_code == 201
        assert (await stand.client.get("/readyz")).status_code == 200
        (level,) = (await stand.client.get("/orderbook")).json()["bids"]
        assert level["orders"] == QUEUE + 3

    settings = play(tmp_path / "data", scenario)
    end = replayed(settings)
    assert end.engine.usage()["open_orders"] == QUEUE + 3


@pytest.mark.slow
def test_a_slow_disk_makes_orders_wait_then_answers_503_past_the_bound(tmp_path: Path) -> None:
    async def scenario(stand: Stand) -> None:
        stand.disk.may_sync.clear()
        first, batch = await stand.fill_queue()
        refused = await stand.place("over")
        assert refused.status_code == 503
        assert refused.json()["code"] == "queue_full"

        def is_stalled() -> bool:
            return stand.exchange.partition.sequencer.state == "stalled"

        await wait_until_async(is_stalled)
        ready = await stand.client.get("/readyz")
        assert ready.status_code == 503
        assert "a write to the journal has taken" in ready.json()["reason"]
        assert not first.done()
        assert not batch.done()
        stand.disk.may_sync.set()
        assert (await first).status_code == 201
        assert {each["status"] for each in (await batch).json()["outcomes"]} == {201}
        assert (await stand.client.get("/readyz")).status_code == 200

    play(tmp_path / "data", scenario, journal_stall_seconds=0.2)


@pytest.mark.slow
def test_a_failed_fsync_answers_503_stops_and_a_restart_starts_from_disk(tmp_path: Path) -> None:
    async def fail(stand: Stand) -> None:
        assert (await stand.place("kept", idempotency_key="k1")).status_code == 201
        stand.disk.sync_error = errno.EIO
        failed = await stand.place("unknown", idempotency_key="k2")
        assert failed.status_code == 503
        assert failed.json()["code"] == "journal_failed"
        assert "Input/output error" in failed.json()["detail"]
        assert await asyncio.wait_for(asyncio.shield(stand.running), PATIENCE_SECONDS) == 1

    async def retry(stand: Stand) -> None:
        kept = await stand.place("kept", idempotency_key="k1")
        assert kept.status_code == 201
        assert kept.headers["idempotency-replayed"] == "true"
        assert (await stand.place("unknown", idempotency_key="k2")).status_code == 201
        (level,) = (await stand.client.get("/orderbook")).json()["bids"]
        assert level["orders"] == 2

    play(tmp_path / "data", fail)
    play(tmp_path / "data", retry)


@pytest.mark.slow
def test_relaxed_durability_states_its_window_and_syncs_within_it(tmp_path: Path) -> None:
    async def scenario(stand: Stand) -> None:
        journal = stand.exchange.partition.journal
        assert (await stand.place("one")).status_code == 201
        status = (await stand.client.get("/admin/status")).json()["durability"]
        assert (status["mode"], status["loss_window_ms"]) == ("relaxed=300", 300)
        check = (await stand.client.get("/healthz")).json()["checks"]["journal"]
        assert check["loss_window_ms"] == 300
        # The writer says so last: the mark is set a moment before.
        await wait_until_async(lambda: not stand.exchange.partition.sequencer.unsynced_seconds)
        assert journal.durable().seq == journal.last().seq

    play(tmp_path / "data", scenario, durability="relaxed=300")
