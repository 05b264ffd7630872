"""Counts a process's requests for memory, by a library that stands before the system's own."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.machine import ROOT

SOURCE = ROOT / "bench" / "count_allocations.c"


def built(folder: Path) -> Path:
    """The library, compiled into a folder; CalledProcessError where there is no C compiler."""
    library = folder / "count_allocations.so"
    folder.mkdir(parents=True, exist_ok=True)
    compiler = os.environ.get("CC", "cc").split()
    command = [*compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return library


def preloaded(library: Path) -> dict[str, str]:
    """The environment of a process that is to count."""
    return {**os.environ, "LD_PRELOAD": str(library)}


def counter() -> Callable[[], int]:
    """Says how often this process, which was started so, has asked for memory."""
    count: Any = ctypes.CDLL(None).novate_asked
    count.restype = ctypes.c_uint64
    asked: Callable[[], int] = count
    return asked
