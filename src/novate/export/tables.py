"""The tables of an export: what columns each has, and how a history becomes their rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Context, Decimal, Inexact
from typing import Any, Final, Protocol

import msgspec
import numpy as np

from novate.analytics.candles import Candles, candles, join_candles, merge_candles
from novate.analytics.exact import rounded_half_even
from novate.export.columns import Chunk, Column, ExportError, Kind, Scales
from novate.export.sources import Correction, NamedTrade, Seen, Source, TradeColumns, Wanted
from novate.model.instrument import Instrument

ROWS_PER_CHUNK: Final = 65_536
TRADES_PER_FOLD: Final = 250_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT: Final = Context(prec=100, traps=[Inexact])


class Table(Protocol):
    """A table of an export."""

    @property
    def columns(self) -> list[Column]:
        """Its columns, in order."""

    def chunks(self, source: Source, seen: Seen) -> Iterator[Chunk]:
        """Its rows."""


def _text(*names: str) -> list[Column]:
    return [Column(name, Kind.TEXT) for name in names]


def _decimals(scale: tuple[int, int], *names: str) -> list[Column]:
    return [Column(name, Kind.DECIMAL, *scale) for name in names]


class Rows:
    """Rows that gather until they are a chunk."""

    def __init__(self, columns: list[Column]) -> None:
        self._names = [each.name for each in columns]
        self._rows: list[tuple[Any, ...]] = []

    def add(self, rows: list[tuple[Any, ...]]) -> Iterator[Chunk]:
        """Add rows; gives the chunks that became full."""
        self._rows += rows
        while len(self._rows) >= ROWS_PER_CHUNK:
            yield self._chunk(self._rows[:ROWS_PER_CHUNK])
            self._rows = self._rows[ROWS_PER_CHUNK:]

    def rest(self) -> Iterator[Chunk]:
        """What is left, as the last chunk."""
        if self._rows:
            yield self._chunk(self._rows)
            self._rows = []

    def _chunk(self, rows: list[tuple[Any, ...]]) -> Chunk:
        return dict(zip(self._names, zip(*rows, strict=True), strict=True))


# --- trades -------------------------------------------------------------------------------------


class TradeTable:
    """A row a trade, in the order in which they happened."""

    def __init__(self, scales: Scales) -> None:
        self._scales = scales
        self._factors: dict[int, tuple[int, int, int]] = {}

    @property
    def columns(self) -> list[Column]:
        """Its columns."""
        return [
            *_text("trade_id"),
            Column("sequence", Kind.INTEGER),
            Column("trade_index", Kind.INTEGER),
            Column("timestamp", Kind.TIME),
            *_text("instrument"),
            *_decimals(self._scales.price, "price"),
            *_decimals(self._scales.quantity, "quantity"),
            *_decimals(self._scales.notional, "notional"),
            *_text("taker_side", "buy_order_id", "sell_order_id"),
            *_text("buy_client_id", "sell_client_id"),
            Column("bust_sequence", Kind.INTEGER),
            *_text("correction_trade_id"),
            *_decimals(self._scales.price, "correction_price"),
            *_decimals(self._scales.quantity, "correction_quantity"),
        ]

    def chunks(self, source: Source, seen: Seen) -> Iterator[Chunk]:
        """Its rows."""
        rows = Rows(self.columns)
        wanted, instruments = source.wanted, source.instruments
        for made in source.named_trades(seen):
            found = [
                self._row(instruments[trade.instrument], trade)
                for trade in made
                if trade.instrument in instruments
                and wanted.covers_seq(trade.seq)
                and wanted.covers_time(trade.time_ns)
            ]
            yield from rows.add(found)
        yield from rows.rest()

    def _row(self, instrument: Instrument, trade: NamedTrade) -> tuple[Any, ...]:
        return (
            trade.trade_id, trade.seq, trade.trade_index, trade.time_ns // 1000, instrument.name,
            *self._amounts(instrument, trade.price_ticks, trade.quantity_lots), trade.taker_side,
            trade.buy_order_id, trade.sell_order_id, trade.buy_client_id, trade.sell_client_id,
            trade.bust_seq, *self._corrected(instrument, trade.correction),
        )  # fmt: skip

    def _corrected(
        self, instrument: Instrument, made: Correction | None
    ) -> tuple[str | None, int | None, int | None]:
        """Id, price and quantity of the trade in another's place."""
        if made is None:
            return None, None, None
        price, lots, _ = self._amounts(instrument, made.price_ticks, made.quantity_lots)
        return made.trade_id, price, lots

    def _amounts(self, instrument: Instrument, price: int, lots: int) -> tuple[int, int, int]:
        factors = self._factors.get(instrument.index)
        if factors is None:
            factors = self._factors[instrument.index] = self._scales.factors(instrument)
        per_tick, per_lot, per_both = factors
        return price * per_tick, lots * per_lot, price * lots * per_both


# --- orders -------------------------------------------------------------------------------------


class _Order(msgspec.Struct, gc=False):
    order_id: str
    client_id: str
    instrument: str
    side: str
    type: str
    time_in_force: str
    price: Decimal | None
    quantity: Decimal | None
    filled_quantity: Decimal
    remaining_quantity: Decimal | None
    average_price: Decimal | None
    status: str
    working: bool
    reason: str | None
    created_at: str
    updated_at: str
    sequence: int
    stop_price: Decimal | None = None
    quote_quantity: Decimal | None = None
    filled_quote_quantity: Decimal | None = None


_decode_order = msgspec.json.Decoder(_Order).decode


class OrderTable:
    """A row an order as it ended, in the order of their ends; then those that are open."""

    def __init__(self, scales: Scales) -> None:
        self._scales = scales

    @property
    def columns(self) -> list[Column]:
        """Its columns."""
        scales = self._scales
        return [
            *_text("order_id", "client_id", "instrument", "side", "type", "time_in_force"),
            *_decimals(scales.price, "price", "stop_price"),
            *_decimals(scales.quantity, "quantity", "filled_quantity", "remaining_quantity"),
            *_decimals(scales.notional, "quote_quantity", "filled_quote_quantity"),
            *_decimals(scales.average, "average_price"),
            *_text("status", "reason"),
            Column("created_at", Kind.TIME),
            Column("updated_at", Kind.TIME),
            Column("sequence", Kind.INTEGER),
        ]

    def chunks(self, source: Source, seen: Seen) -> Iterator[Chunk]:
        """Its rows."""
        rows = Rows(self.columns)
        names = {each.name for each in source.instruments.values()}
        for texts in source.orders(seen):
            orders = map(_decode_order, texts)
            yield from rows.add(
                [
                    self._row(order)
                    for order in orders
                    if order.instrument in names and _is_wanted(source.wanted, order)
                ]
            )
        yield from rows.rest()

    def _row(self, order: _Order) -> tuple[Any, ...]:
        scales = self._scales
        prices = (order.price, order.stop_price)
        quantities = (order.quantity, order.filled_quantity, order.remaining_quantity)
        money = (order.quote_quantity, order.filled_quote_quantity)
        return (
            order.order_id, order.client_id, order.instrument, order.side, order.type,
            order.time_in_force,
            *(_scaled(each, scales.price[1]) for each in prices),
            *(_scaled(each, scales.quantity[1]) for each in quantities),
            *(_scaled(each, scales.notional[1]) for each in money),
            _scaled(order.average_price, scales.average[1]),
            order.status, order.reason, _time_us(order.created_at), _time_us(order.updated_at),
            order.sequence,
        )  # fmt: skip


def _is_wanted(wanted: Wanted, order: _Order) -> bool:
    created_ns = _time_us(order.created_at) * 1000
    return wanted.covers_seq(order.sequence) and wanted.covers_time(created_ns)


def _scaled(amount: Decimal | None, scale: int) -> int | None:
    """An amount in units of 10**-scale, exact."""
    if amount is None:
        return None
    try:
        return int(amount.scaleb(scale, _EXACT).to_integral_exact(context=_EXACT))
    except Inexact:
        expected = f"expected at most {scale} decimal places"
        raise ExportError(f"{expected}, found {amount}") from None


def _time_us(text: str) -> int:
    """ISO 8601 UTC with microseconds, as the engine writes it, in us since 1970."""
    passed = datetime.fromisoformat(text) - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


# --- candles ------------------------------------------------------------------------------------


class CandleTable:
    """A row a candle, of each instrument in the order of time; buckets without a trade have none.

    Args:
        interval_ns: Length of a bucket.
    """

    def __init__(self, scales: Scales, interval_ns: int) -> None:
        self._scales = scales
        self._interval_ns = interval_ns
        self._open: dict[int, Candles] = {}

    @property
    def columns(self) -> list[Column]:
        """Its columns."""
        scales = self._scales
        return [
            *_text("instrument"),
            Column("time", Kind.TIME),
            *_decimals(scales.price, "open", "high", "low", "close"),
            *_decimals((38, scales.quantity[1]), "volume"),
            *_decimals(scales.notional, "notional"),
            *_decimals(scales.average, "vwap"),
            Column("trade_count", Kind.INTEGER),
        ]

    def chunks(self, source: Source, seen: Seen) -> Iterator[Chunk]:
        """Its rows."""
        rows = Rows(self.columns)
        gathered: list[TradeColumns] = []
        count = 0
        for made in source.trades(seen):
            gathered.append(made)
            count += len(made.seq)
            if count >= TRADES_PER_FOLD:
                yield from rows.add(self._folded(source, gathered))
                gathered, count = [], 0
        yield from rows.add(self._folded(source, gathered))
        for book, last in self._open.items():
            yield from rows.add(self._rows(source.instruments[book], last))
        yield from rows.rest()

    def _folded(self, source: Source, gathered: list[TradeColumns]) -> list[tuple[Any, ...]]:
        """The candles that these trades bring to their end; those that go on are kept."""
        if not gathered:
            return []
        trades = TradeColumns(*(np.concatenate(each) for each in zip(*gathered, strict=True)))
        wanted = source.wanted
        inside = (trades.seq >= wanted.first_seq) & (trades.seq <= wanted.last_seq)
        inside &= (trades.time_ns >= wanted.since_ns) & (trades.time_ns < wanted.until_ns)
        found: list[tuple[Any, ...]] = []
        for book, instrument in source.instruments.items():
            own = inside & (trades.instrument == book)
            if not own.any():
                continue
            prices, lots = trades.price_ticks[own], trades.quantity_lots[own]
            made = candles(trades.time_ns[own], prices, lots, self._interval_ns)
            if book in self._open:
                made = merge_candles(join_candles(self._open[book], made), self._interval_ns)
            self._open[book] = made.take(slice(-1, None))
            found += self._rows(instrument, made.take(slice(0, -1)))
        return found

    def _rows(self, instrument: Instrument, made: Candles) -> list[tuple[Any, ...]]:
        scales = self._scales
        price, lot, quote = scales.factors(instrument)
        rows = zip(
            made.start_ns.tolist(), made.open_ticks.tolist(), made.high_ticks.tolist(),
            made.low_ticks.tolist(), made.close_ticks.tolist(), made.volume_lots.tolist(),
            made.notional.tolist(), made.trade_count.tolist(), strict=True,
        )  # fmt: skip
        return [
            (instrument.name, start // 1000, first * price, high * price, low * price,
             last * price, volume * lot, notional * quote,
             self._average(instrument, notional, volume), count)
            for start, first, high, low, last, volume, notional, count in rows
        ]  # fmt: skip

    def _average(self, instrument: Instrument, notional: int, volume: int) -> int:
        """Rounded as all averages of the instrument are, then brought to the common scale."""
        rounded = rounded_half_even(notional * instrument.tick_coefficient * 10_000, volume)
        shift: int = 10 ** (self._scales.average[1] - instrument.tick_exponent - 4)
        return rounded * shift
