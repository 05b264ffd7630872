# cython: language_level=3
"""The conductor: it alone knows registry and book, and orders them for each command.

A command's checks come in a fixed order: its form and bounds, its idempotency key, its client, its
order id, and last the rules of the book. What refuses leaves everything as it was, but for the key,
which remembers the refusal from the client check on.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from novate.engine.accounts cimport FUNDED, WIDE, new_refusal, rehold, release, too_worthy
from novate.engine.book cimport (
    book_check, can_fill, match_lots, match_quote, order_closed, reduce, rest, rest_refusal,
    taker_closed, touch, unlink, would_cross,
)
from novate.engine.clearing cimport funds_malformed, move_funds, set_mark, set_tier
from novate.engine.cycles cimport move_settlement, set_cutoff, settle
from novate.engine.form cimport (
    amend_in_bounds, amend_malformed, id_sound, place_fault_found, quote_budget,
)
from novate.engine.guard cimport amendment_passes, passes
from novate.engine.ladder cimport level_find
from novate.engine.lookahead cimport Lookahead, look_begin, look_on
from novate.engine.plain cimport follow, plain_book, rest_plain, rest_taker
from novate.engine.registry cimport (
    client_add, client_number, expire_keys, find_key,
    find_order, key_add, key_room, named_hash,
)
from novate.engine.orders cimport amend_watched, place_watched
from novate.engine.special cimport end, end_client
from novate.engine.state cimport (
    CLOSED, ENDED, FILLED, NONE, NO_KEY, NUMBERS_MAX, REJECTED, WATCH_ALL,
    Book, BookSide, Closed, Extra, Key, Level, Order, State, Taker, i128,
    closed_at, copy_identity, event_new, event_of, event_room, key_of, likely,
    name_new, order_extra, order_filled, order_free, order_price, order_unfilled,
    plain_place, taker_of, unlikely,
)
from novate.engine.steps cimport carry_out
from novate.engine.venue cimport (
    adopt_rules, advance_time, cancel_after, kill, session_close, session_open, sessions_lost,
    set_phase, skip_command, take_snapshot,
)
from novate.model.records cimport (
    ALREADY_CLOSED, AMEND, AMEND_LEVEL_FULL, AMEND_QUANTITY_TOO_LOW, AMEND_WOULD_CROSS,
    BOOK_EXHAUSTED, BY_CLIENT, BY_QUOTE, CLIENTS_LIMIT, COMMAND_REFUSED, CONFIGURE,
    CREATE_INSTRUMENT, DUPLICATE_ORDER_ID, FILL_OR_KILL, FOK, GTC, HAS_KEY, ID_NUMBER,
    IDEMPOTENCY_KEY_REPEATED, IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_WINDOW_FULL, IMMEDIATE_OR_CANCEL,
    IOC, LIMIT, MALFORMED_COMMAND, MARKET, MASS_CANCEL, MASS_CANCELLED, MASS_CANCEL_REASON,
    OPEN_ORDERS_LIMIT, ORDER_ACCEPTED, ORDER_AMENDED, ORDER_ENDED, ORDER_REJECTED, OUT_OF_BOUNDS,
    PLACE, POST_ONLY, POST_ONLY_WOULD_CROSS, PRICE_LEVELS_LIMIT, SET_PRICE, SET_QUANTITY,
    UNKNOWN_INSTRUMENT, UNKNOWN_ORDER, EXTENDED, Command, Event, command_size, head_size,
)

cdef uint32_t ANY_INSTRUMENT = 0xFFFFFFFFU
cdef int ANY_SIDE = 255
cdef int64_t ANY_KEY = NO_KEY + 1


# --- pieces that every command uses ---------------------------------------------------------

cdef Event *refuse(State *st, int reason, uint32_t about) noexcept nogil:
    """Emit COMMAND_REFUSED, about the order that stands there if there is one."""
    cdef Event *event = event_new(st, COMMAND_REFUSED, about)
    cdef Order *order
    event.reason = reason
    if about == NONE:
        return event
    if about & CLOSED:
        about_closed(st, event, closed_at(st, about), reason)
        return event
    order = &st.orders[about]
    event_of(event, order, st.seq, COMMAND_REFUSED, reason, order_price(st, order),
             order_unfilled(st, order) + order_filled(st, order), order_unfilled(st, order))
    return event


cdef void about_closed(State *st, Event *event, Closed *order, int reason) noexcept nogil:
    """Make it a refusal about a closed order."""
    if order.by_quote:
        event_of(event, <Order *>order, st.seq, COMMAND_REFUSED, reason, 0, order.filled, 0)
    else:
        event_of(event, <Order *>order, st.seq, COMMAND_REFUSED, reason, order.price,
                 order.filled + order.remaining, 0)


cdef inline bint admit(State *st, Command *command, const uint8_t *client_id,
                       uint32_t *client) noexcept nogil:
    """Check and note the command's key, and find or add its client; False if it was refused."""
    if likely(command.client_id_length == 0 and not command.flags & HAS_KEY
              and command.client < st.clients_count):
        client[0] = command.client
        return True
    return admit_named(st, command, client_id, client)


cdef bint admit_named(State *st, Command *command, const uint8_t *client_id,
                      uint32_t *client) noexcept nogil:
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


cdef inline void end_taker(State *st, Book *book, int reason) noexcept nogil:
    """End the order at hand with what it has left: its event, its place in the closed window."""
    cdef Taker *taker = &st.taker
    event_of(event_room(st, NONE), <Order *>taker, st.seq, ORDER_ENDED, reason, taker.price,
             taker.remaining, 0)
    book.ended += taker.remaining
    if unlikely(book.watch | st.kills):
        touch(st, book)  # as the whole way does
    release(st, book, <Order *>taker, taker.price, taker.remaining)
    st.current = taker_closed(st, taker, NONE, ENDED, reason)


# --- place ----------------------------------------------------------------------------------

cdef inline int place_fault(State *st, Command *command) noexcept nogil:
    """0, or why this record can't be an order: what a gateway refuses before it is journaled."""
    cdef Book *book
    if likely(plain_place(command) and command.instrument < st.books_count):
        book = &st.books[command.instrument]
        if likely(1 <= command.price_ticks <= book.price_max
                  and book.lots_min <= command.quantity_lots <= book.lots_max):
            return 0
    return place_fault_found(st, command)


cdef inline int book_refusal(State *st, Book *book, Command *command, uint32_t level,
                             bint crosses) noexcept nogil:
    """0, or the rule of the book that refuses this order, which may rest; nothing has changed.

    `level` is the one it would rest at, NONE: a new one. In a watched book, where a trade may end
    other orders, it isn't asked whether the order would be filled: that is found the whole way.
    """
    cdef int reason
    if unlikely(command.flags & POST_ONLY and crosses):
        return POST_ONLY_WOULD_CROSS
    if st.open_count >= st.open_max:
        reason = OPEN_ORDERS_LIMIT
    else:
        reason = rest_refusal(st, &book.sides[command.side], level, command.quantity_lots)
    if reason and not book.watch and can_fill(st, book, command.side, False, command.price_ticks,
                                              command.quantity_lots):
        return 0
    return reason


cdef inline void placed_event(State *st, int kind, Command *command, int reason) noexcept nogil:
    cdef int64_t lots = command.quantity_lots
    event_of(event_room(st, NONE), <Order *>&st.taker, st.seq, kind,
             reason | (command.flags & (POST_ONLY | BY_QUOTE)) << 8, command.price_ticks, lots,
             lots if kind == ORDER_ACCEPTED else 0)


cdef void place(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """PLACE: see the module's order of checks; then match, and rest or end."""
    cdef uint32_t client = NONE, hashed, existing
    cdef Taker *taker = &st.taker
    cdef Book *book = plain_book(st, command)
    cdef int reason
    if likely(book != NULL):
        if would_cross(st, book, command.side, command.price_ticks):
            taker_of(taker, command, st.seq, st.time_us, command.client)
            taker.id = command.order_number
            if likely(place_limit(st, book, command, True)):
                return
        elif likely(rest_plain(st, book, command)):
            book_check(st, book)
            return
    reason = place_fault(st, command)
    if unlikely(reason):
        refuse(st, reason, NONE)
        return
    if not admit(st, command, text + command.order_id_length, &client):
        return
    hashed = named_hash(st, command, text)
    existing = find_order(st, command.order_id_kind, text, command.order_id_length,
                          command.order_number, hashed)
    if unlikely(existing != NONE):
        refuse(st, DUPLICATE_ORDER_ID, existing)
        return
    book = &st.books[command.instrument]
    taker_of(taker, command, st.seq, st.time_us, client)
    if command.order_id_kind == ID_NUMBER:
        taker.id = command.order_number
    else:
        taker.id = name_new(st, command.order_id_kind, text, command.order_id_length,
                            <uint64_t>hashed << 32)
    if unlikely(command.flags & EXTENDED or command.time_in_force > FOK
                or (book.clears & FUNDED and command.order_type)
                or not passes(st, book, command, client)):
        place_watched(st, command, text, client)
    elif command.flags & BY_QUOTE:
        trade_by_quote(st, book, command)
    elif command.order_type == LIMIT and command.time_in_force == GTC:
        if likely(place_limit(st, book, command,
                              would_cross(st, book, command.side, command.price_ticks))):
            return
        place_watched(st, command, text, client)
    elif likely(not book.clears & (FUNDED | WIDE)) or not rejected(st, book, command, 0):
        trade_or_end(st, book, command)
        follow(st, book)
    book_check(st, book)


cdef bint place_limit(State *st, Book *book, Command *command, bint crosses) noexcept nogil:
    """Accept, or reject, an order that rests with what it does not trade at once.

    False: nothing has changed, and what it meets in a watched book is to be found the whole way.
    """
    cdef uint32_t level = NONE
    cdef int reason
    if not crosses:  # else no order of its side rests at its price
        level = level_find(st, &book.sides[command.side],
                           key_of(command.side, command.price_ticks))
    reason = book_refusal(st, book, command, level, crosses)
    if unlikely(reason and book.watch):
        return False
    if unlikely(reason or book.clears & (FUNDED | WIDE)) and rejected(st, book, command, reason):
        return True
    trade_and_rest(st, book, command, level, crosses)
    follow(st, book)
    book_check(st, book)
    return True


cdef bint rejected(State *st, Book *book, Command *command, int reason) noexcept nogil:
    """Whether a new order is rejected: for a reason of the book, or for want of funds."""
    cdef Taker *taker = &st.taker
    reason = new_refusal(st, book, taker, reason)
    if reason:
        placed_event(st, ORDER_REJECTED, command, reason)
        st.current = taker_closed(st, taker, NONE, REJECTED, reason)
    return reason != 0


cdef inline void trade_and_rest(State *st, Book *book, Command *command, uint32_t level,
                                bint crosses) noexcept nogil:
    """Match an accepted limit order that rests with what is left, at `level` (NONE: a new one)."""
    cdef Taker *taker = &st.taker
    placed_event(st, ORDER_ACCEPTED, command, 0)
    book.entered += taker.remaining
    if crosses:
        match_lots(st, book, taker, key_of(1 - taker.side, taker.price))
        if taker.remaining == 0:
            st.current = taker_closed(st, taker, NONE, FILLED, 0)
            return
    touch(st, book)
    rest_taker(st, book, level)


cdef void trade_or_end(State *st, Book *book, Command *command) noexcept nogil:
    """Match an accepted order that never rests: IOC, FOK, market."""
    cdef Taker *taker = &st.taker
    cdef bint market = taker.order_type == MARKET
    placed_event(st, ORDER_ACCEPTED, command, 0)
    book.entered += taker.remaining
    if taker.time_in_force == FOK and not can_fill(
            st, book, taker.side, market, taker.price, taker.remaining):
        end_taker(st, book, FILL_OR_KILL)
        return
    match_lots(st, book, taker, ANY_KEY if market else key_of(1 - taker.side, taker.price))
    if taker.remaining == 0:
        st.current = taker_closed(st, taker, NONE, FILLED, 0)
    else:
        end_taker(st, book, BOOK_EXHAUSTED if market else IMMEDIATE_OR_CANCEL)


cdef void trade_by_quote(State *st, Book *book, Command *command) noexcept nogil:
    """Match a market order that gives a quote quantity."""
    cdef int reason
    st.taker.quote_units = quote_budget(command)
    placed_event(st, ORDER_ACCEPTED, command, 0)
    reason = match_quote(st, book, &st.taker)
    if reason:
        end_taker(st, book, reason)
    else:
        st.current = taker_closed(st, &st.taker, NONE, FILLED, 0)
    follow(st, book)


# --- cancel, amend, mass cancel -------------------------------------------------------------

cdef inline uint32_t find_named(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """Slot of the order a command names, or NONE."""
    return find_order(st, command.order_id_kind, text, command.order_id_length,
                      command.order_number, named_hash(st, command, text))


cdef inline uint32_t named_order(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """Slot of the working order a command names; NONE if that was refused or not admitted."""
    cdef uint32_t order, client
    if unlikely(command.order_id_kind | command.order_id_length | command.client_id_length) and (
            not id_sound(command)):
        refuse(st, MALFORMED_COMMAND, NONE)
        return NONE
    if command.flags & HAS_KEY and not admit(st, command, text + command.order_id_length, &client):
        return NONE
    order = find_named(st, command, text)
    if order == NONE:
        refuse(st, UNKNOWN_ORDER, NONE)
        return NONE
    if order & CLOSED:
        refuse(st, ALREADY_CLOSED, order)
        return NONE
    return order


cdef inline uint32_t take_out(State *st, uint32_t slot, int reason) noexcept nogil:
    """Take a resting order out of its book and end it; returns where it stands then."""
    cdef Order *order = &st.orders[slot]
    cdef Book *book = &st.books[order.instrument]
    cdef int64_t lots = order.remaining, price = order_price(st, order)
    cdef uint32_t place
    event_of(event_room(st, NONE), order, st.seq, ORDER_ENDED, reason, price, lots, 0)
    touch(st, book)
    unlink(st, book, slot)
    book.open -= lots
    book.ended += lots
    release(st, book, order, price, lots)
    place = order_closed(st, slot, price, 0, ENDED, reason)
    st.event_orders[st.events_count - 1] = place
    book_check(st, book)
    return place


cdef void cancel(State *st, Command *command, const uint8_t *text) noexcept nogil:
    cdef uint32_t slot = named_order(st, command, text)
    if slot == NONE:
        return
    if unlikely(st.orders[slot].marked):
        st.current = slot
        st.current = end(st, slot, BY_CLIENT)
    else:
        st.current = take_out(st, slot, BY_CLIENT)


cdef int amend_refusal(State *st, Book *book, Order *order, int64_t price, int64_t total,
                       bint keeps_place) noexcept nogil:
    """0, or why the order can't become this; nothing has changed yet."""
    cdef int64_t remaining = total - order_filled(st, order)
    cdef BookSide *own = &book.sides[order.side]
    cdef Level *level = &st.levels[order.level]
    cdef int refusal
    if remaining <= 0:
        return AMEND_QUANTITY_TOO_LOW
    refusal = 0 if keeps_place else too_worthy(st, book, price, total)
    if keeps_place or refusal:
        return refusal
    if order.post_only and would_cross(st, book, order.side, price):
        return AMEND_WOULD_CROSS
    if key_of(order.side, price) == level.key:
        refusal = rest_refusal(st, own, order.level, remaining - order.remaining)
    else:
        refusal = rest_refusal(st, own, level_find(st, own, key_of(order.side, price)), remaining)
        if refusal == PRICE_LEVELS_LIMIT and level.count == 1:
            refusal = 0
    if refusal and not book.watch and can_fill(st, book, order.side, False, price, remaining):
        refusal = 0
    return AMEND_LEVEL_FULL if refusal else 0


cdef void amend(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """AMEND: down in place; anything else leaves the book and enters it anew."""
    cdef uint32_t slot
    cdef Order *order
    cdef Book *book
    cdef int64_t price, total, remaining
    cdef bint keeps_place
    cdef int reason
    if amend_malformed(command):
        refuse(st, MALFORMED_COMMAND, NONE)
        return
    slot = find_named(st, command, text)
    if not amend_in_bounds(st, command, slot):
        refuse(st, OUT_OF_BOUNDS, slot)
        return
    slot = named_order(st, command, text)
    if slot == NONE:
        return
    order = &st.orders[slot]
    book = &st.books[order.instrument]
    if unlikely(book.watch & WATCH_ALL or st.due_done > 1 or order.marked
                or command.flags & EXTENDED):
        amend_wholly(st, book, command, slot)
        return
    st.price_before = order_price(st, order)
    price = command.price_ticks if command.flags & SET_PRICE else st.price_before
    total = order.remaining + order_filled(st, order)
    if command.flags & SET_QUANTITY:
        total = command.quantity_lots
    remaining = total - order_filled(st, order)
    keeps_place = price == st.price_before and remaining <= order.remaining
    reason = amend_refusal(st, book, order, price, total, keeps_place)
    if unlikely(reason and book.watch) or not (keeps_place or amendment_passes(
            st, book, order.client, order.side, price, total)):
        amend_wholly(st, book, command, slot)
        return
    if unlikely(book.clears & (FUNDED | WIDE)) and not reason:
        reason = rehold(st, book, order, st.price_before, order.remaining, price, remaining)
    if reason:
        refuse(st, reason, slot)
        return
    st.current = slot
    touch(st, book)
    book.entered += remaining - order.remaining
    if keeps_place:
        book.open += remaining - order.remaining
        if remaining < order.remaining:
            reduce(st, slot, order.remaining - remaining)
        amended_event(st, order, price, order.remaining, total)
    else:
        reenter(st, book, slot, price, remaining, total)
        follow(st, book)
    book_check(st, book)


cdef void amend_wholly(State *st, Book *book, Command *command, uint32_t slot) noexcept nogil:
    """AMEND of or among what is special."""
    cdef int reason = amend_watched(st, command, slot)
    if reason:
        refuse(st, reason, slot)
    book_check(st, book)


cdef void amended_event(State *st, Order *order, int64_t price, int64_t remaining,
                        int64_t total) noexcept nogil:
    cdef Extra *extra = order_extra(st, order)
    extra.updated_seq = st.seq
    extra.updated_us = st.time_us
    event_of(event_room(st, NONE), order, st.seq, ORDER_AMENDED, 0, price, total, remaining)


cdef void reenter(State *st, Book *book, uint32_t slot, int64_t price, int64_t remaining,
                  int64_t total) noexcept nogil:
    """The order loses its place: out of the book, changed, matched, to the back of the queue."""
    cdef Order *order = &st.orders[slot]
    cdef Taker *taker = &st.taker
    cdef Extra *extra
    cdef int64_t key = key_of(order.side, price)
    cdef BookSide *own = &book.sides[order.side]
    amended_event(st, order, price, remaining, total)
    book.open -= order.remaining
    unlink(st, book, slot)
    extra = &st.extras[order.extra]
    copy_identity(taker, order)
    taker.remaining = remaining
    taker.price = price
    taker.filled = extra.filled
    taker.notional = extra.notional
    match_lots(st, book, taker, key_of(1 - order.side, price))
    if taker.remaining == 0:
        st.current = taker_closed(st, taker, slot, FILLED, 0)
        return
    order.remaining = taker.remaining
    extra = &st.extras[order.extra]
    extra.filled = taker.filled
    extra.notional = taker.notional
    book.open += taker.remaining
    rest(st, own, slot, key, level_find(st, own, key))


cdef void mass_cancel(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """MASS_CANCEL: every open order of a client, the newest first, by instrument and side."""
    cdef uint32_t client
    cdef int64_t count = 0
    cdef Event *event
    cdef const uint8_t *client_id = text + command.order_id_length
    if (command.side > 1 and command.side != ANY_SIDE) or command.client_id_length > 64:
        refuse(st, MALFORMED_COMMAND, NONE)
        return
    if command.instrument != ANY_INSTRUMENT and command.instrument >= st.books_count:
        refuse(st, UNKNOWN_INSTRUMENT, NONE)
        return
    if command.flags & HAS_KEY and not admit(st, command, client_id, &client):
        return
    client = client_number(st, client_id, command.client_id_length, command.client)
    if client != NONE:
        count = end_client(st, client, MASS_CANCEL_REASON, command.instrument, command.side)
    event = event_new(st, MASS_CANCELLED, NONE)
    event.client = 0 if client == NONE else client
    event.quantity_lots = count


# --- funds ----------------------------------------------------------------------------------

cdef void funds(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """DEPOSIT, WITHDRAW."""
    cdef uint32_t client
    if funds_malformed(st, command):
        refuse(st, MALFORMED_COMMAND, NONE)
    elif admit(st, command, text + command.order_id_length, &client):
        move_funds(st, command, client)


# --- dispatch -------------------------------------------------------------------------------

cdef void malformed(State *st, Command *command, const uint8_t *text) noexcept nogil:
    refuse(st, MALFORMED_COMMAND, NONE)


ctypedef void (*Handler)(State *, Command *, const uint8_t *) noexcept nogil

cdef Handler HANDLERS[28]
HANDLERS[:] = [
    malformed, place, cancel, amend, mass_cancel, malformed, malformed, take_snapshot,
    advance_time, malformed, malformed, set_phase, session_open, session_close, sessions_lost,
    cancel_after, kill, malformed, set_mark, set_tier, funds, funds, settle, move_settlement,
    set_cutoff, malformed, skip_command, adopt_rules,
]


cdef void free_left(State *st) noexcept nogil:
    """Give back the slots that were left by orders that ended."""
    cdef uint32_t slot = st.left, after
    while slot != NONE:
        after = st.links[slot].next
        order_free(st, slot)
        slot = after
    st.left = NONE


cdef void begin_command(State *st) noexcept nogil:
    """Forget the last command, and let happen what is due before the next."""
    st.trade_index = 0
    st.current = NONE
    st.repeat_seq = 0
    st.price_before = 0
    st.key_noted = 0
    st.due_done = 0
    if unlikely(st.next_due_ns <= st.time_ns):
        carry_out(st)
        st.due_done = 1 + (st.trade_index != 0)
    st.traded = 0  # what was due may have left the prices of another book


cdef inline void handle(State *st, Command *command) noexcept nogil:
    begin_command(st)
    expire_keys(st)
    HANDLERS[command.kind if command.kind < 28 else 0](
        st, command, <const uint8_t *>command + head_size(command))


cdef void apply_command(State *st, Command *command) noexcept nogil:
    """Apply one command of the hot kinds; its events are appended to `st.events`.

    `st.seq` and the times are set by the caller, who calls `finish_command` when it has looked at
    what the command did. CREATE_INSTRUMENT and CONFIGURE are the engine's own matter.
    """
    handle(st, command)


cdef Py_ssize_t apply_run(State *st, const uint8_t *batch, Py_ssize_t size) noexcept nogil:
    """Apply commands up to one that needs Python, or the end; bytes used up.

    Leaves `st.seq` at the sequence of the next.
    """
    cdef const uint8_t *at = batch
    cdef const uint8_t *end = batch + size
    cdef Command *command
    cdef Lookahead ahead
    look_begin(st, &ahead, batch, size)
    while at < end:
        command = <Command *>at
        if unlikely(needs_python(command)):
            break
        look_on(st, &ahead)
        handle(st, command)
        finish_command(st)
        at += command_size(command)
        st.seq += 1
        if st.violation:
            break
    return at - batch

