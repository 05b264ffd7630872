"""Runs the rows, each several times, and writes their medians with the machine they were got on.

    python -m bench                     every row, three runs each
    python -m bench --quick             a smoke run: seconds in all, no figure worth quoting
    python -m bench --row post_orders --runs 5
The results go to bench/results/<date>-<commit>.json and, if every row was run, to latest.json;
`python -m bench.table` writes them into the documents.
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
import traceback
from pathlib import Path
from typing import Any

from bench import machine
from bench.row import Row, Scale, medians
from bench.rows import ROWS

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> int:
    """Exit code: 0, 1 when a row failed to run or missed its target (a quick run never misses)."""
    chosen = _arguments()
    scale = Scale(quick=chosen.quick)
    rows = [row for row in ROWS if not chosen.row or row.name in chosen.row]
    began = datetime.datetime.now(datetime.UTC)
    document: dict[str, Any] = {
        "began": began.isoformat(timespec="seconds"),
        "quick": chosen.quick,
        "machine": machine.describe(),
        "rows": {},
    }
    for row in rows:
        document["rows"][row.name] = _run_row(row, scale, chosen.runs)
        _print_row(row, document["rows"][row.name])
    _write(document, began, whole=len(rows) == len(ROWS))
    results = document["rows"].values()
    failed = any(result.get("failed") for result in results)
    missed = not chosen.quick and any(not result.get("met") for result in results)
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
    described = {"title": row.title, "flow": row.flow, "target": row.target}
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


def _write(document: dict[str, Any], began: datetime.datetime, whole: bool) -> None:
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(document, indent=1) + "\n"
    kind = "quick" if document["quick"] else document["machine"]["commit"]
    (RESULTS / f"{began:%Y%m%dT%H%M%SZ}-{kind}.json").write_text(text)
    if whole and not document["quick"]:
        (RESULTS / "latest.json").write_text(text)
