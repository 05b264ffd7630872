# cython: language_level=3
"""How many open orders a client has on each instrument."""

from libc.stdint cimport uint32_t

from novate.engine.state cimport State

cdef uint32_t open_count_of(State *st, uint32_t client, uint32_t instrument) noexcept nogil
cdef void open_count_add(State *st, uint32_t client, uint32_t instrument, int by) noexcept nogil
