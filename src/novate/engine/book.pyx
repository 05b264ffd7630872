# cython: language_level=3
"""A book: each side an array of price levels sorted so that the best is the last, orders in FIFO
lists through the slab. Matching is by price, then by time, at the maker's price.

It owns levels, queues and the last trades of its instrument. It knows no names and no keys.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memmove

from novate.engine.registry cimport order_closed
from novate.engine.state cimport (
    BOOK_EXHAUSTED, CHECK, FILLED, ID_NUMBER, LEVEL_FULL, NONE, PRICE_LEVELS_LIMIT,
    QUOTE_QUANTITY_TOO_SMALL, TRADE,
    Book, BookSide, Event, Extra, Level, Order, State, Trade, i128,
    event_new, grow, level_price, name_copy, name_free, order_extra, order_filled, order_number,
)

cdef int64_t TOTAL_MAX = 9223372036854775807


# --- levels ---------------------------------------------------------------------------------

cdef bint level_find(BookSide *levels, int64_t key, uint32_t *at) noexcept nogil:
    """Whether a level with this key exists, and where it is, or where it would be inserted.

    Keys are whole and distinct, so a level stands at most as many places from the best as its
    price is ticks from it: where levels are dense the first look finds it. Otherwise the search
    strides towards the best in growing steps, and halves the last stride.
    """
    cdef Level *own = levels.levels
    cdef uint32_t low = 0, high = levels.count, middle, stride = 1
    cdef int64_t distance
    if high == 0 or own[high - 1].key < key:
        at[0] = high
        return False
    distance = own[high - 1].key - key
    if distance < high:
        low = high - 1 - <uint32_t>distance
    while low + stride < high and own[low + stride].key <= key:
        low += stride
        stride <<= 1
    if low + stride < high:
        high = low + stride
    while low < high:
        middle = (low + high) >> 1
        if own[middle].key < key:
            low = middle + 1
        else:
            high = middle
    at[0] = low
    return low < levels.count and own[low].key == key


cdef Level *level_insert(BookSide *levels, uint32_t at, int64_t key) noexcept nogil:
    """A new, empty level before position `at`."""
    cdef Level *level
    if levels.count == levels.capacity:
        levels.capacity = max(8, levels.capacity * 2)
        levels.levels = <Level *>grow(levels.levels, <size_t>levels.capacity * sizeof(Level))
    level = levels.levels + at
    memmove(level + 1, level, <size_t>(levels.count - at) * sizeof(Level))
    levels.count += 1
    level.key = key
    level.total = 0
    level.count = 0
    level.head = NONE
    level.tail = NONE
    level.pad = 0
    return level


cdef void level_erase(BookSide *levels, uint32_t at) noexcept nogil:
    levels.count -= 1
    memmove(levels.levels + at, levels.levels + at + 1,
            <size_t>(levels.count - at) * sizeof(Level))


cdef inline int64_t key_of(int side, int64_t price) noexcept nogil:
    return price if side == 0 else -price


cdef void touch(State *st, Book *book) noexcept nogil:
    """Note that the command at hand changed this book."""
    book.last_seq = st.seq
    book.last_us = st.time_us


# --- questions before anything changes ------------------------------------------------------

cdef bint would_cross(Book *book, int side, int64_t price) noexcept nogil:
    """Whether an order of this side and limit price (ticks) would trade now."""
    cdef BookSide *other = &book.sides[1 - side]
    cdef int64_t best
    if other.count == 0:
        return False
    best = level_price(1 - side, other.levels[other.count - 1].key)
    return best <= price if side == 0 else best >= price


cdef bint can_fill(Book *book, int side, bint market, int64_t price, int64_t lots) noexcept nogil:
    """Whether `lots` can be had at once at `price` or better (any price for a market order)."""
    cdef BookSide *other = &book.sides[1 - side]
    cdef uint32_t i = other.count
    cdef int64_t at
    cdef i128 found = 0
    while i > 0:
        i -= 1
        at = level_price(1 - side, other.levels[i].key)
        if not market and (at > price if side == 0 else at < price):
            return False
        found += other.levels[i].total
        if found >= lots:
            return True
    return False


cdef void find_place(Book *book, int side, int64_t price, Place *place) noexcept nogil:
    """Where in its side an order of this price rests; right until that side changes."""
    place.found = level_find(&book.sides[side], key_of(side, price), &place.at)


cdef int rest_refusal(State *st, Book *book, int side, Place *place, int64_t lots) noexcept nogil:
    """0 if `lots` may rest at this place, or the reason why there is no room for them."""
    cdef BookSide *own = &book.sides[side]
    if place.found:
        return LEVEL_FULL if own.levels[place.at].total > TOTAL_MAX - lots else 0
    return PRICE_LEVELS_LIMIT if own.count >= st.levels_max else 0


# --- the queue of a level -------------------------------------------------------------------

cdef void rest(State *st, Book *book, uint32_t slot, Place *place) noexcept nogil:
    """Put the order's remaining lots at the back of its level, which `find_place` has found."""
    cdef Order *order = &st.orders[slot]
    cdef BookSide *own = &book.sides[order.side]
    cdef Level *level
    if place.found:
        level = own.levels + place.at
    else:
        level = level_insert(own, place.at, key_of(order.side, order.price))
    CHECK(level.key == key_of(order.side, order.price))
    order.next = NONE
    order.prev = level.tail
    if level.tail != NONE:
        st.orders[level.tail].next = slot
    else:
        level.head = slot
    level.tail = slot
    level.count += 1
    level.total += order.remaining


cdef void unlink(State *st, Book *book, uint32_t slot) noexcept nogil:
    """Take the order out of its level, and the level out of the book if it was the last."""
    cdef Order *order = &st.orders[slot]
    cdef int side = order.side
    cdef BookSide *own = &book.sides[side]
    cdef Level *level
    cdef uint32_t at = 0
    cdef bint found = level_find(own, key_of(side, order.price), &at)
    CHECK(found)
    level = own.levels + at
    level.count -= 1
    if level.count == 0:
        level_erase(own, at)
        return
    level.total -= order.remaining
    if order.prev != NONE:
        st.orders[order.prev].next = order.next
    else:
        level.head = order.next
    if order.next != NONE:
        st.orders[order.next].prev = order.prev
    else:
        level.tail = order.prev


cdef void reduce(State *st, Book *book, uint32_t slot, int64_t lots) noexcept nogil:
    """Take `lots` off a resting order; it keeps its place."""
    cdef Order *order = &st.orders[slot]
    cdef BookSide *own = &book.sides[order.side]
    cdef uint32_t at = 0
    cdef bint found = level_find(own, key_of(order.side, order.price), &at)
    CHECK(found and lots < order.remaining)
    own.levels[at].total -= lots
    order.remaining -= lots


# --- matching -------------------------------------------------------------------------------

cdef void remember_trade(State *st, Book *book, Order *maker, Order *taker, int64_t price,
                         int64_t lots) noexcept nogil:
    """Keep the trade in the instrument's window of last trades."""
    cdef Trade *trade
    cdef uint32_t at
    if book.trades_count == book.trades_capacity and book.trades_capacity < st.trades_max:
        book.trades_capacity = min(st.trades_max, max(16, book.trades_capacity * 2))
        book.trades = <Trade *>grow(book.trades, <size_t>book.trades_capacity * sizeof(Trade))
    if book.trades_count == book.trades_capacity:
        trade = book.trades + book.trades_first
        name_free(st, trade.maker_id_kind, trade.maker_id)
        name_free(st, trade.taker_id_kind, trade.taker_id)
        book.trades_first += 1
        if book.trades_first == book.trades_capacity:
            book.trades_first = 0
        book.trades_count -= 1
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
    trade.pad = 0
    trade.maker_id = name_copy(st, maker.id_kind, maker.id)
    trade.taker_id = name_copy(st, taker.id_kind, taker.id)
    book.trades_count += 1


cdef void fill(State *st, Book *book, Order *order, Extra *extra, int64_t price,
               int64_t lots) noexcept nogil:
    """One order's side of a trade."""
    if extra.filled == 0:
        book.orders_matched += 1
    extra.filled += lots
    extra.notional += <i128>price * lots
    extra.updated_seq = st.seq
    extra.updated_us = st.time_us


cdef void execute(State *st, Book *book, uint32_t maker_slot, uint32_t taker_slot, int64_t price,
                  int64_t lots) noexcept nogil:
    """A trade of `lots` at the maker's price: both orders' fills, the event, the window."""
    cdef Order *maker = &st.orders[maker_slot]
    cdef Order *taker = &st.orders[taker_slot]
    cdef Event *event
    maker.remaining -= lots
    order_extra(st, maker)
    order_extra(st, taker)
    fill(st, book, maker, &st.extras[maker.extra], price, lots)
    fill(st, book, taker, &st.extras[taker.extra], price, lots)
    book.filled += 2 * <i128>lots
    book.open -= lots
    book.volume += lots
    book.last_price = price
    book.trades_total += 1
    event = event_new(st, TRADE, maker_slot)
    event.side = taker.side
    event.instrument = maker.instrument
    event.index = st.trade_index
    event.order = order_number(maker)
    event.taker = order_number(taker)
    event.client = maker.client
    event.taker_client = taker.client
    event.price_ticks = price
    event.quantity_lots = lots
    event.remaining_lots = maker.remaining
    if st.trades_max:
        remember_trade(st, book, maker, taker, price, lots)
    st.trade_index += 1


cdef void take(State *st, Book *book, BookSide *other, uint32_t taker_slot, int64_t price,
               int64_t lots) noexcept nogil:
    """Trade `lots` with the first order of the best level, and take out what is used up."""
    cdef Level *level = other.levels + other.count - 1
    cdef uint32_t maker_slot = level.head
    cdef Order *maker = &st.orders[maker_slot]
    CHECK(lots > 0 and lots <= maker.remaining)
    execute(st, book, maker_slot, taker_slot, price, lots)
    level.total -= lots
    if maker.remaining == 0:
        level.count -= 1
        level.head = maker.next
        if level.count == 0:
            CHECK(level.total == 0 and level.head == NONE)
            other.count -= 1
        else:
            st.orders[level.head].prev = NONE
        order_closed(st, maker_slot, FILLED)


cdef void match_lots(State *st, Book *book, uint32_t slot, bint market) noexcept nogil:
    """Match an order until it is filled, the book is used up, or its limit is passed."""
    cdef Order *taker = &st.orders[slot]
    cdef int side = taker.side
    cdef BookSide *other = &book.sides[1 - side]
    cdef Level *level
    cdef int64_t price, lots
    while taker.remaining > 0 and other.count > 0:
        level = other.levels + other.count - 1
        price = level_price(1 - side, level.key)
        if not market and (price > taker.price if side == 0 else price < taker.price):
            break
        lots = min(taker.remaining, st.orders[level.head].remaining)
        taker.remaining -= lots
        take(st, book, other, slot, price, lots)


cdef int match_quote(State *st, Book *book, uint32_t slot, i128 budget) noexcept nogil:
    """Match a market order by money: whole lots while they fit, never beyond `budget` quote units.

    Returns the reason it ends with: 0 (filled: what is left buys less than a lot),
    BOOK_EXHAUSTED, or QUOTE_QUANTITY_TOO_SMALL (nothing bought).
    """
    cdef Order *taker = &st.orders[slot]
    cdef int side = taker.side
    cdef BookSide *other = &book.sides[1 - side]
    cdef Level *level
    cdef int64_t price = 0, lots
    cdef i128 cost, whole
    while other.count > 0:
        level = other.levels + other.count - 1
        price = level_price(1 - side, level.key)
        cost = <i128>price * book.quote_units
        whole = budget // cost
        if whole == 0:
            return QUOTE_QUANTITY_TOO_SMALL if st.trade_index == 0 else 0
        lots = min(st.orders[level.head].remaining, TOTAL_MAX - order_filled(st, taker))
        if lots == 0:
            return 0
        if whole < lots:
            lots = <int64_t>whole
        budget -= cost * lots
        book.entered += lots
        take(st, book, other, slot, price, lots)
    if st.trade_index > 0 and budget < <i128>price * book.quote_units:
        return 0
    return BOOK_EXHAUSTED
