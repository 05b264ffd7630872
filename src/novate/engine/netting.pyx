# cython: language_level=3
"""Netting: the trades of the open cycle, multilaterally, as one obligation per client and asset.

What is owed is the difference between a position and what of it was settled before; the trades
themselves are gone. Reads only.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t
from libc.stdlib cimport qsort

from novate.engine.accounts cimport times
from novate.engine.state cimport (
    Account, Clearing, Market, Obligation, Settled, State, grow, i128,
)

cdef i128 ROW_MAX = <i128>1 << 108
"""Most units of one position's part, so that no sum over instruments passes 127 bits."""


cdef int by_client(const void *a, const void *b) noexcept nogil:
    cdef const Obligation *one = <const Obligation *>a
    cdef const Obligation *other = <const Obligation *>b
    if one.client != other.client:
        return 1 if one.client > other.client else -1
    return (one.asset > other.asset) - (one.asset < other.asset)


cdef bint row(Obligation *rows, uint32_t *count, uint32_t client, uint32_t asset, i128 steps,
              i128 each, i128 fees) noexcept nogil:
    """Append `steps * each - fees` units; False: they are too many."""
    cdef i128 units
    if not times(steps, each, &units) or units > ROW_MAX or units < -ROW_MAX:
        return False
    units -= fees
    if units:
        rows[count[0]].units = units
        rows[count[0]].client = client
        rows[count[0]].asset = asset
        count[0] += 1
    return True


cdef uint32_t merged(Obligation *rows, uint32_t count) noexcept nogil:
    """Sum sorted rows of the same client and asset; rows of nothing go."""
    cdef uint32_t i, kept = 0
    for i in range(count):
        if kept and rows[kept - 1].client == rows[i].client and (
                rows[kept - 1].asset == rows[i].asset):
            rows[kept - 1].units += rows[i].units
        else:
            if kept and rows[kept - 1].units == 0:
                kept -= 1
            rows[kept] = rows[i]
            kept += 1
    if kept and rows[kept - 1].units == 0:
        kept -= 1
    return kept


cdef Obligation *net(State *st, uint32_t *count, bint *fits) noexcept nogil:
    """The obligations of the open cycle by client and asset, over 0 to receive; the caller frees.

    `fits`: no amount passed its bounds.
    """
    cdef Clearing *clearing = st.clearing
    cdef Obligation *rows = <Obligation *>grow(
        NULL, (<size_t>clearing.positions.count * 2 + 1) * sizeof(Obligation))
    cdef Account *position
    cdef Settled *settled
    cdef Market *market
    cdef uint32_t i, client
    cdef i128 cash
    count[0] = 0
    fits[0] = True
    for i in range(clearing.positions.count):
        position = clearing.positions.accounts + i
        settled = clearing.settled + i
        market = clearing.markets + <uint32_t>position.key
        client = <uint32_t>(position.key >> 32)
        cash = position.realized - position.basis - settled.cash
        if not row(rows, count, client, market.base, position.lots - settled.lots,
                   market.lot_units, 0) or not row(
                rows, count, client, market.quote, cash, market.quote_units, settled.fees_due):
            fits[0] = False
    qsort(rows, count[0], sizeof(Obligation), by_client)
    count[0] = merged(rows, count[0])
    return rows
