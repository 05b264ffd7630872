# cython: language_level=3
"""A book: orders in FIFO lists at the levels of two ladders. Matching is by price, then by time,
at the maker's price.

It owns queues and the last trades of its instrument. It knows no names and no keys.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from novate.engine.accounts cimport clear_trade
from novate.engine.ladder cimport level_drop
from novate.engine.registry cimport (
    client_order_left, closed_by_quote, closed_new, index_order, reindex_order,
)
from novate.engine.special cimport sets_off, special_closed, take_special
from novate.engine.state cimport (
    CHECK, FILLED, NONE,
    Book, BookSide, Extra, Level, Links, Order, State, Taker, Trade, i128,
    event_room, extra_free, grow, key_of, level_price, name_copy, name_free, order_extra,
    order_left, order_special, prefetch, trade_event_of, unlikely,
)
from novate.model.records cimport (
    BOOK_EXHAUSTED, QUOTE_QUANTITY_TOO_SMALL, TRADE, Event,
)


# --- questions before anything changes ------------------------------------------------------

cdef bint can_fill(State *st, Book *book, int side, bint market, int64_t price,
                   int64_t lots) noexcept nogil:
    """Whether `lots` can be had at once at `price` or better (any price for a market order)."""
    cdef uint32_t at = book.sides[1 - side].best
    cdef int64_t limit_key = key_of(1 - side, price)
    cdef Level *level
    cdef i128 found = 0
    while at != NONE:
        level = &st.levels[at]
        if not market and level.key < limit_key:
            return False
        found += level.total
        found += level.hidden
        if found >= lots:
            return True
        at = level.worse
    return False


cdef void reduce(State *st, uint32_t slot, int64_t lots) noexcept nogil:
    """Take `lots` off a resting order; it keeps its place."""
    cdef Order *order = &st.orders[slot]
    CHECK(lots < order.remaining)
    st.levels[order.level].total -= lots
    order.remaining -= lots


# --- trades ---------------------------------------------------------------------------------

cdef void more_trades(State *st, Book *book) noexcept nogil:
    """Make room for a trade: a longer ring, or the oldest one's place."""
    cdef Trade *trade
    if book.trades_capacity < st.trades_max:
        book.trades_capacity = min(st.trades_max, max(16, book.trades_capacity * 2))
        book.trades = <Trade *>grow(book.trades, <size_t>book.trades_capacity * sizeof(Trade))
        return
    trade = book.trades + book.trades_first
    name_free(st, trade.maker_id_kind, trade.maker_id)
    name_free(st, trade.taker_id_kind, trade.taker_id)
    book.trades_first += 1
    if book.trades_first == book.trades_capacity:
        book.trades_first = 0
    book.trades_count -= 1


cdef inline void remember_trade(State *st, Book *book, Order *maker, Taker *taker, int64_t price,
                                int64_t lots) noexcept nogil:
    """Keep the trade in the instrument's window of last trades."""
    cdef Trade *trade
    cdef uint32_t at
    if book.trades_count == book.trades_capacity:
        more_trades(st, book)
    at = book.trades_first + book.trades_count
    if at >= book.trades_capacity:
        at -= book.trades_capacity
    trade = book.trades + at
    trade.seq = st.seq
    trade.price = price
    trade.quantity = lots
    trade.time_us = st.time_us
    trade.index = st.trade_index
    trade.maker_client = maker.client
    trade.taker_client = taker.client
    trade.taker_side = taker.side
    trade.maker_id_kind = maker.id_kind
    trade.taker_id_kind = taker.id_kind
    trade.auction = 0
    trade.maker_id = name_copy(st, maker.id_kind, maker.id)
    trade.taker_id = name_copy(st, taker.id_kind, taker.id)
    book.trades_count += 1


cdef inline void partly_filled(State *st, Book *book, uint32_t slot, int64_t price,
                               int64_t lots) noexcept nogil:
    """A resting order's part of a trade that leaves it in the book."""
    cdef Order *order = &st.orders[slot]
    cdef Extra *extra = order_extra(st, order)
    if extra.filled == 0:
        book.orders_matched += 1
    extra.filled += lots
    extra.notional += <i128>price * lots
    extra.updated_seq = st.seq
    extra.updated_us = st.time_us
    order.remaining -= lots


cdef inline void take(State *st, Book *book, BookSide *other, Taker *taker, int64_t price,
                      int64_t lots) noexcept nogil:
    """Trade `lots` with the first order of the best level, and take out what is used up."""
    cdef Level *level = &st.levels[other.best]
    cdef uint32_t slot = level.head
    cdef Order *maker = &st.orders[slot]
    cdef Event *event
    cdef Links *links = st.links
    cdef uint32_t at, behind = links[slot].next
    CHECK(lots > 0 and lots <= maker.remaining)
    if unlikely(maker.marked and sets_off(order_special(st, maker))):
        take_special(st, book, <Order *>taker, slot, price, lots, taker.price)
        taken(st, taker, price, lots)
        return
    event = event_room(st, slot)
    at = st.events_count - 1
    prefetch(&st.orders[behind])
    prefetch(&links[behind])
    trade_event_of(event, maker, taker, st.seq, TRADE, st.trade_index, price, lots,
                   maker.remaining - lots)
    if st.trades_max:
        remember_trade(st, book, maker, taker, price, lots)
    clear_trade(st, book, maker, <Order *>taker, price, lots, price, taker.price, False)
    level.total -= lots
    if lots < maker.remaining:
        partly_filled(st, book, slot, price, lots)
    else:
        if never_filled(st, maker):
            book.orders_matched += 1
        level.count -= 1
        level.head = behind
        if level.count == 0:
            CHECK(level.total == 0 and behind == NONE)
            level_drop(st, other, other.best)
        else:
            links[behind].prev = NONE
        st.event_orders[at] = order_closed(st, slot, price, lots, FILLED, 0)
    st.trade_index += 1
    taken(st, taker, price, lots)


cdef inline void taken(State *st, Taker *taker, int64_t price, int64_t lots) noexcept nogil:
    taker.remaining -= lots
    taker.filled += lots
    taker.notional += <i128>price * lots


cdef inline bint never_filled(State *st, Order *order) noexcept nogil:
    return order.extra == NONE or st.extras[order.extra].filled == 0


cdef inline void count_trades(State *st, Book *book, int64_t filled_before, Taker *taker,
                              uint32_t index_before, int64_t first, int64_t last) noexcept nogil:
    """What a run of trades, from the price `first` to `last`, did to the book's totals."""
    cdef int64_t lots = taker.filled - filled_before
    if filled_before == 0:
        book.orders_matched += 1
    book.filled += 2 * <i128>lots
    book.open -= lots
    book.volume += lots
    book.last_price = last
    book.trades_total += st.trade_index - index_before
    st.traded = 1
    st.traded_low = min(first, last)
    st.traded_high = max(first, last)
    touch(st, book)


cdef void match_lots(State *st, Book *book, Taker *taker, int64_t limit_key) noexcept nogil:
    """Match an order until it is filled, the book is used up, or a level is under `limit_key`."""
    cdef int maker_side = 1 - taker.side
    cdef BookSide *other = &book.sides[maker_side]
    cdef Level *level
    cdef int64_t price = 0, filled_before = taker.filled
    cdef int64_t first = level_price(maker_side, other.best_key)
    cdef uint32_t index_before = st.trade_index
    while taker.remaining > 0 and other.best_key >= limit_key:
        level = &st.levels[other.best]
        price = level_price(maker_side, other.best_key)
        take(st, book, other, taker, price,
             min(taker.remaining, st.orders[level.head].remaining))
    if st.trade_index != index_before:
        count_trades(st, book, filled_before, taker, index_before, first, price)


cdef int match_quote(State *st, Book *book, Taker *taker) noexcept nogil:
    """Match a market order by money: whole lots while they fit, never beyond its quote units.

    Returns the reason it ends with: 0 (filled: what is left buys less than a lot),
    BOOK_EXHAUSTED, or QUOTE_QUANTITY_TOO_SMALL (nothing bought).
    """
    cdef uint32_t index_before = st.trade_index
    cdef int64_t first = level_price(1 - taker.side, book.sides[1 - taker.side].best_key)
    cdef int reason = quote_trades(st, book, taker)
    taker.remaining = 0
    if st.trade_index != index_before:
        book.entered += taker.filled
        count_trades(st, book, 0, taker, index_before, first, book.last_price)
    return reason


cdef int quote_trades(State *st, Book *book, Taker *taker) noexcept nogil:
    cdef int maker_side = 1 - taker.side
    cdef BookSide *other = &book.sides[maker_side]
    cdef Level *level
    cdef int64_t price = 0, lots
    cdef i128 cost, whole, budget = taker.quote_units
    while other.best != NONE:
        level = &st.levels[other.best]
        price = level_price(maker_side, level.key)
        cost = <i128>price * book.quote_units
        whole = budget // cost
        if whole == 0:
            return QUOTE_QUANTITY_TOO_SMALL if taker.filled == 0 else 0
        lots = min(st.orders[level.head].remaining, TOTAL_MAX - taker.filled)
        if lots == 0:
            return 0
        if whole < lots:
            lots = <int64_t>whole
        budget -= cost * lots
        book.last_price = price
        take(st, book, other, taker, price, lots)
    if taker.filled > 0 and budget < <i128>price * book.quote_units:
        return 0
    return BOOK_EXHAUSTED


cdef void keep_trade(State *st, Book *book, const Order *maker, const Order *taker, int64_t price,
                     int64_t lots, bint auction) noexcept nogil:
    """Keep a trade that the rulebook's rarer ways have made."""
    if st.trades_max:
        remember_trade(st, book, <Order *>maker, <Taker *>taker, price, lots)
        at_last(book).auction = auction


cdef inline Trade *at_last(Book *book) noexcept nogil:
    cdef uint32_t at = book.trades_first + book.trades_count - 1
    return book.trades + (at - book.trades_capacity if at >= book.trades_capacity else at)


# --- an order that ends ---------------------------------------------------------------------

cdef uint32_t closed_with_extra(State *st, uint32_t slot, int64_t price, int64_t lots, int state,
                                int reason) noexcept nogil:
    """What `order_closed` does first, of an order that has an Extra, which is given back."""
    cdef Order *order = &st.orders[slot]
    cdef Extra *extra = &st.extras[order.extra]
    cdef uint32_t place = closed_new(
        st, <Taker *>order, state, reason, price, order.remaining - lots,
        extra.notional + <i128>price * lots, extra.filled + lots)
    if unlikely(order.marked):
        special_closed(st, slot, place)
    extra_free(st, order)
    return place


cdef uint32_t taker_closed(State *st, Taker *taker, uint32_t slot, int state,
                           int reason) noexcept nogil:
    """Put the order at hand into the closed window; returns where it stands.

    `slot` is the one it had while it was resting, and which is free from here on; NONE: it never
    was open.
    """
    cdef Order *order
    cdef uint32_t place
    if unlikely(taker.by_quote):
        place = closed_by_quote(st, taker, state, reason, taker.quote_units, taker.notional,
                                taker.filled)
    else:
        place = closed_new(st, taker, state, reason, taker.price, taker.remaining,
                           taker.notional, taker.filled)
    if slot == NONE:
        index_order(st, taker.id_kind, taker.id, place)
        return place
    order = &st.orders[slot]
    client_order_left(st, slot)
    extra_free(st, order)
    reindex_order(st, order.id_kind, order.id, slot, place)
    order_left(st, slot, place)
    return place
