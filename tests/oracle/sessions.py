"""What ends many orders at once: sessions, dead-man timers, kill switches; and clients' limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from novate.model.commands import CLIENT_LIMITS_MAX, SESSIONS_MAX, KillSwitch
from novate.model.events import EventKind
from novate.model.instrument import OrderLimits, limits_fault
from novate.model.rejects import Reason
from tests.oracle.words import (
    CancelAfter,
    Kill,
    SessionClose,
    SessionOpen,
    SessionsLost,
    SetClientLimits,
)

if TYPE_CHECKING:
    from tests.oracle.exchange import Exchange


def change(exchange: Exchange, command: SessionOpen | SessionClose | SessionsLost) -> None:
    """A session opens, closes, or all are lost."""
    match command:
        case SessionOpen(session):
            open_session(exchange, session)
        case SessionClose(session) if session in exchange.open_sessions:
            close(exchange, session, Reason.SESSION_CLOSED)
        case SessionClose():
            exchange.refuse(Reason.UNKNOWN_SESSION)
        case SessionsLost():
            lost = sorted(exchange.open_sessions)
            for session in lost:
                close(exchange, session, Reason.SESSION_LOST)
            exchange.say(EventKind.SESSIONS_LOST, quantity=len(lost))


def open_session(exchange: Exchange, session: int) -> None:
    """A session opens, if it is not open."""
    if session == 0:
        exchange.refuse(Reason.MALFORMED_COMMAND)
    elif session in exchange.open_sessions:
        exchange.refuse(Reason.SESSION_EXISTS)
    elif len(exchange.open_sessions) >= SESSIONS_MAX:
        exchange.refuse(Reason.SESSIONS_LIMIT)
    else:
        exchange.open_sessions.add(session)
        exchange.say(EventKind.SESSION_OPENED, order=session)


def close(exchange: Exchange, session: int, reason: Reason) -> None:
    """A session closes, and its orders end."""
    orders = [order for order in exchange.open_orders() if order.session == session]
    ended = exchange.end_all(orders, reason)
    exchange.open_sessions.remove(session)
    exchange.say(EventKind.SESSION_CLOSED, order=session, quantity=ended, reason=reason)


def known_client(exchange: Exchange, name: str | int) -> int | None:
    """The number of a client that is known from now on; None: refused, there is no room."""
    if exchange.registry.has_room_for_client(name):
        return exchange.registry.register_client(name)
    exchange.refuse(Reason.CLIENTS_LIMIT)
    return None


def end_client(exchange: Exchange, client: int, reason: Reason) -> int:
    """End all open orders of a client; how many they were."""
    return exchange.end_all([o for o in exchange.open_orders() if o.client == client], reason)


def set_timer(exchange: Exchange, command: CancelAfter) -> None:
    """A client's dead-man timer is set, moved or stopped."""
    if command.deadline_ns < 0:
        exchange.refuse(Reason.MALFORMED_COMMAND)
        return
    client = known_client(exchange, command.client)
    if client is None:
        return
    exchange.timers.pop(client, None)
    if command.deadline_ns:
        exchange.timers[client] = command.deadline_ns, exchange.seq
    exchange.say(EventKind.TIMER_SET, client=client, order=command.deadline_ns)


def expire_timer(exchange: Exchange, client: int) -> None:
    """A client was not heard of in time."""
    del exchange.timers[client]
    ended = end_client(exchange, client, Reason.CANCEL_AFTER)
    exchange.say(EventKind.TIMER_EXPIRED, client=client, quantity=ended)


def kill(exchange: Exchange, command: Kill) -> None:
    """A kill switch is turned on or off."""
    switch = KillSwitch.ON if command.on else KillSwitch(0)
    if command.client is None:
        switch |= KillSwitch.VENUE
        exchange.venue_killed = command.on
        victims, client = range(len(exchange.registry.clients)), 0
    else:
        found = known_client(exchange, command.client)
        if found is None:
            return
        client, victims = found, range(found, found + 1)
        if command.on:
            exchange.killed.add(client)
        else:
            exchange.killed.discard(client)
    ended = 0
    if command.on:
        ended = sum(end_client(exchange, each, Reason.KILL_SWITCH) for each in victims)
    exchange.say(EventKind.KILL_SWITCHED, client=client, index=switch, quantity=ended)


def set_client_limits(exchange: Exchange, command: SetClientLimits) -> None:
    """A client's own limits on an instrument; all 0 takes them back."""
    if limits_fault(command.limits):
        exchange.refuse(Reason.MALFORMED_COMMAND)
        return
    if command.instrument >= len(exchange.books):
        exchange.refuse(Reason.UNKNOWN_INSTRUMENT)
        return
    client = known_client(exchange, command.client)
    if client is None:
        return
    own, place = exchange.client_limits, (client, command.instrument)
    if command.limits == OrderLimits():
        own.pop(place, None)
    elif place not in own and len(own) >= CLIENT_LIMITS_MAX:
        exchange.refuse(Reason.CLIENT_LIMITS_LIMIT)
        return
    else:
        own[place] = command.limits
    exchange.say(EventKind.CLIENT_LIMITS_SET, instrument=command.instrument, client=client)
