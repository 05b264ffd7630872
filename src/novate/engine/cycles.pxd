# cython: language_level=3
"""Cycles: closed by command or by the time of day, then settled."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from novate.engine.state cimport Cycle, State
from novate.model.records cimport Command

cdef enum:
    CYCLES_MAX = 64

cdef Cycle *cycle_of(State *st, uint64_t number) noexcept nogil
cdef void settle(State *st, Command *command, const uint8_t *text) noexcept nogil
cdef void move_settlement(State *st, Command *command, const uint8_t *text) noexcept nogil
cdef void set_cutoff(State *st, Command *command, const uint8_t *text) noexcept nogil
cdef void cut_off(State *st, int64_t time_ns) noexcept nogil
