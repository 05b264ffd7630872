"""Positions by average cost, from trades.

A trade that adds to a position adds its price x quantity to the cost. One that takes from it takes
the same share of the cost (rounded toward zero; all of it when the position is closed) and
realizes the difference. One that turns it closes it first and opens the rest at its price. All in
ticks x lots, of any size.

A bust is a trade the other way at the same price, when it comes; a correction is another behind it.
Of a trade with oneself the buying leg goes first. That is the rule of the engine's accounts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from novate.engine.average_cost import HELD, hold
from novate.model.commands import Side
from novate.model.events import EventKind

CACHED_MAX: Final = 200_000
"""Positions kept at hand; they are read again where they were let go."""

_LOW: Final = 2**64 - 1

Position = list[int]
"""[net lots, cost, realized], the last two in ticks x lots; its key: client << 32 | instrument."""


def trade(position: Position, signed_lots: int, price_ticks: int) -> None:
    """Put a trade into a position.

    Args:
        position: Is changed.
        signed_lots: What was bought, under 0: sold.
        price_ticks: At which price.
    """
    net, cost, realized = position
    if net and (net > 0) != (signed_lots > 0):
        closed = signed_lots if abs(signed_lots) <= abs(net) else -net
        share = abs(cost) * abs(closed) // abs(net)
        taken = share if net > 0 else -share
        realized += -closed * price_ticks - taken
        net += closed
        cost -= taken
        signed_lots -= closed
    position[0] = net + signed_lots
    position[1] = cost + signed_lots * price_ticks
    position[2] = realized


class Legs(NamedTuple):
    """Columns of trades, busts and corrections: who bought from whom; the parties are keys."""

    buyer: NDArray[np.int64]
    seller: NDArray[np.int64]
    lots: NDArray[np.int64]
    price_ticks: NDArray[np.int64]
    seq: NDArray[np.int64]
    timestamp_ns: NDArray[np.int64]

    def keys(self) -> set[int]:
        """The positions that they touch."""
        return {*np.unique(self.buyer).tolist(), *np.unique(self.seller).tolist()}

    def parties(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The positions that they touch, in order, and which of them each buyer and seller is."""
        keys, places = np.unique(np.concatenate([self.buyer, self.seller]), return_inverse=True)
        count = len(self.buyer)
        return keys, places[:count], places[count:]

    def rows(self) -> Iterable[tuple[int, ...]]:
        """One after the other, in their order."""
        return zip(*(column.tolist() for column in self), strict=True)


_MOVING: Final = (
    int(EventKind.TRADE), int(EventKind.TRADE_BUSTED), int(EventKind.TRADE_CORRECTED),
)  # fmt: skip


def legs(events: NDArray[Any], times: NDArray[np.int64]) -> Legs:
    """What of these events moves positions.

    Args:
        events: An array of `EVENT`.
        times: The time of each.
    """
    at = np.flatnonzero(np.isin(events["kind"], _MOVING))
    moving = events[at]
    kinds, instruments = moving["kind"], moving["instrument"].astype(np.int64)
    one = moving["client"].astype(np.int64) << 32 | instruments
    other = moving["taker_client"].astype(np.int64) << 32 | instruments
    # `client` is the maker of a trade; of the others the buyer, from whom a bust takes it back
    traded = kinds == EventKind.TRADE
    bought = np.where(traded, moving["side"] == Side.SELL, kinds == EventKind.TRADE_CORRECTED)
    return Legs(
        np.where(bought, one, other),
        np.where(bought, other, one),
        moving["quantity_lots"],
        moving["price_ticks"],
        moving["seq"],
        times[at],
    )


class Positions:
    """The positions that trades at hand touch; those before them come from the ledger."""

    def __init__(self) -> None:
        self._held: dict[int, Position] = {}

    def missing(self, keys: Iterable[int]) -> list[int]:
        """Which of these have to be read before trades can be put into them."""
        held = self._held
        return [key for key in keys if key not in held]

    def learn(self, key: int, position: Position) -> None:
        """Take what the ledger has."""
        self._held[key] = position

    def get(self, key: int) -> Position:
        """A position; flat where nothing is known of it."""
        held = self._held
        found = held.get(key)
        if found is None:
            found = held[key] = [0, 0, 0]
        return found

    def take(self, fills: Legs) -> list[tuple[int, Position, int]]:
        """Put trades into them; what was touched, by key: key, position, place of its last trade.

        In compiled code where 128 bits hold it, which is wherever an exchange's bounds do.
        """
        keys, buyer, seller = fills.parties()
        listed = keys.tolist()
        try:
            found = hold(
                np.ascontiguousarray(fills.price_ticks, dtype=np.int64),
                np.ascontiguousarray(fills.lots, dtype=np.int64),
                buyer, seller, len(listed), _packed([self.get(key) for key in listed]),
            )  # fmt: skip
        except OverflowError:
            return self._take_wide(fills)
        for key, position in zip(listed, _unpacked(found), strict=True):
            self._held[key] = position
        places = found["last"].tolist()
        return [(key, self._held[key], at) for key, at in zip(listed, places, strict=True)]

    def _take_wide(self, fills: Legs) -> list[tuple[int, Position, int]]:
        """The same at any size, one by one."""
        touched: dict[int, int] = {}
        for at, (buyer, seller, lots, price, *_) in enumerate(fills.rows()):
            trade(self.get(buyer), lots, price)
            trade(self.get(seller), -lots, price)
            touched[buyer] = touched[seller] = at
        return [(key, self.get(key), at) for key, at in sorted(touched.items())]

    def let_go(self) -> None:
        """Forget all where they have become too many; to be called when all are stored."""
        if len(self._held) > CACHED_MAX:
            self._held.clear()


def _packed(positions: list[Position]) -> NDArray[Any]:
    """Positions as records of `HELD`.

    Raises:
        OverflowError: one is larger than that.
    """
    packed = np.zeros(len(positions), HELD)
    if positions:
        nets, costs, realized = zip(*positions, strict=True)
        packed["net_lots"] = nets
        for name, values in (("cost", costs), ("realized", realized)):
            packed[f"{name}_low"] = [value & _LOW for value in values]
            packed[f"{name}_high"] = [value >> 64 for value in values]
    return packed


def _unpacked(found: NDArray[Any]) -> list[Position]:
    names = ("net_lots", "cost_high", "cost_low", "realized_high", "realized_low")
    rows = zip(*(found[name].tolist() for name in names), strict=True)
    return [[net, ch << 64 | cl, rh << 64 | rl] for net, ch, cl, rh, rl in rows]
