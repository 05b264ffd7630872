"""Phases of an instrument (M-PHA) and time (M-TIM), a line a case."""

from __future__ import annotations

import pytest

from tests.tables.cases import Case, check, names

HOUR = 3600

TAKEN = [
    Case(
        "m_pha_2_pre_open_takes_what_can_wait",
        "phase pre_open",
        "a: buy 1 @ 100; b: buy 1 @ 100 day show=1; d: buy 1 @ 100 gtd=9; e: buy 1 stop 90; "
        "f: sell 1 @ 99; g: buy 1 @ 100 ioc; h: buy 1 @ 100 fok; i: buy 1 @ 1 post; j: buy 1; "
        "k: buy 1 @ 100 min=1; l: buy 1 @ 99 stop 90 ioc",
        "a accepted; b accepted; d accepted; e accepted; f accepted; g rejected pre_open; "
        "h rejected pre_open; i rejected pre_open; j rejected pre_open; k rejected pre_open; "
        "l accepted",
        "3@100 | 1@99",
    ),
    Case(
        "m_pha_2_an_auction_takes_market_orders_too",
        "phase auction",
        "a: buy 1; b: buy 1 ioc; d: buy quote 100; e: buy 1 min=1; f: buy 1 @ 1 post; "
        "g: sell 1 @ 100",
        "a accepted; b rejected auction; d rejected auction; e rejected auction; "
        "f rejected auction; g accepted",
        "| 1@100",
    ),
    Case(
        "m_pha_2_a_halt_takes_cancels_and_less",
        "a: buy 5 @ 100; b: buy 5 @ 99; s: buy 1 stop 105; phase halt",
        "x: buy 1 @ 98; y: buy 1 stop 105; amend a 4; amend a 6; amend a @ 98; cancel b; "
        "amend s stop 99",
        "x rejected halted; y rejected halted; a amended 4 @ 100 left 4; refused halted a; "
        "refused halted a; b ended 5 by_client; refused halted s",
        "4@100 |",
    ),
    Case(
        "m_pha_2_cancel_only_takes_cancels_alone",
        "a: buy 5 @ 100; phase cancel_only",
        "x: buy 1 @ 98; amend a 4; mass c",
        "x rejected cancel_only; refused cancel_only a; a ended 5 mass_cancel; mass cancelled 1",
        "|",
    ),
    Case(
        "m_pha_2_closed_takes_cancels_alone",
        "a: buy 5 @ 100; phase closed",
        "x: buy 1 @ 98; amend a 4; cancel a",
        "x rejected closed; refused closed a; a ended 5 by_client",
    ),
    Case(
        "m_pha_1_other_instruments_go_on",
        "phase halt",
        "a: buy 1 @ 100 ins=1; b: buy 1 @ 100",
        "a accepted; b rejected halted",
    ),
    Case(
        "m_pha_1_all_instruments_by_number",
        "",
        "phase halt ins=all; phase halt",
        "phase continuous to halt; phase continuous to halt; phase halt to halt",
    ),
    Case("m_pha_1_no_such_instrument", "", "phase halt ins=7", "refused unknown_instrument"),
    Case(
        "m_pha_7_continuous_has_no_end",
        "",
        "phase continuous until=9",
        "refused malformed_command",
    ),
    Case(
        "m_amd_5_before_the_open_an_amendment_may_cross",
        "phase pre_open; a: sell 1 @ 100; b: buy 1 @ 99",
        "amend b @ 101",
        "b amended 1 @ 101 left 1",
        "1@101 | 1@100",
    ),
    Case(
        "m_amd_5_and_loses_its_place_all_the_same",
        "phase pre_open; a: sell 1 @ 100; b: sell 1 @ 100; amend a 2; x: buy 1 @ 100",
        "phase continuous",
        "uncrossed 1 @ 100 surplus -2; x bought 1 @ 100 from b; phase pre_open to continuous",
        "| 2@100",
    ),
]

CHANGES = [
    Case(
        "m_pha_4_the_open_uncrosses",
        "phase pre_open; a: sell 1 @ 99; b: buy 1 @ 101",
        "phase continuous",
        "uncrossed 1 @ 100 surplus 0; b bought 1 @ 100 from a; phase pre_open to continuous",
        "|",
    ),
    Case(
        "m_pha_4_an_open_that_crosses_nobody_says_nothing_of_it",
        "phase pre_open; a: sell 1 @ 102; b: buy 1 @ 101",
        "phase continuous",
        "phase pre_open to continuous",
        "1@101 | 1@102",
    ),
    Case(
        "m_auc_5_an_auction_that_crosses_nobody_says_so",
        "phase auction; a: sell 1 @ 102; b: buy 1 @ 101",
        "phase continuous",
        "uncrossed 0 @ 0 surplus 0; phase auction to continuous",
        "1@101 | 1@102",
    ),
    Case(
        "m_pha_4_a_closing_auction_uncrosses",
        "phase auction; a: sell 1 @ 99; b: buy 1 @ 101 day; d: buy 1 @ 98 day",
        "phase closed",
        "uncrossed 1 @ 100 surplus 0; b bought 1 @ 100 from a; phase auction to closed; "
        "d ended 1 expired",
        "|",
    ),
    Case(
        "m_pha_4_a_halted_auction_stays_crossed_until_it_opens",
        "phase auction; a: sell 1 @ 99; b: buy 1 @ 101",
        "phase halt; phase continuous",
        "phase auction to halt; uncrossed 1 @ 100 surplus 0; b bought 1 @ 100 from a; "
        "phase halt to continuous",
        "|",
    ),
    Case(
        "m_pha_3_market_orders_end_with_the_auction_whatever_comes",
        "phase auction; a: sell 1; b: buy 2; d: buy 3",
        "phase halt",
        "b ended 2 auction_over; d ended 3 auction_over; a ended 1 auction_over; "
        "phase auction to halt",
    ),
    Case(
        "m_pha_4_pre_open_to_closed_leaves_the_book_crossed",
        "phase pre_open; a: sell 1 @ 99; b: buy 1 @ 101",
        "phase closed",
        "phase pre_open to closed",
        "1@101 | 1@99",
    ),
    Case(
        "m_pha_5_closing_ends_day_orders_the_oldest_first_and_stops_too",
        "a: sell 1 @ 101 day; s: buy 1 stop 105 day; b: buy 1 @ 99 day; d: buy 1 @ 98",
        "phase closed",
        "phase continuous to closed; a ended 1 expired; s ended 1 expired; b ended 1 expired",
        "1@98 |",
    ),
    Case(
        "m_sto_5_a_halt_keeps_stops_waiting",
        "a: sell 1 @ 105; b: sell 1 @ 106; s: buy 1 stop 105; phase halt",
        "phase continuous; x: buy 1 @ 105",
        "phase halt to continuous; x accepted; x took 1 @ 105 of a; s triggered; "
        "s took 1 @ 106 of b",
    ),
    Case(
        "m_sto_5_after_a_halt_they_are_compared_with_the_last_price",
        "m1: sell 1 @ 105; m2: buy 1 @ 105; b: sell 1 @ 106; phase pre_open; s: buy 1 stop 105",
        "phase continuous",
        "phase pre_open to continuous; s triggered; s took 1 @ 106 of b",
    ),
    Case(
        "m_sto_5_a_stop_inside_an_auction_waits_for_its_price",
        "phase auction; a: sell 2 @ 105; x: buy 2 @ 105; b: sell 1 @ 106; s: buy 1 stop 105; "
        "t: buy 1 stop 107",
        "phase continuous",
        "uncrossed 2 @ 105 surplus 0; x bought 2 @ 105 from a; phase auction to continuous; "
        "s triggered; s took 1 @ 106 of b",
    ),
    Case(
        "m_sto_5_a_closing_price_triggers_at_the_next_open",
        "phase auction; a: sell 2 @ 105; x: buy 2 @ 105; s: buy 1 stop 105; phase closed",
        "phase continuous",
        "phase closed to continuous; s triggered; s ended 1 book_exhausted",
    ),
    Case(
        "m_pha_7_a_phase_with_an_end_is_followed_by_continuous",
        "phase halt until=60; wait 60",
        "a: buy 1 @ 100",
        "phase halt to continuous time_over; a accepted",
    ),
    Case(
        "m_pha_7_unless_another_change_comes_first",
        "phase halt until=60; phase cancel_only; wait 60",
        "a: buy 1 @ 100",
        "a rejected cancel_only",
    ),
]

SCHEDULED = [
    Case(
        "m_pha_6_the_day_goes_by_its_schedule",
        f"rules schedule={HOUR}:auction,{2 * HOUR}:continuous,{9 * HOUR}:closed; wait {HOUR}",
        f"tick; wait {HOUR}; tick; wait {7 * HOUR}; tick; wait {16 * HOUR}; tick",
        "phase continuous to auction by_schedule; time advanced; uncrossed 0 @ 0 surplus 0; "
        "phase auction to continuous by_schedule; time advanced; "
        "phase continuous to closed by_schedule; time advanced; "
        "phase closed to auction by_schedule; time advanced",
    ),
    Case(
        "m_tim_2_a_long_silence_is_made_up_for_in_order",
        f"rules schedule={HOUR}:auction,{2 * HOUR}:continuous,{9 * HOUR}:closed; wait {10 * HOUR}",
        "tick",
        "phase continuous to auction by_schedule; uncrossed 0 @ 0 surplus 0; "
        "phase auction to continuous by_schedule; phase continuous to closed by_schedule; "
        "time advanced",
    ),
    Case(
        "m_tim_6_after_many_days_each_entry_happens_once",
        f"rules schedule={HOUR}:halt,{2 * HOUR}:continuous; wait {24 * HOUR * 30}",
        "tick; tick",
        "phase continuous to halt by_schedule; phase halt to continuous by_schedule; "
        "time advanced; time advanced",
    ),
    Case(
        "m_pha_6_entries_before_the_rules_do_not_count",
        f"wait {HOUR + 1}; rules schedule={HOUR}:halt",
        f"tick; wait {24 * HOUR}; tick",
        "time advanced; phase continuous to halt by_schedule; time advanced",
    ),
    Case(
        "m_pha_6_an_instrument_that_is_held_is_passed_over",
        f"rules schedule={HOUR}:continuous,{2 * HOUR}:auction; phase halt; wait {HOUR}",
        f"tick; phase continuous; wait {HOUR}; tick",
        "time advanced; phase halt to continuous; phase continuous to auction by_schedule; "
        "time advanced",
    ),
    Case(
        "m_pha_6_a_halt_of_the_schedule_holds_nothing",
        f"rules schedule={HOUR}:halt,{2 * HOUR}:continuous; wait {HOUR}; tick; wait {HOUR}",
        "tick",
        "phase halt to continuous by_schedule; time advanced",
    ),
    Case(
        "m_pha_7_the_schedule_ends_a_volatility_auction",
        f"rules dynamic_band.ticks=1 band_action=auction schedule={10}:closed; m1: sell 1 @ 100; "
        "m2: buy 1 @ 100; a: sell 1 @ 105; x: buy 1 @ 105; wait 10",
        "tick; wait 300; tick",
        "uncrossed 1 @ 105 surplus 0; x bought 1 @ 105 from a; "
        "phase auction to closed by_schedule; time advanced; time advanced",
    ),
    Case(
        "m_tim_2_a_closing_auction_has_the_day_orders_that_end_with_it",
        f"rules session_end_s={HOUR} schedule={HOUR}:closed; phase auction; a: sell 1 @ 100 day; "
        f"b: buy 1 @ 100 day; d: buy 1 @ 99 day; wait {HOUR}",
        "tick",
        "uncrossed 1 @ 100 surplus 0; b bought 1 @ 100 from a; "
        "phase auction to closed by_schedule; d ended 1 expired; time advanced",
    ),
]

TIMES = [
    Case(
        "m_tim_1_gtd_ends_at_its_time_and_not_before",
        "a: buy 1 @ 100 gtd=9; wait 8.999999999",
        "tick; wait 0.000000001; tick",
        "time advanced; a ended 1 expired; time advanced",
    ),
    Case(
        "m_tim_2_expiries_go_by_time_and_then_by_age",
        "a: buy 1 @ 100 gtd=9; b: buy 1 @ 101 gtd=8; d: buy 1 @ 102 gtd=9; wait 10",
        "x: sell 1 @ 99",
        "b ended 1 expired; a ended 1 expired; d ended 1 expired; x accepted",
        "| 1@99",
    ),
    Case(
        "m_tim_2_phases_before_expiries_before_timers",
        "a: buy 1 @ 100 gtd=9; b: buy 1 @ 99; after c 9; phase halt until=9; wait 9",
        "tick",
        "phase halt to continuous time_over; a ended 1 expired; b ended 1 cancel_after; "
        "timer c expired 1; time advanced",
    ),
    Case(
        "m_one_5_what_ended_in_a_command_is_known_to_its_end",
        "a: buy 1 @ 100 gtd=9; wait 9",
        "cancel a",
        "a ended 1 expired; refused already_closed a",
    ),
    Case(
        "m_ref_1_gtd_in_the_past_is_rejected",
        "wait 9",
        "a: buy 1 @ 100 gtd=9; b: buy 1 @ 100 gtd=9.5",
        "a rejected expires_in_past; b accepted",
    ),
    Case(
        "m_tim_5_day_ends_at_midnight_without_rules",
        f"wait {23 * HOUR}; a: buy 1 @ 100 day; wait {HOUR}",
        "tick",
        "a ended 1 expired; time advanced",
    ),
    Case(
        "m_tim_5_one_placed_at_the_session_end_has_the_next_day",
        f"rules session_end_s={HOUR}; wait {HOUR}; a: buy 1 @ 100 day; wait {24 * HOUR - 1}",
        "tick; wait 1; tick",
        "time advanced; a ended 1 expired; time advanced",
    ),
    Case(
        "m_tim_5_rules_set_later_do_not_move_it",
        f"rules session_end_s={HOUR}; a: buy 1 @ 100 day; rules session_end_s={2 * HOUR}; "
        f"b: buy 1 @ 99 day; wait {HOUR}",
        "tick",
        "a ended 1 expired; time advanced",
        "1@99 |",
    ),
    Case(
        "m_amd_1_the_end_may_be_moved_and_the_place_stays",
        "a: buy 1 @ 100 gtd=9; b: buy 1 @ 100; amend a gtd=20; wait 9",
        "x: sell 1 @ 100",
        "x accepted; x took 1 @ 100 of a",
    ),
    Case(
        "m_ref_2_an_end_in_the_past_is_refused",
        "a: buy 1 @ 100 gtd=9; wait 5",
        "amend a gtd=5",
        "refused expires_in_past a",
    ),
    Case(
        "m_amd_1_only_gtd_has_an_end",
        "a: buy 1 @ 100 day",
        "amend a gtd=5",
        "refused amend_not_applicable a",
    ),
    Case(
        "m_one_2_what_is_due_happens_before_the_command_sees_the_book",
        "a: sell 1 @ 100 gtd=9; wait 9",
        "x: buy 1 @ 100 post",
        "a ended 1 expired; x accepted",
        "1@100 |",
    ),
    Case(
        "m_ref_3_market_orders_have_no_day",
        "",
        "a: buy 1 day; b: buy 1 gtd=9; d: buy 1 stop 105 day",
        "refused malformed_command; refused malformed_command; d accepted",
    ),
]

ALL = TAKEN + CHANGES + SCHEDULED + TIMES


@pytest.mark.parametrize("case", ALL, ids=names(ALL))
def test_phases_and_time(case: Case) -> None:
    check(case)
