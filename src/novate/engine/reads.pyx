# cython: language_level=3
"""Reads: the state as JSON, for whoever asks. Changes nothing.

`Reader` holds what writing needs (each instrument's grid, a buffer); the reporter builds on it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from novate.engine.images cimport (
    OrderImage, TradeImage, client_of, name_of, order_image, put_bytes, put_decimal, put_id,
    put_number, put_order, put_text, put_time, put_trade, status_of,
)
from novate.engine.registry cimport find_client, find_order, hash_id
from novate.engine.state cimport (
    ID_TEXT, ID_UUID, NONE, WORKING, Book, BookSide, Level, Order, State, grow, i128, level_price,
)
from novate.model.codec cimport big, read_uuid

import msgspec


cdef bytes taken_bytes(Out *out, size_t start):
    """What was written since `start`, as bytes; the buffer is free again from there."""
    cdef bytes text = PyBytes_FromStringAndSize(out.bytes + start, out.used - start)
    out.used = start
    return text


cdef class Reader:
    """The state of an engine as JSON."""

    def __cinit__(self):
        self.grids = NULL

    def __init__(self, Engine engine, int partition=0):
        """Read `engine`; `partition` is the first part of every trade id."""
        self.engine = engine
        self.partition = partition
        self.sync()

    def __dealloc__(self):
        free(self.grids)
        free(self.out.bytes)

    cdef int sync(self) except -1:
        """Learn the instruments that came since the last look."""
        cdef Grid *grid
        cdef bytes name
        while self.grids_count < self.engine.st.books_count:
            instrument = self.engine._instruments[self.grids_count]
            self.grids = <Grid *>grow(self.grids, (self.grids_count + 1) * sizeof(Grid))
            grid = &self.grids[self.grids_count]
            name = msgspec.json.encode(instrument.name)[:96]
            grid.name_size = len(name)
            memcpy(grid.name, PyBytes_AS_STRING(name), len(name))
            grid.tick_coefficient = instrument.tick_coefficient
            grid.tick_exponent = instrument.tick_exponent
            grid.lot_coefficient = instrument.lot_coefficient
            grid.lot_exponent = instrument.lot_exponent
            grid.quote_units = instrument.quote_units
            grid.quote_scale = instrument.quote_scale
            self.grids_count += 1
        return 0

    cdef Grid *grid(self, uint32_t instrument) except NULL:
        if instrument >= self.grids_count:
            self.sync()
            if instrument >= self.grids_count:
                raise IndexError(f"instrument: expected under {self.grids_count}, got {instrument}")
        return &self.grids[instrument]

    cdef bytes order_body(self, uint32_t slot):
        """An order as it stands now, as JSON."""
        cdef OrderImage image
        order_image(self.engine.st, slot, &image)
        self.out.used = 0
        put_order(&self.out, &image, self.grid(image.instrument))
        put_text(&self.out, b"}")
        return taken_bytes(&self.out, 0)


    def book_json(self, uint32_t instrument):
        """(sequence, bids, asks) of the whole book now; sides as JSON arrays, best first."""
        self.grid(instrument)
        return (self.engine.st.books[instrument].last_seq, self.whole_side(instrument, 0),
                self.whole_side(instrument, 1))

    cdef bytes whole_side(self, uint32_t instrument, int side):
        cdef BookSide *own = &self.engine.st.books[instrument].sides[side]
        cdef Grid *grid = self.grid(instrument)
        cdef uint32_t i
        self.out.used = 0
        put_text(&self.out, b"[")
        for i in range(own.count):
            put_level(&self.out, grid, level_price(side, own.levels[own.count - 1 - i].key),
                      own.levels[own.count - 1 - i].total)
        return closed_list(&self.out)

    def counters(self, uint32_t instrument):
        """(trades, lots traded, orders that got their first fill, bid levels, ask levels)."""
        cdef Book *book
        self.grid(instrument)
        book = &self.engine.st.books[instrument]
        return (book.trades_total, big(book.volume), book.orders_matched, book.sides[0].count,
                book.sides[1].count)

    # --- reads ----------------------------------------------------------------------------

    cdef uint32_t slot_of(self, str order_id) except? 0xFFFFFFFE:
        """Slot of the order with this id, or NONE."""
        cdef State *st = self.engine.st
        cdef bytes text = order_id.encode("utf-8", "replace")
        cdef uint8_t uuid[16]
        cdef const uint8_t *at = <const uint8_t *>PyBytes_AS_STRING(text)
        cdef uint32_t size = PyBytes_GET_SIZE(text)
        cdef int kind = ID_TEXT
        if size == 0 or size > 64:
            return NONE
        if read_uuid(<const char *>at, size, uuid):
            kind = ID_UUID
            at = uuid
            size = 16
        return find_order(st, kind, at, size, 0, hash_id(st, kind, at, size, 0))

    def order_json(self, str order_id):
        """The order as it stands now, or None: unknown, or closed and out of the window."""
        cdef uint32_t slot = self.slot_of(order_id)
        return None if slot == NONE else self.order_body(slot)

    def order_client(self, str order_id):
        """Client id (bytes) of the order's owner, or None."""
        cdef uint32_t slot = self.slot_of(order_id)
        cdef OrderImage image
        if slot == NONE:
            return None
        client_of(self.engine.st, self.engine.st.orders[slot].client, &image.client_id)
        self.out.used = 0
        put_id(&self.out, &image.client_id)
        name = taken_bytes(&self.out, 0)
        return name[1:len(name) - 1]

    def orders_json(self, client_id, int64_t instrument, status, int limit, cursor):
        """Orders in memory, the newest first.

        Args:
            client_id: Of whom; None for everybody's.
            instrument: Its number, or -1 for every one.
            status: An API status, or None.
            limit: At most so many, 1 to 1000.
            cursor: 0, or what the call before answered.

        Returns:
            (list of order JSON, cursor for the next call, 0 at the end). A call looks at a bounded
            number of orders, and so may answer fewer than `limit` and yet a cursor.
        """
        cdef uint32_t client
        cdef bytes name
        if client_id is None:
            return self.everybodys_orders(instrument, status, limit, cursor)
        name = client_id.encode("utf-8", "replace")
        client = NONE
        if 0 < len(name) <= 64:
            client = find_client(self.engine.st, <const uint8_t *>PyBytes_AS_STRING(name),
                                 PyBytes_GET_SIZE(name))
        if client == NONE:
            return [], 0
        return self.clients_orders(client, instrument, status, limit, cursor)

    cdef object clients_orders(self, uint32_t client, int64_t instrument, status, int limit,
                               cursor):
        cdef State *st = self.engine.st
        cdef bint open_only = status == "open" or status == "partially_filled"
        cdef uint32_t slot = st.clients[client].newest, looked = 0
        cdef uint64_t before = int(cursor) >> 32 if cursor else <uint64_t>-1
        cdef uint32_t hint = int(cursor) & 0xFFFFFFFF if cursor else NONE
        cdef list listed = []
        if status == "open":
            slot = st.clients[client].newest_open
        if cursor and hint < st.orders_used and st.orders[hint].seq == before and (
                st.orders[hint].client == client and (
                    status != "open" or st.orders[hint].state == WORKING)):
            slot = hint
        while slot != NONE:
            if st.orders[slot].seq < before:
                if self.fits(slot, instrument, status):
                    listed.append(self.order_body(slot))
                looked += 1
                if len(listed) >= limit or looked >= 20_000:
                    break
            slot = st.orders[slot].open_next if status == "open" else st.created[slot].next
        if slot == NONE:
            return listed, 0
        return listed, (int(st.orders[slot].seq) << 32) | slot

    cdef bint fits(self, uint32_t slot, int64_t instrument, status):
        cdef OrderImage image
        if instrument >= 0 and self.engine.st.orders[slot].instrument != instrument:
            return False
        if status is None:
            return True
        order_image(self.engine.st, slot, &image)
        return (<bytes>status_of(&image)).decode() == status

    cdef object everybodys_orders(self, int64_t instrument, status, int limit, cursor):
        """By a look at every order in memory, keeping the newest that fit."""
        cdef State *st = self.engine.st
        cdef uint64_t before = int(cursor) >> 32 if cursor else <uint64_t>-1
        cdef uint64_t least = 0
        cdef uint32_t slot
        cdef list newest = []
        for slot in range(st.orders_used):
            if st.orders[slot].seq == 0 or st.orders[slot].seq >= before or (
                    st.orders[slot].seq <= least) or not self.fits(slot, instrument, status):
                continue
            newest.append((int(st.orders[slot].seq), int(slot)))
            if len(newest) >= 4 * limit + 1024:
                newest.sort(reverse=True)
                del newest[limit:]
                least = newest[len(newest) - 1][0]
        newest.sort(reverse=True)
        listed = [self.order_body(each[1]) for each in newest[:limit]]
        if len(newest) <= limit and least == 0:
            return listed, 0
        return listed, (newest[len(listed) - 1][0] << 32) | newest[len(listed) - 1][1]

    def orderbook_json(self, uint32_t instrument, int levels):
        """The book as `GET /orderbook` answers it, up to `levels` per side."""
        cdef State *st = self.engine.st
        cdef Grid *grid = self.grid(instrument)
        cdef Book *book = &st.books[instrument]
        self.out.used = 0
        put_text(&self.out, b'{"instrument":')
        put_bytes(&self.out, grid.name, grid.name_size)
        put_text(&self.out, b',"sequence":')
        put_number(&self.out, <int64_t>book.last_seq)
        put_text(&self.out, b',"timestamp":')
        put_time(&self.out, book.last_us)
        put_text(&self.out, b',"bids":')
        bid_total = put_depth(&self.out, grid, &book.sides[0], 0, levels)
        put_text(&self.out, b',"asks":')
        ask_total = put_depth(&self.out, grid, &book.sides[1], 1, levels)
        put_text(&self.out, b',"bid_total":')
        put_decimal(&self.out, bid_total, grid.lot_coefficient, grid.lot_exponent)
        put_text(&self.out, b',"ask_total":')
        put_decimal(&self.out, ask_total, grid.lot_coefficient, grid.lot_exponent)
        put_text(&self.out, b"}")
        return taken_bytes(&self.out, 0)

    def trades_json(self, uint32_t instrument, int limit, before, bint detailed):
        """The last trades as `GET /trades` answers them, newest first.

        Args:
            instrument: Its number.
            limit: At most so many.
            before: A trade id: only trades older than it; or None.
            detailed: With both client ids.

        Returns:
            JSON, or None where `before` is not a trade id of this partition.
        """
        cdef Book *book
        cdef Grid *grid = self.grid(instrument)
        cdef uint32_t i, at, last, listed = 0
        cdef uint64_t seq = <uint64_t>-1
        cdef uint32_t index = 0
        book = &self.engine.st.books[instrument]
        if before is not None:
            place = trade_place(before, self.partition)
            if place is None:
                return None
            seq, index = place
        last = self.older_trades(book, seq, index)
        self.out.used = 0
        put_text(&self.out, b'{"instrument":')
        put_bytes(&self.out, grid.name, grid.name_size)
        put_text(&self.out, b',"count":')
        put_number(&self.out, min(last, limit))
        put_text(&self.out, b',"trades":[')
        for i in range(min(last, <uint32_t>limit)):
            at = book.trades_first + last - 1 - i
            if at >= book.trades_capacity:
                at -= book.trades_capacity
            if i:
                put_text(&self.out, b",")
            self.put_kept_trade(book, at, grid, detailed)
        put_text(&self.out, b"]}")
        return taken_bytes(&self.out, 0)

    cdef uint32_t older_trades(self, Book *book, uint64_t seq, uint32_t index) noexcept:
        """How many of the kept trades, from the oldest, come before (seq, index)."""
        cdef uint32_t low = 0, high = book.trades_count, middle, at
        while low < high:
            middle = (low + high) >> 1
            at = book.trades_first + middle
            if at >= book.trades_capacity:
                at -= book.trades_capacity
            if book.trades[at].seq < seq or (
                    book.trades[at].seq == seq and book.trades[at].index < index):
                low = middle + 1
            else:
                high = middle
        return low

    cdef void put_kept_trade(self, Book *book, uint32_t at, Grid *grid, bint detailed) noexcept:
        cdef State *st = self.engine.st
        cdef TradeImage trade
        cdef OrderImage side
        cdef bint bought = book.trades[at].taker_side == 0
        trade.price = book.trades[at].price
        trade.quantity = book.trades[at].quantity
        trade.time_us = book.trades[at].time_us
        trade.seq = book.trades[at].seq
        trade.index = book.trades[at].index
        trade.taker_side = book.trades[at].taker_side
        name_of(st, book.trades[at].maker_id_kind, book.trades[at].maker_id, &trade.maker_id)
        name_of(st, book.trades[at].taker_id_kind, book.trades[at].taker_id, &trade.taker_id)
        put_trade(&self.out, &trade, grid, self.partition)
        if detailed:
            put_text(&self.out, b',"buy_client_id":')
            client_of(st, book.trades[at].taker_client if bought
                      else book.trades[at].maker_client, &side.client_id)
            put_id(&self.out, &side.client_id)
            put_text(&self.out, b',"sell_client_id":')
            client_of(st, book.trades[at].maker_client if bought
                      else book.trades[at].taker_client, &side.client_id)
            put_id(&self.out, &side.client_id)
        put_text(&self.out, b"}")

    def instrument_json(self, uint32_t instrument):
        """An instrument as `GET /instruments/{instrument}` answers it."""
        cdef Grid *grid = self.grid(instrument)
        each = self.engine._instruments[instrument]
        text = msgspec.json.encode
        self.out.used = 0
        put_text(&self.out, b'{"instrument":')
        put_bytes(&self.out, grid.name, grid.name_size)
        for name, value in (("base", each.base), ("quote", each.quote)):
            put_text(&self.out, b',"%b":%b' % (name.encode(), text(value)))
        for name, value in (("tick_size", 1), ("price_max", each.price_ticks_max)):
            put_text(&self.out, b',"%b":' % name.encode())
            put_decimal(&self.out, <int64_t>value, grid.tick_coefficient, grid.tick_exponent)
        for name, value in (("lot_size", 1), ("quantity_min", each.quantity_lots_min),
                            ("quantity_max", each.quantity_lots_max)):
            put_text(&self.out, b',"%b":' % name.encode())
            put_decimal(&self.out, <int64_t>value, grid.lot_coefficient, grid.lot_exponent)
        put_text(&self.out, b',"state":"continuous"}')
        return taken_bytes(&self.out, 0)


# --- pieces ---------------------------------------------------------------------------------

cdef void put_level(Out *out, Grid *grid, int64_t price, int64_t total) noexcept:
    """Append a level to a list, with a comma behind it."""
    put_text(out, b'{"price":')
    put_decimal(out, price, grid.tick_coefficient, grid.tick_exponent)
    put_text(out, b',"quantity":')
    put_decimal(out, total, grid.lot_coefficient, grid.lot_exponent)
    put_text(out, b"},")


cdef bytes closed_list(Out *out):
    """The list written so far as bytes; its last comma becomes the bracket."""
    if out.bytes[out.used - 1] == c",":
        out.bytes[out.used - 1] = c"]"
    else:
        put_text(out, b"]")
    return taken_bytes(out, 0)


cdef i128 put_depth(Out *out, Grid *grid, BookSide *side, int which, int levels) noexcept:
    """Write the best levels with their cumulative quantity; the whole side's total, in lots."""
    cdef i128 total = 0
    cdef uint32_t i
    cdef Level *level
    put_text(out, b"[")
    for i in range(side.count):
        level = side.levels + side.count - 1 - i
        total += level.total
        if i >= <uint32_t>levels:
            continue
        put_text(out, b',{"price":' if i else b'{"price":')
        put_decimal(out, level_price(which, level.key), grid.tick_coefficient, grid.tick_exponent)
        put_text(out, b',"quantity":')
        put_decimal(out, level.total, grid.lot_coefficient, grid.lot_exponent)
        put_text(out, b',"orders":')
        put_number(out, level.count)
        put_text(out, b',"cumulative":')
        put_decimal(out, total, grid.lot_coefficient, grid.lot_exponent)
        put_text(out, b"}")
    put_text(out, b"]")
    return total


def trade_place(str trade_id, int partition):
    """(seq, index) of a trade id of this partition, or None."""
    parts = trade_id.split("-")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    if len(trade_id) > 40 or int(parts[0]) != partition or int(parts[1]) >= 2**48:
        return None
    return int(parts[1]), min(int(parts[2]), 2**32 - 1)
