# cython: language_level=3
"""The packed form of images: what journals keep as the outcome of a command with a key.

A form that was once written is read for ever. Decides nothing.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from novate.engine.images cimport Name, OrderImage, Out, TradeImage, put_bytes
from novate.engine.state cimport i128
from novate.model.records cimport ID_NUMBER


cdef packed struct PackedOrder:
    i128 notional, quote_units
    int64_t price, remaining, filled, created_us, updated_us
    uint64_t updated_seq, order_number, client_number
    uint32_t instrument
    uint8_t side, order_type, time_in_force, state, by_quote, reason
    uint8_t order_id_kind, order_id_length, client_id_kind, client_id_length


cdef packed struct PackedTrade:
    int64_t price, quantity
    uint64_t maker_number
    uint8_t maker_id_kind, maker_id_length


cdef void pack_order(Out *out, OrderImage *image) noexcept nogil:
    """Append the image: a fixed part, then the two ids' bytes."""
    cdef PackedOrder packed
    packed.notional = image.notional
    packed.quote_units = image.quote_units
    packed.price = image.price
    packed.remaining = image.remaining
    packed.filled = image.filled
    packed.created_us = image.created_us
    packed.updated_us = image.updated_us
    packed.updated_seq = image.updated_seq
    packed.order_number = image.order_id.number if image.order_id.kind == ID_NUMBER else 0
    packed.client_number = image.client_id.number if image.client_id.kind == ID_NUMBER else 0
    packed.instrument = image.instrument
    packed.side = image.side
    packed.order_type = image.order_type
    packed.time_in_force = image.time_in_force
    packed.state = image.state
    packed.by_quote = image.by_quote
    packed.reason = image.reason
    packed.order_id_kind = image.order_id.kind
    packed.order_id_length = image.order_id.length
    packed.client_id_kind = image.client_id.kind
    packed.client_id_length = image.client_id.length
    put_bytes(out, <char *>&packed, sizeof(PackedOrder))
    put_bytes(out, <char *>image.order_id.text, image.order_id.length)
    put_bytes(out, <char *>image.client_id.text, image.client_id.length)


cdef size_t unpack_order(const uint8_t *packed_bytes, size_t size,
                         OrderImage *image) noexcept nogil:
    """Read an image back; its names point into the bytes. Bytes used, 0 where they fall short."""
    cdef PackedOrder packed
    cdef size_t whole
    if size < sizeof(PackedOrder):
        return 0
    memcpy(&packed, packed_bytes, sizeof(PackedOrder))
    whole = sizeof(PackedOrder) + packed.order_id_length + packed.client_id_length
    if size < whole or packed.side > 1 or packed.order_type > 3 or packed.time_in_force > 4:
        return 0
    image.has_terms = 0
    image.notional = packed.notional
    image.quote_units = packed.quote_units
    image.price = packed.price
    image.remaining = packed.remaining
    image.filled = packed.filled
    image.created_us = packed.created_us
    image.updated_us = packed.updated_us
    image.updated_seq = packed.updated_seq
    image.instrument = packed.instrument
    image.side = packed.side
    image.order_type = packed.order_type
    image.time_in_force = packed.time_in_force
    image.state = packed.state
    image.by_quote = packed.by_quote
    image.reason = packed.reason
    image.order_id.kind = packed.order_id_kind
    image.order_id.number = packed.order_number
    image.order_id.length = packed.order_id_length
    image.order_id.text = packed_bytes + sizeof(PackedOrder)
    image.client_id.kind = packed.client_id_kind
    image.client_id.number = packed.client_number
    image.client_id.length = packed.client_id_length
    image.client_id.text = packed_bytes + sizeof(PackedOrder) + packed.order_id_length
    return whole


cdef void pack_trade(Out *out, TradeImage *trade) noexcept nogil:
    """Append what of a trade is not known from its taker's image."""
    cdef PackedTrade packed
    packed.price = trade.price
    packed.quantity = trade.quantity
    packed.maker_number = trade.maker_id.number if trade.maker_id.kind == ID_NUMBER else 0
    packed.maker_id_kind = trade.maker_id.kind
    packed.maker_id_length = trade.maker_id.length
    put_bytes(out, <char *>&packed, sizeof(PackedTrade))
    put_bytes(out, <char *>trade.maker_id.text, trade.maker_id.length)


cdef size_t unpack_trade(const uint8_t *packed_bytes, size_t size, OrderImage *taker,
                         TradeImage *trade) noexcept nogil:
    """Read a trade back, all but its index. Bytes used, 0 where they fall short."""
    cdef PackedTrade packed
    if size < sizeof(PackedTrade):
        return 0
    memcpy(&packed, packed_bytes, sizeof(PackedTrade))
    if size < sizeof(PackedTrade) + packed.maker_id_length:
        return 0
    trade.price = packed.price
    trade.quantity = packed.quantity
    trade.time_us = taker.updated_us
    trade.seq = taker.updated_seq
    trade.taker_side = taker.side
    trade.auction = 0
    trade.maker_id.kind = packed.maker_id_kind
    trade.maker_id.number = packed.maker_number
    trade.maker_id.length = packed.maker_id_length
    trade.maker_id.text = packed_bytes + sizeof(PackedTrade)
    trade.taker_id = taker.order_id
    return sizeof(PackedTrade) + packed.maker_id_length


# The second form of an outcome: the order's terms stand behind it, and each trade stands whole,
# for it may be one in which the order was the maker, or one of an auction.

cdef packed struct PackedTerms:
    int64_t stop_price, display, minimum, expire_ns
    uint64_t partner_number
    uint32_t group
    uint8_t self_trade, triggered, has_partner, partner_kind, partner_length, spare


cdef packed struct PackedWholeTrade:
    int64_t price, quantity
    uint64_t maker_number, taker_number
    uint32_t index
    uint8_t taker_side, auction, maker_kind, maker_length, taker_kind, taker_length


cdef void pack_terms(Out *out, OrderImage *image) noexcept nogil:
    """Append the terms: a fixed part, then the partner's id."""
    cdef PackedTerms packed
    memset(&packed, 0, sizeof(PackedTerms))
    if image.has_terms:
        packed.stop_price = image.stop_price
        packed.display = image.display
        packed.minimum = image.minimum
        packed.expire_ns = image.expire_ns
        packed.group = image.group
        packed.self_trade = image.self_trade
        packed.triggered = image.triggered
        packed.has_partner = image.has_partner
        if image.has_partner:
            packed.partner_kind = image.partner.kind
            packed.partner_length = image.partner.length
            packed.partner_number = image.partner.number if image.partner.kind == ID_NUMBER else 0
    put_bytes(out, <char *>&packed, sizeof(PackedTerms))
    if packed.partner_length:
        put_bytes(out, <char *>image.partner.text, packed.partner_length)


cdef size_t unpack_terms(const uint8_t *packed_bytes, size_t size,
                         OrderImage *image) noexcept nogil:
    """Read terms back. Bytes used, 0 where they fall short."""
    cdef PackedTerms packed
    if size < sizeof(PackedTerms):
        return 0
    memcpy(&packed, packed_bytes, sizeof(PackedTerms))
    if size < sizeof(PackedTerms) + packed.partner_length:
        return 0
    image.has_terms = 1
    image.stop_price = packed.stop_price
    image.display = packed.display
    image.minimum = packed.minimum
    image.expire_ns = packed.expire_ns
    image.group = packed.group
    image.self_trade = packed.self_trade
    image.triggered = packed.triggered
    image.has_partner = packed.has_partner
    read_name(&image.partner, packed.partner_kind, packed.partner_number, packed.partner_length,
              packed_bytes + sizeof(PackedTerms))
    return sizeof(PackedTerms) + packed.partner_length


cdef void read_name(Name *name, int kind, uint64_t number, uint32_t length,
                    const uint8_t *text) noexcept nogil:
    name.kind = kind
    name.number = number
    name.length = length
    name.text = text


cdef void pack_whole_trade(Out *out, TradeImage *trade) noexcept nogil:
    """Append a trade of the command at hand, all but its time and seq."""
    cdef PackedWholeTrade packed
    packed.price = trade.price
    packed.quantity = trade.quantity
    packed.maker_number = trade.maker_id.number if trade.maker_id.kind == ID_NUMBER else 0
    packed.taker_number = trade.taker_id.number if trade.taker_id.kind == ID_NUMBER else 0
    packed.index = trade.index
    packed.taker_side = trade.taker_side
    packed.auction = trade.auction
    packed.maker_kind = trade.maker_id.kind
    packed.maker_length = trade.maker_id.length
    packed.taker_kind = trade.taker_id.kind
    packed.taker_length = trade.taker_id.length
    put_bytes(out, <char *>&packed, sizeof(PackedWholeTrade))
    put_bytes(out, <char *>trade.maker_id.text, trade.maker_id.length)
    put_bytes(out, <char *>trade.taker_id.text, trade.taker_id.length)


cdef size_t unpack_whole_trade(const uint8_t *packed_bytes, size_t size, OrderImage *order,
                               TradeImage *trade) noexcept nogil:
    """Read a trade of the command that left the order so. Bytes used, 0 where they fall short."""
    cdef PackedWholeTrade packed
    cdef size_t whole
    if size < sizeof(PackedWholeTrade):
        return 0
    memcpy(&packed, packed_bytes, sizeof(PackedWholeTrade))
    whole = sizeof(PackedWholeTrade) + packed.maker_length + packed.taker_length
    if size < whole or packed.taker_side > 1:
        return 0
    trade.price = packed.price
    trade.quantity = packed.quantity
    trade.time_us = order.updated_us
    trade.seq = order.updated_seq
    trade.index = packed.index
    trade.taker_side = packed.taker_side
    trade.auction = packed.auction
    read_name(&trade.maker_id, packed.maker_kind, packed.maker_number, packed.maker_length,
              packed_bytes + sizeof(PackedWholeTrade))
    read_name(&trade.taker_id, packed.taker_kind, packed.taker_number, packed.taker_length,
              packed_bytes + sizeof(PackedWholeTrade) + packed.maker_length)
    return whole
