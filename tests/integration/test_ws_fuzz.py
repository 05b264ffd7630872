"""A fuzz of the WebSocket protocol: never a crash, never a hang, nothing journaled that is bad."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import SOAK, Server, scaled
from tests.integration.ws_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    WsClient,
    frame,
    limit,
)

MESSAGE_BYTES_MAX = 256 * 1024
ORDER = limit("buy", 100, 1)

MALFORMED: list[bytes] = [
    b"",
    b"null",
    b"[]",
    b'"place"',
    b"{",
    b"}" * 1000,
    b"[" * 100_000,
    b'{"op":' * 40_000,
    b'{"op":"place","order":' + b"[" * 100_000,
    b'{"op":"place","order":' + b'{"a":' * 40 + b"1" + b"}" * 41,
    b'{"op":"place","order":null}',
    b'{"op":"place","order":[]}',
    b'{"op":"place","order":1e999999999}',
    b'{"op":"batch","operations":1e999999999}',
    b'{"op":"batch","operations":[]}',
    b'{"op":"batch","operations":{"a":1}}',
    b'{"op":"status","order_id":"\\ud800"}',
    b'{"op":"status","order_id":"\\u0000"}',
    b'{"op":"status","order_id":"' + b"x" * 100_000 + b'"}',
    b'{"op":"subscribe","channels":["' + b"x" * 100_000 + b'"]}',
    b'{"op":"subscribe","channels":[' + b'"trades",' * 1000 + b'"trades"]}',
    b'{"op":"subscribe","channels":["trades"],"from_trade_id":7}',
    b'{"op":"ping","request_id":1e999999999}',
    b'{"op":"ping","request_id":' + b"9" * 10_000 + b"}",
    b'{"op":"ping","request_id":"\\ud800"}',
    b'{"op":"ping","op":"pong"}',
    b'{"op":"place","op":"cancel","order":{}}',
    '{"op":"ping","request_id":"\u0664"}'.encode()[:-3] + b'"',
    b"\x00",
    b"\xef\xbb\xbf{}",
]

BAD_NUMBERS = [
    "1e999999999", "-1e999999999", "1e-999999999", "1E400", "NaN", "Infinity", "-Infinity", "0",
    "-0", "-1", "0.0000000000000000001", "1" * 31, "1" * 400, "0x10", "1_000", "+1", ".5", "5.",
    '"\u0661\u0662"', '"\uff11"', '"1e5000"', '""', '" 1"', '"1 "', '"NaN"', "true", "[]", "{}",
    '"1,5"', "1e19",
]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all; every test leaves it alive, and without an order."""
    made = Server(
        tmp_path_factory.mktemp("fuzz") / "data", {"message_bytes_max": MESSAGE_BYTES_MAX}
    )
    made.start()
    try:
        yield made
        assert made.stop() == 0
        assert not has_failed(made)
    finally:
        made.close()


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[WsClient]:
    """One session for many examples: none of them may end it."""
    with WsClient(server.port) as client:
        yield client


@pytest.fixture(autouse=True)
def _alive_and_untouched(server: Server) -> Iterator[None]:
    before = commands(server)
    yield
    assert httpx.get(f"{server.url}/healthz").json()["status"] == "healthy"
    assert commands(server) == before
    assert not has_failed(server)


def has_failed(server: Server) -> bool:
    """Whether it says that it did; its log may be a moment behind."""
    return bool(re.search(r"Traceback|Exception|InvariantViolated", server.log()))


def commands(server: Server) -> float:
    """How many commands were ever written."""
    for line in httpx.get(f"{server.url}/metrics").text.splitlines():
        if line.startswith("journal_batch_size_sum "):
            return float(line.split()[1])
    raise AssertionError("no such metric")


def is_answered(client: WsClient) -> bool:
    """Whether the session still answers."""
    return client.ask({"op": "ping"})["type"] == "pong"


@pytest.mark.slow
def test_malformed_messages_are_errors_and_the_session_goes_on(server: Server) -> None:
    with WsClient(server.port) as client:
        for text in MALFORMED:
            try:
                text.decode()
            except UnicodeDecodeError:
                continue
            count = len(client.messages)
            client.send_raw(frame(text))
            assert is_answered(client), text[:60]
            answers = [each for each in client.messages[count:] if each["type"] == "error"]
            statuses = [each["problem"]["status"] for each in answers]
            assert all(400 <= status < 500 for status in statuses), (text[:60], statuses)


@pytest.mark.parametrize("field", ["price", "quantity"])
def test_bad_numbers_are_400(server: Server, field: str) -> None:
    with WsClient(server.port) as client:
        for number in BAD_NUMBERS:
            text = json.dumps({"op": "place", "request_id": 1, "order": {**ORDER, field: "@"}})
            client.send_raw(frame(text.replace('"@"', number).encode()))
            reply = client.until(lambda message: message["type"] not in ("connected", "heartbeat"))
            assert reply["type"] == "error", (field, number, reply)
            assert reply["problem"]["status"] == 400, (field, number, reply)


def test_binary_messages_are_refused(server: Server) -> None:
    with WsClient(server.port) as client:
        client.send_raw(frame(json.dumps({"op": "place", "order": ORDER}).encode(), BINARY))
        assert client.until_type("error")["problem"]["code"] == "binary_message"
        assert is_answered(client)


def test_a_fragmented_message_is_one_message(server: Server) -> None:
    text = json.dumps({"op": "ping", "request_id": "fragments"}).encode()
    with WsClient(server.port) as client:
        client.send_raw(frame(text[:5], TEXT, fin=False))
        client.send_raw(frame(b"", CONTINUATION, fin=False) * 1000)
        client.send_raw(frame(b"hello", PING))
        for byte in text[5:-1]:
            client.send_raw(frame(bytes([byte]), CONTINUATION, fin=False))
        client.send_raw(frame(text[-1:], CONTINUATION))
        reply = client.until_type("pong")
        assert reply["request_id"] == "fragments"


def test_frames_may_be_cut_anywhere(server: Server) -> None:
    raw = b"".join(
        frame(json.dumps({"op": "ping", "request_id": n, "type": "x" * size}).encode())
        for n, size in enumerate([0, 60, 200, 70_000])
    )
    with WsClient(server.port) as client:
        for start in range(300):
            client.send_raw(raw[start : start + 1])
        client.send_raw(raw[300:])
        assert [client.until_type("pong")["request_id"] for _ in range(4)] == [0, 1, 2, 3]


# Named, for a frame's mask is random, and the processes of one run have to agree on their tests.
@pytest.mark.parametrize(
    ("raw", "code"),
    [
        pytest.param(frame(b'"\xff\xfe"'), 1007, id="no UTF-8"),
        pytest.param(
            frame(b'{"op":"ping","request_id":"\xed\xa0\x80"}'), 1007, id="a lone surrogate"
        ),
        pytest.param(
            frame(b"{", TEXT, fin=False) + frame(b"\xff}", CONTINUATION),
            1007,
            id="no UTF-8 in a fragment",
        ),
        pytest.param(frame(b"x" * (256 * 1024 + 1)), 1009, id="over the limit"),
        pytest.param(
            b"\x81\xff" + (2**63 - 1).to_bytes(8, "big"), 1009, id="over the limit by its head"
        ),
        pytest.param(
            frame(b"x" * 200_000, TEXT, fin=False) + frame(b"x" * 200_000, CONTINUATION),
            1009,
            id="over the limit by its fragments",
        ),
        pytest.param(frame(b'{"op":"ping"}', masked=False), 1002, id="not masked"),
        pytest.param(frame(b'{"op":"ping"}', 3), 1002, id="an unknown opcode"),
        pytest.param(
            frame(b'{"op":"ping"}', CONTINUATION), 1002, id="a fragment that continues nothing"
        ),
        pytest.param(
            frame(b"{", TEXT, fin=False) + frame(b'{"op":"ping"}'),
            1002,
            id="a message inside another",
        ),
        pytest.param(frame(b"x" * 126, PING), 1002, id="a ping too long"),
        pytest.param(b"\xc1" + frame(b"{}")[1:], 1002, id="a reserved bit"),
    ],
)
def test_what_breaks_the_protocol_is_closed_with_its_code(
    server: Server, raw: bytes, code: int
) -> None:
    with WsClient(server.port) as client:
        client.send_raw(raw)
        assert client.read_to_the_end() == code


# No text is an id: a cancel of an unknown order is well formed, and so is journaled.
texts = st.text(max_size=20).map(lambda text: text + " ")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
words = st.sampled_from(
    ["op", "type", "order", "order_id", "channels", "instrument", "client_id", "request_id",
     "price", "quantity", "operations", "from_trade_id", "idempotency_key"]
)  # fmt: skip
ops = st.sampled_from(
    ["place", "cancel", "amend", "batch", "status", "resync", "subscribe", "unsubscribe", "ping"]
)
messages = st.builds(
    lambda op, fields: {**fields, "op": op}, ops | json_values, st.dictionaries(words, json_values)
)


@pytest.mark.slow
@settings(max_examples=3000 if SOAK else 100, deadline=None)
@given(st.lists(messages | json_values, min_size=1, max_size=10))
def test_random_json(server: Server, client: WsClient, fuzz: list[object]) -> None:
    for message in fuzz:
        client.send_raw(frame(json.dumps(message).encode("utf-8", "surrogatepass")))
    assert is_answered(client)
    for message in client.messages:
        if message["type"] == "error":
            assert 400 <= message["problem"]["status"] < 500, message
    del client.messages[:-1]


def may_wait(raw: bytes) -> bool:
    """Whether a server may wait for more: by their lengths, the frames come to no end that ends it.

    What ends it is a close frame, a frame that is not masked, or one over the limit.
    """
    at = 0
    while len(raw) - at >= 2:
        opcode, length = raw[at] & 0x0F, raw[at + 1] & 0x7F
        if not raw[at + 1] & 0x80:
            return False
        wide = {126: 2, 127: 8}.get(length, 0)
        begin = at + 6 + wide
        if len(raw) < begin:
            return True
        if wide:
            length = int.from_bytes(raw[at + 2 : at + 2 + wide], "big")
        if length > MESSAGE_BYTES_MAX:
            return False
        at = begin + length
        if at <= len(raw) and opcode == CLOSE:
            return False
    return True


@pytest.mark.slow
def test_damaged_bytes(server: Server) -> None:
    """Good frames with bytes flipped, cut and doubled: it answers or closes, and never hangs.

    Damage may make a longer frame of one: that is then filled up, and more follows, which ends it
    however it is read.
    """
    good = [
        frame(json.dumps(message).encode())
        for message in (
            {"op": "ping"},
            {"op": "subscribe", "channels": ["orderbook_deltas", "trades", "orders"]},
            {"op": "status", "order_id": "unknown"},
            {"op": "place", "order": {"client_id": "A"}},
        )
    ]
    closing = b"\x88\x80\0\0\0\0"
    filled_up = 0
    for seed in range(scaled(2000)):
        chance = random.Random(seed)
        raw = bytearray(b"".join(chance.choices(good, k=5)))
        for _ in range(chance.randrange(1, 6)):
            place = chance.randrange(len(raw))
            what = chance.randrange(3)
            if what == 0:
                raw[place] ^= 1 << chance.randrange(8)
            elif what == 1:
                del raw[place]
            else:
                raw[place:place] = raw[place : place + 8]
        raw += closing
        with WsClient(server.port) as client:
            client.send_raw(bytes(raw))
            with suppress(ConnectionResetError, BrokenPipeError):
                if may_wait(bytes(raw)):
                    filled_up += 1
                    client.send_raw(closing * (MESSAGE_BYTES_MAX // len(closing) + 10))
                client.read_to_the_end()  # TimeoutError, if it hangs
    assert 0 < filled_up < scaled(2000) / 2
