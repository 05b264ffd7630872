"""Limits of orders (M-LIM) and the order in which refusals are given (M-REF), a line a case."""

from __future__ import annotations

from itertools import pairwise

import pytest

from novate.model.instrument import Limits
from novate.model.rejects import AMEND_PRECEDENCE, PLACE_PRECEDENCE, Reason
from tests.tables.cases import Case, check, names, scene

LAST_100 = "m1: sell 1 @ 100; m2: buy 1 @ 100; "

ALL = [
    Case(
        "m_lim_2_quantities",
        "rules limits.quantity_lots_min=3 limits.quantity_lots_max=6",
        "a: buy 2 @ 100; b: buy 3 @ 100; d: buy 6 @ 100; e: buy 7 @ 100; f: buy quote 10",
        "a rejected quantity_too_small; b accepted; d accepted; e rejected quantity_too_large; "
        "f accepted; f ended 0 book_exhausted",
    ),
    Case(
        "m_lim_3_notional_of_a_limit_order",
        "rules limits.notional_units_min=2000 limits.notional_units_max=4000",
        "a: buy 1 @ 199; b: buy 1 @ 200; d: buy 4 @ 100; e: buy 4 @ 101",
        "a rejected notional_too_small; b accepted; d accepted; e rejected notional_too_large",
    ),
    Case(
        "m_lim_3_notional_of_a_market_order_at_the_last_price",
        LAST_100 + "rules limits.notional_units_min=2000",
        "a: buy 1; b: buy 2",
        "a rejected notional_too_small; b accepted; b ended 2 book_exhausted",
    ),
    Case(
        "m_lim_3_without_a_trade_it_is_not_asked",
        "rules limits.notional_units_min=2000",
        "a: buy 1",
        "a accepted; a ended 1 book_exhausted",
    ),
    Case(
        "m_lim_3_notional_of_a_stop_at_its_stop_price_and_of_a_stop_limit_at_its_limit",
        "rules limits.notional_units_min=2000",
        "a: buy 1 stop 199; b: buy 1 stop 200; d: buy 1 @ 200 stop 150; e: buy 1 @ 199 stop 900",
        "a rejected notional_too_small; b accepted; d accepted; e rejected notional_too_small",
    ),
    Case(
        "m_lim_3_money_is_its_own_notional",
        "rules limits.notional_units_max=2000",
        "a: buy quote 2000; b: buy quote 2001",
        "a accepted; a ended 0 book_exhausted; b rejected notional_too_large",
    ),
    Case(
        "m_lim_4_too_far_beyond_the_last_price",
        LAST_100 + "rules limits.last_price_distance.ticks=5",
        "a: buy 1 @ 105; b: buy 1 @ 106; d: sell 1 @ 94; e: buy 1 @ 1; f: sell 1 @ 900; "
        "g: sell 1 @ 95 ioc",
        "a accepted; b rejected too_far_from_last; d rejected too_far_from_last; e accepted; "
        "f accepted; g accepted; g took 1 @ 105 of a",
    ),
    Case(
        "m_lim_4_in_thousandths",
        LAST_100 + "rules limits.last_price_distance.permille=59",
        "a: buy 1 @ 105; b: buy 1 @ 106",
        "a accepted; b rejected too_far_from_last",
    ),
    Case(
        "m_lim_4_a_stop_limit_is_measured_from_its_stop_price",
        LAST_100 + "rules limits.last_price_distance.ticks=5",
        "a: buy 1 @ 125 stop 120; b: buy 1 @ 126 stop 120; d: sell 1 @ 74 stop 80; "
        "e: buy 1 stop 900",
        "a accepted; b rejected too_far_from_last; d rejected too_far_from_last; e accepted",
    ),
    Case(
        "m_lim_4_without_a_trade_it_is_not_asked",
        "rules limits.last_price_distance.ticks=5",
        "a: buy 1 @ 900",
        "a accepted",
    ),
    Case(
        "m_lim_5_open_orders_of_the_client_on_the_instrument",
        "rules limits.open_orders_max=2; a: buy 1 @ 99; s: buy 1 stop 120; b: buy 1 @ 98 ins=1",
        "d: buy 1 @ 97; e: buy 1 @ 97 client=o; f: buy 1 stop 120; g: sell 1 @ 99; h: buy 1",
        "d rejected client_orders_limit; e accepted; f rejected client_orders_limit; g accepted; "
        "g took 1 @ 99 of a; h accepted; h ended 1 book_exhausted",
    ),
    Case(
        "m_lim_1_a_clients_own_stand_before_the_rules_field_by_field",
        "rules limits.quantity_lots_max=5 limits.quantity_lots_min=2; limits c quantity_lots_max=9",
        "a: buy 9 @ 100; b: buy 1 @ 100; d: buy 9 @ 100 client=o; e: buy 10 @ 100; "
        "limits c; f: buy 9 @ 100",
        "a accepted; b rejected quantity_too_small; d rejected quantity_too_large; "
        "e rejected quantity_too_large; limits of c set; f rejected quantity_too_large",
    ),
    Case(
        "m_lim_1_they_are_of_one_instrument",
        "limits c quantity_lots_max=5 ins=1",
        "a: buy 9 @ 100; b: buy 9 @ 100 ins=1; limits c quantity_lots_max=5 ins=7",
        "a accepted; b rejected quantity_too_large; refused unknown_instrument",
    ),
    Case(
        "m_lim_1_an_amendment_that_keeps_its_place_is_not_asked",
        "a: buy 5 @ 100; rules limits.quantity_lots_min=4",
        "amend a 3; amend a 3 @ 99; amend a 4 @ 99",
        "a amended 3 @ 100 left 3; refused quantity_too_small a; a amended 4 @ 99 left 4",
    ),
    Case(
        "m_pha_8_rules_are_replaced_whole_and_open_orders_stay",
        "a: buy 9 @ 100; rules limits.quantity_lots_max=5; rules protection.ticks=5",
        "b: buy 9 @ 100",
        "b accepted",
        "18@100 |",
    ),
    Case(
        "m_pha_8_rules_that_make_no_sense_change_nothing",
        "rules limits.quantity_lots_max=5",
        "rules iceberg_parts_max=0; rules schedule=90000:halt; rules schedule=20:halt,20:auction; "
        "rules volatility_auction_ns=0; rules ins=7; a: buy 9 @ 100",
        "refused malformed_command; refused malformed_command; refused malformed_command; "
        "refused malformed_command; refused unknown_instrument; a rejected quantity_too_large",
    ),
]


@pytest.mark.parametrize("case", ALL, ids=names(ALL))
def test_limits(case: Case) -> None:
    check(case)


# --- precedence -------------------------------------------------------------------------------

PLACE_FAULTS: dict[Reason, tuple[str, str]] = {
    Reason.MALFORMED_COMMAND: ("", "price_of_market"),
    Reason.UNKNOWN_INSTRUMENT: ("", "ins"),
    Reason.OUT_OF_BOUNDS: ("", "bounds"),
    Reason.IDEMPOTENCY_KEY_REUSED: ("k: buy 1 @ 1 key=k body=9 client=c", "key"),
    Reason.DUPLICATE_ORDER_ID: ("x: buy 1 @ 1", "id"),
    Reason.LINK_NOT_OPEN: ("", "oco=nobody"),
    Reason.VENUE_KILLED: ("kill venue on", ""),
    Reason.CLIENT_KILLED: ("kill c on", ""),
    Reason.SESSION_NOT_OPEN: ("", "session=9"),
    Reason.CLOSED: ("phase closed", ""),
    Reason.EXPIRES_IN_PAST: ("", "gtd=0"),
    Reason.QUANTITY_TOO_SMALL: ("limits.quantity_lots_min=400", ""),
    Reason.DISPLAY_TOO_SMALL: ("", "show=1"),
    Reason.NOTIONAL_TOO_SMALL: ("limits.notional_units_min=1000000000", ""),
    Reason.TOO_FAR_FROM_LAST: ("limits.last_price_distance.ticks=1", ""),
    Reason.STATIC_BAND: ("static_band.ticks=1 reference_price_ticks=100", ""),
    Reason.DYNAMIC_BAND: ("dynamic_band.ticks=1", ""),
    Reason.POST_ONLY_WOULD_CROSS: ("", "post"),
    Reason.OPEN_ORDERS_LIMIT: ("", ""),
    Reason.CLIENT_ORDERS_LIMIT: ("limits.open_orders_max=1", ""),
    Reason.PRICE_LEVELS_LIMIT: ("", ""),
}
"""What brings each reason about: commands or rules before, and words of the order.

The order itself is a buy of 300 at 140 into a book with a sell of 1 at 105.
"""

ORDER = [reason for reason in PLACE_PRECEDENCE if reason in PLACE_FAULTS]
HALF = {Reason.CLOSED, Reason.POST_ONLY_WOULD_CROSS}


def place_with(reasons: list[Reason]) -> str:
    """The reason that is given for an order to which all of these apply."""
    limits = Limits(
        open_orders_max=3 if Reason.OPEN_ORDERS_LIMIT in reasons else 100,
        price_levels_max=1 if Reason.PRICE_LEVELS_LIMIT in reasons else 100,
    )
    played = scene(limits)
    given = [LAST_100, "a: sell 1 @ 105 client=o", "b: buy 1 @ 50", "d: buy 1 @ 50 client=o"]
    before = [PLACE_FAULTS[reason][0] for reason in reasons]
    rules = [text for text in before if "=" in text and not text.startswith(("k:", "kill"))]
    given += [text for text in before if text.startswith(("k:", "x:"))]
    given += ["rules " + " ".join(rules)] if rules else []
    given += [text for text in before if text.startswith(("kill", "phase"))]
    for text in given:
        played.play(text)
    words = [word for reason in reasons if (word := PLACE_FAULTS[reason][1])]
    shape = {"ins": "ins=9", "bounds": "", "key": "key=k body=1", "id": "", "price_of_market": ""}
    said = " ".join(shape.get(word, word) for word in words)
    price = 2000 if Reason.OUT_OF_BOUNDS in reasons else 140
    odd = " ioc post" if Reason.MALFORMED_COMMAND in reasons else ""
    return played.play(f"x: buy 300 @ {price} {said}{odd}")


@pytest.mark.parametrize("reason", ORDER, ids=[reason.name.lower() for reason in ORDER])
def test_m_ref_1_each_reason_alone(reason: Reason) -> None:
    assert reason.name.lower() in place_with([reason]).split()


@pytest.mark.parametrize(("first", "second"), list(pairwise(ORDER)))
def test_m_ref_1_of_two_the_first_is_given(first: Reason, second: Reason) -> None:
    assert first.name.lower() in place_with([first, second]).split()


def test_m_ref_1_of_all_the_first_is_given() -> None:
    for number, reason in enumerate(ORDER):
        if reason is Reason.MALFORMED_COMMAND:
            continue
        assert reason.name.lower() in place_with(ORDER[number:]).split()


def test_the_lists_of_precedence_name_each_reason_once() -> None:
    for listed in (PLACE_PRECEDENCE, AMEND_PRECEDENCE):
        assert len(set(listed)) == len(listed)
    rules = {reason for reason in Reason if 32 <= reason < 64}
    assert rules <= set(PLACE_PRECEDENCE)


AMENDMENTS = [
    Case(
        "m_ref_2_the_phase_before_what_does_not_apply",
        "a: buy 5 @ 100; phase cancel_only",
        "amend a stop 9",
        "refused cancel_only a",
    ),
    Case(
        "m_ref_2_what_does_not_apply_before_too_little_before_a_halt",
        "a: buy 5 @ 100; x: sell 2 @ 100; phase halt",
        "amend a 2 stop 9; amend a 2 @ 101; amend a 3 @ 101; amend a 3",
        "refused amend_not_applicable a; refused amend_quantity_too_low a; refused halted a; "
        "a amended 3 @ 100 left 1",
    ),
    Case(
        "m_ref_2_out_of_bounds_before_all_of_them",
        "a: buy 5 @ 100; phase closed",
        "amend a @ 1001; amend a stop 1001",
        "refused out_of_bounds a; refused out_of_bounds a",
    ),
    Case(
        "m_ref_2_limits_before_a_cross",
        "z: sell 1 @ 105; a: buy 5 @ 100 post; rules limits.quantity_lots_max=4",
        "amend a 6 @ 105; amend a 4 @ 105; amend a 4 @ 104",
        "refused quantity_too_large a; refused amend_would_cross a; a amended 4 @ 104 left 4",
    ),
    Case(
        "m_kill_1_there_is_nothing_left_to_amend",
        "a: buy 5 @ 100; kill c on",
        "amend a 4",
        "refused already_closed a",
    ),
]


@pytest.mark.parametrize("case", AMENDMENTS, ids=names(AMENDMENTS))
def test_refused_amendments(case: Case) -> None:
    check(case)


AMEND_FAULTS: dict[Reason, tuple[str, str]] = {
    Reason.OUT_OF_BOUNDS: ("", ""),
    Reason.CANCEL_ONLY: ("phase cancel_only", ""),
    Reason.AMEND_NOT_APPLICABLE: ("", "stop 9"),
    Reason.AMEND_QUANTITY_TOO_LOW: ("", ""),
    Reason.HALTED: ("phase halt", ""),
    Reason.EXPIRES_IN_PAST: ("", "gtd=0"),
    Reason.QUANTITY_TOO_SMALL: ("limits.quantity_lots_min=400", ""),
    Reason.DISPLAY_TOO_SMALL: ("", "show=1"),
    Reason.NOTIONAL_TOO_SMALL: ("limits.notional_units_min=1000000000", ""),
    Reason.TOO_FAR_FROM_LAST: ("limits.last_price_distance.ticks=1", ""),
    Reason.STATIC_BAND: ("static_band.ticks=1 reference_price_ticks=90", ""),
    Reason.DYNAMIC_BAND: ("dynamic_band.ticks=1", ""),
    Reason.AMEND_WOULD_CROSS: ("", ""),
    Reason.AMEND_LEVEL_FULL: ("", ""),
}
"""What brings each reason about; the amendment is of a bid of 400 at 90, 2 of it filled, to 140."""

AMENDED = [reason for reason in AMEND_PRECEDENCE if reason in AMEND_FAULTS]


def amend_with(reasons: list[Reason]) -> str:
    """The answer to an amendment to which all of these apply."""
    played = scene(Limits(price_levels_max=1 if Reason.AMEND_LEVEL_FULL in reasons else 100))
    post = "post" if Reason.AMEND_WOULD_CROSS in reasons else ""
    played.play(f"z: sell 1 @ 105 client=o; a: buy 400 @ 90 gtd=999 {post}; b: buy 1 @ 90")
    played.play("x: sell 2 @ 90 client=o; wait 9")
    before = [AMEND_FAULTS[reason][0] for reason in reasons]
    rules = [text for text in before if "=" in text]
    played.play("rules " + " ".join(rules) if rules else "")
    phases = [text for text in before if text.startswith("phase")]
    played.play(phases[0] if phases else "")
    words = " ".join(AMEND_FAULTS[reason][1] for reason in reasons)
    quantity = 1 if Reason.AMEND_QUANTITY_TOO_LOW in reasons else 300
    price = 2000 if Reason.OUT_OF_BOUNDS in reasons else 140
    return played.play(f"amend a {quantity} @ {price} {words}")


@pytest.mark.parametrize("reason", AMENDED, ids=[reason.name.lower() for reason in AMENDED])
def test_m_ref_2_each_reason_alone(reason: Reason) -> None:
    assert amend_with([reason]) == f"refused {reason.name.lower()} a"


@pytest.mark.parametrize(("first", "second"), list(pairwise(AMENDED)))
def test_m_ref_2_of_two_the_first_is_given(first: Reason, second: Reason) -> None:
    assert amend_with([first, second]) == f"refused {first.name.lower()} a"


def test_m_ref_2_of_all_the_first_is_given() -> None:
    for number, reason in enumerate(AMENDED):
        assert amend_with(AMENDED[number:]) == f"refused {reason.name.lower()} a"
