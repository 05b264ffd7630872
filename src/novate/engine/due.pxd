# cython: language_level=3
"""What waits for a time: a heap of instruments' phases, orders' ends and clients' timers."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from novate.engine.state cimport Book, State

cdef enum:
    DUE_PHASE = 0
    DUE_EXPIRY = 1
    DUE_TIMER = 2
    DUE_CUTOFF = 3

cdef int64_t DAY_NS

cdef int64_t next_daily(int64_t after_ns, int64_t at_ns) noexcept nogil
cdef void due_add(State *st, int64_t time_ns, uint32_t kind, uint64_t number,
                  uint32_t about) noexcept nogil
cdef void due_remove(State *st, uint32_t at) noexcept nogil
cdef int64_t phase_due_ns(State *st, Book *book) noexcept nogil
cdef void phase_due(State *st, Book *book) noexcept nogil
