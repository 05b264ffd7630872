"""A small HTTP/1.1 client: one connection each, many at once, bytes as they came."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

from tests.conftest import PATIENCE_SECONDS


class Answer(NamedTuple):
    """A reply: status, headers (lower case), body as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def request(
        self, method: str, path: str, body: Any = None, key: str | None = None
    ) -> Answer:
        """Send a request and read its answer; `body` is bytes, or made JSON."""
        content = body if isinstance(body, bytes) else b"" if body is None else encode(body)
        lines = [f"{method} {path} HTTP/1.1", "host: x", f"content-length: {len(content)}"]
        if key is not None:
            lines.append(f"idempotency-key: {key}")
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            first, *rest = head.decode("latin-1").strip().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in rest)
            length = int(headers.get("content-length", 0))
            return Answer(int(first.split()[1]), headers, await self.reader.readexactly(length))

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


def encode(body: Any) -> bytes:
    return json.dumps(body).encode()


async def open_many(port: int, count: int) -> list[Connection]:
    """So many connections, all open at the same time."""
    return [await Connection.open(port) for _ in range(count)]


async def close_all(connections: list[Connection]) -> None:
    await asyncio.gather(*(each.close() for each in connections))


def order(client_id: str = "A", **fields: Any) -> dict[str, Any]:
    """A limit order to buy 1 at 100, with some fields changed."""
    return {
        "client_id": client_id, "side": "buy", "type": "limit", "price": 100, "quantity": 1,
    } | fields  # fmt: skip
