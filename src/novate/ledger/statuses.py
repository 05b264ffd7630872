"""The API's status of an order, as one SQL expression over the columns of `orders`."""

from __future__ import annotations

from typing import Final

from novate.model.rejects import Reason

STATUSES: Final = ("open", "partially_filled", "filled", "cancelled", "rejected")

BY_MARKET: Final = tuple(
    int(each)
    for each in (
        Reason.IMMEDIATE_OR_CANCEL,
        Reason.BOOK_EXHAUSTED,
        Reason.PRICE_PROTECTION,
        Reason.OUTSIDE_PRICE_BAND,
        Reason.AUCTION_OVER,
    )
)
"""Reasons for which an order that was filled in part is called so when it has ended."""

_LISTED = ", ".join(map(str, BY_MARKET))

STATUS_SQL: Final = f"""CASE
 WHEN ended = 2 THEN 'rejected'
 WHEN ended = 1 AND filled_lots > 0 AND reason IN ({_LISTED}) THEN 'partially_filled'
 WHEN ended = 1 THEN 'cancelled'
 WHEN quantity_lots = 0 OR filled_lots = quantity_lots THEN 'filled'
 WHEN filled_lots > 0 THEN 'partially_filled'
 ELSE 'open' END"""
"""A total of 0 is that of an order by quote quantity, which never rests."""


def status_of(ended: int, reason: int, filled_lots: int, quantity_lots: int) -> str:
    """The same in Python."""
    if ended == 2:
        return "rejected"
    if ended == 1:
        return "partially_filled" if filled_lots and reason in BY_MARKET else "cancelled"
    if filled_lots == quantity_lots or not quantity_lots:
        return "filled"
    return "partially_filled" if filled_lots else "open"
