"""Runs a measurement in a fresh process, so that none sees another's memory or garbage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from bench.machine import ROOT

SECONDS_MAX = 300.0


def stay(place: int) -> None:
    """Keep the calling thread on one of the processors, counted from the last on: 0, 1 ...

    A thread that the system moves takes its cache along, one miss after the other.
    """
    processors = sorted(os.sched_getaffinity(0), reverse=True)
    os.sched_setaffinity(0, {processors[place % len(processors)]})


def measure(what: str, count: int) -> dict[str, Any]:
    """The figures of `python -m bench.alone what count`."""
    return run("bench.alone", what, count)


def run(module: str, *words: object, env: dict[str, str] | None = None) -> dict[str, Any]:
    """The figures that a module prints as one line of JSON when it is run with these words."""
    command = [sys.executable, "-m", module, *map(str, words)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS_MAX, env=env, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{module} {words}: {done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures
