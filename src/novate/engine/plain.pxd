# cython: language_level=3
"""The short way of most orders: plain limit orders, named by numbers, that rest in a book without
anything special. What it does not take goes the whole way, through the same rules.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from novate.engine.accounts cimport FUNDED, WIDE
from novate.engine.book cimport TOTAL_MAX, rest, touch
from novate.engine.ladder cimport level_find
from novate.engine.registry cimport client_order_opened
from novate.engine.state cimport (
    NONE, NUMBERS_MAX, Book, BookSide, Order, State,
    event_room, key_of, likely, number_at, number_put, order_new, plain_event, plain_order,
    plain_rest, unlikely,
)
from novate.model.records cimport ORDER_ACCEPTED, Command


cdef inline Book *plain_book(State *st, const Command *command) noexcept nogil:
    """The book of an order that may go the short way, for all that its command says; or NULL."""
    cdef Book *book
    if not plain_rest(command) or unlikely(command.instrument >= st.books_count):
        return NULL
    book = &st.books[command.instrument]
    if unlikely(book.watch | st.rare | (book.clears & (FUNDED | WIDE))):
        return NULL
    if likely(<uint64_t>command.price_ticks - 1 < <uint64_t>book.price_max
              and book.lots_min <= command.quantity_lots <= book.lots_max
              and command.client < st.clients_count
              and command.order_number < NUMBERS_MAX
              and number_at(st, command.order_number) == NONE):
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
            else st.levels[level].total > TOTAL_MAX - lots)):
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
