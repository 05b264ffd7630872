"""What is measured on an engine in a process of its own: `python -m bench.alone engine 2000000`.

    engine N     N commands of the flow, arrays in and events out
    orders N     memory of N resting orders with server-made ids
    keys N       memory of N idempotency keys
One JSON line on stdout.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import apart, engine_flow
from novate.engine import Engine
from novate.model import codec
from novate.model.instrument import Instrument

BATCH = 10_000


def main() -> None:
    """Measure what the first argument names, at the scale of the second."""
    apart.stay(0)
    what, count = sys.argv[1], int(sys.argv[2])
    measures = {"engine": measure_engine, "orders": measure_orders, "keys": measure_keys}
    print(json.dumps(measures[what](count)))


def new_engine() -> Engine:
    """An engine with one instrument."""
    engine = Engine()
    instrument = Instrument(name="BTC-USD", base="BTC", quote="USD")
    engine.apply(codec.pack_create_instrument(instrument))
    return engine


def measure_engine(count: int) -> dict[str, Any]:
    """Commands a second over the whole flow, in batches; and what the flow came to.

    The flow runs twice, on an engine each: the first run is not counted, for what the system takes
    to give a process its memory is no command's.
    """
    flow = engine_flow.make_flow(count)
    gc.disable()
    _run_flow(*flow)
    return _run_flow(*flow)


def _run_flow(filling: NDArray[np.void], timed: NDArray[np.void]) -> dict[str, Any]:
    engine = new_engine()
    engine.apply(filling)
    resting_before = engine.usage()["open_orders"]
    count = len(timed)
    batches = [timed[at : at + BATCH] for at in range(0, count, BATCH)]
    events = 0
    began = time.perf_counter()
    for batch in batches:
        events += len(engine.apply(batch))
    seconds = time.perf_counter() - began
    usage = engine.usage()
    engine.check_invariants()
    return {
        "commands_per_second": count / seconds,
        "commands": count,
        "events": events,
        "trades": usage["trades"],
        "resting_before": resting_before,
        "resting_after": usage["open_orders"],
        "batch": BATCH,
    }


def measure_orders(count: int) -> dict[str, Any]:
    """Bytes of memory a resting order: the process's growth over `count` of them."""
    engine = new_engine()
    chance = np.random.default_rng(1)
    offsets = chance.integers(1, 5_000, count).tolist()
    for number in range(1_000):  # the memory that making orders takes is not an order's
        _order(number, offsets)
    before = resident_bytes()
    made = 0
    while made < count:
        batch = b"".join(
            _order(number, offsets) for number in range(made, min(made + 1_000, count))
        )
        engine.apply(batch)
        made = min(made + 1_000, count)
    growth = resident_bytes() - before
    return {"bytes_each": growth / count, "count": engine.usage()["open_orders"]}


def _order(number: int, offsets: NDArray[np.int64]) -> bytes:
    side = number & 1
    distance = int(offsets[number])
    price = 1_000_000 + (distance if side else -distance)
    client = b"client-%d" % (number % 1_000)
    order_id = codec.new_order_id(0)
    return codec.pack_place(0, side, 0, 0, 0, price, 100, 0, order_id, client, None, 0)


def measure_keys(count: int) -> dict[str, Any]:
    """Bytes of memory a key: keyed orders that never rest, less the same orders without keys."""
    growth = [_growth_of_unfilled(count, keyed) for keyed in (False, True)]
    return {
        "bytes_each": (growth[1][0] - growth[0][0]) / count,
        "count": growth[1][1],
        "bytes_without_keys": growth[0][0],
    }


def _growth_of_unfilled(count: int, keyed: bool) -> tuple[int, int]:
    """(bytes, keys held) after `count` IOC orders that find nothing to trade with."""
    engine = new_engine()
    gc.collect()
    before = resident_bytes()
    made = 0
    while made < count:
        numbers = range(made, min(made + 1_000, count))
        engine.apply(b"".join(_ioc(number, keyed) for number in numbers))
        made += len(numbers)
    return resident_bytes() - before, engine.usage()["keys"]


def _ioc(number: int, keyed: bool) -> bytes:
    client = b"client-%d" % (number % 1_000)
    key = codec.key_digest(client, b"key-%d" % number) if keyed else None
    order_id = codec.new_order_id(0)
    return codec.pack_place(0, 0, 0, 1, 2 if keyed else 0, 100, 1, 0, order_id, client, key, number)


def resident_bytes() -> int:
    """Memory of this process that is in use now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


if __name__ == "__main__":
    main()
