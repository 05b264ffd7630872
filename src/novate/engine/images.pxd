# cython: language_level=3
"""Pictures of orders and trades at a moment, and the JSON that is made of them."""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from novate.engine.state cimport State, i128

cdef struct Out:
    char *bytes
    size_t used, capacity

cdef struct Grid:
    # what is needed to write an instrument's numbers
    char name[96]               # JSON text of the name, with its quotes
    int name_size
    int64_t tick_coefficient, lot_coefficient, quote_units
    int tick_exponent, lot_exponent, quote_scale

cdef struct Name:
    int kind                    # IdKind
    uint32_t length
    const uint8_t *text
    uint64_t number

cdef struct OrderImage:
    i128 notional, quote_units
    int64_t price, remaining, filled, created_us, updated_us
    uint64_t updated_seq
    uint32_t instrument
    uint8_t side, order_type, time_in_force, state, by_quote, reason
    Name order_id, client_id
    # what few orders have; not set where has_terms is 0
    uint8_t has_terms, has_partner, self_trade, triggered
    uint32_t group
    int64_t stop_price, display, minimum, expire_ns
    Name partner

cdef struct TradeImage:
    int64_t price, quantity, time_us
    uint64_t seq
    uint32_t index
    uint8_t taker_side, auction
    Name maker_id, taker_id

cdef void reserve(Out *out, size_t size) noexcept nogil
cdef void put_bytes(Out *out, const char *text, size_t size) noexcept nogil
cdef void put_text(Out *out, const char *text) noexcept nogil
cdef void put_number(Out *out, int64_t value) noexcept nogil
cdef void put_decimal(Out *out, i128 value, int64_t coefficient, int exponent) noexcept nogil
cdef void put_time(Out *out, int64_t time_us) noexcept nogil
cdef void put_id(Out *out, Name *name) noexcept nogil
cdef void name_of(State *st, int kind, uint64_t name, Name *out) noexcept nogil
cdef void client_of(State *st, uint32_t client, Name *out) noexcept nogil
cdef void order_image(State *st, uint32_t at, OrderImage *image) noexcept nogil
cdef void name_at(State *st, uint32_t at, Name *name) noexcept nogil
cdef uint32_t client_at(State *st, uint32_t at) noexcept nogil
cdef const char *status_of(OrderImage *image) noexcept nogil
cdef void put_order(Out *out, OrderImage *image, Grid *grid) noexcept nogil
cdef void put_trade_id(Out *out, int partition, uint64_t seq, uint32_t index) noexcept nogil
cdef void put_trade(Out *out, TradeImage *trade, Grid *grid, int partition) noexcept nogil
