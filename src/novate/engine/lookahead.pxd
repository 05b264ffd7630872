# cython: language_level=3
"""Fetches into the processor's cache what the commands to come will touch.

A batch's commands are known before they are applied, and most of an engine's time is waiting for
memory. So a few commands ahead the id's place in the index is asked for, then the order it names,
then that order's neighbours. Hints only: nothing is changed, and a wrong guess costs nothing but
itself. Inline, since it stands in the loop over all commands.
"""

from libc.stdint cimport uint8_t, uint32_t

from novate.engine.accounts cimport SOME_FUNDED, command_ahead, order_ahead
from novate.engine.state cimport (
    CLOSED, NONE, NUMBERS_MAX, Closed, Links, Order, State, likely, number_at, prefetch, unlikely,
)
from novate.model.records cimport ID_NUMBER, PLACE, Command, command_size

cdef enum:
    TO_ORDER = 8         # commands between asking for the index and for the order
    TO_NEIGHBOURS = 14   # and until the order itself is read
    DISTANCE = 20
    WIDE_LEVELS = 4096   # more than the cache keeps
    MANY_ACCOUNTS = 2048 # more than it keeps beside all else

cdef struct Lookahead:
    # the batch from the furthest command looked at on, and what those before it name: a small
    # number, or NUMBERS_MAX and where in the hash table's shards it most likely stands
    const uint8_t *at
    const uint8_t *end
    uint32_t step
    bint hashed
    # a bit for each of the last 32 commands: whether it may name an order that there is
    uint32_t naming
    # whether there are so many levels that they are looked at too, and what was found so far
    bint wide
    # whether there are so many accounts that they are asked for too
    bint accounts
    const Command *commands[32]
    uint32_t blocks[32]
    uint32_t searched[32]
    uint32_t places[32]
    uint32_t numbers[32]
    uint32_t hashes[32]
    uint32_t orders[32]

cdef void ask_hash(State *st, Lookahead *ahead, uint32_t now,
                   const Command *command) noexcept nogil
cdef void look_wide(State *st, Lookahead *ahead, uint32_t now) noexcept nogil
cdef uint32_t find_hash(State *st, Lookahead *ahead, uint32_t now) noexcept nogil


cdef inline void look_begin(State *st, Lookahead *ahead, const uint8_t *batch,
                            Py_ssize_t size) noexcept nogil:
    """Start at a batch's first command, and look as far ahead as looking goes."""
    cdef int i
    ahead.at = batch
    ahead.end = batch + size
    ahead.step = 32
    ahead.hashed = False
    ahead.naming = 0
    ahead.wide = st.levels_used > WIDE_LEVELS
    ahead.accounts = (
        st.clearing.positions.count + st.clearing.balances.count > MANY_ACCOUNTS)
    for i in range(32):
        ahead.commands[i] = NULL
        ahead.blocks[i] = NONE
        ahead.numbers[i] = NUMBERS_MAX
        ahead.hashes[i] = 0
        ahead.orders[i] = NONE
    for i in range(DISTANCE):
        look_on(st, ahead)

cdef inline void look_on(State *st, Lookahead *ahead) noexcept nogil:
    """Look one command further; called once for each command applied.

    Placing and cancelling come by chance, so nothing here branches on which it is; only where there
    is nothing but placing, no order is looked for.
    """
    cdef uint32_t now = ahead.step & 31
    ahead.step += 1
    if likely(ahead.at < ahead.end):
        ask_index(st, ahead, now, <const Command *>ahead.at)
        ahead.commands[now] = <const Command *>ahead.at
        if ahead.accounts:
            command_ahead(st, <const Command *>ahead.at)
        ahead.naming = ahead.naming << 1 | ((<const Command *>ahead.at).kind != PLACE)
        ahead.at += command_size(<const Command *>ahead.at)
    else:
        ahead.naming <<= 1
        ahead.numbers[now] = NUMBERS_MAX
        ahead.commands[now] = NULL
    if unlikely(ahead.wide):
        look_wide(st, ahead, now)
    if ahead.naming:
        look_for_orders(st, ahead, now)

cdef inline uint32_t some(uint32_t slot) noexcept nogil:
    """The slot, or the first for NONE: where no memory is, looking for it takes long."""
    return slot + (slot == NONE)

cdef inline void look_for_orders(State *st, Lookahead *ahead, uint32_t now) noexcept nogil:
    """Ask for the orders that commands name, and then for their neighbours."""
    cdef uint32_t order
    cdef const uint8_t *asked
    cdef const Links *links
    now = (now - TO_ORDER) & 31
    order = number_at(st, ahead.numbers[now])
    if unlikely(ahead.hashed):
        order = find_hash(st, ahead, now)
    ahead.orders[now] = order
    asked = <const uint8_t *>(st.closed + (order & (st.closed_capacity - 1))) if (
        order & CLOSED) else <const uint8_t *>&st.orders[order]
    prefetch(asked)
    prefetch(asked + (sizeof(Closed) - 1 if order & CLOSED else sizeof(Order) - 1))
    prefetch(&st.links[0 if order & CLOSED else order])
    order = ahead.orders[(now - (TO_NEIGHBOURS - TO_ORDER)) & 31]
    links = &st.links[0 if order & CLOSED else order]
    prefetch(&st.links[some(links.next)])
    prefetch(&st.links[some(links.prev)])
    prefetch(&st.links[some(links.open_next)])
    prefetch(&st.links[some(links.open_prev)])
    if ahead.accounts and st.clearing.used & SOME_FUNDED:
        order_ahead(st, &st.orders[0 if order & CLOSED else order])

cdef inline void ask_index(State *st, Lookahead *ahead, uint32_t now,
                           const Command *command) noexcept nogil:
    """Ask for the lines of the index where the command's order id belongs."""
    if likely(command.order_id_kind == ID_NUMBER and command.order_number < NUMBERS_MAX):
        ahead.numbers[now] = <uint32_t>command.order_number
        prefetch(st.numbers + command.order_number)
    else:
        ahead.numbers[now] = NUMBERS_MAX
        ask_hash(st, ahead, now, command)
