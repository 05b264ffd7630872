"""The rules of the book, a line a case: what is asked, what happens, what book is left.

One tick times one lot costs 10 quote units. The notation is that of `notation.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from novate.model.instrument import Limits
from tests.oracle.duel import Duel, spec
from tests.tables.notation import Scene


class Case(NamedTuple):
    """`given` is played first and its events aren't looked at."""

    requirement: str
    given: str
    asked: str
    events: str
    book: str


LIMIT_ORDERS = [
    Case("a_limit_order_rests_where_nobody_crosses", "", "a: buy 5 @ 100", "a accepted", "5@100 |"),
    Case(
        "it_trades_at_the_makers_price",
        "a: sell 5 @ 100",
        "b: buy 5 @ 103",
        "b accepted; b took 5 @ 100 of a",
        "|",
    ),
    Case(
        "better_prices_trade_first_for_a_buyer",
        "a: sell 2 @ 102; b: sell 2 @ 101; c: sell 2 @ 103",
        "x: buy 5 @ 103",
        "x accepted; x took 2 @ 101 of b; x took 2 @ 102 of a; x took 1 @ 103 of c",
        "| 1@103",
    ),
    Case(
        "better_prices_trade_first_for_a_seller",
        "a: buy 2 @ 98; b: buy 2 @ 99; c: buy 2 @ 97",
        "x: sell 5 @ 97",
        "x accepted; x took 2 @ 99 of b; x took 2 @ 98 of a; x took 1 @ 97 of c",
        "1@97 |",
    ),
    Case(
        "at_one_price_the_older_trades_first",
        "a: sell 2 @ 101; b: sell 2 @ 101",
        "x: buy 3 @ 101",
        "x accepted; x took 2 @ 101 of a; x took 1 @ 101 of b",
        "| 1@101",
    ),
    Case(
        "a_partly_filled_maker_keeps_its_place",
        "a: sell 5 @ 101; b: sell 5 @ 101; x: buy 2 @ 101",
        "y: buy 4 @ 101",
        "y accepted; y took 3 @ 101 of a; y took 1 @ 101 of b",
        "| 4@101",
    ),
    Case(
        "it_stops_at_its_own_price_and_its_rest_becomes_the_best",
        "a: sell 2 @ 101; b: sell 2 @ 102",
        "x: buy 5 @ 101",
        "x accepted; x took 2 @ 101 of a",
        "3@101 | 2@102",
    ),
    Case(
        "equal_prices_cross_and_one_tick_apart_does_not",
        "a: sell 1 @ 101",
        "x: buy 1 @ 100; y: buy 1 @ 101",
        "x accepted; y accepted; y took 1 @ 101 of a",
        "1@100 |",
    ),
    Case(
        "a_client_may_trade_with_itself",
        "a: sell 1 @ 101 client=same",
        "x: buy 1 @ 101 client=same",
        "x accepted; x took 1 @ 101 of a",
        "|",
    ),
    Case(
        "books_of_instruments_do_not_meet",
        "a: sell 5 @ 101 ins=1",
        "x: buy 5 @ 101 ins=0",
        "x accepted",
        "5@101 |",
    ),
]

TIMES_IN_FORCE = [
    Case(
        "an_ioc_that_finds_nothing_ends_whole",
        "",
        "x: buy 5 @ 101 ioc",
        "x accepted; x ended 5 immediate_or_cancel",
        "|",
    ),
    Case(
        "an_ioc_ends_with_what_it_did_not_find",
        "a: sell 2 @ 101; b: sell 2 @ 102",
        "x: buy 5 @ 101 ioc",
        "x accepted; x took 2 @ 101 of a; x ended 3 immediate_or_cancel",
        "| 2@102",
    ),
    Case(
        "an_ioc_that_is_filled_just_ends",
        "a: sell 2 @ 101",
        "x: buy 2 @ 101 ioc",
        "x accepted; x took 2 @ 101 of a",
        "|",
    ),
    Case(
        "a_fok_one_lot_short_trades_nothing",
        "a: sell 2 @ 101; b: sell 2 @ 102",
        "x: buy 5 @ 102 fok",
        "x accepted; x ended 5 fill_or_kill",
        "| 2@101 2@102",
    ),
    Case(
        "a_fok_counts_acceptable_prices_alone",
        "a: sell 2 @ 101; b: sell 9 @ 103",
        "x: buy 3 @ 102 fok",
        "x accepted; x ended 3 fill_or_kill",
        "| 2@101 9@103",
    ),
    Case(
        "a_fok_that_fits_exactly_trades",
        "a: sell 2 @ 101; b: sell 2 @ 102",
        "x: buy 4 @ 102 fok",
        "x accepted; x took 2 @ 101 of a; x took 2 @ 102 of b",
        "|",
    ),
    Case(
        "a_market_fok_one_lot_short_trades_nothing",
        "a: sell 2 @ 101",
        "x: buy 3 fok",
        "x accepted; x ended 3 fill_or_kill",
        "| 2@101",
    ),
    Case(
        "post_only_that_would_cross_is_rejected",
        "a: sell 2 @ 101",
        "x: buy 1 @ 101 post",
        "x rejected post_only_would_cross",
        "| 2@101",
    ),
    Case(
        "post_only_rests_beside_the_best",
        "a: sell 2 @ 101",
        "x: buy 1 @ 100 post",
        "x accepted",
        "1@100 | 2@101",
    ),
]

MARKET_ORDERS = [
    Case(
        "a_market_order_takes_all_prices",
        "a: sell 2 @ 101; b: sell 2 @ 900",
        "x: buy 3",
        "x accepted; x took 2 @ 101 of a; x took 1 @ 900 of b",
        "| 1@900",
    ),
    Case(
        "a_market_order_on_an_empty_book_ends_whole",
        "a: buy 2 @ 99",
        "x: buy 3",
        "x accepted; x ended 3 book_exhausted",
        "2@99 |",
    ),
    Case(
        "a_market_order_ends_with_what_the_book_lacked",
        "a: sell 2 @ 101",
        "x: buy 3",
        "x accepted; x took 2 @ 101 of a; x ended 1 book_exhausted",
        "|",
    ),
    Case(
        "a_market_ioc_is_a_market_order",
        "a: sell 2 @ 101",
        "x: buy 3 ioc",
        "x accepted; x took 2 @ 101 of a; x ended 1 book_exhausted",
        "|",
    ),
]

QUOTE_QUANTITIES = [
    Case(
        "it_buys_whole_lots_while_they_fit",
        "a: sell 9 @ 10",
        "x: buy quote 399",
        "x accepted; x took 3 @ 10 of a",
        "| 6@10",
    ),
    Case(
        "it_spends_to_the_last_unit",
        "a: sell 9 @ 10",
        "x: buy quote 400",
        "x accepted; x took 4 @ 10 of a",
        "| 5@10",
    ),
    Case(
        "it_goes_on_to_worse_prices",
        "a: sell 1 @ 10; b: sell 5 @ 20",
        "x: buy quote 500",
        "x accepted; x took 1 @ 10 of a; x took 2 @ 20 of b",
        "| 3@20",
    ),
    Case(
        "it_is_filled_when_the_next_price_is_too_dear",
        "a: sell 1 @ 10; b: sell 5 @ 20",
        "x: buy quote 299",
        "x accepted; x took 1 @ 10 of a",
        "| 5@20",
    ),
    Case(
        "it_ends_when_it_never_bought_a_lot",
        "a: sell 5 @ 20",
        "x: buy quote 199",
        "x accepted; x ended 0 quote_quantity_too_small",
        "| 5@20",
    ),
    Case(
        "it_exhausts_the_book_with_a_lots_worth_left",
        "a: sell 2 @ 10",
        "x: buy quote 300",
        "x accepted; x took 2 @ 10 of a; x ended 0 book_exhausted",
        "|",
    ),
    Case(
        "it_is_filled_when_the_book_ends_and_less_than_a_lots_worth_is_left",
        "a: sell 2 @ 10",
        "x: buy quote 299",
        "x accepted; x took 2 @ 10 of a",
        "|",
    ),
    Case(
        "on_an_empty_book_it_is_exhausted",
        "",
        "x: buy quote 299",
        "x accepted; x ended 0 book_exhausted",
        "|",
    ),
    Case(
        "a_seller_never_goes_on_to_a_lower_price_past_an_order_it_left_standing",
        "a: buy 5 @ 10; b: buy 5 @ 4",
        "x: sell quote 250",
        "x accepted; x took 2 @ 10 of a",
        "3@10 5@4 |",
    ),
]

CANCELS_AND_AMENDMENTS = [
    Case(
        "cancel_ends_what_is_open",
        "a: sell 5 @ 101; x: buy 2 @ 101",
        "cancel a",
        "a ended 3 by_client",
        "|",
    ),
    Case("cancel_of_nothing_known_is_refused", "", "cancel a", "refused unknown_order", "|"),
    Case(
        "cancel_of_a_filled_order_is_refused",
        "a: sell 2 @ 101; x: buy 2 @ 101",
        "cancel a; cancel x",
        "refused already_closed a; refused already_closed x",
        "|",
    ),
    Case(
        "less_at_the_same_price_keeps_priority",
        "a: sell 5 @ 101; b: sell 5 @ 101",
        "amend a 3; x: buy 1 @ 101",
        "a amended 3 @ 101 left 3; x accepted; x took 1 @ 101 of a",
        "| 7@101",
    ),
    Case(
        "the_same_again_keeps_priority",
        "a: sell 5 @ 101; b: sell 5 @ 101",
        "amend a 5 @ 101; x: buy 1 @ 101",
        "a amended 5 @ 101 left 5; x accepted; x took 1 @ 101 of a",
        "| 9@101",
    ),
    Case(
        "more_loses_priority",
        "a: sell 5 @ 101; b: sell 5 @ 101",
        "amend a 6; x: buy 1 @ 101",
        "a amended 6 @ 101 left 6; x accepted; x took 1 @ 101 of b",
        "| 10@101",
    ),
    Case(
        "another_price_and_back_loses_priority",
        "a: sell 5 @ 101; b: sell 5 @ 101",
        "amend a @ 102; amend a @ 101; x: buy 1 @ 101",
        "a amended 5 @ 102 left 5; a amended 5 @ 101 left 5; x accepted; x took 1 @ 101 of b",
        "| 9@101",
    ),
    Case(
        "the_new_quantity_is_the_total",
        "a: sell 5 @ 101; x: buy 2 @ 101",
        "amend a 4",
        "a amended 4 @ 101 left 2",
        "| 2@101",
    ),
    Case(
        "at_what_is_filled_it_is_refused",
        "a: sell 5 @ 101; x: buy 2 @ 101",
        "amend a 2; amend a 1",
        "refused amend_quantity_too_low a; refused amend_quantity_too_low a",
        "| 3@101",
    ),
    Case(
        "an_amended_order_may_take",
        "a: sell 5 @ 101; b: buy 2 @ 99",
        "amend b 7 @ 102",
        "b amended 7 @ 102 left 7; b took 5 @ 101 of a",
        "2@102 |",
    ),
    Case(
        "post_only_may_not_be_amended_into_a_cross",
        "a: sell 5 @ 101; b: buy 2 @ 99 post",
        "amend b @ 101; x: sell 1 @ 99",
        "refused amend_would_cross b; x accepted; x took 1 @ 99 of b",
        "1@99 | 5@101",
    ),
    Case(
        "mass_cancel_takes_one_clients_orders_the_newest_first",
        "a: sell 5 @ 101; b: buy 2 @ 99; o: buy 1 @ 98 client=other",
        "mass c",
        "b ended 2 mass_cancel; a ended 5 mass_cancel; mass cancelled 2",
        "1@98 |",
    ),
    Case(
        "mass_cancel_of_a_side_leaves_the_other",
        "a: sell 5 @ 101; b: buy 2 @ 99",
        "mass c sell",
        "a ended 5 mass_cancel; mass cancelled 1",
        "2@99 |",
    ),
    Case("mass_cancel_of_a_stranger_is_empty", "", "mass stranger", "mass cancelled 0", "|"),
]

ALL = LIMIT_ORDERS + TIMES_IN_FORCE + MARKET_ORDERS + QUOTE_QUANTITIES + CANCELS_AND_AMENDMENTS


@pytest.mark.parametrize("case", ALL, ids=[case.requirement for case in ALL])
def test_matching(case: Case) -> None:
    scene = Scene(Duel.begin(Limits(), [spec(0), spec(1)]))
    scene.play(case.given)
    assert scene.play(case.asked) == case.events
    assert scene.book() == case.book
    scene.duel.drain()
