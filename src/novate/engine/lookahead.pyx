# cython: language_level=3
"""Fetches into the processor's cache what the commands to come will touch.

A batch's commands are known before they are applied, and most of an engine's time is waiting for
memory. So a few commands ahead the id's place in the index is asked for, then the order it names,
then that order's neighbours. Hints only: nothing is changed, and a wrong guess costs nothing but
itself.
"""

from libc.stdint cimport uint8_t, uint32_t

from novate.engine.engine cimport command_size
from novate.engine.registry cimport hash_id
from novate.engine.state cimport (
    ID_NUMBER, NONE, NUMBERS_MAX, PLACE, Command, Order, State, Table, place_after, place_of,
    prefetch, tag_of,
)

cdef enum:
    TO_ORDER = 6         # commands between asking for the index and reading it
    TO_NEIGHBOURS = 12   # and until the order itself is read
    DISTANCE = 18


cdef void look_begin(State *st, Lookahead *ahead, const uint8_t *batch,
                     Py_ssize_t size) noexcept nogil:
    """Start at a batch's first command, and look as far ahead as looking goes."""
    cdef int i
    ahead.at = batch
    ahead.end = batch + size
    ahead.step = 32
    for i in range(32):
        ahead.commands[i] = NULL
    for i in range(DISTANCE):
        look_on(st, ahead)


cdef void look_on(State *st, Lookahead *ahead) noexcept nogil:
    """Look one command further; called once for each command applied."""
    cdef uint32_t now = ahead.step & 31
    ahead.step += 1
    if ahead.at < ahead.end:
        ask_index(st, ahead, now, <const Command *>ahead.at)
        ahead.at += command_size(<const Command *>ahead.at)
    else:
        ahead.commands[now] = NULL
    now = (now - TO_ORDER) & 31
    if ahead.commands[now] != NULL:
        ask_order(st, ahead, now)
    now = (now - (TO_NEIGHBOURS - TO_ORDER)) & 31
    if ahead.commands[now] != NULL:
        ask_neighbours(st, <const Command *>ahead.commands[now], ahead.slots[now])


cdef inline void ask_slot(State *st, Lookahead *ahead, uint32_t now,
                          uint32_t slot) noexcept nogil:
    ahead.slots[now] = slot
    if slot != NONE:
        prefetch(&st.orders[slot])
        prefetch(&st.created[slot])


cdef inline void ask_links(State *st, uint32_t slot) noexcept nogil:
    """Ask for an order, for its links to be changed."""
    if slot != NONE:
        prefetch(&st.orders[slot])


cdef inline void ask_index(State *st, Lookahead *ahead, uint32_t now,
                           const Command *command) noexcept nogil:
    """Ask for the lines of the index where the command's order id belongs, and for its client."""
    cdef const uint8_t *text = <const uint8_t *>command + sizeof(Command)
    cdef uint32_t hashed = hash_id(st, command.order_id_kind, text, command.order_id_length,
                                   command.order_number)
    cdef Table *table = &st.order_index[hashed >> 24]
    ahead.commands[now] = <const uint8_t *>command
    ahead.hashes[now] = hashed
    if command.order_id_kind == ID_NUMBER and command.order_number < NUMBERS_MAX:
        if command.order_number < st.numbers_capacity:
            prefetch(st.numbers + command.order_number)
    elif table.slots != NULL:
        prefetch(table.tags + place_of(table, hashed))
        prefetch(table.slots + place_of(table, hashed))
    if command.client_id_length == 0 and command.client < st.clients_count:
        prefetch(&st.clients[command.client])


cdef inline void ask_order(State *st, Lookahead *ahead, uint32_t now) noexcept nogil:
    """Ask for the order that stands in the index under the command's id, or for a slot to fill."""
    cdef const Command *command = <const Command *>ahead.commands[now]
    cdef uint32_t hashed = ahead.hashes[now], at
    cdef Table *table = &st.order_index[hashed >> 24]
    cdef uint32_t distance = 0
    ahead.slots[now] = NONE
    if command.kind == PLACE:
        if command.client_id_length == 0 and command.client < st.clients_count and (
                st.clients[command.client].newest != NONE):
            prefetch(&st.created[st.clients[command.client].newest])
            ask_links(st, st.clients[command.client].newest_open)
        return
    if command.order_id_kind == ID_NUMBER and command.order_number < NUMBERS_MAX:
        if command.order_number < st.numbers_capacity:
            ask_slot(st, ahead, now, st.numbers[command.order_number])
        return
    if table.slots == NULL:
        return
    at = place_of(table, hashed)
    while table.tags[at] and distance < 8:
        if table.tags[at] == tag_of(hashed, distance):
            ask_slot(st, ahead, now, table.slots[at])
            return
        at = place_after(table, at)
        distance += 1


cdef inline void ask_neighbours(State *st, const Command *command, uint32_t slot) noexcept nogil:
    """Ask for the orders before and behind the one a command names, in each of its lists."""
    cdef Order *order
    if slot == NONE or slot >= st.orders_used:
        return
    order = &st.orders[slot]
    prefetch(&st.clients[order.client])
    ask_links(st, order.next)
    ask_links(st, order.prev)
    ask_links(st, order.open_next)
    ask_links(st, order.open_prev)
    if st.created[slot].next != NONE:
        prefetch(&st.created[st.created[slot].next])
    if st.created[slot].prev != NONE:
        prefetch(&st.created[st.created[slot].prev])
    if order.extra != NONE:
        prefetch(&st.extras[order.extra])
