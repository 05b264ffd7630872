# cython: language_level=3
"""What the accounts of an engine say: balances, positions, cycles, entries. Reads only."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

cimport numpy as np

from novate.engine.accounts cimport account_at, account_key, rate_of
from novate.engine.cycles cimport cycle_of
from novate.engine.netting cimport net
from novate.engine.registry cimport find_client
from novate.engine.state cimport (
    NONE, Account, AccountTable, Asset, Book, Clearing, Cycle, Entry, Market, Obligation, Settled,
    State, Totals, i128, level_price, name_text,
)
from novate.engine.terms cimport terms_of
from novate.model.records cimport ID_TEXT, MARK_MID

import numpy as np

from novate.model.clearing import ENTRY

np.import_array()


cdef object whole(i128 value):
    """A 128-bit number as Python's."""
    return (int(<int64_t>(value >> 64)) << 64) | int(<uint64_t>value)


cdef object totals_row(const Totals *totals):
    return {
        "trades": int(totals.trades),
        "lots": whole(totals.lots),
        "turnover": whole(totals.turnover),
        "fees": whole(totals.fees),
        "busts": int(totals.busts),
        "bust_lots": whole(totals.bust_lots),
        "bust_turnover": whole(totals.bust_turnover),
    }


cdef list obligation_rows(const Obligation *rows, uint32_t count):
    cdef uint32_t i
    return [(int(rows[i].client), int(rows[i].asset), whole(rows[i].units))
            for i in range(count)]


cdef object cycle_row(const Cycle *cycle):
    """A closed cycle without its obligations."""
    cdef uint32_t i
    return {
        "cycle": int(cycle.id),
        "state": int(cycle.state),
        "closed_ns": int(cycle.closed_ns),
        "closed_seq": int(cycle.closed_seq),
        "moved_seq": int(cycle.moved_seq),
        "obligations": int(cycle.obligations_count),
        "totals": [totals_row(cycle.totals + i) for i in range(cycle.totals_count)],
    }


cdef class Accounts:
    """The accounts of one engine; amounts are units of their asset, prices ticks.

    Example:
        accounts = Accounts(engine)
        accounts.collect_entries(True)
        engine.apply(commands)
        entries = accounts.take_entries()   # an array of ENTRY
    """

    def __init__(self, Engine engine):
        self.engine = engine

    # --- entries --------------------------------------------------------------------------

    def collect_entries(self, bint on):
        """Write entries down from now on, or no more; what is not taken is forgotten then."""
        self.engine.st.clearing.collecting = on
        self.engine.st.clearing.entries_count = 0

    def take_entries(self):
        """The entries since the last call, an array of `ENTRY`."""
        cdef Clearing *clearing = self.engine.st.clearing
        cdef np.ndarray entries = np.empty(clearing.entries_count, dtype=ENTRY)
        if clearing.entries_count:
            memcpy(np.PyArray_DATA(entries), clearing.entries,
                   clearing.entries_count * sizeof(Entry))
        clearing.entries_count = 0
        return entries

    # --- assets, clients, terms -----------------------------------------------------------

    def assets(self):
        """(name, scale) of every asset, by number; a unit is `10**-scale`."""
        return list(self.engine._assets)

    def asset(self, name):
        """The number of the first asset of this name, -1 if there is none."""
        for (known, _), number in self.engine._assets.items():
            if known == name:
                return number
        return -1

    def market(self, uint32_t instrument):
        """(base asset, quote asset, units of the base in a lot, of the quote in a step)."""
        cdef Market *market = self.market_at(instrument)
        return int(market.base), int(market.quote), whole(market.lot_units), market.quote_units

    cdef Market *market_at(self, uint32_t instrument) except NULL:
        if instrument >= self.engine.st.books_count:
            raise IndexError(f"instrument: expected one that there is, got {instrument}")
        return self.engine.st.clearing.markets + instrument

    def terms(self, uint32_t instrument):
        """The instrument's `ClearingTerms`, None: its trades are not cleared."""
        cdef Market *market = self.market_at(instrument)
        return terms_of(market) if self.engine.st.books[instrument].clears else None

    def client(self, str client_id):
        """The number of a client, -1: not known."""
        cdef bytes text = client_id.encode("utf-8", "replace")
        cdef uint32_t number = NONE
        if 1 <= len(text) <= 64:
            number = find_client(self.engine.st, text, len(text))
        return -1 if number == NONE else int(number)

    def client_id(self, uint32_t client):
        """The id of a client that has this number, "" where it is named by number alone."""
        cdef uint32_t length = 0
        cdef const unsigned char *text
        if client >= self.engine.st.clients_count or not self.engine.st.clients[client].name:
            return ""
        text = name_text(self.engine.st, ID_TEXT, self.engine.st.clients[client].name, &length)
        return text[:length].decode()

    def tier(self, uint32_t client):
        """The tier of a client's fees."""
        cdef Clearing *clearing = self.engine.st.clearing
        return int(clearing.tiers[client]) if client < clearing.tiers_capacity else 0

    def rate(self, uint32_t instrument, uint32_t client, bint taker):
        """What a client pays now of a trade's value, in millionths."""
        self.market_at(instrument)
        return rate_of(self.engine.st, instrument, client, taker)

    # --- balances and positions -----------------------------------------------------------

    def balance(self, uint32_t client, uint32_t asset):
        """(available, held) of a client."""
        cdef Clearing *clearing = self.engine.st.clearing
        cdef uint32_t at = account_at(&clearing.balances, account_key(client, asset))
        if at == NONE:
            return 0, 0
        return (whole(clearing.balances.accounts[at].available),
                whole(clearing.balances.accounts[at].held))

    def balances(self):
        """(client, asset, available, held) of every balance there is, by client and asset."""
        cdef AccountTable *table = &self.engine.st.clearing.balances
        cdef uint32_t i
        return sorted([
            (int(table.accounts[i].key >> 32), int(<uint32_t>table.accounts[i].key),
             whole(table.accounts[i].available), whole(table.accounts[i].held))
            for i in range(table.count)])

    cdef tuple position_row(self, uint32_t at):
        cdef Clearing *clearing = self.engine.st.clearing
        cdef Account *account = clearing.positions.accounts + at
        return (int(account.key >> 32), int(<uint32_t>account.key), whole(account.lots),
                whole(account.basis), whole(account.realized),
                whole(clearing.settled[at].fees_total), account.updated_us)

    def positions(self):
        """(client, instrument, lots, basis, realized, fees, time) of every position ever had.

        Basis and realized in ticks times lots; basis is under 0 for a short one; fees in units;
        the time of its last trade in microseconds since 1970 UTC.
        """
        cdef uint32_t i
        return sorted([
            self.position_row(i) for i in range(self.engine.st.clearing.positions.count)])

    def positions_of(self, uint32_t client):
        """The rows of one client, by instrument."""
        cdef AccountTable *table = &self.engine.st.clearing.positions
        cdef uint32_t instrument, at
        found = []
        for instrument in range(self.engine.st.books_count):
            at = account_at(table, account_key(client, instrument))
            if at != NONE:
                found.append(self.position_row(at))
        return found

    def balances_of(self, uint32_t client):
        """(asset, available, held) of one client, by asset."""
        cdef uint32_t asset
        cdef AccountTable *table = &self.engine.st.clearing.balances
        return [
            (int(asset), *self.balance(client, asset))
            for asset in range(self.engine.st.clearing.assets_count)
            if account_at(table, account_key(client, asset)) != NONE]

    def mark_price(self, uint32_t instrument):
        """(price, 1 or 2 that divides it): the operator's, else the last or the middle; 0: none."""
        cdef Market *market = self.market_at(instrument)
        cdef Book *book = self.engine.st.books + instrument
        if market.mark_price:
            return market.mark_price, 1
        if market.mark == MARK_MID and book.sides[0].best != NONE and book.sides[1].best != NONE:
            return (level_price(0, self.engine.st.levels[book.sides[0].best].key)
                    + level_price(1, self.engine.st.levels[book.sides[1].best].key)), 2
        return book.last_price, 1

    def house(self):
        """What each asset's books come to: a list of counts by account, which sum to zero."""
        cdef Clearing *clearing = self.engine.st.clearing
        cdef Asset *books
        cdef uint32_t i
        rows = []
        for i in range(clearing.assets_count):
            books = clearing.assets + i
            rows.append({
                "external": whole(books.external), "fees": whole(books.fees),
                "available": whole(books.available), "held": whole(books.held),
                "settling": whole(books.settling), "due": whole(books.due),
            })
        return rows

    # --- cycles ---------------------------------------------------------------------------

    @property
    def last_cycle(self):
        """The number of the last closed cycle, 0: none."""
        return self.engine.st.clearing.last_cycle

    @property
    def last_closed_ns(self):
        """When a cycle was closed last, ns since 1970 UTC; 0: never."""
        cdef Clearing *clearing = self.engine.st.clearing
        if not clearing.cycles_count:
            return 0
        return clearing.cycles[clearing.cycles_count - 1].closed_ns

    def cycle_numbers(self):
        """The numbers of the closed cycles that are kept, the newest first."""
        cdef Clearing *clearing = self.engine.st.clearing
        cdef uint32_t i
        return [clearing.cycles[i].id for i in range(clearing.cycles_count)][::-1]

    @property
    def cutoff_s(self):
        """Seconds after 00:00 UTC at which cycles close by themselves, -1: none."""
        cdef int64_t cutoff_ns = self.engine.st.clearing.cutoff_ns
        return cutoff_ns // 1000000000 if cutoff_ns >= 0 else -1

    @property
    def next_cutoff_ns(self):
        """When the next cut-off is due, ns since 1970 UTC; 0: none is set."""
        cdef State *st = self.engine.st
        cdef uint32_t at = st.clearing.cutoff_due_at
        return 0 if at == NONE else st.due[at].time_ns

    @property
    def last_cutoff(self):
        """What came of the last cut-off under rules from 3 on, None: there was none.

        (when it was due, ns since 1970 UTC; the number its cycle has, or was to have; 0, or the
        `Reason` why none closed).
        """
        cdef Clearing *clearing = self.engine.st.clearing
        if not clearing.cutoff_last_ns:
            return None
        return (clearing.cutoff_last_ns, clearing.cutoff_last_cycle,
                int(clearing.cutoff_last_reason))

    def open_cycle(self):
        """What the open cycle would come to now: (obligations, totals by instrument)."""
        cdef uint32_t count, i
        cdef bint fits
        cdef Clearing *clearing = self.engine.st.clearing
        cdef Obligation *rows = net(self.engine.st, &count, &fits)
        try:
            return (obligation_rows(rows, count) if fits else self.whole_cycle(),
                    [totals_row(&clearing.markets[i].totals)
                     for i in range(clearing.markets_count)])
        finally:
            free(rows)

    def busted(self):
        """(seq, index, instrument) of every trade that was taken back, by seq and index."""
        cdef Clearing *clearing = self.engine.st.clearing
        cdef uint32_t i
        return [(int(clearing.busted[i].seq), int(clearing.busted[i].index),
                 int(clearing.busted[i].instrument)) for i in range(clearing.busted_count)]

    cdef list whole_cycle(self):
        """The obligations of a cycle that comes to too much to be closed, exact."""
        cdef Clearing *clearing = self.engine.st.clearing
        cdef Account *position
        cdef Settled *settled
        cdef Market *market
        cdef uint32_t i
        sums = {}
        for i in range(clearing.positions.count):
            position = clearing.positions.accounts + i
            settled = clearing.settled + i
            market = clearing.markets + <uint32_t>position.key
            client = int(position.key >> 32)
            lots = whole(position.lots) - whole(settled.lots)
            cash = whole(position.realized) - whole(position.basis) - whole(settled.cash)
            base, quote = (client, int(market.base)), (client, int(market.quote))
            sums[base] = sums.get(base, 0) + lots * whole(market.lot_units)
            sums[quote] = (
                sums.get(quote, 0) + cash * market.quote_units - whole(settled.fees_due))
        return [(*place, units) for place, units in sorted(sums.items()) if units]

    def cycles(self):
        """The closed cycles that are kept, the newest first, without their obligations."""
        cdef Clearing *clearing = self.engine.st.clearing
        cdef uint32_t i
        return [cycle_row(clearing.cycles + i) for i in range(clearing.cycles_count)][::-1]

    def cycle(self, uint64_t number):
        """(the cycle, its obligations), or None; an obligation is (client, asset, units)."""
        cdef Cycle *cycle = cycle_of(self.engine.st, number)
        if cycle == NULL:
            return None
        return cycle_row(cycle), obligation_rows(cycle.obligations, cycle.obligations_count)
