"""JSON of history: orders and trades to the byte as the exchange writes them from memory.

Numbers are exact decimal text of integers of any size; none passes through a float.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from novate.ledger.statuses import status_of
from novate.ledger.wide import join
from novate.model import codec
from novate.model.clearing import Account, EntryKind
from novate.model.commands import Flag, OrderType, SelfTrade, Side, TimeInForce
from novate.model.events import EventKind
from novate.model.rejects import Reason


class Row(Protocol):
    """A row by the names of its columns."""

    def __getitem__(self, name: str, /) -> Any:
        """A column's value."""
        ...


_SIDES: Final = {int(each): each.name.lower() for each in Side}
_TYPES: Final = {int(each): each.name.lower() for each in OrderType}
_FORCES: Final = {int(each): each.name.lower() for each in TimeInForce}
_SELF_TRADES: Final = {int(each): each.name.lower() for each in SelfTrade}
_REASONS: Final = {int(each): each.name.lower() for each in Reason}
_KINDS: Final = {int(each): each.name.lower() for each in EventKind}
_OF_TRADES: Final = (EntryKind.TRADE, EntryKind.FEE, EntryKind.BUST, EntryKind.REFUND)
_OF_CYCLES: Final = (EntryKind.NETTED, EntryKind.SETTLED)
_NO_LIMIT: Final = 1
"""Bit of an order type that has no limit price."""

AVERAGE_DIGITS: Final = 4
"""Decimals of an average beyond those of the tick."""


def decimal(value: int, exponent: int) -> str:
    """`value * 10**-exponent` as plain decimal text without spare zeros."""
    sign = "-" if value < 0 else ""
    digits = str(abs(value)).rjust(exponent + 1, "0")
    whole, part = (digits[:-exponent], digits[-exponent:]) if exponent else (digits, "")
    part = part.rstrip("0")
    return f"{sign}{whole}.{part}" if part else f"{sign}{whole}"


def time_text(timestamp_ns: int) -> str:
    """Nanoseconds since 1970 UTC as ISO 8601 with microseconds."""
    return codec.format_time(timestamp_ns // 1000).decode()


def price(row: Row, ticks: int) -> str:
    """A price of the row's instrument."""
    return decimal(ticks * row["tick_coefficient"], row["tick_exponent"])


def quantity(row: Row, lots: int) -> str:
    """A quantity of the row's instrument."""
    return decimal(lots * row["lot_coefficient"], row["lot_exponent"])


def money(row: Row, notional: int) -> str:
    """A notional in ticks x lots, as an amount of the quote asset."""
    return decimal(notional * row["quote_units"], row["quote_scale"])


def average(row: Row, notional: int, lots: int) -> str:
    """An average price, half-even to the tick's decimals and four more; null for no lots."""
    if not lots:
        return "null"
    exponent = row["tick_exponent"] + AVERAGE_DIGITS
    scaled = notional * row["tick_coefficient"] * 10**AVERAGE_DIGITS
    whole, rest = divmod(scaled, lots)
    if 2 * rest > lots or (2 * rest == lots and whole % 2):
        whole += 1
    return decimal(whole, exponent)


def order(row: Row) -> str:
    """An order, from its rows in `orders`, `order_names`, `clients`, `instruments` and terms."""
    ended, reason = row["ended"], row["reason"]
    status = status_of(ended, reason, row["filled_lots"], row["quantity_lots"])
    working = not ended and status in ("open", "partially_filled")
    limit = "null" if row["order_type"] & _NO_LIMIT else price(row, row["price_ticks"])
    shown_reason = f'"{_REASONS.get(reason, "unknown")}"' if reason else "null"
    return (
        f'{{"order_id":"{row["order_id"]}","client_id":"{row["client_id"]}",'
        f'"instrument":"{row["name"]}","side":"{_SIDES[row["side"]]}",'
        f'"type":"{_TYPES[row["order_type"]]}",'
        f'"time_in_force":"{_FORCES[row["time_in_force"]]}","price":{limit},'
        f'{_quantities(row)},"status":"{status}","working":{"true" if working else "false"},'
        f'"reason":{shown_reason},"created_at":"{time_text(row["created_ns"])}",'
        f'"updated_at":"{time_text(row["updated_ns"])}","sequence":{row["updated_seq"]}'
        f"{_terms(row)}}}"
    )


def _quantities(row: Row) -> str:
    filled, total = row["filled_lots"], row["quantity_lots"]
    notional = join(row["notional_high"], row["notional_low"])
    mean = f'"average_price":{average(row, notional, filled)}'
    if row["flags"] & Flag.BY_QUOTE:
        asked = decimal(join(row["quote_high"], row["quote_low"]), row["quote_scale"])
        return (
            f'"quantity":null,"filled_quantity":{quantity(row, filled)},'
            f'"remaining_quantity":null,"quote_quantity":{asked},'
            f'"filled_quote_quantity":{money(row, notional)},{mean}'
        )
    return (
        f'"quantity":{quantity(row, total)},"filled_quantity":{quantity(row, filled)},'
        f'"remaining_quantity":{quantity(row, total - filled)},{mean}'
    )


def _terms(row: Row) -> str:
    """What few orders have; the columns are None where an order has no row of terms."""
    parts = []
    if row["stop_price_ticks"]:
        triggered = "true" if row["triggered"] else "false"
        parts.append(f'"stop_price":{price(row, row["stop_price_ticks"])},"triggered":{triggered}')
    if row["display_lots"]:
        parts.append(f'"display_quantity":{quantity(row, row["display_lots"])}')
    if row["minimum_lots"]:
        parts.append(f'"minimum_quantity":{quantity(row, row["minimum_lots"])}')
    if row["expire_ns"]:
        parts.append(f'"expires_at":"{time_text(row["expire_ns"])}"')
    if row["self_trade"]:
        parts.append(f'"self_trade_prevention":"{_SELF_TRADES[row["self_trade"]]}"')
    if row["self_trade_group"]:
        parts.append(f'"self_trade_group":{row["self_trade_group"]}')
    return "".join("," + part for part in parts)


def trade(row: Row, partition: int, detailed: bool) -> str:
    """A trade, from its row and the names that belong to it."""
    bought = row["taker_side"] == Side.BUY
    buyer, seller = ("taker", "maker") if bought else ("maker", "taker")
    side = "null" if row["auction"] else f'"{_SIDES[row["taker_side"]]}"'
    clients = (
        f',"buy_client_id":"{row[f"{buyer}_client_id"]}",'
        f'"sell_client_id":"{row[f"{seller}_client_id"]}"'
    )
    return (
        f'{{"trade_id":"{partition}-{row["seq"]}-{row["trade_index"]}",'
        f'"instrument":"{row["name"]}","price":{price(row, row["price_ticks"])},'
        f'"quantity":{quantity(row, row["quantity_lots"])},'
        f'"buy_order_id":"{row[f"{buyer}_order_id"]}",'
        f'"sell_order_id":"{row[f"{seller}_order_id"]}","taker_side":{side},'
        f'"timestamp":"{time_text(row["timestamp_ns"])}","sequence":{row["seq"]}'
        f"{clients if detailed else ''}{_taken_back(row, partition)}}}"
    )


def _taken_back(row: Row, partition: int) -> str:
    """What a trade has that the operator busted or corrected."""
    if not row["bust_seq"]:
        return ""
    standing, correction = row["correction"], "null"
    if standing is not None:
        correction = (
            f'{{"trade_id":"{partition}-{standing["seq"]}-0",'
            f'"price":{price(row, standing["price_ticks"])},'
            f'"quantity":{quantity(row, standing["quantity_lots"])}}}'
        )
    return f',"busted":true,"bust_sequence":{row["bust_seq"]},"correction":{correction}'


def event(row: Row, partition: int) -> str:
    """One entry of an order's audit trail."""
    is_trade = row["kind"] == EventKind.TRADE
    reason = f'"{_REASONS.get(row["reason"], "unknown")}"' if row["reason"] else "null"
    trade_id = f'"{partition}-{row["seq"]}-{row["trade_index"]}"' if is_trade else "null"
    busted = f',"busted":true,"bust_sequence":{row["bust_seq"]}' if row["bust_seq"] else ""
    limit = price(row, row["price_ticks"]) if row["price_ticks"] else "null"
    left = row["remaining_lots"]
    total = "null" if row["flags"] & Flag.BY_QUOTE else quantity(row, row["quantity_lots"])
    if row["flags"] & Flag.BY_QUOTE:
        left = None
    return (
        f'{{"sequence":{row["seq"]},"event":"{_KINDS[row["kind"]]}",'
        f'"timestamp":"{time_text(row["timestamp_ns"])}","reason":{reason},"price":{limit},'
        f'"quantity":{total},'
        f'"remaining_quantity":{"null" if left is None else quantity(row, left)},'
        f'"trade_id":{trade_id}{busted}}}'
    )


def line(row: Row, partition: int) -> str:
    """A line of a statement: an entry of a client's account."""
    kind, reference = row["kind"], row["reference"]
    of_trade, of_cycle = kind in _OF_TRADES, kind in _OF_CYCLES
    trade_id = f'"{partition}-{reference}-{row["reference_index"]}"' if of_trade else "null"
    amount = decimal(join(row["amount_high"], row["amount_low"]), row["scale"])
    return (
        f'{{"line_id":"{row["seq"]}-{row["entry"]}","sequence":{row["seq"]},'
        f'"timestamp":"{time_text(row["timestamp_ns"])}",'
        f'"kind":"{EntryKind(kind).name.lower()}",'
        f'"account":"{Account(row["account"]).name.lower()}","asset":"{row["asset_name"]}",'
        f'"amount":{amount},"trade_id":{trade_id},"cycle":{reference if of_cycle else "null"}}}'
    )
