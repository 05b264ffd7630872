"""Data folders for tests of recovery: filled by a real sequencer, without a server in front."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

from novate.config import Settings
from novate.exchange import Partition, bounds_of
from novate.journal.disk import RealDisk
from novate.journal.reading import JournalReader
from novate.journal.snapshots import SnapshotFile, SnapshotStore
from novate.model import codec
from novate.recovery import Recovered, Replayer, from_latest_snapshot, open_partition, replay_tail
from tests.conftest import wait_until_async

CLIENTS = 7
KeyedAnswers = dict[tuple[bytes, int], tuple[int, bytes]]
"""First answers by (key digest, command digest)."""


def settings_of(folder: Path, **changed: Any) -> Settings:
    """Settings for a folder, small where large would only be slow."""
    return Settings(data_dir=folder, port=0, journal_segment_bytes=1 << 20, **changed)


def place(number: int) -> tuple[bytes, bytes, int]:
    """A keyed order from its number: (command, key digest, command digest)."""
    chance = random.Random(number)
    client = b"client-%d" % (number % CLIENTS)
    key_digest = codec.key_digest(client, b"key-%d" % number)
    command = codec.pack_place(
        number % 2,
        chance.randrange(2),
        0,
        0,
        2,
        10_000 + chance.randint(-20, 20),
        chance.randint(1, 50),
        0,
        b"order-%d" % number,
        client,
        key_digest,
        number,
    )
    return command, key_digest, number


async def _fill(recovered: Recovered, settings: Settings, numbers: range) -> KeyedAnswers:
    partition = Partition(settings.partition, recovered, bounds_of(settings))
    answers: KeyedAnswers = {}
    chance = random.Random(numbers.start)
    for number in numbers:
        command, key_digest, digest = place(number)

        def answered(
            status: int, body: bytes, replayed: bool, key: tuple[bytes, int] = (key_digest, digest)
        ) -> None:
            answers[key] = (status, body)

        partition.sequencer.submit(command, answered)
        if chance.random() < 0.1 and partition.sequencer.depth:
            await wait_until_async(lambda: not partition.sequencer.depth)
    assert await partition.sequencer.stop(30)
    return answers


def fill(settings: Settings, numbers: range) -> KeyedAnswers:
    """Open a folder, place the orders of these numbers in batches of chance size, close it."""

    async def play() -> KeyedAnswers:
        recovered = open_partition(settings)
        try:
            return await _fill(recovered, settings, numbers)
        finally:
            recovered.close()

    return asyncio.run(play())


def command(settings: Settings, commands: list[bytes]) -> None:
    """Open a folder, have these commands journaled as one group, close it."""

    async def play() -> None:
        recovered = open_partition(settings)
        try:
            partition = Partition(settings.partition, recovered, bounds_of(settings))
            partition.sequencer.submit_many(commands, lambda outcomes: None)
            assert await partition.sequencer.stop(30)
        finally:
            recovered.close()

    asyncio.run(play())


def store_of(settings: Settings) -> SnapshotStore:
    """The snapshots of a folder."""
    return SnapshotStore(settings.data_dir, keep=settings.snapshots_kept)


def replayed(settings: Settings, from_zero: bool = True) -> Replayer:
    """A folder's state by replay, which changes nothing in it."""
    reader = JournalReader(settings.data_dir, RealDisk(), settings.partition)
    replayer = Replayer.at_zero() if from_zero else from_latest_snapshot(store_of(settings), [])[0]
    replay_tail(replayer, reader)
    return replayer


def take_snapshot(settings: Settings) -> SnapshotFile:
    """A snapshot of a folder at its end."""
    return store_of(settings).save(replayed(settings).snapshot(settings.partition))
