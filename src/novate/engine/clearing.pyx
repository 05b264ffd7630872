# cython: language_level=3
"""The clearing house's commands: funds in and out, marks and tiers, trades taken back."""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memmove, memset

from novate.engine.accounts cimport (
    AVAILABLE, BUST_ENTRY, CLEARING_HOUSE, DEPOSIT_ENTRY, DUE, EXTERNAL, FEE_ENTRY, FUNDED, HOUSE,
    REFUND_ENTRY, TIERS, TRADE_ENTRY, UNITS_MAX, USED, WITHDRAWAL_ENTRY, available, charge,
    check_asset, market_trade, move_available, positions_traded, post_pair, times,
)
from novate.engine.form cimport quote_budget
from novate.engine.state cimport (
    NONE, Asset, Book, Busted, Clearing, Event, Market, event_new, grow,
)
from novate.engine.venue cimport client_known
from novate.model.records cimport (
    BALANCE_LIMIT, BUSTS_LIMIT, COMMAND_REFUSED, DEPOSIT, DEPOSITED, INSUFFICIENT_FUNDS,
    MALFORMED_COMMAND, MARK_SET, NOT_CLEARED, ORDERS_OPEN, OUT_OF_BOUNDS, TIER_SET, TRADE_BUSTED,
    TRADE_BUSTED_ALREADY, TRADE_CORRECTED, UNKNOWN_ASSET, UNKNOWN_INSTRUMENT, WITHDRAWN,
)

cdef i128 TOTAL_MAX = <i128>1 << 122
"""Most units of an asset that all clients may have in the house together."""


cdef void refused(State *st, int reason) noexcept nogil:
    event_new(st, COMMAND_REFUSED, NONE).reason = reason


# --- funds in and out -----------------------------------------------------------------------

cdef bint funds_malformed(State *st, const Command *command) noexcept nogil:
    """Whether a DEPOSIT or WITHDRAW has no amount that can be."""
    cdef i128 units = quote_budget(command)
    return units <= 0 or units > UNITS_MAX or command.client_id_length > 64


cdef void move_funds(State *st, const Command *command, uint32_t client) noexcept nogil:
    """DEPOSIT, WITHDRAW: units of an asset come in or go out."""
    cdef i128 units = quote_budget(command)
    cdef bint comes = command.kind == DEPOSIT
    cdef uint32_t asset = command.instrument
    cdef Asset *books
    cdef Event *event
    if asset >= st.clearing.assets_count:
        refused(st, UNKNOWN_ASSET)
        return
    books = st.clearing.assets + asset
    if comes and units - books.external > TOTAL_MAX:
        refused(st, BALANCE_LIMIT)
        return
    if not comes and units > available(st, client, asset):
        refused(st, INSUFFICIENT_FUNDS)
        return
    if not comes:
        units = -units
    move_available(st, client, asset, units)
    books.external -= units
    post_pair(st, DEPOSIT_ENTRY if comes else WITHDRAWAL_ENTRY, EXTERNAL, HOUSE, AVAILABLE, client,
              asset, units, st.seq, 0)
    check_asset(st, asset)
    event = event_new(st, DEPOSITED if comes else WITHDRAWN, NONE)
    event.instrument = asset
    event.client = client
    event.price_ticks = <int64_t>command.quote_units_low
    event.quantity_lots = command.quote_units_high


# --- marks and tiers ------------------------------------------------------------------------

cdef void set_mark(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """SET_MARK: the operator's mark price of an instrument; 0 takes it back."""
    cdef Event *event
    if command.instrument >= st.books_count:
        refused(st, UNKNOWN_INSTRUMENT)
        return
    if not 0 <= command.price_ticks <= st.books[command.instrument].price_max:
        refused(st, OUT_OF_BOUNDS)
        return
    if not st.books[command.instrument].clears:
        refused(st, NOT_CLEARED)
        return
    st.clearing.markets[command.instrument].mark_price = command.price_ticks
    event = event_new(st, MARK_SET, NONE)
    event.instrument = command.instrument
    event.price_ticks = command.price_ticks


cdef bint holds_orders(State *st, uint32_t client) noexcept nogil:
    """Whether a client has open orders that funds are held for."""
    cdef uint32_t slot = st.clients[client].newest_open
    while slot != NONE:
        if st.books[st.orders[slot].instrument].clears & FUNDED:
            return True
        slot = st.links[slot].open_next
    return False


cdef int set_client_tier(State *st, uint32_t client, uint32_t tier) noexcept nogil:
    """Put a client into a tier."""
    cdef Clearing *clearing = st.clearing
    cdef uint32_t capacity
    if client >= clearing.tiers_capacity:
        if tier == 0:
            return 0
        capacity = max(client + 1, clearing.tiers_capacity * 2)
        clearing.tiers = <uint8_t *>grow(clearing.tiers, capacity)
        memset(clearing.tiers + clearing.tiers_capacity, 0, capacity - clearing.tiers_capacity)
        clearing.tiers_capacity = capacity
    clearing.tiers[client] = tier
    clearing.used |= USED
    return 0


cdef void set_tier(State *st, Command *command, const uint8_t *text) noexcept nogil:
    """SET_TIER: the tier of a client's fees."""
    cdef uint32_t client
    cdef Event *event
    if not 0 <= command.quantity_lots < TIERS or command.client_id_length > 64:
        refused(st, MALFORMED_COMMAND)
        return
    client = client_known(st, command, text)
    if client == NONE:
        return
    if holds_orders(st, client):
        refused(st, ORDERS_OPEN)
        return
    set_client_tier(st, client, command.quantity_lots)
    event = event_new(st, TIER_SET, NONE)
    event.client = client
    event.quantity_lots = command.quantity_lots


# --- busts and corrections ------------------------------------------------------------------

cdef uint32_t busted_at(State *st, uint64_t seq, uint32_t index) noexcept nogil:
    """Where among the busted trades the first stands that is not before this one."""
    cdef Busted *busted = st.clearing.busted
    cdef uint32_t low = 0, high = st.clearing.busted_count, middle
    while low < high:
        middle = (low + high) >> 1
        if busted[middle].seq < seq or (
                busted[middle].seq == seq and busted[middle].index < index):
            low = middle + 1
        else:
            high = middle
    return low


cdef bint is_busted(State *st, uint64_t seq, uint32_t index) noexcept nogil:
    """Whether a trade was taken back, or corrected."""
    cdef uint32_t at = busted_at(st, seq, index)
    if at == st.clearing.busted_count:
        return False
    return st.clearing.busted[at].seq == seq and st.clearing.busted[at].index == index


cdef void note_busted(State *st, const Correction *asked) noexcept nogil:
    cdef Clearing *clearing = st.clearing
    cdef uint32_t at = busted_at(st, asked.seq, asked.index)
    if clearing.busted_count == clearing.busted_capacity:
        clearing.busted_capacity = max(<uint32_t>64, clearing.busted_capacity * 2)
        clearing.busted = <Busted *>grow(
            clearing.busted, <size_t>clearing.busted_capacity * sizeof(Busted))
    memmove(clearing.busted + at + 1, clearing.busted + at,
            <size_t>(clearing.busted_count - at) * sizeof(Busted))
    clearing.busted[at].seq = asked.seq
    clearing.busted[at].index = asked.index
    clearing.busted[at].instrument = asked.instrument
    clearing.busted_count += 1
    clearing.used |= USED


cdef i128 worth(State *st, uint32_t instrument, int64_t price, int64_t lots) noexcept nogil:
    """Quote units of a trade, or -1 where they are more than accounts take."""
    cdef i128 units
    if not times(<i128>price * lots, st.books[instrument].quote_units, &units):
        return -1
    return units if units <= UNITS_MAX else -1


cdef bint fee_fits(i128 fee, i128 units) noexcept nogil:
    return -units <= fee <= units


cdef int correction_fault(State *st, const Correction *asked) noexcept nogil:
    """0, or why this can't be a trade that is taken back, and one in its place."""
    cdef Book *book
    cdef i128 units
    if asked.instrument >= st.books_count:
        return UNKNOWN_INSTRUMENT
    book = &st.books[asked.instrument]
    if asked.buyer >= st.clients_count or asked.seller >= st.clients_count or (
            not 0 < asked.seq < st.seq):
        return MALFORMED_COMMAND
    if not 1 <= asked.price <= book.price_max or not 1 <= asked.lots <= book.lots_max:
        return OUT_OF_BOUNDS
    if asked.new_lots and (not 1 <= asked.new_price <= book.price_max
                           or not 1 <= asked.new_lots <= book.lots_max):
        return OUT_OF_BOUNDS
    units = worth(st, asked.instrument, asked.price, asked.lots)
    if not fee_fits(asked.buyer_fee, units) or not fee_fits(asked.seller_fee, units):
        return OUT_OF_BOUNDS
    units = worth(st, asked.instrument, asked.new_price, asked.new_lots)
    if not fee_fits(asked.new_buyer_fee, units) or not fee_fits(asked.new_seller_fee, units):
        return OUT_OF_BOUNDS
    return 0 if book.clears else NOT_CLEARED


cdef bint affordable(State *st, const Correction *asked) noexcept nogil:
    """Whether both have what goes back, where trades are paid at the match."""
    cdef Market *market = st.clearing.markets + asked.instrument
    cdef i128 cash = worth(st, asked.instrument, asked.price, asked.lots)
    cdef i128 lots = (<i128>asked.new_lots - asked.lots) * market.lot_units
    cdef i128 buyer = asked.buyer_fee - asked.new_buyer_fee
    cdef i128 seller = asked.seller_fee - asked.new_seller_fee
    cash -= worth(st, asked.instrument, asked.new_price, asked.new_lots)
    if asked.buyer == asked.seller:
        return available(st, asked.buyer, market.quote) + buyer + seller >= 0
    return (available(st, asked.buyer, market.quote) + cash + buyer >= 0
            and available(st, asked.buyer, market.base) + lots >= 0
            and available(st, asked.seller, market.quote) - cash + seller >= 0
            and available(st, asked.seller, market.base) - lots >= 0)


cdef void exchange(State *st, uint32_t instrument, uint32_t buyer, uint32_t seller, int64_t price,
                   int64_t lots, int kind, uint64_t reference,
                   uint32_t reference_index) noexcept nogil:
    """Both legs of a trade that no order made."""
    cdef Market *market = st.clearing.markets + instrument
    cdef bint funded = st.books[instrument].clears & FUNDED
    cdef i128 units = worth(st, instrument, price, lots), base = lots * market.lot_units
    cdef int own = AVAILABLE if funded else DUE
    if funded:
        market_trade(st, instrument, buyer, seller, lots, price)
        move_available(st, buyer, market.quote, -units)
        move_available(st, buyer, market.base, base)
        move_available(st, seller, market.quote, units)
        move_available(st, seller, market.base, -base)
    else:
        positions_traded(st, instrument, buyer, seller, lots, price)
    post_pair(st, kind, own, buyer, CLEARING_HOUSE, HOUSE, market.quote, units, reference,
              reference_index)
    post_pair(st, kind, CLEARING_HOUSE, HOUSE, own, buyer, market.base, base, reference,
              reference_index)
    post_pair(st, kind, CLEARING_HOUSE, HOUSE, own, seller, market.quote, units, reference,
              reference_index)
    post_pair(st, kind, own, seller, CLEARING_HOUSE, HOUSE, market.base, base, reference,
              reference_index)


cdef void trade_said(State *st, int kind, const Correction *asked, int64_t price,
                     int64_t lots) noexcept nogil:
    cdef Event *event = event_new(st, kind, NONE)
    event.instrument = asked.instrument
    event.index = asked.index
    event.order = asked.seq
    event.client = asked.buyer
    event.taker_client = asked.seller
    event.price_ticks = price
    event.quantity_lots = lots


cdef int correction_refused(State *st, const Correction *asked) noexcept nogil:
    cdef int reason = correction_fault(st, asked)
    if reason:
        return reason
    if is_busted(st, asked.seq, asked.index):
        return TRADE_BUSTED_ALREADY
    if st.clearing.busted_count >= BUSTED_MAX:
        return BUSTS_LIMIT
    if st.books[asked.instrument].clears & FUNDED and not affordable(st, asked):
        return INSUFFICIENT_FUNDS
    return 0


cdef void correct_trade(State *st, const Correction *asked) noexcept nogil:
    """CORRECT_TRADE: the trade is reversed at its own price, and another may take its place.

    Emits TRADE_BUSTED with the fees given back behind it; then TRADE_CORRECTED, whose trade has
    the command's seq and index 0, with its fees.
    """
    cdef Market *market = st.clearing.markets + asked.instrument
    cdef uint32_t instrument = asked.instrument
    cdef int reason = correction_refused(st, asked)
    cdef bint funded
    if reason:
        refused(st, reason)
        return
    funded = st.books[instrument].clears & FUNDED
    note_busted(st, asked)
    market.totals.busts += 1
    market.totals.bust_lots += asked.lots
    market.totals.bust_turnover += <i128>asked.price * asked.lots
    trade_said(st, TRADE_BUSTED, asked, asked.price, asked.lots)
    exchange(st, instrument, asked.seller, asked.buyer, asked.price, asked.lots, BUST_ENTRY,
             asked.seq, asked.index)
    charge(st, instrument, asked.buyer, 0, -asked.buyer_fee, funded, REFUND_ENTRY, asked.seq,
           asked.index)
    charge(st, instrument, asked.seller, 1, -asked.seller_fee, funded, REFUND_ENTRY, asked.seq,
           asked.index)
    if asked.new_lots:
        market.totals.trades += 1
        market.totals.lots += asked.new_lots
        market.totals.turnover += <i128>asked.new_price * asked.new_lots
        trade_said(st, TRADE_CORRECTED, asked, asked.new_price, asked.new_lots)
        exchange(st, instrument, asked.buyer, asked.seller, asked.new_price, asked.new_lots,
                 TRADE_ENTRY, st.seq, 0)
        charge(st, instrument, asked.buyer, 0, asked.new_buyer_fee, funded, FEE_ENTRY, st.seq, 0)
        charge(st, instrument, asked.seller, 1, asked.new_seller_fee, funded, FEE_ENTRY, st.seq,
               0)
    check_asset(st, market.base)
    check_asset(st, market.quote)
