"""Whatever is sent, the answer is documented, the server lives, and nothing of it is journaled."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from novate.config import Settings
from novate.gateway import openapi
from tests.conftest import PATIENCE_SECONDS, Server, scaled, wait_until
from tests.integration.http_client import encode, order

HEADER_BYTES_MAX = Settings().header_bytes_max
schema = schemathesis.openapi.from_dict(openapi.document())
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_schema_conformance,
]  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from running(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Its own, for random requests set timers, and what is due later is journaled later."""
    yield from running(tmp_path_factory.mktemp("fuzzed"))


def running(folder: Path) -> Iterator[Server]:
    server = Server(folder / "data").start()
    asked = f"{server.url}/trades/stats"
    wait_until(
        lambda: httpx.get(asked, timeout=PATIENCE_SECONDS).status_code == 200,
        what="a ledger that answers",
    )
    yield server
    assert server.stop() == 0
    assert '"level":"error"' not in server.log()
    assert "Traceback" not in server.log()


def sequence(server: Server) -> int:
    return int(httpx.get(f"{server.url}/admin/status", timeout=PATIENCE_SECONDS).json()["sequence"])


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=scaled(300), deadline=None, suppress_health_check=list(HealthCheck))
def test_any_request_of_the_document(case: schemathesis.Case, fuzzed: Server):
    response = case.call(base_url=fuzzed.url, timeout=PATIENCE_SECONDS)
    if response.status_code == 503 and case.operation.path.endswith("snapshot"):
        return  # one at a time, and the follower may be busy with the one before
    case.validate_response(response, checks=CHECKS)


NASTY_TEXTS = [
    "", " ", "\0", "\n", "\x7f", "\u200b",
    "\u202e", "\u00e9", "\u0663", "\uff11", "\U0001d7d9", "\U0001f600", "\ufeff",
    "a" * 65, "a" * 100_000, "../..", "%00", "{{7*7}}", "' OR 1=1 --", "<script>", "null", "NaN",
    "-0", "1e400", "0x1", "1_0", " 1", "1 ", "+1", ".5", "5.", "1e", "--1", "1e1e1", "Infinity",
]  # fmt: skip
NASTY_VALUES: list[Any] = [*NASTY_TEXTS, True, False, -1, 0, [], {}, [[]], {"a": {"b": []}}, ["A"]]
NASTY_JSON = [
    b"1e999999999", b"-1e999999999", b"1e-999999999", b"1" * 100_000, b"0." + b"0" * 100_000 + b"1",
    b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000, b"01", b"+1", b"1.", b".1",
    b"NaN", b"Infinity", b"nul", b"True", b'"\xff"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\x41"',
    b'"\xed\xa0\x80"', b'"unfinished', b"'a'", b"1,", b"\x00", b"/*x*/1", b'"a\x00b"', b'"a\nb"',
    "\u0663".encode(), "\uff11".encode(), b"1e+", b"1E400",
    b"-", b"{}{}", b"0x10", b'"\\u0000"',
]  # fmt: skip
FIELDS = [
    "client_id", "side", "type", "instrument", "price", "quantity", "quote_quantity", "order_id",
    "idempotency_key", "time_in_force", "post_only", "self_trade_prevention", "stop_price",
    "expires_at", "display_quantity", "minimum_quantity", "self_trade_group",
]  # fmt: skip


def refused(reply: httpx.Response) -> None:
    assert reply.status_code in (400, 413), (reply.status_code, reply.text[:300])
    assert reply.headers["content-type"] == "application/problem+json"
    assert len(reply.content) < 20_000
    reply.content.decode("ascii")
    assert reply.json()["errors"] or reply.status_code == 413


def is_an_id(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", value) is not None


@pytest.mark.slow
@pytest.mark.parametrize("field", FIELDS)
def test_nasty_values_are_refused_and_not_journaled(shared: Server, field: str):
    before = sequence(shared)
    good = encode(order(type="limit"))[:-1]
    with httpx.Client(base_url=shared.url, timeout=PATIENCE_SECONDS) as client:
        for value in NASTY_VALUES:
            is_fine = isinstance(value, bool) and field == "post_only"
            if is_fine or (field.endswith(("_id", "_key")) and is_an_id(value)):
                continue
            body = {**order(), field: value}
            refused(client.post("/orders", json=body))
            refused(client.post("/orders/batch", json={"operations": body}))
        for raw in NASTY_JSON:
            refused(client.post("/orders", content=b'%b,"%b":%b}' % (good, field.encode(), raw)))
    assert sequence(shared) == before


@pytest.mark.slow
def test_nasty_bodies_are_refused_and_not_journaled(shared: Server):
    before = sequence(shared)
    good = encode(order())
    bodies = [
        *NASTY_JSON, b"", b" ", b"[]", b"{", b"}", good[:-1], good + good, b"[%b]" % good,
        b"\xef\xbb\xbf" + good, good.decode().encode("utf-16"), good.decode().encode("utf-32"),
        b'{"operations":[' + b"[" * 50_000, b'{"operations":' + b'{"operations":' * 50_000,
        bytes(range(256)), b"\x1f\x8b\x08\x00" + bytes(100), b"client_id=A&side=buy",
    ]  # fmt: skip
    paths = ["/orders", "/orders/batch", "/orders/x/cancel", "/admin/instruments"]
    with httpx.Client(base_url=shared.url, timeout=PATIENCE_SECONDS) as client:
        for body in bodies:
            for path in paths:
                if path.endswith("cancel") and not body:
                    continue
                refused(client.post(path, content=body))
            refused(client.patch("/orders/x", content=body))
    assert sequence(shared) == before


@pytest.mark.slow
def test_a_bad_operation_of_a_batch_is_not_journaled(shared: Server):
    before = sequence(shared)
    operations = [{"op": "place", "order": {**order(), "price": value}} for value in NASTY_VALUES]
    operations += [{"op": value} for value in NASTY_VALUES]
    operations += [{"op": "cancel", "order_id": value} for value in ("", "\0", "é", 5, [], {})]
    reply = httpx.post(
        f"{shared.url}/orders/batch", json={"operations": operations}, timeout=PATIENCE_SECONDS
    )
    assert reply.status_code == 200
    assert {each["status"] for each in reply.json()["outcomes"]} == {400}
    assert sequence(shared) == before


@pytest.mark.slow
def test_nasty_paths_and_queries(shared: Server):
    before = sequence(shared)
    paths = [
        "/orders/%00", "/orders/%ff", "/orders/%ed%a0%80", "/orders/..%2f..", "/orders/%2e%2e",
        "/orders/" + "a" * 5000, "/instruments/%00", "/instruments/" + "%F0%9F%98%80" * 100,
        "/orderbook?levels=1e3", "/orderbook?levels=%D9%A3", "/orderbook?levels=" + "9" * 5000,
        "/orderbook?instrument=%00", "/orderbook?instrument=" + "a" * 5000, "/orderbook?=&=&=",
        "/orderbook?" + "a=1&" * 1000, "/orderbook?levels=1&levels=2", "/orderbook?%ff=%ff",
        "/trades?before=%00", "/trades?before=0-1", "/trades?before=" + "9-" * 500,
        "/trades?limit=0", "/orders?cursor=-1", "/orders?cursor=99999999999999999999",
        "/orders?client_id=%00", "/orders?status=OPEN", "/orders?limit=1001", "/trades?;;;=",
    ]  # fmt: skip
    with httpx.Client(base_url=shared.url, timeout=PATIENCE_SECONDS) as client:
        for path in paths:
            reply = client.get(path)
            assert reply.status_code in (400, 404), (path, reply.text[:300])
            assert reply.headers["content-type"] == "application/problem+json"
            query = path.partition("?")[2]
            assert client.delete(f"/orders?{query}").status_code == 400
    assert sequence(shared) == before


@pytest.mark.slow
def test_nasty_http(shared: Server):
    before = sequence(shared)
    wire = [
        b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\nhost: x\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET http://[::1 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET //// HTTP/1.1\r\nhost: x\r\n\r\n", b"GET * HTTP/1.1\r\nhost: x\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nhost: x\r\n\r\n", b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", b"BREW /orders HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /orders HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /orders HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
        b"POST /orders HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        b"POST /orders HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /stream HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"POST /orders HTTP/1.1\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
    ]  # fmt: skip
    for sent in wire:
        with socket.create_connection(
            ("127.0.0.1", shared.port), timeout=PATIENCE_SECONDS
        ) as connection:
            was_reset = False
            try:
                connection.sendall(sent)
                received = read_head(connection)
            except (ConnectionResetError, BrokenPipeError):
                was_reset = True
        # What is far over the limits may be cut off before it was sent whole, with its answer.
        if was_reset:
            assert len(sent) > HEADER_BYTES_MAX, sent[:60]
        else:
            assert re.match(rb"HTTP/1\.1 [234]\d\d ", received), (sent[:60], received[:200])
    assert httpx.get(f"{shared.url}/readyz", timeout=PATIENCE_SECONDS).status_code == 200
    assert sequence(shared) == before


def read_head(connection: socket.socket) -> bytes:
    """The answer's head; it has to come while our side is open, within the socket's timeout."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        assert chunk, f"closed with no whole answer: {received!r}"
        received += chunk
    return received
