# cython: language_level=3
"""What a command must look like: faults of form, which a gateway finds before it journals."""

from libc.stdint cimport int64_t, uint32_t

from novate.engine.state cimport CLOSED, Book, Order, State, i128, order_special
from novate.model.records cimport (
    BY_QUOTE, DAY, DECREMENT, EXTENDED, FOK, GTC, GTD, ID_NUMBER, ID_TEXT, ID_UUID, LIMIT,
    LINK_NONE, LINK_REPLACES, MALFORMED_COMMAND, MARKET, OUT_OF_BOUNDS, POST_ONLY, SETS_DISPLAY,
    SETS_EXPIRY, SETS_SELF_TRADE, SETS_STOP_PRICE, SET_PRICE, SET_QUANTITY, STOP, STOP_LIMIT,
    UNKNOWN_INSTRUMENT, Command, Extension, extension_of,
)


cdef i128 quote_budget(const Command *command) noexcept nogil:
    return (<i128>command.quote_units_high << 64) + <i128>command.quote_units_low


cdef bint id_sound(const Command *command) noexcept nogil:
    """Whether the order id has the length its kind asks for, and the client id fits."""
    return command.client_id_length <= 64 and length_sound(
        command.order_id_kind, command.order_id_length)


cdef inline bint length_sound(int kind, int length) noexcept nogil:
    if kind == ID_NUMBER:
        return length == 0
    if kind == ID_UUID:
        return length == 16
    return kind == ID_TEXT and 1 <= length <= 64


cdef bint link_sound(const Command *command) noexcept nogil:
    """Whether the linked order's id has the length its kind asks for, within the text."""
    cdef const Extension *more = extension_of(command)
    return length_sound(more.link_kind, more.link_length) and (
        command.order_id_length + command.client_id_length + more.link_length
        <= command.text_length)


cdef int place_fault_found(State *st, const Command *command) noexcept nogil:
    """0, or why this record can't be an order."""
    cdef Book *book
    if command.side > 1 or command.order_type > STOP or command.time_in_force > GTD:
        return MALFORMED_COMMAND
    if not id_sound(command) or shape_malformed(command, extension_of(command)):
        return MALFORMED_COMMAND
    if command.flags & BY_QUOTE and quote_malformed(command, extension_of(command)):
        return MALFORMED_COMMAND
    if command.instrument >= st.books_count:
        return UNKNOWN_INSTRUMENT
    book = &st.books[command.instrument]
    return 0 if inside_bounds(book, command, extension_of(command)) else OUT_OF_BOUNDS


cdef bint shape_malformed(const Command *command, const Extension *more) noexcept nogil:
    """Whether the fields of a new order don't go together."""
    cdef bint limited = not command.order_type & MARKET
    cdef bint rests = command.time_in_force == GTC or command.time_in_force >= DAY
    if not limited and command.price_ticks != 0:
        return True
    if command.order_type < STOP_LIMIT and more.stop_price_ticks != 0:
        return True
    if command.flags & POST_ONLY and (
            command.order_type != LIMIT or not rests or more.minimum_lots != 0):
        return True
    if more.display_lots != 0 and not (limited and rests):
        return True
    if command.order_type == MARKET and command.time_in_force >= DAY:
        return True
    if (command.time_in_force == GTD) != (more.expire_ns != 0):
        return True
    if more.stop_price_ticks < 0 or more.display_lots < 0 or (
            more.minimum_lots < 0 or more.expire_ns < 0):
        return True
    if more.self_trade > DECREMENT or more.link_use > LINK_REPLACES:
        return True
    return more.link_use != LINK_NONE and not link_sound(command)


cdef bint quote_malformed(const Command *command, const Extension *more) noexcept nogil:
    """The same for an order by quote quantity."""
    return (
        command.order_type != MARKET or command.time_in_force == FOK
        or command.quantity_lots != 0 or more.self_trade == DECREMENT or more.minimum_lots != 0)


cdef bint inside_bounds(const Book *book, const Command *command,
                        const Extension *more) noexcept nogil:
    """Whether the numbers of a new order are within the instrument's bounds."""
    if not command.order_type & MARKET and not 1 <= command.price_ticks <= book.price_max:
        return False
    if command.order_type >= STOP_LIMIT and not 1 <= more.stop_price_ticks <= book.price_max:
        return False
    if command.flags & BY_QUOTE:
        return command.quote_units_high >= 0 and quote_budget(command) != 0
    return book.lots_min <= command.quantity_lots <= book.lots_max and (
        more.display_lots <= command.quantity_lots
        and more.minimum_lots <= command.quantity_lots)


cdef bint amend_malformed(const Command *command) noexcept nogil:
    """Whether an amendment sets nothing, or what it can't."""
    cdef const Extension *more = extension_of(command)
    if not command.flags & (SET_PRICE | SET_QUANTITY) and not more.sets:
        return True
    if more.sets > (SETS_STOP_PRICE | SETS_DISPLAY | SETS_EXPIRY | SETS_SELF_TRADE):
        return True
    if not id_sound(command):
        return True
    return (
        (more.sets & SETS_STOP_PRICE and more.stop_price_ticks < 0)
        or (more.sets & SETS_DISPLAY and more.display_lots < 0)
        or (more.sets & SETS_EXPIRY and more.expire_ns < 0)
        or (more.sets & SETS_SELF_TRADE and more.self_trade > DECREMENT))


cdef bint amend_in_bounds(State *st, Command *command, uint32_t named) noexcept nogil:
    """Whether price and quantity are within the bounds of the order's instrument, and its own."""
    cdef Book *book
    cdef const Extension *more = extension_of(command)
    if named & CLOSED:  # or NONE
        return True
    book = &st.books[st.orders[named].instrument]
    if more.sets & SETS_STOP_PRICE and not 1 <= more.stop_price_ticks <= book.price_max:
        return False
    if more.sets & SETS_DISPLAY and more.display_lots > book.lots_max:
        return False
    if command.flags & SET_PRICE and not 1 <= command.price_ticks <= book.price_max:
        return False
    return not command.flags & SET_QUANTITY or (
        book.lots_min <= command.quantity_lots <= book.lots_max
        and not under_minimum(st, &st.orders[named], command.quantity_lots))


cdef inline bint under_minimum(State *st, const Order *order, int64_t lots) noexcept nogil:
    """Whether a total is under the minimum of an order that is yet to be asked for it.

    The first version of the rules took such a total, with which the order never traded.
    """
    if not order.marked or st.rules < 2 or order_special(st, order).minimum_met:
        return False
    return lots < order_special(st, order).minimum
