"""The lane of one WebSocket among others: what it takes in one turn of the loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from novate.gateway.websocket import Session
from novate.gateway.ws_lane import FRAMES_PER_TURN, LaneLimits, lane_class
from tests.integration.ws_client import frame
from tests.unit.test_websocket_session import Stage

HANDSHAKE = (
    b"GET /stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PONG = b'{"type":"pong"}'


class Turns:
    """Counts what is received between two turns of the loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.total = self.most = self._in_this_turn = 0
        receive = Session.receive

        def counted(session: Session, text: bytes) -> None:
            self.total += 1
            self._in_this_turn += 1
            self.most = max(self.most, self._in_this_turn)
            receive(session, text)

        monkeypatch.setattr(Session, "receive", counted)

    def go_on(self) -> None:
        """A turn has passed; called in each."""
        self._in_this_turn = 0
        asyncio.get_running_loop().call_soon(self.go_on)


async def pongs_of(count: int, limits: LaneLimits, turns: Turns) -> int:
    """How many answers so many pings get that come all at once."""
    loop = asyncio.get_running_loop()
    config = uvicorn.Config("no:application", interface="asgi3", log_config=None)
    config.loaded = True
    config.loaded_app = None
    made = lane_class(Stage().desk, limits)

    def connected() -> Any:
        return made(config=config, server_state=ServerState(), app_state={})

    server = await loop.create_server(connected, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(HANDSHAKE)
    await reader.readuntil(b'"connected"')
    turns.go_on()
    writer.write(frame(b'{"op":"ping"}') * count)
    received = b""
    async with asyncio.timeout(60):
        while received.count(PONG) < count:
            received += await reader.read(1 << 20)
    writer.close()
    server.close()
    await server.wait_closed()
    return received.count(PONG)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, FRAMES_PER_TURN, FRAMES_PER_TURN + 1, 20_000])
def test_a_connection_takes_no_more_than_its_share_of_a_turn(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    turns = Turns(monkeypatch)
    limits = LaneLimits(message_bytes_max=1024, requests_max=16, request_timeout_seconds=60)
    assert asyncio.run(pongs_of(count, limits, turns)) == turns.total == count
    assert turns.most <= FRAMES_PER_TURN
