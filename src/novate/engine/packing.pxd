# cython: language_level=3
"""Little-endian fields one behind the other, as a dump has them."""

from cpython.object cimport PyObject
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy


# Writes into a bytes object, which nobody else has yet.
cdef struct Writer:
    PyObject *held
    uint8_t *bytes
    size_t used, capacity


cdef struct Reader:
    const uint8_t *bytes
    size_t at, size
    bint short


cdef int writer_begin(Writer *out, size_t expected) except -1
cdef bytes writer_end(Writer *out)
cdef void writer_grow(Writer *out, size_t size) noexcept nogil


cdef inline void put(Writer *out, const void *source, size_t size) noexcept nogil:
    if out.used + size > out.capacity:
        writer_grow(out, size)
    memcpy(out.bytes + out.used, source, size)
    out.used += size


cdef inline void put_u64(Writer *out, uint64_t value) noexcept nogil:
    put(out, &value, 8)


cdef inline void put_u32(Writer *out, uint32_t value) noexcept nogil:
    put(out, &value, 4)


cdef inline void put_u8(Writer *out, uint8_t value) noexcept nogil:
    put(out, &value, 1)


cdef inline bint get(Reader *source, void *target, size_t size) noexcept nogil:
    if source.at + size > source.size:
        source.short = True
        return False
    memcpy(target, source.bytes + source.at, size)
    source.at += size
    return True


cdef inline uint64_t get_u64(Reader *source) noexcept nogil:
    cdef uint64_t value = 0
    get(source, &value, 8)
    return value


cdef inline uint32_t get_u32(Reader *source) noexcept nogil:
    cdef uint32_t value = 0
    get(source, &value, 4)
    return value


cdef inline uint8_t get_u8(Reader *source) noexcept nogil:
    cdef uint8_t value = 0
    get(source, &value, 1)
    return value
