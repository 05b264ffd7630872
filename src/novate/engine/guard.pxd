# cython: language_level=3
"""What plain orders are asked where others have more: a few comparisons, most of them none.

A plain order uses nothing of the rulebook but what every order does. Whether it may go the plain
way, or has to go the whole one, is decided here and for each order: by its book's and its client's
bits, and where there are rules by bounds that follow from them. What passes would pass the whole
way, too; what does not goes that way and hears there why.
"""

from libc.stdint cimport int64_t, uint32_t

from novate.engine.accounts cimport WIDE
from novate.engine.state cimport (
    WATCH_ALL, WATCH_LIMITS, Book, Client, Guard, State, i128, key_of, likely, unlikely,
)
from novate.model.records cimport BY_QUOTE, FOK, LIMIT, Command

cdef void guard_begin(Book *book) noexcept nogil
cdef void guard_renew(State *st, Book *book) noexcept nogil
cdef bint guard_holds(State *st, Book *book) noexcept nogil


cdef inline Guard *guard_of(State *st, Book *book) noexcept nogil:
    """The bounds of a book that has rules, as they are now."""
    cdef Guard *guard = &book.rules.guard
    if unlikely(guard.last_price != book.last_price
                or guard.reference_price != book.reference_price):
        guard_renew(st, book)
    return guard

cdef inline bint rules_pass(State *st, Book *book, int side, int64_t price,
                            int64_t lots) noexcept nogil:
    """Whether a limit order meets none of its book's rules, nor a band while it trades."""
    cdef const Guard *guard = guard_of(st, book)
    cdef i128 worth = <i128>price * lots
    cdef int64_t best = key_of(1 - side, book.sides[1 - side].best_key)  # so long as it crosses
    if lots < guard.lots_min or lots > guard.lots_max:
        return False
    if worth < guard.worth_min or worth > guard.worth_max:
        return False
    if side == 0:
        return price <= guard.buy_max and (
            best > price or (best >= guard.trade_min and price <= guard.trade_max))
    return price >= guard.sell_min and (
        book.sides[0].best_key < price or (best <= guard.trade_max and price >= guard.trade_min))

cdef inline bint limits_pass(State *st, Book *book, const Command *command,
                             const Client *client) noexcept nogil:
    """Whether a new order meets neither a rule of its book nor a limit of its client."""
    cdef const Guard *guard
    if unlikely(client.limited and book.own_limits):
        return False
    if book.rules == NULL:
        return True
    guard = &book.rules.guard
    if client.open_count >= guard.open_max:
        return False
    if unlikely(command.order_type != LIMIT):
        return not guard.asks_markets and (
            command.flags & BY_QUOTE or guard.lots_min <= command.quantity_lots <= guard.lots_max)
    return rules_pass(st, book, command.side, command.price_ticks, command.quantity_lots)

cdef inline bint passes(State *st, Book *book, const Command *command,
                        uint32_t number) noexcept nogil:
    """Whether a new order of a client, itself plain, may go the plain way."""
    cdef const Client *client = &st.clients[number]
    if likely(not (book.watch | st.kills | st.due_done)):
        return True
    if unlikely(st.rules == 1 and book.clears & WIDE and command.order_type != LIMIT):
        # the first rules answered it the whole way wherever anything was watched, and only there
        return not (book.watch | st.kills | st.trade_index)
    if unlikely(book.watch & WATCH_ALL or st.due_done > 1 or st.venue_killed or client.killed):
        return False
    if unlikely(command.time_in_force == FOK and book.pairs):
        return False
    return not book.watch & WATCH_LIMITS or limits_pass(st, book, command, client)

cdef inline bint amendment_passes(State *st, Book *book, uint32_t client, int side, int64_t price,
                                  int64_t total) noexcept nogil:
    """Whether a plain order may become one of this price and quantity, which loses its place."""
    if likely(not book.watch & WATCH_LIMITS):
        return True
    if st.clients[client].limited and book.own_limits:
        return False
    return book.rules == NULL or rules_pass(st, book, side, price, total)
