"""Candles and positions of 1,000,000 trades."""

from __future__ import annotations

import time

import numpy as np

from bench.row import Figures, Row, Scale, at_most
from novate.analytics import candles, positions

TRADES = 1_000_000
CLIENTS = 10_000
DAY_NS = 86_400 * 10**9
MINUTE_NS = 60 * 10**9


def measure(scale: Scale) -> Figures:
    """Seconds for each; and that the figures are those of the trades."""
    count = scale.count(TRADES)
    chance = np.random.default_rng(1)
    times = np.sort(chance.integers(0, DAY_NS, count))
    prices = 7_000_000 + np.cumsum(chance.integers(-50, 51, count))
    lots = chance.integers(1, 10**9, count)
    buyers, sellers = chance.integers(0, CLIENTS, (2, count))
    began = time.perf_counter()
    minutes = candles(times, prices, lots, MINUTE_NS)
    candled = time.perf_counter()
    held = positions(prices, lots, buyers, sellers)
    ended = time.perf_counter()
    if int(minutes.trade_count.sum()) != count or sum(held.cost) != sum(held.realized):
        raise RuntimeError("the figures do not come to those of the trades")
    return {
        "candles_seconds": candled - began,
        "candles": len(minutes),
        "positions_seconds": ended - candled,
        "positions": len(held),
        "trades": count,
    }


def say(figures: Figures) -> str:
    return (
        f"{figures['candles_seconds']:.3f} s for {figures['candles']:,.0f} candles; "
        f"{figures['positions_seconds']:.3f} s for {figures['positions']:,.0f} positions"
    )


ROW = Row(
    name="analytics",
    title="Candles of a day, and positions of 10,000 clients, from 1,000,000 trades",
    flow="arrays of trades in one instrument; one-minute candles; positions by average cost",
    target="0.3 s; 0.3 s",
    checks=(at_most("candles_seconds", 0.3), at_most("positions_seconds", 0.3)),
    measure=measure,
    say=say,
)
