"""The socket that the exchange is reached on."""

from __future__ import annotations

import socket

from novate.config import Settings
from novate.model.errors import NovateError


def listen(settings: Settings) -> socket.socket:
    """A socket that listens on the address of the settings.

    Raises:
        NovateError: the address is taken, or is none of this machine's.
    """
    where = f"{settings.host}:{settings.port}"
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise NovateError(f"{where}: can't listen there: {error.strerror or error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Of two that have bound it, the first to listen gets it; the event loop would not say so.
        listener.listen(settings.connection_backlog_max)
    except OSError as error:
        listener.close()
        raise NovateError(f"{where}: can't listen there: {error.strerror or error}") from error
    listener.set_inheritable(False)
    return listener
