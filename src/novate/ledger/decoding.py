"""Batches of commands as arrays: the headers at once, texts and extensions one by one."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from novate.model.commands import COMMAND, EXTENSION, Flag, IdKind

_HEAD: Final = COMMAND.itemsize
_BLOCK: Final = EXTENSION.itemsize
_EXTENDED: Final = int(Flag.EXTENDED)
_FLAGS_AT: Final = 4
_TEXT_LENGTH_AT: Final = 80


class Commands:
    """Consecutive commands as they stand in the journal.

    Args:
        packed: Their records, one behind the other.
        first_seq: Sequence of the first.

    Attributes:
        heads: Their headers, an array of `COMMAND`.
    """

    def __init__(self, packed: bytes, first_seq: int) -> None:
        self.first_seq = first_seq
        self._packed = packed
        self._offsets = offsets_of(packed)
        whole = np.frombuffer(packed, dtype=np.uint8)
        starts = np.array(self._offsets, dtype=np.int64)
        picked = whole[starts[:, None] + np.arange(_HEAD)] if len(starts) else whole[:0]
        self.heads: NDArray[Any] = picked.reshape(-1, _HEAD).view(COMMAND).reshape(-1)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._offsets)

    def at(self, seq: int) -> int:
        """Place of the command of this sequence."""
        return seq - self.first_seq

    def extension(self, place: int) -> Any:
        """Extension of a command, a record of `EXTENSION`; of zeros where it has none."""
        if not self.heads["flags"][place] & _EXTENDED:
            return np.zeros(1, dtype=EXTENSION)[0]
        start = self._offsets[place] + _HEAD
        return np.frombuffer(self._packed, dtype=EXTENSION, count=1, offset=start)[0]

    def order_id(self, place: int) -> str | None:
        """The order id that a command names; None where it is a number."""
        start = self._text_at(place)
        kind, length = self._packed[self._offsets[place] + 5 : self._offsets[place] + 7]
        if kind == IdKind.UUID:
            text = self._packed[start : start + 16].hex()
            return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
        if kind == IdKind.TEXT:
            return self._packed[start : start + length].decode("ascii", "replace")
        return None

    def client_id(self, place: int) -> str | None:
        """The client id that a command names; None where it is a number."""
        start = self._text_at(place)
        at = self._offsets[place]
        before, length = self._packed[at + 6], self._packed[at + 7]
        if not length:
            return None
        return self._packed[start + before : start + before + length].decode("ascii", "replace")

    def text(self, place: int) -> bytes:
        """All of a command's text behind the ids of order and client."""
        start, at = self._text_at(place), self._offsets[place]
        skipped = self._packed[at + 6] + self._packed[at + 7]
        return self._packed[start + skipped : start + int(self.heads["text_length"][place])]

    def _text_at(self, place: int) -> int:
        at = self._offsets[place]
        return at + _HEAD + (_BLOCK if self._packed[at + _FLAGS_AT] & _EXTENDED else 0)


def offsets_of(packed: bytes) -> list[int]:
    """Byte offsets of the commands of a batch."""
    # Records are multiples of 8 bytes long, so that lengths can be read as aligned numbers.
    lengths = memoryview(packed).cast("H")
    offsets: list[int] = []
    add = offsets.append
    at, end = 0, len(packed)
    while at < end:
        add(at)
        size = _HEAD + ((lengths[(at + _TEXT_LENGTH_AT) >> 1] + 7) & ~7)
        at += size + _BLOCK if packed[at + _FLAGS_AT] & _EXTENDED else size
    return offsets
