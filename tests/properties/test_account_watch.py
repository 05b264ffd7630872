"""What is noted of watched clients, against an engine that is looked at after every command.

Random commands over clearing, in batches; whoever follows a client from nothing and takes each note
holds, at every sequence, exactly the balances and positions that the engine had there.
"""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from novate.engine import Accounts, AccountWatch, Engine, Reporter
from novate.model.events import EVENT, EventKind
from novate.model.instrument import Limits
from tests.conftest import scaled
from tests.oracle.clearing_workload import Cleared, ClearingWorkload
from tests.oracle.duel import START_NS, spec
from tests.oracle.exchange import Exchange
from tests.oracle.words import Command, Create, Event, to_bytes

pytestmark = pytest.mark.slow

CLIENTS = [f"client-{number}" for number in range(6)]
LATER_NS = (0, 0, 0, 1, 20_000_000, 900_000_000)
OF_BOTH = (EventKind.TRADE, EventKind.TRADE_BUSTED, EventKind.TRADE_CORRECTED)
OF_ONE = (EventKind.FEE_CHARGED, EventKind.DEPOSITED, EventKind.WITHDRAWN, EventKind.TIER_SET)
OF_CYCLES = (EventKind.CYCLE_CLOSED, EventKind.SETTLEMENT_MOVED)


def of_client(accounts: Accounts, client_id: str) -> tuple[Any, Any]:
    """A client's balances and positions by asset and instrument."""
    number = accounts.client(client_id)
    if number < 0:
        return {}, {}
    balances = {row[0]: row for row in accounts.balances_of(number)}
    return balances, {row[1]: row[1:] for row in accounts.positions_of(number)}


class Stage:
    """A watched reporter that takes batches, and an engine that takes their commands one by one."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.oracle = Exchange.with_limits(Limits())
        self.workload = ClearingWorkload(seed, self.oracle, Cleared(keys=4))
        self.single = Engine()
        self.single_accounts = Accounts(self.single)
        self.reporter = Reporter(Engine())
        self.watch = AccountWatch(Accounts(self.reporter.engine))
        self.reporter.account_watch = self.watch
        self.now_ns = START_NS
        self.truth: dict[int, dict[str, Any]] = {}
        self.facts: dict[tuple[str, int], list[tuple[EventKind, int]]] = defaultdict(list)
        self.model: dict[str, tuple[Any, Any]] = {}
        self.notes: dict[EventKind | str, int] = defaultdict(int)
        for number in range(3):
            self.play([Create(spec(number))])

    def follow(self, client_id: str) -> None:
        """Begin to watch, from what stands there now."""
        self.watch.watch(client_id)
        self.model[client_id] = of_client(self.single_accounts, client_id)

    def play(self, commands: list[Command]) -> None:
        """A batch; then everything that was noted is held against what was true."""
        first = self.single.last_seq + 1
        for command in commands:
            events = self.oracle.apply(command, self.now_ns)
            self.workload.note(events)
            self.single.apply(to_bytes(command), timestamp_ns=self.now_ns)
            seq = self.single.last_seq
            self.truth[seq] = {each: of_client(self.single_accounts, each) for each in CLIENTS}
            self.expect(seq, events)
        batch = b"".join(map(to_bytes, commands))
        applied = self.reporter.apply(batch, first, self.now_ns)
        self.check(first, np.frombuffer(applied.events, EVENT))

    def expect(self, seq: int, events: list[Event]) -> None:
        """What each client is to be told of a command's events."""
        accounts = self.single_accounts
        for event in events:
            clears = event.kind in OF_BOTH and accounts.terms(event.instrument) is not None
            parties = [event.client] if event.kind in OF_ONE else []
            if clears:
                parties = [event.client, event.taker_client]
            if event.kind in OF_CYCLES:
                cycle = accounts.cycle(event.order)
                assert cycle is not None
                parties = sorted({row[0] for row in cycle[1]})
            for party, number in enumerate(parties):
                side = party if event.kind in OF_BOTH else 0
                self.facts[accounts.client_id(number), seq].append((event.kind, side))

    def check(self, first: int, events: np.ndarray[Any, Any]) -> None:
        """Every note of a batch, and that none is missing."""
        noted: dict[tuple[int, str], tuple[Any, Any, Any]] = {}
        order = []
        for client_id, seq, facts, balances, positions in self.watch.take():
            assert (seq, client_id) not in noted
            noted[seq, client_id] = facts, balances, positions
            order.append(seq)
        assert order == sorted(order)
        for seq in range(first, self.single.last_seq + 1):
            for client_id, (held_balances, held_positions) in self.model.items():
                facts, balances, positions = noted.pop((seq, client_id), ([], [], []))
                held_balances.update({row[0]: row for row in balances})
                held_positions.update({row[0]: row[:6] for row in positions})
                assert (held_balances, held_positions) == self.truth[seq][client_id], seq
                told = [(EventKind(events[at]["kind"]), party) for at, party, _, _ in facts]
                assert told == self.facts.pop((client_id, seq), []), (client_id, seq)
                self.notes["balance"] += len(balances)
                self.notes["position"] += len(positions)
                for kind, _ in told:
                    self.notes[kind] += 1
        assert noted == {}


@pytest.mark.parametrize("seed", range(scaled(40)))
def test_who_takes_every_note_holds_the_accounts_at_every_sequence(seed: int) -> None:
    stage = Stage(seed)
    for client_id in CLIENTS[:3]:
        stage.follow(client_id)
    commands = list(stage.workload.commands(40))
    for done in range(150):
        if done == 50:
            for client_id in CLIENTS[3:]:
                stage.follow(client_id)
        stage.now_ns += stage.chance.choice(LATER_NS)
        stage.workload.now_ns = stage.now_ns
        stage.play(commands)
        commands = list(stage.workload.commands(stage.chance.randrange(1, 40)))
    for kind in (*OF_BOTH, *OF_ONE, *OF_CYCLES, "balance", "position"):
        assert stage.notes[kind] > 0, kind


def test_nothing_is_noted_of_who_is_not_watched() -> None:
    stage = Stage(5)
    for client_id in CLIENTS:
        stage.watch.watch(client_id)
        stage.watch.unwatch(client_id)
    for command in stage.workload.commands(200):
        first = stage.reporter.engine.last_seq + 1
        stage.reporter.apply(to_bytes(command), first, stage.now_ns)
    assert stage.watch.take() == []
