"""The fast lane and the ordinary way answer byte for byte the same, whatever is sent and how."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

import pytest

from novate.config import Settings
from tests.conftest import wait_until
from tests.integration.gateway_stand import PATIENT, Stand

DATE = re.compile(rb"\r\ndate: [^\r]*")
ORDER = (
    b'{"client_id":"A","side":"buy","type":"limit","price":70150.5,"quantity":0.25,"order_id":"%b"}'
)


class Pair(NamedTuple):
    """Two gateways that differ in the fast lane alone."""

    fast: Stand
    ordinary: Stand


@contextmanager
def two_gateways() -> Iterator[Pair]:
    settings = Settings(
        rate_limit_per_second=0, body_bytes_max=4096, header_bytes_max=8192, **PATIENT
    )
    with Stand(True, settings) as fast, Stand(False, settings) as ordinary:
        yield Pair(fast, ordinary)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Shared: what one test leaves behind, it leaves in both."""
    with two_gateways() as made:
        yield made


@pytest.fixture
def fresh() -> Iterator[Pair]:
    """Nothing has happened yet."""
    with two_gateways() as made:
        yield made


def post(path: bytes, body: bytes, *lines: bytes) -> bytes:
    head = [b"POST %b HTTP/1.1" % path, b"host: x", b"content-length: %d" % len(body), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def get(path: bytes, *lines: bytes, method: bytes = b"GET") -> bytes:
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, path), b"host: x", *lines]) + b"\r\n\r\n"


def order(order_id: bytes, *lines: bytes) -> bytes:
    return post(b"/orders", ORDER % order_id, *lines)


LAST = get(b"/nothing", b"connection: close")
"""Ends a conversation; goes the ordinary way in both."""


def talk(stand: Stand, chunks: list[bytes], last: bytes = LAST) -> bytes:
    """Send chunk by chunk, then `last`, and read until the server closes; dates are left out."""
    with stand.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for chunk in chunks:
            connection.sendall(chunk)
        if last:
            connection.sendall(last)
        return DATE.sub(b"", read_all(connection))


def wait_until_held(stand: Stand) -> None:
    wait_until(lambda: stand.partition.sequencer.held, what="an order that waits")


def is_alone(stand: Stand) -> bool:
    return not stand.server.server_state.connections


def read_all(connection: socket.socket) -> bytes:
    received = []
    while True:
        try:
            chunk = connection.recv(65536)
        except ConnectionResetError:
            break
        if not chunk:
            break
        received.append(chunk)
    return b"".join(received)


def read_replies(connection: socket.socket, count: int) -> bytes:
    """Read so many replies, by their content-length."""
    received = b""
    ends = 0
    for _ in range(count):
        while True:
            end = received.find(b"\r\n\r\n", ends)
            found = re.search(rb"content-length: (\d+)", received[ends:end]) if end >= 0 else None
            if found and len(received) >= end + 4 + int(found[1]):
                ends = end + 4 + int(found[1])
                break
            chunk = connection.recv(65536)
            assert chunk, received
            received += chunk
    assert len(received) == ends
    return DATE.sub(b"", received)


BATCH = (
    b'{"operations":[{"op":"place","order":%b},{"op":"amend","order_id":"b1","price":70150},'
    b'{"op":"cancel","order_id":"b1"},{"op":"cancel"},{"op":"dance"},5]}' % (ORDER % b"b1")
)

CONVERSATIONS: dict[str, list[bytes]] = {
    "an order": [order(b"o1")],
    "orders on one connection": [order(b"o1"), order(b"o2"), order(b"o1")],
    "a body that is no order": [post(b"/orders", b"{}"), order(b"o1")],
    "no body": [post(b"/orders", b"")],
    "no content-length": [get(b"/orders", method=b"POST")],
    "a key in the header": [order(b"o1", b"Idempotency-Key: k1")],
    "two keys in the header": [order(b"o1", b"Idempotency-Key: k1", b"idempotency-key: k2")],
    "a key that is none": [order(b"o1", b"Idempotency-Key: \xe9 x")],
    "an order, then reads of it": [
        order(b"o1"), get(b"/orders/o1"), get(b"/orders/no"), get(b"/orders/%6f1"),
        get(b"/orderbook"), get(b"/orderbook?levels=2"), get(b"/orderbook?levels=0"),
        get(b"/orderbook?nonsense=1"), get(b"/trades"), get(b"/trades?limit=5&limit=6"),
        get(b"/orderbook?instrument="), get(b"/orderbook?instrument=%00"), get(b"/orderbook?"),
    ],
    "amend and cancel": [
        order(b"o1"), get(b"/orders/o1", method=b"DELETE"), get(b"/orders/o1", method=b"DELETE"),
        order(b"o2"), post(b"/orders/o2/cancel", b""), post(b"/orders/o2/cancel", b"{}"),
        order(b"o3"), post(b"/orders/o3", b'{"price":70150}').replace(b"POST", b"PATCH", 1),
        post(b"/orders/o3/cancel", b"nonsense"), post(b"/orders/no/cancel", b""),
    ],
    "a batch": [post(b"/orders/batch", BATCH), post(b"/orders/batch", b"[]")],
    "other methods": [
        get(b"/orders", method=b"HEAD"), get(b"/orderbook", method=b"HEAD"),
        get(b"/orders", method=b"OPTIONS"), get(b"/orders", method=b"PUT"),
        get(b"/orderbook", method=b"DELETE"), get(b"/orders/o1/cancel"), get(b"/orders/"),
        get(b"//orders"), get(b"/orders/batch"), get(b"/orders/a/b/c", method=b"DELETE"),
    ],
    "a get with a body": [
        b"GET /orderbook HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi", order(b"o1"),
    ],
    "chunked": [
        b"POST /orders HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        b"a\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n"
        % ((ORDER % b"o1")[:10], len(ORDER % b"o1") - 10, (ORDER % b"o1")[10:]),
    ],
    "a body too large": [post(b"/orders", b" " * 5000)],
    "chunks too large": [
        b"POST /orders HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
         b"1000\r\n" + b" " * 4096 + b"\r\n1000\r\n" + b" " * 4096 + b"\r\n0\r\n\r\n",
    ],
    "headers too large": [order(b"o1", b"x-long: " + b"y" * 9000)],
    "too many headers": [order(b"o1", *[b"x-%d: y" % i for i in range(300)])],
    "an upgrade to nothing": [order(b"o1", b"connection: upgrade", b"upgrade: h2c")],
    "names in other cases": [
        order(b"o1").replace(b"content-length", b"CONTENT-LENGTH"),
        order(b"o2", b"IDEMPOTENCY-KEY: K"),
    ],
}  # fmt: skip

ENDINGS: dict[str, bytes] = {
    "HTTP/1.0": order(b"o1").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "connection: close": order(b"o1", b"connection: close"),
    "no HTTP": b"nonsense\r\n\r\n",
    "a bad length": b"POST /orders HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n",
    "two lengths": b"POST /orders HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
    "length and chunks": b"POST /orders HTTP/1.1\r\ncontent-length: 5\r\n"
    b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bad chunk": b"POST /orders HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "a NUL in a header": b"POST /orders HTTP/1.1\r\nx: \x00\r\n\r\n",
    "binary": bytes(range(256)),
    "HTTP/9.9": order(b"o1").replace(b"HTTP/1.1", b"HTTP/9.9"),
    "endless headers": b"POST /orders HTTP/1.1\r\n" + b"x: y\r\n" * 2000,
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_both_ways_answer_the_same_bytes(pair: Pair, name: str):
    for _ in range(2):  # the second time, heads are known and orders are there
        answers = [talk(stand, CONVERSATIONS[name]) for stand in pair]
        assert answers[0] == answers[1]
        assert answers[0].startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("name", ENDINGS)
def test_both_ways_end_a_connection_alike(pair: Pair, name: str):
    answers = []
    for stand in pair:
        answer = talk(stand, [], ENDINGS[name])
        with stand.connect() as connection:
            connection.sendall(order(b"o9"))
            answer += read_replies(connection, 1)
            connection.sendall(ENDINGS[name])
            answers.append(answer + DATE.sub(b"", read_all(connection)))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_pipelined_requests_are_answered_in_order_and_alike(pair: Pair, name: str):
    together = b"".join(CONVERSATIONS[name])
    answers = [talk(stand, [together]) for stand in pair]
    assert answers[0] == answers[1]


def test_many_pipelined_orders_and_reads(fresh: Pair):
    mixed = b"".join(
        order(b"p%d" % i) + get(b"/orders/p%d" % i) + get(b"/orderbook") for i in range(50)
    )
    answers = [talk(stand, [mixed]) for stand in fresh]
    assert answers[0] == answers[1]
    assert answers[0].count(b"HTTP/1.1 201") == 50
    assert answers[0].count(b"HTTP/1.1 200") == 100


@pytest.mark.slow
def test_a_request_split_at_every_byte(pair: Pair):
    for make in (order, lambda name: order(name, b"idempotency-key: k" + name)):
        size = len(make(b"s000"))
        for at in range(1, size):
            whole = make(b"s%03d" % at)
            parts = [whole[:at], whole[at:]]
            with pair.fast.connect() as one, pair.ordinary.connect() as other:
                answers = []
                for connection in (one, other):
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    for part in parts:
                        connection.sendall(part)
                    answers.append(read_replies(connection, 1))
            assert answers[0] == answers[1]
        whole = make(b"bytes")
        answers = [talk(stand, [bytes([each]) for each in whole]) for stand in pair]
        assert answers[0] == answers[1]


def test_expect_100_continue(fresh: Pair):
    head, _, body = order(b"o1", b"expect: 100-continue").partition(b"\r\n\r\n")
    answers = []
    for stand in fresh:
        with stand.connect() as connection:
            connection.sendall(head + b"\r\n\r\n")
            interim = connection.recv(25)
            connection.sendall(body + LAST)
            answers.append(interim + DATE.sub(b"", read_all(connection)))
    assert answers[0] == answers[1]
    assert answers[0].startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created")


def test_expect_100_continue_of_a_body_too_large_is_refused_at_once(pair: Pair):
    head = order(b"o1", b"expect: 100-continue").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    head = re.sub(rb"content-length: \d+", b"content-length: 999999", head)
    answers = [talk(stand, [head], b"") for stand in pair]
    assert answers[0] == answers[1]
    assert answers[0].startswith(b"HTTP/1.1 413 ")


def test_requests_behind_an_order_that_waits(fresh: Pair):
    answers = []
    for stand in fresh:
        stand.hold(True)
        with stand.connect() as connection:
            connection.sendall(order(b"o1"))
            wait_until_held(stand)
            connection.sendall(get(b"/orders/o1") + order(b"o2")[:40])
            connection.sendall(order(b"o2")[40:] + LAST)
            stand.read_what_was_sent()
            stand.hold(False)
            answers.append(DATE.sub(b"", read_all(connection)))
    assert answers[0] == answers[1]
    statuses = re.findall(rb"HTTP/1.1 (\d+)", answers[0])
    assert statuses == [b"201", b"200", b"201", b"404"]


def test_too_many_headers_are_told_how_many_may_be(pair: Pair):
    for each in ("too many headers", "headers too large"):
        for stand in pair:
            told = talk(stand, CONVERSATIONS[each], b"")
            assert b"expected at most 256 headers of at most 8192 bytes together" in told


@pytest.mark.slow
@pytest.mark.parametrize("each", [get(b"/orderbook"), get(b"/readyz"), order(b"again")])
def test_a_head_cut_behind_many_requests_is_not_as_long_as_they_are(pair: Pair, each: bytes):
    """All in one read, and together longer than a head may be; the last one's head comes later."""
    count = 1 + 2 * 8192 // len(each)
    for stand in pair:
        with stand.connect() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(each * count + each[:20])
            read_replies(connection, count)
            connection.sendall(each[20:])
            assert read_replies(connection, 1).count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("size", [100, 5000])
def test_a_head_in_parts_is_too_long_at_its_limit(pair: Pair, size: int):
    """Behind a whole request, and behind none: nobody sends a head without an end."""
    for before in (b"", get(b"/readyz")):
        for stand in pair:
            with stand.connect() as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.sendall(before + get(b"/readyz", b"x-long: ")[:-4])
                read_replies(connection, 1 if before else 0)
                sent = 0
                with suppress(ConnectionError):
                    while sent < 100_000:
                        sent += connection.send(b"y" * size)
                answers = read_all(connection)
            # The 431 may be lost to what was sent meanwhile; a head that is waited for gets a 408.
            assert b"HTTP/1.1 408 " not in answers


@pytest.mark.slow
def test_garbage_behind_an_order_that_waits_does_not_take_its_answer(fresh: Pair):
    for stand in fresh:
        stand.hold(True)
        with stand.connect() as connection:
            connection.sendall(order(b"o1"))
            wait_until_held(stand)
            connection.sendall(b"garbage\r\n\r\n")
            stand.read_what_was_sent()
            stand.hold(False)
            answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 201 Created")
        assert answer.count(b"HTTP/1.1") == 1
        assert b"connection: close" in answer


def test_a_client_that_leaves_before_its_answer(fresh: Pair):
    for stand in fresh:
        stand.hold(True)
        with stand.connect() as connection:
            connection.sendall(order(b"gone"))
            wait_until_held(stand)
        wait_until(partial(is_alone, stand), what="a closed connection")
        stand.hold(False)
        assert talk(stand, [get(b"/orders/gone")]).startswith(b"HTTP/1.1 200")


@pytest.mark.slow
def test_a_stop_waits_for_the_answers_that_are_due():
    for fast_lane in (True, False):
        with Stand(fast_lane) as stand:
            stand.hold(True)
            with stand.connect() as connection, stand.connect() as idle:
                connection.sendall(order(b"o1"))
                wait_until_held(stand)
                stand.read_what_was_sent()  # and so both are known to it
                stand.server.should_exit = True
                assert idle.recv(1) == b""  # it had nothing to wait for
                stand.hold(False)
                answer = read_all(connection)
            assert answer.startswith(b"HTTP/1.1 201 Created")
            assert b"connection: close" in answer


def test_the_fast_lane_is_taken(fresh: Pair):
    """So that the comparisons above compare two things."""
    seen: dict[bool, list[str]] = {True: [], False: []}

    def spy_on(stand: Stand) -> None:
        app = stand.server.config.loaded_app

        async def spy(scope: dict[str, Any], receive: Callable[..., Any], send: Any) -> None:
            seen[stand.fast_lane].append(scope["path"])
            await app(scope, receive, send)

        stand.server.config.loaded_app = spy

    for stand in fresh:
        spy_on(stand)
        with stand.connect() as connection:
            for each in (order(b"o1"), get(b"/orders/o1"), order(b"o2", b"idempotency-key: k")):
                connection.sendall(each)
                read_replies(connection, 1)
            connection.sendall(LAST)
            read_all(connection)
    assert seen == {True: ["/nothing"], False: ["/orders", "/orders/o1", "/orders", "/nothing"]}


@pytest.mark.slow
@pytest.mark.parametrize("fast_lane", [True, False])
def test_slow_and_idle_connections_are_ended(fast_lane: bool):
    settings = Settings(request_timeout_seconds=60, keep_alive_seconds=600)
    with Stand(fast_lane, settings, pushed=True) as stand:
        for begin in (b"POST /ord", order(b"o1")[:-5]):
            with stand.connect() as connection:
                connection.sendall(begin)
                stand.read_what_was_sent()
                stand.pass_time(61)
                answer = read_all(connection)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"application/problem+json" in answer
        for begin in (order(b"o1"), b""):
            with stand.connect() as connection:
                connection.sendall(begin)
                assert read_replies(connection, 1 if begin else 0).startswith(
                    b"HTTP/1.1 201" if begin else b""
                )
                stand.read_what_was_sent()
                stand.pass_time(601)
                assert read_all(connection) == b""


@pytest.mark.slow
@pytest.mark.parametrize("fast_lane", [True, False])
def test_surplus_connections_are_ended(fast_lane: bool):
    with Stand(fast_lane, Settings(connections_max=3, **PATIENT)) as stand:
        three = [stand.connect() for _ in range(3)]
        for connection in three:
            connection.sendall(get(b"/orderbook"))
            read_replies(connection, 1)
        answer = talk(stand, [get(b"/orderbook")], b"")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer
        three.pop().close()
        wait_until(lambda: len(stand.server.server_state.connections) < 3, what="room")
        assert b"HTTP/1.1 404" in talk(stand, [])
        for connection in three:
            connection.close()


def fill(connection: socket.socket) -> None:
    """Ask for much and read nothing."""
    connection.setblocking(False)
    requests = get(b"/docs") * 400
    sent = 0
    while sent < 200_000:
        try:
            sent += connection.send(requests)
        except BlockingIOError:
            break


@pytest.mark.slow
def test_a_client_that_does_not_read_is_left():
    """Past the transport's high-water mark nothing more is answered; after a while it is closed."""
    settings = Settings(request_timeout_seconds=3600, keep_alive_seconds=600)
    with Stand(True, settings, pushed=True) as stand, stand.connect() as connection:
        fill(connection)
        wait_until(lambda: stand.server.server_state.total_requests > 0, what="an answer")
        stand.read_what_was_sent()
        for protocol in list(stand.server.server_state.connections):
            assert protocol.transport.get_write_buffer_size() < 4 * 2**20

        def is_left() -> bool:
            stand.pass_time(601)
            return is_alone(stand)

        wait_until(is_left, what="a closed connection")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (b"/orders", ORDER[:-1] % b"twice" + b',"side":"sell"}', "side"),
        (b"/orders", ORDER[:-1] % b"twice" + b',"side":"buy"}', "side"),
        (b"/orders", ORDER[:-1] % b"twice" + b',"s\\u0069de":"sell"}', "side"),
        (b"/orders", ORDER[:-1] % b"twice" + b',"idempotency_key":"k","price":1}', "price"),
        (b"/orders/twice/cancel", b'{"client_id":"A","client_id":"A"}', "client_id"),
        (b"/orders/batch", b'{"operations":[],"client_id":"A","operations":[]}', "operations"),
        (b"/admin/instruments", b'{"name":"X","base":"X","name":"Y"}', "name"),
    ],
)
def test_a_field_that_stands_twice(pair: Pair, path: bytes, body: bytes, field: str) -> None:
    answers = [talk(stand, [post(path, body)]) for stand in pair]
    assert answers[0] == answers[1]
    assert answers[0].startswith(b"HTTP/1.1 400 ")
    assert b'"code":"duplicate_field"' in answers[0]
    message = b'"errors":[{"field":"%b","message":"expected once, found twice"}]'
    assert message % field.encode() in answers[0]
    unknown = get(b"/orders/twice")
    assert all(b'"unknown_order"' in talk(stand, [unknown]) for stand in pair)


def test_a_field_that_stands_twice_in_a_batch_is_its_operations_fault(pair: Pair) -> None:
    good = b'{"op":"place","order":%b}' % (ORDER % b"once")
    bad = b'{"op":"place","order":%b}' % (ORDER[:-1] % b"twice" + b',"price":1}')
    worse = b'{"op":"cancel","order_id":"once","op":"place"}'
    body = b'{"operations":[%b,%b,%b]}' % (bad, good, worse)
    answers = [talk(stand, [post(b"/orders/batch", body)]) for stand in pair]
    assert answers[0] == answers[1]
    assert answers[0].startswith(b"HTTP/1.1 200 ")
    outcomes = re.findall(rb'{"status":(\d+)', answers[0])
    assert outcomes == [b"400", b"201", b"400"]
    assert answers[0].count(b'"code":"duplicate_field"') == 2
    assert b'"field":"order.price"' in answers[0]
    assert b'"field":"op"' in answers[0]
