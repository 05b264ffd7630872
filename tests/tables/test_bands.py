"""Protection of market orders (M-MKT) and price bands (M-BAND), a line a case."""

from __future__ import annotations

import pytest

from tests.tables.cases import Case, check, names

LAST_100 = "m1: sell 1 @ 100; m2: buy 1 @ 100; "
BOTH_SIDES = "a: sell 2 @ 102; b: sell 2 @ 104; d: sell 2 @ 107; e: buy 2 @ 98; f: buy 2 @ 93; "

PROTECTION = [
    Case(
        "m_mkt_3_both_ends_are_inside",
        LAST_100 + "rules protection.ticks=4; " + BOTH_SIDES,
        "x: buy 9",
        "x accepted; x took 2 @ 102 of a; x took 2 @ 104 of b; x ended 5 price_protection",
        "2@98 2@93 | 2@107",
    ),
    Case(
        "m_mkt_3_a_seller_is_kept_from_low_prices",
        LAST_100 + "rules protection.ticks=4; " + BOTH_SIDES,
        "x: sell 9",
        "x accepted; x took 2 @ 98 of e; x ended 7 price_protection",
    ),
    Case(
        "m_mkt_3_in_thousandths_rounded_down",
        LAST_100 + "rules protection.permille=49; " + BOTH_SIDES,
        "x: buy 9",
        "x accepted; x took 2 @ 102 of a; x took 2 @ 104 of b; x ended 5 price_protection",
    ),
    Case(
        "m_mkt_3_the_lesser_of_ticks_and_thousandths",
        LAST_100 + "rules protection.permille=900 protection.ticks=2; " + BOTH_SIDES,
        "x: buy 9",
        "x accepted; x took 2 @ 102 of a; x ended 7 price_protection",
    ),
    Case(
        "m_mkt_3_without_a_trade_the_best_price_is_the_base",
        "rules protection.ticks=2; " + BOTH_SIDES,
        "x: buy 9",
        "x accepted; x took 2 @ 102 of a; x took 2 @ 104 of b; x ended 5 price_protection",
    ),
    Case(
        "m_mkt_3_the_base_stays_for_the_step_and_moves_after_it",
        LAST_100 + "rules protection.ticks=3; a: sell 1 @ 102; b: sell 1 @ 104; d: sell 1 @ 106",
        "x: buy 9; y: buy 9",
        "x accepted; x took 1 @ 102 of a; x ended 8 price_protection; "
        "y accepted; y took 1 @ 104 of b; y ended 8 price_protection",
    ),
    Case(
        "m_mkt_3_an_empty_book_is_exhausted",
        LAST_100 + "rules protection.ticks=3; a: sell 1 @ 102",
        "x: buy 9",
        "x accepted; x took 1 @ 102 of a; x ended 8 book_exhausted",
    ),
    Case(
        "m_mkt_3_a_limit_order_is_not_protected",
        LAST_100 + "rules protection.ticks=1; a: sell 1 @ 109",
        "x: buy 1 @ 110",
        "x accepted; x took 1 @ 109 of a",
    ),
    Case(
        "m_mkt_3_fok_counts_no_lot_beyond",
        LAST_100 + "rules protection.ticks=4; " + BOTH_SIDES,
        "x: buy 5 fok; y: buy 4 fok",
        "x accepted; x ended 5 fill_or_kill; y accepted; y took 2 @ 102 of a; y took 2 @ 104 of b",
    ),
    Case(
        "m_mkt_3_a_triggered_stop_is_protected",
        LAST_100 + "rules protection.ticks=3; a: sell 1 @ 102; b: sell 1 @ 106; s: buy 2 stop 102",
        "x: buy 1 @ 102",
        "x accepted; x took 1 @ 102 of a; s triggered; s ended 2 price_protection",
        "| 1@106",
    ),
    Case(
        "m_mkt_2_money_that_is_kept_from_the_next_price_ends",
        LAST_100 + "rules protection.ticks=2; " + BOTH_SIDES,
        "x: buy quote 9000",
        "x accepted; x took 2 @ 102 of a; x ended 0 price_protection",
    ),
    Case(
        "m_mkt_2_money_that_buys_no_lot_at_its_last_price_is_filled",
        LAST_100 + "rules protection.ticks=2; " + BOTH_SIDES,
        "x: buy quote 3000",
        "x accepted; x took 2 @ 102 of a",
    ),
    Case(
        "m_mkt_2_money_that_met_nobody_it_may_ends",
        LAST_100 + "rules protection.ticks=1; " + BOTH_SIDES,
        "x: buy quote 3000",
        "x accepted; x ended 0 price_protection",
    ),
    Case(
        "m_mkt_3_it_stands_before_the_bands",
        LAST_100
        + "rules protection.ticks=3 dynamic_band.ticks=3 band_action=auction; "
        + BOTH_SIDES,
        "x: buy 9",
        "x accepted; x took 2 @ 102 of a; x ended 7 price_protection",
    ),
]

REJECTING = [
    Case(
        "m_band_4_a_limit_beyond_the_dynamic_band_is_rejected",
        LAST_100 + "rules dynamic_band.ticks=5",
        "x: buy 1 @ 106; y: buy 1 @ 105; z: sell 1 @ 94; w: sell 1 @ 120",
        "x rejected dynamic_band; y accepted; z rejected dynamic_band; w accepted",
    ),
    Case(
        "m_band_4_a_limit_beyond_the_static_band_is_rejected",
        "rules static_band.ticks=5 reference_price_ticks=100",
        "x: buy 1 @ 106; y: buy 1 @ 105; z: sell 1 @ 94",
        "x rejected static_band; y accepted; z rejected static_band",
    ),
    Case(
        "m_band_4_the_static_one_is_named_first",
        LAST_100 + "rules static_band.ticks=5 dynamic_band.ticks=5 reference_price_ticks=100",
        "x: buy 1 @ 106",
        "x rejected static_band",
    ),
    Case(
        "m_band_1_without_a_price_a_band_is_off",
        "rules static_band.ticks=5 dynamic_band.ticks=5",
        "x: buy 1 @ 900",
        "x accepted",
    ),
    Case(
        "m_band_3_a_market_order_ends_at_the_band",
        LAST_100 + BOTH_SIDES + "rules dynamic_band.ticks=4",
        "x: buy 9",
        "x accepted; x took 2 @ 102 of a; x took 2 @ 104 of b; x ended 5 outside_price_band",
        "2@98 2@93 | 2@107",
    ),
    Case(
        "m_band_3_a_limit_order_that_meets_an_old_price_outside_ends",
        "m1: sell 1 @ 100; m2: buy 1 @ 100; a: sell 2 @ 90; "
        "rules static_band.ticks=5 reference_price_ticks=100",
        "x: buy 1 @ 104",
        "x accepted; x ended 1 outside_price_band",
        "| 2@90",
    ),
    Case(
        "m_band_5_fok_counts_no_lot_outside",
        LAST_100 + BOTH_SIDES + "rules dynamic_band.ticks=4",
        "x: buy 5 fok",
        "x accepted; x ended 5 fill_or_kill",
    ),
    Case(
        "m_band_4_an_amendment_beyond_is_refused",
        LAST_100 + "rules dynamic_band.ticks=5; x: buy 2 @ 99",
        "amend x @ 106; amend x 1; amend x @ 105",
        "refused dynamic_band x; x amended 1 @ 99 left 1; x amended 1 @ 105 left 1",
        "1@105 |",
    ),
    Case(
        "m_sto_6_a_triggered_limit_beyond_ends",
        LAST_100 + "a: sell 1 @ 103; s: buy 1 @ 120 stop 103; rules dynamic_band.ticks=5",
        "x: buy 1 @ 103",
        "x accepted; x took 1 @ 103 of a; s triggered; s ended 1 outside_price_band",
    ),
    Case(
        "m_band_1_the_dynamic_band_moves_with_each_step",
        LAST_100 + "rules dynamic_band.ticks=4; a: sell 1 @ 104; b: sell 1 @ 108",
        "x: buy 2; y: buy 1",
        "x accepted; x took 1 @ 104 of a; x ended 1 outside_price_band; "
        "y accepted; y took 1 @ 108 of b",
    ),
]

HALTING = [
    Case(
        "m_band_3_the_trades_before_stand_and_the_rest_joins_the_auction",
        LAST_100 + BOTH_SIDES + "rules dynamic_band.ticks=4 band_action=auction",
        "x: buy 9 @ 110",
        "x accepted; x took 2 @ 102 of a; x took 2 @ 104 of b; "
        "phase continuous to auction until 300 dynamic_band_left",
        "5@110 2@98 2@93 | 2@107",
    ),
    Case(
        "m_band_3_a_market_orders_rest_ends_first",
        LAST_100 + BOTH_SIDES + "rules dynamic_band.ticks=4 band_action=auction",
        "x: buy 9",
        "x accepted; x took 2 @ 102 of a; x took 2 @ 104 of b; x ended 5 outside_price_band; "
        "phase continuous to auction until 300 dynamic_band_left",
    ),
    Case(
        "m_band_3_so_does_that_of_an_ioc",
        LAST_100 + BOTH_SIDES + "rules dynamic_band.ticks=1 band_action=auction",
        "x: buy 9 @ 110 ioc",
        "x accepted; x ended 9 outside_price_band; "
        "phase continuous to auction until 300 dynamic_band_left",
    ),
    Case(
        "m_band_5_a_fok_starts_no_auction",
        LAST_100 + BOTH_SIDES + "rules dynamic_band.ticks=1 band_action=auction",
        "x: buy 9 @ 110 fok; y: buy 9 @ 110 min=1",
        "x accepted; x ended 9 fill_or_kill; y accepted; y ended 9 minimum_quantity",
    ),
    Case(
        "m_band_4_a_limit_beyond_is_taken_where_it_does_not_trade",
        LAST_100 + "rules dynamic_band.ticks=4 band_action=auction",
        "x: buy 1 @ 150; y: sell 1 @ 150",
        "x accepted; y accepted; phase continuous to auction until 300 dynamic_band_left",
        "1@150 | 1@150",
    ),
    Case(
        "m_band_3_the_static_one_is_named_if_both_are_left",
        LAST_100
        + BOTH_SIDES
        + "rules dynamic_band.ticks=1 static_band.ticks=1 reference_price_ticks=100 "
        + "band_action=auction volatility_auction_ns=1000000000",
        "x: buy 1 @ 110",
        "x accepted; phase continuous to auction until 1 static_band_left",
    ),
    Case(
        "m_sto_5_stops_in_the_queue_go_back_to_waiting",
        LAST_100
        + "a: sell 1 @ 104; b: sell 1 @ 109; d: sell 5 @ 110; s: buy 1 stop 104; t: buy 1 stop 104;"
        + " rules dynamic_band.ticks=4 band_action=auction",
        "x: buy 1 @ 104; wait 300; tick",
        "x accepted; x took 1 @ 104 of a; s triggered; s ended 1 outside_price_band; "
        "phase continuous to auction until 300 dynamic_band_left; uncrossed 0 @ 0 surplus 0; "
        "phase auction to continuous time_over; t triggered; t ended 1 outside_price_band; "
        "phase continuous to auction until 600 dynamic_band_left; time advanced",
    ),
    Case(
        "m_band_3_an_amended_order_may_begin_the_auction",
        LAST_100 + BOTH_SIDES + "x: buy 1 @ 99; rules dynamic_band.ticks=1 band_action=auction",
        "amend x @ 110",
        "x amended 1 @ 110 left 1; phase continuous to auction until 300 dynamic_band_left",
        "1@110 2@98 2@93 | 2@102 2@104 2@107",
    ),
    Case(
        "m_band_2_the_uncross_is_not_held_to_the_band_and_sets_the_reference",
        LAST_100
        + "a: sell 1 @ 150; rules dynamic_band.ticks=4 static_band.ticks=9 "
        + "reference_price_ticks=100 band_action=auction; x: buy 1 @ 150",
        "wait 300; b: sell 1 @ 155; y: buy 1 @ 155",
        "uncrossed 1 @ 150 surplus 0; x bought 1 @ 150 from a; phase auction to continuous "
        "time_over; b accepted; y accepted; phase continuous to auction until 600 "
        "dynamic_band_left",
    ),
]

ALL = PROTECTION + REJECTING + HALTING


@pytest.mark.parametrize("case", ALL, ids=names(ALL))
def test_protection_and_bands(case: Case) -> None:
    check(case)
