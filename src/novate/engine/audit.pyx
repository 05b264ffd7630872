# cython: language_level=3
"""Walks the whole state and checks what must hold of it. Reads only."""

from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t

from novate.engine.audit_clearing cimport audit_clearing
from novate.engine.due cimport DUE_CUTOFF, DUE_EXPIRY, DUE_PHASE
from novate.engine.guard cimport guard_holds
from novate.engine.ladder cimport level_find
from novate.engine.registry cimport closed_is, find_order, hash_id
from novate.engine.special cimport watch
from novate.engine.state cimport (
    AT_LEVEL, BLOCK_SIZE, CLOSED, FILLED, NONE, NO_KEY, PLACE_MASK, PRICELESS, WAITING, WORKING,
    Block, Book, BookSide, Client, Closed, Due, Level, Order, Special, State, i128,
    closed_at, key_of, name_text, order_filled, order_special,
)
from novate.model.records cimport AUCTION_PHASE, DAY, ID_NUMBER

from novate.model.errors import InvariantViolated


cdef int fail(State *st, str what) except -1:
    raise InvariantViolated(what, st.seq)


cdef int audit(State *st) except -1:
    """Raise InvariantViolated with the first thing that does not hold."""
    cdef uint64_t resting = 0, open_orders = 0, closed = 0
    cdef uint32_t i
    for i in range(st.books_count):
        resting += audit_book(st, i)
    if resting != st.open_count:
        fail(st, f"{st.open_count} orders are counted open, {resting} rest in books")
    audit_closed(st)
    for i in range(st.clients_count):
        open_orders += audit_client(st, i)
        closed += audit_chain(st, i)
    if open_orders != st.open_count or closed != st.closed_count:
        fail(st, f"clients' lists hold {open_orders} open and {closed} closed orders, not "
                 f"{st.open_count} and {st.closed_count}")
    audit_keys(st)
    audit_due(st)
    audit_sessions(st)
    audit_specials(st)
    audit_days(st)
    audit_open_counts(st)
    audit_watched(st)
    audit_clearing(st)
    return 0


cdef int64_t audit_book(State *st, uint32_t index) except -1:
    """Levels sorted and not crossed, totals and counts right, lots conserved; open orders."""
    cdef Book *book = &st.books[index]
    cdef i128 open_lots = 0
    cdef int64_t orders = 0, waiting
    cdef int side
    for side in range(2):
        orders += audit_side(st, index, side, &book.sides[side], AT_LEVEL, &open_lots)
        orders += audit_priceless(st, index, side)
        open_lots += book.priceless[side].total
    waiting = audit_side(st, index, 0, &book.stops[0], WAITING, &open_lots)
    waiting += audit_side(st, index, 1, &book.stops[1], WAITING, &open_lots)
    if waiting != book.waiting:
        fail(st, f"book {index}: {book.waiting} stop orders are said to wait, not {waiting}")
    if book.phase == 0 and book.sides[0].best != NONE and book.sides[1].best != NONE:
        if st.levels[book.sides[0].best].key >= -st.levels[book.sides[1].best].key:
            fail(st, f"book {index} is crossed")
    if open_lots != book.open:
        fail(st, f"book {index}: open lots differ from the sum of its levels")
    if book.entered != book.filled + book.open + book.ended:
        fail(st, f"book {index}: entered lots are not filled + open + ended")
    if book.filled != 2 * book.volume:
        fail(st, f"book {index}: lots bought differ from lots sold")
    return orders + waiting


cdef int64_t audit_side(State *st, uint32_t index, int side, BookSide *own, int where,
                        i128 *open_lots) except -1:
    """The levels of a side's orders, or of its stop orders; how many orders."""
    cdef uint32_t at = own.best
    cdef int64_t orders = 0
    audit_ladder(st, index, side, own)
    while at != NONE:
        orders += audit_level(st, index, side, at, where)
        open_lots[0] += <i128>st.levels[at].total + st.levels[at].hidden
        at = st.levels[at].worse
    return orders


cdef int64_t audit_priceless(State *st, uint32_t index, int side) except -1:
    """The market orders of an auction; how many."""
    cdef Level *queue = &st.books[index].priceless[side]
    cdef uint32_t slot = queue.head, before = NONE
    cdef int64_t total = 0, count = 0
    cdef Order *order
    while slot != NONE:
        order = &st.orders[slot]
        if not order.marked or order_special(st, order).where != PRICELESS or (
                st.links[slot].prev != before or order.side != side or order.instrument != index):
            fail(st, f"order {order.seq} does not belong in the auction of book {index}")
        audit_indexed(st, order.id_kind, order.id, slot)
        total += order.remaining
        count += 1
        before = slot
        slot = st.links[slot].next
    if total != queue.total or count != queue.count or before != queue.tail:
        fail(st, f"book {index} side {side}: the auction's queue is counted wrong")
    if count and st.books[index].phase != AUCTION_PHASE:
        fail(st, f"book {index}: a market order outlived its auction")
    return count


cdef int audit_ladder(State *st, uint32_t index, int side, BookSide *own) except -1:
    """The ladder names every level once, in order, as the links between them do."""
    cdef Block *block
    cdef Level *level
    cdef uint32_t i, j, count = 0, worse = NONE
    for i in range(own.blocks_count):
        block = &st.blocks[own.blocks[i]]
        if block.count == 0 or block.count > BLOCK_SIZE or block.keys[0] != own.lowest[i]:
            fail(st, f"book {index} side {side}: block {i} of the ladder is wrong")
        for j in range(block.count):
            level = &st.levels[block.levels[j]]
            if level.key != block.keys[j] or level.worse != worse or (
                    worse != NONE and (st.levels[worse].better != block.levels[j]
                                       or st.levels[worse].key >= level.key)):
                fail(st, f"book {index} side {side}: levels out of order at {count}")
            if level_find(st, own, level.key) != block.levels[j]:
                fail(st, f"book {index} side {side}: level {level.key} is not found")
            worse = block.levels[j]
            count += 1
    if count != own.count or worse != own.best or own.best_key != (
            NO_KEY if worse == NONE else st.levels[worse].key):
        fail(st, f"book {index} side {side}: the ladder holds {count} levels, not {own.count}")
    return 0


cdef int64_t audit_level(State *st, uint32_t index, int side, uint32_t number,
                         int where) except -1:
    """Every order of a level belongs there; returns their number."""
    cdef Level *level = &st.levels[number]
    cdef uint32_t slot = level.head, before = NONE
    cdef int64_t total = 0, count = 0, hidden = 0
    cdef uint64_t rank = 0
    cdef Order *order
    cdef Special *special
    while slot != NONE:
        order = &st.orders[slot]
        if (order.state != WORKING or order.instrument != index or order.side != side
                or order.level != number or st.links[slot].prev != before
                or order.remaining <= 0 or order_filled(st, order) < 0):
            fail(st, f"order {order.seq} does not belong at book {index} side {side}")
        if order.marked:
            special = order_special(st, order)
            hidden += special.hidden
            audit_marked(st, order, special, level, where)
            if where == WAITING and special.rank <= rank:
                fail(st, f"order {order.seq} waits out of its turn")
            rank = special.rank
        elif where == WAITING:
            fail(st, f"order {order.seq} waits and has no stop price")
        audit_indexed(st, order.id_kind, order.id, slot)
        total += order.remaining
        count += 1
        before = slot
        slot = st.links[slot].next
    if count == 0 or count != level.count or total != level.total or before != level.tail:
        fail(st, f"book {index} side {side}: a level's total, count or tail is wrong")
    if hidden != level.hidden:
        fail(st, f"book {index} side {side}: a level's hidden lots are wrong")
    return count


cdef int audit_marked(State *st, Order *order, Special *special, Level *level,
                      int where) except -1:
    """An order with a Special stands where that says, and shows what it may."""
    cdef int64_t price = special.stop_price if where == WAITING else special.price
    cdef int64_t key = key_of(1 - order.side if where == WAITING else order.side, price)
    if special.where != where or key != level.key:
        fail(st, f"order {order.seq} does not stand where it says")
    if special.hidden < 0 or (special.hidden and (
            where == WAITING or order.remaining > special.display)):
        fail(st, f"order {order.seq} hides lots that it may not")
    return 0


cdef int audit_indexed(State *st, int kind, uint64_t name, uint32_t order) except -1:
    """The order is found by its id."""
    cdef uint32_t length = 0
    cdef const uint8_t *text = NULL
    if kind != ID_NUMBER:
        text = name_text(st, kind, name, &length)
    if find_order(st, kind, text, length, name,
                  hash_id(st, kind, text, length, name)) != order:
        fail(st, f"the order that stands at {order:#x} is not found by its id")
    return 0


cdef int audit_closed(State *st) except -1:
    """The closed window holds closed orders, as many as it may."""
    cdef uint32_t i, place
    cdef Closed *closed
    for i in range(st.closed_count):
        place = (st.closed_first + i) & PLACE_MASK
        closed = closed_at(st, place)
        if closed.state == WORKING or (
                closed.state == FILLED and not closed.by_quote and closed.remaining != 0):
            fail(st, f"order {closed.seq} is in the closed window and not closed")
        audit_indexed(st, closed.id_kind, closed.id, CLOSED | place)
    if st.closed_count > st.closed_max:
        fail(st, f"the closed window holds {st.closed_count} orders, more than {st.closed_max}")
    return 0


cdef int64_t audit_client(State *st, uint32_t number) except -1:
    """A client's list of open orders is in order and complete; how many it has."""
    cdef Client *client = &st.clients[number]
    cdef uint32_t slot = client.newest_open, count = 0, newer = NONE
    cdef Order *order
    while slot != NONE:
        order = &st.orders[slot]
        if order.client != number or order.state != WORKING or (
                st.links[slot].open_prev != newer) or (
                newer != NONE and order.seq >= st.orders[newer].seq):
            fail(st, f"client {number}: order {order.seq} is out of place")
        newer = slot
        count += 1
        slot = st.links[slot].open_next
    if count != client.open_count:
        fail(st, f"client {number} is said to have {client.open_count} open orders, not {count}")
    return count


cdef int64_t audit_chain(State *st, uint32_t number) except -1:
    """A client's closed orders are linked from the last back to the first; how many it has."""
    cdef uint32_t place = st.clients[number].last_closed, count = 0
    cdef uint32_t offset = st.closed_count, next_offset
    while place != NONE and closed_is(st, place, number):
        next_offset = (place - st.closed_first) & PLACE_MASK
        if next_offset >= offset:
            break
        offset = next_offset
        count += 1
        place = closed_at(st, place).before
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


cdef int audit_due(State *st) except -1:
    """The heap is one, and every owner knows its item's place."""
    cdef uint32_t i, own
    cdef Due *item
    for i in range(st.due_count):
        item = &st.due[i]
        if i and st.due[(i - 1) // 2].time_ns > item.time_ns:
            fail(st, "due items are out of order")
        if item.kind == DUE_PHASE:
            own = st.books[item.about].due_at
        elif item.kind == DUE_EXPIRY:
            own = st.specials[item.about].due_at
        elif item.kind == DUE_CUTOFF:
            own = st.clearing.cutoff_due_at
        else:
            own = st.clients[item.about].timer
        if own != i:
            fail(st, f"the due item at {i} is thought to be at {own}")
    if st.next_due_ns != (st.due[0].time_ns if st.due_count else INT64_MAX):
        fail(st, "the time of the next due item is wrong")
    return 0


cdef int audit_sessions(State *st) except -1:
    """Every session's orders are linked, the newest first."""
    cdef uint32_t i, slot, newer
    cdef Special *special
    for i in range(st.sessions_count):
        if i and st.sessions[i].number <= st.sessions[i - 1].number:
            fail(st, "sessions are out of order")
        slot = st.sessions[i].newest
        newer = NONE
        while slot != NONE:
            special = order_special(st, &st.orders[slot])
            if special.session != st.sessions[i].number or special.session_prev != newer or (
                    newer != NONE and st.orders[slot].seq >= st.orders[newer].seq):
                fail(st, f"order {st.orders[slot].seq} is out of place in its session")
            newer = slot
            slot = special.session_next
    return 0


cdef int audit_specials(State *st) except -1:
    """Specials are counted, pairs are mutual, and books count what they watch for."""
    cdef uint32_t slot, count = 0, i, timed = 0
    cdef Order *order
    cdef Special *special
    pairs, icebergs = [0] * st.books_count, [0] * st.books_count
    for slot in range(st.orders_used):
        order = &st.orders[slot]
        if order.seq == 0 or not order.marked:
            continue
        count += 1
        special = order_special(st, order)
        if special.slot != slot or (special.due_at != NONE) != (special.expire_ns != 0):
            fail(st, f"order {order.seq}: its Special is another's, or it ends at no time")
        if special.session and not special.in_session:
            fail(st, f"order {order.seq} is in no session")
        if special.partner != NONE:
            pairs[order.instrument] += 1
            if order_special(st, &st.orders[special.partner]).partner != slot:
                fail(st, f"order {order.seq} is in a pair alone")
        if special.where == AT_LEVEL and special.display:
            icebergs[order.instrument] += 1
    for i in range(st.closed_count):
        count += closed_at(st, st.closed_first + i).marked
    if count != st.specials_count:
        fail(st, f"{st.specials_count} Specials are in use, not {count}")
    for i in range(st.books_count):
        if pairs[i] != st.books[i].pairs or icebergs[i] != st.books[i].icebergs:
            fail(st, f"book {i}: pairs or icebergs are counted wrong")
    return 0


cdef int audit_days(State *st) except -1:
    """Every book's DAY orders are linked, the oldest first, and all of them are."""
    cdef uint32_t i, slot, older
    cdef int64_t linked = 0
    cdef Special *special
    for i in range(st.books_count):
        older = NONE
        slot = st.books[i].day_first
        while slot != NONE:
            special = order_special(st, &st.orders[slot])
            if st.orders[slot].instrument != i or special.day_prev != older or (
                    older != NONE and st.orders[slot].seq <= st.orders[older].seq):
                fail(st, f"order {st.orders[slot].seq} is out of place among those of the day")
            older = slot
            slot = special.day_next
            linked += 1
        if st.books[i].day_last != older:
            fail(st, f"book {i}: the last order of the day is another")
    for slot in range(st.orders_used):
        if st.orders[slot].seq and st.orders[slot].marked and st.orders[slot].time_in_force == DAY:
            linked -= 1
    if linked:
        fail(st, f"{linked} more orders of the day are linked than there are")
    return 0


cdef int audit_open_counts(State *st) except -1:
    """What is counted of a client's open orders on an instrument is what its list holds."""
    cdef uint32_t i, slot, used = 0
    cdef dict counts = {}
    for i in range(st.clients_count):
        slot = st.clients[i].newest_open if st.clients[i].counted else NONE
        while slot != NONE:
            place = i, int(st.orders[slot].instrument)
            counts[place] = counts.get(place, 0) + 1
            slot = st.links[slot].open_next
    for i in range(st.open_counts_size):
        if st.open_counts[i].count == 0:
            continue
        used += 1
        place = st.open_counts[i].client, st.open_counts[i].instrument
        if counts.get(place) != st.open_counts[i].count:
            fail(st, f"client, instrument {place}: {st.open_counts[i].count} open orders are "
                     f"counted, there are {counts.get(place, 0)}")
    if used != len(counts) or used != st.open_counts_used:
        fail(st, f"{st.open_counts_used} counts of open orders are kept, not {len(counts)}")
    return 0


cdef int audit_watched(State *st) except -1:
    """What tells plain orders from others at a glance is what it follows from."""
    cdef Book *book
    cdef uint32_t i, watched, kills = st.venue_killed
    limited = {int(st.own_limits[i].place >> 32) for i in range(st.own_limits_count)}
    for i in range(st.books_count):
        book = &st.books[i]
        watched = book.watch
        watch(book)
        if book.watch != watched:
            fail(st, f"book {i} is watched as {watched}, not as {book.watch}")
        if book.rules != NULL and not guard_holds(st, book):
            fail(st, f"book {i}: what its rules leave to plain orders is not what they come to")
    for i in range(st.clients_count):
        kills += st.clients[i].killed
        if st.clients[i].limited != (i in limited):
            fail(st, f"client {i} is said wrongly to have limits of its own, or to have none")
    if kills != st.kills:
        fail(st, f"{st.kills} kill switches are said to be on, not {kills}")
    return 0
