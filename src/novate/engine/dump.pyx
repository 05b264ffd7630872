# cython: language_level=3
"""The canonical serialisation of a state: of what it means, not of how memory lies.

Equal states give equal bytes: orders stand book by book in price-time order, then closed orders in
the order in which they closed; slots, cells and hash tables don't appear and are made anew by
`load_state`. Everything is little-endian and packed; docs/journal.md names the fields.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from novate.engine.book cimport rest
from novate.engine.dump_clearing cimport get_clearing, put_clearing
from novate.engine.dump_more cimport get_more_state, get_standing, put_more_state
from novate.engine.ladder cimport level_find
from novate.engine.packing cimport (
    Reader, Writer, get, get_u8, get_u32, get_u64, put, put_u8, put_u32, put_u64, writer_begin,
    writer_end,
)
from novate.engine.registry cimport (
    client_add, client_order_opened, closed_by_quote, closed_new, hash_id, index_order, key_add,
)
from novate.engine.state cimport (
    NONE, WORKING,
    Book, BookSide, Closed, Extra, Key, Order, State, Taker, Trade, i128,
    closed_at, copy_identity, grow, key_of, name_new, name_text, order_extra, order_new,
    order_price, order_special, prefetch,
)
from novate.model.records cimport ID_NUMBER, ID_TEXT, ID_UUID

from novate.model.errors import SnapshotCorrupt


# How many orders ahead of the one at hand memory is asked for.
cdef enum:
    LOOK_FAR = 6
    LOOK_NEAR = 2
    LIST_AHEAD = 12

cdef struct Ahead:
    uint32_t far, near

# The parts of an order as a dump has them: of each, and of one that was filled, changed or closed.
# Its name stands between them.
cdef packed struct Common:
    uint8_t side, order_type, time_in_force, post_only, id_kind, state, by_quote, more
    int64_t price, remaining
    uint64_t seq
    int64_t created_us
    uint32_t instrument, client

cdef packed struct Changed:
    i128 notional, quote_units
    int64_t filled, updated_us
    uint64_t updated_seq
    uint32_t reason


# --- writing --------------------------------------------------------------------------------

cdef void put_name(State *st, Writer *out, int kind, uint64_t name) noexcept nogil:
    """A number in 8 bytes, a UUID in 16, a text with its length before it."""
    cdef uint32_t length = 0
    cdef const uint8_t *text
    if kind == ID_NUMBER:
        put_u64(out, name)
        return
    text = name_text(st, kind, name, &length)
    if kind == ID_TEXT:
        put_u8(out, length)
    put(out, text, length)


cdef void put_identity(State *st, Writer *out, Taker *order, int64_t price, int64_t remaining,
                       bint extra) noexcept nogil:
    """What every order has; of `order` only its identity is looked at."""
    cdef Common common
    common.side = order.side
    common.order_type = order.order_type
    common.time_in_force = order.time_in_force
    common.post_only = order.post_only
    common.id_kind = order.id_kind
    common.state = order.state
    common.by_quote = order.by_quote
    common.more = extra
    common.price = price
    common.remaining = remaining
    common.seq = order.seq
    common.created_us = order.created_us
    common.instrument = order.instrument
    common.client = order.client
    put(out, &common, sizeof(Common))
    put_name(st, out, order.id_kind, order.id)


cdef void put_more(Writer *out, i128 notional, i128 quote_units, int64_t filled,
                   int64_t updated_us, uint64_t updated_seq, uint32_t reason) noexcept nogil:
    """What only orders that were filled, changed or closed have."""
    cdef Changed changed
    changed.notional = notional
    changed.quote_units = quote_units
    changed.filled = filled
    changed.updated_us = updated_us
    changed.updated_seq = updated_seq
    changed.reason = reason
    put(out, &changed, sizeof(Changed))


cdef void put_order(State *st, Writer *out, const Order *order) noexcept nogil:
    cdef Extra *extra
    put_identity(st, out, <Taker *>order, order_price(st, order), order.remaining,
                 order.extra != NONE)
    if order.extra != NONE:
        extra = &st.extras[order.extra]
        put_more(out, extra.notional, 0, extra.filled, extra.updated_us, extra.updated_seq, 0)


cdef void put_closed(State *st, Writer *out, Closed *order) noexcept nogil:
    if order.by_quote:
        put_identity(st, out, <Taker *>order, 0, 0, True)
        put_more(out, order.notional, order.quote_units, order.filled, order.updated_us,
                 order.updated_seq, order.reason)
    else:
        put_identity(st, out, <Taker *>order, order.price, order.remaining, True)
        put_more(out, order.notional, 0, order.filled, order.updated_us, order.updated_seq,
                 order.reason)


cdef void look_begin(State *st, Ahead *ahead, uint32_t slot) noexcept nogil:
    """Ask for what a queue's first orders have, before they are looked at."""
    cdef int i
    ahead.far = slot
    ahead.near = slot
    for i in range(LOOK_FAR):
        if ahead.far != NONE:
            if st.orders[ahead.far].extra != NONE:
                prefetch(&st.extras[st.orders[ahead.far].extra])
            ahead.far = st.links[ahead.far].next
    for i in range(LOOK_NEAR):
        look_near(st, ahead)


cdef inline void look_near(State *st, Ahead *ahead) noexcept nogil:
    if ahead.near == NONE:
        return
    if st.orders[ahead.near].marked:
        prefetch(order_special(st, &st.orders[ahead.near]))
        prefetch(<uint8_t *>order_special(st, &st.orders[ahead.near]) + 64)
    ahead.near = st.links[ahead.near].next


cdef inline void look_on(State *st, Ahead *ahead) noexcept nogil:
    """The same for one order more: its Extra from far ahead, its Special from near."""
    look_near(st, ahead)
    if ahead.far == NONE:
        return
    if st.orders[ahead.far].extra != NONE:
        prefetch(&st.extras[st.orders[ahead.far].extra])
    ahead.far = st.links[ahead.far].next


cdef void put_side(State *st, Writer *out, BookSide *side) noexcept nogil:
    """A side's orders, best level first, each level in the order of its queue."""
    cdef uint32_t at = side.best, slot
    cdef uint64_t count = 0
    cdef Ahead ahead
    while at != NONE:
        count += st.levels[at].count
        at = st.levels[at].worse
    put_u64(out, count)
    at = side.best
    while at != NONE:
        slot = st.levels[at].head
        if st.levels[at].worse != NONE:
            prefetch(&st.orders[st.levels[st.levels[at].worse].head])
        look_begin(st, &ahead, slot)
        while slot != NONE:
            look_on(st, &ahead)
            put_order(st, out, &st.orders[slot])
            slot = st.links[slot].next
        at = st.levels[at].worse


cdef void put_trades(State *st, Writer *out, Book *book) noexcept nogil:
    cdef uint32_t i, at
    cdef Trade *trade
    put_u64(out, book.trades_count)
    for i in range(book.trades_count):
        at = book.trades_first + i
        if at >= book.trades_capacity:
            at -= book.trades_capacity
        trade = book.trades + at
        put_u64(out, trade.seq)
        put_u64(out, trade.price)
        put_u64(out, trade.quantity)
        put_u64(out, trade.time_us)
        put_u32(out, trade.index)
        put_u32(out, trade.maker_client)
        put_u32(out, trade.taker_client)
        put_u8(out, trade.taker_side | trade.auction << 1)
        put_u8(out, trade.maker_id_kind)
        put_u8(out, trade.taker_id_kind)
        put_name(st, out, trade.maker_id_kind, trade.maker_id)
        put_name(st, out, trade.taker_id_kind, trade.taker_id)


cdef void put_book(State *st, Writer *out, Book *book) noexcept nogil:
    put(out, &book.entered, 16)
    put(out, &book.filled, 16)
    put(out, &book.open, 16)
    put(out, &book.ended, 16)
    put(out, &book.volume, 16)
    put_u64(out, book.trades_total)
    put_u64(out, book.orders_matched)
    put_u64(out, book.last_seq)
    put_u64(out, book.last_us)
    put_u64(out, book.last_price)
    put_side(st, out, &book.sides[0])
    put_side(st, out, &book.sides[1])
    put_trades(st, out, book)


cdef void put_keys(State *st, Writer *out) noexcept nogil:
    cdef uint32_t i, at
    cdef Key *key
    put_u64(out, st.keys_count)
    for i in range(st.keys_count):
        at = st.keys_first + i
        if at >= st.keys_max:
            at -= st.keys_max
        key = &st.keys[at]
        put(out, key.digest, 16)
        put_u64(out, key.command_digest)
        put_u64(out, key.seq)
        put_u64(out, key.time_ns)
        put_u32(out, key.client)


cdef bytes dump_state(State *st, int parts, bytes before):
    """All of the state but limits, rules and instruments, which the engine gives as `before`.

    `parts`: those of dump version 1, of 2 or of 3, which have more than those before.
    """
    cdef Writer out
    cdef uint32_t i, length = 0
    cdef const uint8_t *text = NULL
    # Somewhat more than numbered orders need; where there is less in use, it is never touched.
    writer_begin(&out, len(before) + 65536 + 64 * <size_t>st.orders_used
                 + 144 * <size_t>st.specials_count + 128 * <size_t>st.closed_count
                 + 48 * <size_t>st.keys_count)
    put(&out, PyBytes_AS_STRING(before), len(before))
    with nogil:
        put_u64(&out, st.seq)
        put_u64(&out, st.time_ns)
        put_u64(&out, st.clients_count)
        for i in range(st.clients_count):
            length = 0
            if st.clients[i].name:
                text = name_text(st, ID_TEXT, st.clients[i].name, &length)
            put_u8(&out, length)
            if length:
                put(&out, text, length)
        for i in range(st.books_count):
            put_book(st, &out, &st.books[i])
        put_u64(&out, st.closed_count)
        for i in range(st.closed_count):
            put_closed(st, &out, closed_at(st, st.closed_first + i))
        put_keys(st, &out)
        if parts > 1:
            put_more_state(st, &out)
        if parts > 2:
            put_clearing(st, &out)
    return writer_end(&out)


# --- reading --------------------------------------------------------------------------------

cdef uint64_t get_name(State *st, Reader *source, int kind) noexcept nogil:
    cdef uint8_t text[64]
    cdef uint32_t length = 16
    memset(text, 0, 64)
    if kind == ID_NUMBER:
        return get_u64(source)
    if kind == ID_TEXT:
        length = get_u8(source)
    if length == 0 or length > 64 or kind > ID_TEXT or not get(source, text, length):
        source.short = True
        return name_new(st, ID_UUID, text, 16, 0)
    return name_new(st, kind, text, length,
                    <uint64_t>hash_id(st, kind, text, length, 0) << 32)


cdef struct Image:
    # an order as a dump has it
    Taker order
    bint more
    int64_t updated_us
    uint64_t updated_seq
    uint32_t reason


cdef bint get_image(State *st, Reader *source, Image *image) noexcept nogil:
    """Read an order; a short or senseless dump sets `short`."""
    cdef Taker *order = &image.order
    cdef Common common
    cdef Changed changed
    if not get(source, &common, sizeof(Common)) or common.side > 1 or (
            common.id_kind > ID_TEXT or common.instrument >= st.books_count
            or common.client >= st.clients_count):
        source.short = True
        return False
    order.side = common.side
    order.order_type = common.order_type
    order.time_in_force = common.time_in_force
    order.post_only = common.post_only
    order.id_kind = common.id_kind
    order.state = common.state
    order.by_quote = common.by_quote
    order.marked = 0
    image.more = common.more
    order.price = common.price
    order.remaining = common.remaining
    order.seq = common.seq
    order.created_us = common.created_us
    order.instrument = common.instrument
    order.client = common.client
    order.id = get_name(st, source, common.id_kind)
    memset(&changed, 0, sizeof(Changed))
    if image.more:
        get(source, &changed, sizeof(Changed))
    order.notional = changed.notional
    order.quote_units = changed.quote_units
    order.filled = changed.filled
    image.updated_us = changed.updated_us
    image.updated_seq = changed.updated_seq
    image.reason = changed.reason
    return not source.short


cdef void get_trades(State *st, Reader *source, Book *book) noexcept nogil:
    cdef uint64_t i, count = get_u64(source)
    cdef Trade *trade
    cdef uint8_t shape
    if source.short or count > st.trades_max:
        source.short = True
        return
    book.trades_capacity = count
    if count:
        book.trades = <Trade *>grow(NULL, count * sizeof(Trade))
    for i in range(count):
        trade = book.trades + i
        trade.seq = get_u64(source)
        trade.price = get_u64(source)
        trade.quantity = get_u64(source)
        trade.time_us = get_u64(source)
        trade.index = get_u32(source)
        trade.maker_client = get_u32(source)
        trade.taker_client = get_u32(source)
        shape = get_u8(source)
        trade.taker_side = shape & 1
        trade.auction = shape >> 1
        trade.maker_id_kind = get_u8(source)
        trade.taker_id_kind = get_u8(source)
        trade.maker_id = get_name(st, source, trade.maker_id_kind)
        trade.taker_id = get_name(st, source, trade.taker_id_kind)
        if source.short:
            return
        book.trades_count += 1


cdef void get_resting(State *st, Reader *source, Book *book, int side) noexcept nogil:
    """An order of the book, put to the back of its level."""
    cdef uint32_t slot
    cdef int64_t price = 0, key
    slot = get_open(st, source, side, &price)
    if slot != NONE:
        key = key_of(side, price)
        rest(st, &book.sides[side], slot, key, level_find(st, &book.sides[side], key))


cdef uint32_t get_open(State *st, Reader *source, int side, int64_t *price) noexcept nogil:
    """An open order that stands nowhere yet, and its price; NONE: that makes no sense."""
    cdef Image image
    cdef uint32_t slot
    cdef Order *order
    cdef Extra *extra
    if not get_image(st, source, &image) or image.order.side != side or (
            image.order.state != WORKING):
        source.short = True
        return NONE
    price[0] = image.order.price
    slot = order_new(st)
    order = &st.orders[slot]
    copy_identity(order, &image.order)
    order.remaining = image.order.remaining
    order.extra = NONE
    if image.more:
        extra = order_extra(st, order)
        extra.notional = image.order.notional
        extra.filled = image.order.filled
        extra.updated_us = image.updated_us
        extra.updated_seq = image.updated_seq
    order.level = NONE
    st.links[slot].next = NONE
    st.links[slot].prev = NONE
    index_order(st, order.id_kind, order.id, slot)
    return slot


cdef void get_book(State *st, Reader *source, Book *book) noexcept nogil:
    cdef uint64_t i, count
    cdef int side
    get(source, &book.entered, 16)
    get(source, &book.filled, 16)
    get(source, &book.open, 16)
    get(source, &book.ended, 16)
    get(source, &book.volume, 16)
    book.trades_total = get_u64(source)
    book.orders_matched = get_u64(source)
    book.last_seq = get_u64(source)
    book.last_us = get_u64(source)
    book.last_price = get_u64(source)
    for side in range(2):
        count = get_u64(source)
        i = 0
        while i < count and not source.short:
            get_resting(st, source, book, side)
            i += 1
    get_trades(st, source, book)


cdef void get_keys(State *st, Reader *source) noexcept nogil:
    cdef uint64_t i, count = get_u64(source)
    cdef uint64_t command_digest, seq, time_ns
    cdef uint32_t client
    cdef uint8_t digest[16]
    if count > st.keys_max:
        source.short = True
    i = 0
    while i < count and not source.short:
        get(source, digest, 16)
        command_digest = get_u64(source)
        seq = get_u64(source)
        time_ns = get_u64(source)
        client = get_u32(source)
        if source.short or client >= st.clients_count:
            source.short = True
            return
        key_add(st, digest, command_digest, client, seq, time_ns)
        i += 1


cdef void get_clients(State *st, Reader *source) noexcept nogil:
    cdef uint64_t i, count = get_u64(source)
    cdef uint32_t clients_max = st.clients_max
    cdef uint8_t text[64]
    cdef uint8_t length
    st.clients_max = NONE  # a limit that was lowered does not forget those who came before
    i = 0
    while i < count and not source.short:
        length = get_u8(source)
        if length > 64 or not get(source, text, length) or client_add(st, text, length) == NONE:
            source.short = True
            break
        i += 1
    st.clients_max = clients_max


cdef void get_closed(State *st, Reader *source) noexcept nogil:
    cdef uint64_t i, count = get_u64(source)
    cdef uint32_t place
    cdef Image image
    cdef Closed *closed
    i = 0
    while i < count and not source.short:
        if not get_image(st, source, &image) or image.order.state == WORKING or not image.more:
            source.short = True
            return
        if image.order.by_quote:
            place = closed_by_quote(st, &image.order, image.order.state, image.reason,
                                    image.order.quote_units, image.order.notional,
                                    image.order.filled)
        else:
            place = closed_new(st, &image.order, image.order.state, image.reason,
                               image.order.price, image.order.remaining, image.order.notional,
                               image.order.filled)
        closed = closed_at(st, place)
        closed.updated_seq = image.updated_seq
        closed.updated_us = image.updated_us
        index_order(st, image.order.id_kind, image.order.id, place)
        i += 1


cdef Opened *sorted_by_seq(Opened *opened, uint32_t count) noexcept nogil:
    """The rows by seq, in memory that takes the place of the given; by 11 bits at a time."""
    cdef Opened *other = <Opened *>grow(NULL, (<size_t>count + 1) * sizeof(Opened))
    cdef uint32_t starts[2048]
    cdef uint64_t differ = 0
    cdef uint32_t i, shift = 0, digit, start, size
    for i in range(1, count):
        differ |= opened[i].seq ^ opened[0].seq
    while differ >> shift:
        memset(starts, 0, sizeof(starts))
        for i in range(count):
            starts[opened[i].seq >> shift & 2047] += 1
        start = 0
        for digit in range(2048):
            size = starts[digit]
            starts[digit] = start
            start += size
        for i in range(count):
            digit = opened[i].seq >> shift & 2047
            other[starts[digit]] = opened[i]
            starts[digit] += 1
        opened, other = other, opened
        shift += 11
    free(other)
    return opened


cdef Opened *list_open(State *st) noexcept nogil:
    """Make the clients' lists: every open order in the order in which it was created."""
    cdef uint32_t slot, count = st.orders_used
    cdef Opened *opened = <Opened *>grow(NULL, (<size_t>count + 1) * sizeof(Opened))
    for slot in range(count):
        opened[slot].seq = st.orders[slot].seq
        opened[slot].slot = slot
    opened = sorted_by_seq(opened, count)
    for slot in range(count):
        if slot + LIST_AHEAD < count:
            prefetch(&st.orders[opened[slot + LIST_AHEAD].slot])
        client_order_opened(st, opened[slot].slot)
    return opened


cdef int load_state(State *st, const unsigned char[::1] dump, int parts) except -1:
    """Fill a fresh state that has its limits and instruments; SnapshotCorrupt if it can't be."""
    cdef Reader source
    cdef uint32_t i
    cdef Opened *opened = NULL
    cdef bint more = parts > 1
    source.bytes = &dump[0] if dump.shape[0] else NULL
    source.at = 0
    source.size = dump.shape[0]
    source.short = False
    with nogil:
        st.seq = get_u64(&source)
        st.time_ns = get_u64(&source)
        st.time_us = st.time_ns // 1000
        get_clients(st, &source)
        for i in range(st.books_count):
            if not source.short:
                get_book(st, &source, &st.books[i])
        if not source.short:
            get_closed(st, &source)
        if not source.short:
            get_keys(st, &source)
        if more and not source.short:
            get_standing(st, &source)
        if not source.short:
            opened = list_open(st)
        if more and not source.short:
            get_more_state(st, &source, opened)
        if parts > 2 and not source.short:
            get_clearing(st, &source)
        free(opened)
    if source.short or source.at != source.size:
        raise SnapshotCorrupt(f"the dump makes no sense near byte {source.at} of {source.size}")
    return 0
