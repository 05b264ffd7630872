# cython: language_level=3
"""The venue's rules that refuse an order or an amendment."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from novate.engine.matching cimport Want
from novate.engine.state cimport Book, Order, Special, State, i128

cdef struct Asked:
    # an order as it would be: what its rules are asked about
    Want want
    int64_t stop_price, display, total, expire_ns
    uint8_t order_type, time_in_force, post_only, by_quote, triggered
    int64_t minimum
    uint32_t session

cdef uint32_t own_limits_at(State *st, uint64_t place) noexcept nogil
cdef void asked_of(State *st, uint32_t slot, Asked *asked) noexcept nogil
cdef int refuses(State *st, Book *book, const Asked *asked) noexcept nogil
cdef int refused_by_size(State *st, Book *book, const Asked *asked) noexcept nogil
cdef int refused_by_band(State *st, Book *book, const Asked *asked) noexcept nogil
cdef int refused_reentry(State *st, Book *book, const Asked *asked, uint32_t leaving) noexcept nogil
cdef int room_for(State *st, Book *book, const Want *want, int64_t lots,
                  uint32_t leaving) noexcept nogil
cdef bint covered(State *st, Book *book, const Want *want) noexcept nogil
