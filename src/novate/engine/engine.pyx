# cython: language_level=3
"""The deterministic core: batches of commands in, events out.

`Engine` is a pure function of its commands. It has no clock, no chance and no I/O; integers only.
"""

cimport numpy as np
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from libc.stdlib cimport free
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

import hashlib

import msgspec
import numpy as np

from novate.engine.audit cimport audit
from novate.engine.auction cimport Uncross, clamped, indicative
from novate.engine.conductor cimport (
    apply_command, apply_run, begin_command, finish_command, needs_python, refuse,
)
from novate.engine.dump cimport dump_state, load_state
from novate.engine.dump_header cimport header_bytes, header_of
from novate.engine.dump_more cimport has_more
from novate.engine.registry cimport expire_keys, find_key, keys_resize
from novate.engine.rules cimport (
    instrument_sound, limits_sound, own_limits_install, rules_install,
)
from novate.engine.state cimport (
    NONE, Book, Key, Level, State,
    book_new, event_new, events_room, fit_events, flush_events, forget_events, level_price,
    order_now, state_free, state_new,
)
from novate.engine.terms cimport clearing_command, market_install
from novate.engine.venue cimport client_known
from novate.engine.windows cimport resize_trades
from novate.model.records cimport (
    COMMAND_REFUSED, CONFIGURE, CONFIGURED, CORRECT_TRADE, CREATE_INSTRUMENT, INSTRUMENT_CREATED,
    CLIENT_LIMITS_LIMIT, CLIENT_LIMITS_SET, EXTENDED, INSTRUMENT_EXISTS, INSTRUMENTS_LIMIT,
    MALFORMED_COMMAND, RULES_SET, SET_CLEARING, SET_CLIENT_LIMITS, SET_RULES, UNKNOWN_INSTRUMENT,
    Command, Event, command_size, head_size,
)

from novate.model.commands import CLIENT_LIMITS_MAX, COMMAND, EXTENDED_COMMAND, NEWEST_RULES
from novate.model.errors import InvariantViolated, SnapshotCorrupt
from novate.model.events import EVENT, LEVEL
from novate.model.instrument import (
    Instrument, Limits, OrderLimits, Rules, limits_fault,
)

np.import_array()

_SEQ_MAX = 2**48 - 1
_VIOLATIONS = {1: "lots entered = filled + open + ended", 2: "the best bid is under the best ask",
               3: "an asset's books sum to zero"}


cdef extern from "numpy/arrayobject.h":
    object PyArray_NewFromDescr(PyTypeObject *, np.dtype, int, np.npy_intp *, np.npy_intp *, void *,
                                int, PyObject *)

cdef enum:
    COPIED_MAX = 256  # so few events are copied


cdef class EventBuffer:
    """Keeps the events of an array alive, and gives their memory back to the engine at the end."""

    cdef Engine engine
    cdef Event *events
    cdef uint32_t capacity

    def __dealloc__(self):
        if self.events == NULL:
            return
        if self.engine is not None and self.engine.spare == NULL:
            self.engine.spare = self.events
            self.engine.spare_capacity = self.capacity
        else:
            free(self.events)


cdef Py_ssize_t count_commands(const uint8_t *batch, Py_ssize_t size) except -1:
    """Number of commands in a batch; ValueError where the lengths don't add up."""
    cdef Py_ssize_t at = 0, count = 0
    cdef const Command *command
    if size % sizeof(Command) == 0 and without_text(batch, size):
        return size // sizeof(Command)
    while at < size:
        command = <const Command *>(batch + at)
        if at + <Py_ssize_t>sizeof(Command) > size or at + command_size(command) > size:
            raise ValueError(f"a whole command was expected at byte {at} of {size}")
        if command.order_id_length + command.client_id_length > command.text_length:
            raise ValueError(f"the command at byte {at} has ids longer than its text")
        at += command_size(command)
        count += 1
    return count


cdef bint without_text(const uint8_t *batch, Py_ssize_t size) noexcept nogil:
    """Whether headers alone, as in an array of COMMAND, make up the batch."""
    cdef Py_ssize_t at = 0
    cdef const Command *command
    cdef uint32_t lengths = 0
    while at < size:
        command = <const Command *>(batch + at)
        lengths |= command.text_length | command.order_id_length | command.client_id_length
        lengths |= command.flags & EXTENDED
        at += sizeof(Command)
    return lengths == 0


cdef class Engine:
    """Books, names and windows of one partition, changed only by commands.

    Example:
        engine = Engine()
        engine.apply(pack_create_instrument(Instrument(name="BTC-USD", base="BTC", quote="USD")))
        events = engine.apply(commands)   # a bytes batch, or an array of COMMAND
    """

    def __cinit__(self):
        self.st = state_new()
        if self.st == NULL:
            raise MemoryError

    def __init__(self, limits=None, rules=NEWEST_RULES):
        """An engine without instruments.

        Args:
            limits: `Limits`, in force until a CONFIGURE comes; by default `Limits()`.
            rules: Version of the rules that its commands are under until an ADOPT_RULES comes, 1
                to `NEWEST_RULES`. `docs/matching.md` says what each version does otherwise.

        Raises:
            ValueError: It is no version of the rules that this build knows.
        """
        self.begin_under(rules)
        self._instruments = []
        self._names = {}
        self._rules = {}
        self._own_limits = {}
        self._assets = {}
        self.install_limits(limits if limits is not None else Limits())

    def __dealloc__(self):
        free(self.spare)
        state_free(self.st)

    # --- applying -------------------------------------------------------------------------

    def apply(self, commands, first_seq=None, timestamp_ns=0):
        """Apply a batch and return its events.

        Args:
            commands: A batch as bytes (headers with text), or a contiguous array of `COMMAND` or of
                `EXTENDED_COMMAND`.
            first_seq: Sequence of the first command; `last_seq + 1`, which is also the default.
            timestamp_ns: Time of the whole batch, ns since 1970 UTC; never goes back: the
                greatest so far counts.

        Returns:
            A fresh array of `EVENT`, in order.

        Raises:
            ValueError: The batch's lengths don't add up, or `first_seq` is not the next; nothing
                was applied.
            InvariantViolated: The engine is wrong; it must not be used any more.
        """
        cdef Py_buffer view
        if isinstance(commands, np.ndarray):
            if commands.dtype != COMMAND and commands.dtype != EXTENDED_COMMAND:
                raise ValueError("commands: expected an array of COMMAND or EXTENDED_COMMAND, "
                                 f"got {commands.dtype}")
            commands = np.ascontiguousarray(commands)
        PyObject_GetBuffer(commands, &view, PyBUF_SIMPLE)
        try:
            self.ready_events()
            self.apply_batch(<const uint8_t *>view.buf, view.len, first_seq, timestamp_ns)
            return self.take_events()
        finally:
            PyBuffer_Release(&view)
            forget_events(self.st)

    cdef object take_events(self):
        """The events written as an array: a copy of few, the buffer itself where it is well filled.

        The buffer comes back when the array is gone, so a caller that looks at one batch after
        the other makes the engine allocate nothing.
        """
        cdef State *st = self.st
        cdef np.npy_intp count = st.events_count
        cdef np.ndarray events
        cdef EventBuffer buffer
        if count * 2 < st.events_capacity or count < COPIED_MAX:
            events = np.empty(count, dtype=EVENT)
            memcpy(np.PyArray_DATA(events), st.events, count * sizeof(Event))
            if count >= COPIED_MAX:
                fit_events(st)
            return events
        buffer = EventBuffer.__new__(EventBuffer)
        buffer.engine = self
        buffer.events = st.events
        buffer.capacity = st.events_capacity
        Py_INCREF(EVENT)
        events = PyArray_NewFromDescr(
            <PyTypeObject *>np.ndarray, EVENT, 1, &count, NULL, st.events,
            np.NPY_ARRAY_CARRAY, NULL)
        np.set_array_base(events, buffer)
        self.spare_capacity = st.events_capacity
        st.events = NULL
        st.events_capacity = 0
        st.events_limit = 0
        return events

    cdef void ready_events(self) noexcept:
        """Have a buffer for events, the one that came back last if one did."""
        cdef State *st = self.st
        st.events_count = 0
        if st.events == NULL and self.spare_capacity:
            st.events = self.spare
            self.spare = NULL
            events_room(st, self.spare_capacity)

    cdef apply_batch(self, const uint8_t *batch, Py_ssize_t size, first_seq, timestamp_ns):
        cdef Py_ssize_t count = count_commands(batch, size), at = 0
        cdef uint64_t seq = self.check_seq(first_seq, count)
        cdef State *st = self.st
        cdef const Command *command
        self.begin(seq, timestamp_ns)
        while at < size:
            command = <const Command *>(batch + at)
            if needs_python(command):
                if st.sink != NULL:
                    with nogil:  # who takes the events may need the lock
                        flush_events(st)
                self.apply_at(batch + at)
                finish_command(st)
                at += command_size(command)
                st.seq += 1
            else:
                with nogil:
                    at += apply_run(st, batch + at, size - at)
            if st.violation:
                raise InvariantViolated(_VIOLATIONS[st.violation], st.seq - 1)
        st.seq -= 1

    cdef uint64_t check_seq(self, first_seq, Py_ssize_t count) except 0:
        cdef uint64_t seq = self.st.seq + 1
        if first_seq is not None and first_seq != seq:
            raise ValueError(f"first_seq: expected {seq}, found {first_seq}")
        if seq + count > _SEQ_MAX:
            raise ValueError(f"first_seq: a batch may end at {_SEQ_MAX} at the latest")
        return seq

    cdef void begin(self, uint64_t seq, int64_t time_ns) noexcept:
        """Set sequence and time of the first command of a batch."""
        cdef State *st = self.st
        st.seq = seq
        if time_ns > st.time_ns:
            st.time_ns = time_ns
            st.time_us = time_ns // 1000

    cdef int apply_at(self, const uint8_t *record) except -1:
        """Apply the one command that stands here, of any kind; the caller finishes it."""
        cdef Command *command = <Command *>record
        cdef const uint8_t *text = record + head_size(command)
        cdef uint32_t first = self.st.events_count, i
        if command.kind == CREATE_INSTRUMENT:
            self.create_instrument(text[:command.text_length])
        elif command.kind == CONFIGURE:
            self.configure(text[:command.text_length])
        elif command.kind == SET_RULES:
            self.set_rules(command, text[:command.text_length])
        elif command.kind == SET_CLIENT_LIMITS:
            self.set_client_limits(command, text[:command.text_length])
        elif command.kind == SET_CLEARING or command.kind == CORRECT_TRADE:
            begin_command(self.st)
            expire_keys(self.st)
            clearing_command(self.st, command, text[:command.text_length], self._instruments)
        else:
            apply_command(self.st, command)
            if self.st.violation:
                raise InvariantViolated(_VIOLATIONS[self.st.violation], self.st.seq)
        if self.st.left != NONE:
            for i in range(first, self.st.events_count):
                self.st.event_orders[i] = order_now(self.st, self.st.event_orders[i])
        return 0

    cdef create_instrument(self, bytes text):
        cdef Event *event
        begin_command(self.st)
        try:
            instrument = msgspec.json.decode(text, type=Instrument)
        except (msgspec.DecodeError, UnicodeDecodeError):
            refuse(self.st, MALFORMED_COMMAND, NONE)
            return
        if instrument.name in self._names:
            refuse(self.st, INSTRUMENT_EXISTS, NONE).instrument = self._names[instrument.name]
        elif self.st.books_count >= self.st.instruments_max:
            refuse(self.st, INSTRUMENTS_LIMIT, NONE)
        elif not instrument_sound(instrument):
            refuse(self.st, MALFORMED_COMMAND, NONE)
        else:
            index = self.install_instrument(instrument)
            event = event_new(self.st, INSTRUMENT_CREATED, NONE)
            event.instrument = index

    cdef configure(self, bytes text):
        begin_command(self.st)
        limits = _decoded(text, Limits)
        if limits is None or not limits_sound(limits):
            refuse(self.st, MALFORMED_COMMAND, NONE)
            return
        self.install_limits(limits)
        event_new(self.st, CONFIGURED, NONE)

    cdef set_rules(self, Command *command, bytes text):
        """SET_RULES: all rules of an instrument anew; what is open stays as it is."""
        cdef State *st = self.st
        cdef Book *book
        begin_command(st)
        expire_keys(st)
        rules = _decoded(text, Rules)
        if rules is None or rules.fault() is not None:
            refuse(st, MALFORMED_COMMAND, NONE)
        elif command.instrument >= st.books_count:
            refuse(st, UNKNOWN_INSTRUMENT, NONE)
        else:
            book = &st.books[command.instrument]
            book.schedule_done_ns = st.time_ns
            if rules.reference_price_ticks:
                book.reference_price = rules.reference_price_ticks
            rules_install(st, command.instrument, rules)
            self._rules.pop(int(command.instrument), None)
            if rules != _NO_RULES:
                self._rules[int(command.instrument)] = rules
            event_new(st, RULES_SET, NONE).instrument = command.instrument

    cdef set_client_limits(self, Command *command, bytes text):
        """SET_CLIENT_LIMITS: a client's own limits on an instrument; all 0 takes them back."""
        cdef State *st = self.st
        cdef uint32_t client
        cdef Event *event
        begin_command(st)
        expire_keys(st)
        ids = command.order_id_length + command.client_id_length
        limits = _decoded(text[ids:], OrderLimits)
        if limits is None or limits_fault(limits) or command.client_id_length > 64:
            refuse(st, MALFORMED_COMMAND, NONE)
            return
        if command.instrument >= st.books_count:
            refuse(st, UNKNOWN_INSTRUMENT, NONE)
            return
        client = client_known(st, command, <const uint8_t *>PyBytes_AS_STRING(text))
        if client == NONE:
            return
        place = int(client), int(command.instrument)
        full = len(self._own_limits) >= CLIENT_LIMITS_MAX
        if limits == OrderLimits():
            self._own_limits.pop(place, None)
        elif full and place not in self._own_limits:
            refuse(st, CLIENT_LIMITS_LIMIT, NONE)
            return
        else:
            self._own_limits[place] = limits
        own_limits_install(st, client, command.instrument, limits)
        event = event_new(st, CLIENT_LIMITS_SET, NONE)
        event.instrument = command.instrument
        event.client = client

    cdef int install_instrument(self, object instrument) except -1:
        cdef uint32_t index = book_new(self.st)
        cdef Book *book = &self.st.books[index]
        placed = msgspec.structs.replace(instrument, index=int(index))
        book.price_max = placed.price_ticks_max
        book.lots_min = placed.quantity_lots_min
        book.lots_max = placed.quantity_lots_max
        book.quote_units = placed.quote_units
        market_install(self.st, placed, self._assets)
        self._instruments.append(placed)
        self._names[placed.name] = int(index)
        return index

    cdef int install_rules(self, object header) except -1:
        """Lay down the rules and clients' limits that a dump's header names."""
        for instrument, rules in header.rules:
            if not 0 <= instrument < self.st.books_count or rules.fault() is not None:
                raise SnapshotCorrupt("the dump's header has rules that can't be")
            self._rules[instrument] = rules
            rules_install(self.st, instrument, rules)
        for (client, instrument), limits in header.own_limits:
            if not (0 <= instrument < self.st.books_count
                    and 0 <= client < self.st.clients_count and not limits_fault(limits)):
                raise SnapshotCorrupt("the dump's header has clients' limits that can't be")
            self._own_limits[client, instrument] = limits
            own_limits_install(self.st, client, instrument, limits)
        return 0

    cdef int install_limits(self, object limits) except -1:
        cdef State *st = self.st
        if limits.idempotency_keys_max != st.keys_max or st.keys == NULL:
            keys_resize(st, limits.idempotency_keys_max)
        self._limits = limits
        st.open_max = limits.open_orders_max
        st.closed_max = limits.closed_orders_max
        st.clients_max = limits.clients_max
        st.instruments_max = limits.instruments_max
        st.levels_max = limits.price_levels_max
        st.key_window_ns = limits.idempotency_window_ns
        st.key_window_ns_min = limits.idempotency_window_ns_min
        if limits.trades_per_instrument_max != st.trades_max:
            resize_trades(st, limits.trades_per_instrument_max)
        return 0

    # --- state ----------------------------------------------------------------------------

    @property
    def last_seq(self):
        """Sequence of the last command applied; 0 before the first."""
        return self.st.seq

    @property
    def last_timestamp_ns(self):
        """Time of the last command, ns since 1970 UTC."""
        return self.st.time_ns

    def begin_under(self, rules):
        """Be under that version of the rules from the first command on; ValueError if it can't."""
        if self.st.seq or not 1 <= rules <= NEWEST_RULES:
            raise ValueError(
                f"rules: expected 1 to {NEWEST_RULES}, before seq 1; got {rules} at {self.st.seq}")
        self.st.rules = rules

    @property
    def rules_version(self):
        """Version of the rules that the next command is under."""
        return self.st.rules

    def state_hash(self):
        """Hex digest (64 digits) of the state's meaning: equal for equal commands, anywhere."""
        return Engine.hash_of(self.dump())

    @staticmethod
    def hash_of(dump):
        """The `state_hash` of the engine that `dump` was made from."""
        return hashlib.blake2b(dump, digest_size=32).hexdigest()

    def dump(self):
        """The whole state as bytes: canonical (equal states give equal bytes) and versioned."""
        parts = 3 if self.st.clearing.used else 2 if has_more(self.st) else 1
        before = header_bytes(parts, self.st.rules, self._limits, self._instruments, self._rules,
                              self._own_limits)
        return dump_state(self.st, parts, before)

    @classmethod
    def load(cls, dump):
        """The engine that `dump` was made from.

        Raises:
            SnapshotCorrupt: The bytes are not a dump, or of a version this one does not know.
        """
        cdef Engine engine
        view = memoryview(dump)
        header, size = header_of(view)
        engine = cls(header.limits, header.rules_version)
        for instrument in header.instruments:
            engine.install_instrument(instrument)
        load_state(engine.st, view[size:], header.parts)
        engine.install_rules(header)
        return engine

    def check_invariants(self):
        """Check everything that must hold, by a walk over the whole state.

        Raises:
            InvariantViolated: With what does not hold, and where.
        """
        audit(self.st)

    # --- reads ----------------------------------------------------------------------------

    def instruments(self):
        """Every instrument, in the order of their numbers."""
        return list(self._instruments)

    def instrument_index(self, name):
        """Dense number of the instrument of this name, -1 if there is none."""
        return self._names.get(name, -1)

    def limits(self):
        """The limits in force."""
        return self._limits

    cdef Book *book(self, int64_t instrument) except NULL:
        if not 0 <= instrument < self.st.books_count:
            raise IndexError(f"instrument: expected 0-{self.st.books_count - 1}, got {instrument}")
        return &self.st.books[instrument]

    def next_due_ns(self):
        """Time of the next due item, ns since 1970 UTC; 0: none."""
        return self.st.next_due_ns if self.st.due_count else 0

    def phase(self, instrument):
        """The instrument's `Phase`, as its number."""
        return int(self.book(instrument).phase)

    def rules(self, instrument):
        """The instrument's `Rules`."""
        self.book(instrument)
        return self._rules.get(instrument, _NO_RULES)

    def indicative(self, instrument):
        """(price, volume, surplus) of the uncross that would be now, ticks and lots; zeros: none.

        Volume and surplus end at +-(2^63-1).
        """
        cdef Uncross found
        indicative(self.st, self.book(instrument), &found)
        return found.price, clamped(found.volume), clamped(found.surplus)

    def trading_state(self, instrument):
        """(phase, its own end in ns or 0, whether an operator holds it, last price, reference
        price, and `indicative`) of an instrument."""
        cdef Book *book = self.book(instrument)
        return (int(book.phase), book.until_ns, int(book.held), book.last_price,
                book.reference_price, *self.indicative(instrument))

    def sessions(self):
        """The numbers of the open sessions, ascending."""
        return [self.st.sessions[i].number for i in range(self.st.sessions_count)]

    def depth(self, instrument, levels):
        """The best levels of both sides, each best first, as two arrays of `LEVEL`."""
        cdef Book *book = self.book(instrument)
        return side_levels(self.st, book, 0, levels), side_levels(self.st, book, 1, levels)

    def best(self, instrument):
        """(bid ticks, bid lots, ask ticks, ask lots) of the best levels; 0: an empty side."""
        cdef Book *book = self.book(instrument)
        cdef Level *level
        cdef int side
        row = [0, 0, 0, 0]
        for side in range(2):
            if book.sides[side].best != NONE:
                level = &self.st.levels[book.sides[side].best]
                row[2 * side] = level_price(side, level.key)
                row[2 * side + 1] = level.total
        return tuple(row)

    def find_key(self, digest):
        """(seq, command digest, timestamp_ns) of the command that used this key, or None."""
        cdef Key *key
        if len(digest) != 16:
            raise ValueError(f"a key digest has 16 bytes, got {len(digest)}")
        key = find_key(self.st, <const uint8_t *>PyBytes_AS_STRING(digest))
        return None if key == NULL else (key.seq, key.command_digest, key.time_ns)

    def usage(self):
        """How full it is: counts by name, and the time of the oldest key (0: none)."""
        cdef State *st = self.st
        return {
            "open_orders": st.open_count,
            "closed_orders": st.closed_count,
            "clients": st.clients_count,
            "instruments": st.books_count,
            "keys": st.keys_count,
            "key_oldest_ns": st.keys[st.keys_first].time_ns if st.keys_count else 0,
            "trades": sum(st.books[i].trades_total for i in range(st.books_count)),
        }


_NO_RULES = Rules()


def _decoded(text, kind):
    """A command's text as a struct, or None where it does not read."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


cdef np.ndarray side_levels(State *st, Book *book, int side, Py_ssize_t most):
    """Up to `most` levels of a side, best first."""
    cdef Py_ssize_t i, count = min(most, book.sides[side].count)
    cdef np.ndarray rows = np.zeros(count, dtype=LEVEL)
    cdef uint32_t at = book.sides[side].best
    cdef Level *level
    for i in range(count):
        level = &st.levels[at]
        rows[i] = (level_price(side, level.key), level.total, level.count, 0)
        at = level.worse
    return rows
