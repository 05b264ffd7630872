"""Sessions, dead-man timers and kill switches (M-SES, M-DMT, M-KILL), a line a case."""

from __future__ import annotations

import pytest

from novate.model.commands import CLIENT_LIMITS_MAX, SESSIONS_MAX
from novate.model.instrument import Limits, OrderLimits
from novate.model.rejects import Reason
from tests.oracle.words import SessionOpen, SetClientLimits
from tests.tables.cases import Case, check, names, scene

ALL = [
    Case(
        "m_ses_1_a_session_opens_once_and_its_number_is_free_again",
        "",
        "open 7; open 7; close 7; close 7; open 7; open 0",
        "session 7 opened; refused session_exists; session 7 closed 0; refused unknown_session; "
        "session 7 opened; refused malformed_command",
    ),
    Case(
        "m_ses_2_its_orders_end_the_newest_first_on_all_instruments",
        "open 7; open 8; a: buy 1 @ 100 session=7; b: buy 1 @ 100 session=8; d: buy 1 @ 100; "
        "e: buy 1 @ 100 session=7 ins=1 client=o; s: buy 1 stop 105 session=7",
        "close 7",
        "s ended 1 session_closed; e ended 1 session_closed; a ended 1 session_closed; "
        "session 7 closed 3",
        "2@100 |",
    ),
    Case(
        "m_ses_3_an_order_of_a_session_that_is_not_open_is_rejected",
        "open 7; close 7",
        "a: buy 1 @ 100 session=7; b: buy 1 @ 100 session=9",
        "a rejected session_not_open; b rejected session_not_open",
    ),
    Case(
        "m_ses_3_amending_leaves_it_in_its_session",
        "open 7; a: buy 1 @ 100 session=7; amend a 5 @ 99",
        "close 7",
        "a ended 5 session_closed; session 7 closed 1",
    ),
    Case(
        "m_ses_4_lost_sessions_close_by_number",
        "open 8; open 7; a: buy 1 @ 100 session=8; b: buy 1 @ 100 session=7; d: buy 1 @ 99",
        "lost; lost",
        "b ended 1 session_lost; session 7 closed 1 lost; a ended 1 session_lost; "
        "session 8 closed 1 lost; sessions lost 2; sessions lost 0",
        "1@99 |",
    ),
    Case(
        "m_ses_2_a_partner_goes_with_it_and_is_counted",
        "open 7; a: buy 1 @ 100; b: buy 1 @ 99 session=7 oco=a",
        "close 7",
        "b ended 1 session_closed; a ended 1 one_cancels_other; session 7 closed 2",
    ),
    Case(
        "m_dmt_1_all_orders_of_the_client_end_when_it_is_due",
        "a: buy 1 @ 100; b: buy 1 @ 99 ins=1; o: buy 1 @ 98 client=o; after c 60; wait 60",
        "x: sell 1 @ 100",
        "b ended 1 cancel_after; a ended 1 cancel_after; timer c expired 2; x accepted",
        "1@98 | 1@100",
    ),
    Case(
        "m_dmt_1_a_later_deadline_takes_its_place",
        "a: buy 1 @ 100; after c 60; wait 50; after c 110; wait 50",
        "tick; wait 10; tick; wait 99; tick",
        "time advanced; a ended 1 cancel_after; timer c expired 1; time advanced; time advanced",
    ),
    Case(
        "m_dmt_1_0_stops_it",
        "a: buy 1 @ 100; after c 60",
        "after c 0; wait 90; tick",
        "timer c stopped; time advanced",
    ),
    Case(
        "m_dmt_1_one_that_is_over_is_due_before_the_next_command",
        "a: buy 1 @ 100; wait 60",
        "after c 30; b: buy 1 @ 99",
        "timer c at 30; a ended 1 cancel_after; timer c expired 1; b accepted",
    ),
    Case(
        "m_dmt_1_without_orders_it_says_so",
        "after c 60; wait 60",
        "tick",
        "timer c expired 0; time advanced",
    ),
    Case(
        "m_tim_2_timers_of_one_time_go_by_who_set_them_first",
        "after o 60; after c 60; after o 60; wait 60",
        "tick",
        "timer c expired 0; timer o expired 0; time advanced",
    ),
    Case(
        "m_kill_1_a_client_is_stopped",
        "a: buy 1 @ 100; b: buy 1 @ 99; o: buy 1 @ 98 client=o",
        "kill c on; x: buy 1 @ 97; p: buy 1 @ 97 client=o; kill c off; y: buy 1 @ 96",
        "b ended 1 kill_switch; a ended 1 kill_switch; kill c on 2; x rejected client_killed; "
        "p accepted; kill c off 0; y accepted",
    ),
    Case(
        "m_kill_1_the_venue_is_stopped_client_by_client",
        "o: buy 1 @ 98 client=o; a: buy 1 @ 100; b: buy 1 @ 99; p: buy 1 @ 97 client=o",
        "kill venue on; x: buy 1 @ 97; kill venue off; y: buy 1 @ 96",
        "p ended 1 kill_switch; o ended 1 kill_switch; b ended 1 kill_switch; "
        "a ended 1 kill_switch; kill venue on 4; x rejected venue_killed; kill venue off 0; "
        "y accepted",
    ),
    Case(
        "m_kill_1_both_switches_are_independent",
        "kill venue on; kill c on; kill venue off",
        "x: buy 1 @ 97; y: buy 1 @ 97 client=o",
        "x rejected client_killed; y accepted",
    ),
    Case(
        "m_kill_1_cancels_are_carried_out",
        "kill c on",
        "cancel a; mass c",
        "refused unknown_order; mass cancelled 0",
    ),
    Case(
        "m_kill_2_a_client_nobody_knew",
        "",
        "kill new on; a: buy 1 @ 100 client=new; after newer 5",
        "kill new on 0; a rejected client_killed; timer newer at 5",
    ),
    Case(
        "m_skip_1_what_names_a_skipped_command_changes_nothing",
        "a: buy 1 @ 100",
        "skip 3; skip 281474976710655; cancel a",
        "skipped 3; skipped 281474976710655; a ended 1 by_client",
    ),
    Case(
        "m_cxl_1_cancels_are_taken_in_every_phase",
        "a: buy 1 @ 100; b: buy 1 @ 99; phase closed",
        "cancel a; mass c",
        "a ended 1 by_client; b ended 1 mass_cancel; mass cancelled 1",
    ),
]


@pytest.mark.parametrize("case", ALL, ids=names(ALL))
def test_sessions_timers_and_switches(case: Case) -> None:
    check(case)


def test_m_kill_2_there_may_be_no_room_for_a_client() -> None:
    asked = "kill new on; after newer 5; limits newest quantity_lots_max=5"
    events = "refused clients_limit; refused clients_limit; refused clients_limit"
    check(Case("m", "a: buy 1 @ 100", asked, events), Limits(clients_max=1))


@pytest.mark.slow
def test_m_ses_1_no_more_sessions_than_the_limit() -> None:
    duel = scene().duel
    for number in range(1, SESSIONS_MAX + 1):
        duel.play(SessionOpen(number))
    (event,) = duel.play(SessionOpen(SESSIONS_MAX + 1))
    assert event.reason is Reason.SESSIONS_LIMIT


@pytest.mark.slow
def test_m_lim_1_no_more_limits_of_clients_than_the_limit() -> None:
    duel = scene(Limits(clients_max=2 * CLIENT_LIMITS_MAX)).duel
    duel.numbered = True
    own = OrderLimits(quantity_lots_max=5)
    for client in range(CLIENT_LIMITS_MAX):
        duel.play(SetClientLimits(client, own))
    (event,) = duel.play(SetClientLimits(CLIENT_LIMITS_MAX, own))
    assert event.reason is Reason.CLIENT_LIMITS_LIMIT
    duel.play(SetClientLimits(7, OrderLimits()))
    (event,) = duel.play(SetClientLimits(CLIENT_LIMITS_MAX, own))
    assert event.reason is Reason.NONE
