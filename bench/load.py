"""Load of a row, by the product's own generator, in a process of its own."""

from __future__ import annotations

from typing import Any

import msgspec

from bench.echo import echo_server
from novate.loadtest import Options
from novate.loadtest.ceiling import run_apart


def on_port(options: Options, port: int) -> dict[str, Any]:
    """The report of this load on an exchange here."""
    return run_apart(msgspec.structs.replace(options, port=port))


def on_echo(options: Options, keep: bytes | None = None) -> dict[str, Any]:
    """The report of the same load on a bare echo; `keep` is what it answers to a GET."""
    with echo_server() as port:
        if keep is not None:
            _post(port, "/keep", keep)
        return run_apart(msgspec.structs.replace(options, port=port, probe=False, subscribers=0))


def _post(port: int, path: str, body: bytes) -> None:
    import urllib.request

    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body)
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()


def error_count(report: dict[str, Any]) -> int:
    """Errors of every kind in a report."""
    return sum(report["errors"].values())


def unmatched(report: dict[str, Any]) -> int:
    """Requests that were answered and that the exchange has not put through, by its own counts.

    Every good answer is a command that is on disk and applied; what a flow has of errors is counted
    as such.
    """
    behind = report["answered_in_all"] - report["commands_cleared"] - load_errors(report)
    return max(behind, 0) + max(report["queue_at_end"], 0)


def load_errors(report: dict[str, Any]) -> int:
    """Answers that are no command: errors, and cancels that came too late."""
    return error_count(report) + int(report["late_cancels"])
