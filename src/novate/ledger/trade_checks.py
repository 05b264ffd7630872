"""Whether trades were charged what the rates said, and whether busts undo the trades they name.

Both are questions to the history alone: what an engine's accounts say follows the commands that it
was given, right or not. Goes through the same rows as `TradesReckoning`, in their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from novate.model.clearing import ClearingTerms, FeeTier, amount_of, fee_units
from novate.model.commands import Side
from novate.model.events import EventKind

Key = tuple[int, int, int]
"""Of a trade: instrument, seq, index."""

_BUSTED: Final = f"""SELECT instrument, order_number, event_index FROM order_events
 WHERE kind = {int(EventKind.TRADE_BUSTED)}"""
_NO_RATES: Final = FeeTier()
_AUCTION: Final = -1
"""`side` of a trade that had no taker."""


class Misfit(NamedTuple):
    """What is not as it should be with a trade, or with a bust of it.

    Attributes:
        what: price, quantity, buyer, seller; the fee of one of them; trade: whether there is one.
        trade: Which.
        bust_seq: Of the bust that differs from it; 0: it is the trade's own fee.
        expected: By the rates in force, or the trade that is undone: ticks, lots, a client's
            number, units; -1: nothing.
        found: What was charged, or what the bust says.
    """

    what: str
    trade: Key
    bust_seq: int
    expected: int
    found: int


class _Whole:
    """A trade, correction or bust, and the fees behind it."""

    __slots__ = ("bust_seq", "due", "fees", "key", "values")

    def __init__(self, key: Key, row: Row[Any], bust_seq: int = 0) -> None:
        self.key = key
        self.values = row.price, row.lots, row.one, row.other
        self.fees = [0, 0]
        self.bust_seq = bust_seq
        self.due: list[int] | None = None


class TradeChecks:
    """Goes through trades and the audit trail from the first to the last.

    Args:
        quote_units: Units of the quote asset in one tick x one lot, by instrument.
        terms: By the seq of each command that gave an instrument terms.
        undone: The trades that busts name.

    Attributes:
        first: What was found first, None: nothing.
    """

    def __init__(
        self,
        quote_units: Mapping[int, int],
        terms: Mapping[int, ClearingTerms],
        undone: set[Key],
    ) -> None:
        self._quote_units = quote_units
        self._given = terms
        self._undone = undone
        self._terms: dict[int, ClearingTerms] = {}
        self._tiers: dict[int, int] = {}
        self._known: dict[Key, _Whole] = {}
        self._last: _Whole | None = None
        self.first: Misfit | None = None

    def take(self, row: Row[Any]) -> None:
        """What happened next."""
        kind = row.kind
        if kind == EventKind.FEE_CHARGED:
            if self._last is not None:
                self._last.fees[row.side] += amount_of(row.price, row.lots)
            return
        self.close()
        if kind == EventKind.TRADE:
            self._last = _Whole((row.instrument, row.seq, row.event_index), row)
            self._last.due = self._due(row)
        elif kind == EventKind.TRADE_CORRECTED:
            self._last = _Whole((row.instrument, row.seq, 0), row)
        elif kind == EventKind.TRADE_BUSTED:
            key = row.instrument, row.number, row.event_index
            self._last = _Whole(key, row, row.seq)
        elif kind == EventKind.CLEARING_SET:
            self._terms[row.instrument] = self._given[row.seq]
        elif kind == EventKind.TIER_SET:
            self._tiers[row.one] = row.lots

    def close(self) -> None:
        """No more fees come of what was taken last."""
        last, self._last = self._last, None
        if last is None:
            return
        if last.bust_seq:
            self._look_at_bust(last)
            return
        if last.due is not None:
            self._compare(last.key, 0, ("buyer_fee", "seller_fee"), last.due, last.fees)
        if last.key in self._undone:
            # A correction whose command an auction ended at may share an id with its first trade,
            # which came before and is the one that can be named.
            self._known.setdefault(last.key, last)

    def _due(self, row: Row[Any]) -> list[int] | None:
        """The fees of buyer and seller by the rates in force; None: it is not cleared."""
        terms = self._terms.get(row.instrument)
        if terms is None:
            return None
        units = row.lots * row.price * self._quote_units[row.instrument]
        fees = []
        for side, client in ((Side.BUY, row.one), (Side.SELL, row.other)):
            tier = self._tiers.get(client, 0)
            rates = (
                terms.tiers[tier if tier < len(terms.tiers) else 0] if terms.tiers else _NO_RATES
            )
            taker = row.side in (_AUCTION, side)
            fees.append(fee_units(units, rates.taker if taker else rates.maker))
        return fees

    def _look_at_bust(self, bust: _Whole) -> None:
        trade = self._known.pop(bust.key, None)
        if trade is None:
            self._compare(bust.key, bust.bust_seq, ("trade",), (1,), (-1,))
            return
        expected = [*trade.values, *trade.fees]
        found = [*bust.values, -bust.fees[0], -bust.fees[1]]
        names = "price", "quantity", "buyer", "seller", "buyer_fee", "seller_fee"
        self._compare(bust.key, bust.bust_seq, names, expected, found)

    def _compare(self, key: Key, bust_seq: int, names: Any, expected: Any, found: Any) -> None:
        for name, was, now in zip(names, expected, found, strict=True):
            if was != now and self.first is None:
                self.first = Misfit(name, key, bust_seq, was, now)


def undone(connection: Connection) -> set[Key]:
    """The trades that busts name, whether there are such or not."""
    return {(row[0], row[1], row[2]) for row in connection.execute(sa.text(_BUSTED))}
