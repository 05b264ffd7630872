"""Requests for an upgrade that are no handshake: each is answered with a problem, and ended."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState
from websockets.http11 import Request

from novate.gateway.handshake import HandshakeProtocol
from tests.conftest import Server, wait_until_async
from tests.integration.ws_client import WsClient

pytestmark = pytest.mark.slow

CONNECTIONS_MAX = 16
TIMEOUT_SECONDS = 60.0

UPGRADE = b"Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
VERSION = b"Sec-WebSocket-Version: 13\r\n"
GOOD = UPGRADE + KEY + VERSION


def request(more: bytes = b"", line: bytes = b"GET /stream", head: bytes = GOOD) -> bytes:
    return line + b" HTTP/1.1\r\n" + head + more + b"\r\n"


# What the parser of handshakes can't read, and so makes no event of.
UNREAD = {
    "a body": (request(b"Content-Length: 5\r\n") + b"hello", 400, "malformed_handshake"),
    "a body that never comes": (request(b"Content-Length: 5\r\n"), 400, "malformed_handshake"),
    "chunks": (request(b"Transfer-Encoding: chunked\r\n"), 400, "malformed_handshake"),
    "a cookie of 9 KB": (request(b"Cookie: %b\r\n" % (b"c" * 9000)), 431, "headers_too_large"),
    "a URL of 9 KB": (
        request(line=b"GET /stream?" + b"q" * 9000), 431, "headers_too_large",
    ),
    "130 headers": (
        request(b"".join(b"X-%d: y\r\n" % n for n in range(130))), 431, "headers_too_large",
    ),
    "a header of no ASCII": (request(b"X\x80: y\r\n"), 400, "malformed_http"),
}  # fmt: skip

REFUSED = {
    "no key": (request(head=UPGRADE + VERSION), 400, "malformed_handshake"),
    "a bad key": (
        request(head=UPGRADE + VERSION + b"Sec-WebSocket-Key: AAAA\r\n"), 400,
        "malformed_handshake",
    ),
    "two keys": (request(KEY), 400, "malformed_handshake"),
    "no version": (request(head=UPGRADE + KEY), 400, "malformed_handshake"),
    "another version": (
        request(head=UPGRADE + KEY + b"Sec-WebSocket-Version: 8\r\n"), 426, "upgrade_required",
    ),
    "POST": (request(line=b"POST /stream"), 405, "method_not_allowed"),
    "HEAD": (request(line=b"HEAD /stream"), 405, "method_not_allowed"),
    "another path": (request(line=b"GET /orderbook"), 404, "not_found"),
}  # fmt: skip
EVERY = {**UNREAD, **REFUSED}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flags: dict[str, object] = {
        "connections_max": CONNECTIONS_MAX,
        "request_timeout_seconds": TIMEOUT_SECONDS,
    }
    server = Server(tmp_path_factory.mktemp("handshake") / "data", flags).start()
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.log()


def answer_to(server: Server, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer, read to the end of the connection.

    Our side stays open, so that it is the server that ends it.
    """
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_SECONDS) as ours:
        ours.sendall(sent)
        received = b""
        while chunk := ours.recv(65536):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), headers, body


@pytest.mark.parametrize("sent", EVERY, ids=list(EVERY))
def test_what_is_no_handshake_is_answered_and_ended(server: Server, sent: str) -> None:
    raw, expected, code = EVERY[sent]
    begun = time.monotonic()
    status, headers, body = answer_to(server, raw)
    assert time.monotonic() - begun < TIMEOUT_SECONDS / 2, "by its deadline, not by its answer"
    assert (status, headers["content-type"]) == (expected, "application/problem+json")
    assert int(headers["content-length"]) == len(body)
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (expected, code)
    assert problem["detail"]


ORDER = json.dumps(
    {"client_id": "a", "side": "buy", "type": "limit", "price": 1, "quantity": 1}
).encode()
PLACE = b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(ORDER), ORDER)
ANSWERED = {201: PLACE, 200: b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"}


@pytest.mark.parametrize("before", [[201], [200], [201, 200], [200, 201]])
def test_a_handshake_behind_a_request_does_not_take_its_answer(
    server: Server, before: list[int]
) -> None:
    """The answers that are due come alone, and whole; then the connection ends."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_SECONDS) as ours:
        ours.sendall(b"".join(ANSWERED[each] for each in before) + request())
        received = b""
        while chunk := ours.recv(65536):
            received += chunk
    assert [int(each) for each in re.findall(rb"HTTP/1.1 (\d+)", received)] == before
    assert received.count(b"connection: close") == 1
    assert received.endswith(b"}")


def test_the_first_line_has_the_reason_of_its_status(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_SECONDS) as ours:
        ours.sendall(request(b"Content-Length: 5\r\n"))
        assert ours.recv(65536).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_the_version_that_is_spoken_is_said(server: Server) -> None:
    _, headers, _ = answer_to(server, REFUSED["another version"][0])
    assert (headers["sec-websocket-version"], headers["upgrade"]) == ("13", "websocket")
    _, headers, _ = answer_to(server, REFUSED["POST"][0])
    assert headers["allow"] == "get"


def test_they_leave_no_connection_behind(server: Server) -> None:
    """More of them than there may be connections, all held open by the client."""
    held = []
    for raw, _, _ in list(UNREAD.values()) * 5:
        ours = socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_SECONDS)
        ours.sendall(raw)
        assert ours.recv(16).startswith(b"HTTP/1.1 4")
        held.append(ours)
    assert len(held) > CONNECTIONS_MAX
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/healthz").status_code == 200
    for ours in held:
        ours.close()


def test_refused_handshakes_are_counted(server: Server) -> None:
    def count(client: httpx.Client) -> int:
        prefix = 'http_requests_total{route="",status="431"} '
        for line in client.get("/metrics").text.splitlines():
            if line.startswith(prefix):
                return int(float(line.removeprefix(prefix)))
        return 0

    with httpx.Client(base_url=server.url) as client:
        before = count(client)
        answer_to(server, UNREAD["130 headers"][0])
        assert count(client) == before + 1


def test_a_session_outlives_the_deadline_of_its_handshake(
    make_server: Callable[..., Server],
) -> None:
    server = make_server(request_timeout_seconds=0.1, heartbeat_seconds=0.5).start()
    with WsClient(server.port) as client:
        client.until_type("heartbeat")
        assert client.ask({"op": "ping"})["type"] == "pong"


class Waiting(HandshakeProtocol):
    """Nobody decides about a handshake."""

    request_timeout_seconds = 0.05

    def handle_connect(self, event: Request) -> None:
        pass


async def ends(sent: bytes) -> bytes:
    """What a client reads of a server that has `Waiting` for every connection, to the end."""
    loop = asyncio.get_running_loop()
    config = uvicorn.Config("no:application", interface="asgi3", log_config=None)
    config.loaded = True
    config.loaded_app = None
    state = ServerState()

    def connected() -> Waiting:
        return Waiting(config=config, server_state=state, app_state={})

    server = await loop.create_server(connected, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        writer.write(sent)
        return await asyncio.wait_for(reader.read(), TIMEOUT_SECONDS)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        server.close()
        await wait_until_async(lambda: not state.connections, what="no connection left")
        await server.wait_closed()


@pytest.mark.parametrize("sent", [b"", request()[:-2], request()])
def test_a_handshake_that_comes_to_nothing_is_cut(sent: bytes) -> None:
    assert asyncio.run(ends(sent)) == b""
