# cython: language_level=3
"""Open orders of every kind: at a level, in an auction's queue, waiting for a stop price, or at
hand; how they trade, end, and what they are bound to.

What every order can be asked is here for orders of all kinds; the book has the same, shorter, for
those that rest at a level and have nothing special.
"""

from libc.stdint cimport INT64_MIN, int64_t, uint32_t, uint64_t
from libc.string cimport memset

from novate.engine.accounts cimport clear_trade, release
from novate.engine.book cimport keep_trade, rest, touch, unlink_from
from novate.engine.due cimport DUE_EXPIRY, due_add, due_remove
from novate.engine.ladder cimport level_find
from novate.engine.registry cimport (
    client_order_left, closed_by_quote, closed_new, reindex_order,
)
from novate.engine.state cimport (
    AT_LEVEL, CHECK, CLOSED, ENDED, FILLED, NONE, NOWHERE, PRICELESS, QUEUED, WAITING,
    Book, BookSide, Closed, Extra, Level, Links, Order, Session, Special, State, Taker, i128,
    closed_at, event_of, event_room, events_written, extra_free, key_of, more_specials,
    order_extra, order_filled, order_price, order_special, order_unfilled, special_free,
    trade_event_of,
)
from novate.model.records cimport DAY, ONE_CANCELS_OTHER, ORDER_ENDED, TRADE


# --- what is special ------------------------------------------------------------------------

cdef Special *special_of(State *st, uint32_t slot) noexcept nogil:
    """The order's Special, made now if it has none."""
    cdef Order *order = &st.orders[slot]
    cdef Extra *extra = order_extra(st, order)
    cdef Special *special
    cdef uint32_t i
    if order.marked:
        return &st.specials[extra.special]
    i = st.specials_free
    if i != NONE:
        st.specials_free = st.specials[i].next_free
    else:
        if st.specials_used == st.specials_capacity:
            more_specials(st)
        i = st.specials_used
        st.specials_used += 1
    special = &st.specials[i]
    memset(special, 0, sizeof(Special))
    special.price = order_price(st, order) if order.level != NONE else 0
    special.rank = order.seq
    special.partner = NONE
    special.session_next = NONE
    special.session_prev = NONE
    special.due_at = NONE
    special.day_next = NONE
    special.day_prev = NONE
    special.slot = slot
    special.where = AT_LEVEL if order.level != NONE else NOWHERE
    st.specials_count += 1
    extra.special = i
    order.marked = 1
    return special


cdef inline bint says_something(const Order *order, const Special *special) noexcept nogil:
    """Whether there is anything in a Special that is not in every order."""
    return (
        order.order_type >= 2 or special.display or special.minimum or special.expire_ns
        or special.group or special.session or special.self_trade or special.partner != NONE)


cdef void special_trim(State *st, uint32_t slot) noexcept nogil:
    """Take the Special and the Extra from an order at a level that says nothing in them."""
    cdef Order *order = &st.orders[slot]
    cdef Extra *extra
    if order.order_type & 1:
        return
    extra = &st.extras[order.extra]
    if not order.marked or says_something(order, order_special(st, order)):
        return
    special_free(st, extra.special)
    extra.special = NONE
    order.marked = 0
    if extra.filled == 0 and extra.updated_seq == order.seq:
        extra_free(st, order)
        order.extra = NONE


# --- sessions -------------------------------------------------------------------------------

cdef uint32_t session_find(State *st, uint32_t number) noexcept nogil:
    """Where among the open sessions the first stands whose number is not under this."""
    cdef uint32_t low = 0, high = st.sessions_count, middle
    while low < high:
        middle = (low + high) >> 1
        if st.sessions[middle].number < number:
            low = middle + 1
        else:
            high = middle
    return low


cdef void session_join(State *st, uint32_t slot) noexcept nogil:
    """Put a new order at the head of its session's."""
    cdef Special *special = order_special(st, &st.orders[slot])
    cdef Session *session = &st.sessions[session_find(st, special.session)]
    CHECK(session.number == special.session)
    special.in_session = 1
    special.session_prev = NONE
    special.session_next = session.newest
    if session.newest != NONE:
        order_special(st, &st.orders[session.newest]).session_prev = slot
    session.newest = slot


cdef void session_leave(State *st, Special *special) noexcept nogil:
    special.in_session = 0
    if special.session_next != NONE:
        order_special(st, &st.orders[special.session_next]).session_prev = special.session_prev
    if special.session_prev != NONE:
        order_special(st, &st.orders[special.session_prev]).session_next = special.session_next
    else:
        st.sessions[session_find(st, special.session)].newest = special.session_next


# --- where orders stand ---------------------------------------------------------------------

cdef void expiry_set(State *st, uint32_t slot) noexcept nogil:
    """Let an order that stands somewhere end at its time, if it has one."""
    cdef Order *order = &st.orders[slot]
    cdef Special *special = order_special(st, order)
    if special.due_at != NONE:
        due_remove(st, special.due_at)
    if special.expire_ns:
        due_add(st, special.expire_ns, DUE_EXPIRY, order.seq, st.extras[order.extra].special)
    if order.time_in_force == DAY and not special.in_day:
        day_join(st, slot)


# --- orders of the day ----------------------------------------------------------------------

cdef void day_join(State *st, uint32_t slot) noexcept nogil:
    """Put an order behind all of its book's DAY orders: none of them was created after it."""
    cdef Special *special = order_special(st, &st.orders[slot])
    cdef Book *book = &st.books[st.orders[slot].instrument]
    special.in_day = 1
    special.day_next = NONE
    special.day_prev = book.day_last
    if book.day_last == NONE:
        book.day_first = slot
    else:
        order_special(st, &st.orders[book.day_last]).day_next = slot
    book.day_last = slot


cdef void day_leave(State *st, Book *book, Special *special) noexcept nogil:
    special.in_day = 0
    if special.day_prev == NONE:
        book.day_first = special.day_next
    else:
        order_special(st, &st.orders[special.day_prev]).day_next = special.day_next
    if special.day_next == NONE:
        book.day_last = special.day_prev
    else:
        order_special(st, &st.orders[special.day_next]).day_prev = special.day_prev


cdef void put(State *st, uint32_t slot) noexcept nogil:
    """Put an order at the back of its price level, or of those without a price."""
    cdef Order *order = &st.orders[slot]
    cdef Book *book = &st.books[order.instrument]
    cdef Special *special = order_special(st, order)
    cdef BookSide *own = &book.sides[order.side]
    cdef int64_t key = key_of(order.side, special.price)
    touch(st, book)
    book.open += order.remaining
    if order.order_type & 1:
        put_priceless(st, book, slot)
    else:
        if special.display and special.display < order.remaining:
            special.hidden = order.remaining - special.display
            order.remaining = special.display
        special.where = AT_LEVEL
        rest(st, own, slot, key, level_find(st, own, key))
        st.levels[order.level].hidden += special.hidden
        if special.display:
            book.icebergs += 1
    if special.expire_ns and special.due_at == NONE:
        expiry_set(st, slot)


cdef void put_priceless(State *st, Book *book, uint32_t slot) noexcept nogil:
    cdef Order *order = &st.orders[slot]
    cdef Level *queue = &book.priceless[order.side]
    order_special(st, order).where = PRICELESS
    order.level = NONE
    st.links[slot].next = NONE
    st.links[slot].prev = queue.tail
    if queue.tail != NONE:
        st.links[queue.tail].next = slot
    else:
        queue.head = slot
    queue.tail = slot
    queue.count += 1
    queue.total += order.remaining


cdef void leave_priceless(State *st, Book *book, uint32_t slot) noexcept nogil:
    cdef Order *order = &st.orders[slot]
    cdef Level *queue = &book.priceless[order.side]
    cdef Links links = st.links[slot]
    queue.count -= 1
    queue.total -= order.remaining
    if links.prev != NONE:
        st.links[links.prev].next = links.next
    else:
        queue.head = links.next
    if links.next != NONE:
        st.links[links.next].prev = links.prev
    else:
        queue.tail = links.prev


cdef void wait(State *st, uint32_t slot) noexcept nogil:
    """Let a stop order wait for its stop price, behind those that wait for the same."""
    cdef Order *order = &st.orders[slot]
    cdef Book *book = &st.books[order.instrument]
    cdef Special *special = order_special(st, order)
    cdef BookSide *own = &book.stops[order.side]
    cdef int64_t key = key_of(1 - order.side, special.stop_price)
    touch(st, book)
    book.open += order.remaining
    book.waiting += 1
    special.where = WAITING
    rest(st, own, slot, key, level_find(st, own, key))
    if special.expire_ns and special.due_at == NONE:
        expiry_set(st, slot)


cdef void wait_again(State *st, uint32_t slot) noexcept nogil:
    """Put an order of the queue of triggered ones back to its place by rank among the waiting."""
    cdef Order *order = &st.orders[slot]
    cdef Book *book = &st.books[order.instrument]
    cdef Special *special = order_special(st, order)
    cdef Level *level
    cdef uint32_t before, last
    remove(st, slot)
    wait(st, slot)
    level = &st.levels[order.level]
    last = before = st.links[slot].prev
    while before != NONE and order_special(st, &st.orders[before]).rank > special.rank:
        before = st.links[before].prev
    if before == last:
        return
    level.tail = last
    st.links[last].next = NONE
    st.links[slot].prev = before
    if before == NONE:
        st.links[slot].next = level.head
        level.head = slot
    else:
        st.links[slot].next = st.links[before].next
        st.links[before].next = slot
    st.links[st.links[slot].next].prev = slot


cdef void remove(State *st, uint32_t slot) noexcept nogil:
    """Take an order out from where it stands; all it has left is shown from then on."""
    cdef Order *order = &st.orders[slot]
    cdef Book *book = &st.books[order.instrument]
    cdef Special *special = order_special(st, order)
    if special.where == NOWHERE:
        return
    touch(st, book)
    book.open -= order.remaining + special.hidden
    if special.where == AT_LEVEL:
        if special.display:
            book.icebergs -= 1
        st.levels[order.level].hidden -= special.hidden
        unlink_from(st, &book.sides[order.side], slot)
        order.remaining += special.hidden
        special.hidden = 0
    elif special.where == PRICELESS:
        leave_priceless(st, book, slot)
    else:
        book.waiting -= 1
        if special.where == QUEUED:
            st.queue[special.queue_at] = NONE
        else:
            unlink_from(st, &book.stops[order.side], slot)
    special.where = NOWHERE
    order.level = NONE


cdef void refresh(State *st, uint32_t slot) noexcept nogil:
    """Show a new tip where the last is used up, at the back of the level."""
    cdef Order *order = &st.orders[slot]
    cdef Special *special
    if not order.marked or order.remaining:
        return
    special = order_special(st, order)
    if special.where == AT_LEVEL and special.hidden:
        remove(st, slot)
        put(st, slot)


cdef void take_off(State *st, uint32_t slot, int64_t lots) noexcept nogil:
    """Take lots off what an order shows, where it stands; some are left, shown or hidden."""
    cdef Order *order = &st.orders[slot]
    cdef Book *book = &st.books[order.instrument]
    cdef int where = order_special(st, order).where if order.marked else AT_LEVEL
    order.remaining -= lots
    if where == NOWHERE:
        return
    book.open -= lots
    if where == PRICELESS:
        book.priceless[order.side].total -= lots
    elif where != QUEUED:
        st.levels[order.level].total -= lots


# --- trades ---------------------------------------------------------------------------------

cdef void fill(State *st, Book *book, uint32_t slot, int64_t price, int64_t lots) noexcept nogil:
    """One order's side of a trade; its lots are the caller's matter."""
    cdef Extra *extra = order_extra(st, &st.orders[slot])
    if extra.filled == 0:
        book.orders_matched += 1
    extra.filled += lots
    extra.notional += <i128>price * lots
    extra.updated_seq = st.seq
    extra.updated_us = st.time_us


cdef void take_special(State *st, Book *book, const Order *taker, uint32_t slot, int64_t price,
                       int64_t lots, int64_t limit) noexcept nogil:
    """A trade of a plain taker, whose limit price this is, with an iceberg or an order of a pair.

    What the taker and the book's totals have of it is the caller's matter.
    """
    cdef Order *maker = &st.orders[slot]
    cdef uint32_t partner = partner_of(st, slot)
    trade_event_of(event_room(st, slot), maker, <Taker *>taker, st.seq, TRADE, st.trade_index,
                   price, lots, order_unfilled(st, maker) - lots)
    keep_trade(st, book, maker, taker, price, lots, False)
    clear_trade(st, book, maker, taker, price, lots, price, limit, False)
    st.trade_index += 1
    fill(st, book, slot, price, lots)
    take_off(st, slot, lots)
    book.open += lots
    unpair(st, slot)
    maker_traded(st, slot)
    cancel_partner(st, partner)
    watch(book)


cdef void maker_traded(State *st, uint32_t slot) noexcept nogil:
    """A maker whose lots were taken ends if they were all it had, or shows its next tip."""
    if order_unfilled(st, &st.orders[slot]) == 0:
        special_of(st, slot)
        remove(st, slot)
        close(st, slot, FILLED, 0)
    else:
        refresh(st, slot)


cdef void touch_order(State *st, uint32_t slot) noexcept nogil:
    """The order changed with this command."""
    cdef Extra *extra = order_extra(st, &st.orders[slot])
    extra.updated_seq = st.seq
    extra.updated_us = st.time_us


cdef void tell(State *st, int kind, uint32_t slot, int reason) noexcept nogil:
    """An event about an open order: its total, and what it has left."""
    cdef Order *order = &st.orders[slot]
    cdef int64_t lots = order_unfilled(st, order)
    event_of(event_room(st, slot), order, st.seq, kind, reason, order_price(st, order),
             lots + order_filled(st, order), lots)


# --- how orders end -------------------------------------------------------------------------

cdef void special_closed(State *st, uint32_t slot, uint32_t place) noexcept nogil:
    """Take an order that closes from all that it is bound to; what it says stays with it."""
    cdef Order *order = &st.orders[slot]
    cdef uint32_t number = st.extras[order.extra].special
    cdef Special *special = &st.specials[number]
    cdef Closed *closed = closed_at(st, place)
    if special.due_at != NONE:
        due_remove(st, special.due_at)
    if special.in_session:
        session_leave(st, special)
    if special.in_day:
        day_leave(st, &st.books[order.instrument], special)
    unpair(st, slot)
    special.where = NOWHERE
    special.slot = NONE
    special.rank = 0
    if says_something(order, special):
        closed.special = number
    else:
        closed.marked = 0
        special_free(st, number)


cdef uint32_t close(State *st, uint32_t slot, int state, int reason) noexcept nogil:
    """An order that stands nowhere is over; returns where it stands then.

    Its slot is free when the command is over: `level` says until then where the order is now.
    """
    cdef Order *order = &st.orders[slot]
    cdef Extra *extra = &st.extras[order.extra]
    cdef Book *book = &st.books[order.instrument]
    cdef uint32_t place
    if order.by_quote:
        place = closed_by_quote(st, <Taker *>order, state, reason, st.asked_units,
                                extra.notional, extra.filled)
    else:
        place = closed_new(st, <Taker *>order, state, reason, order_special(st, order).price,
                           order.remaining, extra.notional, extra.filled)
    special_closed(st, slot, place)
    leave_slot(st, slot, place)
    watch(book)
    return place


cdef uint32_t end(State *st, uint32_t slot, int reason) noexcept nogil:
    """An order ends with something unfilled, and its partner with it; where it stands then."""
    if not st.orders[slot].marked:
        return end_plain(st, slot, reason)
    return end_marked(st, slot, reason)


cdef uint32_t end_plain(State *st, uint32_t slot, int reason) noexcept nogil:
    """End an order that stands at a level and has nothing special."""
    cdef Order *order = &st.orders[slot]
    cdef Book *book = &st.books[order.instrument]
    cdef int64_t price = order_price(st, order)
    cdef uint32_t place
    cdef i128 notional = 0 if order.extra == NONE else st.extras[order.extra].notional
    touch(st, book)
    book.open -= order.remaining
    book.ended += order.remaining
    release(st, book, order, price, order.remaining)
    unlink_from(st, &book.sides[order.side], slot)
    place = closed_new(st, <Taker *>order, ENDED, reason, price, order.remaining, notional,
                       order_filled(st, order))
    event_of(event_room(st, place), order, st.seq, ORDER_ENDED, reason, price, order.remaining, 0)
    leave_slot(st, slot, place)
    return place


cdef inline void leave_slot(State *st, uint32_t slot, uint32_t place) noexcept nogil:
    """The order of this slot stands at a place of the closed ones from now on."""
    cdef Order *order = &st.orders[slot]
    client_order_left(st, slot)
    reindex_order(st, order.id_kind, order.id, slot, place)
    extra_free(st, order)
    if st.current == slot:
        st.current = place
    if st.taking == slot:
        st.taking = NONE
    order.seq = 0
    order.level = place
    st.links[slot].next = st.left
    st.left = slot


cdef uint32_t end_marked(State *st, uint32_t slot, int reason) noexcept nogil:
    cdef Special *special = special_of(st, slot)
    cdef Order *order = &st.orders[slot]
    cdef Book *book = &st.books[order.instrument]
    cdef uint32_t partner = special.partner, place, at
    remove(st, slot)
    touch(st, book)
    book.ended += order.remaining
    release(st, book, order, special.price, order.remaining)
    event_of(event_room(st, slot), order, st.seq, ORDER_ENDED, reason, special.price,
             order.remaining, 0)
    at = st.events_count - 1
    place = close(st, slot, ENDED, reason)
    st.event_orders[at] = place
    cancel_partner(st, partner)
    return place


cdef int64_t end_client(State *st, uint32_t client, int reason, uint32_t instrument,
                        int side) noexcept nogil:
    """End a client's open orders, the newest first, of an instrument or all (NONE), of a side or
    both (255); how many ended, partners too."""
    cdef uint32_t slot = st.clients[client].newest_open, after, partner
    cdef uint64_t before = events_written(st)
    cdef Order *order
    while slot != NONE:
        order = &st.orders[slot]
        after = st.links[slot].open_next
        if (instrument == NONE or order.instrument == instrument) and (
                side > 1 or order.side == side):
            partner = partner_of(st, slot)
            if partner != NONE and partner == after:
                after = st.links[partner].open_next
            end(st, slot, reason)
        slot = after
    return events_written(st) - before


# --- pairs ----------------------------------------------------------------------------------

cdef void pair(State *st, uint32_t one, uint32_t other) noexcept nogil:
    """Make two open orders a pair."""
    special_of(st, other)
    special_of(st, one).partner = other
    order_special(st, &st.orders[other]).partner = one
    st.books[st.orders[one].instrument].pairs += 2


cdef uint32_t partner_of(State *st, uint32_t slot) noexcept nogil:
    """The other order of the pair, or NONE."""
    cdef Order *order = &st.orders[slot]
    return order_special(st, order).partner if order.marked else NONE


cdef void unpair(State *st, uint32_t slot) noexcept nogil:
    """The pair of this order, if it is in one, is no more."""
    cdef uint32_t other = partner_of(st, slot)
    if other == NONE:
        return
    order_special(st, &st.orders[slot]).partner = NONE
    order_special(st, &st.orders[other]).partner = NONE
    st.books[st.orders[slot].instrument].pairs -= 2


cdef void cancel_partner(State *st, uint32_t other) noexcept nogil:
    """Cancel an order whose pair is no more, if it is open and wants something."""
    cdef Order *order
    if other == NONE or not is_open(st, other):
        return
    order = &st.orders[other]
    if order.remaining > 0 or (order.marked and order_special(st, order).hidden > 0) or (
            order.by_quote and st.budget > 0):
        end(st, other, ONE_CANCELS_OTHER)
