# cython: language_level=3
"""Rules and limits as they are set by command: from what the model has to C.

Called for commands alone that are seldom, with the interpreter at hand.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memmove, memset

from novate.engine.due cimport phase_due
from novate.engine.guard cimport guard_begin
from novate.engine.limits cimport own_limits_at
from novate.engine.special cimport watch
from novate.engine.state cimport (
    Book, Distance, OrderLimits, OwnLimits, Rules, State, grow, i128,
)

from novate.model.commands import Phase
from novate.model.instrument import (
    PRICE_TICKS_MAX, QUANTITY_LOTS_MAX, QUOTE_UNITS_PER_STEP_MAX,
)
from novate.model.instrument import OrderLimits as ModelLimits
from novate.model.instrument import Rules as ModelRules

_NO_RULES = ModelRules()
_NO_LIMITS = ModelLimits()
_SECOND_NS = 10**9


cdef i128 units_of(object number):
    """A number of up to 126 bits."""
    cdef uint64_t low = number & 0xFFFFFFFFFFFFFFFF, high = number >> 64
    return (<i128>high << 64) + <i128>low


cdef int distance_from(Distance *target, object distance) except -1:
    target.ticks = distance.ticks
    target.permille = distance.permille
    return 0


cdef int limits_from(OrderLimits *target, object limits) except -1:
    memset(target, 0, sizeof(OrderLimits))
    target.lots_min = limits.quantity_lots_min
    target.lots_max = limits.quantity_lots_max
    target.notional_min = units_of(limits.notional_units_min)
    target.notional_max = units_of(limits.notional_units_max)
    target.open_max = limits.open_orders_max
    distance_from(&target.distance, limits.last_price_distance)
    return 0


cdef int rules_install(State *st, uint32_t instrument, object rules) except -1:
    """Let these sound rules hold from now on, without a word of when the schedule was done."""
    cdef Book *book = &st.books[instrument]
    cdef Rules *own = book.rules
    cdef int i
    if rules == _NO_RULES:
        free(own)
        book.rules = NULL
    else:
        if own == NULL:
            own = <Rules *>grow(NULL, sizeof(Rules))
        memset(own, 0, sizeof(Rules))
        book.rules = own
        limits_from(&own.limits, rules.limits)
        distance_from(&own.protection, rules.protection)
        distance_from(&own.static_band, rules.static_band)
        distance_from(&own.dynamic_band, rules.dynamic_band)
        own.volatility_auction_ns = rules.volatility_auction_ns
        own.session_end_ns = rules.session_end_s * _SECOND_NS
        own.iceberg_parts_max = rules.iceberg_parts_max
        own.band_auction = rules.band_action == "auction"
        own.schedule_count = len(rules.schedule)
        for i, entry in enumerate(rules.schedule):
            own.at_ns[i] = entry.at_s * _SECOND_NS
            own.phases[i] = Phase[entry.phase.upper()]
        guard_begin(book)
    phase_due(st, book)
    watch(book)
    return 0


cdef int own_limits_install(State *st, uint32_t client, uint32_t instrument,
                            object limits) except -1:
    """Give a client limits of its own on an instrument, or take them back (all of them 0)."""
    cdef uint64_t place = <uint64_t>client << 32 | instrument
    cdef uint32_t at = own_limits_at(st, place)
    cdef Book *book = &st.books[instrument]
    cdef bint known = at < st.own_limits_count and st.own_limits[at].place == place
    cdef bint wanted = limits != _NO_LIMITS
    cdef uint32_t first
    if known and not wanted:
        st.own_limits_count -= 1
        memmove(st.own_limits + at, st.own_limits + at + 1,
                <size_t>(st.own_limits_count - at) * sizeof(OwnLimits))
        book.own_limits -= 1
    elif wanted:
        if not known:
            own_limits_insert(st, at, place)
            book.own_limits += 1
        limits_from(&st.own_limits[at].limits, limits)
    first = own_limits_at(st, <uint64_t>client << 32)
    st.clients[client].limited = (
        first < st.own_limits_count and st.own_limits[first].place >> 32 == client)
    watch(book)
    return 0


cdef void own_limits_insert(State *st, uint32_t at, uint64_t place) noexcept nogil:
    if st.own_limits_count == st.own_limits_capacity:
        st.own_limits_capacity = max(64, st.own_limits_capacity * 2)
        st.own_limits = <OwnLimits *>grow(
            st.own_limits, <size_t>st.own_limits_capacity * sizeof(OwnLimits))
    memmove(st.own_limits + at + 1, st.own_limits + at,
            <size_t>(st.own_limits_count - at) * sizeof(OwnLimits))
    st.own_limits[at].place = place
    st.own_limits_count += 1


# --- what can't be --------------------------------------------------------------------------

cdef bint instrument_sound(object instrument) except -1:
    """Whether an instrument's numbers make sense together."""
    return (
        1 <= len(instrument.name) <= 32
        and 1 <= instrument.tick_coefficient <= 10**9
        and 1 <= instrument.lot_coefficient <= 10**9
        and 0 <= instrument.tick_exponent <= 18
        and 0 <= instrument.lot_exponent <= 18
        and 0 <= instrument.quote_scale <= 24
        and 1 <= instrument.quote_units <= QUOTE_UNITS_PER_STEP_MAX
        and 1 <= instrument.price_ticks_max <= PRICE_TICKS_MAX
        and 1 <= instrument.quantity_lots_min <= instrument.quantity_lots_max <= QUANTITY_LOTS_MAX
    )


cdef bint limits_sound(object limits) except -1:
    """Whether limits are within what the state's fields hold."""
    return (
        0 <= limits.open_orders_max <= 10**9
        and 0 <= limits.closed_orders_max <= 10**9
        and 0 <= limits.trades_per_instrument_max <= 10**8
        and 0 <= limits.idempotency_keys_max <= 10**9
        and 0 <= limits.idempotency_window_ns <= 10**18
        and 0 <= limits.idempotency_window_ns_min <= limits.idempotency_window_ns
        and 1 <= limits.clients_max <= 10**9
        and 1 <= limits.instruments_max <= 65_535
        and 1 <= limits.price_levels_max <= 10**8
    )
