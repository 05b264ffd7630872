"""A WebSocket client of a few lines, so that tests can also send what no library would."""

from __future__ import annotations

import base64
import json
import os
import socket
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from websockets.utils import apply_mask

from tests.conftest import PATIENCE_SECONDS

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONTINUATION = 0

Message = dict[str, Any]


class Closed(Exception):
    """The server closed; `code` is of its close frame, None if there was none."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True, masked: bool = True) -> bytes:
    """A client's frame."""
    head = bytearray([(0x80 if fin else 0) | opcode])
    mask_bit = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head.append(mask_bit | size)
    elif size < 65536:
        head.append(mask_bit | 126)
        head += size.to_bytes(2, "big")
    else:
        head.append(mask_bit | 127)
        head += size.to_bytes(8, "big")
    if not masked:
        return bytes(head) + payload
    mask = os.urandom(4)
    return bytes(head) + mask + apply_mask(payload, mask)


class WsClient:
    """One connection; `messages` has everything that was read, decimals exact."""

    def __init__(self, port: int, *, receive_bytes: int = 0, path: str = "/stream") -> None:
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.connect(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._buffer = b""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self._receive()
        self.head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        self.opened = self.head.startswith(b"HTTP/1.1 101")
        self.messages: list[Message] = []

    def __enter__(self) -> WsClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def _receive(self) -> bytes:
        received = self.socket.recv(262_144)
        if not received:
            raise Closed(None)
        return received

    def send(self, message: object) -> None:
        self.send_raw(frame(json.dumps(message).encode()))

    def send_raw(self, raw: bytes) -> None:
        self.socket.sendall(raw)

    def read(self) -> Message:
        """The next message, whatever it is."""
        while True:
            opcode, payload = self._read_frame()
            if opcode == TEXT:
                message: Message = json.loads(payload, parse_float=Decimal)
                self.messages.append(message)
                return message
            if opcode == PING:
                self.send_raw(frame(payload, PONG))
            elif opcode == CLOSE:
                raise Closed(int.from_bytes(payload[:2], "big"))

    def _read_frame(self) -> tuple[int, bytes]:
        while True:
            raw = self._buffer
            if len(raw) >= 2:
                length, begin = raw[1], 2
                if length == 126:
                    length, begin = int.from_bytes(raw[2:4], "big"), 4
                elif length == 127:
                    length, begin = int.from_bytes(raw[2:10], "big"), 10
                if len(raw) >= begin + length:
                    self._buffer = raw[begin + length :]
                    return raw[0] & 0x0F, raw[begin : begin + length]
            self._buffer += self._receive()

    def until(self, holds: Callable[[Message], bool]) -> Message:
        """Read on until a message for which `holds` is true, and give it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            message = self.read()
            if holds(message):
                return message
        raise AssertionError(f"it did not come; the last was {self.messages[-1:]}")

    def until_type(self, kind: str) -> Message:
        return self.until(lambda message: message["type"] == kind)

    def ask(self, message: Message) -> Message:
        """Send a request and give its reply, told by its request id."""
        request_id = f"ask-{len(self.messages)}"
        self.send({**message, "request_id": request_id})
        return self.until(lambda reply: reply.get("request_id") == request_id)

    def read_to_the_end(self) -> int | None:
        """Read until the server closes; gives the code of its close frame."""
        try:
            while True:
                self.read()
        except Closed as closed:
            return closed.code

    def of_type(self, kind: str) -> list[Message]:
        return [each for each in self.messages if each["type"] == kind]


def limit(
    side: str, price: object, quantity: object, client_id: str = "client-A", **more: object
) -> Message:
    """A limit order."""
    order = {"client_id": client_id, "side": side, "type": "limit", "price": price}
    return {**order, "quantity": quantity, **more}
