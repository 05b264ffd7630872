# cython: language_level=3
"""What must hold of the accounts."""

from novate.engine.state cimport State

cdef int audit_clearing(State *st) except -1
