# cython: language_level=3
"""The engine at the C level: one command at a time to a caller's sink, or a batch into a ring that
another thread drains. Events leave in bounded chunks, however many orders one command moves.
"""

cimport numpy as np
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

import numpy as np

from novate.engine.conductor cimport apply_command, finish_command, needs_python
from novate.engine.engine cimport Engine
from novate.engine.state cimport Sink, State, events_gathered, events_into, grow
from novate.model.records cimport TRADE, Command, Event, command_size

from novate.model.commands import COMMAND, EXTENDED_COMMAND
from novate.model.events import EVENT

np.import_array()

_RING_EVENTS_MAX = 1 << 24


# --- one command ----------------------------------------------------------------------------

cdef State *state_of(object engine) except NULL:
    """The state of an `Engine`, which the caller keeps alive; TypeError for anything else."""
    if not isinstance(engine, Engine):
        raise TypeError(f"engine: expected an Engine, got {type(engine).__name__}")
    return (<Engine>engine).st


cdef void set_time(State *st, int64_t time_ns) noexcept nogil:
    """The time of the commands to come, ns since 1970 UTC; it never goes back."""
    if time_ns > st.time_ns:
        st.time_ns = time_ns
        st.time_us = time_ns // 1000


cdef int apply_one(State *st, const Command *command, Py_ssize_t size, Sink sink,
                   void *context) noexcept nogil:
    """Apply one command as the next, and give its events to the sink, in one or more chunks.

    Args:
        command: Its record, with its text behind it; `size` bytes in all.
        sink: Called with (context, events, count), each time with at least one event.

    Returns:
        0; -1 for a record whose lengths don't add up or of a kind that needs Python
        (CREATE_INSTRUMENT, CONFIGURE, SET_RULES, SET_CLIENT_LIMITS, SET_CLEARING, CORRECT_TRADE):
        nothing was applied; else the number of the invariant that the
        engine violates: it must not be used any more.
    """
    if size < <Py_ssize_t>sizeof(Command) or size < command_size(command) or (
            command.order_id_length + command.client_id_length > command.text_length
            or needs_python(command)):
        return -1
    st.seq += 1
    events_into(st, sink, context)
    apply_command(st, <Command *>command)
    finish_command(st)
    events_gathered(st)
    return st.violation


cdef NativeApi API
API.version = 1
API.event_size = sizeof(Event)
API.state_of = state_of
API.set_time = set_time
API.apply_one = apply_one
CAPI = PyCapsule_New(&API, b"novate.engine.native.CAPI", NULL)


# --- a ring ---------------------------------------------------------------------------------

cdef extern from "novate/engine/ring.h":
    ctypedef struct Ring:
        Event *events
        uint64_t size, put, taken, taken_seen
        int closed, stopped
    uint64_t ring_ready "novate_ring_ready"(Ring *ring) noexcept nogil
    int ring_put "novate_ring_put"(Ring *ring, const Event *events, uint64_t count) noexcept nogil
    const Event *ring_next "novate_ring_next"(
        Ring *ring, uint64_t most, uint64_t *count) noexcept nogil
    void ring_took "novate_ring_took"(Ring *ring, uint64_t count) noexcept nogil
    void ring_set "novate_ring_set"(int *flag) noexcept nogil
    int ring_flag "novate_ring_flag"(int *flag) noexcept nogil
    int sched_yield() noexcept nogil


cdef void into_ring(void *context, const Event *events, uint32_t count) noexcept nogil:
    ring_put(<Ring *>context, events, count)


cdef class EventRing:
    """Events from the thread that applies to one other that takes them; bounded.

    The applying thread waits while the ring is full, so nothing is lost and nothing grows.
    """

    cdef Ring ring

    def __init__(self, capacity=1 << 16):
        """A ring of `capacity` events, a power of two from 1,024 to 2^24."""
        if not 1024 <= capacity <= _RING_EVENTS_MAX or capacity & (capacity - 1):
            raise ValueError(
                f"capacity: expected a power of two from 1024 to {_RING_EVENTS_MAX}, "
                f"got {capacity}")
        if self.ring.events != NULL:
            raise TypeError("a ring is made once")
        self.ring.events = <Event *>grow(NULL, capacity * sizeof(Event))
        self.ring.size = capacity

    def __dealloc__(self):
        free(self.ring.events)

    def __len__(self):
        """Events that wait to be taken."""
        return ring_ready(&self.ring)

    @property
    def closed(self):
        """Whether nothing more will come but what waits now."""
        return bool(ring_flag(&self.ring.closed))

    def close(self):
        """The applying thread's word that it is done."""
        ring_set(&self.ring.closed)

    def stop(self):
        """The taking thread's word that it takes no more: what is put from now on is dropped."""
        ring_set(&self.ring.stopped)

    def take(self, most=65_536):
        """The next events, at most `most` of them, as a fresh array; empty if none waits."""
        cdef uint64_t count
        cdef const Event *events = ring_next(&self.ring, most, &count)
        cdef np.ndarray taken = np.empty(count, dtype=EVENT)
        memcpy(np.PyArray_DATA(taken), events, count * sizeof(Event))
        ring_took(&self.ring, count)
        return taken

    def tally(self):
        """Take everything until the ring is closed, without the interpreter lock.

        Returns:
            (events, trades, lots traded).
        """
        cdef uint64_t events = 0, trades = 0, lots = 0, count, i
        cdef const Event *run
        cdef bint last
        with nogil:
            while True:
                last = ring_flag(&self.ring.closed)
                run = ring_next(&self.ring, 4096, &count)
                for i in range(count):
                    if run[i].kind == TRADE:
                        trades += 1
                        lots += run[i].quantity_lots
                events += count
                ring_took(&self.ring, count)
                if count == 0:
                    if last:
                        break
                    sched_yield()
        return events, trades, lots


def stream(Engine engine, commands, EventRing ring, first_seq=None, timestamp_ns=0):
    """Apply a batch as `Engine.apply` does, its events into the ring, in chunks as they come.

    Args:
        engine: The engine; no other thread may use it meanwhile.
        commands: As for `Engine.apply`: bytes, or an array of `COMMAND` or `EXTENDED_COMMAND`.
        ring: Drained by another thread, else this waits for ever once it is full.
        first_seq, timestamp_ns: As for `Engine.apply`.

    Raises:
        ValueError: As `Engine.apply`; nothing was applied.
        InvariantViolated: The engine is wrong; chunks of that command may be in the ring.
    """
    cdef Py_buffer view
    cdef State *st = engine.st
    if isinstance(commands, np.ndarray):
        if commands.dtype != COMMAND and commands.dtype != EXTENDED_COMMAND:
            raise ValueError(
                f"commands: expected an array of COMMAND or EXTENDED_COMMAND, got {commands.dtype}")
        commands = np.ascontiguousarray(commands)
    PyObject_GetBuffer(commands, &view, PyBUF_SIMPLE)
    try:
        events_into(st, into_ring, &ring.ring)
        engine.apply_batch(<const uint8_t *>view.buf, view.len, first_seq, timestamp_ns)
    finally:
        with nogil:  # the thread that takes may need the lock to make room
            events_gathered(st)
        PyBuffer_Release(&view)
