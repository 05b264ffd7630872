# cython: language_level=3
"""What only the third version of a dump has: terms, positions, balances, cycles, busted trades.

It stands behind all of the second version; a state in which nothing was ever cleared is dumped
without it. Accounts stand by client, then by instrument or asset, however they lie in memory.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, qsort
from libc.string cimport memset

from novate.engine.accounts cimport (
    CHARGED, CLEARED, FUNDED, SOME_FUNDED, TIERS, USED, WIDE, account_key, account_new,
)
from novate.engine.clearing cimport BUSTED_MAX, set_client_tier
from novate.engine.cycles cimport CYCLES_MAX
from novate.engine.due cimport DUE_CUTOFF, due_add
from novate.engine.packing cimport (
    Reader, Writer, get, get_u8, get_u32, get_u64, put, put_u8, put_u32, put_u64,
)
from novate.engine.state cimport (
    NONE, Account, AccountTable, Asset, Busted, Clearing, Cycle, Market, Obligation, Settled,
    Totals, grow, i128,
)
from novate.model.records cimport BALANCE_LIMIT, CYCLES_LIMIT, CYCLE_CLOSED_ALREADY


# --- writing --------------------------------------------------------------------------------

cdef struct Named:
    uint64_t key
    uint32_t at


cdef int by_key(const void *a, const void *b) noexcept nogil:
    cdef uint64_t one = (<Named *>a).key, other = (<Named *>b).key
    return (one > other) - (one < other)


cdef Named *in_order(const AccountTable *table) noexcept nogil:
    """The accounts' places by key; the caller frees."""
    cdef Named *named = <Named *>grow(NULL, (<size_t>table.count + 1) * sizeof(Named))
    cdef uint32_t i
    for i in range(table.count):
        named[i].key = table.accounts[i].key
        named[i].at = i
    qsort(named, table.count, sizeof(Named), by_key)
    return named


cdef void put_accounts(Writer *out, const AccountTable *table,
                       const Settled *settled) noexcept nogil:
    """Every account by key; of positions what was settled beside it."""
    cdef Named *named = in_order(table)
    cdef Account *account
    cdef uint32_t i
    put_u64(out, table.count)
    for i in range(table.count):
        account = table.accounts + named[i].at
        put_u32(out, <uint32_t>(account.key >> 32))
        put_u32(out, <uint32_t>account.key)
        put(out, &account.lots, 16)
        put(out, &account.basis, 16)
        if settled != NULL:
            put(out, &account.realized, 16)
            put_u64(out, account.updated_us)
            put(out, settled + named[i].at, sizeof(Settled))
    free(named)


cdef void put_totals(Writer *out, const Totals *totals) noexcept nogil:
    put(out, &totals.lots, 16)
    put(out, &totals.turnover, 16)
    put(out, &totals.fees, 16)
    put(out, &totals.bust_lots, 16)
    put(out, &totals.bust_turnover, 16)
    put_u64(out, totals.trades)
    put_u64(out, totals.busts)


cdef void put_market(State *st, Writer *out, uint32_t instrument) noexcept nogil:
    cdef Market *market = st.clearing.markets + instrument
    cdef uint32_t i
    put_u8(out, st.books[instrument].clears)
    if not st.books[instrument].clears:
        return
    put_u8(out, market.mark)
    put_u64(out, market.mark_price)
    put_u8(out, market.tiers)
    for i in range(market.tiers):
        put_u32(out, market.rates[i][0])
        put_u32(out, market.rates[i][1])
    put_totals(out, &market.totals)


cdef void put_cycle(Writer *out, const Cycle *cycle) noexcept nogil:
    cdef uint32_t i
    put_u64(out, cycle.id)
    put_u64(out, cycle.closed_ns)
    put_u64(out, cycle.closed_seq)
    put_u64(out, cycle.moved_seq)
    put_u8(out, cycle.state)
    put_u64(out, cycle.obligations_count)
    for i in range(cycle.obligations_count):
        put_u32(out, cycle.obligations[i].client)
        put_u32(out, cycle.obligations[i].asset)
        put(out, &cycle.obligations[i].units, 16)
    put_u64(out, cycle.totals_count)
    for i in range(cycle.totals_count):
        put_totals(out, cycle.totals + i)


cdef void put_tiers(State *st, Writer *out) noexcept nogil:
    cdef Clearing *clearing = st.clearing
    cdef uint32_t i
    cdef uint64_t count = 0
    for i in range(clearing.tiers_capacity):
        count += clearing.tiers[i] != 0
    put_u64(out, count)
    for i in range(clearing.tiers_capacity):
        if clearing.tiers[i]:
            put_u32(out, i)
            put_u8(out, clearing.tiers[i])


cdef void put_clearing(State *st, Writer *out) noexcept nogil:
    """Write all of clearing."""
    cdef Clearing *clearing = st.clearing
    cdef uint32_t i
    for i in range(st.books_count):
        put_market(st, out, i)
    for i in range(clearing.assets_count):
        put(out, &clearing.assets[i].external, 16)
        put(out, &clearing.assets[i].fees, 16)
        put(out, &clearing.assets[i].settling, 16)
        put(out, &clearing.assets[i].due, 16)
    put_tiers(st, out)
    put_accounts(out, &clearing.positions, clearing.settled)
    put_accounts(out, &clearing.balances, NULL)
    put_u64(out, clearing.last_cycle)
    put_u64(out, clearing.cutoff_ns)
    put_u64(out, 0 if clearing.cutoff_due_at == NONE
            else st.due[clearing.cutoff_due_at].time_ns)
    if st.rules > 2:
        put_u64(out, clearing.cutoff_last_ns)
        put_u64(out, clearing.cutoff_last_cycle)
        put_u8(out, clearing.cutoff_last_reason)
    put_u64(out, clearing.cycles_count)
    for i in range(clearing.cycles_count):
        put_cycle(out, clearing.cycles + i)
    put_u64(out, clearing.busted_count)
    for i in range(clearing.busted_count):
        put_u64(out, clearing.busted[i].seq)
        put_u32(out, clearing.busted[i].index)
        put_u32(out, clearing.busted[i].instrument)


# --- reading --------------------------------------------------------------------------------

cdef void get_totals(Reader *source, Totals *totals) noexcept nogil:
    get(source, &totals.lots, 16)
    get(source, &totals.turnover, 16)
    get(source, &totals.fees, 16)
    get(source, &totals.bust_lots, 16)
    get(source, &totals.bust_turnover, 16)
    totals.trades = get_u64(source)
    totals.busts = get_u64(source)


cdef void get_market(State *st, Reader *source, uint32_t instrument) noexcept nogil:
    cdef Market *market = st.clearing.markets + instrument
    cdef uint8_t flags = get_u8(source)
    cdef uint32_t i
    if flags & ~(CLEARED | CHARGED | FUNDED | WIDE) or (flags and not flags & CLEARED):
        source.short = True
    if not flags or source.short:
        return
    st.books[instrument].clears = flags
    market.flags = flags
    if flags & FUNDED:
        st.clearing.used |= SOME_FUNDED
    market.mark = get_u8(source)
    market.mark_price = get_u64(source)
    market.tiers = get_u8(source)
    if market.tiers > TIERS or market.mark > 1:
        source.short = True
        return
    for i in range(market.tiers):
        market.rates[i][0] = <int>get_u32(source)
        market.rates[i][1] = <int>get_u32(source)
    for i in range(market.tiers, TIERS):
        market.rates[i][0] = market.rates[0][0]
        market.rates[i][1] = market.rates[0][1]
    get_totals(source, &market.totals)


cdef void get_account(State *st, Reader *source, AccountTable *table, uint32_t others,
                      uint64_t *before) noexcept nogil:
    """Read an account; they come by key, none twice."""
    cdef Clearing *clearing = st.clearing
    cdef uint32_t client = get_u32(source), other = get_u32(source), at
    cdef Account *account
    cdef uint64_t key = account_key(client, other)
    if source.short or client >= st.clients_count or other >= others or key + 1 <= before[0]:
        source.short = True
        return
    before[0] = key + 1
    at = account_new(st, table, key)
    account = table.accounts + at
    get(source, &account.lots, 16)
    get(source, &account.basis, 16)
    if table == &clearing.positions:
        get(source, &account.realized, 16)
        account.updated_us = get_u64(source)
        get(source, clearing.settled + at, sizeof(Settled))
    else:
        clearing.assets[other].available += account.available
        clearing.assets[other].held += account.held


cdef void get_accounts(State *st, Reader *source, AccountTable *table,
                       uint32_t others) noexcept nogil:
    cdef uint64_t i = 0, count = get_u64(source), before = 0
    while i < count and not source.short:
        get_account(st, source, table, others, &before)
        i += 1


cdef void get_obligations(State *st, Reader *source, Cycle *cycle) noexcept nogil:
    cdef uint64_t count = get_u64(source)
    cdef Obligation *each
    cdef uint32_t i
    if source.short or count > (source.size - source.at) // 24:
        source.short = True
        return
    cycle.obligations = <Obligation *>grow(NULL, (count + 1) * sizeof(Obligation))
    cycle.obligations_count = count
    for i in range(count):
        each = cycle.obligations + i
        memset(each, 0, sizeof(Obligation))
        each.client = get_u32(source)
        each.asset = get_u32(source)
        get(source, &each.units, 16)
        if each.client >= st.clients_count or each.asset >= st.clearing.assets_count:
            source.short = True


cdef void get_cycle(State *st, Reader *source, Cycle *cycle) noexcept nogil:
    cdef uint32_t i
    cdef uint64_t count
    memset(cycle, 0, sizeof(Cycle))
    cycle.id = get_u64(source)
    cycle.closed_ns = get_u64(source)
    cycle.closed_seq = get_u64(source)
    cycle.moved_seq = get_u64(source)
    cycle.state = get_u8(source)
    get_obligations(st, source, cycle)
    if source.short or not 1 <= cycle.state <= 4:
        source.short = True
        return
    count = get_u64(source)
    if source.short or count > st.books_count:
        source.short = True
        return
    cycle.totals = <Totals *>grow(NULL, (count + 1) * sizeof(Totals))
    cycle.totals_count = count
    for i in range(cycle.totals_count):
        memset(cycle.totals + i, 0, sizeof(Totals))
        get_totals(source, cycle.totals + i)


cdef void get_cycles(State *st, Reader *source) noexcept nogil:
    cdef Clearing *clearing = st.clearing
    cdef uint64_t count = get_u64(source)
    if source.short or count > CYCLES_MAX:
        source.short = True
        return
    clearing.cycles_capacity = max(8, <uint32_t>count)
    clearing.cycles = <Cycle *>grow(NULL, <size_t>clearing.cycles_capacity * sizeof(Cycle))
    while clearing.cycles_count < count and not source.short:
        get_cycle(st, source, clearing.cycles + clearing.cycles_count)
        clearing.cycles_count += 1


cdef void get_busted(State *st, Reader *source) noexcept nogil:
    cdef Clearing *clearing = st.clearing
    cdef uint64_t count = get_u64(source)
    cdef uint32_t i
    if source.short or count > BUSTED_MAX or count > (source.size - source.at) // 16:
        source.short = True
        return
    clearing.busted_capacity = count + 64
    clearing.busted = <Busted *>grow(NULL, <size_t>clearing.busted_capacity * sizeof(Busted))
    for i in range(count):
        clearing.busted[i].seq = get_u64(source)
        clearing.busted[i].index = get_u32(source)
        clearing.busted[i].instrument = get_u32(source)
    clearing.busted_count = count


cdef void get_tiers(State *st, Reader *source) noexcept nogil:
    cdef uint64_t i = 0, count = get_u64(source)
    cdef uint32_t client, tier
    while i < count and not source.short:
        client = get_u32(source)
        tier = get_u8(source)
        if client >= st.clients_count or not 0 < tier < TIERS:
            source.short = True
            return
        set_client_tier(st, client, tier)
        i += 1


cdef bint misses(uint32_t reason) noexcept nogil:
    """Whether a cut-off may have come to this: 0, or why no cycle closed."""
    return not reason or reason == CYCLE_CLOSED_ALREADY or reason == CYCLES_LIMIT or (
        reason == BALANCE_LIMIT)


cdef void get_clearing(State *st, Reader *source) noexcept nogil:
    """Read all of clearing into a state that has its instruments, clients and orders."""
    cdef Clearing *clearing = st.clearing
    cdef uint32_t i
    cdef int64_t due_ns
    clearing.used |= USED
    for i in range(st.books_count):
        if not source.short:
            get_market(st, source, i)
    for i in range(clearing.assets_count):
        get(source, &clearing.assets[i].external, 16)
        get(source, &clearing.assets[i].fees, 16)
        get(source, &clearing.assets[i].settling, 16)
        get(source, &clearing.assets[i].due, 16)
    if not source.short:
        get_tiers(st, source)
    if not source.short:
        get_accounts(st, source, &clearing.positions, st.books_count)
    if not source.short:
        get_accounts(st, source, &clearing.balances, clearing.assets_count)
    clearing.last_cycle = get_u64(source)
    clearing.cutoff_ns = get_u64(source)
    due_ns = get_u64(source)
    if not source.short and due_ns:
        due_add(st, due_ns, DUE_CUTOFF, 0, 0)
    if st.rules > 2:
        clearing.cutoff_last_ns = get_u64(source)
        clearing.cutoff_last_cycle = get_u64(source)
        clearing.cutoff_last_reason = get_u8(source)
        if not misses(clearing.cutoff_last_reason):
            source.short = True
    if not source.short:
        get_cycles(st, source)
    if not source.short:
        get_busted(st, source)
