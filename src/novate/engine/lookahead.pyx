# cython: language_level=3
"""Looking ahead for orders that are named by text, in the hash table of their ids."""

from libc.stdint cimport uint8_t, uint32_t

from novate.engine.registry cimport hash_id
from novate.engine.state cimport (
    NONE, NUMBERS_MAX, State, Table, number_at, place_after, place_of, prefetch, tag_of,
)
from novate.model.records cimport Command, head_size


cdef void ask_hash(State *st, Lookahead *ahead, uint32_t now,
                   const Command *command) noexcept nogil:
    """Ask for the lines of the table where the command's order id belongs."""
    cdef const uint8_t *text = <const uint8_t *>command + head_size(command)
    cdef uint32_t hashed = hash_id(st, command.order_id_kind, text, command.order_id_length,
                                   command.order_number)
    cdef Table *table = &st.order_index[hashed >> 24]
    ahead.hashed = True
    ahead.hashes[now] = hashed
    if table.slots != NULL:
        prefetch(table.tags + place_of(table, hashed))
        prefetch(table.slots + place_of(table, hashed))


cdef uint32_t find_hash(State *st, Lookahead *ahead, uint32_t now) noexcept nogil:
    """Where the order stands that a command most likely names, or NONE."""
    cdef uint32_t hashed = ahead.hashes[now], at, distance = 0
    cdef Table *table = &st.order_index[hashed >> 24]
    if ahead.numbers[now] != NUMBERS_MAX:
        return number_at(st, ahead.numbers[now])
    if table.slots == NULL:
        return NONE
    at = place_of(table, hashed)
    while table.tags[at] and distance < 8:
        if table.tags[at] == tag_of(hashed, distance):
            return table.slots[at]
        at = place_after(table, at)
        distance += 1
    return NONE
