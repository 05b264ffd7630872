"""The compiled reading of records against the plain one."""

from __future__ import annotations

import hashlib
import random
import zlib

import pytest

from novate.journal.codec import checksums, scan
from novate.journal.interface import NO_HASH, Batch
from novate.journal.layout import encode_record

MARK = b"the mark"
SEGMENT = "00000000000000000001.journal"


def chunk_of(batches: list[Batch]) -> tuple[bytes, list[bytes]]:
    chain, images, hashes = NO_HASH, [], []
    for batch in batches:
        image, chain = encode_record(batch, MARK, 5, batch.first_seq - 1, chain)
        images.append(image)
        hashes.append(chain)
    return b"".join(images), hashes


def some_batches() -> list[Batch]:
    chance, seq, batches = random.Random(1), 1, []
    for _ in range(20):
        count = chance.randint(1, 5)
        commands, outcomes = chance.randbytes(chance.randint(0, 300)), chance.randbytes(count)
        batches.append(
            Batch(
                seq, count, chance.getrandbits(62), commands, outcomes, chance.randbytes(32), 7, 9
            )
        )
        seq += count
    return batches


def test_checksums_are_those_of_the_standard_library() -> None:
    chance = random.Random(2)
    for length in [*range(300), 1023, 1024, 1025, 65_537]:
        image = chance.randbytes(length)
        digest = hashlib.blake2b(image, digest_size=32).digest()
        assert checksums(image) == (zlib.crc32(image), digest)


def test_every_field_comes_back() -> None:
    batches = some_batches()
    chunk, hashes = chunk_of(batches)
    records = scan(chunk, 4096, MARK, 1, NO_HASH, SEGMENT, True)
    assert [record.batch for record in records] == batches
    assert [record.record_hash for record in records] == hashes
    assert {(record.segment, record.epoch) for record in records} == {(SEGMENT, 5)}
    assert records[0].offset == 4096
    assert records[-1].end_offset == 4096 + len(chunk)
    assert scan(chunk, 4096, MARK, 1, NO_HASH, SEGMENT, False) == records[-1:]


def test_it_stops_before_what_is_not_whole_or_not_good() -> None:
    batches = some_batches()
    chunk, _ = chunk_of(batches)
    ends = [record.end_offset for record in scan(chunk, 0, MARK, 1, NO_HASH, SEGMENT, True)]
    for cut in range(0, len(chunk), 3):
        whole = sum(end <= cut for end in ends)
        assert len(scan(chunk[:cut], 0, MARK, 1, NO_HASH, SEGMENT, True)) == whole
    for at in range(0, len(chunk), 3):
        damaged = bytearray(chunk)
        damaged[at] ^= 0x20
        whole = sum(end <= at for end in ends)
        assert len(scan(bytes(damaged), 0, MARK, 1, NO_HASH, SEGMENT, True)) == whole


def test_another_mark_or_seq_or_chain_has_no_records() -> None:
    chunk, _ = chunk_of(some_batches())
    assert scan(chunk, 0, b"NO MARK.", 1, NO_HASH, SEGMENT, True) == []
    assert scan(chunk, 0, MARK, 2, NO_HASH, SEGMENT, True) == []
    assert scan(chunk, 0, MARK, 1, b"\1" * 32, SEGMENT, True) == []
    with pytest.raises(ValueError, match="a mark has 8 bytes"):
        scan(chunk, 0, b"short", 1, NO_HASH, SEGMENT, True)
