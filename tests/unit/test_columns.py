"""Command records as columns, against what made them."""

from __future__ import annotations

import random
from uuid import UUID

import numpy as np
import pytest

from novate.ledger.decoding import Commands
from novate.ledger.naming import name_hash
from novate.model import codec
from novate.model.columns import command_columns, uuids
from novate.model.commands import COMMAND
from tests.oracle.words import Place, Side, to_bytes


def made(seed: int, count: int) -> tuple[list[str], list[bytes]]:
    """Order ids of every kind and length, and commands that bear them, some with an extension."""
    chance = random.Random(seed)
    names, packed = [], []
    for number in range(count):
        name = chance.choice(
            [codec.new_order_id(0).decode(), "x" * chance.randint(1, 64), f"o-{number}"]
        )
        client = "c" * chance.randint(1, 64)
        display = chance.choice([0, 5])
        names.append(name)
        packed.append(to_bytes(Place(client, name, Side.BUY, 7 + number, 100, display=display)))
    return names, packed


@pytest.mark.parametrize("seed", range(20))
def test_they_stand_where_they_were_put(seed: int) -> None:
    names, packed = made(seed, 40)
    offsets, heads = command_columns(b"".join(packed))
    assert offsets.tolist() == [sum(map(len, packed[:at])) for at in range(len(packed))]
    assert heads.tobytes() == b"".join(each[: COMMAND.itemsize] for each in packed)
    assert heads["quantity_lots"].tolist() == list(range(7, 47))
    commands = Commands(b"".join(packed), 3)
    assert len(commands) == 40
    places = np.arange(40)
    assert commands.order_ids(places) == (names, list(map(name_hash, names)))
    some = places[[len(name) == 36 for name in names]]
    assert commands.order_ids(some) == (
        [names[at] for at in some.tolist()],
        [name_hash(names[at]) for at in some.tolist()],
    )


def test_uuids_are_read_with_their_last_half() -> None:
    names = [codec.new_order_id(0).decode() for _ in range(50)]
    packed = b"".join(to_bytes(Place("c", name, Side.SELL, 1, 1)) for name in names)
    texts, numbers = uuids(packed, command_columns(packed)[0])
    assert texts == names
    lasts = [UUID(name).int & (2**64 - 1) for name in names]
    assert numbers == [last - (last >> 63 << 64) for last in lasts]
    assert uuids(packed, np.zeros(0, dtype=np.int64)) == ([], [])


def test_none_are_no_columns() -> None:
    offsets, heads = command_columns(b"")
    assert (len(offsets), len(heads), heads.dtype) == (0, 0, COMMAND)


@pytest.mark.parametrize("cut", [1, 8, 40, 87])
def test_half_a_command_is_refused(cut: int) -> None:
    _, packed = made(1, 3)
    whole = b"".join(packed)
    with pytest.raises(ValueError, match=f"expected whole commands, found {len(whole) - cut}"):
        command_columns(whole[:-cut])


@pytest.mark.parametrize("offset", [-1, 10**9])
def test_a_uuid_beyond_the_records_is_refused(offset: int) -> None:
    packed = to_bytes(Place("c", codec.new_order_id(0).decode(), Side.SELL, 1, 1))
    with pytest.raises(IndexError, match="expected"):
        uuids(packed, np.array([offset]))
