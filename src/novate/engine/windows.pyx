# cython: language_level=3
"""The windows of last trades, when their size is changed by command."""

from libc.stdint cimport uint32_t
from libc.stdlib cimport free

from novate.engine.state cimport Book, State, Trade, grow, name_free


cdef void resize_trades(State *st, uint32_t trades_max) noexcept:
    """Change the number of trades kept per instrument; the oldest go where they no longer fit."""
    cdef uint32_t i
    for i in range(st.books_count):
        resize_ring(st, &st.books[i], trades_max)
    st.trades_max = trades_max


cdef void resize_ring(State *st, Book *book, uint32_t trades_max) noexcept:
    """Lay the ring anew, oldest first, so that it may grow again."""
    cdef uint32_t i, at, kept = min(book.trades_count, trades_max)
    cdef uint32_t dropped = book.trades_count - kept
    cdef Trade *ring = NULL
    cdef Trade *trade
    if kept:
        ring = <Trade *>grow(NULL, <size_t>kept * sizeof(Trade))
    for i in range(book.trades_count):
        at = book.trades_first + i
        if at >= book.trades_capacity:
            at -= book.trades_capacity
        trade = book.trades + at
        if i < dropped:
            name_free(st, trade.maker_id_kind, trade.maker_id)
            name_free(st, trade.taker_id_kind, trade.taker_id)
        else:
            ring[i - dropped] = trade[0]
    free(book.trades)
    book.trades = ring
    book.trades_first = 0
    book.trades_count = kept
    book.trades_capacity = kept
