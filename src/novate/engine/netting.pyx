# cython: language_level=3
"""Netting: the trades of the open cycle, multilaterally, as one obligation per client and asset.

What is owed is the difference between a position and what of it was settled before; the trades
themselves are gone. Reads only. Sums are kept in two parts, so that none passes its bounds on the
way, in whatever order its rows come.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, qsort
from libc.string cimport memset

from novate.engine.accounts cimport times
from novate.engine.state cimport (
    Account, Clearing, Market, Obligation, Settled, State, grow, i128,
)

cdef i128 ROW_MAX = <i128>1 << 126
"""Most units of one position's part, so that what is taken of fees fits as well."""

cdef i128 FORMER_ROW_MAX = <i128>1 << 108
"""The same under rules before 3, which bound nothing else: no sum of theirs passes `ROW_MAX`."""

cdef i128 CYCLE_MAX = <i128>1 << 122
"""Most units of an asset that all clients together receive of a cycle, or pay."""


cdef struct Sum:
    # high * 2**64 + low; of up to 2**62 numbers
    i128 high, low


cdef void add(Sum *total, i128 units) noexcept nogil:
    total.high += units >> 64
    total.low += <uint64_t>units


cdef bint fitted(const Sum *total, i128 most, i128 *units) noexcept nogil:
    """The sum as a number; False: it is over `most`, or under its negative."""
    cdef i128 high = total.high + (total.low >> 64)
    if not -(most >> 64) <= high <= most >> 64:
        return False
    units[0] = high * (<i128>1 << 64) + <uint64_t>total.low
    return -most <= units[0] <= most


cdef int by_client(const void *a, const void *b) noexcept nogil:
    cdef const Obligation *one = <const Obligation *>a
    cdef const Obligation *other = <const Obligation *>b
    if one.client != other.client:
        return 1 if one.client > other.client else -1
    return (one.asset > other.asset) - (one.asset < other.asset)


cdef bint row(Obligation *rows, uint32_t *count, uint32_t client, uint32_t asset, i128 steps,
              i128 each, i128 fees, i128 most) noexcept nogil:
    """Append `steps * each - fees` units; False: they are more than `most`, or not to be told."""
    cdef i128 units
    if not times(steps, each, &units) or units > most or units < -most:
        return False
    units -= fees
    if units:
        rows[count[0]].units = units
        rows[count[0]].client = client
        rows[count[0]].asset = asset
        count[0] += 1
    return True


cdef bint merged(Obligation *rows, uint32_t *count, i128 most) noexcept nogil:
    """Sum sorted rows of the same client and asset; rows of nothing go. False: one doesn't fit."""
    cdef uint32_t i = 0, kept = 0
    cdef bint fits = True
    cdef Obligation first
    cdef Sum total
    while i < count[0]:
        first = rows[i]
        memset(&total, 0, sizeof(Sum))
        while i < count[0] and rows[i].client == first.client and rows[i].asset == first.asset:
            add(&total, rows[i].units)
            i += 1
        if not fitted(&total, most, &first.units):
            fits = False
        elif first.units:
            rows[kept] = first
            kept += 1
    count[0] = kept
    return fits


cdef bint totals_fit(const Clearing *clearing, const Obligation *rows,
                     uint32_t count) noexcept nogil:
    """Whether what all receive of each asset is within bounds, and what all pay."""
    cdef Sum *sums = <Sum *>grow(NULL, (<size_t>clearing.assets_count * 2 + 1) * sizeof(Sum))
    cdef i128 units
    cdef uint32_t i
    cdef bint fits = True
    memset(sums, 0, (<size_t>clearing.assets_count * 2 + 1) * sizeof(Sum))
    for i in range(count):
        add(&sums[rows[i].asset * 2 + (rows[i].units < 0)], rows[i].units)
    for i in range(clearing.assets_count * 2):
        fits = fits and fitted(&sums[i], CYCLE_MAX, &units)
    free(sums)
    return fits


cdef Obligation *net(State *st, uint32_t *count, bint *fits) noexcept nogil:
    """The obligations of the open cycle by client and asset, over 0 to receive; the caller frees.

    `fits`: no amount passed its bounds; those that did are left out.
    """
    cdef Clearing *clearing = st.clearing
    cdef Obligation *rows = <Obligation *>grow(
        NULL, (<size_t>clearing.positions.count * 2 + 1) * sizeof(Obligation))
    cdef Account *position
    cdef Settled *settled
    cdef Market *market
    cdef uint32_t i, client
    cdef i128 cash, most = ROW_MAX if st.rules > 2 else FORMER_ROW_MAX
    count[0] = 0
    fits[0] = True
    for i in range(clearing.positions.count):
        position = clearing.positions.accounts + i
        settled = clearing.settled + i
        market = clearing.markets + <uint32_t>position.key
        client = <uint32_t>(position.key >> 32)
        cash = position.realized - position.basis - settled.cash
        if not row(rows, count, client, market.base, position.lots - settled.lots,
                   market.lot_units, 0, most):
            fits[0] = False
        if not row(rows, count, client, market.quote, cash, market.quote_units,
                   settled.fees_due, most):
            fits[0] = False
    qsort(rows, count[0], sizeof(Obligation), by_client)
    if not merged(rows, count, CYCLE_MAX if st.rules > 2 else ROW_MAX):
        fits[0] = False
    if st.rules > 2 and not totals_fit(clearing, rows, count[0]):
        fits[0] = False
    return rows
