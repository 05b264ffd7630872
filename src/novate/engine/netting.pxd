# cython: language_level=3
"""Netting: what the open cycle comes to, one obligation per client and asset."""

from libc.stdint cimport uint32_t

from novate.engine.state cimport Obligation, State

cdef Obligation *net(State *st, uint32_t *count, bint *fits) noexcept nogil
