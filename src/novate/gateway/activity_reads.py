"""Order-to-trade ratio and markouts: of the live window, or of the ledger for a range of time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from novate.analytics.activity import MESSAGES, MeanMarkout, Messages, TakerSeconds
from novate.analytics.candles import SECOND_NS
from novate.analytics.decimals import Amounts
from novate.analytics.intervals import interval_text
from novate.analytics.rendering import time_text
from novate.gateway.history import History
from novate.gateway.market_reads import ratio_text
from novate.gateway.operations import Reply
from novate.gateway.past import MINUTES_MAX, moment
from novate.gateway.problems import FieldError, ProblemError, refused, shown
from novate.gateway.reads import Query, Reads
from novate.model.instrument import Instrument
from novate.streams.activity_window import (
    MARKOUTS_WINDOW_S,
    MESSAGES_WINDOW_S,
    ActivityWindow,
)

if TYPE_CHECKING:
    from novate.ledger.activity import PastMarkouts, PastMessages

MINUTE_S: Final = 60
DAY_MINUTES: Final = 1_440
_WINDOW = re.compile(r"([1-9][0-9]{0,4})([mh])", re.ASCII)


class Asked(NamedTuple):
    """Of which market and time a request is.

    Attributes:
        start_s: From this second on; of a range a whole minute.
        end_s: Up to and without it.
        is_range: Whether the ledger is to answer.
    """

    instrument: Instrument
    start_s: int
    end_s: int
    is_range: bool

    def head(self, whole_from: bytes) -> bytes:
        """The members that every reply begins with."""
        start, end = (time_text(each * SECOND_NS) for each in (self.start_s, self.end_s))
        return b'"instrument":"%b","start_time":%b,"end_time":%b,"complete_from":%b' % (
            self.instrument.name.encode(), start, end, whole_from,
        )  # fmt: skip


class ActivityReads:
    """Reads of the live window and of the ledger.

    Args:
        reads: Understands queries.
        window: What was asked and traded lately.
        history: Asks the ledger.
        clock: Nanoseconds since 1970 UTC.
    """

    def __init__(
        self,
        reads: Reads,
        window: ActivityWindow,
        history: History,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._reads = reads
        self._window = window
        self._history = history
        self._clock = clock

    def messages(self, query: Query, reply: Reply) -> None:
        """GET /market/order-to-trade; ProblemError 400 or 503."""
        asked = self._asked(query, MESSAGES_WINDOW_S, MINUTES_MAX)
        if not asked.is_range:
            asked = asked._replace(start_s=asked.start_s // MINUTE_S * MINUTE_S)
            found = self._window.messages(asked.instrument.index, asked.start_s)
            reply(200, b"{%b,%b,%b}" % (self._live_head(asked), _messages(found), self._sequence()))
            return
        minutes = asked.start_s // MINUTE_S, asked.end_s // MINUTE_S

        def answered(past: PastMessages) -> None:
            body = b'{%b,%b,"ledger_sequence":%d}'
            reply(200, body % (asked.head(b"null"), _messages(past.messages), past.seq))

        self._history.ask(
            lambda answers: answers.messages(asked.instrument.index, *minutes),
            answered,
            lambda problem: problem.answer(reply),
        )

    def markouts(self, query: Query, reply: Reply) -> None:
        """GET /market/markouts; ProblemError 400 or 503."""
        asked = self._asked(query, MARKOUTS_WINDOW_S, DAY_MINUTES)
        amounts = Amounts(asked.instrument)
        if not asked.is_range:
            traded, each = self._window.markouts(asked.instrument.index, asked.start_s)
            body = _markouts(traded, each, amounts)
            reply(200, b"{%b,%b,%b}" % (self._live_head(asked), body, self._sequence()))
            return

        def answered(past: PastMarkouts) -> None:
            if past.traded is None:
                _too_many(past.trades).answer(reply)
                return
            body = _markouts(past.traded, past.markouts, amounts)
            whole = b'{%b,%b,"ledger_sequence":%d}' % (asked.head(b"null"), body, past.seq)
            reply(200, whole)

        self._history.ask(
            lambda answers: answers.markouts(asked.instrument.index, asked.start_s, asked.end_s),
            answered,
            lambda problem: problem.answer(reply),
        )

    def _live_head(self, asked: Asked) -> bytes:
        complete_s = self._window.complete_s(asked.instrument.index)
        return asked.head(time_text(complete_s * SECOND_NS) if complete_s else b"null")

    def _sequence(self) -> bytes:
        return b'"sequence":%d' % self._window.sequence

    def _asked(self, query: Query, window_s: int, minutes_max: int) -> Asked:
        errors: list[FieldError] = []
        instrument = self._reads.instrument_of(query, errors)
        seconds = _window(query, window_s, errors)
        end_ns = moment(query, "end_time", self._clock(), errors)
        start_ns = moment(query, "start_time", end_ns - window_s * SECOND_NS, errors)
        is_range = not query.keys().isdisjoint(("start_time", "end_time"))
        if is_range and "window" in query:
            message = "expected no window beside start_time and end_time"
            errors.append(FieldError("window", message, "invalid_value"))
        minute_ns = MINUTE_S * SECOND_NS
        start, end = start_ns // minute_ns, -(-end_ns // minute_ns)
        if not errors and is_range and not 0 < end - start <= minutes_max:
            message = f"expected a time after start_time, and at most {minutes_max} minutes after"
            found = f"{message}, found {end - start} minutes"
            errors.append(FieldError("end_time", found, "invalid_value"))
        if errors or instrument is None:
            raise refused(errors)
        if is_range:
            return Asked(instrument, start * MINUTE_S, end * MINUTE_S, True)
        now_s = self._window.time_ns // SECOND_NS
        return Asked(instrument, max(0, now_s + 1 - seconds), now_s + 1, False)


def _window(query: Query, default_s: int, errors: list[FieldError]) -> int:
    """Seconds of the live window that are asked for."""
    text = query.get("window")
    if text is None:
        return default_s
    match = _WINDOW.fullmatch(text)
    found = int(match[1]) * (MINUTE_S if match[2] == "m" else MINUTE_S * MINUTE_S) if match else 0
    if not 0 < found <= default_s:
        message = f"expected a number of m or h, at most {default_s // MINUTE_S}m"
        errors.append(FieldError("window", f"{message}, found {shown(text)}", "invalid_value"))
    return found


def _too_many(trades: int) -> ProblemError:
    from novate.ledger.activity import TRADES_MAX

    message = f"expected a range with at most {TRADES_MAX} trades, found {trades}: ask for less"
    return refused([FieldError("end_time", message, "range_too_large")])


def _messages(found: Messages) -> bytes:
    counts = b",".join(b'"%b":%d' % (name.encode(), getattr(found, name)) for name in MESSAGES)
    return b'%b,"order_to_trade_ratio":%b' % (counts, _ratio(found.ratio))


def _ratio(value: float | None) -> bytes:
    return b"null" if value is None else ratio_text(value)


def _markouts(traded: TakerSeconds, each: list[MeanMarkout], amounts: Amounts) -> bytes:
    """What takers traded, and how far the middle then went their way."""
    rows = [
        b'{"horizon":"%b","trade_count":%d,"volume":%b,"average":%b,"basis_points":%b}'
        % (
            interval_text(one.horizon_s * SECOND_NS).encode(), one.trades,
            amounts.quantity(one.lots), amounts.average(one.moved_twice, 2 * one.lots),
            _ratio(one.basis_points),
        )
        for one in each
    ]  # fmt: skip
    return b'"trade_count":%d,"volume":%b,"markouts":[%b]' % (
        int(traded.trades.sum()), amounts.quantity(int(traded.lots.sum())), b",".join(rows),
    )  # fmt: skip
