# cython: language_level=3
"""The price levels of a side: found by price, in order of price, each beside its neighbours."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from novate.engine.state cimport NONE, Block, BookSide, State, unlikely

cdef enum:
    CACHED_LEVELS = 16384  # a side with more is searched: its cache is most often wrong

cdef uint32_t block_for(BookSide *side, int64_t key) noexcept nogil
cdef uint32_t place_in(Block *block, int64_t key) noexcept nogil
cdef uint32_t ladder_search(State *st, BookSide *side, int64_t key) noexcept nogil
cdef uint32_t level_open(State *st, BookSide *side, int64_t key) noexcept nogil
cdef void level_drop(State *st, BookSide *side, uint32_t level) noexcept nogil

cdef inline uint32_t cache_place(BookSide *side, int64_t key) noexcept nogil:
    """Where in the side's cache a key's level stands, if it does."""
    return <uint32_t>(<uint64_t>key * <uint64_t>0x9E3779B97F4A7C15 >> side.cache_shift)

cdef inline uint32_t level_find(State *st, BookSide *side, int64_t key) noexcept nogil:
    """The level of this key, or NONE."""
    cdef uint32_t level
    if side.count == 0:
        return NONE
    if unlikely(side.count > CACHED_LEVELS):
        return ladder_search(st, side, key)
    level = side.cache[cache_place(side, key)]
    if level != NONE and st.levels[level].key == key:
        return level
    return ladder_search(st, side, key)
