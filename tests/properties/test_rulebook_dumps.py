"""Dumps over the whole rulebook: what is loaded dumps the same and goes on the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from novate.engine import Engine
from novate.model.commands import Phase, Side
from novate.model.instrument import Limits
from tests.conftest import ROOT, scaled
from tests.oracle.duel import Duel, batch, spec
from tests.oracle.market import Market, MarketWorkload
from tests.oracle.words import Cancel, Command, Configure, Create, Place, SetPhase, to_bytes
from tests.oracle.workload import TINIER, TINY

SPECS = [spec(0), spec(1, price_ticks_max=103)]
STEP_NS = 30_000_000


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_loaded_engine_is_the_same_and_goes_on_the_same(seed: int) -> None:
    """At many points; the engine that goes on is now the one, now the other."""
    duel = Duel.begin(TINY, SPECS, alone=True)
    engine = Engine(TINY)
    for each in SPECS:
        engine.apply(to_bytes(Create(each)))
    workload = MarketWorkload(seed, duel.oracle, Market(instruments=2))
    for number, command in enumerate(workload.commands(scaled(20_000))):
        duel.play(command, STEP_NS)
        workload.now_ns = duel.now_ns
        engine.apply(to_bytes(command), timestamp_ns=duel.now_ns)
        if number % 7:
            continue
        dump = engine.dump()
        loaded = Engine.load(dump)
        assert loaded.dump() == dump
        loaded.check_invariants()
        if number % 2:
            engine = loaded


def test_what_closed_orders_hold_is_given_back_after_a_load_too() -> None:
    """Orders named by numbers, whose window shrinks at once; and one that goes on as it was."""
    duel = Duel.begin(TINY, SPECS[:1], numbered=True)
    for number in range(TINY.closed_orders_max):
        duel.play(Place(0, number, Side.BUY, 1, 100, group=1))
        duel.play(Cancel(number))
    assert duel.engine is not None
    duel.engine = Engine.load(duel.engine.dump())
    duel.compare()
    duel.play(Configure(TINIER))
    duel.compare()
    duel.engine = Engine.load(duel.engine.dump())
    for number in range(100, 100 + TINY.closed_orders_max):
        duel.play(Place(0, number, Side.BUY, 1, 100))
        duel.play(Cancel(number))
        duel.compare()


@pytest.mark.slow
def test_how_commands_are_cut_into_batches_is_no_matter() -> None:
    duel = Duel.begin(TINY, SPECS, alone=True)
    one, other = Engine(TINY), Engine(TINY)
    for each in SPECS:
        one.apply(to_bytes(Create(each)))
        other.apply(to_bytes(Create(each)))
    workload = MarketWorkload(5, duel.oracle, Market(instruments=2))
    waiting = []
    for number, command in enumerate(workload.commands(scaled(20_000))):
        duel.play(command)
        one.apply(to_bytes(command), timestamp_ns=duel.now_ns)
        waiting.append(command)
        if number % 50 == 0:
            other.apply(batch(waiting), timestamp_ns=duel.now_ns)
            waiting.clear()
            duel.now_ns += STEP_NS
            workload.now_ns = duel.now_ns
            assert one.state_hash() == other.state_hash()


PROGRAM = """
import hashlib
import sys

from novate.engine import Engine
from tests.oracle.words import Create, to_bytes
from tests.properties.test_rulebook_dumps import SPECS, TINY, flow

engine, events = Engine(TINY), hashlib.blake2b()
for each in SPECS:
    engine.apply(to_bytes(Create(each)))
for number, (command, now_ns) in enumerate(flow(8, int(sys.argv[1]))):
    events.update(engine.apply(to_bytes(command), timestamp_ns=now_ns).tobytes())
    if number % 211 == 0:
        engine = Engine.load(engine.dump())
print(engine.state_hash(), events.hexdigest())
"""


def flow(seed: int, count: int) -> Iterator[tuple[Command, int]]:
    """Commands of a market, and their times."""
    duel = Duel.begin(TINY, SPECS, alone=True)
    workload = MarketWorkload(seed, duel.oracle, Market(instruments=2))
    for command in workload.commands(count):
        duel.play(command, STEP_NS)
        workload.now_ns = duel.now_ns
        yield command, duel.now_ns


@pytest.mark.slow
def test_neither_hash_seeds_nor_the_engines_secret_show() -> None:
    """Each process has its own seed, and each engine in it its own secret."""
    paths = os.pathsep.join([str(ROOT), *sys.path[1:]])
    said = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(scaled(20_000))],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": paths},
            cwd=ROOT,
            capture_output=True,
            check=True,
            timeout=600,
        ).stdout
        for seed in ("1", "4242")
    }
    assert len(said) == 1


def test_what_uses_nothing_of_it_is_dumped_as_before() -> None:
    """Version 1 to the byte; a phase makes it version 2, and its end version 1 again."""
    engine = Engine(Limits(), rules=1)
    engine.apply(to_bytes(Create(SPECS[0])))
    engine.apply(to_bytes(Place("c", "a", 0, 5, 100)))
    before = engine.dump()
    assert b'"version":1' in before[:60]
    engine.apply(to_bytes(SetPhase(Phase.HALT)))
    assert b'"version":2' in engine.dump()[:60]
    engine.apply(to_bytes(SetPhase(Phase.CONTINUOUS)))
    assert b'"version":1' in engine.dump()[:60]
