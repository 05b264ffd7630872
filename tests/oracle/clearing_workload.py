"""Random commands over clearing: funds, fees, tiers, busts, corrections, settlements, among all
others. Numbers are drawn first and read after, as in `market.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from novate.model.clearing import ClearingTerms, FeeTier, SettlementState, TradeCorrection
from novate.model.events import EventKind
from novate.model.instrument import DAY_S
from tests.oracle import market
from tests.oracle.clearing import lot_units
from tests.oracle.exchange import Exchange
from tests.oracle.market import Market, MarketWorkload
from tests.oracle.words import (
    Command,
    CorrectTrade,
    Deposit,
    Event,
    MoveSettlement,
    SetClearing,
    SetCutoff,
    SetMark,
    SetTier,
    Settle,
    Withdraw,
)

NS = 10**9
CHOICES = (
    *["deposit"] * 7,
    *["withdraw"] * 2,
    *["bust"] * 4,
    *["terms"] * 2,
    *["tier"] * 1,
    *["settle"] * 2,
    *["move"] * 3,
    *["mark"] * 1,
    *["cutoff"] * 1,
)

OFTEN_CUT_OFF = (
    *["deposit"] * 3,
    *["terms"] * 1,
    *["bust"] * 2,
    *["move"] * 2,
    *["settle"] * 1,
    *["cutoff"] * 3,
)
"""So many cut-offs, and so few cycles closed besides, that one often comes twice on a day."""


@dataclass(frozen=True, slots=True)
class Cleared(Market):
    """What the workload draws from.

    Attributes:
        share: How many in a hundred commands are the clearing house's.
        choices: Which of them, each as often as it stands here.
        funds: Units of a deposit or withdrawal at most; 0: enough for a few orders.
        unknown: One in so many deposits names an asset that there is not, where it may be any.
        honest: Whether busts give back the fees that were charged, and of trades that were alone.
    """

    ids: int = 14
    trades: int = 8
    share: int = 24
    choices: tuple[str, ...] = CHOICES
    funds: int = 0
    unknown: int = 1000
    honest: bool = False


def ranges(shape: Cleared) -> dict[str, tuple[int, int]]:
    """From where to where each number of a row is drawn, both ends inside."""
    return {
        **market.ranges(shape),
        "clear": (0, 99),
        "choice": (0, len(shape.choices) - 1),
        "amount": (1, 60),
        "rate": (0, 9),
    }


def draw(shape: Cleared, chance: np.random.Generator, count: int) -> list[dict[str, int]]:
    """Rows of drawn numbers, one per command."""
    columns = {
        name: chance.integers(low, high + 1, count).tolist()
        for name, (low, high) in ranges(shape).items()
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


class ClearingWorkload(MarketWorkload):
    """An endless stream of commands; `note` is told the events of each, for busts name trades."""

    def __init__(self, seed: int, exchange: Exchange, shape: Cleared | None = None) -> None:
        self.cleared = shape or Cleared()
        super().__init__(seed, exchange, self.cleared)
        self.trades: list[Event] = []
        self.fees: dict[tuple[int, int], list[int]] = {}

    def commands(self, count: int) -> Iterator[Command]:
        """The next commands."""
        while count > 0:
            block = draw(self.cleared, self.chance, min(count, 10_000))
            yield from map(self.command, block)
            count -= len(block)

    def note(self, events: list[Event]) -> None:
        """Remember the last trades, and what they were charged."""
        self.trades = [
            *self.trades,
            *(event for event in events if event.kind is EventKind.TRADE),
        ][-8:]
        fees = {place: self.fees.get(place, [0, 0]) for place in map(place_of, self.trades)}
        charged: list[int] | None = None
        for event in events:
            if event.kind is EventKind.FEE_CHARGED and charged is not None:
                charged[event.side] = (event.quantity << 64) + event.price % 2**64
            elif event.kind is not EventKind.FEE_CHARGED:
                charged = fees.get(place_of(event)) if event.kind is EventKind.TRADE else None
        self.fees = fees

    def command(self, row: dict[str, Any]) -> Command:
        """The command that a row of numbers means."""
        if row["clear"] >= self.cleared.share:
            return super().command(row)
        row = {**row, "client": row["client"] // 8}
        made: dict[str, Callable[[dict[str, Any]], Command]] = {
            "deposit": self.deposit,
            "withdraw": self.withdraw,
            "bust": self.bust,
            "terms": lambda row: SetClearing(self.terms(row), row["instrument"]),
            "tier": lambda row: SetTier(self.client(row), row["rate"] % 3),
            "settle": self.settle,
            "move": self.move,
            "mark": lambda row: SetMark(row["price"] * (row["way"] % 3), row["instrument"]),
            "cutoff": self.cutoff,
        }
        return made[self.cleared.choices[row["choice"]]](row)

    def keyed(self, row: dict[str, Any]) -> dict[str, Any]:
        """Key and body, or nothing; the client is named anyway."""
        found = super().keyed(row)
        return {name: value for name, value in found.items() if name != "client"} | (
            {"client": found["client"]} if "client" in found else {}
        )

    def deposit(self, row: dict[str, Any]) -> Deposit:
        """Enough for a few orders."""
        beyond = row["dice"] % self.cleared.unknown == 0
        asset = row["id"] % (len(self.exchange.clearing.assets) + beyond)
        key = self.keyed(row)
        units = self.cleared.funds // row["amount"] or row["amount"] * self.step(asset)
        return Deposit(self.client(row), asset, units, key.get("key"), key.get("body", 0))

    def withdraw(self, row: dict[str, Any]) -> Withdraw:
        """Often more than there is."""
        asset = row["id"] % len(self.exchange.clearing.assets)
        units = self.cleared.funds // row["amount"]
        units = units or max(1, row["amount"] * self.step(asset) // 2 + row["way"] - 10)
        key = self.keyed(row)
        return Withdraw(self.client(row), asset, units, key.get("key"), key.get("body", 0))

    def step(self, asset: int) -> int:
        """Units of about one lot, or of what one costs."""
        spec = self.exchange.books[0].instrument
        return lot_units(spec) if asset == 0 else 110 * spec.quote_units

    def terms(self, row: dict[str, Any]) -> ClearingTerms:
        """Two in three are funded."""
        rate, way = row["rate"], row["way"]
        tiers = tuple(
            FeeTier(maker=(-rate if way % 2 else rate) * 997 * tier, taker=rate * 3001 * tier)
            for tier in range(1, 1 + way % 4)
        )
        mode = "open" if row["dice"] % 3 == 0 else "funded"
        return ClearingTerms(mode=mode, tiers=tiers, mark="mid" if way % 5 == 0 else "last")

    def settle(self, row: dict[str, Any]) -> Settle:
        """The next cycle, or one that is closed."""
        return Settle(max(1, self.exchange.clearing.last_cycle + row["way"] % 4))

    def move(self, row: dict[str, Any]) -> MoveSettlement:
        """A transition of one of the last cycles."""
        last = self.exchange.clearing.last_cycle
        known = [cycle.number for cycle in self.exchange.clearing.cycles[-4:]] or [last + 1]
        number = known[row["id"] % len(known)] if row["dice"] % 9 else last + 1
        return MoveSettlement(number, SettlementState(2 + row["way"] % 3))

    def cutoff(self, row: dict[str, Any]) -> SetCutoff:
        """Soon, or none."""
        if row["way"] % 4 == 0:
            return SetCutoff(-1)
        return SetCutoff((self.now_ns // NS + 1 + row["way"] % 3) % DAY_S)

    def bust(self, row: dict[str, Any]) -> CorrectTrade:
        """One of the last trades, with some of its fee; half of them corrected."""
        if not self.trades:
            return CorrectTrade(
                TradeCorrection(
                    seq=0 if self.cleared.honest else 1, index=0, instrument=0, buyer=0, seller=0,
                    price_ticks=row["price"], quantity_lots=1,
                )
            )  # fmt: skip
        trade = self.trades[row["id"] % len(self.trades)]
        buyer, seller = (
            (trade.taker_client, trade.client)
            if trade.side == 0
            else (trade.client, trade.taker_client)
        )
        corrected = row["way"] % 2
        fees = [row["rate"], -row["rate"] if row["dice"] % 4 == 0 else 0]
        if self.cleared.honest:
            fees = self.fees[place_of(trade)]
        return CorrectTrade(
            TradeCorrection(
                seq=trade.seq,
                index=trade.index,
                instrument=trade.instrument,
                buyer=buyer,
                seller=seller,
                price_ticks=trade.price,
                quantity_lots=trade.quantity,
                buyer_fee=fees[0],
                seller_fee=fees[1],
                new_price_ticks=row["price"] if corrected else 0,
                new_quantity_lots=row["quantity"] if corrected else 0,
                new_buyer_fee=row["amount"] if corrected else 0,
                new_seller_fee=0,
            )
        )


def place_of(event: Event) -> tuple[int, int]:
    """What a trade's id is made of."""
    return event.seq, event.index
