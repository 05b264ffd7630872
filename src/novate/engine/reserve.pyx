# cython: language_level=3
"""Room in an engine's memory made beforehand. Changes no state and decides nothing."""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t

from novate.engine.engine cimport Engine
from novate.engine.state cimport (
    NUMBERS_MAX, Closed, Links, Order, State, more_closed, more_orders, touch_pages,
)


def reserve(Engine engine, *, orders=0, closed_orders=0, numbers=0):
    """Have room for so much, given by the system now and not while commands are applied.

    A system gives memory page by page when it is first written, and clears each: that is a tenth to
    a half of the time of commands that fill an empty book. What is reserved is taken at once, 64
    bytes for an open order, 96 for a closed one, 4 for a number; it is kept as long as the engine
    is. More than is reserved is found as ever.

    Args:
        engine: The engine, with whatever it has in it; no other thread may use it meanwhile.
        orders: Open orders at once, over all instruments.
        closed_orders: Orders in the window of closed ones.
        numbers: Order numbers from 0 up to this, as the array API's orders have for names; those
            from 16,777,216 on have no room of their own.

    Raises:
        ValueError: A count is below 0 or above the engine's limits; nothing was reserved.
    """
    limits = engine.limits()
    _check("orders", orders, limits.open_orders_max)
    _check("closed_orders", closed_orders, limits.closed_orders_max)
    _check("numbers", numbers, NUMBERS_MAX)
    reserve_memory(engine.st, orders, closed_orders, numbers)


def _check(name, count, most):
    if not 0 <= count <= most:
        raise ValueError(f"{name}: expected 0 to {most}, the engine's limit, got {count}")


cdef void reserve_memory(State *st, uint32_t orders, uint32_t closed_orders,
                         uint32_t numbers) noexcept:
    cdef int64_t ring = closed_orders + 64 if closed_orders else 0
    while st.orders_capacity < orders:
        more_orders(st)
    while st.closed_capacity < ring:
        more_closed(st)
    touch_pages(st.orders, <size_t>orders * sizeof(Order))
    touch_pages(st.links, <size_t>orders * sizeof(Links))
    touch_pages(st.closed, <size_t>min(ring, st.closed_capacity) * sizeof(Closed))
    touch_pages(st.numbers, <size_t>numbers * 4)
