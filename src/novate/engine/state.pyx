# cython: language_level=3
"""Owns the memory of an engine: slabs with free lists, cells for names, growth. Decides nothing.

Everything grows by doubling and never past the engine's limits; what is given back is used again,
so a steady state allocates nothing. Out of memory ends the process: the journal has it all.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

import os


cdef State *state_new() noexcept:
    """A state without instruments, with every limit at zero; NULL when out of memory."""
    cdef State *st = <State *>calloc(1, sizeof(State))
    cdef bytes seed = os.urandom(8)
    if st == NULL:
        return NULL
    memcpy(&st.secret, <const char *>seed, 8)
    st.secret |= 1
    st.orders_free = NONE
    st.extras_free = NONE
    st.closed_first = NONE
    st.closed_last = NONE
    st.current = NONE
    st.cells.used = 1
    return st


cdef void state_free(State *st) noexcept:
    """Give everything back."""
    cdef uint32_t i
    if st == NULL:
        return
    for i in range(st.books_count):
        free(st.books[i].sides[0].levels)
        free(st.books[i].sides[1].levels)
        free(st.books[i].trades)
    free(st.books)
    lines_free(st.orders, <size_t>st.orders_capacity * sizeof(Order))
    free(st.created)
    free(st.numbers)
    free(st.extras)
    free(st.cells.bytes)
    for i in range(256):
        free(st.order_index[i].slots)
        free(st.client_index[i].slots)
        free(st.key_index[i].slots)
    free(st.clients)
    free(st.keys)
    free(st.events)
    free(st.event_slots)
    free(st)


cdef void more_orders(State *st) noexcept nogil:
    """Double the slab."""
    cdef uint32_t capacity = max(1024, st.orders_capacity * 2)
    st.orders = <Order *>lines_grow(
        st.orders, <size_t>st.orders_capacity * sizeof(Order), <size_t>capacity * sizeof(Order))
    st.created = <Created *>grow(st.created, <size_t>capacity * sizeof(Created))
    st.orders_capacity = capacity


cdef uint32_t order_new(State *st) noexcept nogil:
    """A slot for an order; its fields are whatever was there, but extra is NONE."""
    cdef uint32_t slot = st.orders_free
    if slot != NONE:
        st.orders_free = st.orders[slot].next
    else:
        if st.orders_used == st.orders_capacity:
            more_orders(st)
        slot = st.orders_used
        st.orders_used += 1
    st.orders[slot].extra = NONE
    return slot


cdef void order_free(State *st, uint32_t slot) noexcept nogil:
    """Give a slot back, with its Extra; the name is the caller's matter."""
    cdef Order *order = &st.orders[slot]
    if order.extra != NONE:
        st.extras[order.extra].next_free = st.extras_free
        st.extras_free = order.extra
        order.extra = NONE
    order.seq = 0
    order.next = st.orders_free
    st.orders_free = slot


cdef Extra *order_extra(State *st, Order *order) noexcept nogil:
    """The order's Extra, made now if it has none: nothing filled, updated at creation."""
    cdef Extra *extra
    cdef uint32_t i
    if order.extra != NONE:
        return &st.extras[order.extra]
    i = st.extras_free
    if i != NONE:
        st.extras_free = st.extras[i].next_free
    else:
        if st.extras_used == st.extras_capacity:
            st.extras_capacity = max(1024, st.extras_capacity * 2)
            st.extras = <Extra *>grow(st.extras, <size_t>st.extras_capacity * sizeof(Extra))
        i = st.extras_used
        st.extras_used += 1
    extra = &st.extras[i]
    extra.notional = 0
    extra.quote_units = 0
    extra.filled = 0
    extra.updated_us = order.created_us
    extra.updated_seq = order.seq
    extra.reason = 0
    extra.next_free = NONE
    order.extra = i
    return extra


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


cdef uint64_t name_copy(State *st, int kind, uint64_t name) noexcept nogil:
    """A second name with the same text, in a cell of its own; a number is its own copy."""
    cdef uint32_t length
    cdef const uint8_t *text
    cdef uint8_t buffer[72]
    if kind == ID_NUMBER:
        return name
    text = name_text(st, kind, name, &length)
    memcpy(buffer, text, length)
    return name_new(st, kind, buffer, length, name)


cdef void name_free(State *st, int kind, uint64_t name) noexcept nogil:
    """Give a name's cell back."""
    cdef uint32_t cell = <uint32_t>(name & 0xFFFFFFFFU)
    if kind == ID_NUMBER:
        return
    if kind == ID_UUID:
        cell_free(&st.cells, cell, 2)
    else:
        cell_free(&st.cells, cell, (st.cells.bytes[<size_t>cell * 8] + 8) // 8)


cdef void event_room(State *st) noexcept nogil:
    """Make room for more events."""
    st.events_capacity = max(256, st.events_capacity * 2)
    st.events = <Event *>grow(st.events, <size_t>st.events_capacity * sizeof(Event))
    st.event_slots = <uint32_t *>grow(st.event_slots, <size_t>st.events_capacity * 4)


cdef void forget_events(State *st) noexcept nogil:
    """Give back the memory of a batch's events if there were very many."""
    st.events_count = 0
    if st.events_capacity > 1 << 17:
        free(st.events)
        free(st.event_slots)
        st.events = NULL
        st.event_slots = NULL
        st.events_capacity = 0


cdef uint32_t book_new(State *st) noexcept nogil:
    """An empty book; its number."""
    cdef uint32_t i = st.books_count
    if st.books_count == st.books_capacity:
        st.books_capacity = max(16, st.books_capacity * 2)
        st.books = <Book *>grow(st.books, <size_t>st.books_capacity * sizeof(Book))
    memset(&st.books[i], 0, sizeof(Book))
    st.books_count += 1
    return i
