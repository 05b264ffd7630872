"""Every term and phase through every way there is: one answer, whoever asks and how."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.conftest import Server
from tests.integration.reach import (
    ArrayWay,
    BatchWay,
    HttpWay,
    ServerWay,
    Step,
    StreamWay,
    amend,
    cancel,
    kill,
    limits,
    mass_cancel,
    phase,
    place,
    rules,
    soon,
    soon_of_day,
    until_ended,
    until_phase,
)

SERVER_WAYS: dict[str, type[ServerWay]] = {
    "http": HttpWay, "websocket": StreamWay, "batch": BatchWay,
}  # fmt: skip
NAMES = itertools.count()
AHEAD_SECONDS = 3
"""What falls due by the clock does so this much later than the case is made: until then a server
that is slow, or stops in between, must have been asked all that comes before."""


def prevented(mode: str, taker: str, maker: str, by_group: bool = False) -> list[Step]:
    """A taker of 3 meets its own maker of 2, with another's ask of 1 behind it."""
    group = {"self_trade_group": 7} if by_group else {}
    return [
        place("m", "a", "sell", 100, 2, **group),
        place("other", "c", "sell", 100, 1),
        place("t", "b" if by_group else "a", "buy", 100, 3, says=taker,
              self_trade_prevention=mode, **group),
        cancel("m", maker),
    ]  # fmt: skip


PREVENTED = {
    "none": ("3 filled", "already_closed"),
    "cancel_newest": ("0 self_trade_prevented", "0 by_client"),
    "cancel_oldest": ("1 open", "already_closed"),
    "cancel_both": ("0 self_trade_prevented", "already_closed"),
    "decrement": ("1 filled", "already_closed"),
}
TRADED = [place("p", "p", "buy", 100, 1), place("q", "q", "sell", 100, 1, says="1 filled")]
"""A last price of 100."""

Case = Callable[[], tuple[list[Step], dict[str, str]]]
CASES: dict[str, Case] = {
    "ioc": lambda: (
        [place("m", "m", "sell", 100, 1),
         place("t", "t", "buy", 100, 2, time_in_force="ioc", says="1 immediate_or_cancel")],
        {"m": "1 filled"}),
    "fok": lambda: (
        [place("m", "m", "sell", 100, 1),
         place("t", "t", "buy", 100, 2, time_in_force="fok", says="0 fill_or_kill"),
         place("u", "t", "buy", 100, 1, time_in_force="fok", says="1 filled")],
        {"m": "1 filled"}),
    "market": lambda: (
        [place("m", "m", "sell", 100, 1),
         place("t", "t", "buy", None, 2, type="market", says="1 book_exhausted")],
        {"m": "1 filled"}),
    "market by quote quantity": lambda: (
        [place("m", "m", "sell", 100, 5),
         place("t", "t", "buy", None, None, type="market", quote_quantity=250, says="2 filled")],
        {"m": "2 open"}),
    "stop": lambda: (
        [place("b1", "m", "buy", 100, 1), place("b2", "m", "buy", 99, 1),
         place("s", "s", "sell", None, 1, type="stop", stop_price=100),
         place("t", "t", "sell", 100, 1, says="1 filled")],
        {"s": "1 filled", "b2": "1 filled"}),
    "stop, amended": lambda: (
        [place("b1", "m", "buy", 100, 1), place("b2", "m", "buy", 99, 1),
         place("s", "s", "sell", None, 1, type="stop", stop_price=90),
         amend("s", "0 open", stop_price=100),
         place("t", "t", "sell", 100, 1, says="1 filled")],
        {"s": "1 filled"}),
    "stop_limit": lambda: (
        [place("a1", "m", "sell", 105, 1), place("a2", "m", "sell", 107, 1),
         place("s", "s", "buy", 106, 1, type="stop_limit", stop_price=105),
         place("t", "t", "buy", 105, 1, says="1 filled"),
         place("u", "u", "sell", 106, 1, says="1 filled")],
        {"s": "1 filled", "a2": "0 open"}),
    "iceberg": lambda: (
        [place("i", "i", "sell", 100, 5, display_quantity=2), place("m", "m", "sell", 100, 1),
         place("t", "t", "buy", 100, 3, says="3 filled"),
         amend("i", "2 open", display_quantity=1),
         place("u", "t", "buy", 100, 1, says="1 filled")],
        {"i": "3 open", "m": "1 filled"}),
    "gtd": lambda: (
        [place("g", "g", "buy", 100, 1, time_in_force="gtd", expires_at=soon(AHEAD_SECONDS)),
         until_ended("g"),
         place("late", "g", "buy", 100, 1, time_in_force="gtd", expires_at="2020-01-01T00:00:00Z",
               says="0 expires_in_past")],
        {"g": "0 expired"}),
    "day": lambda: (
        [rules(session_end=soon_of_day(AHEAD_SECONDS)),
         place("d", "d", "buy", 100, 1, time_in_force="day"), place("g", "d", "buy", 100, 1),
         until_ended("d")],
        {"d": "0 expired", "g": "0 open"}),
    "minimum quantity": lambda: (
        [place("m", "m", "sell", 100, 2),
         place("t", "t", "buy", 100, 5, minimum_quantity=3, says="0 minimum_quantity"),
         place("u", "t", "buy", 100, 5, minimum_quantity=2, says="2 open")],
        {"m": "2 filled"}),
    "one cancels other": lambda: (
        [place("a", "o", "sell", 110, 1),
         place("b", "o", "sell", None, 1, type="stop", stop_price=90, oco="a"),
         place("c", "o", "sell", 111, 1, oco="a", says="0 link_taken"),
         place("t", "t", "buy", 110, 1, says="1 filled")],
        {"a": "1 filled", "b": "0 one_cancels_other"}),
    "replaces": lambda: (
        [place("a", "o", "sell", 110, 1), place("b", "o", "sell", 111, 1, replaces="a"),
         place("c", "o", "sell", 112, 1, replaces="a", says="0 link_not_open")],
        {"a": "0 replaced", "b": "0 open"}),
    "post_only": lambda: (
        [place("m", "m", "sell", 100, 1),
         place("t", "t", "buy", 100, 1, post_only=True, says="0 post_only_would_cross"),
         place("u", "t", "buy", 99, 1, post_only=True)],
        {"m": "0 open"}),
    **{
        f"self-trade {mode} by {'group' if by_group else 'client'}":
            lambda mode=mode, by_group=by_group: (prevented(mode, *PREVENTED[mode], by_group), {})
        for mode in PREVENTED for by_group in (False, True)
    },
    "amend": lambda: (
        [place("a", "a", "buy", 100, 3), amend("a", "0 open", quantity=2, price=101),
         place("t", "t", "sell", 101, 1, says="1 filled"),
         amend("a", "amend_quantity_too_low", quantity=1), amend("a", "1 open", quantity=2)],
        {"a": "1 open"}),
    "mass_cancel": lambda: (
        [place("a", "a", "buy", 90, 1), place("b", "a", "sell", 110, 1),
         place("c", "c", "buy", 90, 1), mass_cancel("a", "1 cancelled", side="buy"),
         mass_cancel("a", "1 cancelled"), mass_cancel("a", "0 cancelled")],
        {"a": "0 mass_cancel", "b": "0 mass_cancel", "c": "0 open"}),
    "protection": lambda: (
        [rules(protection={"price": 2}), *TRADED,
         place("near", "m", "sell", 101, 1), place("far", "m", "sell", 105, 1),
         place("t", "t", "buy", None, 2, type="market", says="1 price_protection")],
        {"far": "0 open"}),
    "static band": lambda: (
        [rules(reference_price=100, static_band={"price": 5}),
         place("a", "a", "buy", 106, 1, says="0 static_band"), place("b", "a", "buy", 105, 1)],
        {}),
    "dynamic band": lambda: (
        [rules(dynamic_band={"percent": 5}), *TRADED,
         place("a", "a", "sell", 94, 1, says="0 dynamic_band"), place("b", "a", "sell", 95, 1)],
        {}),
    "band left by a market order": lambda: (
        [rules(dynamic_band={"price": 5}), *TRADED, place("far", "m", "sell", 106, 1),
         place("t", "t", "buy", None, 1, type="market", says="0 outside_price_band")],
        {"far": "0 open"}),
    "volatility auction": lambda: (
        [rules(dynamic_band={"price": 5}, band_action="auction",
               volatility_auction_seconds=AHEAD_SECONDS),
         *TRADED, place("far", "m", "sell", 106, 1), place("t", "t", "buy", 106, 1),
         place("i", "t", "buy", 106, 1, time_in_force="ioc", says="0 auction"),
         until_phase("continuous")],
        {"far": "1 filled", "t": "1 filled"}),
    "limits of an instrument": lambda: (
        [rules(limits={"quantity_min": 2, "quantity_max": 5, "notional_min": 250,
                       "notional_max": 450, "open_orders_max": 1,
                       "last_price_distance": {"percent": 10}}),
         place("a", "a", "buy", 100, 1, says="0 quantity_too_small"),
         place("b", "a", "buy", 100, 6, says="0 quantity_too_large"),
         place("c", "a", "buy", 100, 2, says="0 notional_too_small"),
         place("d", "a", "buy", 100, 5, says="0 notional_too_large"),
         place("e", "a", "buy", 100, 3),
         place("f", "a", "buy", 100, 3, says="0 client_orders_limit"),
         place("g", "g", "sell", 100, 3, says="3 filled"),
         place("h", "g", "buy", 112, 3, says="0 too_far_from_last")],
        {"e": "3 filled"}),
    "limits of a client": lambda: (
        [limits("a", quantity_max=2), place("a", "a", "buy", 100, 3, says="0 quantity_too_large"),
         place("b", "b", "buy", 100, 3)],
        {}),
    "kill switch of a client": lambda: (
        [place("a", "k", "buy", 100, 1), place("b", "b", "buy", 100, 1), kill("k", True),
         place("c", "k", "buy", 100, 1, says="0 client_killed"), kill("k", False),
         place("d", "k", "buy", 100, 1)],
        {"a": "0 kill_switch", "b": "0 open"}),
    "pre-open": lambda: (
        [phase("pre_open"), place("a", "a", "buy", 100, 1), place("b", "b", "sell", 100, 1),
         place("c", "c", "buy", 100, 1, time_in_force="ioc", says="0 pre_open"),
         amend("a", "0 open", quantity=2), phase("continuous")],
        {"a": "1 open", "b": "1 filled"}),
    "auction": lambda: (
        [phase("auction"), place("a", "a", "buy", 102, 3), place("b", "b", "sell", 100, 2),
         place("m", "m", "sell", None, 2, type="market"),
         place("c", "c", "buy", 100, 1, time_in_force="fok", says="0 auction"),
         phase("continuous")],
        {"a": "3 filled", "b": "1 open", "m": "2 filled"}),
    "halt": lambda: (
        [place("a", "a", "buy", 100, 2), phase("halt"),
         place("b", "b", "sell", 100, 1, says="0 halted"), cancel("a", "0 by_client"),
         phase("continuous"), place("c", "b", "sell", 100, 1)],
        {}),
    "cancel only": lambda: (
        [place("a", "a", "buy", 100, 2), phase("cancel_only"),
         place("b", "b", "sell", 100, 1, says="0 cancel_only"), mass_cancel("a", "1 cancelled")],
        {"a": "0 mass_cancel"}),
    "closed": lambda: (
        [place("a", "a", "buy", 100, 2), phase("closed"),
         place("b", "b", "sell", 100, 1, says="0 closed")],
        {}),
    "schedule": lambda: (
        [rules(schedule=[{"at": soon_of_day(AHEAD_SECONDS), "phase": "halt"}]),
         place("a", "a", "buy", 100, 1),
         until_phase("halt"), place("b", "b", "sell", 100, 1, says="0 halted")],
        {"a": "0 open"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, int]]:
    """One server for all cases: each has an instrument, clients and orders of its own."""
    server = Server(tmp_path_factory.mktemp("reach") / "data")
    try:
        with httpx.Client(base_url=server.start().url, timeout=60) as http:
            yield http, server.port
    finally:
        server.close()


@pytest.mark.slow
@pytest.mark.parametrize("way", SERVER_WAYS)
@pytest.mark.parametrize("name", CASES)
def test_the_rulebook_through_a_server(
    exchange: tuple[httpx.Client, int], name: str, way: str
) -> None:
    steps, ends = CASES[name]()
    played = SERVER_WAYS[way](*exchange, f"I{next(NAMES)}")
    assert played.play(steps) == [each.says for each in steps if each.says]
    assert {order_id: played.end(order_id) for order_id in ends} == ends


@pytest.mark.parametrize("name", CASES)
def test_the_rulebook_through_arrays(name: str) -> None:
    steps, ends = CASES[name]()
    played = ArrayWay()
    assert played.play(steps) == [each.says for each in steps if each.says]
    assert {order_id: played.end(order_id) for order_id in ends} == ends
    played.engine.check_invariants()
