"""`POST /orders/batch`."""

from bench import load, servers
from bench.row import Figures, Row, Scale, at_least, at_most
from novate.loadtest import Options


def measure(scale: Scale) -> Figures:
    options = Options(
        batch=500,
        connections=4,
        duration_s=scale.seconds(10),
        warmup_s=scale.seconds(2),
    )
    with servers.exchange() as exchange:
        report = load.on_port(options, exchange.port)
    return {
        "orders_per_second": report["orders_accepted_per_second"],
        "batches_per_second": report["requests_per_second"],
        "latency_ms": report["latency_ms"],
        "errors": load.error_count(report),
        "generator_cpu": report["generator_cpu"],
    }


def say(figures: Figures) -> str:
    return (
        f"{figures['orders_per_second']:,.0f} orders/s; a batch takes p50 "
        f"{figures['latency_ms']['p50']:.1f} ms, p99 {figures['latency_ms']['p99']:.1f} ms; "
        f"{figures['errors']} errors"
    )


ROW = Row(
    name="batches",
    title="`POST /orders/batch`, batches of 500, durable",
    flow="80% limit, 20% market; 4 connections, 200 clients",
    target="100,000 orders/s",
    checks=(at_least("orders_per_second", 100_000), at_most("errors", 0)),
    measure=measure,
    say=say,
)
