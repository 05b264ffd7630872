"""Busts: whom they ask for the trade, and what they do with what they are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from novate.engine import Accounts, Engine, Reporter
from novate.gateway.busts import Busts
from novate.gateway.problems import ProblemError
from novate.model.clearing import ClearedTrade, ClearingTerms, FeeTier, TradeCorrection
from novate.model.commands import COMMAND, Phase, Side
from novate.model.packing import pack_advance_time
from tests.oracle.duel import START_NS, spec
from tests.oracle.words import Command, Create, Place, SetClearing, SetPhase, SetTier, to_bytes

LOW, HIGH = (FeeTier(-1000, 3001),), (FeeTier(-1000, 30_010),)


class Ledger:
    """Answers when it is told to."""

    is_on = True

    def __init__(self) -> None:
        self.questions: list[tuple[Callable[..., Any], Callable[[Any], None], Any]] = []

    def ask(self, question: Any, done: Any, failed: Any) -> None:
        self.questions.append((question, done, failed))

    def answer(self, seq: int, trade: ClearedTrade | None) -> tuple[int, int, int]:
        """Answer the question that waits; which trade it was about."""
        question, done, _ = self.questions.pop()
        asked: list[tuple[int, int, int]] = []
        question(SimpleNamespace(cleared_trade=lambda *place: asked.append(place)))
        done((seq, trade))
        return asked[0]


class Desk:
    """Busts over an engine, and what they submit."""

    def __init__(self) -> None:
        engine = Engine()
        self.reporter = Reporter(engine)
        self.accounts = Accounts(engine)
        self.ledger = Ledger()
        self.commands: list[TradeCorrection] = []
        self.submitted: list[bytes] = []
        self.on_outcomes: Any = None
        self.answers: list[tuple[int, dict[str, Any], int | None]] = []
        self.play(Create(spec(0)), SetClearing(ClearingTerms(tiers=LOW), 0))
        self.start()

    def start(self) -> None:
        """As a process does that has just recovered."""
        engine = self.reporter.engine
        operations: Any = SimpleNamespace(
            validator=SimpleNamespace(find_instrument=lambda *_: engine.instruments()[0]),
            command=self.submit,
            together=self.submit_together,
            refuse=lambda problem, reply: problem.answer(reply),
        )
        answers: Any = self.ledger
        self.busts = Busts(operations, self.accounts, engine, self.reporter, answers)

    def play(self, *commands: Command) -> int:
        for command in commands:
            packed = to_bytes(command)
            applied = self.reporter.apply(packed, self.reporter.engine.last_seq + 1, START_NS)
        return applied.last_seq

    def trade(self) -> int:
        """The seq of a trade of 4 lots at 100, bob being the taker."""
        number = self.reporter.engine.last_seq
        one = Place("ann", f"s-{number}", Side.SELL, 4, 100)
        return self.play(one, Place("bob", f"b-{number}", Side.BUY, 4, 100))

    def submit(self, command: bytes, reply: Any) -> None:
        text = command[COMMAND.itemsize :].rstrip(bytes(1))
        self.commands.append(msgspec.json.decode(text, type=TradeCorrection))

    def submit_together(self, commands: list[bytes], on_outcomes: Any, reply: Any) -> bool:
        first, command = commands
        assert first == pack_advance_time()
        self.submit(command, reply)
        self.submitted, self.on_outcomes = commands, on_outcomes
        return True

    def bust(self, trade_id: str, **members: object) -> None:
        def reply(
            status: int, body: bytes, replayed: bool = False, retry_after: int | None = None
        ) -> None:
            self.answers.append((status, json.loads(body), retry_after))

        self.busts.bust(trade_id)(json.dumps(members).encode(), None, reply)

    def set(self, command: Command, instrument: int | None = 0) -> None:
        """Set rates as the clearing calls do, which tell it."""
        noted = self.busts.rates.change(instrument, lambda *_: None)
        self.play(command)
        noted(200, b"{}")


@pytest.fixture
def desk() -> Desk:
    return Desk()


def refused(desk: Desk) -> tuple[int, str, int | None]:
    status, problem, retry_after = desk.answers.pop()
    assert not desk.commands
    return status, problem["code"], retry_after


def test_memory_answers_where_the_rates_are_those_of_the_trade(desk: Desk) -> None:
    seq = desk.trade()
    desk.bust(f"0-{seq}-0")
    assert not desk.ledger.questions
    (command,) = desk.commands
    assert command == TradeCorrection(
        seq=seq, index=0, instrument=0, buyer=1, seller=0, price_ticks=100, quantity_lots=4,
        buyer_fee=13, seller_fee=-4,
    )  # fmt: skip


def test_the_ledger_is_asked_where_rates_have_changed_since(desk: Desk) -> None:
    before = desk.trade()
    desk.set(SetClearing(ClearingTerms(tiers=HIGH), 0))
    after = desk.trade()
    desk.bust(f"0-{after}-0")
    assert desk.commands.pop().buyer_fee == 121
    desk.bust(f"0-{before}-0", new_price="0.5", new_quantity="0.002")
    assert not desk.commands
    was = ClearedTrade(
        buyer=1, seller=0, price_ticks=100, quantity_lots=4, buyer_fee=13, seller_fee=-4,
        taker_side=Side.BUY,
    )  # fmt: skip
    assert desk.ledger.answer(after, was) == (0, before, 0)
    command = desk.commands.pop()
    assert (command.buyer_fee, command.seller_fee) == (13, -4)
    assert (command.new_price_ticks, command.new_quantity_lots) == (50, 2)
    assert (command.new_buyer_fee, command.new_seller_fee) == (31, -1)


def test_a_tier_may_change_rates_only_where_there_are_fees(desk: Desk) -> None:
    before = desk.trade()
    desk.set(SetTier("bob", 1), None)
    desk.bust(f"0-{before}-0")
    assert len(desk.ledger.questions) == 1
    assert not desk.commands
    desk.set(SetClearing(ClearingTerms(), 0))
    free = desk.trade()
    desk.set(SetTier("bob", 2), None)
    desk.bust(f"0-{free}-0")
    assert len(desk.ledger.questions) == 1
    command = desk.commands.pop()
    assert (command.seq, command.buyer_fee, command.seller_fee) == (free, 0, 0)


def test_what_was_before_a_start_is_the_ledgers(desk: Desk) -> None:
    seq = desk.trade()
    desk.start()
    desk.bust(f"0-{seq}-0")
    assert len(desk.ledger.questions) == 1
    desk.bust(f"0-{desk.trade()}-0")
    assert len(desk.commands) == 1


def test_a_ledger_that_has_no_such_trade_is_believed_once_it_is_there(desk: Desk) -> None:
    seq = desk.trade()
    desk.play(Place("ann", "late", Side.SELL, 1, 100))
    desk.bust(f"0-{seq + 1}-0")
    assert desk.ledger.answer(seq, None) == (0, seq + 1, 0)
    assert refused(desk) == (503, "ledger_behind", 1)
    desk.bust(f"0-{seq + 1}-0")
    desk.ledger.answer(seq + 1, None)
    assert refused(desk) == (404, "unknown_trade", None)
    desk.bust(f"0-{seq + 2}-0")  # not yet
    assert refused(desk) == (404, "unknown_trade", None)
    assert not desk.ledger.questions


def test_a_trade_from_before_its_instrument_was_cleared_is_in_no_account(desk: Desk) -> None:
    seq = desk.trade()
    desk.set(SetClearing(ClearingTerms(tiers=HIGH), 0))
    desk.bust(f"0-{seq}-0")
    was = ClearedTrade(buyer=1, seller=0, price_ticks=100, quantity_lots=4, cleared=False)
    desk.ledger.answer(seq, was)
    assert refused(desk) == (409, "not_cleared", None)


def test_what_fails_while_the_ledger_is_asked_is_answered(desk: Desk) -> None:
    desk.bust(f"0-{desk.trade()}-7")
    failed = desk.ledger.questions.pop()[2]
    failed(ProblemError(503, "ledger_away", "away", retry_after=2))
    assert refused(desk) == (503, "ledger_away", 2)


def test_what_differs_is_named_of_the_ledgers_trade_as_of_memorys(desk: Desk) -> None:
    seq = desk.trade()
    desk.bust(f"0-{seq}-0", buy_client_id="ann", sell_client_id="ann")
    remembered = desk.answers.pop()
    desk.set(SetTier("bob", 0), None)
    desk.bust(f"0-{seq}-0", buy_client_id="ann", sell_client_id="ann")
    was = ClearedTrade(
        buyer=1, seller=0, price_ticks=100, quantity_lots=4, buyer_fee=13, seller_fee=-4
    )
    desk.ledger.answer(seq, was)
    status, problem, _ = desk.answers.pop()
    assert (status, problem, _) == remembered
    assert (status, problem["code"]) == (409, "trade_differs")
    assert [each["field"] for each in problem["errors"]] == ["buy_client_id"]


def test_an_auction_that_is_due_at_a_correction_has_ids_of_its_own(desk: Desk) -> None:
    seq = desk.trade()
    due_ns = START_NS + 10**9
    desk.play(SetPhase(Phase.AUCTION, 0, due_ns))
    desk.play(Place("ann", "s", Side.SELL, 1, 100), Place("bob", "b", Side.BUY, 1, 100))
    desk.bust(f"0-{seq}-0", new_price="0.5", new_quantity="0.002")
    last = desk.reporter.engine.last_seq
    desk.reporter.apply(b"".join(desk.submitted), last + 1, due_ns)
    assert [each["trade_id"] for each in shown_trades(desk)][:1] == [f"0-{last + 1}-0"]
    desk.on_outcomes([(200, b"{}", last + 1), (200, b'{"sequence": 1}', last + 2)])
    assert desk.answers == [(200, {"sequence": 1}, None)]


def shown_trades(desk: Desk) -> list[dict[str, Any]]:
    text = desk.reporter.trades_json(0, 9, "0-99-0", True)
    return list(json.loads(text)["trades"])
