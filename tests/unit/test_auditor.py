"""The auditor: silent where all is well, and it finds each kind of loss."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from novate.testing.auditor import AuditFailed, Auditor
from novate.testing.client import Answer
from novate.testing.workload import Operation, Workload, decode_json

TRADE = {
    "trade_id": "t1", "instrument": "BTC-USD", "price": 100, "quantity": 0.25,
    "buy_order_id": "b", "sell_order_id": "s", "taker_side": "sell",
    "timestamp": "2026-01-01T00:00:00.000000Z", "sequence": 2,
}  # fmt: skip


def order(order_id: str, side: str, filled: float, **changed: Any) -> dict[str, Any]:
    return {
        "order_id": order_id, "client_id": "c", "instrument": "BTC-USD", "side": side,
        "type": "limit", "time_in_force": "gtc", "price": 100, "quantity": 1,
        "filled_quantity": filled, "remaining_quantity": 1 - filled, "working": True,
        "reason": None, "created_at": "2026-01-01T00:00:00.000000Z", "trades": [],
    } | changed  # fmt: skip


def exchange(orders: list[dict[str, Any]], trades: list[dict[str, Any]]) -> Callable[[str], Any]:
    """What an exchange would show, by path."""

    def read(path: str) -> Any:
        if path.startswith("/orders"):
            shown: dict[str, Any] = {"orders": orders, "next_cursor": None}
        else:
            shown = {"trades": [] if "before=" in path else trades}
        return decode_json(msgspec.json.encode(shown))

    return read


def audited() -> Auditor:
    """An auditor that was told of a buy, and of a sell that traded with it."""
    auditor = Auditor()
    for body in (order("b", "buy", 0), order("s", "sell", 0.25, trades=[TRADE])):
        operation = Operation("place", "POST", "/orders", "c", body["order_id"], b"")
        auditor.settled(operation, Answer(201, {}, msgspec.json.encode(body)))
    return auditor


BUY, SELL = order("b", "buy", 0.25), order("s", "sell", 0.25)


def test_it_is_silent_where_all_is_well() -> None:
    assert audited().check(exchange([BUY, SELL], [TRADE]), ("BTC-USD",), ("c",)) == 1


@pytest.mark.parametrize(
    ("orders", "trades", "fault"),
    [
        ([SELL], [TRADE], "b was acknowledged and is gone"),
        ([BUY, BUY, SELL], [TRADE], "b is listed twice"),
        ([BUY, SELL, order("x", "buy", 0)], [TRADE], "x is there and was never acknowledged"),
        ([order("b", "buy", 0.25, price=101), SELL], [TRADE], "price was 100, is 101"),
        ([BUY, order("s", "sell", 0)], [TRADE], "became less"),
        ([order("b", "buy", 0.5), SELL], [TRADE], "its trades sum to 0.25"),
        ([BUY, SELL], [], "trade t1 was answered"),
        ([BUY, SELL], [TRADE, TRADE], "not unique"),
        ([BUY, SELL], [TRADE | {"price": 101}], "beyond the limit"),
        ([order("b", "buy", 0.25, remaining_quantity=0.5), SELL], [TRADE], "remaining 0.5"),
    ],
)
def test_it_finds_what_is_wrong(
    orders: list[dict[str, Any]], trades: list[dict[str, Any]], fault: str
) -> None:
    with pytest.raises(AuditFailed, match=fault):
        audited().check(exchange(orders, trades), ("BTC-USD",), ("c",))


def test_a_workload_is_the_same_for_the_same_seed() -> None:
    first, again, other = (Workload(seed, "c") for seed in (1, 1, 2))
    operations = [first.next() for _ in range(50)]
    assert operations == [again.next() for _ in range(50)]
    assert operations != [other.next() for _ in range(50)]
