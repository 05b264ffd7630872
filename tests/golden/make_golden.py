"""Makes the golden files of a version: commands, and what the engine makes of them.

    python -m tests.golden.make_golden 5

Files of a version that was released are never made again: they prove that old journals and dumps
go on meaning what they meant. A change of layout or of rules makes a new version beside them.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from itertools import islice, pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from novate.engine import Engine
from novate.model.instrument import Instrument
from tests.oracle.clearing_workload import CHOICES, OFTEN_CUT_OFF, Cleared, ClearingWorkload
from tests.oracle.duel import START_NS, Duel, spec
from tests.oracle.exchange import Exchange
from tests.oracle.market import MarketWorkload
from tests.oracle.wide import WIDE
from tests.oracle.words import Adopt, Command, Configure, Create, Event, Snapshot, to_bytes
from tests.oracle.workload import TINIER, TINY, Workload

FOLDER = Path(__file__).parent
NO_EVENTS = bytes(32)
RULEBOOK_COMMANDS = 900
ADOPTED_AT = {4: {40: 2}, 5: {10: 2, 20: 3}}
"""By version, the version of the rules that a batch adopts."""

SEEDS = {2: 19, 3: 19, 4: 31, 5: 22}
THIRD = spec(2, quantity_lots_max=9)


def golden_batches(version: int) -> list[list[Command]]:
    """What a version's files hold, in uneven batches."""
    if version == 1:
        return plain_batches()
    seed, wide = SEEDS[version], version == 4
    specs = [spec(0), spec(1, price_ticks_max=103), WIDE if wide else THIRD]
    if version == 2:
        return rulebook_batches(specs, lambda exchange: MarketWorkload(seed, exchange))
    shape = Cleared(wide=2 if wide else -1, choices=OFTEN_CUT_OFF if version > 4 else CHOICES)
    adopts = ADOPTED_AT.get(version, {})
    return rulebook_batches(specs, lambda each: ClearingWorkload(seed, each, shape), adopts)


def batch_time_ns(number: int) -> int:
    """The time of a batch, counted from 0."""
    return START_NS + number * 300_000_000


def rulebook_batches(
    specs: list[Instrument],
    begin: Callable[[Exchange], MarketWorkload],
    adopts: Mapping[int, int] = MappingProxyType({}),
) -> list[list[Command]]:
    """Version 2: a workload over the whole rulebook, and a change of limits in its middle.

    Version 3: the same with clearing. Version 4: with an instrument of which orders may be worth
    too much, and from the batch that adopts it on under the second version of the rules. Version 5:
    as version 3, under the second version of the rules and then under the third.
    """
    batches: list[list[Command]] = [[Configure(TINY), *map(Create, specs)]]
    duel = Duel.begin(alone=True, specs=[], rules=1)
    workload = begin(duel.oracle)
    commands = workload.commands(RULEBOOK_COMMANDS)
    play(duel, batches[0], 0)
    for number in range(1, RULEBOOK_COMMANDS):
        workload.now_ns = batch_time_ns(number)
        batch: list[Command] = [Configure(TINIER)] if number == 60 else [Snapshot()]
        if number in adopts:
            batch = [Adopt(adopts[number])]
            play(duel, batch, number)
        elif number % 60:
            batch = []
            for command in islice(commands, 1 + number * 7 % 12):
                events = play(duel, [command], number)
                if isinstance(workload, ClearingWorkload):
                    workload.note(events)
                batch.append(command)
            if not batch:
                break
        else:
            play(duel, batch, number)
        batches.append(batch)
    return batches


def play(duel: Duel, batch: list[Command], number: int) -> list[Event]:
    """Let the exchange that the workload looks at see the commands, too; the events."""
    return [
        event for command in batch for event in duel.oracle.apply(command, batch_time_ns(number))
    ]


def plain_batches() -> list[list[Command]]:
    """Version 1: instruments, a workload in uneven batches, a snapshot in its middle."""
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
        (b"".join(to_bytes(command) for command in batch), batch_time_ns(number))
        for number, batch in enumerate(golden_batches(version))
    ]
    engine = Engine(rules=1)
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
