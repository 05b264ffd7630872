"""A log that raises at every line: the sequencer acts first and speaks after."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator

import pytest
import structlog

from novate.model.errors import InvariantViolated, JournalFailed, JournalFull
from tests.conftest import PATIENCE_SECONDS
from tests.unit.test_sequencer import Rig, run


class RaisingStream:
    """A log that can't be written; it knows how often that was tried."""

    def __init__(self) -> None:
        self.tries = 0

    def write(self, text: str) -> int:
        self.tries += 1
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def raising() -> Iterator[RaisingStream]:
    """Every log line raises meanwhile, with nothing between it and the sequencer."""
    before = structlog.get_config()
    stream = RaisingStream()
    structlog.configure(
        processors=[structlog.processors.JSONRenderer(default=str)],
        logger_factory=structlog.WriteLoggerFactory(file=stream),  # type: ignore[arg-type]
    )
    yield stream
    structlog.configure(**before)


@pytest.mark.slow
def test_a_log_that_cannot_be_written_does_not_keep_a_stall_from_ending(
    raising: RaisingStream,
) -> None:
    async def scenario(rig: Rig) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        rig.journal.endings.extend([JournalFull("no space left")] * 3)
        rig.submit("kept")
        await rig.until(lambda: rig.sequencer.state == "stalled")
        rig.submit("more")
        await rig.answered(2)
        assert rig.sequencer.state == "running"

    run(scenario)
    assert raising.tries == 2  # that it stalls, that it resumed


@pytest.mark.parametrize("ending", [JournalFailed("fsync failed"), None])
def test_a_log_that_cannot_be_written_keeps_nobody_from_hearing_of_a_failure(
    raising: RaisingStream, ending: Exception | None
) -> None:
    async def scenario(rig: Rig) -> None:
        failures: list[str] = []

        def ends(why: str) -> None:
            raise ValueError(why)

        rig.sequencer.on_failed += [ends, failures.append]
        rig.journal.gate.clear()
        if ending is not None:
            rig.journal.endings.append(ending)
        else:
            rig.reporter.fault = InvariantViolated("the book is crossed", 1)
        rig.submit("in")
        await rig.writing()
        rig.submit("waiting")
        rig.journal.gate.set()
        await rig.answered(2)
        assert [answer[1] for answer in rig.answers] == [503, 503]
        assert len(failures) == 1
        assert not await rig.sequencer.stop(PATIENCE_SECONDS)

    run(scenario)
    assert raising.tries
