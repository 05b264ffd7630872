"""The command line of `novate loadtest`."""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

from novate.loadtest.ceiling import measure_ceiling
from novate.loadtest.options import TRANSPORTS, Options
from novate.loadtest.run import run
from novate.process import allow_files

EXIT_OK = 0
EXIT_ERRORS = 1
EXIT_USAGE = 2

_EPILOG = """examples:
  novate loadtest --rate 2000 --duration 60            open loop, the latencies of a planned rate
  novate loadtest --connections 64 --ceiling           as fast as it goes, and what a bare echo does
  novate loadtest --transport ws --connections 1       order entry on one pipelined WebSocket
  novate loadtest --batch 500 --connections 4          POST /orders/batch
  novate loadtest --mix limit=50,market=10,cancel=40   with cancels of orders placed before
  novate loadtest --read '/orderbook?levels=20'        reads
  novate loadtest --rate 2000 --subscribers 1000       with readers of the book, checked at the end
Exit code: 0, or 1 when there was an error or a subscriber's book was wrong, 2 for bad usage."""


def main(arguments: list[str]) -> int:
    """Run `novate loadtest` with these arguments and return its exit code."""
    parser = _parser()
    chosen = vars(parser.parse_args(arguments))
    json_path: Path | None = chosen.pop("json")
    with_ceiling: bool = chosen.pop("ceiling")
    try:
        options = _options(chosen)
        options.check()
    except ValueError as error:
        print(f"novate loadtest: {error}", file=sys.stderr)
        return EXIT_USAGE
    try:
        return _report(options, json_path, with_ceiling)
    except (OSError, RuntimeError) as error:
        target = f"{options.host}:{options.port}"
        print(f"novate loadtest: {target}: {error}", file=sys.stderr)
        return EXIT_ERRORS


def _report(options: Options, json_path: Path | None, with_ceiling: bool) -> int:
    allow_files()
    report = run(options)
    print("\n".join(report.lines()))
    document = report.document()
    if with_ceiling:
        document["ceiling"] = _ceiling(options, document)
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    wrong = (report.subscribers or {}).get("books_wrong", 0)
    return EXIT_ERRORS if report.error_count or wrong else EXIT_OK


def _ceiling(options: Options, document: dict[str, Any]) -> dict[str, Any]:
    ceiling = measure_ceiling(options)
    rate = ceiling["requests_per_second"]
    share = document["requests_per_second"] / rate if rate else 0.0
    print(
        f"ceiling    {rate:,.0f} requests/s against a bare echo (p50 "
        f"{ceiling['latency_ms']['p50']:.2f} ms, generator {ceiling['generator_cpu']:.0%} of one "
        f"core); this run reached {share:.2f} of it"
    )
    return ceiling


def _options(chosen: dict[str, Any]) -> Options:
    parts = _mix(chosen.pop("mix"))
    url = chosen.pop("url")
    host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
    try:
        return Options(host=host, port=int(port or 80), **chosen, **parts)
    except (TypeError, ValueError) as error:
        raise ValueError(f"expected http://HOST:PORT and parts as numbers: {error}") from error


def _mix(text: str) -> dict[str, Any]:
    """`limit=80,market=20` as the mix options; a kind not named has no part in it."""
    parts: dict[str, Any] = {"limit": 0, "market": 0, "cancel": 0}
    for part in text.split(","):
        kind, _, share = part.partition("=")
        if kind not in parts:
            raise ValueError(f"mix: limit, market or cancel, found {kind!r}")
        parts[kind] = int(share)
    return parts


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="novate loadtest",
        description="Load an exchange with orders and report what a client would feel.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--url", default="http://127.0.0.1:8000", help="the exchange (default: %(default)s)")
    add("--transport", choices=TRANSPORTS, default="http", help="http (default) or ws")
    add("--connections", type=int, default=64, help="keep-alive connections (default: 64)")
    add("--window", type=int, default=256, help="ws: messages under way a connection")
    add("--rate", type=float, default=0.0, help="planned requests/s; 0 = closed loop (default)")
    add("--duration", type=float, default=10.0, dest="duration_s", help="seconds measured")
    add("--warmup", type=float, default=1.0, dest="warmup_s", help="seconds before, not counted")
    add("--mix", default="limit=80,market=20", help="limit=,market=,cancel= (default: %(default)s)")
    add("--passive", action="store_true", help="limit orders rest; only market orders trade")
    add("--batch", type=int, default=0, help="orders in one POST /orders/batch")
    add("--read", default="", metavar="PATH", help="GET this path instead of sending orders")
    add("--instrument", default="BTC-USD", help="default: %(default)s")
    add("--clients", type=int, default=200, help="client ids the orders are spread over")
    add("--keys", action="store_true", help="an idempotency key with every order")
    add("--subscribers", type=int, default=0, help="WebSocket subscribers of the book")
    add("--seed", type=int, default=1, help="of the flow of orders")
    add("--no-probe", action="store_false", dest="probe", help="do not ask /metrics")
    add("--ceiling", action="store_true", help="also the same load against a bare echo server")
    add("--json", type=Path, metavar="FILE", help="write the whole report there")
    return parser
