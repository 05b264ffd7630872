"""Clearing, the obvious way: every trade of the open cycle is kept, and what is held is counted
anew from the open orders whenever somebody asks.

Money comes and goes in `funds`, a client's whole balance of an asset; a part of it is held by the
client's open orders. What a position cost is kept in ticks times lots.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from novate.model.clearing import ClearingTerms, FeeTier, SettlementState
from novate.model.commands import OrderType, Phase, SelfTrade, Side
from novate.model.events import EventKind
from novate.model.instrument import DAY_S, Instrument
from novate.model.rejects import Reason
from tests.oracle.book import Book, Order
from tests.oracle.words import (
    CorrectTrade,
    Deposit,
    MoveSettlement,
    SetClearing,
    SetCutoff,
    SetMark,
    SetTier,
    Settle,
    Withdraw,
)

if TYPE_CHECKING:
    from tests.oracle.exchange import Exchange

NS = 10**9
CYCLES_MAX = 64
UNITS_MAX = 10**33
TOTAL_MAX = 2**122
ROW_MAX, FORMER_ROW_MAX = 2**126, 2**108
BUSTED_MAX = 2**20
ENDS = {SettlementState.SETTLED, SettlementState.FAILED}

Command = (
    SetClearing
    | SetMark
    | SetTier
    | Deposit
    | Withdraw
    | Settle
    | MoveSettlement
    | SetCutoff
    | CorrectTrade
)


class Leg(NamedTuple):
    """One client's side of a trade that is not settled: lots over 0 are bought."""

    client: int
    instrument: int
    lots: int
    price: int
    fee: int


@dataclass
class Position:
    """Lots, under 0 short; `basis`: what they cost, under 0 what they brought."""

    lots: int = 0
    basis: int = 0
    realized: int = 0
    fees: int = 0

    def trade(self, lots: int, price: int) -> None:
        """Buy, or sell lots under 0: first against what is there, the rest anew."""
        closing = min(abs(lots), abs(self.lots)) if self.lots * lots < 0 else 0
        if closing:
            sign = 1 if self.lots > 0 else -1
            cost = abs(self.basis) * closing // abs(self.lots)
            self.realized += sign * (closing * price - cost)
            self.basis -= sign * cost
            self.lots -= sign * closing
            lots += sign * closing
        self.lots += lots
        self.basis += lots * price


@dataclass
class Totals:
    """What an instrument's cycle came to."""

    trades: int = 0
    lots: int = 0
    turnover: int = 0
    fees: int = 0
    busts: int = 0
    bust_lots: int = 0
    bust_turnover: int = 0


@dataclass
class Cycle:
    """A closed cycle."""

    number: int
    obligations: list[tuple[int, int, int]]
    totals: list[Totals]
    state: SettlementState = SettlementState.OPEN


@dataclass
class Clearing:
    """The accounts of all clients."""

    terms: dict[int, ClearingTerms] = field(default_factory=dict)
    marks: dict[int, int] = field(default_factory=dict)
    tiers: dict[int, int] = field(default_factory=dict)
    assets: list[tuple[str, int]] = field(default_factory=list)
    funds: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    positions: dict[tuple[int, int], Position] = field(
        default_factory=lambda: defaultdict(Position)
    )
    legs: list[Leg] = field(default_factory=list)
    totals: dict[int, Totals] = field(default_factory=lambda: defaultdict(Totals))
    fees: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    cycles: list[Cycle] = field(default_factory=list)
    last_cycle: int = 0
    busted: set[tuple[int, int]] = field(default_factory=set)
    busted_before: int = 0  # trades that were taken back before the first command that is seen
    cutoff_s: int = -1
    cutoff_due_ns: int = 0
    last_cutoff: tuple[int, int, Reason] | None = None

    def add_instrument(self, spec: Instrument) -> None:
        """Number the assets of a new instrument."""
        for asset in (spec.base, base_scale(spec)), (spec.quote, spec.quote_scale):
            if asset not in self.assets:
                self.assets.append(asset)

    def is_funded(self, instrument: int) -> bool:
        """Whether trades are paid at the match."""
        return instrument in self.terms and self.terms[instrument].mode == "funded"

    def base(self, spec: Instrument) -> int:
        """The base asset's number."""
        return self.assets.index((spec.base, base_scale(spec)))

    def quote(self, spec: Instrument) -> int:
        """The quote asset's number."""
        return self.assets.index((spec.quote, spec.quote_scale))

    def tier(self, instrument: int, client: int) -> FeeTier:
        """What a client pays."""
        tiers = self.terms[instrument].tiers
        number = self.tiers.get(client, 0)
        return tiers[number if number < len(tiers) else 0] if tiers else FeeTier()


def base_scale(spec: Instrument) -> int:
    """Decimals of the base asset's unit."""
    return max(12, spec.lot_exponent)


def lot_units(spec: Instrument) -> int:
    """Units of the base asset in a lot."""
    return int(spec.lot_coefficient * 10 ** (base_scale(spec) - spec.lot_exponent))


def rounded_up(units: int, rate: int) -> int:
    """A fee: millionths of a value, rounded up to the unit."""
    return -(-units * rate // 1_000_000)


# --- worth --------------------------------------------------------------------------------


def is_wide(spec: Instrument) -> bool:
    """Whether the instrument's bounds allow an order worth more than accounts take."""
    money = spec.price_ticks_max * spec.quantity_lots_max * spec.quote_units
    return max(money, spec.quantity_lots_max * lot_units(spec)) > UNITS_MAX


def too_worthy(exchange: Exchange, order: Order) -> bool:
    """Whether an order is worth more than accounts take: its lots, or at its limit their money."""
    if order.instrument not in exchange.clearing.terms:
        return False
    spec = exchange.books[order.instrument].instrument
    money = order.price * order.quantity * spec.quote_units
    return max(money, order.quantity * lot_units(spec)) > UNITS_MAX


# --- holds --------------------------------------------------------------------------------


def lot_cost(exchange: Exchange, book: Book, client: int, price: int) -> int:
    """What one lot costs at most, with the fee on it alone."""
    tier = exchange.clearing.tier(book.instrument.index, client)
    units = price * book.instrument.quote_units
    return units + max(0, rounded_up(units, max(tier.maker, tier.taker)))


def hold_of(exchange: Exchange, order: Order, price: int, lots: int) -> tuple[int, int]:
    """(asset, units) that an order holds for so many lots."""
    book = exchange.books[order.instrument]
    clearing, spec = exchange.clearing, book.instrument
    if not clearing.is_funded(order.instrument):
        return clearing.base(spec), 0
    if order.side is Side.SELL:
        return clearing.base(spec), 0 if order.by_quote else lots * lot_units(spec)
    if not order.has_limit:
        return clearing.quote(spec), 0
    return clearing.quote(spec), lots * lot_cost(exchange, book, order.client, price)


def held(exchange: Exchange, client: int, asset: int) -> int:
    """What all open orders of a client hold of an asset."""
    total = 0
    for order in exchange.registry.orders.values():
        if order.open and order.client == client:
            found, units = hold_of(exchange, order, order.price, order.remaining)
            total += units if found == asset else 0
    return total


def available(exchange: Exchange, client: int, asset: int) -> int:
    """What a client may use."""
    return exchange.clearing.funds[client, asset] - held(exchange, client, asset)


def refuses(exchange: Exchange, order: Order) -> Reason:
    """Why a new order's funds don't allow it."""
    clearing, book = exchange.clearing, exchange.books[order.instrument]
    if not clearing.is_funded(order.instrument):
        return Reason.NONE
    client, quote = order.client, clearing.quote(book.instrument)
    if order.by_quote and order.side is Side.SELL:
        asset, needed = clearing.base(book.instrument), lot_units(book.instrument)
    elif order.by_quote:
        tier = clearing.tier(order.instrument, client)
        rate = max(0, tier.maker, tier.taker)
        asset, needed = quote, order.asked_units + rounded_up(order.asked_units, rate)
    elif order.type is OrderType.MARKET and order.side is Side.BUY:
        return Reason.NONE if covers_walk(exchange, order) else Reason.INSUFFICIENT_FUNDS
    else:
        asset, needed = hold_of(exchange, order, order.price, order.remaining)
    covered = needed <= available(exchange, client, asset)
    return Reason.NONE if covered else Reason.INSUFFICIENT_FUNDS


def refuses_amendment(exchange: Exchange, order: Order, wanted: Order) -> Reason:
    """Why an amended order's funds don't allow it."""
    asset, before = hold_of(exchange, order, order.price, order.remaining)
    asset, after = hold_of(exchange, order, wanted.price, wanted.remaining)
    more = after - before
    if more <= 0 or more <= available(exchange, order.client, asset):
        return Reason.NONE
    return Reason.INSUFFICIENT_FUNDS


def covers_walk(exchange: Exchange, order: Order) -> bool:
    """Whether a buyer without a limit can pay for all it would get as the book stands."""
    from tests.oracle.matching import corridor, stopped_at

    book = exchange.books[order.instrument]
    if not exchange.clearing.is_funded(order.instrument):
        return True
    passes = order.self_trade is not SelfTrade.NONE or any(
        each.partner is not None for each in (order, *book.orders())
    )
    bounds, cost, left = corridor(book, order), 0, order.remaining
    for price in book.prices(Side.SELL):
        if not left or stopped_at(bounds, order, price) is not Reason.NONE:
            break
        each = lot_cost(exchange, book, order.client, price)
        if passes:
            cost = left * each
        else:
            lots = min(left, sum(maker.remaining for maker in book.sides[Side.SELL][price]))
            left -= lots
            cost += lots * each
    quote = exchange.clearing.quote(book.instrument)
    return cost <= available(exchange, order.client, quote)


def fundable(exchange: Exchange, taker: Order, price: int, lots: int) -> int:
    """Of so many lots as many as an order by quote quantity can pay for."""
    book = exchange.books[taker.instrument]
    if not taker.by_quote or not exchange.clearing.is_funded(taker.instrument):
        return lots
    if taker.side is Side.SELL:
        asset, each = exchange.clearing.base(book.instrument), lot_units(book.instrument)
    else:
        asset = exchange.clearing.quote(book.instrument)
        each = lot_cost(exchange, book, taker.client, price)
    return min(lots, available(exchange, taker.client, asset) // each)


# --- trades -------------------------------------------------------------------------------


def clear(
    exchange: Exchange, maker: Order, taker: Order, price: int, lots: int, auction: bool = False
) -> None:
    """Both legs of a trade, the buyer's first; `index` of the trade is the exchange's last."""
    clearing = exchange.clearing
    if maker.instrument not in clearing.terms:
        return
    rates = {}
    for order in (maker, taker):
        tier = clearing.tier(order.instrument, order.client)
        rates[id(order)] = tier.maker if order is maker and not auction else tier.taker
    buyer, seller = (taker, maker) if taker.side is Side.BUY else (maker, taker)
    units = price * lots * exchange.books[maker.instrument].instrument.quote_units
    fees = [rounded_up(units, rates[id(order)]) for order in (buyer, seller)]
    totals = clearing.totals[maker.instrument]
    totals.trades += 1
    totals.lots += lots
    totals.turnover += lots * price
    index = exchange.trade_index - 1
    for client, signed, fee in zip((buyer.client, seller.client), (lots, -lots), fees, strict=True):
        move(exchange, Leg(client, maker.instrument, signed, price, 0))
        charge(exchange, client, maker.instrument, signed, fee, index)


def move(exchange: Exchange, leg: Leg) -> None:
    """A leg's lots and money change hands, or will at the settlement."""
    clearing, spec = exchange.clearing, exchange.books[leg.instrument].instrument
    clearing.positions[leg.client, leg.instrument].trade(leg.lots, leg.price)
    if clearing.is_funded(leg.instrument):
        clearing.funds[leg.client, clearing.base(spec)] += leg.lots * lot_units(spec)
        cost = leg.lots * leg.price * spec.quote_units
        clearing.funds[leg.client, clearing.quote(spec)] -= cost
    else:
        clearing.legs.append(leg)


def charge(
    exchange: Exchange, client: int, instrument: int, signed: int, fee: int, index: int
) -> None:
    """A fee is paid, or under 0 given."""
    if not fee:
        return
    clearing, spec = exchange.clearing, exchange.books[instrument].instrument
    quote = clearing.quote(spec)
    clearing.positions[client, instrument].fees += fee
    clearing.totals[instrument].fees += fee
    clearing.fees[quote] += fee
    if clearing.is_funded(instrument):
        clearing.funds[client, quote] -= fee
    else:
        clearing.legs.append(Leg(client, instrument, 0, 0, fee))
    exchange.say(
        EventKind.FEE_CHARGED,
        side=0 if signed > 0 else 1,
        instrument=instrument,
        index=index,
        client=client,
        taker_client=quote,
        **amount(fee),
    )


def amount(units: int) -> dict[str, int]:
    """128 bits of units as an event has them."""
    low = units & (2**64 - 1)
    return {"price": low - 2**64 if low >> 63 else low, "quantity": units >> 64}


# --- commands -----------------------------------------------------------------------------


def carry_out(exchange: Exchange, command: Command) -> None:
    """A command of the clearing house."""
    match command:
        case SetClearing():
            set_clearing(exchange, command)
        case SetMark(price, instrument):
            set_mark(exchange, instrument, price)
        case SetTier(client, tier):
            set_tier(exchange, client, tier)
        case Settle(number):
            refused(exchange, close_cycle(exchange, number))
        case MoveSettlement(number, state):
            refused(exchange, move_settlement(exchange, number, state))
        case SetCutoff(at_s):
            set_cutoff(exchange, at_s)
        case CorrectTrade():
            from tests.oracle.busts import correct

            refused(exchange, correct(exchange, command))


def refused(exchange: Exchange, reason: Reason) -> None:
    """Say why a command came to nothing, if it did."""
    if reason is not Reason.NONE:
        exchange.refuse(reason)


def transfer(exchange: Exchange, command: Deposit | Withdraw) -> None:
    """Units come in or go out."""
    clearing = exchange.clearing
    if not exchange.registry.has_room_for_client(command.client):
        exchange.refuse(Reason.CLIENTS_LIMIT)
        return
    client = exchange.registry.register_client(command.client)
    if command.asset >= len(clearing.assets):
        exchange.refuse(Reason.UNKNOWN_ASSET)
        return
    comes = isinstance(command, Deposit)
    if comes and command.units + all_of(exchange, command.asset) > TOTAL_MAX:
        exchange.refuse(Reason.BALANCE_LIMIT)
        return
    if not comes and command.units > available(exchange, client, command.asset):
        exchange.refuse(Reason.INSUFFICIENT_FUNDS)
        return
    clearing.funds[client, command.asset] += command.units if comes else -command.units
    kind = EventKind.DEPOSITED if comes else EventKind.WITHDRAWN
    exchange.say(kind, instrument=command.asset, client=client, **amount(command.units))


def all_of(exchange: Exchange, asset: int) -> int:
    """What everybody has of an asset, is owed and owes, the house's fees with it."""
    clearing = exchange.clearing
    owed = [row for row in net(exchange) if row[1] == asset]
    for cycle in clearing.cycles:
        if cycle.state is not SettlementState.SETTLED:
            owed += [row for row in cycle.obligations if row[1] == asset]
    funds = sum(units for place, units in clearing.funds.items() if place[1] == asset)
    return funds + sum(units for _, _, units in owed) + clearing.fees[asset]


def set_clearing(exchange: Exchange, command: SetClearing) -> None:
    """The terms of an instrument anew."""
    clearing, number = exchange.clearing, command.instrument
    if number >= len(exchange.books):
        exchange.refuse(Reason.UNKNOWN_INSTRUMENT)
        return
    book, terms, before = exchange.books[number], command.terms, clearing.terms.get(number)
    if terms.mode == "funded" and conflicts(exchange, book.instrument):
        exchange.refuse(Reason.ASSET_CONFLICT)
        return
    begins_wide = before is None and is_wide(book.instrument)
    held_for = begins_wide or "funded" in (terms.mode, before.mode if before else "")
    same = before is not None and (terms.mode, terms.tiers) == (before.mode, before.tiers)
    if held_for and not same and any(True for _ in book.orders()):
        exchange.refuse(Reason.ORDERS_OPEN)
        return
    clearing.terms[number] = terms
    exchange.say(EventKind.CLEARING_SET, instrument=number)


def conflicts(exchange: Exchange, spec: Instrument) -> bool:
    """Whether one of the instrument's assets has two scales."""
    names = [name for name, _ in exchange.clearing.assets]
    return names.count(spec.base) > 1 or names.count(spec.quote) > 1


def set_mark(exchange: Exchange, instrument: int, price: int) -> None:
    """The operator's mark price."""
    if instrument >= len(exchange.books):
        exchange.refuse(Reason.UNKNOWN_INSTRUMENT)
    elif price > exchange.books[instrument].instrument.price_ticks_max:
        exchange.refuse(Reason.OUT_OF_BOUNDS)
    elif instrument not in exchange.clearing.terms:
        exchange.refuse(Reason.NOT_CLEARED)
    else:
        exchange.clearing.marks[instrument] = price
        exchange.say(EventKind.MARK_SET, instrument=instrument, price=price)


def set_tier(exchange: Exchange, client: str | int, tier: int) -> None:
    """The tier of a client."""
    if not exchange.registry.has_room_for_client(client):
        exchange.refuse(Reason.CLIENTS_LIMIT)
        return
    number = exchange.registry.register_client(client)
    if any(
        order.client == number and exchange.clearing.is_funded(order.instrument)
        for order in exchange.open_orders()
    ):
        exchange.refuse(Reason.ORDERS_OPEN)
        return
    exchange.clearing.tiers[number] = tier
    exchange.say(EventKind.TIER_SET, client=number, quantity=tier)


# --- cycles -------------------------------------------------------------------------------


def net(exchange: Exchange) -> list[tuple[int, int, int]]:
    """(client, asset, units) of everything traded since the last close, leg by leg."""
    sums: dict[tuple[int, int], int] = defaultdict(int)
    for leg in exchange.clearing.legs:
        spec = exchange.books[leg.instrument].instrument
        sums[leg.client, exchange.clearing.base(spec)] += leg.lots * lot_units(spec)
        cash = -leg.lots * leg.price * spec.quote_units - leg.fee
        sums[leg.client, exchange.clearing.quote(spec)] += cash
    return [(*place, units) for place, units in sorted(sums.items()) if units]


def nets_too_much(exchange: Exchange) -> bool:
    """Whether what a position comes to, or what all receive or pay, is more than a cycle takes."""
    sums: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
    for leg in exchange.clearing.legs:
        spec = exchange.books[leg.instrument].instrument
        found = sums[leg.client, leg.instrument]
        found[0] += leg.lots * lot_units(spec)
        found[1] += leg.lots * leg.price * spec.quote_units
    most = ROW_MAX if exchange.rules > 2 else FORMER_ROW_MAX
    if any(abs(units) > most for found in sums.values() for units in found):
        return True
    totals: dict[tuple[int, bool], int] = defaultdict(int)
    for _, asset, units in net(exchange):
        totals[asset, units > 0] += abs(units)
    return exchange.rules > 2 and any(units > TOTAL_MAX for units in totals.values())


def close_cycle(exchange: Exchange, number: int) -> Reason:
    """The open cycle becomes obligations."""
    clearing = exchange.clearing
    if number <= clearing.last_cycle:
        return Reason.CYCLE_CLOSED_ALREADY
    full = len(clearing.cycles) == CYCLES_MAX
    if full and clearing.cycles[0].state is not SettlementState.SETTLED:
        return Reason.CYCLES_LIMIT
    if nets_too_much(exchange):
        return Reason.BALANCE_LIMIT
    totals = [clearing.totals[number] for number in range(len(exchange.books))]
    cycle = Cycle(number, net(exchange), totals)
    clearing.cycles = [*clearing.cycles[1 if full else 0 :], cycle]
    clearing.legs, clearing.last_cycle = [], number
    clearing.totals = defaultdict(Totals)
    exchange.say(EventKind.CYCLE_CLOSED, order=number, quantity=len(cycle.obligations))
    return Reason.NONE


def move_settlement(exchange: Exchange, number: int, state: SettlementState) -> Reason:
    """What became of a cycle's obligations."""
    found = [each for each in exchange.clearing.cycles if each.number == number]
    if not found:
        return Reason.UNKNOWN_CYCLE
    (cycle,) = found
    before = cycle.state
    begins = before in (SettlementState.OPEN, SettlementState.FAILED)
    if not (
        (begins and state is SettlementState.INSTRUCTED)
        or (before is SettlementState.INSTRUCTED and state in ENDS)
    ):
        return Reason.CYCLE_STATE
    cycle.state = state
    exchange.say(
        EventKind.SETTLEMENT_MOVED,
        order=number,
        index=state,
        taker_client=before,
        quantity=len(cycle.obligations),
    )
    return Reason.NONE


def set_cutoff(exchange: Exchange, at_s: int) -> None:
    """The time of day at which cycles close by themselves."""
    exchange.clearing.cutoff_s = at_s
    exchange.clearing.cutoff_due_ns = next_daily(exchange.now_ns, at_s) if at_s >= 0 else 0
    exchange.say(EventKind.CUTOFF_SET, quantity=at_s)


def next_daily(after_ns: int, at_s: int) -> int:
    """The first time after this one that is so late in the day."""
    days = (after_ns - at_s * NS) // (DAY_S * NS) + 1
    return days * DAY_S * NS + at_s * NS


def cut_off(exchange: Exchange) -> None:
    """The cut-off came."""
    from datetime import UTC, datetime

    clearing, time_ns = exchange.clearing, exchange.clearing.cutoff_due_ns
    date = datetime.fromtimestamp(time_ns // NS, UTC)
    number = int(date.strftime("%Y%m%d"))
    if exchange.rules > 2 and number < clearing.last_cycle:
        number = (clearing.last_cycle + 1) % 2**64
    why = close_cycle(exchange, number)
    if exchange.rules > 2:
        clearing.last_cutoff = time_ns, number, why
        if why is not Reason.NONE:
            exchange.say(EventKind.CUTOFF_MISSED, order=number, reason=why)
    after_ns = max(time_ns, exchange.now_ns - DAY_S * NS - 1)
    clearing.cutoff_due_ns = next_daily(after_ns, clearing.cutoff_s)


def waits_for_auction(exchange: Exchange, book: Book, order: Order) -> bool:
    """Whether a market order that would wait for an auction's price can't say what it costs."""
    return (
        book.phase is Phase.AUCTION
        and order.side is Side.BUY
        and order.type is OrderType.MARKET
        and exchange.clearing.is_funded(order.instrument)
    )
