"""Candles that reach past memory: the newest from the live window, older ones from the ledger.

The two are parted at a second, since which the window has every trade: trades of that second and
later are the window's, earlier ones the ledger's, and a candle that lies across is put together of
both. So no trade is missed or counted twice, however far the ledger is ahead or behind.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from novate.analytics.candles import SECOND_NS, Candles, join_candles, merge_candles
from novate.analytics.decimals import Amounts
from novate.analytics.intervals import (
    INTERVAL_DEFAULT,
    INTERVAL_EXPECTED,
    interval_text,
    parse_interval,
)
from novate.gateway.history import History
from novate.gateway.operations import Reply
from novate.gateway.past import moment
from novate.gateway.problems import FieldError, ProblemError, refused, shown
from novate.gateway.reads import LIST_DEFAULT, LIST_MAX, Query, Reads, whole
from novate.model.instrument import Instrument
from novate.streams.candle_channel import candles_json, complete_text
from novate.streams.candle_window import FOREVER_S, CandleWindow

if TYPE_CHECKING:
    from novate.ledger.answers import Answers
    from novate.ledger.candles import CandlePage

CURSOR_MAX: Final = 1 << 36


class Asked(NamedTuple):
    """Which candles a request is for.

    Attributes:
        start_s: Trades from this second on, where a bucket begins.
        end_s: Up to and without this second, where one ends.
        limit: Most of them; the newest.
        is_range: Whether it says from or until when, so that less than all of it is no answer.
    """

    instrument: Instrument
    interval_ns: int
    start_s: int
    end_s: int
    limit: int
    is_range: bool


class Live(NamedTuple):
    """What memory has of it.

    Attributes:
        candles: Of every trade from `seam_s` on.
        seam_s: What is older is the ledger's; None: memory has every trade.
        sequence: The last command it is true at.
        time_ns: Its time.
    """

    candles: Candles
    seam_s: int | None
    sequence: int
    time_ns: int


class PastCandles:
    """Candles of memory and ledger.

    Args:
        reads: Understands queries.
        window: What was traded lately.
        history: Asks the ledger.
    """

    def __init__(self, reads: Reads, window: CandleWindow, history: History) -> None:
        self._reads = reads
        self._window = window
        self._history = history

    def candles(self, query: Query, reply: Reply) -> None:
        """GET /market/candles; ProblemError 400 or 503.

        The last candles are memory's alone where the ledger can't be asked; a range is not.
        """
        asked = self._asked(query)
        live = self._live(asked)
        lacking = self._lacking(asked, live)

        def from_memory() -> None:
            reply(200, self._memory_body(asked))

        def failed(problem: ProblemError) -> None:
            if asked.is_range:
                problem.answer(reply)
            else:
                from_memory()

        def answered(page: CandlePage) -> None:
            reply(200, self._merged_body(asked, live, page))

        if not lacking:
            from_memory()
            return
        try:
            self._history.ask(partial(_older, asked, live, lacking), answered, failed)
        except ProblemError as problem:
            failed(problem)

    # --- what is asked ----------------------------------------------------------------------------

    def _asked(self, query: Query) -> Asked:
        errors: list[FieldError] = []
        instrument = self._reads.instrument_of(query, errors)
        limit = whole(query, "limit", LIST_DEFAULT, 1, LIST_MAX, errors)
        text = query.get("interval", INTERVAL_DEFAULT)
        interval_ns = parse_interval(text)
        if interval_ns is None:
            found = f"{INTERVAL_EXPECTED}, found {shown(text)}"
            errors.append(FieldError("interval", found, "invalid_value"))
        start_ns = moment(query, "start_time", 0, errors)
        end_ns = moment(query, "end_time", FOREVER_S * SECOND_NS, errors)
        cursor = whole(query, "cursor", FOREVER_S, 1, CURSOR_MAX, errors)
        if not errors and start_ns >= end_ns:
            message = f"expected a time after start_time, found {shown(query['end_time'])}"
            errors.append(FieldError("end_time", message, "invalid_value"))
        if errors or instrument is None or interval_ns is None:
            raise refused(errors)
        interval_s = interval_ns // SECOND_NS
        start_s = start_ns // interval_ns * interval_s
        end_s = -(-min(end_ns, cursor * SECOND_NS) // interval_ns) * interval_s
        is_range = not query.keys().isdisjoint(("start_time", "end_time", "cursor"))
        return Asked(instrument, interval_ns, start_s, end_s, limit, is_range)

    def _live(self, asked: Asked) -> Live:
        window, number = self._window, asked.instrument.index
        window.fold()
        seam_s = window.complete_s(number)
        start_s = max(asked.start_s, seam_s or 0)
        found = window.between(number, asked.interval_ns, asked.limit, start_s, asked.end_s)
        return Live(found, seam_s, window.sequence, window.time_ns)

    @staticmethod
    def _lacking(asked: Asked, live: Live) -> int:
        """How many candles memory may lack."""
        if live.seam_s is None or live.seam_s <= asked.start_s:
            return 0
        own = int((live.candles.start_ns >= live.seam_s * SECOND_NS).sum())
        return asked.limit - own

    # --- what is answered -------------------------------------------------------------------------

    def _memory_body(self, asked: Asked) -> bytes:
        """All that memory has, what it has only in part too."""
        window, number = self._window, asked.instrument.index
        found = window.between(
            number, asked.interval_ns, asked.limit + 1, asked.start_s, asked.end_s
        )
        kept = found.take(slice(-asked.limit, None))
        seam_s = window.complete_s(number)
        # Where the ledger could be asked it may have more than memory.
        older = self._history.is_on and seam_s is not None and asked.start_s < seam_s
        next_s = int(kept.start_ns[0]) // SECOND_NS if len(kept) else 0
        if not older and len(found) <= asked.limit:
            next_s = 0
        live = Live(kept, seam_s, window.sequence, window.time_ns)
        return _body(asked, live, partial(window.is_complete, number), next_s)

    @staticmethod
    def _merged_body(asked: Asked, live: Live, page: CandlePage) -> bytes:
        """What memory has behind what the ledger has."""
        assert live.seam_s is not None
        found = merge_candles(join_candles(page.candles, live.candles), asked.interval_ns)
        next_s = page.next_s
        if len(found) > asked.limit:
            found = found.take(slice(-asked.limit, None))
            next_s = int(found.start_ns[0]) // SECOND_NS
        seam_s, known_s = live.seam_s, page.timestamp_ns // SECOND_NS
        reaches = page.seq >= live.sequence or known_s >= seam_s
        interval_s = asked.interval_ns // SECOND_NS

        def is_complete(start_s: int) -> bool:
            return reaches or start_s >= seam_s or min(start_s + interval_s, seam_s) <= known_s

        merged = Live(found, None if reaches else seam_s, live.sequence, live.time_ns)
        body = _body(asked, merged, is_complete, next_s)
        return b'%b,"ledger_sequence":%d}' % (body[:-1], page.seq)


def _older(asked: Asked, live: Live, limit: int, answers: Answers) -> CandlePage:
    from novate.ledger.candles import Span

    assert live.seam_s is not None
    interval_s, end_s = asked.interval_ns // SECOND_NS, min(asked.end_s, live.seam_s)
    return answers.candles(Span(asked.instrument.index, interval_s, asked.start_s, end_s, limit))


def _body(asked: Asked, shown_as: Live, is_complete: Callable[[int], bool], next_s: int) -> bytes:
    each = candles_json(shown_as.candles, Amounts(asked.instrument), shown_as.time_ns, is_complete)
    return (
        b'{"instrument":"%b","interval":"%b","sequence":%d,"complete_from":%b,"count":%d,'
        b'"candles":[%b],"next_cursor":%b}'
    ) % (
        asked.instrument.name.encode(), interval_text(asked.interval_ns).encode(),
        shown_as.sequence, complete_text(shown_as.seam_s), len(each), b",".join(each),
        b'"%d"' % next_s if next_s else b"null",
    )  # fmt: skip
