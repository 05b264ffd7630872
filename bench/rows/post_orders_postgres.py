"""`POST /orders` with the journal in PostgreSQL, beside segment files in the same run."""

from bench import load, servers
from bench.row import Figures, Row, Scale, at_least, at_most
from novate.loadtest import Options


def measure(scale: Scale) -> Figures:
    options = Options(connections=64, duration_s=scale.seconds(10), warmup_s=scale.seconds(2))
    with servers.exchange() as exchange:
        files = load.on_port(options, exchange.port)
    with servers.postgres() as url, servers.exchange("--journal-url", url) as exchange:
        rows = load.on_port(options, exchange.port)
    return {
        "orders_per_second": rows["orders_accepted_per_second"],
        "orders_per_second_files": files["orders_accepted_per_second"],
        "ratio": rows["orders_accepted_per_second"] / files["orders_accepted_per_second"],
        "latency_ms": rows["latency_ms"],
        "latency_ms_files": files["latency_ms"],
        "errors": load.error_count(rows),
        "unmatched": load.unmatched(rows),
    }


def say(figures: Figures) -> str:
    return (
        f"{figures['orders_per_second']:,.0f}/s, {figures['ratio']:.2f} of the "
        f"{figures['orders_per_second_files']:,.0f}/s with segment files; "
        f"p50 {figures['latency_ms']['p50']:.1f} ms, p99 {figures['latency_ms']['p99']:.1f} ms "
        f"(files {figures['latency_ms_files']['p50']:.1f} and "
        f"{figures['latency_ms_files']['p99']:.1f}); {figures['errors']} errors"
    )


ROW = Row(
    name="post_orders_postgres",
    title="`POST /orders`, 64 connections, the journal in PostgreSQL on the same machine",
    flow="as `POST /orders`; PostgreSQL with fsync, over loopback TCP, its folder on the same disk",
    target="0.5 of the figure with segment files in the same run, no error, nothing lost",
    checks=(at_least("ratio", 0.5), at_most("errors", 0), at_most("unmatched", 0)),
    measure=measure,
    say=say,
)
