"""The start of a server: the folder it takes, the address it takes, and how it gives up."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest

from novate import exchange
from novate.listening import listen
from novate.lock import FolderLock
from novate.model.errors import DataFolderLocked, NovateError
from novate.recovery import open_partition
from tests.conftest import Server, free_port, wait_until
from tests.integration.data_folder import fill, settings_of


def test_a_folder_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NovateError, match="file/data: can't be used as the data folder: Not a dir"):
        FolderLock(tmp_path / "file" / "data")
    (tmp_path / "data" / "lock").mkdir(parents=True)
    with pytest.raises(NovateError, match="data: can't be used as the data folder: Is a directory"):
        FolderLock(tmp_path / "data")


def test_no_room_for_the_pid_does_not_refuse_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    lock = FolderLock(tmp_path / "data")
    with pytest.raises(DataFolderLocked, match="another process"):
        FolderLock(tmp_path / "data")
    lock.close()


def test_an_interrupt_ends_a_recovery_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[object] = []

    def recover(*_: object, **__: object) -> None:
        found.append(signal.getsignal(signal.SIGINT))
        raise NovateError("recovering")

    monkeypatch.setattr(exchange, "Exchange", recover)
    monkeypatch.setattr(exchange, "tune_process", lambda: None)
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(NovateError, match="recovering"):
            asyncio.run(exchange.serve(settings_of(tmp_path / "data")))
        assert found == [signal.SIG_DFL]
    finally:
        signal.signal(signal.SIGINT, before)


def test_trade_ids_carry_the_partition_after_a_restart_too(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data", partition=3)
    fill(settings, range(40))
    recovered = open_partition(settings)
    recovered.close()
    trades = recovered.reporter.trades_json(0, 10, None, False)
    assert trades is not None
    assert b'"trade_id":"3-' in trades
    assert b'"trade_id":"0-' not in trades


def test_an_address_where_somebody_listens_is_refused(tmp_path: Path) -> None:
    address = replace(settings_of(tmp_path / "data"), port=free_port())
    first = listen(address)
    with pytest.raises(NovateError, match=f":{address.port}: can't listen there: Address al"):
        listen(address)
    first.close()


@pytest.mark.slow
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_a_stop_that_takes_long(
    make_server: Callable[..., Server], second: signal.Signals
) -> None:
    server = make_server(shutdown_seconds=600, request_timeout_seconds=600).start()
    with socket.create_connection(("127.0.0.1", server.port), 60) as unfinished:
        head = b"POST /orders HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n"
        unfinished.sendall(head + b"expect: 100-continue\r\n\r\n")
        assert unfinished.recv(100).startswith(b"HTTP/1.1 100 ")  # it waits for the body now
        unfinished.sendall(b"{")
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: '"stopping"' in server.log())
        assert server.process.poll() is None
        server.process.send_signal(second)
        assert server.process.wait(60) == -second
    server.start()
    assert server.stop() == 0


@pytest.mark.slow
def test_a_start_with_stdin_stdout_and_stderr_closed(make_server: Callable[..., Server]) -> None:
    """What the server opens first must not stand where its children's files belong."""
    server = make_server().start(shell='exec "$@" <&- >&- 2>&-')
    assert {os.readlink(f"/proc/{server.pid}/fd/{each}") for each in range(3)} == {os.devnull}
    with httpx.Client(base_url=server.url, timeout=60) as client:
        wait_until(lambda: client.get("/admin/status").json()["follower"]["state"] == "running")
        reply = client.post("/admin/snapshot")
    assert reply.status_code == 201, reply.text
    assert server.stop() == 0


def is_refused(server: Server) -> bool:
    """Whether one connection more is told that there are too many; cut off it is not told."""
    try:
        return "too_many_connections" in httpx.get(f"{server.url}/readyz").text
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_clients_leave_the_journal_its_files(make_server: Callable[..., Server]) -> None:
    """Where connections_max is more than the files there are, the surplus is refused."""
    server = make_server(journal_segment_bytes="1MiB").start(shell='ulimit -n 96; exec "$@"')
    order = {"client_id": "a", "side": "buy", "type": "limit", "price": 1, "quantity": 1}
    batch = {"operations": [{"op": "place", "order": order}] * 1000}
    with contextlib.ExitStack() as held, httpx.Client(base_url=server.url, timeout=60) as client:
        assert client.get("/readyz").status_code == 200
        for _ in range(200):
            held.enter_context(socket.create_connection(("127.0.0.1", server.port), 60))
        wait_until(partial(is_refused, server), what="a refusal")
        segments = server.data_dir / "journal"
        while len(list(segments.glob("*.journal"))) < 3:
            assert client.post("/orders/batch", json=batch).status_code == 200
    assert '"few_open_files","limit":96,"needed":4160,"connections":48' in server.log()
    assert server.stop() == 0
