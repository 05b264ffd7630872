"""Bytes of HTTP/1.1 requests and WebSocket frames, made and taken apart.

Only what a load generator meets: requests with a known length, unfragmented server frames.
"""

import base64
import os
import struct
from collections.abc import Iterator

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA

# A client must mask its frames; the mask of zeros leaves the payload as it is and costs nothing.
_NO_MASK = b"\0\0\0\0"
_NUMBER_TEMPLATE = b"%010d"


def http_request(method: str, path: str, host: str, content_length: int = 0) -> bytes:
    """The head of a keep-alive request, ending in the empty line."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    if method != "GET":
        lines += ["Content-Type: application/json", f"Content-Length: {content_length}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def ws_handshake(path: str, host: str) -> bytes:
    """The request that turns a connection into a WebSocket."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def ws_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One client frame."""
    return _frame_head(len(payload), opcode) + payload


def ws_template(message: bytes) -> bytes:
    """A text frame whose payload has `%010d` holes, for the bytes `%` operator."""
    length = len(message) + message.count(_NUMBER_TEMPLATE) * (10 - len(_NUMBER_TEMPLATE))
    return _frame_head(length, TEXT).replace(b"%", b"%%") + message


def _frame_head(length: int, opcode: int) -> bytes:
    if length < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | length)
    elif length < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, length)
    return head + _NO_MASK


class FrameReader:
    """Cuts a stream of bytes into server frames."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """Every whole (opcode, payload) of the bytes so far; the rest waits for more."""
        for opcode, received, start, end in self.spans(chunk):
            yield opcode, received[start:end]

    def spans(self, chunk: bytes) -> Iterator[tuple[int, bytes, int, int]]:
        """As `feed`, but (opcode, bytes, start, end), so that no payload need be copied."""
        received = self._rest + chunk if self._rest else chunk
        at = 0
        size = len(received)
        while size - at >= 2:
            length = received[at + 1] & 0x7F
            start = at + 2
            if length == 126:
                start += 2
                if size < start:
                    break
                length = received[at + 2] << 8 | received[at + 3]
            elif length == 127:
                start += 8
                if size < start:
                    break
                length = int.from_bytes(received[at + 2 : start], "big")
            end = start + length
            if size < end:
                break
            yield received[at] & 0x0F, received, start, end
            at = end
        self._rest = received[at:]
