# cython: language_level=3
"""The canonical serialisation of a state: of what it means, not of how memory lies.

Equal states give equal bytes: orders stand book by book in price-time order, then closed orders in
the order in which they closed; slots, cells and hash tables don't appear and are made anew by
`load_state`. Everything is little-endian and packed; docs/journal.md names the fields.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, qsort
from libc.string cimport memcpy, memset

from novate.engine.book cimport rest
from novate.engine.dump_clearing cimport get_clearing, put_clearing
from novate.engine.dump_more cimport get_more_state, get_standing, put_more_state
from novate.engine.ladder cimport level_find
from novate.engine.packing cimport (
    Reader, Writer, get, get_u8, get_u32, get_u64, put, put_u8, put_u32, put_u64,
)
from novate.engine.registry cimport (
    client_add, client_order_opened, closed_new, hash_id, index_order, key_add,
)
from novate.engine.state cimport (
    NONE, WORKING,
    Book, BookSide, Closed, Extra, Key, Order, State, Taker, Trade, i128,
    closed_at, copy_identity, grow, key_of, name_new, name_text, order_extra, order_new,
    order_price,
)
from novate.model.records cimport ID_NUMBER, ID_TEXT, ID_UUID

from novate.model.errors import SnapshotCorrupt


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
    cdef uint8_t shape[8]
    shape[0] = order.side
    shape[1] = order.order_type
    shape[2] = order.time_in_force
    shape[3] = order.post_only
    shape[4] = order.id_kind
    shape[5] = order.state
    shape[6] = order.by_quote
    shape[7] = extra
    put(out, shape, 8)
    put_u64(out, price)
    put_u64(out, remaining)
    put_u64(out, order.seq)
    put_u64(out, order.created_us)
    put_u32(out, order.instrument)
    put_u32(out, order.client)
    put_name(st, out, order.id_kind, order.id)


cdef void put_more(Writer *out, i128 notional, i128 quote_units, int64_t filled,
                   int64_t updated_us, uint64_t updated_seq, uint32_t reason) noexcept nogil:
    """What only orders that were filled, changed or closed have."""
    put(out, &notional, 16)
    put(out, &quote_units, 16)
    put_u64(out, filled)
    put_u64(out, updated_us)
    put_u64(out, updated_seq)
    put_u32(out, reason)


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


cdef void put_side(State *st, Writer *out, BookSide *side) noexcept nogil:
    """A side's orders, best level first, each level in the order of its queue."""
    cdef uint32_t at = side.best, slot
    cdef uint64_t count = 0
    while at != NONE:
        count += st.levels[at].count
        at = st.levels[at].worse
    put_u64(out, count)
    at = side.best
    while at != NONE:
        slot = st.levels[at].head
        while slot != NONE:
            put_order(st, out, &st.orders[slot])
            slot = st.orders[slot].next
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


cdef bytes dump_state(State *st, int version):
    """All of the state but limits, rules and instruments, which the engine puts before it.

    `version`: 2 and 3 have more than those before.
    """
    cdef Writer out
    cdef uint32_t i, length = 0
    cdef const uint8_t *text = NULL
    out.bytes = NULL
    out.used = 0
    out.capacity = 0
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
        if version > 1:
            put_more_state(st, &out)
        if version > 2:
            put_clearing(st, &out)
    try:
        return PyBytes_FromStringAndSize(<char *>out.bytes, out.used)
    finally:
        free(out.bytes)


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
    cdef uint8_t shape[8]
    cdef uint32_t instrument, client
    if not get(source, shape, 8) or shape[0] > 1 or shape[4] > ID_TEXT:
        source.short = True
        return False
    order.side = shape[0]
    order.order_type = shape[1]
    order.time_in_force = shape[2]
    order.post_only = shape[3]
    order.id_kind = shape[4]
    order.state = shape[5]
    order.by_quote = shape[6]
    order.marked = 0
    image.more = shape[7]
    order.price = get_u64(source)
    order.remaining = get_u64(source)
    order.seq = get_u64(source)
    order.created_us = get_u64(source)
    instrument = get_u32(source)
    client = get_u32(source)
    if instrument >= st.books_count or client >= st.clients_count:
        source.short = True
        return False
    order.instrument = instrument
    order.client = client
    order.id = get_name(st, source, shape[4])
    order.notional = 0
    order.quote_units = 0
    order.filled = 0
    if image.more:
        get(source, &order.notional, 16)
        get(source, &order.quote_units, 16)
        order.filled = get_u64(source)
        image.updated_us = get_u64(source)
        image.updated_seq = get_u64(source)
        image.reason = get_u32(source)
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
    order.next = NONE
    order.prev = NONE
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
        closed = closed_new(st, &image.order, image.order.state, image.reason, &place)
        closed.updated_seq = image.updated_seq
        closed.updated_us = image.updated_us
        closed.filled = image.order.filled
        closed.notional = image.order.notional
        if image.order.by_quote:
            closed.quote_units = image.order.quote_units
        else:
            closed.price = image.order.price
            closed.remaining = image.order.remaining
        index_order(st, closed.id_kind, closed.id, place)
        i += 1


cdef int by_seq(const void *a, const void *b) noexcept nogil:
    cdef uint64_t one = (<Opened *>a).seq, other = (<Opened *>b).seq
    return (one > other) - (one < other)


cdef Opened *list_open(State *st) noexcept nogil:
    """Make the clients' lists: every open order in the order in which it was created."""
    cdef uint32_t slot, count = st.orders_used
    cdef Opened *opened = <Opened *>grow(NULL, (<size_t>count + 1) * sizeof(Opened))
    for slot in range(count):
        opened[slot].seq = st.orders[slot].seq
        opened[slot].slot = slot
    qsort(opened, count, sizeof(Opened), by_seq)
    for slot in range(count):
        client_order_opened(st, opened[slot].slot)
    return opened


cdef int load_state(State *st, const unsigned char[::1] dump, int version) except -1:
    """Fill a fresh state that has its limits and instruments; SnapshotCorrupt if it can't be."""
    cdef Reader source
    cdef uint32_t i
    cdef Opened *opened = NULL
    cdef bint more = version > 1
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
        if version > 2 and not source.short:
            get_clearing(st, &source)
        free(opened)
    if source.short or source.at != source.size:
        raise SnapshotCorrupt(f"the dump makes no sense near byte {source.at} of {source.size}")
    return 0
