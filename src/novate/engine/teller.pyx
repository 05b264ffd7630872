# cython: language_level=3
"""What a command that set more off than its own order's events did, and to whom.

Most commands are plain: their events are those of one order, and the reporter tells them without
a look to either side. The others (something was due, stop orders were triggered, an auction was
uncrossed, a partner ended) are told here: where each order stands once the command is over, which
trades were whose, and what an operator's command is answered.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from novate.engine.images cimport (
    Grid, OrderImage, TradeImage, name_at, order_image, put_bytes, put_decimal, put_number,
    put_order, put_text, put_time, put_trade, put_trade_id,
)
from novate.engine.clearing_answers cimport clearing_answer
from novate.engine.packed cimport pack_order, pack_terms, pack_whole_trade
from novate.engine.reads cimport put_uncross, taken_bytes
from novate.engine.registry cimport find_order, hash_id
from novate.engine.state cimport (
    CHECK, CLOSED, NONE, PLACE_MASK, Book, Closed, State, Trade, closed_at, mix, name_text,
    order_now,
)
from novate.model.codec cimport write_time
from novate.model.records cimport (
    AMEND, BY_CLIENT, CANCEL, CLEARING_SET, COMMAND_REFUSED, CUTOFF_SET, CYCLE_CLOSED, DEPOSITED,
    ID_NUMBER, MARK_SET, MASS_CANCEL, MASS_CANCELLED, MASS_CANCEL_REASON, SETTLEMENT_MOVED,
    ORDER_ACCEPTED, ORDER_AMENDED, ORDER_ENDED, ORDER_REJECTED, PLACE, TIER_SET, TRADE,
    TRADE_BUSTED, TRADE_CORRECTED, WITHDRAWN, Command, Event, head_size,
)

import msgspec

from novate.engine.reads import PHASES
from novate.model.rejects import Reason

# event and command kinds, flags: as in novate.model
cdef enum:
    ORDER_TRIGGERED = 11
    PHASE_CHANGED = 12
    AUCTION_UNCROSSED = 13
    RULES_SET = 14
    CLIENT_LIMITS_SET = 15
    SESSION_OPENED = 16
    SESSION_CLOSED = 17
    SESSIONS_LOST = 18
    TIMER_SET = 19
    KILL_SWITCHED = 21
    TIME_ADVANCED = 22
    COMMAND_SKIPPED = 34
    RULES_ADOPTED = 35
    SET_PHASE = 11
    AUCTION_TRADE = 64
    LISTED_MAX = 1000

# The event that answers an operator's command, by the command's kind.
cdef int[28] ANSWERS
ANSWERS[:] = [0, 0, 0, 0, MASS_CANCELLED, 7, 8, 9, TIME_ADVANCED, RULES_SET, CLIENT_LIMITS_SET,
              PHASE_CHANGED, SESSION_OPENED, SESSION_CLOSED, SESSIONS_LOST, TIMER_SET,
              KILL_SWITCHED, CLEARING_SET, MARK_SET, TIER_SET, DEPOSITED, WITHDRAWN, CYCLE_CLOSED,
              SETTLEMENT_MOVED, CUTOFF_SET, TRADE_BUSTED, COMMAND_SKIPPED, RULES_ADOPTED]


cdef uint32_t client_text_at(const Command *command) noexcept:
    """Where a command's client id begins."""
    return head_size(command) + command.order_id_length


PART_ROWS = 8192
"""Trades and updates that are rendered before a part of them is given away."""

cdef enum:
    PLACES_KEPT = 1 << 16


cdef class Teller(Reader):
    """A reader that can tell what a command led to."""

    def __dealloc__(self):
        free(self.places)

    cdef bint is_plain(self, const Command *command, uint32_t first):
        """Whether the events are those of the command's own order, or of its only answer."""
        cdef State *st = self.engine.st
        cdef Event *own = &st.events[first]
        cdef Event *event
        cdef uint32_t at, last = st.events_count - 1
        if first == last:
            return True
        if command.kind == MASS_CANCEL:
            for at in range(first, last):
                if st.events[at].reason != MASS_CANCEL_REASON:
                    return False
            return True
        if own.kind != ORDER_ACCEPTED and (own.kind != ORDER_AMENDED or own.reason):
            return False
        for at in range(first + 1, last + 1):
            event = &st.events[at]
            if event.kind == TRADE:
                if event.taker != own.order or event.flags & AUCTION_TRADE:
                    return False
                if event.remaining_lots and at < last and st.events[at + 1].kind == TRADE:
                    return False  # an iceberg, whose next tip may come later
            elif event.kind != ORDER_ENDED or event.order != own.order:
                return False
        return True

    cdef uint32_t own_event(self, const Command *command, uint32_t first):
        """The event that answers the command; before it stands what was due."""
        cdef State *st = self.engine.st
        cdef Event *event
        cdef uint32_t at
        cdef int answer = ANSWERS[command.kind] if command.kind < 28 else 0
        for at in range(first, st.events_count):
            event = &st.events[at]
            if event.kind == COMMAND_REFUSED:
                return at
            if command.kind == PLACE:
                if event.kind == ORDER_ACCEPTED or event.kind == ORDER_REJECTED:
                    return at
            elif command.kind == CANCEL:
                if event.kind == ORDER_ENDED and event.reason == BY_CLIENT:
                    return at
            elif command.kind == AMEND:
                if event.kind == ORDER_AMENDED and event.reason == 0:
                    return at
            elif event.kind == answer and (answer != PHASE_CHANGED or event.reason == 0):
                if (answer != SESSION_CLOSED and answer != CYCLE_CLOSED) or (
                        at == st.events_count - 1):
                    return at
        return st.events_count - 1

    # --- where orders stand now -----------------------------------------------------------

    cdef int find_places(self, uint32_t first, uint32_t own) except -1:
        """Learn where every order of the command's events stands when it is over."""
        cdef State *st = self.engine.st
        cdef Event *event
        cdef uint32_t at
        self.forget_places()
        for at in range(first, st.events_count):
            event = &st.events[at]
            if st.event_orders[at] != NONE and event.kind != COMMAND_REFUSED:
                self.place_put(event.order, order_now(st, st.event_orders[at]))
        event = &st.events[own]
        if st.current != NONE and event.order:
            self.place_put(event.order, st.current)
        self.note_closed()
        for at in range(first, st.events_count):
            event = &st.events[at]
            if event.kind == TRADE and not self.place_found(event.taker).used:
                self.place_put(event.taker, self.traded_place(at))
        return 0

    cdef void forget_places(self) noexcept:
        """Empty the table, and give it back if it was a large one."""
        self.places_used = 0
        if self.places_size == 0 or self.places_size > PLACES_KEPT:
            free(self.places)
            self.places_size = 64
            self.places = <Place *>calloc(self.places_size, sizeof(Place))
        else:
            memset(self.places, 0, self.places_size * sizeof(Place))

    cdef Place *place_found(self, uint64_t number) noexcept:
        """The order's place in the table, or the free one where it would be."""
        cdef size_t mask = self.places_size - 1
        cdef size_t at = mix(number, <uint64_t>0x9E3779B97F4A7C15) & mask
        while self.places[at].used and self.places[at].number != number:
            at = (at + 1) & mask
        return &self.places[at]

    cdef void place_put(self, uint64_t number, uint32_t stands) noexcept:
        cdef Place *place
        cdef Place *old = self.places
        cdef size_t i, size = self.places_size
        if self.places_used * 2 >= size:
            self.places_size = size * 4
            self.places = <Place *>calloc(self.places_size, sizeof(Place))
            CHECK(self.places != NULL)
            for i in range(size):
                if old[i].used:
                    self.place_found(old[i].number)[0] = old[i]
            free(old)
        place = self.place_found(number)
        self.places_used += not place.used
        place.number = number
        place.stands = stands
        place.used = 1

    cdef void note_closed(self) noexcept:
        """The orders that closed with this command stand behind all others of the window."""
        cdef State *st = self.engine.st
        cdef Closed *closed
        cdef uint32_t i, place
        for i in range(st.closed_count):
            place = (st.closed_first + st.closed_count - 1 - i) & PLACE_MASK
            closed = closed_at(st, place)
            if closed.updated_seq != st.seq:
                break
            self.place_put(closed.id if closed.id_kind == ID_NUMBER else closed.seq,
                           CLOSED | place)

    cdef uint32_t traded_place(self, uint32_t at):
        """Where the taker of a trade stands that is open still, by the trade that was kept."""
        cdef State *st = self.engine.st
        cdef Event *event = &st.events[at]
        cdef Book *book = &st.books[event.instrument]
        cdef Trade *trade
        cdef const uint8_t *text
        cdef uint32_t place, length = 0
        cdef int kind
        place = self.older_trades(book, event.seq, event.index)
        if place >= book.trades_count:
            return NONE
        place += book.trades_first
        if place >= book.trades_capacity:
            place -= book.trades_capacity
        trade = &book.trades[place]
        if trade.seq != event.seq or trade.index != event.index:
            return NONE
        kind = trade.taker_id_kind
        if kind == ID_NUMBER:
            return find_order(st, kind, NULL, 0, trade.taker_id,
                              hash_id(st, kind, NULL, 0, trade.taker_id))
        text = name_text(st, kind, trade.taker_id, &length)
        return find_order(st, kind, text, length, 0, hash_id(st, kind, text, length, 0))

    cdef uint32_t place_at(self, uint64_t number) noexcept:
        cdef Place *place = self.place_found(number)
        return place.stands if place.used else NONE

    # --- trades ---------------------------------------------------------------------------

    cdef int whole_trade(self, uint32_t at, TradeImage *trade) except -1:
        """The trade of an event, with both orders' names; 0 where one of them is not known."""
        cdef State *st = self.engine.st
        cdef Event *event = &st.events[at]
        cdef uint32_t maker = self.place_at(event.order), taker = self.place_at(event.taker)
        if maker == NONE or taker == NONE:
            return 0
        trade.price = event.price_ticks
        trade.quantity = event.quantity_lots
        trade.time_us = st.time_us
        trade.seq = event.seq
        trade.index = event.index
        trade.taker_side = event.side
        trade.auction = 1 if event.flags & AUCTION_TRADE else 0
        name_at(st, maker, &trade.maker_id)
        name_at(st, taker, &trade.taker_id)
        return 1

    cdef int give_part(self, object applied) except -1:
        """Let what was rendered go to those who follow, before it becomes too much at once."""
        if self.on_part is None or len(applied.trades) + len(applied.updates) < PART_ROWS:
            return 0
        self.on_part(applied.trades, applied.updates)
        applied.trades.clear()
        applied.updates.clear()
        return 0

    cdef int tell_trades(self, uint32_t first, object applied) except -1:
        """Every trade of the command, whoever's: (instrument, seq, JSON)."""
        cdef list trades = applied.trades
        cdef State *st = self.engine.st
        cdef TradeImage trade
        cdef uint32_t at, instrument
        for at in range(first, st.events_count):
            if st.events[at].kind != TRADE or not self.whole_trade(at, &trade):
                continue
            instrument = st.events[at].instrument
            self.out.used = 0
            put_trade(&self.out, &trade, self.grid(instrument), self.partition)
            put_text(&self.out, b"}")
            trades.append((int(instrument), st.seq, taken_bytes(&self.out, 0)))
            if len(trades) % PART_LOOK == 0:
                self.give_part(applied)
        return 0

    cdef int tell_changes(self, uint32_t first, object applied) except -1:
        """Every change of a phase, uncross and bust of a trade: (instrument, seq, JSON)."""
        cdef State *st = self.engine.st
        cdef Event *event
        cdef uint32_t at
        for at in range(first, st.events_count):
            event = &st.events[at]
            if event.kind == PHASE_CHANGED or event.kind == AUCTION_UNCROSSED:
                applied.changes.append((int(event.instrument), st.seq, self.change(at)))
            elif event.kind == TRADE_BUSTED:
                applied.busts.append((int(event.instrument), st.seq, self.bust(at)))
        return 0

    cdef bytes bust(self, uint32_t at):
        """The members of a trade that was taken back: it, and the one in its place."""
        cdef State *st = self.engine.st
        cdef Event *event = &st.events[at]
        cdef uint32_t i
        self.out.used = 0
        self.put_place(event.order, event.index, event)
        put_text(&self.out, b',"timestamp":')
        put_time(&self.out, st.time_us)
        put_text(&self.out, b',"correction":')
        for i in range(at + 1, st.events_count):
            if st.events[i].kind == TRADE_CORRECTED:
                put_text(&self.out, b"{")
                self.put_place(st.seq, 0, &st.events[i])
                put_text(&self.out, b"}")
                return taken_bytes(&self.out, 0)
        put_text(&self.out, b"null")
        return taken_bytes(&self.out, 0)

    cdef void put_place(self, uint64_t seq, uint32_t index, Event *event):
        """A trade's id, with the price and the quantity of an event."""
        cdef Grid *grid = self.grid(event.instrument)
        put_text(&self.out, b'"trade_id":')
        put_trade_id(&self.out, self.partition, seq, index)
        put_text(&self.out, b',"price":')
        put_decimal(&self.out, event.price_ticks, grid.tick_coefficient, grid.tick_exponent)
        put_text(&self.out, b',"quantity":')
        put_decimal(&self.out, event.quantity_lots, grid.lot_coefficient, grid.lot_exponent)

    cdef bytes change(self, uint32_t at):
        """The members of a change: of a phase, or the uncross of an auction."""
        cdef Event *event = &self.engine.st.events[at]
        cdef Grid *grid = self.grid(event.instrument)
        if event.kind == AUCTION_UNCROSSED:
            self.out.used = 0
            put_uncross(&self.out, grid, event.price_ticks, event.quantity_lots,
                        event.remaining_lots)
            return b'"uncrossed":{%b}' % taken_bytes(&self.out, 0)
        reason = b"null"
        if event.reason:
            reason = b'"%b"' % Reason(event.reason).name.lower().encode()
        until = b"null"
        if event.order:
            until = b'"%b"' % time_text(event.order // 1000)
        return b'"state":"%b","state_before":"%b","state_until":%b,"reason":%b' % (
            PHASES[event.index], PHASES[event.taker_client], until, reason)

    # --- answers --------------------------------------------------------------------------

    cdef object whole_answer(self, uint32_t first, uint32_t own, int status):
        """(body, packed outcome or None) for an order whose command set more off than it."""
        cdef State *st = self.engine.st
        cdef uint64_t number = st.events[own].order
        cdef Grid *grid
        cdef OrderImage image
        cdef TradeImage trade
        cdef uint32_t at, count = 0
        order_image(st, self.place_at(number), &image)
        grid = self.grid(image.instrument)
        self.out.used = 0
        put_order(&self.out, &image, grid)
        put_text(&self.out, b',"trades":[')
        for at in range(first, st.events_count):
            if not is_trade_of(&st.events[at], number) or not self.whole_trade(at, &trade):
                continue
            if count < LISTED_MAX:
                if count:
                    put_text(&self.out, b",")
                put_trade(&self.out, &trade, grid, self.partition)
                put_text(&self.out, b"}")
            count += 1
        put_text(&self.out, b'],"trade_count":')
        put_number(&self.out, count)
        put_text(&self.out, b"}")
        body = taken_bytes(&self.out, 0)
        if not st.key_noted:
            return body, None
        return body, self.whole_outcome(first, number, &image, status)

    cdef bytes whole_outcome(self, uint32_t first, uint64_t number, OrderImage *image, int status):
        """The packed outcome of such a command, in its second form."""
        cdef State *st = self.engine.st
        cdef OutcomeHead head
        cdef TradeImage trade
        cdef uint32_t at
        head.kind = OUTCOME_ORDER
        head.form = 1
        head.status = status
        head.trades = 0
        for at in range(first, st.events_count):
            if is_trade_of(&st.events[at], number):
                head.trades += 1
        head.listed = min(<uint32_t>LISTED_MAX, head.trades)
        self.out.used = 0
        put_bytes(&self.out, <char *>&head, sizeof(OutcomeHead))
        pack_order(&self.out, image)
        pack_terms(&self.out, image)
        head.listed = 0
        for at in range(first, st.events_count):
            if is_trade_of(&st.events[at], number) and head.listed < LISTED_MAX:
                if not self.whole_trade(at, &trade):
                    trade.maker_id.length = trade.taker_id.length = 0
                pack_whole_trade(&self.out, &trade)
                head.listed += 1
        return taken_bytes(&self.out, 0)

    cdef object operated(self, const Command *command, uint32_t first, uint32_t own):
        """The answer to an operator's command: its status and body."""
        cdef State *st = self.engine.st
        cdef Event *event = &st.events[own]
        cdef int kind = event.kind
        cdef bytes client
        if kind == RULES_SET or (kind == PHASE_CHANGED and command.instrument == event.instrument):
            return 200, self.instrument_json(event.instrument), 0
        if kind == PHASE_CHANGED:
            name = PHASES[event.index]
            return 200, b'{"state":"%b","sequence":%d}' % (name, st.seq), 0
        client = b"null"
        if command.client_id_length:
            client = b'"%b"' % PyBytes_FromStringAndSize(
                <const char *>command + client_text_at(command), command.client_id_length)
        if kind == CLIENT_LIMITS_SET:
            name = msgspec.json.encode(self.engine._instruments[event.instrument].name)
            body = b'{"client_id":%b,"instrument":%b,"sequence":%d}' % (client, name, st.seq)
        elif kind == TIMER_SET:
            until = b'"%b"' % time_text(event.order // 1000) if event.order else b"null"
            body = b'{"client_id":%b,"cancels_at":%b,"sequence":%d}' % (client, until, st.seq)
        elif kind == KILL_SWITCHED:
            on = b"true" if event.index & 1 else b"false"
            body = b'{"client_id":%b,"on":%b,"cancelled_count":%d,"sequence":%d}' % (
                client, on, event.quantity_lots, st.seq)
        elif kind == SESSION_OPENED:
            body = b'{"session":%d,"sequence":%d}' % (event.order, st.seq)
        elif kind == SESSION_CLOSED:
            body = b'{"session":%d,"cancelled_count":%d,"sequence":%d}' % (
                event.order, event.quantity_lots, st.seq)
        elif kind == SESSIONS_LOST:
            body = b'{"sessions_lost":%d,"sequence":%d}' % (event.quantity_lots, st.seq)
        elif kind == COMMAND_SKIPPED:
            body = b'{"skipped_sequence":%d,"sequence":%d}' % (event.order, st.seq)
        elif kind == RULES_ADOPTED:
            body = b'{"rules":%d,"sequence":%d}' % (event.order, st.seq)
        else:
            body = clearing_answer(self.engine, event, client, st.seq)
        return 200, body, 0


cdef bint is_trade_of(Event *event, uint64_t number) noexcept nogil:
    """Whether it is a trade of the order with this number, as maker or taker."""
    return event.kind == TRADE and (event.order == number or event.taker == number)


cdef bytes time_text(uint64_t time_us):
    cdef char out[32]
    return PyBytes_FromStringAndSize(out, write_time(out, time_us))
