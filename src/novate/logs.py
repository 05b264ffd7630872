"""Structured log lines to stderr: JSON for machines, aligned text for a person at a terminal.

What the libraries log by way of `logging` comes out in the same form. stdout is never written:
it belongs to what a command prints. A line that can't be written is dropped and counted; it never
raises, and in a process that serves (`in_background`) it never waits.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from novate.log_stream import DRAIN_SECONDS, LogStream

Logger = structlog.typing.FilteringBoundLogger

LINES_HELD_MAX: Final = 500
"""Lines of `Lines` that wait to be written together."""

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_encode_json = msgspec.json.Encoder(enc_hook=str).encode
_stream = LogStream(sys.stderr)


def configure(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """Set the process's logging up; called again, it replaces what was set.

    Args:
        level: Least level that is written: debug, info, warning or error.
        form: json, console, or auto (console where the stream is a terminal).
        stream: Where lines go; stderr if None.
    """
    target = _wrap(stream or sys.stderr)
    console = form == "console" or (form == "auto" and target.isatty())
    shared = _shared_processors(console)
    render: Processor = _console_renderer(target) if console else _render_json
    target.say_lost = lambda count: _render_lost(count, shared, render)
    # Our own lines go straight to the stream: the detour by `logging` would cost an order's worth.
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, target)),
        cache_logger_on_first_use=False,
    )
    _configure_libraries(_LEVELS[level], shared, render, target)


def _wrap(target: TextIO | LogStream | None) -> LogStream:
    """The stream that lines go to, the same one for the same target."""
    global _stream
    _stream = target if isinstance(target, LogStream) else LogStream(target)
    return _stream


@contextlib.contextmanager
def in_background(seconds: float = DRAIN_SECONDS) -> Iterator[None]:
    """Have a thread write the lines meanwhile, and all else that is said on stderr.

    At the end what waits is written, for `seconds` at most. `sys.stderr` stays what it was made:
    the last words of a process must not raise or wait either.
    """
    stream = _stream
    stream.begin()
    sys.stderr = cast(TextIO, stream)
    try:
        yield
    finally:
        stream.end(seconds)


def lines_lost() -> int:
    """Lines of this process that could not be written."""
    return _stream.lines_lost


def _render_lost(count: int, shared: list[Processor], render: Processor) -> str:
    event: EventDict = {"stage": "logs", "event": "lines_lost", "lines": count}
    for process in (*shared, render):
        event = cast(EventDict, process(None, "warning", event))
    return f"{event}\n"


def _configure_libraries(
    level: int, shared: list[Processor], render: Processor, target: LogStream
) -> None:
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_add_foreign_name, *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
    )
    handler = logging.StreamHandler(cast(TextIO, target))
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of each of its plugins
    logging.captureWarnings(True)


def get(name: str, **context: Any) -> Logger:
    """A logger named for its stage, with values that every one of its lines bears."""
    return cast(Logger, structlog.get_logger(stage=name, **context))


class Lines:
    """Lines of one stage that come many at a time: made as JSON at once, written together.

    A line through all of structlog's processors and a write of its own costs as much as an order.
    Levels other than info go the ordinary way, behind what waits.
    """

    def __init__(self, name: str, call_soon: Callable[[Callable[[], None]], Any]) -> None:
        self._name = name
        self._call_soon = call_soon
        self._written = structlog.get_config()["logger_factory"]()
        self._ordinary = get(name).bind()
        self._waiting: list[bytes] = []
        self._time = ""

    def info(self, event: str, **context: Any) -> None:
        """Have a line written when the loop comes to it."""
        if not self._waiting:
            self._time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            self._call_soon(self.flush)
        line = {"time": self._time, "level": "info", "stage": self._name, "event": event}
        self._waiting.append(_encode_json(line | context))
        if len(self._waiting) >= LINES_HELD_MAX:
            self.flush()

    def warning(self, event: str, **context: Any) -> None:
        """Write a warning."""
        self.flush()
        self._ordinary.warning(event, **context)

    def error(self, event: str, **context: Any) -> None:
        """Write an error."""
        self.flush()
        self._ordinary.error(event, **context)

    def flush(self) -> None:
        """Write what waits, in one piece."""
        if self._waiting:
            whole = b"\n".join(self._waiting).decode()
            self._waiting = []
            self._written.msg(whole)


def lines(name: str, call_soon: Callable[[Callable[[], None]], Any]) -> Lines | Logger:
    """A logger for a stage with many lines; the ordinary one where lines are for a person."""
    if structlog.get_config()["processors"][-1] is _render_json:
        return Lines(name, call_soon)
    return get(name).bind()


def _shared_processors(console: bool) -> list[Processor]:
    stamp = structlog.processors.TimeStamper(
        fmt="%H:%M:%S.%f" if console else "%Y-%m-%dT%H:%M:%S.%fZ", utc=True, key="time"
    )
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        stamp,
        structlog.processors.StackInfoRenderer(),
    ]
    if not console:
        # Without the local values: they may be large, and a client's.
        transformer = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        processors.append(structlog.processors.ExceptionRenderer(transformer))
    return processors


def _add_foreign_name(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Name the library whose line this is; our own loggers bring their stage."""
    event["stage"] = event["_record"].name
    return event


def _render_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    """One line of JSON, what every line has first."""
    first = {key: event.pop(key, None) for key in ("time", "level", "stage", "event")}
    ordered = {**first, **event}
    return _encode_json(ordered).decode()


def _console_renderer(target: LogStream) -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=target.isatty(),
        timestamp_key="time",
        exception_formatter=structlog.dev.plain_traceback,
    )
