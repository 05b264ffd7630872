"""Positions and profit by average cost, exact, from columns of trades.

The rule, for each position (a client in an instrument), side by side in the order of the trades:

- `net_lots` is over 0 when long, under 0 when short; `cost` is what the open position cost, in
  ticks times lots, with the sign of `net_lots` (what a short sale brought in counts below 0).
- A side that adds to the position, or opens it, adds price x lots to the cost, with its sign.
- A side that reduces it by `lots` of |net| takes away `cost x lots / |net|`, rounded toward zero,
  and realizes the difference to price x lots. What rounding leaves stays in the cost; when the
  position is closed all of it goes, so that nothing is lost or made.
- A side that is larger than the position closes it and opens one the other way with the rest.
- Where one client is on both sides of a trade, its bought side goes first.

So `cost - realized` is at any time exactly the sum of price x signed lots over the sides, and over
all clients `net_lots` and `cost - realized` come to 0. Unrealized profit is mark x net - cost.

Source: weighted average cost (IAS 2, paragraph 27), for positions that may be short.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from novate.analytics.exact import FACTOR_MAX, Int64s, Integers, columns, rounded_half_even
from novate.engine.average_cost import hold

TABLE_MAX: Final = 1 << 26
"""Pairs of a client and an instrument that are numbered by a table, and not by sorting."""


@dataclass(frozen=True, slots=True)
class Positions:
    """A row for each client in each instrument that traded, by instrument, then client.

    Attributes:
        instrument, client: Their numbers, as they were given (int64).
        net_lots: Over 0 long, under 0 short (int64).
        cost: Of what is open, in ticks times lots, with the sign of `net_lots` (Python integers).
        realized: Profit realized so far, in ticks times lots (Python integers).
        bought_lots, sold_lots: All that was ever bought and sold (int64).
        fills: Sides of trades (int64).
        last_trade: Number of the last trade, in the order of the columns (int64).
    """

    instrument: Int64s
    client: Int64s
    net_lots: Int64s
    cost: Integers
    realized: Integers
    bought_lots: Int64s
    sold_lots: Int64s
    fills: Int64s
    last_trade: Int64s

    def __len__(self) -> int:
        return len(self.client)

    def unrealized(self, mark_ticks: Any) -> Integers:
        """What each would realize at a mark (mark x net - cost), in ticks times lots, exact.

        Args:
            mark_ticks: A price for all, or one for each row, ticks.
        """
        marks = np.broadcast_to(np.asarray(mark_ticks), self.net_lots.shape).astype(object)
        found: Integers = marks * self.net_lots.astype(object) - self.cost
        return found

    def average_e4_ticks(self) -> list[int | None]:
        """Average cost (cost / net) in 1/10,000 ticks, half-even; None: nothing is open."""
        rows = zip(self.cost.tolist(), self.net_lots.tolist(), strict=True)
        return [
            rounded_half_even(10_000 * (cost if net > 0 else -cost), abs(net)) if net else None
            for cost, net in rows
        ]


def positions(
    price_ticks: Any, quantity_lots: Any, buyer: Any, seller: Any, instrument: Any = None
) -> Positions:
    """Every position after trades, by average cost.

    Args:
        price_ticks: Price of each trade, ticks, in the order in which they happened.
        quantity_lots: Its quantity, lots, over 0.
        buyer: Number of the client that bought, at least 0.
        seller: Number of the one that sold.
        instrument: Number of its instrument, at least 0; None: all are of instrument 0.

    Raises:
        ValueError: the columns differ in length, or a number is out of its range.
        OverflowError: a position passes 2**63 - 1 lots.
    """
    prices, quantities, buyers, sellers = columns(
        price_ticks=price_ticks, quantity_lots=quantity_lots, buyer=buyer, seller=seller
    )
    _check(prices, quantities)
    books = np.zeros(len(prices), np.int64)
    if instrument is not None:
        books = columns(price_ticks=prices, instrument=instrument)[1]
    rows_of, keys, clients = _numbered(books, buyers, sellers)
    held = hold(
        np.ascontiguousarray(prices),
        np.ascontiguousarray(quantities),
        rows_of[: len(prices)],
        rows_of[len(prices) :],
        len(keys),
    )
    return Positions(
        instrument=keys // clients,
        client=keys % clients,
        net_lots=held["net_lots"].copy(),
        cost=_wide(held, "cost"),
        realized=_wide(held, "realized"),
        bought_lots=held["bought_lots"].copy(),
        sold_lots=held["sold_lots"].copy(),
        fills=held["fills"].copy(),
        last_trade=held["last"].copy(),
    )


def _check(prices: Int64s, quantities: Int64s) -> None:
    if not len(prices):
        return
    if int(np.abs(prices).max()) >= FACTOR_MAX:
        raise ValueError(f"price_ticks: expected under 2**50, got {int(np.abs(prices).max())}")
    least, most = int(quantities.min()), int(quantities.max())
    if least <= 0 or most >= FACTOR_MAX:
        found = least if least <= 0 else most
        raise ValueError(f"quantity_lots: expected over 0 and under 2**50, got {found}")


def _numbered(books: Int64s, buyers: Int64s, sellers: Int64s) -> tuple[Int64s, Int64s, int]:
    """(row of each buyer, then of each seller; key of each row, ascending; keys per instrument)."""
    if not len(books):
        empty = np.empty(0, np.int64)
        return empty, empty, 1
    least = min(int(each.min()) for each in (books, buyers, sellers))
    clients = max(int(buyers.max()), int(sellers.max())) + 1
    if least < 0 or clients * (int(books.max()) + 1) > 2**63:
        raise ValueError("expected numbers of clients and instruments from 0, together under 2**63")
    both = np.concatenate((books * clients + buyers, books * clients + sellers))
    size = clients * (int(books.max()) + 1)
    if size > TABLE_MAX:
        keys, rows = np.unique(both, return_inverse=True)
        return rows.astype(np.int64), keys, clients
    present = np.zeros(size, np.bool_)
    present[both] = True
    keys = np.flatnonzero(present)
    number = np.zeros(size, np.int64)
    number[keys] = np.arange(len(keys))
    return number[both], keys, clients


def _wide(held: np.ndarray[Any, Any], name: str) -> Integers:
    high, low = held[f"{name}_high"].astype(object), held[f"{name}_low"].astype(object)
    found: Integers = (high << 64) + low
    return found
