"""The records of commands: header, extension and text stand where they are said to."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from novate.model.commands import (
    COMMAND,
    EXTENDED_COMMAND,
    EXTENSION,
    Flag,
    IdKind,
    LinkUse,
    OrderType,
    SelfTrade,
    Side,
    TimeInForce,
)
from novate.model.instrument import Distance, OrderLimits, Rules, ScheduledPhase
from tests.oracle.duel import spec
from tests.oracle.exchange import Exchange
from tests.oracle.market import Market, MarketWorkload
from tests.oracle.words import Amend, Create, Place, to_bytes, to_numbered
from tests.oracle.workload import TINY

UUID = "7b2c53de-7c11-4dc1-9f0b-0d3a6f7d9f55"


@pytest.mark.parametrize("record", [COMMAND, EXTENSION], ids=["header", "extension"])
def test_fields_do_not_overlap_and_are_aligned(record: np.dtype[np.void]) -> None:
    assert record.fields is not None
    end = 0
    for kind, offset in sorted((row[0], row[1]) for row in record.fields.values()):
        assert kind.kind == "V" or offset % kind.itemsize == 0
    for offset, size in sorted((row[1], row[0].itemsize) for row in record.fields.values()):
        assert offset >= end
        end = offset + size
    assert end <= record.itemsize
    assert record.itemsize % 8 == 0


def test_an_extended_record_is_header_and_extension() -> None:
    assert EXTENDED_COMMAND.itemsize == COMMAND.itemsize + EXTENSION.itemsize == 152


def test_an_order_that_uses_nothing_new_carries_no_extension() -> None:
    record = to_bytes(Place("c", "o", Side.BUY, 5, 100))
    assert len(record) == COMMAND.itemsize + 8
    assert not np.frombuffer(record[:88], COMMAND)["flags"][0] & Flag.EXTENDED


@pytest.mark.parametrize(("link", "kind", "size"), [("l", IdKind.TEXT, 1), (UUID, IdKind.UUID, 16)])
def test_the_text_stands_behind_the_extension(link: str, kind: IdKind, size: int) -> None:
    asked = Place(
        "client",
        "order",
        Side.SELL,
        5,
        100,
        type=OrderType.STOP_LIMIT,
        force=TimeInForce.GTD,
        stop_price=99,
        display=2,
        minimum=1,
        expire_ns=7,
        group=3,
        session=4,
        self_trade=SelfTrade.DECREMENT,
        link=link,
        link_use=LinkUse.ONE_CANCELS_OTHER,
    )
    record = to_bytes(asked)
    (head,) = np.frombuffer(record[:152], EXTENDED_COMMAND)
    assert head["command"]["flags"] & Flag.EXTENDED
    assert head["command"]["text_length"] == 11 + size
    assert record[152:163] == b"orderclient"
    assert len(record) == 152 + (11 + size + 7) // 8 * 8
    block = head["extension"]
    assert (block["link_kind"], block["link_length"]) == (kind, size)
    said = [int(block[name]) for name in ("stop_price_ticks", "display_lots", "minimum_lots")]
    assert said == [99, 2, 1]
    assert [int(block[name]) for name in ("expire_ns", "group", "session")] == [7, 3, 4]


def test_numbers_name_orders_and_links() -> None:
    asked = Place(1, 2, Side.BUY, 5, 100, link=9, link_use=LinkUse.REPLACES)
    (head,) = np.frombuffer(to_numbered(asked), EXTENDED_COMMAND)
    assert (head["command"]["order_number"], head["extension"]["link_number"]) == (2, 9)


def test_an_amendment_says_what_it_sets() -> None:
    (head,) = np.frombuffer(to_numbered(Amend(2, display=0, expire_ns=5)), EXTENDED_COMMAND)
    assert head["extension"]["sets"] == 2 | 4


def test_rules_travel_as_they_are_and_default_to_nothing() -> None:
    rules = Rules(
        limits=OrderLimits(notional_units_max=10**36, last_price_distance=Distance(permille=5)),
        schedule=(ScheduledPhase(at_s=5, phase="auction"),),
    )
    assert msgspec.json.decode(msgspec.json.encode(rules), type=Rules) == rules
    assert msgspec.json.encode(Rules()) == b"{}"
    assert Rules().fault() is None
    assert rules.fault() is None


@pytest.mark.parametrize(
    "rules",
    [
        Rules(iceberg_parts_max=0),
        Rules(volatility_auction_ns=0),
        Rules(session_end_s=86_400),
        Rules(protection=Distance(ticks=-1)),
        Rules(limits=OrderLimits(open_orders_max=-1)),
        Rules(limits=OrderLimits(quantity_lots_max=10**16)),
        Rules(reference_price_ticks=10**16),
        Rules(schedule=(ScheduledPhase(at_s=5, phase="halt"),) * 2),
    ],
)
def test_rules_that_make_no_sense_say_why(rules: Rules) -> None:
    assert rules.fault()


@pytest.mark.parametrize(
    ("distance", "price", "ticks"),
    [
        (Distance(), 100, None),
        (Distance(ticks=5), 100, 5),
        (Distance(permille=49), 100, 4),
        (Distance(ticks=5, permille=49), 100, 4),
        (Distance(ticks=3, permille=49), 100, 3),
    ],
)
def test_a_distance_is_the_lesser_of_its_measures(
    distance: Distance, price: int, ticks: int | None
) -> None:
    assert distance.of(price) == ticks


@pytest.mark.parametrize("numbered", [False, True])
def test_every_command_becomes_a_record_of_its_length(numbered: bool) -> None:
    oracle = Exchange.with_limits(TINY)
    shape = Market(instruments=1, numbered=numbered)
    oracle.apply(Create(spec()))
    for command in MarketWorkload(1, oracle, shape).commands(500):
        record = to_numbered(command) if numbered else to_bytes(command)
        (head,) = np.frombuffer(record[: COMMAND.itemsize], COMMAND)
        extended = bool(head["flags"] & Flag.EXTENDED)
        text = int(head["text_length"])
        assert len(record) == 88 + 64 * extended + (text + 7) // 8 * 8
        if isinstance(command, Place):
            assert extended == bool(command.flags & Flag.EXTENDED)
        oracle.apply(command)
