"""Room that is reserved is there at once, and changes nothing but that."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import pytest

from novate.engine import Engine, reserve
from novate.model import codec
from novate.model.commands import COMMAND, CommandKind
from novate.model.instrument import Instrument, Limits

LIMITS = Limits(open_orders_max=300_000, closed_orders_max=20_000)
OPEN_BYTES, CLOSED_BYTES, NUMBER_BYTES = 64, 96, 4
SLACK = 4 << 20
"""Bytes that a process may take meanwhile for what is not the engine's."""


def engine_with_a_book(limits: Limits = LIMITS) -> Engine:
    engine = Engine(limits)
    engine.apply(codec.pack_create_instrument(Instrument(name="I", base="A", quote="B")))
    return engine


def orders(count: int, first: int = 1) -> np.ndarray:
    """Orders of both sides around one price: about half of them trade."""
    chance = np.random.default_rng(first)
    rows = np.zeros(count, COMMAND)
    rows["kind"] = CommandKind.PLACE
    rows["side"] = chance.integers(0, 2, count)
    rows["client"] = chance.integers(0, 7, count)
    rows["order_number"] = np.arange(first, first + count)
    rows["price_ticks"] = chance.integers(90, 111, count)
    rows["quantity_lots"] = chance.integers(1, 10, count)
    return rows


def bids(count: int) -> np.ndarray:
    """Orders that all rest."""
    rows = orders(count)
    rows["side"] = 0
    return rows


def resident_bytes() -> int:
    """Memory that the system has given to this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def test_what_is_reserved_is_taken_at_once_and_not_while_orders_come() -> None:
    engine = engine_with_a_book()
    before = resident_bytes()
    reserve(engine, orders=300_000, closed_orders=20_000, numbers=300_001)
    taken = resident_bytes() - before
    asked = 300_000 * (OPEN_BYTES + NUMBER_BYTES) + 20_000 * CLOSED_BYTES
    assert asked <= taken + SLACK
    assert taken <= asked + SLACK
    rows = bids(300_000)
    before = resident_bytes()
    for at in range(0, len(rows), 1000):
        engine.apply(rows[at : at + 1000])
    assert engine.usage()["open_orders"] == 300_000
    assert resident_bytes() - before <= SLACK


def test_without_it_memory_is_taken_while_orders_come() -> None:
    engine = engine_with_a_book()
    rows = bids(300_000)
    before = resident_bytes()
    for at in range(0, len(rows), 1000):
        engine.apply(rows[at : at + 1000])
    assert resident_bytes() - before >= 300_000 * OPEN_BYTES - SLACK


@pytest.mark.parametrize("before", [0, 1, 5_000], ids=["empty", "one order", "in the middle"])
def test_it_changes_no_event_and_no_state(before: int) -> None:
    rows = orders(10_000)
    plain, roomy = engine_with_a_book(), engine_with_a_book()
    plain.apply(rows[:before])
    roomy.apply(rows[:before])
    reserve(roomy, orders=200_000, closed_orders=20_000, numbers=1 << 20)
    assert roomy.state_hash() == plain.state_hash()
    roomy.check_invariants()
    assert roomy.apply(rows[before:]).tobytes() == plain.apply(rows[before:]).tobytes()
    assert roomy.state_hash() == plain.state_hash()
    assert roomy.usage() == plain.usage()
    roomy.check_invariants()


def test_more_than_is_reserved_is_found_as_ever() -> None:
    engine = engine_with_a_book()
    reserve(engine, orders=10, closed_orders=10, numbers=10)
    rows = orders(40_000)
    events = engine.apply(rows)
    assert events.tobytes() == engine_with_a_book().apply(rows).tobytes()
    engine.check_invariants()


@pytest.mark.parametrize(
    ("what", "count", "most"),
    [
        ("orders", 300_001, 300_000),
        ("orders", -1, 300_000),
        ("closed_orders", 20_001, 20_000),
        ("numbers", (1 << 24) + 1, 1 << 24),
    ],
)
def test_what_cannot_be_is_refused_and_says_why(what: str, count: int, most: int) -> None:
    engine = engine_with_a_book()
    before = resident_bytes()
    with pytest.raises(ValueError, match=rf"{what}: expected 0 to {most}, .* got {count}"):
        reserve(engine, **{"orders": 300_000, what: count})
    assert resident_bytes() - before <= SLACK
