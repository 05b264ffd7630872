"""The stream that log lines are written to: it never raises, and makes no loop wait.

A full disk, a closed pipe and a reader that does not read must cost lines and nothing else. While
a thread does the writing (`begin` to `end`) lines wait for it in a bounded queue; what does not fit
in and what can't be written is dropped and counted, and one line says how many once a line can be
written again. A process that is killed loses what is queued.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import threading
from collections.abc import Callable
from typing import Final, Literal, TextIO

QUEUED_CHARACTERS_MAX: Final = 8 * 1024 * 1024
"""Characters that wait for the writing thread; about 30,000 lines."""

GATHER_SECONDS: Final = 0.01
"""How long the writing thread lets lines gather: a wake for each would cost the loop its turn."""

DRAIN_SECONDS: Final = 1.0
"""How long the end waits for lines to be written."""

DRAIN_STEPS: Final = 20
"""Waits that this is made of: where the whole process stands still in one, the others are left."""

WRITTEN_BYTES_MAX: Final = 65536
POLL_SECONDS: Final = 0.1

SayLost = Callable[[int], str]
"""Makes the line, with its end, that says how many lines were lost."""


class LogStream(io.TextIOBase):
    """A text stream over another one, to be written to by any thread.

    Args:
        target: Where the text goes, by its descriptor if it has one; None: nowhere, all is lost.
        say_lost: Makes the line that says how many were lost.
        queued_characters_max: Characters that wait for the writing thread.
    """

    def __init__(
        self,
        target: TextIO | None,
        say_lost: SayLost = "{} lines lost\n".format,
        queued_characters_max: int = QUEUED_CHARACTERS_MAX,
    ) -> None:
        super().__init__()
        self.say_lost = say_lost
        self._target = target
        self._descriptor = _descriptor_of(target)
        self._most = queued_characters_max
        self._mode: Literal["direct", "queued", "dropped"] = "direct"
        # Reentrant: a finalizer that runs within `write` may want to write, too.
        self._changed = threading.Condition(threading.RLock())
        self._waiting: list[str | int] = []
        self._queued = 0
        self._lost = 0
        self._unsaid = 0
        self._torn = False
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None

    # --- as a stream ------------------------------------------------------------------------------

    def write(self, text: str, /) -> int:
        """Write whole lines, or queue them; never raises, and waits for nothing if queued."""
        with self._changed:
            if self._mode == "dropped":
                self._lose(text)
            elif self._mode == "direct":
                self._write_with_lost([*self._say_unsaid(), text])
            elif self._queued + len(text) > self._most:
                self._lose(text)
            else:
                if not self._waiting:
                    self._changed.notify()
                self._waiting += [*self._say_unsaid(), text]
                self._queued += len(text)
        return len(text)

    def flush(self) -> None:
        """Do nothing: what is written directly is out, what is queued has its thread."""

    def writable(self) -> bool:
        """True."""
        return True

    def isatty(self) -> bool:
        """Whether a person looks."""
        with contextlib.suppress(Exception):
            return self._target is not None and self._target.isatty()
        return False

    def fileno(self) -> int:
        """The descriptor behind it.

        Raises:
            OSError: there is none.
        """
        if self._descriptor is None:
            raise io.UnsupportedOperation("fileno")
        return self._descriptor

    # --- the writing thread -----------------------------------------------------------------------

    @property
    def lines_lost(self) -> int:
        """Lines that were dropped since the start."""
        return self._lost

    def begin(self) -> None:
        """Have a thread do the writing from here on."""
        with self._changed:
            if self._mode == "direct":
                self._mode = "queued"
                self._hurry.clear()
                self._thread = threading.Thread(target=self._run, name="novate-log", daemon=True)
                self._thread.start()

    def end(self, seconds: float = DRAIN_SECONDS) -> None:
        """Write what waits, for so long at most; then writing is direct again.

        Where the time does not suffice nobody reads: what is left and what comes is dropped.
        """
        thread = self._thread
        if thread is None:
            return
        self._hurry.set()
        with self._changed:
            self._changed.notify()
        for _ in range(DRAIN_STEPS):
            thread.join(seconds / DRAIN_STEPS)
        with self._changed:
            self._thread = None
            rest, self._waiting, self._queued = self._waiting, [], 0
            if thread.is_alive():
                self._mode = "dropped"
                self._lose_items(rest)
            else:
                self._mode = "direct"
                self._write_with_lost([*rest, *self._say_unsaid()])

    def _run(self) -> None:
        while self._take_turn():
            self._hurry.wait(GATHER_SECONDS)

    def _take_turn(self) -> bool:
        """Write what waits, once there is something; False when that was the last."""
        with self._changed:
            while not self._waiting:
                if self._hurry.is_set():
                    return False
                self._changed.wait()
            items, self._waiting = self._waiting, []
            taken = self._queued
        self._write_with_lost(items)
        with self._changed:
            self._queued = max(0, self._queued - taken)
        return True

    # --- writing ----------------------------------------------------------------------------------

    def _write_with_lost(self, items: list[str | int]) -> None:
        """Write texts, and where a number stands among them that so many lines were lost."""
        texts: list[str] = []
        for item in items:
            if isinstance(item, str):
                texts.append(item)
                continue
            self._write_text("".join(texts))
            texts.clear()
            if self._put(self.say_lost(item)):
                with self._changed:
                    self._unsaid += item  # said with the next line, or the one after
        self._write_text("".join(texts))

    def _write_text(self, text: str) -> None:
        missing = self._put(text) if text else 0
        if missing:
            with self._changed:
                self._lost += missing
                self._unsaid += missing

    def _put(self, text: str) -> int:
        """Write a text; how many of its lines are not out, or not whole."""
        if self._descriptor is None or (self._target is not None and self._target.closed):
            return self._put_in_target(text)
        whole = b"\n" * self._torn + text.encode("utf-8", "backslashreplace")
        at = 0
        try:
            while at < len(whole):
                at += _write_some(self._descriptor, whole[at : at + WRITTEN_BYTES_MAX])
        except OSError:
            self._torn = whole[at - 1 : at] != b"\n" if at else self._torn
            return min(whole.count(b"\n", at), text.count("\n"))
        self._torn = False
        return 0

    def _put_in_target(self, text: str) -> int:
        try:
            if self._target is not None:
                self._target.write(text)
                self._target.flush()
                return 0
        except Exception:  # whatever it is, a log line is not worth it
            pass
        return text.count("\n")

    def _say_unsaid(self) -> list[int]:
        """The number of lines lost that no line has told yet, to be told by one."""
        unsaid, self._unsaid = self._unsaid, 0
        return [unsaid] if unsaid else []

    def _lose(self, text: str) -> None:
        self._lost += text.count("\n")
        self._unsaid += text.count("\n")

    def _lose_items(self, items: list[str | int]) -> None:
        for item in items:
            if isinstance(item, str):
                self._lose(item)
            else:
                self._unsaid += item


def _descriptor_of(target: TextIO | None) -> int | None:
    """The target's descriptor, once what the target itself holds is out; None if it has none."""
    if target is None:
        return None
    with contextlib.suppress(OSError, ValueError, AttributeError):
        descriptor = target.fileno()
        with contextlib.suppress(OSError, ValueError):
            target.flush()
        return descriptor
    return None


def _write_some(descriptor: int, data: bytes) -> int:
    """Write what goes in at once, waiting until something does; how many bytes."""
    while True:
        try:
            return os.write(descriptor, data)
        except BlockingIOError:
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll(POLL_SECONDS * 1000)
