"""A TCP proxy before PostgreSQL that loses, holds and cuts what passes, at a chosen moment."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class Proxy:
    """Passes every connection on, until told otherwise.

    Attributes:
        lose_answers: Drop what the server says; when it has said something, both ends are cut.
        hold_requests: Keep what clients say until `release`; new connections are not held.
        silent: Pass nothing on, either way, and cut nothing: a server that hangs.
        refuse: Take no new connections.
        held: Bytes kept so far.
        lost: Answers dropped so far.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.lose_answers = False
        self.hold_requests = False
        self.silent = False
        self.refuse = False
        self.held = 0
        self.lost = 0
        self._released = threading.Event()
        self._speaks = threading.Event()
        self._ends: list[socket.socket] = []
        self._start(self._accept)

    def url(self, database: str) -> str:
        """URL of a database through this proxy."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def release(self) -> None:
        """Pass on what was held and is held from now on."""
        self.hold_requests = False
        self._released.set()

    def speak(self) -> None:
        """End the silence."""
        self.silent = False
        self._speaks.set()

    def cut(self) -> None:
        """End every connection, without a word."""
        ends, self._ends = self._ends, []
        for end in ends:
            # Its threads close it: while one is at it, its number must not be another's.
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the proxy."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.release()
        self.speak()
        self.cut()

    def _start(self, run: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        thread.start()
        return thread

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                if self.refuse:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                if self._listener.fileno() < 0:
                    return
                client.close()
                continue
            self._ends += [client, server]
            self._start(self._pass_on, client, server)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with client, server:
            answers = self._start(self._pass_answers, server, client)
            self._pass_requests(client, server)
            answers.join()

    def _pass_requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while said := client.recv(1 << 16):
                if self.hold_requests:
                    self._released.clear()
                    self.held += len(said)
                    self._released.wait()
                if self.silent:
                    self._speaks.wait()
                server.sendall(said)
            if not self.hold_requests:
                server.shutdown(socket.SHUT_WR)

    def _pass_answers(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while said := server.recv(1 << 16):
                if self.silent:
                    self._speaks.wait()
                if self.lose_answers:
                    self.lost += 1
                    break
                client.sendall(said)
            client.shutdown(socket.SHUT_RDWR)
            server.shutdown(socket.SHUT_RDWR)
