"""What plain orders pay for what others use of a book: `python -m bench.core_plain 500000 3`.

Flows that use nothing but limit orders, cancels and amendments run in a book with nothing else, and
in books where other clients have stop orders, icebergs and pairs, where rules and limits hold,
where a client is killed, where sessions are open. All within one process and in turn, by the
process's own time, the best of several rounds each. One JSON line on stdout.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import apart, core_flows, engine_flow
from bench.core_flows import Commands
from bench.core_rare import FAR_NS, extended
from novate.engine import Engine
from novate.model import codec, packing
from novate.model.commands import LinkUse, OrderType, Side, TimeInForce
from novate.model.instrument import Distance, Instrument, OrderLimits, Rules

BATCH = 10_000
OTHERS = 12_000_000
"""From here on the others' orders are numbered, and their clients from this on:"""
OTHER_CLIENTS = 2_000
EACH = 1_000
"""Orders of each kind that others have."""
FAR = 4
"""How many times the middle the far sellers' prices are; far buyers' are at the other end."""


def stops(middle: int) -> bytes:
    """Stop limit orders far off on both sides."""
    rows = extended(_far(middle, 0))
    buys = rows["head"]["side"] == Side.BUY
    rows["head"]["order_type"] = OrderType.STOP_LIMIT
    away = np.arange(EACH) % 100
    rows["head"]["price_ticks"] = np.where(buys, FAR * middle + away, 1 + away)
    rows["more"]["stop_price_ticks"] = rows["head"]["price_ticks"]
    return bytes(rows.tobytes())


def icebergs(middle: int) -> bytes:
    """Icebergs, every other far off and the rest behind the best levels; and pairs far off."""
    rows = extended(_far(middle, 1))
    head = rows["head"]
    near = np.arange(EACH) % 4 < 2
    away = 50 + np.arange(EACH) // 4
    behind = np.where(head["side"] == Side.BUY, middle - away, middle + away)
    head["price_ticks"] = np.where(near, behind, head["price_ticks"])
    head["quantity_lots"] = 1_000
    rows["more"]["display_lots"] = 10
    return bytes(rows.tobytes()) + _pairs(middle)


def _pairs(middle: int) -> bytes:
    rows = extended(_far(middle, 2))
    rows["head"]["side"] = Side.SELL
    rows["head"]["price_ticks"] = FAR * middle + np.arange(EACH) % 100
    second = np.arange(EACH) % 2 == 1
    rows["head"]["client"] = OTHER_CLIENTS + np.arange(EACH) // 2
    rows["more"]["link_use"] = np.where(second, LinkUse.ONE_CANCELS_OTHER, LinkUse.NONE)
    rows["more"]["link_number"] = np.where(second, rows["head"]["order_number"] - 1, 0)
    return bytes(rows.tobytes())


def rules(middle: int) -> bytes:
    """Bands, protection and every limit, none of which the flow breaks; and a client's own."""
    wide = OrderLimits(
        quantity_lots_min=1,
        quantity_lots_max=100_000,
        notional_units_min=10,
        notional_units_max=10**20,
        open_orders_max=100_000,
        last_price_distance=Distance(permille=900),
    )
    book = Rules(
        limits=wide,
        protection=Distance(permille=100),
        static_band=Distance(permille=5_000),
        dynamic_band=Distance(permille=900),
        reference_price_ticks=middle,
    )
    own = packing.pack_set_client_limits(b"of-its-own", 0, wide)
    return packing.pack_set_rules(0, book) + own


def killed(middle: int) -> bytes:
    """A client that may not trade."""
    return packing.pack_kill(b"killed", True)


def sessions(middle: int) -> bytes:
    """Open sessions, and orders of theirs that end at a time, far off."""
    rows = extended(_far(middle, 3))
    rows["head"]["time_in_force"] = TimeInForce.GTD
    rows["more"]["expire_ns"] = FAR_NS + np.arange(EACH)
    rows["more"]["session"] = 1 + np.arange(EACH) % 100
    opened = b"".join(packing.pack_session_open(1 + number) for number in range(100))
    return opened + bytes(rows.tobytes())


def _far(middle: int, kind: int) -> Commands:
    """Limit orders of others that nobody reaches, both sides in turn."""
    rows = core_flows.resting(EACH, 100, middle)
    rows["side"] = np.arange(EACH) % 2
    rows["client"] += OTHER_CLIENTS
    rows["order_number"] += OTHERS + kind * EACH
    away = np.arange(EACH) % 100
    buys = rows["side"] == Side.BUY
    rows["price_ticks"] = np.where(buys, 1 + away, FAR * middle + away)
    return rows


SETTINGS: dict[str, tuple[Callable[[int], bytes], ...]] = {
    "nothing": (),
    "stops": (stops,),
    "icebergs": (icebergs,),
    "rules": (rules,),
    "killed": (killed,),
    "sessions": (sessions,),
    "all": (stops, icebergs, rules, killed, sessions),
}
"""What others have of a book, by name."""


def new_engine(setting: str, middle: int) -> Engine:
    """An engine with one instrument, and what others have of its book around this middle.

    Whoever is known by a number has it before those who are known by a name.
    """
    engine = Engine()
    engine.apply(codec.pack_create_instrument(Instrument(name="I", base="I", quote="USD")))
    last = _far(middle, 4)[:1]
    last["client"], last["time_in_force"] = OTHER_CLIENTS + EACH, TimeInForce.IOC
    engine.apply(last)
    for make in SETTINGS[setting]:
        engine.apply(make(middle))
    return engine


def main() -> None:
    """Print each flow's rate with nothing, and the ratios to it of the others."""
    count, rounds = int(sys.argv[1]), int(sys.argv[2])
    apart.stay(0)
    filling, timed = engine_flow.make_flow(count)
    flows = {"alone": (engine_flow.MIDDLE_TICKS, filling, timed)}
    for name, swing in (("challenge", "1%"), ("swinging", "60%")):
        messages = core_flows.challenge(count // 2, core_flows.SWINGS[swing])
        flows[name] = core_flows.MIDDLE, messages[:0], messages
    print(json.dumps({name: compare(*flow, rounds) for name, flow in flows.items()}))


def compare(middle: int, filling: Commands, timed: Commands, rounds: int) -> dict[str, Any]:
    """Commands a second with nothing, and of each setting the ratio to it, the best round each."""
    best = dict.fromkeys(SETTINGS, float("inf"))
    for _ in range(rounds):
        for setting in SETTINGS:
            seconds = applied_seconds(new_engine(setting, middle), filling, timed)
            best[setting] = min(best[setting], seconds)
    ratios = {name: best["nothing"] / seconds for name, seconds in best.items()}
    del ratios["nothing"]
    return {"commands_per_second": len(timed) / best["nothing"], "ratios": ratios}


def applied_seconds(engine: Engine, filling: Commands, timed: Commands) -> float:
    """Seconds of the process for the timed commands, in batches, events as arrays."""
    engine.apply(filling)
    batches = [timed[at : at + BATCH] for at in range(0, len(timed), BATCH)]
    gc.disable()
    began = time.process_time()
    for batch in batches:
        engine.apply(batch)
    seconds = time.process_time() - began
    gc.enable()
    engine.check_invariants()
    if engine.usage()["open_orders"] < len(filling) // 2:
        raise RuntimeError(f"the flow went astray: {engine.usage()}")
    return seconds


if __name__ == "__main__":
    main()
