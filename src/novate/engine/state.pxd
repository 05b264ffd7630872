# cython: language_level=3
"""The engine's state in C: orders, books, names and windows, and small inline functions.

The structs stand in state.h, with a word on every field.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.string cimport memset

from novate.model.records cimport COMMAND_REFUSED, ID_NUMBER, ID_UUID, Command, Event

cdef extern from "novate/engine/state.h":
    ctypedef long long i128 "novate_i128"
    uint32_t NONE "NOVATE_NONE"
    int64_t NO_KEY "NOVATE_NO_KEY"
    uint32_t CLOSED "NOVATE_CLOSED"
    uint32_t PLACE_MASK "NOVATE_PLACE_MASK"
    uint32_t LATE "NOVATE_LATE"
    uint32_t WRITTEN "NOVATE_WRITTEN"
    uint32_t BLOCK_SIZE "NOVATE_BLOCK_SIZE"
    uint32_t SINK_EVENTS "NOVATE_SINK_EVENTS"
    uint32_t WATCH_ALL "NOVATE_WATCH_ALL"
    uint32_t WATCH_LIMITS "NOVATE_WATCH_LIMITS"
    uint32_t WATCH_TRADES "NOVATE_WATCH_TRADES"
    ctypedef void (*Sink)(void *, const Event *, uint32_t) noexcept nogil
    void CHECK "NOVATE_CHECK"(bint condition) noexcept nogil
    bint likely "novate_likely"(bint condition) noexcept nogil
    bint unlikely "novate_unlikely"(bint condition) noexcept nogil
    uint64_t mix "novate_mix"(uint64_t a, uint64_t b) noexcept nogil
    uint64_t hash_bytes "novate_hash"(const uint8_t *p, size_t n, uint64_t secret) noexcept nogil
    void taker_of "novate_taker_of"(
        Taker *taker, const Command *command, uint64_t seq, int64_t time_us,
        uint32_t client) noexcept nogil
    void event_of "novate_event_of"(
        Event *event, const Order *order, uint64_t seq, uint32_t kind, uint32_t reason,
        int64_t price, int64_t quantity, int64_t remaining) noexcept nogil
    void trade_event_of "novate_trade_event"(
        Event *event, const Order *maker, const Taker *taker, uint64_t seq, uint32_t kind,
        uint32_t index, int64_t price, int64_t quantity, int64_t remaining) noexcept nogil
    void closed_put "novate_closed_put"(
        Closed *closed, const void *identity, unsigned state, uint64_t reason, uint64_t seq,
        int64_t time_us, int64_t low, int64_t high, i128 notional, int64_t filled,
        uint32_t before) noexcept nogil
    void closed_write "novate_closed_write"(Closed *to, const Closed *source) noexcept nogil
    bint plain_place "novate_plain_place"(const Command *command) noexcept nogil
    bint plain_rest "novate_plain_rest"(const Command *command) noexcept nogil
    void plain_order "novate_plain_order"(
        Order *order, const Command *command, uint64_t seq, int64_t time_us) noexcept nogil
    void plain_event "novate_plain_event"(
        Event *event, const Command *command, uint64_t seq, uint64_t kind) noexcept nogil
    void copy_identity "novate_copy_identity"(void *target, const void *source) noexcept nogil
    int64_t key_of "novate_key_of"(int side, int64_t price) noexcept nogil
    void *reserve_zeros "novate_reserve"(size_t size) noexcept nogil
    uint32_t place_of_level "novate_place_of_level"(
        const uint32_t *levels, uint32_t level) noexcept nogil
    void prefetch "novate_prefetch"(const void *p) noexcept nogil
    void *lines_grow "novate_lines_grow"(void *p, size_t before, size_t size) noexcept nogil
    void lines_free "novate_lines_free"(void *p, size_t size) noexcept nogil
    void touch_pages "novate_touch"(void *p, size_t size) noexcept nogil
    void ask_for_huge_pages "novate_ask_for_huge_pages"(void *p, size_t size) noexcept nogil
    void *grow "novate_grow"(void *p, size_t size) noexcept nogil
    void clearing_free "novate_clearing_free"(Clearing *clearing) noexcept nogil

    ctypedef struct Order:
        uint64_t id, seq, instrument
        int64_t created_us
        uint8_t side, order_type, time_in_force, post_only, id_kind, state, by_quote, marked
        uint32_t client
        int64_t remaining
        uint32_t level
        uint32_t extra

    ctypedef struct Links:
        uint32_t next, prev
        uint32_t open_next, open_prev

    ctypedef struct Extra:
        i128 notional
        int64_t filled
        int64_t updated_us
        uint64_t updated_seq
        uint32_t next_free, special

    ctypedef struct Special:
        int64_t price, stop_price, display, hidden, minimum, expire_ns
        uint64_t rank, met
        uint32_t group, session, partner, session_next, session_prev
        uint32_t due_at, queue_at, slot
        uint32_t day_next, day_prev
        uint32_t next_free
        uint8_t self_trade, triggered, where, minimum_met, in_session, in_day

    ctypedef struct Closed:
        uint64_t id, seq, instrument
        int64_t created_us
        uint8_t side, order_type, time_in_force, post_only, id_kind, state, by_quote, marked
        uint32_t client
        int64_t price, remaining
        i128 quote_units
        i128 notional
        int64_t filled
        int64_t updated_us
        uint64_t updated_seq, reason
        uint32_t before
        uint32_t special

    ctypedef struct Taker:
        uint64_t id, seq, instrument
        int64_t created_us
        uint8_t side, order_type, time_in_force, post_only, id_kind, state, by_quote, marked
        uint32_t client
        i128 notional, quote_units
        int64_t price, remaining, filled

    ctypedef struct Level:
        int64_t key
        int64_t total
        uint32_t count, head, tail
        uint32_t better, worse, block
        int64_t hidden

    ctypedef struct Block:
        uint32_t count, next_free
        int64_t keys[63]
        uint32_t levels[63]

    ctypedef struct BookSide:
        uint32_t best, count
        uint32_t blocks_count, blocks_capacity
        int64_t *lowest
        uint32_t *blocks
        uint32_t *cache
        uint32_t cache_shift, cache_size, searched, searched_place
        int64_t best_key

    ctypedef struct Trade:
        uint64_t seq
        int64_t price, quantity, time_us
        uint64_t maker_id, taker_id
        uint32_t index, maker_client, taker_client
        uint8_t taker_side, maker_id_kind, taker_id_kind, auction

    ctypedef struct Distance:
        int64_t ticks, permille

    ctypedef struct OrderLimits:
        i128 notional_min, notional_max
        int64_t lots_min, lots_max
        Distance distance
        uint32_t open_max

    ctypedef struct OwnLimits:
        OrderLimits limits
        uint64_t place

    ctypedef struct Guard:
        i128 worth_min, worth_max
        int64_t lots_min, lots_max
        int64_t last_price, reference_price
        int64_t buy_max, sell_min, trade_min, trade_max
        uint32_t open_max, asks_markets

    ctypedef struct Rules:
        OrderLimits limits
        Distance protection, static_band, dynamic_band
        int64_t volatility_auction_ns, session_end_ns, iceberg_parts_max
        int64_t at_ns[32]
        uint8_t phases[32]
        uint32_t schedule_count, band_auction
        Guard guard

    ctypedef struct Session:
        uint32_t number, newest

    ctypedef struct Due:
        int64_t time_ns
        uint64_t number
        uint32_t kind, about

    ctypedef struct Book:
        i128 entered, filled, open, ended
        i128 volume
        BookSide sides[2]
        Trade *trades
        uint32_t trades_capacity, trades_first, trades_count
        uint32_t watch
        uint64_t trades_total, orders_matched
        uint64_t last_seq
        int64_t last_us, last_price
        int64_t price_max, lots_min, lots_max
        int64_t quote_units
        BookSide stops[2]
        Level priceless[2]
        Rules *rules
        int64_t until_ns, schedule_done_ns, reference_price
        uint32_t due_at, waiting, pairs, icebergs, own_limits
        uint32_t day_first, day_last
        uint8_t phase, held, clears

    ctypedef struct Client:
        uint64_t name
        uint32_t newest_open, last_closed
        uint32_t keys, open_count
        uint32_t timer, killed, counted, limited

    ctypedef struct OpenCount:
        uint32_t client, instrument, count

    ctypedef struct Key:
        uint8_t digest[16]
        uint64_t command_digest, seq
        int64_t time_ns
        uint32_t client, pad

    ctypedef struct Cells:
        uint8_t *bytes
        uint32_t used, capacity
        uint32_t free[10]

    ctypedef struct Table:
        uint32_t *slots
        uint8_t *tags
        uint32_t size, count

    ctypedef struct Account:
        i128 lots, available, basis, held, realized
        uint64_t key
        int64_t updated_us

    ctypedef struct Settled:
        i128 lots, cash, fees_due, fees_total

    ctypedef struct AccountTable:
        Account *accounts
        uint32_t *index
        uint32_t count, capacity, index_size, shift

    ctypedef struct Totals:
        i128 lots, turnover, fees, bust_lots, bust_turnover
        uint64_t trades, busts

    ctypedef struct Market:
        i128 lot_units
        int64_t quote_units, mark_price
        uint32_t base, quote
        int rates[16][2]
        uint8_t flags, mark, tiers
        Totals totals

    ctypedef struct Asset:
        i128 external, fees, available, held, settling, due
        uint32_t instrument, scale

    ctypedef struct Entry:
        uint64_t seq, reference, amount_low
        int64_t amount_high
        uint32_t index, client, asset, instrument, reference_index
        uint8_t kind, account

    ctypedef struct Obligation:
        i128 units
        uint32_t client, asset

    ctypedef struct Cycle:
        uint64_t id
        int64_t closed_ns
        uint64_t closed_seq, moved_seq
        Obligation *obligations
        Totals *totals
        uint32_t obligations_count, totals_count, state

    ctypedef struct Busted:
        uint64_t seq
        uint32_t index, instrument

    ctypedef struct Clearing:
        AccountTable positions, balances
        Settled *settled
        Market *markets
        Asset *assets
        uint8_t *tiers
        Cycle *cycles
        Busted *busted
        Entry *entries
        uint32_t markets_count, markets_capacity, assets_count, assets_capacity
        uint32_t tiers_capacity, cycles_count, cycles_capacity
        uint32_t busted_count, busted_capacity
        uint32_t entries_count, entries_capacity, entry_index
        uint64_t entry_seq, last_cycle
        int64_t cutoff_ns
        uint32_t cutoff_due_at, collecting, used, cutoff_last_reason
        int64_t cutoff_last_ns
        uint64_t cutoff_last_cycle

    ctypedef struct State:
        uint32_t open_max, closed_max, trades_max, keys_max, clients_max, instruments_max
        uint32_t levels_max
        int64_t key_window_ns, key_window_ns_min
        Order *orders
        Links *links
        uint32_t orders_capacity, orders_used, orders_free, open_count
        Extra *extras
        uint32_t extras_capacity, extras_used, extras_free
        Closed *closed
        uint32_t closed_capacity, closed_first, closed_count
        Closed *closed_late
        uint32_t closed_written
        uint8_t *closed_care
        Level *levels
        uint32_t levels_capacity, levels_used, levels_free
        Block *blocks
        uint32_t blocks_capacity, blocks_used, blocks_free
        Cells cells
        Table order_index[256]
        uint32_t *numbers
        Client *clients
        uint32_t clients_capacity, clients_count
        Table client_index[256]
        Key *keys
        uint32_t keys_first, keys_count
        Table key_index[256]
        Book *books
        uint32_t books_count, books_capacity
        Special *specials
        uint32_t specials_capacity, specials_used, specials_free, specials_count
        Session *sessions
        uint32_t sessions_count, sessions_capacity
        Due *due
        uint32_t due_count, due_capacity
        int64_t next_due_ns
        OwnLimits *own_limits
        uint32_t own_limits_count, own_limits_capacity
        OpenCount *open_counts
        uint32_t open_counts_size, open_counts_used
        uint32_t kills, due_done, venue_killed, rules
        Rules no_rules
        uint32_t *queue
        uint32_t queue_first, queue_count, queue_capacity
        uint32_t left, taking, triggering, traded
        int64_t traded_low, traded_high
        i128 budget, asked_units
        uint64_t walk
        uint64_t seq
        int64_t time_ns, time_us
        Taker taker
        uint32_t trade_index
        uint32_t current
        uint64_t repeat_seq
        int64_t price_before
        int key_noted
        int violation
        Event *events
        uint32_t *event_orders
        uint32_t events_count, events_capacity
        uint32_t events_limit
        uint64_t events_given
        Sink sink
        void *sink_context
        uint64_t secret
        Clearing *clearing

# where an order with a Special stands; others stand at a level
cdef enum:
    NOWHERE = 0
    AT_LEVEL = 1
    PRICELESS = 2
    WAITING = 3
    QUEUED = 4

# order numbers under this are looked up in an array, others by their hash
cdef enum:
    NUMBERS_MAX = 16777216

# order states
cdef enum:
    WORKING = 0
    FILLED = 1
    ENDED = 2
    REJECTED = 3

cdef State *state_new() noexcept
cdef void state_free(State *st) noexcept
cdef void more_orders(State *st) noexcept nogil
cdef void more_extras(State *st) noexcept nogil
cdef void more_specials(State *st) noexcept nogil
cdef void more_closed(State *st) noexcept nogil
cdef void more_clients(State *st) noexcept nogil
cdef void more_levels(State *st) noexcept nogil
cdef void more_blocks(State *st) noexcept nogil
cdef uint32_t cell_new(Cells *cells, uint32_t units) noexcept nogil
cdef void cell_free(Cells *cells, uint32_t cell, uint32_t units) noexcept nogil
cdef uint64_t name_new(State *st, int kind, const uint8_t *text, uint32_t length,
                       uint64_t hashed) noexcept nogil
cdef uint64_t text_copy(State *st, int kind, uint64_t name) noexcept nogil
cdef void text_free(State *st, int kind, uint64_t name) noexcept nogil
cdef void more_events(State *st) noexcept nogil
cdef void events_room(State *st, uint32_t capacity) noexcept nogil
cdef void fit_events(State *st) noexcept nogil
cdef void events_into(State *st, Sink sink, void *context) noexcept nogil
cdef void flush_events(State *st) noexcept nogil
cdef void events_gathered(State *st) noexcept nogil
cdef void forget_events(State *st) noexcept nogil
cdef uint32_t book_new(State *st) noexcept nogil

cdef inline uint32_t place_of(Table *table, uint32_t hashed) noexcept nogil:
    """A number's own place in its shard: its hash's lower 24 bits, scaled to the shard's size."""
    return <uint32_t>(<uint64_t>(hashed & 0xFFFFFF) * table.size >> 24)

cdef inline uint32_t place_after(Table *table, uint32_t at) noexcept nogil:
    return at + 1 if at + 1 < table.size else 0

cdef inline uint8_t tag_of(uint32_t hashed, uint32_t distance) noexcept nogil:
    """A table's tag: a fingerprint of 1-15, and the distance from its place, 15 for any more."""
    cdef uint32_t print4 = hashed & 15
    return <uint8_t>((print4 if print4 else 8) << 4 | (distance if distance < 15 else 15))

cdef inline const uint8_t *name_text(State *st, int kind, uint64_t name,
                                     uint32_t *length) noexcept nogil:
    """Where a UUID's 16 bytes or a text's characters stand, and their number."""
    cdef uint8_t *cell = st.cells.bytes + (name & 0xFFFFFFFFU) * 8
    if kind == ID_UUID:
        length[0] = 16
        return cell
    length[0] = cell[0]
    return cell + 1

cdef inline uint64_t name_copy(State *st, int kind, uint64_t name) noexcept nogil:
    """A second name with the same text, in a cell of its own; a number is its own copy."""
    return name if kind == ID_NUMBER else text_copy(st, kind, name)

cdef inline void name_free(State *st, int kind, uint64_t name) noexcept nogil:
    """Give a name's cell back."""
    if kind != ID_NUMBER:
        text_free(st, kind, name)

cdef inline uint32_t order_new(State *st) noexcept nogil:
    """A slot for an order; its fields are whatever was there.

    The one freed last, or the next that never was in use: nothing here branches on which, for
    orders come and go by chance. A free slot says how far it is from the one behind it to the next
    free one, so that those that nobody has touched, which are zeros, each stand before the next.
    """
    cdef uint32_t slot = st.orders_free
    if unlikely(slot == st.orders_capacity):
        more_orders(st)
    st.links[slot].prev = NONE  # written before it is read: the system gives a page once
    st.orders_free = slot + 1 + st.links[slot].next
    st.orders_used = max(st.orders_used, slot + 1)
    return slot

cdef inline void order_free(State *st, uint32_t slot) noexcept nogil:
    """Give a slot back; what it holds elsewhere is the caller's matter."""
    st.orders[slot].seq = 0
    st.links[slot].next = st.orders_free - slot - 1
    st.orders_free = slot

cdef inline void order_left(State *st, uint32_t slot, uint32_t place) noexcept nogil:
    """The order of this slot stands at a place of the closed ones from now on; its slot is free.

    Not before the command is over, if what was due may have told of the order in this slot.
    """
    order_free(st, slot)
    st.orders[slot].level = place
    if unlikely(st.due_done):
        st.orders_free = slot + 1 + st.links[slot].next
        st.links[slot].next = st.left
        st.left = slot

cdef inline Extra *order_extra(State *st, Order *order) noexcept nogil:
    """The order's Extra, made now if it has none: nothing filled, updated at creation."""
    cdef Extra *extra
    cdef uint32_t i = order.extra
    if i != NONE:
        return &st.extras[i]
    i = st.extras_free
    if i != NONE:
        st.extras_free = st.extras[i].next_free
    else:
        if st.extras_used == st.extras_capacity:
            more_extras(st)
        i = st.extras_used
        st.extras_used += 1
    extra = &st.extras[i]
    extra.notional = 0
    extra.filled = 0
    extra.updated_us = order.created_us
    extra.updated_seq = order.seq
    extra.special = NONE
    order.extra = i
    return extra

cdef inline void extra_free(State *st, Order *order) noexcept nogil:
    """Give the order's Extra back, if it has one."""
    if order.extra != NONE:
        st.extras[order.extra].next_free = st.extras_free
        st.extras_free = order.extra

cdef inline void special_free(State *st, uint32_t special) noexcept nogil:
    """Give a Special back."""
    st.specials[special].next_free = st.specials_free
    st.specials_free = special
    st.specials_count -= 1

cdef inline Closed *closed_at(State *st, uint32_t place) noexcept nogil:
    """The closed order at a place (with or without CLOSED); good until others close."""
    if ((place - st.closed_written) & PLACE_MASK) < LATE:
        return st.closed_late + (place & (LATE - 1))
    return st.closed + (place & (st.closed_capacity - 1))

cdef inline Event *event_room(State *st, uint32_t order) noexcept nogil:
    """Append an event about the order that stands there (or NONE), for the caller to write."""
    cdef uint32_t count = st.events_count
    if unlikely(count >= st.events_limit):
        more_events(st)
        count = st.events_count
    st.event_orders[count] = order
    st.events_count = count + 1
    return st.events + count

cdef inline uint64_t events_written(State *st) noexcept nogil:
    """A count of events that goes on whether a sink takes them or not; for differences."""
    return st.events_given + st.events_count

cdef inline Event *event_new(State *st, int kind, uint32_t order) noexcept nogil:
    """Append an event with its seq and kind set, the rest zero but side 255."""
    cdef Event *event = event_room(st, order)
    memset(event, 0, sizeof(Event))
    event.seq = st.seq
    event.kind = kind
    event.side = 255
    return event

cdef inline Special *order_special(State *st, const Order *order) noexcept nogil:
    """The Special of an open order that is marked."""
    return &st.specials[st.extras[order.extra].special]

cdef inline int64_t order_unfilled(State *st, const Order *order) noexcept nogil:
    """Lots of an open order that are not filled, hidden ones too."""
    if unlikely(order.marked):
        return order.remaining + order_special(st, order).hidden
    return order.remaining

cdef inline uint32_t order_now(State *st, uint32_t order) noexcept nogil:
    """Where an order stands that stood in this slot when an event of the command was written."""
    if order & CLOSED or st.orders[order].seq != 0:  # or NONE
        return order
    return st.orders[order].level

cdef inline Rules *rules_of(State *st, Book *book) noexcept nogil:
    """The instrument's rules, or those that mean none."""
    return book.rules if book.rules != NULL else &st.no_rules

cdef inline int64_t order_price(State *st, const Order *order) noexcept nogil:
    """Price in ticks of an open order: its level's, if it has no Special; 0: none."""
    if unlikely(order.marked):
        return order_special(st, order).price
    return level_price(order.side, st.levels[order.level].key)

cdef inline int64_t order_filled(State *st, const Order *order) noexcept nogil:
    """Lots filled so far."""
    return 0 if order.extra == NONE else st.extras[order.extra].filled

cdef inline uint32_t number_at(State *st, uint64_t number) noexcept nogil:
    """Where the order of a small number (or NUMBERS_MAX, which none has) stands, or NONE."""
    return ~st.numbers[number]

cdef inline void number_put(State *st, uint64_t number, uint32_t order) noexcept nogil:
    st.numbers[number] = ~order

cdef inline int64_t level_price(int side, int64_t key) noexcept nogil:
    """Price in ticks of a level of this side."""
    return key_of(side, key)
