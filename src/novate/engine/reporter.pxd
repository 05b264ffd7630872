# cython: language_level=3
"""The reporter: applies batches and renders what the world is told of them."""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t

from novate.engine.account_watch cimport AccountWatch
from novate.engine.images cimport OrderImage, TradeImage
from novate.engine.teller cimport Teller
from novate.model.records cimport Command

cdef struct Touched:
    uint32_t instrument, side
    int64_t price

cdef class Reporter(Teller):
    cdef public bint want_updates
    cdef public AccountWatch account_watch
    cdef Touched *touched
    cdef size_t touched_count, touched_capacity
    cdef set watched
    cdef unsigned char[::1] watching

    cdef object answer(self, const Command *command, uint32_t first, object applied)
    cdef object answer_plain(self, const Command *command, uint32_t first, object applied)
    cdef object answer_whole(self, const Command *command, uint32_t first, object applied)
    cdef object answer_operator(self, const Command *command, uint32_t first, uint32_t own,
                                object applied)
    cdef void trade_image(self, uint32_t at, TradeImage *trade) noexcept
    cdef object order_answer(self, const Command *command, uint32_t first, object applied)
    cdef bytes order_outcome(self, uint32_t first, OrderImage *image, int status)
    cdef object refusal(self, const Command *command, uint32_t at)
    cdef object swept(self, const Command *command, uint32_t first, uint32_t last)
    cdef int note_updates(self, uint32_t first, object applied) except -1
    cdef int note_all_updates(self, uint32_t first, object applied) except -1
    cdef int append_update(self, uint32_t instrument, uint32_t order, list updates) except -1
    cdef int note_touched(self, uint32_t first) except -1
    cdef int note_all_touched(self, uint32_t first) except -1
    cdef int touch(self, uint32_t instrument, int side, int64_t price) except -1
    cdef void compact(self) noexcept
    cdef bytes changed_levels(self, size_t first, size_t last, uint32_t side)
