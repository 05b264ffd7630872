"""The process: what it asks of the system beforehand, in files, in turns and in memory."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import os
import resource
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
