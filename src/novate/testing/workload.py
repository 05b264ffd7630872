"""What clients ask of an exchange: a seeded stream of orders and cancels, each with its own key.

Prices walk around one level so that a good part of the orders trade. A `Trader` sends one
operation after the other and sends an operation again, with the same key, until it is answered:
by the same server or by the one that was started after it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from novate.testing.client import Answer, Disconnected, WireClient

RETRIED_STATUSES = (429, 503)
RETRY_SECONDS = 0.02

decode_json = msgspec.json.Decoder(float_hook=Decimal).decode
"""JSON with numbers that have a point as `Decimal`, never as float."""


class Operation(msgspec.Struct, frozen=True):
    """A request.

    Attributes:
        key: Idempotency key, unique to it.
        body: JSON.
        order_id: The order it makes or cancels; "" where the server chooses.
    """

    kind: str
    method: str
    path: str
    client_id: str
    key: str
    body: bytes
    order_id: str = ""


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """Of what a workload is made.

    Attributes:
        cancels: Share of cancels.
        markets: Share of market orders among the orders.
        named: Share of orders that bring their own order_id.
        price_mid: Price around which orders are placed, in ticks of 0.01.
        price_width: Farthest distance from it, in ticks.
    """

    cancels: float = 0.2
    markets: float = 0.2
    named: float = 0.5
    price_mid: int = 10_000
    price_width: int = 20
    instruments: tuple[str, ...] = ("BTC-USD", "ETH-USD")


class Workload:
    """The operations of one client, from a seed."""

    def __init__(self, seed: int, client_id: str, mix: Mix | None = None) -> None:
        self._random = random.Random(f"{seed}/{client_id}")
        self._mix = mix or Mix()
        self.client_id = client_id
        self._count = 0
        self._working: list[str] = []

    def next(self) -> Operation:
        """The next operation."""
        self._count += 1
        key = f"{self.client_id}-{self._count}"
        if self._working and self._random.random() < self._mix.cancels:
            return self._cancel(key)
        return self._place(key)

    def _cancel(self, key: str) -> Operation:
        order_id = self._working.pop(self._random.randrange(len(self._working)))
        body = msgspec.json.encode({"client_id": self.client_id, "idempotency_key": key})
        path = f"/orders/{order_id}/cancel"
        return Operation("cancel", "POST", path, self.client_id, key, body, order_id)

    def _place(self, key: str) -> Operation:
        chance, mix = self._random, self._mix
        order: dict[str, Any] = {
            "client_id": self.client_id,
            "idempotency_key": key,
            "instrument": chance.choice(mix.instruments),
            "side": chance.choice(("buy", "sell")),
            "quantity": f"0.{chance.randint(1, 50):02d}",
        }
        order_id = f"order-{key}" if chance.random() < mix.named else ""
        if order_id:
            order["order_id"] = order_id
        if chance.random() < mix.markets:
            order["type"] = "market"
        else:
            ticks = mix.price_mid + chance.randint(-mix.price_width, mix.price_width)
            order |= {"type": "limit", "price": f"{ticks // 100}.{ticks % 100:02d}"}
        body = msgspec.json.encode(order)
        return Operation("place", "POST", "/orders", self.client_id, key, body, order_id)

    def learn(self, operation: Operation, answer: Answer) -> None:
        """Remember an order that can be cancelled later."""
        if operation.kind == "place" and answer.status == 201:
            order = decode_json(answer.body)
            if order["working"]:
                self._working.append(order["order_id"])


class Trader:
    """One client on one connection; what is answered goes to `settled`.

    Attributes:
        unsettled: The operation that waits for its answer, None between two.
        retries: How often an operation was sent again.
        replayed: How many answers were first answers to a key, given again.
    """

    def __init__(
        self,
        workload: Workload,
        port: int,
        settled: Callable[[Operation, Answer], None],
    ) -> None:
        self._workload = workload
        self._client = WireClient(port)
        self._settled = settled
        self.unsettled: Operation | None = None
        self.retries = 0
        self.replayed = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Send operations until `stop` is set, and then until the last one is answered."""
        while not stop.is_set():
            await self.one()
        await self._client.close()

    async def one(self) -> None:
        """Send one operation, as often as it takes."""
        operation = self.unsettled = self._workload.next()
        while (answer := await self._try(operation)) is None:
            self.retries += 1
            await asyncio.sleep(RETRY_SECONDS)
        self.unsettled = None
        self.replayed += answer.headers.get(b"idempotency-replayed") == b"true"
        self._workload.learn(operation, answer)
        self._settled(operation, answer)

    async def _try(self, operation: Operation) -> Answer | None:
        try:
            answer = await self._client.request(operation.method, operation.path, operation.body)
        except Disconnected:
            return None
        return None if answer.status in RETRIED_STATUSES else answer
