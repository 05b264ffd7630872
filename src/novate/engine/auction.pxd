# cython: language_level=3
"""The call auction."""

from libc.stdint cimport int64_t

from novate.engine.state cimport Book, State, i128

cdef struct Uncross:
    # what an auction would come to; `surplus` is over 0 where buyers are left
    int64_t price
    i128 volume, surplus

cdef int64_t clamped(i128 lots) noexcept nogil
cdef void indicative(State *st, Book *book, Uncross *found) noexcept nogil
cdef void uncross(State *st, Book *book, bint always_said) noexcept nogil
