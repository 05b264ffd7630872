# cython: language_level=3
"""Pictures of orders and trades at a moment, and the JSON that is made of them.

An image is filled from the live state or from its packed form, which journals keep as the outcome
of a command with an idempotency key; both give the same bytes of JSON. Decides nothing.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, strlen

from novate.engine.state cimport (
    CLOSED, FILLED, NONE, REJECTED, WORKING, Closed, Extra, Order, Special, State, Taker,
    closed_at, grow, i128, name_text, order_price, order_special, order_unfilled,
)
from novate.model.codec cimport write_decimal, write_integer, write_time, write_uuid
from novate.model.records cimport (
    BOOK_EXHAUSTED, ID_NUMBER, ID_TEXT, ID_UUID, IMMEDIATE_OR_CANCEL, MARKET,
)

# reasons: as in novate.model.rejects
cdef enum:
    PRICE_PROTECTION = 9
    OUTSIDE_PRICE_BAND = 13
    AUCTION_OVER = 18

from novate.model.rejects import REASONS

cdef const char *SIDES[2]
SIDES[0] = b"buy"
SIDES[1] = b"sell"
cdef const char *TYPES[4]
TYPES[0] = b"limit"
TYPES[1] = b"market"
TYPES[2] = b"stop_limit"
TYPES[3] = b"stop"
cdef const char *FORCES[5]
FORCES[0] = b"gtc"
FORCES[1] = b"ioc"
FORCES[2] = b"fok"
FORCES[3] = b"day"
FORCES[4] = b"gtd"
cdef const char *SELF_TRADES[5]
SELF_TRADES[0] = b"none"
SELF_TRADES[1] = b"cancel_newest"
SELF_TRADES[2] = b"cancel_oldest"
SELF_TRADES[3] = b"cancel_both"
SELF_TRADES[4] = b"decrement"

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
    image.has_terms = 0
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
    if order.marked:
        terms_image(st, order_special(st, order), image)
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
    if order.marked:
        terms_image(st, &st.specials[order.special], image)


cdef void terms_image(State *st, Special *special, OrderImage *image) noexcept nogil:
    """What few orders have."""
    image.has_terms = 1
    image.stop_price = special.stop_price
    image.display = special.display
    image.minimum = special.minimum
    image.expire_ns = special.expire_ns
    image.group = special.group
    image.self_trade = special.self_trade
    image.triggered = special.triggered
    image.has_partner = image.state == WORKING and special.partner != NONE
    if image.has_partner:
        name_at(st, special.partner, &image.partner)


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
    if image.filled and (
            image.reason == IMMEDIATE_OR_CANCEL or image.reason == BOOK_EXHAUSTED
            or image.reason == PRICE_PROTECTION or image.reason == OUTSIDE_PRICE_BAND
            or image.reason == AUCTION_OVER):
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
    if image.order_type & MARKET:  # a stop order has no limit either
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
    if image.has_terms:
        put_terms(out, image, grid)


cdef void put_terms(Out *out, OrderImage *image, Grid *grid) noexcept nogil:
    """What few orders have, as members behind all others: those alone that the order uses."""
    if image.stop_price:
        put_text(out, b',"stop_price":')
        put_decimal(out, image.stop_price, grid.tick_coefficient, grid.tick_exponent)
        put_text(out, b',"triggered":true' if image.triggered else b',"triggered":false')
    if image.display:
        put_text(out, b',"display_quantity":')
        put_decimal(out, image.display, grid.lot_coefficient, grid.lot_exponent)
    if image.minimum:
        put_text(out, b',"minimum_quantity":')
        put_decimal(out, image.minimum, grid.lot_coefficient, grid.lot_exponent)
    if image.expire_ns:
        put_text(out, b',"expires_at":')
        put_time(out, image.expire_ns // 1000)
    if image.self_trade and image.self_trade < 5:
        put_text(out, b',"self_trade_prevention":"')
        put_text(out, SELF_TRADES[image.self_trade])
        put_text(out, b'"')
    if image.group:
        put_text(out, b',"self_trade_group":')
        put_number(out, image.group)
    if image.has_partner:
        put_text(out, b',"oco":')
        put_id(out, &image.partner)


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
    if trade.auction:
        put_text(out, b',"taker_side":null,"timestamp":')
    else:
        put_text(out, b',"taker_side":"')
        put_text(out, SIDES[trade.taker_side])
        put_text(out, b'","timestamp":')
    put_time(out, trade.time_us)
    put_text(out, b',"sequence":')
    put_number(out, <int64_t>trade.seq)
