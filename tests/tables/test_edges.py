"""Edges of the engine that no flow of orders comes near: sizes, sums and limits that change."""

import numpy as np
import pytest

from novate.engine import Engine
from novate.model import codec
from novate.model.commands import COMMAND, CommandKind, Flag, IdKind
from novate.model.events import EventKind
from novate.model.instrument import QUANTITY_LOTS_MAX, Instrument, Limits
from novate.model.rejects import Reason


@pytest.fixture
def engine() -> Engine:
    made = Engine()
    made.apply(codec.pack_create_instrument(Instrument(name="B-U", base="B", quote="U")))
    return made


@pytest.mark.parametrize("kind", [CommandKind.CANCEL, CommandKind.AMEND, CommandKind.MASS_CANCEL])
def test_a_client_id_longer_than_any_is_refused(engine: Engine, kind: CommandKind) -> None:
    head = np.zeros(1, COMMAND)
    head["kind"], head["flags"] = kind, Flag.HAS_KEY | Flag.SET_QUANTITY
    head["order_id_kind"], head["order_id_length"] = IdKind.TEXT, 1
    head["client_id_length"], head["text_length"] = 250, 251
    events = engine.apply(head.tobytes() + b"x" * 251 + bytes(5))
    assert events["reason"].tolist() == [Reason.MALFORMED_COMMAND]
    engine.check_invariants()
    assert Engine.load(engine.dump()).usage()["clients"] == 0


def test_a_lowered_limit_of_clients_forgets_nobody(engine: Engine) -> None:
    for number in range(5):
        engine.apply(codec.pack_place(0, 0, 0, 0, 0, 9, 1, 0, b"o%d" % number, b"c%d" % number))
    engine.apply(codec.pack_configure(Limits(clients_max=2)))
    loaded = Engine.load(engine.dump())
    assert loaded.state_hash() == engine.state_hash()
    known = loaded.apply(codec.pack_place(0, 0, 0, 0, 0, 9, 1, 0, b"p1", b"c4"))
    new = loaded.apply(codec.pack_place(0, 0, 0, 0, 0, 9, 1, 0, b"p2", b"new"))
    assert known["kind"].tolist() == [EventKind.ORDER_ACCEPTED]
    assert new["reason"].tolist() == [Reason.CLIENTS_LIMIT]


def test_an_order_by_money_ends_at_the_most_lots_that_can_be_counted(engine: Engine) -> None:
    makers = [
        codec.pack_place(0, 1, 0, 0, 0, 1 + number // 5000, QUANTITY_LOTS_MAX, 0, b"s%d" % number,
                         b"maker")
        for number in range(9300)
    ]  # fmt: skip
    engine.apply(b"".join(makers))
    events = engine.apply(codec.pack_place(0, 0, 1, 1, 0, 0, 0, 10**36, b"q", b"taker"))
    bought = sum(events["quantity_lots"][events["kind"] == EventKind.TRADE].tolist())
    assert bought == 2**63 - 1
    engine.check_invariants()
