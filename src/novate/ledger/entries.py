"""Ledger entries of the core's clearing, as rows: a pair of entries is one transfer.

The core gives them as arrays beside the events of a batch, the entry of a transfer's source and
that of its target one after the other; amounts there are 128 bits in binary halves, and become the
decimal halves of the tables here.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from novate.ledger import wide
from novate.ledger.schema import LIMB
from novate.model.clearing import Account
from novate.model.errors import LedgerFault

HOUSE: Final = 0xFFFFFFFF
"""`client` of an entry of the house's own."""

HOUSES: Final = (int(Account.EXTERNAL), int(Account.CLEARING_HOUSE), int(Account.FEES))
"""The house's accounts; all others are a client's."""

_SHARED: Final = ("seq", "asset", "kind", "reference", "reference_index")


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


def transfer_columns(entries: NDArray[Any], times: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Columns of `ledger_transfers`; `times` has the time of each entry.

    Of consecutive transfers of one command that are of one client, kind and reference two make a
    row, from the first on.

    Raises:
        LedgerFault: Entries that are not in pairs which sum to zero, or that are between clients.
    """
    sources, targets = entries[0::2], entries[1::2]
    wrong = _unpaired(sources, targets)
    if wrong is not None:
        expected = "expected entries in pairs that sum to zero"
        raise LedgerFault(f"{expected}, found others at seq {wrong}")
    high, low = decimal_halves(targets["amount_high"], targets["amount_low"])
    owner = np.where(sources["client"] == HOUSE, targets["client"], sources["client"])
    transfer = [sources["asset"], sources["account"], targets["account"], high, low]
    first, second = _rows(sources, owner)
    client, of_first = owner[first].astype(np.int64), sources[first]
    return [
        of_first["seq"], of_first["index"], np.where(client == HOUSE, -1, client),
        *(column[first] for column in transfer), *(_others(column, second) for column in transfer),
        of_first["kind"], of_first["reference"], of_first["reference_index"], times[0::2][first],
    ]  # fmt: skip


def _rows(sources: NDArray[Any], owner: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which transfers are the first of a row, and the second of each, -1: there is none."""
    count = len(sources)
    new = np.ones(count, dtype=bool)
    if count:
        new[1:] = owner[1:] != owner[:-1]
    for name in ("seq", "kind", "reference", "reference_index"):
        new[1:] |= sources[name][1:] != sources[name][:-1]
    starts = np.flatnonzero(new)
    place = np.arange(count) - np.repeat(starts, np.diff(np.r_[starts, count]))
    is_first = place % 2 == 0
    first = np.flatnonzero(is_first)
    after = np.minimum(first + 1, count - 1)
    return first, np.where((after > first) & ~is_first[after], after, -1)


def _others(column: NDArray[Any], second: NDArray[np.intp]) -> NDArray[np.int64]:
    """Of the second transfer of each row; 0 where there is none."""
    return np.where(second >= 0, column[second], 0).astype(np.int64) if len(second) else second


def _unpaired(sources: NDArray[Any], targets: NDArray[Any]) -> int | None:
    """Seq of the first entry that is not one of a transfer's; None: all are."""
    if len(sources) != len(targets):
        return int(sources["seq"][-1])
    carry = targets["amount_low"] == 0
    good = sources["amount_low"] == ~targets["amount_low"] + np.uint64(1)
    good &= sources["amount_high"] == ~targets["amount_high"] + carry
    good &= sources["index"] + np.uint32(1) == targets["index"]
    for name in _SHARED:
        good &= sources[name] == targets[name]
    for side in (sources, targets):
        good &= (side["client"] == HOUSE) == (side["account"] <= HOUSES[-1])
    ours = (sources["client"] == HOUSE) | (targets["client"] == HOUSE)
    good &= ours | (sources["client"] == targets["client"])
    return None if good.all() else int(sources["seq"][~good][0])


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
