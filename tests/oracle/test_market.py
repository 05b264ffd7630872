"""The oracle alone under random commands over the whole rulebook: its laws and all its answers."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novate.model.commands import LinkUse, SelfTrade, TimeInForce
from novate.model.events import AUCTION_TRADE, EventKind
from novate.model.rejects import Reason
from tests.conftest import scaled
from tests.oracle.book import Order
from tests.oracle.duel import Duel, spec
from tests.oracle.exchange import Exchange
from tests.oracle.market import Market, MarketWorkload
from tests.oracle.words import Command, Event, Place
from tests.oracle.workload import TINY

SPECS = [spec(0), spec(1, price_ticks_max=103), spec(2, quantity_lots_min=2, quantity_lots_max=9)]
LATER_NS = (0, 0, 0, 1, 0, 20_000_000, 0, 40_000_000, 0, 200_000_000)
NEVER_HERE = {
    Reason.LEVEL_FULL,
    Reason.SESSIONS_LIMIT,
    Reason.CLIENT_LIMITS_LIMIT,
    Reason.INSTRUMENT_EXISTS,
    Reason.INSTRUMENTS_LIMIT,
    Reason.UNKNOWN_INSTRUMENT,
}
"""Reasons that no order of this flow can meet; the tables do."""
OF_CLEARING = {
    Reason.FUNDS_EXHAUSTED,
    Reason.INSUFFICIENT_FUNDS,
    *(reason for reason in Reason if Reason.ORDERS_OPEN <= reason <= Reason.ASSET_CONFLICT),
}
"""Reasons of the clearing house, which this flow does without; `clearing_workload` has it."""


@dataclass
class Laws:
    """What must be true of any flow, seen from its events alone; `pairs` are orders' numbers."""

    oracle: Exchange
    pairs: list[tuple[Order, Order, int]] = field(default_factory=list)

    def see(self, command: Command, said: list[Event]) -> None:
        """Check the events of one command."""
        trades = [event for event in said if event.kind is EventKind.TRADE]
        assert [event.index for event in trades] == list(range(len(trades)))
        for event in trades:
            maker, taker = self.oracle.made[event.order], self.oracle.made[event.taker]
            assert maker.side != taker.side
            assert maker.accepts(event.price)
            assert taker.accepts(event.price)
            prevented = taker.self_trade is not SelfTrade.NONE and taker.owned_with(maker)
            assert not prevented or event.flags == AUCTION_TRADE
        for each in {event.order for event in said if event.kind is EventKind.ORDER_ENDED}:
            assert not self.oracle.made[each].open
        self.see_pairs(command, trades)

    def see_pairs(self, command: Command, trades: list[Event]) -> None:
        """Of a pair one alone trades, but for a trade of the two with each other."""
        if isinstance(command, Place) and command.link_use is LinkUse.ONE_CANCELS_OTHER:
            order = self.oracle.made.get(self.oracle.seq)
            if order is not None and order.partner is not None:
                self.pairs.append((order, order.partner, order.partner.filled))
        among = {(event.order, event.taker) for event in trades}
        for one, other, before in self.pairs:
            both = one.filled > 0 and other.filled > before
            together = {(one.number, other.number), (other.number, one.number)} & among
            assert not both or together
            assert one.open == other.open or not (one.partner or other.partner)
        self.pairs = [pair for pair in self.pairs if pair[0].open and pair[1].open]


def played(seed: int, count: int, shape: Market | None = None) -> list[Event]:
    """All events of a flow, with the oracle's own laws checked after each command."""
    duel = Duel.begin(TINY, SPECS, alone=True)
    workload, events = MarketWorkload(seed, duel.oracle, shape), list[Event]()
    laws = Laws(duel.oracle)
    for number, command in enumerate(workload.commands(count)):
        later_ns = LATER_NS[number % len(LATER_NS)]
        workload.now_ns = duel.now_ns + later_ns
        said = duel.play(command, later_ns)
        assert said, command
        laws.see(command, said)
        duel.compare()
        events += said
    return events


@pytest.mark.slow
def test_the_flow_meets_every_event_and_reason() -> None:
    events = played(3, 30_000)
    kinds, reasons = Counter(e.kind for e in events), Counter(e.reason for e in events)
    of_trading = {kind for kind in EventKind if kind < EventKind.CLEARING_SET}
    unseen = of_trading - set(kinds) - {EventKind.SNAPSHOT_REQUESTED, EventKind.CONFIGURED}
    assert not unseen - {EventKind.INSTRUMENT_CREATED}
    assert not set(Reason) - set(reasons) - NEVER_HERE - OF_CLEARING
    assert kinds[EventKind.TRADE] > 2000
    assert kinds[EventKind.ORDER_TRIGGERED] > 200


@pytest.mark.slow
@settings(max_examples=scaled(100))
@given(st.integers(0, 2**32 - 1))
def test_the_laws_hold_for_any_seed(seed: int) -> None:
    played(seed, 300)


@pytest.mark.slow
def test_lots_are_conserved() -> None:
    """Bought is sold, and nobody trades beyond what it asked for."""
    duel = Duel.begin(TINY, SPECS, alone=True)
    workload = MarketWorkload(11, duel.oracle)
    for command in workload.commands(4000):
        workload.now_ns = duel.now_ns + 10**8
        duel.play(command, 10**8)
    orders = duel.oracle.made.values()
    bought, sold = (sum(o.filled for o in orders if o.side == side) for side in (0, 1))
    assert bought == sold > 0
    assert all(order.remaining >= 0 and order.budget >= 0 for order in orders)


def taken(events: list[Event], seq: int) -> int:
    """Lots that the order placed by this command took."""
    return sum(e.quantity for e in events if e.kind is EventKind.TRADE and e.taker == seq)


@pytest.mark.slow
def test_all_or_nothing_is_what_matching_would_have_given() -> None:
    """FOK and a minimum end exactly those that would have traded too little without them."""
    duel = Duel.begin(TINY, SPECS, alone=True)
    workload, ends = MarketWorkload(5, duel.oracle), Counter[bool]()
    for command in workload.commands(scaled(60_000)):
        workload.now_ns = duel.now_ns = duel.now_ns + 10**7
        asks = isinstance(command, Place) and not command.stop_price
        if not (asks and (command.force is TimeInForce.FOK or command.minimum)):
            duel.play(command)
            continue
        least = command.quantity if command.force is TimeInForce.FOK else command.minimum
        force = TimeInForce.IOC if command.force is TimeInForce.FOK else command.force
        plain = replace(command, force=force, minimum=0, display=command.display)
        duel.oracle.made.clear()
        twin = deepcopy(duel.oracle)
        got = taken(twin.apply(plain, duel.now_ns), twin.seq)
        said = duel.play(command)
        own = [event for event in said if event.order == duel.oracle.seq]
        reasons = {e.reason for e in own if e.kind is EventKind.ORDER_ENDED}
        ended = bool(reasons & {Reason.FILL_OR_KILL, Reason.MINIMUM_QUANTITY})
        if EventKind.ORDER_ACCEPTED in {event.kind for event in said}:
            decrements = command.self_trade is SelfTrade.DECREMENT
            assert ended == (got < least) or (decrements and ended), command
            assert ended or taken(said, duel.oracle.seq) >= least
            ends[ended] += 1
    assert min(ends[True], ends[False]) > scaled(150)
