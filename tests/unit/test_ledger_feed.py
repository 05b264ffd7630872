"""How often the ledger is written: a clock that is driven, a journal that is a list of counts."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any, cast

from novate.ledger_feed import FLUSH_SECONDS, POLL_SECONDS, LedgerFeed, LedgerReport, Scribe


class Journal:
    """Commands by the time that they come; stands for a scribe, and notes when it was written."""

    def __init__(self, comes: list[float], at_once_max: int, write_seconds: float) -> None:
        self.now = 0.0
        self.write_seconds = write_seconds
        self.comes = comes
        self.at_once_max = at_once_max
        self.gathered = 0
        self.seq = 0
        self.written: list[tuple[float, int]] = []
        self.looks = 0

    def connect(self) -> None:
        pass

    def close(self) -> None:
        pass

    def gather(self) -> bool:
        self.looks += 1
        there = sum(each <= self.now for each in self.comes) - self.seq
        self.gathered = min(there, self.at_once_max)
        return there > self.gathered

    def write(self) -> None:
        self.written.append((round(self.now, 3), self.gathered))
        self.seq += self.gathered
        self.gathered = 0
        self.now += self.write_seconds


class Until(threading.Event):
    """Set once the time has come; to wait is to move the clock."""

    def __init__(self, journal: Journal, end: float) -> None:
        super().__init__()
        self._journal, self._end = journal, end

    def is_set(self) -> bool:
        return self._journal.now >= self._end

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._journal.now += timeout
        return self.is_set()


def fed(
    comes: list[float], end: float, at_once_max: int = 1000, write_seconds: float = 0.0
) -> tuple[Journal, Any]:
    journal = Journal(comes, at_once_max, write_seconds)
    reports: list[LedgerReport] = []
    stop = Until(journal, end)
    feed = LedgerFeed(cast(Scribe, journal), reports.append, stop, lambda: journal.now)
    feed.run()
    return journal, reports


def test_what_comes_after_a_quiet_time_is_written_at_once() -> None:
    journal, reports = fed([0.9995], end=2.0)
    (written,) = journal.written
    assert 0.9995 <= written[0] <= 0.9995 + POLL_SECONDS
    assert written[1] == 1
    assert reports[-1] == LedgerReport("up", 1)


def test_a_steady_flow_is_gathered_between_two_transactions() -> None:
    journal, _ = fed([number / 1000 for number in range(3000)], end=3.0)
    times = [time for time, _ in journal.written]
    assert all(b - a >= FLUSH_SECONDS - 0.001 for a, b in pairwise(times))
    assert journal.seq > 2500
    assert journal.looks <= len(times) + 2  # nor is the journal looked at in between


def test_one_that_is_behind_waits_for_nothing() -> None:
    journal, _ = fed([0.0] * 5000, end=0.05)
    assert [count for _, count in journal.written] == [1000] * 5
    assert {time for time, _ in journal.written} == {0.0}


def test_what_a_transaction_takes_is_no_pause_more() -> None:
    comes = [number / 1000 for number in range(3000)]
    quick, slow = (fed(comes, end=3.0, write_seconds=each)[0] for each in (0.0, FLUSH_SECONDS / 3))
    assert [time for time, _ in slow.written] == [time for time, _ in quick.written]
    slower, _ = fed(comes, end=3.0, write_seconds=2 * FLUSH_SECONDS)
    times = [time for time, _ in slower.written]
    least = 2 * FLUSH_SECONDS - 0.001
    assert all(least <= b - a < least + 2 * POLL_SECONDS for a, b in pairwise(times[1:]))
