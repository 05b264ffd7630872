"""Candles out of the ledger: of whole minutes by their sums, of parts of a minute by the trades.

A page is read from its end back, and looks at a bounded number of minutes and of trades; where a
bound ends it, it holds fewer candles than were asked for and says where the next one begins. No
candle in it is cut: of the bucket at which a bound was met nothing is told.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from novate.analytics.candles import (
    SECOND_NS,
    Candles,
    candles,
    join_candles,
    merge_candles,
)
from novate.ledger.schema import trade_minutes, trades
from novate.ledger.wide import join

MINUTE_S: Final = 60
MINUTES_MAX: Final = 45_000
"""Minutes that one page looks at."""

TRADES_MAX: Final = 250_000
"""Trades that one page looks at, one minute's more or less."""

SPLIT_MINUTES_LEAST: Final = 3
"""Minutes whose trades are read however many they are: one may lie behind the span, and two hold
the beginning of a bucket, so that every page has a candle."""

PIECE_TRADES: Final = 10_000
"""Trades after which it is looked whether there are candles enough."""

FETCHED: Final = 50_000
"""Trades in memory at a time."""

_SUMS: Final = ("volume", "notional", "price_sum")


class Span(NamedTuple):
    """Which candles are asked for.

    Attributes:
        instrument: Its number.
        interval_s: Length of a bucket, seconds.
        start_s: Trades from this second on, where a bucket begins.
        end_s: Up to and without this second.
        limit: Most of them; the newest.
    """

    instrument: int
    interval_s: int
    start_s: int
    end_s: int
    limit: int


class CandlePage(NamedTuple):
    """Candles of the ledger.

    Attributes:
        seq: The last command whose trades the ledger has.
        timestamp_ns: Its time.
        candles: Oldest first.
        next_s: There may be older ones: those that begin before this second. 0: there are none.
    """

    seq: int
    timestamp_ns: int
    candles: Candles
    next_s: int


def read(connection: Connection, span: Span) -> tuple[Candles, int]:
    """The newest candles of a span, and where older ones end, 0: there are none."""
    rows, more = _minutes(connection, span)
    found = _none(span)
    read_rows = 0
    for split, run in _runs(rows, span):
        if len(found) > span.limit:
            more = True
            break
        minutes = run[::-1]
        part = _of_trades(connection, span, minutes) if split else _of_minutes(minutes, span)
        found = merge_candles(join_candles(part, found), found.interval_ns)
        read_rows += len(run)
    if more:  # the first bucket may go on in a minute that was not read
        first_ns = int(rows[read_rows - 1].minute) * MINUTE_S * SECOND_NS
        found = found.take(slice(int(np.searchsorted(found.start_ns, first_ns)), None))
    if len(found) > span.limit:
        found, more = found.take(slice(-span.limit, None)), True
    return found, int(found.start_ns[0]) // SECOND_NS if more else 0


def _none(span: Span) -> Candles:
    integers = np.empty(0, np.int64)
    objects = np.empty(0, object)
    return Candles(
        span.interval_s * SECOND_NS,
        *(integers,) * 5, *(objects,) * 3, integers,
    )  # fmt: skip


def _runs(rows: Sequence[Any], span: Span) -> Iterator[tuple[bool, list[Any]]]:
    """Minutes that follow on each other and are read alike, newest first, in pieces."""
    for split, run in itertools.groupby(rows, key=lambda row: is_split(row.minute, span)):
        piece: list[Any] = []
        counted = 0
        for row in run:
            piece.append(row)
            counted += row.trade_count
            if split and counted >= PIECE_TRADES:
                yield split, piece
                piece, counted = [], 0
        if piece:
            yield split, piece


def is_split(minute: int, span: Span) -> bool:
    """Whether a minute's trades are not all of one candle, or not all of the span."""
    first, last = minute * MINUTE_S, minute * MINUTE_S + MINUTE_S - 1
    return last >= span.end_s or first // span.interval_s != last // span.interval_s


def _minutes(connection: Connection, span: Span) -> tuple[list[Any], bool]:
    """Minutes with trades, newest first, as many as a page may need; whether there are older."""
    minute = trade_minutes.c.minute
    # A bucket reaches into so many minutes; of the newest minute all may lie behind the span.
    wanted = min(MINUTES_MAX, span.limit * (span.interval_s // MINUTE_S + 2) + 1)
    query = (
        sa.select(trade_minutes)
        .where(trade_minutes.c.instrument == span.instrument)
        .where(minute >= span.start_s // MINUTE_S, minute < -(-span.end_s // MINUTE_S))
        .order_by(minute.desc())
        .limit(wanted + 1)
    )
    rows = list(connection.execute(query).all())
    kept = min(wanted, _within_trades(rows, span))
    return rows[:kept], kept < len(rows)


def _within_trades(rows: Sequence[Any], span: Span) -> int:
    """How many of the newest minutes, newest first, have no more trades to read than allowed."""
    counted = split = 0
    for place, row in enumerate(rows):
        if is_split(row.minute, span):
            split += 1
            counted += row.trade_count
            if counted > TRADES_MAX and split > SPLIT_MINUTES_LEAST:
                return place
    return len(rows)


def _of_minutes(rows: Sequence[Any], span: Span) -> Candles:
    """Candles of minutes that are each within one bucket."""
    interval_ns = span.interval_s * SECOND_NS
    start_ns = _column(rows, "minute") * MINUTE_S * SECOND_NS
    wide = {
        name: np.array(
            [join(getattr(row, f"{name}_high"), getattr(row, f"{name}_low")) for row in rows],
            object,
        )
        for name in _SUMS
    }
    found = Candles(
        interval_ns=interval_ns,
        start_ns=start_ns // interval_ns * interval_ns,
        open_ticks=_column(rows, "open_ticks"),
        high_ticks=_column(rows, "high_ticks"),
        low_ticks=_column(rows, "low_ticks"),
        close_ticks=_column(rows, "close_ticks"),
        volume_lots=wide["volume"],
        notional=wide["notional"],
        price_sum_ticks=wide["price_sum"],
        trade_count=_column(rows, "trade_count"),
    )
    return merge_candles(found, interval_ns)


def _column(rows: Sequence[Any], name: str) -> NDArray[np.int64]:
    return np.array([getattr(row, name) for row in rows], np.int64)


def _of_trades(connection: Connection, span: Span, rows: Sequence[Any]) -> Candles:
    """Candles of the trades of minutes between which nothing was traded, within the span."""
    query = (
        sa.select(trades.c.timestamp_ns, trades.c.price_ticks, trades.c.quantity_lots)
        .where(trades.c.instrument == span.instrument)
        .where(trades.c.seq >= rows[0].first_seq, trades.c.seq <= rows[-1].last_seq)
        .order_by(trades.c.seq, trades.c.trade_index)
    )
    found = _none(span)
    result = connection.execution_options(yield_per=FETCHED).execute(query)
    for chunk in result.partitions():
        columns = [np.array(each, np.int64) for each in zip(*chunk, strict=True)]
        seconds = columns[0] // SECOND_NS
        within = (seconds >= span.start_s) & (seconds < span.end_s)
        times, prices, lots = (each[within] for each in columns)
        found = join_candles(found, candles(times, prices, lots, found.interval_ns))
    return merge_candles(found, found.interval_ns)
