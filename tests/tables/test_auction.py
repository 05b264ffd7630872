"""The call auction (M-AUC), a line a case; most cases are the price of a book.

A book of an auction is written as `buyers | sellers`, each `lots@price` in the order in which they
came, `m` for a market order.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from novate.model.commands import NEWEST_RULES, Side
from novate.model.instrument import Rules
from tests.oracle import auction
from tests.oracle.words import SetRules
from tests.tables.cases import Case, check, names, scene


class Price(NamedTuple):
    """A book, the reference price (0: none), and price, volume and surplus of its uncross."""

    requirement: str
    book: str
    reference: int
    expected: tuple[int, int, int]


PRICES = [
    Price("m_auc_1_nobody", "|", 100, (0, 0, 0)),
    Price("m_auc_1_one_side_alone", "5@100 |", 100, (0, 0, 0)),
    Price("m_auc_1_nobody_crosses", "5@100 | 5@101", 100, (0, 0, 0)),
    Price("m_auc_2_one_price", "5@100 | 5@100", 0, (100, 5, 0)),
    Price("m_auc_2_most_volume", "5@102 5@101 9@100 | 6@100 6@101", 100, (101, 10, -2)),
    Price("m_auc_2_volume_before_surplus", "1@103 9@100 | 1@103 5@100", 103, (100, 5, 5)),
    Price("m_auc_2_least_surplus", "9@102 1@101 | 9@100", 100, (102, 9, 0)),
    Price("m_auc_2_the_reference_inside_the_range", "5@105 | 5@100", 103, (103, 5, 0)),
    Price("m_auc_2_the_reference_at_the_end_of_it", "5@105 | 5@100", 105, (105, 5, 0)),
    Price("m_auc_2_the_reference_under_it", "5@105 | 5@100", 99, (100, 5, 0)),
    Price("m_auc_2_the_reference_over_it", "5@105 | 5@100", 140, (105, 5, 0)),
    Price("m_auc_2_no_reference_is_the_middle", "5@105 | 5@100", 0, (102, 5, 0)),
    Price("m_auc_2_no_reference_and_buyers_left", "9@105 | 5@100 1@106", 0, (105, 5, 4)),
    Price("m_auc_2_no_reference_and_sellers_left", "5@105 1@99 | 9@100", 0, (100, 5, -4)),
    Price(
        "m_auc_2_no_reference_and_both_left_is_the_middle",
        "10@100 10@105 | 10@100 10@105",
        0,
        (102, 10, 0),
    ),
    Price(
        "m_auc_2_every_tick_between_two_limits_is_compared",
        "10@100 10@105 | 10@100 10@105",
        99,
        (101, 10, 0),
    ),
    Price("m_auc_2_the_one_tick_between_two_limits", "5@102 5@100 | 5@100 5@102", 100, (101, 5, 0)),
    Price("m_auc_2_neighbours_have_no_tick_between", "5@101 5@100 | 5@100 5@101", 0, (100, 5, 5)),
    Price("m_auc_2_the_last_tick_under_a_limit", "5@110 5@100 | 5@100 5@110", 200, (109, 5, 0)),
    Price("m_auc_2_the_middle_of_the_ticks_between", "5@110 5@101 | 5@101 5@110", 0, (105, 5, 0)),
    Price("m_auc_2_no_tick_beyond_the_limits", "5@m 3@102 | 5@100", 300, (102, 5, 3)),
    Price("m_auc_2_no_tick_beyond_the_limits_either", "5@102 | 5@m 3@100", 50, (100, 5, -3)),
    Price("m_auc_1_market_orders_accept_any_price", "5@m | 5@100 5@101", 0, (100, 5, 0)),
    Price("m_auc_1_market_orders_count_at_every_price", "5@m 3@100 | 8@100 1@102", 0, (100, 8, 0)),
    Price("m_auc_2_a_far_limit_is_no_price", "5@m | 5@100 9@900", 900, (899, 5, 0)),
    Price("m_auc_2_a_reference_far_from_the_limits", "5@m | 5@100 9@900", 500, (500, 5, 0)),
    Price("m_auc_3_market_orders_alone_trade_at_the_reference", "5@m | 3@m", 77, (77, 3, 2)),
    Price("m_auc_3_and_not_at_all_without_one", "5@m | 3@m", 0, (0, 0, 0)),
    Price("m_auc_3_market_orders_and_a_limit_far_from_them", "5@m | 3@m 1@200", 77, (200, 4, 1)),
    Price("m_auc_1_waiting_stops_do_not_count", "5@100 | 3@100 9s@100", 0, (100, 3, 2)),
    Price("m_auc_1_hidden_lots_count", "9i@100 | 9@100", 0, (100, 9, 0)),
]

FIRST_RULES_PRICES = [
    Price("m_rul_3_limits_alone", "10@100 10@105 | 10@100 10@105", 99, (100, 10, 10)),
    Price("m_rul_3_not_the_tick_between", "5@102 5@100 | 5@100 5@102", 100, (100, 5, 5)),
    Price("m_rul_3_but_the_reference", "5@102 5@100 | 5@100 5@102", 101, (101, 5, 0)),
    Price("m_rul_3_the_middle_of_two_limits", "5@m | 5@100 9@900", 500, (100, 5, 0)),
]
"""What the first version of the rules came to where the newest comes to something else."""

KINDS = {"m": "", "": "@ {price}", "i": "@ {price} show=1", "s": "@ {price} stop 1"}


def orders_of(book: str) -> list[str]:
    """The orders of a book as commands."""
    commands = []
    for side, text in zip(("buy", "sell"), book.split("|"), strict=True):
        for row in text.split():
            amount, price = row.split("@")
            kind = "m" if price == "m" else amount.lstrip("0123456789")
            lots = amount.rstrip("is")
            shape = KINDS[kind].format(price=price)
            commands.append(f"o{len(commands)}: {side} {lots} {shape} client=c{len(commands)}")
    return commands


@pytest.mark.parametrize("case", PRICES, ids=[case.requirement for case in PRICES])
def test_the_price(case: Price) -> None:
    check_price(case, NEWEST_RULES)


@pytest.mark.parametrize(
    "case", FIRST_RULES_PRICES, ids=[case.requirement for case in FIRST_RULES_PRICES]
)
def test_the_price_under_the_first_rules(case: Price) -> None:
    check_price(case, 1)


def check_price(case: Price, rules: int) -> None:
    """Play a book, and uncross it."""
    played = scene(rules=rules)
    played.duel.play(SetRules(Rules(reference_price_ticks=case.reference)))
    played.play("phase auction; " + "; ".join(orders_of(case.book)))
    book = played.duel.oracle.books[0]
    assert auction.indicative(book, rules) == case.expected
    said = played.play("phase continuous")
    price, volume, surplus = case.expected
    assert said.startswith(f"uncrossed {volume} @ {price} surplus {surplus}; ")
    for side in (Side.BUY, Side.SELL):
        assert all(order.open for order in book.resting(side))


ALLOCATION = [
    Case(
        "m_auc_4_market_orders_first_then_price_then_time",
        "rules reference_price_ticks=101; phase auction; a: buy 2 @ 101; b: buy 2 @ 102; "
        "d: buy 2 @ 101; e: buy 2; f: sell 7 @ 100",
        "phase continuous",
        "uncrossed 7 @ 101 surplus 1; e bought 2 @ 101 from f; b bought 2 @ 101 from f; "
        "a bought 2 @ 101 from f; d bought 1 @ 101 from f; phase auction to continuous",
        "1@101 |",
    ),
    Case(
        "m_auc_4_all_trade_at_one_price",
        "rules reference_price_ticks=100; phase auction; a: buy 2 @ 110; b: sell 2 @ 90",
        "phase continuous",
        "uncrossed 2 @ 100 surplus 0; a bought 2 @ 100 from b; phase auction to continuous",
    ),
    Case(
        "m_auc_4_the_lesser_of_both_and_on",
        "phase auction; a: buy 3 @ 100; b: buy 3 @ 100; d: sell 4 @ 100; e: sell 1 @ 100",
        "phase continuous",
        "uncrossed 5 @ 100 surplus 1; a bought 3 @ 100 from d; b bought 1 @ 100 from d; "
        "b bought 1 @ 100 from e; phase auction to continuous",
        "1@100 |",
    ),
    Case(
        "m_auc_4_a_market_order_that_is_left_ends",
        "phase auction; a: buy 5; b: sell 2 @ 100",
        "phase continuous",
        "uncrossed 2 @ 100 surplus 3; a bought 2 @ 100 from b; a ended 3 auction_over; "
        "phase auction to continuous",
        "|",
    ),
    Case(
        "m_ice_5_an_iceberg_takes_part_with_all_at_its_place",
        "phase auction; a: buy 5 @ 100 show=1; b: buy 5 @ 100; d: sell 6 @ 100",
        "phase continuous",
        "uncrossed 6 @ 100 surplus 4; a bought 5 @ 100 from d; b bought 1 @ 100 from d; "
        "phase auction to continuous",
        "4@100 |",
    ),
    Case(
        "m_ice_5_it_keeps_its_place_and_shows_a_tip",
        "phase auction; a: buy 5 @ 100 show=2; b: buy 5 @ 100; d: sell 4 @ 100; phase continuous",
        "x: sell 2 @ 100",
        "x accepted; x took 1 @ 100 of a; x took 1 @ 100 of b",
        "4@100 |",
    ),
    Case(
        "m_auc_7_the_price_is_the_last_and_the_reference",
        "rules static_band.ticks=2; phase auction; a: buy 1 @ 105; b: sell 1 @ 105; "
        "phase continuous",
        "x: buy 1 @ 108; y: buy 1 @ 107; s: buy 1 stop 105",
        "x rejected static_band; y accepted; s accepted; s triggered; s ended 1 book_exhausted",
    ),
    Case(
        "m_pha_3_market_orders_may_be_cancelled_and_amended",
        "phase auction; a: buy 5; b: buy 6",
        "amend a 3; amend a @ 100; cancel b; d: sell 9 @ 100; phase continuous",
        "a amended 3 @ 0 left 3; refused amend_not_applicable a; b ended 6 by_client; d accepted; "
        "uncrossed 3 @ 100 surplus -6; a bought 3 @ 100 from d; phase auction to continuous",
        "| 6@100",
    ),
    Case(
        "m_amd_2_a_market_order_that_becomes_larger_loses_its_place",
        "phase auction; a: buy 1; b: buy 1; amend a 2; d: sell 2 @ 100",
        "phase continuous",
        "uncrossed 2 @ 100 surplus 1; b bought 1 @ 100 from d; a bought 1 @ 100 from d; "
        "a ended 1 auction_over; phase auction to continuous",
    ),
    Case(
        "m_cxl_2_market_orders_go_with_a_mass_cancel",
        "phase auction; a: buy 5; b: sell 1 @ 100",
        "mass c",
        "b ended 1 mass_cancel; a ended 5 mass_cancel; mass cancelled 2",
    ),
    Case(
        "m_mat_5_post_only_that_stood_before_takes_part",
        "a: sell 1 @ 101 post; phase auction; x: buy 1 @ 101",
        "phase continuous",
        "uncrossed 1 @ 101 surplus 0; x bought 1 @ 101 from a; phase auction to continuous",
    ),
    Case(
        "m_auc_8_no_protection_in_an_auction",
        "m1: sell 1 @ 100; m2: buy 1 @ 100; rules protection.ticks=1; phase auction; a: buy 1; "
        "b: sell 1 @ 150",
        "phase continuous",
        "uncrossed 1 @ 150 surplus 0; a bought 1 @ 150 from b; phase auction to continuous",
    ),
]

PAIRS = [
    Case(
        "m_auc_6_one_of_a_pair_trades",
        "phase auction; a: sell 5 @ 100; b: sell 5 @ 100 oco=a; x: buy 10 @ 100",
        "phase continuous",
        "uncrossed 10 @ 100 surplus 0; x bought 5 @ 100 from a; b ended 5 one_cancels_other; "
        "phase auction to continuous",
        "5@100 |",
    ),
    Case(
        "m_auc_6_a_book_that_is_left_crossed_is_uncrossed_again",
        "phase auction; a: sell 5 @ 100; b: sell 5 @ 101 oco=a; d: sell 5 @ 103; x: buy 10 @ 105",
        "phase continuous",
        "uncrossed 10 @ 101 surplus 0; x bought 5 @ 101 from a; b ended 5 one_cancels_other; "
        "uncrossed 5 @ 103 surplus 0; x bought 5 @ 103 from d; phase auction to continuous",
        "|",
    ),
    Case(
        "m_auc_4_the_sellers_partner_goes_first",
        "phase auction; a: sell 5 @ 90; b: sell 5 @ 120 oco=a; x: buy 5 @ 110; y: buy 5 @ 80 oco=x",
        "phase continuous",
        "uncrossed 5 @ 100 surplus 0; x bought 5 @ 100 from a; b ended 5 one_cancels_other; "
        "y ended 5 one_cancels_other; phase auction to continuous",
        "|",
    ),
]

ALL = ALLOCATION + PAIRS


@pytest.mark.parametrize("case", ALL, ids=names(ALL))
def test_allocation(case: Case) -> None:
    check(case)
