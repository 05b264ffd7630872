# cython: language_level=3
"""The venue's rules that refuse an order or an amendment, in their order of precedence."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from novate.engine.accounts cimport (
    FUNDED, MAKER, TAKER, WIDE, available, fee_on, rate_of, refused_by_funds, too_worthy,
)
from novate.engine.book cimport TOTAL_MAX, would_cross
from novate.engine.ladder cimport level_find
from novate.engine.matching cimport (
    Bounds, Want, bounds_of, distance_of, obtainable, walk_cost, want_of,
)
from novate.engine.open_counts cimport open_count_of
from novate.engine.special cimport session_find
from novate.engine.state cimport (
    AT_LEVEL, NONE,
    BookSide, Level, Market, Order, OrderLimits, Rules, Special, State, i128,
    key_of, order_filled, order_special, order_unfilled, rules_of,
)
from novate.model.records cimport (
    AUCTION, AUCTION_PHASE, CANCEL_ONLY, CANCEL_ONLY_PHASE, CLIENT_KILLED, CLIENT_ORDERS_LIMIT,
    CLOSED_PHASE, CLOSED_REASON, DAY, DISPLAY_TOO_SMALL, DYNAMIC_BAND, EXPIRES_IN_PAST, GTC, GTD,
    HALT, HALTED, INSUFFICIENT_FUNDS, LEVEL_FULL, LIMIT, MARKET, NOTIONAL_TOO_LARGE,
    NOTIONAL_TOO_SMALL,
    OPEN_ORDERS_LIMIT, POST_ONLY_WOULD_CROSS, PRE_OPEN, PRE_OPEN_PHASE, PRICE_LEVELS_LIMIT,
    QUANTITY_TOO_LARGE, QUANTITY_TOO_SMALL, SESSION_NOT_OPEN, STATIC_BAND, STOP, STOP_LIMIT,
    TOO_FAR_FROM_LAST, VENUE_KILLED,
)

cdef i128 UNITS_MAX = <i128>1 << 126


# --- limits in force ------------------------------------------------------------------------

cdef uint32_t own_limits_at(State *st, uint64_t place) noexcept nogil:
    """Where the first of clients' limits stands whose place is not under this."""
    cdef uint32_t low = 0, high = st.own_limits_count, middle
    while low < high:
        middle = (low + high) >> 1
        if st.own_limits[middle].place < place:
            low = middle + 1
        else:
            high = middle
    return low


cdef void limits_of(State *st, Book *book, uint32_t client, OrderLimits *limits) noexcept nogil:
    """The limits of a client: what is not 0 of its own, else the instrument's."""
    cdef uint64_t place = <uint64_t>client << 32 | <uint64_t>(book - st.books)
    cdef uint32_t at
    cdef const OrderLimits *own
    limits[0] = rules_of(st, book).limits
    if book.own_limits == 0:
        return
    at = own_limits_at(st, place)
    if at == st.own_limits_count or st.own_limits[at].place != place:
        return
    own = &st.own_limits[at].limits
    if own.lots_min:
        limits.lots_min = own.lots_min
    if own.lots_max:
        limits.lots_max = own.lots_max
    if own.notional_min:
        limits.notional_min = own.notional_min
    if own.notional_max:
        limits.notional_max = own.notional_max
    if own.distance.ticks or own.distance.permille:
        limits.distance = own.distance
    if own.open_max:
        limits.open_max = own.open_max


cdef void asked_of(State *st, uint32_t slot, Asked *asked) noexcept nogil:
    """An open order as it is."""
    cdef Order *order = &st.orders[slot]
    cdef Special *special = order_special(st, order)
    want_of(st, slot, &asked.want)
    asked.want.lots = order_unfilled(st, order)
    asked.stop_price = special.stop_price
    asked.display = special.display
    asked.total = asked.want.lots + order_filled(st, order)
    asked.expire_ns = special.expire_ns
    asked.order_type = order.order_type
    asked.time_in_force = order.time_in_force
    asked.post_only = order.post_only
    asked.by_quote = order.by_quote
    asked.triggered = special.triggered
    asked.minimum = special.minimum
    asked.session = special.session


# --- new orders -----------------------------------------------------------------------------

cdef int refuses(State *st, Book *book, const Asked *asked) noexcept nogil:
    """Why a new order is rejected, or 0; its links were looked at before."""
    cdef uint32_t at
    cdef int reason
    if st.venue_killed:
        return VENUE_KILLED
    if st.clients[asked.want.client].killed:
        return CLIENT_KILLED
    if asked.session:
        at = session_find(st, asked.session)
        if at == st.sessions_count or st.sessions[at].number != asked.session:
            return SESSION_NOT_OPEN
    reason = refused_by_phase(book, asked)
    if reason:
        return reason
    if asked.time_in_force == GTD and asked.expire_ns <= st.time_ns:
        return EXPIRES_IN_PAST
    reason = refused_by_size(st, book, asked)
    if reason:
        return reason
    if asked.post_only and book.phase == 0 and would_cross(
            st, book, asked.want.side, asked.want.price):
        return POST_ONLY_WOULD_CROSS
    reason = refused_by_room(st, book, asked)
    return reason if reason or not book.clears & (FUNDED | WIDE) else funds_refuse(
        st, book, asked)


cdef int funds_refuse(State *st, Book *book, const Asked *asked) noexcept nogil:
    """Hold what a new order may cost; or why its client's funds don't allow it.

    A buyer without a limit holds nothing: it pays as it trades. What waits is looked at when it
    triggers. Under the first version of the rules clients without funds were refused here, too.
    """
    cdef const Order *order = &st.orders[asked.want.slot]
    cdef uint32_t client = asked.want.client
    cdef Market *market = st.clearing.markets + (book - st.books)
    if not book.clears & FUNDED and st.rules > 1:
        return 0
    if asked.by_quote and asked.want.side:
        return INSUFFICIENT_FUNDS if available(st, client, market.base) < market.lot_units else 0
    if asked.by_quote:
        return INSUFFICIENT_FUNDS if available(
            st, client, market.quote) < st.asked_units + fee_most(
                st, book, client, st.asked_units) else 0
    if asked.order_type == STOP and not asked.want.side:
        return 0
    if asked.order_type == MARKET and not asked.want.side:
        return 0 if covered(st, book, &asked.want) else INSUFFICIENT_FUNDS
    return refused_by_funds(st, book, order, asked.want.price, asked.want.lots)


cdef bint covered(State *st, Book *book, const Want *want) noexcept nogil:
    """Whether a buyer without a limit has what it will pay at most."""
    cdef uint32_t quote = st.clearing.markets[book - st.books].quote
    return not book.clears & FUNDED or walk_cost(st, book, want) <= available(
        st, want.client, quote)


cdef i128 fee_most(State *st, Book *book, uint32_t client, i128 units) noexcept nogil:
    cdef uint32_t instrument = <uint32_t>(book - st.books)
    cdef int rate = max(rate_of(st, instrument, client, MAKER),
                        rate_of(st, instrument, client, TAKER))
    return fee_on(units, rate) if rate > 0 else 0


cdef int refused_by_phase(Book *book, const Asked *asked) noexcept nogil:
    """Why the phase takes no such order, or 0."""
    cdef bint patient
    if book.phase == CLOSED_PHASE:
        return CLOSED_REASON
    if book.phase == HALT:
        return HALTED
    if book.phase == CANCEL_ONLY_PHASE:
        return CANCEL_ONLY
    if book.phase == 0 or asked.order_type >= STOP_LIMIT:
        return 0
    patient = asked.order_type == LIMIT and (
        asked.time_in_force == GTC or asked.time_in_force >= DAY) and (
        not asked.post_only and not asked.minimum)
    if patient:
        return 0
    if book.phase == PRE_OPEN_PHASE:
        return PRE_OPEN
    if asked.order_type == MARKET and asked.time_in_force == GTC and (
            not asked.by_quote and not asked.minimum) and (
            asked.want.side or not book.clears & FUNDED):
        return 0
    return AUCTION


# --- sizes and prices -----------------------------------------------------------------------

cdef i128 notional_of(State *st, Book *book, const Asked *asked) noexcept nogil:
    """The order's value in quote units, at most UNITS_MAX; -1 where no price says it."""
    cdef int64_t price = asked.want.price
    cdef i128 value
    if asked.by_quote:
        return min(st.asked_units, UNITS_MAX)
    if asked.order_type == STOP:
        price = asked.stop_price
    elif asked.order_type == MARKET:
        price = book.last_price
    if price == 0:
        return -1
    value = <i128>price * asked.total
    return UNITS_MAX if value > UNITS_MAX // book.quote_units else value * book.quote_units


cdef int refused_by_size(State *st, Book *book, const Asked *asked) noexcept nogil:
    """The limit of quantity, display, notional, distance or band that the order breaks, or 0."""
    cdef OrderLimits limits
    cdef i128 notional
    limits_of(st, book, asked.want.client, &limits)
    if not asked.by_quote:
        if asked.total < limits.lots_min:
            return QUANTITY_TOO_SMALL
        if limits.lots_max and asked.total > limits.lots_max:
            return QUANTITY_TOO_LARGE
    if asked.display and (asked.total + asked.display - 1) // asked.display > (
            rules_of(st, book).iceberg_parts_max):
        return DISPLAY_TOO_SMALL
    notional = notional_of(st, book, asked)
    if notional >= 0 and notional < limits.notional_min:
        return NOTIONAL_TOO_SMALL
    if limits.notional_max and notional > limits.notional_max:
        return NOTIONAL_TOO_LARGE
    if too_worthy(st, book, asked.want.price, asked.total):
        return NOTIONAL_TOO_LARGE
    if is_too_far(book, asked, &limits):
        return TOO_FAR_FROM_LAST
    if asked.order_type >= STOP_LIMIT and not asked.triggered:
        return 0
    return refused_by_band(st, book, asked)


cdef bint is_too_far(Book *book, const Asked *asked, const OrderLimits *limits) noexcept nogil:
    """Whether a limit price is further beyond the last (or its stop) price than it may be."""
    cdef int64_t base = asked.stop_price if asked.order_type >= STOP_LIMIT else book.last_price
    cdef int64_t distance = distance_of(&limits.distance, base)
    if not asked.want.limited or base == 0 or distance < 0:
        return False
    if asked.want.side == 0:
        return asked.want.price - base > distance
    return base - asked.want.price > distance


cdef int refused_by_band(State *st, Book *book, const Asked *asked) noexcept nogil:
    """The band beyond which a limit price is, where that is refused, or 0."""
    cdef Bounds bounds
    cdef int64_t price = asked.want.price
    if not asked.want.limited or rules_of(st, book).band_auction:
        return 0
    bounds_of(st, book, asked.want.side, True, &bounds)
    if price > bounds.static_high if asked.want.side == 0 else price < bounds.static_low:
        return STATIC_BAND
    if price > bounds.dynamic_high if asked.want.side == 0 else price < bounds.dynamic_low:
        return DYNAMIC_BAND
    return 0


# --- room -----------------------------------------------------------------------------------

cdef bint client_full(State *st, Book *book, uint32_t client) noexcept nogil:
    """Whether the client has as many open orders on the instrument as it may."""
    cdef OrderLimits limits
    limits_of(st, book, client, &limits)
    if limits.open_max == 0 or st.clients[client].open_count < limits.open_max:
        return False
    return open_count_of(st, client, <uint32_t>(book - st.books)) >= limits.open_max


cdef int refused_by_room(State *st, Book *book, const Asked *asked) noexcept nogil:
    """Why what would rest of a new order finds no room, or 0."""
    cdef bint waits = asked.order_type >= STOP_LIMIT
    cdef bint rests = asked.want.limited and (
        asked.time_in_force == GTC or asked.time_in_force >= DAY)
    cdef int64_t lots = asked.want.lots
    if not waits and book.phase == 0 and not rests:
        return 0
    if not waits:
        lots -= obtainable(st, book, &asked.want)
    if lots <= 0:
        return 0
    if st.open_count >= st.open_max:
        return OPEN_ORDERS_LIMIT
    if client_full(st, book, asked.want.client):
        return CLIENT_ORDERS_LIMIT
    return 0 if waits else room_for(st, book, &asked.want, lots, NONE)


cdef int room_for(State *st, Book *book, const Want *want, int64_t lots,
                  uint32_t leaving) noexcept nogil:
    """Why `lots` of the order could not stay in the book, or 0.

    `leaving` is the resting order whose place it takes in an amendment, or NONE.
    """
    cdef BookSide *own = &book.sides[want.side]
    cdef const Level *level = &book.priceless[want.side]
    cdef int64_t total
    cdef uint32_t at
    if want.limited:
        at = level_find(st, own, key_of(want.side, want.price))
        if at == NONE or (leaving != NONE and st.orders[leaving].level == at
                          and st.levels[at].count == 1):
            return PRICE_LEVELS_LIMIT if own.count >= st.levels_max and not (
                leaving != NONE and st.levels[st.orders[leaving].level].count == 1) else 0
        level = &st.levels[at]
    total = level.total + level.hidden
    if leaving != NONE and (not want.limited or st.orders[leaving].level == at):
        total -= order_unfilled(st, &st.orders[leaving])
    return LEVEL_FULL if total > TOTAL_MAX - lots else 0


cdef int refused_reentry(State *st, Book *book, const Asked *asked,
                         uint32_t leaving) noexcept nogil:
    """Whether a resting order that loses its place may not come in again: its level is full."""
    cdef int64_t lots = asked.want.lots - obtainable(st, book, &asked.want)
    return lots > 0 and room_for(st, book, &asked.want, lots, leaving) != 0
