/* The engine's state in C: orders, books, names and windows, and small inline functions. */
#ifndef NOVATE_STATE_H
#define NOVATE_STATE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include "novate/model/records.h"

typedef __int128 novate_i128;

#define NOVATE_NONE 0xFFFFFFFFu
#define NOVATE_NO_KEY (-INT64_MAX)      /* under the key of every level, and its minus above */
#define NOVATE_BLOCK_SIZE 63u
#define NOVATE_SINK_EVENTS 1024u       /* events of a chunk at most */
/* Where an order stands: a slot of the slab, or with this bit a place in the ring of closed ones;
   places count on and on and keep their lower 30 bits. */
#define NOVATE_CLOSED 0x80000000u
#define NOVATE_PLACE_MASK 0x3FFFFFFFu
#define NOVATE_LATE 64u                /* closed orders that are not yet written to the ring */
#define NOVATE_WRITTEN 8u              /* and that are written to it at once */

#if defined(NOVATE_CHECKED) && NOVATE_CHECKED
#define NOVATE_CHECK(c) do { if (!(c)) { \
    fprintf(stderr, "novate: check failed: %s (%s:%d)\n", #c, __FILE__, __LINE__); \
    abort(); } } while (0)
#else
#define NOVATE_CHECK(c) ((void)0)
#endif

/* What an order is and never changes stands first in Order, Closed and Taker alike, 32 bytes, so
   that it is copied whole; side to time_in_force lie as in Command and Event. */
#define NOVATE_IDENTITY \
    uint64_t id;                       /* number; or cell (low 32 bits) and hash (high) */ \
    uint64_t seq : 48, instrument : 16; \
    int64_t created_us; \
    uint8_t side, order_type, time_in_force; \
    uint8_t post_only : 1, id_kind : 2, state : 2, by_quote : 1, marked : 1; /* has a Special */ \
    uint32_t client;

/* Bits of Book.watch: every order goes the whole way; it may have to; what it trades with, or sets
   off, may be special. */
#define NOVATE_WATCH_ALL 1u            /* a phase; orders without a price */
#define NOVATE_WATCH_LIMITS 2u         /* rules, or clients' own limits */
#define NOVATE_WATCH_TRADES 4u         /* stop orders, icebergs, pairs */

/* An order in the book, 48 bytes. Its price is its level's. What few resting orders need stands in
   its Extra. */
typedef struct {
    NOVATE_IDENTITY
    int64_t remaining;                 /* lots not filled */
    uint32_t level;                    /* index of its level */
    uint32_t extra;                    /* index of its Extra, or NOVATE_NONE */
} Order;

/* What an order stands between, by the same slot: apart, so that the neighbours of an order that
   comes or goes are found in few lines of the cache. */
typedef struct {
    uint32_t next, prev;               /* FIFO of its level; next also: free list */
    uint32_t open_next, open_prev;     /* its client's open orders, newest first */
} Links;

typedef struct {
    novate_i128 notional;              /* sum of price * lots over its fills, ticks * lots */
    int64_t filled;                    /* lots */
    int64_t updated_us;
    uint64_t updated_seq;
    uint32_t next_free, special;       /* index of its Special, or NOVATE_NONE */
} Extra;

/* What few orders have: where it stands if that is no level of its side, what it waits for, whom
   it is bound to. An order with one is `marked` and has an Extra. */
typedef struct {
    int64_t price;                     /* limit, ticks; 0: none */
    int64_t stop_price;                /* ticks; 0: none */
    int64_t display;                   /* lots of a tip; 0: all is shown */
    int64_t hidden;                    /* lots behind the tip while it rests */
    int64_t minimum;                   /* lots, as asked */
    int64_t expire_ns;                 /* GTD as asked, DAY as computed; 0: none */
    uint64_t rank;                     /* seq that gave it its place in time */
    uint64_t met;                      /* the walk of obtainable lots that met it last */
    uint32_t group, session;
    uint32_t partner;                  /* slot of the open order it is paired with, or NONE */
    uint32_t session_next, session_prev;
    uint32_t due_at;                   /* its place in the heap of due items, or NONE */
    uint32_t queue_at;                 /* its place among the triggered, where it stands there */
    uint32_t slot;                     /* its order's */
    uint32_t day_next, day_prev;       /* DAY orders of its book, the oldest first */
    uint32_t next_free;
    uint8_t self_trade, triggered, where, minimum_met;
    uint8_t in_session, in_day, pad[2];
} Special;

/* An order that has ended, as the window of closed orders keeps it. An order by quote quantity
   has neither price nor quantity: its quote units stand in their place. */
typedef struct {
    NOVATE_IDENTITY
    union {
        struct { int64_t price, remaining; };
        novate_i128 quote_units;
    };
    novate_i128 notional;
    int64_t filled;
    int64_t updated_us;
    uint64_t updated_seq : 48, reason : 16;
    uint32_t before;                   /* place of its client's order that closed before it */
    uint32_t special;                  /* index of its Special, or NOVATE_NONE */
} Closed;

/* The order that a command places or sends into the book anew, while it is matched. */
typedef struct {
    NOVATE_IDENTITY
    novate_i128 notional, quote_units;
    int64_t price, remaining, filled;
} Taker;

/* A price level with orders; neighbours are linked, so that a sweep never searches. */
typedef struct {
    int64_t key;                       /* price of a bid, minus price of an ask: best is highest */
    int64_t total;                     /* lots shown */
    uint32_t count, head, tail;
    uint32_t better, worse;            /* the levels next to it, or NOVATE_NONE */
    uint32_t block;                    /* block of the ladder that it stands in */
    int64_t hidden;                    /* lots behind the tips of icebergs */
    uint64_t pad[2];                   /* a level is one line of the cache */
} Level;

/* A piece of a side's ladder: up to 63 levels, ascending by key; 12 whole lines of the cache. */
typedef struct {
    uint32_t count, next_free;
    int64_t keys[NOVATE_BLOCK_SIZE];
    uint32_t levels[NOVATE_BLOCK_SIZE];
    uint32_t pad;
} Block;

/* One side of a book. Its ladder orders the levels: blocks, each with its lowest key beside it.
   The cache finds a level by its key in one look, if nothing else took its place there. */
typedef struct {
    uint32_t best, count;              /* level, NOVATE_NONE where there is none; levels in all */
    uint32_t blocks_count, blocks_capacity;
    int64_t *lowest;
    uint32_t *blocks;
    uint32_t *cache;
    uint32_t cache_shift, cache_size;
    uint32_t searched, searched_place; /* the block that was searched last, and where in it */
    int64_t best_key;                  /* of the best level, NOVATE_NO_KEY where there is none */
} BookSide;

typedef struct {
    uint64_t seq;
    int64_t price, quantity, time_us;
    uint64_t maker_id, taker_id;       /* as Order.id; cells are the trade's own */
    uint32_t index, maker_client, taker_client;
    uint8_t taker_side, maker_id_kind, taker_id_kind, auction;
} Trade;

typedef struct {
    int64_t ticks, permille;           /* 0: not used */
} Distance;

typedef struct {
    novate_i128 notional_min, notional_max;
    int64_t lots_min, lots_max;
    Distance distance;
    uint32_t open_max, pad[3];
} OrderLimits;

/* Limits of one client on one instrument, by client << 32 | instrument. */
typedef struct {
    OrderLimits limits;
    uint64_t place, pad;
} OwnLimits;

/* What the rules leave to a plain order, in numbers that are compared at once, while last and
   reference price are those that they were made for. Beyond them it goes the whole way. */
typedef struct {
    novate_i128 worth_min, worth_max;  /* price * lots */
    int64_t lots_min, lots_max;
    int64_t last_price, reference_price;
    int64_t buy_max, sell_min;         /* limit prices */
    int64_t trade_min, trade_max;      /* prices of trades */
    uint32_t open_max;                 /* its client's open orders on all instruments are under it */
    uint32_t asks_markets;             /* whether orders without a limit are asked anything */
} Guard;

typedef struct {
    OrderLimits limits;
    Distance protection, static_band, dynamic_band;
    int64_t volatility_auction_ns, session_end_ns, iceberg_parts_max;
    int64_t at_ns[32];                 /* the daily schedule, after 00:00 UTC */
    uint8_t phases[32];
    uint32_t schedule_count, band_auction;
    Guard guard;                       /* follows from the others and the book */
} Rules;

typedef struct {
    uint32_t number, newest;           /* and slot of its newest open order, or NONE */
} Session;

/* Something that happens at a time: a phase of an instrument, an order's end (by its Special), a
   client's timer; in the order of time, kind and number. */
typedef struct {
    int64_t time_ns;
    uint64_t number;
    uint32_t kind, about;
} Due;

typedef struct {
    novate_i128 entered, filled, open, ended;   /* lots, all orders, all time */
    novate_i128 volume;                         /* lots traded */
    BookSide sides[2];
    Trade *trades;                              /* ring of the last trades */
    uint32_t trades_capacity, trades_first, trades_count;
    uint32_t watch;                             /* WATCH bits; 0: nothing but plain orders */
    uint64_t trades_total, orders_matched;
    uint64_t last_seq;                          /* last command that changed this book */
    int64_t last_us, last_price;
    int64_t price_max, lots_min, lots_max;
    int64_t quote_units;                        /* of one tick times one lot */
    BookSide stops[2];                          /* stop orders, the first to trigger best */
    Level priceless[2];                         /* market orders of an auction, as two queues */
    Rules *rules;                               /* NULL: none */
    int64_t until_ns, schedule_done_ns, reference_price;
    uint32_t due_at;                            /* of its phases in the heap, or NOVATE_NONE */
    uint32_t waiting, pairs, icebergs;          /* stop orders; orders in pairs; with a display */
    uint32_t own_limits;                        /* clients with limits of their own */
    uint32_t day_first, day_last;               /* open DAY orders, or NOVATE_NONE */
    uint8_t phase, held;
    uint8_t clears;                    /* how its trades are cleared, or 0: not at all */
} Book;

typedef struct {
    uint64_t name;                     /* cell (low) and hash (high); 0 for a bare number */
    uint32_t newest_open;              /* head of its list of open orders */
    uint32_t last_closed;              /* place of the order of it that closed last */
    uint32_t keys, open_count;
    uint32_t timer;                    /* its dead-man timer in the heap, or NOVATE_NONE */
    uint32_t killed : 1;
    uint32_t counted : 1;              /* its open orders are, on each instrument */
    uint32_t limited : 1;              /* it has limits of its own on some instrument */
} Client;

/* How many open orders a client has on an instrument; a place in a hash table. */
typedef struct {
    uint32_t client, instrument, count, pad;   /* count 0: free */
} OpenCount;

typedef struct {
    uint8_t digest[16];
    uint64_t command_digest, seq;
    int64_t time_ns;
    uint32_t client, pad;
} Key;

typedef struct {
    uint8_t *bytes;
    uint32_t used, capacity;           /* units of 8 bytes; unit 0 is never given out */
    uint32_t free[10];                 /* free lists by size in units */
} Cells;

/* A shard of a hash table: numbers by open addressing, each with a tag of 4 bits of its hash and
   4 of how far it stands from its place, so that a search rarely looks at what it does not find
   and a removal at nothing else; tag 0: a free place. 256 shards make an index, so that growing
   one never takes long. */
typedef struct {
    uint32_t *slots;
    uint8_t *tags;
    uint32_t size, count;
} Table;

/* Takes events in chunks, where a caller does not want them gathered. */
typedef void (*Sink)(void *context, const Event *events, uint32_t count);

typedef struct {
    /* limits, set by command */
    uint32_t open_max, closed_max, trades_max, keys_max, clients_max, instruments_max;
    uint32_t levels_max;
    int64_t key_window_ns, key_window_ns_min;
    /* open orders: a slab */
    Order *orders;
    Links *links;
    uint32_t orders_capacity, orders_used, orders_free, open_count;
    Extra *extras;
    uint32_t extras_capacity, extras_used, extras_free;
    /* closed orders: a ring, a power of two long; places count on and on, 30 bits of them */
    Closed *closed;
    uint32_t closed_capacity, closed_first, closed_count;
    Closed *closed_late;               /* the last of them, by their places' lower bits */
    uint32_t closed_written;           /* the ring holds all before this place, the rest are late */
    uint8_t *closed_care;              /* by 64 places: whether leaving there takes more */
    /* levels and blocks of all books */
    Level *levels;
    uint32_t levels_capacity, levels_used, levels_free;
    Block *blocks;
    uint32_t blocks_capacity, blocks_used, blocks_free;
    Cells cells;
    /* where an id's order stands: a slot, or CLOSED and a place in the ring */
    Table order_index[256];
    uint32_t *numbers;                 /* the same of orders named by a small number, inverted */
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
    /* what few orders, instruments and clients have */
    Special *specials;
    uint32_t specials_capacity, specials_used, specials_free, specials_count;
    Session *sessions;                 /* by number */
    uint32_t sessions_count, sessions_capacity;
    Due *due;                          /* a heap */
    uint32_t due_count, due_capacity;
    int64_t next_due_ns;               /* INT64_MAX: nothing is */
    OwnLimits *own_limits;             /* by place */
    uint32_t own_limits_count, own_limits_capacity;
    OpenCount *open_counts;            /* of the clients that are counted */
    uint32_t open_counts_size, open_counts_used;
    uint32_t kills;                    /* kill switches that are on */
    uint32_t due_done;                 /* before the command at hand: 1, something was due; 2, and
                                          traded */
    uint32_t venue_killed;
    uint32_t rules;                    /* version of the rules that commands are under */
    Rules no_rules;
    uint32_t *queue;                   /* slots of stop orders that were reached, or NONE */
    uint32_t queue_first, queue_count, queue_capacity;
    /* the command at hand */
    uint32_t left;                     /* slots to be free again after it, as a list */
    uint32_t taking, triggering;       /* slots of the order being matched, and triggered */
    uint32_t traded;                   /* whether the step traded, from which price to which */
    int64_t traded_low, traded_high;
    novate_i128 budget, asked_units;   /* of an order by quote quantity being matched */
    uint64_t walk;
    uint64_t seq;
    int64_t time_ns, time_us;
    Taker taker;
    uint32_t trade_index;
    uint32_t current;                  /* where the order it is about stands now, or NOVATE_NONE */
    uint64_t repeat_seq;               /* of a repeated key: seq of the first */
    int64_t price_before;              /* of an amended order: the price it had; else 0 */
    int key_noted;                     /* whether the command's key is remembered */
    int violation;                     /* 0, or the number of the invariant that fails */
    /* what it wrote */
    Event *events;
    uint32_t *event_orders;            /* where each event's `order` stands, or NOVATE_NONE */
    uint32_t events_count, events_capacity;
    uint32_t events_limit;             /* at so many there is room to be made */
    uint64_t events_given;             /* to sinks, ever */
    Sink sink;                         /* NULL: events are gathered */
    void *sink_context;
    uint64_t secret;                   /* seeds the hash tables; never part of the state */
    struct NovateClearing *clearing;   /* positions, balances, cycles */
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

/* The new order of a PLACE: all of it but its name. */
static inline void novate_taker_of(Taker *taker, const Command *command, uint64_t seq,
        int64_t time_us, uint32_t client) {
    uint64_t stamp = seq | (uint64_t)command->instrument << 48;
    uint32_t shape;
    memcpy(&shape, command, 4);
    shape = shape >> 8 | (uint32_t)((command->flags & 1) | command->order_id_kind << 1
                                    | (command->flags & 4) << 3) << 24;
    memcpy(&taker->id + 1, &stamp, 8);
    taker->created_us = time_us;
    memcpy(&taker->side, &shape, 4);
    taker->client = client;
    taker->notional = 0;
    taker->price = command->price_ticks;
    taker->remaining = command->quantity_lots;
    taker->filled = 0;
}
/* Whether a command is a limit order that rests, with numbers for an id and a client, no flags. */
static inline int novate_plain_rest(const Command *command) {
    uint64_t head;
    memcpy(&head, command, 8);         /* any side */
    return (head & ~UINT64_C(0x00000100)) == 1;
}
/* The order of such a PLACE as it rests: all of it but its level. */
static inline void novate_plain_order(Order *order, const Command *command, uint64_t seq,
        int64_t time_us) {
    uint64_t stamp = seq | (uint64_t)command->instrument << 48;
    uint64_t shape = command->side | (uint64_t)command->client << 32;
    order->id = command->order_number;
    memcpy(&order->id + 1, &stamp, 8);
    order->created_us = time_us;
    memcpy(&order->side, &shape, 8);
    order->remaining = command->quantity_lots;
    order->extra = NOVATE_NONE;
}
/* And the event that tells of it. */
static inline void novate_plain_event(Event *event, const Command *command, uint64_t seq,
        uint64_t kind) {
    uint64_t shape = kind | (uint64_t)command->side << 8;
    uint64_t instrument = command->instrument, client = command->client;
    event->seq = seq;
    memcpy(&event->kind, &shape, 8);
    memcpy(&event->instrument, &instrument, 8);
    event->order = command->order_number;
    event->taker = 0;
    memcpy(&event->client, &client, 8);
    event->price_ticks = command->price_ticks;
    event->quantity_lots = command->quantity_lots;
    event->remaining_lots = command->quantity_lots;
}
/* Whether a PLACE is a limit order of any time in force with a number for an id and no flags. */
static inline int novate_plain_place(const Command *command) {
    uint64_t head;
    memcpy(&head, command, 8);         /* side: 0 or 1, time in force: 0 to 2; else as this */
    return (head & ~UINT64_C(0x03000100)) == 1 && command->time_in_force < 3;
}
/* Word by word, as it was written a moment ago: a load of two stores at once waits for both. */
static inline void novate_copy_identity(void *target, const void *source) {
    uint64_t word;
    for (int i = 0; i < 4; i++) {
        memcpy(&word, (const char *)source + 8 * i, 8);
        __asm__("" : "+r"(word));
        memcpy((char *)target + 8 * i, &word, 8);
    }
}
/* A closed order: an identity with its last state, and what became of it. `low` and `high` are
   price and remaining lots, or the quote units asked for. */
static inline void novate_closed_put(Closed *closed, const void *identity, unsigned state,
        uint64_t reason, uint64_t seq, int64_t time_us, int64_t low, int64_t high,
        novate_i128 notional, int64_t filled, uint32_t before) {
    uint64_t shape, stamp = seq | reason << 48, link = before | (uint64_t)NOVATE_NONE << 32;
    memcpy(&shape, (const char *)identity + 24, 8);
    shape = (shape & ~(UINT64_C(3) << 27)) | (uint64_t)state << 27;
    memcpy(closed, identity, 24);
    memcpy((char *)closed + 24, &shape, 8);
    closed->price = low;
    closed->remaining = high;
    closed->notional = notional;
    closed->filled = filled;
    closed->updated_us = time_us;
    memcpy(&closed->updated_us + 1, &stamp, 8);
    memcpy(&closed->before, &link, 8);
}
/* Write the oldest of the late closed orders to their place in the ring, past the cache: it is
   seldom read, and so long that it would push out all that is in use. They are whole lines. */
static inline void novate_closed_write(Closed *to, const Closed *from) {
#ifdef __SSE2__
    __m128i *lines = (__m128i *)to;
    const __m128i *words = (const __m128i *)from;
    for (unsigned i = 0; i < NOVATE_WRITTEN * sizeof(Closed) / 16; i++)
        _mm_stream_si128(lines + i, _mm_loadu_si128(words + i));
#else
    memcpy(to, from, NOVATE_WRITTEN * sizeof(Closed));
#endif
}
/* An event about an order: `order` is its identity. */
static inline void novate_event_of(Event *event, const Order *order, uint64_t seq, uint32_t kind,
        uint32_t reason, int64_t price, int64_t quantity, int64_t remaining) {
    uint32_t shape;
    memcpy(&shape, &order->side, 4);
    shape = shape << 8 | kind;
    event->seq = seq;
    memcpy(&event->kind, &shape, 4);
    memcpy(&event->reason, &reason, 4);
    event->instrument = order->instrument;
    event->index = 0;
    event->order = order->id_kind == 0 ? order->id : order->seq;
    event->taker = 0;
    event->client = order->client;
    event->taker_client = 0;
    event->price_ticks = price;
    event->quantity_lots = quantity;
    event->remaining_lots = remaining;
}
static inline void novate_trade_event(Event *event, const Order *maker, const Taker *taker,
        uint64_t seq, uint32_t kind, uint32_t index, int64_t price, int64_t quantity,
        int64_t remaining) {
    uint32_t shape = kind | (uint32_t)taker->side << 8, none = 0;
    event->seq = seq;
    memcpy(&event->kind, &shape, 4);
    memcpy(&event->reason, &none, 4);
    event->instrument = maker->instrument;
    event->index = index;
    event->order = maker->id_kind == 0 ? maker->id : maker->seq;
    event->taker = taker->id_kind == 0 ? taker->id : taker->seq;
    event->client = maker->client;
    event->taker_client = taker->client;
    event->price_ticks = price;
    event->quantity_lots = quantity;
    event->remaining_lots = remaining;
}

/* Key of a level: the better the price, the higher; without a branch, for sides come by chance. */
static inline int64_t novate_key_of(int side, int64_t price) {
    return (price ^ -(int64_t)side) + side;
}
/* Where a level stands among those of its block; behind the last there may be any. All are looked
   at, for where it stands comes by chance. */
static inline uint32_t novate_place_of_level(const uint32_t *levels, uint32_t level) {
#ifdef __SSE2__
    const __m128i *fours = (const __m128i *)levels, wanted = _mm_set1_epi32((int)level);
    uint64_t found = 0;
    for (unsigned i = 0; i < 4; i++) {
        __m128i a = _mm_cmpeq_epi32(_mm_load_si128(fours + 4 * i), wanted);
        __m128i b = _mm_cmpeq_epi32(_mm_load_si128(fours + 4 * i + 1), wanted);
        __m128i c = _mm_cmpeq_epi32(_mm_load_si128(fours + 4 * i + 2), wanted);
        __m128i d = _mm_cmpeq_epi32(_mm_load_si128(fours + 4 * i + 3), wanted);
        __m128i all = _mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d));
        found |= (uint64_t)(uint32_t)_mm_movemask_epi8(all) << 16 * i;
    }
    return found ? (uint32_t)__builtin_ctzll(found) : NOVATE_BLOCK_SIZE;
#else
    uint32_t place = 0;
    while (place < NOVATE_BLOCK_SIZE && levels[place] != level) place++;
    return place;
#endif
}
#define novate_prefetch(p) __builtin_prefetch((p), 1, 3)
#define novate_likely(c) __builtin_expect(!!(c), 1)
#define novate_unlikely(c) __builtin_expect(!!(c), 0)

static inline void *novate_grow(void *p, size_t bytes) {
    void *q = realloc(p, bytes);
    if (!q) { fprintf(stderr, "novate: out of memory (%zu bytes)\n", bytes); abort(); }
    return q;
}
/* Memory that starts on a page, and so on a line, and grows without being copied. */
static inline void *novate_lines_grow(void *p, size_t before, size_t bytes) {
    void *q = p ? mremap(p, before, bytes, MREMAP_MAYMOVE)
                : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (q == MAP_FAILED) {
        fprintf(stderr, "novate: out of memory (%zu bytes)\n", bytes); abort();
    }
    if (bytes >= (size_t)4 << 20) madvise(q, bytes, MADV_HUGEPAGE);
    return q;
}
/* Huge pages for what lies whole in memory that someone else allocated, if it is large. */
static inline void novate_ask_for_huge_pages(void *p, size_t bytes) {
    uintptr_t page = 4096, start = ((uintptr_t)p + page - 1) & ~(page - 1);
    uintptr_t end = ((uintptr_t)p + bytes) & ~(page - 1);
    if (bytes >= (size_t)4 << 20) madvise((void *)start, end - start, MADV_HUGEPAGE);
}
/* Address space for `bytes` of zeros that take memory only where they are written. */
static inline void *novate_reserve(size_t bytes) {
    void *q = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t small = (size_t)2 << 20;
    if (q == MAP_FAILED) return NULL;
    if (bytes > small) madvise((char *)q + small, bytes - small, MADV_HUGEPAGE);
    return q;
}
/* Have the system give all pages of this memory now, for writing; what is in them stays. */
static inline void novate_touch(void *p, size_t bytes) {
    size_t at, page = 4096;
    uintptr_t start = (uintptr_t)p & ~(page - 1);
    bytes += (uintptr_t)p - start;
#ifdef MADV_POPULATE_WRITE
    if (!madvise((void *)start, bytes, MADV_POPULATE_WRITE)) return;
#endif
    for (at = 0; at < bytes; at += page) {  /* a system that is older than this advice */
        volatile uint8_t *byte = (volatile uint8_t *)start + at;
        *byte = *byte;
    }
}
static inline void novate_lines_free(void *p, size_t bytes) {
    if (p) munmap(p, bytes);
}

#include "novate/engine/accounts.h"

#endif
