"""What an order may be worth (M-LIM-6), and what was answered of it under the first rules."""

from __future__ import annotations

import pytest

from novate.engine import Engine
from novate.model.clearing import ClearingTerms
from novate.model.events import EventKind
from novate.model.instrument import Instrument
from novate.model.rejects import Reason
from tests.oracle.duel import Duel, spec
from tests.oracle.words import Create, SetClearing, to_bytes
from tests.tables.cases import Case, names
from tests.tables.clearing_notation import ClearingScene
from tests.tables.notation import command_of, split

MOST = 10**15
MONEY = spec(0, price_ticks_max=MOST, quantity_lots_max=MOST, quote_scale=12)
"""A lot at a tick is 10^7 units of the quote asset: 10^13 lots at 10^13 ticks are 10^33."""

LOTS = spec(0, quantity_lots_max=MOST, lot_coefficient=10**9, lot_exponent=2)
"""A lot is 10^19 units of the base asset: 10^14 lots are 10^33."""

T = 10**13
SELLER = "clearing open; a: sell 50 @ 100 client=m; "

OF_MONEY = [
    Case(
        "m_lim_6_at_the_limit_price",
        "clearing open",
        f"a: buy {T} @ {T}; b: buy {T + 1} @ {T}; d: buy {T} @ {T + 1}",
        "a accepted; b rejected notional_too_large; d rejected notional_too_large",
    ),
    Case(
        "m_lim_6_of_orders_with_terms_of_their_own",
        "clearing open",
        f"a: buy {T} @ {T} show={T}; b: buy {T + 1} @ {T} show={T}; s: sell {T} @ {T} stop 9; "
        f"t: sell {T + 1} @ {T} stop 9",
        "a accepted; b rejected notional_too_large; s accepted; t rejected notional_too_large",
    ),
    Case(
        "m_lim_6_ioc_and_fok_too",
        SELLER,
        f"x: buy {T} @ {T + 1} ioc; y: buy {T} @ {T + 1} fok; z: buy {T} @ {T} fok",
        "x rejected notional_too_large; y rejected notional_too_large; z accepted; "
        f"z ended {T} fill_or_kill",
    ),
    Case(
        "m_lim_6_without_a_limit_price_its_lots_alone",
        SELLER,
        f"x: buy {MOST}; s: buy {MOST} stop {MOST}; y: sell {MOST}",
        f"x accepted; x took 50 @ 100 of a; x ended {MOST - 50} book_exhausted; s accepted; "
        f"y accepted; y ended {MOST} book_exhausted",
    ),
    Case(
        "m_lim_6_money_is_not_asked_and_nothing_is_funded",
        SELLER + "w: sell 1 stop 5 client=s",
        f"x: buy quote {10**12} client=n; b: buy 1 @ 9; y: sell quote {10**9} client=n",
        "x accepted; x took 50 @ 100 of a; x ended 0 book_exhausted; b accepted; "
        "y accepted; y took 1 @ 9 of b; y ended 0 book_exhausted",
    ),
    Case(
        "m_ref_1_before_a_cross_and_before_room",
        SELLER + "rules limits.open_orders_max=1; b: buy 1 @ 1",
        f"x: buy {T + 1} @ {T} post; y: buy {T + 1} @ {T}; z: buy {T} @ {T} post; v: buy {T} @ {T}",
        "x rejected notional_too_large; y rejected notional_too_large; "
        "z rejected post_only_would_cross; v rejected client_orders_limit",
    ),
    Case(
        "m_ref_1_before_a_cross_where_nothing_is_special",
        SELLER,
        f"x: buy {T + 1} @ {T} post; y: buy {T} @ {T} post",
        "x rejected notional_too_large; y rejected post_only_would_cross",
    ),
    Case(
        "m_ref_2_an_amendment_that_loses_its_place",
        SELLER + f"b: buy {T} @ 99 post",
        f"amend b {T + 1} @ {T}; amend b @ {T}; amend b {MOST} @ 99; amend b {MOST}",
        "refused notional_too_large b; refused amend_would_cross b; "
        f"b amended {MOST} @ 99 left {MOST}; b amended {MOST} @ 99 left {MOST}",
    ),
    Case(
        "m_ref_2_an_amendment_of_an_order_with_terms_of_its_own",
        SELLER + f"b: buy {T} @ 99 group=1",
        f"amend b {T + 1} @ {T}; amend b 5; amend b {T} @ {T + 1}",
        "refused notional_too_large b; b amended 5 @ 99 left 5; refused notional_too_large b",
    ),
    Case(
        "m_lim_6_all_of_an_amended_order_counts",
        f"clearing open; b: buy {T} @ {T}; x: sell 7 @ {T}",
        f"amend b {T + 1}; amend b {T} @ {T - 1}",
        f"refused notional_too_large b; b amended {T} @ {T - 1} left {T - 7}",
    ),
    Case(
        "m_lim_6_not_of_what_is_not_cleared",
        "a: sell 50 @ 100 client=m",
        f"x: buy {MOST} @ {MOST}; clearing open",
        "x accepted; x took 50 @ 100 of a; refused orders_open",
    ),
]

OF_LOTS = [
    Case(
        "m_lim_6_its_lots_of_every_order",
        "clearing open",
        f"a: buy {10 * T} @ 1; b: buy {10 * T + 1} @ 1; d: buy {10 * T + 1}; "
        f"e: sell {10 * T + 1}; s: buy {10 * T + 1} stop 5; f: buy {10 * T} client=d",
        "a accepted; b rejected notional_too_large; d rejected notional_too_large; "
        "e rejected notional_too_large; s rejected notional_too_large; f accepted; "
        f"f ended {10 * T} book_exhausted",
    ),
    Case(
        "m_lim_6_its_lots_where_anything_is_special",
        "clearing open; w: sell 1 stop 5 client=s",
        f"d: buy {10 * T + 1}; e: sell {10 * T + 1}; s: buy {10 * T + 1} stop 9; a: buy {T} @ 1; "
        f"amend a {10 * T + 1}",
        "d rejected notional_too_large; e rejected notional_too_large; "
        "s rejected notional_too_large; a accepted; refused notional_too_large a",
    ),
]


def check(case: Case, wide: Instrument) -> None:
    """Play a case on an instrument whose bounds allow too much."""
    played = ClearingScene(Duel.begin(specs=[wide]))
    played.play(case.given)
    said = played.play(case.asked)
    assert said == case.events, f"\nsaid     {said}\nexpected {case.events}"


@pytest.mark.parametrize("case", OF_MONEY, ids=names(OF_MONEY))
def test_worth_in_money(case: Case) -> None:
    check(case, MONEY)


@pytest.mark.parametrize("case", OF_LOTS, ids=names(OF_LOTS))
def test_worth_in_lots(case: Case) -> None:
    check(case, LOTS)


ANSWERS = [
    ("quote_buyer", MONEY, "x: buy quote 1000000000000", Reason.INSUFFICIENT_FUNDS, Reason.NONE),
    ("quote_seller", MONEY, "x: sell quote 1000000000000", Reason.INSUFFICIENT_FUNDS, Reason.NONE),
    (
        "post_only",
        MONEY,
        f"x: buy {T + 1} @ {T} post",
        Reason.POST_ONLY_WOULD_CROSS,
        Reason.NOTIONAL_TOO_LARGE,
    ),
    ("limit", MONEY, f"x: buy {T + 1} @ {T}", Reason.NOTIONAL_TOO_LARGE, Reason.NOTIONAL_TOO_LARGE),
    ("market_buyer", LOTS, f"x: buy {MOST}", Reason.NONE, Reason.NOTIONAL_TOO_LARGE),
    ("stop_buyer", LOTS, f"x: buy {MOST} stop 900", Reason.NONE, Reason.NOTIONAL_TOO_LARGE),
    (
        "market_seller",
        LOTS,
        f"x: sell {MOST}",
        Reason.NOTIONAL_TOO_LARGE,
        Reason.NOTIONAL_TOO_LARGE,
    ),
]


@pytest.mark.parametrize(
    ("wide", "order", "first", "newest"),
    [row[1:] for row in ANSWERS],
    ids=[row[0] for row in ANSWERS],
)
def test_m_rul_3_the_first_rules_answer_as_they_did(
    wide: Instrument, order: str, first: Reason, newest: Reason
) -> None:
    """The engine alone: the oracle knows of what an order is worth from the second version on."""
    for rules, expected in ((1, first), (2, newest)):
        engine = Engine(rules=rules)
        for command in (Create(wide), SetClearing(ClearingTerms())):
            engine.apply(to_bytes(command))
        for text in split("a: sell 50 @ 100 client=m; w: sell 1 stop 5 client=s"):
            engine.apply(to_bytes(command_of(text)))
        event = engine.apply(to_bytes(command_of(order)))[0]
        kind = EventKind.ORDER_REJECTED if expected else EventKind.ORDER_ACCEPTED
        assert (event["kind"], event["reason"]) == (kind, expected)
