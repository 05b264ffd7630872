"""What a figure depends on: the machine, the versions, the build, the commit."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from novate.engine import engine

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("novate", "uvicorn", "uvloop", "httptools", "websockets", "msgspec", "numpy", "Cython")


def describe() -> dict[str, Any]:
    """The machine, the versions and the build."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(_memory_bytes() / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "file_system": _file_system(ROOT),
        "python": sys.version.split()[0],
        "versions": {name: _version(name) for name in PACKAGES},
        "build": build(Path(engine.__file__).read_bytes()),
    }


def build(module: bytes) -> dict[str, str]:
    """How a compiled module was made, as the compiler wrote it into its file.

    Returns:
        `kind` (release, checked or sanitized, as setup.py has them), `compiler` with its version,
        and `flags`; "unknown" where the file does not say.
    """
    compiler = re.search(rb"GCC: [^\0]+|clang version [^\0]+", module)
    producer = re.search(rb"GNU C\d* [\d.]+ ([^\0]+)", module)
    flags = "unknown" if producer is None else producer[1].decode()
    kind = "unknown" if producer is None else "release"
    if "-fsanitize=" in flags:
        kind = "sanitized" if "address" in flags else "checked"
    name = "unknown" if compiler is None else compiler[0].decode()
    return {"kind": kind, "compiler": name, "flags": flags}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _file_system(path: Path) -> str:
    """The type of the file system that holds `path`: of the mounts above it, the deepest."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    above = [(len(point), kind) for point, kind in mounts if str(path).startswith(point)]
    return max(above)[1]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def load() -> float:
    """How many processes wanted a processor in the last minute, on average."""
    return round(os.getloadavg()[0], 2)


# Not the documents, into which each row's figures are written.
MEASURED = (
    "src", "bench", ":!bench/results", "tests", "setup.py", "pyproject.toml", "requirements",
)  # fmt: skip


def commit() -> str:
    """The commit, with `+changes` where what is measured, or measures, is not as committed."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", *MEASURED)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}+changes" if changed else head


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
