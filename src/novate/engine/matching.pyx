# cython: language_level=3
"""Continuous matching with all that the rulebook knows: what a taker may have, in which order.

Books where nothing is special are matched by the book itself, which does the same for them.
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t

from novate.engine.accounts cimport FUNDED, clear_trade, fundable, lot_cost, release
from novate.engine.book cimport TOTAL_MAX, keep_trade, touch, unlink_from
from novate.engine.special cimport (
    cancel_partner, end, fill, has_limit, maker_traded, partner_of, refresh, take_off, tell,
    touch_order, unpair,
)
from novate.engine.state cimport (
    CHECK, NONE,
    Book, BookSide, Distance, Level, Order, Rules, Special, State, Taker, i128,
    event_room, key_of, level_price, order_price, order_special, order_unfilled, rules_of,
    trade_event_of,
)
from novate.model.records cimport (
    BOOK_EXHAUSTED, CANCEL_BOTH, CANCEL_NEWEST, CANCEL_OLDEST, DECREMENT, DYNAMIC_BAND_LEFT,
    FUNDS_EXHAUSTED,
    IMMEDIATE_OR_CANCEL, ORDER_AMENDED, PRICE_PROTECTION, QUOTE_QUANTITY_TOO_SMALL,
    SELF_TRADE_PREVENTED, STATIC_BAND_LEFT, TRADE,
)


# --- where a step may trade -----------------------------------------------------------------

cdef enum:
    NARROW = 9_000_000_000_000  # times a million it has 64 bits, and is divided many times faster

cdef int64_t distance_of(const Distance *distance, int64_t base) noexcept nogil:
    """A distance in whole ticks; -1: off."""
    cdef int64_t off = distance.ticks if distance.ticks else -1
    cdef int64_t part
    if distance.permille:
        if base <= NARROW:
            part = base * distance.permille // 1000
        else:
            part = <int64_t>(<i128>base * distance.permille // 1000)
        off = part if off < 0 else min(off, part)
    return off


cdef void bounds_of(State *st, Book *book, int side, bint limited, Bounds *bounds) noexcept nogil:
    """What binds a taker of this side, as it stands at the start of its step."""
    cdef Rules *rules = rules_of(st, book)
    cdef int64_t base = book.last_price, off
    cdef uint32_t best = book.sides[1 - side].best
    bounds.protection_low = bounds.static_low = bounds.dynamic_low = INT64_MIN
    bounds.protection_high = bounds.static_high = bounds.dynamic_high = INT64_MAX
    off = distance_of(&rules.static_band, book.reference_price)
    if off >= 0 and book.reference_price:
        bounds.static_low = book.reference_price - off
        bounds.static_high = book.reference_price + off
    off = distance_of(&rules.dynamic_band, base)
    if off >= 0 and base:
        bounds.dynamic_low = base - off
        bounds.dynamic_high = base + off
    if limited:
        return
    if base == 0 and best != NONE:
        base = level_price(1 - side, st.levels[best].key)
    off = distance_of(&rules.protection, base)
    if off >= 0 and base:
        if side == 0:
            bounds.protection_high = base + off
        else:
            bounds.protection_low = base - off


cdef inline int stopped_at(const Want *want, const Bounds *bounds, int64_t price) noexcept nogil:
    """Why a taker does not trade at this price, or 0."""
    if want.limited and (price > want.price if want.side == 0 else price < want.price):
        return IMMEDIATE_OR_CANCEL
    if price < bounds.protection_low or price > bounds.protection_high:
        return PRICE_PROTECTION
    if price < bounds.static_low or price > bounds.static_high:
        return STATIC_BAND_LEFT
    if price < bounds.dynamic_low or price > bounds.dynamic_high:
        return DYNAMIC_BAND_LEFT
    return 0


cdef void want_of(State *st, uint32_t slot, Want *want) noexcept nogil:
    """What an order at hand wants."""
    cdef Order *order = &st.orders[slot]
    cdef Special *special = order_special(st, order)
    want.slot = slot
    want.side = order.side
    want.limited = has_limit(order)
    want.price = special.price
    want.lots = order.remaining
    want.client = order.client
    want.group = special.group
    want.partner = special.partner
    want.self_trade = special.self_trade


cdef inline bint prevented(const Want *want, const Order *maker,
                           const Special *special) noexcept nogil:
    """Whether the taker asks not to trade with this maker (`special`: its own, or NULL)."""
    if want.self_trade == 0:
        return False
    return want.client == maker.client or (
        want.group != 0 and special != NULL and special.group == want.group)


# --- obtainable -----------------------------------------------------------------------------

cdef int64_t obtainable(State *st, Book *book, const Want *want) noexcept nogil:
    """Lots that the taker would trade at once, at most those it wants; nothing is changed."""
    cdef Bounds bounds
    cdef uint32_t at = book.sides[1 - want.side].best
    cdef int64_t had = 0
    cdef bint over = False
    cdef bint simple = want.self_trade == 0 and book.pairs == 0 and want.partner == NONE
    if book.phase:
        return 0
    bounds_of(st, book, want.side, want.limited, &bounds)
    st.walk += 1
    while at != NONE and not over and had < want.lots:
        if stopped_at(want, &bounds, level_price(1 - want.side, st.levels[at].key)):
            break
        if simple:
            had += min(want.lots - had, st.levels[at].total)
            had += min(want.lots - had, st.levels[at].hidden)
        else:
            had = obtainable_at(st, &st.levels[at], want, had, &over)
        at = st.levels[at].worse
    return had


cdef int64_t obtainable_at(State *st, const Level *level, const Want *want, int64_t had,
                           bint *over) noexcept nogil:
    """What a walk that `had` so much has behind this level; `over`: it ends in it.

    Refreshed tips queue behind the last of the level, so that only what is shown counts before one
    that ends the walk.
    """
    cdef uint32_t slot = level.head
    cdef int64_t hidden = 0
    cdef Order *maker
    cdef Special *special
    while slot != NONE and had < want.lots:
        maker = &st.orders[slot]
        special = order_special(st, maker) if maker.marked else NULL
        if slot == want.partner and had:
            slot = st.links[slot].next
            continue
        if special != NULL and special.partner != NONE:
            if order_special(st, &st.orders[special.partner]).met == st.walk:
                slot = st.links[slot].next
                continue
            special.met = st.walk
        if prevented(want, maker, special):
            if want.self_trade != CANCEL_OLDEST or slot == want.partner:
                over[0] = True
                return had
        else:
            had += min(want.lots - had, maker.remaining)
            if slot == want.partner:
                over[0] = True
                return had
            if special != NULL:
                hidden += min(special.hidden, TOTAL_MAX - hidden)
        slot = st.links[slot].next
    return had + min(want.lots - had, hidden)


cdef i128 walk_cost(State *st, Book *book, const Want *want) noexcept nogil:
    """What a buyer without a limit pays at most, in quote units with fees, as the book stands.

    Where it may pass over makers, all of its lots are counted at the worst price it could reach.
    """
    cdef Bounds bounds
    cdef uint32_t at = book.sides[1].best
    cdef bint simple = want.self_trade == 0 and book.pairs == 0 and want.partner == NONE
    cdef int64_t left = want.lots, lots, price
    cdef i128 cost = 0
    bounds_of(st, book, 0, False, &bounds)
    while at != NONE and left:
        price = level_price(1, st.levels[at].key)
        if stopped_at(want, &bounds, price):
            break
        if simple:
            lots = min(left, st.levels[at].total)
            lots += min(left - lots, st.levels[at].hidden)
            left -= lots
            cost += lots * lot_cost(st, book, want.client, price)
        else:
            cost = left * lot_cost(st, book, want.client, price)
        at = st.levels[at].worse
    return cost


# --- matching -------------------------------------------------------------------------------

cdef int match_watched(State *st, Book *book, uint32_t slot) noexcept nogil:
    """Trade until something stops the taker; what it was, 0: it wants no more or has ended."""
    cdef Order *taker = &st.orders[slot]
    cdef BookSide *other = &book.sides[1 - taker.side]
    cdef Want want
    cdef Bounds bounds
    cdef uint32_t first
    cdef int64_t price, lots
    cdef int reason
    want_of(st, slot, &want)
    bounds_of(st, book, want.side, want.limited, &bounds)
    while st.taking == slot and (taker.remaining > 0 or (taker.by_quote and st.budget > 0)):
        if other.best == NONE:
            return BOOK_EXHAUSTED
        price = level_price(1 - want.side, st.levels[other.best].key)
        reason = stopped_at(&want, &bounds, price)
        if reason:
            return reason
        first = st.levels[other.best].head
        lots = affordable(st, book, taker, first, price)
        if lots == 0:
            return QUOTE_QUANTITY_TOO_SMALL
        if want.self_trade and prevented(
                &want, &st.orders[first],
                order_special(st, &st.orders[first]) if st.orders[first].marked else NULL):
            prevent(st, slot, first, want.self_trade, lots)
        else:
            if book.clears & FUNDED and taker.by_quote:
                lots = fundable(st, book, taker, price, lots)
                if lots == 0:
                    return FUNDS_EXHAUSTED
            trade(st, book, slot, first, price, lots)
    return 0


cdef int64_t affordable(State *st, Book *book, const Order *taker, uint32_t first,
                        int64_t price) noexcept nogil:
    """Lots that the taker takes of this maker."""
    cdef int64_t shown = st.orders[first].remaining
    cdef i128 whole
    if not taker.by_quote:
        return min(shown, taker.remaining)
    whole = st.budget // (<i128>price * book.quote_units)
    shown = min(shown, TOTAL_MAX - st.extras[taker.extra].filled)
    return shown if whole > shown else <int64_t>whole


cdef void trade(State *st, Book *book, uint32_t taker_slot, uint32_t slot, int64_t price,
                int64_t lots) noexcept nogil:
    """A trade at the maker's price, and what follows at once."""
    cdef Order *maker = &st.orders[slot]
    cdef Order *taker = &st.orders[taker_slot]
    cdef uint32_t one = partner_of(st, slot), other = partner_of(st, taker_slot)
    CHECK(lots > 0 and lots <= maker.remaining)
    trade_event_of(event_room(st, slot), maker, <Taker *>taker, st.seq, TRADE, st.trade_index,
                   price, lots, order_unfilled(st, maker) - lots)
    keep_trade(st, book, maker, taker, price, lots, False)
    clear_trade(st, book, maker, taker, price, lots, order_price(st, maker),
                order_price(st, taker), False)
    st.trade_index += 1
    fill(st, book, slot, price, lots)
    fill(st, book, taker_slot, price, lots)
    take_off(st, slot, lots)
    if taker.by_quote:
        st.budget -= <i128>price * lots * book.quote_units
        book.entered += lots
    else:
        taker.remaining -= lots
    book.filled += 2 * <i128>lots
    book.volume += lots
    book.trades_total += 1
    book.last_price = price
    touch(st, book)
    st.traded_low = min(st.traded_low, price) if st.traded else price
    st.traded_high = max(st.traded_high, price) if st.traded else price
    st.traded = 1
    if one != NONE or other != NONE:
        unpair(st, slot)
        unpair(st, taker_slot)
    maker_traded(st, slot)
    if one != NONE or other != NONE:
        cancel_partner(st, one)
        cancel_partner(st, other)


# --- self-trade prevention ------------------------------------------------------------------

cdef void prevent(State *st, uint32_t taker, uint32_t maker, int mode, int64_t lots) noexcept nogil:
    """Do what the taker's mode says, instead of a trade of `lots`."""
    if mode == DECREMENT:
        decrement(st, maker, lots)
        if st.taking == taker:
            decrement(st, taker, lots)
        return
    if mode == CANCEL_OLDEST or mode == CANCEL_BOTH:
        end(st, maker, SELF_TRADE_PREVENTED)
    if (mode == CANCEL_NEWEST or mode == CANCEL_BOTH) and st.taking == taker:
        end(st, taker, SELF_TRADE_PREVENTED)


cdef void decrement(State *st, uint32_t slot, int64_t lots) noexcept nogil:
    """Take lots off an order; one that has no others ends."""
    cdef Order *order = &st.orders[slot]
    if lots == order_unfilled(st, order):
        end(st, slot, SELF_TRADE_PREVENTED)
        return
    st.books[order.instrument].entered -= lots
    touch(st, &st.books[order.instrument])
    release(st, &st.books[order.instrument], order, order_price(st, order), lots)
    take_off(st, slot, lots)
    touch_order(st, slot)
    tell(st, ORDER_AMENDED, slot, SELF_TRADE_PREVENTED)
    refresh(st, slot)
