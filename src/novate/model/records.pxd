# cython: language_level=3
"""Commands and events as C structs; novate.model.commands and .events name their fields."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "novate/model/records.h":
    ctypedef struct Command:
        uint8_t kind, side, order_type, time_in_force
        uint8_t flags, order_id_kind, order_id_length, client_id_length
        uint32_t instrument, client
        uint64_t order_number
        int64_t price_ticks, quantity_lots
        uint64_t quote_units_low
        int64_t quote_units_high
        uint8_t key_digest[16]
        uint64_t command_digest
        uint16_t text_length, pad16
        uint32_t pad32

    ctypedef struct Event:
        uint64_t seq
        uint8_t kind, side, order_type, time_in_force
        uint8_t reason, flags
        uint16_t pad
        uint32_t instrument, index
        uint64_t order, taker
        uint32_t client, taker_client
        int64_t price_ticks, quantity_lots, remaining_lots

cdef inline Py_ssize_t command_size(const Command *command) noexcept nogil:
    """Bytes a command takes in a batch: header and text, padded to a multiple of 8."""
    return sizeof(Command) + ((command.text_length + 7) & ~<Py_ssize_t>7)

# command kinds, id kinds, flags, event kinds: as in novate.model
cdef enum:
    PLACE = 1
    CANCEL = 2
    AMEND = 3
    MASS_CANCEL = 4
    CREATE_INSTRUMENT = 5
    CONFIGURE = 6
    TAKE_SNAPSHOT = 7

cdef enum:
    ID_NUMBER = 0
    ID_UUID = 1
    ID_TEXT = 2

cdef enum:
    POST_ONLY = 1
    HAS_KEY = 2
    BY_QUOTE = 4
    SET_PRICE = 8
    SET_QUANTITY = 16

cdef enum:
    LIMIT = 0
    MARKET = 1
    GTC = 0
    IOC = 1
    FOK = 2

cdef enum:
    ORDER_ACCEPTED = 1
    ORDER_REJECTED = 2
    TRADE = 3
    ORDER_ENDED = 4
    ORDER_AMENDED = 5
    COMMAND_REFUSED = 6
    MASS_CANCELLED = 7
    INSTRUMENT_CREATED = 8
    CONFIGURED = 9
    SNAPSHOT_REQUESTED = 10

# reasons: as in novate.model.rejects
cdef enum:
    BY_CLIENT = 1
    IMMEDIATE_OR_CANCEL = 2
    FILL_OR_KILL = 3
    BOOK_EXHAUSTED = 4
    QUOTE_QUANTITY_TOO_SMALL = 5
    MASS_CANCEL_REASON = 6
    POST_ONLY_WOULD_CROSS = 32
    OPEN_ORDERS_LIMIT = 33
    LEVEL_FULL = 34
    PRICE_LEVELS_LIMIT = 35
    DUPLICATE_ORDER_ID = 64
    UNKNOWN_ORDER = 65
    ALREADY_CLOSED = 66
    AMEND_QUANTITY_TOO_LOW = 67
    AMEND_WOULD_CROSS = 68
    AMEND_LEVEL_FULL = 69
    IDEMPOTENCY_KEY_REPEATED = 70
    IDEMPOTENCY_KEY_REUSED = 71
    IDEMPOTENCY_WINDOW_FULL = 72
    CLIENTS_LIMIT = 73
    UNKNOWN_INSTRUMENT = 74
    OUT_OF_BOUNDS = 75
    INSTRUMENT_EXISTS = 96
    INSTRUMENTS_LIMIT = 97
    MALFORMED_COMMAND = 98
