# cython: language_level=3
"""Text of numbers, times and ids in C, for compiled callers."""

from libc.stdint cimport int64_t, uint8_t

from novate.engine.state cimport Command

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

cdef struct Decimal:
    i128 mantissa
    int exponent        # of ten
    bint negative

cdef enum:
    READ = 0
    MALFORMED = 1
    EXPONENT = 2

cdef int read_decimal(const char *text, Py_ssize_t size, Decimal *out) noexcept nogil
cdef int scale(Decimal *number, int64_t coefficient, int exponent, i128 *value) noexcept nogil
cdef bint is_id(const char *text, Py_ssize_t size) noexcept nogil
cdef int new_uuid(uint8_t *uuid, int partition) except -1
cdef bytes joined(Command *command, const char *id_text, Py_ssize_t id_size,
                  const char *client, Py_ssize_t client_size)
