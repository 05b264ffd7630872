"""The socket that the exchange is reached on."""

from __future__ import annotations

import socket

from novate.config import Settings
from novate.model.errors import NovateError


def bind(settings: Settings) -> socket.socket:
    """A socket on the address of the settings; `listen` when all is ready.

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
    except OSError as error:
        listener.close()
        raise NovateError(f"{where}: can't listen there: {error.strerror or error}") from error
    listener.set_inheritable(False)
    return listener


def listen(settings: Settings, listener: socket.socket) -> None:
    """Have the kernel take connections; closes the socket where it can't.

    Another server may have bound the address too while this one recovered, and the first to
    listen gets it. The event loop would say nothing of that.

    Raises:
        NovateError: somebody else listens there.
    """
    try:
        listener.listen(settings.connection_backlog_max)
    except OSError as error:
        listener.close()
        where = f"{settings.host}:{settings.port}"
        raise NovateError(f"{where}: can't listen there: {error.strerror or error}") from error
