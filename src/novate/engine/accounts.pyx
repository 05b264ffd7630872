# cython: language_level=3
"""Accounts: positions, balances with what of them is held, fees, and the entries of it all.

Every trade is two legs against the clearing house, which so owes as much as it is owed. Changes
are entries that sum to zero in every asset; they are written down only while somebody collects
them. Knows nothing of books and orders but what an order's identity says.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from novate.engine.state cimport (
    NONE, Account, AccountTable, Asset, Book, Clearing, Entry, Event, Market, Order, Settled,
    State, event_new, grow, lines_grow,
)
from novate.model.records cimport (
    FEE_CHARGED, INSUFFICIENT_FUNDS, MARKET, NOTIONAL_TOO_LARGE,
)

cdef i128 UNITS_MAX = <i128>1000000000000000 * 1000000000000000000


# --- accounts by key ------------------------------------------------------------------------

cdef void index_put(AccountTable *table, uint64_t key, uint32_t place) noexcept nogil:
    cdef uint32_t mask = table.index_size - 1
    cdef uint32_t at = account_home(table, key)
    while table.index[at]:
        at = (at + 1) & mask
    table.index[at] = place + 1


cdef void table_index(AccountTable *table) noexcept nogil:
    """An index with twice as many places."""
    cdef uint32_t i
    table.index_size = max(<uint32_t>1024, table.index_size * 2)
    table.shift = 64
    while <uint64_t>1 << (64 - table.shift) < table.index_size:
        table.shift -= 1
    free(table.index)
    table.index = <uint32_t *>grow(NULL, <size_t>table.index_size * 4)
    memset(table.index, 0, <size_t>table.index_size * 4)
    for i in range(table.count):
        index_put(table, table.accounts[i].key, i)


cdef enum:
    SMALL_INDEX = 32768  # places: the cache keeps so many, so that room costs less than searching


cdef void table_reserve(State *st, AccountTable *table) noexcept nogil:
    """Room for one account more."""
    cdef Clearing *clearing = st.clearing
    cdef uint32_t before = table.capacity
    if table.count * (4 if table.index_size < SMALL_INDEX else 2) >= table.index_size:
        table_index(table)
    if table.count < before:
        return
    table.capacity = max(<uint32_t>1024, before * 2)
    table.accounts = <Account *>lines_grow(
        table.accounts, <size_t>before * sizeof(Account),
        <size_t>table.capacity * sizeof(Account))
    if table == &clearing.positions:
        clearing.settled = <Settled *>lines_grow(
            clearing.settled, <size_t>before * sizeof(Settled),
            <size_t>table.capacity * sizeof(Settled))


cdef uint32_t account_new(State *st, AccountTable *table, uint64_t key) noexcept nogil:
    """A new account with nothing in it; its place."""
    cdef uint32_t at = table.count
    table_reserve(st, table)
    memset(table.accounts + at, 0, sizeof(Account))
    table.accounts[at].key = key
    table.count += 1
    index_put(table, key, at)
    st.clearing.used |= USED
    return at


# --- entries and totals ---------------------------------------------------------------------

cdef void post(State *st, int kind, int account, uint32_t client, uint32_t asset, i128 units,
               uint64_t reference, uint32_t reference_index) noexcept nogil:
    """Write an entry down, if entries are collected; one of nothing is none."""
    cdef Clearing *clearing = st.clearing
    cdef Entry *entry
    if not clearing.collecting or units == 0:
        return
    if clearing.entries_count == clearing.entries_capacity:
        clearing.entries_capacity = max(<uint32_t>1024, clearing.entries_capacity * 2)
        clearing.entries = <Entry *>grow(
            clearing.entries, <size_t>clearing.entries_capacity * sizeof(Entry))
    if clearing.entry_seq != st.seq:
        clearing.entry_seq = st.seq
        clearing.entry_index = 0
    entry = clearing.entries + clearing.entries_count
    memset(entry, 0, sizeof(Entry))
    entry.seq = st.seq
    entry.index = clearing.entry_index
    entry.kind = kind
    entry.account = account
    entry.client = client
    entry.asset = asset
    entry.amount_low = <uint64_t>units
    entry.amount_high = <int64_t>(units >> 64)
    entry.reference = reference
    entry.reference_index = reference_index
    clearing.entry_index += 1
    clearing.entries_count += 1


cdef void post_pair(State *st, int kind, int source, uint32_t source_client, int target,
                    uint32_t target_client, uint32_t asset, i128 units, uint64_t reference,
                    uint32_t reference_index) noexcept nogil:
    """Units go from one account to another."""
    if st.clearing.collecting:
        post(st, kind, source, source_client, asset, -units, reference, reference_index)
        post(st, kind, target, target_client, asset, units, reference, reference_index)


cdef void check_asset(State *st, uint32_t asset) noexcept nogil:
    """An asset's books sum to zero."""
    cdef Asset *books = st.clearing.assets + asset
    if books.external + books.fees + books.available + books.held + books.settling + books.due:
        st.violation = 3


cdef i128 available(State *st, uint32_t client, uint32_t asset) noexcept nogil:
    """Units of an asset that a client may use."""
    cdef uint32_t at = account_at(&st.clearing.balances, account_key(client, asset))
    return 0 if at == NONE else st.clearing.balances.accounts[at].available


cdef void move_available(State *st, uint32_t client, uint32_t asset, i128 units) noexcept nogil:
    """Give a client units, or take them; the other side of it is the caller's matter."""
    cdef AccountTable *balances = &st.clearing.balances
    cdef uint32_t at = account_of(st, balances, account_key(client, asset))
    balances.accounts[at].available += units
    st.clearing.assets[asset].available += units


cdef inline void hold(State *st, Account *balance, uint32_t client, uint32_t asset, i128 units,
                      int kind) noexcept nogil:
    """Hold so many units more of a balance, or below 0 release them."""
    cdef Asset *books = st.clearing.assets + asset
    balance.available -= units
    balance.held += units
    books.available -= units
    books.held += units
    post_pair(st, kind, AVAILABLE, client, HELD, client, asset, units, st.seq, st.trade_index)


# --- fees -----------------------------------------------------------------------------------

cdef int rate_of(State *st, uint32_t instrument, uint32_t client, int liquidity) noexcept nogil:
    """What a client pays of a trade's value, in millionths."""
    cdef Clearing *clearing = st.clearing
    cdef uint32_t tier = clearing.tiers[client] if client < clearing.tiers_capacity else 0
    return clearing.markets[instrument].rates[tier][liquidity]


cdef void charge(State *st, uint32_t instrument, uint32_t client, int side, i128 fee,
                 bint funded, int kind, uint64_t reference,
                 uint32_t reference_index) noexcept nogil:
    """Let a client pay a fee, or below 0 be paid one."""
    cdef Clearing *clearing = st.clearing
    cdef Market *market = clearing.markets + instrument
    cdef Asset *books = clearing.assets + market.quote
    cdef Settled *settled
    cdef Event *event
    if fee == 0:
        return
    settled = clearing.settled + account_of(
        st, &clearing.positions, account_key(client, instrument))
    settled.fees_total += fee
    market.totals.fees += fee
    books.fees += fee
    if funded:
        move_available(st, client, market.quote, -fee)
    else:
        settled.fees_due += fee
        books.due -= fee
    post_pair(st, kind, AVAILABLE if funded else DUE, client, FEES, HOUSE, market.quote, fee,
              reference, reference_index)
    event = event_new(st, FEE_CHARGED, NONE)
    event.side = side
    event.instrument = instrument
    event.index = reference_index
    event.client = client
    event.taker_client = market.quote
    event.price_ticks = <int64_t>fee
    event.quantity_lots = <int64_t>(fee >> 64)


# --- holds ----------------------------------------------------------------------------------

cdef i128 lot_cost(State *st, Book *book, uint32_t client, int64_t price) noexcept nogil:
    """Quote units that a lot costs a client at most at this price, with the fee on it alone."""
    cdef uint32_t instrument = <uint32_t>(book - st.books)
    cdef i128 units = <i128>price * book.quote_units
    cdef int rate
    if not book.clears & CHARGED:
        return units
    rate = max(rate_of(st, instrument, client, MAKER),
                        rate_of(st, instrument, client, TAKER))
    return units + fee_on(units, rate) if rate > 0 else units


cdef i128 hold_of(State *st, Book *book, const Order *order, int64_t limit,
                  int64_t lots) noexcept nogil:
    """Units that an order holds for so many open lots: of the quote asset, or a seller's base."""
    if lots == 0:
        return 0
    if order.side:
        if order.by_quote:
            return 0
        return lots * st.clearing.markets[book - st.books].lot_units
    if order.order_type & MARKET:
        return 0
    return lots * lot_cost(st, book, order.client, limit)


cdef inline uint32_t held_asset(State *st, Book *book, int side) noexcept nogil:
    cdef Market *market = st.clearing.markets + (book - st.books)
    return market.base if side else market.quote


cdef int refused_by_worth(State *st, Book *book, int64_t limit, int64_t lots) noexcept nogil:
    """Whether an order is worth more units than accounts take."""
    cdef i128 units
    if not times(<i128>limit * lots, book.quote_units, &units) or units > UNITS_MAX:
        return NOTIONAL_TOO_LARGE
    if not times(st.clearing.markets[book - st.books].lot_units, lots, &units):
        return NOTIONAL_TOO_LARGE
    return NOTIONAL_TOO_LARGE if units > UNITS_MAX else 0


cdef int refused_by_funds(State *st, Book *book, const Order *order, int64_t limit,
                          int64_t lots) noexcept nogil:
    """Hold what a new order may cost; or why it is refused, and nothing is held."""
    return rehold(st, book, order, 0, 0, limit, lots)


cdef int rehold(State *st, Book *book, const Order *order, int64_t limit, int64_t lots,
                int64_t new_limit, int64_t new_lots) noexcept nogil:
    """Hold for another limit and other lots; or why that is refused, and all is as it was."""
    cdef uint32_t asset, at
    cdef i128 more
    cdef Account *balance
    cdef int reason
    if book.clears & WIDE:
        reason = refused_by_worth(st, book, new_limit, new_lots)
        if reason:
            return reason
    if not book.clears & FUNDED:
        return 0
    more = hold_of(st, book, order, new_limit, new_lots) - hold_of(st, book, order, limit, lots)
    asset = held_asset(st, book, order.side)
    if more == 0:
        return 0
    at = account_at(&st.clearing.balances, account_key(order.client, asset))
    if at == NONE:
        return INSUFFICIENT_FUNDS
    balance = st.clearing.balances.accounts + at
    if more > balance.available and more > 0:
        return INSUFFICIENT_FUNDS
    hold(st, balance, order.client, asset, more, HOLD_ENTRY if more > 0 else RELEASE_ENTRY)
    return 0


cdef void release_held(State *st, Book *book, const Order *order, int64_t limit,
                       int64_t lots) noexcept nogil:
    cdef AccountTable *balances = &st.clearing.balances
    cdef uint32_t asset = held_asset(st, book, order.side)
    cdef i128 units = hold_of(st, book, order, limit, lots)
    if units:
        hold(st, balances.accounts + account_of(
            st, balances, account_key(order.client, asset)), order.client, asset, -units,
            RELEASE_ENTRY)


cdef int64_t fundable(State *st, Book *book, const Order *taker, int64_t price,
                      int64_t lots) noexcept nogil:
    """Of so many lots as many as a taker can pay for that holds nothing."""
    cdef uint32_t asset = held_asset(st, book, taker.side)
    cdef i128 each = lot_cost(st, book, taker.client, price)
    cdef i128 whole
    if taker.side:
        each = st.clearing.markets[book - st.books].lot_units
    whole = available(st, taker.client, asset) // each
    return <int64_t>whole if whole < lots else lots


# --- trades ---------------------------------------------------------------------------------

cdef void market_trade(State *st, uint32_t instrument, uint32_t buyer, uint32_t seller,
                       int64_t lots, int64_t price) noexcept nogil:
    """Both legs of a trade in a market that is paid at the match: nothing is left to settle."""
    cdef Clearing *clearing = st.clearing
    cdef AccountTable *positions = &clearing.positions
    cdef i128 cash = <i128>price * lots
    cdef uint32_t one = account_of(st, positions, account_key(buyer, instrument))
    cdef uint32_t other = account_of(st, positions, account_key(seller, instrument))
    clearing.settled[one].lots += lots
    clearing.settled[one].cash -= cash
    clearing.settled[other].lots -= lots
    clearing.settled[other].cash += cash
    both_traded(st, one, other, lots, price)


cdef void trade_whole(State *st, Book *book, const Order *maker, const Order *taker, int64_t price,
                      int64_t lots, int64_t maker_limit, int64_t taker_limit,
                      bint auction) noexcept nogil:
    """A trade with fees, out of held funds, or with its entries."""
    cdef uint32_t instrument = <uint32_t>(book - st.books)
    cdef Market *market = st.clearing.markets + instrument
    cdef const Order *buyer = maker if taker.side else taker
    cdef const Order *seller = taker if taker.side else maker
    cdef int buyer_role = MAKER if taker.side and not auction else TAKER
    cdef int seller_role = TAKER if taker.side or auction else MAKER
    market.totals.trades += 1
    market.totals.lots += lots
    market.totals.turnover += <i128>price * lots
    if book.clears & FUNDED:
        market_trade(st, instrument, buyer.client, seller.client, lots, price)
    else:
        positions_traded(st, instrument, buyer.client, seller.client, lots, price)
    leg(st, book, buyer, lots, price, maker_limit if taker.side else taker_limit, buyer_role)
    leg(st, book, seller, lots, price, taker_limit if taker.side else maker_limit, seller_role)
    check_asset(st, market.base)
    check_asset(st, market.quote)


cdef void leg(State *st, Book *book, const Order *order, int64_t lots, int64_t price,
              int64_t limit, int role) noexcept nogil:
    """One order's leg: what it held is free, it pays and is paid, and the fee is charged."""
    cdef uint32_t instrument = <uint32_t>(book - st.books), client = order.client
    cdef Market *market = st.clearing.markets + instrument
    cdef bint funded = book.clears & FUNDED
    cdef i128 units = <i128>price * lots * book.quote_units
    cdef i128 base = lots * market.lot_units
    cdef int own = AVAILABLE if funded else DUE
    if order.side:
        units = -units
        base = -base
    if funded:
        release(st, book, order, limit, lots)
        move_available(st, client, market.quote, -units)
        move_available(st, client, market.base, base)
    post_pair(st, TRADE_ENTRY, own, client, CLEARING_HOUSE, HOUSE, market.quote, units, st.seq,
              st.trade_index)
    post_pair(st, TRADE_ENTRY, CLEARING_HOUSE, HOUSE, own, client, market.base, base, st.seq,
              st.trade_index)
    if book.clears & CHARGED:
        charge(st, instrument, client, order.side,
               fee_on(units if units > 0 else -units, rate_of(st, instrument, client, role)),
               funded, FEE_ENTRY, st.seq, st.trade_index)
