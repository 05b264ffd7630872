"""The journal as the source of an export, replayed batch by batch.

It needs no ledger and is exact: an engine applies what was applied, and its running hash is
compared, so that an export of a damaged or diverged journal ends with a fault and no file. A
running server is not disturbed: only what is durable is read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from novate.config import Settings
from novate.engine import Accounts, Applied, Engine, Reporter
from novate.export.busts import Busts
from novate.export.columns import ExportError
from novate.export.sources import INT64_MAX, NamedTrade, Seen, TradeColumns, Wanted
from novate.journal.choosing import Reader, open_reader
from novate.journal.interface import Record
from novate.journal.reading import End
from novate.journal.snapshots import Snapshot, SnapshotFile, SnapshotStore
from novate.journal.verify import believed_end
from novate.model.commands import Side
from novate.model.errors import SnapshotCorrupt
from novate.model.events import EVENT, EventKind
from novate.model.instrument import Instrument
from novate.recovery import Replayer, from_latest_snapshot

OPEN_ORDERS_PER_READ: Final = 50_000


class _TradeTexts(msgspec.Struct, gc=False):
    trade_id: str
    buy_order_id: str
    sell_order_id: str
    taker_side: str | None


_decode_texts = msgspec.json.Decoder(_TradeTexts).decode


class JournalSource:
    """The history of a data folder.

    Args:
        reader: Its journal.
        store: Its snapshots.
        wanted: What is going to be asked for, so that a replay can begin as late as it may.

    Attributes:
        instruments: Those that are wanted, by number.
        warnings: What of the wanted is not there any more, in words.
        first_seq, last_seq: What will be replayed.

    Raises:
        ExportError: no instrument has a name that was asked for.
        JournalError: there is no journal, or it can't be believed.
    """

    def __init__(self, reader: Reader, store: SnapshotStore, wanted: Wanted) -> None:
        self._reader = reader
        self._store = store
        self._end: End = believed_end(reader)
        self.wanted = wanted
        self.warnings: list[str] = []
        latest = self._latest()
        self.instruments = self._chosen(latest.instruments())
        self._has_busts = any(row[2] in self.instruments for row in Accounts(latest).busted())
        self._snapshot = self._start()
        self.first_seq = self._snapshot.seq + 1 if self._snapshot else 1
        self.last_seq = self._end.position.seq

    @classmethod
    def open(cls, settings: Settings, wanted: Wanted) -> JournalSource:
        """The journal that settings name: segment files, or rows in PostgreSQL."""
        with contextlib.ExitStack() as opened:
            reader = open_reader(settings)
            opened.callback(reader.close)
            store = SnapshotStore(settings.data_dir, partition=settings.partition)
            source = cls(reader, store, wanted)
            opened.pop_all()
            return source

    def close(self) -> None:
        """Let go of the journal."""
        self._reader.close()

    def _latest(self) -> Engine:
        """The state at the end, for the instruments there are."""
        replayer, _ = from_latest_snapshot(self._store, self.warnings)
        for record in self._reader.read(replayer.seq + 1, replayer.position, self._end.bound()):
            replayer.apply(record)
        return replayer.engine

    def _chosen(self, known: list[Instrument]) -> dict[int, Instrument]:
        names = {each.name for each in known}
        for name in self.wanted.instruments:
            if name not in names:
                listed = ", ".join(sorted(names)[:20])
                raise ExportError(f"expected an instrument of {listed}; found {name!r}")
        chosen = [each for each in known if each.name in (self.wanted.instruments or names)]
        return {each.index: each for each in chosen}

    def _start(self) -> Snapshot | None:
        """The last snapshot before all that is wanted; None: the journal's beginning.

        Where the journal is pruned, the oldest snapshot from which it goes on.
        """
        begins = self._reader.first_seq()
        usable = [each for each in self._store.list() if each.seq + 1 >= begins]
        early = [each for each in usable if self._is_before_all(each)]
        for file in early:
            try:
                return self._store.load(file.seq)
            except (SnapshotCorrupt, OSError) as fault:
                self.warnings.append(f"the snapshot of seq {file.seq} is passed over: {fault}")
        if begins == 1:
            return None
        for file in reversed(usable):
            try:
                snapshot = self._store.load(file.seq)
            except (SnapshotCorrupt, OSError):
                continue
            self.warnings.append(f"seq 1 to {file.seq} are pruned: nothing of them is exported")
            return snapshot
        raise ExportError(f"seq 1 to {begins - 1} are pruned, and no whole snapshot holds them")

    def _is_before_all(self, file: SnapshotFile) -> bool:
        wanted, end = self.wanted, self._end.position.seq
        if file.seq > end:
            return False
        return file.seq < wanted.first_seq or file.timestamp_ns < wanted.since_ns

    def _replayer(self) -> Replayer:
        if self._snapshot is None:
            return Replayer.at_zero(self._store.partition)
        engine = Engine.load(self._snapshot.dump)
        return Replayer(engine, self._snapshot, self._store.partition)

    def _records(self, replayer: Replayer, last_seq: int) -> Iterator[Record]:
        bound = self._end.bound()
        for record in self._reader.read(replayer.seq + 1, replayer.position, bound):
            if record.batch.first_seq > last_seq:
                break
            yield record

    def _batches(self, seen: Seen, *, updates: bool) -> Iterator[tuple[Reporter, Applied]]:
        """Every batch as it was applied, with its texts.

        With `updates`, every order that changed, and to the end of the journal; without, up to the
        last wanted sequence.
        """
        replayer = self._replayer()
        replayer.reporter.want_updates = updates
        last_seq = INT64_MAX if updates else self.wanted.last_seq
        for record in self._records(replayer, last_seq):
            yield replayer.reporter, replayer.apply_rendered(record)
            seen(replayer.seq)

    def trades(self, seen: Seen) -> Iterator[TradeColumns]:
        """The trades, without their texts, a batch at a time."""
        replayer = self._replayer()
        for record in self._records(replayer, self.wanted.last_seq):
            events = replayer.apply(record)
            made = events[events["kind"] == EventKind.TRADE]
            if len(made):
                times = np.full(len(made), replayer.engine.last_timestamp_ns)
                yield TradeColumns(
                    times,
                    made["seq"].astype(np.int64),
                    made["instrument"],
                    made["price_ticks"],
                    made["quantity_lots"],
                )
            seen(replayer.seq)

    def named_trades(self, seen: Seen) -> Iterator[list[NamedTrade]]:
        """The trades with their texts, a batch at a time."""
        client, busts = _ClientNames(), self._busts()
        for reporter, applied in self._batches(seen, updates=False):
            if applied.trades:
                yield _named(applied, client.of(reporter), busts)

    def _busts(self) -> Busts:
        """What was taken back up to the end; a replay of its own, where there is any of it.

        A row is written when its trade is met, and a bust comes any time later.
        """
        busts = Busts(self._store.partition)
        if self._has_busts:
            replayer = self._replayer()
            for record in self._records(replayer, INT64_MAX):
                busts.add(replayer.apply(record))
        return busts

    def orders(self, seen: Seen) -> Iterator[list[bytes]]:
        """The orders in the order of their ends; then those that are open."""
        last: Reporter | None = None
        for last, applied in self._batches(seen, updates=True):  # noqa: B007 - read below
            yield [
                text
                for book, _, _, text in applied.updates
                if book in self.instruments and b',"working":false,' in text
            ]
        if last is not None:
            yield from _open_orders(last)


def _named(applied: Applied, client: Callable[[int], str], busts: Busts) -> list[NamedTrade]:
    """The trades of a batch: their numbers are in its events, their texts in its JSON."""
    events = trade_events(applied)
    numbers = ("index", "side", "client", "taker_client", "price_ticks", "quantity_lots")
    columns = (events[name].tolist() for name in numbers)
    found = []
    for (book, seq, text), index, side, maker, taker, price, lots in zip(
        applied.trades, *columns, strict=True
    ):
        said = _decode_texts(text)
        buyer, seller = (taker, maker) if side == Side.BUY else (maker, taker)
        found.append(
            NamedTrade(
                said.trade_id, seq, index, applied.timestamp_ns, book, price, lots,
                said.taker_side, said.buy_order_id, said.sell_order_id, client(buyer),
                client(seller), *busts.of(seq, index, book),
            )
        )  # fmt: skip
    return found


def trade_events(applied: Applied) -> NDArray[Any]:
    """The TRADE events of a batch, in their order, which is that of its trades' texts."""
    events: NDArray[Any] = np.frombuffer(applied.events, EVENT)
    found: NDArray[Any] = events[events["kind"] == EventKind.TRADE]
    return found


class _ClientNames:
    """Client ids by number, read of the engine once for each."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}

    def of(self, reporter: Reporter) -> Callable[[int], str]:
        """A function that names clients."""

        def name(client: int) -> str:
            found = self._known.get(client)
            if found is None:
                found = self._known[client] = reporter.client_id(client).decode()
            return found

        return name


def _open_orders(reporter: Reporter) -> Iterator[list[bytes]]:
    """The orders that still work, newest first, some at a time."""
    for status in ("open", "partially_filled"):
        cursor = 0
        while True:
            listed, cursor = reporter.orders_json(None, -1, status, OPEN_ORDERS_PER_READ, cursor)
            yield [text for text in listed if b',"working":true,' in text]
            if not cursor:
                break
