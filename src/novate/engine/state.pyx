# cython: language_level=3
"""Owns the memory of an engine: slabs with free lists, cells for names, growth. Decides nothing.

Everything grows by doubling and never past the engine's limits; what is given back is used again,
so a steady state allocates nothing. Out of memory ends the process: the journal has it all.
"""

from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from novate.model.records cimport ID_UUID

import os

cdef size_t NUMBERS_SIZE = (NUMBERS_MAX + 1) * 4


cdef Clearing *clearing_new() noexcept:
    """Nothing cleared yet."""
    cdef Clearing *clearing = <Clearing *>grow(NULL, sizeof(Clearing))
    memset(clearing, 0, sizeof(Clearing))
    clearing.cutoff_ns = -1
    clearing.cutoff_due_at = NONE
    return clearing


cdef State *state_new() noexcept:
    """A state without instruments, with every limit at zero; NULL when out of memory."""
    cdef State *st = <State *>calloc(1, sizeof(State))
    cdef bytes seed = os.urandom(8)
    if st == NULL:
        return NULL
    st.numbers = <uint32_t *>reserve_zeros(NUMBERS_SIZE)
    if st.numbers == NULL:
        free(st)
        return NULL
    memcpy(&st.secret, <const char *>seed, 8)
    st.secret |= 1
    st.extras_free = NONE
    st.levels_free = NONE
    st.blocks_free = NONE
    st.current = NONE
    st.specials_free = NONE
    st.left = NONE
    st.taking = NONE
    st.triggering = NONE
    st.next_due_ns = INT64_MAX
    st.no_rules.iceberg_parts_max = 100
    st.no_rules.volatility_auction_ns = <int64_t>300 * 1000000000
    st.cells.used = 1
    more_orders(st)  # there is always a slot that may be looked at, and the like
    more_levels(st)
    more_clients(st)
    more_closed(st)
    st.closed_late = <Closed *>lines_grow(NULL, 0, LATE * sizeof(Closed))
    st.clearing = clearing_new()
    return st


cdef void state_free(State *st) noexcept:
    """Give everything back."""
    cdef uint32_t i
    if st == NULL:
        return
    for i in range(st.books_count):
        free_side(&st.books[i].sides[0])
        free_side(&st.books[i].sides[1])
        free_side(&st.books[i].stops[0])
        free_side(&st.books[i].stops[1])
        free(st.books[i].rules)
        free(st.books[i].trades)
    free(st.books)
    lines_free(st.orders, <size_t>st.orders_capacity * sizeof(Order))
    lines_free(st.links, <size_t>st.orders_capacity * sizeof(Links))
    lines_free(st.closed, <size_t>st.closed_capacity * sizeof(Closed))
    free(st.closed_care)
    lines_free(st.closed_late, LATE * sizeof(Closed))
    lines_free(st.levels, <size_t>st.levels_capacity * sizeof(Level))
    lines_free(st.blocks, <size_t>st.blocks_capacity * sizeof(Block))
    lines_free(st.numbers, NUMBERS_SIZE)
    lines_free(st.extras, <size_t>st.extras_capacity * sizeof(Extra))
    lines_free(st.specials, <size_t>st.specials_capacity * sizeof(Special))
    free(st.sessions)
    free(st.due)
    free(st.own_limits)
    free(st.open_counts)
    free(st.queue)
    free(st.cells.bytes)
    for i in range(256):
        free(st.order_index[i].slots)
        free(st.client_index[i].slots)
        free(st.key_index[i].slots)
    free(st.clients)
    free(st.keys)
    free(st.events)
    free(st.event_orders)
    clearing_free(st.clearing)
    free(st)


cdef void free_side(BookSide *side) noexcept:
    free(side.lowest)
    free(side.blocks)
    free(side.cache)


cdef void more_orders(State *st) noexcept nogil:
    """Double the slab, which begins as 32 MiB of address space."""
    cdef uint32_t capacity = max(1 << 19, st.orders_capacity * 2)
    st.orders = <Order *>lines_grow(
        st.orders, <size_t>st.orders_capacity * sizeof(Order), <size_t>capacity * sizeof(Order))
    st.links = <Links *>lines_grow(
        st.links, <size_t>st.orders_capacity * sizeof(Links), <size_t>capacity * sizeof(Links))
    st.orders_capacity = capacity


cdef void more_extras(State *st) noexcept nogil:
    cdef uint32_t capacity = max(1024, st.extras_capacity * 2)
    st.extras = <Extra *>lines_grow(
        st.extras, <size_t>st.extras_capacity * sizeof(Extra), <size_t>capacity * sizeof(Extra))
    st.extras_capacity = capacity


cdef void more_specials(State *st) noexcept nogil:
    cdef uint32_t capacity = max(1024, st.specials_capacity * 2)
    st.specials = <Special *>lines_grow(
        st.specials, <size_t>st.specials_capacity * sizeof(Special),
        <size_t>capacity * sizeof(Special))
    st.specials_capacity = capacity


cdef void more_levels(State *st) noexcept nogil:
    cdef uint32_t capacity = max(256, st.levels_capacity * 2)
    st.levels = <Level *>lines_grow(
        st.levels, <size_t>st.levels_capacity * sizeof(Level), <size_t>capacity * sizeof(Level))
    st.levels_capacity = capacity


cdef void more_clients(State *st) noexcept nogil:
    cdef uint32_t before = st.clients_capacity
    st.clients_capacity = max(64, before * 2)
    st.clients = <Client *>grow(st.clients, <size_t>st.clients_capacity * sizeof(Client))
    memset(st.clients + before, 0, <size_t>(st.clients_capacity - before) * sizeof(Client))


cdef enum:
    BLOCKS_FEW = 512
    BLOCKS_MANY = 8192  # so many that they are given huge pages


cdef void more_blocks(State *st) noexcept nogil:
    cdef uint32_t capacity = max(64, st.blocks_capacity * 2)
    cdef size_t before = <size_t>st.blocks_capacity * sizeof(Block)
    cdef Block *few = st.blocks
    if BLOCKS_FEW < capacity < BLOCKS_MANY:  # anew, for what lies in small pages stays there
        capacity = BLOCKS_MANY
        st.blocks = <Block *>lines_grow(NULL, 0, <size_t>capacity * sizeof(Block))
        memcpy(st.blocks, few, before)
        lines_free(few, before)
    else:
        st.blocks = <Block *>lines_grow(few, before, <size_t>capacity * sizeof(Block))
    st.blocks_capacity = capacity


cdef void more_closed(State *st) noexcept nogil:
    """Double the ring: what stands in its second half by its place moves there."""
    cdef uint32_t before = st.closed_capacity, capacity = max(1024, before * 2), i, place
    st.closed = <Closed *>lines_grow(
        st.closed, <size_t>before * sizeof(Closed), <size_t>capacity * sizeof(Closed))
    st.closed_capacity = capacity
    st.closed_care = <uint8_t *>grow(st.closed_care, capacity // 64)
    memset(st.closed_care, 1, capacity // 64)  # on the safe side, until each is begun anew
    for i in range(st.closed_count):
        place = st.closed_first + i
        if place & (capacity - 1) >= before:
            st.closed[place & (capacity - 1)] = st.closed[place & (before - 1)]


cdef uint32_t cell_new(Cells *cells, uint32_t units) noexcept nogil:
    """A cell of `units` * 8 bytes, 1 to 9 units; its number, never 0."""
    cdef uint32_t cell = cells.free[units]
    if cell != 0:
        cells.free[units] = (<uint32_t *>(cells.bytes + <size_t>cell * 8))[0]
        return cell
    if <uint64_t>cells.used + units > cells.capacity:
        cells.capacity = max(4096, cells.capacity * 2)
        cells.bytes = <uint8_t *>grow(cells.bytes, <size_t>cells.capacity * 8)
    cell = cells.used
    cells.used += units
    return cell


cdef void cell_free(Cells *cells, uint32_t cell, uint32_t units) noexcept nogil:
    """Give a cell back to the free list of its size."""
    (<uint32_t *>(cells.bytes + <size_t>cell * 8))[0] = cells.free[units]
    cells.free[units] = cell


cdef uint64_t name_new(State *st, int kind, const uint8_t *text, uint32_t length,
                       uint64_t hashed) noexcept nogil:
    """Store a UUID (16 bytes) or a text (1-64 bytes); its cell, with the hash's high half."""
    cdef uint32_t cell
    if kind == ID_UUID:
        cell = cell_new(&st.cells, 2)
        memcpy(st.cells.bytes + <size_t>cell * 8, text, 16)
    else:
        cell = cell_new(&st.cells, (length + 8) // 8)
        st.cells.bytes[<size_t>cell * 8] = length
        memcpy(st.cells.bytes + <size_t>cell * 8 + 1, text, length)
    return (hashed & <uint64_t>0xFFFFFFFF00000000) | cell


cdef uint64_t text_copy(State *st, int kind, uint64_t name) noexcept nogil:
    """A second name with the same text, in a cell of its own."""
    cdef uint32_t length
    cdef const uint8_t *text = name_text(st, kind, name, &length)
    cdef uint8_t buffer[72]
    memcpy(buffer, text, length)
    return name_new(st, kind, buffer, length, name)


cdef void text_free(State *st, int kind, uint64_t name) noexcept nogil:
    """Give a name's cell back."""
    cdef uint32_t cell = <uint32_t>(name & 0xFFFFFFFFU)
    if kind == ID_UUID:
        cell_free(&st.cells, cell, 2)
    else:
        cell_free(&st.cells, cell, (st.cells.bytes[<size_t>cell * 8] + 8) // 8)


cdef void more_events(State *st) noexcept nogil:
    """Make room for more events: in memory, or by giving what there is to the sink."""
    if st.sink != NULL:
        flush_events(st)
        return
    events_room(st, max(256, st.events_capacity * 2))


cdef void grow_events(State *st, uint32_t capacity) noexcept nogil:
    st.events_capacity = capacity
    st.events = <Event *>grow(st.events, <size_t>capacity * sizeof(Event))
    st.event_orders = <uint32_t *>grow(st.event_orders, <size_t>capacity * 4)


cdef void fit_events(State *st) noexcept nogil:
    """Give back the room for events beyond twice of what the last batch took."""
    cdef uint32_t capacity = 256
    while capacity < st.events_count:
        capacity *= 2
    events_room(st, capacity)


cdef void events_room(State *st, uint32_t capacity) noexcept nogil:
    """Have room for so many events, gathered."""
    grow_events(st, capacity)
    st.events_limit = capacity


cdef void events_into(State *st, Sink sink, void *context) noexcept nogil:
    """From now on events go to the sink, in chunks of at most SINK_EVENTS."""
    st.events_count = 0
    if st.events_capacity < SINK_EVENTS:
        grow_events(st, SINK_EVENTS)
    st.events_limit = SINK_EVENTS
    st.sink_context = context
    st.sink = sink


cdef void flush_events(State *st) noexcept nogil:
    """Give the sink what was written since the last time."""
    if st.events_count:
        st.sink(st.sink_context, st.events, st.events_count)
    st.events_given += st.events_count
    st.events_count = 0


cdef void events_gathered(State *st) noexcept nogil:
    """Give the sink what is left; from now on events are gathered again."""
    flush_events(st)
    st.events_limit = st.events_capacity
    st.sink = NULL


cdef void forget_events(State *st) noexcept nogil:
    """Give back the memory of a batch's events if there were very many."""
    st.events_count = 0
    if st.events_capacity > 1 << 17:
        free(st.events)
        free(st.event_orders)
        st.events = NULL
        st.event_orders = NULL
        st.events_capacity = 0
        st.events_limit = 0


cdef uint32_t book_new(State *st) noexcept nogil:
    """An empty book; its number."""
    cdef uint32_t i = st.books_count
    cdef Book *book
    cdef int side
    if st.books_count == st.books_capacity:
        st.books_capacity = max(16, st.books_capacity * 2)
        st.books = <Book *>grow(st.books, <size_t>st.books_capacity * sizeof(Book))
    book = &st.books[i]
    memset(book, 0, sizeof(Book))
    book.due_at = NONE
    book.day_first = NONE
    book.day_last = NONE
    for side in range(2):
        book.sides[side].best = NONE
        book.sides[side].best_key = NO_KEY
        book.stops[side].best = NONE
        book.stops[side].best_key = NO_KEY
        book.priceless[side].head = NONE
        book.priceless[side].tail = NONE
    st.books_count += 1
    return i
