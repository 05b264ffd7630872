# cython: language_level=3
"""The operator's and the gateways' commands: phases, sessions, dead-man timers, kill switches."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memmove

from novate.engine.due cimport DUE_TIMER, due_add, due_remove
from novate.engine.registry cimport client_add, client_number
from novate.engine.special cimport end, end_client, partner_of, session_find
from novate.engine.state cimport (
    CLOSED, NONE, Event, Order, Session, Special, State, event_new, events_written, grow,
    order_special,
)
from novate.engine.steps cimport change_phase
from novate.model.records cimport (
    CANCEL_ONLY_PHASE, CLIENTS_LIMIT, CLOSED_PHASE, COMMAND_REFUSED, COMMAND_SKIPPED, CONTINUOUS,
    HALT, KILL_ON, KILL_SWITCH, KILL_SWITCHED, KILL_VENUE, MALFORMED_COMMAND, NEWEST_RULES,
    RULES_ADOPTED, SESSIONS_LIMIT, SESSIONS_LOST, SESSION_CLOSED, SESSION_CLOSED_EVENT,
    SESSION_EXISTS, SESSION_LOST, SESSION_OPENED, SNAPSHOT_REQUESTED, TIMER_SET, TIME_ADVANCED,
    UNKNOWN_INSTRUMENT, UNKNOWN_SESSION, Command, Extension, extension_of,
)

cdef uint32_t ANY_INSTRUMENT = 0xFFFFFFFFU

cdef enum:
    SESSIONS_MAX = 65536


cdef void refused(State *st, int reason) noexcept nogil:
    event_new(st, COMMAND_REFUSED, NONE).reason = reason


cdef uint32_t client_known(State *st, const Command *command, const uint8_t *text) noexcept nogil:
    """The number of a client that is known from now on; NONE: refused, there is no room."""
    cdef const uint8_t *name = text + command.order_id_length
    cdef uint32_t number = client_number(st, name, command.client_id_length, command.client)
    if number != NONE:
        return number
    if command.client_id_length:
        number = client_add(st, name, command.client_id_length)
    elif command.client < st.clients_max:
        while st.clients_count <= command.client:
            number = client_add(st, name, 0)
    if number == NONE:
        refused(st, CLIENTS_LIMIT)
    return number


cdef void advance_time(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """ADVANCE_TIME: what was due has happened."""
    event_new(st, TIME_ADVANCED, NONE)


cdef void skip_command(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """SKIP_COMMAND: the operator had a command skipped; or this one stands in its place."""
    event_new(st, COMMAND_SKIPPED, NONE).order = command.order_number


cdef void adopt_rules(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """ADOPT_RULES: the next newer version of the rules, for every command behind this one."""
    if command.order_number > NEWEST_RULES or command.order_number != st.rules + 1:
        refused(st, MALFORMED_COMMAND)
        return
    st.rules += 1
    event_new(st, RULES_ADOPTED, NONE).order = st.rules


cdef void take_snapshot(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """TAKE_SNAPSHOT: asked for at this sequence."""
    event_new(st, SNAPSHOT_REQUESTED, NONE)


cdef void set_phase(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """SET_PHASE: of an instrument or of all."""
    cdef const Extension *more = extension_of(command)
    cdef uint32_t i, first = command.instrument, last = command.instrument
    cdef bint held = more.phase == HALT or more.phase == CANCEL_ONLY_PHASE
    if more.phase > CLOSED_PHASE or more.expire_ns < 0 or (
            more.expire_ns and more.phase == CONTINUOUS):
        refused(st, MALFORMED_COMMAND)
        return
    if command.instrument == ANY_INSTRUMENT:
        first = 0
        last = st.books_count - 1
    if st.books_count == 0 or last >= st.books_count:
        refused(st, UNKNOWN_INSTRUMENT)
        return
    for i in range(first, last + 1):
        change_phase(st, &st.books[i], more.phase, more.expire_ns, 0, held)


# --- sessions -------------------------------------------------------------------------------

cdef void session_open(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """SESSION_OPEN: opens, if it is not open."""
    cdef uint32_t number = extension_of(command).session
    cdef uint32_t at = session_find(st, number)
    cdef Event *event
    if number == 0:
        refused(st, MALFORMED_COMMAND)
        return
    if at < st.sessions_count and st.sessions[at].number == number:
        refused(st, SESSION_EXISTS)
        return
    if st.sessions_count >= SESSIONS_MAX:
        refused(st, SESSIONS_LIMIT)
        return
    session_insert(st, at, number)
    event = event_new(st, SESSION_OPENED, NONE)
    event.order = number


cdef void session_insert(State *st, uint32_t at, uint32_t number) noexcept nogil:
    if st.sessions_count == st.sessions_capacity:
        st.sessions_capacity = max(64, st.sessions_capacity * 2)
        st.sessions = <Session *>grow(
            st.sessions, <size_t>st.sessions_capacity * sizeof(Session))
    memmove(st.sessions + at + 1, st.sessions + at,
            <size_t>(st.sessions_count - at) * sizeof(Session))
    st.sessions[at].number = number
    st.sessions[at].newest = NONE
    st.sessions_count += 1


cdef void session_end(State *st, uint32_t at, int reason) noexcept nogil:
    """The orders of a session that closes end, the newest first."""
    cdef uint64_t before = events_written(st)
    cdef int64_t ended
    cdef Event *event
    while st.sessions[at].newest != NONE:
        end(st, st.sessions[at].newest, reason)
    ended = events_written(st) - before
    event = event_new(st, SESSION_CLOSED_EVENT, NONE)
    event.order = st.sessions[at].number
    event.quantity_lots = ended
    event.reason = reason


cdef void session_close(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """SESSION_CLOSE: one session closes."""
    cdef uint32_t number = extension_of(command).session
    cdef uint32_t at = session_find(st, number)
    if at == st.sessions_count or st.sessions[at].number != number:
        refused(st, UNKNOWN_SESSION)
        return
    session_end(st, at, SESSION_CLOSED)
    st.sessions_count -= 1
    memmove(st.sessions + at, st.sessions + at + 1,
            <size_t>(st.sessions_count - at) * sizeof(Session))


cdef void sessions_lost(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """SESSIONS_LOST: every session closes, by number."""
    cdef uint32_t i
    cdef Event *event
    for i in range(st.sessions_count):
        session_end(st, i, SESSION_LOST)
    event = event_new(st, SESSIONS_LOST, NONE)
    event.quantity_lots = st.sessions_count
    st.sessions_count = 0


# --- timers and kill switches ---------------------------------------------------------------

cdef void cancel_after(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """CANCEL_AFTER: the client's timer is set, moved or stopped."""
    cdef int64_t deadline_ns = extension_of(command).expire_ns
    cdef uint32_t client
    cdef Event *event
    if deadline_ns < 0 or command.client_id_length > 64:
        refused(st, MALFORMED_COMMAND)
        return
    client = client_known(st, command, text)
    if client == NONE:
        return
    if st.clients[client].timer != NONE:
        due_remove(st, st.clients[client].timer)
    if deadline_ns:
        due_add(st, deadline_ns, DUE_TIMER, st.seq, client)
    event = event_new(st, TIMER_SET, NONE)
    event.client = client
    event.order = deadline_ns


cdef void kill(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """KILL: the switch of a client, or of the venue, is turned on or off."""
    cdef uint32_t switch = extension_of(command).kill, client = 0, i
    cdef int64_t ended = 0
    cdef bint on = switch & KILL_ON
    cdef Event *event
    if switch > (KILL_ON | KILL_VENUE) or command.client_id_length > 64:
        refused(st, MALFORMED_COMMAND)
        return
    if switch & KILL_VENUE:
        st.kills += on - st.venue_killed
        st.venue_killed = on
        if on:
            for i in range(st.clients_count):
                ended += end_client(st, i, KILL_SWITCH, NONE, 255)
    else:
        client = client_known(st, command, text)
        if client == NONE:
            return
        st.kills += on - st.clients[client].killed
        st.clients[client].killed = on
        if on:
            ended = end_client(st, client, KILL_SWITCH, NONE, 255)
    event = event_new(st, KILL_SWITCHED, NONE)
    event.client = client
    event.index = switch
    event.quantity_lots = ended
