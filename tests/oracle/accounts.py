"""The engine's accounts held against the oracle's, and its entries against both."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from novate.engine import Accounts, Engine
from novate.model.clearing import HOUSE, Account, SettlementState
from tests.oracle.clearing import Totals, held, net, nets_too_much
from tests.oracle.exchange import Exchange

CLIENTS_OWN = (Account.AVAILABLE, Account.HELD, Account.DUE, Account.SETTLING)


@dataclass
class Ledger:
    """Every entry so far, summed by account, client and asset."""

    sums: dict[tuple[Account, int, int], int] = field(default_factory=lambda: defaultdict(int))
    count: int = 0

    def add(self, accounts: Accounts) -> None:
        """Take what was written since the last time; what a command wrote sums to zero."""
        by_command: dict[tuple[int, int], int] = defaultdict(int)
        places: dict[int, int] = defaultdict(int)
        for entry in accounts.take_entries():
            seq, asset, client = int(entry["seq"]), int(entry["asset"]), int(entry["client"])
            units = (int(entry["amount_high"]) << 64) | int(entry["amount_low"])
            assert units != 0
            assert int(entry["index"]) == places[seq]
            places[seq] += 1
            account = Account(int(entry["account"]))
            assert (client == HOUSE) == (account not in CLIENTS_OWN)
            by_command[seq, asset] += units
            self.sums[account, client, asset] += units
            self.count += 1
        assert set(by_command.values()) <= {0}, by_command

    def of(self, account: Account) -> dict[tuple[int, int], int]:
        """(client, asset) and units of an account, where there are any."""
        return {
            (client, asset): units
            for (kind, client, asset), units in self.sums.items()
            if kind is account and units
        }


def compare(oracle: Exchange, engine: Engine, ledger: Ledger | None = None) -> None:
    """Compare everything that accounts say."""
    accounts, clearing = Accounts(engine), oracle.clearing
    assert accounts.assets() == clearing.assets
    assert accounts.next_cutoff_ns == clearing.cutoff_due_ns
    assert accounts.last_cutoff == clearing.last_cutoff
    held_now = {
        (client, asset): held(oracle, client, asset)
        for client in range(len(oracle.registry.clients))
        for asset in range(len(clearing.assets))
    }
    found = {row[:2]: row[2:] for row in accounts.balances()}
    for place, units in held_now.items():
        total = clearing.funds.get(place, 0)
        assert found.get(place, (0, 0)) == (total - units, units), place
    positions = {row[:2]: row[2:6] for row in accounts.positions()}
    for place, own in clearing.positions.items():
        assert positions.get(place) == (own.lots, own.basis, own.realized, own.fees), place
    assert set(positions) == set(clearing.positions)
    compare_cycles(oracle, accounts)
    assert {asset: row["fees"] for asset, row in enumerate(accounts.house()) if row["fees"]} == {
        asset: units for asset, units in clearing.fees.items() if units
    }
    if ledger is not None:
        compare_ledger(oracle, accounts, ledger, held_now)


def compare_cycles(oracle: Exchange, accounts: Accounts) -> None:
    """The open cycle and the closed ones."""
    clearing = oracle.clearing
    obligations, totals = accounts.open_cycle()
    assert obligations == net(oracle) or nets_too_much(oracle)
    assert totals == [vars(clearing.totals.get(n, Totals())) for n in range(len(oracle.books))]
    assert accounts.last_cycle == clearing.last_cycle
    assert [row["cycle"] for row in accounts.cycles()] == [
        cycle.number for cycle in reversed(clearing.cycles)
    ]
    for cycle in clearing.cycles:
        row, own = accounts.cycle(cycle.number) or ({}, [])
        assert own == cycle.obligations
        assert row["state"] == cycle.state
        assert row["totals"] == [vars(each) for each in cycle.totals]


def compare_ledger(
    oracle: Exchange, accounts: Accounts, ledger: Ledger, held_now: dict[tuple[int, int], int]
) -> None:
    """The entries alone come to the same balances and the same debts."""
    ledger.add(accounts)
    clearing = oracle.clearing
    assert ledger.of(Account.HELD) == {place: units for place, units in held_now.items() if units}
    free = {place: clearing.funds.get(place, 0) - units for place, units in held_now.items()}
    assert ledger.of(Account.AVAILABLE) == {place: units for place, units in free.items() if units}
    assert ledger.of(Account.CLEARING_HOUSE) == {}
    assert ledger.of(Account.DUE) == {row[:2]: row[2] for row in net(oracle)}
    settling: dict[tuple[int, int], int] = defaultdict(int)
    for cycle in clearing.cycles:
        if cycle.state is not SettlementState.SETTLED:
            for client, asset, units in cycle.obligations:
                settling[client, asset] += units
    assert ledger.of(Account.SETTLING) == {place: each for place, each in settling.items() if each}
