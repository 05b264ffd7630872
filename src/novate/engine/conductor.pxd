# cython: language_level=3
"""The conductor: what each command does, in which order, with registry and book."""

from libc.stdint cimport uint8_t, uint32_t

from novate.engine.state cimport Command, Event, Order, State

cdef void apply_command(State *st, Command *command, const uint8_t *text) noexcept nogil
cdef void finish_command(State *st) noexcept nogil
cdef Event *refuse(State *st, int reason, uint32_t slot) noexcept nogil
