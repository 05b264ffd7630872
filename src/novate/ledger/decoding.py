"""Batches of commands as arrays: the headers at once, texts and extensions one by one."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from novate.ledger.naming import name_hash
from novate.model.columns import command_columns, uuids
from novate.model.commands import COMMAND, EXTENSION, Flag, IdKind

_HEAD: Final = COMMAND.itemsize
_BLOCK: Final = EXTENSION.itemsize
_EXTENDED: Final = int(Flag.EXTENDED)
_FLAGS_AT: Final = 4


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
        self._offsets, self.heads = command_columns(packed)

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
        start = int(self._offsets[place]) + _HEAD
        return np.frombuffer(self._packed, dtype=EXTENSION, count=1, offset=start)[0]

    def order_ids(self, places: NDArray[np.int64]) -> tuple[list[str], list[int]]:
        """Order ids that commands name by text or UUID, and their hashes."""
        texts = [""] * len(places)
        hashes = [0] * len(places)
        by_uuid = self.heads["order_id_kind"][places] == IdKind.UUID
        at = np.flatnonzero(by_uuid)
        if len(at) == len(places):
            return uuids(self._packed, self._offsets[places])
        named = zip(at.tolist(), *uuids(self._packed, self._offsets[places[at]]), strict=True)
        for place, text, short in named:
            texts[place], hashes[place] = text, short
        for place in np.flatnonzero(~by_uuid).tolist():
            texts[place] = self._order_text(int(places[place]))
            hashes[place] = name_hash(texts[place])
        return texts, hashes

    def _order_text(self, place: int) -> str:
        start = self._text_at(place)
        length = self._packed[int(self._offsets[place]) + 6]
        return self._packed[start : start + length].decode("ascii", "replace")

    def client_id(self, place: int) -> str | None:
        """The client id that a command names; None where it is a number."""
        start = self._text_at(place)
        at = int(self._offsets[place])
        before, length = self._packed[at + 6], self._packed[at + 7]
        if not length:
            return None
        return self._packed[start + before : start + before + length].decode("ascii", "replace")

    def text(self, place: int) -> bytes:
        """All of a command's text behind the ids of order and client."""
        start, at = self._text_at(place), int(self._offsets[place])
        skipped = self._packed[at + 6] + self._packed[at + 7]
        return self._packed[start + skipped : start + int(self.heads["text_length"][place])]

    def _text_at(self, place: int) -> int:
        at = int(self._offsets[place])
        return at + _HEAD + (_BLOCK if self._packed[at + _FLAGS_AT] & _EXTENDED else 0)
