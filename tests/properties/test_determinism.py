"""The engine is a function of its commands: batches, dumps, machines and hash seeds don't show."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novate.engine import Engine
from novate.model.commands import COMMAND, Side
from tests.conftest import ROOT
from tests.oracle.duel import START_NS, spec
from tests.oracle.words import Create, Place, to_bytes, to_record
from tests.oracle.workload import TINY, Shape, Workload

COUNT = 600
SPECS = [spec(0), spec(1, price_ticks_max=103), spec(2, quantity_lots_min=2, quantity_lots_max=9)]


def commands(seed: int = 3, count: int = COUNT) -> list[bytes]:
    """Instruments and then a workload, each command as bytes."""
    created = [to_bytes(Create(each)) for each in SPECS]
    return created + [to_bytes(each) for each in Workload(seed).commands(count)]


def records(seed: int = 5, count: int = COUNT) -> np.ndarray:
    """A workload over numbers as one array."""
    shape = Shape(instruments=2, numbered=True)
    rows = [to_record(each)[0] for each in Workload(seed, shape).commands(count)]
    return np.array(rows, COMMAND)


def fresh() -> Engine:
    """An engine with tiny windows."""
    return Engine(TINY)


def played(batches: list[bytes], engine: Engine | None = None) -> tuple[bytes, Engine]:
    """Every event of the batches as bytes, and the engine after them."""
    engine = engine or fresh()
    events = [engine.apply(each, timestamp_ns=START_NS).tobytes() for each in batches]
    return b"".join(events), engine


def split(parts: list[bytes], cuts: list[int]) -> list[bytes]:
    """The commands as batches, cut at the given places."""
    edges = [0, *sorted({min(cut, len(parts)) for cut in cuts}), len(parts)]
    return [b"".join(parts[low:high]) for low, high in pairwise(edges) if low < high]


@pytest.mark.slow
@given(st.integers(0, 50), st.lists(st.integers(1, COUNT), max_size=20))
def test_batches_do_not_show(seed: int, cuts: list[int]) -> None:
    parts = commands(seed, 150)
    one_by_one, single = played(parts)
    in_batches, batched = played(split(parts, cuts))
    assert in_batches == one_by_one
    assert batched.state_hash() == single.state_hash()
    assert batched.dump() == single.dump()


@pytest.mark.slow
@given(st.integers(0, 50), st.integers(0, 150))
def test_a_loaded_dump_goes_on_as_if_nothing_had_been(seed: int, cut: int) -> None:
    parts = commands(seed, 150)
    events, straight = played(parts)
    before, first = played(parts[:cut])
    second = Engine.load(first.dump())
    assert second.state_hash() == first.state_hash()
    assert second.dump() == first.dump()
    assert second.usage() == first.usage()
    after, second = played(parts[cut:], second)
    assert before + after == events
    assert second.state_hash() == straight.state_hash()
    second.check_invariants()


def test_the_hash_shows_every_change() -> None:
    engine = fresh()
    seen = {engine.state_hash()}
    for part in commands(count=200):
        engine.apply(part, timestamp_ns=START_NS)
        seen.add(engine.state_hash())
    assert len(seen) == len(SPECS) + 200 + 1


def test_what_left_the_windows_leaves_the_dump() -> None:
    engine, sizes = fresh(), []
    engine.apply(to_bytes(Create(spec())))
    for number in range(400):
        engine.apply(to_bytes(Place("c", f"bid-{number:03}", Side.BUY, 1, 100)))
        engine.apply(to_bytes(Place("c", f"ask-{number:03}", Side.SELL, 1, 100)))
        sizes.append(len(engine.dump()))
    assert engine.usage()["open_orders"] == 0
    assert engine.usage()["closed_orders"] == TINY.closed_orders_max
    assert max(sizes[20:]) - min(sizes[20:]) < 64


def test_an_array_is_its_bytes() -> None:
    created, array = to_bytes(Create(spec(0))) + to_bytes(Create(spec(1))), records()
    by_array, by_bytes = fresh(), fresh()
    for engine in (by_array, by_bytes):
        engine.apply(created)
    assert array.dtype == COMMAND
    assert np.array_equal(by_array.apply(array), by_bytes.apply(array.tobytes()))
    assert by_array.state_hash() == by_bytes.state_hash()


def test_an_array_of_another_form_is_refused() -> None:
    engine, array = fresh(), records()
    before = engine.state_hash()
    packed = np.concatenate([array[:44], array[44:88]])
    assert packed.dtype.itemsize < COMMAND.itemsize
    with pytest.raises(ValueError, match="COMMAND"):
        engine.apply(packed)
    with pytest.raises(ValueError):
        engine.apply(array.tobytes()[:-1])
    assert engine.state_hash() == before
    assert engine.last_seq == 0


PROGRAM = """
from tests.properties.test_determinism import commands, played
events, engine = played(commands(seed=11))
import hashlib
print(engine.state_hash(), hashlib.blake2b(events).hexdigest())
"""


@pytest.mark.slow
def test_hash_seeds_do_not_show() -> None:
    said = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={
                **os.environ,
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]]),
            },
            cwd=ROOT,
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "4242")
    ]
    assert said[0] == said[1]
