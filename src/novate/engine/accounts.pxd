# cython: language_level=3
"""Accounts: who owns, owes and holds what, and what a trade does to it."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from novate.engine.state cimport (
    NONE, Account, AccountTable, Book, Clearing, Market, Order, State, i128, likely,
    prefetch, unlikely,
)
from novate.model.records cimport PLACE, Command

cdef extern from "novate/engine/state.h":
    uint32_t HOUSE "NOVATE_HOUSE"
    uint32_t CLEARED "NOVATE_CLEARED"
    uint32_t CHARGED "NOVATE_CHARGED"
    uint32_t FUNDED "NOVATE_FUNDED"
    uint32_t WIDE "NOVATE_WIDE"
    uint32_t TIERS "NOVATE_TIERS"
    uint32_t account_at "novate_account_at"(
        const AccountTable *table, uint64_t key) noexcept nogil
    i128 share "novate_share"(i128 whole, i128 part, i128 of) noexcept nogil
    void position_trade "novate_position_trade"(
        Account *position, int64_t lots, int64_t price) noexcept nogil
    i128 fee_on "novate_fee"(i128 units, int64_t rate) noexcept nogil
    bint times "novate_times"(i128 one, i128 other, i128 *product) noexcept nogil

# accounts and kinds of entries: as in novate.model.clearing
cdef enum:
    EXTERNAL = 1
    CLEARING_HOUSE = 2
    FEES = 3
    AVAILABLE = 4
    HELD = 5
    DUE = 6
    SETTLING = 7

cdef enum:
    DEPOSIT_ENTRY = 1
    WITHDRAWAL_ENTRY = 2
    HOLD_ENTRY = 3
    RELEASE_ENTRY = 4
    TRADE_ENTRY = 5
    FEE_ENTRY = 6
    NETTED_ENTRY = 7
    SETTLED_ENTRY = 8
    BUST_ENTRY = 9
    REFUND_ENTRY = 10

# bits of Clearing.used
cdef enum:
    USED = 1
    SOME_FUNDED = 2

cdef enum:
    MAKER = 0
    TAKER = 1

cdef i128 UNITS_MAX
"""Most that one order may be worth, in units of an asset."""

cdef uint32_t account_new(State *st, AccountTable *table, uint64_t key) noexcept nogil
cdef void table_reserve(State *st, AccountTable *table) noexcept nogil
cdef void trade_whole(State *st, Book *book, const Order *maker, const Order *taker, int64_t price,
                      int64_t lots, int64_t maker_limit, int64_t taker_limit,
                      bint auction) noexcept nogil
cdef void post(State *st, int kind, int account, uint32_t client, uint32_t asset, i128 units,
               uint64_t reference, uint32_t reference_index) noexcept nogil
cdef void post_pair(State *st, int kind, int source, uint32_t source_client, int target,
                    uint32_t target_client, uint32_t asset, i128 units, uint64_t reference,
                    uint32_t reference_index) noexcept nogil
cdef void check_asset(State *st, uint32_t asset) noexcept nogil
cdef void move_available(State *st, uint32_t client, uint32_t asset, i128 units) noexcept nogil
cdef i128 available(State *st, uint32_t client, uint32_t asset) noexcept nogil
cdef i128 lot_cost(State *st, Book *book, uint32_t client, int64_t price) noexcept nogil
cdef i128 hold_of(State *st, Book *book, const Order *order, int64_t limit,
                  int64_t lots) noexcept nogil
cdef int refused_by_funds(State *st, Book *book, const Order *order, int64_t limit,
                          int64_t lots) noexcept nogil
cdef int refused_by_worth(State *st, Book *book, int64_t limit, int64_t lots) noexcept nogil
cdef int rehold(State *st, Book *book, const Order *order, int64_t limit, int64_t lots,
                int64_t new_limit, int64_t new_lots) noexcept nogil
cdef void release_held(State *st, Book *book, const Order *order, int64_t limit,
                       int64_t lots) noexcept nogil
cdef int64_t fundable(State *st, Book *book, const Order *taker, int64_t price,
                      int64_t lots) noexcept nogil
cdef void market_trade(State *st, uint32_t instrument, uint32_t buyer, uint32_t seller,
                       int64_t lots, int64_t price) noexcept nogil
cdef int rate_of(State *st, uint32_t instrument, uint32_t client, int liquidity) noexcept nogil
cdef void charge(State *st, uint32_t instrument, uint32_t client, int side, i128 fee,
                 bint funded, int kind, uint64_t reference,
                 uint32_t reference_index) noexcept nogil


cdef inline void release(State *st, Book *book, const Order *order, int64_t limit,
                         int64_t lots) noexcept nogil:
    """Give back what is held for lots that will not trade."""
    if unlikely(book.clears & FUNDED):
        release_held(st, book, order, limit, lots)

cdef inline int too_worthy(State *st, Book *book, int64_t limit, int64_t lots) noexcept nogil:
    """0, or that an order is worth more than accounts take, where that is asked among the limits.

    Under the first version of the rules it was asked last of all, with the funds.
    """
    if unlikely(book.clears & WIDE) and st.rules > 1:
        return refused_by_worth(st, book, limit, lots)
    return 0

cdef inline uint64_t account_key(uint32_t client, uint32_t other) noexcept nogil:
    """The key of a client's position in an instrument, or balance of an asset."""
    return <uint64_t>client << 32 | other

cdef inline uint32_t account_of(State *st, AccountTable *table, uint64_t key) noexcept nogil:
    """The place of an account, which is made now if there is none; others may move."""
    cdef uint32_t at = account_at(table, key)
    return account_new(st, table, key) if unlikely(at == NONE) else at

cdef inline void positions_traded(State *st, uint32_t instrument, uint32_t buyer, uint32_t seller,
                                  int64_t lots, int64_t price) noexcept nogil:
    """Both legs of a trade, the buyer's first."""
    cdef Clearing *clearing = st.clearing
    cdef AccountTable *positions = &clearing.positions
    cdef uint32_t one = account_of(st, positions, account_key(buyer, instrument))
    cdef uint32_t other = account_of(st, positions, account_key(seller, instrument))
    position_trade(positions.accounts + one, lots, price)
    position_trade(positions.accounts + other, -lots, price)
    positions.accounts[one].updated_us = st.time_us
    positions.accounts[other].updated_us = st.time_us

cdef inline void account_ahead(const AccountTable *table, uint64_t key) noexcept nogil:
    """Ask for the line of the cache where an account most likely stands."""
    cdef uint32_t place
    if table.index_size:
        place = table.index[(key * <uint64_t>0x9E3779B97F4A7C15) >> table.shift]
        prefetch(table.accounts + (place - 1 if place else 0))

cdef inline void order_ahead(State *st, const Order *order) noexcept nogil:
    """Ask for the balance that an order holds, which a cancel gives back."""
    cdef Market *market
    if order.instrument < st.books_count and st.books[order.instrument].clears & FUNDED:
        market = st.clearing.markets + order.instrument
        account_ahead(&st.clearing.balances, account_key(
            order.client, market.base if order.side else market.quote))

cdef inline void command_ahead(State *st, const Command *command) noexcept nogil:
    """Ask for the accounts of a new order's client."""
    cdef Market *market
    if command.kind != PLACE or command.instrument >= st.books_count:
        return
    if command.time_in_force:
        account_ahead(&st.clearing.positions, account_key(command.client, command.instrument))
    if st.books[command.instrument].clears & FUNDED:
        market = st.clearing.markets + command.instrument
        account_ahead(&st.clearing.balances, account_key(command.client, market.quote))
        account_ahead(&st.clearing.balances, account_key(command.client, market.base))

cdef inline void clear_trade(State *st, Book *book, const Order *maker, const Order *taker,
                             int64_t price, int64_t lots, int64_t maker_limit,
                             int64_t taker_limit, bint auction) noexcept nogil:
    """What a trade does to the accounts of both; the limits are those of their orders, 0: none."""
    cdef Market *market
    cdef uint32_t instrument
    if likely(book.clears == CLEARED and not st.clearing.collecting):
        instrument = <uint32_t>(book - st.books)
        market = st.clearing.markets + instrument
        market.totals.trades += 1
        market.totals.lots += lots
        market.totals.turnover += <i128>price * lots
        if taker.side:
            positions_traded(st, instrument, maker.client, taker.client, lots, price)
        else:
            positions_traded(st, instrument, taker.client, maker.client, lots, price)
    elif book.clears:
        trade_whole(st, book, maker, taker, price, lots, maker_limit, taker_limit, auction)
