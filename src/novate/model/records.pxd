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

    ctypedef struct Extension:
        int64_t stop_price_ticks, display_lots, minimum_lots, expire_ns
        uint64_t link_number
        uint32_t group, session
        uint8_t sets, self_trade, link_use, link_kind, link_length, phase, kill

    const Extension *extension_of "novate_extension"(const Command *command) noexcept nogil

    ctypedef struct Event:
        uint64_t seq
        uint8_t kind, side, order_type, time_in_force
        uint8_t reason, flags
        uint16_t pad
        uint32_t instrument, index
        uint64_t order, taker
        uint32_t client, taker_client
        int64_t price_ticks, quantity_lots, remaining_lots

cdef inline Py_ssize_t head_size(const Command *command) noexcept nogil:
    """Bytes that stand before a command's text: the header, and the extension where it has one."""
    return sizeof(Command) + ((command.flags & EXTENDED) << 1)

cdef inline Py_ssize_t command_size(const Command *command) noexcept nogil:
    """Bytes a command takes in a batch: its head, and its text padded to a multiple of 8."""
    return head_size(command) + ((command.text_length + 7) & ~<Py_ssize_t>7)

# command kinds, id kinds, flags, event kinds: as in novate.model
cdef enum:
    PLACE = 1
    CANCEL = 2
    AMEND = 3
    MASS_CANCEL = 4
    CREATE_INSTRUMENT = 5
    CONFIGURE = 6
    TAKE_SNAPSHOT = 7
    ADVANCE_TIME = 8
    SET_RULES = 9
    SET_CLIENT_LIMITS = 10
    SET_PHASE = 11
    SESSION_OPEN = 12
    SESSION_CLOSE = 13
    SESSIONS_LOST_COMMAND = 14
    CANCEL_AFTER_COMMAND = 15
    KILL = 16
    SET_CLEARING = 17
    SET_MARK = 18
    SET_TIER = 19
    DEPOSIT = 20
    WITHDRAW = 21
    SETTLE = 22
    MOVE_SETTLEMENT = 23
    SET_CUTOFF = 24
    CORRECT_TRADE = 25
    SKIP_COMMAND = 26
    ADOPT_RULES = 27

# as in novate.model.commands
cdef enum:
    NEWEST_RULES = 3

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
    EXTENDED = 32
    AUCTION_TRADE = 64

cdef enum:
    SETS_STOP_PRICE = 1
    SETS_DISPLAY = 2
    SETS_EXPIRY = 4
    SETS_SELF_TRADE = 8

cdef enum:
    KILL_ON = 1
    KILL_VENUE = 2

cdef enum:
    LIMIT = 0
    MARKET = 1
    GTC = 0
    IOC = 1
    FOK = 2
    STOP_LIMIT = 2
    STOP = 3
    DAY = 3
    GTD = 4

cdef enum:
    STP_NONE = 0
    CANCEL_NEWEST = 1
    CANCEL_OLDEST = 2
    CANCEL_BOTH = 3
    DECREMENT = 4

cdef enum:
    CONTINUOUS = 0
    PRE_OPEN_PHASE = 1
    AUCTION_PHASE = 2
    HALT = 3
    CANCEL_ONLY_PHASE = 4
    CLOSED_PHASE = 5

cdef enum:
    LINK_NONE = 0
    LINK_ONE_CANCELS_OTHER = 1
    LINK_REPLACES = 2

cdef enum:
    SETTLEMENT_OPEN = 1
    SETTLEMENT_INSTRUCTED = 2
    SETTLEMENT_SETTLED = 3
    SETTLEMENT_FAILED = 4

cdef enum:
    MARK_LAST = 0
    MARK_MID = 1

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
    ORDER_TRIGGERED = 11
    PHASE_CHANGED = 12
    AUCTION_UNCROSSED = 13
    RULES_SET = 14
    CLIENT_LIMITS_SET = 15
    SESSION_OPENED = 16
    SESSION_CLOSED_EVENT = 17
    SESSIONS_LOST = 18
    TIMER_SET = 19
    TIMER_EXPIRED = 20
    KILL_SWITCHED = 21
    TIME_ADVANCED = 22
    CLEARING_SET = 23
    MARK_SET = 24
    TIER_SET = 25
    DEPOSITED = 26
    WITHDRAWN = 27
    FEE_CHARGED = 28
    CYCLE_CLOSED = 29
    SETTLEMENT_MOVED = 30
    CUTOFF_SET = 31
    TRADE_BUSTED = 32
    TRADE_CORRECTED = 33
    COMMAND_SKIPPED = 34
    RULES_ADOPTED = 35
    CUTOFF_MISSED = 36

# reasons: as in novate.model.rejects
cdef enum:
    BY_CLIENT = 1
    IMMEDIATE_OR_CANCEL = 2
    FILL_OR_KILL = 3
    BOOK_EXHAUSTED = 4
    QUOTE_QUANTITY_TOO_SMALL = 5
    MASS_CANCEL_REASON = 6
    EXPIRED = 7
    SELF_TRADE_PREVENTED = 8
    PRICE_PROTECTION = 9
    MINIMUM_QUANTITY = 10
    ONE_CANCELS_OTHER = 11
    REPLACED = 12
    OUTSIDE_PRICE_BAND = 13
    SESSION_CLOSED = 14
    SESSION_LOST = 15
    CANCEL_AFTER = 16
    KILL_SWITCH = 17
    AUCTION_OVER = 18
    NO_ROOM = 19
    FUNDS_EXHAUSTED = 20
    POST_ONLY_WOULD_CROSS = 32
    OPEN_ORDERS_LIMIT = 33
    LEVEL_FULL = 34
    PRICE_LEVELS_LIMIT = 35
    LINK_NOT_OPEN = 36
    LINK_TAKEN = 37
    VENUE_KILLED = 38
    CLIENT_KILLED = 39
    SESSION_NOT_OPEN = 40
    CLOSED_REASON = 41
    HALTED = 42
    CANCEL_ONLY = 43
    PRE_OPEN = 44
    AUCTION = 45
    EXPIRES_IN_PAST = 46
    QUANTITY_TOO_SMALL = 47
    QUANTITY_TOO_LARGE = 48
    DISPLAY_TOO_SMALL = 49
    NOTIONAL_TOO_SMALL = 50
    NOTIONAL_TOO_LARGE = 51
    TOO_FAR_FROM_LAST = 52
    STATIC_BAND = 53
    DYNAMIC_BAND = 54
    CLIENT_ORDERS_LIMIT = 55
    INSUFFICIENT_FUNDS = 56
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
    AMEND_NOT_APPLICABLE = 76
    INSTRUMENT_EXISTS = 96
    INSTRUMENTS_LIMIT = 97
    MALFORMED_COMMAND = 98
    SESSION_EXISTS = 99
    UNKNOWN_SESSION = 100
    SESSIONS_LIMIT = 101
    CLIENT_LIMITS_LIMIT = 102
    ORDERS_OPEN = 103
    CYCLE_CLOSED_ALREADY = 104
    UNKNOWN_CYCLE = 105
    CYCLE_STATE = 106
    CYCLES_LIMIT = 107
    TRADE_BUSTED_ALREADY = 108
    BUSTS_LIMIT = 109
    BALANCE_LIMIT = 110
    UNKNOWN_ASSET = 111
    NOT_CLEARED = 112
    ASSET_CONFLICT = 113
    BY_SCHEDULE = 128
    TIME_OVER = 129
    STATIC_BAND_LEFT = 130
    DYNAMIC_BAND_LEFT = 131
