"""While a server recovers: what its address answers, and that nothing is refused a connection."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from novate.gateway.openapi import document
from novate.gateway.replies import Health, Readiness
from novate.journal.snapshots import SnapshotStore
from tests.conftest import Server, wait_until
from tests.integration.data_folder import fill, settings_of
from tests.integration.test_ws_handshake import UNREAD, answer_to

pytestmark = pytest.mark.slow


def answer_of(client: httpx.Client) -> int:
    """Status of /readyz; 0 where the connection was closed before an answer, as at a hand-over."""
    try:
        return client.get("/readyz").status_code
    except httpx.TransportError:
        return 0


@contextmanager
def held_up(server: Server) -> Iterator[httpx.Client]:
    """A server whose recovery waits for the block's end: its newest snapshot is a pipe.

    Whoever opens a pipe to read waits for one that opens it to write. There is nothing in it, so
    the snapshot is then passed over.
    """
    pipe = SnapshotStore(server.data_dir).path(10**12)
    pipe.parent.mkdir(exist_ok=True)
    os.mkfifo(pipe)
    server.start(ready=False)
    with httpx.Client(base_url=server.url, timeout=30) as client:

        def answers() -> bool:
            assert server.process is not None
            assert server.process.poll() is None, server.log()
            return answer_of(client) == 503

        wait_until(answers, what="an answer during recovery")
        yield client
        writer = os.open(pipe, os.O_WRONLY)
        pipe.unlink()
        os.close(writer)
        wait_until(lambda: answer_of(client) == 200, what="a ready server")


@pytest.fixture
def filled(make_server: Callable[..., Server], tmp_path: Path) -> Server:
    fill(settings_of(tmp_path / "data"), range(50))
    return make_server(tmp_path / "data")


def test_readyz_says_recovering_until_orders_are_taken(filled: Server) -> None:
    with held_up(filled) as client:
        ready = client.get("/readyz")
        assert ready.json() == {
            "status": "not_ready",
            "state": "recovering",
            "reason": "the latest snapshot is being loaded",
        }
        assert (ready.status_code, ready.headers["retry-after"]) == (503, "1")
        assert ready.headers["connection"] == "close"
        health = client.get("/healthz")
        assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
        assert health.json()["checks"]["journal"]["status"] == "recovering"
    assert httpx.get(f"{filled.url}/readyz").json() == {"status": "ready"}
    assert httpx.get(f"{filled.url}/orderbook").json()["sequence"] > 0
    wait_until(lambda: "passed over" in filled.log(), what="the line that says so")
    assert filled.stop() == 0


def test_nothing_else_is_taken_meanwhile(filled: Server) -> None:
    order = {"client_id": "a", "side": "buy", "type": "limit", "price": 1, "quantity": 1}
    with held_up(filled) as client:
        for method, path in [("POST", "/orders"), ("GET", "/orderbook"), ("DELETE", "/nowhere")]:
            answer = client.request(method, path, json=order if method == "POST" else None)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == "recovering"
        with pytest.raises(InvalidStatus) as refused, connect(filled.ws_url):
            pass
        assert refused.value.response.status_code == 503
        body = refused.value.response.body
        assert body is not None
        assert json.loads(body)["code"] == "recovering"
    with httpx.Client(base_url=filled.url) as client:
        assert client.post("/orders", json=order).status_code == 201


def test_an_upgrade_that_is_no_handshake_is_ended(filled: Server) -> None:
    with held_up(filled):
        for raw, status, code in UNREAD.values():
            answered, headers, body = answer_to(filled, raw)
            assert (answered, json.loads(body)["code"]) == (status, code)
            assert headers["connection"] == "close"
    assert filled.stop() == 0


def test_garbage_and_idle_connections_do_not_hold_the_start_up(filled: Server) -> None:
    idle = []
    with held_up(filled) as client:
        for sent in (b"", b"POST /orders HTTP/1.1\r\nhost: x\r\n", b"\x16\x03\x01\r\n\r\n"):
            connection = socket.create_connection(("127.0.0.1", filled.port))
            connection.sendall(sent)
            idle.append(connection)
        assert client.get("/readyz").json()["state"] == "recovering"
    for connection in idle:
        connection.close()
    assert httpx.get(f"{filled.url}/readyz").status_code == 200


def test_too_many_connections_are_refused_as_ever(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    fill(settings_of(tmp_path / "data"), range(5))
    server = make_server(tmp_path / "data", connections_max=16)
    with held_up(server) as client:
        held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(24)]

        def refused() -> bool:
            return client.get("/readyz").json().get("code") == "too_many_connections"

        wait_until(refused, what="a refusal")
        for connection in held:
            connection.close()
        wait_until(lambda: "state" in client.get("/readyz").json(), what="room again")


def test_the_document_has_both_answers() -> None:
    paths = document()["paths"]
    for path, struct in (("/readyz", Readiness), ("/healthz", Health)):
        for status in ("200", "503"):
            content = paths[path]["get"]["responses"][status]["content"]
            schema = content["application/json"]["schema"]
            assert schema == {"$ref": f"#/components/schemas/{struct.__name__}"}
