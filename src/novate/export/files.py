"""Writes the chunks of an export into a file: Parquet, an Arrow file, or CSV.

A file comes into being whole: what is written goes into a temporary file beside it, which takes its
name when everything is on disk. A failure or Ctrl-C leaves what was there before.
"""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from novate.export.columns import Chunk, Column, ExportError, Kind
from novate.model import codec

if TYPE_CHECKING:
    import pyarrow

FORMATS: Final = ("parquet", "csv", "arrow")

LOW_HALF: Final = (1 << 64) - 1


class Writer(Protocol):
    """Takes the chunks of one file."""

    def write(self, chunk: Chunk) -> None:
        """Write rows."""

    def close(self) -> None:
        """Write what ends the file."""


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, which takes its place at the end, or is removed.

    Raises:
        ExportError: there is no such folder, or `path` is one.
    """
    if path.is_dir() or not path.parent.is_dir():
        what = "a folder" if path.is_dir() else f"no folder {path.parent}"
        raise ExportError(f"--out: expected a file in a folder that exists, found {what}")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def open_writer(path: Path, form: str, columns: list[Column], notes: dict[str, str]) -> Writer:
    """A writer of one of `FORMATS`; `notes` go into the metadata of those that have any."""
    if form == "csv":
        return CsvWriter(path, columns)
    return ArrowWriter(path, columns, notes, parquet=form == "parquet")


# --- Arrow and Parquet --------------------------------------------------------------------------


class ArrowWriter:
    """An Arrow IPC file or a Parquet file; decimals are decimals of 128 bits."""

    def __init__(
        self, path: Path, columns: list[Column], notes: dict[str, str], *, parquet: bool
    ) -> None:
        import pyarrow
        import pyarrow.parquet

        self._columns = columns
        fields = [pyarrow.field(each.name, _type_of(each)) for each in columns]
        self._schema = pyarrow.schema(fields, metadata=notes)
        self._writer: Any
        if parquet:
            self._writer = pyarrow.parquet.ParquetWriter(path, self._schema, compression="zstd")
        else:
            self._writer = pyarrow.ipc.new_file(path, self._schema)

    def write(self, chunk: Chunk) -> None:
        """Write rows as a batch of records, in Parquet a row group."""
        import pyarrow

        arrays = [_array(each, chunk[each.name]) for each in self._columns]
        self._writer.write_batch(pyarrow.record_batch(arrays, schema=self._schema))

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()


def _type_of(column: Column) -> pyarrow.DataType:
    import pyarrow

    if column.kind is Kind.DECIMAL:
        return pyarrow.decimal128(column.digits, column.scale)
    plain = {
        Kind.TEXT: pyarrow.string(),
        Kind.INTEGER: pyarrow.int64(),
        Kind.TIME: pyarrow.timestamp("us", tz="UTC"),
    }
    return plain[column.kind]


def _array(column: Column, values: Sequence[Any]) -> pyarrow.Array:
    import pyarrow

    if column.kind is not Kind.DECIMAL:
        return pyarrow.array(values, _type_of(column))
    return decimal_array(column, values)


def decimal_array(column: Column, values: Sequence[int | None]) -> pyarrow.Array:
    """Integers as decimals of 128 bits of the column's scale, without a text between.

    Raises:
        ExportError: one has more digits than the column.
    """
    import pyarrow

    known = [0 if value is None else value for value in values]
    most = max((abs(value) for value in known), default=0)
    if len(str(most)) > column.digits:
        digits = f"{column.name}: expected at most {column.digits} digits, found {len(str(most))}"
        raise ExportError(f"{digits}; csv has no such limit")
    halves = np.empty((len(known), 2), np.uint64)
    halves[:, 0] = [value & LOW_HALF for value in known]
    halves[:, 1] = [value >> 64 & LOW_HALF for value in known]
    there = pyarrow.array([value is not None for value in values], pyarrow.bool_())
    buffers = [there.buffers()[1], pyarrow.py_buffer(halves.tobytes())]
    return pyarrow.Array.from_buffers(_type_of(column), len(known), buffers)


# --- CSV ----------------------------------------------------------------------------------------


class CsvWriter:
    """Lines of plain text under a header.

    Amounts are written as the API writes them, times in ISO 8601 UTC, nothing as nothing.
    """

    def __init__(self, path: Path, columns: list[Column]) -> None:
        self._columns = columns
        self._file: IO[str] = path.open("w", encoding="utf-8", newline="")
        self._lines = csv.writer(self._file, lineterminator="\n")
        self._lines.writerow([each.name for each in columns])

    def write(self, chunk: Chunk) -> None:
        """Write rows."""
        texts = [list(map(_text_of(each), chunk[each.name])) for each in self._columns]
        self._lines.writerows(zip(*texts, strict=True))

    def close(self) -> None:
        """Write what is buffered."""
        self._file.close()


def _text_of(column: Column) -> Callable[[Any], object]:
    """How a value of this column is written."""
    if column.kind is Kind.DECIMAL:
        return lambda value: "" if value is None else decimal_text(value, column.scale)
    if column.kind is Kind.TIME:
        return lambda value: "" if value is None else codec.format_time(value).decode()
    return lambda value: "" if value is None else value


def decimal_text(units: int, scale: int) -> str:
    """`units * 10**-scale` as exact decimal text: no exponent, no trailing zeros."""
    digits = str(abs(units)).rjust(scale + 1, "0")
    whole, fraction = digits[: len(digits) - scale], digits[len(digits) - scale :].rstrip("0")
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}.{fraction}" if fraction else sign + whole
