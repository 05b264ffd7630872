# cython: language_level=3
"""Clearing's commands whose text is JSON, and an instrument's market."""

from novate.engine.state cimport Market, State
from novate.model.records cimport Command

cdef int market_install(State *st, object instrument, dict assets) except -1
cdef int clearing_command(State *st, Command *command, bytes text, list instruments) except -1
cdef object terms_of(const Market *market)
