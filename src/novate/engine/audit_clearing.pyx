# cython: language_level=3
"""Walks all accounts and checks what must hold of them. Reads only."""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memset

from novate.engine.accounts cimport CLEARED, FUNDED, account_at, account_key, hold_of
from novate.engine.netting cimport net
from novate.engine.state cimport (
    NONE, Account, AccountTable, Asset, Book, Clearing, Market, Obligation, Order, Settled, State,
    grow, i128, order_price, order_unfilled,
)

from novate.model.errors import InvariantViolated


cdef int fail(State *st, str what) except -1:
    raise InvariantViolated(what, st.seq)


cdef int audit_clearing(State *st) except -1:
    """Raise InvariantViolated with the first thing that does not hold."""
    audit_table(st, &st.clearing.positions)
    audit_table(st, &st.clearing.balances)
    audit_positions(st)
    audit_assets(st)
    audit_holds(st)
    audit_due(st)
    return 0


cdef int audit_table(State *st, const AccountTable *table) except -1:
    """Every account is found by its key."""
    cdef uint32_t i
    for i in range(table.count):
        if account_at(table, table.accounts[i].key) != i:
            fail(st, f"account {table.accounts[i].key:#x} is not found by its key")
    return 0


cdef int audit_positions(State *st) except -1:
    """Lots, and cash and basis, sum to zero in every instrument; a flat position cost nothing."""
    cdef Clearing *clearing = st.clearing
    cdef size_t size = (<size_t>st.books_count + 1) * sizeof(i128)
    cdef i128 *lots = <i128 *>grow(NULL, size)
    cdef i128 *cash = <i128 *>grow(NULL, size)
    cdef Account *account
    cdef uint32_t i, instrument
    memset(lots, 0, size)
    memset(cash, 0, size)
    try:
        for i in range(clearing.positions.count):
            account = clearing.positions.accounts + i
            instrument = <uint32_t>account.key
            lots[instrument] += account.lots
            cash[instrument] += account.realized - account.basis
            if (account.basis > 0) != (account.lots > 0) or (
                    (account.basis < 0) != (account.lots < 0)):
                fail(st, f"position {account.key:#x}: its basis is not on the side of its lots")
        for i in range(st.books_count):
            if lots[i] or cash[i]:
                fail(st, f"instrument {i}: positions don't sum to zero")
    finally:
        free(lots)
        free(cash)
    return 0


cdef int audit_assets(State *st) except -1:
    """Balances sum to what the assets' books say, which sum to zero; nobody is under zero."""
    cdef Clearing *clearing = st.clearing
    cdef size_t size = (<size_t>clearing.assets_count + 1) * sizeof(Asset)
    cdef Asset *sums = <Asset *>grow(NULL, size)
    cdef Asset *books
    cdef Account *balance
    cdef uint32_t i
    memset(sums, 0, size)
    try:
        for i in range(clearing.balances.count):
            balance = clearing.balances.accounts + i
            sums[<uint32_t>balance.key].available += balance.available
            sums[<uint32_t>balance.key].held += balance.held
            if balance.available < 0 or balance.held < 0:
                fail(st, f"balance {balance.key:#x} is under zero")
        for i in range(clearing.assets_count):
            books = clearing.assets + i
            if sums[i].available != books.available or sums[i].held != books.held:
                fail(st, f"asset {i}: balances differ from the asset's books")
            if books.external + books.fees + books.available + books.held + (
                    books.settling + books.due):
                fail(st, f"asset {i}: its books don't sum to zero")
    finally:
        free(sums)
    return 0


cdef int audit_holds(State *st) except -1:
    """What is held is what the open orders hold."""
    cdef Clearing *clearing = st.clearing
    cdef size_t size = (<size_t>clearing.balances.count + 1) * sizeof(i128)
    cdef i128 *held = <i128 *>grow(NULL, size)
    cdef uint32_t i
    memset(held, 0, size)
    try:
        for i in range(st.orders_used):
            if st.orders[i].seq and st.books[st.orders[i].instrument].clears & FUNDED:
                add_hold(st, &st.orders[i], held)
        for i in range(clearing.balances.count):
            if held[i] != clearing.balances.accounts[i].held:
                fail(st, f"balance {clearing.balances.accounts[i].key:#x}: held is not what its "
                         f"open orders hold")
    finally:
        free(held)
    return 0


cdef int add_hold(State *st, const Order *order, i128 *held) except -1:
    cdef Market *market = st.clearing.markets + order.instrument
    cdef i128 units = hold_of(st, &st.books[order.instrument], order, order_price(st, order),
                              order_unfilled(st, order))
    cdef uint32_t at = account_at(&st.clearing.balances, account_key(
        order.client, market.base if order.side else market.quote))
    if units == 0:
        return 0
    if at == NONE:
        fail(st, f"order {order.seq} holds funds that no balance has")
    held[at] += units
    return 0


cdef int audit_due(State *st) except -1:
    """What the open cycle comes to sums to nothing but the fees that are due."""
    cdef Clearing *clearing = st.clearing
    cdef uint32_t count, i
    cdef bint fits
    cdef Obligation *rows = net(st, &count, &fits)
    cdef size_t size = (<size_t>clearing.assets_count + 1) * sizeof(i128)
    cdef i128 *sums = <i128 *>grow(NULL, size)
    memset(sums, 0, size)
    try:
        for i in range(count if fits else 0):
            sums[rows[i].asset] += rows[i].units
        for i in range(clearing.assets_count if fits else 0):
            if sums[i] != clearing.assets[i].due:
                fail(st, f"asset {i}: what is due does not net to the fees")
    finally:
        free(sums)
        free(rows)
    return 0
