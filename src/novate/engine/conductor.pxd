# cython: language_level=3
"""The conductor: what each command does, in which order, with registry and book."""

from libc.stdint cimport uint8_t, uint32_t

from novate.engine.registry cimport evict_closed
from novate.engine.state cimport NONE, State, unlikely
from novate.model.records cimport (
    CONFIGURE, CORRECT_TRADE, CREATE_INSTRUMENT, SET_CLEARING, SET_CLIENT_LIMITS, SET_RULES,
    Command, Event,
)

cdef Py_ssize_t apply_run(State *st, const uint8_t *batch, Py_ssize_t size) noexcept nogil
cdef void apply_command(State *st, Command *command) noexcept nogil
cdef void begin_command(State *st) noexcept nogil
cdef void free_left(State *st) noexcept nogil
cdef Event *refuse(State *st, int reason, uint32_t about) noexcept nogil

cdef inline void finish_command(State *st) noexcept nogil:
    """Bring the closed window back to its size, once nobody looks at the command any more."""
    if unlikely(st.left != NONE):
        free_left(st)
    if st.closed_count > st.closed_max:
        evict_closed(st)

cdef inline bint needs_python(const Command *command) noexcept nogil:
    """Whether a command's text is JSON, which the engine's face reads."""
    cdef uint32_t kinds = (
        1 << CREATE_INSTRUMENT | 1 << CONFIGURE | 1 << SET_RULES | 1 << SET_CLIENT_LIMITS
        | 1 << SET_CLEARING | 1 << CORRECT_TRADE)
    return command.kind < 32 and (kinds >> command.kind) & 1
