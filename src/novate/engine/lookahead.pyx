# cython: language_level=3
"""Looking ahead where it takes more: for orders that are named by text, in the hash table of their
ids; and for the levels of books that have very many.
"""

from libc.stdint cimport uint8_t, uint32_t

from novate.engine.ladder cimport block_for, cache_place, place_in
from novate.engine.registry cimport hash_id
from novate.engine.state cimport (
    CLOSED, NONE, NUMBERS_MAX, Block, BookSide, Level, State, Table, key_of, number_at,
    place_after, place_of, prefetch, tag_of,
)
from novate.model.records cimport PLACE, Command, head_size


cdef void ask_hash(State *st, Lookahead *ahead, uint32_t now,
                   const Command *command) noexcept nogil:
    """Ask for the lines of the table where the command's order id belongs."""
    cdef const uint8_t *text = <const uint8_t *>command + head_size(command)
    cdef uint32_t hashed = hash_id(st, command.order_id_kind, text, command.order_id_length,
                                   command.order_number)
    cdef Table *table = &st.order_index[hashed >> 24]
    ahead.hashed = True
    ahead.hashes[now] = hashed
    if table.slots != NULL:
        prefetch(table.tags + place_of(table, hashed))
        prefetch(table.slots + place_of(table, hashed))


cdef uint32_t find_hash(State *st, Lookahead *ahead, uint32_t now) noexcept nogil:
    """Where the order stands that a command most likely names, or NONE."""
    cdef uint32_t hashed = ahead.hashes[now], at, distance = 0
    cdef Table *table = &st.order_index[hashed >> 24]
    if ahead.numbers[now] != NUMBERS_MAX:
        return number_at(st, ahead.numbers[now])
    if table.slots == NULL:
        return NONE
    at = place_of(table, hashed)
    while table.tags[at] and distance < 8:
        if table.tags[at] == tag_of(hashed, distance):
            return table.slots[at]
        at = place_after(table, at)
        distance += 1
    return NONE


cdef enum:
    TO_BLOCK = 6         # commands between looking at a new order and asking for its block
    TO_PLACE = 5         # and between that and its place in it
    TO_CANCELLED = 11    # between looking at a command and at the level of the order it names
    TO_DROPPED = 16      # and at what stands beside that level


cdef void look_wide(State *st, Lookahead *ahead, uint32_t now) noexcept nogil:
    """Ask for the levels that the commands ahead will open, find or drop."""
    cdef const Command *command
    cdef uint32_t order
    cdef uint32_t applied = (now - DISTANCE) & 31
    ahead.blocks[now] = NONE
    now = (now - TO_BLOCK) & 31
    command = ahead.commands[now]
    if command != NULL:
        ahead.blocks[now] = ask_block(st, command, &ahead.searched[now])
    if ahead.blocks[applied] != NONE:
        remember_search(st, ahead.commands[applied], ahead.searched[applied],
                        ahead.places[applied])
    now = (now - TO_PLACE) & 31
    if ahead.blocks[now] != NONE:
        ahead.places[now] = ask_place(st, ahead.commands[now], &st.blocks[ahead.blocks[now]])
    order = ahead.orders[(now - (TO_CANCELLED - TO_PLACE - TO_BLOCK)) & 31]
    if not order & CLOSED:
        prefetch(&st.levels[st.orders[order].level])
    order = ahead.orders[(now - (TO_DROPPED - TO_PLACE - TO_BLOCK)) & 31]
    if not order & CLOSED:
        ask_dropped(st, &st.levels[st.orders[order].level])


cdef void remember_search(State *st, const Command *command, uint32_t at,
                          uint32_t place) noexcept nogil:
    """Let the search for a new order's level, which comes now, begin where it once ended."""
    st.books[command.instrument].sides[command.side].searched = at
    st.books[command.instrument].sides[command.side].searched_place = place


cdef uint32_t ask_block(State *st, const Command *command, uint32_t *at) noexcept nogil:
    """Ask for the block of the ladder where a new order's price belongs, at `at`; or NONE."""
    cdef BookSide *side
    cdef uint32_t block
    if command.kind != PLACE or command.instrument >= st.books_count or command.side > 1:
        return NONE
    side = &st.books[command.instrument].sides[command.side]
    if side.blocks_count < 2:
        return NONE
    at[0] = block_for(side, key_of(command.side, command.price_ticks))
    block = side.blocks[at[0]]
    prefetch(side.cache + cache_place(side, key_of(command.side, command.price_ticks)))
    prefetch_block(&st.blocks[block])
    return block


cdef enum:
    USUAL = 63               # levels of a block at most, mostly
    USUAL_KEYS_LINES = 8     # and the lines that they stand in
    USUAL_LEVELS_LINES = 4


cdef void prefetch_block(const Block *block) noexcept nogil:
    """Ask for the lines of a block that are mostly in use."""
    cdef const uint8_t *line = <const uint8_t *>block
    cdef int i
    for i in range(USUAL_KEYS_LINES):
        prefetch(line + 64 * i)
    for i in range(USUAL_LEVELS_LINES):
        prefetch(line + 512 + 64 * i)


cdef uint32_t ask_place(State *st, const Command *command, Block *block) noexcept nogil:
    """Ask for the levels at and below a new order's price, at the place in its block."""
    cdef uint32_t place = place_in(block, key_of(command.side, command.price_ticks))
    if block.count > USUAL:
        prefetch(&block.keys[block.count])
        prefetch(&block.levels[block.count])
    if place < block.count:
        prefetch(&st.levels[block.levels[place]])
    if place:
        prefetch(&st.levels[block.levels[place - 1]])
    return place


cdef void ask_dropped(State *st, const Level *level) noexcept nogil:
    """Ask for what a level's end concerns, if it is about to lose its only order."""
    if level.count == 1:
        prefetch_block(&st.blocks[level.block])
        prefetch(&st.levels[level.better])
        prefetch(&st.levels[level.worse])
