# cython: language_level=3
"""Plain orders: the usual requests to place, read from JSON into command records in one pass.

What is plain is read here to the same command, byte for byte, as by the gateway's validation. All
else (a mistake of any kind, a rare field, an escape in a text, an instrument that is not known yet)
is only said to be not plain: validation reads it anew, and alone says what is wrong.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcmp, memset

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII

from novate.model.records cimport ID_TEXT, ID_UUID, PLACE, POST_ONLY, Command
from novate.model.codec cimport (
    READ, Decimal, i128, is_id, joined, new_uuid, read_decimal, read_uuid, scale,
)

cdef enum:
    DIGITS_MAX = 30

# The members of an order, those first that most orders have.
cdef enum:
    CLIENT_ID, INSTRUMENT, SIDE, TYPE, PRICE, QUANTITY, ORDER_ID, IDEMPOTENCY_KEY, TIME_IN_FORCE
    POST_ONLY_FIELD, QUOTE_QUANTITY, SELF_TRADE_PREVENTION, STOP_PRICE, EXPIRES_AT
    DISPLAY_QUANTITY, MINIMUM_QUANTITY, FIELDS

cdef struct Text:
    const char *at
    Py_ssize_t size

# What a value is.
cdef enum:
    ABSENT, NULL_WORD, STRING, NUMBER, TRUE_WORD, FALSE_WORD

cdef struct Value:
    int kind
    Text text           # what stands between the quotes, or the number

cdef struct Asked:
    Value[16] values    # by field

cdef struct Grid:
    uint32_t index
    int64_t tick_coefficient, lot_coefficient
    int tick_exponent, lot_exponent
    int64_t price_ticks_max, quantity_lots_min, quantity_lots_max

cdef Text[16] NAMES


cdef Text text_of(const char *text, Py_ssize_t size) noexcept nogil:
    cdef Text made
    made.at = text
    made.size = size
    return made


NAMES[CLIENT_ID] = text_of(b"client_id", 9)
NAMES[INSTRUMENT] = text_of(b"instrument", 10)
NAMES[SIDE] = text_of(b"side", 4)
NAMES[TYPE] = text_of(b"type", 4)
NAMES[PRICE] = text_of(b"price", 5)
NAMES[QUANTITY] = text_of(b"quantity", 8)
NAMES[ORDER_ID] = text_of(b"order_id", 8)
NAMES[IDEMPOTENCY_KEY] = text_of(b"idempotency_key", 15)
NAMES[TIME_IN_FORCE] = text_of(b"time_in_force", 13)
NAMES[POST_ONLY_FIELD] = text_of(b"post_only", 9)
NAMES[QUOTE_QUANTITY] = text_of(b"quote_quantity", 14)
NAMES[SELF_TRADE_PREVENTION] = text_of(b"self_trade_prevention", 21)
NAMES[STOP_PRICE] = text_of(b"stop_price", 10)
NAMES[EXPIRES_AT] = text_of(b"expires_at", 10)
NAMES[DISPLAY_QUANTITY] = text_of(b"display_quantity", 16)
NAMES[MINIMUM_QUANTITY] = text_of(b"minimum_quantity", 16)


# --- JSON, as far as it is plain --------------------------------------------------------------
#
# A scanner goes from `at` to `end` and gives the place behind what it read; NULL: not plain.

cdef inline const char *skip(const char *at, const char *end) noexcept nogil:
    """Behind white space."""
    while at < end and (at[0] == c' ' or at[0] == c'\n' or at[0] == c'\r' or at[0] == c'\t'):
        at += 1
    return at


cdef inline const char *scan_mark(const char *at, const char *end, char mark) noexcept nogil:
    """A mark, with white space around it."""
    at = skip(at, end)
    if at == end or at[0] != mark:
        return NULL
    return skip(at + 1, end)


cdef inline const char *scan_text(const char *at, const char *end, Text *out) noexcept nogil:
    """A string of printable ASCII without escapes."""
    if at == end or at[0] != c'"':
        return NULL
    at += 1
    out.at = at
    while at < end and at[0] != c'"':
        if at[0] < c' ' or at[0] > c'~' or at[0] == c'\\':
            return NULL
        at += 1
    if at == end:
        return NULL
    out.size = at - out.at
    return at + 1


cdef inline bint is_numeric(char letter) noexcept nogil:
    return (c'0' <= letter <= c'9' or letter == c'.' or letter == c'-' or letter == c'+'
            or letter == c'e' or letter == c'E')


cdef inline bint same(Text *text, const char *word, Py_ssize_t size) noexcept nogil:
    return text.size == size and memcmp(text.at, word, size) == 0


cdef const char *scan_word(const char *at, const char *end, Value *out) noexcept nogil:
    """One of the words null, true and false."""
    if end - at >= 4 and memcmp(at, b"null", 4) == 0:
        out.kind = NULL_WORD
        return at + 4
    if end - at >= 4 and memcmp(at, b"true", 4) == 0:
        out.kind = TRUE_WORD
        return at + 4
    if end - at >= 5 and memcmp(at, b"false", 5) == 0:
        out.kind = FALSE_WORD
        return at + 5
    return NULL


cdef const char *scan_value(const char *at, const char *end, Value *out) noexcept nogil:
    """A string, what may be a number, or a word."""
    if at == end:
        return NULL
    if at[0] == c'"':
        out.kind = STRING
        return scan_text(at, end, &out.text)
    if not is_numeric(at[0]):
        return scan_word(at, end, out)
    out.kind = NUMBER
    out.text.at = at
    while at < end and is_numeric(at[0]):
        at += 1
    out.text.size = at - out.text.at
    return at


cdef int field_of(Text *name) noexcept nogil:
    """The field of this name, FIELDS if it is none."""
    cdef int field
    for field in range(FIELDS):
        if same(name, NAMES[field].at, NAMES[field].size):
            return field
    return FIELDS


cdef const char *scan_order(const char *at, const char *end, Asked *asked) noexcept nogil:
    """An object with an order's members, each at most once."""
    cdef Text name
    cdef int field
    memset(asked, 0, sizeof(Asked))
    at = scan_mark(at, end, c'{')
    while at != NULL:
        at = scan_text(at, end, &name)
        if at == NULL:
            return NULL
        field = field_of(&name)
        if field == FIELDS or asked.values[field].kind != ABSENT:
            return NULL
        at = scan_mark(at, end, c':')
        if at == NULL:
            return NULL
        at = scan_value(at, end, &asked.values[field])
        if at == NULL:
            return NULL
        at = skip(at, end)
        if at < end and at[0] == c'}':
            return at + 1
        at = scan_mark(at, end, c',')
    return NULL


cdef const char *scan_operation(const char *at, const char *end, Asked *asked) noexcept nogil:
    """An operation `place`, with an order and nothing else."""
    cdef Text name
    cdef Text op
    cdef bint has_op = False, has_order = False
    at = scan_mark(at, end, c'{')
    while at != NULL:
        at = scan_text(at, end, &name)
        if at == NULL:
            return NULL
        at = scan_mark(at, end, c':')
        if at == NULL:
            return NULL
        if same(&name, b"op", 2) and not has_op:
            has_op = True
            at = scan_text(at, end, &op)
            if at == NULL or not same(&op, b"place", 5):
                return NULL
        elif same(&name, b"order", 5) and not has_order:
            has_order = True
            at = scan_order(at, end, asked)
            if at == NULL:
                return NULL
        else:
            return NULL
        at = skip(at, end)
        if at < end and at[0] == c'}':
            return at + 1 if has_op and has_order else NULL
        at = scan_mark(at, end, c',')
    return NULL


cdef const char *scan_rest(const char *at, const char *end) noexcept nogil:
    """The rest of a batch behind its operations: client_id and idempotency_key, both null."""
    cdef Text name
    cdef Value value
    cdef bint has_client = False, has_key = False
    at = skip(at, end)
    while at < end and at[0] == c',':
        at = scan_text(skip(at + 1, end), end, &name)
        if at == NULL:
            return NULL
        if same(&name, b"client_id", 9) and not has_client:
            has_client = True
        elif same(&name, b"idempotency_key", 15) and not has_key:
            has_key = True
        else:
            return NULL
        at = scan_mark(at, end, c':')
        if at == NULL:
            return NULL
        at = scan_word(at, end, &value)
        if at == NULL or value.kind != NULL_WORD:
            return NULL
        at = skip(at, end)
    at = scan_mark(at, end, c'}')
    return at if at == end else NULL


# --- an order's rules -------------------------------------------------------------------------

cdef bint read_steps(Value *value, int64_t coefficient, int exponent, int64_t least, int64_t most,
                     int64_t *out) noexcept nogil:
    """Whether a value is a whole number of steps within bounds; that number."""
    cdef Decimal number
    cdef i128 steps = 0
    if value.kind != NUMBER and value.kind != STRING:
        return False
    if value.text.size > DIGITS_MAX:
        return False
    if read_decimal(value.text.at, value.text.size, &number) != READ:
        return False
    if number.mantissa != 0:
        if number.negative or scale(&number, coefficient, exponent, &steps) != 0:
            return False
    if steps < least or steps > most:
        return False
    out[0] = <int64_t>steps
    return True


cdef inline bint not_given(Value *value) noexcept nogil:
    return value.kind == ABSENT or value.kind == NULL_WORD


cdef bint read_words(Asked *asked, Command *command) noexcept nogil:
    """Whether side, type and time in force are of this version's words; those."""
    cdef Value *side = &asked.values[SIDE]
    cdef Value *order_type = &asked.values[TYPE]
    cdef Value *time_in_force = &asked.values[TIME_IN_FORCE]
    if side.kind != STRING or order_type.kind != STRING:
        return False
    if same(&side.text, b"sell", 4):
        command.side = 1
    elif not same(&side.text, b"buy", 3):
        return False
    if same(&order_type.text, b"market", 6):
        command.order_type = 1
    elif not same(&order_type.text, b"limit", 5):
        return False
    if not_given(time_in_force):
        return True
    if time_in_force.kind != STRING:
        return False
    if same(&time_in_force.text, b"ioc", 3):
        command.time_in_force = 1
    elif same(&time_in_force.text, b"fok", 3):
        command.time_in_force = 2
    elif not same(&time_in_force.text, b"gtc", 3):
        return False
    return True


cdef bint read_options(Asked *asked, Command *command) noexcept nogil:
    """Whether nothing rare is asked; the flag post-only, for an order that may have it."""
    cdef Value *post_only = &asked.values[POST_ONLY_FIELD]
    cdef Value *prevention = &asked.values[SELF_TRADE_PREVENTION]
    cdef int field
    for field in range(STOP_PRICE, FIELDS):
        if not not_given(&asked.values[field]):
            return False
    if not not_given(&asked.values[QUOTE_QUANTITY]):
        return False
    if not not_given(&asked.values[IDEMPOTENCY_KEY]):
        return False
    if not not_given(prevention):
        if prevention.kind != STRING or not same(&prevention.text, b"none", 4):
            return False
    if post_only.kind == TRUE_WORD:
        command.flags = POST_ONLY
        return command.order_type == 0 and command.time_in_force == 0
    return not_given(post_only) or post_only.kind == FALSE_WORD


cdef bint read_amounts(Asked *asked, const Grid *grid, Command *command) noexcept nogil:
    """Whether price and quantity are an instrument's, and as the type of order asks; those."""
    if command.order_type == 0:
        if not read_steps(&asked.values[PRICE], grid.tick_coefficient, grid.tick_exponent, 1,
                          grid.price_ticks_max, &command.price_ticks):
            return False
    elif not not_given(&asked.values[PRICE]):
        return False
    return read_steps(&asked.values[QUANTITY], grid.lot_coefficient, grid.lot_exponent,
                      grid.quantity_lots_min, grid.quantity_lots_max, &command.quantity_lots)


# --- the way in -------------------------------------------------------------------------------

cdef class PlainOrder:
    """An order that may be submitted.

    Attributes:
        command: The packed command.
        client_id: Whose it is.
        order_id: The id that the client chose, None if the server made one.
        instrument: The `Instrument`.
        order_type, side: 0 limit, 1 market; 0 buy, 1 sell.
    """

    cdef readonly bytes command
    cdef readonly str client_id
    cdef readonly str order_id
    cdef readonly object instrument
    cdef readonly int order_type, side


cdef class PlainBatch:
    """A batch of orders that may be submitted, none of them with a key.

    Attributes:
        commands: The packed commands, in the order asked.
        charges: Number of orders by client id.
        received: Number of orders: limit buy, limit sell, market buy, market sell.
        named: (order id, instrument, client id) of those whose id the client chose.
    """

    cdef readonly list commands
    cdef readonly dict charges
    cdef readonly tuple received
    cdef readonly list named


cdef class PlainOrders:
    """Reads plain orders for one partition, whose number goes into the ids that it makes."""

    cdef int partition
    cdef dict known             # as validation knows them: by name, None for the default one
    cdef dict places            # of grids, by name in bytes; b"" for the default one
    cdef list instruments       # beside grids
    cdef bytes grids
    cdef bytes newest_name      # most orders are of the instrument of the order before
    cdef int newest_place

    def __init__(self, int partition):
        self.partition = partition
        self.know({})

    cdef int know(self, dict known) except -1:
        """Take over the instruments that validation knows."""
        cdef Grid grid
        self.known = known
        self.places = {}
        self.instruments = []
        self.newest_name = None
        grids = []
        for name, each in known.items():
            memset(&grid, 0, sizeof(Grid))
            grid.index = each.index
            grid.tick_coefficient, grid.tick_exponent = each.tick_coefficient, each.tick_exponent
            grid.lot_coefficient, grid.lot_exponent = each.lot_coefficient, each.lot_exponent
            grid.price_ticks_max = each.price_ticks_max
            grid.quantity_lots_min = each.quantity_lots_min
            grid.quantity_lots_max = each.quantity_lots_max
            self.places[(name or "").encode()] = len(grids)
            self.instruments.append(each)
            grids.append(PyBytes_FromStringAndSize(<char *>&grid, sizeof(Grid)))
        self.grids = b"".join(grids)
        return 0

    cdef int place_of(self, Value *value) except -2:
        """The place of the instrument that is named, -1 if it is not known."""
        cdef bytes name
        if value.kind == STRING:
            if value.text.size == 0:
                return -1
            if self.newest_name is not None and same(
                &value.text, PyBytes_AS_STRING(self.newest_name), PyBytes_GET_SIZE(self.newest_name)
            ):
                return self.newest_place
            name = PyBytes_FromStringAndSize(value.text.at, value.text.size)
        elif not_given(value):
            name = b""
        else:
            return -1
        place = self.places.get(name, -1)
        if place >= 0 and name:
            self.newest_name = name
            self.newest_place = place
        return place

    cdef bytes command_of(self, Asked *asked, Command *command, int *place):
        """The command of an order, None if it is not plain."""
        cdef Value *client = &asked.values[CLIENT_ID]
        cdef Value *order = &asked.values[ORDER_ID]
        cdef uint8_t uuid[16]
        memset(command, 0, sizeof(Command))
        command.kind = PLACE
        if client.kind != STRING or not is_id(client.text.at, client.text.size):
            return None
        if not read_words(asked, command) or not read_options(asked, command):
            return None
        place[0] = self.place_of(&asked.values[INSTRUMENT])
        if place[0] < 0:
            return None
        grid = <const Grid *>PyBytes_AS_STRING(self.grids) + place[0]
        if not read_amounts(asked, grid, command):
            return None
        command.instrument = grid.index
        command.order_id_kind = ID_UUID
        if not_given(order):
            new_uuid(uuid, self.partition)
        elif order.kind != STRING or not is_id(order.text.at, order.text.size):
            return None
        elif not read_uuid(order.text.at, order.text.size, uuid):
            command.order_id_kind = ID_TEXT
            return joined(command, order.text.at, order.text.size,
                          client.text.at, client.text.size)
        return joined(command, <const char *>uuid, 16, client.text.at, client.text.size)

    def place(self, bytes body, dict known):
        """An order of a request to place it.

        Args:
            body: JSON as it came.
            known: The instruments by name, as validation knows them.

        Returns:
            A `PlainOrder`; None if the order is not plain.
        """
        cdef const char *start = PyBytes_AS_STRING(body)
        cdef const char *end = start + PyBytes_GET_SIZE(body)
        cdef const char *at
        cdef Asked asked
        cdef Command command
        cdef int place = 0
        cdef bytes packed
        cdef PlainOrder order
        if known is not self.known:
            self.know(known)
        at = scan_order(start, end, &asked)
        if at == NULL or skip(at, end) != end:
            return None
        packed = self.command_of(&asked, &command, &place)
        if packed is None:
            return None
        order = PlainOrder.__new__(PlainOrder)
        order.command = packed
        order.client_id = string_of(&asked.values[CLIENT_ID])
        order.order_id = string_of(&asked.values[ORDER_ID])
        order.instrument = self.instruments[place]
        order.order_type, order.side = command.order_type, command.side
        return order

    def batch(self, bytes body, dict known, int operations_max):
        """The orders of a batch that places, and does nothing else.

        Args:
            body: JSON as it came.
            known: The instruments by name, as validation knows them.
            operations_max: Most orders of a batch.

        Returns:
            A `PlainBatch`; None if anything of the batch is not plain.
        """
        cdef const char *at = PyBytes_AS_STRING(body)
        cdef const char *end = at + PyBytes_GET_SIZE(body)
        cdef Text name
        cdef PlainBatch batch
        if known is not self.known:
            self.know(known)
        at = scan_mark(at, end, c'{')
        if at != NULL:
            at = scan_text(at, end, &name)
        if at == NULL or not same(&name, b"operations", 10):
            return None
        at = scan_mark(at, end, c':')
        if at != NULL:
            at = scan_mark(at, end, c'[')
        if at == NULL:
            return None
        batch = PlainBatch.__new__(PlainBatch)
        at = self.read_operations(at, end, batch, operations_max)
        if at == NULL or scan_rest(at, end) == NULL:
            return None
        return batch

    cdef const char *read_operations(self, const char *at, const char *end, PlainBatch batch,
                                     int operations_max) except? NULL:
        """The operations of a batch and the bracket behind them; NULL: not plain."""
        cdef Asked asked
        cdef Command command
        cdef int place = 0
        cdef int[4] received
        cdef bytes packed
        cdef list commands = []
        cdef list named = []
        cdef dict charges = {}
        memset(received, 0, sizeof(received))
        while at != NULL and len(commands) < operations_max:
            at = scan_operation(at, end, &asked)
            if at == NULL:
                return NULL
            packed = self.command_of(&asked, &command, &place)
            if packed is None:
                return NULL
            commands.append(packed)
            client_id = string_of(&asked.values[CLIENT_ID])
            charges[client_id] = charges.get(client_id, 0) + 1
            received[2 * command.order_type + command.side] += 1
            if asked.values[ORDER_ID].kind == STRING:
                order_id = string_of(&asked.values[ORDER_ID])
                named.append((order_id, self.instruments[place], client_id))
            at = skip(at, end)
            if at < end and at[0] == c']':
                batch.commands, batch.charges, batch.named = commands, charges, named
                batch.received = (received[0], received[1], received[2], received[3])
                return at + 1
            at = scan_mark(at, end, c',')
        return NULL


cdef str string_of(Value *value):
    """A text that is ASCII; None where it is no text."""
    if value.kind != STRING:
        return None
    return PyUnicode_DecodeASCII(value.text.at, value.text.size, NULL)
