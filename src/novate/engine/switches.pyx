# cython: language_level=3
"""What operator and clients have set: kill switches, own limits, dead-man timers. Reads only."""

from libc.stdint cimport uint32_t, uint64_t

from novate.engine.engine cimport Engine
from novate.engine.limits cimport own_limits_at
from novate.engine.registry cimport find_client
from novate.engine.state cimport NONE, State, name_text
from novate.model.records cimport ID_TEXT


cdef class Switches:
    """The switches, limits and timers of one engine, as they are now."""

    cdef Engine engine

    def __init__(self, Engine engine):
        self.engine = engine

    @property
    def venue_killed(self):
        """Whether the venue's kill switch is on."""
        return bool(self.engine.st.venue_killed)

    def client(self, bytes client_id):
        """The number of a client, -1: not known."""
        cdef uint32_t number = NONE
        if 1 <= len(client_id) <= 64:
            number = find_client(self.engine.st, client_id, len(client_id))
        return -1 if number == NONE else int(number)

    def held(self, uint32_t first, uint32_t most):
        """The clients from a number on that have anything set, by number.

        Returns:
            (rows, where to go on, -1 at the end). A row is (number, client id, whether its kill
            switch is on, when its timer runs out in ns since 1970 UTC or 0, its limits as
            [(instrument, OrderLimits)]).
        """
        cdef State *st = self.engine.st
        cdef uint32_t client, limits = own_limits_at(st, <uint64_t>first << 32)
        cdef list rows = []
        for client in range(first, st.clients_count):
            if (not st.clients[client].killed and st.clients[client].timer == NONE
                    and (limits == st.own_limits_count
                         or st.own_limits[limits].place >> 32 != client)):
                continue
            if len(rows) >= most:
                return rows, int(client)
            rows.append(self.row(client, limits))
            while (limits < st.own_limits_count
                   and st.own_limits[limits].place >> 32 == client):
                limits += 1
        return rows, -1

    cdef tuple row(self, uint32_t client, uint32_t limits):
        cdef State *st = self.engine.st
        cdef uint32_t length = 0, instrument
        cdef const unsigned char *text
        cdef list own = []
        cdef object name = "", deadline_ns = 0
        if st.clients[client].name:
            text = name_text(st, ID_TEXT, st.clients[client].name, &length)
            name = text[:length].decode()
        if st.clients[client].timer != NONE:
            deadline_ns = st.due[st.clients[client].timer].time_ns
        while limits < st.own_limits_count and st.own_limits[limits].place >> 32 == client:
            instrument = st.own_limits[limits].place & 0xFFFFFFFFU
            own.append((int(instrument), self.engine._own_limits[client, instrument]))
            limits += 1
        return int(client), name, bool(st.clients[client].killed), deadline_ns, own
