"""Rows in the forms that PostgreSQL's COPY takes, made of whole columns at once.

Source: PostgreSQL's documentation of COPY, "Text Format" and "Binary Format".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

COPY_HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
COPY_TRAILER: Final = b"\xff\xff"

_ESCAPED: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def binary_rows(columns: Sequence[NDArray[Any]], widths: Sequence[int]) -> bytes:
    """Header and rows of integers, all of them there.

    Args:
        columns: A column each, of equal length.
        widths: Bytes of each column in its table: 2 or 8.
    """
    fields = [("count", ">i2")]
    for place, width in enumerate(widths):
        fields += [(f"size{place}", ">i4"), (f"value{place}", f">i{width}")]
    rows = np.empty(len(columns[0]), dtype=np.dtype(fields))
    rows["count"] = len(widths)
    for place, (column, width) in enumerate(zip(columns, widths, strict=True)):
        rows[f"size{place}"] = width
        rows[f"value{place}"] = column
    return COPY_HEADER + rows.tobytes()


def text_rows(rows: Sequence[tuple[Any, ...]]) -> bytes:
    """Rows with texts in them; all have as many columns."""
    lines = ["\t".join(map(str, row)) for row in rows]
    block = "\n".join(lines) + "\n"
    columns = len(rows[0]) if rows else 1
    plain = (
        block.count("\n") == len(rows)
        and block.count("\t") == (columns - 1) * len(rows)
        and "\\" not in block
        and "\r" not in block
    )
    if not plain:
        block = "".join("\t".join(map(_text, row)) + "\n" for row in rows)
    return block.encode()


def _text(value: Any) -> str:
    return value.translate(_ESCAPED) if isinstance(value, str) else str(value)
