"""Random commands over the whole rulebook: every type of order, every phase, every rule of a venue.

As in `workload.py` numbers are drawn first and read after, so that NumPy and Hypothesis may draw
them; `ranges` says from where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from novate.model.commands import LinkUse, OrderType, Phase, SelfTrade, Side, TimeInForce
from novate.model.instrument import Distance, OrderLimits, Rules, ScheduledPhase
from tests.oracle.duel import START_NS
from tests.oracle.exchange import Exchange
from tests.oracle.wide import widened
from tests.oracle.words import (
    Advance,
    Amend,
    Cancel,
    CancelAfter,
    Command,
    Kill,
    MassCancel,
    Place,
    SessionClose,
    SessionOpen,
    SessionsLost,
    SetClientLimits,
    SetPhase,
    SetRules,
)
from tests.oracle.workload import Shape, Workload

NS = 10**9
KINDS = (
    "place",
    "cancel",
    "amend",
    "mass",
    "tick",
    "rules",
    "limits",
    "phase",
    "open",
    "close",
    "lost",
    "after",
    "kill",
)
SHARES = (69, 4, 12, 1, 2, 1, 1, 3, 3, 1, 1, 1, 1)
"""How many in a hundred commands are of each kind."""

SELDOM = ("mass", "phase", "lost", "rules")
"""Kinds that leave little for plain orders to meet: one in eight in a market of plain orders."""

FORCES = (
    *[TimeInForce.GTC] * 12,
    *[TimeInForce.IOC] * 2,
    *[TimeInForce.FOK] * 1,
    *[TimeInForce.DAY] * 2,
    *[TimeInForce.GTD] * 3,
)
TYPES = (
    *[OrderType.LIMIT] * 12,
    *[OrderType.MARKET] * 3,
    *[OrderType.STOP_LIMIT] * 3,
    *[OrderType.STOP] * 2,
)
PHASES = (*[Phase.CONTINUOUS] * 18, *[Phase.AUCTION] * 4, *Phase)


def kinds() -> list[int]:
    """The numbers of the kinds, each as often as its share."""
    return [number for number, share in enumerate(SHARES) for _ in range(share)]


@dataclass(frozen=True, slots=True)
class Market(Shape):
    """What a workload over the whole rulebook draws from.

    `wide`: number of the instrument whose orders may be worth more than accounts take, -1: none.
    `plain`: how many new orders in a hundred use nothing that few orders do, in a market that is
    mostly open, so that they meet what the others have.
    """

    ids: int = 14
    quantity_max: int = 9
    prices: int = 7
    sessions: int = 3
    groups: int = 3
    moments: int = 30
    oddities: bool = True
    wide: int = -1
    plain: int = 0


def ranges(shape: Market) -> dict[str, tuple[int, int]]:
    """From where to where each number of a row is drawn, both ends inside."""
    price = shape.price_low, shape.price_low + shape.prices - 1
    return {
        "kind": (0, sum(SHARES) - 1),
        "id": (0, shape.ids - 1),
        "client": (0, 8 * shape.clients - 8),
        "key": (-4 * shape.keys, shape.keys - 1),
        "body": (0, 1),
        "instrument": (0, shape.instruments - 1),
        "side": (0, 1),
        "price": price,
        "quantity": (1, shape.quantity_max),
        "fresh": (0, 8),
        "way": (0, 19),
        "type": (0, len(TYPES) - 1),
        "force": (0, len(FORCES) - 1),
        "stop": price,
        "show": (-shape.quantity_max, shape.quantity_max // 2),
        "minimum": (-8 * shape.quantity_max, shape.quantity_max),
        "group": (0, shape.groups),
        "session": (-5 * shape.sessions, shape.sessions),
        "mode": (-8, 4),
        "link": (-9, 3),
        "moment": (0, shape.moments),
        "dice": (0, 999),
    }


def draw(shape: Market, chance: np.random.Generator, count: int) -> list[dict[str, int]]:
    """Rows of drawn numbers, one per command."""
    columns = {
        name: chance.integers(low, high + 1, count).tolist()
        for name, (low, high) in ranges(shape).items()
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


class MarketWorkload(Workload):
    """An endless stream of commands over the whole rulebook, the same for the same seed.

    `now_ns` is the time of the commands to come; who plays them moves it. Commands about orders
    are mostly about open ones of the given exchange, which is to have seen the commands before.
    """

    shape: Market

    def __init__(self, seed: int, exchange: Exchange, shape: Market | None = None) -> None:
        super().__init__(seed, shape or Market())
        self.exchange = exchange
        self.shape = shape or Market()
        self.now_ns = START_NS
        self.kinds = kinds()

    def commands(self, count: int) -> Iterator[Command]:
        """The next commands."""
        while count > 0:
            block = draw(self.shape, self.chance, min(count, 10_000))
            yield from map(self.command, block)
            count -= len(block)

    def command(self, row: dict[str, Any]) -> Command:
        """The command that a row of numbers means; the last client comes seldom."""
        row = {**row, "client": row["client"] // 8}
        made: dict[str, Callable[[dict[str, Any]], Command]] = {
            "place": self.place,
            "cancel": lambda row: Cancel(self.known(row), **self.keyed(row)),
            "amend": self.amend,
            "mass": self.mass,
            "tick": lambda row: Advance(),
            "rules": lambda row: SetRules(self.rules(row), row["instrument"]),
            "limits": self.limits,
            "phase": self.phase,
            "open": lambda row: SessionOpen(self.session(row)),
            "close": lambda row: SessionClose(self.session(row)),
            "lost": lambda row: SessionsLost(),
            "after": self.after,
            "kill": self.kill,
        }
        kind = KINDS[self.kinds[row["kind"]]]
        if self.shape.plain and kind in SELDOM and row["dice"] % 8:
            kind = "place"
        command = made[kind](row)
        return widened(command, self.exchange, self.shape.wide)

    def keyed(self, row: dict[str, Any]) -> dict[str, Any]:
        """Client, key and body, or nothing."""
        return {} if self.shape.numbered else self.key(row)

    def session(self, row: dict[str, Any]) -> int:
        """A session's number."""
        return abs(row["session"]) % self.shape.sessions + 1

    def later_ns(self, row: dict[str, Any]) -> int:
        """A time soon to come, or just over."""
        return int(self.now_ns + (row["moment"] - 1) * NS // 5)

    # --- orders -----------------------------------------------------------------------------------

    def place(self, row: dict[str, Any]) -> Place:
        """A new order of any type; one that makes no sense is mended, but for a few."""
        if row["fresh"]:
            self.made += 1
            row = {**row, "id": 0}
        kind, force = TYPES[row["type"]], FORCES[row["force"]]
        limit = kind in (OrderType.LIMIT, OrderType.STOP_LIMIT)
        stop = kind in (OrderType.STOP, OrderType.STOP_LIMIT)
        key = self.keyed(row)
        wanted = Place(
            client=self.client(row),
            order=self.order(row),
            side=Side(row["side"]),
            quantity=row["quantity"],
            price=self.price(row) if limit else 0,
            instrument=row["instrument"],
            type=kind,
            force=force,
            post_only=row["way"] in (10, 11, 12),
            quote_units=row["quantity"] * row["price"] * 5 if row["way"] == 19 else 0,
            key=key.get("key"),
            body=key.get("body", 0),
            stop_price=row["stop"] if stop else 0,
            display=max(0, row["show"]),
            minimum=max(0, row["minimum"]),
            expire_ns=self.later_ns(row) if force is TimeInForce.GTD else 0,
            group=row["group"],
            session=max(0, row["session"]),
            self_trade=SelfTrade(max(0, row["mode"])),
            **self.link(row),
        )
        if row["dice"] % 100 < self.shape.plain:
            return plainest(wanted)
        odd = self.shape.oddities and row["dice"] < 20
        return self.plainer(wanted, row) if odd else self.plainer(mended(wanted), row)

    def price(self, row: dict[str, Any]) -> int:
        """A limit price, so that buyers and sellers lean to their sides of the middle."""
        lean = (-1 if row["side"] == Side.BUY else 1) if row["way"] % 2 else 0
        return int(row["price"] + lean)

    def link(self, row: dict[str, Any]) -> dict[str, Any]:
        """A link to an open order of the client and instrument, for some; 3: to any order."""
        clients = self.exchange.registry.clients
        client = self.client(row)
        own = [
            order.ident[1]
            for order in self.exchange.books[row["instrument"]].orders()
            if client in (order.client, clients[order.client])
        ]
        if row["link"] <= 0 or not (own or row["link"] == 3):
            return {}
        other = self.order({**row, "id": 2}) if row["link"] == 3 else own[row["id"] % len(own)]
        return {"link": other, "link_use": LinkUse(1 + row["dice"] % 2)}

    def known(self, row: dict[str, Any]) -> str | int:
        """The id of an open order, or now and then of any."""
        alive = self.exchange.open_orders()
        if not alive or row["dice"] % 5 == 0:
            return self.order(row)
        return alive[row["id"] * 7 % len(alive)].ident[1]

    def plainer(self, wanted: Place, row: dict[str, Any]) -> Place:
        """One order in three uses nothing of the extension."""
        if row["dice"] % 3 or wanted.stop_price or wanted.expire_ns:
            return wanted
        return replace(
            wanted,
            display=0,
            minimum=0,
            group=0,
            session=0,
            self_trade=SelfTrade.NONE,
            link=None,
            link_use=LinkUse.NONE,
        )

    def amend(self, row: dict[str, Any]) -> Amend:
        """A change of price, quantity or of what else an order may have."""
        way, key = row["way"], self.keyed(row)
        return Amend(
            self.known(row),
            row["price"] if way % 3 == 0 else 0,
            row["quantity"] if way % 4 < 2 else 0,
            key.get("client"),
            key.get("key"),
            key.get("body", 0),
            stop_price=row["stop"] if row["dice"] % 11 == 0 else 0,
            expire_ns=self.later_ns(row) if row["dice"] % 19 == 0 else 0,
            display=max(0, row["show"]) if row["dice"] % 6 == 0 else None,
            self_trade=SelfTrade(row["dice"] % 5) if row["dice"] % 8 == 0 else None,
        )

    def mass(self, row: dict[str, Any]) -> MassCancel:
        """A mass cancel, of everything or of a part."""
        instrument = row["instrument"] if row["way"] % 2 else -1
        return MassCancel(self.client(row), instrument, row["side"] if row["way"] % 3 else -1)

    # --- the venue --------------------------------------------------------------------------------

    def rules(self, row: dict[str, Any]) -> Rules:
        """Rules of which most are off."""
        dice, way = row["dice"], row["way"]
        second = (self.now_ns // NS + 5) % 86_400
        times = sorted({(second + step * row["moment"]) % 86_400 for step in range(4)})
        return Rules(
            limits=self.order_limits(row) if dice % 3 == 0 else OrderLimits(),
            iceberg_parts_max=3 if dice % 5 == 0 else 100,
            protection=Distance(ticks=1 + way % 4) if dice % 4 == 0 else Distance(),
            static_band=Distance(ticks=2 + way % 4) if dice % 7 == 0 else Distance(),
            dynamic_band=Distance(permille=10 + way) if dice % 6 == 0 else Distance(),
            band_action="auction" if way % 2 else "reject",
            volatility_auction_ns=(1 + row["moment"]) * (NS // 50 if self.shape.plain else NS),
            reference_price_ticks=row["price"] if way % 3 == 0 else 0,
            session_end_s=int(second + row["moment"]) % 86_400 if dice % 2 else 0,
            schedule=tuple(
                ScheduledPhase(at_s=int(at), phase=Phase((way + number) % 6).name.lower())
                for number, at in enumerate(times)
            )
            if dice % 11 == 0
            else (),
        )

    def order_limits(self, row: dict[str, Any]) -> OrderLimits:
        """Limits that some orders break."""
        way, most = row["way"], self.shape.quantity_max
        return OrderLimits(
            quantity_lots_min=2 if way % 3 == 0 else 0,
            quantity_lots_max=most - 1 if way % 3 == 1 else 0,
            notional_units_min=row["price"] * 20 if way % 5 == 0 else 0,
            notional_units_max=row["price"] * most * 8 if way % 5 == 1 else 0,
            open_orders_max=3 if way % 2 else 0,
            last_price_distance=Distance(ticks=2) if way % 4 == 0 else Distance(),
        )

    def limits(self, row: dict[str, Any]) -> SetClientLimits:
        """A client's own limits, or none."""
        own = self.order_limits(row) if row["dice"] % 2 else OrderLimits()
        return SetClientLimits(self.client(row), own, row["instrument"])

    def phase(self, row: dict[str, Any]) -> SetPhase:
        """A change of phase, mostly back to continuous trading."""
        phase = PHASES[row["dice"] % len(PHASES)]
        if self.shape.plain and row["way"] % 2:
            phase = Phase.CONTINUOUS
        ends = row["way"] % 4 == 0 and phase is not Phase.CONTINUOUS
        instrument = -1 if row["way"] == 1 else row["instrument"]
        return SetPhase(phase, instrument, self.later_ns(row) if ends else 0)

    def after(self, row: dict[str, Any]) -> CancelAfter:
        """A dead-man timer is set, or stopped."""
        return CancelAfter(self.client(row), self.later_ns(row) if row["way"] % 5 else 0)

    def kill(self, row: dict[str, Any]) -> Kill:
        """A kill switch; more often off than on."""
        if row["way"] % 4:
            return Kill(self.client(row), row["dice"] % 8 == 0)
        return Kill(None, row["dice"] % (64 if self.shape.plain else 16) == 0)


def plainest(order: Place) -> Place:
    """The order with nothing that few orders have: limit or market, good till cancelled or not."""
    by_quote = order.type is OrderType.MARKET and order.quote_units
    stop = order.type in (OrderType.STOP, OrderType.STOP_LIMIT)
    kind = OrderType.MARKET if order.type is OrderType.MARKET else OrderType.LIMIT
    rests = order.force in (TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD)
    return Place(
        client=order.client,
        order=order.order,
        side=order.side,
        quantity=0 if by_quote else order.quantity,
        price=order.stop_price if stop else order.price,
        instrument=order.instrument,
        type=kind,
        force=TimeInForce.GTC if rests or by_quote else order.force,
        post_only=order.post_only and kind is OrderType.LIMIT and rests,
        quote_units=order.quote_units if by_quote else 0,
        key=order.key,
        body=order.body,
    )


def mended(order: Place) -> Place:
    """The order without what does not go together with the rest of it."""
    limit = order.type in (OrderType.LIMIT, OrderType.STOP_LIMIT)
    rests = order.force in (TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD)
    if order.type is OrderType.MARKET and rests:
        order = replace(order, force=TimeInForce.GTC, expire_ns=0)
    by_quote = order.type is OrderType.MARKET and order.force is not TimeInForce.FOK
    units = order.quote_units if by_quote else 0
    post_only = order.post_only and order.type is OrderType.LIMIT and rests
    decrements = order.self_trade is SelfTrade.DECREMENT and units
    return replace(
        order,
        quote_units=units,
        quantity=0 if units else order.quantity,
        post_only=post_only,
        display=min(order.display, order.quantity) if limit and rests else 0,
        minimum=0 if post_only or units else min(order.minimum, order.quantity),
        self_trade=SelfTrade.CANCEL_OLDEST if decrements else order.self_trade,
    )
