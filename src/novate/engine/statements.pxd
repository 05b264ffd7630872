# cython: language_level=3
"""What the accounts of an engine say."""

from libc.stdint cimport uint32_t

from novate.engine.engine cimport Engine
from novate.engine.state cimport Market, Obligation, i128

cdef object whole(i128 value)
cdef list obligation_rows(const Obligation *rows, uint32_t count)

cdef class Accounts:
    cdef readonly Engine engine

    cdef Market *market_at(self, uint32_t instrument) except NULL
    cdef tuple position_row(self, uint32_t at)
    cdef list whole_cycle(self)
