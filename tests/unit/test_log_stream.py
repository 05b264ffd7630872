"""The log's stream: it never raises and never waits, and says how many lines it lost."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from novate.log_stream import LogStream
from tests.conftest import wait_until


class FullDisk(io.StringIO):
    """A stream that raises while it is full."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


class Pipe:
    """A pipe of the smallest size; nobody reads until `read`."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        self.writer: TextIO = os.fdopen(writer, "w")

    def read(self) -> str:
        """Everything, to the end; the writer must be closed or the text end with `END`."""
        found = b""
        while not found.endswith(b"END\n") and (more := os.read(self.reader, 65536)):
            found += more
        return found.decode()

    def close(self) -> None:
        """A thread that still writes is over first: the writer's number may be another's next."""
        os.close(self.reader)
        wait_until(lambda: all(each.name != "novate-log" for each in threading.enumerate()))
        self.writer.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def test_what_cannot_be_written_is_counted_and_said_before_the_next_line() -> None:
    disk = FullDisk()
    stream = LogStream(disk)
    for number in range(3):
        stream.write(f"lost {number}\n")
    stream.write("two\nlines\n")
    assert stream.lines_lost == 5
    disk.full = False
    stream.write("kept\n")
    stream.write("more\n")
    assert disk.getvalue() == "5 lines lost\nkept\nmore\n"
    assert stream.lines_lost == 5


def test_without_a_target_every_line_is_lost() -> None:
    stream = LogStream(None)
    stream.write("x\n")
    assert stream.lines_lost == 1
    assert not stream.isatty()
    with pytest.raises(io.UnsupportedOperation):
        stream.fileno()


def test_a_closed_pipe_and_a_full_device_cost_the_line_and_nothing_else() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed, open("/dev/full", "w") as full:
        for target in (closed, full):
            stream = LogStream(target)
            stream.begin()
            stream.write("x\n")
            stream.end(60)
            stream.write("y\n")
            assert stream.lines_lost == 2


def test_a_thread_writes_all_lines_in_their_order(pipe: Pipe) -> None:
    stream = LogStream(pipe.writer)
    stream.begin()
    lines = [f"line {number}\n" for number in range(5000)]
    for line in lines:
        stream.write(line)
    stream.write("END\n")
    assert pipe.read() == "".join(lines) + "END\n"
    stream.end()
    assert stream.lines_lost == 0


def test_what_is_written_before_and_after_the_thread_keeps_its_place(pipe: Pipe) -> None:
    stream = LogStream(pipe.writer)
    stream.write("before\n")
    stream.begin()
    stream.write("meanwhile\n")
    stream.end(60)
    stream.write("END\n")
    assert pipe.read() == "before\nmeanwhile\nEND\n"


def test_where_nobody_reads_the_queue_fills_and_the_rest_is_counted(pipe: Pipe) -> None:
    line = "x" * 99 + "\n"
    stream = LogStream(pipe.writer, queued_characters_max=100_000)
    stream.begin()
    for _ in range(5000):  # would wait for ever if it waited at all
        stream.write(line)
    lost = stream.lines_lost
    # Between what the queue holds, and that with what the pipe took before.
    assert 5000 - 1000 - 41 <= lost <= 5000 - 1000

    # Somebody reads: what was queued comes, then how many did not.
    kept = (5000 - lost) * len(line)
    found = b""
    while len(found) < kept:
        found += os.read(pipe.reader, kept - len(found))
    wait_until(lambda: _takes(stream))
    told = stream.lines_lost  # with those that came before there was room again
    stream.write("END\n")
    assert found.decode() == line * (5000 - lost)
    assert pipe.read() == f"{told} lines lost\nroom\nEND\n"
    stream.end()


def _takes(stream: LogStream) -> bool:
    """Whether the queue has room again for a line, which is then in it."""
    before = stream.lines_lost
    stream.write("room\n")
    return stream.lines_lost == before


def test_the_end_waits_no_longer_than_it_is_told_and_then_drops_what_comes(pipe: Pipe) -> None:
    stream = LogStream(pipe.writer, queued_characters_max=10_000)
    stream.begin()
    for _ in range(150):
        stream.write("x" * 99 + "\n")
    stream.end(0.05)
    before = stream.lines_lost
    stream.write("nobody reads this\n")
    assert stream.lines_lost == before + 1


def test_a_process_that_stood_still_at_its_end_writes_what_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, gate = threading.Event(), threading.Event()
    waits: list[float] = []

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            begun.set()
            gate.wait()
            return super().write(text)

    target = Slow()
    stream = LogStream(target)
    stream.begin()
    stream.write("first\n")
    wait_until(begun.is_set)
    stream.write("last\n")
    (thread,) = (each for each in threading.enumerate() if each.name == "novate-log")
    join = thread.join

    def stand_still(seconds: float) -> None:
        """The first wait was over when the process went on."""
        waits.append(seconds)
        if len(waits) > 1:
            gate.set()
            join(60)

    monkeypatch.setattr(thread, "join", stand_still)
    stream.end(1.0)
    gate.set()
    assert (target.getvalue(), stream.lines_lost) == ("first\nlast\n", 0)
    assert sum(waits) == pytest.approx(1.0)


CUT = """
import resource, signal, sys
from novate.log_stream import LogStream

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
with open(sys.argv[1], "w") as file:
    stream = LogStream(file)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))
    stream.write("one\\n" "two and three\\n")
    stream.write("four\\n")
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    stream.write("five\\n")
"""


@pytest.mark.slow
def test_a_line_that_was_cut_ends_before_the_next(tmp_path: Path) -> None:
    file = tmp_path / "log"
    subprocess.run([sys.executable, "-c", CUT, str(file)], check=True, timeout=100)
    assert file.read_text() == "one\ntwo \n2 lines lost\nfive\n"


def test_a_pipe_that_does_not_block_is_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe.writer.fileno(), False)
    stream = LogStream(pipe.writer)
    stream.begin()
    text = "".join(f"line {number}\n" for number in range(3000)) + "END\n"
    stream.write(text)
    assert pipe.read() == text
    stream.end()
    assert stream.lines_lost == 0


def test_a_character_that_no_encoding_has_is_written_all_the_same(pipe: Pipe) -> None:
    stream = LogStream(pipe.writer)
    stream.write("\ud800 END\n")
    assert pipe.read() == "\\ud800 END\n"
