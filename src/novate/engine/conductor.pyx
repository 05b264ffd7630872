# cython: language_level=3
"""The conductor: it alone knows registry and book, and orders them for each command.

A command's checks come in a fixed order: its form and bounds, its idempotency key, its client, its
order id, and last the rules of the book. What refuses leaves everything as it was, but for the key,
which remembers the refusal from the client check on.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from novate.engine.book cimport (
    Place, can_fill, find_place, match_lots, match_quote, reduce, rest, rest_refusal, touch,
    unlink, would_cross,
)
from novate.engine.registry cimport (
    client_add, client_number, client_order_created, client_order_opened, evict_closed,
    expire_keys, find_key, find_order, hash_id, index_order, key_add, key_room, order_closed,
)
from novate.engine.state cimport (
    ALREADY_CLOSED, AMEND, AMEND_LEVEL_FULL, AMEND_QUANTITY_TOO_LOW, AMEND_WOULD_CROSS,
    BOOK_EXHAUSTED, BY_CLIENT, BY_QUOTE, CANCEL, CLIENTS_LIMIT, COMMAND_REFUSED,
    DUPLICATE_ORDER_ID, ENDED, FILLED, FILL_OR_KILL, FOK, GTC, HAS_KEY, ID_NUMBER, ID_TEXT,
    IDEMPOTENCY_KEY_REPEATED, IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_WINDOW_FULL, ID_UUID,
    IMMEDIATE_OR_CANCEL, IOC, LIMIT, MALFORMED_COMMAND, MARKET, MASS_CANCEL, MASS_CANCELLED,
    MASS_CANCEL_REASON, NONE, OPEN_ORDERS_LIMIT, ORDER_ACCEPTED, ORDER_AMENDED, ORDER_ENDED,
    ORDER_REJECTED, OUT_OF_BOUNDS, PLACE, POST_ONLY, POST_ONLY_WOULD_CROSS, PRICE_LEVELS_LIMIT,
    REJECTED, SET_PRICE,
    SET_QUANTITY, SNAPSHOT_REQUESTED, TAKE_SNAPSHOT, UNKNOWN_INSTRUMENT, UNKNOWN_ORDER, WORKING,
    Book, Command, Event, Extra, Key, Order, State, i128,
    event_new, level_price, name_new, order_extra, order_filled, order_new, order_number,
    order_shape,
)

cdef uint32_t ANY_INSTRUMENT = 0xFFFFFFFFU
cdef int ANY_SIDE = 255


# --- pieces that every command uses ---------------------------------------------------------

cdef Event *refuse(State *st, int reason, uint32_t slot) noexcept nogil:
    """Emit COMMAND_REFUSED, about the order in `slot` if there is one."""
    cdef Event *event = event_new(st, COMMAND_REFUSED, slot)
    cdef Order *order
    event.reason = reason
    if slot != NONE:
        order = &st.orders[slot]
        event.side = order.side
        event.order_type = order.order_type
        event.time_in_force = order.time_in_force
        event.instrument = order.instrument
        event.order = order_number(order)
        event.client = order.client
        event.price_ticks = order.price
        event.quantity_lots = order.remaining + order_filled(st, order)
        event.remaining_lots = order.remaining if order.state == WORKING else 0
    return event


cdef bint admit(State *st, Command *command, const uint8_t *client_id,
                uint32_t *client) noexcept nogil:
    """Check and note the command's key, and find or add its client; False if it was refused."""
    cdef Key *key
    cdef uint32_t number = client_number(st, client_id, command.client_id_length, command.client)
    if command.flags & HAS_KEY:
        key = find_key(st, command.key_digest)
        if key != NULL:
            st.repeat_seq = key.seq
            refuse(st, IDEMPOTENCY_KEY_REPEATED if key.command_digest == command.command_digest
                   else IDEMPOTENCY_KEY_REUSED, NONE)
            return False
        if not key_room(st, number):
            refuse(st, IDEMPOTENCY_WINDOW_FULL, NONE)
            return False
    if number == NONE:
        if command.client_id_length:
            number = client_add(st, client_id, command.client_id_length)
        elif command.client < st.clients_max:
            while st.clients_count <= command.client:
                number = client_add(st, client_id, 0)
        if number == NONE:
            refuse(st, CLIENTS_LIMIT, NONE)
            return False
    if command.flags & HAS_KEY:
        key_add(st, command.key_digest, command.command_digest, number, st.seq, st.time_ns)
        st.key_noted = 1
    client[0] = number
    return True


cdef void book_check(State *st, Book *book) noexcept nogil:
    """The invariants that cost nothing: conservation of lots, and a book that is not crossed."""
    cdef int64_t bid, ask
    if book.entered != book.filled + book.open + book.ended:
        st.violation = 1
    if book.sides[0].count and book.sides[1].count:
        bid = book.sides[0].levels[book.sides[0].count - 1].key
        ask = -book.sides[1].levels[book.sides[1].count - 1].key
        if bid >= ask:
            st.violation = 2


cdef void order_event(State *st, Event *event, Order *order) noexcept nogil:
    """Fill in what every event about an order says of it."""
    event.side = order.side
    event.order_type = order.order_type
    event.time_in_force = order.time_in_force
    event.instrument = order.instrument
    event.order = order_number(order)
    event.client = order.client
    event.price_ticks = order.price


cdef void end_order(State *st, Book *book, uint32_t slot, int reason) noexcept nogil:
    """End an order with what it has left: its event, its place in the closed window."""
    cdef Order *order = &st.orders[slot]
    cdef Extra *extra = order_extra(st, order)
    cdef Event *event = event_new(st, ORDER_ENDED, slot)
    extra.reason = reason
    extra.updated_seq = st.seq
    extra.updated_us = st.time_us
    order_event(st, event, order)
    event.reason = reason
    event.quantity_lots = order.remaining
    book.ended += order.remaining
    order_closed(st, slot, ENDED)


# --- place ----------------------------------------------------------------------------------

cdef i128 quote_budget(Command *command) noexcept nogil:
    return (<i128>command.quote_units_high << 64) + <i128>command.quote_units_low


cdef bint id_sound(Command *command) noexcept nogil:
    """Whether the order id has the length its kind asks for, and the client id fits."""
    if command.client_id_length > 64:
        return False
    if command.order_id_kind == ID_NUMBER:
        return command.order_id_length == 0
    if command.order_id_kind == ID_UUID:
        return command.order_id_length == 16
    return command.order_id_kind == ID_TEXT and 1 <= command.order_id_length <= 64


cdef int place_fault(State *st, Command *command) noexcept nogil:
    """0, or why this record can't be an order: what a gateway refuses before it is journaled."""
    cdef Book *book
    if command.side > 1 or command.order_type > MARKET or command.time_in_force > FOK:
        return MALFORMED_COMMAND
    if command.instrument >= st.books_count:
        return UNKNOWN_INSTRUMENT
    if not id_sound(command):
        return MALFORMED_COMMAND
    book = &st.books[command.instrument]
    if command.order_type == LIMIT:
        if command.flags & BY_QUOTE:
            return MALFORMED_COMMAND
        if not 1 <= command.price_ticks <= book.price_max:
            return OUT_OF_BOUNDS
    elif command.price_ticks != 0 or command.flags & POST_ONLY:
        return MALFORMED_COMMAND
    if command.flags & POST_ONLY and command.time_in_force != GTC:
        return MALFORMED_COMMAND
    if command.flags & BY_QUOTE:
        if command.quantity_lots != 0 or command.time_in_force == FOK:
            return MALFORMED_COMMAND
        if command.quote_units_high < 0 or quote_budget(command) == 0:
            return OUT_OF_BOUNDS
        return 0
    if not book.lots_min <= command.quantity_lots <= book.lots_max:
        return OUT_OF_BOUNDS
    return 0


cdef uint32_t make_order(State *st, Command *command, const uint8_t *text, uint32_t hashed,
                         uint32_t client) noexcept nogil:
    """The order of a PLACE: named, indexed and in its client's list, not in the book."""
    cdef uint32_t slot = order_new(st)
    cdef Order *order = &st.orders[slot]
    order.price = command.price_ticks
    order.remaining = command.quantity_lots
    order_shape(order, st.seq, command.instrument, st.time_us, command.side, command.order_type,
                command.time_in_force, command.flags & POST_ONLY, command.order_id_kind,
                (command.flags & BY_QUOTE) != 0)
    if command.order_id_kind == ID_NUMBER:
        order.id = command.order_number
    else:
        order.id = name_new(st, command.order_id_kind, text, command.order_id_length,
                            <uint64_t>hashed << 32)
    order.next = NONE
    order.prev = NONE
    order.client = client
    order.open_next = slot
    order.open_prev = slot
    index_order(st, slot)
    client_order_created(st, slot)
    st.current = slot
    return slot


cdef int book_refusal(State *st, Book *book, Command *command, Place *place) noexcept nogil:
    """0, or the rule of the book that refuses this order; nothing has changed yet.

    Where the order may rest, `place` is left with where in its own side that would be.
    """
    cdef int reason
    if command.order_type != LIMIT or command.time_in_force != GTC:
        return 0
    find_place(book, command.side, command.price_ticks, place)
    if command.flags & POST_ONLY and would_cross(book, command.side, command.price_ticks):
        return POST_ONLY_WOULD_CROSS
    if st.open_count >= st.open_max:
        reason = OPEN_ORDERS_LIMIT
    else:
        reason = rest_refusal(st, book, command.side, place, command.quantity_lots)
    if reason and can_fill(book, command.side, False, command.price_ticks, command.quantity_lots):
        return 0
    return reason


cdef void placed_event(State *st, uint32_t slot, int kind, Command *command,
                       int reason) noexcept nogil:
    cdef Event *event = event_new(st, kind, slot)
    order_event(st, event, &st.orders[slot])
    event.flags = command.flags & (POST_ONLY | BY_QUOTE)
    event.reason = reason
    event.quantity_lots = command.quantity_lots
    event.remaining_lots = command.quantity_lots if kind == ORDER_ACCEPTED else 0


cdef void place(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """PLACE: see the module's order of checks; then match, and rest or end."""
    cdef uint32_t client = NONE, slot, hashed, existing
    cdef Book *book
    cdef Place at
    cdef int reason = place_fault(st, command)
    if reason:
        refuse(st, reason, NONE)
        return
    if not admit(st, command, text + command.order_id_length, &client):
        return
    hashed = hash_id(st, command.order_id_kind, text, command.order_id_length,
                     command.order_number)
    existing = find_order(st, command.order_id_kind, text, command.order_id_length,
                          command.order_number, hashed)
    if existing != NONE:
        refuse(st, DUPLICATE_ORDER_ID, existing)
        return
    book = &st.books[command.instrument]
    reason = book_refusal(st, book, command, &at)
    slot = make_order(st, command, text, hashed, client)
    if reason:
        order_extra(st, &st.orders[slot]).reason = reason
        placed_event(st, slot, ORDER_REJECTED, command, reason)
        order_closed(st, slot, REJECTED)
        return
    placed_event(st, slot, ORDER_ACCEPTED, command, 0)
    if command.flags & BY_QUOTE:
        trade_by_quote(st, book, slot, command)
    else:
        trade_by_lots(st, book, slot, &at)
    book_check(st, book)


cdef void trade_by_lots(State *st, Book *book, uint32_t slot, Place *at) noexcept nogil:
    """Match an accepted order and settle what becomes of its rest."""
    cdef Order *order = &st.orders[slot]
    cdef bint market = order.order_type == MARKET
    book.entered += order.remaining
    if order.time_in_force == FOK and not can_fill(book, order.side, market, order.price,
                                                   order.remaining):
        end_order(st, book, slot, FILL_OR_KILL)
        return
    match_lots(st, book, slot, market)
    order = &st.orders[slot]
    if st.trade_index:
        touch(st, book)
    if order.remaining == 0:
        order_closed(st, slot, FILLED)
    elif market:
        end_order(st, book, slot, BOOK_EXHAUSTED)
    elif order.time_in_force != GTC:
        end_order(st, book, slot, IMMEDIATE_OR_CANCEL)
    else:
        touch(st, book)
        rest(st, book, slot, at)
        book.open += order.remaining
        client_order_opened(st, slot)


cdef void trade_by_quote(State *st, Book *book, uint32_t slot, Command *command) noexcept nogil:
    """Match an accepted market order that gives a quote quantity."""
    cdef i128 budget = quote_budget(command)
    cdef int reason
    order_extra(st, &st.orders[slot]).quote_units = budget
    reason = match_quote(st, book, slot, budget)
    if st.trade_index:
        touch(st, book)
    if reason:
        end_order(st, book, slot, reason)
    else:
        order_closed(st, slot, FILLED)


# --- cancel, amend, mass cancel -------------------------------------------------------------

cdef uint32_t find_named(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """Slot of the order a command names, or NONE."""
    return find_order(st, command.order_id_kind, text, command.order_id_length,
                      command.order_number,
                      hash_id(st, command.order_id_kind, text, command.order_id_length,
                              command.order_number))


cdef uint32_t named_order(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """Slot of the working order a command names; NONE if that was refused or not admitted."""
    cdef uint32_t slot, client
    if not id_sound(command):
        refuse(st, MALFORMED_COMMAND, NONE)
        return NONE
    if command.flags & HAS_KEY and not admit(st, command, text + command.order_id_length, &client):
        return NONE
    slot = find_named(st, command, text)
    if slot == NONE:
        refuse(st, UNKNOWN_ORDER, NONE)
        return NONE
    if st.orders[slot].state != WORKING:
        refuse(st, ALREADY_CLOSED, slot)
        return NONE
    return slot


cdef void take_out(State *st, uint32_t slot, int reason) noexcept nogil:
    """Take a resting order out of its book and end it."""
    cdef Book *book = &st.books[st.orders[slot].instrument]
    touch(st, book)
    unlink(st, book, slot)
    book.open -= st.orders[slot].remaining
    end_order(st, book, slot, reason)
    book_check(st, book)


cdef void cancel(State *st, Command *command, const uint8_t *text) noexcept nogil:
    cdef uint32_t slot = named_order(st, command, text)
    if slot != NONE:
        st.current = slot
        take_out(st, slot, BY_CLIENT)


cdef int amend_refusal(State *st, Book *book, Order *order, int64_t price, int64_t total,
                       bint keeps_place) noexcept nogil:
    """0, or why the order can't become this; nothing has changed yet."""
    cdef int64_t remaining = total - order_filled(st, order)
    cdef int refusal
    cdef Place at
    if remaining <= 0:
        return AMEND_QUANTITY_TOO_LOW
    if keeps_place:
        return 0
    if order.post_only and would_cross(book, order.side, price):
        return AMEND_WOULD_CROSS
    find_place(book, order.side, price, &at)
    if price == order.price:
        refusal = rest_refusal(st, book, order.side, &at, remaining - order.remaining)
    else:
        refusal = rest_refusal(st, book, order.side, &at, remaining)
        if refusal == PRICE_LEVELS_LIMIT and alone_at_level(order):
            refusal = 0
    if refusal and can_fill(book, order.side, False, price, remaining):
        refusal = 0
    return AMEND_LEVEL_FULL if refusal else 0


cdef bint alone_at_level(Order *order) noexcept nogil:
    """Whether a resting order is the only one of its level."""
    return order.next == NONE and order.prev == NONE


cdef bint amend_in_bounds(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """Whether price and quantity are within the bounds of the order's instrument, if known."""
    cdef uint32_t slot = find_named(st, command, text)
    cdef Book *book
    if slot == NONE or st.orders[slot].state != WORKING:
        return True
    book = &st.books[st.orders[slot].instrument]
    if command.flags & SET_PRICE and not 1 <= command.price_ticks <= book.price_max:
        return False
    return not command.flags & SET_QUANTITY or (
        book.lots_min <= command.quantity_lots <= book.lots_max)


cdef void amend(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """AMEND: down in place; anything else leaves the book and enters it anew."""
    cdef uint32_t slot
    cdef Order *order
    cdef Book *book
    cdef int64_t price, total, remaining
    cdef bint keeps_place
    cdef int reason
    if not command.flags & (SET_PRICE | SET_QUANTITY) or not id_sound(command):
        refuse(st, MALFORMED_COMMAND, NONE)
        return
    if not amend_in_bounds(st, command, text):
        refuse(st, OUT_OF_BOUNDS, find_named(st, command, text))
        return
    slot = named_order(st, command, text)
    if slot == NONE:
        return
    order = &st.orders[slot]
    book = &st.books[order.instrument]
    price = command.price_ticks if command.flags & SET_PRICE else order.price
    total = order.remaining + order_filled(st, order)
    if command.flags & SET_QUANTITY:
        total = command.quantity_lots
    remaining = total - order_filled(st, order)
    keeps_place = price == order.price and remaining <= order.remaining
    reason = amend_refusal(st, book, order, price, total, keeps_place)
    if reason:
        refuse(st, reason, slot)
        return
    st.current = slot
    st.price_before = order.price
    touch(st, book)
    book.entered += remaining - order.remaining
    if keeps_place:
        book.open += remaining - order.remaining
        if remaining < order.remaining:
            reduce(st, book, slot, order.remaining - remaining)
        amended_event(st, slot, total)
    else:
        reenter(st, book, slot, price, remaining, total)
    book_check(st, book)


cdef void amended_event(State *st, uint32_t slot, int64_t total) noexcept nogil:
    cdef Order *order = &st.orders[slot]
    cdef Extra *extra = order_extra(st, order)
    cdef Event *event = event_new(st, ORDER_AMENDED, slot)
    extra.updated_seq = st.seq
    extra.updated_us = st.time_us
    order_event(st, event, order)
    event.quantity_lots = total
    event.remaining_lots = order.remaining


cdef void reenter(State *st, Book *book, uint32_t slot, int64_t price, int64_t remaining,
                  int64_t total) noexcept nogil:
    """The order loses its place: out of the book, changed, matched, to the back of the queue."""
    cdef Order *order = &st.orders[slot]
    cdef Place at
    unlink(st, book, slot)
    book.open -= order.remaining
    order.price = price
    order.remaining = remaining
    amended_event(st, slot, total)
    match_lots(st, book, slot, False)
    order = &st.orders[slot]
    if order.remaining == 0:
        order_closed(st, slot, FILLED)
    else:
        find_place(book, order.side, price, &at)
        rest(st, book, slot, &at)
        book.open += order.remaining


cdef void mass_cancel(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """MASS_CANCEL: every open order of a client, the newest first, by instrument and side."""
    cdef uint32_t client, slot, after
    cdef int64_t count = 0
    cdef Order *order
    cdef Event *event
    cdef const uint8_t *client_id = text + command.order_id_length
    if (command.side > 1 and command.side != ANY_SIDE) or command.client_id_length > 64:
        refuse(st, MALFORMED_COMMAND, NONE)
        return
    if command.flags & HAS_KEY and not admit(st, command, client_id, &client):
        return
    client = client_number(st, client_id, command.client_id_length, command.client)
    slot = NONE if client == NONE else st.clients[client].newest_open
    while slot != NONE:
        order = &st.orders[slot]
        after = order.open_next
        if (command.instrument == ANY_INSTRUMENT or order.instrument == command.instrument) and (
                command.side == ANY_SIDE or order.side == command.side):
            take_out(st, slot, MASS_CANCEL_REASON)
            count += 1
        slot = after
    event = event_new(st, MASS_CANCELLED, NONE)
    event.client = 0 if client == NONE else client
    event.quantity_lots = count


# --- dispatch -------------------------------------------------------------------------------

cdef void apply_command(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """Apply one command of the hot kinds; its events are appended to `st.events`.

    `st.seq` and the times are set by the caller, who calls `finish_command` when it has looked at
    what the command did. CREATE_INSTRUMENT and CONFIGURE are the engine's own matter.
    """
    st.trade_index = 0
    st.current = NONE
    st.repeat_seq = 0
    st.price_before = 0
    st.key_noted = 0
    expire_keys(st)
    if command.kind == PLACE:
        place(st, command, text)
    elif command.kind == CANCEL:
        cancel(st, command, text)
    elif command.kind == AMEND:
        amend(st, command, text)
    elif command.kind == MASS_CANCEL:
        mass_cancel(st, command, text)
    elif command.kind == TAKE_SNAPSHOT:
        event_new(st, SNAPSHOT_REQUESTED, NONE)
    else:
        refuse(st, MALFORMED_COMMAND, NONE)


cdef void finish_command(State *st) noexcept nogil:
    """Bring the closed window back to its size, once nobody looks at the command any more."""
    evict_closed(st)
