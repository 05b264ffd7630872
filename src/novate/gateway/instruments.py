"""Which instrument is meant: by its name, or by an order that is still on its way."""

from __future__ import annotations

from typing import Protocol

from novate.model.instrument import Instrument


class OrderBooks(Protocol):
    """What validation asks of an engine."""

    def instruments(self) -> list[Instrument]:
        """Every instrument, by number."""
        ...

    def instrument_index(self, name: str) -> int:
        """The number of an instrument, -1 if there is none."""
        ...


class Instruments:
    """An engine's instruments by name; None is the default one.

    Attributes:
        known: Those that were found already.
    """

    def __init__(self, engine: OrderBooks, default: str) -> None:
        self._engine = engine
        self._default = default
        self.known: dict[str | None, Instrument] = {}

    def find(self, name: str | None) -> Instrument | None:
        """The instrument, None if there is none of this name."""
        found = self.known.get(name)
        if found is None and self._engine.instrument_index(name or self._default) >= 0:
            self.known = {each.name: each for each in self._engine.instruments()}
            if self._default in self.known:
                self.known[None] = self.known[self._default]
            found = self.known.get(name)
        return found

    def all(self) -> list[Instrument]:
        """Every instrument, by number."""
        return self._engine.instruments()


class RecentOrders:
    """Instruments and clients of orders submitted a moment ago, bounded; two generations."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._young: dict[str, tuple[Instrument | None, str]] = {}
        self._old: dict[str, tuple[Instrument | None, str]] = {}

    def add(self, order_id: str, instrument: Instrument, client_id: str) -> None:
        """Remember an order; what was given in two ways for one id is not known any more."""
        if len(self._young) >= self._limit:
            self._old = self._young
            self._young = {}
        before = self._find(order_id)
        known: tuple[Instrument | None, str] = (instrument, client_id)
        if before is not None and before != known:
            known = (
                instrument if before[0] == instrument else None,
                client_id if before[1] == client_id else "",
            )
        self._young[order_id] = known

    def get(self, order_id: str) -> Instrument | None:
        """The order's instrument, if it is remembered."""
        found = self._find(order_id)
        return found[0] if found else None

    def client(self, order_id: str) -> str:
        """The order's client, "" if it is not remembered."""
        found = self._find(order_id)
        return found[1] if found else ""

    def _find(self, order_id: str) -> tuple[Instrument | None, str] | None:
        return self._young.get(order_id) or self._old.get(order_id)
