"""A data folder of an earlier version loads, replays to the same state and can be written on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from novate.engine import Engine
from novate.journal.disk import RealDisk
from novate.journal.interface import Appended, Batch
from novate.journal.reading import JournalReader
from novate.journal.segments import SegmentJournal
from novate.journal.snapshots import SnapshotStore
from novate.journal.verify import run
from novate.model.events import EventKind
from tests.golden.make_golden import FOLDER, NO_EVENTS, chain
from tests.golden.make_golden_journal import journal_versions

VERSIONS = journal_versions()


def expected(version: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"journal_v{version}.json").read_text("ascii"))
    return found


def replay(engine: Engine, reader: JournalReader, first_seq: int, events_hash: bytes) -> bytes:
    for record in reader.read(first_seq):
        batch = record.batch
        assert batch.events_hash == events_hash
        events = engine.apply(batch.commands, batch.first_seq, batch.timestamp_ns)
        events_hash = chain(events_hash, events.tobytes())
    return events_hash


def test_there_is_a_golden_journal_of_each_kind() -> None:
    assert VERSIONS == [1, 2, 3]
    events = Engine(rules=1)
    skipped = [
        event
        for record in JournalReader(FOLDER / "journal_v3", RealDisk()).read(1)
        for event in events.apply(record.batch.commands, timestamp_ns=record.batch.timestamp_ns)
        if event["kind"] == EventKind.COMMAND_SKIPPED
    ]
    assert [int(each["order"]) == int(each["seq"]) for each in skipped] == [True, False] * 2


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_journal_is_whole(version: int) -> None:
    folder = FOLDER / f"journal_v{version}"
    assert run(folder) == 0
    end = JournalReader(folder, RealDisk()).end()
    assert end is not None
    assert end.position.seq == expected(version)["last_seq"]
    assert end.position.record_hash.hex() == expected(version)["record_hash"]


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_journal_replays_to_the_same_state(version: int) -> None:
    engine, reader = Engine(rules=1), JournalReader(FOLDER / f"journal_v{version}", RealDisk())
    events_hash = replay(engine, reader, 1, NO_EVENTS)
    assert events_hash.hex() == expected(version)["events_hash"]
    assert engine.state_hash() == expected(version)["state_hash"]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_snapshot_and_the_rest_come_to_the_same_state(version: int) -> None:
    folder = FOLDER / f"journal_v{version}"
    snapshot, warnings = SnapshotStore(folder).latest()
    assert snapshot is not None
    assert (snapshot.seq, warnings) == (expected(version)["snapshot_seq"], [])
    engine = Engine.load(snapshot.dump)
    assert engine.state_hash() == snapshot.state_hash
    replay(engine, JournalReader(folder, RealDisk()), snapshot.seq + 1, snapshot.events_hash)
    assert engine.state_hash() == expected(version)["state_hash"]


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_journal_can_be_written_on(version: int, tmp_path: Path) -> None:
    shutil.copytree(FOLDER / f"journal_v{version}", tmp_path, dirs_exist_ok=True)
    journal = SegmentJournal(tmp_path)
    assert journal.warnings == []
    seq = journal.last().seq
    batch = Batch(seq + 1, 1, 1, b"a command", b"", NO_EVENTS)
    assert journal.append(seq, journal.epoch, batch) is Appended.DURABLE
    journal.close()
    assert run(tmp_path) == 0
