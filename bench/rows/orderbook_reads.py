"""`GET /orderbook` while orders come in, beside the bare echo answering the same bytes."""

from concurrent.futures import ThreadPoolExecutor

from bench import load, servers
from bench.row import Figures, Row, Scale, at_least, at_most
from novate.loadtest import Options

PATH = "/orderbook?levels=20"


def measure(scale: Scale) -> Figures:
    seconds = scale.seconds(10)
    reads = Options(read=PATH, connections=32, duration_s=seconds, warmup_s=1)
    orders = Options(rate=2_000, connections=32, duration_s=seconds + 1, warmup_s=1)
    with servers.exchange() as exchange, ThreadPoolExecutor(1) as beside:
        load.on_port(Options(rate=2_000, duration_s=1, warmup_s=0), exchange.port)
        running = beside.submit(load.on_port, orders, exchange.port)
        report = load.on_port(reads, exchange.port)
        orders_report = running.result()
        book = exchange.get(PATH)[1]
    echo = load.on_echo(reads, keep=book)
    return {
        "reads_per_second": report["requests_per_second"],
        "echo_per_second": echo["requests_per_second"],
        "ratio": report["requests_per_second"] / echo["requests_per_second"],
        "latency_ms": report["latency_ms"],
        "book_bytes": len(book),
        "orders_per_second": orders_report["orders_accepted_per_second"],
        "orders_p99_ms": orders_report["latency_ms"]["p99"],
        "errors": load.error_count(report) + load.error_count(orders_report),
    }


def say(figures: Figures) -> str:
    return (
        f"{figures['reads_per_second']:,.0f}/s, {figures['ratio']:.2f} of the echo's "
        f"{figures['echo_per_second']:,.0f}/s with the same {figures['book_bytes']:,.0f} bytes; "
        f"orders beside it {figures['orders_per_second']:,.0f}/s; {figures['errors']} errors"
    )


ROW = Row(
    name="orderbook_reads",
    title="`GET /orderbook?levels=20` while 2,000 orders/s come in, against the bare echo",
    flow="32 connections reading in a closed loop; the echo answers the same bytes with no orders "
    "coming in",
    target="0.5 of the echo",
    checks=(at_least("ratio", 0.5), at_most("errors", 0)),
    measure=measure,
    say=say,
)
