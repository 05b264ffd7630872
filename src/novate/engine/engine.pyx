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
from novate.engine.conductor cimport apply_command, apply_run, finish_command, refuse
from novate.engine.dump cimport dump_state, load_state
from novate.engine.registry cimport find_key, keys_resize
from novate.engine.state cimport (
    NONE, Book, Key, Level, State,
    book_new, event_new, flush_events, forget_events, grow, level_price, state_free, state_new,
)
from novate.engine.windows cimport resize_trades
from novate.model.records cimport (
    COMMAND_REFUSED, CONFIGURE, CONFIGURED, CREATE_INSTRUMENT, INSTRUMENT_CREATED,
    INSTRUMENT_EXISTS, INSTRUMENTS_LIMIT, MALFORMED_COMMAND, Command, Event, command_size,
)

from novate.model.commands import COMMAND
from novate.model.errors import InvariantViolated, SnapshotCorrupt
from novate.model.events import EVENT, LEVEL
from novate.model.instrument import (
    PRICE_TICKS_MAX, QUANTITY_LOTS_MAX, QUOTE_UNITS_PER_STEP_MAX, Instrument, Limits,
)

np.import_array()

DUMP_VERSION = 1
_SEQ_MAX = 2**48 - 1
_VIOLATIONS = {1: "lots entered = filled + open + ended", 2: "the best bid is under the best ask"}


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

    def __init__(self, limits=None):
        """An engine without instruments; `limits` (default `Limits()`) until a CONFIGURE comes."""
        self._instruments = []
        self._names = {}
        self.install_limits(limits if limits is not None else Limits())

    def __dealloc__(self):
        free(self.spare)
        state_free(self.st)

    # --- applying -------------------------------------------------------------------------

    def apply(self, commands, first_seq=None, timestamp_ns=0):
        """Apply a batch and return its events.

        Args:
            commands: A batch as bytes (headers with text), or a contiguous array of `COMMAND`.
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
            if commands.dtype != COMMAND:
                raise ValueError(f"commands: expected an array of COMMAND, got {commands.dtype}")
            commands = np.ascontiguousarray(commands)
        PyObject_GetBuffer(commands, &view, PyBUF_SIMPLE)
        try:
            self.st.events_count = 0
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
        st.events = self.spare
        self.spare = NULL
        if st.events == NULL:
            st.events = <Event *>grow(NULL, <size_t>st.events_capacity * sizeof(Event))
        elif self.spare_capacity != st.events_capacity:
            st.events_capacity = self.spare_capacity
            st.event_orders = <uint32_t *>grow(st.event_orders, <size_t>st.events_capacity * 4)
            st.events_limit = st.events_capacity
        return events

    cdef apply_batch(self, const uint8_t *batch, Py_ssize_t size, first_seq, timestamp_ns):
        cdef Py_ssize_t count = count_commands(batch, size), at = 0
        cdef uint64_t seq = self.check_seq(first_seq, count)
        cdef State *st = self.st
        cdef const Command *command
        self.begin(seq, timestamp_ns)
        while at < size:
            command = <const Command *>(batch + at)
            if command.kind == CREATE_INSTRUMENT or command.kind == CONFIGURE:
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
        cdef const uint8_t *text = record + sizeof(Command)
        if command.kind == CREATE_INSTRUMENT:
            self.create_instrument(text[:command.text_length])
        elif command.kind == CONFIGURE:
            self.configure(text[:command.text_length])
        else:
            apply_command(self.st, command, text)
            if self.st.violation:
                raise InvariantViolated(_VIOLATIONS[self.st.violation], self.st.seq)
        return 0

    cdef void forget_last(self) noexcept:
        self.st.current = NONE
        self.st.trade_index = 0
        self.st.repeat_seq = 0
        self.st.price_before = 0
        self.st.key_noted = 0

    cdef create_instrument(self, bytes text):
        cdef Event *event
        self.forget_last()
        try:
            instrument = msgspec.json.decode(text, type=Instrument)
        except msgspec.ValidationError:
            refuse(self.st, MALFORMED_COMMAND, NONE)
            return
        except (msgspec.DecodeError, UnicodeDecodeError):
            refuse(self.st, MALFORMED_COMMAND, NONE)
            return
        if instrument.name in self._names:
            refuse(self.st, INSTRUMENT_EXISTS, NONE).instrument = self._names[instrument.name]
        elif self.st.books_count >= self.st.instruments_max:
            refuse(self.st, INSTRUMENTS_LIMIT, NONE)
        elif not _instrument_sound(instrument):
            refuse(self.st, MALFORMED_COMMAND, NONE)
        else:
            index = self.install_instrument(instrument)
            event = event_new(self.st, INSTRUMENT_CREATED, NONE)
            event.instrument = index

    cdef configure(self, bytes text):
        self.forget_last()
        try:
            limits = msgspec.json.decode(text, type=Limits)
        except (msgspec.DecodeError, UnicodeDecodeError):
            refuse(self.st, MALFORMED_COMMAND, NONE)
            return
        if not _limits_sound(limits):
            refuse(self.st, MALFORMED_COMMAND, NONE)
            return
        self.install_limits(limits)
        event_new(self.st, CONFIGURED, NONE)

    cdef int install_instrument(self, object instrument) except -1:
        cdef uint32_t index = book_new(self.st)
        cdef Book *book = &self.st.books[index]
        placed = msgspec.structs.replace(instrument, index=int(index))
        book.price_max = placed.price_ticks_max
        book.lots_min = placed.quantity_lots_min
        book.lots_max = placed.quantity_lots_max
        book.quote_units = placed.quote_units
        self._instruments.append(placed)
        self._names[placed.name] = int(index)
        return index

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

    def state_hash(self):
        """Hex digest (64 digits) of the state's meaning: equal for equal commands, anywhere."""
        return Engine.hash_of(self.dump())

    @staticmethod
    def hash_of(dump):
        """The `state_hash` of the engine that `dump` was made from."""
        return hashlib.blake2b(dump, digest_size=32).hexdigest()

    def dump(self):
        """The whole state as bytes: canonical (equal states give equal bytes) and versioned."""
        header = msgspec.json.encode(
            {"version": DUMP_VERSION, "limits": self._limits, "instruments": self._instruments}
        )
        return b"".join([
            b"NOVATE\0D", len(header).to_bytes(8, "little"), header, dump_state(self.st),
        ])

    @classmethod
    def load(cls, dump):
        """The engine that `dump` was made from.

        Raises:
            SnapshotCorrupt: The bytes are not a dump, or of a version this one does not know.
        """
        cdef Engine engine
        view = memoryview(dump)
        if bytes(view[:8]) != b"NOVATE\0D":
            raise SnapshotCorrupt("a dump starts with NOVATE, this one does not")
        size = min(int.from_bytes(view[8:16], "little"), len(view))
        try:
            header = msgspec.json.decode(view[16:16 + size], type=_DumpHeader)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SnapshotCorrupt(f"the dump's header can't be read: {error}") from error
        if header.version != DUMP_VERSION:
            raise SnapshotCorrupt(f"dump version {DUMP_VERSION} expected, {header.version} found")
        if not (_limits_sound(header.limits) and all(map(_instrument_sound, header.instruments))):
            raise SnapshotCorrupt("the dump's header has limits or instruments that can't be")
        engine = cls(header.limits)
        for instrument in header.instruments:
            engine.install_instrument(instrument)
        load_state(engine.st, view[16 + size:])
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


class _DumpHeader(msgspec.Struct):
    version: int
    limits: Limits
    instruments: list[Instrument]


def _instrument_sound(instrument):
    """Whether an instrument's numbers make sense together."""
    return (
        1 <= len(instrument.name) <= 32
        and 1 <= instrument.tick_coefficient <= 10**9
        and 1 <= instrument.lot_coefficient <= 10**9
        and 0 <= instrument.tick_exponent <= 18
        and 0 <= instrument.lot_exponent <= 18
        and 0 <= instrument.quote_scale <= 24
        and 1 <= instrument.quote_units <= QUOTE_UNITS_PER_STEP_MAX
        and 1 <= instrument.price_ticks_max <= PRICE_TICKS_MAX
        and 1 <= instrument.quantity_lots_min <= instrument.quantity_lots_max <= QUANTITY_LOTS_MAX
    )


def _limits_sound(limits):
    """Whether limits are within what the state's fields hold."""
    return (
        0 <= limits.open_orders_max <= 10**9
        and 0 <= limits.closed_orders_max <= 10**9
        and 0 <= limits.trades_per_instrument_max <= 10**8
        and 0 <= limits.idempotency_keys_max <= 10**9
        and 0 <= limits.idempotency_window_ns <= 10**18
        and 0 <= limits.idempotency_window_ns_min <= limits.idempotency_window_ns
        and 1 <= limits.clients_max <= 10**9
        and 1 <= limits.instruments_max <= 65_535
        and 1 <= limits.price_levels_max <= 10**8
    )


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
