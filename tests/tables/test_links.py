"""Pairs of which one cancels the other (M-OCO), and replacements (M-REP), a line a case."""

from __future__ import annotations

import pytest

from tests.tables.cases import Case, check, names

PAIRS = [
    Case(
        "m_oco_2_a_fill_of_the_first_cancels_the_second",
        "a: sell 5 @ 105; b: sell 5 stop 95 oco=a",
        "x: buy 1 @ 105",
        "x accepted; x took 1 @ 105 of a; b ended 5 one_cancels_other",
        "| 4@105",
    ),
    Case(
        "m_oco_2_a_fill_of_the_second_cancels_the_first",
        "a: sell 5 @ 105; b: sell 5 @ 104 oco=a",
        "x: buy 1 @ 104",
        "x accepted; x took 1 @ 104 of b; a ended 5 one_cancels_other",
        "| 4@104",
    ),
    Case(
        "m_oco_3_a_trigger_cancels_the_other_before_it_trades",
        "z: buy 1 @ 95; y: buy 9 @ 94; a: sell 5 @ 105; b: sell 5 stop 95 oco=a",
        "x: sell 1 @ 95",
        "x accepted; x took 1 @ 95 of z; b triggered; a ended 5 one_cancels_other; "
        "b took 5 @ 94 of y",
        "4@94 |",
    ),
    Case(
        "m_fok_2_room_is_asked_with_the_partner_in_the_way",
        "rules limits.open_orders_max=1; a: buy 5 @ 100; b: buy 5 @ 100 client=d",
        "x: sell 9 @ 99 oco=a",
        "x rejected client_orders_limit",
        "10@100 |",
    ),
    Case(
        "m_oco_2_a_cancel_of_one_cancels_the_other",
        "a: sell 5 @ 105; b: sell 5 stop 95 oco=a",
        "cancel b",
        "b ended 5 by_client; a ended 5 one_cancels_other",
        "|",
    ),
    Case(
        "m_oco_2_an_expiry_of_one_cancels_the_other",
        "a: sell 5 @ 105 gtd=9; b: sell 5 stop 95 oco=a; wait 9",
        "tick",
        "a ended 5 expired; b ended 5 one_cancels_other; time advanced",
        "|",
    ),
    Case(
        "m_oco_2_amending_keeps_the_pair",
        "a: sell 5 @ 105; b: sell 5 stop 95 oco=a; amend a 6 @ 104; amend b stop 96",
        "x: buy 1 @ 104",
        "x accepted; x took 1 @ 104 of a; b ended 5 one_cancels_other",
    ),
    Case(
        "m_oco_2_an_amended_leg_that_trades_cancels_the_other",
        "z: buy 1 @ 99; a: sell 5 @ 105; b: sell 5 stop 95 oco=a",
        "amend a @ 99",
        "a amended 5 @ 99 left 5; a took 1 @ 99 of z; b ended 5 one_cancels_other",
        "| 4@99",
    ),
    Case(
        "m_oco_2_once_broken_the_pair_is_no_more",
        "a: sell 5 @ 105; b: sell 5 stop 95 oco=a; x: buy 1 @ 105; d: sell 1 @ 107 oco=a",
        "cancel d",
        "d ended 1 by_client; a ended 4 one_cancels_other",
    ),
    Case(
        "m_cxl_2_a_mass_cancel_counts_the_partner_too",
        "a: sell 5 @ 105; z: sell 1 @ 106; b: buy 5 @ 95 oco=a",
        "mass c buy",
        "b ended 5 mass_cancel; a ended 5 one_cancels_other; mass cancelled 2",
        "| 1@106",
    ),
    Case(
        "m_cxl_2_a_partner_that_is_gone_is_not_cancelled_again",
        "a: sell 5 @ 105; z: sell 1 @ 106; b: sell 5 @ 107 oco=a",
        "mass c",
        "b ended 5 mass_cancel; a ended 5 one_cancels_other; z ended 1 mass_cancel; "
        "mass cancelled 3",
    ),
]

MARKETABLE = [
    Case(
        "m_oco_3_two_legs_at_one_price_never_both_trade",
        "a: sell 5 @ 105; b: sell 5 @ 105 oco=a",
        "x: buy 9 @ 105",
        "x accepted; x took 5 @ 105 of a; b ended 5 one_cancels_other",
        "4@105 |",
    ),
    Case(
        "m_oco_3_a_part_of_one_is_enough",
        "a: sell 5 @ 105 show=1; b: sell 5 @ 105 oco=a",
        "x: buy 6 @ 105",
        "x accepted; x took 1 @ 105 of a; b ended 5 one_cancels_other; x took 1 @ 105 of a; "
        "x took 1 @ 105 of a; x took 1 @ 105 of a; x took 1 @ 105 of a",
        "1@105 |",
    ),
    Case(
        "m_oco_3_the_second_leg_takes_on_entry",
        "z: buy 3 @ 104; a: sell 5 @ 105",
        "b: sell 5 @ 104 oco=a",
        "b accepted; b took 3 @ 104 of z; a ended 5 one_cancels_other",
        "| 2@104",
    ),
    Case(
        "m_oco_3_a_filled_leg_cancels_the_other_before_the_takers_next_trade",
        "z: buy 3 @ 104; y: buy 3 @ 103; a: sell 5 @ 105",
        "b: sell 5 @ 103 oco=a",
        "b accepted; b took 3 @ 104 of z; a ended 5 one_cancels_other; b took 2 @ 103 of y",
        "1@103 |",
    ),
    Case(
        "m_oco_4_a_leg_that_ends_without_a_trade_ends_the_other",
        "a: sell 5 @ 105",
        "b: sell 5 @ 103 fok oco=a",
        "b accepted; b ended 5 fill_or_kill; a ended 5 one_cancels_other",
        "|",
    ),
    Case(
        "m_oco_4_a_leg_that_is_rejected_leaves_the_other_alone",
        "z: buy 1 @ 104; a: sell 5 @ 105",
        "b: sell 5 @ 103 post oco=a; cancel z",
        "b rejected post_only_would_cross; z ended 1 by_client",
        "| 5@105",
    ),
    Case(
        "m_oco_3_legs_on_two_sides_that_trade_with_each_other",
        "a: sell 5 @ 105; z: sell 5 @ 106",
        "b: buy 7 @ 106 oco=a",
        "b accepted; b took 5 @ 105 of a; b ended 2 one_cancels_other",
        "| 5@106",
    ),
    Case(
        "m_oco_3_and_the_larger_maker_ends_too",
        "a: sell 5 @ 105",
        "b: buy 3 @ 106 oco=a",
        "b accepted; b took 3 @ 105 of a; a ended 2 one_cancels_other",
        "|",
    ),
    Case(
        "m_fok_2_behind_its_own_partner_nothing_is_counted",
        "a: sell 5 @ 105; z: sell 5 @ 106",
        "b: buy 6 @ 106 fok oco=a",
        "b accepted; b ended 6 fill_or_kill; a ended 5 one_cancels_other",
        "| 5@106",
    ),
    Case(
        "m_fok_2_a_partner_met_later_is_not_counted",
        "z: sell 5 @ 104; a: sell 5 @ 105; y: sell 1 @ 106",
        "b: buy 7 @ 106 fok oco=a",
        "b accepted; b ended 7 fill_or_kill; a ended 5 one_cancels_other",
        "| 5@104 1@106",
    ),
    Case(
        "m_fok_2_the_second_of_a_pair_is_not_counted",
        "a: sell 5 @ 105; b: sell 5 @ 106 oco=a; z: sell 2 @ 107",
        "x: buy 8 @ 107 fok client=o; y: buy 7 @ 107 fok client=o",
        "x accepted; x ended 8 fill_or_kill; y accepted; y took 5 @ 105 of a; "
        "b ended 5 one_cancels_other; y took 2 @ 107 of z",
        "|",
    ),
    Case(
        "m_oco_3_both_stop_legs_of_one_wave",
        "z: buy 1 @ 95; y: buy 9 @ 94; a: sell 2 stop 95; b: sell 3 @ 94 stop 95 oco=a",
        "x: sell 1 @ 95",
        "x accepted; x took 1 @ 95 of z; a triggered; b ended 3 one_cancels_other; "
        "a took 2 @ 94 of y",
        "7@94 |",
    ),
    Case(
        "m_oco_3_a_stop_leg_that_triggers_on_entry",
        "p: sell 1 @ 100; q: buy 1 @ 100; z: buy 9 @ 94; a: sell 2 @ 105",
        "b: sell 2 stop 101 oco=a",
        "b accepted; b triggered; a ended 2 one_cancels_other; b took 2 @ 94 of z",
    ),
]

REFUSED = [
    Case("m_oco_1_no_such_order", "", "b: sell 5 @ 106 oco=a", "b rejected link_not_open"),
    Case(
        "m_oco_1_a_closed_order",
        "a: sell 5 @ 105; cancel a",
        "b: sell 5 @ 106 oco=a",
        "b rejected link_not_open",
    ),
    Case(
        "m_oco_1_an_order_of_another_client",
        "a: sell 5 @ 105 client=o",
        "b: sell 5 @ 106 oco=a",
        "b rejected link_not_open",
    ),
    Case(
        "m_oco_1_an_order_of_another_instrument",
        "a: sell 5 @ 105 ins=1",
        "b: sell 5 @ 106 oco=a",
        "b rejected link_not_open",
    ),
    Case(
        "m_oco_1_an_order_that_is_paired",
        "a: sell 5 @ 105; b: sell 5 @ 106 oco=a",
        "d: sell 5 @ 107 oco=a; e: sell 5 @ 107 oco=b",
        "d rejected link_taken; e rejected link_taken",
    ),
]

REPLACED = [
    Case(
        "m_rep_1_the_old_one_ends_and_the_new_one_comes_in",
        "a: sell 5 @ 105",
        "b: sell 6 @ 104 replaces=a",
        "a ended 5 replaced; b accepted",
        "| 6@104",
    ),
    Case(
        "m_rep_1_it_may_change_side_and_type",
        "a: sell 5 @ 105",
        "b: buy 1 stop 104 replaces=a",
        "a ended 5 replaced; b accepted",
        "|",
    ),
    Case(
        "m_rep_1_the_new_one_does_not_meet_the_old_one",
        "a: sell 5 @ 105",
        "b: buy 5 @ 105 replaces=a",
        "a ended 5 replaced; b accepted",
        "5@105 |",
    ),
    Case(
        "m_rep_1_a_rule_that_refuses_leaves_the_old_one_cancelled",
        "z: buy 1 @ 104; a: sell 5 @ 105",
        "b: sell 5 @ 103 post replaces=a",
        "a ended 5 replaced; b rejected post_only_would_cross",
        "1@104 |",
    ),
    Case(
        "m_rep_1_one_that_is_gone_stops_it",
        "a: sell 5 @ 105; cancel a",
        "b: sell 5 @ 103 replaces=a",
        "b rejected link_not_open",
        "|",
    ),
    Case(
        "m_rep_1_an_id_that_is_taken_changes_nothing",
        "a: sell 5 @ 105; z: sell 5 @ 106",
        "z: sell 5 @ 103 replaces=a",
        "refused duplicate_order_id z",
        "| 5@105 5@106",
    ),
    Case(
        "m_rep_1_the_partner_of_the_old_one_goes_with_it",
        "a: sell 5 @ 105; z: sell 5 stop 95 oco=a",
        "b: sell 5 @ 103 replaces=a",
        "a ended 5 replaced; z ended 5 one_cancels_other; b accepted",
        "| 5@103",
    ),
    Case(
        "m_rep_1_a_partly_filled_order_ends_with_its_rest",
        "a: sell 5 @ 105; x: buy 2 @ 105",
        "b: sell 5 @ 103 replaces=a",
        "a ended 3 replaced; b accepted",
    ),
]

ALL = PAIRS + MARKETABLE + REFUSED + REPLACED


@pytest.mark.parametrize("case", ALL, ids=names(ALL))
def test_links(case: Case) -> None:
    check(case)
