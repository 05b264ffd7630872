"""Analytics against the same in plain Python, over whatever trades and books there can be."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novate.analytics import (
    candles,
    depth_within,
    markouts,
    merge_candles,
    positions,
    realized_volatility,
    slippage,
    vwap,
    window_statistics,
    with_gaps,
)
from novate.analytics.decimals import Amounts
from novate.analytics.exact import rounded_half_even, sums, sums_of_products
from novate.model.instrument import Instrument
from tests.oracle import analytics as naive

pytestmark = pytest.mark.slow

SECOND = 10**9
# Both small factors, where int64 holds the sums, and the greatest there are, where it doesn't.
factors = st.one_of(st.integers(1, 100), st.integers(10**15 - 100, 10**15), st.integers(1, 10**15))
prices = factors
steps = st.one_of(st.integers(0, 3), st.integers(0, 200 * SECOND))


@st.composite
def trade_lists(draw: Any) -> list[naive.Trade]:
    gaps = draw(st.lists(steps, max_size=40))
    first = draw(st.integers(0, 2_000_000_000 * SECOND))
    times = list(accumulate(gaps, initial=first))[1:]
    return [(time, draw(prices), draw(factors)) for time in times]


def columns(trades: list[naive.Trade]) -> list[np.ndarray[Any, Any]]:
    return [np.array([each[at] for each in trades], np.int64) for at in range(3)]


def rows(found: Any) -> list[dict[str, int]]:
    names = {
        "start": "start_ns", "open": "open_ticks", "high": "high_ticks", "low": "low_ticks",
        "close": "close_ticks", "volume": "volume_lots", "notional": "notional",
        "price_sum": "price_sum_ticks", "count": "trade_count",
    }  # fmt: skip
    lists = {short: getattr(found, name).tolist() for short, name in names.items()}
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


@given(trade_lists(), st.sampled_from([1, 5, 60, 300, 3600, 86_400]))
def test_candles_are_what_was_traded(trades: list[naive.Trade], seconds: int) -> None:
    assert rows(candles(*columns(trades), seconds * SECOND)) == naive.candles(
        trades, seconds * SECOND
    )


@given(trade_lists(), st.sampled_from([60, 300, 86_400]))
def test_longer_candles_come_of_shorter_ones(trades: list[naive.Trade], seconds: int) -> None:
    finer = candles(*columns(trades), SECOND)
    assert rows(merge_candles(finer, seconds * SECOND)) == naive.candles(trades, seconds * SECOND)


@given(trade_lists())
def test_gaps_are_flat_and_every_candle_stays(trades: list[naive.Trade]) -> None:
    found = candles(*columns(trades), 60 * SECOND)
    filled = rows(with_gaps(found))
    assert [each for each in filled if each["count"]] == rows(found)
    for before, after in pairwise(filled):
        assert after["start"] == before["start"] + 60 * SECOND
        if not after["count"]:
            flat = {before["close"]}
            assert {after["open"], after["high"], after["low"], after["close"]} == flat
            assert after["volume"] == after["notional"] == 0


signed = st.one_of(st.integers(-100, 100), st.integers(-(10**15), 10**15))


@given(st.lists(st.lists(st.tuples(signed, signed), min_size=1, max_size=8), max_size=8))
def test_sums_never_wrap_or_round(groups: list[list[tuple[int, int]]]) -> None:
    flat = np.array([pair for group in groups for pair in group], np.int64).reshape(-1, 2)
    starts = np.array(list(accumulate(map(len, groups), initial=0))[:-1], np.int64)
    found = sums_of_products(flat[:, 0], flat[:, 1], starts)
    assert found.tolist() == [sum(a * b for a, b in group) for group in groups]
    assert sums(flat[:, 0], starts).tolist() == [sum(a for a, _ in group) for group in groups]


def test_a_sum_far_beyond_64_bits_is_exact() -> None:
    count = 200_000
    most = np.full(count, 10**15, np.int64)
    whole = np.zeros(1, np.int64)
    assert sums_of_products(most, most, whole)[0] == count * 10**30
    assert sums(most, whole)[0] == count * 10**15


clients = st.integers(0, 3)
sides = st.tuples(prices, factors, clients, clients, st.integers(0, 1))


@given(st.lists(sides, max_size=60))
def test_positions_are_those_kept_by_hand(trades: list[tuple[int, int, int, int, int]]) -> None:
    table = np.array(trades, np.int64).reshape(-1, 5)
    found = positions(*(table[:, at] for at in range(5)))
    expected = naive.positions(trades)
    keys = list(zip(found.instrument.tolist(), found.client.tolist(), strict=True))
    assert keys == list(expected)
    for at, one in enumerate(expected.values()):
        assert found.net_lots[at] == one.net
        assert (found.cost[at], found.realized[at]) == (one.cost, one.realized)
        assert (found.bought_lots[at], found.sold_lots[at]) == (one.bought, one.sold)
        assert (found.fills[at], found.last_trade[at]) == (one.fills, one.last)


@given(st.lists(sides, max_size=60), prices)
def test_positions_conserve_lots_and_money(
    trades: list[tuple[int, int, int, int, int]], mark: int
) -> None:
    table = np.array(trades, np.int64).reshape(-1, 5)
    found = positions(*(table[:, at] for at in range(5)))
    assert sum(found.net_lots.tolist()) == 0
    assert sum(found.cost) - sum(found.realized) == 0
    profit = found.realized + found.unrealized(mark)
    for at in range(len(found)):
        book, client = int(found.instrument[at]), int(found.client[at])
        paid = sum(
            price * lots * ((buyer == client) - (seller == client))
            for price, lots, buyer, seller, instrument in trades
            if instrument == book
        )
        assert found.cost[at] - found.realized[at] == paid
        assert profit[at] == mark * int(found.net_lots[at]) - paid


def test_numbers_of_clients_may_be_far_apart() -> None:
    clients_of = np.array([0, 2**40, 7, 2**40], np.int64)
    found = positions([10, 11], [1, 1], clients_of[:2], clients_of[2:], [3, 3])
    assert found.client.tolist() == [0, 7, 2**40]
    assert found.net_lots.tolist() == [1, -1, 0]
    assert found.realized.tolist() == [0, 0, 0]


@given(st.lists(st.tuples(st.integers(1, 10**6), factors), max_size=12), st.integers(0, 10**16))
def test_slippage_is_found_level_by_level(levels: list[tuple[int, int]], lots: int) -> None:
    levels = sorted(dict(levels).items())
    side = [np.array([each[at] for each in levels], np.int64) for at in range(2)]
    found = slippage(*side, lots)
    filled, notional, reached, cost = naive.slippage(levels, lots)
    assert (found.filled_lots, found.notional, found.levels) == (filled, notional, reached)
    assert (found.unfilled_lots, found.slippage) == (lots - filled, cost)
    depth = depth_within(*side, levels=reached)
    assert depth.lots >= filled
    assert depth_within(*side).notional == sum(a * b for a, b in levels)


@given(st.lists(st.tuples(st.integers(1, 10**6), factors), min_size=1), st.integers(0, 1000))
def test_depth_within_a_distance(levels: list[tuple[int, int]], distance: int) -> None:
    for falling in (False, True):
        side = sorted(dict(levels).items(), reverse=falling)
        best = side[0][0]
        near = [(price, lots) for price, lots in side if abs(price - best) <= distance]
        pair = [np.array([each[at] for each in side], np.int64) for at in range(2)]
        found = depth_within(*pair, distance_ticks=distance)
        assert (found.levels, found.lots) == (len(near), sum(lots for _, lots in near))


@given(trade_lists(), st.integers(0, 500 * SECOND))
def test_a_window_holds_what_happened_in_it(trades: list[naive.Trade], window: int) -> None:
    end = trades[len(trades) // 2][0] if trades else 0
    found = window_statistics(*columns(trades), end_ns=end, window_ns=window)
    inside = [each for each in trades if end - window < each[0] <= end]
    assert found.trade_count == len(inside)
    assert found.volume_lots == sum(lots for *_, lots in inside)
    assert found.notional == sum(price * lots for _, price, lots in inside)
    if inside:
        assert (found.open_ticks, found.last_ticks) == (inside[0][1], inside[-1][1])
        top, below = vwap(*columns(inside)[1:])
        assert min(p for _, p, _ in inside) <= Fraction(top, below) <= max(p for _, p, _ in inside)


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**30))
def test_rounding_is_half_even(top: int, below: int) -> None:
    assert rounded_half_even(top, below) == naive.half_even(Fraction(top, below))


@given(st.integers(1, 10**20), st.integers(1, 10**12), st.integers(1, 9), st.integers(0, 6))
def test_averages_have_four_digits_more_than_the_tick(
    ticks: int, count: int, coefficient: int, exponent: int
) -> None:
    instrument = Instrument(
        name="X", base="X", quote="Y", tick_coefficient=coefficient, tick_exponent=exponent,
        lot_exponent=0, quote_scale=exponent,
    )  # fmt: skip
    text = Amounts(instrument).average(ticks, count).decode()
    exact = Fraction(ticks * coefficient, count * 10**exponent)
    assert Fraction(text) == Fraction(
        naive.half_even(exact * 10 ** (exponent + 4)), 10 ** (exponent + 4)
    )


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=30))
def test_volatility_does_not_depend_on_the_tick_or_the_direction(closes: list[int]) -> None:
    found = realized_volatility(closes)
    assert found >= 0
    assert realized_volatility([3 * each for each in closes]) == pytest.approx(found, abs=1e-9)
    assert realized_volatility(closes[::-1]) == pytest.approx(found, abs=1e-9)


@given(trade_lists(), st.integers(0, 100 * SECOND))
def test_markouts_look_up_the_last_middle(trades: list[naive.Trade], horizon: int) -> None:
    times, ticks, _ = columns(trades)
    mids = 2 * ticks[::-1] + 1
    found = markouts(times, ticks, np.ones(len(times), np.int64), times, mids, horizon)
    for at, (time, price, _) in enumerate(trades):
        if time + horizon > trades[-1][0]:
            assert np.isnan(found[at])
        else:
            last = max(i for i, each in enumerate(trades) if each[0] <= time + horizon)
            assert found[at] == (int(mids[last]) - 2 * price) / 2
