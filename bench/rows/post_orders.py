"""`POST /orders` as fast as 64 connections go, beside the bare echo in the same run."""

from bench import load, servers
from bench.row import Figures, Row, Scale, at_least, at_most
from novate.loadtest import Options


def measure(scale: Scale) -> Figures:
    options = Options(connections=64, duration_s=scale.seconds(10), warmup_s=scale.seconds(2))
    echo = load.on_echo(options)
    with servers.exchange() as exchange:
        report = load.on_port(options, exchange.port)
    return {
        "orders_per_second": report["orders_accepted_per_second"],
        "echo_per_second": echo["requests_per_second"],
        "ratio": report["orders_accepted_per_second"] / echo["requests_per_second"],
        "latency_ms": report["latency_ms"],
        "echo_latency_ms": echo["latency_ms"],
        "p99_ms": report["latency_ms"]["p99"],
        "errors": load.error_count(report),
        "unmatched": load.unmatched(report),
        "queue_at_stop": report["queue_at_stop"],
        "queue_at_end": report["queue_at_end"],
        "generator_cpu": report["generator_cpu"],
        "generator_cpu_on_echo": echo["generator_cpu"],
    }


def say(figures: Figures) -> str:
    return (
        f"{figures['orders_per_second']:,.0f}/s, {figures['ratio']:.2f} of the echo's "
        f"{figures['echo_per_second']:,.0f}/s; p50 {figures['latency_ms']['p50']:.1f} ms, "
        f"p99 {figures['p99_ms']:.1f} ms; {figures['errors']} errors, "
        f"{figures['unmatched']} left unmatched"
    )


ROW = Row(
    name="post_orders",
    title="`POST /orders`, 64 connections, durable, against a bare echo in the same run",
    flow="80% limit orders over a band of 201 ticks, 20% market orders, 200 clients, closed loop",
    target="0.7 of the echo, p99 under 15 ms, no error, nothing queued behind",
    checks=(
        at_least("ratio", 0.7),
        at_most("p99_ms", 15),
        at_most("errors", 0),
        at_most("unmatched", 0),
    ),
    measure=measure,
    say=say,
)
