# cython: language_level=3
"""Clearing's commands whose text is JSON, and an instrument's market: from the model to C.

Called for commands alone that are seldom, with the interpreter at hand.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from novate.engine.accounts cimport CHARGED, CLEARED, FUNDED, SOME_FUNDED, TIERS, USED, WIDE
from novate.engine.clearing cimport Correction, correct_trade
from novate.engine.state cimport (
    NONE, Asset, Book, Clearing, Market, event_new, grow, i128,
)
from novate.model.records cimport (
    ASSET_CONFLICT, CLEARING_SET, COMMAND_REFUSED, MALFORMED_COMMAND, MARK_LAST, MARK_MID,
    ORDERS_OPEN, SET_CLEARING, UNKNOWN_INSTRUMENT,
)

import msgspec

from novate.model.clearing import (
    ClearingTerms, FeeTier, TradeCorrection, base_scale, lot_units,
)

_UNITS_MAX = 10**33
_INT64_MAX = 2**63 - 1


cdef void refused(State *st, int reason) noexcept:
    event_new(st, COMMAND_REFUSED, NONE).reason = reason


cdef i128 units_of(object number):
    """A number of up to 127 bits and its sign."""
    cdef uint64_t low = number & 0xFFFFFFFFFFFFFFFF
    cdef int64_t high = number >> 64
    return high * (<i128>1 << 64) + low  # a negative number is not shifted in C


# --- markets --------------------------------------------------------------------------------

cdef uint32_t asset_of(State *st, dict assets, str name, int scale) except 0xFFFFFFFF:
    """The number of an asset; one name with two scales is two assets."""
    cdef Clearing *clearing = st.clearing
    if (name, scale) in assets:
        return assets[name, scale]
    if clearing.assets_count == clearing.assets_capacity:
        clearing.assets_capacity = max(<uint32_t>16, clearing.assets_capacity * 2)
        clearing.assets = <Asset *>grow(
            clearing.assets, <size_t>clearing.assets_capacity * sizeof(Asset))
    memset(clearing.assets + clearing.assets_count, 0, sizeof(Asset))
    clearing.assets[clearing.assets_count].scale = scale
    assets[name, scale] = int(clearing.assets_count)
    clearing.assets_count += 1
    return clearing.assets_count - 1


cdef int market_install(State *st, object instrument, dict assets) except -1:
    """Lay down the market of an instrument that was made just now."""
    cdef Clearing *clearing = st.clearing
    cdef Market *market
    if clearing.markets_count == clearing.markets_capacity:
        clearing.markets_capacity = max(<uint32_t>16, clearing.markets_capacity * 2)
        clearing.markets = <Market *>grow(
            clearing.markets, <size_t>clearing.markets_capacity * sizeof(Market))
    market = clearing.markets + clearing.markets_count
    memset(market, 0, sizeof(Market))
    market.lot_units = units_of(lot_units(instrument))
    market.quote_units = instrument.quote_units
    market.base = asset_of(st, assets, instrument.base, base_scale(instrument))
    market.quote = asset_of(st, assets, instrument.quote, instrument.quote_scale)
    clearing.markets_count += 1
    return 0


# --- commands -------------------------------------------------------------------------------

cdef object decoded(bytes text, object kind):
    """A command's text as a struct, or None where it does not read."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


cdef int clearing_command(State *st, Command *command, bytes text, list instruments) except -1:
    """Carry out a SET_CLEARING or a CORRECT_TRADE."""
    if command.kind == SET_CLEARING:
        set_clearing(st, command, decoded(text, ClearingTerms), instruments)
    else:
        correct(st, decoded(text, TradeCorrection))
    return 0


def conflicts(instrument, instruments):
    """Whether an asset of an instrument has another scale in one of the others."""
    scales = {}
    for each in instruments:
        scales.setdefault(each.base, set()).add(base_scale(each))
        scales.setdefault(each.quote, set()).add(each.quote_scale)
    return len(scales[instrument.base]) > 1 or len(scales[instrument.quote]) > 1


cdef bint is_wide(object instrument):
    """Whether the instrument's bounds allow an order worth more than accounts take."""
    return (
        instrument.price_ticks_max * instrument.quantity_lots_max * instrument.quote_units
        > _UNITS_MAX or instrument.quantity_lots_max * lot_units(instrument) > _UNITS_MAX)


cdef int flags_of(object terms, object instrument):
    flags = CLEARED
    if terms.mode == "funded":
        flags |= FUNDED
    if any(each.maker or each.taker for each in terms.tiers):
        flags |= CHARGED
    return flags | (WIDE if is_wide(instrument) else 0)


cdef int set_clearing(State *st, Command *command, object terms, list instruments) except -1:
    """SET_CLEARING: an instrument's terms anew; what was cleared before stays as it is."""
    cdef Book *book
    cdef Market *market
    cdef int flags
    if terms is None or not terms.sound():
        refused(st, MALFORMED_COMMAND)
        return 0
    if command.instrument >= st.books_count:
        refused(st, UNKNOWN_INSTRUMENT)
        return 0
    book = &st.books[command.instrument]
    market = st.clearing.markets + command.instrument
    flags = flags_of(terms, instruments[command.instrument])
    if flags & FUNDED and conflicts(instruments[command.instrument], instruments):
        refused(st, ASSET_CONFLICT)
        return 0
    if book.open and ((flags | book.clears) & FUNDED or flags & ~book.clears & WIDE):
        if flags != book.clears or terms.tiers != terms_of(market).tiers:
            refused(st, ORDERS_OPEN)
            return 0
    book.clears = flags
    market.flags = flags
    market.mark = MARK_MID if terms.mark == "mid" else MARK_LAST
    install_tiers(market, terms.tiers)
    st.clearing.used |= USED | (SOME_FUNDED if flags & FUNDED else 0)
    event_new(st, CLEARING_SET, NONE).instrument = command.instrument
    return 0


cdef int install_tiers(Market *market, object tiers) except -1:
    cdef uint32_t i
    market.tiers = len(tiers)
    for i in range(TIERS):
        tier = tiers[i if i < market.tiers else 0] if market.tiers else None
        market.rates[i][0] = tier.maker if tier else 0
        market.rates[i][1] = tier.taker if tier else 0
    return 0


cdef object terms_of(const Market *market):
    """The terms in force."""
    return ClearingTerms(
        mode="funded" if market.flags & FUNDED else "open",
        tiers=tuple([
            FeeTier(market.rates[i][0], market.rates[i][1]) for i in range(market.tiers)]),
        mark="mid" if market.mark == MARK_MID else "last",
    )


cdef int correct(State *st, object asked) except -1:
    """CORRECT_TRADE, with its numbers brought into C's."""
    cdef Correction correction
    if asked is None or not all([
        0 <= each <= most for each, most in (
            (asked.seq, _INT64_MAX), (asked.index, 2**32 - 1), (asked.instrument, 2**32 - 1),
            (asked.buyer, 2**32 - 1), (asked.seller, 2**32 - 1),
            (asked.price_ticks, _INT64_MAX), (asked.quantity_lots, _INT64_MAX),
            (asked.new_price_ticks, _INT64_MAX), (asked.new_quantity_lots, _INT64_MAX),
        )]) or any([
            abs(each) > _UNITS_MAX for each in (
                asked.buyer_fee, asked.seller_fee, asked.new_buyer_fee, asked.new_seller_fee)]):
        refused(st, MALFORMED_COMMAND)
        return 0
    correction.seq = asked.seq
    correction.index = asked.index
    correction.instrument = asked.instrument
    correction.buyer = asked.buyer
    correction.seller = asked.seller
    correction.price = asked.price_ticks
    correction.lots = asked.quantity_lots
    correction.new_price = asked.new_price_ticks
    correction.new_lots = asked.new_quantity_lots
    correction.buyer_fee = units_of(asked.buyer_fee)
    correction.seller_fee = units_of(asked.seller_fee)
    correction.new_buyer_fee = units_of(asked.new_buyer_fee)
    correction.new_seller_fee = units_of(asked.new_seller_fee)
    correct_trade(st, &correction)
    return 0
