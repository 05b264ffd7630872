# cython: language_level=3
"""How many open orders a client has on each instrument.

It counts for those clients alone that a limit of open orders ever asked of: such a client's list of
open orders is walked once, and from then on each order that opens or leaves is counted. So an order
that no such limit concerns costs a look at a bit of its client, and a limit costs the same however
many orders there are. The counts say nothing that the lists don't, and are no part of a dump.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from novate.engine.state cimport CHECK, NONE, OpenCount, State, mix


cdef inline uint32_t place_of(State *st, uint32_t client, uint32_t instrument) noexcept nogil:
    cdef uint64_t pair = <uint64_t>client << 32 | instrument
    return <uint32_t>(mix(pair ^ st.secret, <uint64_t>0x9E3779B97F4A7C15) >> 32) & (
        st.open_counts_size - 1)


cdef inline uint32_t find(State *st, uint32_t client, uint32_t instrument) noexcept nogil:
    """Where the count stands, or the free place where it would."""
    cdef uint32_t at = place_of(st, client, instrument)
    while st.open_counts[at].count and (
            st.open_counts[at].client != client or st.open_counts[at].instrument != instrument):
        at = (at + 1) & (st.open_counts_size - 1)
    return at


cdef void make_room(State *st) noexcept nogil:
    """Have at least half of the places free."""
    cdef OpenCount *old = st.open_counts
    cdef uint32_t size = st.open_counts_size, i
    if st.open_counts_used * 2 < size:
        return
    st.open_counts_size = max(64, size * 2)
    st.open_counts = <OpenCount *>calloc(st.open_counts_size, sizeof(OpenCount))
    CHECK(st.open_counts != NULL)
    for i in range(size):
        if old[i].count:
            st.open_counts[find(st, old[i].client, old[i].instrument)] = old[i]
    free(old)


cdef void drop(State *st, uint32_t at) noexcept nogil:
    """Free a place, and close the gap that it leaves in the ways to others."""
    cdef uint32_t mask = st.open_counts_size - 1, after = at, home
    st.open_counts[at].count = 0
    st.open_counts_used -= 1
    while True:
        after = (after + 1) & mask
        if st.open_counts[after].count == 0:
            return
        home = place_of(st, st.open_counts[after].client, st.open_counts[after].instrument)
        if (after - home) & mask >= (after - at) & mask:
            st.open_counts[at] = st.open_counts[after]
            st.open_counts[after].count = 0
            at = after


cdef void open_count_add(State *st, uint32_t client, uint32_t instrument, int by) noexcept nogil:
    """An order of a client that is counted opens (1) or leaves (-1)."""
    cdef uint32_t at
    make_room(st)
    at = find(st, client, instrument)
    if st.open_counts[at].count == 0:
        st.open_counts[at].client = client
        st.open_counts[at].instrument = instrument
        st.open_counts_used += 1
    st.open_counts[at].count += by
    if st.open_counts[at].count == 0:
        drop(st, at)


cdef uint32_t open_count_of(State *st, uint32_t client, uint32_t instrument) noexcept nogil:
    """Open orders of the client on the instrument; it is counted from now on."""
    cdef uint32_t slot
    if not st.clients[client].counted:
        st.clients[client].counted = 1
        slot = st.clients[client].newest_open
        while slot != NONE:
            open_count_add(st, client, st.orders[slot].instrument, 1)
            slot = st.links[slot].open_next
    if st.open_counts_size == 0:
        return 0
    return st.open_counts[find(st, client, instrument)].count
