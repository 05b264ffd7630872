# cython: language_level=3
"""What commands do to the accounts of clients that are watched, noted command by command.

The reporter calls it after each command, so that what is noted is how things stood at that very
sequence. Reads only; where nobody is watched it costs nothing.
"""

from libc.stdint cimport uint32_t, uint64_t

from novate.engine.accounts cimport FUNDED, account_at, account_key
from novate.engine.cycles cimport cycle_of
from novate.engine.registry cimport find_client
from novate.engine.state cimport NONE, Cycle, Obligation, State
from novate.engine.statements cimport obligation_rows
from novate.model.records cimport (
    CYCLE_CLOSED, DEPOSITED, FEE_CHARGED, ORDER_ACCEPTED, ORDER_AMENDED, ORDER_ENDED,
    SETTLEMENT_MOVED, SETTLEMENT_SETTLED, TIER_SET, TRADE, TRADE_BUSTED, TRADE_CORRECTED,
    WITHDRAWN,
)

cdef enum:
    ORDER_TRIGGERED = 11


cdef class Known:
    """A watched client, and its accounts as they were told last."""

    def __init__(self, str client_id):
        self.client_id = client_id
        self.balances = {}
        self.positions = {}


cdef class Touched:
    """What of a client's accounts the command at hand may have changed, and what happened to it."""

    def __init__(self):
        self.facts = []
        self.assets = set()
        self.instruments = set()


cdef class AccountWatch:
    """The watched clients of one engine; `Reporter.account_watch` has it told of each command."""

    def __init__(self, Accounts accounts):
        self.accounts = accounts
        self.known = {}
        self.unknown = set()
        self.clients_seen = 0
        self.touched = {}
        self.noted = []

    # --- who is watched -------------------------------------------------------------------

    def watch(self, str client_id):
        """Note what happens to a client's accounts from now on; it need not be known yet."""
        cdef State *st = self.accounts.engine.st
        cdef object number = self.accounts.client(client_id)
        if number >= 0:
            self.begin(number, client_id)
            return
        if not self.unknown:
            self.clients_seen = st.clients_count
        self.unknown.add(client_id)

    def unwatch(self, str client_id):
        """Note nothing of a client any more."""
        self.unknown.discard(client_id)
        self.known.pop(self.accounts.client(client_id), None)

    cdef int begin(self, uint32_t client, str client_id) except -1:
        cdef Known known = Known(client_id)
        for asset, available, held in self.accounts.balances_of(client):
            known.balances[asset] = (asset, available, held)
        for row in self.accounts.positions_of(client):
            known.positions[row[1]] = row[1:]
        self.known[int(client)] = known
        return 0

    cdef int learn(self) except -1:
        """Know the clients that were waited for, and that the command at hand made known."""
        cdef State *st = self.accounts.engine.st
        while self.clients_seen < st.clients_count:
            client_id = self.accounts.client_id(self.clients_seen)
            if client_id in self.unknown:
                self.unknown.discard(client_id)
                self.known[int(self.clients_seen)] = Known(client_id)
            self.clients_seen += 1
        return 0

    # --- what happened --------------------------------------------------------------------

    cdef int note(self, uint32_t first) except -1:
        """Note what the command at hand did, whose events start at `first`."""
        cdef State *st = self.accounts.engine.st
        cdef const Event *event
        cdef uint64_t reference = st.seq
        cdef uint32_t at
        if self.unknown and self.clients_seen < st.clients_count:
            self.learn()
        if not self.known:
            return 0
        for at in range(first, st.events_count):
            event = st.events + at
            if event.kind == TRADE_BUSTED:
                reference = event.order
            elif event.kind == TRADE_CORRECTED:
                reference = st.seq
            self.note_event(at, event, reference)
        if self.touched:
            for client, touched in self.touched.items():
                self.tell(client, touched)
            self.touched.clear()
        return 0

    cdef Touched of(self, uint32_t client):
        """What the command touched of a client; None where it is not watched."""
        if client not in self.known:
            return None
        touched = self.touched.get(client)
        if touched is None:
            touched = self.touched[int(client)] = Touched()
        return touched

    cdef int note_event(self, uint32_t at, const Event *event, uint64_t reference) except -1:
        cdef int kind = event.kind
        cdef Touched touched
        if kind == TRADE or kind == TRADE_BUSTED or kind == TRADE_CORRECTED:
            if self.accounts.engine.st.books[event.instrument].clears:
                self.note_party(event.client, at, 0, event, reference)
                self.note_party(event.taker_client, at, 1, event, reference)
        elif kind == FEE_CHARGED:
            self.note_party(event.client, at, 0, event, reference)
        elif kind == DEPOSITED or kind == WITHDRAWN or kind == TIER_SET:
            touched = self.of(event.client)
            if touched is not None:
                touched.facts.append((int(at), 0, reference, ()))
                if kind != TIER_SET:
                    touched.assets.add(int(event.instrument))
        elif kind == CYCLE_CLOSED or kind == SETTLEMENT_MOVED:
            self.note_cycle(at, event.order)
        elif (kind == ORDER_ACCEPTED or kind == ORDER_AMENDED or kind == ORDER_ENDED
                or kind == ORDER_TRIGGERED):
            # What an order holds is all that it changes by itself.
            if self.accounts.engine.st.books[event.instrument].clears & FUNDED:
                touched = self.of(event.client)
                if touched is not None:
                    touched.instruments.add(int(event.instrument))
        return 0

    cdef int note_party(self, uint32_t client, uint32_t at, int party, const Event *event,
                        uint64_t reference) except -1:
        cdef Touched touched = self.of(client)
        if touched is not None:
            touched.facts.append((int(at), party, reference, ()))
            touched.instruments.add(int(event.instrument))
        return 0

    cdef int note_cycle(self, uint32_t at, uint64_t cycle) except -1:
        cdef Touched touched
        for client in self.known:
            owed = self.owed(client, cycle)
            if owed:
                touched = self.of(client)
                touched.facts.append((int(at), 0, cycle, owed))
        return 0

    cdef list owed(self, uint32_t client, uint64_t cycle):
        """A client's (asset, units) of a cycle, by asset; [] where the cycle is not kept."""
        cdef Cycle *found = cycle_of(self.accounts.engine.st, cycle)
        cdef const Obligation *rows
        cdef uint32_t low = 0, high, middle, end
        if found == NULL:
            return []
        rows, high = found.obligations, found.obligations_count
        while low < high:
            middle = (low + high) >> 1
            if rows[middle].client < client:
                low = middle + 1
            else:
                high = middle
        end = low
        while end < found.obligations_count and rows[end].client == client:
            end += 1
        return [row[1:] for row in obligation_rows(rows + low, end - low)]

    # --- how things stand -----------------------------------------------------------------

    cdef tuple balance_row(self, uint32_t client, uint32_t asset):
        cdef State *st = self.accounts.engine.st
        if account_at(&st.clearing.balances, account_key(client, asset)) == NONE:
            return None
        return (int(asset), *self.accounts.balance(client, asset))

    cdef tuple position_row(self, uint32_t client, uint32_t instrument):
        cdef State *st = self.accounts.engine.st
        cdef uint32_t at = account_at(&st.clearing.positions, account_key(client, instrument))
        return None if at == NONE else self.accounts.position_row(at)[1:]

    cdef int tell(self, uint32_t client, Touched touched) except -1:
        """Note the facts, and what of the accounts is not as it was told last."""
        cdef State *st = self.accounts.engine.st
        cdef Known known = self.known[client]
        cdef list balances = [], positions = []
        assets = touched.assets
        for instrument in touched.instruments:
            base, quote, _, _ = self.accounts.market(instrument)
            assets.add(base)
            assets.add(quote)
        for asset in sorted(assets):
            row = self.balance_row(client, asset)
            if row is not None and row != known.balances.get(asset):
                known.balances[asset] = row
                balances.append(row)
        for instrument in sorted(touched.instruments):
            row = self.position_row(client, instrument)
            if row is not None and row != known.positions.get(instrument):
                known.positions[instrument] = row
                positions.append((*row, *self.accounts.mark_price(instrument)))
        if touched.facts or balances or positions:
            self.noted.append(
                (known.client_id, st.seq, touched.facts, balances, positions))
        return 0

    def take(self):
        """What was noted since the last call, in the order of sequence.

        Returns:
            A list of (client id, sequence, facts, balances, positions). Facts, in the order of
            events, are (place of the event among the batch's, party, reference, owed): party is 1
            for an event's `taker_client`, else 0; reference is the sequence of the trade that a fee
            is of, or a cycle; owed are the client's (asset, units) of that cycle. Balances are
            (asset, available, held), positions (instrument, lots, basis, realized, fees, time,
            mark, parts) as `Accounts` has them: those that are not as they were told before.
        """
        noted, self.noted = self.noted, []
        return noted

    # --- what is asked --------------------------------------------------------------------

    def settling(self, str client_id):
        """[(cycle, state, owed)] of the kept cycles that are not settled, the oldest first."""
        cdef State *st = self.accounts.engine.st
        cdef Cycle *cycle
        cdef uint32_t i
        cdef object client = self.accounts.client(client_id)
        rows = []
        if client >= 0:
            for i in range(st.clearing.cycles_count):
                cycle = st.clearing.cycles + i
                if cycle.state == SETTLEMENT_SETTLED:
                    continue
                owed = self.owed(client, cycle.id)
                if owed:
                    rows.append((int(cycle.id), int(cycle.state), owed))
        return rows
