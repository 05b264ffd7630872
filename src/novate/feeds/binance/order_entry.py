"""The exchange as the feed sees it: its public API.

Owns waiting and sending again. What is sent twice happens once: a market order has a key and is
answered as the first time, a limit order has its id, so the exchange refuses a second one, an
amendment sets a total, and a cancel of what is gone says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol
from urllib.parse import quote

import httpx
import msgspec

from novate.feeds import FeedError
from novate.feeds.binance import wire
from novate.feeds.binance.backoff import Backoff
from novate.feeds.binance.grid import Grid
from novate.feeds.binance.operations import Kind, Operation, OrderState, Outcome, TopOfBook

BATCH_MAX: Final = 1_000
"""Operations per batch, the exchange's own limit."""

RETRY_AFTER_SECONDS_MAX: Final = 60.0
_TOO_MUCH: Final = frozenset({429, 503})
_LIST_MAX: Final = 1_000


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


class BatchReply(msgspec.Struct, frozen=True):
    """The answer to a batch: its outcomes in `body`, or a status that says why there are none."""

    status: int
    body: bytes
    retry_after_seconds: float = 0.0


class Batches(Protocol):
    """Carries batches to the exchange."""

    async def send(self, texts: list[str]) -> BatchReply:
        """The answer to a batch of operations; ConnectionError where none came."""
        ...


class ApiOrderEntry:
    """Order entry for one instrument by the public API.

    Args:
        http: A client whose base address is the exchange, for what is asked rarely.
        batches: Carries the operations.
        backoff: Waits between attempts, where the exchange does not say how long.
        attempts_max: Tries in a row without an answer before it gives up.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        batches: Batches,
        instrument: str,
        grid: Grid,
        backoff: Backoff,
        attempts_max: int = 60,
    ) -> None:
        self._http = http
        self._batches = batches
        self._instrument = instrument
        self._grid = grid
        self._backoff = backoff
        self._attempts_max = attempts_max
        self.retries = 0

    async def submit(self, operations: Sequence[Operation]) -> list[Outcome]:
        """The outcomes of up to `BATCH_MAX` operations, in order, each done once.

        Raises:
            FeedError: no answer after every attempt, or one that is none.
        """
        texts = [wire.encode(each, self._instrument, self._grid) for each in operations]
        outcomes: dict[int, Outcome] = {}
        left = list(range(len(operations)))
        lost = False
        while left:
            reply, lost_now = await self._send([texts[at] for at in left])
            lost = lost or lost_now
            answers = wire.decode_answers(reply.body, self._grid)
            if len(answers) != len(left):
                raise FeedError(f"expected {len(left)} outcomes, found {len(answers)}")
            answered = zip(left, answers, strict=True)
            outcomes |= {at: each for at, each in answered if each.status not in _TOO_MUCH}
            left = [at for at in left if at not in outcomes]
            if left:
                await self._wait(0.0)
        if lost:
            await self._resolve_repeats(operations, outcomes)
        return [outcomes[at] for at in range(len(operations))]

    async def _send(self, texts: list[str]) -> tuple[BatchReply, bool]:
        """The result of a batch, and whether it may have been sent more than once."""
        lost = False
        self._backoff.reset()
        for _ in range(self._attempts_max):
            try:
                reply = await self._batches.send(texts)
            except ConnectionError:
                lost = True
                await self._wait(0.0)
                continue
            if reply.status == 200:
                return reply, lost
            if reply.status not in _TOO_MUCH:
                raise FeedError(f"expected outcomes, found {reply.status}: {reply.body[:300]!r}")
            await self._wait(reply.retry_after_seconds)
        raise FeedError("expected an answer to a batch, found none in time")

    async def _resolve_repeats(
        self, operations: Sequence[Operation], outcomes: dict[int, Outcome]
    ) -> None:
        """What the lost reply had already acknowledged: the order tells how a place went."""
        for at, operation in enumerate(operations):
            if operation.kind is Kind.CANCEL and outcomes[at].code == "already_closed":
                outcomes[at] = Outcome(200, outcomes[at].order)
            elif operation.kind is Kind.PLACE and outcomes[at].code == "duplicate_order_id":
                path = f"/orders/{quote(operation.order_id)}"
                response = await self._request("GET", path, expected=(200, 404))
                if response.status_code == 200:
                    outcomes[at] = wire.decode_order(response.content, self._grid)

    async def top_of_book(self) -> TopOfBook:
        """Best bid and ask now."""
        params: dict[str, str | int] = {"instrument": self._instrument, "levels": 1}
        response = await self._request("GET", "/orderbook", params=params)
        return wire.decode_top(response.content, self._grid)

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
                listed, cursor = wire.decode_working_orders(response.content, self._grid)
                states += listed
                if not cursor:
                    break
                params["cursor"] = cursor
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
        expected: tuple[int, ...] = (200,),
    ) -> httpx.Response:
        """An answer with one of the expected statuses; waits and asks again where it pays."""
        self._backoff.reset()
        for _ in range(self._attempts_max):
            try:
                response = await self._http.request(method, path, params=params)
            except httpx.TransportError:
                await self._wait(0.0)
                continue
            if response.status_code in expected:
                return response
            if response.status_code not in _TOO_MUCH:
                raise FeedError(
                    f"expected {expected} from {method} {path}, "
                    f"found {response.status_code}: {response.text[:300]}"
                )
            await self._wait(retry_after_seconds(response))
        raise FeedError(f"expected an answer from {method} {path}, found none in time")

    async def _wait(self, asked_seconds: float) -> None:
        """Wait as long as was asked, or where nothing was, as the backoff says."""
        self.retries += 1
        delay = self._backoff.next_seconds()
        await asyncio.sleep(min(asked_seconds, RETRY_AFTER_SECONDS_MAX) or delay)


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
    return wire.decode_grid(response.content)
