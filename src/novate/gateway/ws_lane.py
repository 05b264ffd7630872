"""The WebSocket lane: `/stream` in the protocol itself, with no task and no queue per message.

A subclass of uvicorn's WebSocket protocol, given by its `ws=` setting. Whole text frames go
straight to the session; everything else of the protocol (handshake, control frames, fragments, what
breaks the rules) goes through the `websockets` package as it would have. Replies of one turn of the
loop are written together, and a client that asks more than it reads is read no further.
"""

from __future__ import annotations

import socket
import time
import uuid
from asyncio.transports import BaseTransport
from dataclasses import dataclass
from typing import Any, Final, cast

from websockets.frames import CloseCode, Frame
from websockets.http11 import Request
from websockets.protocol import State

from novate.config import Settings
from novate.gateway.fields import undecodable
from novate.gateway.handshake import HandshakeProtocol
from novate.gateway.problems import ProblemError
from novate.gateway.websocket import Session, StreamDesk

try:
    from websockets.speedups import apply_mask
except ImportError:  # pragma: no cover - the wheels have it
    from websockets.utils import apply_mask

PATH: Final = "/stream"
SEND_BUFFER_BYTES: Final = 256 * 1024
"""The kernel's own buffer of a connection. Left to itself it grows to megabytes for a client that
does not read, where neither the limits of consumers nor our memory would see it."""

FRAMES_PER_TURN: Final = 512
"""Frames of one connection that are taken in a turn of the loop: then the others have theirs."""

CLOSE_TIMEOUT_SECONDS: Final = 10.0
SHUTDOWN_TIMEOUT_SECONDS: Final = 1.0
_TEXT: Final = 0x81  # a whole text message, no extension
_MASKED: Final = 0x80


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """Bounds of a connection.

    Attributes:
        message_bytes_max: Bytes of one message.
        requests_max: Commands that may wait for their answer; past it nothing more is read.
        request_timeout_seconds: Time for the handshake.
    """

    message_bytes_max: int
    requests_max: int
    request_timeout_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> LaneLimits:
        """The bounds that settings say."""
        return cls(
            settings.message_bytes_max,
            settings.websocket_requests_max,
            settings.request_timeout_seconds,
        )


class WebSocketLane(HandshakeProtocol):
    """One connection: the way in and out of its session. Subclasses are made by `lane_class`."""

    desk: StreamDesk
    limits: LaneLimits

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn.max_message_size = self.limits.message_bytes_max
        self.conn.available_extensions = []  # compression costs more than the bytes it saves here
        self._session: Session | None = None
        self._carry = bytearray()  # a frame that is not whole yet, or what is not to be read yet
        self._need = 0  # bytes of it without which there is nothing to do
        self._replies: list[bytes] = []
        self._stopped = False  # messages wait for answers to go out
        self._reading = True  # the transport reads
        self._blocked = False  # the transport's buffer is past its high water mark
        self._finished = False  # no message is taken any more
        self._next_turn = False  # what waits is gone on with in the next turn

    # --- the connection ---------------------------------------------------------------------------

    def connection_made(self, transport: BaseTransport) -> None:
        """Take the socket, as a consumer of streams does: with nothing in between."""
        super().connection_made(transport)
        connection = self.transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.push = self.transport.write
        self.buffered = self.transport.get_write_buffer_size

    def connection_lost(self, exc: Exception | None) -> None:
        """The session ends."""
        self._end()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops: 1012, service restart."""
        self._flush()
        self._end()
        if self.conn.state is State.OPEN:
            super().shutdown()
        self.transport.close()
        self.loop.call_later(SHUTDOWN_TIMEOUT_SECONDS, self.transport.abort)

    def handle_close(self, event: Frame) -> None:
        """The client closes, or answers our close."""
        self._flush()
        self._end()
        super().handle_close(event)
        self.transport.close()

    def keepalive_timeout(self) -> None:
        """The client has not answered a ping."""
        self._end()
        super().keepalive_timeout()

    def _end(self) -> None:
        """Take no message any more; a client that does not read is not waited for long."""
        self._finished = True
        self._carry.clear()
        if self._session is not None:
            self._session.close()
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(CLOSE_TIMEOUT_SECONDS, self.transport.abort)

    # --- handshake --------------------------------------------------------------------------------

    def handle_connect(self, event: Request) -> None:
        """Open a session on `/stream`; any other path is a 404."""
        if event.path.partition("?")[0] != PATH:
            self.reject(404, "not_found", f"there is no WebSocket here; it is at {PATH}")
        elif self.accept(event):
            self._session = Session(self.desk, self)
            self._session.open(uuid.uuid4().hex, time.time())
            self.start_keepalive()

    def respond(
        self, status: int, body: bytes, content_type: bytes, more: dict[str, str] | None = None
    ) -> None:
        """Refuse the handshake, and count it."""
        self.desk.metrics.http("", status)
        super().respond(status, body, content_type, more)

    # --- in ---------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take bytes of any number of frames, whole or not."""
        if self._session is None:
            super().data_received(data)
        elif not self._finished:
            if self._carry:
                self._carry += data
                if len(self._carry) < self._need or self._stopped:
                    return
                data = bytes(self._carry)
                self._carry.clear()
            self._take(data)

    def _take(self, data: bytes) -> None:
        """Hand on each whole frame; keep the rest."""
        session = cast(Session, self._session)
        at, size = 0, len(data)
        requests_max = self.limits.requests_max
        left = FRAMES_PER_TURN
        self._need = 2
        while size - at >= 2:
            if session.outstanding >= requests_max or self._blocked:
                self._stop_reading()
                break
            if not left:
                self._go_on_next_turn()
                break
            left -= 1
            length = data[at + 1] & 0x7F
            begin = at + 6
            if length > 125:
                begin = at + (8 if length == 126 else 14)
                if size < begin - 4 and data[at + 1] & _MASKED:
                    self._need = begin - 4 - at
                    break
                length = int.from_bytes(data[at + 2 : begin - 4], "big")
            end = begin + length
            if length > self.limits.message_bytes_max or not data[at + 1] & _MASKED:
                end = size  # against the rules: the protocol says how
            elif end > size:
                self._need = end - at
                break
            if data[at] == _TEXT and end - begin == length and self.conn.current_size is None:
                self._text(apply_mask(data[begin:end], data[begin - 4 : begin]))
            else:
                super().data_received(data[at:end])
            at = end
            if self._finished:
                return
        self._carry += data[at:]

    def handle_cont(self, event: Frame) -> None:
        """A further piece of a message; empty ones are not kept, so that they can't pile up."""
        if event.data:
            self.frames.append(bytes(event.data))
        if event.fin:
            self.send_receive_event_to_app()

    def send_receive_event_to_app(self) -> None:
        """A message that came in pieces or is not text is whole."""
        message = b"".join(self.frames)
        self.frames = []
        if self._session is None or self._finished:
            return
        if self.curr_msg_data_type == "text":
            self._text(message)
        else:
            detail = "expected a text message, found a binary one"
            self._session.refuse(ProblemError(400, "binary_message", detail))

    def _text(self, text: bytes) -> None:
        session = cast(Session, self._session)
        if not text.isascii():
            try:
                text.decode()
            except UnicodeDecodeError as error:
                session.refuse(undecodable(error))
                self._close(CloseCode.INVALID_DATA, "expected UTF-8")
                return
        session.receive(text)

    def handle_parser_exception(self) -> None:
        """The client broke the protocol: it is told how, and closed."""
        self._flush()
        self._end()
        super().handle_parser_exception()

    # --- out --------------------------------------------------------------------------------------

    def reply(self, frame: bytes) -> None:
        """Send a frame with the others of this turn of the loop."""
        if not self._replies:
            self.loop.call_soon(self._flush)
        self._replies.append(frame)

    def flush(self) -> None:
        """Send the replies now."""
        self._flush()

    def overflow(self, buffered_bytes: int, limit_bytes: int) -> None:
        """Say that this client reads too slowly, and close."""
        detail = (
            f"too slow: {buffered_bytes} bytes wait to be read, and trades and order updates, "
            f"which are never dropped, find no room within {limit_bytes}"
        )
        if self._session is not None:
            self._session.tell(ProblemError(429, "slow_consumer", detail, (), 1))
        self._close(CloseCode.POLICY_VIOLATION, "slow consumer")

    def _flush(self) -> None:
        if self._replies:
            if not self.transport.is_closing():
                self.transport.write(b"".join(self._replies))
            self._replies.clear()
        if self._stopped and not self._next_turn:
            self._resume_reading()

    def _close(self, code: int, reason: str) -> None:
        """Begin to close: what is queued goes out, with a bound on how long that may take."""
        self._flush()
        self._end()
        self.stop_keepalive()
        if self.conn.state is State.OPEN:
            self.close_sent = True
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()

    # --- backpressure -----------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """The client does not read: its requests wait."""
        self._blocked = True
        super().pause_writing()

    def resume_writing(self) -> None:
        """It reads again."""
        self._blocked = False
        super().resume_writing()
        if self._stopped:
            self._resume_reading()

    def _stop_reading(self) -> None:
        self._stopped = True
        if self._reading and not self.transport.is_closing():
            self._reading = False
            self.transport.pause_reading()

    def _go_on_next_turn(self) -> None:
        self._stop_reading()
        if not self._next_turn:
            self._next_turn = True
            self.loop.call_soon(self._turn_came)

    def _turn_came(self) -> None:
        self._next_turn = False
        if self._stopped:
            self._resume_reading()

    def _resume_reading(self) -> None:
        session = cast(Session, self._session)
        if self._blocked or self._finished or session.outstanding * 2 > self.limits.requests_max:
            return
        self._stopped = False
        waiting = bytes(self._carry)
        self._carry.clear()
        self._take(waiting)
        if not self._stopped and not self._finished and not self.transport.is_closing():
            self._reading = True
            self.transport.resume_reading()


def lane_class(desk: StreamDesk, limits: LaneLimits) -> type[WebSocketLane]:
    """The protocol class of one server, for uvicorn's `ws=`."""
    shared = {
        "desk": desk,
        "limits": limits,
        "request_timeout_seconds": limits.request_timeout_seconds,
    }
    return type("WebSocketLane", (WebSocketLane,), shared)
