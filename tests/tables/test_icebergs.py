"""Icebergs (M-ICE), a line a case."""

from __future__ import annotations

import pytest

from tests.tables.cases import Case, check, names

ALL = [
    Case("m_ice_1_the_tip_is_what_is_seen", "", "a: sell 9 @ 101 show=2", "a accepted", "| 2@101"),
    Case(
        "m_ice_1_the_last_tip_is_what_is_left",
        "a: sell 3 @ 101 show=2; x: buy 2 @ 101",
        "y: buy 1 @ 101 ioc",
        "y accepted; y took 1 @ 101 of a",
        "|",
    ),
    Case(
        "m_ice_1_it_takes_with_all_it_has_and_shows_a_tip_of_the_rest",
        "a: sell 4 @ 101",
        "x: buy 9 @ 101 show=2",
        "x accepted; x took 4 @ 101 of a",
        "2@101 |",
    ),
    Case(
        "m_ice_1_a_display_of_all_hides_nothing",
        "",
        "a: sell 3 @ 101 show=3",
        "a accepted",
        "| 3@101",
    ),
    Case(
        "m_ice_2_a_tip_that_is_partly_used_keeps_its_place",
        "a: sell 9 @ 101 show=3; b: sell 5 @ 101; x: buy 1 @ 101",
        "y: buy 3 @ 101",
        "y accepted; y took 2 @ 101 of a; y took 1 @ 101 of b",
        "| 7@101",
    ),
    Case(
        "m_ice_2_a_refreshed_tip_goes_to_the_back",
        "a: sell 9 @ 101 show=3; b: sell 5 @ 101; x: buy 3 @ 101",
        "y: buy 6 @ 101",
        "y accepted; y took 5 @ 101 of b; y took 1 @ 101 of a",
        "| 2@101",
    ),
    Case(
        "m_ice_2_a_sweep_takes_what_is_seen_first_and_then_tip_by_tip",
        "a: sell 5 @ 101 show=2; b: sell 4 @ 101 show=1; d: sell 1 @ 101; e: sell 1 @ 102",
        "x: buy 11 @ 102",
        "x accepted; x took 2 @ 101 of a; x took 1 @ 101 of b; x took 1 @ 101 of d; "
        "x took 2 @ 101 of a; x took 1 @ 101 of b; x took 1 @ 101 of a; x took 1 @ 101 of b; "
        "x took 1 @ 101 of b; x took 1 @ 102 of e",
        "|",
    ),
    Case(
        "m_ice_2_hidden_lots_trade_before_the_next_price",
        "a: sell 4 @ 101 show=1; b: sell 1 @ 102",
        "x: buy 4 @ 102",
        "x accepted; x took 1 @ 101 of a; x took 1 @ 101 of a; x took 1 @ 101 of a; "
        "x took 1 @ 101 of a",
        "| 1@102",
    ),
    Case(
        "m_ice_3_fok_counts_what_is_hidden",
        "a: sell 4 @ 101 show=1",
        "x: buy 4 @ 101 fok",
        "x accepted; x took 1 @ 101 of a; x took 1 @ 101 of a; x took 1 @ 101 of a; "
        "x took 1 @ 101 of a",
        "|",
    ),
    Case(
        "m_ice_3_fok_one_lot_over_what_is_hidden_trades_nothing",
        "a: sell 4 @ 101 show=1",
        "x: buy 5 @ 101 fok",
        "x accepted; x ended 5 fill_or_kill",
        "| 1@101",
    ),
    Case(
        "m_mat_5_post_only_is_refused_by_a_tip_however_small",
        "a: sell 9 @ 101 show=1",
        "x: buy 5 @ 101 post; y: buy 5 @ 100 post",
        "x rejected post_only_would_cross; y accepted",
        "5@100 | 1@101",
    ),
    Case(
        "m_mat_5_post_only_against_a_refreshed_tip",
        "a: sell 9 @ 101 show=1; x: buy 1 @ 101",
        "y: buy 5 @ 101 post",
        "y rejected post_only_would_cross",
        "| 1@101",
    ),
    Case(
        "m_mat_5_post_only_may_itself_be_an_iceberg",
        "a: sell 9 @ 101",
        "y: buy 5 @ 100 post show=1",
        "y accepted",
        "1@100 | 9@101",
    ),
    Case(
        "m_ice_4_too_many_tips",
        "rules iceberg_parts_max=3",
        "a: sell 9 @ 101 show=2; b: sell 9 @ 101 show=3; d: sell 10 @ 101 show=3",
        "a rejected display_too_small; b accepted; d rejected display_too_small",
    ),
    Case(
        "m_ice_4_a_hundred_tips_without_rules",
        "",
        "a: sell 101 @ 101 show=1; b: sell 100 @ 101 show=1",
        "a rejected display_too_small; b accepted",
    ),
    Case(
        "m_ref_1_a_display_over_the_quantity_is_out_of_bounds",
        "",
        "a: sell 3 @ 101 show=4",
        "refused out_of_bounds",
    ),
    Case(
        "m_ref_3_an_order_that_never_rests_has_no_display",
        "",
        "a: sell 3 @ 101 ioc show=1; b: sell 3 show=1; d: sell 3 stop 99 show=1",
        "refused malformed_command; refused malformed_command; refused malformed_command",
    ),
    Case(
        "m_amd_2_less_comes_off_the_hidden_lots_first",
        "a: sell 9 @ 101 show=3; b: sell 1 @ 101",
        "amend a 4; x: buy 4 @ 101",
        "a amended 4 @ 101 left 4; x accepted; x took 3 @ 101 of a; x took 1 @ 101 of b",
        "| 1@101",
    ),
    Case(
        "m_amd_2_less_than_the_tip_makes_the_tip_smaller",
        "a: sell 9 @ 101 show=3; b: sell 1 @ 101",
        "amend a 2; x: buy 3 @ 101",
        "a amended 2 @ 101 left 2; x accepted; x took 2 @ 101 of a; x took 1 @ 101 of b",
        "|",
    ),
    Case(
        "m_amd_2_more_loses_the_place",
        "a: sell 9 @ 101 show=3; b: sell 1 @ 101; amend a 10",
        "x: buy 2 @ 101",
        "x accepted; x took 1 @ 101 of b; x took 1 @ 101 of a",
        "| 2@101",
    ),
    Case(
        "m_amd_2_another_display_loses_the_place",
        "a: sell 9 @ 101 show=3; b: sell 1 @ 101; amend a show=2",
        "x: buy 2 @ 101",
        "x accepted; x took 1 @ 101 of b; x took 1 @ 101 of a",
        "| 1@101",
    ),
    Case(
        "m_amd_2_the_same_display_again_keeps_the_place",
        "a: sell 9 @ 101 show=3; b: sell 1 @ 101; amend a show=3",
        "x: buy 2 @ 101",
        "x accepted; x took 2 @ 101 of a",
        "| 2@101",
    ),
    Case(
        "m_amd_1_a_plain_order_becomes_an_iceberg_and_back",
        "a: sell 9 @ 101",
        "amend a show=3; amend a show=0",
        "a amended 9 @ 101 left 9; a amended 9 @ 101 left 9",
        "| 9@101",
    ),
    Case(
        "m_amd_3_an_amended_iceberg_takes_with_all_it_has",
        "a: sell 9 @ 101 show=3; b: buy 5 @ 100",
        "amend a @ 100",
        "a amended 9 @ 100 left 9; a took 5 @ 100 of b",
        "| 3@100",
    ),
    Case(
        "m_sto_3_a_stop_limit_may_be_an_iceberg",
        "b: sell 1 @ 105; s: buy 5 @ 106 stop 105 show=2",
        "x: buy 1 @ 105",
        "x accepted; x took 1 @ 105 of b; s triggered",
        "2@106 |",
    ),
]


@pytest.mark.parametrize("case", ALL, ids=names(ALL))
def test_icebergs(case: Case) -> None:
    check(case)
