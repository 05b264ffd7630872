"""Runs a measurement in a fresh process, so that none sees another's memory or garbage."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from bench.machine import ROOT

SECONDS_MAX = 300.0


def measure(what: str, count: int) -> dict[str, Any]:
    """The figures of `python -m bench.alone what count`."""
    command = [sys.executable, "-m", "bench.alone", what, str(count)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"bench.alone {what}: {done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures
