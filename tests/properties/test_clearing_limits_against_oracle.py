"""Clearing where it is full: random commands around each of its limits, on engine and oracle.

Each run says how often it met the refusals that it is for, so that it can't miss them unnoticed.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from msgspec.structs import replace

from novate.engine import Accounts, Engine
from novate.model.clearing import ClearingTerms
from novate.model.commands import NEWEST_RULES, Side
from novate.model.events import EventKind
from novate.model.instrument import Instrument, Limits
from novate.model.rejects import Reason
from tests.conftest import scaled
from tests.oracle.clearing import BUSTED_MAX, TOTAL_MAX, UNITS_MAX
from tests.oracle.clearing_workload import Cleared, draw
from tests.oracle.duel import Duel, spec
from tests.oracle.words import Command, Deposit, Place, SetClearing, Settle
from tests.properties.test_clearing_against_oracle import LATER_NS, Fight

pytestmark = pytest.mark.slow

Refusals = Counter[tuple[str, Reason]]
"""How often each kind of command was refused for each reason, by engine and oracle alike."""


class Siege(Fight):
    """A fight whose refusals are counted."""

    def __init__(
        self, shape: Cleared, specs: Sequence[Instrument], rules: int = NEWEST_RULES
    ) -> None:
        super().__init__(shape, Limits())
        self.duel = Duel.begin(Limits(), specs, numbered=shape.numbered, rules=rules)
        self.workload.exchange = self.duel.oracle
        self.accounts = self.collect()
        self.refusals: Refusals = Counter()
        for number in range(len(specs)):
            self.duel.play(SetClearing(ClearingTerms(), number))

    def besiege(self, seed: int, count: int, dumped_every: int = 150) -> Refusals:
        """So many random commands, accounts compared and dumped now and then."""
        chance = np.random.default_rng(seed)
        for number, row in enumerate(draw(self.workload.cleared, chance, count), 1):
            later_ns = LATER_NS[number % len(LATER_NS)]
            self.workload.now_ns = self.duel.now_ns + later_ns
            command = self.workload.command(row)
            events = self.duel.play(command, later_ns)
            self.workload.note(events)
            self.count(command, [Reason(event.reason) for event in events if event.reason])
            if number % 20 == 0:
                self.compare()
            if number % dumped_every == 0:
                self.reload()
        self.compare()
        return self.refusals

    def count(self, command: Command, reasons: list[Reason]) -> None:
        self.refusals.update((type(command).__name__, reason) for reason in reasons)


@pytest.mark.parametrize("seed", range(scaled(10)))
def test_cycles_that_are_not_settled_leave_no_room(seed: int) -> None:
    choices = (*["settle"] * 12, "move", "move", "bust", "deposit", "terms")
    siege = Siege(Cleared(instruments=1, share=50, choices=choices), [spec(0)])
    refusals = siege.besiege(seed, 500)
    assert refusals["Settle", Reason.CYCLES_LIMIT] > 10, refusals
    assert refusals["Settle", Reason.CYCLE_CLOSED_ALREADY] > 10, refusals
    assert len(siege.duel.oracle.clearing.cycles) == 64


@pytest.mark.parametrize("seed", range(scaled(10)))
def test_what_clients_have_of_an_asset_has_an_end(seed: int) -> None:
    choices = (*["deposit"] * 6, *["withdraw"] * 2, "terms", "settle", "move")
    shape = Cleared(instruments=1, share=60, choices=choices, funds=UNITS_MAX, unknown=3)
    siege = Siege(shape, [spec(0)])
    for asset in range(2):
        filling = [Deposit("client-0", asset, UNITS_MAX)] * (TOTAL_MAX // UNITS_MAX)
        siege.duel.play_batch(filling)
    siege.compare()
    refusals = siege.besiege(seed, 400)
    assert refusals["Deposit", Reason.BALANCE_LIMIT] > 10, refusals
    assert refusals["Deposit", Reason.UNKNOWN_ASSET] > 3, refusals
    assert refusals["Withdraw", Reason.INSUFFICIENT_FUNDS] > 3, refusals


DEAR_PRICE, DEAR_LOTS = 10**7, 10**8
DEAR = replace(
    spec(0, price_ticks_max=DEAR_PRICE + 10, quantity_lots_max=DEAR_LOTS), quote_scale=18,
    tick_coefficient=100, lot_coefficient=1000,
)  # fmt: skip
"""An instrument of which one order may be worth just what an order may be, 10^33 units."""


@pytest.mark.parametrize("rules", [2, NEWEST_RULES])
@pytest.mark.parametrize("seed", range(scaled(10)))
def test_positions_worth_many_dear_orders_close_a_cycle(seed: int, rules: int) -> None:
    """Rules before 3 took 2^108 of a position, which is less than one order may be worth."""
    assert DEAR.quote_units == 10**18
    choices = (*["settle"] * 4, "bust", "move")
    shape = Cleared(
        instruments=1, share=15, choices=choices, price_low=DEAR_PRICE,
        quantity_max=DEAR_LOTS // 2, oddities=False,
    )  # fmt: skip
    siege = Siege(shape, [DEAR], rules)
    refusals = siege.besiege(seed, 500)
    closed = [each.obligations for each in siege.duel.oracle.clearing.cycles]
    dearest = max((abs(units) for each in closed for _, _, units in each), default=0)
    if rules == 2:
        assert refusals["Settle", Reason.BALANCE_LIMIT] > 3, refusals
        assert dearest <= 2**108
    else:
        assert refusals["Settle", Reason.BALANCE_LIMIT] == 0, refusals
        assert dearest > 2**108


def dear_trade(seller: str, buyer: str, number: int) -> list[Command]:
    """A trade worth 10^33 units."""
    return [
        Place(client, f"{side.name}-{number}", side, quantity=DEAR_LOTS, price=DEAR_PRICE)
        for client, side in ((seller, Side.SELL), (buyer, Side.BUY))
    ]


def test_a_cycle_takes_what_can_be_held_of_an_asset_and_not_an_order_more() -> None:
    most = TOTAL_MAX // UNITS_MAX
    assert most * UNITS_MAX <= TOTAL_MAX < (most + 1) * UNITS_MAX
    duel = Duel.begin(Limits(), [DEAR])
    duel.play(SetClearing(ClearingTerms(), 0))
    trades = [each for number in range(most + 1) for each in dear_trade("ann", "bob", number)]
    duel.play_batch(trades)
    assert duel.engine is not None
    accounts = Accounts(duel.engine)
    clients = accounts.client("ann"), accounts.client("bob")

    def check(owed: int) -> None:
        """Exact, also where it is too much to be closed."""
        obligations, _ = accounts.open_cycle()
        units = {client: units for client, asset, units in obligations if asset == 1}
        assert units == {clients[0]: owed, clients[1]: -owed}

    check((most + 1) * UNITS_MAX)
    (refused,) = duel.play(Settle(1))
    assert refused.reason is Reason.BALANCE_LIMIT
    for back in dear_trade("bob", "ann", most + 1):
        duel.play(back)
    check(most * UNITS_MAX)
    (closed,) = duel.play(Settle(1))
    assert (closed.kind, closed.quantity) == (EventKind.CYCLE_CLOSED, 4)
    duel.compare()
    loaded = Engine.load(duel.engine.dump())
    cycle = Accounts(loaded).cycle(1)
    assert cycle is not None
    assert {units for _, asset, units in cycle[1] if asset == 1} == {
        most * UNITS_MAX, -most * UNITS_MAX,
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(scaled(10)))
def test_an_asset_of_two_scales_is_not_funded(seed: int) -> None:
    odd = replace(spec(1), base="ODD")
    finer = replace(spec(2), base="ODD", lot_exponent=13, quote="EUR", quote_scale=16)
    choices = (*["terms"] * 8, *["deposit"] * 4, "settle", "bust")
    siege = Siege(Cleared(share=40, choices=choices), [spec(0), odd, finer])
    assert siege.duel.oracle.clearing.assets[2:4] == [("ODD", 12), ("ODD", 13)]
    refusals = siege.besiege(seed, 400)
    assert refusals["SetClearing", Reason.ASSET_CONFLICT] > 10, refusals
    modes = {number: terms.mode for number, terms in siege.duel.oracle.clearing.terms.items()}
    assert modes[1] == modes[2] == "open"


BUSTED = struct.Struct("<QII")
PLACES_LEFT = 8


def nearly_full_of_busts(dump: bytes, count: int) -> bytes:
    """A dump of an engine that has taken back so many trades more, of a seq that made none.

    Their table is the last of a dump: how many (u64), then seq (u64), index and instrument (u32).
    """
    assert dump[-8:] == bytes(8)  # none yet
    rows = np.zeros(count, np.dtype([("seq", "<u8"), ("index", "<u4"), ("instrument", "<u4")]))
    rows["seq"], rows["index"] = 1, np.arange(1, count + 1)
    assert rows.itemsize == BUSTED.size
    return dump[:-8] + struct.pack("<Q", count) + rows.tobytes()


@pytest.mark.parametrize("seed", range(scaled(10)))
def test_so_many_trades_are_taken_back_and_no_more(seed: int) -> None:
    choices = (*["bust"] * 8, *["deposit"] * 2, "settle", "terms")
    siege = Siege(Cleared(instruments=1, share=40, choices=choices), [spec(0)])
    assert siege.duel.engine is not None
    count = BUSTED_MAX - PLACES_LEFT
    siege.duel.engine = Engine.load(nearly_full_of_busts(siege.duel.engine.dump(), count))
    siege.duel.oracle.clearing.busted_before = count
    siege.accounts = siege.collect()
    siege.compare()
    refusals = siege.besiege(seed, 400, dumped_every=200)
    assert refusals["CorrectTrade", Reason.BUSTS_LIMIT] > 10, refusals
    assert refusals["CorrectTrade", Reason.TRADE_BUSTED_ALREADY] > 3, refusals
    assert len(siege.duel.oracle.clearing.busted) == PLACES_LEFT
