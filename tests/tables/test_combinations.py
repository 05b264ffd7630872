"""Features that meet: each table is a combination, and has its edges that no feature has alone."""

from __future__ import annotations

import pytest

from tests.tables.cases import Case, check, names

TRADED_AT_100 = "p: sell 1 @ 100 client=o; q: buy 1 @ 100 client=o; "

SELF_TRADE_PREVENTION_WITH_FOK = [
    Case(
        "m_fok_2_a_group_owns_what_fok_may_not_count",
        "a: sell 2 @ 100 client=o group=5; b: sell 9 @ 100 client=p",
        "x: buy 2 @ 100 fok stp=newest group=5; y: buy 2 @ 100 fok stp=oldest group=5",
        "x accepted; x ended 2 fill_or_kill; y accepted; a ended 2 self_trade_prevented; "
        "y took 2 @ 100 of b",
        "| 7@100",
    ),
    Case(
        "m_fok_2_without_prevention_own_orders_count",
        "a: sell 2 @ 100",
        "x: buy 2 @ 100 fok",
        "x accepted; x took 2 @ 100 of a",
        "|",
    ),
    Case(
        "m_fok_2_oldest_passes_over_hidden_lots_of_its_own",
        "a: sell 6 @ 100 show=1; b: sell 3 @ 101 client=o",
        "x: buy 4 @ 101 fok stp=oldest; y: buy 3 @ 101 fok stp=oldest",
        "x accepted; x ended 4 fill_or_kill; y accepted; a ended 6 self_trade_prevented; "
        "y took 3 @ 101 of b",
        "|",
    ),
    Case(
        "m_sto_2_a_triggered_fok_stop_counts_no_own_order",
        "z: buy 1 @ 100 client=o; a: buy 5 @ 99; b: buy 3 @ 98 client=o; "
        "s: sell 3 stop 100 fok stp=newest",
        "x: sell 1 @ 100 client=o",
        "x accepted; x took 1 @ 100 of z; s triggered; s ended 3 fill_or_kill",
        "5@99 3@98 |",
    ),
    Case(
        "m_fok_2_fok_by_market_stops_at_the_first_own_order",
        "a: sell 2 @ 100 client=o; b: sell 9 @ 150",
        "x: buy 3 fok stp=both; y: buy 2 fok stp=both",
        "x accepted; x ended 3 fill_or_kill; y accepted; y took 2 @ 100 of a",
        "| 9@150",
    ),
]

ICEBERG_WITH_AMEND = [
    Case(
        "m_amd_2_less_of_a_partly_filled_iceberg_comes_off_what_it_hides",
        "a: sell 10 @ 101 show=3; x: buy 4 @ 101",
        "amend a 7; amend a 5",
        "a amended 7 @ 101 left 3; a amended 5 @ 101 left 1",
        "| 1@101",
    ),
    Case(
        "m_amd_3_a_larger_iceberg_goes_to_the_back_with_a_whole_tip",
        "a: sell 5 @ 101 show=2; b: sell 5 @ 101; w: buy 1 @ 101",
        "amend a 6; x: buy 6 @ 101",
        "a amended 6 @ 101 left 5; x accepted; x took 5 @ 101 of b; x took 1 @ 101 of a",
        "| 1@101",
    ),
    Case(
        "m_amd_1_more_tips_than_may_be_is_refused_and_changes_nothing",
        "rules iceberg_parts_max=3; a: sell 6 @ 101 show=2",
        "amend a show=1; amend a 3 show=1",
        "refused display_too_small a; a amended 3 @ 101 left 3",
        "| 1@101",
    ),
    Case(
        "m_amd_1_the_total_may_not_be_what_its_tips_have_filled",
        "a: sell 6 @ 101 show=2; x: buy 3 @ 101",
        "amend a 3; amend a 4",
        "refused amend_quantity_too_low a; a amended 4 @ 101 left 1",
        "| 1@101",
    ),
    Case(
        "m_amd_3_a_better_price_is_taken_with_hidden_lots_too",
        "z: buy 4 @ 100; a: sell 6 @ 101 show=1",
        "amend a @ 100",
        "a amended 6 @ 100 left 6; a took 4 @ 100 of z",
        "| 1@100",
    ),
]

STOP_INSIDE_AN_AUCTION = [
    Case(
        "m_sto_5_one_that_is_fulfilled_waits_for_continuous",
        TRADED_AT_100 + "phase auction",
        "s: buy 1 stop 100; phase continuous",
        "s accepted; uncrossed 0 @ 0 surplus 0; phase auction to continuous; s triggered; "
        "s ended 1 book_exhausted",
        "|",
    ),
    Case(
        "m_sto_5_the_uncross_triggers_buyers_and_sellers_by_rank",
        "phase auction; a: buy 2 @ 102; b: sell 2 @ 100; s: buy 1 @ 110 stop 101; "
        "t: sell 1 @ 90 stop 101",
        "phase continuous",
        "uncrossed 2 @ 101 surplus 0; a bought 2 @ 101 from b; phase auction to continuous; "
        "s triggered; t triggered; t took 1 @ 110 of s",
        "|",
    ),
    Case(
        "m_amd_4_amended_to_a_price_that_is_fulfilled_it_waits_on",
        TRADED_AT_100 + "phase auction; s: buy 1 stop 105",
        "amend s stop 99; phase continuous",
        "s amended 1 @ 0 left 1; uncrossed 0 @ 0 surplus 0; phase auction to continuous; "
        "s triggered; s ended 1 book_exhausted",
    ),
    Case(
        "m_oco_2_a_leg_that_trades_in_the_uncross_cancels_a_waiting_stop",
        "phase auction; a: sell 5 @ 101; s: sell 5 stop 95 oco=a; b: buy 2 @ 101",
        "phase continuous",
        "uncrossed 2 @ 101 surplus -3; b bought 2 @ 101 from a; s ended 5 one_cancels_other; "
        "phase auction to continuous",
        "| 3@101",
    ),
    Case(
        "m_auc_1_stops_of_any_size_are_not_in_the_price",
        "phase auction; a: buy 1 @ 101; b: sell 1 @ 101; s: sell 9 stop 150; t: buy 9 stop 50",
        "phase continuous",
        "uncrossed 1 @ 101 surplus 0; a bought 1 @ 101 from b; phase auction to continuous; "
        "s triggered; s ended 9 book_exhausted; t triggered; t ended 9 book_exhausted",
        "|",
    ),
]

POST_ONLY_AGAINST_A_HIDDEN_TIP = [
    Case(
        "m_mat_5_a_tip_refreshed_behind_others_is_met_too",
        "a: sell 4 @ 101 show=2; b: sell 1 @ 101; x: buy 3 @ 101",
        "y: buy 1 @ 101 post; z: buy 1 @ 100 post",
        "y rejected post_only_would_cross; z accepted",
        "1@100 | 2@101",
    ),
    Case(
        "m_mat_5_an_amendment_onto_a_tip_is_refused",
        "a: sell 9 @ 101 show=1; y: buy 5 @ 100 post",
        "amend y @ 101",
        "refused amend_would_cross y",
        "5@100 | 1@101",
    ),
    Case(
        "m_mat_5_nothing_is_left_behind_the_last_tip",
        "a: sell 2 @ 101 show=1; x: buy 2 @ 101",
        "y: buy 5 @ 101 post",
        "y accepted",
        "5@101 |",
    ),
]

OCO_WHOSE_BOTH_LEGS_BECOME_MARKETABLE = [
    Case(
        "m_oco_3_a_leg_amended_into_the_market_cancels_the_stop_that_its_trade_fulfils",
        "z: buy 3 @ 99; a: sell 5 @ 105; s: sell 5 stop 99 oco=a",
        "amend a @ 99",
        "a amended 5 @ 99 left 5; a took 3 @ 99 of z; s ended 5 one_cancels_other",
        "| 2@99",
    ),
    Case(
        "m_oco_3_both_sellers_of_an_uncross",
        "phase auction; a: sell 2 @ 100; b: sell 2 @ 101 oco=a; d: buy 4 @ 101",
        "phase continuous",
        "uncrossed 4 @ 101 surplus 0; d bought 2 @ 101 from a; b ended 2 one_cancels_other; "
        "phase auction to continuous",
        "2@101 |",
    ),
    Case(
        "m_oco_3_legs_that_meet_each_other_in_an_uncross_both_trade",
        "phase auction; a: sell 2 @ 100; b: buy 2 @ 102 oco=a; d: buy 2 @ 101; e: sell 2 @ 101",
        "phase continuous",
        "uncrossed 4 @ 101 surplus 0; b bought 2 @ 101 from a; d bought 2 @ 101 from e; "
        "phase auction to continuous",
        "|",
    ),
    Case(
        "m_oco_3_a_limit_and_a_stop_of_one_sweep",
        "a: sell 2 @ 101; s: buy 2 stop 101 oco=a; b: sell 5 @ 102",
        "x: buy 3 @ 102",
        "x accepted; x took 2 @ 101 of a; s ended 2 one_cancels_other; x took 1 @ 102 of b",
        "| 4@102",
    ),
    Case(
        "m_oco_4_the_second_leg_fok_that_fails_ends_the_first",
        "a: sell 5 @ 105; z: buy 2 @ 100",
        "b: sell 5 @ 100 fok oco=a",
        "b accepted; b ended 5 fill_or_kill; a ended 5 one_cancels_other",
        "2@100 |",
    ),
]

MONEY_THROUGH_PROTECTION = [
    Case(
        "m_mkt_2_a_sellers_money_is_kept_from_low_prices",
        TRADED_AT_100 + "rules protection.ticks=2; a: buy 2 @ 98; b: buy 5 @ 97",
        "x: sell quote 5000",
        "x accepted; x took 2 @ 98 of a; x ended 0 price_protection",
        "5@97 |",
    ),
    Case(
        "m_mkt_2_money_used_up_at_the_last_price_that_is_let_through_is_filled",
        TRADED_AT_100 + "rules protection.ticks=2; a: buy 2 @ 98; b: buy 5 @ 97",
        "x: sell quote 1960",
        "x accepted; x took 2 @ 98 of a",
        "5@97 |",
    ),
    Case(
        "m_mkt_3_money_takes_all_the_tips_that_protection_lets_through",
        TRADED_AT_100 + "rules protection.ticks=1; a: sell 3 @ 101 show=1; b: sell 5 @ 102",
        "x: buy quote 9999",
        "x accepted; x took 1 @ 101 of a; x took 1 @ 101 of a; x took 1 @ 101 of a; "
        "x ended 0 price_protection",
        "| 5@102",
    ),
    Case(
        "m_stp_1_money_under_a_lot_meets_no_owner_before_protection",
        TRADED_AT_100 + "rules protection.ticks=1; a: sell 3 @ 101; b: sell 5 @ 102",
        "x: buy quote 1009 stp=oldest; y: buy quote 1010 stp=newest",
        "x accepted; x ended 0 quote_quantity_too_small; y accepted; "
        "y ended 0 self_trade_prevented",
        "| 3@101 5@102",
    ),
]

HALTS_WITH_RESTING_STOPS = [
    Case(
        "m_pha_2_a_stop_may_be_cancelled_and_lowered_and_not_moved_in_a_halt",
        "s: buy 5 stop 105; t: buy 1 stop 106; phase halt",
        "cancel t; amend s 4; amend s stop 104; u: buy 1 stop 107",
        "t ended 1 by_client; s amended 4 @ 0 left 4; refused halted s; u rejected halted",
    ),
    Case(
        "m_sto_2_gtd_ends_one_that_waits_in_a_halt",
        "s: buy 5 stop 105 gtd=60; phase halt",
        "wait 60; tick",
        "s ended 5 expired; time advanced",
    ),
    Case(
        "m_sto_5_a_halted_auction_triggers_when_it_opens_and_not_before",
        TRADED_AT_100
        + "phase auction; a: buy 1 @ 105; b: sell 1 @ 105; s: buy 1 @ 106 stop 105; phase halt",
        "phase continuous",
        "uncrossed 1 @ 105 surplus 0; a bought 1 @ 105 from b; phase halt to continuous; "
        "s triggered",
        "1@106 |",
    ),
    Case(
        "m_pha_5_a_close_out_of_a_halt_ends_waiting_day_orders",
        "s: buy 5 stop 105 day; t: buy 1 stop 106; phase halt",
        "phase closed; phase continuous",
        "phase halt to closed; s ended 5 expired; phase closed to continuous",
    ),
    Case(
        "m_cxl_2_a_mass_cancel_takes_stops_in_a_halt",
        "s: buy 5 stop 105; t: sell 1 stop 95; phase halt",
        "mass c",
        "t ended 1 mass_cancel; s ended 5 mass_cancel; mass cancelled 2",
    ),
]

CASES = [
    *SELF_TRADE_PREVENTION_WITH_FOK,
    *ICEBERG_WITH_AMEND,
    *STOP_INSIDE_AN_AUCTION,
    *POST_ONLY_AGAINST_A_HIDDEN_TIP,
    *OCO_WHOSE_BOTH_LEGS_BECOME_MARKETABLE,
    *MONEY_THROUGH_PROTECTION,
    *HALTS_WITH_RESTING_STOPS,
]


@pytest.mark.parametrize("case", CASES, ids=names(CASES))
def test_combinations(case: Case) -> None:
    check(case)
