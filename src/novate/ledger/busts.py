"""Trades that the operator took back: what the audit trail says of each.

A bust is an event that names the trade, a correction one behind it at the same seq. The trade in
its place has that seq and index 0, and can be taken back in turn.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from novate.model.events import EventKind

_BUSTED: Final = int(EventKind.TRADE_BUSTED)
_CORRECTED: Final = int(EventKind.TRADE_CORRECTED)


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
