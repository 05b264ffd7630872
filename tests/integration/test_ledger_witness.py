"""The ledger as a witness at the start: a journal that ends before it is refused."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from novate.journal.mark import MARK_FILE
from novate.journal.verify import run
from novate.ledger_witness import within
from novate.model.errors import JournalBehindWitness
from novate.rebuild import WholeJournal, write
from novate.recovery import open_partition
from tests.conftest import STOP_SECONDS, Server, free_port, wait_until
from tests.integration.data_folder import fill, settings_of, take_snapshot
from tests.postgres import Postgres

NUMBERS = count()
PATIENT = 60
"""Seconds that a start waits for the ledger here, for a machine that is busy with other tests."""


WRITE_AND_DIE = """
import os, pathlib, sys
from novate.config import Settings
from novate.ledger_feed import Scribe
from novate.rebuild import WholeJournal

scribe = Scribe(sys.argv[1], WholeJournal(Settings(data_dir=pathlib.Path(sys.argv[2]))))
scribe.connect()
scribe.gather()
scribe.write()
os._exit(0)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, postgres: Postgres) -> str:
    """Of a ledger of the test's own: "" is the file in the data folder."""
    if request.param == "sqlite":
        return ""
    return postgres.make_database(f"witness_{next(NUMBERS)}")


def place(server: Server, first: int, orders: int) -> int:
    """Place orders, and wait until the ledger has them; its seq."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for number in range(first, first + orders):
            order = {"order_id": f"o{number}", "client_id": "a", "side": "buy", "type": "limit",
                     "price": 100, "quantity": 1}  # fmt: skip
            answer = client.post("/orders", json=order)
            assert answer.status_code == 201
        seq: int = answer.json()["sequence"]

        def written() -> bool:
            found = client.get("/healthz").json()["checks"]["ledger"]
            return found["status"] == "up" and found["sequence"] >= seq

        wait_until(written, what="a ledger that has caught up")
    return seq


def leave_the_ledger_alone(folder: Path) -> None:
    """Take the other witnesses away: the durable mark and the snapshots."""
    (folder / MARK_FILE).unlink()
    shutil.rmtree(folder / "snapshots", ignore_errors=True)


def refused(server: Server) -> str:
    """What a start that is refused says."""
    before = len(server.log())
    server.start(ready=False)
    assert server.process is not None
    assert server.process.wait(STOP_SECONDS + PATIENT) == 1
    return server.log()[before:]


def novate(
    verb: str, folder: Path, ledger_url: str, *flags: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "novate", verb, "--data-dir", str(folder), *flags]
    named = ["--ledger-url", ledger_url] if ledger_url else []
    return subprocess.run([*command, *named], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_journal_that_ends_before_the_ledger_is_refused(
    ledger_url: str, make_server: Callable[..., Server]
) -> None:
    flags = {"ledger_start_seconds": PATIENT} | ({"ledger_url": ledger_url} if ledger_url else {})
    server = make_server(**flags).start()
    folder = server.data_dir
    short = place(server, 0, 20)
    (segment,) = (folder / "journal").glob("*[0-9]*")
    older = segment.read_bytes()
    whole = place(server, 20, 30)
    server.kill()
    newer = segment.read_bytes()

    segment.write_bytes(older)
    leave_the_ledger_alone(folder)
    said = refused(server)
    assert f"the journal ends with seq {short}, but the ledger " in said
    assert f"saw {whole}; put the missing end of the journal back; or" in said
    assert "`novate rebuild`" in said
    assert f"segment {segment.name}, offset " in said
    assert f"seq {short + 1})" in said
    assert segment.read_bytes() == older  # nothing was cut, written or zeroed

    segment.write_bytes(newer)
    (folder / MARK_FILE).unlink()
    server.start()
    assert place(server, 50, 1) == whole + 1
    server.kill()

    segment.write_bytes(older)
    leave_the_ledger_alone(folder)
    assert novate("rebuild", folder, ledger_url).returncode == 0
    server.start()
    assert place(server, 60, 1) == short + 1
    assert server.stop() == 0


@pytest.mark.slow
def test_verify_replay_and_skip_hear_the_ledger_too(ledger_url: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    folder = settings.data_dir
    fill(settings, range(20))
    (segment,) = (folder / "journal").glob("*[0-9]*")
    older = segment.read_bytes()
    fill(settings, range(20, 40))
    newer = segment.read_bytes()
    write(ledger_url or f"sqlite:///{folder}/ledger.db", WholeJournal(settings))
    (folder / MARK_FILE).unlink()
    segment.write_bytes(older)
    assert run(folder) == 0  # nobody else saw more
    for verb in ("verify", "replay", "skip"):
        told = novate(verb, folder, ledger_url, "--ledger-start-seconds", str(PATIENT))
        assert (told.returncode, told.stdout) == (1, "")
        assert "the journal ends with seq 2" in told.stderr
        assert re.search(r", but the ledger .* saw 4\d; put the missing end", told.stderr)
    assert segment.read_bytes() == older  # nothing was cut, written or zeroed
    alone = novate("replay", folder, "none")
    assert (alone.returncode, alone.stdout[:5]) == (0, "seq 2")
    segment.write_bytes(newer)
    whole = novate("verify", folder, ledger_url, "--ledger-start-seconds", str(PATIENT))
    assert (whole.returncode, whole.stdout[:14]) == (0, "journal: whole")


def test_verify_says_where_the_mark_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(5))
    mark = settings.data_dir / MARK_FILE
    assert run(settings.data_dir) == 0
    assert capsys.readouterr().err == ""
    said = "the durable mark does not say how far the journal got\n"
    content = mark.read_bytes()
    for left, why in (
        (None, f"there is no {mark}"),
        (content[:16], f"there is no {mark}"),
        (bytes(len(content)), f"{mark} was made anew"),
        (b"\xff" * len(content), f"{mark} can't be read"),
    ):
        mark.unlink()
        if left is not None:
            mark.write_bytes(left)
        assert run(settings.data_dir) == 0
        assert capsys.readouterr().err == f"warning: {why}: {said}"
        mark.touch()


@pytest.mark.slow
def test_a_journal_that_is_gone_is_refused(
    ledger_url: str, make_server: Callable[..., Server]
) -> None:
    flags = {"ledger_start_seconds": PATIENT} | ({"ledger_url": ledger_url} if ledger_url else {})
    server = make_server(**flags).start()
    seq = place(server, 0, 5)
    server.kill()
    shutil.rmtree(server.data_dir / "journal")
    leave_the_ledger_alone(server.data_dir)
    said = refused(server)
    assert "the journal ends with seq 0, but the ledger " in said
    assert f"saw {seq}; " in said
    assert list((server.data_dir / "journal").iterdir()) == []


def ahead(tmp_path: Path, url: str) -> tuple[Any, Any]:
    """Two exchanges' folders; the ledger is that of the one with the longer journal."""
    mine, others = settings_of(tmp_path / "mine"), settings_of(tmp_path / "others")
    fill(mine, range(50))
    fill(others, range(10))
    write(url, WholeJournal(mine))
    return mine, others


def reopened(settings: Any, **changed: Any) -> list[str]:
    """The warnings of a start."""
    recovered = open_partition(
        settings_of(settings.data_dir, **{"ledger_start_seconds": PATIENT, **changed})
    )
    recovered.close()
    return recovered.warnings


@pytest.mark.slow
def test_a_ledger_of_another_exchange_is_no_witness(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    mine, others = ahead(tmp_path, url)
    (warning,) = reopened(others, ledger_url=url)
    assert "is of another journal: it has seq " in warning
    assert reopened(mine, ledger_url=url) == []


@pytest.mark.slow
def test_a_ledger_of_another_partition_is_no_witness(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    ahead(tmp_path, url)
    third = settings_of(tmp_path / "third", partition=3)
    fill(third, range(5))
    assert reopened(third, partition=3, ledger_url=url) == []


@pytest.mark.slow
def test_a_ledger_that_is_behind_or_as_far_is_no_matter(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    settings = settings_of(tmp_path / "data")
    fill(settings, range(20))
    write(url, WholeJournal(settings))
    leave_the_ledger_alone(settings.data_dir)
    assert reopened(settings, ledger_url=url) == []
    fill(settings, range(20, 40))
    take_snapshot(settings)
    (settings.data_dir / MARK_FILE).unlink()
    assert reopened(settings, ledger_url=url) == []


@pytest.mark.parametrize("left", ["", "no tables", "not a database"])
def test_a_file_that_is_no_ledger_is_no_witness(left: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(5))
    path = settings.data_dir / "ledger.db"
    if left == "no tables":
        with closing(sqlite3.connect(path)) as ledger:
            ledger.execute("CREATE TABLE other (x)")
    elif left:
        path.write_bytes(b"not a database" * 1000)
    found = path.read_bytes() if left else b""
    warnings = reopened(settings)
    if left == "not a database":
        (warning,) = warnings
        assert f"the ledger {path} can't be asked how far the journal got (Database" in warning
    else:
        assert warnings == []
    assert (path.read_bytes() if left else b"") == found
    assert path.exists() == bool(left)


@pytest.mark.slow
def test_what_a_killed_writer_left_in_the_log_counts(tmp_path: Path) -> None:
    """SQLite's -wal holds the newest rows; its index (-shm) may be lost with the machine."""
    settings = settings_of(tmp_path / "data")
    fill(settings, range(20))
    path = settings.data_dir / "ledger.db"
    command = [sys.executable, "-c", WRITE_AND_DIE, f"sqlite:///{path}", str(settings.data_dir)]
    subprocess.run(command, check=True)
    assert path.with_name("ledger.db-wal").stat().st_size > 0
    path.with_name("ledger.db-shm").unlink()
    shutil.rmtree(settings.data_dir / "journal")
    (settings.data_dir / MARK_FILE).unlink()
    with pytest.raises(JournalBehindWitness, match=r"with seq 0, but the ledger .*ledger\.db saw"):
        reopened(settings)


@pytest.mark.slow
def test_a_ledger_that_is_away_is_no_witness(make_server: Callable[..., Server]) -> None:
    url = f"postgresql://someone:secret@127.0.0.1:{free_port()}/ledger"
    server = make_server(ledger_url=url).start()
    with httpx.Client(base_url=server.url, timeout=30) as client:
        order = {"client_id": "a", "side": "buy", "type": "limit", "price": 100, "quantity": 1}
        assert client.post("/orders", json=order).status_code == 201

    def warned() -> list[str]:
        whole = server.log().rpartition("\n")[0].splitlines()
        lines = [json.loads(line) for line in whole if line.startswith("{")]
        return [each["warning"] for each in lines if each["event"] == "recovered"]

    (warning,) = wait_until(warned, what="a line that a thread writes")
    assert warning.startswith(f"the ledger at 127.0.0.1:{url.split(':')[-1]} can't be asked")
    assert "secret" not in server.log()
    assert server.stop() == 0


@pytest.mark.slow
def test_a_ledger_that_does_not_answer_holds_a_start_up_no_longer_than_its_setting(
    tmp_path: Path,
) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(5))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
        url = f"postgresql://someone@127.0.0.1:{silent.getsockname()[1]}/ledger"
        began = time.monotonic()
        (warning,) = reopened(settings, ledger_url=url, ledger_start_seconds=0.1)
        assert time.monotonic() - began < 30
    assert "(TimeoutError: no answer within 0.1 s)" in warning


def test_a_fault_of_the_question_is_raised_where_it_was_asked() -> None:
    def fail() -> None:
        raise ValueError("no")

    assert within(PATIENT, lambda: 7) == 7
    with pytest.raises(ValueError, match="no"):
        within(PATIENT, fail)


@pytest.mark.slow
def test_journal_and_ledger_in_one_postgres(postgres: Postgres, tmp_path: Path) -> None:
    """The data folder is new, as on another machine: no mark, no snapshot."""
    url = postgres.make_database("witness_of_rows")
    settings = settings_of(tmp_path / "data", journal_url=url)
    fill(settings, range(30))
    with closing(WholeJournal(settings)) as journal:
        write(url, journal)
    elsewhere = settings_of(tmp_path / "elsewhere")
    assert reopened(elsewhere, journal_url=url, ledger_url=url) == []
    shutil.rmtree(elsewhere.data_dir)
    with psycopg.connect(url) as connection:
        connection.execute(
            "DELETE FROM novate_journal.record "
            "WHERE first_seq = (SELECT max(first_seq) FROM novate_journal.record)"
        )
    with pytest.raises(JournalBehindWitness, match=r"the ledger at 127\..*/witness_of_rows saw 3"):
        reopened(elsewhere, journal_url=url, ledger_url=url)
