# cython: language_level=3
"""The short way of most orders: plain limit orders, named by numbers, that rest in a book without
anything special. What it does not take goes the whole way, through the same rules.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from novate.engine.accounts cimport FUNDED, WIDE, hold_limit
from novate.engine.book cimport TOTAL_MAX, rest, touch
from novate.engine.guard cimport passes
from novate.engine.ladder cimport level_find
from novate.engine.registry cimport client_order_opened, index_order
from novate.engine.special cimport watch
from novate.engine.state cimport (
    NONE, NUMBERS_MAX, Book, BookSide, Extra, Order, State, Taker,
    copy_identity, event_room, key_of, likely, number_at, number_put, order_extra, order_new,
    plain_event, plain_order, plain_rest, unlikely,
)
from novate.engine.steps cimport run
from novate.model.records cimport ORDER_ACCEPTED, Command


cdef inline Book *plain_book(State *st, const Command *command) noexcept nogil:
    """The book of an order that may go the short way, for all that its command says; or NULL."""
    cdef Book *book
    if not plain_rest(command) or unlikely(command.instrument >= st.books_count):
        return NULL
    book = &st.books[command.instrument]
    if unlikely(book.clears & WIDE):
        return NULL
    if likely(<uint64_t>command.price_ticks - 1 < <uint64_t>book.price_max
              and book.lots_min <= command.quantity_lots <= book.lots_max
              and command.client < st.clients_count
              and command.order_number < NUMBERS_MAX
              and number_at(st, command.order_number) == NONE
              and passes(st, book, command, command.client)):
        return book
    return NULL


cdef inline bint rest_plain(State *st, Book *book, const Command *command) noexcept nogil:
    """Accept an order that trades with none; False if there may be no room: nothing has changed."""
    cdef BookSide *own = &book.sides[command.side]
    cdef int64_t key = key_of(command.side, command.price_ticks), lots = command.quantity_lots
    cdef uint32_t level = level_find(st, own, key), slot
    cdef Order *order
    if unlikely(st.open_count >= st.open_max or (
            own.count >= st.levels_max if level == NONE
            else st.levels[level].total + st.levels[level].hidden > TOTAL_MAX - lots)):
        return False
    if book.clears & FUNDED and unlikely(not hold_limit(
            st, book, command.client, command.side, command.price_ticks, lots)):
        return False
    plain_event(event_room(st, NONE), command, st.seq, ORDER_ACCEPTED)
    touch(st, book)
    book.entered += lots
    book.open += lots
    slot = order_new(st)
    order = &st.orders[slot]
    plain_order(order, command, st.seq, st.time_us)
    rest(st, own, slot, key, level)
    client_order_opened(st, slot)
    number_put(st, command.order_number, slot)
    st.current = slot
    return True

cdef inline void rest_taker(State *st, Book *book, uint32_t level) noexcept nogil:
    """Give the order at hand a slot, and put it into the book and its client's open orders."""
    cdef Taker *taker = &st.taker
    cdef uint32_t slot = order_new(st)
    cdef Order *order = &st.orders[slot]
    cdef Extra *extra
    copy_identity(order, taker)
    order.remaining = taker.remaining
    order.extra = NONE
    if taker.filled:
        extra = order_extra(st, order)
        extra.filled = taker.filled
        extra.notional = taker.notional
        extra.updated_seq = st.seq
        extra.updated_us = st.time_us
    book.open += taker.remaining
    rest(st, &book.sides[taker.side], slot, key_of(taker.side, taker.price), level)
    client_order_opened(st, slot)
    index_order(st, taker.id_kind, taker.id, slot)
    st.current = slot

cdef inline void follow(State *st, Book *book) noexcept nogil:
    """Let the stop orders trigger, if any, that the trades of a plain order fulfil."""
    if unlikely(book.waiting and st.traded) and (
            book.stops[0].best_key >= key_of(1, st.traded_high)
            or book.stops[1].best_key >= key_of(0, st.traded_low)):
        run(st, book)
        watch(book)
