# cython: language_level=3
"""What only the third version of a dump has: all of clearing."""

from novate.engine.packing cimport Reader, Writer
from novate.engine.state cimport State

cdef void put_clearing(State *st, Writer *out) noexcept nogil
cdef void get_clearing(State *st, Reader *source) noexcept nogil
