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
    """The instruments of orders that were submitted a moment ago, bounded; two generations."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._young: dict[str, Instrument | None] = {}
        self._old: dict[str, Instrument | None] = {}

    def add(self, order_id: str, instrument: Instrument) -> None:
        """Remember an order; one that was given for two instruments is not known any more."""
        if len(self._young) >= self._limit:
            self._old = self._young
            self._young = {}
        elsewhere = self.get(order_id) not in (None, instrument)
        self._young[order_id] = None if elsewhere else instrument

    def get(self, order_id: str) -> Instrument | None:
        """The order's instrument, if it is remembered."""
        if order_id in self._young:
            return self._young[order_id]
        return self._old.get(order_id)
