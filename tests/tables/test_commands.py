"""One command, matching, times in force, the minimum, amending: the rulebook's plain part.

`test_matching.py` has the cases of plain limit and market orders.
"""

from __future__ import annotations

import pytest

from novate.model.instrument import Limits
from tests.oracle.due import next_item
from tests.oracle.duel import START_NS
from tests.tables.cases import Case, check, names, scene

COMMANDS = [
    Case(
        "m_one_1_commands_are_carried_out_in_their_order",
        "",
        "a: sell 1 @ 100; b: buy 1 @ 100; d: buy 1 @ 100",
        "a accepted; b accepted; b took 1 @ 100 of a; d accepted",
        "1@100 |",
    ),
    Case(
        "m_one_4_a_refused_command_lets_happen_what_was_due",
        "a: buy 1 @ 100 gtd=9; wait 9",
        "cancel nobody",
        "a ended 1 expired; refused unknown_order",
        "|",
    ),
    Case(
        "m_one_4_a_rejection_is_kept_by_its_key",
        "phase halt",
        "a: buy 1 @ 100 key=k; phase continuous; a: buy 1 @ 100 key=k; b: buy 1 @ 100",
        "a rejected halted; phase halt to continuous; refused idempotency_key_repeated; b accepted",
    ),
    Case(
        "m_one_7_old_keys_are_forgotten_before_a_command_of_any_kind",
        "a: buy 1 @ 100 key=k; wait 86400; tick",
        "b: buy 1 @ 100 key=k",
        "b accepted",
    ),
    Case(
        "m_one_6_rank_is_that_of_the_amendment",
        "a: buy 1 @ 95; b: buy 9 @ 94; s: sell 1 stop 95; t: sell 1 stop 95; amend s 2; "
        "u: sell 1 stop 95",
        "x: sell 1 @ 95",
        "x accepted; x took 1 @ 95 of a; t triggered; t took 1 @ 94 of b; s triggered; "
        "s took 2 @ 94 of b; u triggered; u took 1 @ 94 of b",
    ),
    Case(
        "m_one_6_created_stays_for_mass_cancels",
        "a: buy 1 @ 95; b: buy 1 @ 95; amend a 2",
        "mass c",
        "b ended 1 mass_cancel; a ended 2 mass_cancel; mass cancelled 2",
    ),
    Case(
        "m_tim_3_each_item_is_over_before_the_next",
        "z: buy 9 @ 90; a: sell 1 @ 95; s: sell 2 stop 95; phase pre_open until=9; "
        "x: buy 1 @ 95 gtd=10; e: buy 5 @ 80 gtd=9; wait 10",
        "tick",
        "uncrossed 1 @ 95 surplus 0; x bought 1 @ 95 from a; "
        "phase pre_open to continuous time_over; s triggered; s took 2 @ 90 of z; "
        "e ended 5 expired; time advanced",
    ),
    Case("m_tim_4_time_alone_does_nothing", "a: buy 1 @ 95", "tick", "time advanced", "1@95 |"),
]

MATCHING = [
    Case(
        "m_mat_1_price_then_time_at_the_makers_price",
        "a: sell 1 @ 102; b: sell 1 @ 101; d: sell 1 @ 101",
        "x: buy 9 @ 102",
        "x accepted; x took 1 @ 101 of b; x took 1 @ 101 of d; x took 1 @ 102 of a",
        "6@102 |",
    ),
    Case(
        "m_mat_2_a_band_is_asked_before_owners",
        "m1: sell 1 @ 100 client=o; m2: buy 1 @ 100; rules dynamic_band.ticks=2; a: sell 1 @ 103",
        "x: buy 1 stp=oldest",
        "x accepted; x ended 1 outside_price_band",
        "| 1@103",
    ),
    Case(
        "m_mat_3_a_tip_is_refreshed_before_partners_go",
        "a: sell 4 @ 101 show=2; b: sell 2 @ 101 oco=a; d: sell 1 @ 101",
        "x: buy 4 @ 101",
        "x accepted; x took 2 @ 101 of a; b ended 2 one_cancels_other; x took 1 @ 101 of d; "
        "x took 1 @ 101 of a",
        "| 1@101",
    ),
    Case(
        "m_mat_4_day_and_gtd_rest_like_gtc",
        "",
        "a: buy 1 @ 100 day; b: buy 1 @ 100 gtd=9; d: buy 1 @ 100; x: sell 3 @ 100",
        "a accepted; b accepted; d accepted; x accepted; x took 1 @ 100 of a; "
        "x took 1 @ 100 of b; x took 1 @ 100 of d",
    ),
    Case(
        "m_tif_1_post_only_may_be_of_the_day",
        "a: sell 1 @ 101",
        "x: buy 1 @ 101 day post; y: buy 1 @ 100 gtd=9 post",
        "x rejected post_only_would_cross; y accepted",
    ),
    Case(
        "m_tif_1_the_rest_of_an_ioc_ends",
        "a: sell 1 @ 101",
        "x: buy 3 @ 101 ioc",
        "x accepted; x took 1 @ 101 of a; x ended 2 immediate_or_cancel",
    ),
    Case(
        "m_fok_1_one_lot_short_trades_nothing",
        "a: sell 2 @ 101",
        "x: buy 3 @ 101 fok",
        "x accepted; x ended 3 fill_or_kill",
        "| 2@101",
    ),
    Case(
        "m_mkt_1_what_the_book_lacks_ends",
        "a: sell 2 @ 101",
        "x: buy 3",
        "x accepted; x took 2 @ 101 of a; x ended 1 book_exhausted",
    ),
]

MINIMUM = [
    Case(
        "m_min_1_met_the_rest_goes_on",
        "a: sell 2 @ 101",
        "x: buy 5 @ 101 min=2; b: sell 1 @ 101",
        "x accepted; x took 2 @ 101 of a; b accepted; b took 1 @ 101 of x",
        "2@101 |",
    ),
    Case(
        "m_min_1_one_lot_short_trades_nothing",
        "a: sell 2 @ 101",
        "x: buy 5 @ 101 min=3",
        "x accepted; x ended 5 minimum_quantity",
        "| 2@101",
    ),
    Case(
        "m_min_1_with_ioc_and_market",
        "a: sell 2 @ 101",
        "x: buy 5 @ 101 min=3 ioc; y: buy 5 min=3; z: buy 5 min=2",
        "x accepted; x ended 5 minimum_quantity; y accepted; y ended 5 minimum_quantity; "
        "z accepted; z took 2 @ 101 of a; z ended 3 book_exhausted",
    ),
    Case(
        "m_min_1_fok_is_asked_first",
        "a: sell 2 @ 101",
        "x: buy 5 @ 101 min=3 fok",
        "x accepted; x ended 5 fill_or_kill",
    ),
    Case(
        "m_min_1_hidden_lots_count",
        "a: sell 4 @ 101 show=1",
        "x: buy 2 @ 101 min=2",
        "x accepted; x took 1 @ 101 of a; x took 1 @ 101 of a",
    ),
    Case(
        "m_min_1_an_amendment_does_not_ask_again",
        "a: sell 2 @ 101; x: buy 5 @ 101 min=2",
        "amend x @ 102",
        "x amended 5 @ 102 left 3",
        "3@102 |",
    ),
    Case(
        "m_ref_3_no_minimum_with_post_only_or_money",
        "",
        "x: buy 5 @ 101 min=2 post; y: buy quote 500 min=2",
        "refused malformed_command; refused malformed_command",
    ),
    Case(
        "m_ref_1_a_minimum_over_the_quantity_is_out_of_bounds",
        "",
        "x: buy 5 @ 101 min=6",
        "refused out_of_bounds",
    ),
]

AMENDING = [
    Case(
        "m_amd_3_cancel_and_replace_in_one_command",
        "a: sell 2 @ 101; x: buy 5 @ 99; y: buy 1 @ 99",
        "amend x 6 @ 101",
        "x amended 6 @ 101 left 6; x took 2 @ 101 of a",
        "4@101 1@99 |",
    ),
    Case(
        "m_amd_3_refused_it_stays_where_it_was",
        "a: sell 2 @ 101; x: buy 5 @ 99 post; y: buy 1 @ 99",
        "amend x @ 101; b: sell 5 @ 99",
        "refused amend_would_cross x; b accepted; b took 5 @ 99 of x",
        "1@99 | 2@101",
    ),
    Case(
        "m_amd_1_nothing_set_is_malformed",
        "a: sell 2 @ 101",
        "amend a",
        "refused malformed_command",
    ),
    Case(
        "m_amd_1_a_display_of_an_order_that_never_rests",
        "s: buy 5 stop 105",
        "amend s show=1",
        "refused amend_not_applicable s",
    ),
]

ALL = COMMANDS + MATCHING + MINIMUM + AMENDING


@pytest.mark.parametrize("case", ALL, ids=names(ALL))
def test_commands(case: Case) -> None:
    check(case)


def test_m_one_5_the_window_is_trimmed_when_the_command_is_over() -> None:
    given = "a: buy 1 @ 100 gtd=9; wait 9"
    events = "a ended 1 expired; refused duplicate_order_id a; a accepted"
    check(Case("m", given, "a: buy 1 @ 99; a: buy 1 @ 98", events), Limits(closed_orders_max=0))


def test_m_one_3_the_index_counts_the_trades_of_a_command() -> None:
    played = scene()
    played.play("a: buy 1 @ 95; b: buy 1 @ 94; d: buy 1 @ 93; s: sell 2 stop 95")
    played.play("x: sell 1 @ 95")
    assert [event.index for event in played.duel.oracle.events if event.taker] == [0, 1, 2]


def test_m_tim_7_what_is_due_next() -> None:
    played = scene()
    assert next_item(played.duel.oracle) is None
    played.play("a: buy 1 @ 100 gtd=9; after c 8; phase halt until=7 ins=1")
    times = []
    while (item := next_item(played.duel.oracle)) is not None:
        times.append((item.time_ns - START_NS) // 10**9)
        played.duel.now_ns = item.time_ns
        played.play("tick")
    assert times == [7, 8]
