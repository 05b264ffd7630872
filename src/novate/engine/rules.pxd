# cython: language_level=3
"""Rules and limits: from what the model has to what the engine looks at."""

from libc.stdint cimport uint32_t

from novate.engine.state cimport State

cdef int rules_install(State *st, uint32_t instrument, object rules) except -1
cdef int own_limits_install(State *st, uint32_t client, uint32_t instrument,
                            object limits) except -1
cdef bint instrument_sound(object instrument) except -1
cdef bint limits_sound(object limits) except -1
