"""The market as it was at a time: statistics and slippage of the ledger's stored books and trades.

A book is stored once a minute, where it changed, with 50 levels a side: what is told of a time is
of the last one stored by then, and says of when that is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from novate.analytics.book import slippage
from novate.analytics.candles import SECOND_NS, merge_candles
from novate.analytics.decimals import Amounts
from novate.analytics.rendering import time_text
from novate.gateway.history import History
from novate.gateway.market_reads import (
    DAY_SECONDS,
    VOLATILITY_INTERVAL_NS,
    MarketReads,
    book_members,
    slippage_body,
    traded_members,
    volatility_text,
)
from novate.gateway.operations import Reply
from novate.gateway.past import moment
from novate.gateway.problems import FieldError, refused
from novate.gateway.reads import Query

if TYPE_CHECKING:
    from novate.ledger.answers import Answers
    from novate.ledger.stored_books import PastMarket, StoredBook

VOLATILITY_INTERVAL_S: Final = VOLATILITY_INTERVAL_NS // SECOND_NS

ONE_BUCKET: Final = 30_000_000
"""So many intervals make a bucket that began in 1970 and ends past the last time that is read."""


class PastMarketReads:
    """Reads of the market now, or as it was.

    Args:
        live: Those of memory.
        history: Asks the ledger.
    """

    def __init__(self, live: MarketReads, history: History) -> None:
        self._live = live
        self._history = history

    def statistics(self, query: Query, reply: Reply) -> None:
        """GET /market/statistics; ProblemError 400 or 503."""
        if "time" not in query:
            reply(200, self._live.statistics(query))
            return
        instrument, levels = self._live.book_wanted(query)
        time_ns = _time(query)
        end_s = time_ns // SECOND_NS
        start_s = (end_s - DAY_SECONDS) // VOLATILITY_INTERVAL_S * VOLATILITY_INTERVAL_S

        def answered(past: PastMarket) -> None:
            amounts, book, found = Amounts(instrument), past.book, past.candles
            total = merge_candles(found, found.interval_ns * ONE_BUCKET)
            body = (
                b'{"instrument":"%b","sequence":%d,"timestamp":%b,"complete_from":null,'
                b'"window_seconds":%d,%b,"realized_volatility":%b,%b,%b'
            ) % (
                instrument.name.encode(), book.seq, time_text(time_ns), end_s - start_s,
                traded_members(total, amounts),
                volatility_text(found, start_s * SECOND_NS, end_s * SECOND_NS),
                book_members(book.bids[:levels], book.asks[:levels], amounts, instrument, levels),
                _source(book, past.seq),
            )  # fmt: skip
            reply(200, body)

        self._ask(instrument.index, (start_s, end_s), time_ns, answered, reply)

    def slippage(self, query: Query, reply: Reply) -> None:
        """GET /market/slippage; ProblemError 400 or 503."""
        if "time" not in query:
            reply(200, self._live.slippage(query))
            return
        instrument, side, lots = self._live.order_wanted(query)
        time_ns = _time(query)

        def answered(past: PastMarket) -> None:
            book = past.book
            rows = book.asks if side == "buy" else book.bids
            found = slippage(rows["price_ticks"], rows["quantity_lots"], lots)
            best = int(rows["price_ticks"][0]) if len(rows) else None
            body = slippage_body(instrument, book.seq, side, lots, found, best)
            reply(200, b"%b,%b" % (body[:-1], _source(book, past.seq)))

        self._ask(instrument.index, (0, 0), time_ns, answered, reply)

    def _ask(
        self,
        instrument: int,
        span_s: tuple[int, int],
        time_ns: int,
        answered: Callable[[PastMarket], None],
        reply: Reply,
    ) -> None:
        def ask(answers: Answers) -> PastMarket:
            from novate.ledger.candles import Span

            most = 2 * DAY_SECONDS // VOLATILITY_INTERVAL_S
            return answers.market(Span(instrument, VOLATILITY_INTERVAL_S, *span_s, most), time_ns)

        self._history.ask(ask, answered, lambda problem: problem.answer(reply))


def _time(query: Query) -> int:
    errors: list[FieldError] = []
    time_ns = moment(query, "time", 0, errors)
    if errors:
        raise refused(errors)
    return time_ns


def _source(book: StoredBook, seq: int) -> bytes:
    """Of when the book is, and up to where the ledger is: the members that end a reply."""
    book_time = time_text(book.timestamp_ns) if book.seq else b"null"
    return b'"book_time":%b,"ledger_sequence":%d}' % (book_time, seq)
