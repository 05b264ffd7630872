# cython: language_level=3
"""The heap of due items: the first is the next that happens if no command comes before.

Items come by time, at the same time by kind, then by number. Every owner of an item knows its
place in the heap, so that it can be taken out.
"""

from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t

from novate.engine.state cimport NONE, Book, Due, Rules, State, grow, rules_of

DAY_NS = <int64_t>86400 * 1000000000


cdef inline bint before(const Due *one, const Due *other) noexcept nogil:
    if one.time_ns != other.time_ns:
        return one.time_ns < other.time_ns
    if one.kind != other.kind:
        return one.kind < other.kind
    return one.number < other.number


cdef inline void stand(State *st, uint32_t at, Due item) noexcept nogil:
    """Put an item at a place of the heap, and let its owner know."""
    st.due[at] = item
    if item.kind == DUE_PHASE:
        st.books[item.about].due_at = at
    elif item.kind == DUE_EXPIRY:
        st.specials[item.about].due_at = at
    elif item.kind == DUE_CUTOFF:
        st.clearing.cutoff_due_at = at
    else:
        st.clients[item.about].timer = at


cdef void sift(State *st, uint32_t at, Due item) noexcept nogil:
    """Move an item up or down from a free place to where it belongs."""
    cdef uint32_t other
    while at and before(&item, &st.due[(at - 1) >> 1]):
        stand(st, at, st.due[(at - 1) >> 1])
        at = (at - 1) >> 1
    while True:
        other = 2 * at + 1
        if other >= st.due_count:
            break
        if other + 1 < st.due_count and before(&st.due[other + 1], &st.due[other]):
            other += 1
        if not before(&st.due[other], &item):
            break
        stand(st, at, st.due[other])
        at = other
    stand(st, at, item)
    st.next_due_ns = st.due[0].time_ns


cdef void due_add(State *st, int64_t time_ns, uint32_t kind, uint64_t number,
                  uint32_t about) noexcept nogil:
    """A new item; there is at most one for each open order and client, and one per instrument."""
    cdef Due item
    if st.due_count == st.due_capacity:
        st.due_capacity = max(256, st.due_capacity * 2)
        st.due = <Due *>grow(st.due, <size_t>st.due_capacity * sizeof(Due))
    item.time_ns = time_ns
    item.kind = kind
    item.number = number
    item.about = about
    st.due_count += 1
    sift(st, st.due_count - 1, item)


cdef void due_remove(State *st, uint32_t at) noexcept nogil:
    """Take the item at this place out."""
    cdef Due item = st.due[at]
    if item.kind == DUE_PHASE:
        st.books[item.about].due_at = NONE
    elif item.kind == DUE_EXPIRY:
        st.specials[item.about].due_at = NONE
    elif item.kind == DUE_CUTOFF:
        st.clearing.cutoff_due_at = NONE
    else:
        st.clients[item.about].timer = NONE
    st.due_count -= 1
    if at != st.due_count:
        sift(st, at, st.due[st.due_count])
    st.next_due_ns = st.due[0].time_ns if st.due_count else INT64_MAX


cdef int64_t next_daily(int64_t after_ns, int64_t at_ns) noexcept nogil:
    """The first time after `after_ns` that is `at_ns` after 00:00 UTC; the end of time at most."""
    cdef int64_t days
    if after_ns > INT64_MAX - 2 * DAY_NS:
        return INT64_MAX
    days = (after_ns - at_ns) // DAY_NS
    if (after_ns - at_ns) < days * DAY_NS:
        days -= 1
    return (days + 1) * DAY_NS + at_ns


cdef int64_t phase_due_ns(State *st, Book *book) noexcept nogil:
    """When the next phase of an instrument begins by itself; INT64_MAX: never.

    Entries of the schedule that are over a day old are passed over.
    """
    cdef Rules *rules = rules_of(st, book)
    cdef int64_t soonest = book.until_ns if book.until_ns else INT64_MAX
    cdef int64_t after_ns = max(book.schedule_done_ns, st.time_ns - DAY_NS - 1)
    cdef uint32_t i
    for i in range(rules.schedule_count):
        soonest = min(soonest, next_daily(after_ns, rules.at_ns[i]))
    return soonest


cdef void phase_due(State *st, Book *book) noexcept nogil:
    """Lay down anew when the instrument's next phase begins."""
    cdef int64_t soonest = phase_due_ns(st, book)
    cdef uint32_t number = <uint32_t>(book - st.books)
    if book.due_at != NONE:
        if st.due[book.due_at].time_ns == soonest:
            return
        due_remove(st, book.due_at)
    if soonest != INT64_MAX:
        due_add(st, soonest, DUE_PHASE, number, number)
