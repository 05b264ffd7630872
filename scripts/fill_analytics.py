"""Runs the cells of docs/analytics.md on a seeded market and writes their results into it.

    python scripts/fill_analytics.py         rewrites docs/analytics.md
A ```sql cell is run in DuckDB, a ```python cell in Python, all in one folder where the files of
`novate export` lie. Where a ```text block follows a cell, that becomes its result.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
import sys
import tempfile
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import duckdb

from novate.config import Settings
from novate.export.command import Options, run
from novate.journal.interface import Batch
from novate.model import codec
from novate.recovery import open_partition

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "analytics.md"
EXPORTS = (
    Options(table="trades", out=Path("trades.parquet")),
    Options(table="orders", out=Path("orders.parquet")),
    Options(table="candles", out=Path("candles.parquet"), interval="5m"),
)

START_NS: Final = 1_767_258_000 * 10**9  # 2026-01-01T09:00Z
BATCHES: Final = 2_400
BATCH_NS: Final = 3 * 10**9  # so that it is two hours
CLIENTS: Final = ("alice", "bob", "carol", "dave", "maker")

_CELL = re.compile(
    r"```(?P<language>sql|python)\n(?P<code>.*?)```\n(?P<result>\n?```text\n.*?```\n)?", re.DOTALL
)


def make_market(folder: Path) -> None:
    """Two hours of two instruments, the same at every call."""
    settings = Settings(data_dir=folder, journal_segment_bytes=1 << 20)
    recovered = open_partition(settings, clock=lambda: START_NS)
    try:
        pending, seq, events_hash = recovered.pending, recovered.seq, recovered.events_hash
        for number, commands in enumerate(_market(random.Random(2026))):
            time_ns = START_NS + (number + 1) * BATCH_NS
            batch = Batch(seq + 1, len(commands), time_ns, b"".join(commands), pending, events_hash)
            recovered.journal.append(seq, recovered.journal.epoch, batch)
            applied = recovered.reporter.apply(batch.commands, seq + 1, time_ns)
            events_hash = blake2b(events_hash + applied.events, digest_size=32).digest()
            seq, pending = applied.last_seq, b""
    finally:
        recovered.close()


def _market(chance: random.Random) -> Iterator[list[bytes]]:
    """The commands of each batch: a maker quotes around a price that walks, the others take."""
    mids = [7_000_000, 350_000]
    for number in range(BATCHES):
        book = number % 2
        mids[book] += chance.randint(-300, 300) if book == 0 else chance.randint(-15, 15)
        mid, width = mids[book], (500, 25)[book]
        commands = []
        for side, distance in ((0, -width), (1, width)):
            price = mid + distance + chance.randint(-width // 5, width // 5)
            order_id = b"q-%d-%d" % (number, side)
            lots = chance.randint(1, 40) * 2_500_000
            commands.append(codec.pack_place(
                book, side, 0, 0, 0, price, lots, 0, order_id, b"maker",
            ))  # fmt: skip
        if number >= 20:
            commands += [codec.pack_cancel(b"q-%d-%d" % (number - 20, side)) for side in (0, 1)]
        if chance.random() < 0.5:
            side, client = chance.randrange(2), chance.choice(CLIENTS[:4]).encode()
            lots = chance.randint(1, 60) * 1_000_000
            commands.append(codec.pack_place(
                book, side, 1, 1, 0, 0, lots, 0, b"t-%d" % number, client,
            ))  # fmt: skip
        yield commands


def fill(text: str, folder: Path) -> str:
    """The document with the results of its cells, run in a folder that has the exports."""
    session: dict[str, Any] = {}
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")

    def replace(cell: re.Match[str]) -> str:
        code = cell["code"]
        found = _run_python(code, session) if cell["language"] == "python" else ""
        if cell["language"] == "sql":
            found = as_table(database.execute(code))
        if cell["result"] is None:
            return cell[0]
        return f"```{cell['language']}\n{code}```\n\n```text\n{found}```\n"

    with contextlib.chdir(folder):
        try:
            return _CELL.sub(replace, text)
        finally:
            database.close()


def _run_python(code: str, session: dict[str, Any]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "docs/analytics.md", "exec"), session)  # the document's own cell
    return printed.getvalue()


def as_table(result: duckdb.DuckDBPyConnection) -> str:
    """A result as columns of text, amounts to the right."""
    names = [each[0] for each in result.description or []]
    rows = [[_text(value) for value in row] for row in result.fetchall()]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    right = [all(re.fullmatch(r"[-0-9.e]+", row[at]) for row in rows) for at in range(len(names))]
    lines = []
    for row in [names, *rows]:
        cells = zip(row, widths, right, strict=True)
        padded = [text.rjust(size) if flush else text.ljust(size) for text, size, flush in cells]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if hasattr(value, "strftime"):
        return str(value.strftime("%H:%M"))
    return str(value)


def export_all(data_dir: Path, folder: Path) -> None:
    """The files that the cells read."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.chdir(folder):
        for options in EXPORTS:
            run(Settings(data_dir=data_dir), options)


def filled() -> str:
    """The document as it should be."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_market(folder / "data")
        export_all(folder / "data", folder)
        return fill(DOCUMENT.read_text(encoding="utf-8"), folder)


def main() -> int:
    """Rewrite the document."""
    os.environ.pop("NOVATE_CONFIG", None)
    DOCUMENT.write_text(filled(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
