"""What a process asks of the system."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from novate.process import tune_process
if len(sys.argv) > 1:
    tune_process()
for _ in range(300):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    large = [bytes(100_000) for _ in range(20)]
    del large
    after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(after - before, *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def run(*arguments: str) -> list[int]:
    """Page faults of two megabytes taken and freed again, and the limits on files."""
    command = [sys.executable, "-c", FAULTS, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    return [int(each) for each in done.stdout.split()]


@pytest.mark.slow
def test_a_tuned_process_keeps_its_memory_and_has_its_files() -> None:
    faults, soft, hard = run("tuned")
    assert faults < 20
    assert soft == hard == resource.getrlimit(resource.RLIMIT_NOFILE)[1]
