"""Reads of the live market: statistics, and what an order would get.

All of it comes from memory: the window of trades that `novate.streams` keeps, and the book as the
engine has it. Never submits, never waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from numpy.typing import NDArray

from novate.analytics.book import (
    Depth,
    Slippage,
    Spread,
    depth_within,
    imbalance,
    slippage,
    spread,
)
from novate.analytics.candles import MINUTE_NS, Candles, with_gaps
from novate.analytics.decimals import Amounts
from novate.analytics.rendering import time_text
from novate.analytics.trading import realized_volatility
from novate.gateway.fields import not_one_of, read_decimal
from novate.gateway.instruments import Instruments
from novate.gateway.problems import FieldError, refused, shown
from novate.gateway.reads import LEVELS_DEFAULT, LIST_MAX, whole
from novate.model import codec
from novate.model.instrument import QUANTITY_LOTS_MAX, Instrument
from novate.streams.candle_channel import complete_text
from novate.streams.candle_window import CandleWindow

DAY_SECONDS: Final = 86_400
VOLATILITY_INTERVAL_NS: Final = 5 * MINUTE_NS
"""Distance of the prices of which volatility is made: far enough that the bounce between bid and
ask is little of it."""

SIDES: Final = ("buy", "sell")

Query = Mapping[str, str]
Levels = NDArray[Any]


class BookEngine(Protocol):
    """What these reads ask of an engine."""

    @property
    def last_seq(self) -> int:
        """Sequence of the last command applied."""
        ...

    def depth(self, instrument: int, levels: int) -> tuple[Levels, Levels]:
        """Bids and asks, best first."""
        ...


class MarketReads:
    """The live market of one partition.

    Args:
        engine: Its engine.
        instruments: Its instruments.
        window: What was traded lately.
    """

    def __init__(self, engine: BookEngine, instruments: Instruments, window: CandleWindow) -> None:
        self._engine = engine
        self._instruments = instruments
        self._window = window

    def statistics(self, query: Query) -> bytes:
        """GET /market/statistics; ProblemError 400."""
        instrument, levels = self.book_wanted(query)
        bids, asks = self._engine.depth(instrument.index, levels)
        amounts = Amounts(instrument)
        traded = self._window.recent(instrument.index, DAY_SECONDS)
        return (
            b'{"instrument":"%b","sequence":%d,"timestamp":%b,%b,"window_seconds":%d,%b,'
            b'"realized_volatility":%b,%b}'
        ) % (
            instrument.name.encode(), self._engine.last_seq, time_text(self._window.time_ns),
            self._complete(instrument), DAY_SECONDS, traded_members(traded, amounts),
            self._volatility(instrument), book_members(bids, asks, amounts, instrument, levels),
        )  # fmt: skip

    def book_wanted(self, query: Query) -> tuple[Instrument, int]:
        """(instrument, levels of each side); ProblemError 400."""
        errors: list[FieldError] = []
        levels = whole(query, "levels", LEVELS_DEFAULT, 1, LIST_MAX, errors)
        instrument = self._instrument(query, errors)
        if errors or instrument is None:
            raise refused(errors)
        return instrument, levels

    def slippage(self, query: Query) -> bytes:
        """GET /market/slippage; ProblemError 400."""
        instrument, side, lots = self.order_wanted(query)
        found, best_ticks = self._taken(instrument.index, side, lots)
        return slippage_body(instrument, self._engine.last_seq, side, lots, found, best_ticks)

    def order_wanted(self, query: Query) -> tuple[Instrument, str, int]:
        """(instrument, side, lots) of a hypothetical order; ProblemError 400."""
        errors: list[FieldError] = []
        instrument = self._instrument(query, errors)
        side = query.get("side", "buy")
        if side not in SIDES:
            errors.append(not_one_of("side", "buy or sell", side))
        lots = 0
        if instrument is not None:
            lots = _lots(query, instrument, errors)
        if errors or instrument is None:
            raise refused(errors)
        return instrument, side, lots

    def _taken(self, instrument: int, side: str, lots: int) -> tuple[Slippage, int | None]:
        """What an order would get, and the best price; looks only as deep as it has to."""
        levels = LIST_MAX
        while True:
            rows = self._engine.depth(instrument, levels)[side == "buy"]
            found = slippage(rows["price_ticks"], rows["quantity_lots"], lots)
            if not found.unfilled_lots or len(rows) < levels:
                return found, int(rows["price_ticks"][0]) if len(rows) else None
            levels *= 8

    def _complete(self, instrument: Instrument) -> bytes:
        since = complete_text(self._window.complete_s(instrument.index))
        return b'"complete_from":%b' % since

    def _volatility(self, instrument: Instrument) -> bytes:
        """Over the last day, annualised; `null` under two prices."""
        count = DAY_SECONDS * 10**9 // VOLATILITY_INTERVAL_NS
        found = self._window.candles(instrument.index, VOLATILITY_INTERVAL_NS, count)
        begin_ns = self._window.time_ns - DAY_SECONDS * 10**9
        return volatility_text(found, begin_ns, self._window.time_ns)

    def _instrument(self, query: Query, errors: list[FieldError]) -> Instrument | None:
        name = query.get("instrument")
        found = self._instruments.find(name)
        if found is None:
            message = f"expected an instrument of this exchange, found {shown(name)}"
            errors.append(FieldError("instrument", message, "unknown_instrument"))
        return found


def volatility_text(found: Candles, begin_ns: int, end_ns: int) -> bytes:
    """Realized volatility of the closes of 5-minute candles, annualised; `null` under two."""
    closes = with_gaps(found, begin_ns, end_ns).close_ticks
    if len(closes) < 2 or int(closes.min()) <= 0:
        return b"null"
    return ratio_text(realized_volatility(closes, VOLATILITY_INTERVAL_NS))


def slippage_body(
    instrument: Instrument,
    sequence: int,
    side: str,
    lots: int,
    found: Slippage,
    best_ticks: int | None,
) -> bytes:
    """What an order would get of the book at a sequence."""
    amounts = Amounts(instrument)
    best = b"null" if best_ticks is None else amounts.price(best_ticks)
    worst = b"null" if found.worst_ticks is None else amounts.price(found.worst_ticks)
    return (
        b'{"instrument":"%b","sequence":%d,"side":"%b","quantity":%b,"filled_quantity":%b,'
        b'"unfilled_quantity":%b,"notional":%b,"levels":%d,"best_price":%b,"worst_price":%b,'
        b'"average_price":%b,"slippage":%b,"average_slippage":%b}'
    ) % (
        instrument.name.encode(), sequence, side.encode(),
        amounts.quantity(lots), amounts.quantity(found.filled_lots),
        amounts.quantity(found.unfilled_lots), amounts.notional(found.notional),
        found.levels, best, worst, amounts.average(found.notional, found.filled_lots),
        amounts.notional(found.slippage), amounts.average(found.slippage, found.filled_lots),
    )  # fmt: skip


def _lots(query: Query, instrument: Instrument, errors: list[FieldError]) -> int:
    """The quantity of a query, in lots."""
    text = query.get("quantity")
    if text is None:
        errors.append(not_one_of("quantity", "a quantity", None))
        return 0
    grid = (instrument.lot_coefficient, instrument.lot_exponent)
    raw = text.encode("utf-8", "replace")
    return read_decimal("quantity", raw, grid, (1, QUANTITY_LOTS_MAX), errors)


def traded_members(found: Candles, amounts: Amounts) -> bytes:
    """What was traded in the window; prices null where nothing was."""
    if not len(found):
        return (
            b'"trade_count":0,"volume":0,"notional":0,"vwap":null,"open":null,"high":null,'
            b'"low":null,"last":null,"change":null,"change_percent":null'
        )
    first, last = int(found.open_ticks[0]), int(found.close_ticks[0])
    percent = ratio_text(100 * (last - first) / first) if first else b"null"
    return (
        b'"trade_count":%d,"volume":%b,"notional":%b,"vwap":%b,"open":%b,"high":%b,"low":%b,'
        b'"last":%b,"change":%b,"change_percent":%b'
    ) % (
        int(found.trade_count[0]), amounts.quantity(found.volume_lots[0]),
        amounts.notional(found.notional[0]),
        amounts.average(found.notional[0], found.volume_lots[0]), amounts.price(first),
        amounts.price(int(found.high_ticks[0])), amounts.price(int(found.low_ticks[0])),
        amounts.price(last), amounts.price(last - first), percent,
    )  # fmt: skip


def book_members(
    bids: Levels, asks: Levels, amounts: Amounts, instrument: Instrument, levels: int
) -> bytes:
    """Best prices, spread, and depth and imbalance over so many levels of each side."""
    bid, ask = _depth(bids, levels), _depth(asks, levels)
    quoted = spread(bids["price_ticks"], asks["price_ticks"])
    return (
        b'"best_bid":%b,"best_ask":%b,%b,"levels":%d,"bid_quantity":%b,"ask_quantity":%b,'
        b'"bid_notional":%b,"ask_notional":%b,"imbalance":%b'
    ) % (
        _best(bids, amounts), _best(asks, amounts), _spread(quoted, amounts, instrument), levels,
        amounts.quantity(bid.lots), amounts.quantity(ask.lots),
        amounts.notional(bid.notional), amounts.notional(ask.notional),
        ratio_text(imbalance(bid.lots, ask.lots)),
    )  # fmt: skip


def _best(side: Levels, amounts: Amounts) -> bytes:
    return amounts.price(int(side["price_ticks"][0])) if len(side) else b"null"


def _depth(side: Levels, levels: int) -> Depth:
    return depth_within(side["price_ticks"], side["quantity_lots"], levels=levels)


def _spread(quoted: Spread | None, amounts: Amounts, instrument: Instrument) -> bytes:
    if quoted is None:
        return b'"mid":null,"spread":null,"relative_spread":null'
    # Twice the middle times five is ten times it: one digit more than a price has.
    mid = codec.format_scaled(
        5 * quoted.mid_twice_ticks, instrument.tick_coefficient, instrument.tick_exponent + 1
    )
    ratio = ratio_text(quoted.relative)
    return b'"mid":%b,"spread":%b,"relative_spread":%b' % (mid, amounts.price(quoted.ticks), ratio)


def ratio_text(ratio: float) -> bytes:
    """A statistic to nine places, without an exponent."""
    text = f"{ratio:.9f}".rstrip("0").rstrip(".")
    return b"0" if text in ("-0", "") else text.encode()
