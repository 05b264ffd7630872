"""One rule of average cost in three places: the engine's accounts, the ledger, the analytics."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
import pytest

from novate.analytics.positions import positions
from novate.engine import Accounts, Engine
from novate.ledger.positions import Legs, Positions, legs, trade
from novate.model.clearing import ClearingTerms, TradeCorrection
from novate.model.commands import Side
from novate.model.events import EventKind
from novate.model.instrument import Instrument
from tests.conftest import scaled
from tests.oracle.words import Command, CorrectTrade, Create, Place, SetClearing, to_bytes

pytestmark = pytest.mark.slow

CLIENTS = ("ann", "bob", "cat")
LARGE = Instrument(
    name="L", base="INS", quote="USD", tick_exponent=2, lot_exponent=3, quote_scale=6,
    price_ticks_max=10**15, quantity_lots_max=10**15,
)  # fmt: skip


class Traded(NamedTuple):
    buyer: int
    seller: int
    price: int
    lots: int


class Venue:
    """An engine in which two orders make one trade."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.events: list[np.ndarray] = []
        self.orders = 0
        self.play(Create(LARGE), SetClearing(ClearingTerms()))

    def play(self, *commands: Command) -> np.ndarray:
        said = [self.engine.apply(to_bytes(each), timestamp_ns=1) for each in commands]
        self.events += said
        return said[-1]

    def trade(self, maker: str, taker: str, side: Side, price: int, lots: int) -> np.ndarray:
        self.orders += 2
        other = Side.SELL if side is Side.BUY else Side.BUY
        return self.play(
            Place(maker, f"o-{self.orders}", other, lots, price),
            Place(taker, f"o-{self.orders + 1}", side, lots, price),
        )


def play_random(venue: Venue, chance: random.Random, count: int) -> list[Traded]:
    """Trades of any size, of clients with themselves too, and busts and corrections of some."""
    done: list[Traded] = []
    magnitude = chance.choice((1, 3, 9, 15))
    for _ in range(count):
        price, lots = (chance.randint(1, 10 ** chance.randint(1, magnitude)) for _ in range(2))
        side = chance.choice(tuple(Side))
        event = venue.trade(chance.choice(CLIENTS), chance.choice(CLIENTS), side, price, lots)[-1]
        assert event["kind"] == EventKind.TRADE
        taker, maker = int(event["taker_client"]), int(event["client"])
        buyer, seller = (taker, maker) if side is Side.BUY else (maker, taker)
        done.append(Traded(buyer, seller, price, lots))
        if chance.random() < 0.2:
            new = chance.choice((0, lots // 2))
            correction = TradeCorrection(
                seq=int(event["seq"]), index=0, instrument=0, buyer=buyer, seller=seller,
                price_ticks=price, quantity_lots=lots,
                new_price_ticks=1 + price // 3 if new else 0, new_quantity_lots=new,
            )  # fmt: skip
            said = venue.play(CorrectTrade(correction))
            assert said[0]["kind"] == EventKind.TRADE_BUSTED
            done.append(Traded(seller, buyer, price, lots))
            if new:
                done.append(Traded(buyer, seller, 1 + price // 3, new))
    return done


def taken_in_pieces(fills: Legs, seed: int) -> dict[int, tuple[int, ...]]:
    """Positions by client, of trades that the ledger takes a few at a time."""
    chance, held = random.Random(seed), Positions()
    found: dict[int, tuple[int, ...]] = {}
    start = 0
    while start < len(fills.lots):
        end = start + chance.randint(0, 20)
        part = Legs(*(column[start:end] for column in fills))
        touched = held.take(part)
        assert [key for key, _, _ in touched] == sorted(part.keys())
        for key, position, at in touched:
            found[key >> 32] = tuple(position)
            assert key in (part.buyer[at], part.seller[at])
            assert key not in part.buyer[at + 1 :]
            assert key not in part.seller[at + 1 :]
        start = end
    return found


@pytest.mark.parametrize(
    "before",
    [
        [2**63 - 8, 5, 7], [8 - 2**63, -5, 7], [3, 2**130, 7], [-3, -(2**130), 7],
        [3, 5, 2**127 - 1], [3, 5, -(2**130)], [2**70, 2**140, -(2**150)],
    ],
)  # fmt: skip
def test_positions_past_128_bits_are_taken_one_by_one(before: list[int]) -> None:
    buyer, seller = np.array([1, 2, 1]), np.array([2, 1, 3])
    lots, price = np.array([10, 25, 7]), np.array([100, 90, 80])
    fills = Legs(buyer, seller, lots, price, np.arange(3), np.arange(3))
    held, expected = Positions(), {1: list(before), 2: [0, 0, 0], 3: [0, 0, 0]}
    held.learn(1, list(before))
    for one, other, quantity, ticks, _, _ in fills.rows():
        trade(expected[one], quantity, ticks)
        trade(expected[other], -quantity, ticks)
    assert held.take(fills) == [(1, expected[1], 2), (2, expected[2], 1), (3, expected[3], 2)]


@pytest.mark.parametrize("seed", range(scaled(120)))
def test_all_three_come_to_the_same(seed: int) -> None:
    venue = Venue()
    done = play_random(venue, random.Random(seed), 60)
    expected = {row[0]: row[2:5] for row in Accounts(venue.engine).positions()}

    events = np.concatenate(venue.events)
    held: dict[int, list[int]] = {}
    for buyer, seller, lots, price, _, _ in legs(events, np.zeros(len(events), np.int64)).rows():
        trade(held.setdefault(buyer, [0, 0, 0]), lots, price)
        trade(held.setdefault(seller, [0, 0, 0]), -lots, price)
    assert {key >> 32: tuple(each) for key, each in held.items()} == expected
    assert taken_in_pieces(legs(events, np.zeros(len(events), np.int64)), seed) == expected

    columns = [np.array(each, np.int64) for each in zip(*done, strict=True)]
    buyer, seller, price, lots = columns
    found = positions(price, lots, buyer, seller)
    rows = zip(found.net_lots.tolist(), found.cost.tolist(), found.realized.tolist(), strict=True)
    assert dict(zip(found.client.tolist(), rows, strict=True)) == expected
