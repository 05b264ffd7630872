"""A data folder with a journal of orders in it, made without a server in front."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from novate.config import Settings
from novate.model import codec
from novate.recovery import Recovered, open_partition

CLIENTS = 200
BAND_TICKS = 201
MARKETS = 0.2
RECORD_COMMANDS = 200
MIDDLE_TICKS = 7_000_000
SECOND_COMMANDS = 10_000
"""Commands of one second of the journal's time."""

START_NS = 1_767_225_600_000_000_000


def make(folder: Path, commands: int, seed: int = 7) -> int:
    """Fill a folder with so many orders, 80% limit and 20% market; the journal's last seq."""
    settings = Settings(data_dir=folder, journal_segment_bytes=64 << 20)
    recovered = open_partition(settings, clock=lambda: START_NS)
    try:
        return _fill(recovered, commands, np.random.default_rng(seed))
    finally:
        recovered.close()


def _fill(recovered: Recovered, commands: int, chance: np.random.Generator) -> int:
    from novate.journal.interface import Appended, Batch, Record
    from novate.recovery import Replayer

    replayer = Replayer(recovered.engine)
    replayer.seq, replayer.events_hash = recovered.seq, recovered.events_hash
    journal = recovered.journal
    made = 0
    while made < commands:
        count = min(RECORD_COMMANDS, commands - made)
        batch = Batch(
            first_seq=replayer.seq + 1,
            count=count,
            timestamp_ns=START_NS + made * 10**9 // SECOND_COMMANDS,
            commands=b"".join(_orders(chance, count)),
            events_hash=replayer.events_hash,
        )
        appended = journal.append(replayer.seq, journal.epoch, batch, sync=False)
        assert appended in (Appended.WRITTEN, Appended.DURABLE), appended
        at = journal.last()
        replayer.apply(
            Record(batch, at.segment, at.offset, at.end_offset, at.record_hash, at.epoch)
        )
        made += count
    journal.sync()
    return replayer.seq


def _orders(chance: np.random.Generator, count: int) -> list[bytes]:
    sides = chance.integers(0, 2, count).tolist()
    markets = (chance.random(count) < MARKETS).tolist()
    prices = (MIDDLE_TICKS + chance.integers(0, BAND_TICKS, count)).tolist()
    lots = (chance.integers(1, 100, count) * 1_000_000).tolist()
    clients = chance.integers(0, CLIENTS, count).tolist()
    packed = []
    for place in range(count):
        name = b"client-%d" % clients[place]
        market = markets[place]
        price = 0 if market else prices[place]
        packed.append(
            codec.pack_place(
                0, sides[place], int(market), 0, 0, price, lots[place], 0,
                codec.new_order_id(0), name,
            )
        )  # fmt: skip
    return packed
