# cython: language_level=3
"""Cycles: everything that was traded in open mode since the last was closed.

Closing a cycle nets it and makes it obligations; what becomes of them outside is told by further
commands. A time of day may be set at which cycles close by themselves.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memmove, memset

from novate.engine.accounts cimport (
    DUE, EXTERNAL, HOUSE, NETTED_ENTRY, SETTLED_ENTRY, SETTLING, USED, check_asset,
    post_pair,
)
from novate.engine.due cimport DAY_NS, DUE_CUTOFF, due_add, due_remove, next_daily
from novate.engine.netting cimport net
from novate.engine.state cimport (
    NONE, Asset, Clearing, Event, Obligation, Totals, event_new, grow,
)
from novate.model.records cimport (
    BALANCE_LIMIT, COMMAND_REFUSED, CUTOFF_MISSED, CUTOFF_SET, CYCLES_LIMIT, CYCLE_CLOSED,
    CYCLE_CLOSED_ALREADY, CYCLE_STATE, MALFORMED_COMMAND, SETTLEMENT_FAILED, SETTLEMENT_INSTRUCTED,
    SETTLEMENT_MOVED, SETTLEMENT_OPEN, SETTLEMENT_SETTLED, UNKNOWN_CYCLE,
)


cdef void refused(State *st, int reason) noexcept nogil:
    event_new(st, COMMAND_REFUSED, NONE).reason = reason


cdef Cycle *cycle_of(State *st, uint64_t number) noexcept nogil:
    """A closed cycle that is kept, or NULL."""
    cdef uint32_t i
    for i in range(st.clearing.cycles_count):
        if st.clearing.cycles[i].id == number:
            return st.clearing.cycles + i
    return NULL


cdef int close_cycle(State *st, uint64_t number) noexcept nogil:
    """Net the open cycle and begin the next; 0, or why that is refused."""
    cdef Clearing *clearing = st.clearing
    cdef Obligation *obligations
    cdef Cycle *cycle
    cdef Event *event
    cdef uint32_t count
    cdef bint fits
    if number <= clearing.last_cycle:
        return CYCLE_CLOSED_ALREADY
    if clearing.cycles_count == CYCLES_MAX and clearing.cycles[0].state != SETTLEMENT_SETTLED:
        return CYCLES_LIMIT
    obligations = net(st, &count, &fits)
    if not fits:
        free(obligations)
        return BALANCE_LIMIT
    cycle = cycle_room(clearing)
    cycle.id = number
    cycle.closed_ns = st.time_ns
    cycle.closed_seq = st.seq
    cycle.moved_seq = st.seq
    cycle.obligations = obligations
    cycle.obligations_count = count
    cycle.state = SETTLEMENT_OPEN
    take_totals(clearing, cycle)
    owe(st, cycle)
    clearing.last_cycle = number
    clearing.used |= USED
    event = event_new(st, CYCLE_CLOSED, NONE)
    event.order = number
    event.quantity_lots = count
    return 0


cdef Cycle *cycle_room(Clearing *clearing) noexcept nogil:
    """Where the next closed cycle stands; the oldest leaves where there are as many as may be."""
    cdef Cycle *cycles = clearing.cycles
    if clearing.cycles_count == CYCLES_MAX:
        free(cycles[0].obligations)
        free(cycles[0].totals)
        memmove(cycles, cycles + 1, (CYCLES_MAX - 1) * sizeof(Cycle))
        clearing.cycles_count -= 1
    if clearing.cycles_count == clearing.cycles_capacity:
        clearing.cycles_capacity = max(<uint32_t>8, clearing.cycles_capacity * 2)
        clearing.cycles = <Cycle *>grow(
            cycles, <size_t>clearing.cycles_capacity * sizeof(Cycle))
    memset(clearing.cycles + clearing.cycles_count, 0, sizeof(Cycle))
    clearing.cycles_count += 1
    return clearing.cycles + clearing.cycles_count - 1


cdef void take_totals(Clearing *clearing, Cycle *cycle) noexcept nogil:
    """Keep what every instrument's cycle came to, and begin to count anew."""
    cdef uint32_t i
    cycle.totals_count = clearing.markets_count
    cycle.totals = <Totals *>grow(NULL, (<size_t>cycle.totals_count + 1) * sizeof(Totals))
    for i in range(clearing.markets_count):
        cycle.totals[i] = clearing.markets[i].totals
        memset(&clearing.markets[i].totals, 0, sizeof(Totals))


cdef void owe(State *st, Cycle *cycle) noexcept nogil:
    """What was due is settling from now on."""
    cdef Clearing *clearing = st.clearing
    cdef Obligation *each
    cdef uint32_t i
    for i in range(clearing.positions.count):
        clearing.settled[i].lots = clearing.positions.accounts[i].lots
        clearing.settled[i].cash = (
            clearing.positions.accounts[i].realized - clearing.positions.accounts[i].basis)
        clearing.settled[i].fees_due = 0
    for i in range(cycle.obligations_count):
        each = cycle.obligations + i
        clearing.assets[each.asset].due -= each.units
        clearing.assets[each.asset].settling += each.units
        post_pair(st, NETTED_ENTRY, DUE, each.client, SETTLING, each.client, each.asset,
                  each.units, cycle.id, 0)
    for i in range(clearing.assets_count):
        check_asset(st, i)


cdef void settle(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """SETTLE: closes the open cycle under a number."""
    cdef int reason
    if command.order_number == 0:
        reason = MALFORMED_COMMAND
    else:
        reason = close_cycle(st, command.order_number)
    if reason:
        refused(st, reason)


cdef bint may_follow(uint32_t state, int64_t wanted) noexcept nogil:
    """Whether a settlement may go from one state to the other."""
    if wanted == SETTLEMENT_INSTRUCTED:
        return state == SETTLEMENT_OPEN or state == SETTLEMENT_FAILED
    return state == SETTLEMENT_INSTRUCTED and (
        wanted == SETTLEMENT_SETTLED or wanted == SETTLEMENT_FAILED)


cdef void move_settlement(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """MOVE_SETTLEMENT: what became of a cycle's obligations."""
    cdef Cycle *cycle = cycle_of(st, command.order_number)
    cdef int64_t wanted = command.quantity_lots
    cdef Event *event
    if not SETTLEMENT_INSTRUCTED <= wanted <= SETTLEMENT_FAILED:
        refused(st, MALFORMED_COMMAND)
        return
    if cycle == NULL:
        refused(st, UNKNOWN_CYCLE)
        return
    if not may_follow(cycle.state, wanted):
        refused(st, CYCLE_STATE)
        return
    event = event_new(st, SETTLEMENT_MOVED, NONE)
    event.order = cycle.id
    event.index = wanted
    event.taker_client = cycle.state
    event.quantity_lots = cycle.obligations_count
    cycle.state = wanted
    cycle.moved_seq = st.seq
    if wanted == SETTLEMENT_SETTLED:
        pay(st, cycle)


cdef void pay(State *st, Cycle *cycle) noexcept nogil:
    """What was settling has been paid and delivered outside."""
    cdef Obligation *each
    cdef Asset *books
    cdef uint32_t i
    for i in range(cycle.obligations_count):
        each = cycle.obligations + i
        books = st.clearing.assets + each.asset
        books.settling -= each.units
        books.external += each.units
        post_pair(st, SETTLED_ENTRY, SETTLING, each.client, EXTERNAL, HOUSE, each.asset,
                  each.units, cycle.id, 0)
    for i in range(st.clearing.assets_count):
        check_asset(st, i)


# --- the daily cut-off ----------------------------------------------------------------------

cdef uint64_t date_number(int64_t time_ns) noexcept nogil:
    """The UTC date of a time as a number such as 20260131.

    Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    """
    cdef int64_t days = time_ns // DAY_NS + 719468
    cdef int64_t era = days // 146097, day = days - era * 146097
    cdef int64_t year = (day - day // 1460 + day // 36524 - day // 146096) // 365, month
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    month += 3 if month < 10 else -9
    return ((year + era * 400 + (month <= 2)) * 100 + month) * 100 + day + 1


cdef void set_cutoff(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """SET_CUTOFF: the time of day, in seconds, at which cycles close by themselves; -1: none."""
    cdef Clearing *clearing = st.clearing
    cdef Event *event
    if not -1 <= command.quantity_lots < 86400:
        refused(st, MALFORMED_COMMAND)
        return
    if clearing.cutoff_due_at != NONE:
        due_remove(st, clearing.cutoff_due_at)
    clearing.cutoff_ns = -1
    if command.quantity_lots >= 0:
        clearing.cutoff_ns = command.quantity_lots * 1000000000
        due_add(st, next_daily(st.time_ns, clearing.cutoff_ns), DUE_CUTOFF, 0, 0)
    clearing.used |= USED
    event = event_new(st, CUTOFF_SET, NONE)
    event.quantity_lots = command.quantity_lots


cdef void note_cutoff(State *st, int64_t time_ns, uint64_t number, int reason) noexcept nogil:
    """Keep what came of a cut-off, and say it where its cycle did not close."""
    cdef Clearing *clearing = st.clearing
    cdef Event *event
    clearing.cutoff_last_ns = time_ns
    clearing.cutoff_last_cycle = number
    clearing.cutoff_last_reason = reason
    if reason:
        event = event_new(st, CUTOFF_MISSED, NONE)
        event.reason = reason
        event.order = number


cdef void cut_off(State *st, int64_t time_ns) noexcept nogil:
    """The cut-off came: the cycle closes under the day's date, unless one of that number has.

    Where the last cycle's number is past the date, it closes under the one after that. What does
    not close is said, and stays for the next cut-off. Rules before 3 did neither.
    """
    cdef uint64_t number = date_number(time_ns)
    cdef int reason
    due_remove(st, st.clearing.cutoff_due_at)
    if st.rules > 2 and number < st.clearing.last_cycle:
        number = st.clearing.last_cycle + 1
    reason = close_cycle(st, number)
    if st.rules > 2:
        note_cutoff(st, time_ns, number, reason)
    due_add(st, next_daily(max(time_ns, st.time_ns - DAY_NS - 1), st.clearing.cutoff_ns),
            DUE_CUTOFF, 0, 0)
