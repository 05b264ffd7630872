"""A command that moves very many orders is rendered in parts, and a part is all that is held."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from novate.engine import Applied, Engine, Reporter
from novate.engine.teller import PART_ROWS
from novate.model.commands import COMMAND, CommandKind, Phase, Side
from novate.model.events import EVENT
from tests.conftest import scaled
from tests.oracle.duel import START_NS, spec
from tests.oracle.words import Create, MassCancel, Place, SetPhase, to_bytes, to_numbered

ORDERS = scaled(300_000)
MIDDLE = 500
OWNER = 3


def orders(sides: int, crossed: bool) -> bytes:
    """Orders of one lot and of one client, asks alone or both sides, crossed or not."""
    rows = np.zeros(ORDERS, COMMAND)
    away = 1 + np.arange(ORDERS) // sides % 100
    rows["kind"], rows["client"], rows["quantity_lots"] = CommandKind.PLACE, OWNER, 1
    rows["order_number"] = np.arange(1, ORDERS + 1)
    rows["side"] = Side.SELL if sides == 1 else np.arange(ORDERS) % 2
    rows["price_ticks"] = MIDDLE + np.where((rows["side"] == Side.SELL) ^ crossed, away, -away)
    return rows.tobytes()


def swept() -> tuple[list[bytes], bytes]:
    """An order that takes every ask."""
    taker = Place(5, ORDERS + 1, Side.BUY, ORDERS, MIDDLE + 200)
    return [orders(1, crossed=False)], to_numbered(taker)


def uncrossed() -> tuple[list[bytes], bytes]:
    """An auction in which everybody trades."""
    held = to_bytes(SetPhase(Phase.AUCTION))
    return [held, orders(2, crossed=True)], to_bytes(SetPhase(Phase.CONTINUOUS))


def mass_cancelled() -> tuple[list[bytes], bytes]:
    """Everything of a client ends."""
    return [orders(2, crossed=False)], to_numbered(MassCancel(OWNER))


def reporter_over(setting: list[bytes]) -> Reporter:
    """A reporter over an exchange of one instrument in which this has happened."""
    engine = Engine()
    instrument = spec(quantity_lots_max=10**9)
    reporter = Reporter(engine)
    for batch in [to_bytes(Create(instrument)), *setting]:
        reporter.apply(batch, engine.last_seq + 1, START_NS)
    reporter.want_updates = True
    return reporter


def carried_out(reporter: Reporter, command: bytes) -> Applied:
    return reporter.apply(command, reporter.engine.last_seq + 1, START_NS)


@pytest.mark.slow
@pytest.mark.parametrize("make", [swept, uncrossed, mass_cancelled])
def test_parts_are_the_whole(make: Callable[[], tuple[list[bytes], bytes]]) -> None:
    setting, command = make()
    whole = carried_out(reporter_over(setting), command)
    reporter, trades, updates, sizes = reporter_over(setting), [], [], []

    def take(more_trades: list[Any], more_updates: list[Any]) -> None:
        trades.extend(more_trades)
        updates.extend(more_updates)
        sizes.append(len(more_trades) + len(more_updates))

    reporter.on_part = take
    parted = carried_out(reporter, command)
    assert (parted.replies, parted.events) == (whole.replies, whole.events)
    assert trades + parted.trades == whole.trades
    assert updates + parted.updates == whole.updates
    assert len(sizes) > 1
    assert max(sizes) < 2 * PART_ROWS
    assert len(parted.trades) + len(parted.updates) <= PART_ROWS


@pytest.mark.slow
@pytest.mark.parametrize("make", [swept, uncrossed, mass_cancelled])
def test_a_part_is_all_that_is_held(make: Callable[[], tuple[list[bytes], bytes]]) -> None:
    setting, command = make()
    reporter = reporter_over(setting)
    reporter.on_part = lambda trades, updates: None
    tracemalloc.start()
    try:
        applied = carried_out(reporter, command)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    events = len(applied.events)
    assert events >= ORDERS // 2 * EVENT.itemsize
    # the events as records, a part of some hundred bytes a row, the reply
    assert most < events + 1000 * PART_ROWS + 1_000_000
