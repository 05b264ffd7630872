# cython: language_level=3
"""Average cost over columns of trades: the rule of positions, at the speed of the engine.

Knows no engine: trades in, one row a position out. `novate.analytics.positions` is its face and
says what the rule is.
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint64_t

import numpy as np

cdef extern from *:
    """
    typedef __int128 cost_i128;
    #define cost_add(a, b, out) __builtin_add_overflow(a, b, out)
    """
    ctypedef long long i128 "cost_i128"
    bint cost_add(i128 a, i128 b, i128 *out) noexcept nogil

HELD = np.dtype([
    ("net_lots", "<i8"), ("last", "<i8"), ("fills", "<i8"), ("cost_low", "<u8"),
    ("cost_high", "<i8"), ("realized_low", "<u8"), ("realized_high", "<i8"),
    ("bought_lots", "<i8"), ("sold_lots", "<i8"),
])

cdef packed struct Held:
    int64_t net, last, fills
    uint64_t cost_low
    int64_t cost_high
    uint64_t realized_low
    int64_t realized_high
    int64_t bought, sold


cdef inline i128 joined(int64_t high, uint64_t low) noexcept nogil:
    return <i128>high * (<i128>1 << 64) + low  # a negative number is not shifted in C


cdef inline i128 removed_cost(i128 cost, int64_t lots, int64_t held) noexcept nogil:
    """`cost * lots / held`, toward zero; 0 < lots <= held. The product itself may pass 128 bits."""
    return cost // held * lots + cost % held * lots // held


cdef int fill(Held *own, int64_t signed_lots, int64_t price) noexcept nogil:
    """One side of a trade; 1 where a number passes its limit."""
    cdef i128 cost = joined(own.cost_high, own.cost_low), removed, paid
    cdef i128 realized = joined(own.realized_high, own.realized_low), net
    cdef int64_t lots = signed_lots if signed_lots > 0 else -signed_lots, closed, held
    cdef bint reduces = own.net != 0 and (own.net > 0) != (signed_lots > 0)
    net = <i128>own.net + signed_lots
    if net > INT64_MAX or net < -INT64_MAX:
        return 1
    closed = 0
    if reduces:
        held = own.net if own.net > 0 else -own.net
        closed = lots if lots < held else held
        removed = removed_cost(cost, closed, held)
        paid = <i128>price * closed
        cost -= removed
        # what came in for it, less what it had cost; of a short position both bear the minus
        if cost_add(realized, (paid if own.net > 0 else -paid) - removed, &realized):
            return 1
    paid = <i128>price * (lots - closed)
    cost += paid if signed_lots > 0 else -paid
    own.net = <int64_t>net
    own.cost_low, own.cost_high = <uint64_t>cost, <int64_t>(cost >> 64)
    own.realized_low, own.realized_high = <uint64_t>realized, <int64_t>(realized >> 64)
    own.fills += 1
    if signed_lots > 0:
        if lots > INT64_MAX - own.bought:
            return 1
        own.bought += lots
    else:
        if lots > INT64_MAX - own.sold:
            return 1
        own.sold += lots
    return 0


def hold(const int64_t[::1] price_ticks, const int64_t[::1] quantity_lots,
         const int64_t[::1] buyer, const int64_t[::1] seller, Py_ssize_t count, before=None):
    """Positions after trades, in their order; the buyer's side of each goes before the seller's.

    Args:
        price_ticks: Prices, under 2**50 in magnitude.
        quantity_lots: Quantities, 1 to 2**50.
        buyer, seller: Position of each side, from 0 to `count` - 1.
        count: Positions.
        before: The positions before the trades, an array of `count` records `HELD`; None: flat.

    Returns:
        An array of `count` records `HELD`: cost and realized are 128 bits in two halves, in ticks
        times lots; `last` is the number of the last trade of it, -1 for none.

    Raises:
        IndexError: a position is not under `count`.
        OverflowError: a net, bought or sold quantity passes 63 bits, or a profit 127.
    """
    cdef Py_ssize_t at, trades = price_ticks.shape[0], failed = -1
    if not trades == quantity_lots.shape[0] == buyer.shape[0] == seller.shape[0]:
        raise ValueError("expected columns of one length")
    if before is not None and (before.dtype != HELD or before.shape != (count,)):
        raise ValueError(f"expected {count} positions before, as records of HELD")
    found = np.zeros(count, HELD) if before is None else before.copy()
    found["last"] = -1
    cdef Held[::1] held = found
    cdef Held *first = &held[0] if count else NULL
    for at in range(trades):
        if not (0 <= buyer[at] < count and 0 <= seller[at] < count):
            raise IndexError(f"expected positions from 0 to {count - 1}, got another at {at}")
    with nogil:
        for at in range(trades):
            if fill(&first[buyer[at]], quantity_lots[at], price_ticks[at]) or \
                    fill(&first[seller[at]], -quantity_lots[at], price_ticks[at]):
                failed = at
                break
            first[buyer[at]].last = at
            first[seller[at]].last = at
    if failed >= 0:
        raise OverflowError(f"expected positions under 2**63 lots, got more at trade {failed}")
    return found
