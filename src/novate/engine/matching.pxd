# cython: language_level=3
"""Continuous matching with all that the rulebook knows."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from novate.engine.state cimport Book, Distance, Order, Special, State, i128

cdef struct Want:
    # what a taker would have, real or thought of
    int64_t price, lots
    uint32_t slot, client, group, partner
    uint8_t side, limited, self_trade

cdef struct Bounds:
    # the prices a step may trade at, both ends inside; off: the ends of all numbers
    int64_t protection_low, protection_high
    int64_t static_low, static_high
    int64_t dynamic_low, dynamic_high

cdef int64_t distance_of(const Distance *distance, int64_t base) noexcept nogil
cdef void bounds_of(State *st, Book *book, int side, bint limited, Bounds *bounds) noexcept nogil
cdef void want_of(State *st, uint32_t slot, Want *want) noexcept nogil
cdef int64_t obtainable(State *st, Book *book, const Want *want) noexcept nogil
cdef i128 walk_cost(State *st, Book *book, const Want *want) noexcept nogil
cdef int match_watched(State *st, Book *book, uint32_t slot) noexcept nogil
cdef void trade(State *st, Book *book, uint32_t taker_slot, uint32_t slot, int64_t price,
                int64_t lots) noexcept nogil
