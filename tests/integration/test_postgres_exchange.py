"""`novate serve` with its journal in PostgreSQL: the database away, killed, taken over."""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from novate import reconcile
from novate.config import Settings
from novate.export.command import Options
from novate.export.command import run as export
from novate.journal.choosing import open_reader
from novate.journal.snapshots import SnapshotStore
from novate.journal.verify import believed_end, verify_journal
from novate.model.errors import JournalBehindWitness
from novate.rebuild import run_rebuild
from novate.recovery import Replayer, from_latest_snapshot, open_partition, replay_tail
from novate.testing.auditor import Auditor
from novate.testing.workload import Mix, Trader, Workload, decode_json
from tests.conftest import Server, free_port, scaled, wait_until, wait_until_async
from tests.integration.data_folder import fill
from tests.integration.postgres_proxy import Proxy
from tests.postgres import Postgres

NUMBERS = count()
TRADERS = 12
QUEUE = 1000
KILLS = 30
AWAY_SECONDS = 10
LIFE_ANSWERS = (1, 300)
ORDER = {"client_id": "a", "side": "buy", "type": "limit", "price": "100", "quantity": "0.01"}
FLAGS = {"trades_per_instrument_max": 1_000_000, "rate_limit_per_second": 0}


@pytest.fixture(scope="module")
def mortal_postgres() -> Iterator[Postgres]:
    """A PostgreSQL of this module's own, which its tests kill and start again."""
    server = Postgres(free_port())
    yield server.start()
    server.close()


@pytest.fixture
def url(mortal_postgres: Postgres) -> str:
    """An empty database of the test's own."""
    return mortal_postgres.make_database(f"exchange_{next(NUMBERS)}")


def settings_of(server: Server) -> Settings:
    """The settings that its commands would have."""
    return Settings(data_dir=server.data_dir, journal_url=str(server.flags["journal_url"]))


def replayed(settings: Settings, replayer: Replayer) -> dict[str, str]:
    """What a replay of the journal comes to."""
    reader = open_reader(settings)
    believed_end(reader)
    replay_tail(replayer, reader)
    reader.close()
    return {
        "seq": str(replayer.seq),
        "state": replayer.engine.state_hash(),
        "events": replayer.events_hash.hex(),
    }


def states(server: Server) -> dict[str, str]:
    """What a replay from zero and one from the last snapshot come to: the same; and it is whole."""
    settings = settings_of(server)
    reader = open_reader(settings)
    assert verify_journal(reader).commands > 0
    reader.close()
    from_zero = replayed(settings, Replayer.at_zero())
    store = SnapshotStore(settings.data_dir)
    assert replayed(settings, from_latest_snapshot(store, [])[0]) == from_zero
    return from_zero


def start_verb(server: Server, *verb: str) -> subprocess.Popen[str]:
    """Begin a command on a server's folder and journal."""
    command = [sys.executable, "-m", "novate", *verb, "--data-dir", str(server.data_dir)]
    command += ["--journal-url", str(server.flags["journal_url"])]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def audit(server: Server, auditor: Auditor) -> int:
    """Check everything from the outside; the number of trades."""
    with httpx.Client(base_url=server.url, timeout=30) as client:

        def read(path: str) -> Any:
            response = client.get(path)
            assert response.status_code == 200, response.text
            return decode_json(response.content)

        clients = tuple(f"client-{number}" for number in range(TRADERS))
        return auditor.check(read, Mix().instruments, clients)


async def trade_through(
    server: Server, auditor: Auditor, seed: int, faults: int, fault: Callable[[], None]
) -> list[Trader]:
    """Trade without a pause while something is done again and again, after so many answers."""
    chance = random.Random(seed)
    stop = asyncio.Event()
    traders = [
        Trader(Workload(seed, f"client-{number}"), server.port, auditor.settled)
        for number in range(TRADERS)
    ]
    running = [asyncio.create_task(trader.run(stop)) for trader in traders]
    for _ in range(faults):
        wanted = auditor.statuses.total() + chance.randint(*LIFE_ANSWERS)
        await wait_until_async(lambda n=wanted: auditor.statuses.total() >= n, what="answers")
        await asyncio.to_thread(fault)
    after = auditor.statuses.total() + 50
    await wait_until_async(lambda: auditor.statuses.total() >= after, what="answers afterwards")
    stop.set()
    await asyncio.wait_for(asyncio.gather(*running), 60)
    return traders


def ended_state(server: Server) -> dict[str, str]:
    """Stop it, and give the state that it ended with."""
    assert server.stop() == 0
    ends = re.findall(r'"event":"stopped".*"seq":(\d+).*"state_hash":"(\w+)"', server.log())
    return {"seq": ends[-1][0], "state": ends[-1][1]}


@pytest.mark.slow
def test_orders_wait_up_to_the_queues_bound_while_the_database_is_away(
    make_server: Callable[..., Server], mortal_postgres: Postgres, url: str
) -> None:
    server = make_server(
        journal_url=url, queue_commands_max=QUEUE, batch_commands_max=QUEUE, **FLAGS
    ).start()
    operations = [
        {"op": "place", "order": ORDER | {"order_id": f"queued-{number}"}}
        for number in range(QUEUE)
    ]

    async def main() -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:

            async def place(order_id: str) -> httpx.Response:
                return await client.post("/orders", json=ORDER | {"order_id": order_id})

            async def depth() -> int:
                status = (await client.get("/admin/status")).json()
                return int(status["queue"]["depth"])

            async def until_depth(wanted: int) -> None:
                deadline = time.monotonic() + 60
                while await depth() != wanted:
                    assert time.monotonic() < deadline, f"a depth of {wanted}"

            async def until_stalled() -> None:
                # The writer has to meet the absent database first; what is refused names it.
                deadline = time.monotonic() + 60
                while "PostgreSQL" not in (await client.get("/readyz")).json().get("reason", ""):
                    assert time.monotonic() < deadline, "a stall that is said"

            assert (await place("before")).status_code == 201
            assert (await client.get("/readyz")).status_code == 200
            mortal_postgres.kill()
            first = asyncio.create_task(place("first"))
            await until_depth(1)
            await until_stalled()
            batch = asyncio.create_task(
                client.post("/orders/batch", json={"operations": operations})
            )
            await until_depth(QUEUE + 1)
            refused = await place("over")
            assert refused.status_code == 503
            assert refused.json()["code"] == "queue_full"
            assert "PostgreSQL at 127.0.0.1" in refused.json()["detail"]
            assert int(refused.headers["retry-after"]) > 0
            ready = await client.get("/readyz")
            assert ready.status_code == 503
            assert ready.json()["state"] == "stalled"
            assert "PostgreSQL at 127.0.0.1" in ready.json()["reason"]
            assert (await client.get("/healthz")).json()["status"] == "unhealthy"
            book = (await client.get("/orderbook")).json()
            assert [level["orders"] for level in book["bids"]] == [1]
            assert not first.done()
            assert not batch.done()
            await asyncio.to_thread(mortal_postgres.start)
            assert (await first).status_code == 201
            assert [each["status"] for each in (await batch).json()["outcomes"]] == [201] * QUEUE
            assert (await place("after")).status_code == 201
            assert (await client.get("/readyz")).status_code == 200
            (level,) = (await client.get("/orderbook")).json()["bids"]
            assert level["orders"] == QUEUE + 3

    asyncio.run(main())
    assert ended_state(server).items() <= states(server).items()


@pytest.mark.slow
def test_a_database_that_is_away_under_load_costs_waiting_and_nothing_else(
    make_server: Callable[..., Server], mortal_postgres: Postgres, url: str
) -> None:
    server = make_server(journal_url=url, **FLAGS).start()
    auditor = Auditor()

    def go_away() -> None:
        mortal_postgres.kill()
        began = time.monotonic()
        with httpx.Client(base_url=server.url, timeout=30) as client:
            wait_until(
                lambda: client.get("/readyz").status_code == 503, what="a stall that is said"
            )
            wait_until(lambda: time.monotonic() - began > scaled(AWAY_SECONDS), AWAY_SECONDS + 1)
            assert client.get("/readyz").status_code == 503
            mortal_postgres.start()
            wait_until(lambda: client.get("/readyz").status_code == 200, what="going on by itself")

    asyncio.run(trade_through(server, auditor, 3, 1, go_away))
    assert audit(server, auditor) > 0
    assert ended_state(server).items() <= states(server).items()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_database_killed_in_the_middle_of_commits_loses_and_doubles_nothing(
    make_server: Callable[..., Server], mortal_postgres: Postgres, url: str
) -> None:
    server = make_server(journal_url=url, snapshot_commands=500, **FLAGS).start()
    auditor = Auditor()

    def kill_and_start() -> None:
        mortal_postgres.kill()
        mortal_postgres.start()

    asyncio.run(trade_through(server, auditor, 5, scaled(KILLS), kill_and_start))
    assert audit(server, auditor) > 0
    server.kill()
    before = states(server)
    server.start()
    assert audit(server, auditor) > 0
    assert ended_state(server).items() <= states(server).items()
    assert int(before["seq"]) > 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_connections_cut_in_the_middle_of_commits_lose_and_double_nothing(
    make_server: Callable[..., Server], mortal_postgres: Postgres, url: str
) -> None:
    proxy = Proxy(mortal_postgres.port)
    chance = random.Random(9)
    server = make_server(journal_url=proxy.url(url.rsplit("/", 1)[1]), **FLAGS).start()
    auditor = Auditor()

    def cut() -> None:
        if chance.random() < 0.5:
            proxy.cut()
            return
        lost = proxy.lost
        proxy.lose_answers = True
        wait_until(lambda: proxy.lost > lost, what="an answer that was lost")
        proxy.lose_answers = False

    traders = asyncio.run(trade_through(server, auditor, 13, scaled(100), cut))
    assert sum(trader.retries for trader in traders) == 0
    assert audit(server, auditor) > 0
    wait_until(lambda: '"journal_stalled"' in server.log(), what="a writer that was cut off")
    server.flags["journal_url"] = url
    assert ended_state(server).items() <= states(server).items()
    proxy.close()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_server_killed_in_the_middle_of_commits_loses_and_doubles_nothing(
    make_server: Callable[..., Server], url: str
) -> None:
    server = make_server(journal_url=url, snapshot_commands=300, **FLAGS).start()
    auditor = Auditor()

    def kill_and_start() -> None:
        server.kill()
        server.start()

    traders = asyncio.run(trade_through(server, auditor, 17, scaled(KILLS), kill_and_start))
    assert sum(trader.retries for trader in traders) > 0
    assert audit(server, auditor) > 0
    server.kill()
    states(server)
    # Nothing that matters is in the data folder: a start without it comes to the same.
    shutil.rmtree(server.data_dir)
    server.start()
    assert audit(server, auditor) > 0
    assert ended_state(server).items() <= states(server).items()


@pytest.mark.slow
def test_a_second_server_is_refused_and_one_that_was_replaced_stops(
    make_server: Callable[..., Server], url: str
) -> None:
    first = make_server(journal_url=url).start()
    second = make_server(journal_url=url).start(ready=False)
    assert second.process is not None
    assert second.process.wait(100) == 1
    assert "novate writer, partition 0 (process" in second.log()
    assert "writes this journal; stop it first" in second.log()

    # Somebody takes over: the first stops, whether it is asked for anything or not.
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE novate_journal.writer SET epoch = epoch + 1 WHERE partition = 0")
    assert first.process is not None
    assert first.process.wait(100) == 1
    assert "another server has taken the journal over" in first.log()
    open_partition(settings_of(second)).close()


@pytest.mark.slow
def test_commands_and_a_restart_read_it_with_its_snapshots(
    make_server: Callable[..., Server], mortal_postgres: Postgres, url: str
) -> None:
    server = make_server(journal_url=url).start()
    orders = [
        ORDER | {"order_id": f"order-{number}", "idempotency_key": f"key-{number}"}
        for number in range(20)
    ]
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for order in orders:
            assert client.post("/orders", json=order).status_code == 201
        taken = client.post("/admin/snapshot").json()
        again = client.post("/orders", json=orders[0])
        assert again.headers["idempotency-replayed"] == "true"
        events = "/orders/order-0/events"
        wait_until(lambda: client.get(events).json().get("events"), what="a ledger that is fed")
        status = client.get("/admin/status").json()
        assert status["durability"]["journal"].startswith("PostgreSQL at 127.0.0.1")
    server.kill()
    verbs = (["verify"], ["replay"], ["follow", "--once"])
    begun = [start_verb(server, *verb) for verb in verbs]
    said = [each.communicate(timeout=100)[0] for each in begun]
    assert [each.returncode for each in begun] == [0] * 3, said
    assert f"snapshots: 1 whole, at seq {taken['sequence']}" in said[0]
    assert f"journal: whole, PostgreSQL at 127.0.0.1:{mortal_postgres.port}, database" in said[0]
    from_zero = states(server)
    for each in said[1:]:
        assert f"state {from_zero['state']}\n" in each

    # A follower on another machine has no folder of the server's to look into.
    elsewhere = make_server(journal_url=url)
    follower = start_verb(elsewhere, "follow")
    assert follower.stdout is not None
    with follower:
        while f'"progress","seq":{from_zero["seq"]}' not in (line := follower.stdout.readline()):
            assert line, "a follower that goes on"
        follower.kill()

    server.start()
    assert f"(snapshot {taken['sequence']}, " in server.log()
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for order in (orders[0], orders[-1]):
            again = client.post("/orders", json=order)
            assert again.status_code == 201
            assert again.headers["idempotency-replayed"] == "true"
    assert ended_state(server)["state"] == from_zero["state"]


@pytest.mark.slow
def test_the_ledger_and_exports_are_written_from_it(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(data_dir=tmp_path / "data", journal_url=url)
    fill(settings, range(300))
    assert run_rebuild(settings) == 0
    said = capsys.readouterr().out
    seq = replayed(settings, Replayer.at_zero())["seq"]
    assert f"rebuilt to seq {seq} in" in said
    assert reconcile.run(settings) == 0
    assert re.fullmatch(
        rf"reconciled at seq {seq}: \d\d+ figures from \d\d+ trades and \d\d\d+ entries .*\n",
        capsys.readouterr().out,
    )
    out = tmp_path / "trades.csv"
    assert export(settings, Options(table="trades", out=out)) == 0
    lines = len(out.read_text().splitlines()) - 1
    assert lines > 0
    assert f"{lines} trades written" in capsys.readouterr().out


@pytest.mark.slow
def test_another_journal_than_the_data_folders_is_refused(
    mortal_postgres: Postgres, url: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, journal_url=url)
    open_partition(settings).close()
    empty = mortal_postgres.make_database(f"exchange_{next(NUMBERS)}")
    for other in (replace(settings, journal_url=empty), replace(settings, journal_url="")):
        with pytest.raises(JournalBehindWitness, match="ends with seq 0, but the durable mark saw"):
            open_partition(other)
    open_partition(settings).close()
