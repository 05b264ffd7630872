"""A small HTTP client for load from one event loop: one connection, one request at a time."""

from __future__ import annotations

import asyncio

import msgspec


class Disconnected(Exception):
    """The connection could not be made or broke: what became of the request is not known."""


class Answer(msgspec.Struct, frozen=True):
    """A response.

    Attributes:
        headers: By lower case name.
    """

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class WireClient:
    """A connection to 127.0.0.1 that is made when it is needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def request(self, method: str, path: str, body: bytes = b"", key: str = "") -> Answer:
        """Send a request and read its whole response.

        Raises:
            Disconnected: no connection, or it ended before the response did.
        """
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
        if body:
            head += "content-type: application/json\r\n"
        if key:
            head += f"idempotency-key: {key}\r\n"
        try:
            if self._writer is None:
                opened = await asyncio.open_connection("127.0.0.1", self._port)
                self._reader, self._writer = opened
            self._writer.write(head.encode() + b"\r\n" + body)
            return await self._read_answer()
        except (OSError, asyncio.IncompleteReadError) as error:
            await self.close()
            raise Disconnected(str(error)) from error

    async def _read_answer(self) -> Answer:
        assert self._reader is not None
        head = await self._reader.readuntil(b"\r\n\r\n")
        status_line, *lines = head[:-4].split(b"\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        body = await self._reader.readexactly(int(headers.get(b"content-length", b"0")))
        if headers.get(b"connection", b"").lower() == b"close":
            await self.close()
        return Answer(int(status_line.split(b" ", 2)[1]), headers, body)

    async def close(self) -> None:
        """End the connection; the next request makes another."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                pass
