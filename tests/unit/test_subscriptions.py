"""Names of channels, and the places a consumer of a book can be in."""

from __future__ import annotations

import pytest

from novate.streams.subscriptions import BookFeed, Channel, parse_channel
from tests.unit.stream_fakes import Receiver


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("orderbook_deltas", (Channel.BOOK, None)),
        ("orderbook", (Channel.BOOK, None)),
        ("book.BTC-USD", (Channel.BOOK, "BTC-USD")),
        ("book.A.B:1", (Channel.BOOK, "A.B:1")),
        ("trades", (Channel.TRADES, None)),
        ("trades.ETH-USD", (Channel.TRADES, "ETH-USD")),
        ("orders", (Channel.ORDERS, None)),
        ("book.", None),
        ("", None),
        ("Trades", None),
        ("candles", (Channel.CANDLES, None)),
        ("candles.BTC-USD", (Channel.CANDLES, "BTC-USD")),
        ("tickers", None),
        ("tickers.BTC-USD", None),
    ],
)
def test_channel_names(name: str, expected: tuple[Channel, str | None] | None) -> None:
    assert parse_channel(name) == expected


def test_a_consumer_of_a_book_stands_in_one_place() -> None:
    feed = BookFeed(0, "BTC-USD")
    consumer = Receiver()
    assert feed.is_empty()
    feed.await_snapshot(consumer)
    feed.live.update(feed.waiting)
    feed.waiting.clear()
    feed.fall_behind(consumer)
    assert (list(feed.live), list(feed.lagging)) == ([], [consumer])
    feed.await_snapshot(consumer)
    assert (list(feed.waiting), list(feed.lagging)) == ([consumer], [])
    assert feed.remove(consumer)
    assert not feed.remove(consumer)
    assert feed.is_empty()
