# cython: language_level=3
"""Names of JSON objects: whether one stands twice, which decoders pass over in silence.

Reads text that a decoder has found to be JSON of a known shape, in one pass and without an object
per name; says nothing of text that is none.
"""

import json
from contextlib import suppress

from libc.string cimport memchr, memcmp

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

cdef enum:
    DEPTH_MAX = 64      # no request's shape is as deep, nor has it as many names in open objects
    NAMES_MAX = 512

cdef struct Name:
    const char *at
    Py_ssize_t size

cdef struct Level:
    bint is_object
    int first           # place of its first name
    int index           # of an array: which element


cdef struct Scan:       # what is open at a place of the text
    Level[DEPTH_MAX] levels
    Name[NAMES_MAX] names
    int depth, used


cdef inline bint open_level(Scan *scan, bint is_object) noexcept nogil:
    """Whether there is room for one level more."""
    if scan.depth == DEPTH_MAX:
        return False
    scan.levels[scan.depth].is_object = is_object
    scan.levels[scan.depth].first = scan.used
    scan.levels[scan.depth].index = 0
    scan.depth += 1
    return True


cdef inline bint repeats(Scan *scan) noexcept nogil:
    """Whether the newest name stands in its object already."""
    cdef Name *newest = &scan.names[scan.used - 1]
    cdef int each
    for each in range(scan.levels[scan.depth - 1].first, scan.used - 1):
        if (scan.names[each].size == newest.size
                and memcmp(scan.names[each].at, newest.at, newest.size) == 0):
            return True
    return False


cdef str path_of(Scan *scan):
    """Where the newest name stands: `operations[3].order.side`."""
    cdef str path = ""
    cdef int level, last
    for level in range(scan.depth):
        if not scan.levels[level].is_object:
            path += f"[{scan.levels[level].index}]"
            continue
        last = scan.used if level + 1 == scan.depth else scan.levels[level + 1].first
        name = scan.names[last - 1].at[:scan.names[last - 1].size]
        path += ("." if path else "") + name.decode("utf-8", "replace")
    return path


def repeated_name(bytes text, bint outermost=False):
    """The path of the first name that stands twice in one object, None where none does.

    Args:
        text: JSON, already decoded without a mistake.
        outermost: Look at the names of the outermost object alone.
    """
    cdef const char *at = PyBytes_AS_STRING(text)
    cdef const char *end = at + PyBytes_GET_SIZE(text)
    cdef const char *begin
    cdef bint is_name = False
    cdef Scan scan
    scan.depth = scan.used = 0
    while at < end:
        if at[0] == c'"':
            begin = at + 1
            at = closing_quote(begin, end)
            if at == NULL:
                return None
            if is_name:
                is_name = False
                if memchr(begin, c'\\', at - begin) != NULL:
                    return _repeated_unescaped(text, outermost)
                if scan.used == NAMES_MAX:
                    return None
                scan.names[scan.used].at, scan.names[scan.used].size = begin, at - begin
                scan.used += 1
                if (scan.depth == 1 or not outermost) and repeats(&scan):
                    return path_of(&scan)
        elif at[0] == c'{' or at[0] == c'[':
            is_name = at[0] == c'{'
            if not open_level(&scan, is_name):
                return None
        elif at[0] == c'}' or at[0] == c']':
            if scan.depth == 0:
                return None
            scan.depth -= 1
            scan.used = scan.levels[scan.depth].first
            is_name = False
        elif at[0] == c',' and scan.depth:
            is_name = scan.levels[scan.depth - 1].is_object
            scan.levels[scan.depth - 1].index += 1
        at += 1
    return None


cdef inline const char *closing_quote(const char *at, const char *end) noexcept nogil:
    """The quote that ends a string which begins here; NULL: there is none."""
    cdef const char *quote = <const char *>memchr(at, c'"', end - at)
    if quote == NULL or quote == at or (quote - 1)[0] != c'\\':
        return quote
    while at < end and at[0] != c'"':
        at += 2 if at[0] == c'\\' else 1
    return at if at < end else NULL


def _repeated_unescaped(bytes text, bint outermost):
    """The same, name alone, where a name has an escape and means what it does not look like."""
    cdef list found = []

    def members(pairs):
        names = [name for name, _ in pairs]
        twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
        found.append(twice)

    with suppress(ValueError, RecursionError):
        json.loads(text, object_pairs_hook=members, parse_int=str, parse_float=str,
                   parse_constant=str)
    if outermost:
        del found[:len(found) - 1]  # the outermost object ends last
    return next((name for name in found if name is not None), None)
