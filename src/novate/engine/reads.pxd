# cython: language_level=3
"""Reads: the state as JSON."""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t

from novate.engine.engine cimport Engine
from novate.engine.images cimport Grid, Out
from novate.engine.state cimport Book

cdef struct Listing:
    # what a listing of orders asks for, and the seq that an order must be above to count
    int64_t instrument
    uint32_t client
    uint64_t before, least
    int limit

cdef class Reader:
    cdef readonly Engine engine
    cdef readonly int partition
    cdef Grid *grids
    cdef uint32_t grids_count
    cdef Out out

    cdef int sync(self) except -1
    cdef Grid *grid(self, uint32_t instrument) except NULL
    cdef bytes order_body(self, uint32_t at)
    cdef bytes whole_side(self, uint32_t instrument, int side)
    cdef uint32_t place_of(self, str order_id) except? 0xFFFFFFFE
    cdef int note_order(self, Listing *listing, uint64_t seq, uint32_t at, status,
                        list newest) except -1
    cdef int list_open(self, Listing *listing, status, list newest) except -1
    cdef bint list_chain(self, Listing *listing, status, list newest) except -1
    cdef int list_closed(self, Listing *listing, status, list newest) except -1
    cdef int put_state(self, uint32_t instrument) except -1
    cdef uint32_t older_trades(self, Book *book, uint64_t seq, uint32_t index) noexcept
    cdef void put_kept_trade(self, Book *book, uint32_t at, Grid *grid, bint detailed) noexcept

cdef bytes taken_bytes(Out *out, size_t start)
cdef void put_level(Out *out, Grid *grid, int64_t price, int64_t total) noexcept
cdef bytes closed_list(Out *out)
cdef int put_uncross(Out *out, Grid *grid, int64_t price, int64_t volume,
                     int64_t surplus) except -1
