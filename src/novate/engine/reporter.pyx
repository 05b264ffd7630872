# cython: language_level=3
"""Applies batches to an engine and renders every answer while the command is still at hand.

`Reporter` is the server's face of an engine: replies, order updates and trades leave it as finished
JSON, so that a gateway writes bytes and looks at nothing. It reads the state and never changes it
but by applying a batch.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, qsort
from libc.string cimport memcpy

from novate.engine.conductor cimport finish_command
from novate.engine.engine cimport Engine, count_commands
from novate.engine.images cimport (
    Grid, Name, OrderImage, Out, TradeImage, client_at, client_of, name_at, order_image,
    put_bytes, put_id, put_number, put_order, put_text, put_trade,
)
from novate.engine.packed cimport (
    pack_order, pack_trade, unpack_order, unpack_terms, unpack_trade, unpack_whole_trade,
)
from novate.engine.ladder cimport level_find
from novate.engine.reads cimport closed_list, put_level, taken_bytes
from novate.engine.state cimport (
    CLOSED, NONE, BookSide, State, forget_events, grow, key_of, order_now,
)
from novate.engine.teller cimport (
    OUTCOME_ORDER, OUTCOME_RAW, PART_LOOK, OutcomeHead, Place, Teller, client_text_at,
)
from novate.model.records cimport (
    ALREADY_CLOSED, AMEND, AMEND_LEVEL_FULL, AMEND_QUANTITY_TOO_LOW, COMMAND_REFUSED, CONFIGURED,
    IDEMPOTENCY_KEY_REPEATED, INSTRUMENT_CREATED, MASS_CANCEL, ORDER_ACCEPTED,
    ORDER_AMENDED, ORDER_ENDED, ORDER_REJECTED, SNAPSHOT_REQUESTED, TRADE,
    Command, Event, command_size,
)

from http import HTTPStatus

import msgspec

from novate.model.rejects import REASONS, Reason

TRADES_LISTED_MAX = 1000
"""Trades that a reply lists; `trade_count` has them all."""

IDS_LISTED_MAX = 10_000
"""Order ids that the reply to a mass cancel lists; `cancelled_count` has them all."""

cdef uint32_t LISTED = 1000


class Applied:
    """What a batch did, ready to be sent.

    Attributes:
        first_seq, last_seq, count: The batch's sequences and number of commands.
        timestamp_ns: Its time, as the engine took it.
        replies: Per command (HTTP status, JSON body, 0); or (0, None, seq) for a repeated key:
            the outcome of that seq answers.
        events: All events (`EVENT` records) as bytes.
        trades: (instrument, seq, trade JSON) of every trade; but for those that went before to
            `Reporter.on_part`.
        updates: (instrument, seq, client id, order JSON) of every order that changed; empty unless
            `Reporter.want_updates`; but for those that went before to `Reporter.on_part`.
        changes: (instrument, seq, members of JSON) of every change of a phase and every uncross.
        busts: (instrument, seq, members of JSON) of every trade that was taken back or corrected.
        outcomes: (seq, packed outcome) of every command with an idempotency key.
        snapshots: Sequences of the TAKE_SNAPSHOT commands.
    """

    __slots__ = ("busts", "changes", "count", "events", "first_seq", "last_seq", "outcomes",
                 "replies", "snapshots", "timestamp_ns", "trades", "updates")

    def __init__(self, first_seq, count):
        self.first_seq = first_seq
        self.last_seq = first_seq + count - 1
        self.count = count
        self.timestamp_ns = 0
        self.replies = []
        self.events = b""
        self.trades = []
        self.updates = []
        self.changes = []
        self.busts = []
        self.outcomes = []
        self.snapshots = []


cdef class Reporter(Teller):
    """An engine, and everything the world is told of it as JSON.

    Attributes:
        want_updates: Whether orders that change are rendered, too.
        account_watch: An `AccountWatch` that is told of each command, or None.
        on_part: Called with (trades, updates), lists as in `Applied`, when a batch has made many
            of them and before it is over: however many orders a command moves, no more than a part
            is held here. The lists are empty again after the call, which may render nothing with
            this reporter. None: `Applied` has them all.
    """

    def __cinit__(self):
        self.touched = NULL

    def __init__(self, Engine engine, int partition=0):
        """Report on `engine`; `partition` is the first part of every trade id."""
        super().__init__(engine, partition)
        self.want_updates = False
        self.on_part = self.account_watch = None
        self.watched = set()
        self.watching = bytearray(65_536)

    def __dealloc__(self):
        free(self.touched)

    # --- applying -------------------------------------------------------------------------

    def apply(self, batch, uint64_t first_seq, int64_t timestamp_ns):
        """Apply a batch of commands and render what it did.

        Args:
            batch: Commands as bytes.
            first_seq: The engine's `last_seq + 1`.
            timestamp_ns: Time of the batch.

        Returns:
            An `Applied`.

        Raises:
            ValueError: As `Engine.apply`; nothing was applied.
            InvariantViolated: The engine is wrong; nothing of the batch may be published.
        """
        cdef const unsigned char[::1] view = batch
        cdef Py_ssize_t at = 0, size = view.shape[0]
        cdef const uint8_t *start = &view[0] if size else NULL
        cdef Py_ssize_t count = count_commands(start, size)
        cdef State *st = self.engine.st
        cdef const Command *command
        cdef uint32_t first
        cdef list replies, trades, updates
        self.engine.check_seq(first_seq, count)
        applied = Applied(first_seq, count)
        replies, trades, updates = applied.replies, applied.trades, applied.updates
        st.events_count = 0
        self.engine.begin(first_seq, timestamp_ns)
        while at < size:
            command = <const Command *>(start + at)
            first = st.events_count
            self.engine.apply_at(start + at)
            replies.append(self.answer(command, first, applied))
            if self.account_watch is not None:
                self.account_watch.note(first)
            if len(trades) + len(updates) > PART_LOOK:
                self.give_part(applied)
            finish_command(st)
            at += command_size(command)
            st.seq += 1
        st.seq -= 1
        applied.timestamp_ns = st.time_ns
        applied.events = PyBytes_FromStringAndSize(
            <char *>st.events, st.events_count * sizeof(Event))
        forget_events(st)
        return applied

    cdef object answer(self, const Command *command, uint32_t first, object applied):
        """The reply to the command at hand, whose events start at `first`."""
        if self.is_plain(command, first):
            return self.answer_plain(command, first, applied)
        return self.answer_whole(command, first, applied)

    cdef object answer_plain(self, const Command *command, uint32_t first, object applied):
        """The same, where nothing was due and nothing was set off."""
        cdef Event *event = &self.engine.st.events[first]
        if self.want_updates:
            self.note_updates(first, applied)
        if self.watched:
            self.note_touched(first)
        if ORDER_ACCEPTED <= event.kind <= ORDER_AMENDED and command.kind <= AMEND:
            return self.order_answer(command, first, applied)
        return self.answer_operator(command, first, self.engine.st.events_count - 1, applied)

    cdef object answer_whole(self, const Command *command, uint32_t first, object applied):
        """The same, where other orders than the command's own are told of, too."""
        cdef State *st = self.engine.st
        cdef uint32_t own = self.own_event(command, first)
        cdef int status = 200
        self.find_places(first, own)
        self.tell_trades(first, applied)
        if self.want_updates:
            self.note_all_updates(first, applied)
        if self.watched:
            self.note_all_touched(first)
        if command.kind > AMEND or st.events[own].kind == COMMAND_REFUSED:
            return self.answer_operator(command, first, own, applied)
        if st.events[own].kind == ORDER_ACCEPTED:
            status = 201
        elif st.events[own].kind == ORDER_REJECTED:
            status = 422
        self.tell_changes(first, applied)
        body, outcome = self.whole_answer(first, own, status)
        if outcome is not None:
            applied.outcomes.append((st.seq, outcome))
        return status, body, 0

    cdef object answer_operator(self, const Command *command, uint32_t first, uint32_t own,
                                object applied):
        """The reply to a command that is about no single order, or that was refused."""
        cdef State *st = self.engine.st
        cdef Event *event = &st.events[own]
        if event.kind == COMMAND_REFUSED:
            reply = self.refusal(command, own)
        elif command.kind == MASS_CANCEL:
            reply = self.swept(command, own - event.quantity_lots, own)
        elif event.kind == INSTRUMENT_CREATED:
            reply = (201, self.instrument_json(event.instrument), 0)
        elif event.kind == CONFIGURED:
            reply = (200, b'{"configured":true}', 0)
        elif event.kind == SNAPSHOT_REQUESTED:
            applied.snapshots.append(st.seq)
            reply = (200, b'{"sequence":%d}' % st.seq, 0)
        else:
            reply = self.operated(command, first, own)
        self.tell_changes(first, applied)
        if st.key_noted:
            applied.outcomes.append((st.seq, raw_outcome(reply[0], reply[1])))
        return reply

    cdef void trade_image(self, uint32_t at, TradeImage *trade) noexcept:
        """The trade of an event, with both orders' names."""
        cdef State *st = self.engine.st
        cdef Event *event = &st.events[at]
        trade.price = event.price_ticks
        trade.quantity = event.quantity_lots
        trade.time_us = st.time_us
        trade.seq = event.seq
        trade.index = event.index
        trade.taker_side = event.side
        trade.auction = 0
        name_at(st, order_now(st, st.event_orders[at]), &trade.maker_id)
        name_at(st, st.current, &trade.taker_id)

    cdef object order_answer(self, const Command *command, uint32_t first, object applied):
        """The reply to a command that placed, changed or ended an order: it, and its trades."""
        cdef State *st = self.engine.st
        cdef Event *event = &st.events[first]
        cdef uint32_t instrument = event.instrument, at
        cdef Grid *grid = self.grid(instrument)
        cdef uint64_t seq = st.seq
        cdef OrderImage image
        cdef TradeImage trade
        cdef int status = 200
        cdef size_t start
        cdef list trades
        if event.kind == ORDER_ACCEPTED:
            status = 201
        elif event.kind == ORDER_REJECTED:
            status = 422
        order_image(st, st.current, &image)
        self.out.used = 0
        put_order(&self.out, &image, grid)
        put_text(&self.out, b',"trades":[')
        if st.trade_index:
            trades = applied.trades
            for at in range(first, st.events_count):
                if st.events[at].kind != TRADE:
                    continue
                self.trade_image(at, &trade)
                if 0 < trade.index < LISTED:
                    put_text(&self.out, b",")
                start = self.out.used
                put_trade(&self.out, &trade, grid, self.partition)
                put_text(&self.out, b"}")
                trades.append((instrument, seq, PyBytes_FromStringAndSize(
                    self.out.bytes + start, self.out.used - start)))
                if trade.index >= LISTED:
                    self.out.used = start
                    if trade.index % PART_LOOK == 0:
                        self.give_part(applied)
        put_text(&self.out, b'],"trade_count":')
        put_number(&self.out, st.trade_index)
        put_text(&self.out, b"}")
        body = taken_bytes(&self.out, 0)
        if st.key_noted:
            applied.outcomes.append((seq, self.order_outcome(first, &image, status)))
        return status, body, 0

    cdef bytes order_outcome(self, uint32_t first, OrderImage *image, int status):
        """The packed outcome of a command about an order, from which its reply is made again."""
        cdef State *st = self.engine.st
        cdef OutcomeHead head
        cdef TradeImage trade
        cdef uint32_t at
        head.kind = OUTCOME_ORDER
        head.form = 0
        head.status = status
        head.trades = st.trade_index
        head.listed = min(LISTED, st.trade_index)
        self.out.used = 0
        if image.has_terms:
            self.find_places(first, first)
            return self.whole_outcome(first, st.events[first].order, image, status)
        put_bytes(&self.out, <char *>&head, sizeof(OutcomeHead))
        pack_order(&self.out, image)
        if st.trade_index:
            for at in range(first, st.events_count):
                if st.events[at].kind == TRADE and st.events[at].index < LISTED:
                    self.trade_image(at, &trade)
                    pack_trade(&self.out, &trade)
        return taken_bytes(&self.out, 0)

    cdef object refusal(self, const Command *command, uint32_t at):
        """The reply to a command that was refused: a problem, with the order where it helps."""
        cdef State *st = self.engine.st
        cdef Event *event = &st.events[at]
        cdef int reason = event.reason
        cdef bytes order = None
        if reason == IDEMPOTENCY_KEY_REPEATED:
            return 0, None, st.repeat_seq
        if reason == ALREADY_CLOSED or (
                AMEND_QUANTITY_TOO_LOW <= reason <= AMEND_LEVEL_FULL):
            order = self.order_body(order_now(st, st.event_orders[at]))
        row = REASONS[Reason(reason)]
        return row.status, problem(row.status, Reason(reason).name.lower(), row.text, order), 0

    cdef object swept(self, const Command *command, uint32_t first, uint32_t last):
        """The reply to a mass cancel: how many orders, and which."""
        cdef State *st = self.engine.st
        cdef uint32_t at, listed = 0
        cdef Name order_id
        self.out.used = 0
        put_text(&self.out, b'{"client_id":"')
        put_bytes(&self.out, <const char *>command + client_text_at(command),
                  command.client_id_length)
        put_text(&self.out, b'","cancelled_count":')
        put_number(&self.out, st.events[last].quantity_lots)
        put_text(&self.out, b',"order_ids":[')
        for at in range(first, last):
            if listed == <uint32_t>IDS_LISTED_MAX:
                break
            if listed:
                put_text(&self.out, b",")
            name_at(st, order_now(st, st.event_orders[at]), &order_id)
            put_id(&self.out, &order_id)
            listed += 1
        put_text(&self.out, b'],"sequence":')
        put_number(&self.out, <int64_t>st.seq)
        put_text(&self.out, b"}")
        return 200, taken_bytes(&self.out, 0), 0

    cdef int note_updates(self, uint32_t first, object applied) except -1:
        """An update for every order that the command changed: makers, those ended, its own."""
        cdef State *st = self.engine.st
        cdef uint32_t at, order
        cdef list updates = applied.updates
        for at in range(first, st.events_count):
            order = order_now(st, st.event_orders[at])
            if order != NONE and order != st.current and st.events[at].kind != COMMAND_REFUSED:
                self.append_update(st.events[at].instrument, order, updates)
            if (at - first) % PART_LOOK == PART_LOOK - 1:
                self.give_part(applied)
        if st.current != NONE:
            self.append_update(st.events[first].instrument, st.current, updates)
        return 0

    cdef int note_all_updates(self, uint32_t first, object applied) except -1:
        """An update for each order of the command's events, as they left it."""
        cdef State *st = self.engine.st
        cdef Event *event
        cdef Place *place
        cdef uint32_t at
        cdef int party
        cdef list updates = applied.updates
        for at in range(first, st.events_count):
            event = &st.events[at]
            if event.kind < ORDER_ACCEPTED or event.kind == COMMAND_REFUSED:
                continue
            for party in range(2):
                place = self.place_found(event.taker if party else event.order)
                if place.used and place.stands != NONE and not place.told:
                    place.told = 1
                    self.append_update(event.instrument, place.stands, updates)
            if (at - first) % PART_LOOK == PART_LOOK - 1:
                self.give_part(applied)
        return 0

    cdef int append_update(self, uint32_t instrument, uint32_t order, list updates) except -1:
        cdef State *st = self.engine.st
        cdef Name name
        cdef bytes client
        client_of(st, client_at(st, order), &name)
        self.out.used = 0
        put_id(&self.out, &name)
        client = taken_bytes(&self.out, 0)
        updates.append((int(instrument), st.seq, client[1:len(client) - 1].decode(),
                        self.order_body(order)))
        return 0

    def render_outcome(self, bytes outcome):
        """(status, body) of a packed outcome: the first answer to its command again.

        Raises:
            ValueError: The bytes are not an outcome.
        """
        cdef const uint8_t *at = <const uint8_t *>PyBytes_AS_STRING(outcome)
        cdef size_t size = PyBytes_GET_SIZE(outcome), used
        cdef OutcomeHead head
        cdef OrderImage image
        cdef TradeImage trade
        cdef Grid *grid
        cdef uint32_t i
        if size < sizeof(OutcomeHead):
            raise ValueError("an outcome is shorter than its head")
        memcpy(&head, at, sizeof(OutcomeHead))
        if head.kind == OUTCOME_RAW:
            return head.status, outcome[sizeof(OutcomeHead):]
        used = unpack_order(at + sizeof(OutcomeHead), size - sizeof(OutcomeHead), &image)
        if head.kind != OUTCOME_ORDER or used == 0:
            raise ValueError("an outcome holds no order")
        used += sizeof(OutcomeHead)
        if head.form:
            used += unpack_terms(at + used, size - used, &image)
        grid = self.grid(image.instrument)
        self.out.used = 0
        put_order(&self.out, &image, grid)
        put_text(&self.out, b',"trades":[')
        for i in range(head.listed):
            if i:
                put_text(&self.out, b",")
            if head.form:
                used += unpack_whole_trade(at + used, size - used, &image, &trade)
            else:
                used += unpack_trade(at + used, size - used, &image, &trade)
                trade.index = i
            put_trade(&self.out, &trade, grid, self.partition)
            put_text(&self.out, b"}")
        put_text(&self.out, b'],"trade_count":')
        put_number(&self.out, head.trades)
        put_text(&self.out, b"}")
        if used != size:
            raise ValueError(f"an outcome of {used} bytes was expected, {size} found")
        return head.status, taken_bytes(&self.out, 0)

    # --- streaming ------------------------------------------------------------------------

    def watch_book(self, uint32_t instrument, bint on):
        """Collect the changes of this book for `take_deltas`, or stop it."""
        self.grid(instrument)
        self.watching[instrument] = on
        if on:
            self.watched.add(int(instrument))
        else:
            self.watched.discard(int(instrument))

    cdef int note_touched(self, uint32_t first) except -1:
        """Note the price levels that the command changed, of books that are watched."""
        cdef State *st = self.engine.st
        cdef Event *event
        cdef uint32_t at
        for at in range(first, st.events_count):
            event = &st.events[at]
            if not self.watching[event.instrument & 0xFFFF]:
                continue
            if event.kind == TRADE:
                self.touch(event.instrument, 1 - event.side, event.price_ticks)
            elif event.kind == ORDER_ACCEPTED:
                if not st.current & CLOSED:
                    self.touch(event.instrument, event.side, event.price_ticks)
            elif event.kind == ORDER_AMENDED:
                self.touch(event.instrument, event.side, st.price_before)
                self.touch(event.instrument, event.side, event.price_ticks)
            elif event.kind == ORDER_ENDED and st.events[first].kind == ORDER_ENDED:
                self.touch(event.instrument, event.side, event.price_ticks)
        return 0

    cdef int note_all_touched(self, uint32_t first) except -1:
        """The same of a command that set more off: the level of each of its orders, and more."""
        cdef State *st = self.engine.st
        cdef Event *event
        cdef OrderImage image
        cdef uint32_t at
        cdef size_t i
        self.note_touched(first)
        for i in range(self.places_size):
            if self.places[i].used and self.places[i].stands != NONE:
                order_image(st, self.places[i].stands, &image)
                if self.watching[image.instrument & 0xFFFF]:
                    self.touch(image.instrument, image.side, image.price)
        for at in range(first, st.events_count):
            event = &st.events[at]
            if event.kind == ORDER_ENDED and self.watching[event.instrument & 0xFFFF]:
                self.touch(event.instrument, event.side, event.price_ticks)
        return 0

    cdef int touch(self, uint32_t instrument, int side, int64_t price) except -1:
        if price <= 0:
            return 0  # it stood at no level
        if self.touched_count == self.touched_capacity:
            self.compact()
            if self.touched_count * 2 >= self.touched_capacity:
                self.touched_capacity = max(1024, self.touched_capacity * 2)
                self.touched = <Touched *>grow(
                    self.touched, self.touched_capacity * sizeof(Touched))
        self.touched[self.touched_count].instrument = instrument
        self.touched[self.touched_count].side = side
        self.touched[self.touched_count].price = price
        self.touched_count += 1
        return 0

    cdef void compact(self) noexcept:
        """Sort the touched levels by instrument, side and price, and keep each once."""
        cdef size_t i, kept = 0
        if self.touched_count < 2:
            return
        qsort(self.touched, self.touched_count, sizeof(Touched), by_level)
        for i in range(1, self.touched_count):
            if by_level(&self.touched[i], &self.touched[kept]) != 0:
                kept += 1
                self.touched[kept] = self.touched[i]
        self.touched_count = kept + 1

    def take_deltas(self):
        """What changed in watched books since the last call.

        Returns:
            A list of (instrument, sequence, bids, asks): sequence is the last that changed the
            book; bids and asks are JSON arrays of the levels' new totals (0: gone), best first.
        """
        cdef size_t at = 0, first
        cdef uint32_t instrument
        cdef list deltas = []
        self.compact()
        while at < self.touched_count:
            first = at
            instrument = self.touched[at].instrument
            while at < self.touched_count and self.touched[at].instrument == instrument:
                at += 1
            if self.watching[instrument]:
                bids = self.changed_levels(first, at, 0)
                asks = self.changed_levels(first, at, 1)
                sequence = self.engine.st.books[instrument].last_seq
                deltas.append((int(instrument), sequence, bids, asks))
        self.touched_count = 0
        return deltas

    cdef bytes changed_levels(self, size_t first, size_t last, uint32_t side):
        """The touched levels of one side, best first: bids downwards, asks upwards."""
        cdef size_t i, at
        cdef Touched *touched
        cdef uint32_t level
        cdef State *st = self.engine.st
        cdef BookSide *levels = &self.engine.st.books[self.touched[first].instrument].sides[side]
        cdef Grid *grid = self.grid(self.touched[first].instrument)
        self.out.used = 0
        put_text(&self.out, b"[")
        for i in range(last - first):
            at = last - 1 - i if side == 0 else first + i
            touched = &self.touched[at]
            if touched.side != side:
                continue
            level = level_find(st, levels, key_of(side, touched.price))
            put_level(&self.out, grid, touched.price,
                      0 if level == NONE else st.levels[level].total)
        return closed_list(&self.out)

# --- pieces ---------------------------------------------------------------------------------

cdef int by_level(const void *a, const void *b) noexcept nogil:
    cdef Touched *one = <Touched *>a
    cdef Touched *other = <Touched *>b
    if one.instrument != other.instrument:
        return 1 if one.instrument > other.instrument else -1
    if one.side != other.side:
        return 1 if one.side > other.side else -1
    return (one.price > other.price) - (one.price < other.price)


cdef bytes raw_outcome(int status, bytes body):
    """A packed outcome that holds the body itself."""
    cdef OutcomeHead head
    head.kind = OUTCOME_RAW
    head.form = 0
    head.status = status
    head.listed = 0
    head.trades = 0
    return (<char *>&head)[:sizeof(OutcomeHead)] + body


def problem(int status, str code, str detail, bytes order=None):
    """A problem (RFC 9457) as JSON, with the order concerned in it if there is one."""
    members = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if order is not None:
        members["order"] = msgspec.Raw(order)
    return msgspec.json.encode(members)
