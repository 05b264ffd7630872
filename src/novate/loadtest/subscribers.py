"""The subscribers of a load test, seen from the generator: a process of their own.

A thousand subscribers in the generator's process would be measured as its latency; so they live in
`audience`, which is started, told to finish, and asked what it saw.
"""

import asyncio
import sys
from typing import Any

import msgspec

from novate.loadtest.options import Options

_READY_S_MAX = 60.0
_RESULT_S_MAX = 60.0


class Subscribers:
    """The running audience process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, options: Options) -> "Subscribers":
        """Start it and wait until every subscriber holds its first snapshot.

        Raises:
            ConnectionError: it ended, or did not get there in a minute.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "novate.loadtest.audience",
            "--host", options.host, "--port", str(options.port),
            "--count", str(options.subscribers), "--instrument", options.instrument,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        subscribers = cls(process)
        try:
            await subscribers._line(_READY_S_MAX)
        except BaseException:
            subscribers.kill()
            raise
        return subscribers

    async def finish(self) -> dict[str, Any]:
        """Tell it that the load is over; it settles, checks every book, and reports."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"finish\n")
        return await self._line(_RESULT_S_MAX)

    def kill(self) -> None:
        """End the process, if it has not ended by itself."""
        if self._process.returncode is None:
            self._process.kill()

    async def _line(self, seconds_max: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), seconds_max)
        except TimeoutError:
            line = b""
        if not line:
            raise ConnectionError("the subscribers' process did not answer")
        answer: dict[str, Any] = msgspec.json.decode(line)
        return answer
