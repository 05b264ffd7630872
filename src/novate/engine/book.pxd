# cython: language_level=3
"""A book: price levels, their queues, and matching by price-time priority."""

from libc.stdint cimport int64_t, uint32_t

from novate.engine.state cimport Book, BookSide, State, i128

cdef struct Place:
    # where in its side of a book an order rests, or would
    bint found          # whether the level exists
    uint32_t at         # its position, or where it would be inserted

cdef bint level_find(BookSide *levels, int64_t key, uint32_t *at) noexcept nogil
cdef bint would_cross(Book *book, int side, int64_t price) noexcept nogil
cdef bint can_fill(Book *book, int side, bint market, int64_t price, int64_t lots) noexcept nogil
cdef void find_place(Book *book, int side, int64_t price, Place *place) noexcept nogil
cdef int rest_refusal(State *st, Book *book, int side, Place *place, int64_t lots) noexcept nogil
cdef void rest(State *st, Book *book, uint32_t slot, Place *place) noexcept nogil
cdef void unlink(State *st, Book *book, uint32_t slot) noexcept nogil
cdef void reduce(State *st, Book *book, uint32_t slot, int64_t lots) noexcept nogil
cdef void match_lots(State *st, Book *book, uint32_t slot, bint market) noexcept nogil
cdef int match_quote(State *st, Book *book, uint32_t slot, i128 budget) noexcept nogil
cdef void touch(State *st, Book *book) noexcept nogil
