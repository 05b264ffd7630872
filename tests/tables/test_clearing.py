"""Clearing, rule by rule, and the examples of docs/clearing.md as they stand."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

import pytest

from novate.engine import Accounts, Engine
from novate.model.clearing import ClearingTerms, FeeTier, fee_units, pack_set_clearing
from novate.model.commands import NEWEST_RULES
from novate.model.errors import SnapshotCorrupt
from novate.model.rejects import Reason
from tests.conftest import ROOT
from tests.oracle.clearing import Position
from tests.oracle.duel import START_NS, Duel, spec
from tests.oracle.words import Create, to_bytes
from tests.tables.clearing_notation import ClearingScene

PAGE = (ROOT / "docs" / "clearing.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```clearing\n(.*?)^```", PAGE, re.M | re.S)


def scene(rules: int = NEWEST_RULES) -> ClearingScene:
    return ClearingScene(Duel.begin(specs=[spec(0), spec(1)], rules=rules))


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_of_the_page(example: str) -> None:
    played, said = scene(), ""
    for line in example.splitlines():
        mark, text = line[0], line[1:].strip()
        if mark == ">":
            assert said == "", f"the example says nothing of {said}"
            said = played.play(text)
        elif mark == "?":
            said = played.ask(text)
        else:
            assert said == text
            said = ""
    assert said == ""


class Case(NamedTuple):
    """`play` is played, then each question is asked."""

    name: str
    play: str
    said: str
    answers: dict[str, str]


DAY_NS = 86_400 * 10**9
TRADED = "s: sell 4 @ 100 client=a; x: buy 4 @ 100 client=b"
FUNDS = "clearing funded; deposit a INS 10000000000; deposit b USD 10000; deposit c USD 10000"
FUNDED = "clearing set; a deposited 10000000000 INS; b deposited 10000 USD; c deposited 10000 USD"

CASES = [
    Case(
        "a_limit_buyer_holds_its_price",
        f"{FUNDS}; x: buy 3 @ 100 client=b",
        f"{FUNDED}; x accepted",
        {"balance b USD": "7000 held 3000"},
    ),
    Case(
        "the_hold_is_given_back_by_a_cancel",
        f"{FUNDS}; x: buy 3 @ 100 client=b; cancel x client=b",
        f"{FUNDED}; x accepted; x ended 3 by_client",
        {"balance b USD": "10000 held 0"},
    ),
    Case(
        "a_better_price_is_given_back_at_the_match",
        f"{FUNDS}; s: sell 2 @ 90 client=a; x: buy 3 @ 100 client=b",
        f"{FUNDED}; s accepted; x accepted; x took 2 @ 90 of s",
        {
            "balance b USD": "7200 held 1000",
            "balance b INS": "2000000000 held 0",
            "balance a USD": "1800 held 0",
            "balance a INS": "8000000000 held 0",
        },
    ),
    Case(
        "an_amendment_holds_more_or_is_refused",
        f"{FUNDS}; x: buy 3 @ 100 client=b; amend x 10 client=b; amend x 11 client=b",
        f"{FUNDED}; x accepted; x amended 10 @ 100 left 10; refused insufficient_funds x",
        {"balance b USD": "0 held 10000"},
    ),
    Case(
        "an_amendment_down_releases",
        f"{FUNDS}; x: buy 5 @ 100 client=b; amend x 2 client=b",
        f"{FUNDED}; x accepted; x amended 2 @ 100 left 2",
        {"balance b USD": "8000 held 2000"},
    ),
    Case(
        "a_seller_without_the_lots_is_rejected",
        f"{FUNDS}; s: sell 11 @ 90 client=a; t: sell 10 @ 90 client=a",
        f"{FUNDED}; s rejected insufficient_funds; t accepted",
        {"balance a INS": "0 held 10000000000"},
    ),
    Case(
        "a_market_buy_needs_what_the_book_asks",
        f"{FUNDS}; s: sell 4 @ 100 client=a; t: sell 6 @ 110 client=a; "
        "x: buy 10 client=b; y: buy 9 client=b",
        f"{FUNDED}; s accepted; t accepted; x rejected insufficient_funds; y accepted; "
        "y took 4 @ 100 of s; y took 5 @ 110 of t",
        {"balance b USD": "500 held 0"},
    ),
    Case(
        "a_stop_buy_is_looked_at_when_it_triggers",
        f"{FUNDS}; x: buy 8 stop 120 client=b; s: sell 1 @ 120 client=a; "
        "t: sell 9 @ 130 client=a; y: buy 1 client=c",
        f"{FUNDED}; x accepted; s accepted; t accepted; y accepted; y took 1 @ 120 of s; "
        "x triggered; x ended 8 funds_exhausted",
        {"balance b USD": "10000 held 0"},
    ),
    Case(
        "an_order_by_quote_quantity_needs_its_amount",
        f"{FUNDS}; s: sell 9 @ 100 client=a; x: buy quote 10001 client=b; y: buy quote 5500 "
        "client=b",
        f"{FUNDED}; s accepted; x rejected insufficient_funds; y accepted; y took 5 @ 100 of s",
        {"balance b USD": "5000 held 0"},
    ),
    Case(
        "an_expired_order_releases",
        f"{FUNDS}; x: buy 3 @ 100 gtd=5 client=b; wait 6; tick",
        f"{FUNDED}; x accepted; x ended 3 expired; time advanced",
        {"balance b USD": "10000 held 0"},
    ),
    Case(
        "self_trade_prevention_releases_both",
        f"{FUNDS}; deposit a USD 500; s: sell 3 @ 100 client=a; "
        "x: buy 5 @ 10 client=a stp=decrement; y: buy 2 @ 100 client=a stp=decrement",
        f"{FUNDED}; a deposited 500 USD; s accepted; x accepted; y rejected insufficient_funds",
        {"balance a USD": "0 held 500", "balance a INS": "7000000000 held 3000000000"},
    ),
    Case(
        "a_withdrawal_of_what_is_held_is_refused",
        f"{FUNDS}; x: buy 3 @ 100 client=b; withdraw b USD 7001; withdraw b USD 7000",
        f"{FUNDED}; x accepted; refused insufficient_funds; b withdrawn 7000 USD",
        {"balance b USD": "0 held 3000"},
    ),
    Case(
        "a_deposit_is_made_once_for_a_key",
        "clearing funded; deposit b USD 5 key=k; deposit b USD 5 key=k; deposit b USD 6 key=k "
        "body=1",
        "clearing set; b deposited 5 USD; refused idempotency_key_repeated; "
        "refused idempotency_key_reused",
        {"balance b USD": "5 held 0"},
    ),
    Case(
        "terms_of_funded_instruments_wait_for_open_orders",
        f"{FUNDS}; x: buy 3 @ 100 client=b; clearing open; clearing funded tiers=0:1; tier b 1; "
        "cancel x client=b; clearing open",
        f"{FUNDED}; x accepted; refused orders_open; refused orders_open; refused orders_open; "
        "x ended 3 by_client; clearing set",
        {},
    ),
    Case(
        "fees_are_rounded_up_and_rebates_down",
        "clearing open tiers=-1500:2500; s: sell 1 @ 33 client=a; x: buy 1 @ 33 client=b",
        "clearing set; s accepted; x accepted; x took 1 @ 33 of s; fee 1 of b",
        {"fees a": "0", "fees b": "1"},
    ),
    Case(
        "a_rebate_is_paid_to_the_maker",
        "clearing open tiers=-1000:2000; s: sell 10 @ 100 client=a; x: buy 10 @ 100 client=b",
        "clearing set; s accepted; x accepted; x took 10 @ 100 of s; fee 20 of b; fee -10 of a",
        {"due": "a INS -10000000000; a USD 10010; b INS 10000000000; b USD -10020"},
    ),
    Case(
        "a_tier_pays_its_own_rate_and_one_that_is_not_there_the_first",
        "clearing open tiers=0:1000,0:500; tier b 1; tier c 7; s: sell 10 @ 100 client=a; "
        "x: buy 4 @ 100 client=b; y: buy 4 @ 100 client=c",
        "clearing set; tier set; tier set; s accepted; x accepted; x took 4 @ 100 of s; "
        "fee 2 of b; y accepted; y took 4 @ 100 of s; fee 4 of c",
        {},
    ),
    Case(
        "in_an_auction_both_pay_the_takers_rate",
        "clearing open tiers=-1000:1000; phase auction; s: sell 2 @ 100 client=a; "
        "x: buy 2 @ 100 client=b; phase continuous",
        "clearing set; phase continuous to auction; s accepted; x accepted; "
        "uncrossed 2 @ 100 surplus 0; x bought 2 @ 100 from s; fee 2 of b; fee 2 of a; "
        "phase auction to continuous",
        {},
    ),
    Case(
        "a_market_buy_does_not_wait_for_an_auction_out_of_funds",
        f"{FUNDS}; phase auction; x: buy 2 client=b; y: sell 2 client=a",
        f"{FUNDED}; phase continuous to auction; x rejected auction; y accepted",
        {"balance a INS": "8000000000 held 2000000000"},
    ),
    Case(
        "a_position_turns_round_at_the_trades_price",
        "clearing open; s: sell 2 @ 100 client=a; x: buy 2 @ 100 client=b; "
        "t: sell 5 @ 110 client=b; y: buy 5 @ 110 client=a",
        "clearing set; s accepted; x accepted; x took 2 @ 100 of s; t accepted; y accepted; "
        "y took 5 @ 110 of t",
        {"position b": "-3 cost -330 realized 20", "position a": "3 cost 330 realized -20"},
    ),
    Case(
        "a_cycle_holds_what_was_traded_since_the_last",
        "clearing open; s: sell 5 @ 100 client=a; x: buy 2 @ 100 client=b; settle 1; "
        "y: buy 3 @ 100 client=b; settle 2; settle 3",
        "clearing set; s accepted; x accepted; x took 2 @ 100 of s; "
        "cycle 1 closed with 4 obligations; y accepted; y took 3 @ 100 of s; "
        "cycle 2 closed with 4 obligations; cycle 3 closed with 0 obligations",
        {
            "cycle 1": "open; a INS -2000000000; a USD 2000; b INS 2000000000; b USD -2000",
            "cycle 2": "open; a INS -3000000000; a USD 3000; b INS 3000000000; b USD -3000",
            "cycle 3": "open",
        },
    ),
    Case(
        "trades_that_cancel_each_other_owe_their_difference_alone",
        "clearing open; s: sell 2 @ 100 client=a; x: buy 2 @ 100 client=b; "
        "t: sell 2 @ 103 client=b; y: buy 2 @ 103 client=a; settle 1",
        "clearing set; s accepted; x accepted; x took 2 @ 100 of s; t accepted; y accepted; "
        "y took 2 @ 103 of t; cycle 1 closed with 2 obligations",
        {"cycle 1": "open; a USD -60; b USD 60"},
    ),
    Case(
        "a_failed_settlement_is_instructed_again",
        "settle 7; fail 7; instruct 7; fail 7; paid 7; instruct 7; paid 7; instruct 7; paid 8",
        "cycle 7 closed with 0 obligations; refused cycle_state; cycle 7 instructed; "
        "cycle 7 failed; refused cycle_state; cycle 7 instructed; cycle 7 settled; "
        "refused cycle_state; refused unknown_cycle",
        {},
    ),
    Case(
        "the_cut_off_closes_the_days_cycle",
        "cutoff 60; wait 59; tick; wait 1; tick; cutoff none; wait 86400; tick",
        "cutoff set; time advanced; cycle 20260101 closed with 0 obligations; time advanced; "
        "cutoff set; time advanced",
        {},
    ),
    Case(
        "a_cut_off_of_a_day_that_is_closed_says_so_and_the_next_closes_both_days",
        f"clearing open; settle 20260101; cutoff 60; {TRADED}; wait 60; tick; "
        "t: sell 2 @ 100 client=a; y: buy 2 @ 100 client=b; wait 86400; tick",
        "clearing set; cycle 20260101 closed with 0 obligations; cutoff set; s accepted; "
        "x accepted; x took 4 @ 100 of s; cycle 20260101 missed cycle_closed_already; "
        "time advanced; t accepted; y accepted; y took 2 @ 100 of t; "
        "cycle 20260102 closed with 4 obligations; time advanced",
        {
            "due": "",
            "cycle 20260102": "open; a INS -6000000000; a USD 6000; b INS 6000000000; b USD -6000",
        },
    ),
    Case(
        "a_cut_off_before_the_last_number_closes_under_the_one_after_it",
        f"clearing open; settle 20260202; cutoff 60; {TRADED}; wait 60; tick; wait 86400; tick; "
        f"wait {30 * 86400}; tick; cutoff none; wait {27 * 86400}; cutoff 60; wait 86400; tick",
        "clearing set; cycle 20260202 closed with 0 obligations; cutoff set; s accepted; "
        "x accepted; x took 4 @ 100 of s; cycle 20260203 closed with 4 obligations; "
        "time advanced; cycle 20260204 closed with 0 obligations; time advanced; "
        "cycle 20260205 closed with 0 obligations; cycle 20260206 closed with 0 obligations; "
        "cycle 20260207 closed with 0 obligations; time advanced; "
        "cutoff set; cutoff set; cycle 20260301 closed with 0 obligations; time advanced",
        {"due": ""},
    ),
    Case(
        "a_cut_off_behind_the_last_number_there_is_says_so",
        f"settle {2**64 - 1}; cutoff 60; wait 60; tick",
        f"cycle {2**64 - 1} closed with 0 obligations; cutoff set; "
        "cycle 0 missed cycle_closed_already; time advanced",
        {},
    ),
    Case(
        "a_bust_leaves_what_was_realized_before",
        "clearing open; s: sell 4 @ 100 client=a; x: buy 4 @ 100 client=b; "
        "t: sell 4 @ 120 client=b; y: buy 4 @ 120 client=c; bust 1",
        "clearing set; s accepted; x accepted; x took 4 @ 100 of s; t accepted; y accepted; "
        "y took 4 @ 120 of t; trade busted 4 @ 100",
        {"position b": "-4 cost -400 realized 80", "position a": "0 cost 0 realized 0"},
    ),
    Case(
        "a_bust_out_of_funds_needs_them",
        f"{FUNDS}; s: sell 4 @ 100 client=a; x: buy 4 @ 100 client=b; "
        "withdraw b INS 1000000000; bust 1; deposit b INS 1000000000; bust 1",
        f"{FUNDED}; s accepted; x accepted; x took 4 @ 100 of s; b withdrawn 1000000000 INS; "
        "refused insufficient_funds; b deposited 1000000000 INS; trade busted 4 @ 100",
        {"balance b USD": "10000 held 0", "balance a INS": "10000000000 held 0"},
    ),
    Case(
        "a_bust_gives_fees_back",
        "clearing open tiers=0:1000; s: sell 4 @ 100 client=a; x: buy 4 @ 100 client=b; "
        "bust 1 fees=4,0",
        "clearing set; s accepted; x accepted; x took 4 @ 100 of s; fee 4 of b; "
        "trade busted 4 @ 100; fee -4 of b",
        {"due": "", "fees b": "0"},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_rule_of_clearing(case: Case) -> None:
    played = scene()
    said = played.play(case.play)
    assert said == case.said, f"\nsaid     {said}\nexpected {case.said}"
    for question, answer in case.answers.items():
        assert played.ask(question) == answer, question


def test_a_cycle_that_is_not_settled_is_never_forgotten() -> None:
    played = scene()
    for number in range(1, 65):
        played.play(f"settle {number}")
    assert played.play("settle 65") == "refused cycles_limit"
    played.play("instruct 1; paid 1")
    assert played.play("settle 65") == "cycle 65 closed with 0 obligations"
    assert [row["cycle"] for row in played.accounts.cycles()] == list(range(65, 1, -1))


def test_a_cut_off_that_finds_no_room_says_so_and_the_next_one_closes_both_days() -> None:
    played = scene()
    played.play("clearing open; cutoff 60; " + "; ".join(f"settle {each}" for each in range(1, 65)))
    assert played.accounts.last_cutoff is None
    played.play(f"{TRADED}; wait 60")
    assert played.play("tick") == "cycle 20260101 missed cycles_limit; time advanced"
    minute_ns = START_NS + 60 * 10**9
    assert played.accounts.last_cutoff == (minute_ns, 20260101, Reason.CYCLES_LIMIT)
    assert played.accounts.next_cutoff_ns == minute_ns + DAY_NS
    again = Engine.load(played.duel.engine.dump())
    assert Accounts(again).last_cutoff == played.accounts.last_cutoff
    assert Accounts(again).next_cutoff_ns == played.accounts.next_cutoff_ns
    assert again.state_hash() == played.duel.engine.state_hash()
    played.play(f"{TRADED.replace('s:', 't:').replace('x:', 'y:')}; instruct 1; paid 1; wait 86400")
    said = "cycle 20260102 closed with 4 obligations; time advanced"
    assert played.play("tick") == said
    assert played.ask("cycle 20260102").startswith("open; a INS -8000000000; a USD 8000; ")
    assert played.accounts.last_cutoff == (minute_ns + DAY_NS, 20260102, Reason.NONE)


@pytest.mark.parametrize("rules", [1, 2])
def test_m_rul_3_cut_offs_died_silently_before(rules: int) -> None:
    played = scene(rules)
    played.play("clearing open; settle 20270101; cutoff 60; wait 60")
    for _ in range(2):
        assert played.play("tick; wait 86400") == "time advanced"
    assert played.accounts.last_cutoff is None
    assert [row["cycle"] for row in played.accounts.cycles()] == [20270101]
    for version in range(rules + 1, NEWEST_RULES + 1):
        played.play(f"adopt {version}")
    said = "cycle 20270102 closed with 0 obligations; time advanced"
    assert played.play("wait 86400; tick") == said


def test_a_dump_says_only_what_can_come_of_a_cut_off() -> None:
    played = scene()
    played.play("settle 20260101; cutoff 60; wait 60; tick")
    whole = played.duel.engine.dump()
    noted = struct.pack("<qQ", START_NS + 60 * 10**9, 20260101)
    assert whole.count(noted) == 1
    at = whole.index(noted) + len(noted)
    assert whole[at] == Reason.CYCLE_CLOSED_ALREADY
    with pytest.raises(SnapshotCorrupt):
        Engine.load(whole[:at] + bytes([Reason.POST_ONLY_WOULD_CROSS]) + whole[at + 1 :])


def test_an_instrument_of_two_scales_can_not_be_funded() -> None:
    other = spec(1, quote_scale=7)
    duel = Duel.begin(specs=[spec(0), other])
    assert ClearingScene(duel).play("clearing funded ins=1") == "refused asset_conflict"


def test_without_terms_nothing_is_kept() -> None:
    played = scene()
    played.play("s: sell 4 @ 100 client=a; x: buy 4 @ 100 client=b")
    assert played.accounts.positions() == []
    assert played.accounts.terms(0) is None
    assert b'"version":4,"parts":1,' in played.duel.engine.dump()[:60]


def test_terms_that_make_no_sense_are_refused() -> None:
    engine = Engine()
    engine.apply(to_bytes(Create(spec())))
    for tier in (FeeTier(0, -1), FeeTier(-2, 1), FeeTier(0, 1_000_001)):
        (event,) = engine.apply(pack_set_clearing(0, ClearingTerms(tiers=(tier,))))
        assert event["reason"] == 98
    assert Accounts(engine).terms(0) is None


def test_a_dump_brings_every_account_back() -> None:
    played = scene()
    played.play(f"{FUNDS}; s: sell 4 @ 100 client=a; x: buy 3 @ 100 client=b; cutoff 60")
    played.play("clearing open ins=1 tiers=-1:5; tier b 3; settle 1; mark 5")
    engine = played.duel.engine
    again = Engine.load(engine.dump())
    assert again.state_hash() == engine.state_hash()
    again.check_invariants()
    assert Accounts(again).cutoff_s == 60
    assert Accounts(again).mark_price(0) == (5, 1)


ROUNDING = [(1, 1, 1), (0, 5, 0), (1_000_000, 1, 1), (1_000_001, 1, 2), (3, -500_000, -1)]


@pytest.mark.parametrize(("units", "rate", "fee"), ROUNDING)
def test_a_fee_is_rounded_in_the_houses_favour(units: int, rate: int, fee: int) -> None:
    assert fee_units(units, rate) == fee


def test_large_positions_keep_their_exact_cost() -> None:
    """Products of 128 bits and more, against Python's own numbers."""
    most, price = 10**15, 10**15
    engine = Engine()
    engine.apply(to_bytes(Create(spec(price_ticks_max=price, quantity_lots_max=most))))
    engine.apply(pack_set_clearing(0, ClearingTerms()))
    expected = Position()
    played = ClearingScene(
        Duel.begin(specs=[spec(0, price_ticks_max=price, quantity_lots_max=most)])
    )
    played.play("clearing open")
    for number, (lots, at) in enumerate(
        [(most, price), (most, price - 7), (-most // 3, price - 1), (most, 3), (-most, price)]
    ):
        maker, taker = ("sell", "buy") if lots > 0 else ("buy", "sell")
        size = abs(lots)
        played.play(
            f"m{number}: {maker} {size} @ {at} client=m; t{number}: {taker} {size} @ {at} client=t"
        )
        expected.trade(lots, at)
    row = played.accounts.positions_of(played.number("t"))[0]
    assert row[2:5] == (expected.lots, expected.basis, expected.realized)
