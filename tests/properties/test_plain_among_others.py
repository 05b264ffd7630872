"""Plain orders where others have stop orders, icebergs, pairs, rules, limits and kill switches.

They go a shorter way than the whole rulebook wherever nothing of it concerns them. A command with
an extension of zeros means the same and always goes the whole way, so the two are held against each
other: every event, and the state in the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novate.engine import Engine
from novate.model import codec, packing
from novate.model.commands import (
    COMMAND,
    EXTENDED_COMMAND,
    CommandKind,
    Flag,
    KillSwitch,
    LinkUse,
    OrderType,
    SelfTrade,
    TimeInForce,
)
from novate.model.events import EventKind
from novate.model.instrument import Distance, Instrument, Limits, OrderLimits, Rules
from novate.model.rejects import Reason

TIGHT = Limits(
    open_orders_max=300, closed_orders_max=40, trades_per_instrument_max=10, price_levels_max=9
)
CHUNKS = 40
CHUNK = 60
OTHERS = 6
SECOND_NS = 10**9
CLIENTS = 6
LOW, HIGH = 94, 107


@dataclass
class Flow:
    """Commands drawn from a seed, their orders numbered one after the other."""

    chance: np.random.Generator
    now_ns: int = SECOND_NS
    number: int = 1
    kinds: set[int] = field(default_factory=set)
    reasons: set[int] = field(default_factory=set)

    def plain(self) -> np.ndarray:
        """Limit and market orders, cancels and amendments that use nothing of the extension."""
        chance, count = self.chance, CHUNK
        rows = np.zeros(count, COMMAND)
        rows["kind"] = chance.choice(
            [CommandKind.PLACE, CommandKind.CANCEL, CommandKind.AMEND], count, p=[0.6, 0.2, 0.2]
        )
        numbers = self.number + np.arange(count)
        recent = np.maximum(1, numbers - chance.integers(1, 80, count))
        placed = rows["kind"] == CommandKind.PLACE
        rows["order_number"] = np.where(placed, numbers, recent)
        amends = rows["kind"] == CommandKind.AMEND
        self.number += count
        rows["side"] = np.where(placed, chance.integers(0, 2, count), 0)
        rows["client"] = np.where(placed, chance.integers(0, CLIENTS, count), 0)
        force = chance.choice([0, 0, 0, TimeInForce.IOC, TimeInForce.FOK], count)
        rows["time_in_force"] = np.where(placed, force, 0)
        market = placed & (chance.random(count) < 0.1)
        rows["order_type"] = np.where(market, OrderType.MARKET, OrderType.LIMIT)
        rows["price_ticks"] = chance.integers(LOW, HIGH, count)
        rows["price_ticks"][market | (rows["kind"] == CommandKind.CANCEL)] = 0
        rows["quantity_lots"] = chance.integers(1, 30, count)
        rows["quantity_lots"][rows["kind"] == CommandKind.CANCEL] = 0
        patient = placed & ~market & (rows["time_in_force"] == TimeInForce.GTC)
        rows["flags"] = np.where(patient & (chance.random(count) < 0.1), Flag.POST_ONLY, 0)
        by_quote = market & (rows["time_in_force"] != TimeInForce.FOK)
        by_quote &= chance.random(count) < 0.5
        rows["flags"][by_quote] = Flag.BY_QUOTE
        rows["quote_units_low"][by_quote] = chance.integers(1, 3_000, int(by_quote.sum())) * 100
        rows["quantity_lots"][by_quote] = 0
        rows["flags"][amends] = Flag.SET_PRICE | Flag.SET_QUANTITY
        return rows

    def others(self) -> bytes:
        """What others do: orders of every kind, a kill switch, rules and limits now and then."""
        chance = self.chance
        rows = np.zeros(OTHERS, EXTENDED_COMMAND)
        head, more = rows["command"], rows["extension"]
        head["kind"], head["flags"] = CommandKind.PLACE, Flag.EXTENDED
        head["order_number"] = self.number + np.arange(OTHERS)
        self.number += OTHERS
        head["side"] = chance.integers(0, 2, OTHERS)
        head["client"] = chance.integers(0, CLIENTS, OTHERS)
        head["price_ticks"] = chance.integers(LOW, HIGH, OTHERS)
        head["quantity_lots"] = chance.integers(20, 60, OTHERS)
        head["client"][1::2] = head["client"][::2]  # who may make them a pair
        for row in range(OTHERS):
            self.make_special(head[row], more[row], row % 2 == 1)
        return bytes(rows.tobytes()) + self.operator()

    def make_special(self, head: np.void, more: np.void, can_pair: bool) -> None:
        """Let an order be a stop order, an iceberg, one of a pair, or one that ends soon."""
        kind = int(self.chance.integers(0, 5))
        if kind <= 1:
            head["order_type"] = (OrderType.STOP, OrderType.STOP_LIMIT)[kind]
            head["price_ticks"] *= kind
            more["stop_price_ticks"] = self.chance.integers(LOW, HIGH)
        elif kind == 2:
            more["display_lots"] = self.chance.integers(1, 12)
        elif kind == 3 and can_pair:
            more["link_use"] = LinkUse.ONE_CANCELS_OTHER
            more["link_number"] = head["order_number"] - 1
        elif kind == 4:
            head["time_in_force"] = TimeInForce.GTD
            more["expire_ns"] = self.now_ns + self.chance.integers(1, 4) * SECOND_NS
        more["group"] = self.chance.integers(0, 3)
        more["self_trade"] = self.chance.choice(list(SelfTrade)[:4])

    def operator(self) -> bytes:
        """A command of the operator, four times in seven."""
        dice = int(self.chance.integers(0, 7))
        if dice <= 1:
            return packing.pack_set_rules(0, self.rules())
        if dice == 2:
            own = self.limits() if self.chance.random() < 0.6 else OrderLimits()
            return packing.pack_set_client_limits(b"", 0, own)
        if dice > 3:
            return b""
        row = np.zeros(1, EXTENDED_COMMAND)
        row["command"]["kind"], row["command"]["flags"] = CommandKind.KILL, Flag.EXTENDED
        row["command"]["client"] = self.chance.integers(0, 3)
        row["extension"]["kill"] = self.chance.choice([0, KillSwitch.ON])
        return bytes(row.tobytes())

    def limits(self) -> OrderLimits:
        chance = self.chance
        return OrderLimits(
            quantity_lots_min=int(chance.choice([0, 2])),
            quantity_lots_max=int(chance.choice([0, 28])),
            notional_units_min=int(chance.choice([0, 30_000])),
            notional_units_max=int(chance.choice([0, 280_000])),
            open_orders_max=int(chance.choice([0, 8])),
            last_price_distance=Distance(ticks=int(chance.choice([0, 3]))),
        )

    def rules(self) -> Rules:
        chance = self.chance
        return Rules(
            limits=self.limits(),
            protection=Distance(ticks=int(chance.choice([0, 2]))),
            static_band=Distance(permille=int(chance.choice([0, 40]))),
            dynamic_band=Distance(ticks=int(chance.choice([0, 3]))),
            band_action=str(chance.choice(["reject", "auction"])),  # type: ignore[arg-type]
            volatility_auction_ns=SECOND_NS,
            reference_price_ticks=int(chance.choice([0, 100])),
        )


def wholly(rows: np.ndarray) -> bytes:
    """The same commands, each new order and amendment with an extension of zeros."""
    parts = []
    for row in rows:
        if row["kind"] == CommandKind.CANCEL:
            parts.append(row.tobytes())
            continue
        whole = np.zeros(1, EXTENDED_COMMAND)
        whole["command"] = row
        whole["command"]["flags"] |= np.uint8(Flag.EXTENDED)
        parts.append(whole.tobytes())
    return b"".join(parts)


def engine_with_a_book(limits: Limits) -> Engine:
    """An engine with a book that is never a plain one: a stop order waits in it, far off."""
    engine = Engine(limits)
    engine.apply(codec.pack_create_instrument(Instrument(name="I", base="I", quote="USD")))
    waiting = np.zeros(1, EXTENDED_COMMAND)
    waiting["command"]["kind"], waiting["command"]["flags"] = CommandKind.PLACE, Flag.EXTENDED
    waiting["command"]["order_type"], waiting["command"]["quantity_lots"] = OrderType.STOP, 1
    waiting["extension"]["stop_price_ticks"] = 100 * HIGH
    engine.apply(waiting, timestamp_ns=1)
    return engine


def told(engine: Engine, commands: bytes | np.ndarray, now_ns: int) -> np.ndarray:
    """The events, without the word on which orders had an extension."""
    events = engine.apply(commands, timestamp_ns=now_ns).copy()
    events["flags"] &= 0xFF ^ int(Flag.EXTENDED)
    return events


def compare(limits: Limits, seed: int, chunks: int = CHUNKS) -> Flow:
    """Play a flow both ways; loaded from a dump in the middle, and then set up anew."""
    flow = Flow(np.random.default_rng(seed))
    short, whole = engine_with_a_book(limits), engine_with_a_book(limits)
    for chunk in range(chunks):
        flow.now_ns += int(flow.chance.integers(0, SECOND_NS))
        others, rows = flow.others(), flow.plain()
        for one, other in ((others, others), (rows, wholly(rows))):
            events = told(short, one, flow.now_ns)
            same = told(whole, other, flow.now_ns)
            flow.kinds |= set(events["kind"].tolist())
            flow.reasons |= set(events["reason"].tolist())
            np.testing.assert_array_equal(events, same)
        short.check_invariants()
        if chunk == chunks // 2:
            short = Engine.load(short.dump())
            rules = packing.pack_set_rules(0, flow.rules())
            tighter = codec.pack_configure(limits)
            for engine in (short, whole):
                engine.apply(rules + tighter, timestamp_ns=flow.now_ns)
                engine.check_invariants()
    assert short.state_hash() == whole.state_hash()
    return flow


@pytest.mark.slow
@pytest.mark.parametrize("limits", [TIGHT, Limits()], ids=["tight", "usual"])
@given(st.integers(0, 1 << 32))
def test_among_others_the_short_way_comes_to_what_the_whole_one_does(
    limits: Limits, seed: int
) -> None:
    compare(limits, seed, 12)


@pytest.mark.slow
def test_the_flow_meets_what_others_have() -> None:
    flow = Flow(np.random.default_rng(0))
    for seed in range(3):
        met = compare(TIGHT, seed)
        flow.kinds |= met.kinds
        flow.reasons |= met.reasons
    assert flow.kinds >= {
        EventKind.TRADE, EventKind.ORDER_TRIGGERED, EventKind.PHASE_CHANGED,
        EventKind.KILL_SWITCHED,
    }  # fmt: skip
    assert flow.reasons >= {
        Reason.ONE_CANCELS_OTHER, Reason.EXPIRED, Reason.CLIENT_KILLED, Reason.KILL_SWITCH,
        Reason.QUANTITY_TOO_SMALL, Reason.QUANTITY_TOO_LARGE, Reason.NOTIONAL_TOO_SMALL,
        Reason.NOTIONAL_TOO_LARGE, Reason.TOO_FAR_FROM_LAST, Reason.STATIC_BAND,
        Reason.DYNAMIC_BAND, Reason.CLIENT_ORDERS_LIMIT, Reason.PRICE_LEVELS_LIMIT,
        Reason.PRICE_PROTECTION, Reason.POST_ONLY_WOULD_CROSS, Reason.AUCTION,
        Reason.DYNAMIC_BAND_LEFT, Reason.FILL_OR_KILL,
    }  # fmt: skip
