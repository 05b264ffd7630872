# cython: language_level=3
"""The bounds that a book's rules leave to plain orders: made where rules are set, and anew where
last or reference price has changed since.

They follow from the state and are no part of it.
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t

from novate.engine.matching cimport Bounds, bounds_of, distance_of
from novate.engine.state cimport Book, Guard, Rules, State, i128

cdef i128 WORTH_MAX = <i128>1 << 126


cdef void guard_begin(Book *book) noexcept nogil:
    """What follows from rules that were just set, whatever the prices are."""
    put_limits(book, &book.rules.guard)
    book.rules.guard.last_price = -1  # of no book


cdef void put_limits(const Book *book, Guard *guard) noexcept nogil:
    cdef const Rules *rules = book.rules
    guard.lots_min = rules.limits.lots_min
    guard.lots_max = rules.limits.lots_max if rules.limits.lots_max else INT64_MAX
    guard.worth_min = (rules.limits.notional_min + book.quote_units - 1) // book.quote_units
    guard.worth_max = WORTH_MAX
    if rules.limits.notional_max:
        guard.worth_max = rules.limits.notional_max // book.quote_units
    guard.open_max = rules.limits.open_max if rules.limits.open_max else 0xFFFFFFFFU
    guard.asks_markets = (
        rules.limits.notional_min != 0 or rules.limits.notional_max != 0
        or is_on(rules.protection.ticks, rules.protection.permille)
        or is_on(rules.static_band.ticks, rules.static_band.permille)
        or is_on(rules.dynamic_band.ticks, rules.dynamic_band.permille))


cdef inline bint is_on(int64_t ticks, int64_t permille) noexcept nogil:
    return ticks != 0 or permille != 0


cdef void guard_renew(State *st, Book *book) noexcept nogil:
    """The bounds of prices, as last and reference price are now."""
    put_prices(st, book, &book.rules.guard)


cdef void put_prices(State *st, Book *book, Guard *guard) noexcept nogil:
    cdef const Rules *rules = book.rules
    cdef Bounds bounds
    cdef int64_t off = distance_of(&rules.limits.distance, book.last_price)
    bounds_of(st, book, 0, True, &bounds)
    guard.trade_min = max(bounds.static_low, bounds.dynamic_low)
    guard.trade_max = min(bounds.static_high, bounds.dynamic_high)
    guard.sell_min = INT64_MIN if rules.band_auction else guard.trade_min
    guard.buy_max = INT64_MAX if rules.band_auction else guard.trade_max
    if off >= 0 and book.last_price:
        guard.sell_min = max(guard.sell_min, book.last_price - off)
        guard.buy_max = min(guard.buy_max, book.last_price + off)
    guard.last_price = book.last_price
    guard.reference_price = book.reference_price


cdef bint guard_holds(State *st, Book *book) noexcept nogil:
    """Whether the bounds, where they are of the present prices, are what the rules come to."""
    cdef const Guard *held = &book.rules.guard
    cdef Guard made
    put_limits(book, &made)
    put_prices(st, book, &made)
    if held.worth_min != made.worth_min or held.worth_max != made.worth_max or (
            held.lots_min != made.lots_min or held.lots_max != made.lots_max
            or held.open_max != made.open_max or held.asks_markets != made.asks_markets):
        return False
    if held.last_price != made.last_price or held.reference_price != made.reference_price:
        return True
    return (
        held.buy_max == made.buy_max and held.sell_min == made.sell_min
        and held.trade_min == made.trade_min and held.trade_max == made.trade_max)
