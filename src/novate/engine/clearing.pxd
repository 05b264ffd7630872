# cython: language_level=3
"""Clearing: funds in and out, marks and tiers, trades taken back."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from novate.engine.state cimport State, i128
from novate.model.records cimport Command

cdef enum:
    BUSTED_MAX = 1048576

cdef struct Correction:
    # a trade as it was, and as it is to be (no lots: busted)
    uint64_t seq
    uint32_t index, instrument, buyer, seller
    int64_t price, lots, new_price, new_lots
    i128 buyer_fee, seller_fee, new_buyer_fee, new_seller_fee

cdef void move_funds(State *st, const Command *command, uint32_t client) noexcept nogil
cdef bint funds_malformed(State *st, const Command *command) noexcept nogil
cdef void set_mark(State *st, Command *command, const uint8_t *text) noexcept nogil
cdef void set_tier(State *st, Command *command, const uint8_t *text) noexcept nogil
cdef bint is_busted(State *st, uint64_t seq, uint32_t index) noexcept nogil
cdef void correct_trade(State *st, const Correction *asked) noexcept nogil
cdef int set_client_tier(State *st, uint32_t client, uint32_t tier) noexcept nogil
