# cython: language_level=3
"""Text of numbers, times and ids in C, for compiled callers."""

from libc.stdint cimport int64_t, uint8_t

cdef extern from *:
    """
    #ifndef NOVATE_I128
    #define NOVATE_I128
    typedef __int128 codec_i128;
    #endif
    """
    ctypedef long long i128 "codec_i128"

cdef int write_decimal(char *out, i128 value, int scale) noexcept nogil
cdef int write_integer(char *out, int64_t value) noexcept nogil
cdef int write_time(char *out, int64_t time_us) noexcept nogil
cdef int write_uuid(char *out, const uint8_t *uuid) noexcept nogil
cdef bint read_uuid(const char *text, Py_ssize_t size, uint8_t *uuid) noexcept nogil
cdef object big(i128 value)
cdef i128 small(object value)
