"""The follower: it checks the events, takes the snapshots, dies and comes back."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
import uvloop

from novate.exchange import Exchange, Partition, bounds_of
from novate.follower import ALIVE_SECONDS, EXIT_DIVERGED, Cadence, Follower
from novate.journal.disk import RealDisk
from novate.journal.interface import Appended, Batch
from novate.journal.mark import DurableMark
from novate.journal.reading import JournalReader
from novate.journal.segments import SegmentJournal
from novate.journal.snapshots import SnapshotStore
from novate.journal.tail import MarkTail
from novate.model import codec
from novate.model.errors import ReplayDiverged
from novate.recovery import Replayer, open_partition
from novate.supervisor import SILENT_SECONDS, FollowerDown, FollowerSupervisor, SnapshotFailed
from novate.testing.disk import FaultyDisk
from novate.testing.workload import Trader, Workload
from tests.conftest import PATIENCE_SECONDS, Server, scaled, wait_until, wait_until_async
from tests.integration.data_folder import fill, place, replayed, settings_of


class Watched:
    """A follower in this process, on a folder, with what it said and a clock moved by hand."""

    def __init__(self, folder: Path, commands: int = 0, seconds: float = 0.0) -> None:
        self.said: list[dict[str, Any]] = []
        self.now = 1000.0
        self.disk = FaultyDisk(RealDisk())
        self.store = SnapshotStore(folder, self.disk, keep=100)
        self.mark = DurableMark(folder, RealDisk())
        replayer = Replayer.at_zero()
        tail = MarkTail(JournalReader(folder, RealDisk()), self.mark, 1)
        cadence = Cadence(commands, seconds)
        self.follower = Follower(
            replayer, tail, self.store, cadence, self.said.append, lambda: self.now
        )

    def catch_up(self) -> None:
        """Step until there is nothing more."""
        while self.follower.step():
            pass

    def kinds(self, kind: str) -> list[dict[str, Any]]:
        """What it said of one kind."""
        return [line for line in self.said if line["kind"] == kind]


def test_it_comes_to_the_same_state_and_says_how_far_it_is(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(200))
    watched = Watched(tmp_path / "data")
    watched.catch_up()
    assert watched.follower.seq == replayed(settings).seq
    assert watched.kinds("progress")[-1]["seq"] == watched.follower.seq
    assert watched.kinds("snapshot") == []


@pytest.mark.slow
def test_it_takes_snapshots_by_count(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(300))
    watched = Watched(tmp_path / "data", commands=100)
    watched.catch_up()
    taken = [line["seq"] for line in watched.kinds("snapshot")]
    assert len(taken) in (2, 3)
    assert all(later - earlier >= 100 for earlier, later in zip([0, *taken], taken, strict=False))
    recovered = open_partition(settings)
    recovered.close()
    assert recovered.snapshot_seq == taken[-1]
    assert recovered.engine.state_hash() == replayed(settings).engine.state_hash()


def test_it_takes_snapshots_by_time_only_if_anything_changed(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(50))
    watched = Watched(tmp_path / "data", seconds=60)
    watched.catch_up()
    assert watched.kinds("snapshot") == []
    watched.now += 60
    watched.catch_up()
    assert [line["seq"] for line in watched.kinds("snapshot")] == [watched.follower.seq]
    watched.now += 600
    watched.catch_up()
    assert len(watched.kinds("snapshot")) == 1
    fill(settings, range(50, 60))
    watched.catch_up()
    assert len(watched.kinds("snapshot")) == 2


def test_it_takes_a_snapshot_where_the_journal_asks_for_one(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")

    async def ask() -> None:
        recovered = open_partition(settings)
        partition = Partition(0, recovered, bounds_of(settings))
        for number in range(3):
            partition.sequencer.submit(place(number)[0], lambda *_: None)
        partition.sequencer.submit(codec.pack_take_snapshot(), lambda *_: None)
        await partition.sequencer.stop()
        recovered.close()

    asyncio.run(ask())
    fill(settings, range(3, 20))
    watched = Watched(tmp_path / "data")
    watched.catch_up()
    (taken,) = watched.kinds("snapshot")
    assert taken["seq"] == 5 + 4  # behind the limits, the instruments and their terms
    snapshot = watched.store.load(taken["seq"])
    assert snapshot.pending_outcomes != b""


def test_a_full_disk_costs_the_snapshot_and_not_the_follower(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(100))
    watched = Watched(tmp_path / "data", commands=50)
    watched.disk.fill_up()
    watched.catch_up()
    assert "No space left" in watched.kinds("snapshot_failed")[0]["why"]
    assert watched.follower.seq == replayed(settings).seq
    watched.disk.make_room()
    fill(settings, range(100, 120))
    watched.catch_up()
    assert len(watched.kinds("snapshot")) == 1


def test_a_full_disk_is_tried_again_at_the_cadence_and_not_at_every_record(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data", batch_commands_max=1)
    fill(settings, range(100))
    watched = Watched(tmp_path / "data", commands=50)
    watched.disk.fill_up()
    watched.catch_up()
    assert [line["seq"] for line in watched.kinds("snapshot_failed")] == [50, 100]


def tamper(folder: Path) -> int:
    """Append a record whose events hash is wrong, and one behind it; the last good seq."""
    settings = settings_of(folder)
    fill(settings, range(50))
    end = replayed(settings)
    journal = SegmentJournal(folder, segment_bytes=settings.journal_segment_bytes)
    batch = Batch(end.seq + 1, 1, end.timestamp_ns, place(50)[0], b"", bytes(31) + b"x")
    assert journal.append(end.seq, journal.epoch, batch) is Appended.DURABLE
    journal.close()
    return end.seq


def test_a_tampered_events_hash_is_found_and_its_batch_named(tmp_path: Path) -> None:
    seq = tamper(tmp_path / "data")
    watched = Watched(tmp_path / "data")
    with pytest.raises(ReplayDiverged, match=f"up to seq {seq} gave other events"):
        watched.catch_up()
    assert watched.follower.seq == seq


@pytest.mark.slow
def test_the_process_says_where_it_diverged_and_exits(tmp_path: Path) -> None:
    seq = tamper(tmp_path / "data")
    command = [sys.executable, "-m", "novate", "follow", "--data-dir", str(tmp_path / "data")]
    ended = subprocess.run(command, capture_output=True, timeout=PATIENCE_SECONDS, check=False)
    assert ended.returncode == EXIT_DIVERGED
    diverged = msgspec.json.decode(ended.stdout.splitlines()[-1])
    assert diverged["kind"] == "diverged"
    assert f"up to seq {seq}" in diverged["why"]


def supervised(folder: Path, program: str) -> FollowerSupervisor:
    """A supervisor of a follower that is a few lines of Python."""
    settings = settings_of(folder, follower_restart_seconds=0.01)
    return FollowerSupervisor(settings, [sys.executable, "-c", program])


def test_a_diverged_follower_is_not_started_again(tmp_path: Path) -> None:
    line = '{"kind": "diverged", "seq": 7, "why": "other events at seq 7"}'
    program = f"print('{line}'); raise SystemExit({EXIT_DIVERGED})"

    async def watch() -> None:
        supervisor = supervised(tmp_path, program)
        supervisor.start()
        await wait_until_async(lambda: supervisor.state == "diverged" and not supervisor.pid)
        assert "seq 7" in supervisor.why
        with pytest.raises(FollowerDown, match="seq 7"):
            await supervisor.snapshot_at(1, 1)
        assert supervisor.restarts == 0
        await supervisor.stop()

    asyncio.run(watch())


@pytest.mark.parametrize(
    "command",
    [
        ["/nowhere/to/be/found"],
        [sys.executable, "-c", "print('x' * 200_000, flush=True); input()"],
    ],
    ids=["not started", "a line without end"],
)
def test_a_follower_that_cannot_be_run_is_tried_again(tmp_path: Path, command: list[str]) -> None:
    async def watch() -> None:
        settings = settings_of(tmp_path, follower_restart_seconds=0.01)
        supervisor = FollowerSupervisor(settings, command)
        supervisor.start()
        await wait_until_async(lambda: supervisor.restarts >= 2)
        await supervisor.stop()
        assert (supervisor.state, supervisor.pid) == ("off", 0)

    asyncio.run(watch())


def test_a_follower_that_dies_is_started_again_and_a_waiting_snapshot_is_told(
    tmp_path: Path,
) -> None:
    program = 'print(\'{"kind": "ready", "seq": 3}\', flush=True); input(); raise SystemExit(9)'

    async def watch() -> None:
        supervisor = supervised(tmp_path, program)
        supervisor.start()
        await wait_until_async(lambda: supervisor.state == "running")
        waiting = asyncio.create_task(supervisor.snapshot_at(5, PATIENCE_SECONDS))
        await wait_until_async(lambda: supervisor.waiting)
        os.kill(supervisor.pid, signal.SIGKILL)
        with pytest.raises(FollowerDown, match="ended with code -9"):
            await waiting
        await wait_until_async(lambda: supervisor.restarts >= 1)
        await wait_until_async(lambda: supervisor.state == "running")
        await supervisor.stop()
        assert supervisor.state == "off"

    asyncio.run(watch())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("further", "pauses"), [(1, [0.01] * 5), (0, [0.01, 0.02, 0.04, 0.08, 0.16])]
)
def test_the_pause_grows_while_a_follower_dies_at_one_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, further: int, pauses: list[float]
) -> None:
    reached = tmp_path / "reached"
    reached.write_text("3", encoding="ascii")
    program = (
        f"import pathlib\nreached = pathlib.Path({str(reached)!r})\n"
        f"seq = int(reached.read_text()) + {further}\nreached.write_text(str(seq))\n"
        'print(f\'{{"kind": "ready", "seq": {seq}}}\', flush=True)\nraise SystemExit(9)'
    )
    told: list[float] = []
    monkeypatch.setattr(
        "novate.supervisor.log",
        SimpleNamespace(
            info=lambda _, **__: None,
            warning=lambda _, **said: told.append(said["again_in_seconds"]),
        ),
    )

    async def watch() -> None:
        supervisor = supervised(tmp_path, program)
        supervisor.start()
        await wait_until_async(lambda: len(told) >= len(pauses))
        await supervisor.stop()

    asyncio.run(watch())
    assert told[: len(pauses)] == pauses


def test_a_follower_may_end_just_as_it_is_waited_for_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It raised, and so the exchange ended with 1 and did not close its journal."""
    program = 'print(\'{"kind": "ready", "seq": 3}\', flush=True)\nwhile True: input()'

    async def watch() -> None:
        supervisor = supervised(tmp_path, program)

        async def too_late(ending: Coroutine[Any, Any, int], _: float) -> int:
            """The time is over, and the end comes while the wait for it is called off."""
            os.kill(supervisor.pid, signal.SIGKILL)
            await ending
            raise TimeoutError

        supervisor.start()
        await wait_until_async(lambda: supervisor.state == "running")
        monkeypatch.setattr("novate.supervisor.asyncio.wait_for", too_late)
        await supervisor.stop()
        assert (supervisor.state, supervisor.pid) == ("off", 0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(watch())


def test_a_follower_that_hangs_is_told_by_its_silence(tmp_path: Path) -> None:
    line = '{"kind": "progress", "seq": 3}'
    program = f"print('{line}', flush=True)\nwhile input(): print('{line}', flush=True)"

    async def watch() -> None:
        now = [0.0]
        settings = settings_of(tmp_path)
        command = [sys.executable, "-c", program]
        supervisor = FollowerSupervisor(settings, command, lambda: now[0])
        now[0] = 1000.0
        assert supervisor.silence() == "", "it has not said yet that it runs"
        supervisor.start()
        await wait_until_async(lambda: supervisor.state == "running")
        now[0] += SILENT_SECONDS - 1
        assert supervisor.silence() == ""
        now[0] += 5
        assert supervisor.silence() == "the follower runs, and has said nothing for 64 s"
        process = supervisor._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.write(b"go on\n")
        await wait_until_async(lambda: supervisor.silence() == "")
        await supervisor.stop()

    asyncio.run(watch())


def test_it_says_that_it_is_there_where_nothing_happens(tmp_path: Path) -> None:
    fill(settings_of(tmp_path / "data"), range(10))
    watched = Watched(tmp_path / "data")
    watched.catch_up()
    before = len(watched.kinds("progress"))
    for seconds, more in ((ALIVE_SECONDS - 0.5, 0), (1.0, 1), (0.5, 1)):
        watched.now += seconds
        watched.follower.step()
        assert len(watched.kinds("progress")) == before + more


@pytest.mark.slow
def test_a_silent_follower_degrades_health(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> None:
        exchange = Exchange(settings_of(tmp_path / "data"))
        exchange.follower.state, exchange.follower.why = "running", ""
        assert exchange.health()[1]["status"] == "healthy"
        monkeypatch.setattr(exchange.follower, "silence", lambda: "nothing for 61 s")
        status, body = exchange.health()
        assert (status, body["status"]) == (200, "degraded")
        assert body["checks"]["follower"]["reason"] == "nothing for 61 s"
        exchange.follower.state = "off"
        assert await exchange.stop()
        await exchange.close()

    asyncio.run(ask())


def test_a_snapshot_that_failed_is_told_until_one_succeeds(tmp_path: Path) -> None:
    failed = '{"kind": "snapshot_failed", "seq": 5, "why": "disk full"}'
    taken = '{"kind": "snapshot", "seq": 9, "timestamp_ns": 1, "bytes": 2, "path": "p", '
    taken += '"state_hash": "h"}'
    program = f"""
print('{{"kind": "ready", "seq": 3}}', flush=True)
input(); print('{failed}', flush=True)
input(); print('{taken}', flush=True)
input()
"""

    async def watch() -> None:
        supervisor = supervised(tmp_path, program)
        supervisor.start()
        await wait_until_async(lambda: supervisor.state == "running")
        waiting = asyncio.create_task(supervisor.snapshot_at(5, PATIENCE_SECONDS))
        await wait_until_async(lambda: supervisor.waiting)
        stdin = supervisor._process.stdin  # type: ignore[union-attr]
        assert stdin is not None
        stdin.write(b"\n")
        with pytest.raises(SnapshotFailed, match="seq 5 failed: disk full"):
            await waiting
        assert (supervisor.state, supervisor.snapshot_fault[-9:]) == ("running", "disk full")
        stdin.write(b"\n")
        assert (await supervisor.snapshot_at(9, PATIENCE_SECONDS)).seq == 9
        assert supervisor.snapshot_fault == ""
        await supervisor.stop()

    asyncio.run(watch())


NONSENSE = [
    "", "{", "[]", "null", "7", '"ready"', "{}", "[" * 5000, "\\udc80",
    '{"kind": "sings"}', '{"kind": 5}', '{"kind": "ready"}', '{"kind": "progress", "seq": "9"}',
    '{"kind": "progress", "seq": null}', '{"kind": "snapshot", "seq": 9}',
    '{"kind": "snapshot", "seq": [], "timestamp_ns": 1, "bytes": 1, "path": "", "state_hash": ""}',
    '{"kind": "snapshot_failed", "seq": 9}', '{"kind": "snapshot_failed", "why": "full"}',
    '{"kind": "diverged"}', '{"kind": "diverged", "why": 5}',
    '{"kind": "ledger"}', '{"kind": "ledger", "state": "drunk", "seq": 1, "why": ""}',
]  # fmt: skip


def test_lines_that_make_no_sense_are_passed_over(tmp_path: Path) -> None:
    program = f"""
import sys
for line in {NONSENSE}:
    sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape") + b"\\n")
print('{{"kind": "ready", "seq": 3}}', flush=True)
input()
"""

    async def watch() -> None:
        supervisor = supervised(tmp_path, program)
        supervisor.start()
        await wait_until_async(lambda: supervisor.state == "running")
        assert (supervisor.seq, supervisor.restarts, supervisor.snapshot) == (3, 0, None)
        assert supervisor.snapshot_fault == ""
        await supervisor.stop()

    asyncio.run(watch())


def test_what_it_says_of_the_ledger_is_known_and_told_once_it_is_up(tmp_path: Path) -> None:
    program = """
for state, seq, why in (("down", 3, "gone"), ("up", 4, ""), ("up", 9, "")):
    print('{"kind": "ledger", "state": "%s", "seq": %d, "why": "%s"}' % (state, seq, why),
          flush=True)
    input()
raise SystemExit(9)
"""

    async def watch() -> None:
        told = []
        supervisor = supervised(tmp_path, program)
        supervisor.on_ledger_up = lambda: told.append(supervisor.ledger.seq)
        assert supervisor.ledger.check(5) == {"status": "off", "lag_sequences": None}
        supervisor.start()
        assert supervisor.ledger.is_well(5, 10)
        await wait_until_async(lambda: supervisor.ledger.state == "down")
        assert supervisor.ledger.check(5) == {
            "status": "down", "lag_sequences": 2, "sequence": 3, "reason": "gone",
        }  # fmt: skip
        stdin = supervisor._process.stdin  # type: ignore[union-attr]
        assert stdin is not None
        stdin.write(b"\n\n")
        await wait_until_async(lambda: supervisor.ledger.seq == 9)
        assert told == [4]
        assert supervisor.ledger.is_well(19, 10)
        assert not supervisor.ledger.is_well(20, 10)
        stdin.write(b"\n")
        await wait_until_async(lambda: supervisor.ledger.state == "down")
        assert "nobody writes it" in supervisor.ledger.why
        await supervisor.stop()

    asyncio.run(watch())


def running_pid(client: httpx.Client) -> int:
    """Process id of a server's follower once it runs, else 0."""
    follower = client.get("/admin/status").json()["follower"]
    return follower["pid"] if follower["state"] == "running" else 0


@pytest.mark.slow
def test_a_snapshot_that_cannot_be_written_degrades_health(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        wait_until(lambda: running_pid(client))
        (server.data_dir / "snapshots").write_text("in the way", encoding="ascii")
        refused = client.post("/admin/snapshot")
        assert (refused.status_code, refused.json()["code"]) == (503, "snapshot_failed")
        health = client.get("/healthz").json()
        assert (health["status"], health["checks"]["snapshots"]["status"]) == (
            "degraded",
            "failing",
        )
        (server.data_dir / "snapshots").unlink()
        assert client.post("/admin/snapshot").status_code == 201
        assert client.get("/healthz").json()["checks"]["snapshots"] == {"status": "ok"}


@pytest.mark.slow
def test_a_signal_to_both_is_no_fault_of_the_follower(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        os.kill(wait_until(lambda: running_pid(client)), signal.SIGTERM)
    assert server.stop() == 0
    assert "follower_ended" not in server.log()


@pytest.mark.slow
def test_a_snapshot_on_demand_is_at_the_sequence_of_its_request(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        order = {"client_id": "a", "side": "buy", "type": "limit", "price": 9, "quantity": 1}
        placed = client.post("/orders", json=order).json()
        taken = client.post("/admin/snapshot")
        assert taken.is_success, taken.text
        assert taken.json()["sequence"] == placed["sequence"] + 1
        assert Path(taken.json()["path"]).stat().st_size == taken.json()["bytes"]
        listed = client.get("/admin/snapshots").json()["snapshots"]
        assert [each["sequence"] for each in listed] == [taken.json()["sequence"]]
        assert client.get("/healthz").json()["checks"]["follower"]["status"] == "running"
    assert server.stop() == 0
    assert replayed(settings_of(server.data_dir)).engine.state_hash() == taken.json()["state_hash"]


@pytest.mark.slow
def test_without_a_follower_a_snapshot_is_a_503(
    make_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVATE_FOLLOWER", "false")
    server = make_server().start()
    refused = httpx.post(f"{server.url}/admin/snapshot", timeout=PATIENCE_SECONDS)
    assert refused.status_code == 503
    assert refused.json()["code"] == "follower_down"


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.mark.slow
def test_killed_at_random_it_comes_back_and_catches_up(make_server: Callable[..., Server]) -> None:
    server = make_server(
        rate_limit_per_second=0, snapshot_commands=200, follower_restart_seconds=0.01
    ).start()
    chance = random.Random(5)
    answers: list[object] = []

    def follower(client: httpx.Client) -> dict[str, Any]:
        found: dict[str, Any] = client.get("/admin/status").json()["follower"]
        return found

    def runs_again(client: httpx.Client, kills: int) -> bool:
        found = follower(client)
        return found["state"] == "running" and found["restarts"] >= kills

    async def trade(client: httpx.Client) -> None:
        stop = asyncio.Event()
        traders = [
            Trader(Workload(5, f"c-{n}"), server.port, lambda *_: answers.append(1))
            for n in range(4)
        ]
        running = [asyncio.create_task(trader.run(stop)) for trader in traders]
        for kill in range(scaled(30)):
            await wait_until_async(lambda n=kill: runs_again(client, n))
            wanted = len(answers) + chance.randint(1, 300)
            await wait_until_async(lambda n=wanted: len(answers) >= n)
            os.kill(follower(client)["pid"], signal.SIGKILL)
        stop.set()
        await asyncio.gather(*running)

    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        asyncio.run(trade(client))
        wait_until(lambda: follower(client)["restarts"] >= scaled(30))
        wait_until(lambda: follower(client)["state"] == "running")
        wait_until(lambda: follower(client)["lag_sequences"] == 0)
        taken = client.post("/admin/snapshot").json()
    assert server.stop() == 0
    assert replayed(settings_of(server.data_dir)).engine.state_hash() == taken["state_hash"]


@pytest.mark.slow
def test_it_dies_with_its_parent(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
        follower = wait_until(lambda: running_pid(client))
    assert is_alive(follower)
    server.kill()
    wait_until(lambda: not is_alive(follower), what="end of the follower")
