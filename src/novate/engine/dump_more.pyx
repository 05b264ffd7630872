# cython: language_level=3
"""What only the second version of a dump has: phases, orders that stand at no level, what few
orders have, sessions, timers, kill switches. It stands behind all of the first version.

A state with nothing of it is dumped as version 1 to the byte. Rules and clients' limits are in the
header, which the engine writes.
"""

from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from novate.engine.due cimport DUE_TIMER, due_add, phase_due
from novate.engine.dump cimport Opened, get_open, put_order, sorted_by_seq
from novate.engine.packing cimport (
    Reader, Writer, get, get_u8, get_u32, get_u64, put, put_u8, put_u32, put_u64,
)
from novate.engine.registry cimport closed_mark
from novate.engine.special cimport (
    expiry_set, put as put_in_place, session_find, session_join, special_of, wait, watch,
)
from novate.engine.state cimport (
    AT_LEVEL, NONE, PRICELESS, WAITING,
    Book, BookSide, Closed, Level, Order, Session, Special, State,
    closed_at, grow, more_specials, order_special, prefetch, rules_of,
)
from novate.model.records cimport CLOSED_PHASE, DECREMENT


# How many orders ahead of the one at hand memory is asked for.
cdef enum:
    LIST_AHEAD = 6

# What few orders have, as a dump has it; `partner` is the seq of its order, or 0.
cdef packed struct Terms:
    int64_t price, stop_price, display, hidden, minimum, expire_ns
    uint64_t rank
    uint32_t group, session
    uint64_t partner
    uint8_t self_trade, triggered, minimum_met


cdef bint has_more(State *st) noexcept nogil:
    """Whether the state has anything that version 1 can't say."""
    cdef uint32_t i
    cdef Book *book
    if st.specials_count or st.sessions_count or st.due_count or st.kills:
        return True
    if st.own_limits_count:
        return True
    for i in range(st.books_count):
        book = &st.books[i]
        if book.phase or book.until_ns or book.held or book.reference_price or book.rules != NULL:
            return True
    return False


# --- writing --------------------------------------------------------------------------------

cdef void put_queue(State *st, Writer *out, const Level *level) noexcept nogil:
    cdef uint32_t slot = level.head
    while slot != NONE:
        put_order(st, out, &st.orders[slot])
        put_u64(out, order_special(st, &st.orders[slot]).stop_price)
        slot = st.links[slot].next


cdef void put_waiting(State *st, Writer *out, const BookSide *side) noexcept nogil:
    """The stop orders of a side, the first to trigger first."""
    cdef uint32_t at = side.best
    cdef uint64_t count = 0
    while at != NONE:
        count += st.levels[at].count
        at = st.levels[at].worse
    put_u64(out, count)
    at = side.best
    while at != NONE:
        put_queue(st, out, &st.levels[at])
        at = st.levels[at].worse


cdef void put_trading(State *st, Writer *out, Book *book) noexcept nogil:
    """An instrument's phase, and its orders that stand at no level."""
    cdef int side
    put_u8(out, book.phase)
    put_u8(out, book.held)
    put_u64(out, book.until_ns)
    put_u64(out, book.schedule_done_ns if rules_of(st, book).schedule_count else 0)
    put_u64(out, book.reference_price)
    for side in range(2):
        put_waiting(st, out, &book.stops[side])
        put_u64(out, book.priceless[side].count)
        put_queue(st, out, &book.priceless[side])


cdef void put_special(State *st, Writer *out, const Special *special) noexcept nogil:
    cdef Terms terms
    terms.price = special.price
    terms.stop_price = special.stop_price
    terms.display = special.display
    terms.hidden = special.hidden
    terms.minimum = special.minimum
    terms.expire_ns = special.expire_ns
    terms.rank = special.rank
    terms.group = special.group
    terms.session = special.session
    terms.partner = 0 if special.partner == NONE else st.orders[special.partner].seq
    terms.self_trade = special.self_trade
    terms.triggered = special.triggered
    terms.minimum_met = special.minimum_met
    put(out, &terms, sizeof(Terms))


cdef Opened *marked_by_seq(State *st, uint32_t *found) noexcept nogil:
    """The open orders that are marked, by the seq that created them, and how many they are."""
    cdef uint32_t i, count = 0
    cdef Opened *opened = <Opened *>grow(NULL, (<size_t>st.orders_used + 1) * sizeof(Opened))
    for i in range(st.orders_used):
        if st.orders[i].seq and st.orders[i].marked:
            opened[count].seq = st.orders[i].seq
            opened[count].slot = i
            count += 1
    found[0] = count
    return sorted_by_seq(opened, count)


cdef inline void look_on(State *st, const Opened *opened, uint32_t i,
                         uint32_t count) noexcept nogil:
    """Ask for the order, the Extra and the Special of those that come soon."""
    if i + 3 * LIST_AHEAD >= count:
        return
    prefetch(&st.orders[opened[i + 3 * LIST_AHEAD].slot])
    prefetch(&st.extras[st.orders[opened[i + 2 * LIST_AHEAD].slot].extra])
    prefetch(order_special(st, &st.orders[opened[i + LIST_AHEAD].slot]))
    prefetch(<uint8_t *>order_special(st, &st.orders[opened[i + LIST_AHEAD].slot]) + 64)


cdef void put_specials(State *st, Writer *out) noexcept nogil:
    """What few orders have: of open ones by the seq that created them, then of closed ones."""
    cdef uint32_t i, count = 0
    cdef Closed *closed
    cdef Opened *opened = marked_by_seq(st, &count)
    put_u64(out, count)
    for i in range(count):
        look_on(st, opened, i, count)
        put_u64(out, opened[i].seq)
        put_special(st, out, order_special(st, &st.orders[opened[i].slot]))
    free(opened)
    count = 0
    for i in range(st.closed_count):
        count += closed_at(st, st.closed_first + i).marked
    put_u64(out, count)
    for i in range(st.closed_count):
        closed = closed_at(st, st.closed_first + i)
        if closed.marked:
            put_u32(out, i)
            put_special(st, out, &st.specials[closed.special])


cdef void put_clients(State *st, Writer *out) noexcept nogil:
    """Dead-man timers and kill switches."""
    cdef uint32_t i
    cdef uint64_t timers = 0, killed = 0
    put_u8(out, st.venue_killed)
    for i in range(st.clients_count):
        timers += st.clients[i].timer != NONE
        killed += st.clients[i].killed
    put_u64(out, timers)
    for i in range(st.clients_count):
        if st.clients[i].timer != NONE:
            put_u32(out, i)
            put_u64(out, st.due[st.clients[i].timer].time_ns)
            put_u64(out, st.due[st.clients[i].timer].number)
    put_u64(out, killed)
    for i in range(st.clients_count):
        if st.clients[i].killed:
            put_u32(out, i)


cdef void put_more_state(State *st, Writer *out) noexcept nogil:
    """Write all that version 2 has beyond version 1."""
    cdef uint32_t i
    for i in range(st.books_count):
        put_trading(st, out, &st.books[i])
    put_u64(out, st.sessions_count)
    for i in range(st.sessions_count):
        put_u32(out, st.sessions[i].number)
    put_specials(st, out)
    put_clients(st, out)


# --- reading --------------------------------------------------------------------------------

cdef void get_orders(State *st, Reader *source, Book *book, int side, bint waits) noexcept nogil:
    """Orders that stand at no level, in the order of their queue."""
    cdef uint64_t i = 0, count = get_u64(source)
    cdef uint32_t slot
    cdef int64_t price = 0
    cdef Special *special
    while i < count and not source.short:
        slot = get_open(st, source, side, &price)
        if slot == NONE:
            return
        special = special_of(st, slot)
        special.price = price
        special.stop_price = get_u64(source)
        if waits == ((st.orders[slot].order_type & 2) == 0) or (
                not waits and not st.orders[slot].order_type & 1):
            source.short = True
        elif waits:
            wait(st, slot)
        else:
            put_in_place(st, slot)
        i += 1


cdef void get_trading(State *st, Reader *source, Book *book) noexcept nogil:
    cdef int side
    cdef Book was = book[0]
    book.phase = get_u8(source)
    book.held = get_u8(source)
    book.until_ns = get_u64(source)
    book.schedule_done_ns = get_u64(source)
    book.reference_price = get_u64(source)
    if book.phase > CLOSED_PHASE:
        source.short = True
    for side in range(2):
        if not source.short:
            get_orders(st, source, book, side, True)
        if not source.short:
            get_orders(st, source, book, side, False)
    book.open = was.open
    book.last_seq = was.last_seq
    book.last_us = was.last_us
    phase_due(st, book)


cdef void get_standing(State *st, Reader *source) noexcept nogil:
    """Phases, and the orders that stand at no level."""
    cdef uint32_t i
    for i in range(st.books_count):
        if not source.short:
            get_trading(st, source, &st.books[i])


cdef uint64_t get_special(State *st, Reader *source, Special *special) noexcept nogil:
    """Fill a Special; returns its partner's seq, or 0."""
    cdef Terms terms
    if not get(source, &terms, sizeof(Terms)) or terms.self_trade > DECREMENT:
        source.short = True
        return 0
    special.price = terms.price
    special.stop_price = terms.stop_price
    special.display = terms.display
    special.hidden = terms.hidden
    special.minimum = terms.minimum
    special.expire_ns = terms.expire_ns
    special.rank = terms.rank
    special.group = terms.group
    special.session = terms.session
    special.self_trade = terms.self_trade
    special.triggered = terms.triggered
    special.minimum_met = terms.minimum_met
    return terms.partner


cdef uint32_t find_open(State *st, const Opened *opened, uint64_t seq) noexcept nogil:
    """Slot of the open order that this command created, or NONE."""
    cdef uint32_t low = 0, high = st.orders_used, middle
    while low < high:
        middle = (low + high) >> 1
        if opened[middle].seq < seq:
            low = middle + 1
        else:
            high = middle
    return opened[low].slot if low < st.orders_used and opened[low].seq == seq else NONE


cdef void get_one(State *st, Reader *source, const Opened *opened,
                  uint32_t *next) noexcept nogil:
    """What an open order has beside what all have; `next` is the first that may be its order."""
    cdef uint64_t seq = get_u64(source), partner
    cdef uint32_t slot, at
    cdef Special *special
    cdef Book *book
    while next[0] < st.orders_used and opened[next[0]].seq < seq:
        next[0] += 1
    if next[0] >= st.orders_used or opened[next[0]].seq != seq:
        source.short = True
        return
    if next[0] + LIST_AHEAD < st.orders_used:
        prefetch(&st.orders[opened[next[0] + LIST_AHEAD].slot])
    slot = opened[next[0]].slot
    book = &st.books[st.orders[slot].instrument]
    special = special_of(st, slot)
    partner = get_special(st, source, special)
    if partner:
        special.partner = find_open(st, opened, partner)
        book.pairs += special.partner != NONE
    if special.where == AT_LEVEL:
        st.levels[st.orders[slot].level].hidden += special.hidden
        book.icebergs += special.display != 0
    if special.session:
        at = session_find(st, special.session)
        if at == st.sessions_count or st.sessions[at].number != special.session:
            source.short = True
            return
        session_join(st, slot)
    if special.expire_ns:
        expiry_set(st, slot)


cdef void get_closed_specials(State *st, Reader *source) noexcept nogil:
    cdef uint64_t i = 0, count = get_u64(source)
    cdef uint32_t number, at
    cdef Closed *closed
    while i < count and not source.short:
        at = get_u32(source)
        if at >= st.closed_count:
            source.short = True
            return
        closed = closed_at(st, st.closed_first + at)
        number = special_new(st)
        closed.special = number
        closed_mark(st, st.closed_first + at)
        get_special(st, source, &st.specials[number])
        i += 1


cdef uint32_t special_new(State *st) noexcept nogil:
    """A Special for an order that is closed."""
    cdef Special *special
    if st.specials_used == st.specials_capacity:
        more_specials(st)
    special = &st.specials[st.specials_used]
    memset(special, 0, sizeof(Special))
    special.partner = NONE
    special.due_at = NONE
    special.session_next = NONE
    special.session_prev = NONE
    special.day_next = NONE
    special.day_prev = NONE
    special.slot = NONE
    st.specials_used += 1
    st.specials_count += 1
    return st.specials_used - 1


cdef void get_sessions(State *st, Reader *source) noexcept nogil:
    cdef uint64_t count = get_u64(source)
    cdef uint32_t i
    if count > 65536:
        source.short = True
        return
    st.sessions_capacity = max(64, <uint32_t>count)
    st.sessions = <Session *>grow(st.sessions, <size_t>st.sessions_capacity * sizeof(Session))
    for i in range(count):
        st.sessions[i].number = get_u32(source)
        st.sessions[i].newest = NONE
        if i and st.sessions[i].number <= st.sessions[i - 1].number:
            source.short = True
    st.sessions_count = count


cdef void get_clients(State *st, Reader *source) noexcept nogil:
    """Dead-man timers and kill switches."""
    cdef uint64_t i = 0, count, seq
    cdef uint32_t client
    cdef int64_t time_ns
    st.venue_killed = get_u8(source) != 0
    st.kills = st.venue_killed
    count = get_u64(source)
    while i < count and not source.short:
        client = get_u32(source)
        time_ns = get_u64(source)
        seq = get_u64(source)
        if client >= st.clients_count or st.clients[client].timer != NONE:
            source.short = True
            return
        due_add(st, time_ns, DUE_TIMER, seq, client)
        i += 1
    count = get_u64(source)
    i = 0
    while i < count and not source.short:
        client = get_u32(source)
        if client >= st.clients_count:
            source.short = True
            return
        st.kills += 1 - st.clients[client].killed
        st.clients[client].killed = 1
        i += 1


cdef void get_more_state(State *st, Reader *source, const Opened *opened) noexcept nogil:
    """Read all that stands behind the orders; `opened` are all that are open, by seq."""
    cdef uint64_t i = 0, count
    cdef uint32_t number, next = 0
    get_sessions(st, source)
    count = get_u64(source)
    while i < count and not source.short:
        get_one(st, source, opened, &next)
        i += 1
    if not source.short:
        get_closed_specials(st, source)
    if not source.short:
        get_clients(st, source)
    for number in range(st.books_count):
        watch(&st.books[number])
