# cython: language_level=3
"""Command records of many batches as columns: where each stands, their headers, their UUIDs."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from novate.model.codec cimport write_uuid
from novate.model.records cimport Command, command_size, head_size

import numpy as np

from novate.model.commands import COMMAND

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, uint32_t maxchar)
    void *PyUnicode_1BYTE_DATA(object text)


def command_columns(const uint8_t[::1] packed not None):
    """Consecutive command records, taken apart.

    Args:
        packed: The records, one behind the other, as the journal has them.

    Returns:
        The byte offset of each (int64), and their headers, an array of `COMMAND`.

    Raises:
        ValueError: the last one is not whole.
    """
    cdef Py_ssize_t size = packed.shape[0], at = 0, count = 0, place
    cdef const uint8_t *first = &packed[0] if size else NULL
    while at + <Py_ssize_t>sizeof(Command) <= size:
        at += command_size(<const Command *>(first + at))
        count += 1
    if at != size:
        raise ValueError(f"expected whole commands, found {size} bytes, the last ends at {at}")
    offsets = np.empty(count, dtype=np.int64)
    heads = np.empty(count, dtype=COMMAND)
    cdef int64_t[::1] starts = offsets
    cdef uint8_t[::1] headers = heads.view(np.uint8)
    at = 0
    for place in range(count):
        starts[place] = at
        memcpy(&headers[place * <Py_ssize_t>sizeof(Command)], first + at, sizeof(Command))
        at += command_size(<const Command *>(first + at))
    return offsets, heads


def uuids(const uint8_t[::1] packed not None, const int64_t[::1] offsets not None):
    """The UUIDs that these commands name their orders by.

    Args:
        packed: Command records.
        offsets: Where those stand whose order id is a UUID.

    Returns:
        Each as text, and its last 8 bytes as a signed number.

    Raises:
        IndexError: one would stand beyond the records.
    """
    cdef Py_ssize_t count = offsets.shape[0], size = packed.shape[0], place, at, digit
    cdef const uint8_t *raw
    cdef uint64_t number
    cdef list texts = [], numbers = []
    for place in range(count):
        at = offsets[place]
        if not 0 <= at <= size - <Py_ssize_t>sizeof(Command):
            raise IndexError(f"expected an offset within {size} bytes, got {at}")
        at += head_size(<const Command *>&packed[at])
        if at + 16 > size:
            raise IndexError(f"expected a UUID within {size} bytes, got one at {at}")
        raw = &packed[at]
        text = PyUnicode_New(36, 127)
        write_uuid(<char *>PyUnicode_1BYTE_DATA(text), raw)
        number = 0
        for digit in range(8, 16):
            number = number << 8 | raw[digit]
        texts.append(text)
        numbers.append(<int64_t>number)
    return texts, numbers
