"""Commands: what is asked of the engine. Fixed-size records, documented field by field.

A command is an 88-byte header (`COMMAND`) followed by `text_length` bytes of text (order id, then
client id), padded with zeros to a multiple of 8. A batch is the concatenation of its commands;
sequence and time are the batch's. An array of `COMMAND` (no text) is a batch as well: orders are
then named by `order_number` and clients by `client`.

This layout is version 1 (`COMMAND_VERSION`); journals name the version they were written in. A
later version only appends fields, which read as zero in older records.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

import numpy as np

COMMAND_VERSION: Final = 1


class CommandKind(IntEnum):
    """What a command asks for."""

    PLACE = 1
    CANCEL = 2
    AMEND = 3
    MASS_CANCEL = 4
    CREATE_INSTRUMENT = 5
    CONFIGURE = 6
    TAKE_SNAPSHOT = 7


class Side(IntEnum):
    """Side of an order."""

    BUY = 0
    SELL = 1


class OrderType(IntEnum):
    """Type of an order."""

    LIMIT = 0
    MARKET = 1


class TimeInForce(IntEnum):
    """How long an order may trade."""

    GTC = 0
    IOC = 1
    FOK = 2


class Flag(IntFlag):
    """Bits of a command's `flags`."""

    POST_ONLY = 1
    HAS_KEY = 2
    BY_QUOTE = 4
    SET_PRICE = 8
    SET_QUANTITY = 16


class IdKind(IntEnum):
    """How an order is named: a number, a UUID in 16 bytes, or text."""

    NUMBER = 0
    UUID = 1
    TEXT = 2


ANY_INSTRUMENT: Final = 0xFFFFFFFF
"""`instrument` of a mass cancel over all instruments."""

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
            "order_number",  # the caller's number of the order, for IdKind.NUMBER
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
