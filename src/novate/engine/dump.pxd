# cython: language_level=3
"""The canonical serialisation of a state."""

from novate.engine.state cimport State

cdef bytes dump_state(State *st)
cdef int load_state(State *st, const unsigned char[::1] dump) except -1
