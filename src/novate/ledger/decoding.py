"""Batches of commands as arrays: the headers at once, texts and extensions one by one."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from novate.ledger.naming import name_hash
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
        self._bytes = np.frombuffer(packed, dtype=np.uint8)
        self._starts = np.array(self._offsets, dtype=np.int64)
        picked = self._bytes[:0]
        if self._offsets:
            picked = self._bytes[self._starts[:, None] + np.arange(_HEAD)]
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

    def order_ids(self, places: NDArray[np.int64]) -> tuple[list[str], list[int]]:
        """Order ids that commands name by text or UUID, and their hashes."""
        texts = [""] * len(places)
        hashes = [0] * len(places)
        uuids = self.heads["order_id_kind"][places] == IdKind.UUID
        at = np.flatnonzero(uuids)
        for place, text, short in zip(at.tolist(), *self._uuids(places[at]), strict=True):
            texts[place], hashes[place] = text, short
        for place in np.flatnonzero(~uuids).tolist():
            texts[place] = self._order_text(int(places[place]))
            hashes[place] = name_hash(texts[place])
        return texts, hashes

    def _uuids(self, places: NDArray[np.int64]) -> tuple[list[str], list[int]]:
        """Many UUIDs at once: their text, and `name_hash` of it."""
        extended = self.heads["flags"][places] & _EXTENDED != 0
        starts = self._starts[places] + _HEAD + np.where(extended, _BLOCK, 0)
        raw = self._bytes[starts[:, None] + np.arange(16)] if len(places) else self._bytes[:0]
        digits = raw.tobytes().hex()
        texts = [
            f"{digits[i : i + 8]}-{digits[i + 8 : i + 12]}-{digits[i + 12 : i + 16]}-"
            f"{digits[i + 16 : i + 20]}-{digits[i + 20 : i + 32]}"
            for i in range(0, len(digits), 32)
        ]
        halves = np.frombuffer(raw.tobytes(), dtype=">i8").reshape(-1, 2)
        return texts, halves[:, 1].tolist()

    def _order_text(self, place: int) -> str:
        start = self._text_at(place)
        length = self._packed[self._offsets[place] + 6]
        return self._packed[start : start + length].decode("ascii", "replace")

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
