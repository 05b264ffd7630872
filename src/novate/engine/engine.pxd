# cython: language_level=3
"""The engine's face in C, for compiled callers."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from novate.engine.state cimport Book, State
from novate.model.records cimport Command, Event

cdef class Engine:
    cdef State *st
    cdef list _instruments
    cdef dict _names
    cdef dict _rules
    cdef dict _own_limits
    cdef object _limits
    cdef Event *spare
    cdef uint32_t spare_capacity

    cdef object take_events(self)
    cdef void ready_events(self) noexcept
    cdef void begin(self, uint64_t seq, int64_t time_ns) noexcept
    cdef apply_batch(self, const uint8_t *batch, Py_ssize_t size, first_seq, timestamp_ns)
    cdef uint64_t check_seq(self, first_seq, Py_ssize_t count) except 0
    cdef set_rules(self, Command *command, bytes text)
    cdef set_client_limits(self, Command *command, bytes text)
    cdef create_instrument(self, bytes text)
    cdef configure(self, bytes text)
    cdef Book *book(self, int64_t instrument) except NULL
    cdef int apply_at(self, const uint8_t *record) except -1
    cdef int install_limits(self, object limits) except -1
    cdef int install_rules(self, object header) except -1
    cdef int install_instrument(self, object instrument) except -1

cdef Py_ssize_t count_commands(const uint8_t *batch, Py_ssize_t size) except -1
