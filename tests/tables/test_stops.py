"""Stop orders (M-STO), a line a case."""

from __future__ import annotations

import pytest

from novate.model.instrument import Limits
from tests.tables.cases import Case, check, names

LAST_100 = "m1: sell 1 @ 100; m2: buy 1 @ 100; "
"""The last trade is at 100, and the book is empty."""

WAITING = [
    Case("m_sto_1_a_stop_waits_outside_the_book", "", "s: buy 5 stop 105", "s accepted", "|"),
    Case("m_sto_1_a_stop_limit_waits_too", "", "s: buy 5 @ 106 stop 105", "s accepted", "|"),
    Case(
        "m_sto_1_a_buy_stop_is_reached_by_a_trade_at_its_price",
        "s: buy 1 stop 105; a: sell 1 @ 105; b: sell 1 @ 106",
        "x: buy 1 @ 105",
        "x accepted; x took 1 @ 105 of a; s triggered; s took 1 @ 106 of b",
        "|",
    ),
    Case(
        "m_sto_1_a_trade_one_tick_under_does_not_reach_it",
        "s: buy 1 stop 105; a: sell 1 @ 104",
        "x: buy 1 @ 104",
        "x accepted; x took 1 @ 104 of a",
    ),
    Case(
        "m_sto_1_a_sell_stop_is_reached_by_a_trade_under_its_price",
        "s: sell 1 stop 95; a: buy 1 @ 94; b: buy 1 @ 93",
        "x: sell 1 @ 94",
        "x accepted; x took 1 @ 94 of a; s triggered; s took 1 @ 93 of b",
        "|",
    ),
    Case(
        "m_sto_1_a_quote_alone_triggers_nothing",
        "s: buy 1 stop 105",
        "a: buy 1 @ 110; b: sell 1 @ 120",
        "a accepted; b accepted",
    ),
    Case(
        "m_sto_1_a_trade_of_another_instrument_triggers_nothing",
        "s: buy 1 stop 105 ins=1; a: sell 1 @ 106",
        "x: buy 1 @ 106",
        "x accepted; x took 1 @ 106 of a",
    ),
    Case("m_cxl_1_it_is_cancelled", "s: buy 5 stop 105", "cancel s", "s ended 5 by_client"),
    Case(
        "m_sto_1_it_goes_with_a_mass_cancel",
        "s: buy 5 stop 105; a: sell 1 @ 110",
        "mass c",
        "a ended 1 mass_cancel; s ended 5 mass_cancel; mass cancelled 2",
    ),
]

AT_ONCE = [
    Case(
        "m_sto_2_one_that_is_fulfilled_triggers_at_once",
        LAST_100 + "b: sell 2 @ 103",
        "s: buy 1 stop 100",
        "s accepted; s triggered; s took 1 @ 103 of b",
        "| 1@103",
    ),
    Case(
        "m_sto_2_before_the_first_trade_nothing_is_fulfilled",
        "b: sell 2 @ 103",
        "s: buy 1 stop 1",
        "s accepted",
        "| 2@103",
    ),
    Case(
        "m_sto_2_a_sell_stop_over_the_last_price_triggers_at_once",
        LAST_100 + "b: buy 2 @ 97",
        "s: sell 1 @ 97 stop 101",
        "s accepted; s triggered; s took 1 @ 97 of b",
    ),
    Case(
        "m_sto_2_a_stop_limit_that_finds_nothing_rests_at_its_limit",
        LAST_100,
        "s: buy 2 @ 102 stop 99",
        "s accepted; s triggered",
        "2@102 |",
    ),
    Case(
        "m_sto_2_ioc_counts_from_the_trigger",
        "b: sell 1 @ 105; s: buy 3 @ 106 stop 105 ioc; d: sell 1 @ 106",
        "x: buy 1 @ 105",
        "x accepted; x took 1 @ 105 of b; s triggered; s took 1 @ 106 of d; "
        "s ended 2 immediate_or_cancel",
        "|",
    ),
    Case(
        "m_sto_2_fok_counts_from_the_trigger",
        "b: sell 1 @ 105; s: buy 3 stop 105 fok; d: sell 1 @ 106",
        "x: buy 1 @ 105",
        "x accepted; x took 1 @ 105 of b; s triggered; s ended 3 fill_or_kill",
        "| 1@106",
    ),
    Case(
        "m_sto_2_the_minimum_counts_from_the_trigger",
        "b: sell 1 @ 105; s: buy 3 @ 107 stop 105 min=2; d: sell 1 @ 106",
        "x: buy 1 @ 105",
        "x accepted; x took 1 @ 105 of b; s triggered; s ended 3 minimum_quantity",
        "| 1@106",
    ),
    Case(
        "m_sto_2_gtd_ends_one_that_waits",
        "s: buy 3 stop 105 gtd=9; wait 9",
        "tick",
        "s ended 3 expired; time advanced",
    ),
]

CASCADES = [
    Case(
        "m_sto_4_those_of_one_step_go_by_rank_and_not_by_price",
        "a: buy 1 @ 95; b: buy 9 @ 94; s: sell 1 stop 95; t: sell 2 stop 98; u: sell 3 stop 96",
        "x: sell 1 @ 95",
        "x accepted; x took 1 @ 95 of a; s triggered; s took 1 @ 94 of b; t triggered; "
        "t took 2 @ 94 of b; u triggered; u took 3 @ 94 of b",
        "3@94 |",
    ),
    Case(
        "m_sto_4_each_is_matched_whole_before_the_next",
        "a: buy 1 @ 95; b: buy 3 @ 94; d: buy 3 @ 93; s: sell 4 stop 95; t: sell 1 stop 95",
        "x: sell 1 @ 95",
        "x accepted; x took 1 @ 95 of a; s triggered; s took 3 @ 94 of b; s took 1 @ 93 of d; "
        "t triggered; t took 1 @ 93 of d",
        "1@93 |",
    ),
    Case(
        "m_sto_4_new_ones_join_the_end_of_the_queue",
        "a: buy 1 @ 99; b: buy 1 @ 98; d: buy 9 @ 97; "
        "s: sell 1 stop 98; t: sell 1 stop 99; u: sell 1 stop 99",
        "x: sell 1 @ 99",
        "x accepted; x took 1 @ 99 of a; t triggered; t took 1 @ 98 of b; u triggered; "
        "u took 1 @ 97 of d; s triggered; s took 1 @ 97 of d",
    ),
    Case(
        "m_sto_4_every_trade_of_a_step_counts_and_not_the_last_alone",
        "b: sell 1 @ 101; d: sell 1 @ 105; s: sell 1 stop 102; e: buy 1 @ 90",
        "x: buy 2 @ 105",
        "x accepted; x took 1 @ 101 of b; x took 1 @ 105 of d; s triggered; s took 1 @ 90 of e",
    ),
    Case(
        "m_sto_4_buyers_and_sellers_share_one_queue",
        "b: sell 1 @ 101; d: sell 1 @ 105; f: sell 9 @ 106; e: buy 9 @ 90; "
        "s: buy 1 stop 105; t: sell 1 stop 101",
        "x: buy 2 @ 105",
        "x accepted; x took 1 @ 101 of b; x took 1 @ 105 of d; s triggered; s took 1 @ 106 of f; "
        "t triggered; t took 1 @ 90 of e",
    ),
    Case(
        "m_sto_4_a_triggered_stop_limit_that_rests_may_be_taken_by_the_next",
        "a: buy 1 @ 95; s: sell 2 @ 95 stop 95; t: buy 1 stop 95",
        "x: sell 1 @ 95",
        "x accepted; x took 1 @ 95 of a; s triggered; t triggered; t took 1 @ 95 of s",
        "| 1@95",
    ),
    Case(
        "m_sto_4_amending_gives_a_new_rank",
        "a: buy 1 @ 95; b: buy 9 @ 94; s: sell 2 stop 95; t: sell 2 stop 95; amend s stop 96",
        "x: sell 1 @ 95",
        "x accepted; x took 1 @ 95 of a; t triggered; t took 2 @ 94 of b; s triggered; "
        "s took 2 @ 94 of b",
    ),
    Case(
        "m_sto_4_less_keeps_the_rank",
        "a: buy 1 @ 95; b: buy 9 @ 94; s: sell 2 stop 95; t: sell 2 stop 95; amend s 1",
        "x: sell 1 @ 95",
        "x accepted; x took 1 @ 95 of a; s triggered; s took 1 @ 94 of b; t triggered; "
        "t took 2 @ 94 of b",
    ),
    Case(
        "m_sto_4_one_that_its_partner_cancelled_meanwhile_is_skipped",
        "a: buy 1 @ 95; b: buy 9 @ 94; s: sell 2 stop 95; t: sell 2 stop 95 oco=s",
        "x: sell 1 @ 95",
        "x accepted; x took 1 @ 95 of a; s triggered; t ended 2 one_cancels_other; "
        "s took 2 @ 94 of b",
    ),
    Case(
        "m_sto_4_a_decrement_triggers_nothing",
        "s: buy 1 stop 101; a: sell 1 @ 101; b: sell 1 @ 102",
        "x: buy 1 @ 101 stp=decrement",
        "x accepted; a ended 1 self_trade_prevented; x ended 1 self_trade_prevented",
    ),
    Case(
        "m_one_3_trades_of_a_cascade_stop_at_an_empty_book",
        "a: buy 1 @ 95; s: sell 2 stop 95; t: sell 1 stop 95",
        "x: sell 1 @ 95",
        "x accepted; x took 1 @ 95 of a; s triggered; s ended 2 book_exhausted; t triggered; "
        "t ended 1 book_exhausted",
    ),
]

AMENDED = [
    Case(
        "m_amd_4_a_new_stop_price_that_is_fulfilled_triggers_at_once",
        LAST_100 + "b: sell 2 @ 103; s: buy 1 stop 105",
        "amend s stop 100",
        "s amended 1 @ 0 left 1; s triggered; s took 1 @ 103 of b",
    ),
    Case(
        "m_min_1_a_waiting_stop_keeps_a_total_of_its_minimum",
        "s: buy 10 stop 105 min=5; t: sell 10 @ 90 stop 95 min=5",
        "amend s 4; amend t 4 @ 91 stop 96; amend s 5; amend t 5; amend s 4 stop 106",
        "refused out_of_bounds s; refused out_of_bounds t; s amended 5 @ 0 left 5; "
        "t amended 5 @ 90 left 5; refused out_of_bounds s",
    ),
    Case(
        "m_amd_1_a_minimum_that_was_met_binds_no_total",
        LAST_100 + "a: sell 3 @ 101; s: buy 9 @ 101 stop 100 min=3",
        "amend s 2; amend s 3; amend s 4",
        "refused amend_quantity_too_low s; refused amend_quantity_too_low s; "
        "s amended 4 @ 101 left 1",
    ),
    Case(
        "m_amd_1_a_stop_has_no_limit_price",
        "s: buy 1 stop 105",
        "amend s @ 106",
        "refused amend_not_applicable s",
    ),
    Case(
        "m_amd_1_a_limit_order_has_no_stop_price",
        "s: buy 1 @ 99",
        "amend s stop 106",
        "refused amend_not_applicable s",
    ),
    Case(
        "m_amd_1_a_triggered_one_has_no_stop_price_any_more",
        LAST_100 + "s: buy 1 @ 99 stop 100",
        "amend s stop 106; amend s @ 98",
        "refused amend_not_applicable s; s amended 1 @ 98 left 1",
        "1@98 |",
    ),
    Case(
        "m_amd_4_a_waiting_order_may_be_amended_through_the_market",
        "b: sell 2 @ 103; s: buy 1 @ 106 stop 105",
        "amend s @ 110",
        "s amended 1 @ 110 left 1",
        "| 2@103",
    ),
]

ROOM = [
    Case(
        "m_sto_3_a_triggered_rest_without_room_ends",
        "a: buy 1 @ 95; x0: sell 1 @ 110; s: sell 2 @ 95 stop 95",
        "x: sell 1 @ 95",
        "x accepted; x took 1 @ 95 of a; s triggered; s ended 2 no_room",
        "| 1@110",
    ),
    Case(
        "m_ref_4_a_stop_asks_no_level",
        "x0: sell 1 @ 110",
        "s: sell 2 @ 95 stop 95",
        "s accepted",
    ),
]

ALL = WAITING + AT_ONCE + CASCADES + AMENDED


@pytest.mark.parametrize("case", ALL, ids=names(ALL))
def test_stops(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", ROOM, ids=names(ROOM))
def test_stops_where_a_side_has_one_level(case: Case) -> None:
    check(case, Limits(price_levels_max=1))


def test_m_ref_4_a_stop_is_an_open_order() -> None:
    full = Case("m", "s: buy 1 stop 105", "t: buy 1 stop 105", "t rejected open_orders_limit")
    check(full, Limits(open_orders_max=1))
