# cython: language_level=3
"""Names and windows: order ids, clients and their orders, idempotency keys."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from novate.engine.open_counts cimport open_count_add
from novate.engine.state cimport (
    CLOSED, NONE, NUMBERS_MAX, PLACE_MASK, Client, Closed, Key, Order, State, Taker,
    closed_as, closed_at, copy_identity, more_closed, number_at, number_put, prefetch, unlikely,
)
from novate.model.records cimport ID_NUMBER

cdef uint32_t hash_id(State *st, int kind, const uint8_t *text, uint32_t length,
                      uint64_t number) noexcept nogil
cdef uint32_t find_hashed(State *st, int kind, const uint8_t *text, uint32_t length,
                          uint64_t number, uint32_t hashed) noexcept nogil
cdef void index_hashed(State *st, int kind, uint64_t name, uint32_t order) noexcept nogil
cdef void reindex_hashed(State *st, int kind, uint64_t name, uint32_t before,
                         uint32_t after) noexcept nogil

cdef uint32_t find_client(State *st, const uint8_t *text, uint32_t length) noexcept nogil
cdef uint32_t client_add(State *st, const uint8_t *text, uint32_t length) noexcept nogil
cdef void evict_closed(State *st) noexcept nogil
cdef bint closed_is(State *st, uint32_t place, uint32_t client) noexcept nogil

cdef Key *find_key(State *st, const uint8_t *digest) noexcept nogil
cdef void key_drop(State *st) noexcept nogil
cdef bint key_room(State *st, uint32_t client) noexcept nogil
cdef void key_add(State *st, const uint8_t *digest, uint64_t command_digest,
                  uint32_t client, uint64_t seq, int64_t time_ns) noexcept nogil
cdef int keys_resize(State *st, uint32_t keys_max) except -1


# --- what every command does, inline --------------------------------------------------------

cdef inline uint32_t find_order(State *st, int kind, const uint8_t *text, uint32_t length,
                                uint64_t number, uint32_t hashed) noexcept nogil:
    """Where the order with this id stands, open or in the closed window, or NONE."""
    if kind == ID_NUMBER and number < NUMBERS_MAX:
        return number_at(st, number)
    return find_hashed(st, kind, text, length, number, hashed)

cdef inline void index_order(State *st, int kind, uint64_t name, uint32_t order) noexcept nogil:
    """Make an order findable by its id."""
    if kind == ID_NUMBER and name < NUMBERS_MAX:
        number_put(st, name, order)
    else:
        index_hashed(st, kind, name, order)

cdef inline void reindex_order(State *st, int kind, uint64_t name, uint32_t before,
                               uint32_t after) noexcept nogil:
    """The order with this id stands elsewhere now."""
    if kind == ID_NUMBER and name < NUMBERS_MAX:
        number_put(st, name, after)
    else:
        reindex_hashed(st, kind, name, before, after)

cdef inline uint32_t client_number(State *st, const uint8_t *text, uint32_t length,
                                   uint32_t number) noexcept nogil:
    """The client a command names, by text or by number; NONE if it is not known yet."""
    if length:
        return find_client(st, text, length)
    return number if number < st.clients_count else NONE

cdef inline void expire_keys(State *st) noexcept nogil:
    """Let every key go whose window has passed at the command's time."""
    while st.keys_count and st.time_ns - st.keys[st.keys_first].time_ns >= st.key_window_ns:
        key_drop(st)

cdef inline void client_order_opened(State *st, uint32_t slot) noexcept nogil:
    """Put the order at the head of its client's open orders, and count it."""
    cdef Order *order = &st.orders[slot]
    cdef Client *client = &st.clients[order.client]
    order.open_prev = NONE
    order.open_next = client.newest_open
    if client.newest_open != NONE:
        st.orders[client.newest_open].open_prev = slot
    client.newest_open = slot
    client.open_count += 1
    st.open_count += 1
    if unlikely(client.counted):
        open_count_add(st, order.client, order.instrument, 1)

cdef inline void client_order_left(State *st, Order *order) noexcept nogil:
    """Take the order out of its client's open orders."""
    cdef Client *client = &st.clients[order.client]
    if order.open_prev != NONE:
        st.orders[order.open_prev].open_next = order.open_next
    else:
        client.newest_open = order.open_next
    if order.open_next != NONE:
        st.orders[order.open_next].open_prev = order.open_prev
    client.open_count -= 1
    st.open_count -= 1
    if unlikely(client.counted):
        open_count_add(st, order.client, order.instrument, -1)

cdef inline Closed *closed_new(State *st, const Taker *identity, int state, int reason,
                               uint32_t *order) noexcept nogil:
    """The next closed order, as the client's last; `order` is where it stands from now on.

    Of the one given only the identity is looked at; price, lots and notional are the caller's.
    """
    cdef Client *client = &st.clients[identity.client]
    cdef uint32_t place
    cdef Closed *closed
    if unlikely(st.closed_count == st.closed_capacity):
        more_closed(st)
    place = (st.closed_first + st.closed_count) & PLACE_MASK
    st.closed_count += 1
    prefetch(closed_at(st, place + 16))
    prefetch(<const uint8_t *>closed_at(st, place + 16) + 64)
    closed = closed_at(st, place)
    copy_identity(closed, identity)
    closed_as(closed, state, reason, st.seq, st.time_us, client.last_closed)
    client.last_closed = place
    order[0] = CLOSED | place
    return closed
