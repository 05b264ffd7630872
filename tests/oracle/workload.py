"""Random commands: few prices, few ids and few clients, so that orders meet and ids repeat."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from novate.model.commands import OrderType, Side, TimeInForce
from novate.model.instrument import Limits
from tests.oracle.words import Amend, Cancel, Command, MassCancel, Place

TINY = Limits(
    open_orders_max=16,
    closed_orders_max=12,
    trades_per_instrument_max=5,
    idempotency_keys_max=20,
    idempotency_window_ns=1_000_000_000,
    idempotency_window_ns_min=100_000_000,
    clients_max=5,
    instruments_max=4,
    price_levels_max=4,
)
"""Limits that a few hundred commands reach, every one of them."""

TINIER = msgspec.structs.replace(
    TINY,
    open_orders_max=9,
    closed_orders_max=3,
    trades_per_instrument_max=2,
    idempotency_keys_max=8,
    idempotency_window_ns=500_000_000,
    price_levels_max=2,
)
"""Limits below `TINY`, for a change of limits while orders are open and windows full."""

UUID_SPACE = uuid.UUID("7b2c53de-7c11-4dc1-9f0b-0d3a6f7d9f55")
KINDS = ("place", "cancel", "amend", "mass")
WEIGHTS = (0.62, 0.2, 0.16, 0.02)


def order_name(number: int) -> str:
    """The text id of an order: one in three is a UUID."""
    return str(uuid.uuid5(UUID_SPACE, str(number))) if number % 3 == 0 else f"order-{number}"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a workload draws from; `ids` is how many of the newest ids it comes back to."""

    ids: int = 30
    clients: int = 6
    keys: int = 16
    instruments: int = 3
    price_low: int = 96
    prices: int = 9
    quantity_max: int = 12
    numbered: bool = False


class Workload:
    """An endless stream of commands, the same for the same seed."""

    def __init__(self, seed: int, shape: Shape | None = None) -> None:
        self.shape = shape or Shape()
        self.chance = np.random.default_rng(seed)
        self.made = 0

    def commands(self, count: int) -> Iterator[Command]:
        """The next commands; numbers are drawn in blocks, as one by one they are slow."""
        while count > 0:
            block = self.draw(min(count, 10_000))
            yield from map(self.command, block)
            count -= len(block)

    def draw(self, count: int) -> list[dict[str, Any]]:
        """Rows of drawn numbers, one per command."""
        shape, chance = self.shape, self.chance
        columns = {
            "kind": chance.choice(len(KINDS), count, p=WEIGHTS),
            "id": chance.integers(0, shape.ids, count),
            "client": chance.integers(0, 3 * shape.clients - 2, count) // 3,
            "key": chance.integers(-4 * shape.keys, shape.keys, count),
            "body": chance.integers(0, 4, count) // 3,
            "instrument": chance.integers(0, shape.instruments, count),
            "side": chance.integers(0, 2, count),
            "price": shape.price_low + chance.integers(0, shape.prices, count),
            "quantity": chance.integers(1, shape.quantity_max + 1, count),
            "fresh": chance.integers(0, 3, count),
            "way": chance.integers(0, 20, count),
        }
        names = list(columns)
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def command(self, row: dict[str, Any]) -> Command:
        """The command that a row of numbers means."""
        kind = KINDS[row["kind"]]
        if kind == "place":
            return self.place(row)
        if kind == "mass":
            instrument = row["instrument"] if row["way"] % 2 else -1
            side = row["side"] if row["way"] % 3 else -1
            return MassCancel(self.client(row), instrument, side)
        order = self.order(row)
        key: dict[str, Any] = {} if self.shape.numbered else self.key(row)
        if kind == "cancel":
            return Cancel(order, **key)
        price = row["price"] if row["way"] % 3 != 1 else 0
        quantity = row["quantity"] if row["way"] % 3 != 2 else 0
        return Amend(order, price, quantity, **key)

    def place(self, row: dict[str, Any]) -> Place:
        """A new order, two in three with a new id; mostly limit orders that may rest."""
        if row["fresh"]:
            self.made += 1
            row = {**row, "id": 0}
        way = row["way"]
        by_quote = way == 19
        market = way in (17, 18, 19)
        force = {13: TimeInForce.IOC, 14: TimeInForce.IOC, 15: TimeInForce.FOK, 18: TimeInForce.FOK}
        key = {} if self.shape.numbered else self.key(row)
        return Place(
            client=self.client(row),
            order=self.order(row),
            side=Side(row["side"]),
            quantity=0 if by_quote else row["quantity"],
            price=0 if market else row["price"],
            instrument=row["instrument"],
            type=OrderType.MARKET if market else OrderType.LIMIT,
            force=force.get(way, TimeInForce.GTC),
            post_only=way in (10, 11, 12),
            quote_units=row["quantity"] * row["price"] * 5 if by_quote else 0,
            key=key.get("key"),
            body=key.get("body", 0),
        )

    def order(self, row: dict[str, Any]) -> str | int:
        """The order's id, as text or as a number: one of the last that were made up."""
        number = max(0, self.made - row["id"])
        return number if self.shape.numbered else order_name(number)

    def client(self, row: dict[str, Any]) -> str | int:
        """The client's id, as text or as a number."""
        return int(row["client"]) if self.shape.numbered else f"client-{row['client']}"

    def key(self, row: dict[str, Any]) -> dict[str, Any]:
        """Client, key and body of a keyed command; nothing for four in five."""
        if row["key"] < 0:
            return {}
        return {"client": f"client-{row['client']}", "key": f"k{row['key']}", "body": row["body"]}
