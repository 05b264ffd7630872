"""Makes the golden files of a version: commands, and what the engine makes of them.

    python -m tests.golden.make_golden 1

Files of a version that was released are never made again: they prove that old journals and dumps
go on meaning what they meant. A change of layout or of rules makes a new version beside them.
"""

from __future__ import annotations

import hashlib
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from novate.engine import Engine
from tests.oracle.duel import START_NS, spec
from tests.oracle.words import Command, Configure, Create, Snapshot, to_bytes
from tests.oracle.workload import TINY, Workload

FOLDER = Path(__file__).parent
NO_EVENTS = bytes(32)


def golden_batches() -> list[list[Command]]:
    """Instruments, a workload in uneven batches, a change of limits in its middle."""
    work = list(Workload(1).commands(240))
    created: list[Command] = [Configure(TINY), *(Create(spec(number)) for number in range(3))]
    cuts = (0, 1, 40, 41, 120, 190, 240)
    batches = [work[low:high] for low, high in pairwise(cuts)]
    return [created, *batches[:3], [Snapshot()], *batches[3:]]


def chain(events_hash: bytes, events: bytes) -> bytes:
    """The running hash over the events of every batch so far."""
    return hashlib.blake2b(events_hash + events, digest_size=32).digest()


def replay(engine: Engine, batches: list[tuple[bytes, int]], events_hash: bytes) -> bytes:
    """Apply batches (bytes, timestamp_ns) and give the running hash after them."""
    for commands, timestamp_ns in batches:
        events = engine.apply(commands, timestamp_ns=timestamp_ns)
        events_hash = chain(events_hash, events.tobytes())
    return events_hash


def make(version: int) -> dict[str, Any]:
    """Write the version's files; the dump is taken before the last batch."""
    batches = [
        (b"".join(to_bytes(command) for command in batch), START_NS + number * 300_000_000)
        for number, batch in enumerate(golden_batches())
    ]
    engine = Engine()
    dumped_hash = replay(engine, batches[:-1], NO_EVENTS)
    (FOLDER / f"engine-v{version}.dump").write_bytes(engine.dump())
    dumped_state = engine.state_hash()
    last_hash = replay(engine, batches[-1:], dumped_hash)
    (FOLDER / f"commands-v{version}.bin").write_bytes(b"".join(each for each, _ in batches))
    manifest = {
        "batches": [{"bytes": len(each), "timestamp_ns": when} for each, when in batches],
        "dumped": {"state_hash": dumped_state, "events_hash": dumped_hash.hex()},
        "last": {"state_hash": engine.state_hash(), "events_hash": last_hash.hex()},
    }
    text = json.dumps(manifest, indent=2) + "\n"
    (FOLDER / f"golden-v{version}.json").write_text(text, encoding="ascii")
    return manifest


if __name__ == "__main__":
    print(json.dumps(make(int(sys.argv[1])), indent=2))
