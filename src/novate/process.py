"""The process: what it asks of the system beforehand, in files, in turns and in memory."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import os
import platform
import resource
import struct
import sys
from typing import Final

SWITCH_SECONDS: Final = 1e-4
"""How long the loop may keep the interpreter from the writer thread, which wakes from an fsync and
must report it. Python's 5 ms cost a third of the orders per second; shorter than this gains
nothing."""

KEPT_BYTES: Final = 16 * 1024 * 1024
"""Freed memory that is not given back at once."""

MAPPED_BYTES: Final = 4 * 1024 * 1024
"""Least size of a block that has pages of its own: those are given back when it is freed."""

YOUNG_OBJECTS_MAX: Final = 50_000
"""New objects after which Python looks for cycles among them. Orders and imports leave none behind,
and looking after every 700 cost a batch of orders 7% of its time."""

FILES_KEPT: Final = 64
"""Files that connections leave to the exchange: its journal, snapshots, ledger and follower."""

NICENESS: Final = 10

TURN_NS: Final = 100_000_000
"""Turn that a process asks for which wants to be put off by others: the longest that is given.
Who asks for a shorter one, as all do by default, need not wait for the end of it."""

_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
"""Number of the system call, for which the C library has no function before its 2.41."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def tune_process() -> None:
    """Let a server have the files it may have, its threads their turn, and keep its memory."""
    allow_files()
    sys.setswitchinterval(SWITCH_SECONDS)
    keep_memory()


def collect_rarely() -> None:
    """Have the garbage collector look seldom, and not at all when the process ends.

    Looking takes a tenth of the start of a server, with what its ledger imports, and a second walk
    over all of it at the end of the process a third as long again.
    """
    gc.set_threshold(YOUNG_OBJECTS_MAX, 20, 20)
    atexit.register(gc.freeze)


def allow_files() -> None:
    """Allow as many files and sockets as the system lets this process have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connections_allowed(wanted: int) -> int:
    """How many connections there are files for, at most `wanted`, beside the exchange's own files.

    A journal that can't open its next segment stalls, so clients must not have every file.
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(files - FILES_KEPT, files // 2))


def keep_standard_files() -> None:
    """Put nothing in place of each of stdin, stdout and stderr that came closed.

    What is opened next would have its number otherwise: a journal could be written to as stderr,
    and no child be given files of its own.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the least free number


def keep_memory() -> None:
    """Keep the memory of large requests and replies for the next ones.

    The C library gives it back and asks for it again with each of them otherwise, and every page
    comes as a fault: a tenth of the time of a batch. Does nothing where the library is another.

    Source: mallopt(3) of the GNU C library.
    """
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)


def step_back() -> None:
    """Have this thread, and those that it starts, put off by whoever else wants a processor.

    Being nice is not enough: it is a smaller share, and whoever has the processor keeps it to the
    end of a turn, up to 4 ms, though an order waits. So it is scheduled as a batch, which puts
    nobody off when it wakes, and asks for long turns, which those who ask for shorter ones break.

    Raises:
        OSError: the system allows none of it.

    Source: sched_setattr(2), sched(7); the kernel's documentation of its EEVDF scheduler.
    """
    nice = min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, 19)
    number = _SCHED_SETATTR.get(platform.machine())
    if number is not None:
        attributes = struct.pack("=IIQiIQQQ", 48, os.SCHED_BATCH, 0, nice, 0, TURN_NS, 0, 0)
        if ctypes.CDLL(None).syscall(number, 0, attributes, 0) == 0:
            return
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def say(text: str) -> bool:
    """Write a text to stdout; False where it can't be, which is no reason to stop serving.

    stdout goes nowhere from then on: what it holds would fail the exit otherwise.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        return False
    return True
