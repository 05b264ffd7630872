"""What a process asks of the system."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys

import pytest

from novate.process import TURN_NS, YOUNG_OBJECTS_MAX, ask_for_turns

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
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    _, while_it_runs, at_the_end = done.stdout.split("\n", 2)
    assert int(while_it_runs) == 0
    threshold, frozen = at_the_end.split()
    assert int(threshold) == YOUNG_OBJECTS_MAX
    assert int(frozen) > 10_000


TURNS = """
import ctypes, platform, struct, threading
from novate.process import ask_for_turns, tune_process
call = {"x86_64": 315, "aarch64": 275}[platform.machine()]
def turn():
    found = ctypes.create_string_buffer(48)
    assert ctypes.CDLL(None).syscall(call, 0, found, 48, 0) == 0
    policy, _, niceness, _, runtime = struct.unpack_from("<IQiIQ", found, 4)
    return f"{policy} {niceness} {runtime}"
said = [turn()]
tune_process()
said.append(turn())
thread = threading.Thread(target=lambda: said.append(turn()))
thread.start()
thread.join()
ask_for_turns(0)
said.append(turn())
print(",".join(said))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="turns are asked for of Linux")
@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="another number")
def test_a_tuned_process_and_its_threads_ask_for_short_turns_at_their_own_priority() -> None:
    command = ["nice", "-n", "3", sys.executable, "-c", TURNS]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    before, tuned, in_a_thread, given_back = done.stdout.strip().split(",")
    if before == tuned:
        pytest.skip("this kernel has no turns to ask for")
    niceness = int(before.split()[1])
    assert niceness >= 3
    assert tuned == in_a_thread == f"0 {niceness} {TURN_NS}"
    assert given_back == before


def test_turns_are_not_asked_for_of_another_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getscheduler", lambda pid: os.SCHED_BATCH)
    assert ask_for_turns(TURN_NS) is False
