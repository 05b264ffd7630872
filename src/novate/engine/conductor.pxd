# cython: language_level=3
"""The conductor: what each command does, in which order, with registry and book."""

from libc.stdint cimport uint8_t, uint32_t

from novate.engine.registry cimport evict_closed
from novate.engine.state cimport State
from novate.model.records cimport Command, Event

cdef Py_ssize_t apply_run(State *st, const uint8_t *batch, Py_ssize_t size) noexcept nogil
cdef void apply_command(State *st, Command *command, const uint8_t *text) noexcept nogil
cdef Event *refuse(State *st, int reason, uint32_t about) noexcept nogil

cdef inline void finish_command(State *st) noexcept nogil:
    """Bring the closed window back to its size, once nobody looks at the command any more."""
    if st.closed_count > st.closed_max:
        evict_closed(st)
