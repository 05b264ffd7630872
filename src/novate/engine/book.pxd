# cython: language_level=3
"""A book: queues at price levels, and matching by price-time priority."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from novate.engine.ladder cimport level_drop, level_find, level_open
from novate.engine.registry cimport client_order_left, closed_new, index_order, reindex_order
from novate.engine.state cimport (
    CHECK, NONE, Book, BookSide, Extra, Level, Links, Order, State, Taker, i128,
    extra_free, key_of, order_left, unlikely,
)
from novate.model.records cimport LEVEL_FULL, PRICE_LEVELS_LIMIT

cdef enum:
    TOTAL_MAX = 9223372036854775807

cdef bint can_fill(State *st, Book *book, int side, bint market, int64_t price,
                   int64_t lots) noexcept nogil
cdef void reduce(State *st, uint32_t slot, int64_t lots) noexcept nogil
cdef void match_lots(State *st, Book *book, Taker *taker, int64_t limit_key) noexcept nogil
cdef int match_quote(State *st, Book *book, Taker *taker) noexcept nogil
cdef uint32_t closed_with_extra(State *st, uint32_t slot, int64_t price, int64_t lots, int state,
                                int reason) noexcept nogil
cdef void keep_trade(State *st, Book *book, const Order *maker, const Order *taker, int64_t price,
                     int64_t lots, bint auction) noexcept nogil
cdef uint32_t taker_closed(State *st, Taker *taker, uint32_t slot, int state,
                           int reason) noexcept nogil


cdef inline void touch(State *st, Book *book) noexcept nogil:
    """Note that the command at hand changed this book."""
    book.last_seq = st.seq
    book.last_us = st.time_us

cdef inline void book_check(State *st, Book *book) noexcept nogil:
    """The invariants that cost nothing: conservation of lots, and a book that is not crossed."""
    if unlikely(<uint64_t>book.entered
                != <uint64_t>book.filled + <uint64_t>book.open + <uint64_t>book.ended):
        st.violation = 1  # the lower halves will do here: an audit compares the whole
    if unlikely(book.sides[0].best_key >= -book.sides[1].best_key and book.phase == 0):
        st.violation = 2

cdef inline bint would_cross(State *st, Book *book, int side, int64_t price) noexcept nogil:
    """Whether an order of this side and limit price (ticks) would trade now."""
    return book.sides[1 - side].best_key >= key_of(1 - side, price)

cdef inline int rest_refusal(State *st, BookSide *own, uint32_t level,
                             int64_t lots) noexcept nogil:
    """0 if `lots` may rest at this level (NONE: a new one), or why there is no room for them."""
    if level != NONE:
        return LEVEL_FULL if (
            st.levels[level].total + st.levels[level].hidden > TOTAL_MAX - lots) else 0
    return PRICE_LEVELS_LIMIT if own.count >= st.levels_max else 0

cdef inline void rest(State *st, BookSide *own, uint32_t slot, int64_t key,
                      uint32_t at) noexcept nogil:
    """Put an order with its remaining lots at the back of its level (NONE: a new one)."""
    cdef Order *order = &st.orders[slot]
    cdef Links *links = st.links
    cdef Level *level
    cdef uint32_t before
    if at == NONE:
        at = level_open(st, own, key)
    level = &st.levels[at]
    CHECK(level.key == key)
    order.level = at
    before = level.tail
    links[slot].next = NONE
    links[slot].prev = before
    if before != NONE:
        links[before].next = slot
    else:
        level.head = slot
    level.tail = slot
    level.count += 1
    level.total += order.remaining

cdef inline void unlink_from(State *st, BookSide *side, uint32_t slot) noexcept nogil:
    """Take the order out of its level, and the level out of the side if it was the last."""
    cdef Order *order = &st.orders[slot]
    cdef Level *level = &st.levels[order.level]
    cdef Links links
    level.count -= 1
    if level.count == 0:
        level_drop(st, side, order.level)
        return
    level.total -= order.remaining
    links = st.links[slot]
    if links.prev != NONE:
        st.links[links.prev].next = links.next
    else:
        level.head = links.next
    if links.next != NONE:
        st.links[links.next].prev = links.prev
    else:
        level.tail = links.prev

cdef inline void unlink(State *st, Book *book, uint32_t slot) noexcept nogil:
    """Take the order out of its level, and the level out of the book if it was the last."""
    unlink_from(st, &book.sides[st.orders[slot].side], slot)

cdef inline uint32_t order_closed(State *st, uint32_t slot, int64_t price, int64_t lots,
                                  int state, int reason) noexcept nogil:
    """Move an order that has left its level to the closed window, its slot being free again.

    `price` is its own; `lots` of what remained were filled in the same step. Returns where it
    stands.
    """
    cdef Order *order = &st.orders[slot]
    cdef uint32_t place
    if order.extra == NONE:
        place = closed_new(st, <Taker *>order, state, reason, price, order.remaining - lots,
                           <i128>price * lots, lots)
    else:
        place = closed_with_extra(st, slot, price, lots, state, reason)
    client_order_left(st, slot)
    reindex_order(st, order.id_kind, order.id, slot, place)
    order_left(st, slot, place)
    return place
