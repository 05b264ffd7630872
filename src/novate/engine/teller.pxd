# cython: language_level=3
"""What a command that set more off than its own order's events did, and to whom."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from novate.engine.images cimport OrderImage, TradeImage
from novate.engine.reads cimport Reader
from novate.model.records cimport Command, Event

cdef enum:
    PART_LOOK = 1024            # rows between two looks at how many there are
    OUTCOME_ORDER = 1
    OUTCOME_RAW = 2

# Form 0 of an outcome: an order without terms, which took all of its trades, one after the other.
# Form 1: with its terms, and each trade whole.
cdef packed struct OutcomeHead:
    uint8_t kind, form
    unsigned short status
    uint32_t listed, trades

# Where an order of the command at hand stands when it is over; a place in a hash table.
cdef struct Place:
    uint64_t number
    uint32_t stands
    uint8_t used, told

cdef class Teller(Reader):
    cdef Place *places
    cdef size_t places_size, places_used
    cdef public object on_part

    cdef bint is_plain(self, const Command *command, uint32_t first)
    cdef uint32_t own_event(self, const Command *command, uint32_t first)
    cdef int find_places(self, uint32_t first, uint32_t own) except -1
    cdef void forget_places(self) noexcept
    cdef Place *place_found(self, uint64_t number) noexcept
    cdef void place_put(self, uint64_t number, uint32_t stands) noexcept
    cdef void note_closed(self) noexcept
    cdef uint32_t traded_place(self, uint32_t at)
    cdef uint32_t place_at(self, uint64_t number) noexcept
    cdef int whole_trade(self, uint32_t at, TradeImage *trade) except -1
    cdef int tell_trades(self, uint32_t first, object applied) except -1
    cdef int give_part(self, object applied) except -1
    cdef int tell_changes(self, uint32_t first, object applied) except -1
    cdef bytes change(self, uint32_t at)
    cdef bytes bust(self, uint32_t at)
    cdef void put_place(self, uint64_t seq, uint32_t index, Event *event)
    cdef object whole_answer(self, uint32_t first, uint32_t own, int status)
    cdef bytes whole_outcome(self, uint32_t first, uint64_t number, OrderImage *image, int status)
    cdef object operated(self, const Command *command, uint32_t first, uint32_t own)

cdef uint32_t client_text_at(const Command *command) noexcept
cdef bytes time_text(uint64_t time_us)
