"""What clearing costs and does, in a process of its own: `python -m bench.clearing_alone modes N`.

    modes N     the engine's flow of N commands not cleared, in open mode and in funded mode
    settle N    a cycle of N trades among 10,000 clients closed, and its report read
One JSON line on stdout. Times are of the process, the best of the rounds: modes are compared with
each other, and so take turns.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import engine_flow
from bench.alone import BATCH, new_engine
from novate.engine import Accounts, Engine
from novate.model.clearing import (
    ClearingTerms,
    FeeTier,
    pack_deposit,
    pack_set_clearing,
    pack_settle,
)
from novate.model.commands import COMMAND, CommandKind

ROUNDS = 5
FUNDS = 10**28
TRADERS = 10_000
FEES = (FeeTier(maker=-50, taker=300),)
MODES = {
    "uncleared": None,
    "open": ClearingTerms(),
    "open_with_fees": ClearingTerms(tiers=FEES),
    "funded": ClearingTerms(mode="funded"),
    "funded_with_fees": ClearingTerms(mode="funded", tiers=FEES),
}


def main() -> None:
    """Measure what the first argument names, at the scale of the second."""
    what, count = sys.argv[1], int(sys.argv[2])
    print(json.dumps({"modes": measure_modes, "settle": measure_settlement}[what](count)))


def engine_in(terms: ClearingTerms | None, clients: int) -> Engine:
    """An engine whose instrument has these terms, and clients with funds where they are needed."""
    engine = new_engine()
    if terms is None:
        return engine
    engine.apply(pack_set_clearing(0, terms))
    for client in range(clients if terms.mode == "funded" else 0):
        for asset in range(2):
            record = pack_deposit(b"", asset, FUNDS)
            engine.apply(record[:12] + client.to_bytes(4, "little") + record[16:])
    return engine


def measure_modes(count: int) -> dict[str, Any]:
    """Commands a second in each mode, and open and funded mode as shares."""
    filling, timed = engine_flow.make_flow(count)
    batches = [timed[at : at + BATCH] for at in range(0, count, BATCH)]
    seconds = dict.fromkeys(MODES, float("inf"))
    gc.disable()
    for _ in range(ROUNDS):
        for mode, terms in MODES.items():
            engine = engine_in(terms, engine_flow.CLIENTS)
            engine.apply(filling)
            began = time.process_time()
            for batch in batches:
                engine.apply(batch)
            seconds[mode] = min(seconds[mode], time.process_time() - began)
            engine.check_invariants()
    rates = {f"{mode}_per_second": count / taken for mode, taken in seconds.items()}
    return {
        **rates,
        "open_of_uncleared": seconds["uncleared"] / seconds["open"],
        "funded_of_open": seconds["open"] / seconds["funded"],
        "commands": count,
    }


def trades_among(count: int, clients: int) -> NDArray[np.void]:
    """Pairs of orders of which each makes one trade: `count` trades at prices by chance."""
    chance = np.random.default_rng(1)
    orders = np.zeros(2 * count, dtype=COMMAND)
    orders["kind"] = CommandKind.PLACE
    orders["side"][1::2] = 1
    orders["client"] = chance.integers(0, clients, 2 * count)
    orders["order_number"] = np.arange(2 * count)
    orders["price_ticks"] = np.repeat(chance.integers(90_000, 110_000, count), 2)
    orders["quantity_lots"] = np.repeat(chance.integers(1, 100, count), 2)
    return orders


def measure_settlement(count: int) -> dict[str, Any]:
    """Seconds to close a cycle of so many trades and read all of its obligations."""
    engine = engine_in(ClearingTerms(tiers=FEES), TRADERS)
    orders = trades_among(count, TRADERS)
    for at in range(0, len(orders), BATCH):
        engine.apply(orders[at : at + BATCH])
    accounts = Accounts(engine)
    gc.collect()
    began = time.perf_counter()
    engine.apply(pack_settle(20260131))
    closed = time.perf_counter()
    found = accounts.cycle(20260131)
    ended = time.perf_counter()
    assert found is not None
    cycle, obligations = found
    sums = {asset: sum(row[2] for row in obligations if row[1] == asset) for asset in (0, 1)}
    assert sums == {0: 0, 1: -cycle["totals"][0]["fees"]}
    return {
        "seconds": ended - began,
        "close_seconds": closed - began,
        "trades": cycle["totals"][0]["trades"],
        "obligations": len(obligations),
        "clients": TRADERS,
    }


if __name__ == "__main__":
    main()
