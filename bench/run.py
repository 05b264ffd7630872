"""Runs the rows, each several times, and writes their medians with the machine they were got on.

    python -m bench                     every row, three runs each
    python -m bench --quick             a smoke run: seconds in all, no figure worth quoting
    python -m bench --row post_orders --runs 5
Each row's result names the commit and the load of the machine that it was got under. It takes the
place of the row's last one in bench/results/latest.json, and from there the figures go into the
documents (`bench.table`). A smoke run only writes build/bench/quick.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
import traceback
from pathlib import Path
from typing import Any

from bench import machine, table
from bench.row import Row, Scale, medians
from bench.rows import ROWS

LATEST = machine.ROOT / "bench" / "results" / "latest.json"
QUICK = machine.ROOT / "build" / "bench" / "quick.json"


def main() -> int:
    """Exit code: 0, 1 when a row failed to run or missed its target (a quick run never misses)."""
    chosen = _arguments()
    scale = Scale(quick=chosen.quick)
    rows = [row for row in ROWS if not chosen.row or row.name in chosen.row]
    results = {}
    for row in rows:
        results[row.name] = _run_row(row, scale, chosen.runs)
        _print_row(row, results[row.name])
        _write(QUICK if chosen.quick else LATEST, results)
    if not chosen.quick:
        table.write()
    failed = any("failed" in result for result in results.values())
    missed = not chosen.quick and any(not result["met"] for result in results.values())
    return 1 if failed or missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--runs", type=int, default=0, help="runs of each row (default: the row's)")
    names = [row.name for row in ROWS]
    parser.add_argument("--row", action="append", choices=names, help="this row alone; repeatable")
    return parser.parse_args()


def _run_row(row: Row, scale: Scale, runs_asked: int) -> dict[str, Any]:
    """Every run of a row, and their medians; a row that fails says why and stops no other."""
    count = 1 if scale.quick else runs_asked or row.runs
    began = time.monotonic()
    described = {
        "title": row.title,
        "flow": row.flow,
        "target": row.target,
        "began": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": machine.commit(),
        "load_before": machine.load(),
    }
    try:
        runs = [row.measure(scale) for _ in range(count)]
    except Exception:  # the row's own failure is its result
        return {**described, "failed": traceback.format_exc(limit=-3), "met": False}
    figures = medians(runs)
    return {
        **described,
        "met": all(check.holds(figures) for check in row.checks),
        "said": row.say(figures),
        "seconds": round(time.monotonic() - began, 1),
        "medians": figures,
        "runs": runs,
    }


def _print_row(row: Row, result: dict[str, Any]) -> None:
    verdict = "failed" if "failed" in result else "met" if result["met"] else "MISSED"
    print(f"{row.name:16} {verdict:7} {result.get('said', result.get('failed'))}", flush=True)


def _write(path: Path, results: dict[str, Any]) -> None:
    """Put these rows in place of their last results, in the order of the table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    held = json.loads(path.read_text())["rows"] if path.exists() else {}
    held |= results
    rows = {row.name: held[row.name] for row in ROWS if row.name in held}
    document = {"machine": machine.describe(), "rows": rows}
    path.write_text(json.dumps(document, indent=1) + "\n")
