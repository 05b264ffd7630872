"""Ledger entries of the core's clearing, as rows.

The core gives them as arrays beside the events of a batch; amounts there are 128 bits in binary
halves, and become the decimal halves of the tables here.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from novate.ledger import wide
from novate.ledger.schema import LIMB

HOUSE: Final = 0xFFFFFFFF
"""`client` of an entry of the house's own."""


class EntrySource(Protocol):
    """What the ledger asks of the core's accounts."""

    def take_entries(self) -> NDArray[Any]:
        """The entries since the last call, by seq and index.

        Fields: seq, index, asset, account, client, amount_low (unsigned), amount_high, kind,
        reference, reference_index.
        """
        ...

    def assets(self) -> list[tuple[str, int]]:
        """Name and scale of every asset, by number."""
        ...

    def cycle(self, number: int) -> tuple[dict[str, Any], list[tuple[int, int, int]]] | None:
        """A closed cycle that is kept, and its obligations."""
        ...


def entry_columns(entries: NDArray[Any], times: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Columns of `ledger_entries`; `times` has the time of each entry."""
    high, low = decimal_halves(entries["amount_high"], entries["amount_low"])
    client = entries["client"].astype(np.int64)
    return [
        entries["seq"], entries["index"], entries["asset"], entries["account"],
        np.where(client == HOUSE, -1, client), high, low, entries["kind"], entries["reference"],
        entries["reference_index"], times,
    ]  # fmt: skip


def decimal_halves(high: NDArray[np.int64], low: NDArray[np.uint64]) -> wide.Wide:
    """Numbers of high * 2**64 + low as high * 10**18 + low."""
    limb = np.uint64(LIMB)
    as_signed = low.astype(np.int64)  # of a number over -2**63 its value, where high is -1
    small = (high == 0) & (low < limb)
    negative = (high == -1) & (as_signed < 0) & (as_signed >= -LIMB)
    highs = np.where(negative, -1, 0)
    lows = np.where(negative, as_signed + LIMB, as_signed)
    for at in np.flatnonzero(~(small | negative)).tolist():
        highs[at], lows[at] = wide.split((int(high[at]) << 64) + int(low[at]))
    return highs, lows
