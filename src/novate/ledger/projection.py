"""What a run of records says, as rows of every table: events and commands in, arrays out.

Pure but for what it remembers from run to run: which clients are known, the session ends, the
positions that trades touch. The caller writes what `build` returns before it asks again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from novate.analytics.activity import MESSAGES, messages_of
from novate.ledger import wide
from novate.ledger.books import BookKeeper, EngineView
from novate.ledger.cycles import Cycles, Moment, Move, moves, obligation_columns, totals
from novate.ledger.decoding import Commands
from novate.ledger.entries import EntrySource, transfer_columns
from novate.ledger.positions import Legs, Position, Positions, legs
from novate.ledger.terms import TermsChange, TermsReader
from novate.model.commands import Flag, IdKind, KillSwitch
from novate.model.errors import LedgerFault
from novate.model.events import AUCTION_TRADE, EventKind

MINUTE_NS: Final = 60 * 10**9

Events = NDArray[Any]
Columns = list[NDArray[Any]]
Texts = list[tuple[Any, ...]]

_PLACED: Final = (int(EventKind.ORDER_ACCEPTED), int(EventKind.ORDER_REJECTED))
_NAMING: Final = np.array(
    [
        *_PLACED,
        EventKind.CLIENT_LIMITS_SET,
        EventKind.TIMER_SET,
        EventKind.KILL_SWITCHED,
        EventKind.TIER_SET,
        EventKind.DEPOSITED,
        EventKind.WITHDRAWN,
    ],
    dtype=np.uint8,
)
"""Events whose command names the client that they bear; a MASS_CANCELLED may bear none."""


class Rows(msgspec.Struct, kw_only=True):
    """Rows of one run of records. Arrays hold a column each, in the order of the table's.

    Attributes:
        before_seq: The ledger's seq that they follow on.
        seq: The last seq in them.
        touched: Of orders placed earlier: number, fills, amended flag, price, quantity, ended,
            reason, updated_ns, updated_seq, notional high and low.
        terms_changes: Changes of the terms of orders placed earlier, in their order.
    """

    before_seq: int
    seq: int
    timestamp_ns: int
    events_hash: bytes
    book_snapshot_seq: int
    instruments: Texts
    clients: Texts
    order_names: Texts
    orders: Columns
    touched: Columns
    order_terms: list[tuple[int, ...]]
    terms_changes: list[TermsChange]
    order_events: Columns
    trades: Columns
    trade_minutes: Columns
    order_minutes: Columns
    quotes: list[tuple[int, ...]]
    orderbook_snapshots: list[tuple[int, ...]]
    orderbook_levels: list[tuple[int, ...]]
    positions: list[tuple[int, ...]]
    assets: Texts
    ledger_transfers: Columns
    settlement_cycles: list[tuple[int, ...]]
    settlement_obligations: Columns
    settlement_moves: list[Move]
    settlement_totals: list[tuple[int, ...]]


class Standing(NamedTuple):
    """Where a ledger stands.

    Attributes:
        seq: The last command whose rows it has.
        timestamp_ns: Its time.
        events_hash: Running hash of the events up to it.
        book_snapshot_seq: Where books were stored last.
        clients: Numbers of the clients it knows.
        changed: Instruments whose books changed since `book_snapshot_seq`.
        assets: How many assets it knows.
        cycle_closed: Where the last cycle closed.
        quotes: Best prices that are stored last: instrument, bid, ask.
    """

    seq: int = 0
    timestamp_ns: int = 0
    events_hash: bytes = b""
    book_snapshot_seq: int = 0
    clients: tuple[int, ...] = ()
    changed: tuple[int, ...] = ()
    assets: int = 0
    cycle_closed: Moment = Moment()
    quotes: tuple[tuple[int, int, int], ...] = ()


class Projection:
    """Gathers records, and makes rows of them.

    Args:
        engine: The engine the records are applied to; it stands where the ledger stands.
        standing: Where that is.
        accounts: Gives the entries of clearing; None: there are none.
    """

    def __init__(
        self, engine: EngineView, standing: Standing, accounts: EntrySource | None = None
    ) -> None:
        self._engine = engine
        self._accounts = accounts
        self._assets = standing.assets
        self._known = set(standing.clients)
        self._books = BookKeeper(
            engine,
            standing.timestamp_ns,
            standing.book_snapshot_seq,
            set(standing.changed),
            {instrument: (bid, ask) for instrument, bid, ask in standing.quotes},
        )
        self._terms = TermsReader(engine)
        self._cycles = Cycles(standing.cycle_closed)
        self._instruments = len(engine.instruments())
        self.positions = Positions()
        self.seq = standing.seq
        self._begin()

    def _begin(self) -> None:
        self._commands: list[bytes] = []
        self._events: list[Events] = []
        self._times: list[int] = []
        self._entries: list[NDArray[Any]] = []
        self._totals: list[tuple[int, ...]] = []
        self._last = (0, b"")
        self.events_count = 0
        self.gathered_seq = self.seq

    def before(self, timestamp_ns: int) -> None:
        """The engine is about to apply a record of that time, which `add` will then take."""
        self._books.before(timestamp_ns)

    def add(
        self, commands: bytes, events: Events, last_seq: int, timestamp_ns: int, events_hash: bytes
    ) -> None:
        """Take a record that the engine has just applied.

        Args:
            commands: Its commands, packed.
            events: Its events, an array of `EVENT`.
            last_seq: Its last seq.
            timestamp_ns: Its time.
            events_hash: Running hash of the events up to it.
        """
        self._commands.append(commands)
        self._events.append(events)
        self._times.append(timestamp_ns)
        self._last = (timestamp_ns, events_hash)
        self.events_count += len(events)
        self.gathered_seq = last_seq
        self._books.look(events, last_seq, timestamp_ns)
        if self._accounts is not None:
            self._totals += totals(self._accounts, events)
            self._entries.append(self._accounts.take_entries())

    def build(self, load: Callable[[list[int]], dict[int, Position]]) -> Rows:
        """Rows of all that was gathered; then gathering begins anew.

        Args:
            load: Gives the stored positions of these keys; may raise, and then nothing is changed
                and the call can be made again.
        """
        events = _joined(self._events)
        times = np.repeat(
            np.array(self._times, dtype=np.int64), [len(each) for each in self._events]
        )
        at_trade = np.flatnonzero(events["kind"] == EventKind.TRADE)
        trades = events[at_trade]
        fills = legs(events, times)
        self._require_positions(fills.keys(), load)
        commands = Commands(b"".join(self._commands), self.seq + 1)
        position = _positions_in_command(events["seq"])
        snapshots, levels, quotes = self._books.take()
        placed = np.flatnonzero(np.isin(events["kind"], _PLACED))
        orders, touched = _orders(events, times, placed, trades, at_trade, commands)
        terms, terms_changes = self._terms.changes(events, times, commands)
        transfers, obligations = self._entry_columns()
        rows = Rows(
            before_seq=self.seq,
            seq=self.gathered_seq,
            timestamp_ns=self._last[0],
            events_hash=self._last[1],
            book_snapshot_seq=self._books.seq,
            instruments=self._new_instruments(events, times),
            clients=self._new_clients(events, times, commands),
            order_names=_names(events[placed], commands),
            orders=orders,
            touched=touched,
            order_terms=terms,
            terms_changes=terms_changes,
            order_events=_event_columns(events, times, position),
            trades=_trade_columns(trades, times[at_trade], position[at_trade]),
            trade_minutes=_minutes(trades, times[at_trade]),
            order_minutes=_order_minutes(events, times),
            quotes=quotes,
            orderbook_snapshots=snapshots,
            orderbook_levels=levels,
            positions=self._traded_positions(fills),
            assets=self._new_assets(),
            ledger_transfers=transfers,
            settlement_cycles=self._cycles.closings(events, times, position),
            settlement_obligations=obligations,
            settlement_moves=moves(events),
            settlement_totals=self._totals,
        )
        self.seq = self.gathered_seq
        self._begin()
        return rows

    def _require_positions(
        self, keys: set[int], load: Callable[[list[int]], dict[int, Position]]
    ) -> None:
        self.positions.let_go()
        missing = self.positions.missing(keys)
        if missing:
            for key, position in load(missing).items():
                self.positions.learn(key, position)

    def _new_instruments(self, events: Events, times: NDArray[np.int64]) -> Texts:
        made = np.flatnonzero(events["kind"] == EventKind.INSTRUMENT_CREATED)
        if not len(made):
            return []
        listed = self._engine.instruments()
        return [
            (
                each.index, each.name, each.base, each.quote, each.tick_coefficient,
                each.tick_exponent, each.lot_coefficient, each.lot_exponent, each.quote_units,
                each.quote_scale, int(events["seq"][at]), int(times[at]),
            )
            for at in made.tolist()
            for each in (listed[int(events["instrument"][at])],)
        ]  # fmt: skip

    def _new_assets(self) -> Texts:
        known = self._assets
        listed = self._accounts.assets() if self._accounts is not None else []
        self._assets = max(known, len(listed))
        return [(number, *listed[number]) for number in range(known, len(listed))]

    def _entry_columns(self) -> tuple[Columns, Columns]:
        """Columns of the transfers, and of the obligations that some of them are."""
        if not self._entries:
            return [], []
        entries = _joined(self._entries)
        moments = np.array(self._times, dtype=np.int64)
        times = np.repeat(moments, [len(each) for each in self._entries])
        return transfer_columns(entries, times), obligation_columns(entries, times)

    def _new_clients(self, events: Events, times: NDArray[np.int64], commands: Commands) -> Texts:
        of_venue = (events["kind"] == EventKind.KILL_SWITCHED) & (
            events["index"] & KillSwitch.VENUE != 0
        )
        naming = np.flatnonzero(np.isin(events["kind"], _NAMING) & ~of_venue)
        numbers, first = np.unique(events["client"][naming], return_index=True)
        rows: Texts = []
        for number, at in sorted(zip(numbers.tolist(), naming[first].tolist(), strict=True)):
            if number in self._known:
                continue
            self._known.add(number)
            seq = int(events["seq"][at])
            name = commands.client_id(commands.at(seq)) or str(number)
            rows.append((number, name, seq, int(times[at])))
        return rows

    def _traded_positions(self, fills: Legs) -> list[tuple[int, ...]]:
        seqs, times = fills.seq, fills.timestamp_ns
        return [
            (key, key >> 32, key & 0xFFFFFFFF, *wide.split(net), *wide.split(cost),
             *wide.split(realized), int(seqs[at]), int(times[at]))
            for key, (net, cost, realized), at in self.positions.take(fills)
        ]  # fmt: skip


def _joined(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """Arrays of one kind of record, as one: numpy would compare their fields, array by array."""
    return np.frombuffer(b"".join([each.tobytes() for each in arrays]), dtype=arrays[0].dtype)


def _positions_in_command(seqs: NDArray[Any]) -> NDArray[np.int64]:
    """The place of each event among those of its command, from 0."""
    count = len(seqs)
    starts = np.flatnonzero(np.r_[True, seqs[1:] != seqs[:-1]]) if count else np.zeros(0, np.int64)
    lengths = np.diff(np.r_[starts, count])
    places: NDArray[np.int64] = np.arange(count) - np.repeat(starts, lengths)
    return places


def _event_columns(
    events: Events, times: NDArray[np.int64], position: NDArray[np.int64]
) -> Columns:
    kept = events["kind"] != EventKind.TRADE
    rest = events[kept]
    names = (
        "kind", "reason", "side", "order_type", "time_in_force", "flags", "instrument", "index",
        "order", "client", "taker_client", "price_ticks", "quantity_lots", "remaining_lots",
    )  # fmt: skip
    return [rest["seq"], position[kept], *(rest[name] for name in names), times[kept]]


def _trade_columns(
    trades: Events, times: NDArray[np.int64], position: NDArray[np.int64]
) -> Columns:
    return [
        trades["instrument"],
        trades["seq"],
        trades["index"],
        position,
        trades["price_ticks"],
        trades["quantity_lots"],
        trades["side"],
        (trades["flags"] & AUCTION_TRADE) // AUCTION_TRADE,
        trades["order"],
        trades["taker"],
        trades["client"],
        trades["taker_client"],
        trades["remaining_lots"],
        times,
    ]


def _minutes(trades: Events, times: NDArray[np.int64]) -> Columns:
    minutes = times // MINUTE_NS
    instruments = trades["instrument"].astype(np.int64)
    _, first, groups = np.unique(
        instruments << 32 | minutes, return_index=True, return_inverse=True
    )
    count = len(first)
    price, lots = trades["price_ticks"].astype(np.int64), trades["quantity_lots"].astype(np.int64)
    last = np.zeros(count, dtype=np.int64)
    np.maximum.at(last, groups, np.arange(len(trades)))
    highest = np.zeros(count, dtype=np.int64)
    np.maximum.at(highest, groups, price)
    lowest = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(lowest, groups, price)
    seqs = trades["seq"]
    return [
        instruments[first], minutes[first], np.bincount(groups, minlength=count),
        *wide.sums(groups, count, *wide.widened(lots)),
        *wide.sums(groups, count, *wide.multiply(price, lots)),
        *wide.sums(groups, count, *wide.widened(price)),
        price[first], highest, lowest, price[last], seqs[first], seqs[last],
    ]  # fmt: skip


def _order_minutes(events: Events, times: NDArray[np.int64]) -> Columns:
    """Messages about orders, by instrument and minute; trades are in `trade_minutes`."""
    messages = messages_of(events["kind"], events["reason"])
    which = np.flatnonzero((messages >= 0) & (events["kind"] != EventKind.TRADE))
    keys = events["instrument"][which].astype(np.int64) << 32 | times[which] // MINUTE_NS
    unique, groups = np.unique(keys, return_inverse=True)
    kinds = len(MESSAGES) - 1
    counts = np.bincount(groups * kinds + messages[which], minlength=len(unique) * kinds)
    return [unique >> 32, unique & 0xFFFFFFFF, *counts.reshape(-1, kinds).T]


def _names(placed: Events, commands: Commands) -> Texts:
    numbers = placed["order"]
    places = placed["seq"].astype(np.int64) - commands.first_seq
    named = commands.heads["order_id_kind"][places] != IdKind.NUMBER
    wrong = np.flatnonzero(~named | (numbers != placed["seq"]))
    if len(wrong):
        seq = int(placed["seq"][wrong[0]])
        raise LedgerFault(f"expected an order named by text at seq {seq}, found a number")
    texts, hashes = commands.order_ids(places)
    return list(zip(numbers.tolist(), hashes, texts, strict=True))


def _orders(
    events: Events,
    times: NDArray[np.int64],
    placed: NDArray[np.intp],
    trades: Events,
    at_trade: NDArray[np.intp],
    commands: Commands,
) -> tuple[Columns, Columns]:
    """Rows of the orders placed here, and what changes of the orders placed before."""
    kinds = events["kind"]
    ended, amended = (
        np.flatnonzero(kinds == kind) for kind in (EventKind.ORDER_ENDED, EventKind.ORDER_AMENDED)
    )
    triggered = np.flatnonzero(kinds == EventKind.ORDER_TRIGGERED)
    own = np.concatenate([placed, ended, amended, triggered, at_trade])
    numbers = np.concatenate([events["order"][own], trades["taker"]])
    where = np.concatenate([own, at_trade])
    unique, index = np.unique(numbers, return_inverse=True)
    count = len(unique)
    last = np.zeros(count, dtype=np.int64)
    np.maximum.at(last, index, where)
    # Both sides of each trade stand at the end: the maker's, then the taker's.
    sides = index[len(numbers) - 2 * len(trades) :]
    lots = trades["quantity_lots"].astype(np.int64)
    filled = np.zeros(count, dtype=np.int64)
    np.add.at(filled, sides, np.tile(lots, 2))
    high, low = wide.multiply(trades["price_ticks"].astype(np.int64), lots)
    high, low = wide.sums(sides, count, np.tile(high, 2), np.tile(low, 2))
    shaped = np.full(count, -1, dtype=np.int64)  # the event that says price and total
    shaping = np.concatenate([placed, amended])
    np.maximum.at(shaped, np.searchsorted(unique, events["order"][shaping]), shaping)
    end = np.zeros(count, dtype=np.int64)
    reason = np.zeros(count, dtype=np.int64)
    slot = np.searchsorted(unique, events["order"][ended])
    end[slot], reason[slot] = 1, events["reason"][ended]
    of_placed = np.searchsorted(unique, events["order"][placed])
    rejected = kinds[placed] == EventKind.ORDER_REJECTED
    end[of_placed[rejected]] = 2
    reason[of_placed[rejected]] = events["reason"][placed][rejected]
    has_shape = shaped >= 0
    price = np.where(has_shape, events["price_ticks"][shaped], 0)
    quantity = np.where(has_shape, events["quantity_lots"][shaped], 0)
    change = [
        unique, filled, has_shape.astype(np.int64), price, quantity, end, reason, times[last],
        events["seq"][last], high, low,
    ]  # fmt: skip
    new = np.zeros(count, dtype=bool)
    new[of_placed] = True
    touched = [column[~new] for column in change]
    return _order_columns(events[placed], times[placed], of_placed, change, commands), touched


def _order_columns(
    placed: Events,
    times: NDArray[np.int64],
    of_placed: NDArray[np.intp],
    change: Columns,
    commands: Commands,
) -> Columns:
    by_quote = np.flatnonzero(placed["flags"] & Flag.BY_QUOTE)
    quote_high, quote_low = np.zeros((2, len(placed)), dtype=np.int64)
    for at in by_quote.tolist():
        head = commands.heads[commands.at(int(placed["seq"][at]))]
        units = (int(head["quote_units_high"]) << 64) + int(head["quote_units_low"])
        quote_high[at], quote_low[at] = wide.split(units)
    _, filled, _, price, quantity, end, reason, updated_ns, updated_seq, high, low = (
        column[of_placed] for column in change
    )
    names = ("order", "client", "instrument", "side", "order_type", "time_in_force", "flags")
    return [
        *(placed[name] for name in names), price, quantity, filled, high, low, quote_high,
        quote_low, end, reason, times, updated_ns, updated_seq,
    ]  # fmt: skip
