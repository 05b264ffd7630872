# cython: language_level=3
"""What commands do to the accounts of clients that are watched."""

from libc.stdint cimport uint32_t, uint64_t

from novate.engine.statements cimport Accounts
from novate.model.records cimport Event

cdef class Known:
    cdef str client_id
    cdef dict balances, positions

cdef class Touched:
    cdef list facts
    cdef set assets, instruments

cdef class AccountWatch:
    cdef Accounts accounts
    cdef dict known
    cdef set unknown
    cdef uint32_t clients_seen
    cdef dict touched
    cdef list noted

    cdef int note(self, uint32_t first) except -1
    cdef int learn(self) except -1
    cdef int begin(self, uint32_t client, str client_id) except -1
    cdef Touched of(self, uint32_t client)
    cdef int note_event(self, uint32_t at, const Event *event, uint64_t reference) except -1
    cdef int note_party(self, uint32_t client, uint32_t at, int party, const Event *event,
                        uint64_t reference) except -1
    cdef int note_cycle(self, uint32_t at, uint64_t cycle) except -1
    cdef list owed(self, uint32_t client, uint64_t cycle)
    cdef tuple balance_row(self, uint32_t client, uint32_t asset)
    cdef tuple position_row(self, uint32_t client, uint32_t instrument)
    cdef int tell(self, uint32_t client, Touched touched) except -1
