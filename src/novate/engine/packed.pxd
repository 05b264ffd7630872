# cython: language_level=3
"""The packed form of images."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

from novate.engine.images cimport OrderImage, Out, TradeImage

cdef void pack_order(Out *out, OrderImage *image) noexcept nogil
cdef size_t unpack_order(const uint8_t *packed, size_t size, OrderImage *image) noexcept nogil
cdef void pack_trade(Out *out, TradeImage *trade) noexcept nogil
cdef void pack_terms(Out *out, OrderImage *image) noexcept nogil
cdef size_t unpack_terms(const uint8_t *packed, size_t size, OrderImage *image) noexcept nogil
cdef void pack_whole_trade(Out *out, TradeImage *trade) noexcept nogil
cdef size_t unpack_whole_trade(const uint8_t *packed, size_t size, OrderImage *order,
                               TradeImage *trade) noexcept nogil
cdef size_t unpack_trade(const uint8_t *packed, size_t size, OrderImage *taker,
                         TradeImage *trade) noexcept nogil
