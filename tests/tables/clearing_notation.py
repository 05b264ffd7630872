"""Clearing in the short way of writing: commands beside those of `notation`, and questions.

    clearing funded tiers=-100:300,0:200    terms; rates in millionths, maker:taker by tier; ins=1
    deposit a USD 5000; withdraw a USD 1    units of an asset; key=K body=N
    tier a 1; mark 105; cutoff 61200; cutoff none
    settle 20260101; instruct 20260101; paid 20260101; fail 20260101
    bust 1; correct 1 2 @ 99                the first trade of the scene, as it was;
                                            fees=BUYER,SELLER to be given back

Questions: `balance a USD`, `position a`, `fees a`, `due`, `cycle 20260101`, and `entries`: those
since the last time it was asked, `account client asset units`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from novate.engine import Accounts
from novate.model.clearing import (
    HOUSE,
    Account,
    ClearingTerms,
    EntryKind,
    FeeTier,
    SettlementState,
    TradeCorrection,
)
from novate.model.events import EventKind
from novate.model.rejects import Reason
from tests.oracle.accounts import compare
from tests.oracle.words import (
    Command,
    CorrectTrade,
    Deposit,
    Event,
    MoveSettlement,
    SetClearing,
    SetCutoff,
    SetMark,
    SetTier,
    Settle,
    Withdraw,
)
from tests.tables.notation import NS_PER_SECOND, Scene, after, command_of, options, split

MOVES = {
    "instruct": SettlementState.INSTRUCTED,
    "paid": SettlementState.SETTLED,
    "fail": SettlementState.FAILED,
}


@dataclass
class ClearingScene(Scene):
    """A scene whose accounts can be asked for."""

    trades: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        assert self.duel.engine is not None
        self.accounts = Accounts(self.duel.engine)
        self.accounts.collect_entries(True)

    def play(self, text: str) -> str:
        """Play commands and say their events."""
        said = []
        for part in split(text):
            if part.startswith("wait "):
                self.duel.now_ns += round(float(part[5:]) * NS_PER_SECOND)
                continue
            command = self.clearing_command(part) or command_of(part)
            if part.split()[0].endswith(":"):
                self.names[self.duel.oracle.seq + 1] = part.split()[0].rstrip(":")
            events = self.duel.play(command)
            self.trades += [event for event in events if event.kind is EventKind.TRADE]
            said += [self.said(event) for event in events]
            self.duel.compare()
            assert self.duel.engine is not None
            compare(self.duel.oracle, self.duel.engine)
        return "; ".join(said)

    def asset(self, name: str) -> int:
        """The number of an asset."""
        return [known for known, _ in self.accounts.assets()].index(name)

    def clearing_command(self, text: str) -> Command | None:
        """A command of the clearing house, None: it is another."""
        chosen = options(text.split())
        plain = [word for word in text.split() if "=" not in word]
        key = {"key": chosen.get("key"), "body": int(chosen.get("body", 0))}
        match plain:
            case ["clearing", mode]:
                rows = [row.split(":") for row in chosen.get("tiers", "").split(",") if row]
                tiers = tuple(FeeTier(int(maker), int(taker)) for maker, taker in rows)
                terms = ClearingTerms(mode=mode, tiers=tiers, mark=chosen.get("mark", "last"))
                return SetClearing(terms, int(chosen.get("ins", 0)))
            case ["deposit", client, asset, units]:
                return Deposit(client, self.asset(asset), int(units), **key)
            case ["withdraw", client, asset, units]:
                return Withdraw(client, self.asset(asset), int(units), **key)
            case ["tier", client, tier]:
                return SetTier(client, int(tier))
            case ["mark", price]:
                return SetMark(int(price))
            case ["cutoff", at]:
                return SetCutoff(-1 if at == "none" else int(at))
            case ["settle", number]:
                return Settle(int(number))
            case ["instruct" | "paid" | "fail" as move, number]:
                return MoveSettlement(int(number), MOVES[move])
            case ["bust" | "correct", number, *rest]:
                return self.correction(self.trades[int(number) - 1], rest, chosen)
        return None

    def correction(self, trade: Event, rest: list[str], chosen: dict[str, str]) -> CorrectTrade:
        """A bust, or a correction to `2 @ 99`."""
        parties = trade.taker_client, trade.client
        buyer, seller = parties if trade.side == 0 else parties[::-1]
        fees = [int(fee) for fee in chosen.get("fees", "0,0").split(",")]
        return CorrectTrade(
            TradeCorrection(
                seq=trade.seq,
                index=trade.index,
                instrument=trade.instrument,
                buyer=buyer,
                seller=seller,
                price_ticks=trade.price,
                quantity_lots=trade.quantity,
                buyer_fee=fees[0],
                seller_fee=fees[1],
                new_price_ticks=after(rest, "@"),
                new_quantity_lots=int(rest[0]) if rest else 0,
            )
        )

    def said_of_the_venue(self, event: Event) -> str:
        """An event of the clearing house."""
        units = (event.quantity << 64) | (event.price & (2**64 - 1))
        match event.kind:
            case EventKind.DEPOSITED | EventKind.WITHDRAWN:
                asset = self.accounts.assets()[event.instrument][0]
                return f"{self.client(event)} {event.kind.name.lower()} {units} {asset}"
            case EventKind.FEE_CHARGED:
                return f"fee {units} of {self.client(event)}"
            case EventKind.CYCLE_CLOSED:
                return f"cycle {event.order} closed with {event.quantity} obligations"
            case EventKind.CUTOFF_MISSED:
                return f"cycle {event.order} missed {Reason(event.reason).name.lower()}"
            case EventKind.SETTLEMENT_MOVED:
                return f"cycle {event.order} {SettlementState(event.index).name.lower()}"
            case EventKind.TRADE_BUSTED:
                return f"trade busted {event.quantity} @ {event.price}"
            case EventKind.TRADE_CORRECTED:
                return f"trade corrected {event.quantity} @ {event.price}"
            case _:
                return super().said_of_the_venue(event)

    # --- questions ----------------------------------------------------------------------------

    def ask(self, text: str) -> str:
        """The answer to a question."""
        words = text.split()
        match words:
            case ["balance", client, asset]:
                free, held = self.accounts.balance(self.number(client), self.asset(asset))
                return f"{free} held {held}"
            case ["position", client]:
                rows = self.accounts.positions_of(self.number(client))
                return "; ".join(f"{row[2]} cost {row[3]} realized {row[4]}" for row in rows)
            case ["fees", client]:
                return str(sum(row[5] for row in self.accounts.positions_of(self.number(client))))
            case ["due"]:
                return self.owed(self.accounts.open_cycle()[0])
            case ["cycle", number]:
                found = self.accounts.cycle(int(number))
                assert found is not None
                state = SettlementState(found[0]["state"]).name.lower()
                return f"{state}; {self.owed(found[1])}".rstrip("; ")
            case ["entries"]:
                return self.entries()
        raise AssertionError(text)

    def number(self, client: str) -> int:
        """A client's number."""
        return self.accounts.client(client)

    def owed(self, rows: list[tuple[int, int, int]]) -> str:
        """Obligations: client, asset, units."""
        names = self.accounts.assets()
        return "; ".join(
            f"{self.accounts.client_id(client)} {names[asset][0]} {units}"
            for client, asset, units in rows
        )

    def entries(self) -> str:
        """The entries since the last time."""
        said = []
        for entry in self.accounts.take_entries():
            units = (int(entry["amount_high"]) << 64) | int(entry["amount_low"])
            asset = self.accounts.assets()[int(entry["asset"])][0]
            client = int(entry["client"])
            who = "house" if client == HOUSE else self.accounts.client_id(client)
            kind = EntryKind(int(entry["kind"])).name.lower()
            account = Account(int(entry["account"])).name.lower()
            said.append(f"{kind}: {account} {who} {asset} {units}")
        return "; ".join(said)
