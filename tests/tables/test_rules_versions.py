"""Versions of the rules (M-RUL): how the next one is adopted, and that old ones go on as before."""

from __future__ import annotations

import pytest

from novate.engine import Engine, Reporter
from novate.model.commands import NEWEST_RULES
from novate.model.errors import SnapshotCorrupt
from novate.model.packing import pack_adopt_rules
from tests.oracle.duel import spec
from tests.oracle.words import Adopt, Create, Place, to_bytes
from tests.tables.cases import Case, check, names, scene

ALL = [
    Case(
        "m_rul_2_the_next_version_is_adopted_once_and_orders_stay",
        "a: buy 5 @ 100",
        "adopt 2; adopt 2; cancel a",
        "rules 2 adopted; refused malformed_command; a ended 5 by_client",
    ),
    Case(
        "m_rul_2_no_other_version",
        "",
        f"adopt 0; adopt 1; adopt {NEWEST_RULES + 1}; adopt 281474976710655; adopt 4294967298",
        "; ".join(["refused malformed_command"] * 5),
    ),
]


@pytest.mark.parametrize("case", ALL, ids=names(ALL))
def test_versions_of_the_rules(case: Case) -> None:
    check(case, rules=1)


FIRST_RULES = [
    Case(
        "m_rul_3_a_total_under_the_minimum_never_traded",
        "s: buy 10 stop 105 min=5",
        "amend s 3; a: sell 9 @ 105 client=o; x: buy 1 @ 105 client=p",
        "s amended 3 @ 0 left 3; a accepted; x accepted; x took 1 @ 105 of a; s triggered; "
        "s ended 3 minimum_quantity",
    ),
]


@pytest.mark.parametrize("case", FIRST_RULES, ids=names(FIRST_RULES))
def test_the_first_version_of_the_rules(case: Case) -> None:
    check(case, rules=1)


def test_m_rul_1_an_engine_begins_under_the_newest_or_the_one_it_is_told() -> None:
    assert Engine().rules_version == NEWEST_RULES == 3
    assert [Engine(rules=each).rules_version for each in (1, 2)] == [1, 2]
    for unknown in (0, -1, NEWEST_RULES + 1, 2**40):
        with pytest.raises(ValueError, match=f"expected 1 to {NEWEST_RULES}, before seq 1; got"):
            Engine(rules=unknown)


@pytest.mark.parametrize("given", ["", "phase halt", "after c 60"], ids=["plain", "phase", "timer"])
def test_m_rul_1_the_version_is_in_the_dump_and_in_the_hash(given: str) -> None:
    old, new = scene(rules=1), scene(rules=2)
    for played in (old, new):
        played.play("a: buy 5 @ 100; " + given)
    before, after = old.duel.engine, new.duel.engine
    assert before is not None
    assert after is not None
    assert b'"version":4' in after.dump()[:60]
    assert b'"version":4' not in before.dump()[:60]
    assert before.state_hash() != after.state_hash()
    for engine in (before, after):
        loaded = Engine.load(engine.dump())
        assert loaded.rules_version == engine.rules_version
        assert loaded.dump() == engine.dump()
    # Adopting is all that they differ in.
    later = Engine.load(before.dump())
    later.apply(to_bytes(Adopt(2)))
    after.apply(to_bytes(Adopt(2)))  # refused, but counted
    assert later.dump() == after.dump()


@pytest.mark.parametrize(
    ("found", "made", "said"),
    [
        (b'"rules_version":3', b'"rules_version":4', "goes with rules of version 2 to 3, 4 found"),
        (b'"rules_version":3', b'"rules_version":1', "goes with rules of version 2 to 3, 1 found"),
        (b'"version":4', b'"version":1', "goes with rules of version 1 to 1, 3 found"),
        (b'"version":4', b'"version":5', "dump version 1 to 4 expected, 5 found"),
        (b'"parts":1', b'"parts":4', "has parts 4, 1 to 3 expected"),
        (b'"parts":1', b'"parts":0', "has parts 0, 1 to 3 expected"),
    ],
)
def test_a_dump_of_rules_that_are_not_known_is_refused(
    found: bytes, made: bytes, said: str
) -> None:
    engine = Engine()
    engine.apply(to_bytes(Create(spec(0))))
    engine.apply(to_bytes(Place("c", "a", 0, 5, 100)))
    whole = engine.dump()
    assert whole.count(found) == 1
    with pytest.raises(SnapshotCorrupt, match=said):
        Engine.load(whole.replace(found, made))


def test_the_operator_is_answered_which_rules_are_in_force() -> None:
    reporter = Reporter(Engine(rules=1))
    applied = reporter.apply(pack_adopt_rules(2) + pack_adopt_rules(2), 1, 0)
    adopted, refused = applied.replies
    assert adopted == (200, b'{"rules":2,"sequence":1}', 0)
    assert refused[0] == 400
    assert b"malformed_command" in refused[1]
