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
    CHECK, ID_NUMBER, ID_TEXT, NONE, NUMBERS_MAX, WORKING,
    Client, Created, Key, Order, State, Table,
    grow, hash_bytes, mix, prefetch, name_free, name_new, name_text, order_free,
    place_after, place_of, tag_of,
)


# --- tables ---------------------------------------------------------------------------------

cdef inline uint32_t hash_number(State *st, uint64_t number) noexcept nogil:
    return <uint32_t>(mix(mix(number ^ st.secret, <uint64_t>0x9E3779B97F4A7C15),
                          <uint64_t>0xE7037ED1A0B428DB) >> 32)


cdef inline uint32_t order_hash(State *st, uint32_t slot) noexcept nogil:
    cdef Order *order = &st.orders[slot]
    if order.id_kind == ID_NUMBER:
        return hash_number(st, order.id)
    return <uint32_t>(order.id >> 32)


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


cdef uint32_t find_order(State *st, int kind, const uint8_t *text, uint32_t length,
                         uint64_t number, uint32_t hashed) noexcept nogil:
    """Slot of the order with this id, open or in the closed window, or NONE."""
    cdef Table *table = &st.order_index[hashed >> 24]
    cdef uint32_t at, slot, size
    cdef uint32_t distance = 0
    cdef Order *order
    cdef const uint8_t *own
    if kind == ID_NUMBER and number < NUMBERS_MAX:
        return st.numbers[number] if number < st.numbers_capacity else NONE
    if table.slots == NULL:
        return NONE
    at = place_of(table, hashed)
    while table.tags[at]:
        if table.tags[at] == tag_of(hashed, distance):
            slot = table.slots[at]
            order = &st.orders[slot]
            if order.id_kind == kind:
                if kind == ID_NUMBER:
                    if order.id == number:
                        return slot
                elif <uint32_t>(order.id >> 32) == hashed:
                    own = name_text(st, kind, order.id, &size)
                    if size == length and memcmp(own, text, length) == 0:
                        return slot
        at = place_after(table, at)
        distance += 1
    return NONE


cdef void index_order(State *st, uint32_t slot) noexcept nogil:
    """Make the order findable by its id."""
    cdef Order *order = &st.orders[slot]
    if order.id_kind == ID_NUMBER and order.id < NUMBERS_MAX:
        if order.id >= st.numbers_capacity:
            more_numbers(st, order.id)
        st.numbers[order.id] = slot
    else:
        table_add(st, st.order_index, order_hash, order_hash(st, slot), slot)


cdef void unindex_order(State *st, uint32_t slot) noexcept nogil:
    cdef Order *order = &st.orders[slot]
    if order.id_kind == ID_NUMBER and order.id < NUMBERS_MAX:
        st.numbers[order.id] = NONE
    else:
        table_remove(st, st.order_index, order_hash, order_hash(st, slot), slot)


cdef void more_numbers(State *st, uint64_t number) noexcept nogil:
    """Make the array of small order numbers long enough for this one."""
    cdef uint64_t capacity = max(1024, st.numbers_capacity)
    while capacity <= number:
        capacity *= 2
    st.numbers = <uint32_t *>grow(st.numbers, capacity * 4)
    memset(st.numbers + st.numbers_capacity, 0xFF, (capacity - st.numbers_capacity) * 4)
    st.numbers_capacity = capacity


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


cdef uint32_t client_number(State *st, const uint8_t *text, uint32_t length,
                            uint32_t number) noexcept nogil:
    """The client a command names, by text or by number; NONE if it is not known yet."""
    if length:
        return find_client(st, text, length)
    return number if number < st.clients_count else NONE


cdef uint32_t client_add(State *st, const uint8_t *text, uint32_t length) noexcept nogil:
    """A new client, the next number; NONE at the limit. Length 0: a client without a name."""
    cdef uint32_t number = st.clients_count
    cdef uint64_t hashed
    cdef Client *client
    if number >= st.clients_max or length > 64:
        return NONE
    if number == st.clients_capacity:
        st.clients_capacity = max(64, st.clients_capacity * 2)
        st.clients = <Client *>grow(st.clients, <size_t>st.clients_capacity * sizeof(Client))
    client = &st.clients[number]
    memset(client, 0, sizeof(Client))
    client.newest = NONE
    client.newest_open = NONE
    st.clients_count += 1
    if length:
        hashed = hash_bytes(text, length, st.secret)
        client.name = name_new(st, ID_TEXT, text, length, hashed)
        table_add(st, st.client_index, client_hash, <uint32_t>(hashed >> 32), number)
    return number


cdef void client_order_created(State *st, uint32_t slot) noexcept nogil:
    """Put the order at the head of its client's orders."""
    cdef Client *client = &st.clients[st.orders[slot].client]
    st.created[slot].prev = NONE
    st.created[slot].next = client.newest
    if client.newest != NONE:
        st.created[client.newest].prev = slot
    client.newest = slot


cdef void client_order_opened(State *st, uint32_t slot) noexcept nogil:
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


cdef void order_closed(State *st, uint32_t slot, int state) noexcept nogil:
    """Move an order from the open ones to the closed window; it trades no more.

    An order that never was open (it ended in the command that placed it) has `open_next` = its own
    slot.
    """
    cdef Order *order = &st.orders[slot]
    cdef Client *client = &st.clients[order.client]
    order.state = state
    if order.open_next != slot:
        if order.open_prev != NONE:
            st.orders[order.open_prev].open_next = order.open_next
        else:
            client.newest_open = order.open_next
        if order.open_next != NONE:
            st.orders[order.open_next].open_prev = order.open_prev
        client.open_count -= 1
        st.open_count -= 1
    order.open_next = slot
    order.open_prev = slot
    order.next = NONE
    order.prev = NONE
    if st.closed_last == NONE:
        st.closed_first = slot
    else:
        st.orders[st.closed_last].next = slot
    st.closed_last = slot
    st.closed_count += 1


cdef void evict_closed(State *st) noexcept nogil:
    """Let the oldest closed orders go until the window is at its size."""
    cdef uint32_t slot
    cdef Order *order
    cdef Created *created
    while st.closed_count > st.closed_max:
        slot = st.closed_first
        order = &st.orders[slot]
        CHECK(order.state != WORKING)
        st.closed_first = order.next
        if st.closed_first == NONE:
            st.closed_last = NONE
        else:
            prefetch(&st.orders[st.closed_first])
        st.closed_count -= 1
        created = &st.created[slot]
        if created.prev != NONE:
            st.created[created.prev].next = created.next
        else:
            st.clients[order.client].newest = created.next
        if created.next != NONE:
            st.created[created.next].prev = created.prev
        unindex_order(st, slot)
        name_free(st, order.id_kind, order.id)
        order_free(st, slot)


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


cdef void expire_keys(State *st) noexcept nogil:
    """Let every key go whose window has passed at the command's time."""
    while st.keys_count and st.time_ns - st.keys[st.keys_first].time_ns >= st.key_window_ns:
        key_drop(st)


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
