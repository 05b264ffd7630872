"""The ledger through outages, kills and cut connections: equal to a rebuild, row by row."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from novate.config import Settings
from novate.ledger import database
from novate.ledger.digest import digest
from novate.ledger_feed import Scribe
from novate.model.errors import LedgerAway, LedgerFault, LedgerMoved
from novate.naps import NAP_SECONDS, Naps
from novate.rebuild import WholeJournal, write
from novate.testing.client import Answer
from novate.testing.workload import Operation, Trader, Workload
from tests.conftest import SOAK, Server, free_port, scaled, wait_until, wait_until_async
from tests.integration.data_folder import fill, replayed, settings_of, take_snapshot
from tests.postgres import Postgres

OUTAGE_SECONDS = 10.0 if SOAK else 1.0
TRADERS = 4
KILLS = 30
FEW = 1
"""One takes half of the machine, and a follower steps back behind all: it starts beside four in ten
times as long as beside one."""


def digest_of(url: str) -> dict[str, str]:
    engine = database.open_writer(url)
    try:
        return digest(engine)
    finally:
        engine.dispose()


def rebuilt(folder: Path, tmp_path: Path) -> dict[str, str]:
    """What a ledger that is made of the folder's journal alone holds."""
    url = f"sqlite:///{tmp_path}/rebuilt-{len(list(tmp_path.iterdir()))}.db"
    write(url, WholeJournal(settings_of(folder)))
    return digest_of(url)


def ledger(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/healthz").json()["checks"]["ledger"]
    return found


def follower_pid(client: httpx.Client) -> int:
    return client.get("/admin/status").json()["follower"]["pid"] or 0


def has_caught_up(client: httpx.Client) -> bool:
    found = ledger(client)
    return found["status"] == "up" and found["lag_sequences"] == 0


def is_up(client: httpx.Client) -> bool:
    return bool(ledger(client)["status"] == "up")


async def when(settled: list[Answer], holds: Callable[[], Any], seconds: float = 100) -> None:
    """Wait until it is so, looking after every few answers: looking holds the traders up."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not so within {seconds:g} s"
        more = len(settled) + 5
        await wait_until_async(lambda n=more: len(settled) >= n, seconds)


async def trade_while(
    server: Server, settled: list[Answer], scenario: Callable[[], Any], clients: int = TRADERS
) -> None:
    """Have clients trade until a scenario is over; a refused order would raise."""
    stop = asyncio.Event()

    def on_settled(operation: Operation, answer: Answer) -> None:
        settled.append(answer)

    traders = [Trader(Workload(3, f"client-{n}"), server.port, on_settled) for n in range(clients)]
    running = [asyncio.create_task(trader.run(stop)) for trader in traders]
    try:
        await scenario()
    finally:
        stop.set()
        await asyncio.gather(*running)
    assert sum(trader.retries for trader in traders) == 0  # nothing was answered 503 or 429


def look_at_outage(client: httpx.Client) -> None:
    """What a client sees meanwhile: live state as ever, and of history a quick 503."""
    health = client.get("/healthz")
    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    # The first question may meet the dead connection; from then on the breaker answers.
    client.get("/trades/stats")
    asked = time.monotonic()
    refused = client.get("/trades/stats")
    assert (refused.status_code, refused.json()["code"]) == (503, "ledger_away")
    assert int(refused.headers["retry-after"]) >= 1
    assert time.monotonic() - asked < Settings().history_seconds  # it was not even asked
    assert client.get("/orders?status=open").status_code == 200
    assert client.get("/orderbook").status_code == 200
    assert client.post("/admin/snapshot").status_code == 201


@pytest.mark.slow
def test_an_outage_of_the_database_under_load(
    make_server: Callable[..., Server], own_postgres: Postgres, tmp_path: Path
) -> None:
    url = own_postgres.make_database("ledger")
    server = make_server(
        ledger_url=url, rate_limit_per_second=0, closed_orders_max=100, history_probe_seconds=0.1
    ).start()
    settled: list[Answer] = []
    client = httpx.Client(base_url=server.url, timeout=40)

    async def outage() -> None:
        await when(settled, lambda: len(settled) > 200 and is_up(client))
        own_postgres.kill()
        began = time.monotonic()
        await when(settled, lambda: ledger(client)["status"] == "down")
        more = len(settled) + 200
        await wait_until_async(
            lambda: len(settled) > more and time.monotonic() - began > OUTAGE_SECONDS,
            OUTAGE_SECONDS + 30,
        )
        look_at_outage(client)
        own_postgres.start()
        await when(settled, lambda: is_up(client))

    with client:
        asyncio.run(trade_while(server, settled, outage, FEW))
        wait_until(lambda: has_caught_up(client), what="a ledger that caught up")
        wait_until(lambda: client.get("/trades/stats").status_code == 200)
        wait_until(lambda: client.get("/healthz").json()["status"] == "healthy")
    assert server.stop() == 0
    assert digest_of(url) == rebuilt(server.data_dir, tmp_path)


def is_in_a_commit(url: str) -> None:
    """Wait until the database is in the middle of a transaction that writes rows."""
    writing = b"SELECT count(backend_xid) FROM pg_stat_activity WHERE datname = current_database()"
    with psycopg.connect(url, autocommit=True) as watching:
        wait_until(lambda: watching.execute(writing).fetchone() != (0,), what="a commit")


@pytest.mark.slow
def test_a_database_killed_in_the_middle_of_commits(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    # It writes its log by itself every 10 s only, so that a kill takes what it had answered.
    killed = Postgres(free_port(), {"wal_writer_delay": "10s"}).start()
    url = killed.make_database("ledger")
    server = make_server(ledger_url=url, rate_limit_per_second=0, snapshot_commands=300).start()
    settled: list[Answer] = []
    client = httpx.Client(base_url=server.url, timeout=40)

    async def killing() -> None:
        for number in range(scaled(KILLS)):
            before = ledger(client).get("sequence", 0)
            await when(
                settled,
                lambda n=before: is_up(client) and ledger(client).get("sequence", 0) > n,
            )
            if number % 2:  # else right behind a commit that was answered
                await asyncio.to_thread(is_in_a_commit, url)
            await asyncio.to_thread(killed.kill)
            await asyncio.to_thread(killed.start)

    with client, contextlib.closing(killed):
        asyncio.run(trade_while(server, settled, killing))
        wait_until(lambda: is_up(client) and has_caught_up(client), what="a ledger that caught up")
        assert server.stop() == 0
        assert '"ledger_stepped_back"' in server.log()
        assert digest_of(url) == rebuilt(server.data_dir, tmp_path)


@pytest.mark.slow
def test_a_follower_killed_at_random(
    ledger_url: str, make_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = make_server(
        ledger_url=ledger_url,
        rate_limit_per_second=0,
        snapshot_commands=scaled(3000),
        follower_restart_seconds=0.01,
    ).start()
    chance = random.Random(ledger_url.partition(":")[0])
    settled: list[Answer] = []
    kills = scaled(50)
    client = httpx.Client(base_url=server.url, timeout=40)

    async def killing() -> None:
        for _ in range(kills):
            before = ledger(client).get("sequence", 0)
            # It is to have written something, so that it is killed at work and not at its start.
            await when(settled, lambda n=before: ledger(client).get("sequence", 0) > n)
            wanted = len(settled) + chance.randint(1, 40)
            await wait_until_async(lambda n=wanted: len(settled) >= n)
            await when(settled, lambda: follower_pid(client))
            pid = follower_pid(client)
            os.kill(pid, signal.SIGKILL)
            await when(settled, lambda p=pid: follower_pid(client) != p)

    with client:
        asyncio.run(trade_while(server, settled, killing, FEW))
        wait_until(lambda: has_caught_up(client), what="a ledger that caught up")
    assert server.stop() == 0
    assert digest_of(ledger_url) == rebuilt(server.data_dir, tmp_path)


class CuttingProxy:
    """Stands before a PostgreSQL and cuts connections around the commits of rows, in turn."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.commits = 0
        self.cuts = {"before": 0, "after": 0}
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._behind))
            cut = threading.Event()
            threading.Thread(target=self._up, args=(client, server, cut), daemon=True).start()
            threading.Thread(target=self._down, args=(server, client, cut), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        writes = False
        try:
            while said := client.recv(65536):
                writes = writes or b"UPDATE ledger_state" in said
                if writes and b"COMMIT" in said:
                    writes = False
                    self.commits += 1
                    if self.commits % 3 == 1:
                        self.cuts["before"] += 1
                        break
                    if self.commits % 3 == 2:
                        # The server carries it out, and nobody ever hears of it.
                        self.cuts["after"] += 1
                        cut.set()
                        server.sendall(said)
                        server.recv(65536)
                        break
                server.sendall(said)
        except OSError:
            pass
        cut.set()
        client.close()
        server.close()

    def _down(self, server: socket.socket, client: socket.socket, cut: threading.Event) -> None:
        try:
            while not cut.is_set():
                server.settimeout(0.05)
                try:
                    said = server.recv(65536)
                except TimeoutError:
                    continue
                if not said or cut.is_set():
                    return
                client.sendall(said)
        except OSError:
            return

    def close(self) -> None:
        self._listener.close()


@pytest.mark.slow
def test_a_commit_whose_outcome_is_unknown(postgres: Postgres, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    settings = settings_of(folder)
    url = postgres.make_database("unknown")
    proxy = CuttingProxy(postgres.port)
    through = url.replace(f":{postgres.port}/", f":{proxy.port}/")
    scribe = Scribe(through, WholeJournal(fill_more(settings, 0)))
    connect_again(scribe)
    restarts = 0
    for step in range(scaled(60)):
        # A journal that has grown, and a scribe that goes on where it is or was.
        scribe._source = WholeJournal(fill_more(settings, step + 1))
        scribe._tail = scribe._source.tail_of(scribe._replayer)  # type: ignore[arg-type]
        while scribe.seq < scribe._source.end.position.seq:
            try:
                scribe.gather()
                if scribe.gathered:
                    scribe.write()
                else:
                    scribe.connect()
            except LedgerAway:
                restarts += 1
                connect_again(scribe)
    scribe.close()
    proxy.close()
    assert min(proxy.cuts.values()) >= scaled(60) // 2
    assert restarts >= scaled(60) // 2
    assert digest_of(url) == rebuilt(folder, tmp_path)


def connect_again(scribe: Scribe) -> None:
    """As often as it takes: its own transactions are cut as well."""
    while True:
        try:
            scribe.connect()
            return
        except LedgerAway:
            continue


def fill_more(settings: Any, step: int) -> Any:
    fill(settings, range(step * 40, step * 40 + 40))
    return settings


@pytest.mark.slow
def test_it_starts_from_a_snapshot_at_or_before_the_ledger(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data", snapshots_kept=9)
    url = f"sqlite:///{tmp_path}/ledger.db"
    fill(settings, range(200))
    taken = take_snapshot(settings)
    fill(settings, range(200, 300))
    assert write(url, WholeJournal(settings)) == taken.seq + 100
    fill(settings, range(300, 500))
    take_snapshot(settings)
    starts = []

    class Source(WholeJournal):
        def replayer_at(self, seq: int) -> Any:
            from novate.recovery import from_latest_snapshot
            from tests.integration.data_folder import store_of

            replayer = from_latest_snapshot(store_of(settings), [], at_most=seq)[0]
            starts.append(replayer.seq)
            return replayer

    write(url, Source(settings))
    assert starts == [taken.seq]
    assert digest_of(url) == rebuilt(settings.data_dir, tmp_path)


def test_a_ledger_of_another_journal_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    mine, others = settings_of(tmp_path / "mine"), settings_of(tmp_path / "others")
    fill(mine, range(50))
    fill(others, range(40, 70))
    write(url, WholeJournal(mine))
    before, end, short = digest_of(url), replayed(mine).seq, replayed(others).seq
    assert short < end
    with pytest.raises(LedgerFault, match=f"the ledger's seq {end}, found its end at {short}"):
        write(url, WholeJournal(others))
    fill(others, range(100, 120))
    with pytest.raises(LedgerFault, match=f"seq {end} is of another journal"):
        write(url, WholeJournal(others))
    assert digest_of(url) == before


def test_a_second_writer_writes_nothing_over_the_first(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    settings = settings_of(tmp_path / "data")
    fill(settings, range(50))
    first, second = (Scribe(url, WholeJournal(settings)) for _ in range(2))
    for scribe in (first, second):
        scribe.connect()
        scribe.gather()
    first.write()
    with pytest.raises(LedgerMoved):
        second.write()
    second.connect()
    second.gather()
    assert (second.gathered, second.seq) == (0, first.seq)
    first.close()
    second.close()
    assert digest_of(url) == rebuilt(settings.data_dir, tmp_path)


def test_it_naps_only_while_it_is_not_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(400))
    slept: list[float] = []
    seconds = itertools.count()
    naps = Naps(clock=lambda: float(next(seconds)), sleep=slept.append)  # each piece takes long
    monkeypatch.setattr("novate.ledger_feed.EVENTS_MAX", 100)
    scribe = Scribe(f"sqlite:///{tmp_path}/ledger.db", WholeJournal(settings), naps=naps)
    scribe.connect()
    assert scribe.gather()
    scribe.write()
    assert slept == []
    monkeypatch.setattr("novate.ledger_feed.EVENTS_MAX", 1_000_000)
    assert not scribe.gather()
    assert slept == []
    scribe.write()
    assert len(slept) > 5  # a table is a piece at least
    assert set(slept) == {NAP_SECONDS}
    scribe.close()


@pytest.mark.slow
def test_a_rebuild_beside_a_running_exchange(
    ledger_url: str, make_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = make_server(ledger_url=ledger_url, rate_limit_per_second=0).start()
    settled: list[Answer] = []
    client = httpx.Client(base_url=server.url, timeout=40)
    command = [sys.executable, "-m", "novate", "rebuild", "--data-dir", str(server.data_dir)]

    async def rebuilding() -> None:
        await when(settled, lambda: len(settled) > 200 and is_up(client))
        process = await asyncio.create_subprocess_exec(
            *command, "--ledger-url", ledger_url, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        assert process.returncode == 0
        assert b"rebuilt to seq" in said
        more = len(settled) + 100
        await wait_until_async(lambda: len(settled) > more)

    with client:
        asyncio.run(trade_while(server, settled, rebuilding, FEW))
        wait_until(lambda: has_caught_up(client), what="a ledger that caught up")
    assert server.stop() == 0
    assert digest_of(ledger_url) == rebuilt(server.data_dir, tmp_path)
