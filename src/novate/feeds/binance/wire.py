"""The exchange's JSON: operations out, answers in. Decimals go over in text, never as floats."""

from __future__ import annotations

from decimal import Decimal
from typing import TypeVar

import msgspec
from msgspec import Raw

from novate.feeds import FeedError
from novate.feeds.binance.grid import Grid
from novate.feeds.binance.operations import (
    Fill,
    Kind,
    Operation,
    OrderState,
    Outcome,
    Side,
    TopOfBook,
)

_T = TypeVar("_T")
ABSENT = Raw()
NULL = b"null"


class _Trade(msgspec.Struct, gc=False):
    quantity: Raw
    buy_order_id: str
    sell_order_id: str
    sequence: int = -1


class _Order(msgspec.Struct, gc=False):
    order_id: str
    side: str
    filled_quantity: Raw
    working: bool
    sequence: int
    quantity: Raw = ABSENT
    reason: str | None = None
    trades: list[_Trade] = []
    trade_count: int | None = None


class _Problem(msgspec.Struct, gc=False):
    status: int = 0
    code: str = ""
    detail: str = ""
    order: _Order | None = None


class _Answer(msgspec.Struct, gc=False):
    status: int
    order: _Order | None = None
    problem: _Problem | None = None


class _Answers(msgspec.Struct):
    outcomes: list[_Answer]


class _OrderList(msgspec.Struct):
    orders: list[_Order]
    cursor: str | int | None = msgspec.field(name="next_cursor", default=None)


class _Level(msgspec.Struct):
    price: Raw
    quantity: Raw


class _Book(msgspec.Struct):
    bids: list[_Level]
    asks: list[_Level]


class _StreamMessage(msgspec.Struct):
    type: str
    request_id: str = ""
    sequence: int = -1
    order: _Order | None = None
    problem: _Problem | None = None
    retry_after: float = 0.0


class _Instrument(msgspec.Struct):
    tick_size: Decimal
    lot_size: Decimal


def encode(operation: Operation, instrument: str, grid: Grid) -> str:
    """An operation as JSON; ids are of an alphabet that needs no escapes.

    A market order's id is its idempotency key as well: its trades are told by its first answer
    alone, so a lost one must be had again.
    """
    order_id, client_id = operation.order_id, operation.client_id
    if operation.kind is Kind.CANCEL:
        return f'{{"op":"cancel","order_id":"{order_id}","client_id":"{client_id}"}}'
    quantity = grid.quantity(operation.quantity_lots)
    if operation.kind is Kind.AMEND:
        return (
            f'{{"op":"amend","order_id":"{order_id}","client_id":"{client_id}",'
            f'"quantity":{quantity}}}'
        )
    price = operation.price_ticks
    form = f'"type":"limit","price":{grid.price(price)}'
    if not price:
        form = f'"type":"market","idempotency_key":"{order_id}"'
    return (
        f'{{"op":"place","order":{{"order_id":"{order_id}","client_id":"{client_id}",'
        f'"instrument":"{instrument}","side":"{operation.side}",{form},"quantity":{quantity}}}}}'
    )


def decode_answers(raw: bytes, grid: Grid) -> list[Outcome]:
    """The outcomes of a batch, as the exchange answered them."""
    outcomes = []
    for answer in decode(raw, _Answers).outcomes:
        problem = answer.problem
        order = answer.order or (problem.order if problem else None)
        code = problem.code if problem else ((order.reason if order else None) or "")
        outcomes.append(_outcome(answer.status, order, code, grid))
    return outcomes


class StreamMessage(msgspec.Struct, frozen=True):
    """What the feed reads of a message of the exchange's stream.

    Attributes:
        request_id: Of the request that it answers, "" of any other message.
        status: 200 of a batch's result, else what the problem says; 0 of any other message.
        text: A problem in words.
        order: Of an order update, how the order stands.
    """

    request_id: str
    status: int
    text: str
    retry_after_seconds: float
    order: OrderState | None


def decode_stream_message(raw: bytes, grid: Grid) -> StreamMessage:
    """A message of `/stream`; the outcomes of a batch's result are left to `decode_answers`."""
    message = decode(raw, _StreamMessage)
    problem = message.problem
    status = problem.status if problem else 200 * (message.type == "batch_result")
    text = f"{problem.code}: {problem.detail}" if problem else ""
    order = None
    if message.type == "order_update" and message.order is not None:
        message.order.sequence = message.sequence
        order = _state(message.order, grid)
    return StreamMessage(message.request_id, status, text, message.retry_after, order)


def decode_order(raw: bytes, grid: Grid) -> Outcome:
    """An order as `GET /orders/{id}` tells it, as the outcome of its placing."""
    return _outcome(201, decode(raw, _Order), "", grid)


def decode_working_orders(raw: bytes, grid: Grid) -> tuple[list[OrderState], str | int | None]:
    """A page of a client's orders, those that can still trade, and the cursor of the next."""
    page = decode(raw, _OrderList)
    return [_state(order, grid) for order in page.orders if order.working], page.cursor


def decode_top(raw: bytes, grid: Grid) -> TopOfBook:
    """The best levels of an order book."""
    book = decode(raw, _Book)
    bid, ask = (
        (grid.ticks(side[0].price), grid.lots(side[0].quantity)) if side else (0, 0)
        for side in (book.bids, book.asks)
    )
    return TopOfBook(*bid, *ask)


def decode_grid(raw: bytes) -> Grid:
    """The grid of an instrument of the exchange."""
    instrument = decode(raw, _Instrument)
    return Grid(instrument.tick_size, instrument.lot_size)


def _state(order: _Order, grid: Grid) -> OrderState:
    filled = grid.lots(order.filled_quantity)
    # An order by quote quantity has no quantity of its own.
    total = filled if bytes(order.quantity) in (b"", NULL) else grid.lots(order.quantity)
    return OrderState(order.order_id, total, filled, order.working, order.sequence)


def _outcome(status: int, order: _Order | None, code: str, grid: Grid) -> Outcome:
    if order is None:
        return Outcome(status, None, code)
    buys = order.side == Side.BUY
    fills = tuple(_fill(trade, buys, grid) for trade in order.trades)
    count = len(fills) if order.trade_count is None else order.trade_count
    return Outcome(status, _state(order, grid), code, fills, count)


def _fill(trade: _Trade, taker_buys: bool, grid: Grid) -> Fill:
    maker = trade.sell_order_id if taker_buys else trade.buy_order_id
    return Fill(maker, grid.lots(trade.quantity), trade.sequence)


def decode(raw: bytes, form: type[_T]) -> _T:
    """JSON of the exchange in the form that is expected of it; FeedError if it is not."""
    try:
        return msgspec.json.decode(raw, type=form)
    except msgspec.DecodeError as error:
        raise FeedError(
            f"expected an answer of the exchange, found {raw[:200]!r}: {error}"
        ) from None
