"""The rarer commands become the records that the oracle's words become."""

from __future__ import annotations

import pytest

from novate.model import packing
from novate.model.commands import LinkUse, OrderType, Phase, SelfTrade, Side, TimeInForce
from novate.model.instrument import Distance, OrderLimits, Rules
from tests.oracle.words import (
    Adopt,
    Advance,
    Amend,
    CancelAfter,
    Command,
    Kill,
    Place,
    SessionClose,
    SessionOpen,
    SessionsLost,
    SetClientLimits,
    SetPhase,
    SetRules,
    Skip,
    to_bytes,
)

RULES = Rules(protection=Distance(ticks=5), session_end_s=60)
LIMITS = OrderLimits(quantity_lots_max=7)
UUID = "7b2c53de-7c11-4dc1-9f0b-0d3a6f7d9f55"
PLAIN = Place("client", "order", Side.SELL, 5, 100)

RECORDS: dict[str, tuple[bytes, Command]] = {
    "advance": (packing.pack_advance_time(), Advance()),
    "rules": (packing.pack_set_rules(3, RULES), SetRules(RULES, 3)),
    "client limits": (
        packing.pack_set_client_limits(b"c", 1, LIMITS), SetClientLimits("c", LIMITS, 1)
    ),
    "phase": (packing.pack_set_phase(2, Phase.HALT), SetPhase(Phase.HALT, 2)),
    "every phase": (packing.pack_set_phase(-1, Phase.AUCTION, 9), SetPhase(Phase.AUCTION, -1, 9)),
    "open": (packing.pack_session_open(7), SessionOpen(7)),
    "close": (packing.pack_session_close(2**32 - 1), SessionClose(2**32 - 1)),
    "lost": (packing.pack_sessions_lost(), SessionsLost()),
    "skip": (packing.pack_skip_command(2**48 - 1), Skip(2**48 - 1)),
    "adopt": (packing.pack_adopt_rules(2), Adopt(2)),
    "timer": (packing.pack_cancel_after(b"client", 2**62), CancelAfter("client", 2**62)),
    "kill": (packing.pack_kill(b"c", True), Kill("c")),
    "kill off": (packing.pack_kill(b"c", False), Kill("c", on=False)),
    "venue": (packing.pack_kill(None, True), Kill(None)),
    "session's order": (
        packing.with_session(to_bytes(PLAIN), 9), Place("client", "order", Side.SELL, 5, 100,
                                                        session=9)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDS)
def test_a_command_is_packed_as_it_is_said(name: str) -> None:
    record, said = RECORDS[name]
    assert record == to_bytes(said)


@pytest.mark.parametrize("link", ["other", UUID, UUID.upper()])
def test_an_order_with_every_term(link: str) -> None:
    said = Place(
        "client", "order", Side.BUY, 9, 100, type=OrderType.STOP_LIMIT, force=TimeInForce.GTD,
        stop_price=99, display=2, minimum=3, expire_ns=77, group=4, session=5,
        self_trade=SelfTrade.CANCEL_BOTH, link=link, link_use=LinkUse.REPLACES,
    )  # fmt: skip
    plain = Place(
        "client", "order", Side.BUY, 9, 100, type=OrderType.STOP_LIMIT, force=TimeInForce.GTD
    )
    record = packing.extend(
        to_bytes(plain), stop_price_ticks=99, display_lots=2, minimum_lots=3, expire_ns=77,
        group=4, self_trade=3, link_use=2, link_id=link.encode(),
    )  # fmt: skip
    assert packing.with_session(record, 5) == to_bytes(said)


def test_an_amendment_of_terms() -> None:
    record = packing.extend(to_bytes(Amend("o", 5, 6)), display_lots=0, sets=2)
    assert record == to_bytes(Amend("o", 5, 6, display=0))


@pytest.mark.parametrize("link", [b"", b"x" * 65])
def test_a_link_is_an_id(link: bytes) -> None:
    with pytest.raises(ValueError, match="link_id"):
        packing.extend(to_bytes(PLAIN), link_id=link)


def test_the_skips_at_the_head_of_a_batch_are_read_and_no_others() -> None:
    skip, order = packing.pack_skip_command, to_bytes(PLAIN)
    assert packing.skips_of(skip(7) + skip(9)) == [7, 9]
    assert packing.skips_of(skip(7) + order + skip(9)) == [7]
    assert packing.skips_of(order + skip(9)) == []
    assert packing.skips_of(b"") == []
    assert packing.skips_of(b"\x1ashort") == []


def test_a_batch_is_split_into_its_commands() -> None:
    commands = [record for record, _ in RECORDS.values()]
    assert packing.split(b"".join(commands)) == commands
    assert packing.split(b"") == []
