# cython: language_level=3
"""Open orders of every kind: where they stand, how they trade and end."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from novate.engine.state cimport (
    NONE, WATCH_ALL, WATCH_LIMITS, WATCH_TRADES, Book, Order, Special, State, i128,
)
from novate.model.records cimport MARKET, STOP_LIMIT, GTC, DAY, GTD

cdef Special *special_of(State *st, uint32_t slot) noexcept nogil
cdef void special_trim(State *st, uint32_t slot) noexcept nogil
cdef void session_join(State *st, uint32_t slot) noexcept nogil
cdef uint32_t session_find(State *st, uint32_t number) noexcept nogil
cdef void expiry_set(State *st, uint32_t slot) noexcept nogil
cdef void put(State *st, uint32_t slot) noexcept nogil
cdef void wait(State *st, uint32_t slot) noexcept nogil
cdef void wait_again(State *st, uint32_t slot) noexcept nogil
cdef void remove(State *st, uint32_t slot) noexcept nogil
cdef void refresh(State *st, uint32_t slot) noexcept nogil
cdef void take_off(State *st, uint32_t slot, int64_t lots) noexcept nogil
cdef void fill(State *st, Book *book, uint32_t slot, int64_t price, int64_t lots) noexcept nogil
cdef void take_special(State *st, Book *book, const Order *taker, uint32_t slot, int64_t price,
                       int64_t lots, int64_t limit) noexcept nogil
cdef void maker_traded(State *st, uint32_t slot) noexcept nogil
cdef void touch_order(State *st, uint32_t slot) noexcept nogil
cdef void tell(State *st, int kind, uint32_t slot, int reason) noexcept nogil
cdef uint32_t close(State *st, uint32_t slot, int state, int reason) noexcept nogil
cdef uint32_t end(State *st, uint32_t slot, int reason) noexcept nogil
cdef void pair(State *st, uint32_t one, uint32_t other) noexcept nogil
cdef uint32_t partner_of(State *st, uint32_t slot) noexcept nogil
cdef void unpair(State *st, uint32_t slot) noexcept nogil
cdef void cancel_partner(State *st, uint32_t other) noexcept nogil
cdef int64_t end_client(State *st, uint32_t client, int reason, uint32_t instrument,
                        int side) noexcept nogil
cdef void special_closed(State *st, uint32_t slot, uint32_t place) noexcept nogil

cdef inline void watch(Book *book) noexcept nogil:
    """Say anew what commands on this book are to look for."""
    cdef uint32_t watched = 0
    if book.phase != 0 or book.priceless[0].count != 0 or book.priceless[1].count != 0:
        watched = WATCH_ALL
    if book.rules != NULL or book.own_limits != 0:
        watched |= WATCH_LIMITS
    if book.waiting != 0 or book.pairs != 0 or book.icebergs != 0:
        watched |= WATCH_TRADES
    book.watch = watched

cdef inline bint sets_off(const Special *special) noexcept nogil:
    """Whether more follows from a trade of this maker than that it has less left, or ends."""
    return special.display != 0 or special.partner != NONE

cdef inline bint has_limit(const Order *order) noexcept nogil:
    return not order.order_type & MARKET

cdef inline bint is_stop(const Order *order) noexcept nogil:
    return (order.order_type & STOP_LIMIT) != 0

cdef inline bint can_rest(const Order *order) noexcept nogil:
    return has_limit(order) and (order.time_in_force == GTC or order.time_in_force >= DAY)

cdef inline bint is_open(State *st, uint32_t slot) noexcept nogil:
    return st.orders[slot].seq != 0
