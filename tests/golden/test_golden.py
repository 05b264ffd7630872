"""Old commands and old dumps mean for ever what they meant; see `make_golden.py`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from novate.engine import Engine
from novate.model.commands import COMMAND, EXTENSION, CommandKind, Flag
from novate.model.errors import SnapshotCorrupt
from novate.model.events import EventKind
from novate.model.rejects import Reason
from tests.conftest import SOAK
from tests.golden.make_golden import FOLDER, NO_EVENTS, replay
from tests.oracle.words import Adopt, Event, events_of, to_bytes

VERSIONS = sorted(int(path.stem.split("-v")[1]) for path in FOLDER.glob("golden-v*.json"))


def manifest(version: int) -> dict[str, Any]:
    """What the version's files must come to."""
    text = (FOLDER / f"golden-v{version}.json").read_text(encoding="ascii")
    found: dict[str, Any] = json.loads(text)
    return found


def batches(version: int) -> list[tuple[bytes, int]]:
    """The version's batches with their times."""
    commands = (FOLDER / f"commands-v{version}.bin").read_bytes()
    cut = []
    for batch in manifest(version)["batches"]:
        cut.append((commands[: batch["bytes"]], batch["timestamp_ns"]))
        commands = commands[batch["bytes"] :]
    assert not commands
    return cut


def dump(version: int) -> bytes:
    """The version's dump."""
    return (FOLDER / f"engine-v{version}.dump").read_bytes()


def test_there_is_a_golden_version_of_each_dump() -> None:
    assert VERSIONS == [1, 2, 3, 4, 5]
    headers = [dump(version)[16:80] for version in VERSIONS]
    assert all(b'"version":%d' % min(at, 4) in head for at, head in enumerate(headers, 1))
    assert [b'"rules_version":%d' % rules in headers[rules + 1] for rules in (2, 3)] == [True] * 2


def test_the_versions_hold_every_kind_of_command_and_event() -> None:
    kinds, asked = set[int](), set[int]()
    for version in (2, 3, 4, 5):
        engine = Engine(rules=1)
        for commands, timestamp_ns in batches(version):
            kinds |= set(engine.apply(commands, timestamp_ns=timestamp_ns)["kind"].tolist())
            asked |= kinds_of(commands)
    # What skips a command is of the journal: a golden journal holds it.
    assert kinds == set(EventKind) - {EventKind.COMMAND_SKIPPED}
    assert asked == set(CommandKind) - {CommandKind.SKIP_COMMAND}


@pytest.mark.parametrize(
    ("version", "rules", "kind", "reason"),
    [
        (4, 2, EventKind.AUCTION_UNCROSSED, Reason.NOTIONAL_TOO_LARGE),
        (5, 3, EventKind.CUTOFF_MISSED, Reason.CYCLE_CLOSED_ALREADY),
    ],
)
def test_what_follows_newer_rules_was_answered_otherwise_before(
    version: int, rules: int, kind: EventKind, reason: Reason
) -> None:
    adopt, refused = to_bytes(Adopt(rules)), to_bytes(Adopt(1))
    parts = batches(version)
    assert sum(commands == adopt for commands, _ in parts) == 1
    answers = []
    for asked in (adopt, refused):
        engine, found = Engine(rules=1), list[Event]()
        for commands, timestamp_ns in parts:
            given = asked if commands == adopt else commands
            found += events_of(engine.apply(given, timestamp_ns=timestamp_ns))
        answers.append(set(found))
    newer = sorted(answers[0] - answers[1])
    assert newer[0].kind is EventKind.RULES_ADOPTED
    assert kind in {event.kind for event in newer}
    assert reason in {event.reason for event in newer}


def kinds_of(commands: bytes) -> set[int]:
    """The kinds of a batch's commands."""
    found = set()
    while commands:
        head = np.frombuffer(commands[: COMMAND.itemsize], COMMAND)[0]
        found.add(int(head["kind"]))
        more = EXTENSION.itemsize if head["flags"] & Flag.EXTENDED else 0
        commands = commands[COMMAND.itemsize + more + -(-int(head["text_length"]) // 8) * 8 :]
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_old_commands_give_the_same_events_and_state(version: int) -> None:
    engine, expected = Engine(rules=1), manifest(version)
    parts = batches(version)
    events_hash = replay(engine, parts[:-1], NO_EVENTS)
    assert events_hash.hex() == expected["dumped"]["events_hash"]
    assert engine.state_hash() == expected["dumped"]["state_hash"]
    assert replay(engine, parts[-1:], events_hash).hex() == expected["last"]["events_hash"]
    assert engine.state_hash() == expected["last"]["state_hash"]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_dump_loads_and_goes_on(version: int) -> None:
    engine, expected = Engine.load(dump(version)), manifest(version)
    assert engine.state_hash() == expected["dumped"]["state_hash"]
    events_hash = bytes.fromhex(expected["dumped"]["events_hash"])
    after = replay(engine, batches(version)[-1:], events_hash)
    assert after.hex() == expected["last"]["events_hash"]
    assert engine.state_hash() == expected["last"]["state_hash"]
    engine.check_invariants()


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_a_cut_dump_is_refused(version: int) -> None:
    whole = dump(version)
    for length in range(0, len(whole), 1 if SOAK else 41):
        with pytest.raises(SnapshotCorrupt):
            Engine.load(whole[:length])
    with pytest.raises(SnapshotCorrupt):
        Engine.load(whole + b"\0")


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_a_flipped_bit_is_refused_or_seen_and_never_worse(version: int) -> None:
    """A dump has no checksum of its own: a snapshot has, and the state hash beside it."""
    whole = dump(version)
    for place in range(0, len(whole), 1 if SOAK else 7):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        try:
            engine = Engine.load(bytes(flipped))
        except SnapshotCorrupt:
            continue
        engine.state_hash()


def test_a_dump_of_an_unknown_version_is_refused() -> None:
    with pytest.raises(SnapshotCorrupt):
        Engine.load(b"not a dump of any version" * 10)
