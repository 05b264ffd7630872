# cython: language_level=3
"""Fetching into the cache what the commands to come will touch."""

from libc.stdint cimport uint8_t, uint32_t

from novate.engine.state cimport State

cdef struct Lookahead:
    # the batch from the furthest command looked at on, and what was found of those before it
    const uint8_t *at
    const uint8_t *end
    uint32_t step
    uint32_t hashes[32]
    uint32_t slots[32]
    const uint8_t *commands[32]

cdef void look_begin(State *st, Lookahead *ahead, const uint8_t *batch,
                     Py_ssize_t size) noexcept nogil
cdef void look_on(State *st, Lookahead *ahead) noexcept nogil
