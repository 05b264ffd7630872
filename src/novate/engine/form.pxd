# cython: language_level=3
"""What a command must look like."""

from libc.stdint cimport uint32_t

from novate.engine.state cimport State, i128
from novate.model.records cimport Command

cdef i128 quote_budget(const Command *command) noexcept nogil
cdef bint id_sound(const Command *command) noexcept nogil
cdef bint link_sound(const Command *command) noexcept nogil
cdef int place_fault_found(State *st, const Command *command) noexcept nogil
cdef bint amend_malformed(const Command *command) noexcept nogil
cdef bint amend_in_bounds(State *st, Command *command, uint32_t named) noexcept nogil
