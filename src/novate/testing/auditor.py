"""Checks an exchange from the outside: what was acknowledged against what it now shows.

It is told every answer that clients got, and later reads all orders and trades over HTTP. It
knows nothing of the inside, so that what it finds is what a client would find.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from novate.testing.client import Answer
from novate.testing.workload import Operation, decode_json

Read = Callable[[str], Any]
"""Reads a path of the exchange and gives its decoded JSON."""

TERMS = (
    "order_id", "client_id", "instrument", "side", "type", "time_in_force", "price", "quantity",
    "created_at",
)  # fmt: skip
FAULTS_SHOWN_MAX = 20


class AuditFailed(AssertionError):
    """The exchange does not show what it acknowledged; lists what is wrong."""


class Auditor:
    """Collects acknowledgements and compares.

    Attributes:
        placed: Acknowledged orders by order_id, as they were first answered.
        cancelled: Order ids whose cancel was acknowledged.
        statuses: How many answers there were by (kind, status).
    """

    def __init__(self) -> None:
        self.placed: dict[str, dict[str, Any]] = {}
        self.cancelled: set[str] = set()
        self.statuses: Counter[tuple[str, int]] = Counter()
        self._faults: list[str] = []
        self._keys: set[str] = set()

    def settled(self, operation: Operation, answer: Answer) -> None:
        """Note the answer to an operation; a 4xx that this workload can't earn is a fault."""
        self.statuses[operation.kind, answer.status] += 1
        if operation.key in self._keys:
            self._fault(f"key {operation.key} was settled twice")
        self._keys.add(operation.key)
        body = decode_json(answer.body)
        if operation.kind == "place" and answer.status == 201:
            self._note_placed(operation, body)
        elif operation.kind == "cancel" and answer.status == 200:
            self.cancelled.add(operation.order_id)
        elif not (operation.kind == "cancel" and answer.status == 409):
            self._fault(f"{operation.key}: {operation.kind} was answered {answer.status}: {body}")

    def _note_placed(self, operation: Operation, order: dict[str, Any]) -> None:
        order_id = order["order_id"]
        if operation.order_id and order_id != operation.order_id:
            self._fault(f"{operation.key}: asked for {operation.order_id}, got {order_id}")
        if order_id in self.placed:
            self._fault(f"{operation.key}: {order_id} was acknowledged before")
        self.placed[order_id] = order

    def check(self, read: Read, instruments: tuple[str, ...], clients: tuple[str, ...]) -> int:
        """Compare everything acknowledged with everything shown; the number of trades.

        Every operation must be settled: what is shown and was not acknowledged is a fault too.

        Raises:
            AuditFailed: something is missing, doubled or inconsistent.
        """
        shown = {
            order["order_id"]: order
            for client in clients
            for order in self._pages(read, f"/orders?client_id={client}&limit=1000", "orders")
        }
        self._check_orders(shown)
        trades = [trade for instrument in instruments for trade in self._trades(read, instrument)]
        self._check_trades(shown, trades)
        if self._faults:
            listed = "\n".join(self._faults[:FAULTS_SHOWN_MAX])
            raise AuditFailed(f"{len(self._faults)} faults:\n{listed}")
        return len(trades)

    def _fault(self, what: str) -> None:
        self._faults.append(what)

    def _pages(self, read: Read, path: str, name: str) -> Iterator[dict[str, Any]]:
        seen: set[str] = set()
        cursor = ""
        while True:
            page = read(f"{path}{cursor}")
            for order in page[name]:
                if order["order_id"] in seen:
                    self._fault(f"{order['order_id']} is listed twice")
                seen.add(order["order_id"])
                yield order
            if page["next_cursor"] is None:
                return
            cursor = f"&cursor={page['next_cursor']}"

    def _trades(self, read: Read, instrument: str) -> Iterator[dict[str, Any]]:
        path = f"/trades/detailed?instrument={instrument}&limit=1000"
        before = ""
        while trades := read(f"{path}{before}")["trades"]:
            yield from trades
            before = f"&before={trades[-1]['trade_id']}"

    def _check_orders(self, shown: dict[str, dict[str, Any]]) -> None:
        for order_id in self.placed.keys() - shown.keys():
            self._fault(f"{order_id} was acknowledged and is gone")
        for order_id in shown.keys() - self.placed.keys():
            self._fault(f"{order_id} is there and was never acknowledged")
        for order_id, order in shown.items():
            first = self.placed.get(order_id)
            if first is not None:
                self._check_order(first, order)

    def _check_order(self, first: dict[str, Any], order: dict[str, Any]) -> None:
        order_id = order["order_id"]
        for name in TERMS:
            if order[name] != first[name]:
                self._fault(f"{order_id}: {name} was {first[name]}, is {order[name]}")
        if order["filled_quantity"] < first["filled_quantity"]:
            self._fault(f"{order_id}: filled {first['filled_quantity']} became less")
        left = order["quantity"] - order["filled_quantity"]
        if order["remaining_quantity"] != left or left < 0:
            self._fault(f"{order_id}: remaining {order['remaining_quantity']}, expected {left}")
        if order_id in self.cancelled and (order["working"] or order["reason"] != "by_client"):
            self._fault(f"{order_id}: its cancel was acknowledged, and it is {order}")

    def _check_trades(self, shown: dict[str, dict[str, Any]], trades: list[dict[str, Any]]) -> None:
        filled: dict[str, Decimal] = defaultdict(Decimal)
        by_id = {trade["trade_id"]: trade for trade in trades}
        if len(by_id) != len(trades):
            self._fault(f"{len(trades) - len(by_id)} trade ids are not unique")
        for trade in trades:
            for side, sign in (("buy", 1), ("sell", -1)):
                order = shown.get(trade[f"{side}_order_id"])
                if order is None:
                    self._fault(f"trade {trade['trade_id']}: its {side} order is not there")
                    continue
                filled[order["order_id"]] += Decimal(trade["quantity"])
                limit = order["price"]
                if limit is not None and (trade["price"] - limit) * sign > 0:
                    self._fault(f"trade {trade['trade_id']}: beyond the limit of {order}")
        for order_id, order in shown.items():
            if filled[order_id] != order["filled_quantity"]:
                found = f"filled {order['filled_quantity']}, its trades sum to {filled[order_id]}"
                self._fault(f"{order_id}: {found}")
        self._check_answered_trades(by_id)

    def _check_answered_trades(self, by_id: dict[str, dict[str, Any]]) -> None:
        for order in self.placed.values():
            for trade in order["trades"]:
                kept = by_id.get(trade["trade_id"])
                if kept is None or any(kept[name] != value for name, value in trade.items()):
                    self._fault(f"trade {trade['trade_id']} was answered as {trade}, is {kept}")
