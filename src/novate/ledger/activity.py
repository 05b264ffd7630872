"""Messages about orders, and markouts, out of the ledger."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from novate.analytics.activity import (
    HORIZONS_S,
    MESSAGES,
    MeanMarkout,
    Messages,
    Quotes,
    TakerSeconds,
    mean_markout,
    taker_seconds,
)
from novate.ledger.schema import order_minutes, quotes, trade_minutes, trades
from novate.model.commands import Side

MINUTE_S: Final = 60
TRADES_MAX: Final = 1_000_000
"""Trades of one question about markouts."""


class PastMessages(NamedTuple):
    """An answer.

    Attributes:
        seq: The last command whose rows the ledger has.
    """

    seq: int
    messages: Messages


class PastMarkouts(NamedTuple):
    """An answer.

    Attributes:
        seq: The last command whose rows the ledger has.
        trades: Trades of the minutes that were asked for.
        traded: Those of takers; None: they are more than `TRADES_MAX`.
        markouts: Theirs, at each of `HORIZONS_S`.
    """

    seq: int
    trades: int
    traded: TakerSeconds | None
    markouts: list[MeanMarkout]


def messages(connection: Connection, instrument: int, first: int, end: int) -> Messages:
    """Messages of an instrument from minute `first` up to and without minute `end`."""
    columns = [order_minutes.c[name] for name in MESSAGES[:-1]]
    asked = sa.select(*(sa.func.coalesce(sa.func.sum(each), 0) for each in columns))
    table = order_minutes.c
    where = (table.instrument == instrument, table.minute >= first, table.minute < end)
    row = connection.execute(asked.where(*where)).one()
    traded = _minutes_traded(connection, instrument, first, end)[0]
    counts = dict(zip(MESSAGES, map(int, row), strict=False))
    return Messages(**counts, trades=traded)


def _minutes_traded(
    connection: Connection, instrument: int, first: int, end: int
) -> tuple[int, int, int]:
    """(trades, first seq, last seq) of an instrument's minutes; zeros where there are none."""
    table = trade_minutes.c
    asked = sa.select(
        sa.func.coalesce(sa.func.sum(table.trade_count), 0),
        sa.func.coalesce(sa.func.min(table.first_seq), 0),
        sa.func.coalesce(sa.func.max(table.last_seq), 0),
    ).where(table.instrument == instrument, table.minute >= first, table.minute < end)
    count, first_seq, last_seq = connection.execute(asked).one()
    return int(count), int(first_seq), int(last_seq)


def markouts(
    connection: Connection, instrument: int, start_s: int, end_s: int, now_s: int
) -> tuple[int, TakerSeconds | None, list[MeanMarkout]]:
    """Markouts of the trades of whole minutes.

    Args:
        connection: The ledger's.
        instrument: Its number.
        start_s: Where the first minute begins, seconds since 1970 UTC.
        end_s: Where the last one ends.
        now_s: The second of the ledger's last command.
    """
    count, first_seq, last_seq = _minutes_traded(
        connection, instrument, start_s // MINUTE_S, end_s // MINUTE_S
    )
    if count > TRADES_MAX:
        return count, None, []
    traded = _traded(connection, instrument, first_seq, last_seq)
    held = _quotes(connection, instrument, start_s, end_s + max(HORIZONS_S))
    return count, traded, [mean_markout(traded, held, now_s, each) for each in HORIZONS_S]


def _traded(connection: Connection, instrument: int, first: int, last: int) -> TakerSeconds:
    table = trades.c
    asked = (
        sa.select(table.timestamp_ns, table.price_ticks, table.quantity_lots, table.taker_side,
                  table.auction)
        .where(table.instrument == instrument, table.seq >= first, table.seq <= last)
        .order_by(table.seq, table.trade_index)
    )  # fmt: skip
    rows = connection.execute(asked).all()
    columns = [np.array(each, np.int64) for each in zip(*rows, strict=True)]
    times, prices, lots, sides, auction = columns or [np.empty(0, np.int64)] * 5
    signs = np.where(auction == 1, 0, np.where(sides == Side.BUY, 1, -1))
    return taker_seconds(times, prices, lots, signs)


def _quotes(connection: Connection, instrument: int, start_s: int, end_s: int) -> Quotes:
    """Seconds, best bids and best asks, from the ones that hold at `start_s` on."""
    table = quotes.c
    own = table.instrument == instrument
    before = sa.select(sa.func.max(table.second)).where(own, table.second <= start_s)
    asked = (
        sa.select(table.second, table.bid_ticks, table.ask_ticks)
        .where(own, table.second >= sa.func.coalesce(before.scalar_subquery(), start_s))
        .where(table.second <= end_s)
        .order_by(table.second)
    )
    rows = connection.execute(asked).all()
    columns = [np.array(each, np.int64) for each in zip(*rows, strict=True)]
    return Quotes(*(columns or [np.empty(0, np.int64)] * 3))
