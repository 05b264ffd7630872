# cython: language_level=3
"""Resizing the windows of last trades."""

from libc.stdint cimport uint32_t

from novate.engine.state cimport State

cdef void resize_trades(State *st, uint32_t trades_max) noexcept
