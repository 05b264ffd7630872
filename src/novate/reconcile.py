"""`novate reconcile`: the ledger against the engine, from trades alone and from entries alone.

The journal is replayed from its first command to where the ledger is, and what the engine's
accounts then say is held against three reckonings of the ledger: its trades, its entries, its
tables. The first figure that differs is named.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from novate.config import Settings
from novate.engine import Accounts
from novate.journal.interface import Record
from novate.ledger import database
from novate.ledger.decoding import Commands
from novate.ledger.reckoning import (
    TOTALS,
    WHATS,
    Figure,
    Figures,
    TradesReckoning,
    from_entries,
    from_tables,
    markets,
    settling,
    totals_of,
    whole,
)
from novate.ledger.rendering import decimal
from novate.ledger.schema import ledger_state
from novate.ledger.trade_checks import Misfit
from novate.model.clearing import ClearingTerms, SettlementState
from novate.model.errors import LedgerAway, LedgerFault
from novate.model.events import EventKind
from novate.rebuild import WholeJournal, ledger_url, naming
from novate.recovery import Replayer

SECONDS_MAX: Final = 86_400.0
"""A reconciliation may take long; a question of the API may not."""

_ENTRIES: Final = """SELECT 2 * (count(*) + coalesce(sum(
 CASE other_source WHEN 0 THEN 0 ELSE 1 END), 0)) FROM ledger_transfers"""

SOURCES: Final = {
    "trades": frozenset(
        ("balance", "net", "cost", "realized", "fees", "due", "obligation", "state", "settling",
         *TOTALS)
    ),
    "entries": frozenset(
        ("balance", "available", "held", "fees", "traded", "due", "obligation", "settling",
         "house_fees", "external", "clearing_house")
    ),
    "tables": frozenset(("net", "cost", "realized", "obligation", "state", *TOTALS)),
}  # fmt: skip
"""Which figures each way of reckoning comes to."""


class Difference(NamedTuple):
    """A figure that differs.

    Attributes:
        figure: Which.
        source: Where in the ledger: trades, entries or tables.
        expected: What the engine has.
        found: What the ledger comes to.
    """

    figure: Figure
    source: str
    expected: int
    found: int


class EngineReckoning:
    """What an engine's accounts say, and what they said of cycles that they forgot since.

    Attributes:
        terms: By the seq of each command that gave an instrument terms.
    """

    def __init__(self) -> None:
        self.terms: dict[int, ClearingTerms] = {}
        self._closed: Figures = {}

    def note(
        self, accounts: Accounts, commands: bytes, first_seq: int, events: NDArray[Any]
    ) -> None:
        """Look at what a batch changed of terms and cycles, right after it.

        Args:
            accounts: Those of the engine that it was applied to.
            commands: Its commands, packed.
            first_seq: The seq of the first.
            events: Its events.
        """
        kinds = events["kind"]
        terms = events["seq"][kinds == EventKind.CLEARING_SET].tolist()
        if terms:
            packed = Commands(commands, first_seq)
            for seq in terms:
                text = packed.text(packed.at(seq))
                self.terms[seq] = msgspec.json.decode(text, type=ClearingTerms)
        moving = (kinds == EventKind.CYCLE_CLOSED) | (kinds == EventKind.SETTLEMENT_MOVED)
        for number in events["order"][moving].tolist():
            self._closed |= _cycle(accounts, number)

    def figures(self, accounts: Accounts) -> Figures:
        """Everything, as it is now."""
        found: Figures = defaultdict(int, self._closed)
        for client, asset, available, held in accounts.balances():
            found["available", client, asset] = available
            found["held", client, asset] = held
            found["balance", client, asset] = available + held
        for client, instrument, lots, basis, realized, fees, _ in accounts.positions():
            key = client, instrument
            found |= {("net", *key): lots, ("cost", *key): basis, ("realized", *key): realized}
            base, quote, lot_units, quote_units = accounts.market(instrument)
            found["traded", client, base] += lots * lot_units
            found["traded", client, quote] += (realized - basis) * quote_units
            found["fees", client, quote] += fees
        for client, asset, units in accounts.open_cycle()[0]:
            found["due", client, asset] = units
        for asset, books in enumerate(accounts.house()):
            found["house_fees", asset] = books["fees"]
            found["external", asset] = books["external"]
        return whole(found | settling(found))


def _cycle(accounts: Accounts, number: int) -> Figures:
    found = accounts.cycle(number)
    if found is None:  # one of over 64 that one batch closed and settled
        return {("state", number): int(SettlementState.SETTLED)}
    cycle, rows = found
    obligations: Figures = {
        ("obligation", number, client, asset): units for client, asset, units in rows
    }
    figures: Figures = {("state", number): cycle["state"], **obligations}
    for instrument, totals in enumerate(cycle["totals"]):
        values = [totals["fees" if what == "cycle_fees" else what] for what in TOTALS]
        figures |= totals_of(number, instrument, values)
    return figures


def first_difference(expected: Figures, found: Figures, source: str) -> Difference | None:
    """The first figure of a reckoning that is not the engine's."""
    order = list(WHATS)
    covered = SOURCES[source]
    wrong = [
        key
        for key in expected.keys() | found.keys()
        if key[0] in covered and expected.get(key, 0) != found.get(key, 0)
    ]
    if not wrong:
        return None
    first = min(wrong, key=lambda key: (order.index(key[0]), key[1:]))
    return Difference(first, source, expected.get(first, 0), found.get(first, 0))


class Reckoned(NamedTuple):
    """A reconciliation.

    Attributes:
        difference: What differs first, in words; "" if nothing does.
        figures: How many figures were compared.
        trades: Trades, busts and corrections that they came from.
        entries: Entries that they came from.
    """

    difference: str
    figures: int
    trades: int
    entries: int


def compare(connection: Connection, engine: EngineReckoning, accounts: Accounts) -> Reckoned:
    """Hold a ledger against an engine that stands where it does."""
    expected = engine.figures(accounts)
    trades = TradesReckoning(markets(connection), engine.terms)
    reckoned = {"trades": trades.go_through(connection), "entries": from_entries(connection)}
    reckoned["tables"] = from_tables(connection, trades.late)
    said = ""
    for source, found in reckoned.items():
        known = _comparable(expected, trades.late) if source == "tables" else expected
        difference = first_difference(known, found, source)
        if difference is not None and not said:
            said = _Names(connection).say(difference)
    if trades.misfit is not None and not said:
        said = _Names(connection).say_misfit(trades.misfit)
    count = sum(
        key[0] in SOURCES[source]
        for source, found in reckoned.items()
        for key in expected.keys() | found.keys()
    )
    entries = connection.execute(sa.text(_ENTRIES)).scalar_one()
    return Reckoned(said, count, trades.trades, int(entries))


def _comparable(expected: Figures, late: set[int]) -> Figures:
    """Figures without the positions in instruments that have trades which were not cleared."""
    positions = ("net", "cost", "realized")
    return {
        key: value
        for key, value in expected.items()
        if key[0] not in positions or key[-1] not in late
    }


class _Names:
    """Says figures as people know them."""

    def __init__(self, connection: Connection) -> None:
        def ask(statement: str) -> dict[int, Any]:
            return {row[0]: row for row in connection.execute(sa.text(statement))}

        self._clients = ask("SELECT client, client_id FROM clients")
        self._assets = ask("SELECT asset, name, scale FROM assets")
        self._instruments = ask("SELECT instrument, name, quote, quote_scale FROM instruments")

    def units(self, asset: int, units: int) -> str:
        """An amount with its asset."""
        if asset not in self._assets:
            return f"{units} units of asset {asset}"
        _, name, scale = self._assets[asset]
        return f"{decimal(units, scale)} {name}"

    def say(self, difference: Difference) -> str:
        """A difference in words."""
        (what, *key), source, expected, found = difference
        whose = f"{what} {self._owner(what, key)}".rstrip()
        values = self._value(what, key, expected), self._value(what, key, found)
        return f"{whose}: expected {values[0]} (engine), found {values[1]} (from {source})"

    def say_misfit(self, misfit: Misfit) -> str:
        """A trade that was charged otherwise than the rates say, or a bust of another trade."""
        what, (instrument, seq, index), bust_seq, expected, found = misfit
        trade = f"trade {seq}-{index} in {self._instrument(instrument)}"
        if what == "trade":
            return f"bust at seq {bust_seq}: expected a {trade}, found none"
        values = (self._of_trade(what, instrument, each) for each in (expected, found))
        if bust_seq:
            was, said = values
            field = what.replace("_", "'s ")
            return f"{field} of the bust at seq {bust_seq}: expected {was} ({trade}), found {said}"
        due, charged = values
        whose = what.removesuffix("_fee")
        return f"fee of the {whose} of {trade}: expected {due} (rates in force), found {charged}"

    def _of_trade(self, what: str, instrument: int, value: int) -> str:
        if what in ("buyer", "seller"):
            return str(self._clients[value][1]) if value in self._clients else f"number {value}"
        if what in ("price", "quantity"):
            return f"{value} {'ticks' if what == 'price' else 'lots'}"
        row = self._instruments[instrument]
        return f"{decimal(value, row[3])} {row[2]}"

    def _owner(self, what: str, key: list[int]) -> str:
        if what == "state":
            return f"of cycle {key[0]}"
        if what in TOTALS:
            return f"of cycle {key[0]} in {self._instrument(key[1])}"
        if what in ("house_fees", "external", "clearing_house"):
            return ""
        cycle = f" in cycle {key[0]}" if what == "obligation" else ""
        client = key[1] if what == "obligation" else key[0]
        named = self._clients[client][1] if client in self._clients else f"number {client}"
        where = ""
        if what in ("net", "cost", "realized"):
            where = f" in {self._instrument(key[1])}"
        return f"of client {named}{cycle}{where}"

    def _instrument(self, number: int) -> str:
        known = self._instruments.get(number)
        return str(known[1]) if known else f"instrument {number}"

    def _value(self, what: str, key: list[int], value: int) -> str:
        if what == "state":
            known = {int(each): each.name.lower() for each in SettlementState}
            return known.get(value, "no cycle" if not value else f"state {value}")
        if what in ("trades", "busts"):
            return str(value)
        if what in ("net", "lots", "bust_lots"):
            return f"{value} lots"
        if what in ("cost", "realized", "turnover", "bust_turnover"):
            return f"{value} ticks x lots"
        if what == "cycle_fees":
            row = self._instruments.get(key[1])
            return f"{decimal(value, row[3])} {row[2]}" if row else f"{value} units"
        return self.units(key[-1], value)


# --- the verb -------------------------------------------------------------------------------------


def run(settings: Settings) -> int:
    """`novate reconcile`: 0 where everything agrees, 1 where something differs."""
    url = ledger_url(settings)
    journal = WholeJournal(settings)
    try:
        engine = database.open_reader(url, SECONDS_MAX, 1)
        try:
            with naming(url), database.faults(), engine.connect() as connection, connection.begin():
                seq, reckoned = _reconcile(connection, journal)
        finally:
            engine.dispose()
    finally:
        journal.close()
    if reckoned.difference:
        print(f"different at seq {seq}: {reckoned.difference}")
        return 1
    print(
        f"reconciled at seq {seq}: {reckoned.figures} figures from {reckoned.trades} trades and "
        f"{reckoned.entries} entries agree with the engine"
    )
    return 0


def _reconcile(connection: Connection, journal: WholeJournal) -> tuple[int, Reckoned]:
    state = connection.execute(sa.select(ledger_state)).first()
    if state is None:
        raise LedgerAway("the ledger has no rows yet")
    replayer, engine = journal.replayer_at(0), EngineReckoning()
    accounts = Accounts(replayer.engine)
    tail = journal.tail_of(replayer)
    while replayer.seq < state.seq:
        record = tail.take()
        if record is None:
            raise LedgerFault(
                f"expected a journal that reaches the ledger's seq {state.seq}, found its end at "
                f"{replayer.seq}"
            )
        _apply(replayer, record, engine, accounts)
    if state.seq and replayer.events_hash != bytes(state.events_hash):
        raise LedgerFault(f"the ledger's seq {state.seq} is of another journal")
    return state.seq, compare(connection, engine, accounts)


def _apply(replayer: Replayer, record: Record, engine: EngineReckoning, accounts: Accounts) -> None:
    events = replayer.apply(record)
    engine.note(accounts, record.batch.commands, record.batch.first_seq, events)
