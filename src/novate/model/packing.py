"""Bytes of the rarer commands: what an order says in its extension, and what operators ask.

The usual orders are packed by compiled code in `novate.model.codec`; what is added here stands
between header and text (`EXTENSION`). Owns no state.
"""

from __future__ import annotations

import re
import struct
from itertools import pairwise
from typing import Final

import msgspec

from novate.model.columns import command_columns
from novate.model.commands import (
    ANY_INSTRUMENT,
    COMMAND,
    EXTENSION,
    CommandKind,
    Flag,
    IdKind,
    KillSwitch,
    Phase,
)
from novate.model.instrument import OrderLimits, Rules

_HEAD: Final = COMMAND.itemsize
_BLOCK: Final = EXTENSION.itemsize
_EXTENSION: Final = struct.Struct("<qqqqQIIBBBBBBB9x")
_SESSION: Final = struct.Struct("<I")
_FLAGS_AT: Final = 4
_CLIENT_LENGTH_AT: Final = 7
_INSTRUMENT: Final = struct.Struct("<I")
_INSTRUMENT_AT: Final = 8
_TEXT_LENGTH: Final = struct.Struct("<H")
_TEXT_LENGTH_AT: Final = 80
_SESSION_AT: Final = 44
_SEQ: Final = struct.Struct("<Q")
_ORDER_NUMBER_AT: Final = 16
_EXTENDED: Final = int(Flag.EXTENDED)
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def extend(
    record: bytes,
    *,
    stop_price_ticks: int = 0,
    display_lots: int = 0,
    minimum_lots: int = 0,
    expire_ns: int = 0,
    group: int = 0,
    session: int = 0,
    sets: int = 0,
    self_trade: int = 0,
    link_use: int = 0,
    link_id: bytes | None = None,
    phase: int = 0,
    kill: int = 0,
) -> bytes:
    """A packed command that has no extension yet, with one; the fields are those of `EXTENSION`.

    `link_id` names the linked order as text; a canonical UUID travels in 16 bytes.
    """
    kind, name = _named(link_id)
    block = _EXTENSION.pack(
        stop_price_ticks, display_lots, minimum_lots, expire_ns, 0, group, session, sets,
        self_trade, link_use, kind, len(name), phase, kill,
    )  # fmt: skip
    head = bytearray(record[:_HEAD])
    (size,) = _TEXT_LENGTH.unpack_from(head, _TEXT_LENGTH_AT)
    text = record[_HEAD : _HEAD + size] + name
    head[_FLAGS_AT] |= _EXTENDED
    _TEXT_LENGTH.pack_into(head, _TEXT_LENGTH_AT, len(text))
    return bytes(head) + block + text + bytes(-len(text) % 8)


def with_session(record: bytes, session: int) -> bytes:
    """A PLACE as one of a session's orders."""
    if not record[_FLAGS_AT] & _EXTENDED:
        return extend(record, session=session)
    at = _HEAD + _SESSION_AT
    return record[:at] + _SESSION.pack(session) + record[at + _SESSION.size :]


def _named(link_id: bytes | None) -> tuple[int, bytes]:
    """An id's kind and how it travels."""
    if link_id is None:
        return 0, b""
    if _UUID.fullmatch(link_id):
        return int(IdKind.UUID), bytes.fromhex(link_id.replace(b"-", b"").decode())
    if not 1 <= len(link_id) <= 64:
        raise ValueError(f"link_id: expected 1 to 64 bytes, got {len(link_id)}")
    return int(IdKind.TEXT), link_id


def _command(
    kind: CommandKind, instrument: int = 0, client_id: bytes = b"", text: bytes = b""
) -> bytes:
    """A command of a header, a client's id and a text."""
    head = bytearray(_HEAD)
    head[0] = kind
    head[_CLIENT_LENGTH_AT] = len(client_id)
    _INSTRUMENT.pack_into(head, _INSTRUMENT_AT, instrument)
    _TEXT_LENGTH.pack_into(head, _TEXT_LENGTH_AT, len(client_id) + len(text))
    body = client_id + text
    return bytes(head) + body + bytes(-len(body) % 8)


def pack_advance_time() -> bytes:
    """An ADVANCE_TIME record."""
    return _command(CommandKind.ADVANCE_TIME)


def pack_set_rules(instrument: int, rules: Rules) -> bytes:
    """A SET_RULES record."""
    return _command(CommandKind.SET_RULES, instrument, text=msgspec.json.encode(rules))


def pack_set_client_limits(client_id: bytes, instrument: int, limits: OrderLimits) -> bytes:
    """A SET_CLIENT_LIMITS record."""
    said = msgspec.json.encode(limits)
    return _command(CommandKind.SET_CLIENT_LIMITS, instrument, client_id, said)


def pack_set_phase(instrument: int, phase: Phase, until_ns: int = 0) -> bytes:
    """A SET_PHASE record.

    Args:
        instrument: Its number, -1 for every one.
        phase: The phase.
        until_ns: When CONTINUOUS follows by itself, ns since 1970 UTC; 0: until told.
    """
    number = ANY_INSTRUMENT if instrument < 0 else instrument
    return extend(_command(CommandKind.SET_PHASE, number), phase=phase, expire_ns=until_ns)


def pack_session_open(session: int) -> bytes:
    """A SESSION_OPEN record."""
    return extend(_command(CommandKind.SESSION_OPEN), session=session)


def pack_session_close(session: int) -> bytes:
    """A SESSION_CLOSE record."""
    return extend(_command(CommandKind.SESSION_CLOSE), session=session)


def pack_skip_command(seq: int) -> bytes:
    """A SKIP_COMMAND record: the command of that seq is skipped."""
    return _about(CommandKind.SKIP_COMMAND, seq)


def pack_adopt_rules(version: int) -> bytes:
    """An ADOPT_RULES record: what follows is under this version of the engine's rules."""
    return _about(CommandKind.ADOPT_RULES, version)


def _about(kind: CommandKind, number: int) -> bytes:
    """A command of a header that bears one number."""
    head = bytearray(_command(kind))
    _SEQ.pack_into(head, _ORDER_NUMBER_AT, number)
    return bytes(head)


def skips_of(commands: bytes) -> list[int]:
    """The seqs that the SKIP_COMMANDs at the head of a batch name; mostly none."""
    seqs, at = [], 0
    while at + _HEAD <= len(commands) and commands[at] == CommandKind.SKIP_COMMAND:
        seqs.append(_SEQ.unpack_from(commands, at + _ORDER_NUMBER_AT)[0])
        at += _HEAD  # it is a header alone
    return seqs


def split(commands: bytes) -> list[bytes]:
    """The commands of a batch, one by one; ValueError where the last is not whole."""
    offsets, _ = command_columns(commands)
    borders = [*offsets.tolist(), len(commands)]
    return [commands[at:end] for at, end in pairwise(borders)]


def pack_sessions_lost() -> bytes:
    """A SESSIONS_LOST record."""
    return _command(CommandKind.SESSIONS_LOST)


def pack_cancel_after(client_id: bytes, deadline_ns: int) -> bytes:
    """A CANCEL_AFTER record; a deadline of 0 stops the timer."""
    return extend(_command(CommandKind.CANCEL_AFTER, client_id=client_id), expire_ns=deadline_ns)


def pack_kill(client_id: bytes | None, on: bool) -> bytes:
    """A KILL record; None is the whole venue."""
    switch = (KillSwitch.ON if on else 0) | (KillSwitch.VENUE if client_id is None else 0)
    return extend(_command(CommandKind.KILL, client_id=client_id or b""), kill=int(switch))
