# cython: language_level=3
"""The canonical serialisation of a state."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from novate.engine.packing cimport Reader, Writer
from novate.engine.state cimport Order, State

cdef struct Opened:
    # an open order, by the seq that created it
    uint64_t seq
    uint32_t slot

cdef bytes dump_state(State *st, int parts, bytes before)
cdef int load_state(State *st, const unsigned char[::1] dump, int parts) except -1
cdef Opened *sorted_by_seq(Opened *opened, uint32_t count) noexcept nogil
cdef void put_order(State *st, Writer *out, const Order *order) noexcept nogil
cdef uint32_t get_open(State *st, Reader *source, int side, int64_t *price) noexcept nogil
