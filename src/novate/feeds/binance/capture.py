"""Captures on disk: lines `<receive time in ns> <json>`, plain or gzip, several files as one."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from novate.feeds import FeedError
from novate.feeds.binance.grid import Grid
from novate.feeds.binance.messages import DepthSnapshot, Message, decode, infer_grid

GZIP_MAGIC = b"\x1f\x8b"


def read(
    paths: list[Path], on_progress: Callable[[int], None] = lambda count: None
) -> Iterator[tuple[int, Message]]:
    """Receive time in ns and message, line by line; lines that mean nothing here are left out.

    Args:
        paths: Files, in the order of their time.
        on_progress: Called with the bytes of the files read so far, as they lie on disk.

    Raises:
        FeedError: a file can't be read, or a line of it is malformed; says which.
    """
    done = 0
    for path in paths:
        number = 0
        try:
            with path.open("rb") as file:
                for number, line in enumerate(_lines(file), 1):
                    message = _message(line)
                    if message is not None:
                        yield message
                    if number % 256 == 0:
                        on_progress(done + file.tell())
                done += file.tell()
                on_progress(done)
        except FeedError as error:
            raise FeedError(f"{path}, line {number}: {error}") from None
        except (OSError, EOFError, zlib.error) as error:
            raise FeedError(f"expected a readable capture at {path}: {error}") from None


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    is_gzip = file.read(2) == GZIP_MAGIC
    file.seek(0)
    return iter(gzip.GzipFile(fileobj=file)) if is_gzip else iter(file)


def _message(line: bytes) -> tuple[int, Message] | None:
    time, _, raw = line.partition(b" ")
    if not time.isdigit() or len(time) > 19 or not raw:
        raise FeedError(f"expected `<time in ns> <json>`, found {line[:80]!r}")
    message = decode(raw)
    return None if message is None else (int(time), message)


def grid_of(paths: list[Path]) -> Grid:
    """Tick and lot as the first snapshot of a capture shows them.

    Raises:
        FeedError: there is no snapshot in it.
    """
    for _, message in read(paths):
        if isinstance(message, DepthSnapshot):
            return infer_grid(message)
    raise FeedError(f"expected a depth snapshot in {', '.join(map(str, paths))}, found none")
