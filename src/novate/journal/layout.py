"""The bytes of a segment file: its header and its records. docs/journal.md has the tables.

It turns batches into bytes and back and checks what can be checked on one record; what stands
before and behind a record is the reader's business (`novate.journal.reading`).
"""

from __future__ import annotations

import hashlib
import struct
import zlib

import msgspec

from novate.journal.interface import NO_HASH, Batch, Position
from novate.model.errors import JournalCorrupt

FORMAT_VERSION = 1
SEGMENT_MAGIC = b"NOVATEJ1"
SEGMENT_SUFFIX = ".journal"
SEGMENT_HEADER_BYTES = 4096
RECORD_BYTES_MAX = 1 << 30

# magic, format, partition, first seq, record mark, then of the record before the segment:
# timestamp, epoch, rules, record hash, events hash.
SEGMENT_HEADER = struct.Struct("<8sIIQ8sqQI4x32s32s")
# crc, length, mark, first seq, count, rules, command format, timestamp, epoch, synced seq,
# commands length, outcomes length, hash of the record before, events hash.
RECORD_HEADER = struct.Struct("<II8sQIHHqQQII32s32s")
RECORD_HEADER_BYTES = RECORD_HEADER.size
CRC = struct.Struct("<I")

NO_RECORD = bytes(RECORD_HEADER_BYTES)

Fields = tuple[int, int, bytes, int, int, int, int, int, int, int, int, int, bytes, bytes]
"""The fields of a record header, in the order of `RECORD_HEADER`."""

assert RECORD_HEADER_BYTES == 128


class SegmentHeader(msgspec.Struct, frozen=True, gc=False):
    """The head of a segment: where it begins, and the end of the record before it.

    Attributes:
        partition: Number of the partition whose journal this is.
        first_seq: First seq of the segment.
        mark: Eight random bytes that every record of the segment carries, unknown to clients.
        timestamp_ns: Time of the record before; 0 = none.
        epoch: Epoch of the record before.
        rules: Rules of the record before.
        record_hash: Hash of the record before (32 bytes).
        events_hash: Events hash of the record before (32 bytes).
    """

    partition: int
    first_seq: int
    mark: bytes
    timestamp_ns: int = 0
    epoch: int = 0
    rules: int = 1
    record_hash: bytes = NO_HASH
    events_hash: bytes = NO_HASH

    def name(self) -> str:
        """File name of the segment."""
        return segment_name(self.first_seq)

    def position(self) -> Position:
        """The place before the segment's first record."""
        return Position(
            seq=self.first_seq - 1,
            timestamp_ns=self.timestamp_ns,
            record_hash=self.record_hash,
            events_hash=self.events_hash,
            segment=self.name(),
            offset=SEGMENT_HEADER_BYTES,
            end_offset=SEGMENT_HEADER_BYTES,
            epoch=self.epoch,
            rules=self.rules,
        )

    def encode(self) -> bytes:
        """The header's bytes, `SEGMENT_HEADER_BYTES` of them."""
        fields = SEGMENT_HEADER.pack(
            SEGMENT_MAGIC,
            FORMAT_VERSION,
            self.partition,
            self.first_seq,
            self.mark,
            self.timestamp_ns,
            self.epoch,
            self.rules,
            self.record_hash,
            self.events_hash,
        )
        body = fields.ljust(SEGMENT_HEADER_BYTES - CRC.size, b"\0")
        return body + CRC.pack(zlib.crc32(body))


def segment_name(first_seq: int) -> str:
    """File name of the segment whose first seq is `first_seq`."""
    return f"{first_seq:020d}{SEGMENT_SUFFIX}"


def segment_seq(name: str) -> int | None:
    """First seq of the segment of that file name; None where it isn't a segment's name."""
    digits = name.removesuffix(SEGMENT_SUFFIX)
    if len(digits) != 20 or len(name) == 20 or not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits)


def parse_segment_header(image: bytes, name: str, partition: int) -> SegmentHeader:
    """The header of the segment called `name`.

    Raises:
        JournalCorrupt: It isn't the header of that segment of that partition, is damaged, or is
            of a format that this version doesn't know.
    """
    seq = segment_seq(name)
    assert seq is not None

    def refuse(why: str) -> JournalCorrupt:
        return JournalCorrupt(why, segment=name, offset=0, seq=seq)

    if len(image) < SEGMENT_HEADER_BYTES:
        raise refuse(f"expected a header of {SEGMENT_HEADER_BYTES} bytes, found {len(image)}")
    body = image[: SEGMENT_HEADER_BYTES - CRC.size]
    magic, version, of_partition, first_seq, *rest = SEGMENT_HEADER.unpack_from(body)
    if magic != SEGMENT_MAGIC:
        raise refuse("this is not a Novate journal segment: its first bytes are wrong")
    if zlib.crc32(body) != CRC.unpack_from(image, len(body))[0]:
        raise refuse("the segment's header fails its checksum")
    if version != FORMAT_VERSION:
        raise refuse(f"expected format {FORMAT_VERSION}, found {version}: a newer Novate wrote it")
    if of_partition != partition:
        raise refuse(f"expected partition {partition}, found partition {of_partition}")
    if first_seq != seq:
        raise refuse(f"its header says that it begins at seq {first_seq}")
    return SegmentHeader(partition, first_seq, *rest)


def record_length(batch: Batch) -> int:
    """Bytes that the batch takes in a segment, a multiple of 8."""
    return (RECORD_HEADER_BYTES + len(batch.commands) + len(batch.outcomes) + 7) & ~7


def encode_record(
    batch: Batch, mark: bytes, epoch: int, synced_seq: int, previous_hash: bytes
) -> tuple[bytes, bytes]:
    """A batch as the bytes of its record, and the record's hash.

    Args:
        batch: The batch.
        mark: The segment's mark.
        epoch: The writer's epoch.
        synced_seq: Last seq that is known to be on disk.
        previous_hash: Hash of the record before (32 bytes).
    """
    length = record_length(batch)
    fields = RECORD_HEADER.pack(
        0,
        length,
        mark,
        batch.first_seq,
        batch.count,
        batch.rules,
        batch.command_format,
        batch.timestamp_ns,
        epoch,
        synced_seq,
        len(batch.commands),
        len(batch.outcomes),
        previous_hash,
        batch.events_hash,
    )
    padding = bytes(length - RECORD_HEADER_BYTES - len(batch.commands) - len(batch.outcomes))
    body = b"".join((fields[4:], batch.commands, batch.outcomes, padding))
    return CRC.pack(zlib.crc32(body)) + body, record_hash(memoryview(body)[12:])


def record_hash(hashed: bytes | memoryview) -> bytes:
    """Hash of a record (32 bytes); `hashed` is the record from its byte 16 on."""
    return hashlib.blake2b(hashed, digest_size=32).digest()


def why_bad(fields: Fields, room: int, mark: bytes, seq: int) -> str:
    """What is wrong with a record header, in words; empty where nothing is.

    Args:
        fields: The header's fields.
        room: Bytes from the record's beginning to the end of its segment.
        mark: The segment's mark.
        seq: The first seq expected.
    """
    _, length, of_record, first_seq, count, _, _, _, _, _, commands, outcomes, _, _ = fields
    if of_record != mark:
        return "no record begins here"
    if length & 7 or not RECORD_HEADER_BYTES <= length <= min(room, RECORD_BYTES_MAX):
        return f"the record's length {length} can't be"
    if (RECORD_HEADER_BYTES + commands + outcomes + 7) & ~7 != length:
        return f"the lengths of its parts don't add up to its length {length}"
    if first_seq != seq or count < 1:
        return f"expected the record to begin with seq {seq}, found {count} from seq {first_seq}"
    return ""
