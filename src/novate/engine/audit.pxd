# cython: language_level=3
"""The whole-state check."""

from novate.engine.state cimport State

cdef int audit(State *st) except -1
