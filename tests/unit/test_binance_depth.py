"""The U/u rule, case by case."""

import pytest

from novate.feeds.binance.depth import DepthSequence
from novate.feeds.binance.messages import DepthDiff, DepthSnapshot


def diff(first, last):
    return DepthDiff(first, last, [], [])


def snapshot(last):
    return DepthSnapshot(last, [], [])


def label(step):
    if isinstance(step, DepthSnapshot):
        return f"S{step.last_update_id}"
    return f"{step.first_update_id}-{step.last_update_id}"


D, S = diff, snapshot

# name, messages in, steps applied, is_synced, last_update_id, gaps, stale, held
CASES = [
    ("nothing is applied before the snapshot", [D(1, 2), D(3, 4)], "", False, -1, 0, 0, 2),
    ("snapshot alone", [S(10)], "S10", True, 10, 0, 0, 0),
    ("held diffs that it covers are dropped", [D(1, 5), D(6, 10), S(10)], "S10", True, 10, 0, 2, 0),
    ("first straddles it", [D(6, 10), D(11, 15), S(12)], "S12 11-15", True, 15, 0, 1, 0),
    ("first starts right behind it", [D(6, 10), D(11, 15), S(10)], "S10 11-15", True, 15, 0, 1, 0),
    ("all held ones follow", [D(11, 12), D(13, 14), S(10)], "S10 11-12 13-14", True, 14, 0, 0, 0),
    ("a snapshot too old is refused", [D(12, 15), S(10)], "", False, -1, 0, 0, 1),
    ("and the next one serves", [D(12, 15), S(10), S(13)], "S13 12-15", True, 15, 0, 0, 0),
    ("a snapshot newer than all", [D(1, 5), S(10), D(8, 11)], "S10 8-11", True, 11, 0, 1, 0),
    ("diffs in a row", [S(10), D(11, 12), D(13, 13)], "S10 11-12 13-13", True, 13, 0, 0, 0),
    ("a repeated diff is stale", [S(10), D(11, 12), D(11, 12)], "S10 11-12", True, 12, 0, 1, 0),
    ("an overlapping diff is applied", [S(10), D(9, 12)], "S10 9-12", True, 12, 0, 0, 0),
    ("a gap stops it", [S(10), D(12, 13)], "S10", False, 10, 1, 0, 1),
    ("after a gap, diffs are held", [S(10), D(12, 13), D(14, 15)], "S10", False, 10, 1, 0, 2),
    (
        "a new snapshot mends it",
        [S(10), D(12, 13), D(14, 15), S(13)],
        "S10 S13 14-15",
        True,
        15,
        1,
        1,
        0,
    ),
    ("a gap among the held", [D(11, 12), D(14, 15), S(10)], "S10 11-12", False, 12, 1, 0, 1),
    ("a snapshot nobody wants", [S(10), D(11, 12), S(11)], "S10 11-12", True, 12, 0, 0, 0),
]


@pytest.mark.parametrize(
    ("messages", "steps", "is_synced", "last_update_id", "gaps", "stale", "held"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_the_rule(messages, steps, is_synced, last_update_id, gaps, stale, held):
    depth = DepthSequence()
    applied = [label(step) for message in messages for step in depth.take(message)]
    assert " ".join(applied) == steps
    assert (depth.is_synced, depth.last_update_id) == (is_synced, last_update_id)
    assert (depth.gaps, depth.stale, depth.held) == (gaps, stale, held)


def test_the_buffer_is_bounded_and_what_it_lost_is_a_newer_snapshots_business():
    depth = DepthSequence(held_max=3)
    for number in range(1, 11):
        assert depth.take(diff(number, number)) == []
    assert depth.held == 3
    assert depth.take(snapshot(5)) == []
    assert depth.snapshots_refused == 1
    assert [label(step) for step in depth.take(snapshot(8))] == ["S8", "9-9", "10-10"]


def test_a_reset_waits_for_a_snapshot_again():
    depth = DepthSequence()
    depth.take(snapshot(10))
    depth.reset()
    assert depth.take(diff(11, 12)) == []
    assert [label(step) for step in depth.take(snapshot(11))] == ["S11", "11-12"]
