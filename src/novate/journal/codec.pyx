"""Reads records in C: the checksum, the seq and the hash chain of each, a chunk at a time.

A restart reads every record since the last snapshot, a million of them in the worst case, and in
Python each would cost more than the engine needs to apply it. What is not a good record is left to
`novate.journal.reading`, which says what is wrong with it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from novate.journal.interface import Batch, Record

cdef enum:
    HEADER_BYTES = 128
    HASHED_FROM = 16
    HASH_BYTES = 32
    BLOCK_BYTES = 128

cdef packed struct RecordHeader:
    uint32_t crc
    uint32_t length
    uint8_t mark[8]
    uint64_t first_seq
    uint32_t count
    uint16_t rules
    uint16_t command_format
    int64_t timestamp_ns
    uint64_t epoch
    uint64_t synced_seq
    uint32_t commands_length
    uint32_t outcomes_length
    uint8_t previous_hash[32]
    uint8_t events_hash[32]


# --- CRC-32, eight bytes at a step ---------------------------------------------------------------

cdef uint32_t crc_table[8][256]


cdef void make_crc_table() noexcept:
    cdef uint32_t value
    cdef int byte, bit, lane
    for byte in range(256):
        value = byte
        for bit in range(8):
            value = (value >> 1) ^ (0xEDB88320u & (0u - (value & 1u)))
        crc_table[0][byte] = value
    for byte in range(256):
        for lane in range(1, 8):
            value = crc_table[lane - 1][byte]
            crc_table[lane][byte] = (value >> 8) ^ crc_table[0][value & 0xFF]


cdef uint32_t crc32(const uint8_t *at, size_t size) noexcept nogil:
    cdef uint32_t crc = 0xFFFFFFFFu
    cdef uint32_t low, high
    while size >= 8:
        memcpy(&low, at, 4)
        memcpy(&high, at + 4, 4)
        low ^= crc
        crc = (
            crc_table[7][low & 0xFF] ^ crc_table[6][(low >> 8) & 0xFF]
            ^ crc_table[5][(low >> 16) & 0xFF] ^ crc_table[4][low >> 24]
            ^ crc_table[3][high & 0xFF] ^ crc_table[2][(high >> 8) & 0xFF]
            ^ crc_table[1][(high >> 16) & 0xFF] ^ crc_table[0][high >> 24]
        )
        at += 8
        size -= 8
    while size:
        crc = (crc >> 8) ^ crc_table[0][(crc ^ at[0]) & 0xFF]
        at += 1
        size -= 1
    return crc ^ 0xFFFFFFFFu


# --- BLAKE2b with 32 bytes of output, no key (RFC 7693) ------------------------------------------

cdef uint64_t[8] START = [
    0x6A09E667F3BCC908u, 0xBB67AE8584CAA73Bu, 0x3C6EF372FE94F82Bu, 0xA54FF53A5F1D36F1u,
    0x510E527FADE682D1u, 0x9B05688C2B3E6C1Fu, 0x1F83D9ABFB41BD6Bu, 0x5BE0CD19137E2179u,
]
cdef uint8_t[10][16] ORDER = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
]


cdef inline uint64_t turn(uint64_t value, int bits) noexcept nogil:
    return (value >> bits) | (value << (64 - bits))


cdef inline void mix(
    uint64_t *v, int a, int b, int c, int d, uint64_t x, uint64_t y
) noexcept nogil:
    v[a] += v[b] + x
    v[d] = turn(v[d] ^ v[a], 32)
    v[c] += v[d]
    v[b] = turn(v[b] ^ v[c], 24)
    v[a] += v[b] + y
    v[d] = turn(v[d] ^ v[a], 16)
    v[c] += v[d]
    v[b] = turn(v[b] ^ v[c], 63)


cdef void compress(
    uint64_t *state, const uint8_t *block, uint64_t counted, bint last
) noexcept nogil:
    cdef uint64_t v[16]
    cdef uint64_t m[16]
    cdef const uint8_t *s
    cdef int i
    memcpy(m, block, BLOCK_BYTES)
    for i in range(8):
        v[i] = state[i]
        v[i + 8] = START[i]
    v[12] ^= counted
    if last:
        v[14] = ~v[14]
    for i in range(12):
        s = ORDER[i % 10]
        mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]])
        mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]])
        mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]])
        mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]])
        mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]])
        mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]])
        mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]])
        mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]])
    for i in range(8):
        state[i] ^= v[i] ^ v[i + 8]


cdef void blake2b(const uint8_t *at, size_t size, uint8_t *digest) noexcept nogil:
    cdef uint64_t state[8]
    cdef uint8_t rest[128]
    cdef uint64_t counted = 0
    memcpy(state, START, sizeof(START))
    state[0] ^= 0x01010000u ^ HASH_BYTES
    while size > BLOCK_BYTES:
        counted += BLOCK_BYTES
        compress(state, at, counted, False)
        at += BLOCK_BYTES
        size -= BLOCK_BYTES
    memset(rest, 0, BLOCK_BYTES)
    memcpy(rest, at, size)
    compress(state, rest, counted + size, True)
    memcpy(digest, state, HASH_BYTES)


def checksums(bytes image):
    """CRC-32 and BLAKE2b-256 of some bytes, as records bear them; for tests."""
    cdef const uint8_t *at = <const uint8_t *> PyBytes_AS_STRING(image)
    cdef uint8_t digest[32]
    blake2b(at, len(image), digest)
    return crc32(at, len(image)), PyBytes_FromStringAndSize(<char *> digest, HASH_BYTES)


# --- records -------------------------------------------------------------------------------------


cdef bint is_good(
    const uint8_t *at, size_t room, const uint8_t *mark, uint64_t seq, const uint8_t *chain
) noexcept nogil:
    """Whether the next record of the chain stands here, whole."""
    cdef const RecordHeader *header = <const RecordHeader *> at
    cdef uint64_t parts
    if header.length > room or header.length < HEADER_BYTES or header.length & 7:
        return False
    parts = <uint64_t> HEADER_BYTES + header.commands_length + header.outcomes_length
    return (
        memcmp(header.mark, mark, 8) == 0
        and (parts + 7) & ~(<uint64_t> 7) == header.length
        and header.first_seq == seq
        and header.count > 0
        and memcmp(header.previous_hash, chain, HASH_BYTES) == 0
        and crc32(at + 4, header.length - 4) == header.crc
    )


cdef object to_record(const uint8_t *at, str segment, int64_t offset, const uint8_t *digest):
    cdef const RecordHeader *header = <const RecordHeader *> at
    cdef const char *commands = <const char *> at + HEADER_BYTES
    batch = Batch(
        header.first_seq,
        header.count,
        header.timestamp_ns,
        PyBytes_FromStringAndSize(commands, header.commands_length),
        PyBytes_FromStringAndSize(commands + header.commands_length, header.outcomes_length),
        PyBytes_FromStringAndSize(<const char *> header.events_hash, HASH_BYTES),
        header.rules,
        header.command_format,
    )
    return Record(
        batch,
        segment,
        offset,
        offset + header.length,
        PyBytes_FromStringAndSize(<const char *> digest, HASH_BYTES),
        header.epoch,
    )


def scan(bytes chunk, int64_t offset, bytes mark, uint64_t seq, bytes chain, str segment,
         bint every):
    """The good records at the head of a chunk, up to the first that is not good or not whole.

    Args:
        chunk: Bytes of a segment.
        offset: Byte offset of the chunk in the segment.
        mark: The segment's mark (8 bytes).
        seq: The first seq expected.
        chain: Hash of the record before (32 bytes).
        segment: File name of the segment.
        every: Every record; otherwise only the last, all of them checked.
    """
    cdef const uint8_t *begin = <const uint8_t *> PyBytes_AS_STRING(chunk)
    cdef const uint8_t *marked = <const uint8_t *> PyBytes_AS_STRING(mark)
    cdef const RecordHeader *header
    cdef size_t size = len(chunk), at = 0, last = 0
    cdef uint8_t digest[32]
    cdef list records = []
    if len(mark) != 8 or len(chain) != HASH_BYTES:
        raise ValueError("a mark has 8 bytes and a hash has 32")
    memcpy(digest, PyBytes_AS_STRING(chain), HASH_BYTES)
    while size - at >= HEADER_BYTES and is_good(begin + at, size - at, marked, seq, digest):
        header = <const RecordHeader *> (begin + at)
        blake2b(begin + at + HASHED_FROM, header.length - HASHED_FROM, digest)
        seq += header.count
        last = at
        at += header.length
        if every:
            records.append(to_record(begin + last, segment, offset + last, digest))
    if at and not every:
        records.append(to_record(begin + last, segment, offset + last, digest))
    return records


def landmarks(bytes chunk, int64_t offset, bytes mark, uint64_t seq, int64_t known, int64_t step):
    """Where records begin, from their headers alone: one at least `step` bytes behind another.

    Args:
        chunk: Bytes of a segment, from the beginning of a record on.
        offset: Byte offset of the chunk in the segment.
        mark: The segment's mark (8 bytes).
        seq: First seq of the first record.
        known: Byte offset of the last landmark known.
        step: Least distance between two landmarks, in bytes.

    Returns:
        (seq, offset) of each landmark, the byte offset behind the last record seen (which may be
        behind the chunk), and the seq that follows it.
    """
    cdef const uint8_t *begin = <const uint8_t *> PyBytes_AS_STRING(chunk)
    cdef const uint8_t *marked = <const uint8_t *> PyBytes_AS_STRING(mark)
    cdef const RecordHeader *header
    cdef int64_t size = len(chunk), at = 0
    cdef list found = []
    if len(mark) != 8:
        raise ValueError("a mark has 8 bytes")
    while size - at >= HEADER_BYTES:
        header = <const RecordHeader *> (begin + at)
        if memcmp(header.mark, marked, 8) != 0 or header.first_seq != seq or header.count == 0:
            break
        if header.length < HEADER_BYTES or header.length & 7:
            break
        if offset + at - known >= step:
            known = offset + at
            found.append((seq, known))
        seq += header.count
        at += header.length
    return found, offset + at, seq


make_crc_table()
