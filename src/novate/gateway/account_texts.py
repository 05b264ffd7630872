"""What the stream says of a client's accounts: how they stand, and each change, as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from novate.engine import Accounts, AccountWatch, Engine, Reporter
from novate.gateway.accounts import (
    AccountReads,
    balance_of,
    on_grid,
    position_of,
    scaled,
    state_name,
)
from novate.model import codec
from novate.model.clearing import SettlementState
from novate.model.events import AUCTION_TRADE, EventKind
from novate.model.instrument import Instrument
from novate.streams.account_channel import AccountChannel

if TYPE_CHECKING:
    from novate.engine.account_watch import Fact, Noted, Owed

FACTS_MAX: Final = 1000
"""Events that one message bears; a command with more of them makes several messages."""

_encode = msgspec.json.Encoder().encode
_SIDES: Final = ("buy", "sell")
_LOW: Final = 2**64 - 1


class EventRow(NamedTuple):
    """An event record, its fields in the order of `EVENT`; `trade_index` is its `index`."""

    seq: int
    kind: int
    side: int
    order_type: int
    time_in_force: int
    reason: int
    flags: int
    instrument: int
    trade_index: int
    order: int
    taker: int
    client: int
    taker_client: int
    price_ticks: int
    quantity_lots: int
    remaining_lots: int


class AccountTexts:
    """Renders the accounts of one engine for the stream.

    Args:
        engine: Whose instruments they are in.
        accounts: Its accounts.
        watch: What notes their changes.
        reads: How they stand.
        partition: The first part of every trade id.
    """

    def __init__(
        self,
        engine: Engine,
        accounts: Accounts,
        watch: AccountWatch,
        reads: AccountReads,
        partition: int,
    ) -> None:
        self._engine = engine
        self._accounts = accounts
        self._watch = watch
        self._reads = reads
        self._partition = partition
        self._instruments: list[Instrument] = []
        self._makers: dict[int, Callable[[EventRow, Fact], dict[str, Any]]] = {
            EventKind.TRADE: self._trade,
            EventKind.FEE_CHARGED: self._fee,
            EventKind.DEPOSITED: self._funds,
            EventKind.WITHDRAWN: self._funds,
            EventKind.TIER_SET: self._tier,
            EventKind.CYCLE_CLOSED: self._settlement,
            EventKind.SETTLEMENT_MOVED: self._settlement,
            EventKind.TRADE_BUSTED: self._busted,
            EventKind.TRADE_CORRECTED: self._corrected,
        }

    def standing(self, client_id: str) -> bytes:
        """How a client's accounts stand now, as members of JSON."""
        settling = [
            {"cycle": cycle, "state": state_name(state), "obligations": self._owed(owed)}
            for cycle, state, owed in self._watch.settling(client_id)
        ]
        return _encode(self._reads.standing(client_id, settling))[1:-1]

    def changes(
        self, told: Noted, events: Mapping[int, tuple[int, ...]], time_us: int
    ) -> Iterator[bytes]:
        """A command's changes to a client's accounts, each message as members of JSON.

        Args:
            told: What `AccountWatch.take` has of it.
            events: The fields of each event that its facts name, by its place in the batch.
            time_us: The batch's time.
        """
        _, _, facts, balances, positions = told
        assets = self._accounts.assets()
        time = codec.format_time(time_us).decode()
        while len(facts) > FACTS_MAX:
            some, facts = facts[:FACTS_MAX], facts[FACTS_MAX:]
            yield self._members(time, False, self._facts(some, events), [], [])
        yield self._members(
            time,
            True,
            self._facts(facts, events),
            [balance_of(*assets[row[0]], row[1], row[2]) for row in balances],
            [position_of(self._spec(row[0]), row[1:6], row[6], row[7]) for row in positions],
        )

    def _members(
        self,
        time: str,
        final: bool,
        facts: list[dict[str, Any]],
        balances: list[dict[str, Any]],
        positions: list[dict[str, Any]],
    ) -> bytes:
        members = {
            "timestamp": time,
            "final": final,
            "events": facts,
            "balances": balances,
            "positions": positions,
        }
        return _encode(members)[1:-1]

    def _facts(
        self, facts: list[Fact], events: Mapping[int, tuple[int, ...]]
    ) -> list[dict[str, Any]]:
        found = [(EventRow._make(events[fact[0]]), fact) for fact in facts]
        return [self._makers[event.kind](event, fact) for event, fact in found]

    def _spec(self, instrument: int) -> Instrument:
        if instrument >= len(self._instruments):
            self._instruments = self._engine.instruments()
        return self._instruments[instrument]

    def _trade_id(self, seq: int, index: int) -> str:
        return f"{self._partition}-{seq}-{index}"

    def _leg(self, event: EventRow, said: str, trade_id: str, side: int) -> dict[str, Any]:
        spec = self._spec(event.instrument)
        price, lots = event.price_ticks, event.quantity_lots
        return {
            "event": said,
            "trade_id": trade_id,
            "instrument": spec.name,
            "side": _SIDES[side],
            "price": on_grid(price, spec.tick_coefficient, spec.tick_exponent),
            "quantity": on_grid(lots, spec.lot_coefficient, spec.lot_exponent),
        }

    def _trade(self, event: EventRow, fact: Fact) -> dict[str, Any]:
        taker = fact[1]
        side = event.side if taker else 1 - event.side
        said = self._leg(event, "trade", self._trade_id(event.seq, event.trade_index), side)
        role = "taker" if taker else "maker"
        return said | {"liquidity": None if event.flags & AUCTION_TRADE else role}

    def _busted(self, event: EventRow, fact: Fact) -> dict[str, Any]:
        trade_id = self._trade_id(event.order, event.trade_index)
        return self._leg(event, "trade_busted", trade_id, fact[1])

    def _corrected(self, event: EventRow, fact: Fact) -> dict[str, Any]:
        trade_id = self._trade_id(event.seq, 0)
        corrects = self._trade_id(event.order, event.trade_index)
        return self._leg(event, "trade_corrected", trade_id, fact[1]) | {"corrects": corrects}

    def _fee(self, event: EventRow, fact: Fact) -> dict[str, Any]:
        trade_id = self._trade_id(fact[2], event.trade_index)
        amount = self._amount(event.taker_client, _units(event))
        return {"event": "fee", "trade_id": trade_id, **amount}

    def _funds(self, event: EventRow, fact: Fact) -> dict[str, Any]:
        said = "deposit" if event.kind == EventKind.DEPOSITED else "withdrawal"
        return {"event": said, **self._amount(event.instrument, _units(event))}

    def _tier(self, event: EventRow, fact: Fact) -> dict[str, Any]:
        return {"event": "tier", "tier": event.quantity_lots}

    def _settlement(self, event: EventRow, fact: Fact) -> dict[str, Any]:
        closed = event.kind == EventKind.CYCLE_CLOSED
        state = SettlementState.OPEN if closed else event.trade_index  # there the new state
        obligations = self._owed(fact[3])
        return {
            "event": "settlement",
            "cycle": fact[2],
            "state": state_name(state),
            "obligations": obligations,
        }

    def _owed(self, owed: Owed) -> list[dict[str, Any]]:
        return [self._amount(asset, units) for asset, units in owed]

    def _amount(self, asset: int, units: int) -> dict[str, Any]:
        name, scale = self._accounts.assets()[asset]
        return {"asset": name, "amount": scaled(units, scale)}


def account_channel(reporter: Reporter, partition: int) -> AccountChannel:
    """The channel of a partition's accounts."""
    engine, accounts = reporter.engine, Accounts(reporter.engine)
    watch = AccountWatch(accounts)
    texts = AccountTexts(engine, accounts, watch, AccountReads(engine, accounts), partition)
    return AccountChannel(reporter, watch, texts)


def _units(event: EventRow) -> int:
    """The 128-bit amount of an event."""
    return event.quantity_lots << 64 | event.price_ticks & _LOW
