"""What is measured of the matching core in a process of its own: `python -m bench.core_alone
challenge 1000000 60%`. One JSON line on stdout.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
from typing import Any

from bench import core_flows, core_rare
from bench.core_flows import Commands
from novate.engine import Engine
from novate.engine.native import EventRing, stream
from novate.model import codec
from novate.model.commands import Phase
from novate.model.events import EventKind
from novate.model.instrument import Instrument, Limits

BATCH = 10_000
RING = 1 << 14
UNWINDOWED = Limits(closed_orders_max=0, trades_per_instrument_max=0)


def main() -> None:
    """Measure what the first argument names."""
    what, *rest = sys.argv[1:]
    measures = {
        "challenge": challenge,
        "liquibook": liquibook,
        "growth": growth,
        "instruments": instruments,
        "dump": dump,
        "cascade": cascade,
        "uncross": uncross,
    }
    print(json.dumps(measures[what](*rest)))


def new_engine(limits: Limits | None = None, count: int = 1) -> Engine:
    """An engine with `count` instruments."""
    engine = Engine(limits or Limits())
    for number in range(count):
        name = f"I{number}"
        engine.apply(codec.pack_create_instrument(Instrument(name=name, base=name, quote="USD")))
    return engine


def applied_seconds(engine: Engine, commands: Commands) -> float:
    """Seconds for all of the commands in batches, events as arrays."""
    batches = [commands[at : at + BATCH] for at in range(0, len(commands), BATCH)]
    gc.disable()
    began = time.perf_counter()
    for batch in batches:
        engine.apply(batch)
    seconds = time.perf_counter() - began
    gc.enable()
    return seconds


def challenge(orders: str, swing: str) -> dict[str, Any]:
    """Messages a second into a ring that another thread drains and reads."""
    messages = core_flows.challenge(int(orders), core_flows.SWINGS[swing])
    engine = new_engine()
    ring = EventRing(RING)
    tallies: list[tuple[int, int, int]] = []
    reader = threading.Thread(target=lambda: tallies.append(ring.tally()))
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
    """Orders a second; without windows of closed orders and trades, which Liquibook has not."""
    added = core_flows.liquibook(int(orders))
    engine = new_engine(UNWINDOWED)
    seconds = applied_seconds(engine, added)
    engine.check_invariants()
    usage = engine.usage()
    return {
        "orders_per_second": len(added) / seconds,
        "trades": usage["trades"],
        "resting_after": usage["open_orders"],
    }


def growth(orders: str, levels: str, near: str, count: str) -> dict[str, Any]:
    """Nanoseconds a command of a book of so many orders and levels; `near` 0: anywhere in it."""
    book = core_flows.resting(int(orders), int(levels))
    commands = core_flows.churn(book, int(count), int(near) or None)
    engine = new_engine(UNWINDOWED)
    engine.apply(book)
    seconds = applied_seconds(engine, commands)
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
