"""Self-trade prevention (M-STP) and its combinations, a line a case. Everybody is client `c`."""

from __future__ import annotations

import pytest

from tests.tables.cases import Case, check, names

MODES = [
    Case(
        "m_stp_1_none_trades_with_itself",
        "a: sell 1 @ 101",
        "x: buy 1 @ 101 stp=none",
        "x accepted; x took 1 @ 101 of a",
    ),
    Case(
        "m_stp_1_the_makers_mode_does_not_matter",
        "a: sell 1 @ 101 stp=oldest",
        "x: buy 1 @ 101",
        "x accepted; x took 1 @ 101 of a",
    ),
    Case(
        "m_stp_1_another_client_is_no_matter",
        "a: sell 1 @ 101 client=o",
        "x: buy 1 @ 101 stp=both",
        "x accepted; x took 1 @ 101 of a",
    ),
    Case(
        "m_stp_1_a_group_joins_two_clients",
        "a: sell 1 @ 101 client=o group=7",
        "x: buy 1 @ 101 stp=newest group=7",
        "x accepted; x ended 1 self_trade_prevented",
        "| 1@101",
    ),
    Case(
        "m_stp_1_different_groups_and_none_do_not",
        "a: sell 1 @ 101 client=o group=7; b: sell 1 @ 101 client=p",
        "x: buy 1 @ 101 stp=newest group=8; y: buy 1 @ 101 stp=newest",
        "x accepted; x took 1 @ 101 of a; y accepted; y took 1 @ 101 of b",
    ),
    Case(
        "m_stp_1_the_same_client_in_other_groups_is_one_owner",
        "a: sell 1 @ 101 group=7",
        "x: buy 1 @ 101 stp=newest group=8",
        "x accepted; x ended 1 self_trade_prevented",
    ),
    Case(
        "m_stp_1_orders_that_do_not_cross_are_not_asked",
        "a: sell 1 @ 102",
        "x: buy 1 @ 101 stp=both",
        "x accepted",
        "1@101 | 1@102",
    ),
    Case(
        "m_stp_2_cancel_newest_keeps_the_trades_before",
        "a: sell 2 @ 100 client=o; b: sell 2 @ 101; d: sell 2 @ 102 client=o",
        "x: buy 6 @ 102 stp=newest",
        "x accepted; x took 2 @ 100 of a; x ended 4 self_trade_prevented",
        "| 2@101 2@102",
    ),
    Case(
        "m_stp_3_cancel_oldest_goes_on",
        "a: sell 2 @ 100 client=o; b: sell 2 @ 101; d: sell 2 @ 102 client=o",
        "x: buy 6 @ 102 stp=oldest",
        "x accepted; x took 2 @ 100 of a; b ended 2 self_trade_prevented; x took 2 @ 102 of d",
        "2@102 |",
    ),
    Case(
        "m_stp_3_cancel_oldest_ends_hidden_lots_too",
        "a: sell 9 @ 101 show=1",
        "x: buy 2 @ 101 stp=oldest",
        "x accepted; a ended 9 self_trade_prevented",
        "2@101 |",
    ),
    Case(
        "m_stp_3_cancel_oldest_ends_all_it_meets_and_no_more",
        "a: sell 1 @ 101; b: sell 1 @ 101; d: sell 5 @ 101 client=o; e: sell 1 @ 101",
        "x: buy 5 @ 101 stp=oldest",
        "x accepted; a ended 1 self_trade_prevented; b ended 1 self_trade_prevented; "
        "x took 5 @ 101 of d",
        "| 1@101",
    ),
    Case(
        "m_stp_4_cancel_both_ends_the_maker_then_the_taker",
        "a: sell 2 @ 100 client=o; b: sell 2 @ 101",
        "x: buy 6 @ 102 stp=both",
        "x accepted; x took 2 @ 100 of a; b ended 2 self_trade_prevented; "
        "x ended 4 self_trade_prevented",
        "|",
    ),
    Case(
        "m_stp_5_decrement_ends_the_smaller_maker",
        "a: sell 2 @ 101",
        "x: buy 5 @ 101 stp=decrement",
        "x accepted; a ended 2 self_trade_prevented; x amended 3 @ 101 left 3 self_trade_prevented",
        "3@101 |",
    ),
    Case(
        "m_stp_5_decrement_ends_the_smaller_taker",
        "a: sell 5 @ 101; b: sell 1 @ 101",
        "x: buy 2 @ 101 stp=decrement; y: buy 1 @ 101 client=o",
        "x accepted; a amended 3 @ 101 left 3 self_trade_prevented; "
        "x ended 2 self_trade_prevented; y accepted; y took 1 @ 101 of a",
        "| 3@101",
    ),
    Case(
        "m_stp_5_decrement_ends_equals_both",
        "a: sell 2 @ 101",
        "x: buy 2 @ 101 stp=decrement",
        "x accepted; a ended 2 self_trade_prevented; x ended 2 self_trade_prevented",
        "|",
    ),
    Case(
        "m_stp_5_decrement_takes_from_a_partly_filled_total",
        "a: sell 6 @ 101; o: buy 2 @ 101 client=o",
        "x: buy 1 @ 101 stp=decrement",
        "x accepted; a amended 5 @ 101 left 3 self_trade_prevented; x ended 1 self_trade_prevented",
    ),
    Case(
        "m_stp_5_a_decremented_tip_is_refreshed_to_the_back",
        "a: sell 6 @ 101 show=2; b: sell 1 @ 101 client=o",
        "x: buy 4 @ 101 stp=decrement",
        "x accepted; a amended 4 @ 101 left 4 self_trade_prevented; "
        "x amended 2 @ 101 left 2 self_trade_prevented; x took 1 @ 101 of b; "
        "a amended 3 @ 101 left 3 self_trade_prevented; x ended 1 self_trade_prevented",
        "| 1@101",
    ),
    Case(
        "m_stp_5_a_decrement_moves_no_price",
        "rules protection.ticks=1; a: sell 1 @ 101; b: sell 1 @ 102 client=o; "
        "d: sell 1 @ 103 client=o",
        "x: buy 1 @ 101 stp=decrement; y: buy 2",
        "x accepted; a ended 1 self_trade_prevented; x ended 1 self_trade_prevented; "
        "y accepted; y took 1 @ 102 of b; y took 1 @ 103 of d",
    ),
    Case(
        "m_stp_2_a_market_order_by_money_stops_too",
        "a: sell 2 @ 100 client=o; b: sell 2 @ 101",
        "x: buy quote 9000 stp=newest",
        "x accepted; x took 2 @ 100 of a; x ended 0 self_trade_prevented",
    ),
    Case(
        "m_stp_1_it_is_asked_only_where_a_lot_is_affordable",
        "a: sell 2 @ 100 client=o; b: sell 2 @ 101",
        "x: buy quote 2500 stp=newest",
        "x accepted; x took 2 @ 100 of a",
        "| 2@101",
    ),
    Case(
        "m_ref_3_by_money_there_is_no_decrement",
        "",
        "x: buy quote 2500 stp=decrement",
        "refused malformed_command",
    ),
]

COMBINED = [
    Case(
        "m_stp_6_fok_newest_stops_at_the_first_own_order",
        "a: sell 2 @ 100 client=o; b: sell 1 @ 101; d: sell 9 @ 102 client=o",
        "x: buy 3 @ 102 fok stp=newest; y: buy 2 @ 102 fok stp=newest",
        "x accepted; x ended 3 fill_or_kill; y accepted; y took 2 @ 100 of a",
        "| 1@101 9@102",
    ),
    Case(
        "m_stp_6_fok_oldest_passes_over_own_orders_and_ends_those_it_met",
        "a: sell 2 @ 100 client=o; b: sell 1 @ 101; d: sell 2 @ 102 client=o; e: sell 1 @ 102",
        "x: buy 5 @ 102 fok stp=oldest; y: buy 4 @ 102 fok stp=oldest",
        "x accepted; x ended 5 fill_or_kill; y accepted; y took 2 @ 100 of a; "
        "b ended 1 self_trade_prevented; y took 2 @ 102 of d",
        "| 1@102",
    ),
    Case(
        "m_stp_6_fok_both_and_decrement_stop_at_the_first_own_order",
        "a: sell 2 @ 100 client=o; b: sell 1 @ 101; d: sell 9 @ 102 client=o",
        "x: buy 3 @ 102 fok stp=both; y: buy 3 @ 102 fok stp=decrement",
        "x accepted; x ended 3 fill_or_kill; y accepted; y ended 3 fill_or_kill",
        "| 2@100 1@101 9@102",
    ),
    Case(
        "m_fok_2_in_the_level_of_an_own_order_tips_behind_it_do_not_count",
        "a: sell 5 @ 101 show=2 client=o; b: sell 1 @ 101; d: sell 9 @ 101 client=o",
        "x: buy 3 @ 101 fok stp=newest; y: buy 2 @ 101 fok stp=newest",
        "x accepted; x ended 3 fill_or_kill; y accepted; y took 2 @ 101 of a",
    ),
    Case(
        "m_fok_2_the_minimum_counts_like_fok",
        "a: sell 2 @ 100 client=o; b: sell 1 @ 101; d: sell 9 @ 102 client=o",
        "x: buy 9 @ 102 min=3 stp=newest; y: buy 9 @ 102 min=3 stp=oldest",
        "x accepted; x ended 9 minimum_quantity; y accepted; y took 2 @ 100 of a; "
        "b ended 1 self_trade_prevented; y took 7 @ 102 of d",
    ),
    Case(
        "m_stp_6_post_only_is_refused_by_an_own_order_too",
        "a: sell 2 @ 100",
        "x: buy 3 @ 102 post stp=oldest",
        "x rejected post_only_would_cross",
        "| 2@100",
    ),
    Case(
        "m_stp_1_an_amended_order_is_the_taker",
        "a: sell 2 @ 101; x: buy 3 @ 99 stp=oldest",
        "amend x @ 101",
        "x amended 3 @ 101 left 3; a ended 2 self_trade_prevented",
        "3@101 |",
    ),
    Case(
        "m_amd_1_the_mode_may_be_amended_and_keeps_the_place",
        "x: buy 3 @ 99; y: buy 1 @ 99; amend x stp=oldest; a: sell 1 @ 99 client=o",
        "b: sell 2 @ 101; amend x @ 101",
        "b accepted; x amended 3 @ 101 left 2; b ended 2 self_trade_prevented",
        "2@101 1@99 |",
    ),
    Case(
        "m_stp_1_a_triggered_stop_keeps_its_mode",
        "a: sell 1 @ 105 client=o; b: sell 1 @ 106; s: buy 1 stop 105 stp=both",
        "x: buy 1 @ 105 client=p",
        "x accepted; x took 1 @ 105 of a; s triggered; b ended 1 self_trade_prevented; "
        "s ended 1 self_trade_prevented",
    ),
    Case(
        "m_stp_7_an_auction_has_none",
        "phase auction; a: sell 1 @ 100; x: buy 1 @ 100 stp=both",
        "phase continuous",
        "uncrossed 1 @ 100 surplus 0; x bought 1 @ 100 from a; phase auction to continuous",
    ),
    Case(
        "m_stp_3_oldest_ends_the_partner_of_what_it_ends",
        "a: sell 1 @ 101; b: sell 1 @ 105 oco=a",
        "x: buy 2 @ 101 stp=oldest",
        "x accepted; a ended 1 self_trade_prevented; b ended 1 one_cancels_other",
        "2@101 |",
    ),
    Case(
        "m_stp_5_a_decrement_that_leaves_lots_leaves_the_pair",
        "a: sell 5 @ 101; b: sell 1 @ 105 oco=a",
        "x: buy 2 @ 101 stp=decrement",
        "x accepted; a amended 3 @ 101 left 3 self_trade_prevented; x ended 2 self_trade_prevented",
        "| 3@101 1@105",
    ),
    Case(
        "m_stp_3_oldest_that_ends_its_own_partner_ends_with_it",
        "a: sell 5 @ 101; z: sell 1 @ 101 client=o",
        "x: buy 2 @ 101 stp=oldest oco=a",
        "x accepted; a ended 5 self_trade_prevented; x ended 2 one_cancels_other",
        "| 1@101",
    ),
]

ALL = MODES + COMBINED


@pytest.mark.parametrize("case", ALL, ids=names(ALL))
def test_self_trade_prevention(case: Case) -> None:
    check(case)
