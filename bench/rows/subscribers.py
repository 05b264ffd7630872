"""A thousand WebSocket subscribers of one busy book."""

from bench import load, servers
from bench.row import Figures, Row, Scale, at_least, at_most
from novate.loadtest import Options


def measure(scale: Scale) -> Figures:
    options = Options(
        rate=2_000,
        limit=85,
        market=15,
        passive=True,
        connections=64,
        subscribers=50 if scale.quick else 1_000,
        duration_s=scale.seconds(20),
        warmup_s=scale.seconds(3),
    )
    with servers.exchange() as exchange:
        report = load.on_port(options, exchange.port)
    seen = report["subscribers"]
    return {
        "orders_per_second": report["orders_accepted_per_second"],
        "p99_ms": report["latency_ms"]["p99"],
        "latency_ms": report["latency_ms"],
        "errors": load.error_count(report),
        "updates_per_second_min": seen["updates_per_second_min"],
        "updates_per_second_median": seen["updates_per_second_median"],
        "books_right": seen["books_right"],
        "books_wrong": seen["books_wrong"],
        "gaps": seen["gaps"],
        "connections_lost": seen["connections_lost"],
        "megabytes": seen["megabytes"],
    }


def say(figures: Figures) -> str:
    return (
        f"order p99 {figures['p99_ms']:.1f} ms; "
        f"{figures['updates_per_second_min']:.1f} updates/s or more each; "
        f"{figures['books_right']:,.0f} books right, {figures['books_wrong']} wrong; "
        f"{figures['errors']} errors"
    )


ROW = Row(
    name="subscribers",
    title="1,000 WebSocket subscribers (deltas and trades) while 2,000 orders/s come in",
    flow="85% limit orders that rest, 15% market orders, open loop; every subscriber's book is "
    "folded from its snapshot and deltas and compared with GET /orderbook at the end",
    target="order p99 under 50 ms, 5 updates/s each, every book right",
    checks=(
        at_most("p99_ms", 50),
        at_least("updates_per_second_min", 5),
        at_most("books_wrong", 0),
        at_most("errors", 0),
    ),
    measure=measure,
    say=say,
)
