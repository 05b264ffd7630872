# cython: language_level=3
"""PLACE and AMEND where anything is special."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from novate.engine.state cimport State
from novate.model.records cimport Command

cdef void place_watched(State *st, const Command *command, const uint8_t *text,
                        uint32_t client) noexcept nogil
cdef int amend_watched(State *st, const Command *command, uint32_t slot) noexcept nogil
