"""Trades that the operator took back: what the audit trail says of each.

A bust is an event that names the trade, a correction one behind it at the same seq. The trade in
its place has that seq and index 0, and can be taken back in turn.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from novate.model.clearing import ClearedTrade, EntryKind, amount_of
from novate.model.commands import Side
from novate.model.events import EventKind

_BUSTED: Final = int(EventKind.TRADE_BUSTED)
_CORRECTED: Final = int(EventKind.TRADE_CORRECTED)
_CHARGED: Final = int(EventKind.FEE_CHARGED)


def bust_seq(trade: str) -> str:
    """SQL of the seq at which a trade was taken back, 0: it was not; by an index.

    Args:
        trade: What its row of `trades` is called.
    """
    return (
        "coalesce((SELECT b.seq FROM order_events b"
        f" WHERE b.order_number = {trade}.seq AND b.order_number <> b.seq AND b.kind = {_BUSTED}"
        f" AND b.event_index = {trade}.trade_index AND b.instrument = {trade}.instrument LIMIT 1),"
        " 0) AS bust_seq"
    )


# From one correction to the next, for as long as each was taken back in turn.
_STANDING: Final = f"""WITH RECURSIVE taken (seq, step) AS (
 SELECT CAST(:bust_seq AS BIGINT), 0
 UNION ALL SELECT b.seq, taken.step + 1 FROM taken JOIN order_events b
 ON b.order_number = taken.seq AND b.order_number <> b.seq AND b.kind = {_BUSTED}
 AND b.event_index = 0 AND b.instrument = :instrument)
 SELECT c.seq, c.price_ticks, c.quantity_lots FROM (
 SELECT seq FROM taken ORDER BY step DESC LIMIT 1) last
 JOIN order_events c ON c.seq = last.seq AND c.kind = {_CORRECTED}"""


def with_correction(connection: Connection, row: RowMapping) -> dict[str, Any]:
    """A trade's row, with the trade that stands in its place now: `correction`, or None.

    Args:
        connection: The ledger, in the transaction that read the row.
        row: It, with its `bust_seq`.
    """
    found = dict(row)
    found["correction"] = None
    if row["bust_seq"]:
        values = {"bust_seq": row["bust_seq"], "instrument": row["instrument"]}
        found["correction"] = connection.execute(sa.text(_STANDING), values).mappings().first()
    return found


_MADE: Final = f"""SELECT t.position, t.price_ticks, t.quantity_lots, t.taker_side, t.auction,
 CASE t.taker_side WHEN {int(Side.BUY)} THEN t.taker_client ELSE t.maker_client END AS buyer,
 CASE t.taker_side WHEN {int(Side.BUY)} THEN t.maker_client ELSE t.taker_client END AS seller,
 EXISTS (SELECT 1 FROM ledger_transfers f WHERE f.seq = t.seq AND f.reference = t.seq
 AND f.reference_index = t.trade_index AND f.kind = {int(EntryKind.TRADE)}) AS cleared
 FROM trades t WHERE t.instrument = :instrument AND t.seq = :seq AND t.trade_index = :trade_index"""

_IN_PLACE: Final = f"""SELECT c.position, c.price_ticks, c.quantity_lots, 0 AS taker_side,
 1 AS auction, c.client AS buyer, c.other_client AS seller, 1 AS cleared
 FROM order_events c WHERE c.seq = :seq AND c.kind = {_CORRECTED} AND c.instrument = :instrument"""

# From a correction back to the trade of two orders that was corrected first of all.
_FIRST: Final = f"""WITH RECURSIVE back (seq, trade_index, step) AS (
 SELECT c.order_number, c.event_index, 0 FROM order_events c
 WHERE c.seq = :seq AND c.kind = {_CORRECTED} AND c.instrument = :instrument
 UNION ALL SELECT c.order_number, c.event_index, back.step + 1 FROM back JOIN order_events c
 ON c.seq = back.seq AND back.trade_index = 0 AND c.kind = {_CORRECTED}
 AND c.instrument = :instrument)
 SELECT t.taker_side, t.auction FROM (
 SELECT seq, trade_index FROM back ORDER BY step DESC LIMIT 1) earliest
 JOIN trades t ON t.instrument = :instrument AND t.seq = earliest.seq
 AND t.trade_index = earliest.trade_index"""

_BEHIND: Final = """SELECT position, kind, side, event_index, price_ticks, quantity_lots
 FROM order_events WHERE seq = :seq AND position > :position AND position <= :position + 2
 ORDER BY position"""


def cleared_trade(
    connection: Connection, instrument: int, seq: int, trade_index: int
) -> ClearedTrade | None:
    """A trade as the accounts took it, with the fees that were charged; None: there is none.

    One that stands in another's place has the taker of the trade that was corrected first.
    """
    values = {"instrument": instrument, "seq": seq, "trade_index": trade_index}
    row = connection.execute(sa.text(_MADE), values).mappings().first()
    sides: RowMapping | None = row
    if row is None and trade_index == 0:
        row = connection.execute(sa.text(_IN_PLACE), values).mappings().first()
        sides = connection.execute(sa.text(_FIRST), values).mappings().first() or row
    if row is None or sides is None:
        return None
    fees = _charged(connection, seq, trade_index, row["position"])
    return ClearedTrade(
        buyer=row["buyer"],
        seller=row["seller"],
        price_ticks=row["price_ticks"],
        quantity_lots=row["quantity_lots"],
        buyer_fee=fees[Side.BUY],
        seller_fee=fees[Side.SELL],
        taker_side=None if sides["auction"] else Side(sides["taker_side"]),
        cleared=bool(row["cleared"]),
    )


def _charged(connection: Connection, seq: int, trade_index: int, position: int) -> dict[Side, int]:
    """The fees of a trade by side: events of its index, with nothing between it and them."""
    fees = {Side.BUY: 0, Side.SELL: 0}
    values = {"seq": seq, "position": position}
    for at, row in enumerate(connection.execute(sa.text(_BEHIND), values), position + 1):
        if (row.position, row.kind, row.event_index) != (at, _CHARGED, trade_index):
            break
        fees[Side(row.side)] = amount_of(row.price_ticks, row.quantity_lots)
    return fees
