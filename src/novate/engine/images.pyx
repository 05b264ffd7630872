# cython: language_level=3
"""Pictures of orders and trades at a moment, and the JSON that is made of them.

An image is filled from the live state or from its packed form, which journals keep as the outcome
of a command with an idempotency key; both give the same bytes of JSON. Decides nothing.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, strlen

from novate.engine.state cimport (
    CLOSED, FILLED, NONE, REJECTED, WORKING, Closed, Extra, Order, State, Taker, closed_at, grow,
    i128, name_text, order_price, order_unfilled,
)
from novate.model.codec cimport write_decimal, write_integer, write_time, write_uuid
from novate.model.records cimport (
    BOOK_EXHAUSTED, ID_NUMBER, ID_TEXT, ID_UUID, IMMEDIATE_OR_CANCEL, MARKET,
)

from novate.model.rejects import REASONS

cdef const char *SIDES[2]
SIDES[0] = b"buy"
SIDES[1] = b"sell"
cdef const char *TYPES[2]
TYPES[0] = b"limit"
TYPES[1] = b"market"
cdef const char *FORCES[3]
FORCES[0] = b"gtc"
FORCES[1] = b"ioc"
FORCES[2] = b"fok"

_names = {int(reason): reason.name.lower().encode() for reason in REASONS}
cdef const char *REASON_NAMES[256]
cdef int _i
for _i in range(256):
    _names.setdefault(_i, b"unknown")
    REASON_NAMES[_i] = <bytes>_names[_i]


# --- a buffer that grows --------------------------------------------------------------------

cdef void reserve(Out *out, size_t size) noexcept nogil:
    """Make room for `size` bytes more."""
    if out.used + size > out.capacity:
        out.capacity = max(out.capacity * 2, out.used + size + 4096)
        out.bytes = <char *>grow(out.bytes, out.capacity)


cdef void put_bytes(Out *out, const char *text, size_t size) noexcept nogil:
    reserve(out, size)
    memcpy(out.bytes + out.used, text, size)
    out.used += size


cdef void put_text(Out *out, const char *text) noexcept nogil:
    put_bytes(out, text, strlen(text))


cdef void put_number(Out *out, int64_t value) noexcept nogil:
    reserve(out, 24)
    out.used += write_integer(out.bytes + out.used, value)


cdef void put_decimal(Out *out, i128 value, int64_t coefficient, int exponent) noexcept nogil:
    """Write value * coefficient * 10**-exponent."""
    reserve(out, 80)
    out.used += write_decimal(out.bytes + out.used, value * coefficient, exponent)


cdef void put_time(Out *out, int64_t time_us) noexcept nogil:
    reserve(out, 32)
    out.bytes[out.used] = c'"'
    out.used += 1
    out.used += write_time(out.bytes + out.used, time_us)
    out.bytes[out.used] = c'"'
    out.used += 1


cdef void put_id(Out *out, Name *name) noexcept nogil:
    """Write an id as a JSON string; ids hold nothing that needs escaping."""
    reserve(out, 72)
    out.bytes[out.used] = c'"'
    out.used += 1
    if name.kind == ID_NUMBER:
        out.used += write_integer(out.bytes + out.used, <int64_t>name.number)
    elif name.kind == ID_UUID:
        out.used += write_uuid(out.bytes + out.used, name.text)
    else:
        memcpy(out.bytes + out.used, name.text, name.length)
        out.used += name.length
    out.bytes[out.used] = c'"'
    out.used += 1


# --- images of the live state ---------------------------------------------------------------

cdef void name_of(State *st, int kind, uint64_t name, Name *out) noexcept nogil:
    """The name of an order or a trade's side; its text lives as long as its cell."""
    out.kind = kind
    out.number = name
    out.length = 0
    out.text = NULL
    if kind != ID_NUMBER:
        out.text = name_text(st, kind, name, &out.length)


cdef void client_of(State *st, uint32_t client, Name *out) noexcept nogil:
    """A client's name, or its number where it has none."""
    if st.clients[client].name:
        name_of(st, ID_TEXT, st.clients[client].name, out)
    else:
        name_of(st, ID_NUMBER, client, out)


cdef void image_identity(State *st, Taker *order, OrderImage *image) noexcept nogil:
    """What every order has; of `order` only its identity is looked at."""
    image.created_us = order.created_us
    image.instrument = order.instrument
    image.side = order.side
    image.order_type = order.order_type
    image.time_in_force = order.time_in_force
    image.state = order.state
    image.by_quote = order.by_quote
    name_of(st, order.id_kind, order.id, &image.order_id)
    client_of(st, order.client, &image.client_id)


cdef void order_image(State *st, uint32_t at, OrderImage *image) noexcept nogil:
    """The order that stands there (a slot, or a place among the closed) as it is now."""
    cdef Order *order
    cdef Extra *extra
    if at & CLOSED:
        closed_image(st, closed_at(st, at), image)
        return
    order = &st.orders[at]
    image_identity(st, <Taker *>order, image)
    image.price = order_price(st, order)
    image.remaining = order_unfilled(st, order)
    image.quote_units = 0
    image.reason = 0
    if order.extra == NONE:
        image.notional = 0
        image.filled = 0
        image.updated_us = order.created_us
        image.updated_seq = order.seq
    else:
        extra = &st.extras[order.extra]
        image.notional = extra.notional
        image.filled = extra.filled
        image.updated_us = extra.updated_us
        image.updated_seq = extra.updated_seq


cdef void closed_image(State *st, Closed *order, OrderImage *image) noexcept nogil:
    image_identity(st, <Taker *>order, image)
    image.price = 0 if order.by_quote else order.price
    image.remaining = 0 if order.by_quote else order.remaining
    image.quote_units = order.quote_units if order.by_quote else 0
    image.notional = order.notional
    image.filled = order.filled
    image.updated_us = order.updated_us
    image.updated_seq = order.updated_seq
    image.reason = order.reason


cdef void name_at(State *st, uint32_t at, Name *name) noexcept nogil:
    """The id of the order that stands there."""
    if at & CLOSED:
        name_of(st, closed_at(st, at).id_kind, closed_at(st, at).id, name)
    else:
        name_of(st, st.orders[at].id_kind, st.orders[at].id, name)


cdef uint32_t client_at(State *st, uint32_t at) noexcept nogil:
    """The number of the client whose order stands there."""
    return closed_at(st, at).client if at & CLOSED else st.orders[at].client


# --- JSON -----------------------------------------------------------------------------------

cdef const char *status_of(OrderImage *image) noexcept nogil:
    """The API's status of an order."""
    if image.state == WORKING:
        return b"partially_filled" if image.filled else b"open"
    if image.state == FILLED:
        return b"filled"
    if image.state == REJECTED:
        return b"rejected"
    if image.filled and (image.reason == IMMEDIATE_OR_CANCEL or image.reason == BOOK_EXHAUSTED):
        return b"partially_filled"
    return b"cancelled"


cdef void put_average(Out *out, OrderImage *image, Grid *grid) noexcept nogil:
    """The average price, rounded half-even to the tick's decimals and four more; or null."""
    cdef i128 whole, rest, part
    if image.filled == 0:
        put_text(out, b"null")
        return
    whole = (image.notional // image.filled) * grid.tick_coefficient * 10000
    rest = (image.notional % image.filled) * grid.tick_coefficient * 10000
    part = rest // image.filled
    rest = (rest % image.filled) * 2
    if rest > image.filled or (rest == image.filled and (whole + part) % 2 != 0):
        part += 1
    put_decimal(out, whole + part, 1, grid.tick_exponent + 4)


cdef void put_quantities(Out *out, OrderImage *image, Grid *grid) noexcept nogil:
    """quantity to average_price; an order by quote quantity has no quantity of its own."""
    if image.by_quote:
        put_text(out, b',"quantity":null,"filled_quantity":')
        put_decimal(out, image.filled, grid.lot_coefficient, grid.lot_exponent)
        put_text(out, b',"remaining_quantity":null,"quote_quantity":')
        put_decimal(out, image.quote_units, 1, grid.quote_scale)
        put_text(out, b',"filled_quote_quantity":')
        put_decimal(out, image.notional, grid.quote_units, grid.quote_scale)
    else:
        put_text(out, b',"quantity":')
        put_decimal(out, <i128>image.remaining + image.filled, grid.lot_coefficient,
                    grid.lot_exponent)
        put_text(out, b',"filled_quantity":')
        put_decimal(out, image.filled, grid.lot_coefficient, grid.lot_exponent)
        put_text(out, b',"remaining_quantity":')
        put_decimal(out, image.remaining, grid.lot_coefficient, grid.lot_exponent)
    put_text(out, b',"average_price":')
    put_average(out, image, grid)


cdef void put_order(Out *out, OrderImage *image, Grid *grid) noexcept nogil:
    """Write an order as JSON, all but the closing brace."""
    put_text(out, b'{"order_id":')
    put_id(out, &image.order_id)
    put_text(out, b',"client_id":')
    put_id(out, &image.client_id)
    put_text(out, b',"instrument":')
    put_bytes(out, grid.name, grid.name_size)
    put_text(out, b',"side":"')
    put_text(out, SIDES[image.side])
    put_text(out, b'","type":"')
    put_text(out, TYPES[image.order_type])
    put_text(out, b'","time_in_force":"')
    put_text(out, FORCES[image.time_in_force])
    put_text(out, b'","price":')
    if image.order_type == MARKET:
        put_text(out, b"null")
    else:
        put_decimal(out, image.price, grid.tick_coefficient, grid.tick_exponent)
    put_quantities(out, image, grid)
    put_text(out, b',"status":"')
    put_text(out, status_of(image))
    put_text(out, b'","working":true,"reason":' if image.state == WORKING
             else b'","working":false,"reason":')
    if image.reason:
        put_text(out, b'"')
        put_text(out, REASON_NAMES[image.reason])
        put_text(out, b'"')
    else:
        put_text(out, b"null")
    put_text(out, b',"created_at":')
    put_time(out, image.created_us)
    put_text(out, b',"updated_at":')
    put_time(out, image.updated_us)
    put_text(out, b',"sequence":')
    put_number(out, <int64_t>image.updated_seq)


cdef void put_trade_id(Out *out, int partition, uint64_t seq, uint32_t index) noexcept nogil:
    """Write a trade's id: partition, sequence, place among the command's trades."""
    put_text(out, b'"')
    put_number(out, partition)
    put_text(out, b"-")
    put_number(out, <int64_t>seq)
    put_text(out, b"-")
    put_number(out, index)
    put_text(out, b'"')


cdef void put_trade(Out *out, TradeImage *trade, Grid *grid, int partition) noexcept nogil:
    """Write a trade as JSON, all but the closing brace."""
    cdef bint bought = trade.taker_side == 0
    put_text(out, b'{"trade_id":')
    put_trade_id(out, partition, trade.seq, trade.index)
    put_text(out, b',"instrument":')
    put_bytes(out, grid.name, grid.name_size)
    put_text(out, b',"price":')
    put_decimal(out, trade.price, grid.tick_coefficient, grid.tick_exponent)
    put_text(out, b',"quantity":')
    put_decimal(out, trade.quantity, grid.lot_coefficient, grid.lot_exponent)
    put_text(out, b',"buy_order_id":')
    put_id(out, &trade.taker_id if bought else &trade.maker_id)
    put_text(out, b',"sell_order_id":')
    put_id(out, &trade.maker_id if bought else &trade.taker_id)
    put_text(out, b',"taker_side":"')
    put_text(out, SIDES[trade.taker_side])
    put_text(out, b'","timestamp":')
    put_time(out, trade.time_us)
    put_text(out, b',"sequence":')
    put_number(out, <int64_t>trade.seq)


# --- packed images --------------------------------------------------------------------------

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
    if size < whole or packed.side > 1 or packed.order_type > 1 or packed.time_in_force > 2:
        return 0
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
    trade.maker_id.kind = packed.maker_id_kind
    trade.maker_id.number = packed.maker_number
    trade.maker_id.length = packed.maker_id_length
    trade.maker_id.text = packed_bytes + sizeof(PackedTrade)
    trade.taker_id = taker.order_id
    return sizeof(PackedTrade) + packed.maker_id_length
