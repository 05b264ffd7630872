# cython: language_level=3
"""The registry: which order an id names, which orders a client has, which keys were used.

It owns ids, clients and windows, and knows nothing of prices or books. Hash tables are keyed by a
secret of the process, so that no client can choose ids that collide; the secret never decides an
answer and is never part of the state.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from novate.engine.state cimport (
    CHECK, CLOSED, LATE, NONE, NUMBERS_MAX, PLACE_MASK, WRITTEN,
    Client, Closed, Key, State, Table,
    closed_at, closed_write, grow, hash_bytes, mix, more_clients, name_free, name_new, name_text,
    number_put, place_after, place_of, prefetch, special_free, tag_of, unlikely,
)
from novate.model.records cimport ID_NUMBER, ID_TEXT


# --- tables ---------------------------------------------------------------------------------

cdef inline uint32_t hash_number(State *st, uint64_t number) noexcept nogil:
    return <uint32_t>(mix(mix(number ^ st.secret, <uint64_t>0x9E3779B97F4A7C15),
                          <uint64_t>0xE7037ED1A0B428DB) >> 32)


cdef inline uint32_t name_hash(State *st, int kind, uint64_t name) noexcept nogil:
    """The hash under which an order of this name is indexed, if it is not by a small number."""
    return hash_number(st, name) if kind == ID_NUMBER else <uint32_t>(name >> 32)


cdef inline uint32_t order_hash(State *st, uint32_t order) noexcept nogil:
    cdef uint64_t name
    cdef int kind
    name_at(st, order, &kind, &name)
    return name_hash(st, kind, name)


cdef inline uint32_t client_hash(State *st, uint32_t number) noexcept nogil:
    return <uint32_t>(st.clients[number].name >> 32)


cdef inline uint32_t digest_hash(State *st, const uint8_t *digest) noexcept nogil:
    cdef const uint64_t *half = <const uint64_t *>digest
    return <uint32_t>(mix(half[0] ^ st.secret, half[1] ^ <uint64_t>0xE7037ED1A0B428DB) >> 32)


cdef inline uint32_t key_hash(State *st, uint32_t position) noexcept nogil:
    return digest_hash(st, st.keys[position].digest)


ctypedef uint32_t (*Hash)(State *, uint32_t) noexcept nogil


cdef void table_put(Table *table, uint32_t hashed, uint32_t number) noexcept nogil:
    """Put a number at the first free place from its own on."""
    cdef uint32_t at = place_of(table, hashed), distance = 0
    while table.tags[at]:
        at = place_after(table, at)
        distance += 1
    table.slots[at] = number
    table.tags[at] = tag_of(hashed, distance)


cdef void table_add(State *st, Table *index, Hash hash_of, uint32_t hashed,
                    uint32_t number) noexcept nogil:
    """Put a number under its hash into its shard; the shard grows by half at four fifths full."""
    cdef Table *table = &index[hashed >> 24]
    if table.slots == NULL or table.count * 5 >= table.size * 4:
        table_grow(st, table, hash_of)
    table_put(table, hashed, number)
    table.count += 1


cdef void table_grow(State *st, Table *table, Hash hash_of) noexcept nogil:
    cdef uint32_t *old = table.slots
    cdef uint8_t *old_tags = table.tags
    cdef uint32_t old_size = table.size
    cdef uint32_t size = 16 if old == NULL else old_size + old_size // 2
    cdef uint32_t i
    table.slots = <uint32_t *>grow(NULL, <size_t>size * 5)
    table.tags = <uint8_t *>(table.slots + size)
    memset(table.tags, 0, size)
    table.size = size
    for i in range(old_size):
        if old_tags[i]:
            table_put(table, hash_of(st, old[i]), old[i])
    free(old)


cdef void table_remove(State *st, Table *index, Hash hash_of, uint32_t hashed,
                       uint32_t number) noexcept nogil:
    """Take a number out, and move back whatever stood behind it for want of its place."""
    cdef Table *table = &index[hashed >> 24]
    cdef uint32_t at = place_of(table, hashed), next_at, distance, gap
    while table.slots[at] != number or not table.tags[at]:
        CHECK(table.tags[at] != 0)
        at = place_after(table, at)
    next_at = at
    gap = 0
    while True:
        next_at = place_after(table, next_at)
        gap += 1
        if not table.tags[next_at]:
            break
        distance = table.tags[next_at] & 15
        if distance == 15:
            distance = next_at - place_of(table, hash_of(st, table.slots[next_at]))
            if distance >= table.size:
                distance += table.size
        if distance >= gap:
            table.slots[at] = table.slots[next_at]
            table.tags[at] = table.tags[next_at] & 0xF0 | min(distance - gap, 15)
            at = next_at
            gap = 0
    table.tags[at] = 0
    table.count -= 1


# --- order ids ------------------------------------------------------------------------------

cdef uint32_t hash_id(State *st, int kind, const uint8_t *text, uint32_t length,
                      uint64_t number) noexcept nogil:
    """The hash of an order id, which `find_order` takes and a new order's name keeps."""
    if kind == ID_NUMBER:
        return 0 if number < NUMBERS_MAX else hash_number(st, number)
    return <uint32_t>(hash_bytes(text, length, st.secret) >> 32)


cdef inline void name_at(State *st, uint32_t order, int *kind, uint64_t *name) noexcept nogil:
    """How the order that stands there is named."""
    cdef Closed *closed
    if order & CLOSED:
        closed = closed_at(st, order)
        kind[0] = closed.id_kind
        name[0] = closed.id
    else:
        kind[0] = st.orders[order].id_kind
        name[0] = st.orders[order].id


cdef uint32_t find_hashed(State *st, int kind, const uint8_t *text, uint32_t length,
                          uint64_t number, uint32_t hashed) noexcept nogil:
    """Where the order with this id stands, or NONE; not for small numbers."""
    cdef Table *table = &st.order_index[hashed >> 24]
    cdef uint32_t at, order, size
    cdef uint32_t distance = 0
    cdef int own_kind
    cdef uint64_t name
    cdef const uint8_t *own
    if table.slots == NULL:
        return NONE
    at = place_of(table, hashed)
    while table.tags[at]:
        if table.tags[at] == tag_of(hashed, distance):
            order = table.slots[at]
            name_at(st, order, &own_kind, &name)
            if own_kind == kind:
                if kind == ID_NUMBER:
                    if name == number:
                        return order
                elif <uint32_t>(name >> 32) == hashed:
                    own = name_text(st, kind, name, &size)
                    if size == length and memcmp(own, text, length) == 0:
                        return order
        at = place_after(table, at)
        distance += 1
    return NONE


cdef void index_hashed(State *st, int kind, uint64_t name, uint32_t order) noexcept nogil:
    """Make the order findable by its id; not for small numbers."""
    table_add(st, st.order_index, order_hash, name_hash(st, kind, name), order)


cdef void reindex_hashed(State *st, int kind, uint64_t name, uint32_t before,
                         uint32_t after) noexcept nogil:
    """The order with this id stands elsewhere now."""
    cdef uint32_t hashed = name_hash(st, kind, name)
    cdef Table *table = &st.order_index[hashed >> 24]
    cdef uint32_t at = place_of(table, hashed)
    while table.slots[at] != before or not table.tags[at]:
        CHECK(table.tags[at] != 0)
        at = place_after(table, at)
    table.slots[at] = after


cdef void unindex_order(State *st, int kind, uint64_t name, uint32_t order) noexcept nogil:
    if kind == ID_NUMBER and name < NUMBERS_MAX:
        number_put(st, name, NONE)
    else:
        table_remove(st, st.order_index, order_hash, name_hash(st, kind, name), order)


# --- clients --------------------------------------------------------------------------------

cdef uint32_t find_client(State *st, const uint8_t *text, uint32_t length) noexcept nogil:
    """Number of the client with this id, or NONE."""
    cdef uint64_t name
    cdef uint32_t hashed = <uint32_t>(hash_bytes(text, length, st.secret) >> 32)
    cdef Table *table = &st.client_index[hashed >> 24]
    cdef uint32_t at, number, size, distance = 0
    cdef const uint8_t *own
    if table.slots == NULL:
        return NONE
    at = place_of(table, hashed)
    while table.tags[at]:
        number = table.slots[at]
        if table.tags[at] == tag_of(hashed, distance):
            name = st.clients[number].name
            own = name_text(st, ID_TEXT, name, &size)
            if size == length and memcmp(own, text, length) == 0:
                return number
        at = place_after(table, at)
        distance += 1
    return NONE


cdef uint32_t client_add(State *st, const uint8_t *text, uint32_t length) noexcept nogil:
    """A new client, the next number; NONE at the limit. Length 0: a client without a name."""
    cdef uint32_t number = st.clients_count
    cdef uint64_t hashed
    cdef Client *client
    if number >= st.clients_max or length > 64:
        return NONE
    if number == st.clients_capacity:
        more_clients(st)
    client = &st.clients[number]
    memset(client, 0, sizeof(Client))
    client.newest_open = NONE
    client.last_closed = NONE
    client.timer = NONE
    st.clients_count += 1
    if length:
        hashed = hash_bytes(text, length, st.secret)
        client.name = name_new(st, ID_TEXT, text, length, hashed)
        table_add(st, st.client_index, client_hash, <uint32_t>(hashed >> 32), number)
    return number


# --- closed orders --------------------------------------------------------------------------

cdef void write_late(State *st, uint32_t place) noexcept nogil:
    """Make room among the late closed orders, which are full, for the one at this place.

    Those that have left the window already are written nowhere.
    """
    cdef uint32_t gone = st.closed_first - st.closed_written - WRITTEN
    if (gone & PLACE_MASK) > LATE:
        closed_write(st.closed + (st.closed_written & (st.closed_capacity - 1)),
                     st.closed_late + (place & (LATE - 1)))
    st.closed_written += WRITTEN


cdef void forget_closed(State *st, uint32_t many) noexcept nogil:
    """Give back what so many of the oldest closed orders have beyond their places.

    They are about to leave those, and still stand in the window.
    """
    cdef uint32_t i
    for i in range(many):
        if st.closed_care[((st.closed_first + i) & (st.closed_capacity - 1)) >> 6]:
            forget_one(st, st.closed_first + i)


cdef void forget_one(State *st, uint32_t place) noexcept nogil:
    cdef Closed *closed = closed_at(st, place)
    unindex_order(st, closed.id_kind, closed.id, CLOSED | (place & PLACE_MASK))
    name_free(st, closed.id_kind, closed.id)
    if unlikely(closed.marked):
        special_free(st, closed.special)
    prefetch(closed_at(st, place + 24))


cdef bint closed_is(State *st, uint32_t place, uint32_t client) noexcept nogil:
    """Whether a place named by a client's chain is still in the window, and so its order's."""
    return ((place - st.closed_first) & PLACE_MASK) < st.closed_count and (
        closed_at(st, place).client == client)


# --- idempotency keys -----------------------------------------------------------------------

cdef Key *find_key(State *st, const uint8_t *digest) noexcept nogil:
    """The key with this digest within the window, or NULL."""
    cdef uint32_t hashed = digest_hash(st, digest)
    cdef Table *table = &st.key_index[hashed >> 24]
    cdef uint32_t at, position, distance = 0
    if table.slots == NULL:
        return NULL
    at = place_of(table, hashed)
    while table.tags[at]:
        position = table.slots[at]
        if table.tags[at] == tag_of(hashed, distance) and (
                memcmp(st.keys[position].digest, digest, 16) == 0):
            return &st.keys[position]
        at = place_after(table, at)
        distance += 1
    return NULL


cdef void key_drop(State *st) noexcept nogil:
    """Let the oldest key go."""
    cdef uint32_t position = st.keys_first
    table_remove(st, st.key_index, key_hash, key_hash(st, position), position)
    st.clients[st.keys[position].client].keys -= 1
    st.keys_first += 1
    if st.keys_first == st.keys_max:
        st.keys_first = 0
    st.keys_count -= 1


cdef bint key_room(State *st, uint32_t client) noexcept nogil:
    """Whether the client (NONE: a new one) may use another key now."""
    cdef uint32_t share = max(1, st.keys_max // 4)
    if client != NONE and st.clients[client].keys >= share:
        return False
    if st.keys_count < st.keys_max:
        return True
    return st.keys_max != 0 and (
        st.time_ns - st.keys[st.keys_first].time_ns >= st.key_window_ns_min)


cdef void key_add(State *st, const uint8_t *digest, uint64_t command_digest,
                  uint32_t client, uint64_t seq, int64_t time_ns) noexcept nogil:
    """Remember a key; `key_room` has said yes. The oldest goes if there is no place else."""
    cdef uint32_t position
    cdef Key *key
    if st.keys_count == st.keys_max:
        key_drop(st)
    position = st.keys_first + st.keys_count
    if position >= st.keys_max:
        position -= st.keys_max
    key = &st.keys[position]
    memcpy(key.digest, digest, 16)
    key.command_digest = command_digest
    key.seq = seq
    key.time_ns = time_ns
    key.client = client
    key.pad = 0
    st.clients[client].keys += 1
    st.keys_count += 1
    table_add(st, st.key_index, key_hash, key_hash(st, position), position)


cdef int keys_resize(State *st, uint32_t keys_max) except -1:
    """Change the window's size; keys that no longer fit go, the oldest first.

    The ring's memory is asked for whole and zeroed by the system page by page as it is used.
    MemoryError where the system refuses it: nothing has changed.
    """
    cdef Key *ring = <Key *>calloc(max(1, keys_max), sizeof(Key))
    cdef Key *old = st.keys
    cdef uint32_t i, at, kept, old_max = st.keys_max
    if ring == NULL:
        raise MemoryError(f"a window of {keys_max} idempotency keys")
    while st.keys_count > keys_max:
        key_drop(st)
    kept = st.keys_count
    for i in range(kept):
        at = st.keys_first + i
        ring[i] = old[at - old_max if at >= old_max else at]
    for i in range(256):
        free(st.key_index[i].slots)
        memset(&st.key_index[i], 0, sizeof(Table))
    st.keys = ring
    st.keys_first = 0
    st.keys_max = keys_max
    free(old)
    for i in range(kept):
        table_add(st, st.key_index, key_hash, key_hash(st, i), i)
    return 0
