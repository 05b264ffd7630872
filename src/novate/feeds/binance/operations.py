"""What the feed asks of the exchange and what it is told: operations, outcomes. Plain values."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What an operation asks for."""

    PLACE = "place"
    CANCEL = "cancel"
    AMEND = "amend"


class Side(StrEnum):
    """Side of an order."""

    BUY = "buy"
    SELL = "sell"

    @property
    def opposite(self) -> Side:
        """The side it trades with."""
        return Side.SELL if self is Side.BUY else Side.BUY


class Operation(msgspec.Struct, frozen=True, gc=False):
    """One order operation.

    Attributes:
        price_ticks: Limit price of a place; 0 is a market order. Of others: the order's price.
        quantity_lots: Quantity of a place, new total of an amendment; 0 for a cancel.
    """

    kind: Kind
    order_id: str
    client_id: str
    side: Side
    price_ticks: int
    quantity_lots: int


class OrderState(msgspec.Struct, frozen=True, gc=False):
    """An order as the exchange last told it, at sequence `seq`."""

    order_id: str
    quantity_lots: int
    filled_lots: int
    working: bool
    seq: int


class Fill(msgspec.Struct, frozen=True, gc=False):
    """A trade, seen from its resting order."""

    maker_order_id: str
    quantity_lots: int
    seq: int


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The exchange's answer to an operation.

    Attributes:
        status: HTTP status.
        order: The order afterwards, where the answer holds it.
        code: Problem code or reject reason, "" where there is none.
        fills: The order's trades; `trade_count` has them all where the list was cut.
    """

    status: int
    order: OrderState | None = None
    code: str = ""
    fills: tuple[Fill, ...] = ()
    trade_count: int = 0

    @property
    def accepted(self) -> bool:
        """The exchange did what was asked."""
        return self.status in (200, 201)


class TopOfBook(msgspec.Struct, frozen=True):
    """Best bid and ask with what stands there, in ticks and lots; 0 where there is none."""

    bid_ticks: int = 0
    bid_lots: int = 0
    ask_ticks: int = 0
    ask_lots: int = 0
