"""A bare echo server: what the server library alone can do on this machine, as a yardstick.

uvicorn with the settings of the exchange (uvloop, httptools, websockets-sansio), an ASGI
application of a few lines, JSON decoded and encoded once each way, nothing else.
    python -m novate.loadtest.echo --port 9000
`POST` anywhere answers the same JSON; `GET` anywhere answers the body last posted to `/keep`, as it
is; a WebSocket anywhere answers each message with the same JSON.
"""

import argparse
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
import uvicorn

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Echo:
    """The ASGI application."""

    def __init__(self) -> None:
        self._kept = b"{}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's request, or its WebSocket messages until it closes."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            answer = self._kept
        else:
            body = b""
            more = True
            while more:
                message = await receive()
                body += message["body"]
                more = message.get("more_body", False)
            answer = msgspec.json.encode(msgspec.json.decode(body)) if body else b"{}"
            if scope["path"] == "/keep":
                self._kept = body
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(answer)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _websocket(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            answer = msgspec.json.encode(msgspec.json.decode(message["text"]))
            await send({"type": "websocket.send", "text": answer.decode()})


def serve(host: str, port: int) -> None:
    """Serve the echo until told to stop."""
    uvicorn.run(
        Echo(),
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=64 << 20,
        access_log=False,
        log_level="warning",
        lifespan="off",
    )


def main() -> None:
    """Serve the echo as a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    chosen = parser.parse_args()
    serve(chosen.host, chosen.port)


if __name__ == "__main__":
    main()
