"""A journal written under older rules: replayed under them, and carried on under the newest."""

import shutil
from pathlib import Path

import msgspec
import pytest

from novate.config import Settings
from novate.engine import Engine
from novate.journal.disk import RealDisk
from novate.journal.interface import RULES, Appended, Batch
from novate.journal.reading import JournalReader
from novate.journal.segments import SegmentJournal
from novate.model import packing
from novate.model.commands import CommandKind
from novate.model.errors import JournalCorrupt
from novate.recovery import Replayer, open_partition
from tests.golden.make_golden import FOLDER
from tests.integration.data_folder import fill, place, replayed, settings_of, take_snapshot


def rules_of(settings: Settings) -> list[tuple[int, bool]]:
    """Of each record the version of its rules, and whether it adopts newer ones."""
    return [
        (each.batch.rules, each.batch.commands[0] == CommandKind.ADOPT_RULES)
        for each in JournalReader(settings.data_dir, RealDisk()).read(1)
    ]


def older(folder: Path) -> Settings:
    """A folder that a version with rules 1 has left: limits, instruments and orders."""
    fill(settings_of(folder.with_name("made")), range(80))
    made = JournalReader(folder.with_name("made"), RealDisk())
    engine, replayer = Engine(rules=1), None
    journal = SegmentJournal(folder)
    for record in made.read(1):
        replayer = replayer or Replayer(engine)
        batch = msgspec.structs.replace(
            record.batch, rules=1, events_hash=replayer.events_hash, outcomes=replayer.pending
        )
        assert journal.append(journal.last().seq, journal.epoch, batch) is Appended.DURABLE
        replayer.apply_rendered(msgspec.structs.replace(record, batch=batch))
    journal.close()
    return settings_of(folder)


def test_a_new_journal_begins_under_the_newest_rules_and_adopts_none(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(10))
    assert set(rules_of(settings)) == {(RULES, False)}
    assert replayed(settings).engine.rules_version == RULES


@pytest.mark.slow
def test_an_older_journal_goes_on_under_the_newest_and_replays_as_it_was(tmp_path: Path) -> None:
    settings = older(tmp_path / "data")
    before = replayed(settings)
    assert before.engine.rules_version == 1
    fill(settings, range(80, 120))
    found = rules_of(settings)
    adopted = found.index((1, True))
    assert set(found[:adopted]) == {(1, False)}
    adoptions = [(rules, True) for rules in range(1, RULES)]
    assert found[adopted : adopted + len(adoptions)] == adoptions
    assert set(found[adopted + len(adoptions) :]) == {(RULES, False)}
    state = replayed(settings)
    assert state.engine.rules_version == RULES
    recovered = open_partition(settings)
    recovered.close()
    assert (recovered.seq, recovered.engine.state_hash()) == (state.seq, state.engine.state_hash())
    assert [each for each in rules_of(settings) if each[1]] == adoptions
    take_snapshot(settings)
    from_snapshot = open_partition(settings)
    from_snapshot.close()
    assert from_snapshot.snapshot_seq == state.seq
    assert from_snapshot.engine.state_hash() == state.engine.state_hash()
    fill(settings, range(120, 130))
    assert replayed(settings).seq == state.seq + 10


@pytest.mark.slow
def test_a_record_under_other_rules_than_the_state_is_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(10))
    end = replayed(settings)
    for rules in (1, RULES + 1, 0):
        folder = tmp_path / f"with-{rules}"
        shutil.copytree(settings.data_dir, folder)
        journal = SegmentJournal(folder)
        batch = Batch(
            end.seq + 1, 1, end.timestamp_ns, place(10)[0], b"", end.events_hash, rules=rules
        )
        journal.append(end.seq, journal.epoch, batch)
        journal.close()
        with pytest.raises(JournalCorrupt, match=f"expected rules {RULES} .* found {rules} and"):
            replayed(settings_of(folder))


def test_what_is_refused_at_the_first_record_is_too(tmp_path: Path) -> None:
    for rules in (0, RULES + 1):
        folder = tmp_path / f"with-{rules}"
        journal = SegmentJournal(folder)
        batch = Batch(1, 1, 1, packing.pack_advance_time(), rules=rules)
        journal.append(0, journal.epoch, batch)
        journal.close()
        with pytest.raises(JournalCorrupt, match=f"found {rules} and"):
            replayed(settings_of(folder))


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_golden_journal_is_carried_on(version: int, tmp_path: Path) -> None:
    shutil.copytree(FOLDER / f"journal_v{version}", tmp_path / "data")
    seen = replayed(settings_of(tmp_path / "data"))
    assert seen.engine.rules_version == 1
    name = seen.engine.instruments()[0].name
    settings = settings_of(tmp_path / "data", default_instrument=name)
    recovered = open_partition(settings)
    recovered.close()
    assert recovered.engine.rules_version == RULES
    assert replayed(settings).engine.state_hash() == recovered.engine.state_hash()
