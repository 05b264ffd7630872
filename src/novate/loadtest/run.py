"""Runs one load test: connect, warm up, measure, drain, ask the exchange, report."""

import asyncio
import gc
import time
from collections.abc import Callable

import numpy as np
import uvloop

from novate.loadtest import probe
from novate.loadtest.flow import make_flow
from novate.loadtest.histogram import Histogram
from novate.loadtest.http import HttpLoad
from novate.loadtest.options import Options
from novate.loadtest.pacing import NS_PER_S, Plan, Ticker, tick_ns
from novate.loadtest.report import Report
from novate.loadtest.subscribers import Subscribers
from novate.loadtest.tally import Tally
from novate.loadtest.ws import WsLoad
from novate.process import keep_memory

_SETTLE_NS = 50_000_000
_POLL_S = 0.02


def run(options: Options) -> Report:
    """Run one load test in this process and return its figures.

    Raises:
        ValueError: a choice that cannot be run.
        OSError: the server cannot be reached.
    """
    options.check()
    keep_memory()
    gc.collect()
    gc.disable()
    try:
        return uvloop.run(_run(options))
    finally:
        gc.enable()


async def _run(options: Options) -> Report:
    tally = Tally()
    tally.orders_of_good = max(1, options.batch)
    flow = make_flow(options)
    closed = options.rate == 0
    load: HttpLoad | WsLoad
    if options.transport == "ws":
        load = WsLoad(flow, tally, closed, options.window)
    else:
        load = HttpLoad(flow, tally, closed)
    subscribers = await Subscribers.start(options) if options.subscribers else None
    try:
        await load.connect(options.host, options.port, options.connections)
        report = await _measure(options, load, tally)
        if subscribers is not None:
            report.subscribers = await subscribers.finish()
        return report
    finally:
        if subscribers is not None:
            subscribers.kill()


async def _measure(options: Options, load: HttpLoad | WsLoad, tally: Tally) -> Report:
    before = await _standing(options)
    cpu_before = time.process_time_ns()
    start_ns = time.monotonic_ns() + _SETTLE_NS
    tally.measure_from_ns = start_ns + int(options.warmup_s * NS_PER_S)
    stop_ns = tally.measure_from_ns + int(options.duration_s * NS_PER_S)
    await asyncio.sleep(_SETTLE_NS / NS_PER_S)
    load.start(stop_ns)
    await _until(load, options, start_ns, stop_ns)
    depth_at_stop = (await _standing(options)).queue_depth
    await _drain(load, options)
    cpu_ns = time.process_time_ns() - cpu_before
    load.close()
    after = await _cleared(options)
    lateness = Histogram()
    lateness.add(np.array(load.lateness_ns, dtype=np.int64))
    return Report.of(
        options, tally, lateness, before=before, after=after, depth_at_stop=depth_at_stop,
        cpu_share=cpu_ns / (stop_ns - start_ns),
    )  # fmt: skip


async def _until(load: HttpLoad | WsLoad, options: Options, start_ns: int, stop_ns: int) -> None:
    """Let the load run to its end, sending by plan in an open loop."""
    ticker = None
    if options.rate:
        plan = Plan(options.rate, start_ns, stop_ns)
        tick = _tick(load, plan)
        ticker = Ticker(asyncio.get_running_loop(), tick_ns(options.rate), tick)
    await asyncio.sleep((stop_ns - time.monotonic_ns()) / NS_PER_S)
    if ticker is not None:
        ticker.close()
        tick()


def _tick(load: HttpLoad | WsLoad, plan: Plan) -> Callable[[], None]:
    def tick() -> None:
        planned = plan.due(time.monotonic_ns())
        if planned:
            load.due(planned)

    return tick


async def _drain(load: HttpLoad | WsLoad, options: Options) -> None:
    """Wait for the answers still under way, no longer than the drain time."""
    deadline = time.monotonic() + options.drain_s
    while load.under_way() and time.monotonic() < deadline:  # noqa: ASYNC110 - once a run
        await asyncio.sleep(_POLL_S)


async def _standing(options: Options) -> probe.Standing:
    if not options.probe:
        return probe.Standing()
    return await asyncio.to_thread(probe.standing, options.host, options.port)


async def _cleared(options: Options) -> probe.Standing:
    """The exchange's counts once its queue is empty, or when the drain time is over."""
    deadline = time.monotonic() + options.drain_s
    while True:
        now = await _standing(options)
        if now.queue_depth <= 0 or time.monotonic() >= deadline:
            return now
        await asyncio.sleep(_POLL_S)
