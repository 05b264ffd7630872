"""Clearing's words: terms, fees, entries, settlement; and the bytes of its commands.

Owns no state. Amounts are whole units of an asset; `docs/clearing.md` has the rules.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, Literal

import msgspec
import numpy as np

from novate.model.commands import COMMAND, CommandKind, Flag, Side
from novate.model.instrument import Instrument

HOUSE: Final = 0xFFFFFFFF
"""`client` of the house's own accounts."""

TIERS_MAX: Final = 16
"""Tiers that fees may have."""

UNITS_MAX: Final = 10**33
"""Most units of an asset that one command may move."""

RATE_MAX: Final = 1_000_000
"""Highest rate of a fee, in millionths of a trade's value: all of it."""

ASSET_SCALE_LEAST: Final = 12
"""Decimals of a base asset's unit, where its lot needs no more."""


class Account(IntEnum):
    """Accounts of an entry; of a client, but for the first three."""

    EXTERNAL = 1
    CLEARING_HOUSE = 2
    FEES = 3
    AVAILABLE = 4
    HELD = 5
    DUE = 6
    SETTLING = 7


class EntryKind(IntEnum):
    """What an entry comes of."""

    DEPOSIT = 1
    WITHDRAWAL = 2
    HOLD = 3
    RELEASE = 4
    TRADE = 5
    FEE = 6
    NETTED = 7
    SETTLED = 8
    BUST = 9
    REFUND = 10


class SettlementState(IntEnum):
    """State of a closed cycle's obligations."""

    OPEN = 1
    INSTRUCTED = 2
    SETTLED = 3
    FAILED = 4


ENTRY: Final = np.dtype(
    {
        "names": [
            "seq",  # sequence of the command
            "reference",  # seq of the trade, number of the cycle, or seq of the command
            "amount_low",  # units, 128 bits: low half
            "amount_high",  # and high half; under 0: taken from the account
            "index",  # place among the command's entries, from 0
            "client",  # number, or HOUSE
            "asset",  # number
            "instrument",  # 0; kept for later
            "reference_index",  # index of the trade; of a hold: trades before it
            "kind",  # EntryKind
            "account",  # Account
        ],
        "formats": ["<u8", "<u8", "<u8", "<i8", "<u4", "<u4", "<u4", "<u4", "<u4", "u1", "u1"],
        "offsets": [0, 8, 16, 24, 32, 36, 40, 44, 48, 52, 53],
        "itemsize": 64,
    }
)  # fmt: skip
"""An entry of the ledger, little-endian, 64 bytes; bytes 54-63 are zero."""


class FeeTier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What clients of a tier pay of a trade's value, in millionths (hundredths of a basis point).

    A maker's rate under 0 is a rebate; it is no more than the taker's fee.
    """

    maker: int = 0
    taker: int = 0

    def sound(self) -> bool:
        """Whether both rates are in their range."""
        return 0 <= self.taker <= RATE_MAX and -self.taker <= self.maker <= RATE_MAX


class ClearingTerms(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """How the trades of one instrument are cleared, set whole by a SET_CLEARING command.

    Attributes:
        mode: `open`: anyone trades, and all is netted at settlement. `funded`: what an order may
            cost is held before, and paid at the match.
        tiers: Fees by tier, from 0; a client of a tier that is not there pays those of 0.
        mark: The price of a position's value, where the operator has set none: the last, or the
            middle of the best bid and ask.
    """

    mode: Literal["open", "funded"] = "open"
    tiers: tuple[FeeTier, ...] = ()
    mark: Literal["last", "mid"] = "last"

    def sound(self) -> bool:
        """Whether these terms can be."""
        return len(self.tiers) <= TIERS_MAX and all(each.sound() for each in self.tiers)


class ClearedTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A trade as the accounts took it: of two orders, or in the place of one that was corrected.

    Attributes:
        buyer, seller: Numbers of its clients.
        buyer_fee, seller_fee: Units of the quote asset that were charged; under 0: a rebate.
        taker_side: Who was the taker; None: nobody, as in an auction.
        cleared: Whether its instrument had terms then; else it is in no account.
    """

    buyer: int
    seller: int
    price_ticks: int
    quantity_lots: int
    buyer_fee: int = 0
    seller_fee: int = 0
    taker_side: Side | None = None
    cleared: bool = True


class TradeCorrection(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A whole trade that is taken back, and the one in its place; text of a CORRECT_TRADE.

    Attributes:
        seq, index: The trade's own.
        instrument, buyer, seller: Their numbers.
        price_ticks, quantity_lots: As it was.
        buyer_fee, seller_fee: Units of the quote asset that are given back.
        new_price_ticks, new_quantity_lots: As it is to be; no lots: it is busted.
        new_buyer_fee, new_seller_fee: What is charged for that.
    """

    seq: int
    index: int
    instrument: int
    buyer: int
    seller: int
    price_ticks: int
    quantity_lots: int
    buyer_fee: int = 0
    seller_fee: int = 0
    new_price_ticks: int = 0
    new_quantity_lots: int = 0
    new_buyer_fee: int = 0
    new_seller_fee: int = 0


def base_scale(instrument: Instrument) -> int:
    """Decimals of the unit in which accounts hold an instrument's base asset."""
    return max(instrument.lot_exponent, ASSET_SCALE_LEAST)


def lot_units(instrument: Instrument) -> int:
    """Units of the base asset in one lot."""
    shift = base_scale(instrument) - instrument.lot_exponent
    return instrument.lot_coefficient * int(10**shift)


def amount_of(low: int, high: int) -> int:
    """An event's 128-bit amount, units, from its `price_ticks` and `quantity_lots`."""
    return (int(high) << 64) | (int(low) & _LOW)


def fee_units(units: int, rate: int) -> int:
    """The fee on a trade of so many quote units: rounded up, so in the house's favour."""
    return -(-units * rate // RATE_MAX)


# --- bytes ----------------------------------------------------------------------------------------

_HEAD: Final = struct.Struct("<BBBBBBBBIIQqqQq16sQHHI")
assert _HEAD.size == COMMAND.itemsize
CYCLES_KEPT: Final = 64
"""Closed cycles that the core keeps; the ledger has all."""

_LOW: Final = 2**64 - 1


def _record(
    kind: CommandKind,
    *,
    instrument: int = 0,
    client_id: bytes = b"",
    number: int = 0,
    price: int = 0,
    quantity: int = 0,
    units: int = 0,
    key_digest: bytes | None = None,
    body_digest: int = 0,
    text: bytes = b"",
) -> bytes:
    """A command of a header, a client's id and a text."""
    body = client_id + text
    flags = 0 if key_digest is None else int(Flag.HAS_KEY)
    head = _HEAD.pack(
        kind, 0, 0, 0, flags, 0, 0, len(client_id), instrument, 0, number, price, quantity,
        units & _LOW, units >> 64, key_digest or bytes(16), body_digest, len(body), 0, 0,
    )  # fmt: skip
    return head + body + bytes(-len(body) % 8)


def pack_set_clearing(instrument: int, terms: ClearingTerms) -> bytes:
    """A SET_CLEARING record."""
    text = msgspec.json.encode(terms)
    return _record(CommandKind.SET_CLEARING, instrument=instrument, text=text)


def pack_set_mark(instrument: int, price_ticks: int) -> bytes:
    """A SET_MARK record; a price of 0 takes the operator's mark back."""
    return _record(CommandKind.SET_MARK, instrument=instrument, price=price_ticks)


def pack_set_tier(client_id: bytes, tier: int) -> bytes:
    """A SET_TIER record."""
    return _record(CommandKind.SET_TIER, client_id=client_id, quantity=tier)


def pack_deposit(
    client_id: bytes,
    asset: int,
    units: int,
    key_digest: bytes | None = None,
    body_digest: int = 0,
) -> bytes:
    """A DEPOSIT record: units of an asset come in for a client."""
    return _record(
        CommandKind.DEPOSIT,
        instrument=asset,
        client_id=client_id,
        units=units,
        key_digest=key_digest,
        body_digest=body_digest,
    )


def pack_withdraw(
    client_id: bytes,
    asset: int,
    units: int,
    key_digest: bytes | None = None,
    body_digest: int = 0,
) -> bytes:
    """A WITHDRAW record: units of an asset go out to a client."""
    return _record(
        CommandKind.WITHDRAW,
        instrument=asset,
        client_id=client_id,
        units=units,
        key_digest=key_digest,
        body_digest=body_digest,
    )


def pack_settle(cycle: int) -> bytes:
    """A SETTLE record: the open cycle closes under this number, greater than the last."""
    return _record(CommandKind.SETTLE, number=cycle)


def pack_move_settlement(cycle: int, state: SettlementState) -> bytes:
    """A MOVE_SETTLEMENT record."""
    return _record(CommandKind.MOVE_SETTLEMENT, number=cycle, quantity=state)


def pack_set_cutoff(at_s: int) -> bytes:
    """A SET_CUTOFF record: when cycles close by themselves, seconds after 00:00 UTC; -1: never."""
    return _record(CommandKind.SET_CUTOFF, quantity=at_s)


def pack_correct_trade(correction: TradeCorrection) -> bytes:
    """A CORRECT_TRADE record."""
    return _record(CommandKind.CORRECT_TRADE, text=msgspec.json.encode(correction))
