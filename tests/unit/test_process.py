"""What a process asks of the system."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys

import pytest

from novate.process import NICENESS, YOUNG_OBJECTS_MAX

BEHIND = """
import os, threading
from novate.process import step_back
step_back()
def look():
    print(os.sched_getscheduler(0) == os.SCHED_BATCH, os.getpriority(os.PRIO_PROCESS, 0))
look()
thread = threading.Thread(target=look)
thread.start()
thread.join()
"""

FAULTS = """
import resource, sys
from novate.process import tune_process
if len(sys.argv) > 1:
    tune_process()
faults = []
for _ in range(300):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    large = [bytes(100_000) for _ in range(20)]
    del large
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(faults[-100:]), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def run(*arguments: str) -> list[int]:
    """Page faults of two megabytes taken and freed again, and the limits on files.

    The least of a hundred times: the system may take a page at any of them, where memory is short.
    """
    command = [sys.executable, "-c", FAULTS, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
    return [int(each) for each in done.stdout.split()]


@pytest.mark.slow
def test_a_tuned_process_keeps_its_memory_and_has_its_files() -> None:
    faults, soft, hard = run("tuned")
    assert faults < 20
    assert soft == hard == resource.getrlimit(resource.RLIMIT_NOFILE)[1]


COLLECTED = """
import atexit, gc
from novate import cli
atexit.register(lambda: print(gc.get_threshold()[0], gc.get_freeze_count()))
try:
    cli.main()
except SystemExit:
    print(gc.get_freeze_count())
"""


@pytest.mark.slow
def test_the_end_of_a_command_does_not_look_for_cycles_in_all_that_lives() -> None:
    command = [sys.executable, "-c", COLLECTED, "version"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
    _, while_it_runs, at_the_end = done.stdout.split("\n", 2)
    assert int(while_it_runs) == 0
    threshold, frozen = at_the_end.split()
    assert int(threshold) == YOUNG_OBJECTS_MAX
    assert int(frozen) > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("machine", [platform.machine(), "one whose system call has no number"])
def test_who_steps_back_is_scheduled_as_a_batch_with_its_threads(machine: str) -> None:
    program = f"import platform\nplatform.machine = lambda: {machine!r}\n{BEHIND}"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
    nice = min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, 19)
    assert done.stdout == f"True {nice}\n" * 2
