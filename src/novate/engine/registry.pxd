# cython: language_level=3
"""Names and windows: order ids, clients and their orders, idempotency keys."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from novate.engine.open_counts cimport open_count_add
from novate.engine.state cimport (
    CLOSED, LATE, NONE, NUMBERS_MAX, PLACE_MASK, Client, Closed, Key, Links, State, Taker,
    closed_at, closed_put, i128, more_closed, number_at, number_put, unlikely,
)
from novate.model.records cimport ID_NUMBER, Command

cdef uint32_t hash_id(State *st, int kind, const uint8_t *text, uint32_t length,
                      uint64_t number) noexcept nogil
cdef uint32_t find_hashed(State *st, int kind, const uint8_t *text, uint32_t length,
                          uint64_t number, uint32_t hashed) noexcept nogil
cdef void index_hashed(State *st, int kind, uint64_t name, uint32_t order) noexcept nogil
cdef void reindex_hashed(State *st, int kind, uint64_t name, uint32_t before,
                         uint32_t after) noexcept nogil

cdef uint32_t find_client(State *st, const uint8_t *text, uint32_t length) noexcept nogil
cdef uint32_t client_add(State *st, const uint8_t *text, uint32_t length) noexcept nogil
cdef void forget_closed(State *st, uint32_t many) noexcept nogil
cdef void write_late(State *st, uint32_t place) noexcept nogil
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
    cdef uint32_t order
    if kind == ID_NUMBER and number < NUMBERS_MAX:
        order = number_at(st, number)
        if order & CLOSED and order != NONE and not closed_has(st, order, number):
            return NONE
        return order
    return find_hashed(st, kind, text, length, number, hashed)

cdef inline uint32_t named_hash(State *st, const Command *command,
                                const uint8_t *text) noexcept nogil:
    """The hash of the order id in a command; 0 for a small number, which needs none."""
    if command.order_id_kind == ID_NUMBER and command.order_number < NUMBERS_MAX:
        return 0
    return hash_id(st, command.order_id_kind, text, command.order_id_length,
                   command.order_number)

cdef inline bint closed_has(State *st, uint32_t order, uint64_t number) noexcept nogil:
    """Whether this place of the closed window, which the index names, still has the number's order.

    Small numbers are not taken out of the index when their order leaves the window.
    """
    cdef Closed *closed = closed_at(st, order)
    return ((order - st.closed_first) & PLACE_MASK) < st.closed_count and (
        closed.id == number and closed.id_kind == ID_NUMBER)

cdef inline void closed_mark(State *st, uint32_t place) noexcept nogil:
    """The closed order there has a Special, which is to be given back when it leaves."""
    closed_at(st, place).marked = 1
    st.closed_care[(place & (st.closed_capacity - 1)) >> 6] = 1

cdef inline void evict_closed(State *st) noexcept nogil:
    """Let the oldest closed orders go until the window is at its size.

    Most have nothing that is to be given back: they aren't even looked at, and nothing branches on
    how many they are, which comes by chance.
    """
    cdef uint32_t many = st.closed_count - min(st.closed_count, st.closed_max)
    cdef uint32_t mask = st.closed_capacity - 1
    cdef uint8_t care = st.closed_care[(st.closed_first & mask) >> 6]
    care |= st.closed_care[((st.closed_first + many) & mask) >> 6]
    if unlikely(care | (many > 64)):
        forget_closed(st, many)
    st.closed_first += many
    st.closed_count -= many

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
    cdef Client *client = &st.clients[st.orders[slot].client]
    cdef Links *links = st.links
    cdef uint32_t newest = client.newest_open
    links[slot].open_prev = NONE
    links[slot].open_next = newest
    if newest != NONE:
        links[newest].open_prev = slot
    client.newest_open = slot
    client.open_count += 1
    st.open_count += 1
    if unlikely(client.counted):
        open_count_add(st, st.orders[slot].client, st.orders[slot].instrument, 1)

cdef inline void client_order_left(State *st, uint32_t slot) noexcept nogil:
    """Take the order out of its client's open orders."""
    cdef Client *client = &st.clients[st.orders[slot].client]
    cdef Links *links = st.links
    cdef uint32_t older = links[slot].open_next, newer = links[slot].open_prev
    if newer != NONE:
        links[newer].open_next = older
    else:
        client.newest_open = older
    if older != NONE:
        links[older].open_prev = newer
    client.open_count -= 1
    st.open_count -= 1
    if unlikely(client.counted):
        open_count_add(st, st.orders[slot].client, st.orders[slot].instrument, -1)

cdef inline uint32_t closed_new(State *st, const Taker *identity, int state, int reason,
                                int64_t low, int64_t high, i128 notional,
                                int64_t filled) noexcept nogil:
    """The next closed order, as its client's last; where it stands from now on.

    Of the order given only the identity is looked at. `low` and `high` are its price and what
    remains of it, or the halves of the quote units that it asked for.
    """
    cdef Client *client = &st.clients[identity.client]
    cdef uint32_t place
    cdef uint8_t *care
    if unlikely(st.closed_count + 64 > st.closed_capacity):
        more_closed(st)
    place = (st.closed_first + st.closed_count) & PLACE_MASK
    st.closed_count += 1
    if ((place - st.closed_written) & PLACE_MASK) == LATE:
        write_late(st, place)
    care = &st.closed_care[(place & (st.closed_capacity - 1)) >> 6]
    care[0] = (care[0] & -<int>((place & 63) != 0)) | (
        identity.id_kind | identity.marked | (identity.id >= NUMBERS_MAX))
    closed_put(closed_at(st, place), identity, state, reason, st.seq, st.time_us, low, high,
               notional, filled, client.last_closed)
    client.last_closed = place
    return CLOSED | place

cdef inline uint32_t closed_by_quote(State *st, const Taker *identity, int state, int reason,
                                     i128 units, i128 notional, int64_t filled) noexcept nogil:
    """The same of an order that asked for a quote quantity."""
    return closed_new(st, identity, state, reason, <int64_t><uint64_t>units,
                      <int64_t>(units >> 64), notional, filled)
