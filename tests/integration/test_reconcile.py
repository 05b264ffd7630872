"""`novate reconcile`, and that the ledger's settlement and positions are those of the engine."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from novate import reconcile
from novate.ledger import database
from novate.ledger.digest import digest
from novate.model.clearing import ClearingTerms, FeeTier, SettlementState, TradeCorrection
from novate.model.commands import Phase, Side
from novate.model.errors import LedgerAway, LedgerFault
from novate.model.events import EventKind
from novate.rebuild import run_rebuild
from novate.reconcile import Reckoned, compare
from tests.conftest import scaled
from tests.integration.data_folder import fill, settings_of
from tests.integration.ledger_stand import LedgerStand
from tests.oracle.words import (
    CorrectTrade,
    Deposit,
    MoveSettlement,
    Place,
    SetClearing,
    SetPhase,
    SetTier,
    Settle,
)
from tests.postgres import Postgres


def reckon(stand: LedgerStand, url: str) -> Reckoned:
    engine = database.open_reader(url, 30, 1)
    with engine.connect() as connection, connection.begin():
        found = compare(connection, stand.reckoning, stand.accounts)
    engine.dispose()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_it_agrees_after_random_runs(seed: int, tmp_path: Path, postgres: Postgres) -> None:
    urls = [f"sqlite:///{tmp_path}/ledger.db", postgres.make_database(f"reckoned_{seed}")]
    stand = LedgerStand(urls, seed)
    stand.play_clearing(seed, scaled(20_000), batch=40, step_ns=200_000_000)
    stand.close()
    for url in urls:
        found = reckon(stand, url)
        assert found.difference == ""
        assert found.trades > scaled(20_000) // 20
        assert found.entries > 8 * found.trades
    happened = count_events(urls[0])
    for kind in (
        "trade_busted",
        "trade_corrected",
        "cycle_closed",
        "settlement_moved",
        "withdrawn",
    ):
        assert happened[kind] > 5, happened
    digests = [digest(database.open_writer(url)) for url in urls]
    assert digests[0] == digests[1]
    for view in ("entry_list", "entry_sums", "settlement_list", "obligation_list", "total_list",
                 "cycle_trades", "cycle_sums", "position_list"):  # fmt: skip
        shown = [rows_of(url, view) for url in urls]
        assert shown[0] == shown[1] != [], view


@pytest.mark.slow
def test_how_clearing_is_batched_does_not_show(tmp_path: Path) -> None:
    digests = []
    for batch in (1, 7, 400):
        url = f"sqlite:///{tmp_path}/ledger-{batch}.db"
        stand = LedgerStand([url], 0)
        for seed in (5, 6):
            stand.play_clearing(seed, scaled(4_000), batch, step_ns=200_000_000)
            stand.begin_anew()
        stand.close()
        digests.append(digest(database.open_writer(url)))
        assert reckon(stand, url).difference == ""
    assert digests[0] == digests[1] == digests[2]


def rows_of(url: str, view: str) -> list[list[str]]:
    """A view's rows as text, in any order; exact decimals look the same in both databases."""
    engine = database.open_reader(url, 30, 1)
    with engine.connect() as connection:
        found = connection.execute(sa.text(f"SELECT * FROM {view}")).all()
    engine.dispose()
    return sorted([format(each, "f") if isinstance(each, Decimal) else str(each) for each in row]
                  for row in found)  # fmt: skip


def count_events(url: str) -> dict[str, int]:
    engine = database.open_writer(url)
    with engine.connect() as connection:
        query = "SELECT kind, count(*) FROM audit_trail GROUP BY kind"
        found = {row[0]: row[1] for row in connection.execute(sa.text(query))}
    engine.dispose()
    return defaultdict(int, found)


BOBS, CATS = 1, 2
"""Their numbers, in the order in which they came."""


CORRECTED = {
    "seq": 13, "index": 0, "instrument": 0, "buyer": BOBS, "seller": CATS, "price_ticks": 90,
    "quantity_lots": 2, "buyer_fee": 6, "seller_fee": -1,
}  # fmt: skip
"""The trade of the day that is corrected, as it was."""


def clearing_day(url: str, **otherwise: int) -> LedgerStand:
    """A day with a bit of everything: an open market with fees, a funded one, two cycles.

    Args:
        url: Where its ledger is.
        otherwise: What the command that corrects a trade says of it that was not so.
    """
    stand = LedgerStand([url], 0)
    tiers = (FeeTier(maker=-1000, taker=3001),)
    stand.play(
        [
            SetClearing(ClearingTerms(tiers=tiers), 0),
            SetClearing(ClearingTerms(mode="funded", tiers=tiers), 1),
            Deposit("ann", 0, 10**11),
            Deposit("bob", 1, 10**6),
            Place("ann", "a-1", Side.SELL, 10, 100),
            Place("bob", "b-1", Side.BUY, 4, 100),
            Place("cat", "c-1", Side.BUY, 3, 101),
            Settle(1),
            Place("cat", "c-2", Side.SELL, 2, 90),
            Place("bob", "b-2", Side.BUY, 2, 90),
            Place("ann", "a-3", Side.SELL, 5, 100, 1),
            Place("bob", "b-3", Side.BUY, 3, 100, 1),
            Place("bob", "b-4", Side.BUY, 1, 80, 1),
            MoveSettlement(1, SettlementState.INSTRUCTED),
            CorrectTrade(
                TradeCorrection(
                    **(CORRECTED | otherwise),
                    new_price_ticks=95,
                    new_quantity_lots=1,
                    new_buyer_fee=3,
                )
            ),
            Settle(2),
            Place("bob", "b-5", Side.BUY, 1, 100),
        ]
    )
    stand.write()
    stand.close()
    return stand


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> tuple[LedgerStand, Path]:
    folder = tmp_path_factory.mktemp("day")
    return clearing_day(f"sqlite:///{folder}/ledger.db"), folder / "ledger.db"


def tampered(path: Path, *statements: str) -> str:
    with sqlite3.connect(path) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount > 0, statement
    connection.close()
    return f"sqlite:///{path}"


BOB = "client = (SELECT client FROM clients WHERE client_id = 'bob')"
DEPOSIT_OF_BOB = f"DELETE FROM order_events WHERE kind = {int(EventKind.DEPOSITED)} AND {BOB}"
TAMPERED = {
    "UPDATE trades SET quantity_lots = quantity_lots + 1 WHERE seq = 15":
        "balance of client ann: expected 0.097 INS (engine), found 0.096 INS (from trades)",
    "UPDATE trades SET price_ticks = price_ticks + 1 WHERE seq = 9":
        "cost of client ann in INS-0: expected",
    "DELETE FROM trades WHERE seq = 13": "net of client bob in INS-0: expected",
    "DELETE FROM order_events WHERE kind = 28 AND seq = 9": "fees of client ann: expected",
    DEPOSIT_OF_BOB: "balance of client bob: expected",
    "UPDATE ledger_transfers SET other_amount_low = other_amount_low + 1 WHERE seq = 9 AND " + BOB:
        "traded of client bob: expected",
    "DELETE FROM ledger_transfers WHERE seq = 15 AND entry = 0": "of client",
    "DELETE FROM ledger_transfers WHERE seq = 11": "due of client",
    "UPDATE ledger_transfers SET target = 4 WHERE target = 5 AND kind = 3":
        "available of client ann: expected",
    "UPDATE positions SET realized_low = realized_low + 1 WHERE instrument = 0 AND " + BOB:
        "realized of client bob in INS-0: expected",
    "DELETE FROM positions WHERE instrument = 1 AND " + BOB: "net of client bob in INS-1",
    "UPDATE settlement_obligations SET amount_low = amount_low + 1 WHERE cycle = 1 AND " + BOB:
        "obligation of client bob in cycle 1: expected",
    "DELETE FROM settlement_obligations WHERE cycle = 2 AND " + BOB:
        "obligation of client bob in cycle 2: expected",
    "UPDATE settlement_totals SET trades = trades + 1 WHERE cycle = 1":
        "trades of cycle 1 in INS-0: expected 2 (engine), found 3 (from tables)",
    "UPDATE settlement_totals SET lots_low = lots_low + 1 WHERE cycle = 2 AND instrument = 1":
        "lots of cycle 2 in INS-1: expected 3 lots (engine), found 4 lots (from tables)",
    "UPDATE settlement_totals SET turnover_high = turnover_high + 1 WHERE cycle = 1":
        "turnover of cycle 1 in INS-0: expected 700 ticks x lots (engine), "
        "found 1000000000000000700 ticks x lots (from tables)",
    "UPDATE settlement_totals SET fees_low = fees_low + 1 WHERE cycle = 1":
        "cycle_fees of cycle 1 in INS-0: expected",
    "UPDATE settlement_totals SET busts = busts + 1 WHERE cycle = 2 AND instrument = 0":
        "busts of cycle 2 in INS-0: expected 1 (engine), found 2 (from tables)",
    "UPDATE settlement_totals SET bust_lots_low = 3 WHERE cycle = 2 AND instrument = 0":
        "bust_lots of cycle 2 in INS-0: expected 2 lots (engine), found 3 lots (from tables)",
    "UPDATE settlement_totals SET bust_turnover_low = 1 WHERE cycle = 2 AND instrument = 0":
        "bust_turnover of cycle 2 in INS-0: expected",
    "DELETE FROM settlement_totals WHERE cycle = 2 AND instrument = 1":
        "trades of cycle 2 in INS-1: expected 1 (engine), found 0 (from tables)",
    "UPDATE settlement_cycles SET state = 3 WHERE cycle = 1":
        "state of cycle 1: expected instructed (engine), found settled (from tables)",
    "UPDATE trades SET auction = 1 WHERE seq = 13":
        "fee of the seller of trade 13-0 in INS-0: expected 0.000006 USD (rates in force), "
        "found -0.000001 USD",
    "UPDATE order_events SET side = 1 - side WHERE kind = 28 AND seq = 9":
        "fee of the buyer of trade 9-0 in INS-0: expected",
}  # fmt: skip


def test_it_agrees_with_a_day_by_hand(day: tuple[LedgerStand, Path]) -> None:
    stand, path = day
    found = reckon(stand, f"sqlite:///{path}")
    assert found == Reckoned("", figures=137, trades=7, entries=116)


@pytest.mark.parametrize("statement", TAMPERED, ids=range(len(TAMPERED)))
def test_a_tampered_row_is_named(
    statement: str, day: tuple[LedgerStand, Path], tmp_path: Path
) -> None:
    stand, path = day
    shutil.copy(path, tmp_path / "ledger.db")
    found = reckon(stand, tampered(tmp_path / "ledger.db", statement))
    assert TAMPERED[statement] in found.difference


UNDONE_WRONG: list[tuple[dict[str, int], str, str, str]] = [
    ({"price_ticks": 91}, "price of", "90 ticks", "91 ticks"),
    ({"quantity_lots": 3}, "quantity of", "2 lots", "3 lots"),
    ({"buyer": CATS, "seller": BOBS}, "buyer of", "bob", "cat"),
    ({"seller": 0}, "seller of", "cat", "ann"),
    ({"buyer_fee": 0}, "buyer's fee of", "0.000006 USD", "0 USD"),
    ({"seller_fee": 2}, "seller's fee of", "-0.000001 USD", "0.000002 USD"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("otherwise", "what", "expected", "found"), UNDONE_WRONG)
def test_a_bust_that_is_not_of_the_trade_as_it_was_is_named(
    otherwise: dict[str, int], what: str, expected: str, found: str, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    said = reckon(clearing_day(url, **otherwise), url).difference
    trade = f"expected {expected} (trade 13-0 in INS-0)"
    assert said == f"{what} the bust at seq 18: {trade}, found {found}"


@pytest.mark.slow
@pytest.mark.parametrize("otherwise", [{"seq": 12}, {"index": 1}])
def test_a_bust_of_a_trade_that_never_was_is_named(
    otherwise: dict[str, int], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    said = reckon(clearing_day(url, **otherwise), url).difference
    place = CORRECTED | otherwise
    trade = f"trade {place['seq']}-{place['index']} in INS-0"
    assert said == f"bust at seq 18: expected a {trade}, found none"


@pytest.mark.slow
def test_a_correction_beside_an_auctions_trade_is_told_from_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    stand = LedgerStand([url], 0)
    stand.play([SetClearing(ClearingTerms(), 0), Place("ann", "s-1", Side.SELL, 4, 100)])
    stand.play([Place("bob", "b-1", Side.BUY, 4, 100)])
    stand.play([SetPhase(Phase.AUCTION, 0, stand.now_ns + 10**9)])
    stand.play([Place("ann", "s-2", Side.SELL, 3, 100), Place("bob", "b-2", Side.BUY, 3, 100)])
    stand.now_ns += 2 * 10**9
    parties = {"instrument": 0, "index": 0, "buyer": 1, "seller": 0, "price_ticks": 100}
    first = TradeCorrection(
        seq=6, quantity_lots=4, new_price_ticks=90, new_quantity_lots=4, **parties
    )
    said = stand.play([CorrectTrade(first)])
    traded = [each for each in said if each.kind is EventKind.TRADE]
    assert [(each.seq, each.quantity) for each in traded] == [(stand.oracle.seq, 3)]
    again = TradeCorrection(seq=stand.oracle.seq, quantity_lots=3, **parties)
    assert stand.play([CorrectTrade(again)])[0].kind is EventKind.TRADE_BUSTED
    stand.write()
    stand.close()
    assert reckon(stand, url).difference == ""


@pytest.mark.slow
def test_fees_follow_rates_and_tiers_as_they_change(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    stand = LedgerStand([url], 0)
    low, high = (FeeTier(100, 2000), FeeTier(-50, 900)), (FeeTier(300, 7000), FeeTier(-500, 5000))
    changes = [
        [SetClearing(ClearingTerms(tiers=low), 0)],
        [SetTier("bob", 1)],
        [SetClearing(ClearingTerms(tiers=high), 0)],
        [SetTier("ann", 1)],
        [SetTier("ann", 5), SetTier("bob", 0)],
    ]
    for number, change in enumerate(changes):
        stand.play([*change, Place("ann", f"s-{number}", Side.SELL, 3, 100)])
        stand.play([Place("bob", f"b-{number}", Side.BUY, 3, 100)])
    stand.write()
    stand.close()
    assert reckon(stand, url).difference == ""
    charged = "SELECT price_ticks FROM order_events WHERE kind = 28 ORDER BY seq, position"
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        fees = [row[0] for row in connection.execute(charged)]
    connection.close()
    assert fees == [6, 1, 3, 1, 15, 1, 15, -1, 21, 1]


@pytest.mark.slow
def test_the_verb_says_that_all_agrees_or_what_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(tmp_path)
    fill(settings, range(120))
    assert run_rebuild(settings) == 0
    capsys.readouterr()
    assert reconcile.run(settings) == 0
    said = capsys.readouterr().out
    assert re.fullmatch(
        r"reconciled at seq \d+: \d+ figures from \d+ trades and \d+ entries "
        r"agree with the engine\n",
        said,
    )
    tampered(
        tmp_path / "ledger.db", "UPDATE positions SET net_low = net_low + 1 WHERE net_high = 0"
    )
    fill(settings, range(120, 130))  # the journal may be ahead of the ledger
    assert reconcile.run(settings) == 1
    assert re.match(
        r"different at seq \d+: net of client client-\d in BTC-USD: "
        r"expected -?\d+ lots \(engine\), found -?\d+ lots \(from tables\)\n",
        capsys.readouterr().out,
    )


@pytest.mark.slow
def test_a_ledger_of_another_journal_is_no_matter_of_figures(tmp_path: Path) -> None:
    mine, others = settings_of(tmp_path / "mine"), settings_of(tmp_path / "others")
    fill(mine, range(20))
    fill(others, range(50, 60))
    url = f"sqlite:///{mine.data_dir}/ledger.db"
    assert run_rebuild(mine) == 0
    with pytest.raises(LedgerFault, match="expected a journal that reaches the ledger's seq"):
        reconcile.run(replace(others, ledger_url=url))
    fill(others, range(60, 90))
    with pytest.raises(LedgerFault, match="is of another journal"):
        reconcile.run(replace(others, ledger_url=url))
    with pytest.raises(LedgerAway):
        reconcile.run(replace(mine, ledger_url=f"sqlite:///{tmp_path}/none.db"))
