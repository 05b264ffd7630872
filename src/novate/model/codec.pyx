# cython: language_level=3
"""Bytes of the words: decimals read and written exactly, ids, digests, and command records.

Nothing here is a float. It holds no state but a pool of randomness for new order ids, which are
made for a command and never by one.
"""

from cpython.bytes cimport (
    PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE,
)
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from novate.model.records cimport (
    AMEND, BY_QUOTE, CANCEL, CONFIGURE, CREATE_INSTRUMENT, HAS_KEY, ID_TEXT, ID_UUID, MASS_CANCEL,
    PLACE, SET_PRICE, SET_QUANTITY, TAKE_SNAPSHOT, Command,
)

import os
from hashlib import blake2b

import msgspec

DIGITS_MAX = 30
EXPONENT_MAX = 18
cdef int EXPONENT_LIMIT = 18

cdef i128[39] POWERS
cdef int _i
POWERS[0] = 1
for _i in range(1, 39):
    POWERS[_i] = POWERS[_i - 1] * 10


class DecimalError(ValueError):
    """Text that is not a decimal this field takes.

    Attributes:
        code: malformed, too_long, exponent_out_of_range, not_multiple or out_of_bounds.
    """

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


# --- integers of 128 bits -------------------------------------------------------------------

cdef object big(i128 value):
    """A Python integer of a 128-bit one."""
    return (<object><int64_t>(value >> 64) << 64) | <object><uint64_t>value


cdef i128 small(object value):
    """A 128-bit integer of a Python one that fits."""
    # A negative number is not shifted in C.
    return <int64_t>(value >> 64) * (<i128>1 << 64) + <uint64_t>(value & 0xFFFFFFFFFFFFFFFF)


# --- reading decimals -----------------------------------------------------------------------

cdef int read_decimal(const char *text, Py_ssize_t size, Decimal *out) noexcept nogil:
    """Read a number of JSON's grammar, at most 30 characters long."""
    cdef Py_ssize_t at = 0, digits
    cdef int exponent = 0, fraction = 0
    cdef bint minus = False
    out.mantissa = 0
    out.negative = False
    if at < size and text[at] == c'-':
        out.negative = True
        at += 1
    digits = at
    while at < size and c'0' <= text[at] <= c'9':
        out.mantissa = out.mantissa * 10 + (text[at] - c'0')
        at += 1
    if at == digits or (text[digits] == c'0' and at > digits + 1):
        return MALFORMED
    if at < size and text[at] == c'.':
        at += 1
        digits = at
        while at < size and c'0' <= text[at] <= c'9':
            out.mantissa = out.mantissa * 10 + (text[at] - c'0')
            fraction += 1
            at += 1
        if at == digits:
            return MALFORMED
    if at < size and (text[at] == c'e' or text[at] == c'E'):
        at += 1
        if at < size and (text[at] == c'-' or text[at] == c'+'):
            minus = text[at] == c'-'
            at += 1
        digits = at
        while at < size and c'0' <= text[at] <= c'9':
            exponent = min(9999, exponent * 10 + (text[at] - c'0'))
            at += 1
        if at == digits:
            return MALFORMED
        if exponent > EXPONENT_LIMIT:
            return EXPONENT if at == size else MALFORMED
    if at != size:
        return MALFORMED
    out.exponent = (-exponent if minus else exponent) - fraction
    return READ


cdef int64_t DAY_US = 86_400_000_000


cdef inline str step(object coefficient, object exponent):
    return format_scaled(1, coefficient, exponent).decode()


def parse_scaled(raw, int64_t coefficient, int exponent, maximum):
    """Read decimal text as whole multiples of `coefficient * 10**-exponent`.

    Args:
        raw: A JSON number, or a string (with or without its quotes) that holds one; bytes or str.
        coefficient: At least 1.
        exponent: 0 to 24.
        maximum: The greatest multiple taken; under 2**126.

    Returns:
        The number of multiples, 0 to `maximum`.

    Raises:
        DecimalError: With a code, and what was expected.
    """
    cdef bytes text = raw.encode("utf-8", "replace") if isinstance(raw, str) else bytes(raw)
    cdef const char *start = PyBytes_AS_STRING(text)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(text)
    cdef Decimal number
    cdef int result
    cdef i128 value
    if size >= 2 and start[0] == c'"' and start[size - 1] == c'"':
        start += 1
        size -= 2
    if size > 30:
        raise DecimalError("too_long", f"expected a decimal of at most {DIGITS_MAX} characters")
    result = read_decimal(start, size, &number)
    if result == MALFORMED:
        raise DecimalError("malformed", "expected a decimal number in ASCII digits")
    if result == EXPONENT:
        raise DecimalError(
            "exponent_out_of_range", f"expected an exponent within {EXPONENT_MAX}")
    if number.mantissa == 0:
        return 0
    if number.negative:
        raise DecimalError("out_of_bounds", "expected a positive number")
    result = scale(&number, coefficient, exponent, &value)
    if result == 1:
        raise DecimalError(
            "not_multiple", f"expected a multiple of {step(coefficient, exponent)}")
    if result == 2 or value > small(maximum):
        most = format_scaled(maximum, coefficient, exponent).decode()
        raise DecimalError("out_of_bounds", f"expected at most {most}")
    if value <= <i128>0x7FFFFFFFFFFFFFFF:
        return <int64_t>value
    return big(value)


cdef int scale(Decimal *number, int64_t coefficient, int exponent, i128 *value) noexcept nogil:
    """0 and the multiples; 1 where it is no whole multiple; 2 where it is far too large."""
    cdef i128 mantissa = number.mantissa
    cdef int shift = number.exponent + exponent, digits = 0
    while shift < 0 and mantissa % 10 == 0:
        mantissa = mantissa // 10
        shift += 1
    if shift < 0:
        return 1
    while digits < 39 and mantissa >= POWERS[digits]:
        digits += 1
        if digits == 39:
            break
    if digits + shift > 38:
        return 2
    mantissa = mantissa * POWERS[shift]
    if mantissa % coefficient != 0:
        return 1
    value[0] = mantissa // coefficient
    return 0


# --- writing --------------------------------------------------------------------------------

cdef int write_integer(char *out, int64_t value) noexcept nogil:
    """Write a whole number; bytes written, at most 20."""
    cdef char digits[24]
    cdef int count = 0, size = 0
    cdef uint64_t rest = <uint64_t>value
    if value < 0:
        out[0] = c'-'
        size = 1
        rest = 0 - rest
    while True:
        digits[count] = c'0' + <int>(rest % 10)
        rest = rest // 10
        count += 1
        if rest == 0:
            break
    while count > 0:
        count -= 1
        out[size] = digits[count]
        size += 1
    return size


cdef int write_decimal(char *out, i128 value, int scale) noexcept nogil:
    """Write value * 10**-scale as plain exact decimal text; bytes written, at most 70."""
    cdef char digits[80]
    cdef int count = 0, size = 0, skip = 0
    if value < 0:
        value = -value
        out[0] = c'-'
        size = 1
    while value > 0 or count <= scale:
        if value <= <i128>0x7FFFFFFFFFFFFFFF:
            count = write_digits(digits, count, <uint64_t>value, scale)
            break
        digits[count] = c'0' + <int>(value % 10)
        value = value // 10
        count += 1
    while skip < scale and digits[skip] == c'0':
        skip += 1
    while count > skip:
        count -= 1
        out[size] = digits[count]
        size += 1
        if count == scale and count > skip:
            out[size] = c'.'
            size += 1
    return size


cdef int write_digits(char *digits, int count, uint64_t rest, int scale) noexcept nogil:
    """Append a number's digits, the last first, up to one digit before the point at least."""
    while rest > 0 or count <= scale:
        digits[count] = c'0' + <int>(rest % 10)
        rest = rest // 10
        count += 1
    return count


cdef inline void two(char *out, int value) noexcept nogil:
    out[0] = c'0' + value // 10
    out[1] = c'0' + value % 10


cdef int write_time(char *out, int64_t time_us) noexcept nogil:
    """Write ISO 8601 UTC with microseconds and Z, 27 bytes; for the years 1970 to 9999.

    Source: civil-from-days by Howard Hinnant, "chrono-compatible low-level date algorithms".
    """
    cdef int64_t days = time_us // DAY_US, rest = time_us % DAY_US
    cdef int64_t shifted = days + 719_468
    cdef int era = <int>(shifted // 146_097)
    cdef int day_of_era = <int>(shifted - <int64_t>era * 146_097)
    cdef int year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524
                            - day_of_era // 146_096) // 365
    cdef int day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4
                                         - year_of_era // 100)
    cdef int month_shifted = (5 * day_of_year + 2) // 153
    cdef int day = day_of_year - (153 * month_shifted + 2) // 5 + 1
    cdef int month = month_shifted + 3 if month_shifted < 10 else month_shifted - 9
    cdef int year = year_of_era + era * 400 + (1 if month <= 2 else 0)
    cdef int seconds = <int>(rest // 1_000_000), micros = <int>(rest % 1_000_000)
    two(out, year // 100)
    two(out + 2, year % 100)
    out[4] = c'-'
    two(out + 5, month)
    out[7] = c'-'
    two(out + 8, day)
    out[10] = c'T'
    two(out + 11, seconds // 3600)
    out[13] = c':'
    two(out + 14, seconds // 60 % 60)
    out[16] = c':'
    two(out + 17, seconds % 60)
    out[19] = c'.'
    two(out + 20, micros // 10_000)
    two(out + 22, micros // 100 % 100)
    two(out + 24, micros % 100)
    out[26] = c'Z'
    return 27


def format_scaled(value, coefficient, exponent):
    """`value * coefficient * 10**-exponent` as exact decimal text: no exponent, no spare zeros."""
    cdef char out[80]
    return PyBytes_FromStringAndSize(out, write_decimal(out, small(value * coefficient), exponent))


def format_time(int64_t time_us):
    """Microseconds since 1970 UTC as ISO 8601 text, `2026-01-01T00:00:00.000000Z`."""
    cdef char out[32]
    return PyBytes_FromStringAndSize(out, write_time(out, time_us))


def is_problem(bytes body):
    """Whether a reply's body is problem+json, and not an order."""
    return starts_as_problem(body)


cdef inline bint starts_as_problem(bytes body) noexcept:
    return PyBytes_GET_SIZE(body) >= 8 and memcmp(PyBytes_AS_STRING(body), b'{"type":', 8) == 0


cdef inline bint tells_of_many(bytes body) noexcept:  # a mass cancel: it begins with whose
    return memcmp(PyBytes_AS_STRING(body), b'{"client_id":', min(13, len(body) + 1)) == 0


def outcomes_body(list answers):
    """The reply to a batch: of each operation the status, and its order, problem or mass cancel.

    Args:
        answers: Tuples that begin with an HTTP status, 100 to 999, and a body.
    """
    cdef Py_ssize_t size = 15
    cdef bytes body, out
    cdef char *at
    cdef tuple answer
    for answer in answers:
        body = answer[1]
        size += 24 + PyBytes_GET_SIZE(body)
        size += 2 if starts_as_problem(body) else 9 if tells_of_many(body) else 0
    out = PyBytes_FromStringAndSize(NULL, size - 1 if answers else size)
    at = put(PyBytes_AS_STRING(out), b'{"outcomes":[', 13)
    for answer in answers:
        if (at - 1)[0] != c'[':
            at = put(at, b",", 1)
        body = answer[1]
        at = put_status(put(at, b'{"status":', 10), answer[0])
        if starts_as_problem(body):
            at = put(at, b',"problem":', 11)
        elif tells_of_many(body):
            at = put(at, b',"mass_cancelled":', 18)
        else:
            at = put(at, b',"order":', 9)
        at = put(at, PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
        at = put(at, b"}", 1)
    put(at, b"]}", 2)
    return out


cdef char *put_status(char *at, int status) except NULL:
    if not 100 <= status <= 999:
        raise ValueError(f"a status: expected 100 to 999, got {status}")
    return at + write_integer(at, status)


cdef inline char *put(char *at, const char *text, Py_ssize_t size) noexcept nogil:
    memcpy(at, text, size)
    return at + size


# --- ids and digests ------------------------------------------------------------------------

cdef uint8_t[256] ALLOWED
memset(ALLOWED, 0, 256)
for _i in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-":
    ALLOWED[_i] = 1


def valid_id(text):
    """Whether text is 1-64 characters of `A-Z a-z 0-9 . _ : -`."""
    cdef bytes raw
    if isinstance(text, str):
        if not text.isascii():
            return False
        raw = text.encode("ascii")
    else:
        raw = text
    return is_id(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))


cdef bint is_id(const char *text, Py_ssize_t size) noexcept nogil:
    """As `valid_id`."""
    cdef Py_ssize_t i
    if not 1 <= size <= 64:
        return False
    for i in range(size):
        if not ALLOWED[<uint8_t>text[i]]:
            return False
    return True


cdef int write_uuid(char *out, const uint8_t *uuid) noexcept nogil:
    """Write a UUID's 16 bytes as 36 characters of lower-case text."""
    cdef const char *hexadecimal = b"0123456789abcdef"
    cdef int i, size = 0
    for i in range(16):
        if i == 4 or i == 6 or i == 8 or i == 10:
            out[size] = c'-'
            size += 1
        out[size] = hexadecimal[uuid[i] >> 4]
        out[size + 1] = hexadecimal[uuid[i] & 15]
        size += 2
    return size


cdef inline int nibble(char digit) noexcept nogil:
    if c'0' <= digit <= c'9':
        return digit - c'0'
    if c'a' <= digit <= c'f':
        return digit - c'a' + 10
    return -1


cdef bint read_uuid(const char *text, Py_ssize_t size, uint8_t *uuid) noexcept nogil:
    """Whether text is a UUID exactly as `write_uuid` writes it; its 16 bytes."""
    cdef int i, at = 0, high, low
    if size != 36:
        return False
    for i in range(16):
        if i == 4 or i == 6 or i == 8 or i == 10:
            if text[at] != c'-':
                return False
            at += 1
        high = nibble(text[at])
        low = nibble(text[at + 1])
        if high < 0 or low < 0:
            return False
        uuid[i] = high << 4 | low
        at += 2
    return True


cdef enum:
    POOL_SIZE = 4096

cdef uint8_t[4096] _pool
cdef int _pool_at = POOL_SIZE


cdef int new_uuid(uint8_t *uuid, int partition) except -1:
    """A new order id's 16 bytes: a UUID of version 8, 110 random bits and the partition."""
    global _pool_at
    cdef bytes drawn
    if _pool_at + 16 > POOL_SIZE:
        drawn = os.urandom(POOL_SIZE)
        memcpy(_pool, PyBytes_AS_STRING(drawn), POOL_SIZE)
        _pool_at = 0
    memcpy(uuid, _pool + _pool_at, 16)
    _pool_at += 16
    uuid[6] = 0x80 | (partition >> 8 & 0x0F)
    uuid[7] = partition & 0xFF
    uuid[8] = 0x80 | (uuid[8] & 0x3F)
    return 0


def new_order_id(int partition):
    """A new order id: a UUID (version 8) of 110 random bits and the partition's number, as text."""
    cdef uint8_t uuid[16]
    cdef char out[40]
    new_uuid(uuid, partition)
    return PyBytes_FromStringAndSize(out, write_uuid(out, uuid))


def key_digest(bytes client_id, bytes key):
    """16-byte digest of an idempotency key in its client's scope (BLAKE2b)."""
    return blake2b(client_id + b"\0" + key, digest_size=16).digest()


def body_digest(*parts):
    """64-bit digest of what a request says, part by part (BLAKE2b)."""
    return int.from_bytes(blake2b(b"\0".join(parts), digest_size=8).digest(), "little")


# --- command records ------------------------------------------------------------------------

cdef bytes record(Command *command, bytes order_id, bytes client_id, bytes key):
    """A command's bytes: header, ids, padding. A canonical UUID travels in 16 bytes."""
    cdef uint8_t uuid[16]
    cdef const char *id_text = NULL
    cdef const char *client = NULL
    cdef Py_ssize_t id_size = 0, client_size = 0
    if order_id is not None:
        id_text = PyBytes_AS_STRING(order_id)
        id_size = PyBytes_GET_SIZE(order_id)
        command.order_id_kind = ID_TEXT
        if read_uuid(id_text, id_size, uuid):
            command.order_id_kind = ID_UUID
            id_text = <const char *>uuid
            id_size = 16
        check_length("order_id", id_size)
    if client_id is not None:
        client = PyBytes_AS_STRING(client_id)
        client_size = PyBytes_GET_SIZE(client_id)
        check_length("client_id", client_size)
    if key is not None:
        if PyBytes_GET_SIZE(key) != 16:
            raise ValueError(f"key_digest: expected 16 bytes, got {len(key)}")
        command.flags |= HAS_KEY
        memcpy(command.key_digest, PyBytes_AS_STRING(key), 16)
    return joined(command, id_text, id_size, client, client_size)


cdef bytes joined(Command *command, const char *id_text, Py_ssize_t id_size,
                  const char *client, Py_ssize_t client_size):
    """A command's bytes of its parts; each id is at most 64 bytes long."""
    cdef Py_ssize_t size = sizeof(Command) + ((id_size + client_size + 7) & ~<Py_ssize_t>7)
    cdef bytes out = PyBytes_FromStringAndSize(NULL, size)
    cdef char *at = PyBytes_AS_STRING(out)
    command.order_id_length = id_size
    command.client_id_length = client_size
    command.text_length = id_size + client_size
    memset(at + size - 8, 0, 8)
    memcpy(at, command, sizeof(Command))
    if id_size:
        memcpy(at + sizeof(Command), id_text, id_size)
    if client_size:
        memcpy(at + sizeof(Command) + id_size, client, client_size)
    return out


cdef int check_length(str name, Py_ssize_t size) except -1:
    if not 1 <= size <= 64:
        raise ValueError(f"{name}: expected 1 to 64 bytes, got {size}")
    return size


def pack_place(uint32_t instrument, int side, int order_type, int time_in_force, int flags,
               int64_t price_ticks, int64_t quantity_lots, quote_quantity_units,
               bytes order_id, bytes client_id, bytes key_digest=None, uint64_t command_digest=0):
    """A PLACE record. `quote_quantity_units` (0: none) sets the flag BY_QUOTE."""
    cdef Command command
    memset(&command, 0, sizeof(Command))
    command.kind = PLACE
    command.side = side
    command.order_type = order_type
    command.time_in_force = time_in_force
    command.flags = flags
    command.instrument = instrument
    command.price_ticks = price_ticks
    command.quantity_lots = quantity_lots
    if quote_quantity_units:
        command.flags |= BY_QUOTE
        command.quote_units_low = quote_quantity_units & 0xFFFFFFFFFFFFFFFF
        command.quote_units_high = quote_quantity_units >> 64
    command.command_digest = command_digest
    return record(&command, order_id, client_id, key_digest)


def pack_cancel(bytes order_id, bytes client_id=None, bytes key_digest=None,
                uint64_t command_digest=0):
    """A CANCEL record."""
    cdef Command command
    memset(&command, 0, sizeof(Command))
    command.kind = CANCEL
    command.command_digest = command_digest
    return record(&command, order_id, client_id, key_digest)


def pack_amend(bytes order_id, int64_t price_ticks, int64_t quantity_lots, bytes client_id=None,
               bytes key_digest=None, uint64_t command_digest=0):
    """An AMEND record; a price or quantity of 0 stays as it is."""
    cdef Command command
    memset(&command, 0, sizeof(Command))
    command.kind = AMEND
    command.price_ticks = price_ticks
    command.quantity_lots = quantity_lots
    command.flags = (SET_PRICE if price_ticks else 0) | (SET_QUANTITY if quantity_lots else 0)
    command.command_digest = command_digest
    return record(&command, order_id, client_id, key_digest)


def pack_mass_cancel(bytes client_id, int64_t instrument=-1, int side=-1, bytes key_digest=None,
                     uint64_t command_digest=0):
    """A MASS_CANCEL record; -1 means every instrument, both sides."""
    cdef Command command
    memset(&command, 0, sizeof(Command))
    command.kind = MASS_CANCEL
    command.instrument = 0xFFFFFFFFU if instrument < 0 else <uint32_t>instrument
    command.side = 255 if side < 0 else side
    command.command_digest = command_digest
    return record(&command, None, client_id, key_digest)


cdef bytes with_text(int kind, bytes text):
    cdef Command command
    memset(&command, 0, sizeof(Command))
    command.kind = kind
    if len(text) > 65_535:
        raise ValueError(f"a command's text: expected at most 65535 bytes, got {len(text)}")
    command.text_length = len(text)
    return (<char *>&command)[:sizeof(Command)] + text + bytes((8 - len(text) % 8) % 8)


def pack_create_instrument(instrument):
    """A CREATE_INSTRUMENT record of an `Instrument`."""
    return with_text(CREATE_INSTRUMENT, msgspec.json.encode(instrument))


def pack_configure(limits):
    """A CONFIGURE record of `Limits`."""
    return with_text(CONFIGURE, msgspec.json.encode(limits))


def pack_take_snapshot():
    """A TAKE_SNAPSHOT record."""
    return with_text(TAKE_SNAPSHOT, b"")
