"""The circuit breaker before the ledger, and the bounds on what waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from novate.gateway.history import History
from novate.gateway.problems import ProblemError
from novate.model.errors import LedgerAway, LedgerSlow
from tests.conftest import wait_until_async


@dataclass
class Limits:
    history_seconds: float = 5.0
    history_threads: int = 1
    history_waiting_max: int = 2
    history_probe_seconds: float = 0.05


@dataclass
class Ledger:
    """Answers, or fails as it is told."""

    fault: Exception | None = None
    asked: int = 0
    gate: threading.Event = field(default_factory=threading.Event)

    def seq(self) -> int:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        return 7

    def wait(self) -> int:
        assert self.gate.wait(10)
        return 8

    def close(self) -> None:
        self.gate.set()


class Desk:
    """Asks, and keeps what came."""

    def __init__(self, ledger: Ledger, limits: Limits | None = None) -> None:
        opened: Any = lambda: ledger  # noqa: E731
        self.history = History(limits or Limits(), asyncio.get_running_loop(), opened)
        self.answers: list[Any] = []

    def ask(self, question: Callable[[Any], Any]) -> None:
        self.history.ask(question, self.answers.append, self.answers.append)

    async def answer(self, question: Callable[[Any], Any]) -> Any:
        count = len(self.answers)
        self.ask(question)
        await wait_until_async(lambda: len(self.answers) > count)
        return self.answers[-1]


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def code_of(refused: Any) -> tuple[int, str]:
    assert isinstance(refused, ProblemError)
    return refused.status, refused.code


def test_it_opens_when_the_ledger_is_away_and_a_probe_closes_it() -> None:
    async def scenario() -> None:
        ledger = Ledger()
        desk = Desk(ledger)
        assert await desk.answer(lambda each: each.seq()) == 7
        ledger.fault = LedgerAway("gone")
        assert code_of(await desk.answer(lambda each: each.seq())) == (503, "ledger_away")
        asked = ledger.asked
        with pytest.raises(ProblemError, match="gone") as refused:
            desk.ask(lambda each: each.seq())
        assert refused.value.retry_after == 1
        await wait_until_async(lambda: ledger.asked >= asked + 2)  # only probes ask meanwhile
        assert desk.history.is_open
        ledger.fault = None
        await wait_until_async(lambda: not desk.history.is_open)
        assert await desk.answer(lambda each: each.seq()) == 7
        desk.history.close()

    play(scenario)


def test_a_slow_question_cuts_nobody_else_off() -> None:
    async def scenario() -> None:
        ledger = Ledger(LedgerSlow("interrupted"))
        desk = Desk(ledger)
        assert code_of(await desk.answer(lambda each: each.seq())) == (503, "history_timeout")
        ledger.fault = None
        assert await desk.answer(lambda each: each.seq()) == 7
        desk.history.close()

    play(scenario)


def test_a_failure_that_is_ours_is_no_outage() -> None:
    async def scenario() -> None:
        desk = Desk(Ledger(ZeroDivisionError()))
        assert code_of(await desk.answer(lambda each: each.seq())) == (503, "history_failed")
        assert not desk.history.is_open
        desk.history.close()

    play(scenario)


def test_what_waits_is_bounded() -> None:
    async def scenario() -> None:
        ledger = Ledger()
        desk = Desk(ledger)
        for _ in range(3):  # one is asked, two wait
            desk.ask(lambda each: each.wait())
        with pytest.raises(ProblemError, match="3 questions") as refused:
            desk.ask(lambda each: each.wait())
        assert code_of(refused.value) == (503, "history_busy")
        ledger.gate.set()
        await wait_until_async(lambda: desk.answers == [8, 8, 8])
        assert await desk.answer(lambda each: each.seq()) == 7
        desk.history.close()

    play(scenario)


def test_without_a_ledger_it_says_so() -> None:
    async def scenario() -> None:
        history = History(Limits(), asyncio.get_running_loop(), None)
        with pytest.raises(ProblemError) as refused:
            history.require()
        assert code_of(refused.value) == (503, "ledger_off")
        history.probe()
        history.close()

    play(scenario)


def test_a_question_that_never_ends_trips_it_and_holds_up_no_exit() -> None:
    async def scenario() -> None:
        ledger = Ledger()
        desk = Desk(ledger, Limits(history_seconds=-1.9))  # with the grace: a tenth of a second
        assert code_of(await desk.answer(lambda each: each.wait())) == (503, "ledger_away")
        assert desk.history.is_open
        desk.history.close()

    play(scenario)
