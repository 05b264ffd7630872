# cython: language_level=3
"""The header of a dump, as bytes and as what they say."""

cdef bytes header_bytes(int parts, int rules_version, object limits, list instruments,
                        dict rules, dict own_limits)
cdef tuple header_of(object dump)
