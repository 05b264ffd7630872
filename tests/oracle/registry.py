"""Who and what is known: clients, order ids, closed orders, idempotency keys. Lists and dicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from novate.model.instrument import Limits
from novate.model.rejects import Reason
from tests.oracle.book import Order

Ident = tuple[str, str | int]

KeyName = tuple[str | int, str]
"""A key's scope is its client: client and key."""


def ident_of(order: str | int) -> Ident:
    """Numbers and texts are different names, even where they read the same."""
    return ("number", order) if isinstance(order, int) else ("text", order)


class Key(NamedTuple):
    """A key that answers: its name, the client and command that used it, the body, and when."""

    name: KeyName
    client: int
    seq: int
    body: int
    timestamp_ns: int


@dataclass(slots=True)
class Registry:
    """The registry of an engine; `limits` is the one thing here that changes by command."""

    limits: Limits
    clients: list[str | None] = field(default_factory=list)
    orders: dict[Ident, Order] = field(default_factory=dict)
    closed: list[Order] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)

    def client_number(self, name: str | int) -> int | None:
        """A known client's number: by order of appearance, or as it came."""
        if isinstance(name, int):
            return name if name < len(self.clients) else None
        return self.clients.index(name) if name in self.clients else None

    def has_room_for_client(self, name: str | int) -> bool:
        """Whether the client is known or may become so."""
        last = name if isinstance(name, int) else len(self.clients)
        return self.client_number(name) is not None or last < self.limits.clients_max

    def register_client(self, name: str | int) -> int:
        """The client's number; a new name gets the next one, a new number all up to it."""
        if isinstance(name, int):
            self.clients += [None] * (name + 1 - len(self.clients))
            return name
        if name not in self.clients:
            self.clients.append(name)
        return self.clients.index(name)

    def open_orders(self) -> list[Order]:
        """Every open order, the newest first."""
        return [order for order in reversed(self.orders.values()) if order.open]

    def open_count(self) -> int:
        """Number of open orders."""
        return len(self.orders) - len(self.closed)

    def close(self, order: Order) -> None:
        """An order is over: it enters the window of closed orders, and the oldest may leave."""
        order.open = False
        self.closed.append(order)
        self.trim_closed()

    def trim_closed(self) -> None:
        """Forget the oldest closed orders past the window; their ids are free again."""
        while len(self.closed) > self.limits.closed_orders_max:
            oldest = self.closed.pop(0)
            del self.orders[oldest.ident]

    def trim_keys(self) -> None:
        """Forget the oldest keys past a limit that has become smaller."""
        while len(self.keys) > self.limits.idempotency_keys_max:
            self.keys.pop(0)

    def find_key(self, name: KeyName, now_ns: int) -> Key | None:
        """The key with this name, if it still answers."""
        self.expire_keys(now_ns)
        return next((key for key in self.keys if key.name == name), None)

    def expire_keys(self, now_ns: int) -> None:
        """Forget the keys that are as old as the window is long."""
        while self.keys and now_ns - self.keys[0].timestamp_ns >= self.limits.idempotency_window_ns:
            self.keys.pop(0)

    def refuses_key(self, name: KeyName, body: int, now_ns: int) -> Reason:
        """What a key says to a command that brings it; NONE: it is new and there is room."""
        known = self.find_key(name, now_ns)
        if known is None:
            return Reason.NONE
        same = known.body == body
        return Reason.IDEMPOTENCY_KEY_REPEATED if same else Reason.IDEMPOTENCY_KEY_REUSED

    def has_room_for_key(self, client: int | None, now_ns: int) -> bool:
        """Whether another key of this client fits: a quarter each, and no young key is dropped."""
        held = sum(key.client == client for key in self.keys)
        if held >= max(1, self.limits.idempotency_keys_max // 4):
            return False
        if len(self.keys) < self.limits.idempotency_keys_max:
            return True
        age_ns = now_ns - self.keys[0].timestamp_ns if self.keys else 0
        return bool(self.keys) and age_ns >= self.limits.idempotency_window_ns_min

    def keep_key(self, key: Key) -> None:
        """Remember a key; the oldest makes room."""
        while len(self.keys) >= self.limits.idempotency_keys_max:
            self.keys.pop(0)
        self.keys.append(key)
