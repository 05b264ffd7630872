"""What the reader tells of numbers that events bear, beside the JSON that the API tests see."""

from __future__ import annotations

import pytest

from novate.engine import Engine, Reporter
from novate.model import codec
from novate.model.instrument import Instrument, Limits


def traded(count: int, kept: int) -> Reporter:
    """A reporter after so many trades of alice and bob, of which `kept` stay in memory."""
    engine = Engine(Limits(trades_per_instrument_max=kept))
    engine.apply(codec.pack_create_instrument(Instrument(name="A", base="A", quote="Q")))
    for number in range(count):
        for side, client in ((0, b"alice"), (1, b"bob")):
            order_id = b"%d-%d" % (number, side)
            command = codec.pack_place(
                0, side, 0, 0, 0, 100 + number, 1 + number, 0, order_id, client
            )
            engine.apply(command, engine.last_seq + 1, (number + 1) * 10**9)
    return Reporter(engine)


def test_clients_are_named_by_the_number_that_events_bear() -> None:
    reporter = traded(1, 10)
    command = codec.pack_place(0, 0, 0, 0, 0, 1, 1, 0, b"o", b"carol")
    events = reporter.engine.apply(command, reporter.engine.last_seq + 1, 0)
    carol = int(events["client"][0])
    assert reporter.client_id(carol) == b"carol"
    assert {reporter.client_id(each) for each in range(carol)} >= {b"alice", b"bob"}
    with pytest.raises(IndexError, match=f"client: expected under {carol + 1}, got {carol + 1}"):
        reporter.client_id(carol + 1)


@pytest.mark.parametrize(("count", "kept"), [(0, 5), (3, 5), (5, 5), (12, 5)])
def test_the_trades_kept_are_the_last_in_their_order(count: int, kept: int) -> None:
    found = traded(count, kept).trades_kept(0)
    made = [[(number + 1) * 10**6, 100 + number, 1 + number] for number in range(count)]
    assert found.tolist() == made[-kept:]
    with pytest.raises(IndexError, match="instrument: expected under 1, got 1"):
        traded(count, kept).trades_kept(1)
