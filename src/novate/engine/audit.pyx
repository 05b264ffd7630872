# cython: language_level=3
"""Walks the whole state and checks what must hold of it. Reads only."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from novate.engine.registry cimport find_order
from novate.engine.state cimport (
    ENDED, FILLED, ID_NUMBER, NONE, WORKING,
    Book, BookSide, Client, Level, Order, State, i128,
    level_price, name_text, order_filled,
)

from novate.model.errors import InvariantViolated


cdef int fail(State *st, str what) except -1:
    raise InvariantViolated(what, st.seq)


cdef int audit(State *st) except -1:
    """Raise InvariantViolated with the first thing that does not hold."""
    cdef uint64_t resting = 0, listed = 0
    cdef uint32_t i
    for i in range(st.books_count):
        resting += audit_book(st, i)
    if resting != st.open_count:
        fail(st, f"{st.open_count} orders are counted open, {resting} rest in books")
    audit_closed(st)
    for i in range(st.clients_count):
        listed += audit_client(st, i)
    if listed != <uint64_t>st.open_count + st.closed_count:
        fail(st, f"clients' lists hold {listed} orders, not {st.open_count + st.closed_count}")
    audit_keys(st)
    return 0


cdef int64_t audit_book(State *st, uint32_t index) except -1:
    """Levels sorted and not crossed, totals and counts right, lots conserved; resting orders."""
    cdef Book *book = &st.books[index]
    cdef i128 open_lots = 0
    cdef int64_t orders = 0
    cdef int side
    cdef uint32_t i
    cdef BookSide *own
    for side in range(2):
        own = &book.sides[side]
        for i in range(own.count):
            if i and own.levels[i - 1].key >= own.levels[i].key:
                fail(st, f"book {index} side {side}: levels out of order at {i}")
            orders += audit_level(st, index, side, &own.levels[i])
            open_lots += own.levels[i].total
    if book.sides[0].count and book.sides[1].count:
        if book.sides[0].levels[book.sides[0].count - 1].key >= (
                -book.sides[1].levels[book.sides[1].count - 1].key):
            fail(st, f"book {index} is crossed")
    if open_lots != book.open:
        fail(st, f"book {index}: open lots differ from the sum of its levels")
    if book.entered != book.filled + book.open + book.ended:
        fail(st, f"book {index}: entered lots are not filled + open + ended")
    if book.filled != 2 * book.volume:
        fail(st, f"book {index}: lots bought differ from lots sold")
    return orders


cdef int64_t audit_level(State *st, uint32_t index, int side, Level *level) except -1:
    """Every order of a level belongs there; returns their number."""
    cdef uint32_t slot = level.head, before = NONE
    cdef int64_t total = 0, count = 0
    cdef Order *order
    while slot != NONE:
        order = &st.orders[slot]
        if (order.state != WORKING or order.instrument != index or order.side != side
                or order.price != level_price(side, level.key) or order.prev != before
                or order.remaining <= 0 or order_filled(st, order) < 0):
            fail(st, f"order {order.seq} does not belong at book {index} side {side}")
        audit_indexed(st, slot)
        total += order.remaining
        count += 1
        before = slot
        slot = order.next
    if count == 0 or count != level.count or total != level.total or before != level.tail:
        fail(st, f"book {index} side {side}: a level's total, count or tail is wrong")
    return count


cdef int audit_indexed(State *st, uint32_t slot) except -1:
    """The order is found by its id."""
    cdef Order *order = &st.orders[slot]
    cdef uint32_t length = 0, found
    cdef const uint8_t *text
    if order.id_kind == ID_NUMBER:
        return 0
    text = name_text(st, order.id_kind, order.id, &length)
    found = find_order(st, order.id_kind, text, length, 0, <uint32_t>(order.id >> 32))
    if found != slot:
        fail(st, f"order {order.seq} is not found by its id")
    return 0


cdef int audit_closed(State *st) except -1:
    """The closed window holds closed orders, as many as it says and may."""
    cdef uint32_t slot = st.closed_first, count = 0
    cdef Order *order
    while slot != NONE:
        order = &st.orders[slot]
        if order.state == WORKING or (order.state == FILLED and order.remaining != 0):
            fail(st, f"order {order.seq} is in the closed window and not closed")
        audit_indexed(st, slot)
        count += 1
        slot = order.next
    if count != st.closed_count or count > st.closed_max:
        fail(st, f"the closed window holds {count} orders, not {st.closed_count}")
    return 0


cdef int64_t audit_client(State *st, uint32_t number) except -1:
    """A client's lists are in order and complete; returns how many orders it has."""
    cdef Client *client = &st.clients[number]
    cdef uint32_t slot = client.newest, count = 0, working = 0
    cdef uint64_t after = <uint64_t>-1
    while slot != NONE:
        if st.orders[slot].client != number or st.orders[slot].seq >= after:
            fail(st, f"client {number}: order {st.orders[slot].seq} is out of place")
        after = st.orders[slot].seq
        working += st.orders[slot].state == WORKING
        count += 1
        slot = st.created[slot].next
    slot = client.newest_open
    while slot != NONE and working:
        working -= 1
        slot = st.orders[slot].open_next
    if working or slot != NONE:
        fail(st, f"client {number}: its list of open orders is not complete")
    return count


cdef int audit_keys(State *st) except -1:
    """The window of keys is in the order of time, and counted per client."""
    cdef uint32_t i, at
    cdef int64_t last = -1
    counts = [0] * st.clients_count
    for i in range(st.keys_count):
        at = st.keys_first + i
        if at >= st.keys_max:
            at -= st.keys_max
        if st.keys[at].time_ns < last:
            fail(st, "idempotency keys are out of order")
        last = st.keys[at].time_ns
        counts[st.keys[at].client] += 1
    for i in range(st.clients_count):
        if counts[i] != st.clients[i].keys:
            fail(st, f"client {i} is said to hold {st.clients[i].keys} keys, not {counts[i]}")
    return 0
