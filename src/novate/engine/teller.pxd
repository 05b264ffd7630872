# cython: language_level=3
"""What a command that set more off than its own order's events did, and to whom."""

from libc.stdint cimport uint32_t, uint64_t

from novate.engine.images cimport OrderImage, TradeImage
from novate.engine.reads cimport Reader
from novate.model.records cimport Command

cdef class Teller(Reader):
    cdef dict places            # of the orders of the command at hand: number -> where they stand

    cdef bint is_plain(self, const Command *command, uint32_t first)
    cdef uint32_t own_event(self, const Command *command, uint32_t first)
    cdef int find_places(self, uint32_t first, uint32_t own) except -1
    cdef int note_closed(self, dict places) except -1
    cdef uint32_t traded_place(self, uint32_t at)
    cdef uint32_t place_at(self, uint64_t number)
    cdef int whole_trade(self, uint32_t at, TradeImage *trade) except -1
    cdef int tell_trades(self, uint32_t first, list trades) except -1
    cdef int tell_changes(self, uint32_t first, list changes) except -1
    cdef bytes change(self, uint32_t at)
    cdef object whole_answer(self, uint32_t first, uint32_t own, int status)
    cdef bytes whole_outcome(self, uint32_t first, uint64_t number, OrderImage *image, int status)
    cdef object operated(self, const Command *command, uint32_t first, uint32_t own)

cdef uint32_t client_text_at(const Command *command) noexcept
cdef bytes time_text(uint64_t time_us)
