"""The mirror: what a diff asks for, what answers teach, and that it never meets itself."""

import random

import pytest

from novate.feeds.binance.mirror import BookBroken, Mirror
from novate.feeds.binance.operations import Fill, Kind, Operation, OrderState, Side
from tests.unit.binance_fakes import FakeExchange


def new_mirror(**options):
    return Mirror("mirror", "m-", **options)


def carry_out(mirror, exchange, operations):
    """Apply operations in order; returns their outcomes."""
    outcomes = [exchange.apply(each) for each in operations]
    for operation, outcome in zip(operations, outcomes, strict=True):
        mirror.settle(operation, outcome)
    return outcomes


def market(order_id, side, lots, client="taker"):
    return Operation(Kind.PLACE, order_id, client, side, 0, lots)


def limit(order_id, side, ticks, lots, client="user"):
    return Operation(Kind.PLACE, order_id, client, side, ticks, lots)


def shapes(operations):
    return [f"{each.kind} {each.order_id} {each.quantity_lots}" for each in operations]


def started(bids=((100, 5), (99, 7)), asks=((101, 4), (102, 6))):
    mirror, exchange = new_mirror(), FakeExchange()
    carry_out(mirror, exchange, mirror.set_book(list(bids), list(asks)))
    return mirror, exchange


def test_a_snapshot_becomes_one_order_per_level():
    operations = new_mirror().set_book([(100, 5), (99, 7)], [(101, 4)])
    assert shapes(operations) == ["place m-1 5", "place m-2 7", "place m-3 4"]
    assert [each.side for each in operations] == [Side.BUY, Side.BUY, Side.SELL]
    assert {each.client_id for each in operations} == {"mirror"}


def test_removals_and_reductions_come_before_additions():
    mirror, _ = started()
    operations = mirror.set_levels([(98, 1), (99, 3), (100, 9)], [(101, 0), (102, 8), (103, 2)])
    assert shapes(operations) == [
        "amend m-2 3",
        "cancel m-3 0",
        "amend m-1 9",
        "place m-5 1",
        "amend m-4 8",
        "place m-6 2",
    ]


def test_a_level_that_stands_already_costs_nothing():
    mirror, _ = started()
    assert mirror.set_levels([(100, 5), (50, 0)], []) == []


def test_a_diff_sets_a_level_whatever_trades_took():
    mirror, exchange = started()
    outcome = exchange.apply(market("t1", Side.SELL, 2))
    for fill in outcome.fills:
        mirror.fill(fill)
    assert mirror.remaining(Side.BUY)[100] == 3
    # The venue says 3: that is what is left, so nothing is to be done.
    assert mirror.set_levels([(100, 3)], []) == []
    # The venue says 4: the new total is what was filled and 4.
    operations = mirror.set_levels([(100, 4)], [])
    assert shapes(operations) == ["amend m-1 6"]
    carry_out(mirror, exchange, operations)
    assert exchange.levels(Side.BUY) == {100: 4, 99: 7}


def test_what_a_trade_took_from_a_level_no_diff_names_is_put_back():
    mirror, exchange = started()
    for fill in exchange.apply(market("t1", Side.SELL, 6)).fills:
        mirror.fill(fill)
    assert exchange.levels(Side.BUY) == {99: 6}
    carry_out(mirror, exchange, mirror.set_levels([], [(103, 1)]))
    assert exchange.levels(Side.BUY) == {100: 5, 99: 7}


def test_a_fill_is_counted_once_however_it_is_told():
    mirror, exchange = started()
    (fill,) = exchange.apply(market("t1", Side.SELL, 2)).fills
    state = OrderState("m-1", 5, 2, True, fill.seq)
    for tell in ([fill, state], [state, fill], [fill, fill], [state, state]):
        mirror, _ = started()
        for news in tell:
            if isinstance(news, Fill):
                mirror.fill(news)
            else:
                mirror.observe(news)
        assert mirror.remaining(Side.BUY)[100] == 3


def test_old_news_takes_nothing_back():
    mirror, _ = started()
    mirror.observe(OrderState("m-1", 5, 4, True, 20))
    mirror.observe(OrderState("m-1", 5, 1, True, 12))
    mirror.observe(OrderState("unknown", 5, 1, True, 12))
    assert mirror.remaining(Side.BUY)[100] == 1


@pytest.mark.parametrize("status", [404, 409])
def test_an_amendment_of_what_is_gone_is_followed_by_a_new_order(status):
    mirror, exchange = started()
    exchange.refuse["m-1"] = status
    carry_out(mirror, exchange, mirror.set_levels([(100, 6)], []))
    assert shapes(mirror.set_levels([], [])) == ["place m-5 6"]


def test_a_user_who_takes_a_level_between_two_diffs_finds_it_again_after_the_next():
    mirror, exchange = started()
    exchange.apply(market("u1", Side.BUY, 4, "user"))  # nobody tells the mirror
    carry_out(mirror, exchange, mirror.set_levels([], [(101, 9)]))
    carry_out(mirror, exchange, mirror.set_levels([], []))
    assert exchange.levels(Side.SELL) == {101: 9, 102: 6}


def test_an_amendment_refused_by_a_rule_makes_the_order_new():
    mirror, exchange = started()
    exchange.apply(market("u1", Side.SELL, 4, "user"))  # nobody tells the mirror
    outcomes = carry_out(mirror, exchange, mirror.set_levels([(100, 3)], []))
    assert outcomes[0].status == 422
    operations = mirror.set_levels([], [])
    assert shapes(operations) == ["cancel m-1 0", "place m-5 3"]
    carry_out(mirror, exchange, operations)
    assert exchange.levels(Side.BUY) == {100: 3, 99: 7}


def test_a_refused_place_is_not_tried_again_until_the_venue_names_the_level():
    mirror, exchange = started()
    exchange.refuse["m-5"] = 422
    carry_out(mirror, exchange, mirror.set_levels([(98, 1)], []))
    assert mirror.set_levels([], []) == []
    assert shapes(mirror.set_levels([(98, 2)], [])) == ["place m-6 2"]


def test_a_cancel_that_failed_is_tried_again_beside_the_new_order():
    mirror, exchange = started()
    exchange.refuse["m-1"] = 400
    carry_out(mirror, exchange, mirror.set_levels([(100, 0)], []))
    exchange.refuse.clear()
    operations = mirror.set_levels([(100, 2)], [])
    assert shapes(operations) == ["cancel m-1 0", "place m-5 2"]
    carry_out(mirror, exchange, operations)
    assert exchange.levels(Side.BUY) == {100: 2, 99: 7}
    assert mirror.set_levels([], []) == []


def test_a_cut_list_of_trades_replaces_the_side():
    mirror, exchange = started()
    exchange.apply(market("t1", Side.BUY, 5))
    mirror.doubt_side(Side.SELL)
    carry_out(mirror, exchange, mirror.set_levels([], []))
    assert exchange.levels(Side.SELL) == {101: 4, 102: 6}
    assert exchange.levels(Side.BUY) == {100: 5, 99: 7}


def test_a_users_order_in_the_way_trades_with_the_mirror():
    mirror, exchange = started()
    exchange.apply(limit("u1", Side.BUY, 100, 3))
    carry_out(mirror, exchange, mirror.set_levels([(100, 0), (99, 0)], [(99, 2)]))
    assert exchange.orders["u1"].filled_lots == 2
    carry_out(mirror, exchange, mirror.set_levels([], []))
    assert exchange.orders["u1"].filled_lots == 3
    assert exchange.levels(Side.SELL)[99] == 1


def test_reconciling_forgets_what_is_gone_and_cancels_what_is_strange():
    mirror, exchange = started()
    exchange.orders["m-3"].working = False
    exchange.apply(limit("m-old", Side.BUY, 50, 1, "mirror"))
    states = [each.state() for side in Side for each in exchange.resting(side)]
    mirror.reconcile(states)
    operations = mirror.set_levels([], [])
    assert shapes(operations) == ["cancel m-old 0", "place m-5 4"]
    carry_out(mirror, exchange, operations)
    assert exchange.levels(Side.BUY) == {100: 5, 99: 7}
    assert exchange.levels(Side.SELL) == {101: 4, 102: 6}


def test_a_new_snapshot_takes_away_what_it_does_not_hold():
    mirror, exchange = started()
    carry_out(mirror, exchange, mirror.set_book([(100, 5)], [(102, 1), (104, 3)]))
    assert exchange.levels(Side.BUY) == {100: 5}
    assert exchange.levels(Side.SELL) == {102: 1, 104: 3}


@pytest.mark.parametrize(
    ("bids", "asks"),
    [([(101, 1)], []), ([], [(100, 1)]), ([(105, 1)], [(101, 0), (102, 0), (105, 1)])],
)
def test_a_crossed_book_is_refused_whole(bids, asks):
    mirror, _ = started()
    with pytest.raises(BookBroken, match="expected bid below ask"):
        mirror.set_levels(bids, asks)


def test_levels_are_bounded_and_a_snapshot_recovers():
    mirror = new_mirror(levels_max=2)
    mirror.set_book([(1, 1), (2, 1)], [])
    with pytest.raises(BookBroken, match="2 levels at most"):
        mirror.set_levels([(3, 1)], [])
    assert mirror.set_book([(1, 1)], [])


def random_book(rng, middle):
    bids = [(middle - 1 - offset, rng.randint(1, 9)) for offset in rng.sample(range(12), 6)]
    asks = [(middle + 1 + offset, rng.randint(1, 9)) for offset in rng.sample(range(12), 6)]
    return dict(bids), dict(asks)


def changes(old, new):
    gone = [(price, 0) for price in old if price not in new]
    return gone + [(price, lots) for price, lots in new.items() if old.get(price) != lots]


@pytest.mark.parametrize("told", [1.0, 0.7])
def test_a_walking_market_with_takers_is_mirrored_and_never_meets_itself(told):
    rng = random.Random(1)
    mirror, exchange = new_mirror(), FakeExchange()
    middle, (bids, asks) = 1000, random_book(rng, 1000)
    carry_out(mirror, exchange, mirror.set_book(list(bids.items()), list(asks.items())))
    for step in range(100):
        for number in range(rng.randint(0, 2)):
            operation = market(f"t-{step}-{number}", rng.choice(list(Side)), rng.randint(1, 30))
            outcome = exchange.apply(operation)
            if rng.random() < told:
                for fill in outcome.fills:
                    mirror.fill(fill)
        middle += rng.randint(-8, 8)
        old_bids, old_asks = bids, asks
        bids, asks = random_book(rng, middle)
        operations = mirror.set_levels(changes(old_bids, bids), changes(old_asks, asks))
        outcomes = carry_out(mirror, exchange, operations)
        assert not any(outcome.fills for outcome in outcomes)
        if told == 1.0:
            assert (exchange.levels(Side.BUY), exchange.levels(Side.SELL)) == (bids, asks)
    mirror.reconcile([each.state() for side in Side for each in exchange.resting(side)])
    carry_out(mirror, exchange, mirror.set_levels([], []))
    assert (exchange.levels(Side.BUY), exchange.levels(Side.SELL)) == (bids, asks)
