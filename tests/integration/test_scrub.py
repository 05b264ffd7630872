"""The journal's older part, which a start from a snapshot does not read, is checked afterwards."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import msgspec
import pytest

from novate.config import Settings
from novate.journal.archive import Archive
from novate.journal.choosing import open_reader
from novate.journal.disk import RealDisk
from novate.journal.interface import Position
from novate.journal.layout import segment_name
from novate.journal.reading import JournalReader, segment_seqs
from novate.journal.scrub import Scrub
from novate.recovery import open_partition
from novate.testing.disk import flip_bit
from tests.conftest import Server, wait_until
from tests.integration.data_folder import fill, settings_of, store_of, take_snapshot
from tests.postgres import Postgres


def scrubbed(settings: Settings, end: Position) -> Scrub:
    """A check of a folder to its end, a record at a time."""
    scrub = Scrub(open_reader(settings), end, lambda: 0.0)
    while not scrub.slice(0.0):
        pass
    return scrub


def filled(settings: Settings) -> Position:
    """A folder of several segments; the place of its snapshot."""
    fill(settings, range(120))
    taken = take_snapshot(settings)
    fill(settings, range(120, 150))
    return store_of(settings).load(taken.seq).position()


def small(folder: Path) -> Settings:
    return Settings(data_dir=folder, port=0, journal_segment_bytes=1 << 16)


def test_a_whole_journal_is_read_up_to_the_snapshot(tmp_path: Path) -> None:
    settings = small(tmp_path / "data")
    end = filled(settings)
    scrub = scrubbed(settings, end)
    assert (scrub.seq, scrub.fault) == (end.seq, "")


@pytest.mark.slow
def test_a_bit_flipped_anywhere_in_it_is_found_and_its_place_named(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    end = filled(settings)
    path = settings.data_dir / "journal" / end.segment
    records = list(JournalReader(settings.data_dir, RealDisk()).read(1))
    for offset in range(records[0].offset, end.end_offset, 97):
        flip_bit(RealDisk(), path, offset)
        (record,) = (each for each in records if each.offset <= offset < each.end_offset)
        fault = scrubbed(settings, end).fault
        assert f"segment {end.segment}, offset {record.offset}" in fault, (offset, fault)
        flip_bit(RealDisk(), path, offset)
    assert scrubbed(settings, end).fault == ""


def test_another_record_than_the_snapshot_was_taken_of_is_found(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    other = msgspec.structs.replace(filled(settings), record_hash=bytes(32))
    fault = scrubbed(settings, other).fault
    assert fault.startswith("the snapshot of this seq was taken of another record (segment ")


@pytest.mark.slow
def test_a_segment_that_is_missing_is_named_and_a_pruned_one_is_not(tmp_path: Path) -> None:
    settings = small(tmp_path / "data")
    for start in range(0, 600, 50):
        fill(settings, range(start, start + 50))
    end = store_of(settings).load(take_snapshot(settings).seq).position()
    names = sorted(path.name for path in (settings.data_dir / "journal").iterdir())
    assert len(names) > 2
    (settings.data_dir / "journal" / names[1]).rename(tmp_path / "away")
    assert names[0] in scrubbed(settings, end).fault
    (settings.data_dir / "journal" / names[0]).unlink()
    (tmp_path / "away").rename(settings.data_dir / "journal" / names[1])
    assert names[1] != segment_name(1)
    assert scrubbed(settings, end).fault == ""


@pytest.mark.slow
def test_what_is_archived_before_it_is_left_out_and_what_is_meanwhile_is_read(
    tmp_path: Path,
) -> None:
    settings = replace(small(tmp_path / "data"), archive_dir=tmp_path / "archive")
    for start in range(0, 600, 100):
        fill(settings, range(start, start + 100))
    end = store_of(settings).load(take_snapshot(settings).seq).position()
    archive = Archive(settings.data_dir, tmp_path / "archive")
    seqs = segment_seqs(settings.data_dir, RealDisk())
    assert len(seqs) > 3
    list(archive.move(seqs[1]))
    scrub = Scrub(open_reader(settings), end, lambda: 0.0)
    assert not scrub.slice(0.0)
    assert scrub.seq >= seqs[1]
    list(archive.move(seqs[-1]))
    flip_bit(RealDisk(), tmp_path / "archive" / segment_name(1), 8000)
    while not scrub.slice(0.0):
        pass
    assert (scrub.seq, scrub.fault) == (end.seq, "")


@pytest.mark.slow
def test_a_journal_in_postgres_is_checked_likewise(tmp_path: Path, postgres: Postgres) -> None:
    settings = settings_of(tmp_path / "data", journal_url=postgres.make_database("scrub"))
    fill(settings, range(40))
    recovered = open_partition(settings)
    end = recovered.journal.last()
    recovered.close()
    scrub = scrubbed(settings, end)
    assert (scrub.seq, scrub.fault) == (end.seq, "")


@pytest.mark.slow
def test_damage_before_the_snapshot_degrades_health_with_its_place(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    settings = settings_of(tmp_path / "data")
    end = filled(settings)
    record = next(JournalReader(settings.data_dir, RealDisk()).read(30))
    flip_bit(RealDisk(), settings.data_dir / "journal" / end.segment, record.offset + 40)
    server = make_server(settings.data_dir).start()
    with httpx.Client(base_url=server.url, timeout=60) as client:
        wait_until(lambda: client.get("/healthz").json()["status"] == "degraded", what="degraded")
        archive = client.get("/healthz").json()["checks"]["archive"]
        assert archive["status"] == "damaged"
        assert f"segment {end.segment}, offset {record.offset}" in archive["reason"]
        order = {"client_id": "a", "side": "buy", "type": "limit", "price": 1, "quantity": 1}
        assert client.post("/orders", json=order).status_code == 201
    wait_until(lambda: '"journal_damaged"' in server.log(), what="the line that says so")
    assert server.stop() == 0


def checked_by_a_follower(settings: Settings) -> dict[str, object]:
    """What a follower of its own says at the end of its check; a server says nothing of it."""
    command = [sys.executable, "-m", "novate", "follow", "--data-dir", str(settings.data_dir)]
    command += ["--parent-pid", str(os.getpid()), "--ledger-url", "none"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as follower:
        assert follower.stdin is not None
        assert follower.stdout is not None
        said = map(json.loads, follower.stdout)
        checked = next(each for each in said if each["kind"] == "journal_checked")
        follower.stdin.close()
    return dict(checked)


@pytest.mark.slow
def test_a_whole_archive_is_healthy(make_server: Callable[..., Server], tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    end = filled(settings)
    checked = {"kind": "journal_checked", "seq": end.seq, "why": ""}
    assert checked_by_a_follower(settings) == checked
    server = make_server(settings.data_dir).start()
    with httpx.Client(base_url=server.url, timeout=60) as client:
        wait_until(lambda: client.get("/healthz").json()["status"] == "healthy", what="healthy")
        assert client.get("/healthz").json()["checks"]["archive"] == {"status": "ok"}
    assert server.stop() == 0
