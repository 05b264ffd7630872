"""The opening handshake of a WebSocket: accepted, or refused with a problem, and always ended.

A subclass of uvicorn's WebSocket protocol. An HTTP connection that asks for an upgrade is handed
over here, out of the sight of HTTP's deadlines: so this has a deadline of its own. A request that
the `websockets` package can't read as a handshake makes no event there, and so no answer of
uvicorn's; it is answered here.
"""

from __future__ import annotations

from asyncio import TimerHandle
from asyncio.transports import BaseTransport
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.exceptions import HeaderLineTooLong, RequestLineTooLong, TooManyHeaders
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS, Request, Response

from novate.gateway.problems import CONTENT_TYPE, problem, shown

TOO_LARGE = (RequestLineTooLong, HeaderLineTooLong, TooManyHeaders)
CODES = {405: "method_not_allowed", 426: "upgrade_required"}
"""Codes of refusals; any other is `malformed_handshake`."""

VERSION = "13"


class HandshakeProtocol(WebSocketsSansIOProtocol):
    """One connection until its handshake is done. Subclasses say what becomes of a good request.

    Attributes:
        request_timeout_seconds: Time for the handshake; past it the connection is cut.
    """

    request_timeout_seconds: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._handshake_timer: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Take the connection over; from here on the handshake has its time."""
        super().connection_made(transport)
        self._handshake_timer = self.loop.call_later(
            self.request_timeout_seconds, self.transport.abort
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing waits any more."""
        self.handshake_done()
        super().connection_lost(exc)

    def handshake_done(self) -> None:
        """The connection is a WebSocket now, or is gone."""
        if self._handshake_timer is not None:
            self._handshake_timer.cancel()
            self._handshake_timer = None

    def data_received(self, data: bytes) -> None:
        """Read the request; what is no handshake is answered and ended."""
        super().data_received(data)
        error = self.conn.handshake_exc
        if error is not None and not self.handshake_complete:
            self._refuse_unread(error)

    def handle_connect(self, event: Request) -> None:
        """A handshake could be read: accept or refuse it."""
        raise NotImplementedError

    def accept(self, event: Request) -> bool:
        """Answer a request as the protocol has it; whether the connection is a WebSocket now."""
        self.handshake_initiated = True
        response = self.conn.accept(event)
        if response.status_code != 101:
            self._refuse(event, response)
            return False
        self.response = response
        self.conn.send_response(response)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.handshake_complete = True
        self.handshake_done()
        return True

    def _refuse(self, event: Request, response: Response) -> None:
        """Refuse a request that could be read, for the reason that `websockets` has."""
        status = response.status_code
        more = {name: response.headers[name] for name in ("Allow", "Upgrade") if name in
                response.headers}  # fmt: skip
        versions = event.headers.get_all("Sec-WebSocket-Version")
        if status == 400 and versions and versions != [VERSION]:
            status, more = 426, {"Upgrade": "websocket", "Sec-WebSocket-Version": VERSION}
        self.reject(status, CODES.get(status, "malformed_handshake"), self._why(), more)

    def _refuse_unread(self, error: Exception) -> None:
        """Refuse a request that is too large or none at all."""
        self.conn.data_to_send()  # what `websockets` would have answered
        if isinstance(error, TOO_LARGE):
            detail = (
                f"expected a WebSocket handshake of at most {MAX_NUM_HEADERS} headers, each line"
                f" of at most {MAX_LINE_LENGTH} bytes"
            )
            self.reject(431, "headers_too_large", detail)
        else:
            self.reject(400, "malformed_handshake", self._why())

    def _why(self) -> str:
        error: BaseException | None = self.conn.handshake_exc
        while error is not None and error.__cause__ is not None:
            error = error.__cause__
        found = shown(str(error).encode())
        return f"expected a WebSocket handshake: a GET of version {VERSION}, no body; {found}"

    def reject(
        self, status: int, code: str, detail: str, more: dict[str, str] | None = None
    ) -> None:
        """Answer with a problem, and close."""
        self.respond(status, problem(status, code, detail), CONTENT_TYPE, more)

    def respond(
        self, status: int, body: bytes, content_type: bytes, more: dict[str, str] | None = None
    ) -> None:
        """Answer with an HTTP response, and close."""
        headers = Headers(
            {
                "Content-Type": content_type.decode(),
                "Content-Length": str(len(body)),
                "Connection": "close",
                **(more or {}),
            }
        )
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        phrase = HTTPStatus(status).phrase
        self.transport.write(Response(status, phrase, headers, body).serialize())
        self.transport.close()
