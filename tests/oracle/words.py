"""Commands as plain values, and the same commands as the records that the engine takes.

A test says what it asks for with these values; the oracle reads them as they are, the engine reads
the bytes of `to_bytes` (ids as text) or the record of `to_record` (ids as numbers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np

from novate.model import clearing, codec
from novate.model.clearing import ClearingTerms, SettlementState, TradeCorrection
from novate.model.commands import (
    ANY_INSTRUMENT,
    ANY_SIDE,
    COMMAND,
    CommandKind,
    Flag,
    IdKind,
    KillSwitch,
    LinkUse,
    OrderType,
    Phase,
    SelfTrade,
    Sets,
    Side,
    TimeInForce,
)
from novate.model.events import EventKind
from novate.model.instrument import Instrument, Limits, OrderLimits, Rules
from novate.model.rejects import Reason
from tests.oracle.wire import extend


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
    stop_price: int = 0
    display: int = 0
    minimum: int = 0
    expire_ns: int = 0
    group: int = 0
    session: int = 0
    self_trade: SelfTrade = SelfTrade.NONE
    link: str | int | None = None
    link_use: LinkUse = LinkUse.NONE

    @property
    def flags(self) -> int:
        """The flag bits that an accepted or rejected order's event bears."""
        by_quote = int(Flag.BY_QUOTE) if self.quote_units else 0
        extended = int(Flag.EXTENDED) if any(self.extension.values()) else 0
        return by_quote | extended | (int(Flag.POST_ONLY) if self.post_only else 0)

    @property
    def extension(self) -> dict[str, int]:
        """The fields of the extension, but for the link's id."""
        return {
            "stop_price_ticks": self.stop_price,
            "display_lots": self.display,
            "minimum_lots": self.minimum,
            "expire_ns": self.expire_ns,
            "group": self.group,
            "session": self.session,
            "self_trade": self.self_trade,
            "link_use": self.link_use,
        }


@dataclass(frozen=True, slots=True)
class Cancel:
    """Take an order out of the book."""

    order: str | int
    client: str | None = None
    key: str | None = None
    body: int = 0


@dataclass(frozen=True, slots=True)
class Amend:
    """Give an open order a new price, a new total quantity, and so on; 0 leaves as it is.

    A display or a self-trade mode of 0 means something: there None leaves as it is.
    """

    order: str | int
    price: int = 0
    quantity: int = 0
    client: str | None = None
    key: str | None = None
    body: int = 0
    stop_price: int = 0
    expire_ns: int = 0
    display: int | None = None
    self_trade: SelfTrade | None = None

    @property
    def sets(self) -> Sets:
        """What is set beside price and quantity."""
        chosen = {
            Sets.STOP_PRICE: self.stop_price != 0,
            Sets.DISPLAY: self.display is not None,
            Sets.EXPIRY: self.expire_ns != 0,
            Sets.SELF_TRADE: self.self_trade is not None,
        }
        return Sets(sum(bit for bit, on in chosen.items() if on))

    @property
    def extension(self) -> dict[str, int]:
        """The fields of the extension."""
        return {
            "stop_price_ticks": self.stop_price,
            "expire_ns": self.expire_ns,
            "display_lots": self.display or 0,
            "self_trade": self.self_trade or 0,
            "sets": self.sets,
        }


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


@dataclass(frozen=True, slots=True)
class Advance:
    """Time goes on; nothing else."""


@dataclass(frozen=True, slots=True)
class SetRules:
    """The rules of an instrument."""

    rules: Rules
    instrument: int = 0


@dataclass(frozen=True, slots=True)
class SetClientLimits:
    """A client's own limits on an instrument."""

    client: str | int
    limits: OrderLimits
    instrument: int = 0


@dataclass(frozen=True, slots=True)
class SetPhase:
    """A phase of an instrument, or of all (-1); `until_ns` above 0: when it ends by itself."""

    phase: Phase
    instrument: int = 0
    until_ns: int = 0


@dataclass(frozen=True, slots=True)
class SessionOpen:
    """A session opens."""

    session: int


@dataclass(frozen=True, slots=True)
class SessionClose:
    """A session closes, and its orders end."""

    session: int


@dataclass(frozen=True, slots=True)
class Skip:
    """The command of that seq is skipped."""

    skipped_seq: int


@dataclass(frozen=True, slots=True)
class Adopt:
    """The next version of the rules."""

    version: int


@dataclass(frozen=True, slots=True)
class SessionsLost:
    """All open sessions close."""


@dataclass(frozen=True, slots=True)
class CancelAfter:
    """A client's dead-man timer; a deadline of 0: none."""

    client: str | int
    deadline_ns: int


@dataclass(frozen=True, slots=True)
class Kill:
    """The kill switch of a client, or of the venue (None)."""

    client: str | int | None
    on: bool = True


@dataclass(frozen=True, slots=True)
class SetClearing:
    """The terms on which an instrument's trades are cleared."""

    terms: ClearingTerms
    instrument: int = 0


@dataclass(frozen=True, slots=True)
class SetMark:
    """The operator's mark price; 0: none."""

    price: int
    instrument: int = 0


@dataclass(frozen=True, slots=True)
class SetTier:
    """The tier of a client's fees."""

    client: str | int
    tier: int


@dataclass(frozen=True, slots=True)
class Deposit:
    """Units of an asset come in."""

    client: str | int
    asset: int
    units: int
    key: str | None = None
    body: int = 0


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Units of an asset go out."""

    client: str | int
    asset: int
    units: int
    key: str | None = None
    body: int = 0


@dataclass(frozen=True, slots=True)
class Settle:
    """The open cycle closes under a number."""

    cycle: int


@dataclass(frozen=True, slots=True)
class MoveSettlement:
    """What became of a cycle's obligations."""

    cycle: int
    state: SettlementState


@dataclass(frozen=True, slots=True)
class SetCutoff:
    """The time of day at which cycles close by themselves; -1: none."""

    at_s: int


@dataclass(frozen=True, slots=True)
class CorrectTrade:
    """A trade is busted or corrected."""

    correction: TradeCorrection


Operation = (
    Create
    | Configure
    | Snapshot
    | Advance
    | SetRules
    | SetClientLimits
    | SetPhase
    | SessionOpen
    | SessionClose
    | SessionsLost
    | Skip
    | Adopt
    | CancelAfter
    | Kill
    | SetClearing
    | SetMark
    | SetTier
    | Settle
    | MoveSettlement
    | SetCutoff
    | CorrectTrade
)
"""What is nobody's order."""

Command = Place | Cancel | Amend | MassCancel | Deposit | Withdraw | Operation


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


EVENT_KINDS = {int(kind): kind for kind in EventKind}
REASONS = {int(reason): reason for reason in Reason}


def events_of(records: np.ndarray[Any, Any]) -> list[Event]:
    """Event records of the engine as tuples that equal the oracle's."""
    return [
        Event(r[0], EVENT_KINDS[r[1]], r[2], r[3], r[4], REASONS[r[5]], *r[6:])
        for r in records.tolist()
    ]


def encoded(text: str | int | None) -> bytes | None:
    """An id as the bytes that the codec takes."""
    return None if text is None else str(text).encode()


def key_arguments(
    command: Place | Cancel | Amend | MassCancel | Deposit | Withdraw,
) -> tuple[bytes | None, int]:
    """The digests of a command's key and body, as the last arguments of the codec's functions."""
    if command.key is None:
        return None, 0
    return codec.key_digest(encoded(command.client) or b"", command.key.encode()), command.body


def place_to_bytes(command: Place) -> bytes:
    """A place as bytes."""
    order_id, client_id = encoded(command.order), encoded(command.client)
    record = codec.pack_place(
        command.instrument,
        command.side,
        command.type,
        command.force,
        command.flags & ~Flag.EXTENDED,
        command.price,
        command.quantity,
        command.quote_units,
        order_id,
        client_id,
        *key_arguments(command),
    )
    extended = command.flags & Flag.EXTENDED
    return extend(record, command.extension, command.link) if extended else record


def to_bytes(command: Command) -> bytes:
    """A command as the bytes that a journal holds; ids go as text."""
    match command:
        case Place():
            return place_to_bytes(command)
        case Cancel(order, client):
            return codec.pack_cancel(encoded(order), encoded(client), *key_arguments(command))
        case Amend(order, price, quantity, client):
            ids = encoded(order), price, quantity, encoded(client)
            record = codec.pack_amend(*ids, *key_arguments(command))
            return extend(record, command.extension) if command.sets else record
        case MassCancel(client, instrument, side):
            return codec.pack_mass_cancel(
                encoded(client), instrument, side, *key_arguments(command)
            )
        case Deposit() | Withdraw():
            return transfer_to_bytes(command)
        case Create(spec):
            return codec.pack_create_instrument(spec)
        case Configure(limits):
            return codec.pack_configure(limits)
        case Snapshot():
            return codec.pack_take_snapshot()
        case _:
            return operation_to_bytes(command)


def transfer_to_bytes(command: Deposit | Withdraw) -> bytes:
    """Funds in or out as bytes."""
    pack = clearing.pack_deposit if isinstance(command, Deposit) else clearing.pack_withdraw
    client = command.client.encode() if isinstance(command.client, str) else b""
    record = pack(client, command.asset, command.units, *key_arguments(command))
    return numbered(record, command.client)


def numbered(record: bytes, client: str | int) -> bytes:
    """A record whose client may be a number."""
    if isinstance(client, str):
        return record
    return record[:12] + client.to_bytes(4, "little") + record[16:]


def clearing_to_bytes(command: Operation) -> bytes:
    """A command of the clearing house as bytes."""
    match command:
        case SetClearing(terms, instrument):
            return clearing.pack_set_clearing(instrument, terms)
        case SetMark(price, instrument):
            return clearing.pack_set_mark(instrument, price)
        case SetTier(client, tier):
            name = client.encode() if isinstance(client, str) else b""
            return numbered(clearing.pack_set_tier(name, tier), client)
        case Settle(cycle):
            return clearing.pack_settle(cycle)
        case MoveSettlement(cycle, state):
            return clearing.pack_move_settlement(cycle, state)
        case SetCutoff(at_s):
            return clearing.pack_set_cutoff(at_s)
        case CorrectTrade(correction):
            return clearing.pack_correct_trade(correction)
        case _:
            raise AssertionError(command)


def operation_to_bytes(command: Operation) -> bytes:
    """A command that is nobody's order as bytes."""
    match command:
        case Advance():
            return plain(CommandKind.ADVANCE_TIME)
        case SetRules(rules, instrument):
            return plain(CommandKind.SET_RULES, instrument, text=msgspec.json.encode(rules))
        case SetClientLimits(client, limits, instrument):
            said = msgspec.json.encode(limits)
            return plain(CommandKind.SET_CLIENT_LIMITS, instrument, client, said)
        case SetPhase(phase, instrument, until_ns):
            number = ANY_INSTRUMENT if instrument < 0 else instrument
            return extend(
                plain(CommandKind.SET_PHASE, number), {"phase": phase, "expire_ns": until_ns}
            )
        case SessionOpen(session):
            return extend(plain(CommandKind.SESSION_OPEN), {"session": session})
        case SessionClose(session):
            return extend(plain(CommandKind.SESSION_CLOSE), {"session": session})
        case Skip(skipped_seq):
            return plain(CommandKind.SKIP_COMMAND, order=skipped_seq)
        case Adopt(version):
            return plain(CommandKind.ADOPT_RULES, order=version)
        case SessionsLost():
            return plain(CommandKind.SESSIONS_LOST)
        case CancelAfter(client, deadline_ns):
            record = plain(CommandKind.CANCEL_AFTER, client=client)
            return extend(record, {"expire_ns": deadline_ns})
        case Kill(client, on):
            switch = (KillSwitch.ON if on else 0) | (KillSwitch.VENUE if client is None else 0)
            return extend(plain(CommandKind.KILL, client=client), {"kill": switch})
        case _:
            return clearing_to_bytes(command)


def plain(
    kind: CommandKind,
    instrument: int = 0,
    client: str | int | None = None,
    text: bytes = b"",
    order: int = 0,
) -> bytes:
    """A command of a header, a client's id or number, an order's number and a text."""
    record = np.zeros(1, COMMAND)
    record["kind"], record["instrument"], record["order_number"] = kind, instrument, order
    name = client.encode() if isinstance(client, str) else b""
    if isinstance(client, int):
        record["client"] = client
    record["client_id_length"], record["text_length"] = len(name), len(name) + len(text)
    return bytes(record.tobytes()) + name + text + bytes(-len(name + text) % 8)


def to_numbered(command: Command) -> bytes:
    """A command over numbers as bytes."""
    if not isinstance(command, (Place, Cancel, Amend, MassCancel)):
        return to_bytes(command)
    record = bytes(to_record(command).tobytes())
    if isinstance(command, Place) and command.flags & Flag.EXTENDED:
        return extend(record, command.extension, command.link)
    if isinstance(command, Amend) and command.sets:
        return extend(record, command.extension)
    return record


def to_record(command: Place | Cancel | Amend | MassCancel) -> np.ndarray[Any, Any]:
    """A command over numbers as an array of one `COMMAND` record, without its extension."""
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
    record["flags"] = command.flags & ~Flag.EXTENDED
    record["instrument"] = command.instrument
    record["client"], record["order_number"] = command.client, command.order
    record["price_ticks"], record["quantity_lots"] = command.price, command.quantity
    record["quote_units_low"] = command.quote_units & (2**64 - 1)
    record["quote_units_high"] = command.quote_units >> 64
