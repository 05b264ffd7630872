# cython: language_level=3
"""Names and windows: order ids, clients and their orders, idempotency keys."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from novate.engine.state cimport Key, State

cdef uint32_t find_order(State *st, int kind, const uint8_t *text, uint32_t length,
                         uint64_t number, uint32_t hashed) noexcept nogil
cdef uint32_t hash_id(State *st, int kind, const uint8_t *text, uint32_t length,
                      uint64_t number) noexcept nogil
cdef void index_order(State *st, uint32_t slot) noexcept nogil

cdef uint32_t find_client(State *st, const uint8_t *text, uint32_t length) noexcept nogil
cdef uint32_t client_number(State *st, const uint8_t *text, uint32_t length,
                            uint32_t number) noexcept nogil
cdef uint32_t client_add(State *st, const uint8_t *text, uint32_t length) noexcept nogil
cdef void client_order_opened(State *st, uint32_t slot) noexcept nogil
cdef void client_order_created(State *st, uint32_t slot) noexcept nogil
cdef void order_closed(State *st, uint32_t slot, int state) noexcept nogil
cdef void evict_closed(State *st) noexcept nogil

cdef Key *find_key(State *st, const uint8_t *digest) noexcept nogil
cdef void expire_keys(State *st) noexcept nogil
cdef bint key_room(State *st, uint32_t client) noexcept nogil
cdef void key_add(State *st, const uint8_t *digest, uint64_t command_digest,
                  uint32_t client, uint64_t seq, int64_t time_ns) noexcept nogil
cdef int keys_resize(State *st, uint32_t keys_max) except -1
