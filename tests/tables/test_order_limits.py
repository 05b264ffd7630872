"""Limits of orders (M-LIM) and the order in which refusals are given (M-REF), a line a case."""

from __future__ import annotations

from itertools import pairwise

import pytest

from novate.model.commands import Side
from novate.model.instrument import Limits
from novate.model.rejects import AMEND_PRECEDENCE, PLACE_PRECEDENCE, Reason
from tests.oracle.duel import Duel, batch, spec
from tests.oracle.words import Place
from tests.tables.cases import Case, check, names, scene
from tests.tables.clearing_notation import ClearingScene

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

KEY = "key=k body=1"
PLACE_FAULTS: dict[Reason, tuple[str, str]] = {
    Reason.MALFORMED_COMMAND: ("", "post min=1"),
    Reason.UNKNOWN_INSTRUMENT: ("", "ins=9"),
    Reason.OUT_OF_BOUNDS: ("", ""),
    Reason.IDEMPOTENCY_KEY_REUSED: ("k: buy 1 @ 1 key=k body=9", KEY),
    Reason.DUPLICATE_ORDER_ID: ("x: buy 1 @ 1", ""),
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
    Reason.LEVEL_FULL: ("", ""),
    Reason.PRICE_LEVELS_LIMIT: ("", ""),
    Reason.INSUFFICIENT_FUNDS: ("", ""),
}
"""What brings each reason about: commands or rules before, and words of the order.

The order itself is a buy of 300 at 140 into a book with a sell of 1 at 105; where its level is
full it is at 104, for bids at 140 and a sell at 105 don't stand in one book.
"""

PLACE_OTHERS: dict[Reason, tuple[Reason, tuple[str, str], Reason]] = {
    Reason.IDEMPOTENCY_KEY_REPEATED: (
        Reason.OUT_OF_BOUNDS, ("k: buy 1 @ 1 " + KEY, KEY), Reason.DUPLICATE_ORDER_ID
    ),
    Reason.IDEMPOTENCY_WINDOW_FULL: (
        Reason.OUT_OF_BOUNDS, ("k: buy 1 @ 1 key=q", KEY), Reason.DUPLICATE_ORDER_ID
    ),
    Reason.CLIENTS_LIMIT: (
        Reason.OUT_OF_BOUNDS, ("", "client=new"), Reason.DUPLICATE_ORDER_ID
    ),
    Reason.LINK_TAKEN: (
        Reason.DUPLICATE_ORDER_ID,
        ("p: buy 1 @ 2; q: buy 1 @ 2 oco=p", "oco=p"),
        Reason.SESSION_NOT_OPEN,
    ),
    Reason.HALTED: (Reason.SESSION_NOT_OPEN, ("phase halt", ""), Reason.EXPIRES_IN_PAST),
    Reason.CANCEL_ONLY: (
        Reason.SESSION_NOT_OPEN, ("phase cancel_only", ""), Reason.EXPIRES_IN_PAST
    ),
    Reason.PRE_OPEN: (Reason.SESSION_NOT_OPEN, ("phase pre_open", "post"), Reason.EXPIRES_IN_PAST),
    Reason.AUCTION: (Reason.SESSION_NOT_OPEN, ("phase auction", "post"), Reason.EXPIRES_IN_PAST),
    Reason.QUANTITY_TOO_LARGE: (
        Reason.EXPIRES_IN_PAST, ("limits.quantity_lots_max=9", ""), Reason.DISPLAY_TOO_SMALL
    ),
    Reason.NOTIONAL_TOO_LARGE: (
        Reason.DISPLAY_TOO_SMALL, ("limits.notional_units_max=9", ""), Reason.TOO_FAR_FROM_LAST
    ),
}  # fmt: skip
"""The reasons that don't go together with one of `PLACE_FAULTS`: the last of those before that may
be the other's, what brings it about, and the first of those behind.
"""

ORDER = [reason for reason in PLACE_PRECEDENCE if reason in PLACE_FAULTS]
LEVEL_MOST, ORDER_MOST = 2**63 - 1, 10**15
FULL_ORDERS = LEVEL_MOST // ORDER_MOST + 1
BEFORE_RULES = ("k:", "x:", "p:")


def fill_level(duel: Duel, price: int) -> None:
    """Bids of 2^63-1 lots at a price; the oracle, slow with so many, is given them ready."""
    assert duel.engine is not None
    oracle, sizes = duel.oracle, [ORDER_MOST] * (FULL_ORDERS - 1) + [LEVEL_MOST % ORDER_MOST]
    places = [Place("f", f"f{at}", Side.BUY, lots, price) for at, lots in enumerate(sizes)]
    assert len(duel.engine.apply(batch(places), timestamp_ns=duel.now_ns)) == len(places)
    oracle.now_ns, client = duel.now_ns, oracle.registry.register_client("f")
    for place in places:
        oracle.seq += 1
        order = oracle.new_order(place, client)
        oracle.made[order.number] = oracle.registry.orders[order.ident] = order
        oracle.books[0].put(order)
    duel.compare()


def limits_for(reasons: list[Reason]) -> Limits:
    """Limits that the scene before the order or amendment reaches, where a reason asks for it."""
    full = Reason.LEVEL_FULL in reasons
    return Limits(
        open_orders_max=3 + FULL_ORDERS * full if Reason.OPEN_ORDERS_LIMIT in reasons else 100_000,
        price_levels_max=1 + full if LEVELS & set(reasons) else 100,
        idempotency_keys_max=4 if Reason.IDEMPOTENCY_WINDOW_FULL in reasons else 100,
        clients_max=2 if Reason.CLIENTS_LIMIT in reasons else 100,
    )


LEVELS = {Reason.PRICE_LEVELS_LIMIT, Reason.AMEND_LEVEL_FULL}


def stage(reasons: list[Reason], given: list[str], money: int) -> ClearingScene:
    """A scene in which commands were played; in need of funds, `c` was given so many units."""
    most = ORDER_MOST if Reason.LEVEL_FULL in reasons else 10_000
    specs = [spec(0, quantity_lots_max=most), spec(1)]
    played = ClearingScene(Duel.begin(limits_for(reasons), specs))
    if Reason.INSUFFICIENT_FUNDS in reasons:
        played.play("clearing funded")
        played.play(f"deposit c USD {money}; deposit c INS {10**12}")
        played.play(f"deposit o USD {10**9}; deposit o INS {10**12}; deposit f USD {10**24}")
    if Reason.LEVEL_FULL in reasons:
        played.play(given.pop(0))  # trades that the bids would be in the way of
        fill_level(played.duel, 104)
    for text in given:
        played.play(text)
    return played


def place_with(reasons: list[Reason]) -> str:
    """The reason that is given for an order to which all of these apply."""
    if Reason.POST_ONLY_WOULD_CROSS in reasons:
        reasons = [reason for reason in reasons if reason is not Reason.LEVEL_FULL]
    faults = PLACE_FAULTS | {reason: row[1] for reason, row in PLACE_OTHERS.items()}
    before = [faults[reason][0] for reason in reasons]
    given = [LAST_100, "a: sell 1 @ 105 client=o", "b: buy 1 @ 50", "d: buy 1 @ 50 client=o"]
    given += [text for text in before if text.startswith(BEFORE_RULES)]
    rules = [text for text in before if "=" in text and not text.startswith(BEFORE_RULES)]
    given += ["rules " + " ".join(rules)] if rules else []
    given += [text for text in before if text.startswith(("kill", "phase"))]
    played = stage(reasons, given, money=10_000)
    words = " ".join(faults[reason][1] for reason in reasons)
    price = 104 if Reason.LEVEL_FULL in reasons else 140
    return played.play(f"x: buy 300 @ {2000 if Reason.OUT_OF_BOUNDS in reasons else price} {words}")


def name_of(reason: Reason) -> str:
    """As clients see it."""
    return reason.name.lower()


def marked(*reasons: Reason) -> object:
    """A row of parameters; where a level has to be filled it takes long."""
    return pytest.param(*reasons, marks=pytest.mark.slow if Reason.LEVEL_FULL in reasons else ())


@pytest.mark.parametrize("reason", [marked(each) for each in PLACE_PRECEDENCE], ids=name_of)
def test_m_ref_1_each_reason_alone(reason: Reason) -> None:
    assert reason.name.lower() in place_with([reason]).split()


@pytest.mark.parametrize(
    ("first", "second"), [marked(*two) for two in pairwise(ORDER)], ids=name_of
)
def test_m_ref_1_of_two_the_first_is_given(first: Reason, second: Reason) -> None:
    assert first.name.lower() in place_with([first, second]).split()


@pytest.mark.parametrize("reason", PLACE_OTHERS, ids=name_of)
def test_m_ref_1_the_other_reasons_stand_between_these(reason: Reason) -> None:
    first, _, last = PLACE_OTHERS[reason]
    assert first.name.lower() in place_with([first, reason]).split()
    assert reason.name.lower() in place_with([reason, last]).split()


@pytest.mark.slow
def test_m_ref_1_of_all_the_first_is_given() -> None:
    for number, reason in enumerate(ORDER):
        assert reason.name.lower() in place_with(ORDER[number:]).split()


def test_the_lists_of_precedence_name_each_reason_once() -> None:
    for listed in (PLACE_PRECEDENCE, AMEND_PRECEDENCE):
        assert len(set(listed)) == len(listed)
    rules = {reason for reason in Reason if 32 <= reason < 64}
    assert rules <= set(PLACE_PRECEDENCE)


def test_every_reason_of_the_lists_has_a_case() -> None:
    for listed, faults, others in (
        (PLACE_PRECEDENCE, PLACE_FAULTS, PLACE_OTHERS),
        (AMEND_PRECEDENCE, AMEND_FAULTS, AMEND_OTHERS),
    ):
        assert not set(faults) & set(others)
        # An amendment that sets nothing is malformed, and has a test of its own.
        alone = {Reason.MALFORMED_COMMAND} if listed is AMEND_PRECEDENCE else set()
        assert set(faults) | set(others) == set(listed) - alone
        for reason, (first, _, last) in others.items():
            assert listed.index(first) < listed.index(reason) < listed.index(last)


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
    Reason.IDEMPOTENCY_KEY_REUSED: ("k: buy 1 @ 1 key=k body=9", KEY),
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
    Reason.INSUFFICIENT_FUNDS: ("", ""),
}
"""What brings each reason about; the amendment is of a bid of 400 at 90, 2 of it filled, to 140."""

AMEND_OTHERS: dict[Reason, tuple[Reason, tuple[str, str], Reason]] = {
    Reason.IDEMPOTENCY_KEY_REPEATED: (
        Reason.OUT_OF_BOUNDS, ("k: buy 1 @ 1 " + KEY, KEY), Reason.CANCEL_ONLY
    ),
    Reason.IDEMPOTENCY_WINDOW_FULL: (
        Reason.OUT_OF_BOUNDS, ("k: buy 1 @ 1 key=q", KEY), Reason.CANCEL_ONLY
    ),
    Reason.CLIENTS_LIMIT: (
        Reason.OUT_OF_BOUNDS, ("", KEY + " client=new"), Reason.CANCEL_ONLY
    ),
    Reason.UNKNOWN_ORDER: (Reason.IDEMPOTENCY_KEY_REUSED, ("", ""), Reason.CANCEL_ONLY),
    Reason.ALREADY_CLOSED: (
        Reason.IDEMPOTENCY_KEY_REUSED, ("cancel a", ""), Reason.CANCEL_ONLY
    ),
    Reason.CLOSED: (
        Reason.IDEMPOTENCY_KEY_REUSED, ("phase closed", ""), Reason.AMEND_NOT_APPLICABLE
    ),
    Reason.QUANTITY_TOO_LARGE: (
        Reason.EXPIRES_IN_PAST, ("limits.quantity_lots_max=9", ""), Reason.DISPLAY_TOO_SMALL
    ),
    Reason.NOTIONAL_TOO_LARGE: (
        Reason.DISPLAY_TOO_SMALL, ("limits.notional_units_max=9", ""), Reason.TOO_FAR_FROM_LAST
    ),
}  # fmt: skip
"""As `PLACE_OTHERS`."""

AMENDED = [reason for reason in AMEND_PRECEDENCE if reason in AMEND_FAULTS]


def amend_with(reasons: list[Reason]) -> str:
    """The reason why an amendment to which all of these apply is refused."""
    post = "post" if Reason.AMEND_WOULD_CROSS in reasons else ""
    faults = AMEND_FAULTS | {reason: row[1] for reason, row in AMEND_OTHERS.items()}
    before = [faults[reason][0] for reason in reasons]
    given = [f"z: sell 1 @ 105 client=o; a: buy 400 @ 90 gtd=999 {post}; b: buy 1 @ 90"]
    given += ["x: sell 2 @ 90 client=o; wait 9"]
    given += [text for text in before if text.startswith(BEFORE_RULES)]
    rules = [text for text in before if "=" in text and not text.startswith(BEFORE_RULES)]
    given += ["rules " + " ".join(rules)] if rules else []
    given += [text for text in before if text.startswith(("phase", "cancel"))][:1]
    played = stage(reasons, given, money=402 * 900)
    words = " ".join(faults[reason][1] for reason in reasons)
    quantity = 1 if Reason.AMEND_QUANTITY_TOO_LOW in reasons else 300
    price = 2000 if Reason.OUT_OF_BOUNDS in reasons else 140
    name = "nobody" if Reason.UNKNOWN_ORDER in reasons else "a"
    refused, reason, *order = played.play(f"amend {name} {quantity} @ {price} {words}").split()
    assert refused == "refused"
    assert order in ([], ["a"])
    return reason


@pytest.mark.parametrize("reason", [*AMENDED, *AMEND_OTHERS], ids=name_of)
def test_m_ref_2_each_reason_alone(reason: Reason) -> None:
    assert amend_with([reason]) == reason.name.lower()


@pytest.mark.parametrize(("first", "second"), list(pairwise(AMENDED)), ids=name_of)
def test_m_ref_2_of_two_the_first_is_given(first: Reason, second: Reason) -> None:
    assert amend_with([first, second]) == first.name.lower()


@pytest.mark.parametrize("reason", AMEND_OTHERS, ids=name_of)
def test_m_ref_2_the_other_reasons_stand_between_these(reason: Reason) -> None:
    first, _, last = AMEND_OTHERS[reason]
    assert amend_with([first, reason]) == first.name.lower()
    assert amend_with([reason, last]) == reason.name.lower()


def test_m_ref_2_of_all_the_first_is_given() -> None:
    for number, reason in enumerate(AMENDED):
        assert amend_with(AMENDED[number:]) == reason.name.lower()


def test_m_ref_2_an_amendment_that_sets_nothing_is_malformed_before_all_else() -> None:
    played = scene()
    played.play("a: buy 5 @ 100; k: buy 1 @ 1 key=k body=9; phase closed")
    assert played.play("amend a " + KEY) == "refused malformed_command"
