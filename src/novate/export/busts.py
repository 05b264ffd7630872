"""Trades that the operator took back, and what stands in their place, from the events of a replay.

A bust names its trade; a correction stands behind it at the same seq, and the trade that it makes
has that seq and index 0, and can be taken back in turn.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from novate.export.sources import Correction
from novate.model.events import EventKind


class Busts:
    """What a history's events say of busts.

    Args:
        partition: The first part of trade ids.
    """

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._taken: dict[tuple[int, int, int], int] = {}
        self._made: dict[int, tuple[int, int]] = {}

    def add(self, events: NDArray[Any]) -> None:
        """Take in some events, later ones after earlier ones."""
        for row in events[events["kind"] == EventKind.TRADE_BUSTED]:
            trade = int(row["order"]), int(row["index"]), int(row["instrument"])
            self._taken[trade] = int(row["seq"])
        for row in events[events["kind"] == EventKind.TRADE_CORRECTED]:
            self._made[int(row["seq"])] = int(row["price_ticks"]), int(row["quantity_lots"])

    def of(self, seq: int, index: int, instrument: int) -> tuple[int | None, Correction | None]:
        """When a trade was taken back (None: it stands), and the trade in its place now."""
        bust_seq = self._taken.get((seq, index, instrument))
        if bust_seq is None:
            return None, None
        last = bust_seq
        while (last, 0, instrument) in self._taken:
            last = self._taken[last, 0, instrument]
        made = self._made.get(last)
        if made is None:
            return bust_seq, None
        return bust_seq, Correction(f"{self._partition}-{last}-0", *made)
