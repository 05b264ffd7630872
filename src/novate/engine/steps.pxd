# cython: language_level=3
"""Steps: one taker after the other, the phases between them, and what is due."""

from libc.stdint cimport int64_t, uint32_t

from novate.engine.state cimport Book, State

cdef void run(State *st, Book *book) noexcept nogil
cdef void enter(State *st, uint32_t slot) noexcept nogil
cdef void change_phase(State *st, Book *book, int phase, int64_t until_ns, int reason,
                       bint held) noexcept nogil
cdef void carry_out(State *st) noexcept nogil
