"""The windows and limits, a line a case; the notation is that of `notation.py`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from novate.engine import Engine
from novate.model.commands import COMMAND, Side
from novate.model.events import EventKind
from novate.model.instrument import Limits
from novate.model.rejects import Reason
from tests.oracle.duel import Duel, spec
from tests.oracle.words import Amend, Configure, Create, Place, to_bytes, to_record
from tests.tables.notation import Scene


class Case(NamedTuple):
    """`limits` other than the default, what is asked, and every event of it."""

    requirement: str
    limits: dict[str, int]
    asked: str
    events: str


ORDERS = [
    Case(
        "an_open_orders_id_is_taken",
        {},
        "a: buy 1 @ 99; a: buy 2 @ 98",
        "a accepted; refused duplicate_order_id",
    ),
    Case(
        "a_closed_orders_id_is_taken_while_the_window_holds_it",
        {"closed_orders_max": 1},
        "a: buy 1 @ 99; cancel a; a: buy 1 @ 99; b: buy 1 @ 99 ioc; a: buy 1 @ 98",
        "a accepted; a ended 1 by_client; refused duplicate_order_id; b accepted; "
        "b ended 1 immediate_or_cancel; a accepted",
    ),
    Case(
        "without_a_window_an_id_is_free_at_once",
        {"closed_orders_max": 0},
        "a: buy 1 @ 99; cancel a; cancel a; a: buy 1 @ 99",
        "a accepted; a ended 1 by_client; refused unknown_order; a accepted",
    ),
    Case(
        "a_rejected_orders_id_is_taken",
        {},
        "a: sell 1 @ 101; x: buy 1 @ 101 post; x: buy 1 @ 100; cancel x",
        "a accepted; x rejected post_only_would_cross; refused duplicate_order_id; "
        "refused already_closed",
    ),
    Case(
        "makers_close_before_their_taker",
        {"closed_orders_max": 1},
        "a: sell 1 @ 101; x: buy 1 @ 101; cancel a; cancel x",
        "a accepted; x accepted; x took 1 @ 101 of a; refused unknown_order; "
        "refused already_closed x",
    ),
    Case(
        "an_order_that_would_rest_finds_no_room",
        {"open_orders_max": 1},
        "a: buy 1 @ 99; b: buy 1 @ 98",
        "a accepted; b rejected open_orders_limit",
    ),
    Case(
        "an_order_that_only_takes_needs_no_room",
        {"open_orders_max": 1},
        "a: buy 2 @ 99; b: sell 1 @ 99; c: sell 9 @ 99 ioc",
        "a accepted; b accepted; b took 1 @ 99 of a; c accepted; c took 1 @ 99 of a; "
        "c ended 8 immediate_or_cancel",
    ),
    Case(
        "a_full_side_takes_no_new_price",
        {"price_levels_max": 1},
        "a: buy 1 @ 99; b: buy 1 @ 98; c: buy 1 @ 99; d: sell 1 @ 101",
        "a accepted; b rejected price_levels_limit; c accepted; d accepted",
    ),
    Case(
        "a_level_moves_in_a_full_side",
        {"price_levels_max": 1},
        "a: buy 1 @ 99; amend a @ 98; b: buy 1 @ 98; amend b @ 97",
        "a accepted; a amended 1 @ 98 left 1; b accepted; refused amend_level_full b",
    ),
    Case(
        "no_more_clients_than_the_limit",
        {"clients_max": 1},
        "a: buy 1 @ 99 client=one; b: buy 1 @ 99 client=two; c: buy 1 @ 99 client=one",
        "a accepted; refused clients_limit; c accepted",
    ),
]

ID = "7b2c53de-7c11-4dc1-9f0b-0d3a6f7d9f55"
ORDERS += [
    Case(
        "an_id_in_capitals_is_another_id",
        {},
        f"{ID}: buy 1 @ 99; {ID.upper()}: buy 2 @ 99; {ID.replace('-', '')}: buy 3 @ 99; "
        f"cancel {ID.upper()}; {ID}: buy 1 @ 99",
        f"{ID} accepted; {ID.upper()} accepted; {ID.replace('-', '')} accepted; "
        f"{ID.upper()} ended 2 by_client; refused duplicate_order_id",
    ),
    Case(
        "ids_that_share_their_beginning_are_told_apart",
        {},
        f"{'x' * 64}: buy 1 @ 99; {'x' * 63}: buy 2 @ 99; cancel {'x' * 63}; x: buy 3 @ 99",
        f"{'x' * 64} accepted; {'x' * 63} accepted; {'x' * 63} ended 2 by_client; x accepted",
    ),
]

KEYS = [
    Case(
        "a_repeat_of_a_key_changes_nothing",
        {},
        "a: buy 1 @ 99 key=k; a: buy 1 @ 99 key=k",
        "a accepted; refused idempotency_key_repeated",
    ),
    Case(
        "a_key_with_another_body_is_refused",
        {},
        "a: buy 1 @ 99 key=k; b: buy 1 @ 99 key=k body=2",
        "a accepted; refused idempotency_key_reused",
    ),
    Case(
        "a_keys_scope_is_its_client",
        {},
        "a: buy 1 @ 99 key=k; b: buy 1 @ 99 key=k client=other",
        "a accepted; b accepted",
    ),
    Case(
        "a_key_keeps_a_rejection",
        {},
        "a: sell 1 @ 101; x: buy 1 @ 101 post key=k; cancel a; x: buy 1 @ 101 post key=k",
        "a accepted; x rejected post_only_would_cross; a ended 1 by_client; "
        "refused idempotency_key_repeated",
    ),
    Case(
        "a_key_keeps_a_refusal",
        {},
        "cancel a key=k; a: buy 1 @ 99; cancel a key=k",
        "refused unknown_order; a accepted; refused idempotency_key_repeated",
    ),
    Case(
        "keys_serve_cancels_and_amendments",
        {},
        "a: buy 2 @ 99; amend a 1 key=k; amend a 1 key=k; cancel a key=l; cancel a key=l",
        "a accepted; a amended 1 @ 99 left 1; refused idempotency_key_repeated; "
        "a ended 1 by_client; refused idempotency_key_repeated",
    ),
    Case(
        "a_key_keeps_nothing_of_what_was_out_of_bounds",
        {},
        "a: buy 1 @ 99; amend a @ 1001 key=k; amend a @ 1000 key=k body=2",
        "a accepted; refused out_of_bounds; a amended 1 @ 1000 left 1",
    ),
    Case(
        "a_key_answers_to_the_end_of_its_window",
        {"idempotency_window_ns": 60 * 10**9},
        "a: buy 1 @ 99 key=k; wait 59.999; b: buy 1 @ 99 key=k; wait 0.001; c: buy 1 @ 99 key=k",
        "a accepted; refused idempotency_key_repeated; c accepted",
    ),
    Case(
        "a_client_fills_a_quarter_of_the_window_at_most",
        {"idempotency_keys_max": 8},
        "a: buy 1 @ 99 key=1; b: buy 1 @ 99 key=2; c: buy 1 @ 99 key=3; d: buy 1 @ 99",
        "a accepted; b accepted; refused idempotency_window_full; d accepted",
    ),
    Case(
        "a_window_of_young_keys_is_full",
        {"idempotency_keys_max": 4, "idempotency_window_ns_min": 10 * 10**9},
        "a: buy 1 @ 99 key=k client=1; b: buy 1 @ 99 key=k client=2; "
        "c: buy 1 @ 99 key=k client=3; d: buy 1 @ 99 key=k client=4; wait 9.9; "
        "e: buy 1 @ 99 key=k client=5; wait 0.1; f: buy 1 @ 99 key=k client=5",
        "a accepted; b accepted; c accepted; d accepted; refused idempotency_window_full; "
        "f accepted",
    ),
]

ALL = ORDERS + KEYS


@pytest.mark.parametrize("case", ALL, ids=[case.requirement for case in ALL])
def test_limits(case: Case) -> None:
    scene = Scene(Duel.begin(Limits(**case.limits)))
    assert strip_names(scene.play(case.asked)) == strip_names(case.events)
    scene.duel.compare()
    scene.duel.compare_keys()


def strip_names(said: str) -> str:
    """Refusals without the order they name, which an id used twice makes ambiguous."""
    parts = said.split("; ")
    short = [" ".join(part.split()[:2]) if part.startswith("refused") else part for part in parts]
    return "; ".join(short)


def test_a_smaller_window_forgets_closed_orders_at_once() -> None:
    scene = Scene(Duel.begin())
    scene.play("a: buy 1 @ 99; b: buy 1 @ 99; cancel a; cancel b")
    scene.duel.play(Configure(Limits(closed_orders_max=1)))
    scene.duel.compare()
    assert scene.play("cancel a; cancel b") == "refused unknown_order; refused already_closed b"


def test_a_smaller_window_forgets_the_oldest_keys_at_once() -> None:
    scene = Scene(Duel.begin())
    scene.play("".join(f"o{n}: buy 1 @ 99 key=k client=c{n};" for n in range(6)))
    scene.duel.play(Configure(Limits(idempotency_keys_max=4)))
    scene.duel.compare()
    scene.duel.compare_keys()
    assert scene.play("x: buy 1 @ 99 key=k client=c5") == "refused idempotency_key_repeated"


def test_a_smaller_limit_leaves_open_orders_alone() -> None:
    scene = Scene(Duel.begin())
    scene.play("a: buy 1 @ 99; b: buy 1 @ 98")
    scene.duel.play(Configure(Limits(open_orders_max=1, price_levels_max=1)))
    said = scene.play("c: buy 1 @ 99; amend b @ 97; amend b @ 99; amend b @ 98")
    assert said.split("; ") == [
        "c rejected open_orders_limit",
        "b amended 1 @ 97 left 1",
        "b amended 1 @ 99 left 1",
        "refused amend_level_full b",
    ]


BOUNDS = [
    ("price_below_a_tick", Place("c", "a", Side.BUY, 1, 0)),
    ("price_above_the_instruments_highest", Place("c", "a", Side.BUY, 1, 1001)),
    ("quantity_of_nothing", Place("c", "a", Side.BUY, 0, 5)),
    ("quantity_above_the_instruments_most", Place("c", "a", Side.BUY, 10_001, 5)),
]


@pytest.mark.parametrize("command", [row[1] for row in BOUNDS], ids=[row[0] for row in BOUNDS])
def test_out_of_bounds_is_refused(command: Place) -> None:
    (event,) = Duel.begin().play(command)
    assert (event.kind, event.reason) == (EventKind.COMMAND_REFUSED, Reason.OUT_OF_BOUNDS)


def test_an_unknown_instrument_is_refused() -> None:
    (event,) = Duel.begin().play(Place("c", "a", Side.BUY, 1, 5, instrument=7))
    assert event.reason is Reason.UNKNOWN_INSTRUMENT


def test_an_instruments_name_is_its_own() -> None:
    duel = Duel.begin(specs=[spec(0), spec(1)])
    (event,) = duel.play(Create(spec(1)))
    assert event.reason is Reason.INSTRUMENT_EXISTS
    assert [each.name for each in duel.engine.instruments()] == ["INS-0", "INS-1"]


def test_no_more_instruments_than_the_limit() -> None:
    (event,) = Duel.begin(Limits(instruments_max=1)).play(Create(spec(1)))
    assert event.reason is Reason.INSTRUMENTS_LIMIT


def test_a_levels_total_stays_under_two_to_the_63() -> None:
    """The oracle would take long over so many orders; here the engine speaks alone."""
    lots, most = 10**15, 2**63 - 1
    engine, fitting = Engine(), most // lots
    engine.apply(to_bytes(Create(spec(quantity_lots_max=lots))))
    many = np.repeat(to_record(Place(1, 0, Side.BUY, lots, 5)).view("V88"), fitting).view(COMMAND)
    many["order_number"] = np.arange(fitting)
    assert set(engine.apply(many)["kind"].tolist()) == {EventKind.ORDER_ACCEPTED}
    rest = most - fitting * lots
    steps = [
        (Place(1, fitting, Side.BUY, rest + 1, 5), Reason.LEVEL_FULL),
        (Place(1, fitting + 1, Side.BUY, rest - 1, 5), Reason.NONE),
        (Amend(fitting + 1, quantity=rest), Reason.NONE),
        (Amend(fitting + 1, quantity=rest + 1), Reason.AMEND_LEVEL_FULL),
        (Place(1, fitting + 2, Side.BUY, 1, 5), Reason.LEVEL_FULL),
        (Place(1, fitting + 3, Side.BUY, 1, 4), Reason.NONE),
    ]
    for command, reason in steps:
        (event,) = engine.apply(to_record(command))
        assert event["reason"] == reason, command
    bids, _ = engine.depth(0, 2)
    assert [tuple(row)[:3] for row in bids.tolist()] == [(5, most, fitting + 1), (4, 1, 1)]
    engine.check_invariants()
