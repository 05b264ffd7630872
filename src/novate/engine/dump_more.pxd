# cython: language_level=3
"""What only the second version of a dump has."""

from novate.engine.dump cimport Opened
from novate.engine.packing cimport Reader, Writer
from novate.engine.state cimport State

cdef bint has_more(State *st) noexcept nogil
cdef void put_more_state(State *st, Writer *out) noexcept nogil
cdef void get_standing(State *st, Reader *source) noexcept nogil
cdef void get_more_state(State *st, Reader *source, const Opened *opened) noexcept nogil
