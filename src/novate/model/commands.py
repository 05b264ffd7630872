"""Commands: what is asked of the engine. Fixed-size records, documented field by field.

A command is an 88-byte header (`COMMAND`) followed by `text_length` bytes of text (order id, then
client id, then link id), padded with zeros to a multiple of 8. A batch is the concatenation of its
commands; sequence and time are the batch's. An array of `COMMAND` (no text) is a batch as well:
orders are then named by `order_number` and clients by `client`.

Where `flags` has the bit EXTENDED, a fixed block of 64 bytes (`EXTENSION`) stands between header
and text; `text_length` does not count it. What it holds reads as zero where it is absent, and zero
always means what it meant before there was an extension: an order that uses nothing of it carries
none. An array of `EXTENDED_COMMAND` (no text, every record with the bit) is a batch too.

The header is version 1 (`COMMAND_VERSION`) for ever; journals name the version they were written
in. A later version only appends fields, which read as zero in older records.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

import numpy as np

COMMAND_VERSION: Final = 1

NEWEST_RULES: Final = 3
"""Newest version of the engine's rules that this build knows; it knows all before, from 1."""


class CommandKind(IntEnum):
    """What a command asks for."""

    PLACE = 1
    CANCEL = 2
    AMEND = 3
    MASS_CANCEL = 4
    CREATE_INSTRUMENT = 5
    CONFIGURE = 6
    TAKE_SNAPSHOT = 7
    ADVANCE_TIME = 8
    SET_RULES = 9
    SET_CLIENT_LIMITS = 10
    SET_PHASE = 11
    SESSION_OPEN = 12
    SESSION_CLOSE = 13
    SESSIONS_LOST = 14
    CANCEL_AFTER = 15
    KILL = 16
    SET_CLEARING = 17
    SET_MARK = 18
    SET_TIER = 19
    DEPOSIT = 20
    WITHDRAW = 21
    SETTLE = 22
    MOVE_SETTLEMENT = 23
    SET_CUTOFF = 24
    CORRECT_TRADE = 25
    SKIP_COMMAND = 26
    ADOPT_RULES = 27


class Side(IntEnum):
    """Side of an order."""

    BUY = 0
    SELL = 1


class OrderType(IntEnum):
    """Type of an order. Bit 0: it has no limit price; bit 1: it waits for its stop price."""

    LIMIT = 0
    MARKET = 1
    STOP_LIMIT = 2
    STOP = 3


class TimeInForce(IntEnum):
    """How long an order may trade."""

    GTC = 0
    IOC = 1
    FOK = 2
    DAY = 3
    GTD = 4


class SelfTrade(IntEnum):
    """What happens to an order that is about to trade with an order of its own side's owner."""

    NONE = 0
    CANCEL_NEWEST = 1
    CANCEL_OLDEST = 2
    CANCEL_BOTH = 3
    DECREMENT = 4


class Phase(IntEnum):
    """Phase of an instrument's trading. `docs/matching.md` says what each one allows."""

    CONTINUOUS = 0
    PRE_OPEN = 1
    AUCTION = 2
    HALT = 3
    CANCEL_ONLY = 4
    CLOSED = 5


class LinkUse(IntEnum):
    """What a PLACE names another order for."""

    NONE = 0
    ONE_CANCELS_OTHER = 1
    REPLACES = 2


class Flag(IntFlag):
    """Bits of a command's `flags`."""

    POST_ONLY = 1
    HAS_KEY = 2
    BY_QUOTE = 4
    SET_PRICE = 8
    SET_QUANTITY = 16
    EXTENDED = 32


class Sets(IntFlag):
    """Bits of an extension's `sets`: what an AMEND sets beside price and quantity."""

    STOP_PRICE = 1
    DISPLAY = 2
    EXPIRY = 4
    SELF_TRADE = 8


class KillSwitch(IntFlag):
    """Bits of an extension's `kill`."""

    ON = 1
    VENUE = 2


class IdKind(IntEnum):
    """How an order is named: a number, a UUID in 16 bytes, or text."""

    NUMBER = 0
    UUID = 1
    TEXT = 2


ANY_INSTRUMENT: Final = 0xFFFFFFFF
"""`instrument` of a mass cancel or of a SET_PHASE over all instruments."""

ANY_SIDE: Final = 255
"""`side` of a mass cancel over both sides."""

COMMAND: Final = np.dtype(
    {
        "names": [
            "kind",  # CommandKind
            "side",  # Side, or ANY_SIDE
            "order_type",  # OrderType
            "time_in_force",  # TimeInForce
            "flags",  # Flag bits
            "order_id_kind",  # IdKind
            "order_id_length",  # bytes of the order id in the text; 0 for NUMBER
            "client_id_length",  # bytes of the client id in the text; 0: `client` names it
            "instrument",  # dense number of the instrument, or ANY_INSTRUMENT
            "client",  # client's number, where no text names it
            "order_number",  # the caller's number of the order, for IdKind.NUMBER; of a
            # SKIP_COMMAND: the seq of the command that is skipped; of an ADOPT_RULES: the version
            "price_ticks",  # limit price; 0 for a market order
            "quantity_lots",  # quantity, or an amendment's new total quantity
            "quote_units_low",  # quote quantity of a market order: 128 bits, low half
            "quote_units_high",  # and high half
            "key_digest",  # 16 bytes: digest of client id and idempotency key
            "command_digest",  # 64-bit digest of the request's body
            "text_length",  # bytes of text behind the header, without the padding
        ],
        "formats": [
            "u1", "u1", "u1", "u1", "u1", "u1", "u1", "u1",
            "<u4", "<u4", "<u8", "<i8", "<i8", "<u8", "<i8", "V16", "<u8", "<u2",
        ],
        "offsets": [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32, 40, 48, 56, 72, 80],
        "itemsize": 88,
    }
)  # fmt: skip
"""Header of a command, little-endian, 88 bytes; bytes 82-87 are zero."""

EXTENSION: Final = np.dtype(
    {
        "names": [
            "stop_price_ticks",  # STOP, STOP_LIMIT: where it triggers; else 0
            "display_lots",  # an iceberg's tip; 0: all of it is shown
            "minimum_lots",  # least quantity to trade at once on entry; 0: none
            "expire_ns",  # GTD: when it ends; CANCEL_AFTER: the deadline, 0: no more; SET_PHASE:
            # when CONTINUOUS follows by itself, 0: until told. ns since 1970 UTC
            "link_number",  # number of the linked order, for a link of IdKind.NUMBER
            "group",  # self-trade group; 0: none
            "session",  # PLACE: the session it belongs to, 0: none; SESSION_*: which one
            "sets",  # Sets bits of an AMEND
            "self_trade",  # SelfTrade
            "link_use",  # LinkUse
            "link_kind",  # IdKind of the linked order's id
            "link_length",  # bytes of the linked order's id, the last of the text
            "phase",  # Phase of a SET_PHASE
            "kill",  # KillSwitch bits of a KILL
        ],
        "formats": [
            "<i8", "<i8", "<i8", "<i8", "<u8", "<u4", "<u4",
            "u1", "u1", "u1", "u1", "u1", "u1", "u1",
        ],
        "offsets": [0, 8, 16, 24, 32, 40, 44, 48, 49, 50, 51, 52, 53, 54],
        "itemsize": 64,
    }
)  # fmt: skip
"""What a command says beside its header, little-endian, 64 bytes; bytes 55-63 are zero."""

EXTENDED_COMMAND: Final = np.dtype([("command", COMMAND), ("extension", EXTENSION)])
"""Header and extension as one record of 152 bytes, for arrays."""

SESSIONS_MAX: Final = 65_536
"""Sessions that may be open at a time."""

CLIENT_LIMITS_MAX: Final = 65_536
"""Pairs of a client and an instrument that may have limits of their own."""
