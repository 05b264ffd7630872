"""Messages of the venue and the grid that reads their decimals."""

from decimal import Decimal

import pytest

from novate.feeds import FeedError
from novate.feeds.binance.grid import Grid
from novate.feeds.binance.messages import (
    BookTicker,
    DepthDiff,
    DepthSnapshot,
    PublicTrade,
    decode,
    decode_exchange_info,
    decode_snapshot,
    infer_grid,
)

ETH = Grid(Decimal("0.01"), Decimal("0.0001"))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            (
                b'{"stream":"ethusdt@trade","data":{"e":"trade","E":1,"s":"ETHUSDT","t":7,'
                b'"p":"2683.80000000","q":"0.00200000","T":1,"m":true,"M":true}}'
            ),
            PublicTrade(7, "2683.80000000", "0.00200000", True),
        ),
        (
            (
                b'{"stream":"ethusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"ETHUSDT",'
                b'"U":5,"u":9,"b":[["1.00","2.0"]],"a":[]}}'
            ),
            DepthDiff(5, 9, [("1.00", "2.0")], []),
        ),
        (
            b'{"stream":"ethusdt@depth","data":{"U":5,"u":9,"b":[],"a":[]}}',
            DepthDiff(5, 9, [], []),
        ),
        (
            b'{"stream":"x@bookTicker","data":{"u":5,"s":"X","b":"1","B":"2","a":"3","A":"4"}}',
            BookTicker(5, "1", "2", "3", "4"),
        ),
        (
            b'{"lastUpdateId":3,"bids":[["1","2"]],"asks":[]}',
            DepthSnapshot(3, [("1", "2")], []),
        ),
        (b'{"stream":"x@kline_1m","data":{}}', None),
        (b'{"stream":"odd","data":{}}', None),
        (b'{"result":null,"id":1}', None),
    ],
)
def test_messages_are_decoded(raw, message):
    assert decode(raw) == message


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'{"stream":"x@trade","data":{"t":1}}',
        b'{"stream":"x@trade"}',
        b'{"stream":"x@depth","data":{"U":"a"}}',
        b'{"lastUpdateId":3}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_message_is_refused(raw):
    with pytest.raises(FeedError, match="expected"):
        decode(raw)


def test_a_refused_snapshot_says_what_came():
    with pytest.raises(FeedError, match="Way too many requests"):
        decode_snapshot(b'{"code":-1003,"msg":"Way too many requests"}')


@pytest.mark.parametrize(
    ("price", "ticks"), [("2683.80000000", 268380), ("0", 0), ("0.01", 1), (b"1.5", 150)]
)
def test_prices_are_whole_ticks(price, ticks):
    assert ETH.ticks(price) == ticks


@pytest.mark.parametrize("text", ["2683.805", "-1", "NaN", "Infinity", "", "x", "1e999999"])
def test_what_is_off_the_grid_is_refused(text):
    with pytest.raises(FeedError, match="expected a multiple of the tick size"):
        ETH.ticks(text)


@pytest.mark.parametrize(
    ("quantity", "lots"), [("2292.22972000", 22922297), ("0.00005", 1), ("0.00000000", 0)]
)
def test_a_quantity_finer_than_the_lot_is_cut_but_never_to_nothing(quantity, lots):
    assert ETH.lots_within(quantity) == lots


@pytest.mark.parametrize("quantity", ["-1", "NaN", "x", ""])
def test_what_is_no_quantity_is_refused(quantity):
    with pytest.raises(FeedError, match="expected a multiple of the lot size"):
        ETH.lots_within(quantity)


def test_a_grid_holds_a_coarser_one():
    assert Grid(Decimal("0.01"), Decimal("0.00000001")).holds(ETH)
    assert ETH.holds(ETH)
    assert not Grid(Decimal("0.1"), Decimal("0.0001")).holds(ETH)


def test_ticks_and_lots_go_out_as_plain_decimals():
    assert ETH.price(268380) == "2683.8"
    assert ETH.quantity(1) == "0.0001"
    assert Grid(Decimal("1E+2"), Decimal("1E-8")).price(3) == "300"
    assert Grid(Decimal("1E+2"), Decimal("1E-8")).quantity(3) == "0.00000003"


def test_the_grid_is_read_from_exchange_info():
    raw = (
        b'{"symbols":[{"symbol":"ETHUSDT","baseAsset":"ETH","quoteAsset":"USDT","filters":['
        b'{"filterType":"PRICE_FILTER","minPrice":"0.01","tickSize":"0.01000000"},'
        b'{"filterType":"LOT_SIZE","stepSize":"0.00010000"},{"filterType":"ICEBERG_PARTS"}]}]}'
    )
    found = decode_exchange_info(raw, "ETHUSDT")
    assert (found.base, found.quote, found.grid) == ("ETH", "USDT", ETH)
    with pytest.raises(FeedError, match="expected symbol BTCUSDT"):
        decode_exchange_info(raw, "BTCUSDT")
    with pytest.raises(FeedError, match="PRICE_FILTER"):
        decode_exchange_info(raw.replace(b"PRICE_FILTER", b"OTHER"), "ETHUSDT")
    with pytest.raises(FeedError, match="positive tick"):
        decode_exchange_info(raw.replace(b"0.01000000", b"0.00000000"), "ETHUSDT")


def test_the_grid_is_inferred_from_a_snapshot():
    snapshot = DepthSnapshot(1, [("2683.80000000", "3.00000000")], [("2683.81", "0.00010000")])
    assert infer_grid(snapshot) == ETH
    whole = DepthSnapshot(1, [("100.000", "20.0")], [])
    assert infer_grid(whole) == Grid(Decimal(1), Decimal(1))
