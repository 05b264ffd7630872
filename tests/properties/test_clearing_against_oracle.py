"""The engine's accounts against the oracle's, over commands of every kind: every event, balance,
position and obligation after each; the entries of every command sum to zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novate.engine import Accounts, Engine
from novate.model.clearing import ClearingTerms
from novate.model.events import EventKind
from novate.model.instrument import Limits
from tests.conftest import scaled
from tests.oracle.accounts import Ledger, compare
from tests.oracle.clearing_workload import (
    OFTEN_CUT_OFF,
    Cleared,
    ClearingWorkload,
    draw,
    ranges,
)
from tests.oracle.duel import Duel, spec
from tests.oracle.wide import WIDE
from tests.oracle.words import SetClearing, Settle
from tests.oracle.workload import TINY

pytestmark = pytest.mark.slow

SPECS = [spec(0), spec(1, price_ticks_max=103), spec(2, quantity_lots_min=2, quantity_lots_max=9)]
LATER_NS = (0, 0, 0, 1, 0, 20_000_000, 0, 40_000_000, 0, 900_000_000)
SMALL = Cleared(keys=4)
WIDE_MARKET = Cleared(keys=4, instruments=2, wide=1)
CUT_OFF = Cleared(
    keys=4, share=60, choices=tuple(each for each in OFTEN_CUT_OFF if each != "settle")
)
AHEAD = 20260105  # of the date that a duel begins at
NUMBERED = Cleared(clients=3, instruments=2, numbered=True)


def rows(shape: Cleared) -> st.SearchStrategy[dict[str, Any]]:
    """The numbers behind one command, and how much later it comes."""
    drawn = {name: st.integers(low, high) for name, (low, high) in ranges(shape).items()}
    return st.fixed_dictionaries({**drawn, "later_ns": st.sampled_from(sorted(set(LATER_NS)))})


class Fight:
    """A duel whose accounts and entries are compared as well."""

    def __init__(self, shape: Cleared, limits: Limits) -> None:
        specs = [WIDE if number == shape.wide else each for number, each in enumerate(SPECS)]
        self.duel = Duel.begin(limits, specs[: shape.instruments], numbered=shape.numbered)
        if shape.wide >= 0:
            self.duel.play(SetClearing(ClearingTerms(), shape.wide))
        self.workload = ClearingWorkload(0, self.duel.oracle, shape)
        self.ledger = Ledger()
        self.accounts = self.collect()

    def collect(self) -> Accounts:
        """Have the engine at hand write entries down."""
        assert self.duel.engine is not None
        accounts = Accounts(self.duel.engine)
        accounts.collect_entries(True)
        return accounts

    def play(self, row: dict[str, Any]) -> int:
        """One command, and everything that can be seen after it; how many cut-offs it missed."""
        self.workload.now_ns = self.duel.now_ns + row["later_ns"]
        command = self.workload.command(row)
        events = self.duel.play(command, row["later_ns"])
        self.workload.note(events)
        return sum(event.kind is EventKind.CUTOFF_MISSED for event in events)

    def compare(self) -> None:
        """Books and accounts, and the engine's own checks."""
        self.duel.compare()
        assert self.duel.engine is not None
        compare(self.duel.oracle, self.duel.engine, self.ledger)

    def reload(self) -> None:
        """Go on with the engine that a dump brings back."""
        assert self.duel.engine is not None
        self.ledger.add(self.accounts)
        before = self.duel.engine
        self.duel.engine = Engine.load(before.dump())
        assert self.duel.engine.state_hash() == before.state_hash()
        self.accounts = self.collect()


@given(st.lists(rows(SMALL), max_size=60))
def test_every_account_after_every_command(drawn: list[dict[str, Any]]) -> None:
    fight = Fight(SMALL, Limits())
    for row in drawn:
        fight.play(row)
        fight.compare()


@given(st.lists(rows(WIDE_MARKET), max_size=60))
def test_every_account_where_orders_are_worth_too_much(drawn: list[dict[str, Any]]) -> None:
    fight = Fight(WIDE_MARKET, Limits())
    for row in drawn:
        fight.play(row)
        fight.compare()


@given(st.lists(rows(NUMBERED), max_size=60))
def test_every_account_of_numbered_clients_with_tiny_windows(drawn: list[dict[str, Any]]) -> None:
    fight = Fight(NUMBERED, TINY)
    for row in drawn:
        fight.play(row)
        fight.compare()


@pytest.mark.parametrize("shape", [SMALL, WIDE_MARKET], ids=["small", "wide"])
@pytest.mark.parametrize("seed", range(scaled(40)))
def test_long_runs_with_dumps_in_between(seed: int, shape: Cleared) -> None:
    fight = Fight(shape, Limits())
    chance = np.random.default_rng(seed)
    for instrument in range(2):
        row = {**draw(shape, chance, 1)[0], "dice": 1 + instrument}
        fight.duel.play(SetClearing(fight.workload.terms(row), instrument))
    for number, row in enumerate(draw(shape, chance, 600)):
        fight.play({**row, "later_ns": LATER_NS[number % len(LATER_NS)]})
        if number % 20 == 19:
            fight.compare()
        if number % 150 == 149:
            fight.reload()
    fight.compare()
    assert fight.ledger.count > 100


@pytest.mark.parametrize("seed", range(scaled(10)))
def test_long_runs_of_cut_offs_with_dumps_in_between(seed: int) -> None:
    fight = Fight(CUT_OFF, Limits())
    chance = np.random.default_rng(seed)
    missed = 0
    for number, row in enumerate(draw(CUT_OFF, chance, 600)):
        if number == 300:
            assert missed
            fight.duel.play(Settle(AHEAD))
        missed += fight.play({**row, "later_ns": LATER_NS[number % len(LATER_NS)]})
        fight.compare()
        if number % 50 == 49:
            fight.reload()
    assert fight.duel.oracle.clearing.last_cycle > AHEAD


def test_the_same_commands_without_entries_give_the_same_state() -> None:
    fight, plain = Fight(SMALL, Limits()), Duel.begin(Limits(), SPECS)
    chance = np.random.default_rng(7)
    for row in draw(SMALL, chance, 400):
        fight.workload.now_ns = fight.duel.now_ns
        command = fight.workload.command(row)
        fight.workload.note(fight.duel.play(command))
        plain.play(command)
    assert fight.duel.engine is not None
    assert plain.engine is not None
    assert fight.duel.engine.state_hash() == plain.engine.state_hash()
