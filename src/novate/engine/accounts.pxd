# cython: language_level=3
"""Accounts: who owns, owes and holds what, and what a trade does to it."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from novate.engine.state cimport (
    NONE, Account, AccountTable, Asset, Book, Clearing, Market, Order, State,
    Taker, i128, likely, prefetch, unlikely,
)
from novate.model.records cimport PLACE, Command

cdef extern from "novate/engine/state.h":
    uint32_t HOUSE "NOVATE_HOUSE"
    uint32_t CLEARED "NOVATE_CLEARED"
    uint32_t CHARGED "NOVATE_CHARGED"
    uint32_t FUNDED "NOVATE_FUNDED"
    uint32_t WIDE "NOVATE_WIDE"
    uint32_t TIERS "NOVATE_TIERS"
    uint32_t account_home "novate_account_home"(
        const AccountTable *table, uint64_t key) noexcept nogil
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

cdef inline uint32_t paid_with(const Market *market, uint32_t side) noexcept nogil:
    """The asset that orders of a side pay with; without a branch, for sides come by chance."""
    return market.quote ^ ((market.quote ^ market.base) & -side)

cdef inline uint32_t account_of(State *st, AccountTable *table, uint64_t key) noexcept nogil:
    """The place of an account, which is made now if there is none; others may move."""
    cdef uint32_t at = account_at(table, key)
    return account_new(st, table, key) if unlikely(at == NONE) else at

cdef inline void both_traded(State *st, uint32_t buyer, uint32_t seller, int64_t lots,
                             int64_t price) noexcept nogil:
    """What a trade does to the positions at these places, the buyer's first."""
    cdef Account *positions = st.clearing.positions.accounts
    position_trade(positions + buyer, lots, price)
    position_trade(positions + seller, -lots, price)
    positions[buyer].updated_us = st.time_us
    positions[seller].updated_us = st.time_us

cdef inline void positions_traded(State *st, uint32_t instrument, uint32_t buyer, uint32_t seller,
                                  int64_t lots, int64_t price) noexcept nogil:
    """Both legs of a trade, the buyer's first."""
    cdef Clearing *clearing = st.clearing
    cdef AccountTable *positions = &clearing.positions
    cdef uint32_t one = account_of(st, positions, account_key(buyer, instrument))
    cdef uint32_t other = account_of(st, positions, account_key(seller, instrument))
    both_traded(st, one, other, lots, price)


# --- what is asked for ahead ----------------------------------------------------------------

cdef inline uint32_t account_near(const AccountTable *table, uint64_t key) noexcept nogil:
    """Where an account most likely stands, or the first; there is an index."""
    cdef uint32_t place = table.index[account_home(table, key)]
    return place - (place != 0)

cdef inline void account_ahead(const AccountTable *table, uint64_t key) noexcept nogil:
    """Ask for the line of the cache where an account most likely stands; there is an index."""
    prefetch(table.accounts + account_near(table, key))

cdef inline void order_ahead(State *st, const Order *order) noexcept nogil:
    """Ask for the balance that an order holds, which a cancel gives back."""
    cdef Clearing *clearing = st.clearing
    cdef Market *market
    if likely(order.instrument < st.books_count
              and st.books[order.instrument].clears & FUNDED and clearing.balances.index_size):
        market = clearing.markets + order.instrument
        account_ahead(&clearing.balances, account_key(
            order.client, paid_with(market, order.side)))

cdef inline void command_ahead(State *st, const Command *command) noexcept nogil:
    """Ask for the accounts of a new order's client.

    What a command is comes by chance, so nothing here branches on it: for those that trade not at
    once, the line of a client is asked for that is always the same one.
    """
    cdef Clearing *clearing = st.clearing
    cdef uint64_t places = command.kind == PLACE, trades = command.time_in_force != 0
    cdef uint64_t client = -places & command.client
    cdef uint32_t at
    cdef Market *market
    if unlikely(command.instrument >= st.books_count):
        return
    if likely(clearing.positions.index_size):
        at = account_near(&clearing.positions, account_key(
            <uint32_t>(-trades & client), command.instrument))
        prefetch(clearing.positions.accounts + at)
        if st.books[command.instrument].clears & FUNDED:
            prefetch(clearing.settled + at)
    if st.books[command.instrument].clears & FUNDED and likely(clearing.balances.index_size):
        market = clearing.markets + command.instrument
        account_ahead(&clearing.balances, account_key(
            <uint32_t>client, paid_with(market, command.side & 1)))
        account_ahead(&clearing.balances, account_key(
            <uint32_t>(-trades & client), paid_with(market, 1 - (command.side & 1))))


# --- funded books, the short way ------------------------------------------------------------

cdef inline i128 limit_hold(State *st, Book *book, const Market *market, uint32_t client,
                            uint32_t side, int64_t price, int64_t lots) noexcept nogil:
    """Units that a limit order holds for so many open lots."""
    cdef i128 each = <i128>price * book.quote_units
    if unlikely(book.clears & CHARGED):
        each = lot_cost(st, book, client, price)
    return lots * (each ^ ((each ^ market.lot_units) & -<i128>side))

cdef inline bint move_held(State *st, uint32_t client, uint32_t asset, i128 units) noexcept nogil:
    """Hold so many units more of a balance, or below 0 release them; False: there are not as many.
    """
    cdef Clearing *clearing = st.clearing
    cdef uint32_t at = account_at(&clearing.balances, account_key(client, asset))
    cdef Account *balance = clearing.balances.accounts + at
    cdef Asset *books = clearing.assets + asset
    if unlikely(at == NONE or (units > balance.available and units > 0)):
        return False
    balance.available -= units
    balance.held += units
    books.available -= units
    books.held += units
    return True

cdef inline bint hold_limit(State *st, Book *book, uint32_t client, uint32_t side, int64_t price,
                            int64_t lots) noexcept nogil:
    """Hold what a new limit order may cost; False: the long way says whether that can be."""
    cdef Market *market = st.clearing.markets + (book - st.books)
    return not st.clearing.collecting and move_held(
        st, client, paid_with(market, side),
        limit_hold(st, book, market, client, side, price, lots))

cdef inline int new_refusal(State *st, Book *book, const Taker *taker, int reason) noexcept nogil:
    """Why a new limit order is refused: for this reason, its worth or its funds; 0: they are held.
    """
    if likely(reason == 0 and book.clears & (FUNDED | WIDE) == FUNDED) and hold_limit(
            st, book, taker.client, taker.side, taker.price, taker.remaining):
        return 0
    reason = too_worthy(st, book, taker.price, taker.remaining) or reason
    return reason or refused_by_funds(
        st, book, <const Order *>taker, taker.price, taker.remaining)

cdef inline void release(State *st, Book *book, const Order *order, int64_t limit,
                         int64_t lots) noexcept nogil:
    """Give back what is held for lots that will not trade."""
    cdef Market *market
    if not book.clears & FUNDED:
        return
    market = st.clearing.markets + (book - st.books)
    if unlikely(st.clearing.collecting or order.order_type | order.by_quote) or not move_held(
            st, order.client, paid_with(market, order.side),
            -limit_hold(st, book, market, order.client, order.side, limit, lots)):
        release_held(st, book, order, limit, lots)

cdef inline bint trade_funded(State *st, Book *book, const Order *buyer, const Order *seller,
                              int64_t price, int64_t lots, int64_t limit) noexcept nogil:
    """A trade of two limit orders in a funded book, without fees or entries.

    `limit` is the buyer's. False: an account is to be made first, and nothing has changed.
    """
    cdef Clearing *clearing = st.clearing
    cdef AccountTable *balances = &clearing.balances
    cdef uint32_t instrument = <uint32_t>(book - st.books)
    cdef Market *market = clearing.markets + instrument
    cdef Asset *quote = clearing.assets + market.quote
    cdef Asset *base = clearing.assets + market.base
    cdef uint32_t one = account_at(&clearing.positions, account_key(buyer.client, instrument))
    cdef uint32_t other = account_at(&clearing.positions, account_key(seller.client, instrument))
    cdef uint32_t payer = account_at(balances, account_key(buyer.client, market.quote))
    cdef uint32_t taker = account_at(balances, account_key(buyer.client, market.base))
    cdef uint32_t giver = account_at(balances, account_key(seller.client, market.base))
    cdef uint32_t payee = account_at(balances, account_key(seller.client, market.quote))
    cdef i128 cash = <i128>price * lots, paid = cash * book.quote_units
    cdef i128 given = lots * market.lot_units, free = lots * (<i128>limit * book.quote_units)
    if unlikely(one == NONE or other == NONE or payer == NONE or taker == NONE or giver == NONE
                or payee == NONE):
        return False
    market.totals.trades += 1
    market.totals.lots += lots
    market.totals.turnover += cash
    both_traded(st, one, other, lots, price)
    clearing.settled[one].lots += lots
    clearing.settled[one].cash -= cash
    clearing.settled[other].lots -= lots
    clearing.settled[other].cash += cash
    balances.accounts[payer].held -= free
    balances.accounts[payer].available += free - paid
    balances.accounts[taker].available += given
    balances.accounts[giver].held -= given
    balances.accounts[payee].available += paid
    quote.held -= free
    quote.available += free
    base.held -= given
    base.available += given
    if unlikely(lower_sum(quote) | lower_sum(base)):
        st.violation = 3
    return True

cdef inline uint64_t lower_sum(const Asset *books) noexcept nogil:
    """The lower half of an asset's sum: it will do here, an audit compares the whole."""
    return (
        <uint64_t>books.external + <uint64_t>books.fees + <uint64_t>books.available
        + <uint64_t>books.held + <uint64_t>books.settling + <uint64_t>books.due)


# --- trades ---------------------------------------------------------------------------------

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
        return
    if likely(book.clears == (CLEARED | FUNDED)
              and not (st.clearing.collecting or maker.order_type | taker.order_type
                       or maker.by_quote | taker.by_quote)):
        if taker.side:
            if likely(trade_funded(st, book, maker, taker, price, lots, maker_limit)):
                return
        elif likely(trade_funded(st, book, taker, maker, price, lots, taker_limit)):
            return
    if book.clears:
        trade_whole(st, book, maker, taker, price, lots, maker_limit, taker_limit, auction)
