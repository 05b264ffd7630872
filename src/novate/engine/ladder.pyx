# cython: language_level=3
"""The ladder: the price levels of one side of a book, in order.

Levels live in a slab and never move, so an order knows its own. What orders them is a sorted array
cut into blocks of up to 63, with each block's lowest key in an array of its own: a search halves
twice, and an insertion moves at most a block, however many levels there are. A small table finds
the levels that are in use by their price at once.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from novate.engine.state cimport (
    BLOCK_SIZE, CHECK, NONE, NO_KEY, Block, BookSide, Level, State, grow, more_blocks, more_levels,
    place_of_level,
)

cdef enum:
    CACHE_MIN = 16
    CACHE_MAX = 8192


# --- finding --------------------------------------------------------------------------------

cdef uint32_t block_for(BookSide *side, int64_t key) noexcept nogil:
    """Position of the last block whose lowest key is not above `key`; 0 where all are.

    The one that was searched for last is tried first: who finds no level opens one.
    """
    cdef const int64_t *lowest = side.lowest
    cdef uint32_t low = side.searched, size = side.blocks_count, half, more
    if key >= lowest[size - 1]:
        return size - 1
    if low + 1 < size and lowest[low] <= key and key < lowest[low + 1]:
        return low
    low = 0
    while size > 3:  # four parts at a time: their three bounds are waited for at once
        half = size >> 2
        more = (lowest[low + half] <= key) + (lowest[low + 2 * half] <= key)
        more += lowest[low + 3 * half] <= key
        low += more * half
        size -= 3 * half
    while size > 1:
        low += lowest[low + 1] <= key
        size -= 1
    side.searched = low
    return low


cdef uint32_t place_in(Block *block, int64_t key) noexcept nogil:
    """Position in the block of the first key not under `key`."""
    cdef const int64_t *keys = block.keys
    cdef uint32_t low = 0, size = block.count, half, more
    if size == 0 or keys[size - 1] < key:
        return size
    while size > 3:
        half = size >> 2
        more = (keys[low + half - 1] < key) + (keys[low + 2 * half - 1] < key)
        more += keys[low + 3 * half - 1] < key
        low += more * half
        size -= 3 * half
    while size > 1:
        low += keys[low] < key
        size -= 1
    return low


cdef inline uint32_t place_again(BookSide *side, Block *block, int64_t key) noexcept nogil:
    """The same, by way of where it was at the last search: who finds no level opens one."""
    cdef uint32_t place = side.searched_place
    if place <= block.count and (place == block.count or block.keys[place] >= key) and (
            place == 0 or block.keys[place - 1] < key):
        return place
    side.searched_place = place_in(block, key)
    return side.searched_place


cdef uint32_t ladder_search(State *st, BookSide *side, int64_t key) noexcept nogil:
    """The level of this key, or NONE, by search; it is in the cache from then on."""
    cdef Block *block
    cdef uint32_t at
    if key > side.best_key:
        return NONE
    block = &st.blocks[side.blocks[block_for(side, key)]]
    at = place_again(side, block, key)
    if at == block.count or block.keys[at] != key:
        return NONE
    cache_put(side, key, block.levels[at])
    return block.levels[at]


# --- the cache ------------------------------------------------------------------------------

cdef inline void cache_put(BookSide *side, int64_t key, uint32_t level) noexcept nogil:
    side.cache[cache_place(side, key)] = level


cdef void cache_grow(BookSide *side) noexcept nogil:
    """Four times the places, all empty: searches fill them again."""
    cdef uint32_t size = CACHE_MIN if side.cache == NULL else side.cache_size * 4
    side.cache = <uint32_t *>grow(side.cache, <size_t>size * 4)
    memset(side.cache, 0xFF, <size_t>size * 4)
    side.cache_size = size
    side.cache_shift = 64
    while size > 1:
        side.cache_shift -= 1
        size >>= 1


# --- opening and dropping levels ------------------------------------------------------------

cdef uint32_t level_new(State *st) noexcept nogil:
    cdef uint32_t level = st.levels_free
    if level != NONE:
        st.levels_free = st.levels[level].worse
        return level
    if st.levels_used == st.levels_capacity:
        more_levels(st)
    st.levels_used += 1
    return st.levels_used - 1


cdef uint32_t block_new(State *st) noexcept nogil:
    cdef uint32_t block = st.blocks_free
    if block != NONE:
        st.blocks_free = st.blocks[block].next_free
    else:
        if st.blocks_used == st.blocks_capacity:
            more_blocks(st)
        block = st.blocks_used
        st.blocks_used += 1
    st.blocks[block].count = 0
    return block


cdef void block_insert(State *st, BookSide *side, uint32_t at, uint32_t block) noexcept nogil:
    """Put a block at a position of the side; the caller sets its lowest key."""
    if side.blocks_count == side.blocks_capacity:
        side.blocks_capacity = max(4, side.blocks_capacity * 2)
        side.lowest = <int64_t *>grow(side.lowest, <size_t>side.blocks_capacity * 8)
        side.blocks = <uint32_t *>grow(side.blocks, <size_t>side.blocks_capacity * 4)
    memmove(side.lowest + at + 1, side.lowest + at, <size_t>(side.blocks_count - at) * 8)
    memmove(side.blocks + at + 1, side.blocks + at, <size_t>(side.blocks_count - at) * 4)
    side.blocks[at] = block
    side.blocks_count += 1


cdef uint32_t block_split(State *st, BookSide *side, uint32_t at, int64_t key) noexcept nogil:
    """Make room in a full block by a second one behind it; position of the one for `key`.

    Beyond the last key of all the new block starts empty: levels that open one above the other
    leave full blocks behind.
    """
    cdef uint32_t fresh = block_new(st), moved = BLOCK_SIZE // 2, i
    cdef Block *block = &st.blocks[side.blocks[at]]
    cdef Block *behind = &st.blocks[fresh]
    if at == side.blocks_count - 1 and key > block.keys[BLOCK_SIZE - 1]:
        moved = 0
    block.count = BLOCK_SIZE - moved
    behind.count = moved
    memcpy(behind.keys, block.keys + block.count, moved * 8)
    memcpy(behind.levels, block.levels + block.count, moved * 4)
    for i in range(moved):
        st.levels[behind.levels[i]].block = fresh
    block_insert(st, side, at + 1, fresh)
    side.lowest[at + 1] = behind.keys[0] if moved else key
    return at + 1 if key >= side.lowest[at + 1] else at


cdef uint32_t ladder_insert(State *st, BookSide *side, int64_t key, uint32_t level) noexcept nogil:
    """Put the level in its place; returns the next worse one, or NONE."""
    cdef uint32_t at = 0, place
    cdef Block *block
    if side.blocks_count == 0:
        block_insert(st, side, 0, block_new(st))
        side.lowest[0] = key
    else:
        at = block_for(side, key)
        if st.blocks[side.blocks[at]].count == BLOCK_SIZE:
            at = block_split(st, side, at, key)
    block = &st.blocks[side.blocks[at]]
    place = place_again(side, block, key)
    memmove(block.keys + place + 1, block.keys + place, <size_t>(block.count - place) * 8)
    memmove(block.levels + place + 1, block.levels + place, <size_t>(block.count - place) * 4)
    block.keys[place] = key
    block.levels[place] = level
    st.levels[level].block = side.blocks[at]
    block.count += 1
    if place:
        return block.levels[place - 1]
    side.lowest[at] = key
    if at == 0:
        return NONE
    block = &st.blocks[side.blocks[at - 1]]
    return block.levels[block.count - 1]


cdef void ladder_erase(State *st, BookSide *side, const Level *level) noexcept nogil:
    """Take a level out, and its block if it was the last there."""
    cdef Block *block = &st.blocks[level.block]
    cdef uint32_t at, place = place_of_level(block.levels, <uint32_t>(level - st.levels))
    CHECK(place < block.count and block.keys[place] == level.key)
    block.count -= 1
    memmove(block.keys + place, block.keys + place + 1, <size_t>(block.count - place) * 8)
    memmove(block.levels + place, block.levels + place + 1, <size_t>(block.count - place) * 4)
    if place:
        return
    at = block_for(side, level.key)
    if block.count:
        side.lowest[at] = block.keys[0]
        return
    block.next_free = st.blocks_free
    st.blocks_free = level.block
    side.blocks_count -= 1
    memmove(side.lowest + at, side.lowest + at + 1, <size_t>(side.blocks_count - at) * 8)
    memmove(side.blocks + at, side.blocks + at + 1, <size_t>(side.blocks_count - at) * 4)


cdef uint32_t level_open(State *st, BookSide *side, int64_t key) noexcept nogil:
    """A new, empty level of this key, which has none yet."""
    cdef uint32_t number = level_new(st), worse, better
    cdef Level *level = &st.levels[number]
    if side.count * 2 >= side.cache_size and side.cache_size < CACHE_MAX:
        cache_grow(side)
    worse = ladder_insert(st, side, key, number)
    if worse != NONE:
        better = st.levels[worse].better
        st.levels[worse].better = number
    else:
        better = NONE
        if side.count:
            better = second_lowest(st, side)
    level.key = key
    level.total = 0
    level.hidden = 0
    level.count = 0
    level.head = NONE
    level.tail = NONE
    level.worse = worse
    level.better = better
    if better != NONE:
        st.levels[better].worse = number
    else:
        side.best = number
        side.best_key = key
    side.count += 1
    cache_put(side, key, number)
    return number


cdef uint32_t second_lowest(State *st, BookSide *side) noexcept nogil:
    """The level above the lowest of a side with at least two."""
    cdef Block *block = &st.blocks[side.blocks[0]]
    return block.levels[1] if block.count > 1 else st.blocks[side.blocks[1]].levels[0]


cdef void level_drop(State *st, BookSide *side, uint32_t number) noexcept nogil:
    """Take an empty level out of its side."""
    cdef Level *level = &st.levels[number]
    cdef uint32_t at = cache_place(side, level.key)
    ladder_erase(st, side, level)
    if level.worse != NONE:
        st.levels[level.worse].better = level.better
    if level.better != NONE:
        st.levels[level.better].worse = level.worse
    else:
        side.best = level.worse
        side.best_key = NO_KEY if level.worse == NONE else st.levels[level.worse].key
    if side.cache[at] == number:
        side.cache[at] = NONE
    side.count -= 1
    level.worse = st.levels_free
    st.levels_free = number
