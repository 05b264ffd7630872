# cython: language_level=3
"""The call auction: its price, and who trades with whom at it.

The price is that of most volume, then least surplus, then nearest the reference; it is found by one
walk over the limits of both sides, from the highest down. Between two limits that are neighbours
nothing changes, so that all ticks between them are one candidate.
"""

from libc.stdint cimport int64_t, uint32_t

from novate.engine.accounts cimport clear_trade
from novate.engine.book cimport TOTAL_MAX, keep_trade, touch
from novate.engine.special cimport (
    cancel_partner, close, fill, has_limit, partner_of, remove, special_of, take_off, unpair,
)
from novate.engine.state cimport (
    AT_LEVEL, FILLED, NONE,
    Book, BookSide, Event, Level, Order, Special, State, Taker, i128,
    event_new, event_room, level_price, order_price, order_special, order_unfilled,
    trade_event_of,
)
from novate.model.records cimport AUCTION_TRADE, AUCTION_UNCROSSED, TRADE


cdef inline i128 level_lots(const Level *level) noexcept nogil:
    return <i128>level.total + level.hidden


cdef i128 lots_to(State *st, Book *book, int side, int64_t price) noexcept nogil:
    """Open lots of a side that accept this price."""
    cdef uint32_t at = book.sides[side].best
    cdef i128 lots = book.priceless[side].total
    cdef int64_t own
    while at != NONE:
        own = level_price(side, st.levels[at].key)
        if own < price if side == 0 else own > price:
            break
        lots += level_lots(&st.levels[at])
        at = st.levels[at].worse
    return lots


cdef void at_price(State *st, Book *book, int64_t price, Uncross *found) noexcept nogil:
    """Volume and surplus at a price."""
    cdef i128 demand = lots_to(st, book, 0, price), supply = lots_to(st, book, 1, price)
    found.price = price
    found.volume = min(demand, supply)
    found.surplus = demand - supply


cdef uint32_t worst(State *st, BookSide *side) noexcept nogil:
    """The worst level of a side, or NONE."""
    return st.blocks[side.blocks[0]].levels[0] if side.count else NONE


cdef inline i128 size_of(i128 lots) noexcept nogil:
    return -lots if lots < 0 else lots


cdef inline void take_better(const Uncross *row, int64_t lowest, Uncross *low,
                             Uncross *high) noexcept nogil:
    """Take the prices from `row` down to `lowest`, all with its volume and surplus, if they are
    better than what was found, or as good and so the new lowest."""
    if row.volume < low.volume:
        return
    if row.volume > low.volume or size_of(row.surplus) < size_of(low.surplus):
        high[0] = row[0]
    elif size_of(row.surplus) > size_of(low.surplus):
        return
    low[0] = row[0]
    low.price = lowest


cdef void best_prices(State *st, Book *book, Uncross *low, Uncross *high) noexcept nogil:
    """The highest and the lowest price of most volume and then least surplus.

    Of all ticks from the highest limit to the lowest; under the first version of the rules of the
    limits alone.
    """
    cdef uint32_t bid = book.sides[0].best, ask = worst(st, &book.sides[1])
    cdef Uncross row
    cdef i128 demand = book.priceless[0].total, supply = lots_to(st, book, 1, TOTAL_MAX)
    cdef int64_t above = 0, bid_price, ask_price
    while bid != NONE or ask != NONE:
        bid_price = level_price(0, st.levels[bid].key) if bid != NONE else -1
        ask_price = level_price(1, st.levels[ask].key) if ask != NONE else -1
        row.price = above - 1
        above = max(bid_price, ask_price)
        if row.price > above and st.rules > 1:
            row.volume = min(demand, supply)
            row.surplus = demand - supply
            take_better(&row, above + 1, low, high)
        row.price = above
        if bid_price == row.price:
            demand += level_lots(&st.levels[bid])
            bid = st.levels[bid].worse
        row.volume = min(demand, supply)
        row.surplus = demand - supply
        if ask_price == row.price:
            supply -= level_lots(&st.levels[ask])
            ask = st.levels[ask].better
        take_better(&row, row.price, low, high)


cdef void indicative(State *st, Book *book, Uncross *found) noexcept nogil:
    """What the auction would come to now; zeros: no trade."""
    cdef int64_t reference = book.last_price if book.last_price else book.reference_price
    cdef Uncross low, high
    found.price = 0
    found.volume = 0
    found.surplus = 0
    if book.sides[0].best == NONE and book.sides[1].best == NONE:
        if reference:
            at_price(st, book, reference, found)
    else:
        low.price = 0
        low.volume = 0
        low.surplus = 0
        high = low
        best_prices(st, book, &low, &high)
        if low.volume:
            at_price(st, book, price_between(&low, &high, reference), found)
    if found.volume == 0:
        found.price = 0
        found.surplus = 0


cdef int64_t price_between(const Uncross *low, const Uncross *high,
                           int64_t reference) noexcept nogil:
    """The price among those that volume and surplus leave."""
    if reference:
        return max(low.price, min(reference, high.price))
    if low.surplus > 0 and high.surplus > 0:
        return high.price
    if low.surplus < 0 and high.surplus < 0:
        return low.price
    return (low.price + high.price) // 2


cdef int64_t clamped(i128 lots) noexcept nogil:
    """Lots as an event bears them."""
    if lots > TOTAL_MAX:
        return TOTAL_MAX
    return -<int64_t>TOTAL_MAX if lots < -<i128>TOTAL_MAX else <int64_t>lots


cdef void said(State *st, Book *book, const Uncross *found) noexcept nogil:
    cdef Event *event = event_new(st, AUCTION_UNCROSSED, NONE)
    event.instrument = <uint32_t>(book - st.books)
    event.price_ticks = found.price
    event.quantity_lots = clamped(found.volume)
    event.remaining_lots = clamped(found.surplus)


cdef void uncross(State *st, Book *book, bint always_said) noexcept nogil:
    """Uncross the book, again where pairs have left it crossed."""
    cdef Uncross found
    indicative(st, book, &found)
    if found.volume == 0 and always_said:
        said(st, book, &found)
    while found.volume > 0:
        said(st, book, &found)
        allocate(st, book, found.price)
        indicative(st, book, &found)


cdef uint32_t first(State *st, Book *book, int side, int64_t price) noexcept nogil:
    """The order of a side whose turn it is at this price, or NONE."""
    cdef uint32_t best = book.sides[side].best
    cdef int64_t own
    if book.priceless[side].head != NONE:
        return book.priceless[side].head
    if best == NONE:
        return NONE
    own = level_price(side, st.levels[best].key)
    return NONE if (own < price if side == 0 else own > price) else st.levels[best].head


cdef void allocate(State *st, Book *book, int64_t price) noexcept nogil:
    """Trade at one price, the first of each side, until one side has nobody who accepts it."""
    cdef uint32_t buyer, seller
    book.last_price = price
    book.reference_price = price
    while True:
        buyer = first(st, book, 0, price)
        seller = first(st, book, 1, price)
        if buyer == NONE or seller == NONE:
            return
        auction_trade(st, book, buyer, seller, price)


cdef void auction_trade(State *st, Book *book, uint32_t buyer, uint32_t seller,
                        int64_t price) noexcept nogil:
    """The lesser of what two orders have left, and what follows at once."""
    cdef Order *bought = &st.orders[buyer]
    cdef Order *sold = &st.orders[seller]
    cdef uint32_t one = partner_of(st, seller), other = partner_of(st, buyer)
    cdef int64_t lots = min(order_unfilled(st, bought), order_unfilled(st, sold))
    cdef Event *event = event_room(st, seller)
    trade_event_of(event, sold, <Taker *>bought, st.seq, TRADE, st.trade_index, price, lots,
                   order_unfilled(st, sold) - lots)
    event.flags = AUCTION_TRADE
    keep_trade(st, book, sold, bought, price, lots, True)
    clear_trade(st, book, sold, bought, price, lots, order_price(st, sold),
                order_price(st, bought), True)
    st.trade_index += 1
    book.filled += 2 * <i128>lots
    book.volume += lots
    book.trades_total += 1
    touch(st, book)
    if one != NONE or other != NONE:
        unpair(st, seller)
        unpair(st, buyer)
    taken(st, book, seller, price, lots)
    taken(st, book, buyer, price, lots)
    cancel_partner(st, one)
    cancel_partner(st, other)


cdef void taken(State *st, Book *book, uint32_t slot, int64_t price, int64_t lots) noexcept nogil:
    """One order's side of the trade: it keeps its place, with a tip of what it has left."""
    cdef Order *order = &st.orders[slot]
    cdef Special *special
    cdef Level *level
    cdef int64_t left = order_unfilled(st, order) - lots, shown
    fill(st, book, slot, price, lots)
    if left == 0:
        special_of(st, slot)
        remove(st, slot)
        order.remaining = 0
        close(st, slot, FILLED, 0)
        return
    if not order.marked or order_special(st, order).display == 0:
        take_off(st, slot, lots)
        return
    special = order_special(st, order)
    level = &st.levels[order.level]
    shown = min(special.display, left)
    level.total += shown - order.remaining
    level.hidden += left - shown - special.hidden
    order.remaining = shown
    special.hidden = left - shown
    book.open -= lots
