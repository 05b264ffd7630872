"""What is measured of the matching core in a process of its own: `python -m bench.core_alone
challenge 1000000 60%`. One JSON line on stdout.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import allocations, apart, core_flows, core_plain, core_rare
from bench.core_flows import Commands
from novate.engine import Engine, reserve
from novate.engine.native import EventRing, stream
from novate.model import codec
from novate.model.commands import Phase, Side
from novate.model.events import EventKind
from novate.model.instrument import Instrument, Limits

BATCH = 10_000
RING = 1 << 14
GROWN = 3
PROCESSORS = os.sched_getaffinity(0)
"""Those that the process was given."""
UNWINDOWED = Limits(closed_orders_max=0, trades_per_instrument_max=0)
WINDOWED = Limits(closed_orders_max=20_000, trades_per_instrument_max=1_000)


def main() -> None:
    """Measure what the first argument names."""
    what, *rest = sys.argv[1:]
    apart.stay(0)
    measures = {
        "challenge": challenge,
        "liquibook": liquibook,
        "growth": growth,
        "instruments": instruments,
        "dump": dump,
        "cascade": cascade,
        "uncross": uncross,
        "steady": steady,
        "chunks": chunks,
    }
    print(json.dumps(measures[what](*rest)))


def new_engine(limits: Limits | None = None, count: int = 1) -> Engine:
    """An engine with `count` instruments."""
    engine = Engine(limits or Limits())
    for number in range(count):
        name = f"I{number}"
        engine.apply(codec.pack_create_instrument(Instrument(name=name, base=name, quote="USD")))
    return engine


def applied_seconds(
    engine: Engine, commands: Commands, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds by this clock for all of the commands in batches, events as arrays."""
    batches = [commands[at : at + BATCH] for at in range(0, len(commands), BATCH)]
    gc.disable()
    began = clock()
    for batch in batches:
        engine.apply(batch)
    seconds = clock() - began
    gc.enable()
    return seconds


def challenge(orders: str, swing: str, others: str = "nothing") -> dict[str, Any]:
    """Messages a second into a ring that another thread drains and reads; of two runs the second.

    `others` is what others have of the book, a name of `core_plain.SETTINGS`. The first run is not
    counted, for what the system takes to give a process its memory is no
    message's.
    """
    messages = core_flows.challenge(int(orders), core_flows.SWINGS[swing])
    _run_challenge(messages, others)
    return _run_challenge(messages, others)


def _run_challenge(messages: Commands, others: str) -> dict[str, Any]:
    engine = core_plain.new_engine(others, core_flows.MIDDLE)
    ring = EventRing(RING)
    tallies: list[tuple[int, int, int]] = []

    def read() -> None:
        os.sched_setaffinity(0, PROCESSORS)
        apart.stay(1)
        tallies.append(ring.tally())

    reader = threading.Thread(target=read)
    reader.start()
    batches = [messages[at : at + BATCH] for at in range(0, len(messages), BATCH)]
    gc.disable()
    began = time.perf_counter()
    try:
        for batch in batches:
            stream(engine, batch, ring)
    finally:
        ring.close()
        reader.join()
    seconds = time.perf_counter() - began
    engine.check_invariants()
    events, trades, _ = tallies[0]
    return {
        "messages_per_second": len(messages) / seconds,
        "messages": len(messages),
        "events": events,
        "trades": trades,
        "resting_after": engine.usage()["open_orders"],
    }


def liquibook(orders: str) -> dict[str, Any]:
    """Orders a second; without windows of closed orders and trades, which Liquibook has not.

    Room for the half of them, which rest, is reserved. Of two runs the second, as in `challenge`.
    """
    added = core_flows.liquibook(int(orders))
    _run_liquibook(added)
    return _run_liquibook(added)


def _run_liquibook(added: Commands) -> dict[str, Any]:
    engine = new_engine(UNWINDOWED)
    reserve(engine, orders=len(added) // 2, numbers=len(added) + 1)
    seconds = applied_seconds(engine, added)
    engine.check_invariants()
    usage = engine.usage()
    return {
        "orders_per_second": len(added) / seconds,
        "trades": usage["trades"],
        "resting_after": usage["open_orders"],
    }


def growth(orders: str, levels: str, near: str, count: str) -> dict[str, Any]:
    """Nanoseconds a command of a book of so many orders and levels; `near` 0: anywhere in it.

    By the process's own time, of a few engines the best: a ratio of two such runs is to say
    something of the book, and not of what else the machine did.
    """
    book = core_flows.resting(int(orders), int(levels))
    commands = core_flows.churn(book, int(count), int(near) or None)
    seconds = float("inf")
    for _ in range(GROWN):
        engine = new_engine(UNWINDOWED)
        engine.apply(book)
        seconds = min(seconds, applied_seconds(engine, commands, time.process_time))
        engine.check_invariants()
    return {"ns_per_command": seconds / len(commands) * 1e9}


def instruments(orders: str, count: str) -> dict[str, Any]:
    """Messages a second of the challenge's flow over many books by a Pareto law."""
    messages = core_flows.challenge(int(orders), core_flows.SWINGS["1%"])
    if int(count) > 1:
        messages = core_flows.over_instruments(messages, int(count))
    engine = new_engine(count=int(count))
    seconds = applied_seconds(engine, messages)
    engine.check_invariants()
    return {"messages_per_second": len(messages) / seconds}


def steady(orders: str) -> dict[str, Any]:
    """Requests for memory while the last half of a flow is applied; windows are full by then.

    The process was started by `allocations.preloaded`.
    """
    messages = core_flows.challenge(int(orders), core_flows.SWINGS["1%"])
    engine = new_engine(WINDOWED)
    ring = EventRing(RING)
    reader = threading.Thread(target=ring.tally)
    reader.start()
    half, asked = len(messages) // 2, allocations.counter()
    stream(engine, messages[:half], ring)
    before_one = asked()
    stream(engine, messages[half : half + 1], ring)
    before = asked()
    stream(engine, messages[half + 1 :], ring)
    after = asked()
    ring.close()
    reader.join()
    count = len(messages) - half - 1
    requests = (after - before) - (before - before_one)  # those of a call are not a command's
    return {"requests_per_command": requests / count, "requests": requests, "commands": count}


def chunks(orders: str) -> dict[str, Any]:
    """What an order takes that takes all others, its events into a ring: time and memory.

    It is the second such order: what ended within a command is known to its end, and for that the
    first one made room.
    """
    count = int(orders)
    book = core_flows.resting(count, 5_000)
    book["side"], book["quantity_lots"] = Side.SELL, 1
    book["price_ticks"] = core_rare.MIDDLE + 1 + np.arange(count) % 5_000
    engine = new_engine(WINDOWED)
    ring = EventRing(RING)
    tallies: list[tuple[int, int, int]] = []

    def read() -> None:
        os.sched_setaffinity(0, PROCESSORS)
        apart.stay(1)
        tallies.append(ring.tally())

    reader = threading.Thread(target=read)
    reader.start()
    seconds = before = 0.0
    for turn in range(2):
        book["order_number"] += turn * (count + 1)
        stream(engine, book, ring)
        number = (turn + 1) * (count + 1)
        command = core_rare.one(Side.BUY, count, number, 2 * core_rare.MIDDLE)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        stream(engine, command, ring)
        seconds = time.perf_counter() - began
    ring.close()
    reader.join()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if tallies[0][1] != 2 * count:
        raise RuntimeError(f"{tallies[0][1]} trades with {orders} orders, twice")
    return {"seconds": seconds, "grown_mib": grown / 1024, "moved": count}


def cascade(stops: str, at_once: str) -> dict[str, Any]:
    """Seconds of the one command that triggers so many stop orders; `at_once` 1: at one price."""
    setting, command = core_rare.cascade(int(stops), at_once == "1")
    engine = new_engine()
    engine.apply(setting)
    gc.disable()
    began = time.perf_counter()
    events = engine.apply(command)
    seconds = time.perf_counter() - began
    engine.check_invariants()
    triggered = int((events["kind"] == EventKind.ORDER_TRIGGERED).sum())
    if triggered != int(stops) or engine.usage()["open_orders"]:
        raise RuntimeError(f"{triggered} of {stops} stop orders were triggered")
    return {"seconds": seconds, "events": len(events)}


def uncross(orders: str) -> dict[str, Any]:
    """Seconds of the change of phase that uncrosses so many orders."""
    engine = new_engine()
    engine.apply(core_rare.phase(Phase.AUCTION))
    engine.apply(core_rare.crossed(int(orders), 5_000))
    gc.disable()
    began = time.perf_counter()
    events = engine.apply(core_rare.phase(Phase.CONTINUOUS))
    seconds = time.perf_counter() - began
    engine.check_invariants()
    trades = int((events["kind"] == EventKind.TRADE).sum())
    if trades < int(orders) // 2:
        raise RuntimeError(f"{trades} trades of {orders} orders: expected nearly all to trade")
    return {"seconds": seconds, "trades": trades}


def dump(orders: str, kind: str) -> dict[str, Any]:
    """Seconds to dump and to load so many resting orders, `plain` or `marked` ones."""
    engine = new_engine()
    if kind == "marked":
        engine.apply(core_rare.marked(int(orders), 5_000).tobytes())
    else:
        engine.apply(core_flows.resting(int(orders), 5_000))
    if engine.usage()["open_orders"] != int(orders):
        raise RuntimeError(f"expected {orders} resting orders, got {engine.usage()}")
    began = time.perf_counter()
    dumped = engine.dump()
    dumped_at = time.perf_counter()
    loaded = Engine.load(dumped)
    loaded_at = time.perf_counter()
    if loaded.state_hash() != engine.state_hash():
        raise RuntimeError("what was loaded is not what was dumped")
    return {
        "dump_seconds": dumped_at - began,
        "load_seconds": loaded_at - dumped_at,
        "bytes": len(dumped),
    }


if __name__ == "__main__":
    main()
