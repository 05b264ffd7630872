"""A ledger beside an engine, fed by hand: what both say must be the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import numpy as np

from novate.engine import Applied, Engine, Reporter
from novate.ledger.projection import Projection
from novate.ledger.store import LedgerStore
from novate.ledger_feed import collected
from novate.model.clearing import ClearingTerms, FeeTier
from novate.model.events import EVENT
from novate.model.instrument import Limits
from novate.reconcile import EngineReckoning
from tests.oracle.clearing_workload import Cleared, ClearingWorkload
from tests.oracle.duel import START_NS, spec
from tests.oracle.exchange import Exchange
from tests.oracle.market import Market, MarketWorkload
from tests.oracle.words import Command, Create, Event, SetClearing, to_bytes

ROOMY = Limits(
    open_orders_max=10_000,
    closed_orders_max=100_000,
    trades_per_instrument_max=100_000,
    idempotency_keys_max=100_000,
    clients_max=50,
    instruments_max=10,
    price_levels_max=100,
)
SPECS = [spec(0), spec(1, price_ticks_max=103), spec(2, quantity_lots_min=2, quantity_lots_max=9)]


class LedgerStand:
    """Plays commands to an engine and writes what it answers into a ledger, now and then."""

    def __init__(self, urls: list[str], seed: int, limits: Limits = ROOMY) -> None:
        self.oracle = Exchange.with_limits(limits)  # tells the workload what is open
        self.reporter = Reporter(Engine(limits))
        self.stores = [LedgerStore(url) for url in urls]
        self.accounts = collected(self.reporter.engine)
        self.projection = Projection(self.reporter.engine, self.stores[0].standing(), self.accounts)
        self.reckoning = EngineReckoning()
        self.chance = random.Random(seed)
        self.now_ns = START_NS
        self.hash = bytes(32)
        self.before_second: list[Callable[[int], None]] = []
        self.on_applied: list[Callable[[Applied], None]] = []
        self.play([Create(each) for each in SPECS])

    def play(self, commands: list[Command]) -> list[Event]:
        expected = [each for one in commands for each in self.oracle.apply(one, self.now_ns)]
        packed = b"".join(map(to_bytes, commands))
        first = self.oracle.seq - len(commands) + 1
        self.projection.before(self.now_ns)
        if self.now_ns // 10**9 > self.reporter.engine.last_timestamp_ns // 10**9:
            for hear_before in self.before_second:
                hear_before(self.now_ns)
        applied = self.reporter.apply(packed, first, self.now_ns)
        self.hash = blake2b(self.hash + applied.events, digest_size=32).digest()
        for hear in self.on_applied:
            hear(applied)
        events: Any = np.frombuffer(applied.events, EVENT)
        self.reckoning.note(self.accounts, packed, first, events)
        self.projection.add(packed, events, self.oracle.seq, self.now_ns, self.hash)
        return expected

    def play_clearing(self, seed: int, count: int, batch: int, step_ns: int) -> None:
        """The like, with the clearing house's commands among them."""
        shape = Cleared(instruments=3, numbered=False, honest=True)
        workload = ClearingWorkload(seed, self.oracle, shape)
        for instrument, mode in enumerate(("open", "funded")):
            tiers = (FeeTier(maker=-1000, taker=3001), FeeTier(maker=500, taker=2500))
            self.play([SetClearing(ClearingTerms(mode=mode, tiers=tiers), instrument)])
        for number, command in enumerate(workload.commands(count)):
            self.now_ns += step_ns * (number % 4)
            workload.now_ns = self.now_ns
            workload.note(self.play([command]))
            if self.chance.random() < 1 / batch:
                self.write()
        self.write()

    def play_market(self, seed: int, count: int, batch: int, step_ns: int) -> None:
        """So many random commands, one a batch, written after every few."""
        workload = MarketWorkload(seed, self.oracle, Market(instruments=3, numbered=False))
        for number, command in enumerate(workload.commands(count)):
            self.now_ns += step_ns * (number % 4)
            workload.now_ns = self.now_ns
            self.play([command])
            if self.chance.random() < 1 / batch:
                self.write()
        self.write()

    def write(self) -> None:
        if not self.projection.events_count:
            return
        rows = self.projection.build(self.stores[0].load_positions)
        for store in self.stores:
            store.write(rows)

    def begin_anew(self) -> None:
        """Go on as a writer does that has just started: it knows what the ledger says."""
        standing = self.stores[0].standing()
        self.projection = Projection(self.reporter.engine, standing, self.accounts)

    def close(self) -> None:
        for store in self.stores:
            store.close()
