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
    """The registry of an engine. Orders and keys stand in the order in which they came."""

    limits: Limits
    clients: list[str | None] = field(default_factory=list)
    orders: dict[Ident, Order] = field(default_factory=dict)
    closed: list[Order] = field(default_factory=list)
    keys: dict[KeyName, Key] = field(default_factory=dict)

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

    def open_count(self) -> int:
        """Number of open orders."""
        return len(self.orders) - len(self.closed)

    def trim_closed(self) -> None:
        """Forget the oldest closed orders past the window; their ids are free again."""
        while len(self.closed) > self.limits.closed_orders_max:
            oldest = self.closed.pop(0)
            del self.orders[oldest.ident]

    def trim_keys(self) -> None:
        """Forget the oldest keys past a limit that has become smaller."""
        while len(self.keys) > self.limits.idempotency_keys_max:
            self.drop_key()

    def oldest_key(self) -> Key:
        """The key that leaves first."""
        return next(iter(self.keys.values()))

    def drop_key(self) -> None:
        """Forget the oldest key."""
        del self.keys[self.oldest_key().name]

    def expire_keys(self, now_ns: int) -> None:
        """Forget the keys that are as old as the window is long."""
        window_ns = self.limits.idempotency_window_ns
        while self.keys and now_ns - self.oldest_key().timestamp_ns >= window_ns:
            self.drop_key()

    def refuses_key(self, name: KeyName, body: int) -> Reason:
        """What a key says to a command that brings it; NONE: it is new."""
        known = self.keys.get(name)
        if known is None:
            return Reason.NONE
        same = known.body == body
        return Reason.IDEMPOTENCY_KEY_REPEATED if same else Reason.IDEMPOTENCY_KEY_REUSED

    def has_room_for_key(self, client: int | None, now_ns: int) -> bool:
        """Whether another key of this client fits: a quarter each, and no young key is dropped."""
        share = max(1, self.limits.idempotency_keys_max // 4)
        if len(self.keys) >= share:
            held = sum(key.client == client for key in self.keys.values())
            if held >= share:
                return False
        if len(self.keys) < self.limits.idempotency_keys_max:
            return True
        if not self.keys:
            return False
        age_ns = now_ns - self.oldest_key().timestamp_ns
        return age_ns >= self.limits.idempotency_window_ns_min

    def keep_key(self, key: Key) -> None:
        """Remember a key; the oldest makes room."""
        while len(self.keys) >= self.limits.idempotency_keys_max:
            self.drop_key()
        self.keys[key.name] = key
