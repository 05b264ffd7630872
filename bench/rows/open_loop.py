"""Latency at a planned rate that the exchange has to keep up with."""

from bench import load, servers
from bench.row import Figures, Row, Scale, at_most
from novate.loadtest import Options


def measure(scale: Scale) -> Figures:
    options = Options(
        rate=2_000, connections=64, duration_s=scale.seconds(60), warmup_s=scale.seconds(2)
    )
    with servers.exchange() as exchange:
        report = load.on_port(options, exchange.port)
    return {
        "orders_per_second": report["orders_accepted_per_second"],
        "p50_ms": report["latency_ms"]["p50"],
        "p99_ms": report["latency_ms"]["p99"],
        "latency_ms": report["latency_ms"],
        "lateness_ms": report["lateness_ms"],
        "errors": load.error_count(report),
        "unmatched": load.unmatched(report),
    }


def say(figures: Figures) -> str:
    latency = figures["latency_ms"]
    return (
        f"p50 {latency['p50']:.2f} ms, p99 {latency['p99']:.2f} ms, p99.9 {latency['p99.9']:.1f} "
        f"ms, p99.99 {latency['p99.99']:.1f} ms; {figures['errors']} errors"
    )


ROW = Row(
    name="open_loop",
    title="Open loop over HTTP, 2,000 orders/s for 60 s",
    flow="80% limit, 20% market; latency from the planned send time",
    target="p50 under 3 ms, p99 under 15 ms, no error",
    checks=(at_most("p50_ms", 3), at_most("p99_ms", 15), at_most("errors", 0)),
    measure=measure,
    say=say,
    runs=1,
)
