# cython: language_level=3
"""The engine for compiled callers: one command in, its events to a sink.

Another Cython module uses it by `from novate.engine.native cimport apply_one, Sink` and a typed
`Engine`; C code by the capsule `novate.engine.native.CAPI` (struct `NativeApi`; docs/native.md):

    PyImport_ImportModule("novate.engine.native");
    NativeApi *api = PyCapsule_Import("novate.engine.native.CAPI", 0);
    api->apply_one(api->state_of(engine), command, size, sink, context);

No call takes the interpreter lock or touches a Python object but `state_of`.
"""

from libc.stdint cimport int64_t, uint32_t

from novate.engine.state cimport Sink, State
from novate.model.records cimport Command, Event

cdef struct NativeApi:
    uint32_t version                # 1
    uint32_t event_size             # sizeof(Event)
    State *(*state_of)(object engine) except NULL
    void (*set_time)(State *st, int64_t time_ns) noexcept nogil
    int (*apply_one)(State *st, const Command *command, Py_ssize_t size, Sink sink,
                     void *context) noexcept nogil

cdef State *state_of(object engine) except NULL
cdef void set_time(State *st, int64_t time_ns) noexcept nogil
cdef int apply_one(State *st, const Command *command, Py_ssize_t size, Sink sink,
                   void *context) noexcept nogil
