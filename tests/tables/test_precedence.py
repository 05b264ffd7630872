"""Which reason is given where several apply: what `test_order_limits` can't bring about at once."""

from __future__ import annotations

import pytest

from novate.model.instrument import Limits
from tests.tables.cases import Case, check, names

LAST_100 = "m1: sell 1 @ 100; m2: buy 1 @ 100; "
ONE_KEY = Limits(idempotency_keys_max=1, clients_max=1)

NEW_ORDERS = [
    Case(
        "m_ref_1_bounds_before_a_key_that_is_repeated",
        "a: buy 1 @ 100 key=k body=1",
        "a: buy 1 @ 1001 key=k body=1; a: buy 1 @ 100 key=k body=1",
        "refused out_of_bounds; refused idempotency_key_repeated",
    ),
    Case(
        "m_ref_1_a_pair_before_the_session",
        "a: sell 1 @ 105; b: sell 1 @ 106 oco=a",
        "d: sell 1 @ 107 oco=a session=9",
        "d rejected link_taken",
    ),
    Case(
        "m_ref_1_the_session_before_the_phase",
        "phase halt",
        "x: buy 1 @ 100 session=9",
        "x rejected session_not_open",
    ),
    Case(
        "m_ref_1_a_halt_before_the_end",
        "phase halt",
        "x: buy 1 @ 100 gtd=0",
        "x rejected halted",
    ),
    Case(
        "m_ref_1_cancel_only_before_the_end",
        "phase cancel_only",
        "x: buy 1 @ 100 gtd=0",
        "x rejected cancel_only",
    ),
    Case(
        "m_ref_1_pre_open_before_the_end",
        "phase pre_open",
        "x: buy 1 @ 100 post gtd=0; y: buy 1 @ 100 gtd=0",
        "x rejected pre_open; y rejected expires_in_past",
    ),
    Case(
        "m_ref_1_an_auction_before_the_end",
        "phase auction",
        "x: buy 1 @ 100 post gtd=0; y: buy 1 @ 100 gtd=0",
        "x rejected auction; y rejected expires_in_past",
    ),
    Case(
        "m_ref_1_the_end_before_too_large",
        "rules limits.quantity_lots_max=4",
        "x: buy 300 @ 100 gtd=0",
        "x rejected expires_in_past",
    ),
    Case(
        "m_ref_1_too_large_before_too_small_a_tip",
        "rules limits.quantity_lots_max=4",
        "x: buy 300 @ 100 show=1",
        "x rejected quantity_too_large",
    ),
    Case(
        "m_ref_1_too_small_a_tip_before_too_much_money",
        "rules limits.notional_units_max=1000",
        "x: buy 300 @ 100 show=1",
        "x rejected display_too_small",
    ),
    Case(
        "m_ref_1_too_much_money_before_too_far",
        LAST_100 + "rules limits.notional_units_max=1000 limits.last_price_distance.ticks=1",
        "x: buy 2 @ 140; y: buy 1 @ 100; z: buy 0 @ 100",
        "x rejected notional_too_large; y accepted; refused out_of_bounds",
    ),
]

KEYS_AND_CLIENTS = [
    Case(
        "m_ref_1_a_full_window_before_the_clients",
        "a: buy 1 @ 100 key=k",
        "b: buy 1 @ 100 key=m client=d",
        "refused idempotency_window_full",
    ),
    Case(
        "m_ref_1_the_clients_before_the_id",
        "a: buy 1 @ 100",
        "a: buy 1 @ 100 client=d",
        "refused clients_limit",
    ),
]

AMENDMENTS = [
    Case(
        "m_ref_2_the_form_before_the_order",
        "",
        "amend nobody",
        "refused malformed_command",
    ),
    Case(
        "m_ref_2_bounds_before_the_key",
        "a: buy 5 @ 100; amend a 4 key=k body=1",
        "amend a @ 1001 key=k body=1; amend a 3 key=k body=2; amend a 4 key=k body=1",
        "refused out_of_bounds a; refused idempotency_key_reused; refused idempotency_key_repeated",
    ),
    Case(
        "m_ref_2_the_key_before_an_order_that_nobody_knows",
        "amend nobody 4 key=k body=1",
        "amend nobody 4 key=k body=2; amend nobody 4",
        "refused idempotency_key_reused; refused unknown_order",
    ),
    Case(
        "m_ref_2_an_order_that_is_over_before_the_phase",
        "a: buy 5 @ 100; cancel a; phase closed",
        "amend a 4",
        "refused already_closed a",
    ),
    Case(
        "m_ref_2_closed_before_what_does_not_apply",
        "a: buy 5 @ 100; phase closed",
        "amend a stop 9",
        "refused closed a",
    ),
    Case(
        "m_ref_2_too_large_before_too_small_a_tip",
        "a: buy 4 @ 90; rules limits.quantity_lots_max=5",
        "amend a 300 show=1",
        "refused quantity_too_large a",
    ),
    Case(
        "m_ref_2_too_much_money_before_too_far",
        LAST_100
        + "a: buy 4 @ 90; rules limits.notional_units_max=100 limits.last_price_distance.ticks=1",
        "amend a 4 @ 140",
        "refused notional_too_large a",
    ),
]

ALL = [*NEW_ORDERS, *AMENDMENTS]


@pytest.mark.parametrize("case", ALL, ids=names(ALL))
def test_the_first_that_applies_is_given(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", KEYS_AND_CLIENTS, ids=names(KEYS_AND_CLIENTS))
def test_the_first_that_applies_where_room_is_scarce(case: Case) -> None:
    check(case, ONE_KEY)
