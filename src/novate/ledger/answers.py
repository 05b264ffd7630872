"""Answers of the history API: questions to the ledger, and their JSON. Blocks.

Averages and sums are computed from exact integers of any size, here and not in SQL.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from novate.ledger import rendering
from novate.ledger.activity import PastMarkouts, PastMessages
from novate.ledger.candles import CandlePage, Span
from novate.ledger.queries import LedgerReader, OrderFilter
from novate.ledger.rendering import Row, time_text
from novate.ledger.settlements import ClosedCycle
from novate.ledger.stored_books import PastMarket
from novate.ledger.wide import join
from novate.model.clearing import ClearedTrade
from novate.model.instrument import Instrument

MINUTE_NS: Final = 60 * 10**9


class ListedOrder(NamedTuple):
    """An order of a list.

    Attributes:
        number: Sequence that placed it.
        created_at: As its JSON says it.
    """

    number: int
    order_id: str
    created_at: str
    body: bytes


class Answers:
    """What a ledger answers, each with the seq up to which it is true.

    Args:
        reader: Asks the ledger.
        partition: First part of every trade id.
    """

    def __init__(self, reader: LedgerReader, partition: int) -> None:
        self._reader = reader
        self._partition = partition

    def close(self) -> None:
        """Let go of the ledger."""
        self._reader.close()

    def seq(self) -> int:
        """The last command whose rows the ledger has."""
        return self._reader.seq()

    def orders(self, wanted: OrderFilter) -> tuple[int, list[ListedOrder]]:
        """Orders, newest first."""
        found = self._reader.orders(wanted)
        return found.seq, [
            ListedOrder(
                row["order_number"],
                row["order_id"],
                time_text(row["created_ns"]),
                rendering.order(row).encode(),
            )
            for row in found.rows
        ]

    def order(self, order_id: str) -> tuple[int, bytes | None]:
        """The newest order of this id as the ledger has it, None: none."""
        found = self._reader.order(order_id)
        return found.seq, rendering.order(found.rows[0]).encode() if found.rows else None

    def order_events(self, order_id: str, limit: int, skipped: int) -> tuple[int, bytes | None]:
        """An order's audit trail, oldest first; None: the ledger has no such order."""
        order = self._reader.order(order_id)
        if not order.rows:
            return order.seq, None
        found = self._reader.order_events(order.rows[0], limit + 1, skipped)
        listed = [rendering.event(row, self._partition) for row in found.rows[:limit]]
        after = f'"{skipped + limit}"' if len(found.rows) > limit else "null"
        body = (
            f'{{"order_id":"{order_id}","count":{len(listed)},"events":[{",".join(listed)}],'
            f'"next_cursor":{after},"ledger_sequence":{found.seq}}}'
        )
        return found.seq, body.encode()

    def trades(
        self, instrument: int, limit: int, before: tuple[int, int] | None, detailed: bool
    ) -> tuple[int, list[bytes]]:
        """Trades, newest first; only those before (seq, index), if given."""
        found = self._reader.trades(instrument, limit, before)
        listed = [rendering.trade(row, self._partition, detailed).encode() for row in found.rows]
        return found.seq, listed

    def cleared_trade(
        self, instrument: int, seq: int, index: int
    ) -> tuple[int, ClearedTrade | None]:
        """A trade of two orders or a correction with what it was charged, None: no such."""
        return self._reader.cleared_trade(instrument, seq, index)

    def stats(self, instrument: Instrument, window: str, start_ns: int, end_ns: int) -> bytes:
        """Trading from the start of one minute to the end of another."""
        first, end = start_ns // MINUTE_NS, -(-end_ns // MINUTE_NS)
        found = self._reader.minutes(instrument.index, first, end)
        grid, bar = _grid(instrument), _Bar(found.rows)
        return (
            f'{{"instrument":"{instrument.name}","window":"{window}",'
            f'"start_time":"{time_text(first * MINUTE_NS)}","end_time":"{time_text(end_ns)}",'
            f'"count":{bar.count},"volume":{rendering.quantity(grid, bar.volume)},'
            f'"quote_volume":{rendering.money(grid, bar.notional)},"vwap":{bar.vwap(grid)},'
            f'"open":{bar.price(grid, bar.open)},"high":{bar.price(grid, bar.high)},'
            f'"low":{bar.price(grid, bar.low)},"last":{bar.price(grid, bar.close)},'
            f'"ledger_sequence":{found.seq}}}'
        ).encode()

    def analytics(
        self, instrument: Instrument, interval: int, start_minute: int, end_minute: int
    ) -> bytes:
        """Aggregates of every interval in which was traded.

        Args:
            instrument: Which one.
            interval: Minutes of one aggregate.
            start_minute: Where the first begins, whole minutes since 1970 UTC.
            end_minute: Where the last ends.
        """
        found = self._reader.minutes(instrument.index, start_minute, end_minute)
        grid = _grid(instrument)
        buckets: dict[int, list[Row]] = {}
        for row in found.rows:
            at = start_minute + (row["minute"] - start_minute) // interval * interval
            buckets.setdefault(at, []).append(row)
        listed = [_aggregate(grid, at, _Bar(rows)) for at, rows in buckets.items()]
        return (
            f'{{"instrument":"{instrument.name}",'
            f'"start_time":"{time_text(start_minute * MINUTE_NS)}",'
            f'"end_time":"{time_text(end_minute * MINUTE_NS)}","interval_minutes":{interval},'
            f'"aggregates":[{",".join(listed)}],"overall_vwap":{_Bar(found.rows).vwap(grid)},'
            f'"ledger_sequence":{found.seq}}}'
        ).encode()

    def candles(self, span: Span) -> CandlePage:
        """The newest candles of a span, as columns: whoever asks has newer ones to add to them."""
        return self._reader.candles(span)

    def market(self, span: Span, time_ns: int) -> PastMarket:
        """The book as it was stored last by a time, and the candles of a span."""
        return self._reader.market(span, time_ns)

    def messages(self, instrument: int, first: int, end: int) -> PastMessages:
        """Messages about orders from minute `first` up to and without minute `end`."""
        return self._reader.messages(instrument, first, end)

    def markouts(self, instrument: int, start_s: int, end_s: int) -> PastMarkouts:
        """Markouts of the trades of whole minutes, given in seconds."""
        return self._reader.markouts(instrument, start_s, end_s)

    def closed_cycle(self, number: int) -> tuple[int, ClosedCycle | None]:
        """A closed cycle in the shapes of the core's accounts, None: no such."""
        return self._reader.closed_cycle(number)

    def closed_cycles(self, before: int, limit: int) -> tuple[int, list[dict[str, Any]]]:
        """Closed cycles of lower numbers, newest first, as the core's accounts say them."""
        return self._reader.closed_cycles(before, limit)

    def statement_lines(
        self, client_id: str, limit: int, before: tuple[int, int] | None
    ) -> tuple[int, list[bytes]]:
        """A client's entries, newest first; only those before (seq, entry), if given."""
        found = self._reader.lines(client_id, limit, before)
        return found.seq, [rendering.line(row, self._partition).encode() for row in found.rows]


class _Bar:
    """Minutes added up; open to close are None where nothing was traded."""

    def __init__(self, rows: Iterable[Row]) -> None:
        listed = list(rows)
        self.count = sum(row["trade_count"] for row in listed)
        self.volume, self.notional, self.prices = (
            sum(join(row[f"{name}_high"], row[f"{name}_low"]) for row in listed)
            for name in ("volume", "notional", "price_sum")
        )
        self.open = listed[0]["open_ticks"] if listed else None
        self.close = listed[-1]["close_ticks"] if listed else None
        self.high = max((row["high_ticks"] for row in listed), default=None)
        self.low = min((row["low_ticks"] for row in listed), default=None)

    @staticmethod
    def price(grid: Row, ticks: int | None) -> str:
        return "null" if ticks is None else rendering.price(grid, ticks)

    def vwap(self, grid: Row) -> str:
        return rendering.average(grid, self.notional, self.volume)


def _aggregate(grid: Row, minute: int, bar: _Bar) -> str:
    high, low = bar.price(grid, bar.high), bar.price(grid, bar.low)
    return (
        f'{{"time_bucket":"{time_text(minute * MINUTE_NS)}","trade_count":{bar.count},'
        f'"total_quantity":{rendering.quantity(grid, bar.volume)},'
        f'"total_volume":{rendering.money(grid, bar.notional)},'
        f'"open":{bar.price(grid, bar.open)},"high":{high},"low":{low},'
        f'"close":{bar.price(grid, bar.close)},'
        f'"avg_price":{rendering.average(grid, bar.prices, bar.count)},'
        f'"min_price":{low},"max_price":{high},"vwap":{bar.vwap(grid)}}}'
    )


def _grid(instrument: Instrument) -> dict[str, Any]:
    return {
        "tick_coefficient": instrument.tick_coefficient,
        "tick_exponent": instrument.tick_exponent,
        "lot_coefficient": instrument.lot_coefficient,
        "lot_exponent": instrument.lot_exponent,
        "quote_units": instrument.quote_units,
        "quote_scale": instrument.quote_scale,
    }


def open_answers(url: str, seconds: float, connections: int, partition: int) -> Answers:
    """The answers of the ledger at a URL; nothing is connected yet."""
    return Answers(LedgerReader(url, seconds, connections), partition)
