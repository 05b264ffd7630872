"""Where the first answers to idempotency keys are kept: the images of outcomes, found by seq.

The outcomes of a batch are journaled in the record of the batch after it. Until then the newest
ones are held here; a snapshot carries them. An image is the engine's own form of an outcome, which
the reporter renders again into the same status and body.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Sequence
from typing import Protocol

from novate import logs
from novate.model.errors import JournalError

HEADER = struct.Struct("<QI")

log = logs.get("outcomes")


class OutcomeReader(Protocol):
    """The part of a journal that is needed here."""

    def outcomes_of(self, seq: int) -> bytes | None:
        """The outcomes blob that holds the outcome of `seq`, None if there is none."""
        ...


def pack_outcomes(outcomes: Sequence[tuple[int, bytes]]) -> bytes:
    """One blob of (seq, image) pairs: u64 seq, u32 length, image; little-endian, unpadded."""
    if not outcomes:
        return b""
    pack = HEADER.pack
    parts: list[bytes] = []
    for seq, image in outcomes:
        parts.append(pack(seq, len(image)))
        parts.append(image)
    return b"".join(parts)


def unpack_outcomes(blob: bytes) -> Iterator[tuple[int, bytes]]:
    """The (seq, image) pairs of a blob.

    Raises:
        ValueError: the blob ends inside a pair.
    """
    place = 0
    while place < len(blob):
        if place + HEADER.size > len(blob):
            raise ValueError(f"outcomes: expected a header of 12 bytes at {place}")
        seq, length = HEADER.unpack_from(blob, place)
        place += HEADER.size
        if place + length > len(blob):
            raise ValueError(f"outcomes: expected {length} bytes for seq {seq} at {place}")
        yield seq, blob[place : place + length]
        place += length


class OutcomeStore:
    """Finds the outcome of a keyed command, in memory for the newest batch, else in the journal."""

    def __init__(self, journal: OutcomeReader, pending: bytes = b"") -> None:
        self._journal = journal
        self._newest: Sequence[tuple[int, bytes]] = list(unpack_outcomes(pending))
        # Made when it is first asked for: most batches hold no repeat of a key.
        self._by_seq: dict[int, bytes] | None = None
        # The blob read last, for the repeat of a whole batch asks for all that is in it.
        self._read: dict[int, bytes] = {}

    def replace(self, newest: Sequence[tuple[int, bytes]]) -> None:
        """Hold the outcomes of the batch just applied; those before it are in the journal."""
        self._newest = newest
        self._by_seq = None

    def pending(self) -> bytes:
        """The blob of the outcomes that no record holds yet."""
        return pack_outcomes(self._newest)

    def find(self, seq: int) -> bytes | None:
        """The image of the outcome of `seq`, or None where it has none, is gone or can't be read.

        Never raises for the disk: who asks owes somebody an answer.
        """
        if self._by_seq is None:
            self._by_seq = dict(self._newest)
        image = self._by_seq.get(seq) or self._read.get(seq)
        if image is None:
            image = self._find_journaled(seq)
        return image

    def _find_journaled(self, seq: int) -> bytes | None:
        try:
            blob = self._journal.outcomes_of(seq)
            if blob is None:
                return None
            self._read = dict(unpack_outcomes(blob))
        except (OSError, JournalError, ValueError) as error:
            with contextlib.suppress(Exception):
                log.error("outcome_unreadable", seq=seq, why=str(error))
            return None
        return self._read.get(seq)
