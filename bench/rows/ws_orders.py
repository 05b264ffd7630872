"""Order entry on one pipelined WebSocket, beside a bare WebSocket echo in the same run."""

from bench import load, servers
from bench.row import Figures, Row, Scale, at_least, at_most
from novate.loadtest import Options


def measure(scale: Scale) -> Figures:
    options = Options(
        transport="ws",
        connections=1,
        window=256,
        duration_s=scale.seconds(10),
        warmup_s=scale.seconds(2),
    )
    echo = load.on_echo(options)
    with servers.exchange() as exchange:
        report = load.on_port(options, exchange.port)
    return {
        "orders_per_second": report["orders_accepted_per_second"],
        "echo_per_second": echo["requests_per_second"],
        "ratio": report["orders_accepted_per_second"] / echo["requests_per_second"],
        "latency_ms": report["latency_ms"],
        "errors": load.error_count(report),
        "unmatched": load.unmatched(report),
        "generator_cpu": report["generator_cpu"],
        "generator_cpu_on_echo": echo["generator_cpu"],
    }


def say(figures: Figures) -> str:
    return (
        f"{figures['orders_per_second']:,.0f}/s, {figures['ratio']:.2f} of the echo's "
        f"{figures['echo_per_second']:,.0f}/s; p99 {figures['latency_ms']['p99']:.1f} ms; "
        f"{figures['errors']} errors"
    )


ROW = Row(
    name="ws_orders",
    title="WebSocket order entry, one pipelined connection, against a bare WebSocket echo",
    flow="80% limit, 20% market; 256 messages under way",
    target="0.4 of the echo",
    checks=(at_least("ratio", 0.4), at_most("errors", 0)),
    measure=measure,
    say=say,
)
