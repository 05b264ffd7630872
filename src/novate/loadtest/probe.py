"""What the exchange says of itself: read from `/metrics` and `/admin/status`.

The difference between orders accepted (answers) and orders cleared (commands on disk and through
the engine) is what a server can hide behind a queue; this asks for both.
"""

import re
import urllib.error
import urllib.request

import msgspec

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{[^}]*\})? ([-+0-9.eE]+)$", re.MULTILINE)
_TIMEOUT_S = 5.0


class Standing(msgspec.Struct, frozen=True):
    """The exchange's own counts at one moment; -1 where it does not say."""

    orders_received: int = -1
    orders_rejected: int = -1
    orders_matched: int = -1
    trades: int = -1
    commands_journaled: int = -1
    queue_depth: int = -1


def standing(host: str, port: int) -> Standing:
    """Ask `/metrics`; what does not answer or does not say is -1."""
    try:
        sums = parse_metrics(_get(host, port, "/metrics").decode())
    except (OSError, UnicodeDecodeError):
        return Standing()
    return Standing(
        orders_received=_total(sums, "orders_received_total"),
        orders_rejected=_total(sums, "orders_rejected_total"),
        orders_matched=_total(sums, "orders_matched_total"),
        trades=_total(sums, "trades_total"),
        commands_journaled=_total(sums, "journal_batch_size_sum"),
        queue_depth=_total(sums, "queue_depth"),
    )


def parse_metrics(text: str) -> dict[str, float]:
    """Prometheus text as the sum of every metric over its labels."""
    sums: dict[str, float] = {}
    for name, value in _SAMPLE.findall(text):
        sums[name] = sums.get(name, 0.0) + float(value)
    return sums


def _total(sums: dict[str, float], name: str) -> int:
    value = sums.get(name, sums.get(f"novate_{name}"))
    return -1 if value is None else int(value)


def _get(host: str, port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=_TIMEOUT_S) as answer:
        body: bytes = answer.read()
    return body
