"""What a journal says when its bytes are not those that were written."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from novate.journal.disk import RealDisk, RealFile
from novate.journal.interface import Appended, Batch, Witness
from novate.journal.layout import (
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    encode_record,
    parse_segment_header,
    segment_name,
)
from novate.journal.mark import MARK_FILE
from novate.journal.reading import JournalReader, Segment
from novate.journal.segments import SegmentJournal
from novate.journal.snapshots import SnapshotStore, snapshot_at
from novate.journal.verify import run
from novate.model.errors import JournalBehindWitness, JournalCorrupt
from tests.conftest import SOAK

SEGMENT_BYTES = 8 << 10


class QuickFile(RealFile):
    """A file whose syncs cost nothing: no power is lost here."""

    def fdatasync(self) -> None:
        pass


class QuickDisk(RealDisk):
    def open(self, path: Path, *, write: bool = False, create: bool = False) -> RealFile:
        flags = os.O_RDWR if write or create else os.O_RDONLY
        return QuickFile(path, flags | (os.O_CREAT | os.O_TRUNC if create else 0))

    def fsync_dir(self, path: Path) -> None:
        pass


def write_journal(folder: Path, batches: int, payload: bytes = b"0123456789abc") -> list[Batch]:
    journal = SegmentJournal(folder, disk=QuickDisk(), segment_bytes=SEGMENT_BYTES)
    appended = []
    for seq in range(batches):
        batch = Batch(seq + 1, 1, seq, payload, b"outcome")
        assert journal.append(seq, journal.epoch, batch) is Appended.DURABLE
        appended.append(batch)
    journal.close()
    return appended


def read_all(folder: Path, **options: object) -> tuple[list[Batch], list[str]]:
    options.setdefault("segment_bytes", SEGMENT_BYTES)
    options.setdefault("disk", QuickDisk())
    journal = SegmentJournal(folder, **options)  # type: ignore[arg-type]
    try:
        return [record.batch for record in journal.read(1)], journal.warnings
    finally:
        journal.close()


def segments_in(folder: Path) -> list[Path]:
    return sorted((folder / "journal").glob("*.journal"))


def last_record(folder: Path) -> tuple[Path, int, int]:
    journal = SegmentJournal(folder, disk=QuickDisk(), segment_bytes=SEGMENT_BYTES)
    last = journal.last()
    journal.close()
    return folder / "journal" / last.segment, last.offset, last.end_offset


@pytest.mark.slow
def test_a_cut_at_every_byte_of_the_last_batch_recovers_the_batches_before(tmp_path: Path) -> None:
    appended = write_journal(tmp_path, 4)
    path, offset, end_offset = last_record(tmp_path)
    (tmp_path / MARK_FILE).unlink()
    whole = path.read_bytes()
    for cut in range(offset, end_offset):
        path.write_bytes(whole[:cut])
        found, warnings = read_all(tmp_path)
        assert found == appended[:-1]
        said = [f"cut behind seq 3 (segment {path.name}, offset {offset})"] if cut > offset else []
        assert [said[0] in warning for warning in warnings] == [True] * len(said)
        (tmp_path / MARK_FILE).unlink()
    path.write_bytes(whole)
    assert read_all(tmp_path) == (appended, [])


@pytest.mark.slow
def test_zeros_from_any_byte_of_the_last_batch_on_are_a_torn_end_too(tmp_path: Path) -> None:
    appended = write_journal(tmp_path, 3)
    path, offset, end_offset = last_record(tmp_path)
    whole = path.read_bytes()
    for cut in range(offset + 1, end_offset - 5, 7):  # its last four bytes are padding
        path.write_bytes(whole[:cut].ljust(len(whole), b"\0"))
        (tmp_path / MARK_FILE).unlink()
        found, warnings = read_all(tmp_path)
        assert (found, len(warnings)) == (appended[:-1], 1)
        assert path.read_bytes() == whole[:offset].ljust(len(whole), b"\0")


def test_a_cut_batch_is_followed_by_new_ones(tmp_path: Path) -> None:
    appended = write_journal(tmp_path, 3)
    path, offset, _ = last_record(tmp_path)
    path.write_bytes(path.read_bytes()[: offset + 40])
    (tmp_path / MARK_FILE).unlink()
    journal = SegmentJournal(tmp_path, segment_bytes=SEGMENT_BYTES)
    other = Batch(3, 1, 99, b"another third command")
    assert journal.append(2, journal.epoch, other) is Appended.DURABLE
    journal.close()
    assert read_all(tmp_path) == ([*appended[:2], other], [])


@pytest.mark.slow
def test_a_bit_flipped_anywhere_before_the_last_batch_refuses_by_name(tmp_path: Path) -> None:
    write_journal(tmp_path, 30)
    last_path, last_offset, _ = last_record(tmp_path)
    paths = segments_in(tmp_path)
    assert len(paths) == 2
    for path in paths:
        whole = path.read_bytes()
        end = last_offset if path == last_path else len(whole)
        for at in range(0, end, 1 if SOAK else 5):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << (at % 8)
            path.write_bytes(damaged)
            with pytest.raises(JournalCorrupt) as caught:
                read_all(tmp_path)
            assert caught.value.segment == path.name
            assert caught.value.seq > 0
            assert 0 <= caught.value.offset <= at or path != last_path
            assert caught.value.segment in str(caught.value)
        path.write_bytes(whole)
    read_all(tmp_path)


@pytest.mark.slow
def test_every_byte_of_one_record_is_guarded(tmp_path: Path) -> None:
    write_journal(tmp_path, 3)
    path = segments_in(tmp_path)[0]
    whole = path.read_bytes()
    begin = SEGMENT_HEADER_BYTES
    end = SEGMENT_HEADER_BYTES + 152
    for at in range(begin, end):
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(JournalCorrupt) as caught:
            read_all(tmp_path)
        assert (caught.value.segment, caught.value.offset, caught.value.seq) == (
            path.name,
            SEGMENT_HEADER_BYTES,
            1,
        )


def test_a_damaged_last_batch_that_was_durable_is_not_cut(tmp_path: Path) -> None:
    write_journal(tmp_path, 3)
    path, offset, end_offset = last_record(tmp_path)
    damaged = bytearray(path.read_bytes())
    damaged[end_offset - 10] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(JournalBehindWitness, match="the durable mark saw 3") as caught:
        read_all(tmp_path)
    assert (caught.value.segment, caught.value.offset, caught.value.seq) == (path.name, offset, 3)
    assert path.read_bytes() == damaged


def test_a_journal_older_than_its_snapshot_is_refused(tmp_path: Path) -> None:
    write_journal(tmp_path, 3)
    (tmp_path / MARK_FILE).unlink()
    read_all(tmp_path, witnesses=[Witness("the snapshot of seq 3", 3)])
    (tmp_path / MARK_FILE).unlink()
    with pytest.raises(JournalBehindWitness, match="the snapshot of seq 4 saw 4"):
        read_all(tmp_path, witnesses=[Witness("the snapshot of seq 4", 4)])


def test_a_journal_that_is_gone_is_refused(tmp_path: Path) -> None:
    write_journal(tmp_path, 3)
    for path in segments_in(tmp_path):
        path.unlink()
    with pytest.raises(JournalBehindWitness, match="ends with seq 0, but the durable mark saw 3"):
        read_all(tmp_path)


def test_another_journal_of_the_same_length_is_refused(tmp_path: Path) -> None:
    write_journal(tmp_path / "one", 3)
    write_journal(tmp_path / "two", 3, payload=b"other commands")
    (tmp_path / "one" / MARK_FILE).replace(tmp_path / "two" / MARK_FILE)
    with pytest.raises(JournalBehindWitness, match="another record than the one that the durable"):
        read_all(tmp_path / "two")


def test_a_missing_segment_is_named(tmp_path: Path) -> None:
    write_journal(tmp_path, 80)
    first, second, third = segments_in(tmp_path)[:3]
    second.unlink()
    with pytest.raises(JournalCorrupt, match="a record is missing") as caught:
        read_all(tmp_path)
    assert caught.value.segment == first.name
    assert segment_name(caught.value.seq) == second.name
    assert third.exists()


def test_a_segment_of_another_chain_is_refused(tmp_path: Path) -> None:
    write_journal(tmp_path / "one", 80)
    write_journal(tmp_path / "two", 80, payload=b"0123456789abd")
    second = segments_in(tmp_path / "two")[1]
    segments_in(tmp_path / "one")[1].write_bytes(second.read_bytes())
    with pytest.raises(JournalCorrupt, match="doesn't carry the hash of the record before") as got:
        read_all(tmp_path / "one")
    assert (got.value.segment, got.value.offset) == (second.name, 0)


def rewrite_header(path: Path, **changes: int) -> None:
    image = path.read_bytes()
    header = parse_segment_header(image, path.name, 0)
    fields = {name: getattr(header, name) for name in header.__struct_fields__} | changes
    path.write_bytes(SegmentHeader(**fields).encode() + image[SEGMENT_HEADER_BYTES:])


def test_another_partition_is_refused(tmp_path: Path) -> None:
    write_journal(tmp_path, 1)
    rewrite_header(segments_in(tmp_path)[0], partition=7)
    with pytest.raises(JournalCorrupt, match="expected partition 0, found partition 7"):
        read_all(tmp_path)


def test_a_segment_under_another_name_is_refused(tmp_path: Path) -> None:
    write_journal(tmp_path, 1)
    path = segments_in(tmp_path)[0]
    path.rename(path.with_name(segment_name(9)))
    with pytest.raises(JournalCorrupt, match="says that it begins at seq 1"):
        read_all(tmp_path)


def test_a_newer_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        newer.setattr("novate.journal.layout.FORMAT_VERSION", 2)
        write_journal(tmp_path, 1)
    with pytest.raises(JournalCorrupt, match="expected format 1, found 2: a newer Novate"):
        read_all(tmp_path)


def test_a_file_that_is_no_segment_is_refused(tmp_path: Path) -> None:
    write_journal(tmp_path, 1)
    path = segments_in(tmp_path)[0]
    path.write_bytes(b"\0" * SEGMENT_BYTES)
    with pytest.raises(JournalCorrupt, match="not a Novate journal segment"):
        read_all(tmp_path)


def test_bytes_behind_the_end_of_a_closed_segment_are_refused(tmp_path: Path) -> None:
    write_journal(tmp_path, 80)
    path = segments_in(tmp_path)[0]
    image = bytearray(path.read_bytes())
    image[-1] = 1
    path.write_bytes(image)
    with pytest.raises(JournalCorrupt, match="behind the last record of a closed segment") as got:
        read_all(tmp_path)
    assert got.value.offset == SEGMENT_BYTES - 1


def test_record_bytes_inside_a_command_do_not_fool_the_search(tmp_path: Path) -> None:
    """A torn batch that carries what looks like a later record is still only a torn end."""
    inner, _ = encode_record(Batch(9, 1, 9, b"inner"), b"guessed!", 1, 8, bytes(32))
    appended = write_journal(tmp_path, 3, payload=inner * 3)
    path, offset, end_offset = last_record(tmp_path)
    image = bytearray(path.read_bytes())
    image[offset : offset + 64] = bytes(64)
    path.write_bytes(image)
    (tmp_path / MARK_FILE).unlink()
    found, warnings = read_all(tmp_path)
    assert (found, len(warnings)) == (appended[:2], 1)
    assert not any(path.read_bytes()[offset:end_offset])


def test_a_lost_sector_in_the_middle_is_damage_and_no_end(tmp_path: Path) -> None:
    write_journal(tmp_path, 15)
    (path,) = segments_in(tmp_path)
    image = bytearray(path.read_bytes())
    image[SEGMENT_HEADER_BYTES + 1024 : SEGMENT_HEADER_BYTES + 1536] = bytes(512)
    path.write_bytes(image)
    (tmp_path / MARK_FILE).unlink()
    with pytest.raises(JournalCorrupt, match="a good one stands behind it"):
        read_all(tmp_path)


# --- novate verify ---------------------------------------------------------------------------


def test_verify_counts_a_whole_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_journal(tmp_path, 80)
    assert run(tmp_path) == 0
    out = capsys.readouterr().out
    assert "whole, 4 segments, 80 records, 80 commands (1040 bytes), seq 1 to 80" in out


def test_verify_names_the_place_of_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_journal(tmp_path, 80)
    path = segments_in(tmp_path)[1]
    image = bytearray(path.read_bytes())
    image[SEGMENT_HEADER_BYTES + 20] ^= 4
    path.write_bytes(image)
    assert run(tmp_path) == 1
    said = capsys.readouterr().err
    seq = int(path.name[:20])
    assert f"(segment {path.name}, offset {SEGMENT_HEADER_BYTES}, seq {seq})" in said


def test_verify_changes_nothing_and_tells_of_an_unfinished_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_journal(tmp_path, 3)
    path, offset, _ = last_record(tmp_path)
    image = bytearray(path.read_bytes())
    image[offset + 30 :] = bytes(len(image) - offset - 30)
    path.write_bytes(image)
    assert run(tmp_path) == 1
    assert "the durable mark saw 3" in capsys.readouterr().err
    (tmp_path / MARK_FILE).unlink()
    assert run(tmp_path) == 0
    said = capsys.readouterr()
    assert "unfinished write" in said.err
    assert "2 records" in said.out
    assert path.read_bytes() == image


def test_verify_holds_snapshots_against_the_journal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_journal(tmp_path, 9)
    journal = SegmentJournal(tmp_path, segment_bytes=SEGMENT_BYTES)
    position = list(journal.read(1))[4].position()
    journal.close()
    store = SnapshotStore(tmp_path, RealDisk())
    store.save(snapshot_at(position, events_hash=bytes(32), state_hash="ab", dump=b"state"))
    assert run(tmp_path) == 0
    assert "snapshots: 1 whole, at seq 5" in capsys.readouterr().out
    with_other_hash = msgspec.structs.replace(position, record_hash=bytes(32))
    store.save(snapshot_at(with_other_hash, events_hash=bytes(32), state_hash="ab", dump=b"state"))
    assert run(tmp_path) == 1
    assert "taken of another record" in capsys.readouterr().err
    path = store.path(5)
    image = bytearray(path.read_bytes())
    image[-40] ^= 1
    path.write_bytes(image)
    assert run(tmp_path) == 0
    assert "fails its checksum" in capsys.readouterr().err


def test_verify_refuses_a_folder_without_a_journal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path) == 1
    assert "there is none" in capsys.readouterr().err


def test_verify_tells_what_is_pruned_from_what_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_journal(tmp_path, 80)
    journal = SegmentJournal(tmp_path, segment_bytes=SEGMENT_BYTES)
    positions = [record.position() for record in journal.read(1)]
    journal.close()
    first, second = (int(path.name[:20]) for path in segments_in(tmp_path)[1:3])
    segments_in(tmp_path)[0].unlink()
    store = SnapshotStore(tmp_path, RealDisk())

    def save(seq: int) -> None:
        position = positions[seq - 1]
        store.save(snapshot_at(position, events_hash=bytes(32), state_hash="ab", dump=b"state"))

    assert run(tmp_path) == 1
    assert f"seq 1 to {first - 1} are missing, and no" in capsys.readouterr().err
    save(first - 1)
    assert run(tmp_path) == 0
    assert f"warning: seq 1 to {first - 1} are missing (pruned)" in capsys.readouterr().err
    segments_in(tmp_path)[0].unlink()
    assert run(tmp_path) == 1
    assert f"seq 1 to {second - 1} are missing, and no" in capsys.readouterr().err


def test_what_a_server_writes_while_the_end_is_looked_for_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_journal(tmp_path, 3)
    journal = SegmentJournal(tmp_path, disk=QuickDisk(), segment_bytes=SEGMENT_BYTES)
    look_behind = Segment.first_not_zero

    def write_before(segment: Segment, offset: int) -> int:
        for _ in range(2 if journal.last().seq == 3 else 0):
            seq = journal.last().seq
            journal.append(seq, journal.epoch, Batch(seq + 1, 1, seq, b"more", b"outcome"))
        return look_behind(segment, offset)

    monkeypatch.setattr(Segment, "first_not_zero", write_before)
    end = JournalReader(tmp_path, QuickDisk()).end()
    journal.close()
    assert end is not None
    assert (end.position.seq, end.torn) == (5, "")
