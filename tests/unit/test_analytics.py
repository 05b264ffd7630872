"""Analytics: figures worked out by hand, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from novate.analytics import (
    Spread,
    TimeOrderError,
    candles,
    effective_spread,
    imbalance,
    markouts,
    merge_candles,
    order_to_trade_ratio,
    positions,
    realized_volatility,
    slippage,
    spread,
    window_statistics,
    with_gaps,
)
from novate.analytics.decimals import Amounts
from novate.analytics.rendering import aggregates_json, overall_vwap
from novate.analytics.trading import YEAR_NS
from novate.model.instrument import Instrument

SECOND = 10**9
BTC = Instrument(name="BTC-USD", base="BTC", quote="USD")


def test_a_candle_holds_its_first_nanosecond_and_not_its_end() -> None:
    found = candles([0, 60 * SECOND - 1, 60 * SECOND], [10, 12, 7], [1, 2, 3], 60 * SECOND)
    assert found.start_ns.tolist() == [0, 60 * SECOND]
    assert found.close_ticks.tolist() == [12, 7]
    assert found.volume_lots.tolist() == [3, 3]
    assert found.vwap_ticks().tolist() == [pytest.approx(34 / 3), 7.0]


def test_days_begin_at_midnight_utc() -> None:
    moment = 1_767_225_600 * SECOND  # 2026-01-01T00:00Z
    found = candles([moment - 1, moment], [1, 2], [1, 1], 86_400 * SECOND)
    assert found.start_ns.tolist() == [moment - 86_400 * SECOND, moment]


def test_no_trades_make_no_candles() -> None:
    found = candles([], [], [], SECOND)
    assert len(found) == 0
    assert len(with_gaps(found)) == 0
    assert len(merge_candles(found, 60 * SECOND)) == 0


def test_gaps_reach_as_far_as_is_asked() -> None:
    found = candles([SECOND, 4 * SECOND], [5, 6], [1, 1], SECOND)
    filled = with_gaps(found, first_ns=-3 * SECOND, end_ns=7 * SECOND)
    assert filled.start_ns.tolist() == [each * SECOND for each in range(1, 7)]
    assert filled.close_ticks.tolist() == [5, 5, 5, 6, 6, 6]
    assert filled.trade_count.tolist() == [1, 0, 0, 1, 0, 0]
    with pytest.raises(ValueError, match="at most 10000000 candles"):
        with_gaps(found, end_ns=10**18)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([2, 1], [1, 1], [1, 1], SECOND), r"got 1 after 2 \(trade 1\)"),
        (([1, 2], [1], [1, 1], SECOND), "timestamp_ns 2, price_ticks 1, quantity_lots 2"),
        (([1.5], [1], [1], SECOND), "timestamp_ns: expected integers, got float64"),
        (([1], [[1]], [1], SECOND), "price_ticks: expected a column"),
        (([1], [1], [1], 0), "interval_ns: expected over 0, got 0"),
        (([1], [2**50], [1], SECOND), r"under 2\*\*50, got 1125899906842624"),
    ],
)
def test_what_is_no_trade_is_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        candles(*arguments)  # type: ignore[arg-type]


def test_going_back_in_time_has_a_name() -> None:
    with pytest.raises(TimeOrderError):
        candles([2, 1], [1, 1], [1, 1], SECOND)


def test_a_longer_interval_must_be_whole_multiples() -> None:
    finer = candles([0], [1], [1], 7 * SECOND)
    with pytest.raises(ValueError, match="that 7000000000 ns divides, got 60000000000"):
        merge_candles(finer, 60 * SECOND)


def test_an_empty_window_has_no_prices() -> None:
    found = window_statistics([5], [10], [1], end_ns=4, window_ns=3)
    assert (found.trade_count, found.last_ticks, found.change_ticks) == (0, None, None)
    found = window_statistics([5, 6], [10, 8], [1, 1], end_ns=6, window_ns=2)
    assert found.change_ticks == -2


def test_the_quoted_spread() -> None:
    assert spread([], [101]) is None
    assert spread([99, 98], [101, 105]) == Spread(99, 101)
    found = Spread(99, 101)
    assert (found.ticks, found.mid_twice_ticks, found.relative) == (2, 200, 0.02)
    assert math.isnan(Spread(-1, 1).relative)


def test_the_effective_spread_is_twice_the_way_from_the_middle() -> None:
    # The middle is 100: bought at 101 costs 2, sold at 99 costs 2, bought at 99 is better by 2.
    found = effective_spread([101, 99, 99, 101], [1, -1, 1, 0], [200, 200, 200, 200])
    assert found.tolist() == [2.0, 2.0, -2.0, 0.0]


def test_markouts_are_for_the_taker() -> None:
    mids = ([0, 10, 20], [200, 204, 198])  # 100, then 102, then 99
    assert markouts([1, 1], [101, 101], [1, -1], *mids, 10).tolist() == [1.0, -1.0]
    assert np.isnan(markouts([15], [101], [1], *mids, 10)).all(), "not known yet"
    assert np.isnan(markouts([-5], [101], [1], *mids, 1)).all(), "not known any more"
    assert np.isnan(markouts([1], [101], [1], [], [], 1)).all()
    with pytest.raises(ValueError, match="horizon_ns: expected at least 0, got -1"):
        markouts([1], [101], [1], *mids, -1)


def test_imbalance_is_between_one_and_minus_one() -> None:
    assert [imbalance(3, 1), imbalance(0, 2), imbalance(2, 0), imbalance(0, 0)] == [0.5, -1, 1, 0]


def test_slippage_of_an_order_that_the_book_can_not_fill() -> None:
    found = slippage([100, 103], [2, 1], 5)
    assert (found.filled_lots, found.unfilled_lots, found.worst_ticks) == (3, 2, 103)
    assert (found.slippage, found.average_slippage_ticks) == (3, 1.0)
    sold = slippage([100, 97], [2, 1], 3)
    assert sold.slippage == 3, "a seller pays by getting less"
    assert math.isnan(slippage([], [], 5).average_slippage_ticks)
    with pytest.raises(ValueError, match="order_lots: expected at least 0, got -1"):
        slippage([1], [1], -1)


def test_volatility_by_hand() -> None:
    up_and_down = realized_volatility([100, 110, 100])
    assert up_and_down == pytest.approx(math.sqrt(2) * math.log(1.1))
    yearly = realized_volatility([100, 110, 100], interval_ns=YEAR_NS // 2)
    assert yearly == pytest.approx(up_and_down), "two half years are a year"
    assert realized_volatility([100]) == 0.0
    with pytest.raises(ValueError, match="price_ticks: expected over 0, got 0"):
        realized_volatility([1, 0])


def test_the_order_to_trade_ratio() -> None:
    assert order_to_trade_ratio(orders=10, amendments=5, cancels=5, trades=4) == 4.0
    assert order_to_trade_ratio(1, 0, 0, 0) is None


def test_average_cost_by_hand() -> None:
    # Client 1 buys 3 at 10 and 1 at 11 (cost 41), sells 2 at 12: 41 x 2 / 4 = 20.5 goes as 20.
    prices, lots = [10, 11, 12, 13], [3, 1, 2, 5]
    buyers, sellers = [1, 1, 2, 2], [2, 2, 1, 1]
    after_three = positions(prices[:3], lots[:3], buyers[:3], sellers[:3])
    assert after_three.net_lots.tolist() == [2, -2]
    assert after_three.cost.tolist() == [21, -21]
    assert after_three.realized.tolist() == [4, -4]
    # It sells 5 at 13: the 2 left close with all their cost, 3 open short.
    found = positions(prices, lots, buyers, sellers)
    assert found.net_lots.tolist() == [-3, 3]
    assert found.cost.tolist() == [-39, 39]
    assert found.realized.tolist() == [9, -9]
    assert found.unrealized(12).tolist() == [3, -3]
    assert found.average_e4_ticks() == [130_000, 130_000]


def test_a_trade_with_oneself_nets() -> None:
    found = positions([10], [4], [7], [7])
    assert (found.net_lots.tolist(), found.cost.tolist(), found.fills.tolist()) == ([0], [0], [2])
    assert found.average_e4_ticks() == [None]
    assert len(positions([], [], [], [])) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1], [0], [1], [2]), "quantity_lots: expected over 0 and under 2**50, got 0"),
        (([2**50], [1], [1], [2]), "price_ticks: expected under 2**50"),
        (([1], [1], [-1], [2]), "numbers of clients and instruments from 0"),
        (([1], [1], [1], [2], [2**62]), "numbers of clients and instruments from 0"),
    ],
)
def test_what_is_no_position_is_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        positions(*arguments)  # type: ignore[arg-type]
    assert message in str(refused.value)


def test_a_position_beyond_63_bits_is_an_error_and_not_a_wrong_figure() -> None:
    count = 10_000
    most = np.full(count, 2**50 - 1, np.int64)
    ones = np.ones(count, np.int64)
    with pytest.raises(OverflowError, match="more at trade 8192"):
        positions(ones, most, ones, 2 * ones)


def test_amounts_are_plain_decimals() -> None:
    amounts = Amounts(BTC)
    assert amounts.price(7_000_050) == b"70000.5"
    assert amounts.quantity(25_000_000) == b"0.25"
    assert amounts.notional(7_000_050 * 25_000_000) == b"17500.125"
    assert amounts.average(7_000_001 * 2 + 7_000_000, 3) == b"70000.006667"
    assert amounts.average(0, 0) == b"null"


def test_aggregates_have_the_form_of_the_api() -> None:
    moment = 1_767_225_600 * SECOND + 5 * SECOND
    found = candles([moment] * 3, [7_000_000, 7_000_001, 6_999_999], [1, 2, 10**8], 60 * SECOND)
    (one,) = aggregates_json(found, Amounts(BTC))
    assert one == (
        b'{"time_bucket":"2026-01-01T00:00:00.000000Z","trade_count":3,'
        b'"total_quantity":1.00000003,"total_volume":69999.9921000002,"open":70000,"high":70000.01,'
        b'"low":69999.99,"close":69999.99,"avg_price":70000,"min_price":69999.99,'
        b'"max_price":70000.01,"vwap":69999.99}'
    )
    assert overall_vwap(found, Amounts(BTC)) == b"69999.99"
    assert overall_vwap(found.take(slice(0, 0)), Amounts(BTC)) == b"null"
