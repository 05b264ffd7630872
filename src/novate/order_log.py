"""The order log: a line for each order submitted, matched, amended, cancelled or refused.

Up to `orders_per_second_max` commands of a second are logged with their trades and with the orders
that they ended, up to a thousand of each; of the rest only the number is, once a second. It reads
what was applied and changes nothing; where the level leaves its lines out it is not called at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec
from msgspec import Raw, Struct

_NULL: Final = Raw(b"null")

TRADES_LOGGED_MAX: Final = 1000
"""Trades of one command that are logged; of the rest the number is."""

ENDS_LOGGED_MAX: Final = 1000
"""Orders that one command ended that are logged; of the rest the number is."""

ROWS_KEPT_MAX: Final = 10_000
"""Trades and ended orders of one batch that are kept to be logged."""

_CANCELLED: Final = b'"status":"cancelled"'


class AppliedBatch(Protocol):
    """What the order log reads of an applied batch."""

    @property
    def first_seq(self) -> int:
        """Sequence of the first command."""

    @property
    def replies(self) -> list[tuple[int, bytes | None, int]]:
        """Status and body of each command's answer; status 0 for the repeat of a key."""

    @property
    def trades(self) -> list[tuple[int, int, bytes]]:
        """Instrument, sequence and JSON of each trade, oldest first."""

    @property
    def updates(self) -> list[tuple[int, int, str, bytes]]:
        """Instrument, sequence, client id and JSON of each order that changed, where wanted."""


class LineLogger(Protocol):
    """The part of a structlog logger that is used."""

    def info(self, event: str, **context: Any) -> Any:
        """Write a line."""

    def warning(self, event: str, **context: Any) -> Any:
        """Write a line."""

    def error(self, event: str, **context: Any) -> Any:
        """Write a line."""


class Counters(Protocol):
    """Where left out lines are counted."""

    orders_unlogged: int


class _Order(Struct):
    order_id: str | None = None
    client_id: str | None = None
    instrument: str | None = None
    side: str | None = None
    type: str | None = None
    price: Raw = _NULL
    quantity: Raw = _NULL
    filled_quantity: Raw = _NULL
    status: str | int | None = None
    reason: str | None = None
    code: str | None = None
    detail: str | None = None
    cancelled_count: int | None = None
    on: bool | None = None


class _Trade(Struct):
    trade_id: str
    instrument: str
    price: Raw
    quantity: Raw
    buy_order_id: str
    sell_order_id: str
    taker_side: str


_decode_order = msgspec.json.Decoder(_Order).decode
_decode_trade = msgspec.json.Decoder(_Trade).decode


@dataclass(slots=True)
class _Led:
    """What one command led to: the first trades and ended orders, and how many there were."""

    trades: list[bytes] = field(default_factory=list)
    trade_count: int = 0
    ended: list[bytes] = field(default_factory=list)
    ended_count: int = 0


class OrderLog:
    """Writes the order log of one partition.

    Args:
        logger: Where lines go.
        orders_per_second_max: Commands of one second that are logged.
        counters: The metrics.
        call_later: The event loop's; says the number left out even when orders cease.
        clock: Monotonic seconds.

    Attributes:
        want_updates: Told whether the updates of the next batch will be read; they cost, and are
            not wanted while the rest of a second is left out.
    """

    def __init__(
        self,
        logger: LineLogger,
        orders_per_second_max: int,
        counters: Counters,
        call_later: Callable[[float, Callable[[], None]], Any],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._per_second = orders_per_second_max
        self._counters = counters
        self._call_later = call_later
        self._clock = clock
        self._second_ends = 0.0
        self._left = orders_per_second_max
        self._left_out = 0
        self._timer_set = False
        self._led: dict[int, _Led] = {}
        self._kept = 0
        self.want_updates: Callable[[bool], object] = bool

    def on_part(
        self, trades: list[tuple[int, int, bytes]], updates: list[tuple[int, int, str, bytes]]
    ) -> None:
        """Keep for the lines to come some of what a batch does that is being applied."""
        for _, seq, trade in trades:
            led = self._led_by(seq)
            if led is None:
                break
            led.trade_count += 1
            if led.trade_count <= TRADES_LOGGED_MAX and self._kept < ROWS_KEPT_MAX:
                self._kept += 1
                led.trades.append(trade)
        for _, seq, _, order in updates:
            if _CANCELLED not in order:
                continue
            led = self._led_by(seq)
            if led is None:
                break
            led.ended_count += 1
            if led.ended_count <= ENDS_LOGGED_MAX and self._kept < ROWS_KEPT_MAX:
                self._kept += 1
                led.ended.append(order)

    def _led_by(self, seq: int) -> _Led | None:
        """What a command led to; None for those behind what may be logged of a batch."""
        led = self._led.get(seq)
        if led is None and len(self._led) < self._per_second:
            led = self._led[seq] = _Led()
        return led

    def on_applied(self, applied: AppliedBatch) -> None:
        """Log what a durable batch did, as far as this second allows."""
        replies = applied.replies
        logged = self._allow(len(replies))
        if logged:
            self.on_part(applied.trades, applied.updates)
            for seq, (status, body, _) in enumerate(replies[:logged], applied.first_seq):
                own = None if body is None else self._log_reply(seq, status, body)
                if seq in self._led:
                    self._log_led(seq, self._led[seq], own)
        self._led.clear()
        self._kept = 0
        self.want_updates(self._left > 0 or not self._timer_set)

    def refused(self, reason: str, field: str = "", client_id: str = "") -> None:
        """Log a request that a gateway refused; it never became a command.

        Args:
            reason: Code of the problem.
            field: The first field that is wrong, "" for none.
            client_id: Who asked, "" where that is not known.
        """
        if self._allow(1):
            self._logger.info(
                "rejected", client_id=client_id or None, field=field or None, reason=reason
            )

    def error(self, what: str, **context: object) -> None:
        """Log a fault; never sampled."""
        self._logger.error("error", what=what, **context)

    def _allow(self, count: int) -> int:
        """How many of so many may be logged; the others are counted as left out."""
        now = self._clock()
        if now >= self._second_ends:
            self._say_left_out()
            self._second_ends = now + 1.0
            self._left = self._per_second
        allowed = min(count, self._left)
        self._left -= allowed
        if allowed < count:
            self._left_out += count - allowed
            self._counters.orders_unlogged += count - allowed
            if not self._timer_set:
                self._timer_set = True
                self._call_later(max(self._second_ends - now, 0.0), self._on_timer)
        return allowed

    def _on_timer(self) -> None:
        self._timer_set = False
        self._say_left_out()
        self.want_updates(True)

    def _say_left_out(self) -> None:
        if self._left_out:
            self._logger.info(
                "sampled", left_out=self._left_out, orders_per_second_max=self._per_second
            )
            self._left_out = 0

    def _log_reply(self, seq: int, status: int, body: bytes) -> str | None:
        """Log a command by its answer; the order that the answer is."""
        order = _decode_order(body)
        if status >= 500:
            self._logger.error("error", seq=seq, code=order.code, detail=order.detail)
        elif status >= 400:
            self._logger.info(
                "rejected", seq=seq, **_named(order), reason=order.reason or order.code
            )
        elif order.order_id is None:
            self._log_other(seq, order)
        else:
            self._log_order(seq, status, order)
        return order.order_id

    def _log_other(self, seq: int, answer: _Order) -> None:
        """Log what is about no single order; with the number of orders that it ended, if told."""
        if answer.cancelled_count is None:
            self._logger.info("applied", seq=seq)
            return
        told = {"client_id": answer.client_id, "count": answer.cancelled_count}
        if answer.on is not None:
            self._logger.info("kill_switched", seq=seq, **told, on=answer.on)
        elif answer.client_id is not None:
            self._logger.info("mass_cancelled", seq=seq, **told)
        else:  # the end of a session
            self._logger.info("applied", seq=seq, count=answer.cancelled_count)

    def _log_order(self, seq: int, status: int, order: _Order) -> None:
        ended = order.status == "cancelled"
        if status == 201:
            self._logger.info("submitted", seq=seq, **_named(order), **_terms(order))
        elif not ended:
            self._logger.info("amended", seq=seq, **_named(order), **_terms(order))
        if ended:
            self._log_end(seq, order)

    def _log_end(self, seq: int, order: _Order) -> None:
        self._logger.info(
            "cancelled",
            seq=seq,
            **_named(order),
            filled_quantity=_text(order.filled_quantity),
            reason=order.reason,
        )

    def _log_led(self, seq: int, led: _Led, own: str | None) -> None:
        """Log what a command led to; its own order's end was logged with the answer."""
        for trade in led.trades:
            self._log_trade(seq, trade)
        left_out = led.trade_count - len(led.trades)
        if left_out:
            self._logger.info("matched_more", seq=seq, left_out=left_out)
        for body in led.ended:
            order = _decode_order(body)
            if order.order_id != own:
                self._log_end(seq, order)
        left_out = led.ended_count - len(led.ended)
        if left_out:
            self._logger.info("cancelled_more", seq=seq, left_out=left_out)

    def _log_trade(self, seq: int, body: bytes) -> None:
        trade = _decode_trade(body)
        self._logger.info(
            "matched",
            seq=seq,
            trade_id=trade.trade_id,
            instrument=trade.instrument,
            price=_text(trade.price),
            quantity=_text(trade.quantity),
            buy_order_id=trade.buy_order_id,
            sell_order_id=trade.sell_order_id,
            taker_side=trade.taker_side,
        )


def _named(order: _Order) -> dict[str, object]:
    return {
        "order_id": order.order_id,
        "client_id": order.client_id,
        "instrument": order.instrument,
    }


def _terms(order: _Order) -> dict[str, object]:
    return {
        "side": order.side,
        "type": order.type,
        "price": _text(order.price),
        "quantity": _text(order.quantity),
        "filled_quantity": _text(order.filled_quantity),
        "status": order.status,
        "reason": order.reason,
    }


def _text(raw: Raw) -> str | None:
    """A decimal as the text it is, never as a float."""
    text = bytes(raw).decode()
    return None if text == "null" else text
