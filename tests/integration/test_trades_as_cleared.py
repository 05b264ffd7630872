"""The ledger says of every trade what the accounts made of it: parties, amounts, fees, taker."""

from __future__ import annotations

from pathlib import Path

import pytest

from novate.ledger.answers import Answers, open_answers
from novate.model.clearing import ClearedTrade, ClearingTerms, FeeTier, TradeCorrection, amount_of
from novate.model.commands import Side
from novate.model.events import AUCTION_TRADE, EventKind
from tests.conftest import scaled
from tests.integration.ledger_stand import LedgerStand
from tests.oracle.words import Command, CorrectTrade, Event, Place, SetClearing
from tests.postgres import Postgres


class Listening(LedgerStand):
    """Remembers every event."""

    def play(self, commands: list[Command]) -> list[Event]:
        events = super().play(commands)
        self.events = [*getattr(self, "events", []), *events]
        return events


def as_cleared(events: list[Event], cleared: bool) -> ClearedTrade:
    """The trade that the first of these events is, with the fees right behind it."""
    trade = events[0]
    fees = [0, 0]
    for event in events[1:]:
        if event.kind is not EventKind.FEE_CHARGED:
            break
        fees[event.side] = amount_of(event.price, event.quantity)
    bought = trade.side == Side.BUY
    return ClearedTrade(
        buyer=trade.taker_client if bought else trade.client,
        seller=trade.client if bought else trade.taker_client,
        price_ticks=trade.price,
        quantity_lots=trade.quantity,
        buyer_fee=fees[0],
        seller_fee=fees[1],
        taker_side=None if trade.flags & AUCTION_TRADE else Side(trade.side),
        cleared=cleared,
    )


def ask(answers: Answers, event: Event) -> ClearedTrade | None:
    return answers.cleared_trade(event.instrument, event.seq, event.index)[1]


@pytest.mark.slow
def test_every_trade_of_a_random_run_in_both_databases(tmp_path: Path, postgres: Postgres) -> None:
    urls = [f"sqlite:///{tmp_path}/ledger.db", postgres.make_database("as_cleared")]
    stand = Listening(urls, 0)
    stand.play_clearing(3, scaled(6_000), batch=40, step_ns=200_000_000)
    stand.close()
    asked = [open_answers(url, 30, 1, 0) for url in urls]
    given: set[int] = set()
    seen = {"plain": 0, "charged": 0, "auction": 0, "uncleared": 0}
    for at, event in enumerate(stand.events):
        if event.kind is EventKind.CLEARING_SET:
            given.add(event.instrument)
        elif event.kind is EventKind.TRADE:
            expected = as_cleared(stand.events[at : at + 3], event.instrument in given)
            for answers in asked:
                assert ask(answers, event) == expected, event
            kind = "auction" if expected.taker_side is None else "plain"
            kind = "charged" if expected.buyer_fee and expected.seller_fee else kind
            seen[kind if expected.cleared else "uncleared"] += 1
    assert min(seen.values()) > 0, seen
    for answers in asked:
        assert answers.cleared_trade(0, 1, 0) == (stand.oracle.seq, None)
        answers.close()


@pytest.mark.slow
def test_a_chain_of_corrections_keeps_the_taker(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    stand = LedgerStand([url], 0)
    stand.play([SetClearing(ClearingTerms(tiers=(FeeTier(-1000, 3001),)), 0)])
    stand.play([Place("ann", "a-1", Side.BUY, 4, 100)])
    (made,) = (
        event
        for event in stand.play([Place("bob", "b-1", Side.SELL, 4, 100)])
        if event.kind is EventKind.TRADE
    )
    seq = made.seq
    for number in range(1, 6):
        correction = TradeCorrection(
            seq=seq,
            index=0,
            instrument=0,
            buyer=0,
            seller=1,
            price_ticks=100 if number == 1 else 89 + number,
            quantity_lots=4,
            buyer_fee=-4 if number == 1 else 0,
            seller_fee=13 if number == 1 else number - 1,
            new_price_ticks=90 + number,
            new_quantity_lots=4,
            new_seller_fee=number,
        )
        (seq,) = {each.seq for each in stand.play([CorrectTrade(correction)])}
    stand.write()
    stand.close()
    answers = open_answers(url, 30, 1, 0)
    assert answers.cleared_trade(0, seq, 0)[1] == ClearedTrade(
        buyer=0, seller=1, price_ticks=95, quantity_lots=4, seller_fee=5, taker_side=Side.SELL
    )
    assert answers.cleared_trade(0, seq, 1)[1] is None
    assert answers.cleared_trade(1, seq, 0)[1] is None
    answers.close()
