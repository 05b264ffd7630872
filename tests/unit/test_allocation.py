"""In a steady state no command asks for memory, whatever it uses of the rulebook."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import allocations
from tests.conftest import ROOT, scaled

COMMANDS = 15_000 + scaled(30_000)
"""Half of them come before the count: every shard of every hash table must have met an id."""

PROGRAM = """
import gc
import sys
import threading
from array import array

from bench.allocations import counter
from novate.engine import Engine
from novate.engine.native import EventRing, stream
from novate.model.commands import TimeInForce
from tests.oracle.duel import START_NS, Duel, spec
from tests.oracle.market import Market, MarketWorkload
from tests.oracle.words import Create, Place, SetClientLimits, SetRules, to_bytes
from tests.oracle.workload import TINY

asked = counter()
specs = [spec(0), spec(1, price_ticks_max=103)]
duel = Duel.begin(TINY, specs, alone=True)
workload = MarketWorkload(4, duel.oracle, Market(instruments=2))
batches = []
for command in workload.commands(int(sys.argv[1])):
    duel.play(command, 10_000_000)
    workload.now_ns = duel.now_ns
    if isinstance(command, (SetRules, SetClientLimits)):
        batches.append((to_bytes(command), duel.now_ns, 0))  # read as JSON, by Python
    else:
        batches.append((to_bytes(command), duel.now_ns, 1))
engine, ring = Engine(TINY), EventRing(1024)
for each in specs:
    engine.apply(to_bytes(Create(each)))
threading.Thread(target=ring.tally, daemon=True).start()
for number in range(6000):  # every shard of the indices of ids and of keys is in use
    warm = Place("client-0", f"warm-{number}", 0, 1, 100, force=TimeInForce.IOC, key=f"w{number}")
    stream(engine, to_bytes(warm), ring, None, START_NS - 10**16 + number * 10**9)
half, counts = len(batches) // 2, array("I", [0]) * len(batches)
gc.disable()
for number, (record, now_ns, kind) in enumerate(batches):
    before = asked()
    stream(engine, record, ring, None, now_ns)
    counts[number] = asked() - before
ring.close()
counted = [counts[number] for number in range(half, len(batches)) if batches[number][2]]
call = min(counted)
print(sum(each - call for each in counted), len(counted), engine.usage()["open_orders"])
"""


@pytest.mark.slow
def test_no_command_of_the_rulebook_asks_for_memory_in_a_steady_state(tmp_path: Path) -> None:
    library = allocations.built(tmp_path)
    env = allocations.preloaded(library)
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), *sys.path[1:]])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(COMMANDS)],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    requests, commands, _ = map(int, done.stdout.split())
    assert commands > COMMANDS // 3
    assert requests == 0, f"{requests} requests for memory in {commands} commands"
