"""What clients have, hold and owe, reckoned from the ledger in three ways that share nothing.

From the trades (with what else the audit trail says of funds, fees and cycles), from the entries,
and from the tables that are kept up to date. Each is a dictionary of figures by a key like
("balance", client, asset); a figure of zero is left out. `novate reconcile` holds them against the
engine. `WHATS` has what each figure is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from novate.ledger import wide
from novate.ledger.positions import trade
from novate.ledger.trade_checks import Misfit, TradeChecks, undone
from novate.model.clearing import (
    ASSET_SCALE_LEAST,
    Account,
    ClearingTerms,
    EntryKind,
    SettlementState,
    amount_of,
)
from novate.model.commands import Side
from novate.model.events import EventKind

Figure = tuple[str, *tuple[int, ...]]
Figures = dict[Figure, int]

WHATS: Final = {
    "balance": "available and held, units, by client and asset",
    "available": "what may be used, units, by client and asset",
    "held": "what open orders hold, units, by client and asset",
    "net": "a position, lots, by client and instrument",
    "cost": "what it cost, ticks x lots, by client and instrument",
    "realized": "profit realized, ticks x lots, by client and instrument",
    "fees": "fees paid, units, by client and asset",
    "traded": "bought less sold, and received less paid, units, by client and asset",
    "due": "what the open cycle comes to, units, by client and asset",
    "obligation": "what a closed cycle came to, units, by cycle, client and asset",
    "state": "SettlementState, by cycle",
    "trades": "trades of a closed cycle, how many, by cycle and instrument",
    "lots": "their lots, by cycle and instrument",
    "turnover": "their price x lots, ticks x lots, by cycle and instrument",
    "cycle_fees": "fees of a closed cycle less what was given back, units, by cycle and instrument",
    "busts": "trades busted in a closed cycle, how many, by cycle and instrument",
    "bust_lots": "their lots, by cycle and instrument",
    "bust_turnover": "their price x lots, ticks x lots, by cycle and instrument",
    "settling": "obligations that are not settled, units, by client and asset",
    "house_fees": "fees of the house, units, by asset",
    "external": "minus what came in, units, by asset",
    "clearing_house": "nothing, units, by asset",
}
"""Every figure, in the order in which they are compared."""

TOTALS: Final = (
    "trades", "lots", "turnover", "cycle_fees", "busts", "bust_lots", "bust_turnover",
)  # fmt: skip
"""The figures of a cycle in an instrument."""

_FEES: Final = TOTALS.index("cycle_fees")
_BUSTS: Final = TOTALS.index("busts")
_HALF: Final = 10**9
_TELLING: Final = (
    EventKind.CLEARING_SET, EventKind.DEPOSITED, EventKind.WITHDRAWN, EventKind.FEE_CHARGED,
    EventKind.CYCLE_CLOSED, EventKind.SETTLEMENT_MOVED, EventKind.TRADE_BUSTED,
    EventKind.TRADE_CORRECTED, EventKind.TIER_SET,
)  # fmt: skip

_HISTORY: Final = f"""SELECT seq, position, {int(EventKind.TRADE)} AS kind, instrument,
 CASE taker_side WHEN {int(Side.BUY)} THEN taker_client ELSE maker_client END AS one,
 CASE taker_side WHEN {int(Side.BUY)} THEN maker_client ELSE taker_client END AS other,
 price_ticks AS price, quantity_lots AS lots, 0 AS number, trade_index AS event_index,
 CASE auction WHEN 1 THEN -1 ELSE taker_side END AS side FROM trades
 UNION ALL SELECT seq, position, kind, instrument, client, other_client, price_ticks,
 quantity_lots, order_number, event_index, side FROM order_events
 WHERE kind IN ({", ".join(str(int(kind)) for kind in _TELLING)}) ORDER BY seq, position"""


class Market(NamedTuple):
    """What an instrument's trades move: assets by number, and units of a lot and of a step."""

    base: int
    quote: int
    lot_units: int
    quote_units: int


def markets(connection: Connection) -> dict[int, Market]:
    """Every instrument's, from the ledger's own tables."""
    numbers = {
        (row.name, row.scale): row.asset
        for row in connection.execute(sa.text("SELECT asset, name, scale FROM assets"))
    }
    found = {}
    for row in connection.execute(sa.text("SELECT * FROM instruments")):
        scale = max(row.lot_exponent, ASSET_SCALE_LEAST)
        found[row.instrument] = Market(
            numbers[row.base, scale],
            numbers[row.quote, row.quote_scale],
            row.lot_coefficient * 10 ** (scale - row.lot_exponent),
            row.quote_units,
        )
    return found


# --- from the trades ------------------------------------------------------------------------------


class TradesReckoning:
    """Goes through trades and the audit trail from the first to the last.

    Args:
        markets: What trades move.
        terms: By the seq of each command that gave an instrument terms.

    Attributes:
        late: Instruments that traded before they were given terms: the core keeps positions since.
        trades: How many trades, busts and corrections it saw.
        misfit: The first trade whose fees are not those of the rates, or bust that does not undo
            the trade it names; None: there is none.
    """

    def __init__(self, markets: Mapping[int, Market], terms: Mapping[int, ClearingTerms]) -> None:
        self._markets = markets
        self._terms = terms
        self._funded: dict[int, bool] = {}
        self._positions: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0, 0])
        self._balances: dict[tuple[int, int], int] = defaultdict(int)
        self._due: dict[tuple[int, int], int] = defaultdict(int)
        self._fees: dict[tuple[int, int], int] = defaultdict(int)
        self._cycles: dict[int, dict[tuple[int, int], int]] = {}
        self._states: dict[int, int] = {}
        self._totals: dict[int, list[int]] = defaultdict(lambda: [0] * len(TOTALS))
        self._cycle_totals: Figures = {}
        self.late: set[int] = set()
        self.trades = 0
        self.misfit: Misfit | None = None

    def go_through(self, connection: Connection) -> Figures:
        """All that the ledger has."""
        units = {number: market.quote_units for number, market in self._markets.items()}
        checks = TradeChecks(units, self._terms, undone(connection))
        for row in connection.execute(sa.text(_HISTORY)):
            self.take(row)
            checks.take(row)
        checks.close()
        self.misfit = checks.first
        return self.figures()

    def take(self, row: Row[Any]) -> None:
        """What happened next."""
        kind = row.kind
        if kind in (EventKind.TRADE, EventKind.TRADE_CORRECTED):
            self._trade(row, row.one, row.other)
        elif kind == EventKind.FEE_CHARGED:
            self._charge(row)
        elif kind == EventKind.TRADE_BUSTED:
            self._trade(row, row.other, row.one, _BUSTS)
        elif kind == EventKind.CLEARING_SET:
            self._funded[row.instrument] = self._terms[row.seq].mode == "funded"
        elif kind == EventKind.CYCLE_CLOSED:
            self._cycles[row.number] = {key: units for key, units in self._due.items() if units}
            self._states[row.number] = int(SettlementState.OPEN)
            self._due.clear()
            for instrument, values in self._totals.items():
                self._cycle_totals |= totals_of(row.number, instrument, values)
            self._totals.clear()
        elif kind == EventKind.SETTLEMENT_MOVED:
            self._states[row.number] = row.event_index
        elif kind in (EventKind.DEPOSITED, EventKind.WITHDRAWN):
            sign = 1 if kind == EventKind.DEPOSITED else -1
            self._balances[row.one, row.instrument] += sign * amount_of(row.price, row.lots)

    def _trade(self, row: Row[Any], buyer: int, seller: int, counts_at: int = 0) -> None:
        funded = self._funded.get(row.instrument)
        if funded is None:
            self.late.add(row.instrument)
            return
        self.trades += 1
        for at, value in enumerate((1, row.lots, row.lots * row.price), counts_at):
            self._totals[row.instrument][at] += value
        market = self._markets[row.instrument]
        account = self._balances if funded else self._due
        for client, lots in ((buyer, row.lots), (seller, -row.lots)):
            trade(self._positions[client, row.instrument], lots, row.price)
            account[client, market.base] += lots * market.lot_units
            account[client, market.quote] -= lots * row.price * market.quote_units

    def _charge(self, row: Row[Any]) -> None:
        units, key = amount_of(row.price, row.lots), (row.one, row.other)
        self._fees[key] += units
        self._totals[row.instrument][_FEES] += units
        (self._balances if self._funded[row.instrument] else self._due)[key] -= units

    def figures(self) -> Figures:
        """What it comes to."""
        found: Figures = {}
        for key, (net, cost, realized) in self._positions.items():
            found |= {("net", *key): net, ("cost", *key): cost, ("realized", *key): realized}
        for what, sums in (("balance", self._balances), ("due", self._due), ("fees", self._fees)):
            found |= {(what, *key): units for key, units in sums.items()}
        for cycle, owed in self._cycles.items():
            found["state", cycle] = self._states[cycle]
            found |= {("obligation", cycle, *key): units for key, units in owed.items()}
        return whole(found | self._cycle_totals | settling(found))


def totals_of(cycle: int, instrument: int, values: Sequence[int]) -> Figures:
    """The figures of a cycle in an instrument, from their values in the order of `TOTALS`."""
    return {(what, cycle, instrument): value for what, value in zip(TOTALS, values, strict=True)}


def settling(figures: Figures) -> Figures:
    """What of the obligations is not settled, by client and asset."""
    sums: dict[Figure, int] = defaultdict(int)
    for (what, *key), units in figures.items():
        if what == "obligation" and figures["state", key[0]] != SettlementState.SETTLED:
            sums["settling", *key[1:]] += units
    return dict(sums)


def whole(figures: Figures) -> Figures:
    """Figures without those that are zero."""
    return {key: value for key, value in figures.items() if value}


# --- from the entries -----------------------------------------------------------------------------

_OWN: Final = {
    Account.AVAILABLE: "available",
    Account.HELD: "held",
    Account.DUE: "due",
    Account.SETTLING: "settling",
}
_HOUSES: Final = {
    Account.FEES: "house_fees",
    Account.EXTERNAL: "external",
    Account.CLEARING_HOUSE: "clearing_house",
}
_FLOWS: Final = {
    EntryKind.TRADE: "traded",
    EntryKind.BUST: "traded",
    EntryKind.FEE: "fees",
    EntryKind.REFUND: "fees",
}


def from_entries(connection: Connection) -> Figures:
    """What the entries alone come to."""
    found: Figures = defaultdict(int)
    columns = "account, client, asset, kind"
    for row in connection.execute(sa.text(_summed(connection, columns))):
        account, units = Account(row.account), sum_of(row)
        if account in _HOUSES:
            found[_HOUSES[account], row.asset] += units
            continue
        found[_OWN[account], row.client, row.asset] += units
        if account in (Account.AVAILABLE, Account.HELD):
            found["balance", row.client, row.asset] += units
        flow = _FLOWS.get(EntryKind(row.kind))
        if flow is not None:
            found[flow, row.client, row.asset] += -units if flow == "fees" else units
    netted = f"kind = {int(EntryKind.NETTED)} AND account = {int(Account.SETTLING)}"
    statement = _summed(connection, "reference, client, asset", netted)
    for row in connection.execute(sa.text(statement)):
        found["obligation", row.reference, row.client, row.asset] += sum_of(row)
    return whole(found)


def _summed(connection: Connection, columns: str, condition: str = "TRUE") -> str:
    """Amounts summed by these columns, in parts that fit in 64 bits."""
    cast = "" if connection.dialect.name == "sqlite" else "::bigint"
    return (
        f"SELECT {columns}, sum(amount_high){cast} AS highs,"
        f" sum(amount_low / {_HALF}){cast} AS uppers, sum(amount_low % {_HALF}){cast} AS lowers"
        f" FROM ledger_entries WHERE {condition} GROUP BY {columns}"
    ).replace("::", "\\:\\:")


def sum_of(row: Row[Any]) -> int:
    """The sum that a row of sums stands for."""
    return wide.join(int(row.highs), int(row.uppers) * _HALF + int(row.lowers))


# --- from the tables ------------------------------------------------------------------------------


def from_tables(connection: Connection, late: set[int]) -> Figures:
    """What stands in the tables of positions and settlement.

    Args:
        connection: The ledger.
        late: Instruments whose positions are left out: they have trades that were not cleared.
    """
    return whole(dict(_positions(connection, late)) | dict(_settlements(connection)))


def _positions(connection: Connection, late: set[int]) -> Iterator[tuple[Figure, int]]:
    for row in connection.execute(sa.text("SELECT * FROM positions")):
        if row.instrument in late:
            continue
        key = row.client, row.instrument
        yield ("net", *key), wide.join(row.net_high, row.net_low)
        yield ("cost", *key), wide.join(row.cost_high, row.cost_low)
        yield ("realized", *key), wide.join(row.realized_high, row.realized_low)


def _settlements(connection: Connection) -> Iterator[tuple[Figure, int]]:
    for row in connection.execute(sa.text("SELECT cycle, state FROM settlement_cycles")):
        yield ("state", row.cycle), row.state
    for row in connection.execute(sa.text("SELECT * FROM settlement_obligations")):
        amount = wide.join(row.amount_high, row.amount_low)
        yield ("obligation", row.cycle, row.client, row.asset), amount
    for row in connection.execute(sa.text("SELECT * FROM settlement_totals")):
        values = (
            row.trades, wide.join(row.lots_high, row.lots_low),
            wide.join(row.turnover_high, row.turnover_low), wide.join(row.fees_high, row.fees_low),
            row.busts, wide.join(row.bust_lots_high, row.bust_lots_low),
            wide.join(row.bust_turnover_high, row.bust_turnover_low),
        )  # fmt: skip
        yield from totals_of(row.cycle, row.instrument, values).items()
