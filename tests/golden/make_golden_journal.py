"""Makes the golden journal of a version: a data folder as that version leaves it.

    python -m tests.golden.make_golden_journal 3

From version 3 on, two of its commands are skipped by the record behind theirs.

Like the other golden files, those of a version that was released are never made again.
"""

from __future__ import annotations

import json
import random
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

from novate.engine import Engine
from novate.journal.interface import Batch
from novate.journal.mark import MARK_FILE
from novate.journal.segments import SegmentJournal
from novate.journal.snapshots import SnapshotStore, snapshot_at
from novate.model.packing import pack_skip_command
from tests.golden.make_golden import FOLDER, NO_EVENTS, batch_time_ns, chain, golden_batches
from tests.oracle.words import to_bytes

SEGMENT_BYTES = 16 << 10


def make(version: int) -> dict[str, Any]:
    """Write the version's folder and what is to be found in it."""
    folder = FOLDER / f"journal_v{version}"
    shutil.rmtree(folder, ignore_errors=True)
    marks = random.Random(version)
    journal = SegmentJournal(folder, segment_bytes=SEGMENT_BYTES, random_bytes=marks.randbytes)
    engine, events_hash, outcomes = Engine(rules=1), NO_EVENTS, b""
    batches = golden_batches(version)

    def append(commands: list[bytes], timestamp_ns: int, skipped: int | None = None) -> None:
        nonlocal events_hash, outcomes
        first_seq = journal.last().seq + 1
        whole = b"".join(commands)
        batch = Batch(first_seq, len(commands), timestamp_ns, whole, outcomes, events_hash)
        journal.append(first_seq - 1, journal.epoch, batch)
        if skipped is not None:
            commands[skipped] = pack_skip_command(first_seq + skipped)
        events = engine.apply(b"".join(commands), first_seq, timestamp_ns).tobytes()
        events_hash = chain(events_hash, events)
        outcomes = struct.pack("<QI", first_seq, 5) + b"image"

    for number, batch in enumerate(batches):
        commands = [to_bytes(command) for command in batch]
        timestamp_ns = batch_time_ns(number)
        skips = version >= 3 and number in (len(batches) // 3, len(batches) - 1)
        skipped = len(commands) // 2 if skips else None
        append(commands, timestamp_ns, skipped)
        if skipped is not None:
            seq = journal.last().seq - len(commands) + 1 + skipped
            append([pack_skip_command(seq)], timestamp_ns)
        if number == (3 if version == 1 else len(batches) // 2):
            snapshot = snapshot_at(
                journal.last(),
                events_hash=events_hash,
                state_hash=engine.state_hash(),
                dump=engine.dump(),
                pending_outcomes=outcomes,
            )
            SnapshotStore(folder).save(snapshot)
    end = journal.last()
    journal.close()
    (folder / MARK_FILE).unlink()
    expected = {
        "last_seq": end.seq,
        "record_hash": end.record_hash.hex(),
        "events_hash": events_hash.hex(),
        "state_hash": engine.state_hash(),
        "snapshot_seq": snapshot.seq,
    }
    text = json.dumps(expected, indent=2) + "\n"
    (FOLDER / f"journal_v{version}.json").write_text(text, encoding="ascii")
    return expected


def journal_versions() -> list[int]:
    """The versions that there are golden journals of."""
    return sorted(int(path.stem.split("_v")[1]) for path in Path(FOLDER).glob("journal_v*.json"))


if __name__ == "__main__":
    print(json.dumps(make(int(sys.argv[1])), indent=2))
