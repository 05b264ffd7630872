"""The exchange as the feed sees it: its public HTTP API over one kept-alive connection.

Owns sending, waiting and sending again. What is sent twice happens once: an order has its id, so
the exchange refuses a second one, an amendment sets a total, and a cancel of what is gone says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Protocol, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from novate.feeds import FeedError
from novate.feeds.binance.backoff import Backoff
from novate.feeds.binance.messages import Grid
from novate.feeds.binance.operations import Fill, Kind, Operation, OrderState, Outcome, Side

BATCH_MAX: Final = 1_000
"""Operations per request, the exchange's own limit."""

RETRY_AFTER_SECONDS_MAX: Final = 60.0
_TOO_MUCH: Final = frozenset({429, 503})
_LIST_MAX: Final = 1_000
_T = TypeVar("_T")


class _Trade(msgspec.Struct, gc=False):
    quantity: Decimal
    buy_order_id: str
    sell_order_id: str
    sequence: int = -1


class _Order(msgspec.Struct, gc=False):
    order_id: str
    side: str
    filled_quantity: Decimal
    working: bool
    sequence: int
    quantity: Decimal | None = None
    reason: str | None = None
    trades: list[_Trade] = []
    trade_count: int | None = None


class _Problem(msgspec.Struct, gc=False):
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
    price: Decimal
    quantity: Decimal


class _Book(msgspec.Struct):
    bids: list[_Level]
    asks: list[_Level]


class _OrderUpdate(msgspec.Struct):
    type: str
    sequence: int = -1
    order: _Order | None = None


class _Instrument(msgspec.Struct):
    tick_size: Decimal
    lot_size: Decimal


class TopOfBook(msgspec.Struct, frozen=True):
    """Best bid and ask with what stands there, in ticks and lots; 0 where there is none."""

    bid_ticks: int = 0
    bid_lots: int = 0
    ask_ticks: int = 0
    ask_lots: int = 0


class OrderEntry(Protocol):
    """What the feed needs of an exchange."""

    async def submit(self, operations: Sequence[Operation]) -> list[Outcome]:
        """The outcomes of up to `BATCH_MAX` operations, in order, each done once."""
        ...

    async def top_of_book(self) -> TopOfBook:
        """Best bid and ask now."""
        ...

    async def working_orders(self, client_id: str) -> list[OrderState]:
        """Every working order of a client in this instrument."""
        ...


class HttpOrderEntry:
    """Order entry for one instrument over HTTP.

    Args:
        http: A client whose base address is the exchange.
        backoff: Waits between attempts, where the exchange does not say how long.
        attempts_max: Tries in a row without an answer before it gives up.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        instrument: str,
        grid: Grid,
        backoff: Backoff,
        attempts_max: int = 60,
    ) -> None:
        self._http = http
        self._instrument = instrument
        self._grid = grid
        self._backoff = backoff
        self._attempts_max = attempts_max
        self._lost_reply = False
        self.retries = 0

    async def submit(self, operations: Sequence[Operation]) -> list[Outcome]:
        """The outcomes of up to `BATCH_MAX` operations, in order, each done once.

        Raises:
            FeedError: no answer after every attempt, or one that is none.
        """
        texts = [encode(each, self._instrument, self._grid) for each in operations]
        outcomes: dict[int, Outcome] = {}
        open_places = list(range(len(operations)))
        sent_before = False
        while open_places:
            body = f'{{"operations":[{",".join([texts[at] for at in open_places])}]}}'
            response = await self._request("POST", "/orders/batch", content=body.encode())
            sent_before = sent_before or self._lost_reply
            answers = decode_answers(response.content, self._grid)
            if len(answers) != len(open_places):
                raise FeedError(f"expected {len(open_places)} outcomes, found {len(answers)}")
            answered = zip(open_places, answers, strict=True)
            outcomes |= {at: each for at, each in answered if each.status not in _TOO_MUCH}
            open_places = [at for at in open_places if at not in outcomes]
            if open_places:
                await self._wait(response)
        if sent_before:
            await self._resolve_repeats(operations, outcomes)
        return [outcomes[at] for at in range(len(operations))]

    async def _resolve_repeats(
        self, operations: Sequence[Operation], outcomes: dict[int, Outcome]
    ) -> None:
        """A place that the lost reply had already acknowledged: its order tells how it went."""
        for at, operation in enumerate(operations):
            if operation.kind is Kind.PLACE and outcomes[at].code == "duplicate_order_id":
                path = f"/orders/{quote(operation.order_id)}"
                response = await self._request("GET", path, expected=(200, 404))
                if response.status_code == 200:
                    order = _decode(response.content, _Order)
                    outcomes[at] = _outcome(201, order, "", self._grid)

    async def top_of_book(self) -> TopOfBook:
        """Best bid and ask now."""
        params: dict[str, str | int] = {"instrument": self._instrument, "levels": 1}
        response = await self._request("GET", "/orderbook", params=params)
        book = _decode(response.content, _Book)
        bid, ask = self._level(book.bids), self._level(book.asks)
        return TopOfBook(bid[0], bid[1], ask[0], ask[1])

    def _level(self, levels: list[_Level]) -> tuple[int, int]:
        if not levels:
            return 0, 0
        return self._grid.ticks(levels[0].price), self._grid.lots(levels[0].quantity)

    async def working_orders(self, client_id: str) -> list[OrderState]:
        """Every working order of a client in this instrument."""
        states: list[OrderState] = []
        for status in ("open", "partially_filled"):
            params: dict[str, str | int] = {
                "client_id": client_id,
                "instrument": self._instrument,
                "status": status,
                "limit": _LIST_MAX,
            }
            while True:
                response = await self._request("GET", "/orders", params=params)
                page = _decode(response.content, _OrderList)
                states += [_state(order, self._grid) for order in page.orders if order.working]
                if not page.cursor:
                    break
                params["cursor"] = page.cursor
        return states

    async def withdraw(self, client_id: str) -> None:
        """Cancel every order of a client in this instrument."""
        params: dict[str, str | int] = {"client_id": client_id, "instrument": self._instrument}
        await self._request("DELETE", "/orders", params=params, expected=(200, 404))

    async def _request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str | int] | None = None,
        content: bytes | None = None,
        expected: tuple[int, ...] = (200,),
    ) -> httpx.Response:
        """An answer with one of the expected statuses; waits and asks again where it pays."""
        self._lost_reply = False
        headers = {"content-type": "application/json"} if content else None
        self._backoff.reset()
        for _ in range(self._attempts_max):
            try:
                response = await self._http.request(
                    method, path, params=params, content=content, headers=headers
                )
            except httpx.TransportError:
                self._lost_reply = True
                await self._wait(None)
                continue
            if response.status_code in expected:
                return response
            if response.status_code not in _TOO_MUCH:
                raise FeedError(
                    f"expected {expected} from {method} {path}, "
                    f"found {response.status_code}: {response.text[:300]}"
                )
            await self._wait(response)
        raise FeedError(f"expected an answer from {method} {path}, found none in time")

    async def _wait(self, response: httpx.Response | None) -> None:
        self.retries += 1
        delay = self._backoff.next_seconds()
        if response is not None:
            delay = retry_after_seconds(response) or delay
        await asyncio.sleep(delay)


def retry_after_seconds(response: httpx.Response) -> float:
    """What a refusal asks us to wait, within reason; 0 where it asks nothing."""
    text = response.headers.get("retry-after", "")
    usable = text.isdecimal() and len(text) < 10
    return min(float(text), RETRY_AFTER_SECONDS_MAX) if usable else 0.0


async def ensure_instrument(
    http: httpx.AsyncClient, name: str, base: str, quote_asset: str, grid: Grid
) -> Grid:
    """The grid of the instrument on the exchange; it is created if absent.

    Raises:
        FeedError: the exchange refuses to create it, or does not answer.
    """
    path = f"/instruments/{quote(name)}"
    try:
        response = await http.get(path)
        if response.status_code not in (200, 404):
            raise FeedError(f"expected {path}, found {response.status_code}: {response.text[:300]}")
        if response.status_code == 404:
            body = {
                "name": name,
                "base": base,
                "quote": quote_asset,
                "tick_size": format(grid.tick, "f"),
                "lot_size": format(grid.lot, "f"),
            }
            created = await http.post("/admin/instruments", json=body)
            if created.status_code not in (200, 201, 409):
                raise FeedError(f"expected {name} to be created, found {created.text[:300]}")
            response = await http.get(path)
    except httpx.TransportError as error:
        raise FeedError(f"expected an exchange at {http.base_url}, found none: {error}") from None
    found = _decode(response.content, _Instrument)
    return Grid(found.tick_size, found.lot_size)


def encode(operation: Operation, instrument: str, grid: Grid) -> str:
    """An operation as JSON; ids are of an alphabet that needs no escapes."""
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
    form = f'"type":"limit","price":{grid.price(price)}' if price else '"type":"market"'
    return (
        f'{{"op":"place","order":{{"order_id":"{order_id}","client_id":"{client_id}",'
        f'"instrument":"{instrument}","side":"{operation.side}",{form},"quantity":{quantity}}}}}'
    )


def decode_answers(raw: bytes, grid: Grid) -> list[Outcome]:
    """The outcomes of a batch, as the exchange answered them."""
    outcomes = []
    for answer in _answers_of(raw):
        problem = answer.problem
        order = answer.order or (problem.order if problem else None)
        code = problem.code if problem else ((order.reason if order else None) or "")
        outcomes.append(_outcome(answer.status, order, code, grid))
    return outcomes


def decode_order_update(raw: bytes | str, grid: Grid) -> OrderState | None:
    """The order of an `order_update` message; None for any other message of the stream."""
    update = _decode(raw, _OrderUpdate)
    if update.type != "order_update" or update.order is None:
        return None
    update.order.sequence = max(update.order.sequence, update.sequence)
    return _state(update.order, grid)


def _state(order: _Order, grid: Grid) -> OrderState:
    quantity = order.filled_quantity if order.quantity is None else order.quantity
    filled = grid.lots(order.filled_quantity)
    return OrderState(order.order_id, grid.lots(quantity), filled, order.working, order.sequence)


def _outcome(status: int, order: _Order | None, code: str, grid: Grid) -> Outcome:
    if order is None:
        return Outcome(status, None, code)
    buys = order.side == Side.BUY
    fills = tuple(
        Fill(
            trade.sell_order_id if buys else trade.buy_order_id,
            grid.lots(trade.quantity),
            trade.sequence,
        )
        for trade in order.trades
    )
    count = len(fills) if order.trade_count is None else order.trade_count
    return Outcome(status, _state(order, grid), code, fills, count)


def _answers_of(raw: bytes) -> list[_Answer]:
    return _decode(raw, _Answers).outcomes


def _decode(raw: bytes | str, form: type[_T]) -> _T:
    try:
        return msgspec.json.decode(raw, type=form)
    except msgspec.DecodeError as error:
        raise FeedError(
            f"expected an answer of the exchange, found {raw[:200]!r}: {error}"
        ) from None
