# cython: language_level=3
"""The engine's state in C: orders, books, names and windows, and small inline functions."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from libc.string cimport memset

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <stdint.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>
    #ifndef NOVATE_STATE_H
    #define NOVATE_STATE_H
    typedef __int128 novate_i128;

    #define NOVATE_NONE 0xFFFFFFFFu

    #if defined(NOVATE_CHECKED) && NOVATE_CHECKED
    #define NOVATE_CHECK(c) do { if (!(c)) { \\
        fprintf(stderr, "novate: check failed: %s (%s:%d)\\n", #c, __FILE__, __LINE__); \\
        abort(); } } while (0)
    #else
    #define NOVATE_CHECK(c) ((void)0)
    #endif

    /* A command as it travels; see novate.model.commands.COMMAND. */
    typedef struct {
        uint8_t kind, side, order_type, time_in_force;
        uint8_t flags, order_id_kind, order_id_length, client_id_length;
        uint32_t instrument, client;
        uint64_t order_number;
        int64_t price_ticks, quantity_lots;
        uint64_t quote_units_low;
        int64_t quote_units_high;
        uint8_t key_digest[16];
        uint64_t command_digest;
        uint16_t text_length, pad16;
        uint32_t pad32;
    } Command;

    /* An event as it leaves; see novate.model.events.EVENT. */
    typedef struct {
        uint64_t seq;
        uint8_t kind, side, order_type, time_in_force;
        uint8_t reason, flags;
        uint16_t pad;
        uint32_t instrument, index;
        uint64_t order, taker;
        uint32_t client, taker_client;
        int64_t price_ticks, quantity_lots, remaining_lots;
    } Event;

    /* An order, 64 bytes: one line of the cache. Its place among its client's orders stands in a
       Created beside it; what few resting orders need stands in its Extra. */
    typedef struct {
        int64_t price;                 /* ticks; 0 for a market order */
        int64_t remaining;             /* lots not filled; stays as the rest when it ends */
        uint64_t seq : 48, instrument : 16;
        uint64_t created_us : 52, side : 1, order_type : 2, time_in_force : 3,
                 post_only : 1, id_kind : 2, state : 2, by_quote : 1;
        uint64_t id;                   /* number; or cell (low 32 bits) and hash (high) */
        uint32_t next, prev;           /* FIFO of its level; next also: closed list, free list */
        uint32_t client;
        uint32_t extra;                /* index of its Extra, or NOVATE_NONE */
        uint32_t open_next, open_prev;       /* its client's open orders, newest first */
    } Order;

    typedef struct {
        uint32_t next, prev;           /* its client's orders in memory, newest first */
    } Created;

    typedef struct {
        novate_i128 notional;          /* sum of price * lots over its fills, ticks * lots */
        novate_i128 quote_units;       /* the quote quantity it came with */
        int64_t filled;                /* lots */
        int64_t updated_us;
        uint64_t updated_seq;
        uint32_t reason;
        uint32_t next_free;
    } Extra;

    typedef struct {
        int64_t key;                   /* price of a bid, minus price of an ask: best is highest */
        int64_t total;                 /* lots */
        uint32_t count, head, tail, pad;
    } Level;

    typedef struct {
        Level *levels;                 /* ascending by key: the best is the last */
        uint32_t count, capacity;
    } BookSide;

    typedef struct {
        uint64_t seq;
        int64_t price, quantity, time_us;
        uint64_t maker_id, taker_id;   /* as Order.id; cells are the trade's own */
        uint32_t index, maker_client, taker_client;
        uint8_t taker_side, maker_id_kind, taker_id_kind, pad;
    } Trade;

    typedef struct {
        novate_i128 entered, filled, open, ended;   /* lots, all orders, all time */
        novate_i128 volume;                         /* lots traded */
        BookSide sides[2];
        Trade *trades;                              /* ring of the last trades */
        uint32_t trades_capacity, trades_first, trades_count, pad;
        uint64_t trades_total, orders_matched;
        uint64_t last_seq;                          /* last command that changed this book */
        int64_t last_us, last_price;
        int64_t price_max, lots_min, lots_max;
        int64_t quote_units;                        /* of one tick times one lot */
    } Book;

    typedef struct {
        uint64_t name;                 /* cell (low) and hash (high); 0 for a bare number */
        uint32_t newest, newest_open;  /* heads of its lists of orders */
        uint32_t keys, open_count;
    } Client;

    typedef struct {
        uint8_t digest[16];
        uint64_t command_digest, seq;
        int64_t time_ns;
        uint32_t client, pad;
    } Key;

    typedef struct {
        uint8_t *bytes;
        uint32_t used, capacity;       /* units of 8 bytes; unit 0 is never given out */
        uint32_t free[10];             /* free lists by size in units */
    } Cells;

    /* A shard of a hash table: numbers by open addressing, each with a tag of 4 bits of its hash
       and 4 of how far it stands from its place, so that a search rarely looks at what it does
       not find and a removal at nothing else; tag 0: a free place. 256 shards make an index, so
       that growing one never takes long. */
    typedef struct {
        uint32_t *slots;
        uint8_t *tags;
        uint32_t size, count;
    } Table;

    typedef struct {
        /* limits, set by command */
        uint32_t open_max, closed_max, trades_max, keys_max, clients_max, instruments_max;
        uint32_t levels_max;
        int64_t key_window_ns, key_window_ns_min;
        /* orders */
        Order *orders;
        Created *created;
        uint32_t orders_capacity, orders_used, orders_free;
        uint32_t open_count, closed_count, closed_first, closed_last;
        Extra *extras;
        uint32_t extras_capacity, extras_used, extras_free;
        Cells cells;
        Table order_index[256];
        uint32_t *numbers;             /* slots of orders named by a small number */
        uint64_t numbers_capacity;
        /* clients */
        Client *clients;
        uint32_t clients_capacity, clients_count;
        Table client_index[256];
        /* idempotency keys: a ring of keys_max, oldest first */
        Key *keys;
        uint32_t keys_first, keys_count;
        Table key_index[256];
        /* books */
        Book *books;
        uint32_t books_count, books_capacity;
        /* the command at hand */
        uint64_t seq;
        int64_t time_ns, time_us;
        uint32_t trade_index;
        uint32_t current;              /* slot of the order it placed, or NOVATE_NONE */
        uint64_t repeat_seq;           /* of a repeated key: seq of the first */
        int64_t price_before;          /* of an amended order: the price it had; else 0 */
        int key_noted;                 /* whether the command's key is remembered */
        int violation;                 /* 0, or the number of the invariant that fails */
        /* what it wrote */
        Event *events;
        uint32_t *event_slots;         /* slot of each event's `order`, or NOVATE_NONE */
        uint32_t events_count, events_capacity;
        uint64_t secret;               /* seeds the hash tables; never part of the state */
    } State;

    static inline uint64_t novate_mix(uint64_t a, uint64_t b) {
        unsigned __int128 p = (unsigned __int128)a * b;
        return (uint64_t)p ^ (uint64_t)(p >> 64);
    }
    static inline uint64_t novate_hash(const uint8_t *p, size_t n, uint64_t secret) {
        uint64_t h = secret ^ (n * 0x9E3779B97F4A7C15ull), v;
        while (n >= 8) {
            memcpy(&v, p, 8);
            h = novate_mix(h ^ v, 0xE7037ED1A0B428DBull ^ (secret << 1));
            p += 8; n -= 8;
        }
        v = 0;
        memcpy(&v, p, n);
        h = novate_mix(h ^ v, 0x8EBC6AF09C88C6E3ull ^ secret);
        return novate_mix(h ^ 0x589965CC75374CC3ull, secret | 1);
    }
    /* What never changes of an order, in one store: as the bit fields of Order lie. */
    static inline void novate_order_shape(Order *o, uint64_t seq, uint64_t instrument,
            uint64_t created_us, uint64_t side, uint64_t type, uint64_t force,
            uint64_t post_only, uint64_t id_kind, uint64_t by_quote) {
        Order shape;
        shape.seq = seq; shape.instrument = instrument;
        shape.created_us = created_us; shape.side = side; shape.order_type = type;
        shape.time_in_force = force; shape.post_only = post_only; shape.id_kind = id_kind;
        shape.state = 0; shape.by_quote = by_quote;
        memcpy(&o->remaining + 1, &shape.remaining + 1, 16);
    }
    #define novate_prefetch(p) __builtin_prefetch((p), 1, 3)
    static inline void *novate_grow(void *p, size_t bytes) {
        void *q = realloc(p, bytes);
        if (!q) { fprintf(stderr, "novate: out of memory (%zu bytes)\\n", bytes); abort(); }
        return q;
    }
    /* Memory that starts on a page, and so on a line, and grows without being copied. */
    static inline void *novate_lines_grow(void *p, size_t before, size_t bytes) {
        void *q = p ? mremap(p, before, bytes, MREMAP_MAYMOVE)
                    : mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (q == MAP_FAILED) {
            fprintf(stderr, "novate: out of memory (%zu bytes)\\n", bytes); abort();
        }
        return q;
    }
    static inline void novate_lines_free(void *p, size_t bytes) {
        if (p) munmap(p, bytes);
    }
    #endif
    """
    ctypedef long long i128 "novate_i128"
    uint32_t NONE "NOVATE_NONE"
    void CHECK "NOVATE_CHECK"(bint condition) noexcept nogil
    uint64_t mix "novate_mix"(uint64_t a, uint64_t b) noexcept nogil
    uint64_t hash_bytes "novate_hash"(const uint8_t *p, size_t n, uint64_t secret) noexcept nogil
    void order_shape "novate_order_shape"(
        Order *order, uint64_t seq, uint64_t instrument, uint64_t created_us, uint64_t side,
        uint64_t order_type, uint64_t time_in_force, uint64_t post_only, uint64_t id_kind,
        uint64_t by_quote) noexcept nogil
    void prefetch "novate_prefetch"(const void *p) noexcept nogil
    void *lines_grow "novate_lines_grow"(void *p, size_t before, size_t size) noexcept nogil
    void lines_free "novate_lines_free"(void *p, size_t size) noexcept nogil
    void *grow "novate_grow"(void *p, size_t size) noexcept nogil

    ctypedef struct Command:
        uint8_t kind, side, order_type, time_in_force
        uint8_t flags, order_id_kind, order_id_length, client_id_length
        uint32_t instrument, client
        uint64_t order_number
        int64_t price_ticks, quantity_lots
        uint64_t quote_units_low
        int64_t quote_units_high
        uint8_t key_digest[16]
        uint64_t command_digest
        uint16_t text_length, pad16
        uint32_t pad32

    ctypedef struct Event:
        uint64_t seq
        uint8_t kind, side, order_type, time_in_force
        uint8_t reason, flags
        uint16_t pad
        uint32_t instrument, index
        uint64_t order, taker
        uint32_t client, taker_client
        int64_t price_ticks, quantity_lots, remaining_lots

    ctypedef struct Order:
        int64_t price
        int64_t remaining
        uint64_t seq
        uint64_t instrument
        uint64_t created_us
        uint64_t side, order_type, time_in_force, post_only, id_kind, state, by_quote
        uint64_t id
        uint32_t next, prev
        uint32_t client
        uint32_t extra
        uint32_t open_next, open_prev

    ctypedef struct Created:
        uint32_t next, prev

    ctypedef struct Extra:
        i128 notional
        i128 quote_units
        int64_t filled
        int64_t updated_us
        uint64_t updated_seq
        uint32_t reason
        uint32_t next_free

    ctypedef struct Level:
        int64_t key
        int64_t total
        uint32_t count, head, tail, pad

    ctypedef struct BookSide:
        Level *levels
        uint32_t count, capacity

    ctypedef struct Trade:
        uint64_t seq
        int64_t price, quantity, time_us
        uint64_t maker_id, taker_id
        uint32_t index, maker_client, taker_client
        uint8_t taker_side, maker_id_kind, taker_id_kind, pad

    ctypedef struct Book:
        i128 entered, filled, open, ended
        i128 volume
        BookSide sides[2]
        Trade *trades
        uint32_t trades_capacity, trades_first, trades_count
        uint64_t trades_total, orders_matched
        uint64_t last_seq
        int64_t last_us, last_price
        int64_t price_max, lots_min, lots_max
        int64_t quote_units

    ctypedef struct Client:
        uint64_t name
        uint32_t newest, newest_open
        uint32_t keys, open_count

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

    ctypedef struct State:
        uint32_t open_max, closed_max, trades_max, keys_max, clients_max, instruments_max
        uint32_t levels_max
        int64_t key_window_ns, key_window_ns_min
        Order *orders
        Created *created
        uint32_t orders_capacity, orders_used, orders_free
        uint32_t open_count, closed_count, closed_first, closed_last
        Extra *extras
        uint32_t extras_capacity, extras_used, extras_free
        Cells cells
        Table order_index[256]
        uint32_t *numbers
        uint64_t numbers_capacity
        Client *clients
        uint32_t clients_capacity, clients_count
        Table client_index[256]
        Key *keys
        uint32_t keys_first, keys_count
        Table key_index[256]
        Book *books
        uint32_t books_count, books_capacity
        uint64_t seq
        int64_t time_ns, time_us
        uint32_t trade_index
        uint32_t current
        uint64_t repeat_seq
        int64_t price_before
        int key_noted
        int violation
        Event *events
        uint32_t *event_slots
        uint32_t events_count, events_capacity
        uint64_t secret

# order numbers under this are looked up in an array, others by their hash
cdef enum:
    NUMBERS_MAX = 16777216

# order states
cdef enum:
    WORKING = 0
    FILLED = 1
    ENDED = 2
    REJECTED = 3

# command kinds, id kinds, flags, event kinds: as in novate.model
cdef enum:
    PLACE = 1
    CANCEL = 2
    AMEND = 3
    MASS_CANCEL = 4
    CREATE_INSTRUMENT = 5
    CONFIGURE = 6
    TAKE_SNAPSHOT = 7

cdef enum:
    ID_NUMBER = 0
    ID_UUID = 1
    ID_TEXT = 2

cdef enum:
    POST_ONLY = 1
    HAS_KEY = 2
    BY_QUOTE = 4
    SET_PRICE = 8
    SET_QUANTITY = 16

cdef enum:
    LIMIT = 0
    MARKET = 1
    GTC = 0
    IOC = 1
    FOK = 2

cdef enum:
    ORDER_ACCEPTED = 1
    ORDER_REJECTED = 2
    TRADE = 3
    ORDER_ENDED = 4
    ORDER_AMENDED = 5
    COMMAND_REFUSED = 6
    MASS_CANCELLED = 7
    INSTRUMENT_CREATED = 8
    CONFIGURED = 9
    SNAPSHOT_REQUESTED = 10

# reasons: as in novate.model.rejects
cdef enum:
    BY_CLIENT = 1
    IMMEDIATE_OR_CANCEL = 2
    FILL_OR_KILL = 3
    BOOK_EXHAUSTED = 4
    QUOTE_QUANTITY_TOO_SMALL = 5
    MASS_CANCEL_REASON = 6
    POST_ONLY_WOULD_CROSS = 32
    OPEN_ORDERS_LIMIT = 33
    LEVEL_FULL = 34
    PRICE_LEVELS_LIMIT = 35
    DUPLICATE_ORDER_ID = 64
    UNKNOWN_ORDER = 65
    ALREADY_CLOSED = 66
    AMEND_QUANTITY_TOO_LOW = 67
    AMEND_WOULD_CROSS = 68
    AMEND_LEVEL_FULL = 69
    IDEMPOTENCY_KEY_REPEATED = 70
    IDEMPOTENCY_KEY_REUSED = 71
    IDEMPOTENCY_WINDOW_FULL = 72
    CLIENTS_LIMIT = 73
    UNKNOWN_INSTRUMENT = 74
    OUT_OF_BOUNDS = 75
    INSTRUMENT_EXISTS = 96
    INSTRUMENTS_LIMIT = 97
    MALFORMED_COMMAND = 98

cdef State *state_new() noexcept
cdef void state_free(State *st) noexcept
cdef uint32_t order_new(State *st) noexcept nogil
cdef void order_free(State *st, uint32_t slot) noexcept nogil
cdef Extra *order_extra(State *st, Order *order) noexcept nogil
cdef uint32_t cell_new(Cells *cells, uint32_t units) noexcept nogil
cdef void cell_free(Cells *cells, uint32_t cell, uint32_t units) noexcept nogil
cdef uint64_t name_new(State *st, int kind, const uint8_t *text, uint32_t length,
                       uint64_t hashed) noexcept nogil
cdef uint64_t name_copy(State *st, int kind, uint64_t name) noexcept nogil
cdef void name_free(State *st, int kind, uint64_t name) noexcept nogil
cdef void event_room(State *st) noexcept nogil
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

cdef inline Event *event_new(State *st, int kind, uint32_t slot) noexcept nogil:
    """Append an event with its seq and kind set, the rest zero but side 255."""
    cdef Event *event
    if st.events_count == st.events_capacity:
        event_room(st)
    event = &st.events[st.events_count]
    memset(event, 0, sizeof(Event))
    event.seq = st.seq
    event.kind = kind
    event.side = 255
    st.event_slots[st.events_count] = slot
    st.events_count += 1
    return event

cdef inline uint64_t order_number(Order *order) noexcept nogil:
    """The order's number in events: the caller's, or the seq that placed it."""
    return order.id if order.id_kind == ID_NUMBER else order.seq

cdef inline int64_t order_filled(State *st, Order *order) noexcept nogil:
    """Lots filled so far."""
    return 0 if order.extra == NONE else st.extras[order.extra].filled

cdef inline int64_t level_price(int side, int64_t key) noexcept nogil:
    """Price in ticks of a level of this side."""
    return key if side == 0 else -key
