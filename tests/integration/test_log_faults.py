"""A log that can't be written, or that nobody reads, on a real server: it costs lines alone."""

from __future__ import annotations

import json
import os
import resource
import select
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SOAK, STOP_SECONDS, Server, wait_until

MakeServer = Callable[..., Server]

ORDERS = 2000 if SOAK else 500
"""Their lines fill a pipe either way."""

ORDER = {"client_id": "a", "side": "buy", "type": "limit", "price": 100, "quantity": "0.01"}

pytestmark = pytest.mark.slow


@contextmanager
def closed_pipe(_: Path) -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@contextmanager
def full_device(_: Path) -> Iterator[int]:
    writer = os.open("/dev/full", os.O_WRONLY)
    yield writer
    os.close(writer)


@contextmanager
def unread_pipe(_: Path) -> Iterator[int]:
    reader, writer = os.pipe()
    yield writer
    os.close(writer)
    os.close(reader)


@contextmanager
def limited_file(folder: Path) -> Iterator[int]:
    """A file in the server's own file system, which is full when the journal's is."""
    writer = os.open(folder / "server.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    yield writer
    os.close(writer)


def connect(server: Server) -> closing[HTTPConnection]:
    """A connection to be, which is closed at the end of the block."""
    return closing(HTTPConnection("127.0.0.1", server.port, timeout=30))


def ask(connection: HTTPConnection, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    content = None if body is None else json.dumps(body)
    connection.request(method, path, content)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def make_full(server: Server) -> None:
    """No file of the server can be written any more, as on a full disk."""
    hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (0, hard))


def make_room(server: Server) -> None:
    hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (hard, hard))


def state(connection: HTTPConnection) -> str:
    return str(ask(connection, "GET", "/readyz")[1].get("state", "ready"))


@pytest.mark.parametrize("log", [closed_pipe, full_device, unread_pipe, limited_file])
def test_orders_are_answered_a_stall_ends_and_so_does_the_server(
    make_server: MakeServer, tmp_path: Path, log: Callable[[Path], Any]
) -> None:
    server = make_server(log_orders_per_second_max=1_000_000, rate_limit_per_second=0)
    with log(tmp_path) as stderr, connect(server) as connection, connect(server) as waiting:
        server.start(stderr=stderr)
        for number in range(ORDERS):
            status, order = ask(connection, "POST", "/orders", ORDER | {"order_id": f"o{number}"})
            assert (status, order["order_id"]) == (201, f"o{number}")

        if log is unread_pipe:
            wait_until(lambda: not select.select([], [stderr], [], 0)[1], what="a full pipe")

        make_full(server)
        waiting.request("POST", "/orders", json.dumps(ORDER | {"order_id": "waits"}))
        wait_until(lambda: state(connection) == "stalled")
        make_room(server)
        assert waiting.getresponse().status == 201
        wait_until(lambda: state(connection) == "ready")
        assert ask(connection, "GET", "/healthz")[0] == 200
        assert ask(connection, "GET", "/orders/waits")[0] == 200

        assert server.stop(STOP_SECONDS) == 0


def test_what_a_full_disk_cost_is_said_and_counted_when_there_is_room(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    with limited_file(tmp_path) as stderr, connect(server) as connection:
        server.start(stderr=stderr)
        make_full(server)
        for _ in range(5):
            assert ask(connection, "POST", "/orders", {"client_id": "a"})[0] == 400

        def lost() -> int:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
            [line] = [each for each in text.splitlines() if each.startswith("log_lines_lost_total")]
            return int(float(line.split()[1]))

        wait_until(lambda: lost() == 5)
        make_room(server)
        assert ask(connection, "POST", "/orders", ORDER)[0] == 201
        assert server.stop() == 0
    lines = [json.loads(line) for line in (tmp_path / "server.err").read_text().splitlines()]
    [told] = [at for at, line in enumerate(lines) if line["event"] == "lines_lost"]
    assert (lines[told]["lines"], lines[told]["level"], lines[told]["stage"]) == (
        5,
        "warning",
        "logs",
    )
    assert [line["event"] for line in lines[told + 1 :]] == ["submitted", "stopping", "stopped"]


def test_the_last_lines_before_the_exit_are_written(make_server: MakeServer) -> None:
    server = make_server().start()
    assert server.stop() == 0
    events = [json.loads(line)["event"] for line in server.log().splitlines() if line[0] == "{"]
    assert events[-2:] == ["stopping", "stopped"]


def test_a_server_whose_stdout_cannot_be_written_serves_and_ends_well(
    make_server: MakeServer,
) -> None:
    server = make_server()
    with closed_pipe(server.data_dir) as nowhere:
        server.start(stdout=nowhere)
        assert server.stop() == 0
    assert "not_announced" in server.log()
