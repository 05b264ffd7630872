"""Commands as plain values, and the same commands as the records that the engine takes.

A test says what it asks for with these values; the oracle reads them as they are, the engine reads
the bytes of `to_bytes` (ids as text) or the record of `to_record` (ids as numbers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from novate.model import codec
from novate.model.commands import (
    ANY_INSTRUMENT,
    ANY_SIDE,
    COMMAND,
    CommandKind,
    Flag,
    IdKind,
    OrderType,
    Side,
    TimeInForce,
)
from novate.model.events import EventKind
from novate.model.instrument import Instrument, Limits
from novate.model.rejects import Reason


@dataclass(frozen=True, slots=True)
class Place:
    """A new order. `quote_units` above 0 makes it an order by quote quantity."""

    client: str | int
    order: str | int
    side: Side
    quantity: int = 0
    price: int = 0
    instrument: int = 0
    type: OrderType = OrderType.LIMIT
    force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    quote_units: int = 0
    key: str | None = None
    body: int = 0

    @property
    def flags(self) -> int:
        """The flag bits that an accepted or rejected order's event bears."""
        by_quote = Flag.BY_QUOTE if self.quote_units else Flag(0)
        return int(by_quote | (Flag.POST_ONLY if self.post_only else Flag(0)))


@dataclass(frozen=True, slots=True)
class Cancel:
    """Take an order out of the book."""

    order: str | int
    client: str | None = None
    key: str | None = None
    body: int = 0


@dataclass(frozen=True, slots=True)
class Amend:
    """Give an open order a new price, a new total quantity, or both; 0 leaves as it is."""

    order: str | int
    price: int = 0
    quantity: int = 0
    client: str | None = None
    key: str | None = None
    body: int = 0


@dataclass(frozen=True, slots=True)
class MassCancel:
    """Cancel every order of a client; `instrument` and `side` of -1 mean any."""

    client: str | int
    instrument: int = -1
    side: int = -1
    key: str | None = None
    body: int = 0


@dataclass(frozen=True, slots=True)
class Create:
    """A new instrument."""

    spec: Instrument


@dataclass(frozen=True, slots=True)
class Configure:
    """New limits."""

    limits: Limits


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Ask for a snapshot."""


Command = Place | Cancel | Amend | MassCancel | Create | Configure | Snapshot


class Event(NamedTuple):
    """An event record as a tuple, in the order of the fields of `EVENT`."""

    seq: int
    kind: EventKind
    side: int = 255
    order_type: int = 0
    time_in_force: int = 0
    reason: Reason = Reason.NONE
    flags: int = 0
    instrument: int = 0
    index: int = 0
    order: int = 0
    taker: int = 0
    client: int = 0
    taker_client: int = 0
    price: int = 0
    quantity: int = 0
    remaining: int = 0


def events_of(records: np.ndarray[Any, Any]) -> list[Event]:
    """Event records of the engine as tuples that equal the oracle's."""
    return [
        Event(r[0], EventKind(r[1]), r[2], r[3], r[4], Reason(r[5]), *r[6:])
        for r in records.tolist()
    ]


def encoded(text: str | int | None) -> bytes | None:
    """An id as the bytes that the codec takes."""
    return None if text is None else str(text).encode()


def key_arguments(command: Place | Cancel | Amend | MassCancel) -> tuple[bytes | None, int]:
    """The digests of a command's key and body, as the last arguments of the codec's functions."""
    if command.key is None:
        return None, 0
    return codec.key_digest(encoded(command.client) or b"", command.key.encode()), command.body


def place_to_bytes(command: Place) -> bytes:
    """A place as bytes."""
    order_id, client_id = encoded(command.order), encoded(command.client)
    return codec.pack_place(
        command.instrument,
        command.side,
        command.type,
        command.force,
        command.flags,
        command.price,
        command.quantity,
        command.quote_units,
        order_id,
        client_id,
        *key_arguments(command),
    )


def to_bytes(command: Command) -> bytes:
    """A command as the bytes that a journal holds; ids go as text."""
    match command:
        case Place():
            return place_to_bytes(command)
        case Cancel(order, client):
            return codec.pack_cancel(encoded(order), encoded(client), *key_arguments(command))
        case Amend(order, price, quantity, client):
            ids = encoded(order), price, quantity, encoded(client)
            return codec.pack_amend(*ids, *key_arguments(command))
        case MassCancel(client, instrument, side):
            return codec.pack_mass_cancel(
                encoded(client), instrument, side, *key_arguments(command)
            )
        case Create(spec):
            return codec.pack_create_instrument(spec)
        case Configure(limits):
            return codec.pack_configure(limits)
        case Snapshot():
            return codec.pack_take_snapshot()


def to_record(command: Place | Cancel | Amend | MassCancel) -> np.ndarray[Any, Any]:
    """A command over numbers as an array of one `COMMAND` record."""
    record = np.zeros(1, COMMAND)
    match command:
        case Place():
            fill_place(record, command)
        case Cancel(order):
            record["kind"], record["order_number"] = CommandKind.CANCEL, order
        case Amend(order, price, quantity):
            record["kind"], record["order_number"] = CommandKind.AMEND, order
            record["price_ticks"], record["quantity_lots"] = price, quantity
            record["flags"] = (Flag.SET_PRICE if price else 0) | (
                Flag.SET_QUANTITY if quantity else 0
            )
        case MassCancel(client, instrument, side):
            record["kind"], record["client"] = CommandKind.MASS_CANCEL, client
            record["instrument"] = ANY_INSTRUMENT if instrument < 0 else instrument
            record["side"] = ANY_SIDE if side < 0 else side
    record["order_id_kind"] = IdKind.NUMBER
    return record


def fill_place(record: np.ndarray[Any, Any], command: Place) -> None:
    """Write a place over numbers into its record."""
    record["kind"], record["side"] = CommandKind.PLACE, command.side
    record["order_type"], record["time_in_force"] = command.type, command.force
    record["flags"], record["instrument"] = command.flags, command.instrument
    record["client"], record["order_number"] = command.client, command.order
    record["price_ticks"], record["quantity_lots"] = command.price, command.quantity
    record["quote_units_low"] = command.quote_units & (2**64 - 1)
    record["quote_units_high"] = command.quote_units >> 64
