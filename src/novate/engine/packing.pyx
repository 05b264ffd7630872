# cython: language_level=3
"""The memory that a dump is written into: the bytes object that it becomes, so that a large one is
never copied."""

from cpython.object cimport PyObject
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from libc.stdlib cimport abort

from novate.engine.state cimport ask_for_huge_pages

cdef extern from "Python.h":
    PyObject *bytes_new "PyBytes_FromStringAndSize"(const char *text, Py_ssize_t size)
    char *bytes_at "PyBytes_AS_STRING"(PyObject *held) noexcept nogil
    int bytes_resize "_PyBytes_Resize"(PyObject **held, Py_ssize_t size) noexcept
    void drop "Py_DECREF"(PyObject *held) noexcept


cdef int writer_begin(Writer *out, size_t expected) except -1:
    """Begin with room for so many bytes; there will be more where they don't suffice."""
    out.used = 0
    out.capacity = max(expected, <size_t>4096)
    out.held = bytes_new(NULL, out.capacity)
    if out.held == NULL:
        raise MemoryError(f"{out.capacity} bytes for a dump")
    stand(out)
    return 0


cdef void writer_grow(Writer *out, size_t size) noexcept nogil:
    """Have room for `size` more; out of memory ends the process."""
    out.capacity = max(out.capacity * 2, out.used + size)
    with gil:
        if bytes_resize(&out.held, out.capacity) != 0:
            abort()
    stand(out)


cdef bytes writer_end(Writer *out):
    """What was written; the writer is of no more use."""
    if bytes_resize(&out.held, out.used) != 0:
        raise MemoryError(f"{out.used} bytes of a dump")
    written = <bytes>out.held  # which counts a reference of its own
    drop(out.held)
    return written


cdef void stand(Writer *out) noexcept nogil:
    out.bytes = <uint8_t *>bytes_at(out.held)
    ask_for_huge_pages(out.bytes, out.capacity)
