/* Accounts in C: positions, balances, what a cycle owes, and small inline functions. */
#ifndef NOVATE_ACCOUNTS_H
#define NOVATE_ACCOUNTS_H

/* No client: the house. */
#define NOVATE_HOUSE 0xFFFFFFFFu
#define NOVATE_TIERS 16u

/* Bits of Book.clears and Market.flags. */
#define NOVATE_CLEARED 1u              /* positions are kept */
#define NOVATE_CHARGED 2u              /* some tier pays a fee */
#define NOVATE_FUNDED 4u               /* paid at the match, out of what is held */
#define NOVATE_WIDE 8u                 /* its bounds allow orders worth over UNITS_MAX */

/* One line of the cache. A position: lots, below 0 short; basis, what they cost in ticks * lots,
   below 0 what they brought; realized, ticks * lots. A balance: available, held, units. */
typedef struct {
    union { novate_i128 lots, available; };
    union { novate_i128 basis, held; };
    novate_i128 realized;
    uint64_t key;                      /* client << 32 | instrument or asset */
    int64_t updated_us;                /* of a position: its last trade */
} Account;

/* Beside a position: what the last close had settled already, and the fees. */
typedef struct {
    novate_i128 lots, cash;            /* settled: lots, ticks * lots */
    novate_i128 fees_due, fees_total;  /* quote units: of the open cycle; ever */
} Settled;

/* Accounts by key: found by one look into the index, which holds places + 1. */
typedef struct {
    Account *accounts;
    uint32_t *index;
    uint32_t count, capacity, index_size, shift;
} AccountTable;

/* What an instrument's cycle came to so far. */
typedef struct {
    novate_i128 lots, turnover, fees;  /* lots; ticks * lots; quote units */
    novate_i128 bust_lots, bust_turnover;
    uint64_t trades, busts;
} Totals;

typedef struct {
    novate_i128 lot_units;             /* units of the base asset in one lot */
    int64_t quote_units;               /* units of the quote asset in a tick times a lot */
    int64_t mark_price;                /* ticks, set by the operator; 0: none */
    uint32_t base, quote;              /* assets */
    int32_t rates[NOVATE_TIERS][2];    /* maker's and taker's, millionths, by tier */
    uint8_t flags, mark, tiers, pad[5];
    Totals totals;
} Market;

/* An asset's books at a glance: they sum to zero. */
typedef struct {
    novate_i128 external, fees, available, held, settling, due;
    uint32_t instrument;               /* the first that has it */
    uint32_t scale, pad[2];
} Asset;

typedef struct {
    uint64_t seq, reference;
    uint64_t amount_low;
    int64_t amount_high;
    uint32_t index, client, asset, instrument, reference_index;
    uint8_t kind, account, pad[10];
} Entry;

typedef struct {
    novate_i128 units;                 /* over 0: to receive */
    uint32_t client, asset;
    uint64_t pad;
} Obligation;

/* A closed cycle. */
typedef struct {
    uint64_t id;
    int64_t closed_ns;
    uint64_t closed_seq, moved_seq;
    Obligation *obligations;
    Totals *totals;                    /* by instrument */
    uint32_t obligations_count, totals_count;
    uint32_t state, pad;
} Cycle;

typedef struct {
    uint64_t seq;
    uint32_t index, instrument;
} Busted;

struct NovateClearing {
    AccountTable positions, balances;
    Settled *settled;                  /* beside the positions */
    Market *markets;                   /* by instrument */
    Asset *assets;
    uint8_t *tiers;                    /* by client */
    Cycle *cycles;                     /* the oldest first */
    Busted *busted;                    /* by seq and index */
    Entry *entries;
    uint32_t markets_count, markets_capacity, assets_count, assets_capacity;
    uint32_t tiers_capacity, cycles_count, cycles_capacity;
    uint32_t busted_count, busted_capacity;
    uint32_t entries_count, entries_capacity, entry_index;
    uint64_t entry_seq, last_cycle;
    int64_t cutoff_ns;                 /* after 00:00 UTC; below 0: none */
    uint32_t cutoff_due_at;            /* in the heap of due items, or NONE */
    uint32_t collecting, used;         /* whether entries are; whether there is anything at all */
    uint32_t cutoff_last_reason;       /* why the last cut-off closed nothing; 0: it closed */
    int64_t cutoff_last_ns;            /* when the last cut-off was due, under rules from 3 on */
    uint64_t cutoff_last_cycle;        /* and the number it closed a cycle under, or was to */
};
typedef struct NovateClearing Clearing;

/* Where a search for an account begins: numbers of clients follow each other, and so are spread
   evenly. */
static inline uint32_t novate_account_home(const AccountTable *table, uint64_t key) {
    return (uint32_t)(((key >> 32 | key << 32) * UINT64_C(0x9E3779B9C13FA9A9)) >> table->shift);
}

static inline uint32_t novate_account_at(const AccountTable *table, uint64_t key) {
    uint32_t mask = table->index_size - 1, at, place;
    if (!table->index_size) return NOVATE_NONE;
    at = novate_account_home(table, key);
    while ((place = table->index[at]) != 0) {
        if (table->accounts[place - 1].key == key) return place - 1;
        at = (at + 1) & mask;
    }
    return NOVATE_NONE;
}

/* floor(whole * part / of) for part <= of, however large the product is. */
static inline novate_i128 novate_share(novate_i128 whole, novate_i128 part, novate_i128 of) {
    unsigned __int128 a = whole, r = part, n = of, most = (unsigned __int128)1 << 64, q, sum = 0;
    unsigned __int128 share = 0;
    int bit;
    if (a < most && n < most) return (novate_i128)(a * r / n);
    q = a / n;
    a %= n;
    if (a < most && r < most) return (novate_i128)(q * r + a * r / n);
    for (bit = 126; bit >= 0; bit--) {
        share <<= 1;
        sum <<= 1;
        if (sum >= n) { sum -= n; share += 1; }
        if (r >> bit & 1) {
            sum += a;
            if (sum >= n) { sum -= n; share += 1; }
        }
    }
    return (novate_i128)(q * r + share);
}

/* Lots that leave a position, or turn it round. */
static inline void novate_position_reduce(Account *position, novate_i128 signed_lots,
        int64_t price) {
    novate_i128 sign = position->lots > 0 ? 1 : -1;
    novate_i128 own = position->lots * sign, leaving = -signed_lots * sign, part;
    novate_i128 basis = position->basis * sign;
    if (leaving >= own) {
        position->realized += sign * (own * price - basis);
        position->basis = sign * -(leaving - own) * price;
    } else {
        part = novate_share(basis, leaving, own);
        position->realized += sign * (leaving * price - part);
        position->basis -= sign * part;
    }
    position->lots += signed_lots;
}

/* A leg of a trade, however large its numbers are. */
static inline void novate_position_trade_wide(Account *position, int64_t lots,
        int64_t price) {
    if (position->lots == 0 || (position->lots > 0) == (lots > 0)) {
        position->lots += lots;
        position->basis += (novate_i128)lots * price;
    } else {
        novate_position_reduce(position, lots, price);
    }
}

/* A trade's leg: lots over 0 are bought. Which way a position stands, and whether it grows, shrinks
   or turns round, comes by chance, so nothing branches on it: some of the lots close what there is
   (none, if it grows), the others open. What does not fit in 64 bits goes the long way. */
static inline void novate_position_trade(Account *position, int64_t lots, int64_t price) {
    int64_t own = (int64_t)position->lots, basis = (int64_t)position->basis, sign = own >> 63;
    int64_t leaving = -((lots ^ sign) - sign), closing, part, opened;
    uint64_t size = ((uint64_t)own ^ (uint64_t)sign) - (uint64_t)sign;
    uint64_t cost = ((uint64_t)basis ^ (uint64_t)sign) - (uint64_t)sign, product;
    uint64_t most = size | cost | (uint64_t)(lots < 0 ? -lots : lots);
    novate_i128 gain;
    leaving = leaving > 0 ? leaving : 0;
    closing = leaving < (int64_t)size ? leaving : (int64_t)size;
    if (novate_unlikely(own != position->lots || basis != position->basis || most >> 62
                        || __builtin_mul_overflow(cost, (uint64_t)closing, &product))) {
        novate_position_trade_wide(position, lots, price);
        return;
    }
    part = (int64_t)(product / (size | !size));
    opened = lots + ((closing ^ sign) - sign);
    gain = (novate_i128)closing * price - part;
    position->lots = own + lots;
    position->basis = (novate_i128)opened * price + (basis - ((part ^ sign) - sign));
    position->realized += (gain ^ sign) - sign;
}

/* The fee on so many quote units at a rate in millionths, rounded up to the unit. */
static inline novate_i128 novate_fee(novate_i128 units, int64_t rate) {
    novate_i128 millions = units == (int64_t)units ? (int64_t)units / 1000000 : units / 1000000;
    int64_t rest = (int64_t)(units - millions * 1000000) * rate;
    rest = rest > 0 ? (rest + 999999) / 1000000 : -(-rest / 1000000);
    return millions * rate + rest;
}

static inline int novate_times(novate_i128 one, novate_i128 other, novate_i128 *product) {
    return !__builtin_mul_overflow(one, other, product);
}

static inline void novate_clearing_free(Clearing *clearing) {
    uint32_t i;
    if (!clearing) return;
    for (i = 0; i < clearing->cycles_count; i++) {
        free(clearing->cycles[i].obligations);
        free(clearing->cycles[i].totals);
    }
    novate_lines_free(clearing->positions.accounts,
                      (size_t)clearing->positions.capacity * sizeof(Account));
    novate_lines_free(clearing->balances.accounts,
                      (size_t)clearing->balances.capacity * sizeof(Account));
    novate_lines_free(clearing->settled, (size_t)clearing->positions.capacity * sizeof(Settled));
    free(clearing->positions.index);
    free(clearing->balances.index);
    free(clearing->markets);
    free(clearing->assets);
    free(clearing->tiers);
    free(clearing->cycles);
    free(clearing->busted);
    free(clearing->entries);
    free(clearing);
}

#endif
