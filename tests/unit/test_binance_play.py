"""The conductor against a plain exchange, and its parts: pace, tops, captures, backoff."""

import asyncio
import gzip
import math
import random
from decimal import Decimal

import pytest

from novate.feeds import FeedError
from novate.feeds.binance import capture
from novate.feeds.binance.backoff import Backoff
from novate.feeds.binance.cli import Pace
from novate.feeds.binance.grid import Grid
from novate.feeds.binance.messages import BookTicker, DepthDiff, DepthSnapshot, PublicTrade
from novate.feeds.binance.mirror import Mirror
from novate.feeds.binance.operations import OrderState, Outcome, Side, TopOfBook
from novate.feeds.binance.play import Player, Tops
from tests.unit.binance_fakes import FakeExchange

WHOLE = Grid(Decimal(1), Decimal(1))
SNAPSHOT = DepthSnapshot(10, [("100", "5"), ("99", "7")], [("101", "4"), ("102", "6")])


def new_player(exchange=None, book_only=False, compare=False):
    return Player(
        exchange or FakeExchange(),
        Mirror("mirror", "m-"),
        WHOLE,
        taker_id=None if book_only else "taker",
        id_prefix="t-",
        compare=compare,
    )


def play(player, *messages):
    async def run():
        for message in messages:
            await player.take(message)
        await player.flush()

    asyncio.run(run())


def sold(number, lots):
    return PublicTrade(number, "100", str(lots), True)


def bought(number, lots):
    return PublicTrade(number, "101", str(lots), False)


def test_trades_become_market_orders_on_the_takers_side():
    exchange = FakeExchange()
    player = new_player(exchange)
    play(player, SNAPSHOT, sold(1, 2), bought(2, 3))
    assert [(each.order_id, each.side, each.price_ticks) for each in exchange.batches[-1]] == [
        ("t-1", Side.SELL, 0),
        ("t-2", Side.BUY, 0),
    ]
    assert exchange.levels(Side.BUY) == {100: 3, 99: 7}
    assert exchange.levels(Side.SELL) == {101: 1, 102: 6}
    assert (player.tally.trades, player.tally.market_orders, player.tally.unfilled) == (2, 2, 0)


def test_a_diff_waits_for_the_trades_before_it_and_then_sets_the_book():
    exchange = FakeExchange()
    player = new_player(exchange)
    play(player, SNAPSHOT, sold(1, 6), DepthDiff(11, 12, [("100", "0"), ("99", "6")], []))
    assert exchange.levels(Side.BUY) == {99: 6}
    assert player.tally.rejected == 0
    assert player.tally.commands == 5  # four levels, one trade; the diff found all as it should be


def test_trades_before_the_book_are_left_out_and_the_book_alone_has_none():
    player = new_player()
    play(player, sold(1, 2), SNAPSHOT)
    assert (player.tally.trades_left_out, player.tally.market_orders) == (1, 0)
    player = new_player(book_only=True)
    play(player, SNAPSHOT, sold(1, 2))
    assert (player.tally.trades_left_out, player.tally.market_orders) == (0, 0)


def test_a_trade_beyond_the_book_is_counted_as_unfilled():
    player = new_player()
    play(player, SNAPSHOT, sold(1, 20))
    assert (player.tally.unfilled, player.tally.trades) == (1, 2)


def test_large_steps_go_out_in_batches_of_a_thousand_removals_first():
    exchange = FakeExchange()
    player = new_player(exchange)
    bids = [(str(price), "1") for price in range(1, 1501)]
    gone = [(str(price), "0") for price in range(1, 1501)]
    asks = [(str(price), "1") for price in range(2000, 2600)]
    play(player, DepthSnapshot(10, bids, []), DepthDiff(11, 11, gone, asks))
    assert [len(each) for each in exchange.batches] == [1000, 500, 1000, 1000, 100]
    kinds = [str(each.kind) for batch in exchange.batches[2:] for each in batch]
    assert kinds == ["cancel"] * 1500 + ["place"] * 600


def test_a_crossed_diff_is_not_played_and_a_new_snapshot_mends_the_book():
    exchange = FakeExchange()
    player = new_player(exchange)
    play(player, SNAPSHOT, DepthDiff(11, 12, [("101", "1")], []))
    assert (player.tally.broken_books, player.depth.is_synced) == (1, False)
    assert exchange.levels(Side.BUY) == {100: 5, 99: 7}
    play(player, DepthSnapshot(20, [("101", "1")], [("102", "2")]))
    assert (exchange.levels(Side.BUY), exchange.levels(Side.SELL)) == ({101: 1}, {102: 2})


def test_levels_between_two_ticks_are_left_out_and_counted():
    exchange = FakeExchange()
    player = new_player(exchange)
    play(player, SNAPSHOT, DepthDiff(11, 11, [("98.5", "1"), ("98", "2.5")], []))
    assert exchange.levels(Side.BUY) == {100: 5, 99: 7, 98: 2}
    assert player.tally.levels_left_out == 1


def test_reconciling_asks_the_exchange_before_the_next_step():
    exchange = FakeExchange()
    player = new_player(exchange)
    play(player, SNAPSHOT)
    exchange.orders["m-1"].working = False
    player.request_reconcile()
    play(player, DepthDiff(11, 11, [], []))
    assert exchange.levels(Side.BUY) == {100: 5, 99: 7}


def test_a_cut_list_of_trades_makes_the_side_new():
    class Cutting(FakeExchange):
        def _place(self, operation):
            outcome = super()._place(operation)
            return Outcome(201, outcome.order, "", outcome.fills[:1], outcome.trade_count)

    exchange = Cutting()
    play(new_player(exchange), SNAPSHOT, sold(1, 8), DepthDiff(11, 11, [], []))
    assert exchange.levels(Side.BUY) == {100: 5, 99: 7}


def test_tops_are_compared_at_the_update_ids_that_book_ticker_named():
    player = new_player(compare=True)
    play(
        player,
        BookTicker(10, "100", "5", "101", "4"),
        SNAPSHOT,
        BookTicker(11, "100", "9", "101", "4"),
        BookTicker(12, "100", "9", "101", "4"),
        DepthDiff(11, 12, [("100", "9")], []),
        DepthDiff(13, 14, [("100", "8")], []),
    )
    assert (player.tally.compared, player.tally.differing) == (2, 0)
    play(player, BookTicker(15, "100", "9", "101", "4"), DepthDiff(15, 15, [], []))
    assert (player.tally.compared, player.tally.differing) == (3, 1)


def test_tops_that_nobody_shares_are_dropped():
    tops = Tops(kept_max=2)
    for number in range(5):
        tops.told(number, TopOfBook())
    assert [tops.is_told(number) for number in range(5)] == [False, False, False, True, True]


def test_the_same_messages_give_the_same_operations_however_they_are_flushed():
    def operations(flushes):
        rng, exchange = random.Random(3), FakeExchange()
        player = new_player(exchange)

        async def run():
            await player.take(SNAPSHOT)
            for number in range(11, 60):
                await player.take(sold(number, rng.randint(1, 4)))
                if flushes:
                    await player.flush()
                if rng.random() < 0.4:
                    await player.take(DepthDiff(number, number, [("99", str(number))], []))

        asyncio.run(run())
        player.mirror.observe(OrderState("nobody", 1, 1, True, 1))
        return [each for batch in exchange.batches for each in batch]

    straight = operations(False)
    assert operations(True)[: len(straight)] == straight


def test_pace_follows_the_receive_times():
    now = [50.0]
    pace = Pace(10.0, clock=lambda: now[0])
    assert pace.seconds_until(7_000_000_000) == 0.0
    assert pace.seconds_until(8_000_000_000) == pytest.approx(0.1)
    now[0] += 1.0
    assert pace.seconds_until(8_000_000_000) == 0.0
    assert Pace(math.inf).seconds_until(10**18) == 0.0


def test_backoff_doubles_to_its_limit_with_jitter():
    class Highest(random.Random):
        def uniform(self, low, high):
            return high

    backoff = Backoff(Highest(), base_seconds=1.0, seconds_max=5.0)
    assert [backoff.next_seconds() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.reset()
    assert backoff.next_seconds() == 1.0
    rng = random.Random(2)
    drawn = [Backoff(rng, 1.0, 5.0).next_seconds() for _ in range(100)]
    assert 0.1 <= min(drawn) < 0.3 < 0.9 < max(drawn) <= 1.0


LINES = [
    b'100 {"stream":"x@trade","data":{"t":7,"p":"1","q":"2","m":true}}\n',
    b'200 {"stream":"x@kline","data":{}}\n',
    b'300 {"lastUpdateId":3,"bids":[["1.50","2"]],"asks":[]}\n',
]


def test_captures_are_read_plain_and_gzipped_as_one_stream(tmp_path):
    plain, zipped = tmp_path / "a", tmp_path / "b.gz"
    plain.write_bytes(b"".join(LINES))
    zipped.write_bytes(gzip.compress(LINES[0]))
    progress = []
    messages = list(capture.read([plain, zipped], progress.append))
    assert [time for time, _ in messages] == [100, 300, 100]
    assert progress == [plain.stat().st_size, plain.stat().st_size + zipped.stat().st_size]
    assert capture.grid_of([zipped, plain]) == Grid(Decimal("0.1"), Decimal(1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LINES[0] + b"x {}\n", "line 2"),
        (LINES[0] + b"200\n", "line 2"),
        (LINES[0] + b'200 {"stream":"x@trade"\n', "line 2"),
        (gzip.compress(b"".join(LINES))[:-12], "readable capture"),
        (b"\x1f\x8bno gzip at all", "readable capture"),
    ],
)
def test_a_damaged_capture_is_named(tmp_path, content, message):
    path = tmp_path / "capture"
    path.write_bytes(content)
    with pytest.raises(FeedError, match=message):
        list(capture.read([path]))


def test_a_capture_that_is_not_there_or_has_no_snapshot_is_named(tmp_path):
    with pytest.raises(FeedError, match="readable capture"):
        list(capture.read([tmp_path / "absent"]))
    path = tmp_path / "capture"
    path.write_bytes(LINES[0])
    with pytest.raises(FeedError, match="depth snapshot"):
        capture.grid_of([path])
