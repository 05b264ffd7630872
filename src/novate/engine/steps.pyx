# cython: language_level=3
"""Steps: the matching of one taker, and what becomes of its rest; the stop orders that its trades
trigger, each a step of its own; the phases that begin and end between them; and what is due.
"""

from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t

from novate.engine.auction cimport uncross
from novate.engine.due cimport (
    DAY_NS, DUE_EXPIRY, DUE_PHASE, due_remove, next_daily, phase_due, phase_due_ns,
)
from novate.engine.limits cimport Asked, asked_of, refused_by_band, room_for
from novate.engine.matching cimport Want, match_watched, obtainable, want_of
from novate.engine.special cimport (
    can_rest, cancel_partner, close, end, end_client, has_limit, is_stop, partner_of, put,
    remove, special_of, special_trim, tell, touch_order, unpair, wait, wait_again, watch,
)
from novate.engine.book cimport touch, unlink_from
from novate.engine.state cimport (
    FILLED, NONE, PRICELESS, QUEUED, WAITING,
    Book, BookSide, Due, Event, Level, Order, Rules, Special, State, i128,
    event_new, grow, key_of, level_price, order_special, rules_of,
)
from novate.model.records cimport (
    AUCTION_OVER, AUCTION_PHASE, BY_SCHEDULE, CANCEL_AFTER, CLOSED_PHASE, CONTINUOUS,
    EXPIRED, FILL_OR_KILL, FOK, IMMEDIATE_OR_CANCEL, MINIMUM_QUANTITY, NO_ROOM,
    ORDER_TRIGGERED, OUTSIDE_PRICE_BAND, PHASE_CHANGED, QUOTE_QUANTITY_TOO_SMALL,
    STATIC_BAND_LEFT, TIMER_EXPIRED, TIME_OVER,
)


# --- one taker ------------------------------------------------------------------------------

cdef void enter(State *st, uint32_t slot) noexcept nogil:
    """An accepted or amended order goes where it belongs, with all that it sets off."""
    cdef Order *order = &st.orders[slot]
    cdef Book *book = &st.books[order.instrument]
    cdef Special *special = order_special(st, order)
    st.traded = 0
    if not is_stop(order) or special.triggered:
        step(st, book, slot)
    elif triggers_at_once(book, order, special):
        trigger(st, book, slot)
    else:
        wait(st, slot)
    run(st, book)
    watch(book)


cdef void step(State *st, Book *book, uint32_t slot) noexcept nogil:
    """Match one taker and settle what becomes of it; leaving a band may begin an auction."""
    cdef int left = settle(st, book, slot)
    cdef Rules *rules = rules_of(st, book)
    if left and rules.band_auction:
        change_phase(st, book, AUCTION_PHASE, st.time_ns + rules.volatility_auction_ns, left,
                     False)


cdef int settle(State *st, Book *book, uint32_t slot) noexcept nogil:
    """Match an order, then let it rest, be filled, or end; the band that it left, or 0."""
    cdef Order *order = &st.orders[slot]
    cdef Special *special = order_special(st, order)
    cdef Want want
    cdef int why
    cdef bint left
    if book.phase != CONTINUOUS:
        put(st, slot)
        special_trim(st, slot)
        return 0
    if order.time_in_force == FOK or (special.minimum and not special.minimum_met):
        want_of(st, slot, &want)
        if order.time_in_force == FOK and obtainable(st, book, &want) < order.remaining:
            end(st, slot, FILL_OR_KILL)
            return 0
        if special.minimum and not special.minimum_met and (
                obtainable(st, book, &want) < special.minimum):
            end(st, slot, MINIMUM_QUANTITY)
            return 0
        special.minimum_met = 1
    st.taking = slot
    why = match_watched(st, book, slot)
    left = why >= STATIC_BAND_LEFT
    if st.taking == slot:
        settle_rest(st, book, slot, OUTSIDE_PRICE_BAND if left else why)
    st.taking = NONE
    return why if left else 0


cdef void settle_rest(State *st, Book *book, uint32_t slot, int why) noexcept nogil:
    """What becomes of a taker that has not ended; `why` it stopped."""
    cdef Order *order = &st.orders[slot]
    cdef Want want
    cdef bint rests = can_rest(order) and (
        why != OUTSIDE_PRICE_BAND or rules_of(st, book).band_auction)
    if order.by_quote:
        settle_money(st, book, slot, why)
    elif order.remaining == 0:
        close(st, slot, FILLED, 0)
    elif rests:
        want_of(st, slot, &want)
        if slot == st.triggering and room_for(st, book, &want, order.remaining, NONE):
            end(st, slot, NO_ROOM)
        else:
            put(st, slot)
            special_trim(st, slot)
    elif has_limit(order) and why != OUTSIDE_PRICE_BAND:
        end(st, slot, IMMEDIATE_OR_CANCEL)
    else:
        end(st, slot, why)


cdef void settle_money(State *st, Book *book, uint32_t slot, int why) noexcept nogil:
    """An order by quote quantity is filled when what is left buys no lot."""
    cdef bint bought = st.extras[st.orders[slot].extra].filled > 0
    cdef bint over = bought
    if why != QUOTE_QUANTITY_TOO_SMALL:
        over = bought and st.budget < <i128>book.last_price * book.quote_units
    if over or st.budget == 0:
        close(st, slot, FILLED, 0)
    else:
        end(st, slot, why)


# --- stop orders ----------------------------------------------------------------------------

cdef inline bint triggers_at_once(Book *book, const Order *order,
                                  const Special *special) noexcept nogil:
    """Whether the last price fulfils the condition of a stop order that comes in."""
    if book.phase != CONTINUOUS or book.last_price == 0:
        return False
    if order.side == 0:
        return book.last_price >= special.stop_price
    return book.last_price <= special.stop_price


cdef void trigger(State *st, Book *book, uint32_t slot) noexcept nogil:
    """A stop order becomes a market or a limit order, and is matched whole."""
    cdef Special *special = order_special(st, &st.orders[slot])
    cdef uint32_t partner = special.partner
    cdef Asked asked
    remove(st, slot)
    special.triggered = 1
    touch_order(st, slot)
    tell(st, ORDER_TRIGGERED, slot, 0)
    unpair(st, slot)
    cancel_partner(st, partner)
    asked_of(st, slot, &asked)
    if refused_by_band(st, book, &asked):
        end(st, slot, OUTSIDE_PRICE_BAND)
        return
    st.triggering = slot
    step(st, book, slot)
    st.triggering = NONE


cdef int by_rank(const void *one, const void *other, void *state) noexcept nogil:
    cdef State *st = <State *>state
    cdef uint64_t a = order_special(st, &st.orders[(<uint32_t *>one)[0]]).rank
    cdef uint64_t b = order_special(st, &st.orders[(<uint32_t *>other)[0]]).rank
    return (a > b) - (a < b)


cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <stdlib.h>
    """
    void qsort_r(void *base, size_t count, size_t size,
                 int (*compare)(const void *, const void *, void *) noexcept nogil,
                 void *state) noexcept nogil


cdef void queue_side(State *st, BookSide *waiting, int64_t limit_key) noexcept nogil:
    """Bring the orders that are reached from where they wait to the end of the queue."""
    cdef uint32_t slot, level = waiting.best, worse
    cdef Special *special
    while level != NONE and st.levels[level].key >= limit_key:
        worse = st.levels[level].worse
        slot = st.levels[level].head
        while slot != NONE:
            if st.queue_count == st.queue_capacity:
                st.queue_capacity = max(256, st.queue_capacity * 2)
                st.queue = <uint32_t *>grow(st.queue, <size_t>st.queue_capacity * 4)
            special = order_special(st, &st.orders[slot])
            special.where = QUEUED
            st.queue[st.queue_count] = slot
            st.queue_count += 1
            slot = st.links[slot].next
        drop_level(st, waiting, level)
        level = worse


cdef void drop_level(State *st, BookSide *waiting, uint32_t level) noexcept nogil:
    """Take a whole level of waiting orders out; they know of it by `where`."""
    cdef uint32_t slot = st.levels[level].head
    st.levels[level].count = 1
    unlink_from(st, waiting, slot)


cdef void queue_reached(State *st, Book *book) noexcept nogil:
    """The waiting orders that the step's trades fulfil join the queue, by rank."""
    cdef uint32_t first = st.queue_count, i
    st.traded = 0
    queue_side(st, &book.stops[0], key_of(1, st.traded_high))
    queue_side(st, &book.stops[1], key_of(0, st.traded_low))
    if first == st.queue_count:
        return
    if st.queue_count > first:
        qsort_r(st.queue + first, st.queue_count - first, 4, by_rank, st)
    for i in range(first, st.queue_count):
        order_special(st, &st.orders[st.queue[i]]).queue_at = i


cdef void run(State *st, Book *book) noexcept nogil:
    """Trigger what the trades of the step just over fulfil, and what those trades do in turn."""
    cdef uint32_t slot
    cdef uint32_t at
    if book.waiting == 0:
        return
    st.queue_first = 0
    st.queue_count = 0
    while book.phase == CONTINUOUS:
        if st.traded:
            queue_reached(st, book)
        while st.queue_first < st.queue_count and st.queue[st.queue_first] == NONE:
            st.queue_first += 1
        if st.queue_first == st.queue_count:
            return
        slot = st.queue[st.queue_first]
        st.queue_first += 1
        trigger(st, book, slot)
    for at in range(st.queue_first, st.queue_count):
        if st.queue[at] != NONE:
            wait_again(st, st.queue[at])


# --- phases ---------------------------------------------------------------------------------

cdef void change_phase(State *st, Book *book, int phase, int64_t until_ns, int reason,
                       bint held) noexcept nogil:
    """Leave a phase with what belongs to its end, and begin another."""
    cdef int before = book.phase
    cdef bint leaves_auction = before == AUCTION_PHASE and phase != AUCTION_PHASE
    cdef bint opens = phase == CONTINUOUS and before != CONTINUOUS
    cdef Event *event
    if opens or (leaves_auction and phase == CLOSED_PHASE):
        uncross(st, book, leaves_auction)
    if leaves_auction:
        end_priceless(st, book, 0)
        end_priceless(st, book, 1)
    book.phase = phase
    book.until_ns = until_ns
    book.held = held
    touch(st, book)
    event = event_new(st, PHASE_CHANGED, NONE)
    event.instrument = <uint32_t>(book - st.books)
    event.index = phase
    event.taker_client = before
    event.order = until_ns
    event.reason = reason
    phase_due(st, book)
    if opens:
        st.traded = book.last_price != 0
        st.traded_low = book.last_price
        st.traded_high = book.last_price
        run(st, book)
    if phase == CLOSED_PHASE:
        end_day_orders(st, book)
    watch(book)


cdef void end_priceless(State *st, Book *book, int side) noexcept nogil:
    """What an auction left of market orders ends."""
    cdef Level *queue = &book.priceless[side]
    while queue.head != NONE:
        end(st, queue.head, AUCTION_OVER)


cdef void end_day_orders(State *st, Book *book) noexcept nogil:
    """The session is over, and the orders of the day with it, the oldest first."""
    while book.day_first != NONE:
        end(st, book.day_first, EXPIRED)


# --- what is due ----------------------------------------------------------------------------

cdef void carry_out(State *st) noexcept nogil:
    """Let happen, one after the other, what is due at the command's time."""
    cdef Due item
    cdef Book *book
    while st.due_count and st.due[0].time_ns <= st.time_ns:
        item = st.due[0]
        if item.kind == DUE_PHASE:
            book = &st.books[item.about]
            if phase_due_ns(st, book) == item.time_ns:
                next_phase(st, book, item.time_ns)
            phase_due(st, book)
        elif item.kind == DUE_EXPIRY:
            end(st, st.specials[item.about].slot, EXPIRED)
        else:
            expire_timer(st, item.about)


cdef void next_phase(State *st, Book *book, int64_t time_ns) noexcept nogil:
    """A phase's own time is over, or the schedule says the next."""
    cdef Rules *rules = rules_of(st, book)
    cdef int64_t after_ns = max(book.schedule_done_ns, st.time_ns - DAY_NS - 1)
    cdef uint32_t i
    if book.until_ns == time_ns:
        change_phase(st, book, CONTINUOUS, 0, TIME_OVER, False)
        return
    for i in range(rules.schedule_count):
        if next_daily(after_ns, rules.at_ns[i]) == time_ns:
            book.schedule_done_ns = time_ns
            if not book.held:
                change_phase(st, book, rules.phases[i], 0, BY_SCHEDULE, False)
            return


cdef void expire_timer(State *st, uint32_t client) noexcept nogil:
    """A client was not heard of in time."""
    cdef Event *event
    cdef int64_t ended
    due_remove(st, st.clients[client].timer)
    ended = end_client(st, client, CANCEL_AFTER, NONE, 255)
    event = event_new(st, TIMER_EXPIRED, NONE)
    event.client = client
    event.quantity_lots = ended
