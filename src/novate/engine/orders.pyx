# cython: language_level=3
"""PLACE and AMEND where anything is special: the order, its instrument or the venue.

Form, key, client and id have been looked at by the conductor, which does all of the rest itself
where nothing is special.
"""

from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t

from novate.engine.due cimport next_daily
from novate.engine.form cimport quote_budget
from novate.engine.limits cimport (
    Asked, asked_of, refused_by_size, refused_reentry, refuses,
)
from novate.engine.book cimport touch, would_cross
from novate.engine.registry cimport client_order_opened, find_order, hash_id, index_order
from novate.engine.special cimport (
    can_rest, close, end, expiry_set, has_limit, pair, partner_of, remove, session_join,
    special_of, special_trim, take_off, tell, touch_order, watch,
)
from novate.engine.state cimport (
    AT_LEVEL, CLOSED, NONE, NUMBERS_MAX, REJECTED, WAITING,
    Book, Level, Order, Special, State, Taker, i128,
    copy_identity, event_of, event_room, order_filled, order_new, order_price, order_special,
    order_unfilled, rules_of,
)
from novate.engine.steps cimport enter
from novate.model.records cimport (
    AMEND_LEVEL_FULL, AMEND_NOT_APPLICABLE, AMEND_QUANTITY_TOO_LOW, AMEND_WOULD_CROSS, BY_QUOTE,
    CANCEL_ONLY, CANCEL_ONLY_PHASE, CLOSED_PHASE, CLOSED_REASON, DAY, EXPIRES_IN_PAST, EXTENDED,
    GTD, HALT, HALTED, ID_NUMBER, LINK_NONE, LINK_NOT_OPEN, LINK_ONE_CANCELS_OTHER,
    LINK_REPLACES, LINK_TAKEN, ORDER_ACCEPTED, ORDER_AMENDED, ORDER_REJECTED, POST_ONLY,
    REPLACED, SETS_DISPLAY, SETS_EXPIRY, SETS_SELF_TRADE, SETS_STOP_PRICE, SET_PRICE,
    SET_QUANTITY, STOP_LIMIT, Command, Extension, extension_of,
)


# --- place ----------------------------------------------------------------------------------

cdef void place_watched(State *st, const Command *command, const uint8_t *text,
                        uint32_t client) noexcept nogil:
    """Carry out a PLACE; `st.taker` has the order's identity, its name included."""
    cdef const Extension *more = extension_of(command)
    cdef Book *book = &st.books[command.instrument]
    cdef uint32_t linked = NONE, slot
    cdef int reason = 0
    cdef Asked asked
    if more.link_use != LINK_NONE:
        linked = linked_order(st, command, text, client)
        if linked == NONE:
            reason = LINK_NOT_OPEN
        elif more.link_use == LINK_REPLACES:
            end(st, linked, REPLACED)
        elif partner_of(st, linked) != NONE:
            reason = LINK_TAKEN
    slot = order_made(st, book, command, more)
    st.current = slot
    if not reason:
        asked_of(st, slot, &asked)
        if more.link_use == LINK_ONE_CANCELS_OTHER:
            asked.want.partner = linked
        reason = refuses(st, book, &asked)
    client_order_opened(st, slot)
    index_order(st, st.taker.id_kind, st.taker.id, slot)
    placed(st, command, slot, reason)
    if reason:
        close(st, slot, REJECTED, reason)
        return
    book.entered += st.orders[slot].remaining
    if more.session:
        session_join(st, slot)
    if more.link_use == LINK_ONE_CANCELS_OTHER:
        pair(st, slot, linked)
    enter(st, slot)


cdef uint32_t linked_order(State *st, const Command *command, const uint8_t *text,
                           uint32_t client) noexcept nogil:
    """The open order of the same client and instrument that a new order names, or NONE."""
    cdef const Extension *more = extension_of(command)
    cdef const uint8_t *name = text + command.order_id_length + command.client_id_length
    cdef uint32_t hashed = 0, found
    if more.link_kind != ID_NUMBER or more.link_number >= NUMBERS_MAX:
        hashed = hash_id(st, more.link_kind, name, more.link_length, more.link_number)
    found = find_order(st, more.link_kind, name, more.link_length, more.link_number, hashed)
    if found & CLOSED:  # or NONE
        return NONE
    if st.orders[found].client != client or st.orders[found].instrument != command.instrument:
        return NONE
    return found


cdef uint32_t order_made(State *st, Book *book, const Command *command,
                         const Extension *more) noexcept nogil:
    """A slot with the order that a command asks for, which stands nowhere yet."""
    cdef uint32_t slot = order_new(st)
    cdef Order *order = &st.orders[slot]
    cdef Special *special
    copy_identity(order, &st.taker)
    order.remaining = command.quantity_lots
    order.extra = NONE
    order.level = NONE
    st.links[slot].next = NONE
    st.links[slot].prev = NONE
    special = special_of(st, slot)
    special.price = command.price_ticks
    special.stop_price = more.stop_price_ticks
    special.display = more.display_lots
    special.minimum = more.minimum_lots
    special.expire_ns = more.expire_ns
    special.group = more.group
    special.session = more.session
    special.self_trade = more.self_trade
    if command.time_in_force == DAY:
        special.expire_ns = next_daily(st.time_ns, rules_of(st, book).session_end_ns)
    if command.flags & BY_QUOTE:
        st.asked_units = quote_budget(command)
        st.budget = st.asked_units
    return slot


cdef void placed(State *st, const Command *command, uint32_t slot, int reason) noexcept nogil:
    """The order is accepted, or rejected for a reason."""
    cdef int64_t lots = command.quantity_lots
    cdef uint32_t flags = command.flags & (POST_ONLY | BY_QUOTE | EXTENDED)
    event_of(event_room(st, slot), &st.orders[slot], st.seq,
             ORDER_REJECTED if reason else ORDER_ACCEPTED, reason | flags << 8,
             command.price_ticks, lots, 0 if reason else lots)


# --- amend ----------------------------------------------------------------------------------

cdef int amend_watched(State *st, const Command *command, uint32_t slot) noexcept nogil:
    """Carry out an AMEND of an open order; 0, or why it is refused and all is as it was."""
    cdef Order *order = &st.orders[slot]
    cdef Special *special = special_of(st, slot)
    cdef Book *book = &st.books[order.instrument]
    cdef Asked wanted
    cdef int64_t total
    cdef bint keeps
    cdef int reason
    asked_of(st, slot, &wanted)
    st.price_before = wanted.want.price
    total = wanted.total
    keeps = wanted_of(command, extension_of(command), &wanted)
    wanted.want.lots = wanted.total - (total - order_unfilled(st, order))
    reason = amend_refused(st, book, command, slot, &wanted, keeps)
    if reason:
        special_trim(st, slot)
        return reason
    st.current = slot
    touch(st, book)
    book.entered += wanted.total - total
    if keeps:
        lower(st, slot, total - wanted.total)
    else:
        remove(st, slot)
        special.rank = st.seq
        order.remaining = wanted.want.lots
    special.price = wanted.want.price
    special.stop_price = wanted.stop_price
    special.display = wanted.display
    special.self_trade = wanted.want.self_trade
    if special.expire_ns != wanted.expire_ns:
        special.expire_ns = wanted.expire_ns
        expiry_set(st, slot)
    touch_order(st, slot)
    tell(st, ORDER_AMENDED, slot, 0)
    if keeps:
        special_trim(st, slot)
    else:
        enter(st, slot)
    watch(book)
    return 0


cdef bint wanted_of(const Command *command, const Extension *more, Asked *wanted) noexcept nogil:
    """Make it the order that an amendment asks for; whether it keeps its place."""
    cdef Asked was = wanted[0]
    if command.flags & SET_PRICE:
        wanted.want.price = command.price_ticks
    if command.flags & SET_QUANTITY:
        wanted.total = command.quantity_lots
    if more.sets & SETS_STOP_PRICE:
        wanted.stop_price = more.stop_price_ticks
    if more.sets & SETS_DISPLAY:
        wanted.display = more.display_lots
    if more.sets & SETS_EXPIRY:
        wanted.expire_ns = more.expire_ns
    if more.sets & SETS_SELF_TRADE:
        wanted.want.self_trade = more.self_trade
    return (
        wanted.want.price == was.want.price and wanted.stop_price == was.stop_price
        and wanted.display == was.display and wanted.total <= was.total)


cdef int amend_refused(State *st, Book *book, const Command *command, uint32_t slot,
                       const Asked *wanted, bint keeps) noexcept nogil:
    """Why an open order may not become this, or 0."""
    cdef const Extension *more = extension_of(command)
    cdef Order *order = &st.orders[slot]
    cdef bint waits = order_special(st, order).where == WAITING
    cdef int reason
    if book.phase == CLOSED_PHASE:
        return CLOSED_REASON
    if book.phase == CANCEL_ONLY_PHASE:
        return CANCEL_ONLY
    if (command.flags & SET_PRICE and not has_limit(order)) or (
            more.sets & SETS_STOP_PRICE and not waits) or (
            more.sets & SETS_DISPLAY and not can_rest(order)) or (
            more.sets & SETS_EXPIRY and order.time_in_force != GTD):
        return AMEND_NOT_APPLICABLE
    if wanted.want.lots <= 0:
        return AMEND_QUANTITY_TOO_LOW
    if book.phase == HALT and not keeps:
        return HALTED
    if more.sets & SETS_EXPIRY and wanted.expire_ns <= st.time_ns:
        return EXPIRES_IN_PAST
    if keeps:
        return 0
    reason = refused_by_size(st, book, wanted)
    if reason or waits:
        return reason
    if order.post_only and book.phase == 0 and would_cross(
            st, book, order.side, wanted.want.price):
        return AMEND_WOULD_CROSS
    return AMEND_LEVEL_FULL if refused_reentry(st, book, wanted, slot) else 0


cdef void lower(State *st, uint32_t slot, int64_t lots) noexcept nogil:
    """Take lots off an order that keeps its place, hidden ones first."""
    cdef Order *order = &st.orders[slot]
    cdef Special *special = order_special(st, order)
    cdef int64_t hidden = min(lots, special.hidden)
    if hidden:
        special.hidden -= hidden
        st.levels[order.level].hidden -= hidden
        st.books[order.instrument].open -= hidden
    if lots > hidden:
        take_off(st, slot, lots - hidden)
