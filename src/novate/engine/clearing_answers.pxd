# cython: language_level=3
"""The answers to clearing's commands."""

from libc.stdint cimport uint64_t

from novate.engine.engine cimport Engine
from novate.model.records cimport Event

cdef bytes clearing_answer(Engine engine, const Event *event, bytes client, uint64_t seq)
