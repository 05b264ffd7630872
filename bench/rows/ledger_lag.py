"""10,000 orders/s over HTTP, with the ledger and without it: how far it lags, what it costs."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from bench import load, servers
from bench.row import Figures, Row, Scale, at_most, medians
from novate.loadtest import Options

RATE = 10_000
PAIRS = 3
"""Loads of each kind, in turns: a p99 of one load is of whatever else the machine did just then."""

LOOK_SECONDS = 0.1

Report = dict[str, Any]


def measure(scale: Scale) -> Figures:
    options = Options(
        rate=RATE, connections=64, duration_s=scale.seconds(10), warmup_s=scale.seconds(3)
    )
    without: list[Report] = []
    beside: list[Report] = []
    lags: list[int] = []
    for turn in range(PAIRS):
        for has_ledger in (False, True) if turn % 2 == 0 else (True, False):
            report, seen = _loaded(options, *(() if has_ledger else ("--ledger-url", "none")))
            (beside if has_ledger else without).append(report)
            lags += seen if has_ledger else []
    latency, latency_without = _latency(beside), _latency(without)
    return {
        "p99_ms_without": latency_without["p99"],
        "p99_ms": latency["p99"],
        "p99_ratio": latency["p99"] / latency_without["p99"],
        "lag_seconds_max": max(lags, default=0) / RATE,
        "looks": len(lags),
        "orders_per_second": min(report["orders_accepted_per_second"] for report in beside),
        "latency_ms": latency,
        "latency_ms_without": latency_without,
        "errors": sum(load.error_count(report) for report in beside + without),
    }


def _latency(reports: list[Report]) -> Figures:
    """The median of each figure of latency over the loads."""
    return medians([report["latency_ms"] for report in reports])


def _loaded(options: Options, *flags: str) -> tuple[Report, list[int]]:
    """A report of the load, and how many sequences the ledger was behind, again and again."""
    with servers.exchange("--rate-limit-per-second", "0", *flags) as exchange:
        _wait_for_ledger(exchange)
        over = threading.Event()
        lags: list[int] = []

        def watch() -> None:
            while not over.wait(LOOK_SECONDS):
                ledger = json.loads(exchange.get("/admin/status")[1])["ledger"]
                if ledger["lag_sequences"] is not None:
                    lags.append(ledger["lag_sequences"])

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            report = load.on_port(options, exchange.port)
        finally:
            over.set()
            watcher.join()
    return report, lags


def _wait_for_ledger(exchange: servers.Exchange) -> None:
    """Wait until it is written, where there is one: a start is no lag."""
    deadline = time.monotonic() + servers.READY_SECONDS_MAX
    while json.loads(exchange.get("/admin/status")[1])["ledger"]["status"] not in ("up", "off"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the ledger is not up: {exchange.log_tail()}")
        time.sleep(LOOK_SECONDS)


def say(figures: Figures) -> str:
    return (
        f"at most {figures['lag_seconds_max']:.2f} s behind; p99 {figures['p99_ms']:.1f} ms, "
        f"{figures['p99_ratio']:.2f} of the {figures['p99_ms_without']:.1f} ms without it; "
        f"{figures['errors']} errors"
    )


ROW = Row(
    name="ledger_lag",
    title="10,000 orders/s over HTTP: the ledger's lag, and order p99 with it against without it",
    flow="open loop, 80% limit, 20% market, 64 connections; SQLite; lag looked at every 0.1 s; "
    "three loads of 10 s of each kind in turns, medians",
    target="under 1 s behind; p99 rises by less than a third",
    checks=(at_most("lag_seconds_max", 1), at_most("p99_ratio", 4 / 3), at_most("errors", 0)),
    measure=measure,
    say=say,
)
