# cython: language_level=3
"""Reads: the state as JSON, for whoever asks. Changes nothing.

`Reader` holds what writing needs (each instrument's grid, a buffer); the reporter builds on it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from novate.engine.clearing cimport is_busted
from novate.engine.images cimport (
    Name, OrderImage, TradeImage, client_at, client_of, name_of, order_image, put_bytes,
    put_decimal, put_id, put_number, put_order, put_text, put_time, put_trade, status_of,
)
from novate.engine.registry cimport closed_is, find_client, find_order, hash_id
from novate.engine.state cimport (
    CLOSED, NONE, PLACE_MASK, Book, BookSide, Closed, Level, State, closed_at, grow, i128,
    level_price,
)
from novate.model.codec cimport big, read_uuid
from novate.model.records cimport ID_TEXT, ID_UUID

import msgspec
import numpy as np

from novate.model.commands import Phase

PHASES = [phase.name.lower().encode() for phase in Phase]

cdef enum:
    AUCTION_PHASE = 2
    CHAIN_MAX = 50_000  # closed orders of a client that are followed one by one


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

    cdef bytes order_body(self, uint32_t at):
        """The order that stands there as it is now, as JSON."""
        cdef OrderImage image
        order_image(self.engine.st, at, &image)
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
        cdef State *st = self.engine.st
        cdef Grid *grid = self.grid(instrument)
        cdef uint32_t at = st.books[instrument].sides[side].best
        self.out.used = 0
        put_text(&self.out, b"[")
        while at != NONE:
            put_level(&self.out, grid, level_price(side, st.levels[at].key), st.levels[at].total)
            at = st.levels[at].worse
        return closed_list(&self.out)

    def counters(self, uint32_t instrument):
        """(trades, lots traded, orders that got their first fill, bid levels, ask levels)."""
        cdef Book *book
        self.grid(instrument)
        book = &self.engine.st.books[instrument]
        return (book.trades_total, big(book.volume), book.orders_matched, book.sides[0].count,
                book.sides[1].count)

    # --- reads ----------------------------------------------------------------------------

    cdef uint32_t place_of(self, str order_id) except? 0xFFFFFFFE:
        """Where the order with this id stands, or NONE."""
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
        cdef uint32_t at = self.place_of(order_id)
        return None if at == NONE else self.order_body(at)

    def order_client(self, str order_id):
        """Client id (bytes) of the order's owner, or None."""
        cdef uint32_t at = self.place_of(order_id)
        cdef Name client
        if at == NONE:
            return None
        client_of(self.engine.st, client_at(self.engine.st, at), &client)
        self.out.used = 0
        put_id(&self.out, &client)
        name = taken_bytes(&self.out, 0)
        return name[1:len(name) - 1]

    def client_id(self, uint32_t client):
        """The client id (bytes) of a client's number, as events bear it."""
        cdef Name name
        if client >= self.engine.st.clients_count:
            raise IndexError(f"client: expected under {self.engine.st.clients_count}, got {client}")
        client_of(self.engine.st, client, &name)
        self.out.used = 0
        put_id(&self.out, &name)
        quoted = taken_bytes(&self.out, 0)
        return quoted[1:len(quoted) - 1]

    def trades_kept(self, uint32_t instrument):
        """(time in us, price in ticks, quantity in lots) of the trades in memory, oldest first.

        Returns:
            An int64 array of three columns, a row a trade.
        """
        self.grid(instrument)
        cdef Book *book = &self.engine.st.books[instrument]
        cdef uint32_t i, at
        found = np.empty((book.trades_count, 3), np.int64)
        cdef int64_t[:, ::1] rows = found
        for i in range(book.trades_count):
            at = book.trades_first + i
            if at >= book.trades_capacity:
                at -= book.trades_capacity
            rows[i, 0] = book.trades[at].time_us
            rows[i, 1] = book.trades[at].price
            rows[i, 2] = book.trades[at].quantity
        return found

    def orders_json(self, client_id, int64_t instrument, status, int limit, cursor):
        """Orders in memory, the newest first.

        Args:
            client_id: Of whom; None for everybody's.
            instrument: Its number, or -1 for every one.
            status: An API status, or None.
            limit: At most so many, 1 to 1000.
            cursor: 0, or what the call before answered.

        Returns:
            (list of order JSON, cursor for the next call, 0 at the end).
        """
        listed, after = self.orders_listed(client_id, instrument, status, limit, cursor)
        return [body for _, body in listed], after

    def orders_listed(self, client_id, int64_t instrument, status, int limit, cursor):
        """As `orders_json`, with the sequence that placed each order: pairs (sequence, JSON)."""
        cdef uint32_t client = NONE
        cdef bytes name
        cdef Listing listing
        if client_id is not None:
            name = client_id.encode("utf-8", "replace")
            if 0 < len(name) <= 64:
                client = find_client(self.engine.st, <const uint8_t *>PyBytes_AS_STRING(name),
                                     PyBytes_GET_SIZE(name))
            if client == NONE:
                return [], 0
        listing.instrument = instrument
        listing.client = client
        listing.before = int(cursor) if cursor else <uint64_t>-1
        listing.least = 0
        listing.limit = limit
        newest = []
        self.list_open(&listing, status, newest)
        if status != "open":
            if client == NONE or not self.list_chain(&listing, status, newest):
                self.list_closed(&listing, status, newest)
        newest.sort(reverse=True)
        more = len(newest) > limit or listing.least > 0
        listed = [(each[0], self.order_body(each[1])) for each in newest[:limit]]
        return listed, newest[limit - 1][0] if more else 0

    def forgotten_seq(self):
        """Orders placed at or before this sequence may have left memory; 0: none has."""
        cdef State *st = self.engine.st
        if st.closed_count == 0 or st.closed_count < st.closed_max:
            return 0
        return int(closed_at(st, st.closed_first).updated_seq)

    def trades_forgotten(self, uint32_t instrument):
        """Whether trades of an instrument have left memory."""
        self.grid(instrument)
        return self.engine.st.books[instrument].trades_total > self.engine.st.books[
            instrument].trades_count

    cdef int note_order(self, Listing *listing, uint64_t seq, uint32_t at, status,
                        list newest) except -1:
        """Add an order to a listing if it fits; now and then keep only what can still count."""
        cdef OrderImage image
        if seq >= listing.before or seq <= listing.least:
            return 0
        if listing.instrument >= 0 or status is not None:
            order_image(self.engine.st, at, &image)
            if listing.instrument >= 0 and image.instrument != listing.instrument:
                return 0
            if status is not None and (<bytes>status_of(&image)).decode() != status:
                return 0
        newest.append((int(seq), int(at)))
        if len(newest) >= 4 * listing.limit + 1024:
            newest.sort(reverse=True)
            del newest[listing.limit:]
            listing.least = newest[listing.limit - 1][0]
        return 0

    cdef int list_open(self, Listing *listing, status, list newest) except -1:
        cdef State *st = self.engine.st
        cdef uint32_t slot
        if listing.client == NONE:
            for slot in range(st.orders_used):
                if st.orders[slot].seq:
                    self.note_order(listing, st.orders[slot].seq, slot, status, newest)
            return 0
        slot = st.clients[listing.client].newest_open
        while slot != NONE:
            if st.orders[slot].seq <= listing.least:
                break  # the rest is older still
            self.note_order(listing, st.orders[slot].seq, slot, status, newest)
            slot = st.links[slot].open_next
        return 0

    cdef bint list_chain(self, Listing *listing, status, list newest) except -1:
        """A client's closed orders, the last closed first; False where the chain is too long.

        An order was placed before it closed, so the rest of the chain does not count any more once
        the oldest order that will be listed is younger than what the chain has come to.
        """
        cdef State *st = self.engine.st
        cdef uint32_t at = st.clients[listing.client].last_closed, looked = 0
        cdef uint32_t offset = st.closed_count, closer
        cdef Closed *closed
        cdef uint64_t least = listing.least
        cdef list found = []
        while at != NONE and closed_is(st, at, listing.client):
            closer = (at - st.closed_first) & PLACE_MASK
            closed = closed_at(st, at)
            if closer >= offset or closed.updated_seq <= listing.least:
                break
            if looked == CHAIN_MAX:
                listing.least = least
                return False
            offset = closer
            looked += 1
            self.note_order(listing, closed.seq, CLOSED | at, status, found)
            at = closed.before
        newest.extend(found)
        return True

    cdef int list_closed(self, Listing *listing, status, list newest) except -1:
        """By a look at every closed order in memory."""
        cdef State *st = self.engine.st
        cdef uint32_t i, place
        cdef Closed *closed
        for i in range(st.closed_count):
            place = (st.closed_first + i) & PLACE_MASK
            closed = closed_at(st, place)
            if listing.client == NONE or closed.client == listing.client:
                self.note_order(listing, closed.seq, CLOSED | place, status, newest)
        return 0

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
        bid_total = put_depth(st, &self.out, grid, book.sides[0].best, 0, levels)
        put_text(&self.out, b',"asks":')
        ask_total = put_depth(st, &self.out, grid, book.sides[1].best, 1, levels)
        put_text(&self.out, b',"bid_total":')
        put_decimal(&self.out, bid_total, grid.lot_coefficient, grid.lot_exponent)
        put_text(&self.out, b',"ask_total":')
        put_decimal(&self.out, ask_total, grid.lot_coefficient, grid.lot_exponent)
        put_text(&self.out, b"}")
        return taken_bytes(&self.out, 0)

    def trades_json(self, uint32_t instrument, int limit, before, bint detailed):
        """The last trades as `GET /trades` answers them, newest first.

        One that was taken back or corrected has `busted` behind all else.

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
        trade.auction = book.trades[at].auction
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
        if is_busted(st, trade.seq, trade.index):
            put_text(&self.out, b',"busted":true')
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
        put_text(&self.out, b',"state":')
        self.put_state(instrument)
        put_text(&self.out, b"}")
        return taken_bytes(&self.out, 0)

    cdef int put_state(self, uint32_t instrument) except -1:
        """The phase, its own end, and in an auction what an uncross would be now."""
        cdef Grid *grid = self.grid(instrument)
        phase, until_ns, price, volume, surplus = self.state_of(instrument)
        put_text(&self.out, b'"%b"' % PHASES[phase])
        if until_ns:
            put_text(&self.out, b',"state_until":')
            put_time(&self.out, until_ns // 1000)
        if phase == AUCTION_PHASE:
            put_text(&self.out, b',"auction":{')
            put_uncross(&self.out, grid, price, volume, surplus)
            put_text(&self.out, b"}")
        return 0

    def state_of(self, uint32_t instrument):
        """(phase, its own end in ns, price, volume and surplus of the uncross of now)."""
        phase, until_ns, _, _, _, price, volume, surplus = self.engine.trading_state(instrument)
        return phase, until_ns, price, volume, surplus

    def state_members(self, uint32_t instrument):
        """The members that say how an instrument stands."""
        self.out.used = 0
        put_text(&self.out, b'"state":')
        self.put_state(instrument)
        return taken_bytes(&self.out, 0)

    def auction_json(self, uint32_t instrument):
        """Members that say what an uncross would be now; None where there is no auction."""
        phase, _, price, volume, surplus = self.state_of(instrument)
        if phase != AUCTION_PHASE:
            return None
        self.out.used = 0
        put_uncross(&self.out, self.grid(instrument), price, volume, surplus)
        return taken_bytes(&self.out, 0)


# --- pieces ---------------------------------------------------------------------------------

cdef int put_uncross(Out *out, Grid *grid, int64_t price, int64_t volume,
                     int64_t surplus) except -1:
    """Price, volume and imbalance of an uncross; the price is null where there is none."""
    put_text(out, b'"price":')
    if price:
        put_decimal(out, price, grid.tick_coefficient, grid.tick_exponent)
    else:
        put_text(out, b"null")
    put_text(out, b',"volume":')
    put_decimal(out, volume, grid.lot_coefficient, grid.lot_exponent)
    put_text(out, b',"imbalance":')
    put_decimal(out, surplus, grid.lot_coefficient, grid.lot_exponent)
    return 0


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


cdef i128 put_depth(State *st, Out *out, Grid *grid, uint32_t best, int side,
                    int levels) noexcept:
    """Write the best levels with their cumulative quantity; the whole side's total, in lots."""
    cdef i128 total = 0
    cdef uint32_t i = 0, at = best
    cdef Level *level
    put_text(out, b"[")
    while at != NONE:
        level = &st.levels[at]
        at = level.worse
        total += level.total
        i += 1
        if i > <uint32_t>levels:
            continue
        put_text(out, b',{"price":' if i > 1 else b'{"price":')
        put_decimal(out, level_price(side, level.key), grid.tick_coefficient, grid.tick_exponent)
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
