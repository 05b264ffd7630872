"""History: questions to the ledger from the event loop, which never waits for it.

Questions are asked on a few threads, so many at a time and in bounded time. A circuit breaker
stands before them: once the ledger was away they are answered 503 at once, and a probe of ours, no
client's question, finds out when it is back.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from novate import logs
from novate.config import NO_LEDGER, Settings
from novate.gateway.problems import ProblemError
from novate.model.errors import LedgerAway, LedgerSlow

if TYPE_CHECKING:
    from novate.ledger.answers import Answers

Answer = TypeVar("Answer")
Done = Callable[[Answer], None]
Failed = Callable[[ProblemError], None]

GRACE_SECONDS: Final = 2.0
"""So much longer than a question may take its answer is waited for."""

RETRY_OFF_SECONDS: Final = 3600

log = logs.get("history")


class DaemonPool(Executor):
    """A few threads that end with the process, whatever a database keeps them waiting for.

    The threads of a `ThreadPoolExecutor` are waited for at the end of the process.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._threads = threads
        self._name = name
        self._started = 0

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a thread call a function; all threads are there from the first call on."""
        while self._started < self._threads:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
            self._started += 1
        future: Future[Any] = Future()
        self._work.put((future, partial(function, *args, **kwargs)))
        return future

    def _run(self) -> None:
        while True:
            future, function = self._work.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except Exception as error:
                future.set_exception(error)


class HistorySettings(Protocol):
    """What history asks of the settings."""

    @property
    def history_seconds(self) -> float:
        """Longest that a question takes."""
        ...

    @property
    def history_threads(self) -> int:
        """Questions asked at a time."""
        ...

    @property
    def history_waiting_max(self) -> int:
        """Questions that wait."""
        ...

    @property
    def history_probe_seconds(self) -> float:
        """How often a ledger that was away is tried."""
        ...


class History:
    """The way to the ledger. Used on the loop's thread.

    Args:
        settings: Its limits.
        loop: The event loop.
        open_answers: Opens the ledger, on a thread of ours; None: there is none.

    Attributes:
        is_open: Whether the breaker lets nothing through.
    """

    def __init__(
        self,
        settings: HistorySettings,
        loop: asyncio.AbstractEventLoop,
        open_answers: Callable[[], Answers] | None,
    ) -> None:
        self._settings = settings
        self._loop = loop
        self._open_answers = open_answers
        self._answers: Answers | None = None
        self._pool = DaemonPool(settings.history_threads, "history")
        self._opening = threading.Lock()
        self._asked = 0
        self._probe: asyncio.TimerHandle | None = None
        self._probing = False
        self._closed = False
        self.is_open = False
        self.why = ""

    @property
    def is_on(self) -> bool:
        """Whether there is a ledger."""
        return self._open_answers is not None

    def require(self) -> None:
        """Raise a ProblemError 503 unless a question may be asked now."""
        if not self.is_on:
            raise ProblemError(
                503, "ledger_off", "this exchange keeps no ledger", retry_after=RETRY_OFF_SECONDS
            )
        if self.is_open:
            raise self._away()
        most = self._settings.history_threads + self._settings.history_waiting_max
        if self._asked >= most:
            detail = f"{most} questions to the ledger wait already"
            raise ProblemError(503, "history_busy", detail, retry_after=1)

    def _away(self) -> ProblemError:
        seconds = max(1, round(self._settings.history_probe_seconds))
        detail = f"the ledger cannot be asked now: {self.why}"
        return ProblemError(503, "ledger_away", detail, retry_after=seconds)

    def ask(
        self, question: Callable[[Answers], Answer], done: Done[Answer], failed: Failed
    ) -> None:
        """Ask on a thread; `done` or `failed` is called on the loop, once.

        Raises:
            ProblemError: 503, it can't be asked now.
        """
        self.require()
        self._asked += 1
        asking = self._loop.run_in_executor(self._pool, self._perform, question)
        task = self._loop.create_task(self._wait(asking, done, failed))
        # The loop holds tasks weakly; this one lives until its answer is there.
        task.add_done_callback(lambda _: self._count_down())

    def _count_down(self) -> None:
        self._asked -= 1

    def _perform(self, question: Callable[[Answers], Answer]) -> Answer:
        with self._opening:
            if self._answers is None:
                assert self._open_answers is not None
                self._answers = self._open_answers()
        return question(self._answers)

    async def _wait(
        self, asking: asyncio.Future[Answer], done: Done[Answer], failed: Failed
    ) -> None:
        seconds = self._settings.history_seconds
        try:
            answer = await asyncio.wait_for(asking, seconds + GRACE_SECONDS)
        except LedgerSlow:
            detail = f"the question took the ledger longer than {seconds:g} s"
            failed(ProblemError(503, "history_timeout", detail, retry_after=1))
        except (LedgerAway, TimeoutError) as away:
            self._trip(str(away) or "it does not answer")
            failed(self._away())
        except Exception as error:
            failed(ProblemError(503, "history_failed", "the question failed", retry_after=5))
            log.error("question_failed", why=repr(error))
        else:
            done(answer)

    # --- the breaker ------------------------------------------------------------------------------

    def _trip(self, why: str) -> None:
        was_open, self.is_open, self.why = self.is_open, True, why
        self._probe_later()
        if not was_open:
            log.warning("ledger_away", why=why)

    def _probe_later(self) -> None:
        if self._probe is None and not self._closed:
            seconds = self._settings.history_probe_seconds
            self._probe = self._loop.call_later(seconds, self.probe)

    def probe(self) -> None:
        """Find out whether the ledger answers, unless that is being found out already."""
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None
        if self._probing or self._closed or not self.is_on:
            return
        self._probing = True
        asking = self._loop.run_in_executor(self._pool, self._perform, _seq_of)
        asking.add_done_callback(self._on_probed)

    def _on_probed(self, asked: asyncio.Future[Any]) -> None:
        self._probing = False
        if asked.cancelled():
            return
        error = asked.exception()
        if error is not None:
            self._trip(str(error))
        elif self.is_open:
            self.is_open, self.why = False, ""
            log.info("ledger_back")

    def close(self) -> None:
        """Let go of the ledger; questions under way come to nothing."""
        self._closed = True
        if self._probe is not None:
            self._probe.cancel()
        if self._answers is not None:
            self._answers.close()


def _seq_of(answers: Answers) -> int:
    return answers.seq()


def ledger_opener(settings: Settings) -> Callable[[], Answers] | None:
    """What opens the ledger for questions, None: there is none."""
    if settings.ledger_url == NO_LEDGER:
        return None

    def open_ledger() -> Answers:
        # SQLAlchemy takes long to import; this is called on a thread, when it is needed.
        from novate.ledger.answers import open_answers
        from novate.ledger.database import url_of

        url = url_of(settings.ledger_url, settings.data_dir)
        seconds, threads = settings.history_seconds, settings.history_threads
        return open_answers(url, seconds, threads, settings.partition)

    return open_ledger
