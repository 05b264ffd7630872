"""Clients that don't read their answers, or leave before them: no error of the server's."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.conftest import Server, wait_until

MakeServer = Callable[..., Server]

ASKED = 200
"""Requests of a client that does not read, for 10 MB and more of answers."""

pytestmark = pytest.mark.slow


def ask_and_do_not_read(server: Server) -> socket.socket:
    """A client that has asked for more than the buffers between it and the server hold."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(30)
    client.connect(("127.0.0.1", server.port))
    client.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * ASKED)
    return client


def answered(server: Server) -> int:
    """How many requests for the document were answered; asked on a connection that is new."""
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    rows = [each for each in text.splitlines() if 'route="/openapi.json"' in each]
    return int(float(rows[0].split()[1])) if rows else 0


def wait_for_full_buffers(server: Server) -> None:
    """Until the server answers no more of what that client asked for."""
    counts: list[int] = []

    def waits_for_the_client() -> bool:
        counts.append(answered(server))
        return len(counts) > 20 and 0 < counts[-20] == counts[-1] < ASKED

    wait_until(waits_for_the_client)


def logged(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]


def test_a_client_that_does_not_read_makes_a_stop_no_error(make_server: MakeServer) -> None:
    server = make_server().start()
    with closing(ask_and_do_not_read(server)):
        wait_for_full_buffers(server)
        assert server.stop() == 0
    assert [line for line in logged(server) if line["level"] not in ("info", "warning")] == []
    [ended] = [line for line in logged(server) if line["event"] == "connections_ended"]
    assert ended["count"] == 1


def test_a_client_that_does_not_read_is_dropped_without_an_error(make_server: MakeServer) -> None:
    server = make_server(keep_alive_seconds=1).start()
    with closing(ask_and_do_not_read(server)) as client:
        wait_for_full_buffers(server)

        def is_dropped() -> bool:
            try:
                client.send(b"x")
            except ConnectionError:
                return True
            return False

        wait_until(is_dropped)
        assert server.stop() == 0
    assert [line for line in logged(server) if line["level"] not in ("info", "warning")] == []


def test_a_client_that_asks_and_leaves_is_no_error(make_server: MakeServer) -> None:
    server = make_server().start()
    for _ in range(100):
        with closing(socket.create_connection(("127.0.0.1", server.port), timeout=30)) as client:
            client.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n")
    wait_until(lambda: answered(server) == 100, what="an answer to each")
    assert server.stop() == 0
    assert [line for line in logged(server) if line["level"] not in ("info", "warning")] == []
