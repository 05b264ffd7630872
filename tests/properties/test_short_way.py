"""Plain orders go a shorter way through the engine than others, and come to the same.

An order takes it that is named by a small number. The same orders with large numbers go the whole
way, so the two are held against each other. In a funded book holds, releases and trades have a
shorter way of their own, which is not gone while the entries of the ledger are written down.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novate.engine import Accounts, Engine
from novate.model import codec
from novate.model.clearing import ClearingTerms, FeeTier, pack_deposit, pack_set_clearing
from novate.model.commands import COMMAND, CommandKind, Flag, TimeInForce
from novate.model.events import EventKind
from novate.model.instrument import QUANTITY_LOTS_MAX, Instrument, Limits
from novate.model.rejects import Reason
from tests.conftest import scaled

LARGE = 1 << 24
"""From here on numbers are looked up as other names are."""
COUNT = scaled(20_000)
TIGHT = Limits(
    open_orders_max=60, closed_orders_max=20, trades_per_instrument_max=10, price_levels_max=3,
    clients_max=4,
)  # fmt: skip
UNWINDOWED = Limits(open_orders_max=60, closed_orders_max=0, trades_per_instrument_max=0)
PRICES = (-(1 << 63), 0, 1, 96, 98, 99, 100, 101, 102, 104, 1 << 62)
LOTS = (-(1 << 63), 1, 2, 3, 50, 1 << 62)


def flow(seed: int) -> np.ndarray:
    """Orders at few prices, cancels and amendments; some can't be, some numbers come again."""
    chance = np.random.default_rng(seed)
    rows = np.zeros(COUNT, COMMAND)
    rows["kind"] = chance.choice(
        [CommandKind.PLACE, CommandKind.CANCEL, CommandKind.AMEND], COUNT, p=[0.6, 0.35, 0.05]
    )
    placed = rows["kind"] == CommandKind.PLACE
    rows["side"] = np.where(placed, chance.integers(0, 2, COUNT), 0)
    rows["instrument"] = np.where(placed, chance.choice([0, 1, 2], COUNT, p=[0.6, 0.39, 0.01]), 0)
    rows["client"] = np.where(placed, chance.integers(0, 5, COUNT), 0)
    rows["time_in_force"] = np.where(placed & (chance.random(COUNT) < 0.1), TimeInForce.IOC, 0)
    rows["flags"] = np.where(placed & (chance.random(COUNT) < 0.1), Flag.POST_ONLY, 0)
    rows["flags"][rows["kind"] == CommandKind.AMEND] = Flag.SET_PRICE | Flag.SET_QUANTITY
    fresh = placed & (chance.random(COUNT) < 0.95)
    recent = np.maximum(0, np.arange(COUNT) - chance.integers(1, 100, COUNT))
    rows["order_number"] = np.where(fresh, np.arange(COUNT), recent)
    rows["price_ticks"] = np.where(
        rows["kind"] == CommandKind.CANCEL, 0,
        chance.choice(PRICES, COUNT, p=[0.01] * 3 + [0.96 / 7] * 7 + [0.01]),
    )  # fmt: skip
    rows["quantity_lots"] = np.where(
        rows["kind"] == CommandKind.CANCEL,
        0,
        chance.choice(LOTS, COUNT, p=[0.01] + [0.245] * 4 + [0.01]),
    )
    return rows


def engine_with_books(limits: Limits) -> Engine:
    engine = Engine(limits)
    for name in ("I", "J"):
        engine.apply(codec.pack_create_instrument(Instrument(name=name, base=name, quote="B")))
    return engine


def events_of(engine: Engine, rows: np.ndarray, shift: int) -> np.ndarray:
    """The events of the rows with their numbers so much larger, and in them smaller again."""
    shifted = rows.copy()
    shifted["order_number"] += shift
    events = engine.apply(shifted).copy()
    engine.check_invariants()
    for field in ("order", "taker"):
        events[field] -= np.where(events[field] >= shift, shift, 0).astype(np.uint64)
    return events


def both_ways(limits: Limits, rows: np.ndarray) -> np.ndarray:
    """The events of the rows, which are the same by either way, as are the books after them."""
    short, whole = engine_with_books(limits), engine_with_books(limits)
    events = events_of(short, rows, 0)
    same = events_of(whole, rows, LARGE)
    assert len(events) == len(same)
    for field in events.dtype.names:
        np.testing.assert_array_equal(events[field], same[field], err_msg=field)
    assert short.usage() == whole.usage()
    for instrument in range(2):
        for one, other in zip(
            short.depth(instrument, 100), whole.depth(instrument, 100), strict=True
        ):
            assert one.tobytes() == other.tobytes()
    return events


@pytest.mark.slow
@pytest.mark.parametrize("limits", [TIGHT, UNWINDOWED, Limits()], ids=["tight", "none", "usual"])
@given(st.integers(0, 1 << 32))
def test_the_short_way_comes_to_what_the_whole_one_does(limits: Limits, seed: int) -> None:
    both_ways(limits, flow(seed))


def test_the_flow_meets_every_rule_that_the_short_way_looks_at() -> None:
    reasons = set(both_ways(TIGHT, flow(1))["reason"].tolist())
    reasons |= set(both_ways(UNWINDOWED, flow(1))["reason"].tolist())
    assert reasons >= {
        Reason.OUT_OF_BOUNDS, Reason.UNKNOWN_INSTRUMENT, Reason.DUPLICATE_ORDER_ID,
        Reason.CLIENTS_LIMIT, Reason.OPEN_ORDERS_LIMIT, Reason.PRICE_LEVELS_LIMIT,
        Reason.POST_ONLY_WOULD_CROSS,
    }  # fmt: skip


def test_a_level_is_full_by_either_way() -> None:
    rows = np.zeros(9_300, COMMAND)
    rows["kind"] = CommandKind.PLACE
    rows["order_number"] = np.arange(len(rows))
    rows["price_ticks"] = 100
    rows["quantity_lots"] = QUANTITY_LOTS_MAX
    events = both_ways(Limits(), rows)
    full = np.flatnonzero(events["reason"] == Reason.LEVEL_FULL)
    assert full.tolist() == list(range((2**63 - 1) // QUANTITY_LOTS_MAX, len(rows)))


FEES = (FeeTier(maker=-50, taker=300_000),)
FUNDED = {
    "free": ClearingTerms(mode="funded"),
    "charged": ClearingTerms(mode="funded", tiers=FEES),
}


def funded_engine(limits: Limits, terms: ClearingTerms, seed: int) -> Engine:
    """Two funded books, and clients of whom some have much of an asset, little of it or nothing."""
    engine = engine_with_books(limits)
    chance = np.random.default_rng(seed)
    for instrument in range(2):
        engine.apply(pack_set_clearing(instrument, terms))
    for client in range(5):
        for asset in range(3):
            units = (0, 10**6, 10**8, 10**24)[chance.integers(0, 4)]
            if units:
                record = pack_deposit(b"", asset, units)
                engine.apply(record[:12] + client.to_bytes(4, "little") + record[16:])
    return engine


def funded_both_ways(terms: ClearingTerms, seed: int, shift: int) -> set[tuple[int, int]]:
    """Kinds and reasons of the events of a flow, with its numbers so much larger.

    They are the same with and without entries, and so is the state.
    """
    short, whole = (funded_engine(UNWINDOWED, terms, seed) for _ in range(2))
    rows = flow(seed)
    rows["order_number"] += shift
    Accounts(whole).collect_entries(True)
    met: set[tuple[int, int]] = set()
    for at in range(0, len(rows), 1_000):
        events, same = (engine.apply(rows[at : at + 1_000]) for engine in (short, whole))
        assert events.tobytes() == same.tobytes()
        met |= set(zip(events["kind"].tolist(), events["reason"].tolist(), strict=True))
        assert short.state_hash() == whole.state_hash()
        short.check_invariants()
    return met


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0, LARGE], ids=["plain", "named"])
@pytest.mark.parametrize("terms", FUNDED.values(), ids=FUNDED)
@given(st.integers(0, 1 << 32))
def test_funded_books_come_to_the_same_without_entries(
    terms: ClearingTerms, shift: int, seed: int
) -> None:
    funded_both_ways(terms, seed, shift)


@pytest.mark.parametrize("terms", FUNDED.values(), ids=FUNDED)
def test_the_flow_meets_what_funds_decide(terms: ClearingTerms) -> None:
    met = set().union(*(funded_both_ways(terms, seed, 0) for seed in range(4)))
    assert met >= {
        (EventKind.ORDER_ACCEPTED, 0), (EventKind.TRADE, 0), (EventKind.ORDER_AMENDED, 0),
        (EventKind.ORDER_REJECTED, Reason.INSUFFICIENT_FUNDS),
        (EventKind.COMMAND_REFUSED, Reason.INSUFFICIENT_FUNDS),
        (EventKind.ORDER_ENDED, Reason.BY_CLIENT),
        (EventKind.ORDER_ENDED, Reason.IMMEDIATE_OR_CANCEL),
    }  # fmt: skip
