# cython: language_level=3
"""Reads: the state as JSON."""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t

from novate.engine.engine cimport Engine
from novate.engine.images cimport Grid, Out
from novate.engine.state cimport Book

cdef class Reader:
    cdef readonly Engine engine
    cdef readonly int partition
    cdef Grid *grids
    cdef uint32_t grids_count
    cdef Out out

    cdef int sync(self) except -1
    cdef Grid *grid(self, uint32_t instrument) except NULL
    cdef bytes order_body(self, uint32_t slot)
    cdef bytes whole_side(self, uint32_t instrument, int side)
    cdef uint32_t slot_of(self, str order_id) except? 0xFFFFFFFE
    cdef object clients_orders(self, uint32_t client, int64_t instrument, status, int limit, cursor)
    cdef bint fits(self, uint32_t slot, int64_t instrument, status)
    cdef object everybodys_orders(self, int64_t instrument, status, int limit, cursor)
    cdef uint32_t older_trades(self, Book *book, uint64_t seq, uint32_t index) noexcept
    cdef void put_kept_trade(self, Book *book, uint32_t at, Grid *grid, bint detailed) noexcept

cdef bytes taken_bytes(Out *out, size_t start)
cdef void put_level(Out *out, Grid *grid, int64_t price, int64_t total) noexcept
cdef bytes closed_list(Out *out)
