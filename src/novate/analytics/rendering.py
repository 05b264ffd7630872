"""Candles as JSON, in the forms of the API: exact decimal text, times in ISO 8601 UTC."""

from __future__ import annotations

from collections.abc import Iterator

from novate.analytics.candles import Candles
from novate.analytics.decimals import Amounts
from novate.model import codec


def time_text(time_ns: int) -> bytes:
    """A time as JSON's text, cut to microseconds."""
    return b'"%b"' % codec.format_time(time_ns // 1000)


def aggregates_json(found: Candles, amounts: Amounts) -> list[bytes]:
    """Candles as the aggregates of `GET /market/analytics`, a JSON object each, oldest first.

    `total_quantity` is in the base asset; `total_volume`, the sum of price times quantity, in the
    quote asset; `avg_price` is the mean of the trades' prices, `vwap` their mean weighted by
    quantity. Averages are rounded half-even to the tick's digits and four more.
    """
    return [
        b'{"time_bucket":%b,"trade_count":%d,"total_quantity":%b,"total_volume":%b,"open":%b,'
        b'"high":%b,"low":%b,"close":%b,"avg_price":%b,"min_price":%b,"max_price":%b,"vwap":%b}'
        % (
            time_text(start), count, amounts.quantity(lots), amounts.notional(notional),
            amounts.price(first), amounts.price(high), amounts.price(low), amounts.price(last),
            amounts.average(price_sum, count), amounts.price(low), amounts.price(high),
            amounts.average(notional, lots),
        )
        for start, first, high, low, last, lots, notional, price_sum, count in _rows(found)
    ]  # fmt: skip


def candle_json(
    amounts: Amounts,
    start_ns: int,
    prices: tuple[int, int, int, int],
    traded: tuple[int, int, int],
    final: bool,
    complete: bool,
) -> bytes:
    """A candle of the live window, as a JSON object.

    Args:
        amounts: Of its instrument.
        start_ns: Beginning of its bucket, ns.
        prices: Open, high, low and close, ticks.
        traded: Volume in lots, notional in ticks times lots, number of trades.
        final: Whether its bucket is over.
        complete: Whether every trade of it is in it.
    """
    first, high, low, last = map(amounts.price, prices)
    volume, notional, count = traded
    return (
        b'{"time":%b,"open":%b,"high":%b,"low":%b,"close":%b,"volume":%b,"notional":%b,'
        b'"vwap":%b,"trade_count":%d,"final":%b,"complete":%b}'
        % (
            time_text(start_ns), first, high, low, last, amounts.quantity(volume),
            amounts.notional(notional), amounts.average(notional, volume), count,
            b"true" if final else b"false", b"true" if complete else b"false",
        )
    )  # fmt: skip


def overall_vwap(found: Candles, amounts: Amounts) -> bytes:
    """The VWAP over all of the candles, `null` without volume."""
    return amounts.average(sum(found.notional.tolist()), sum(found.volume_lots.tolist()))


Row = tuple[int, int, int, int, int, int, int, int, int]


def _rows(found: Candles) -> Iterator[Row]:
    return zip(
        found.start_ns.tolist(), found.open_ticks.tolist(), found.high_ticks.tolist(),
        found.low_ticks.tolist(), found.close_ticks.tolist(), found.volume_lots.tolist(),
        found.notional.tolist(), found.price_sum_ticks.tolist(), found.trade_count.tolist(),
        strict=True,
    )  # fmt: skip
