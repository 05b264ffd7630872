# cython: language_level=3
"""The operator's and the gateways' commands: phases, sessions, timers, kill switches."""

from libc.stdint cimport uint8_t, uint32_t

from novate.engine.state cimport State
from novate.model.records cimport Command

cdef uint32_t client_known(State *st, const Command *command, const uint8_t *text) noexcept nogil
cdef void advance_time(State *st, Command *command, const uint8_t *text) noexcept nogil
cdef void skip_command(State *st, Command *command, const uint8_t *text) noexcept nogil
cdef void adopt_rules(State *st, Command *command, const uint8_t *text) noexcept nogil
cdef void set_phase(State *st, Command *command, const uint8_t *text) noexcept nogil
cdef void session_open(State *st, Command *command, const uint8_t *text) noexcept nogil
cdef void session_close(State *st, Command *command, const uint8_t *text) noexcept nogil
cdef void sessions_lost(State *st, Command *command, const uint8_t *text) noexcept nogil
cdef void cancel_after(State *st, Command *command, const uint8_t *text) noexcept nogil
cdef void kill(State *st, Command *command, const uint8_t *text) noexcept nogil
cdef void take_snapshot(State *st, Command *command, const uint8_t *text) noexcept nogil
