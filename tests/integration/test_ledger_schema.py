"""The ledger's tables, views and wide numbers, on both databases."""

from __future__ import annotations

import decimal
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from alembic import command as alembic_command
from alembic.autogenerate import compare_metadata
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from novate.config import LEDGER_FILE, Settings
from novate.engine import Engine
from novate.ledger import database, views, wide
from novate.ledger.answers import Answers, open_answers
from novate.ledger.copying import text_rows
from novate.ledger.digest import digest
from novate.ledger.entries import HOUSE, transfer_columns
from novate.ledger.naming import name_hash
from novate.ledger.positions import trade
from novate.ledger.projection import Projection
from novate.ledger.queries import OrderFilter
from novate.ledger.schema import LIMB, ledger_transfers, metadata
from novate.ledger.store import LedgerStore
from novate.model import codec
from novate.model.clearing import ENTRY, Account
from novate.model.errors import ConfigurationError, LedgerAway, LedgerFault
from novate.model.instrument import Instrument
from novate.rebuild import run_digest, run_migrate
from tests.integration.ledger_stand import LedgerStand
from tests.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        return postgres.make_database(f"schema_{random.getrandbits(64):x}")
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def ledger(url: str) -> Iterator[sa.engine.Engine]:
    engine = database.open_writer(url)
    database.migrate(engine)
    yield engine
    engine.dispose()


@pytest.mark.slow
# Indices of expressions, which SQLite doesn't say the columns of, have their own test below.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based")
def test_migrations_make_the_tables_that_the_code_knows(ledger: sa.engine.Engine) -> None:
    with ledger.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert set(sa.inspect(connection).get_view_names()) == set(views.NAMES)
    assert database.migrate(ledger) is False
    database.drop_all(ledger)
    with ledger.connect() as connection:
        found = sa.inspect(connection)
        assert (found.get_table_names(), found.get_view_names()) == ([], [])
    assert database.migrate(ledger) is True


@pytest.mark.slow
def test_the_revision_is_known_without_alembic(url: str) -> None:
    engine = database.open_writer(url)
    with engine.connect() as connection:
        assert database.revision_of(connection) is None
    database.migrate(engine)
    with engine.connect() as connection:
        revisions = ScriptDirectory.from_config(config_of(connection))
        newest = revisions.get_current_head()
        current = MigrationContext.configure(connection).get_current_revision()
        assert newest == current == database.newest_revision() == database.revision_of(connection)
    engine.dispose()
    code = (
        "import sys\n"
        "from novate.ledger.store import LedgerStore\n"
        "LedgerStore(sys.argv[1]).close()\n"
        "print('alembic' in sys.modules)\n"
    )
    command = [sys.executable, "-c", code, url]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n"


@pytest.mark.slow
def test_migrations_make_the_indices_that_the_code_knows(
    ledger: sa.engine.Engine,
) -> None:
    if database.is_sqlite(ledger):
        query = "SELECT name, replace(sql, char(10), ' ') FROM sqlite_master WHERE type = 'index'"
    else:
        query = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    with ledger.connect() as connection:
        migrated = {name: sql for name, sql in connection.exec_driver_sql(query) if sql}
    database.drop_all(ledger)
    with ledger.begin() as connection:
        metadata.create_all(connection)
        made = {name: sql for name, sql in connection.exec_driver_sql(query) if sql}
        metadata.drop_all(connection)
    migrated.pop("alembic_version_pkc", None)
    assert migrated == made
    assert "32768" in made["orders_of_client"]


@pytest.mark.slow
def test_entries_of_an_earlier_ledger_are_put_in_pairs(url: str) -> None:
    stand = LedgerStand([url], 3)
    stand.play_clearing(3, 250, 40, 10**9)
    stand.close()
    engine = database.open_writer(url)
    before = digest(engine)
    listed = "SELECT * FROM ledger_entries ORDER BY seq, entry"
    with engine.begin() as connection:
        entries = connection.exec_driver_sql(listed).all()
        views.drop(connection)
        alembic_command.downgrade(config_of(connection), "0003")
        assert connection.exec_driver_sql(listed).all() == entries
        assert len(entries) > 100
    assert database.migrate(engine) is True
    assert digest(engine) == before
    with engine.begin() as connection:
        assert connection.exec_driver_sql(listed).all() == entries
        views.drop(connection)
        alembic_command.downgrade(config_of(connection), "0003")
    store = LedgerStore(url, anew=True)  # where the table of that name stands, too
    store.commit()
    store.close()
    with engine.connect() as connection:
        assert connection.exec_driver_sql(listed).all() == []
    engine.dispose()


@pytest.mark.slow
def test_views_say_every_decimal_exactly(ledger: sa.engine.Engine) -> None:
    chance = random.Random(4)
    expected = {}
    with ledger.begin() as connection:
        for number in range(60):
            top = 10 ** chance.randint(1, 12)
            coefficient, exponent = chance.randint(1, top), chance.randint(0, 18)
            ticks, lots = (chance.randint(0, 10 ** chance.randint(1, 15)) for _ in range(2))
            notional = chance.randint(0, 10 ** chance.randint(1, 30))
            insert_trade(connection, number, (coefficient, exponent), ticks, lots, notional)
            size = Decimal(coefficient).scaleb(-exponent)
            expected[f"i{number}"] = (
                exactly(ticks, size), exactly(lots, size), exactly(notional, size),
            )  # fmt: skip
        query = "SELECT instrument, open, high, quote_volume FROM minute_list"
        rows = connection.exec_driver_sql(query).all()
    assert len(rows) == len(expected)
    for instrument, opened, high, volume in rows:
        found = tuple(Decimal(str(value)) for value in (opened, high, volume))
        assert found == expected[instrument], instrument


def exactly(value: int, size: Decimal) -> Decimal:
    with decimal.localcontext() as context:
        context.prec = 80
        return value * size


def insert_trade(
    connection: sa.engine.Connection,
    number: int,
    size: tuple[int, int],
    ticks: int,
    lots: int,
    notional: int,
) -> None:
    """An instrument of that size throughout, and a minute of it; `high` bears the lots."""
    high, low = wide.split(notional)
    connection.execute(
        metadata.tables["instruments"].insert().values(
            instrument=number, name=f"i{number}", base="B", quote="Q", tick_coefficient=size[0],
            tick_exponent=size[1], lot_coefficient=size[0], lot_exponent=size[1],
            quote_units=size[0], quote_scale=size[1], created_seq=1, created_ns=1,
        )
    )  # fmt: skip
    connection.execute(
        metadata.tables["trade_minutes"].insert().values(
            instrument=number, minute=1, trade_count=1, volume_high=0, volume_low=0,
            notional_high=high, notional_low=low, price_sum_high=0, price_sum_low=0,
            open_ticks=ticks, high_ticks=lots, low_ticks=0, close_ticks=0, first_seq=1, last_seq=1,
        )
    )  # fmt: skip


def config_of(connection: sa.engine.Connection) -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", "novate:ledger/migrations")
    config.attributes["connection"] = connection
    return config


@pytest.mark.slow
def test_entries_are_summed_exactly_past_64_bits(ledger: sa.engine.Engine) -> None:
    chance = random.Random(9)
    amounts = [chance.randint(-(10**35), 10**35) for _ in range(200)]
    amounts += [LIMB - 1] * 40 + [-(LIMB - 1)] * 60 + [-7]
    accounts = ((Account.CLEARING_HOUSE, Account.DUE), (Account.EXTERNAL, Account.AVAILABLE))
    rows = []
    for number, amount in enumerate(amounts):
        first = "" if number % 5 else "other_"
        high, low = wide.split(amount)
        # Every fifth stands behind one of nothing, of another asset.
        rows.append(
            {column.name: 0 for column in ledger_transfers.columns}
            | {"seq": number, f"{first}asset": 3, f"{first}source": accounts[number % 2][0],
               f"{first}target": accounts[number % 2][1], f"{first}amount_high": high,
               f"{first}amount_low": low}
            | ({} if first == "" else {"source": Account.DUE, "target": Account.HELD, "asset": 9})
        )  # fmt: skip
    with ledger.begin() as connection:
        connection.execute(
            metadata.tables["assets"].insert(), {"asset": 3, "name": "USD", "scale": 12}
        )
        connection.execute(ledger_transfers.insert(), rows)
        query = "SELECT account, amount FROM entry_sums ORDER BY account"
        found = [Decimal(str(amount)) for _, amount in connection.exec_driver_sql(query)]
        listed = "SELECT amount FROM entry_list ORDER BY seq, entry"
        each = [Decimal(str(row[0])) for row in connection.exec_driver_sql(listed)]
    unit = Decimal("1E-12")
    even, odd = sum(amounts[0::2]), sum(amounts[1::2])
    # available, clearing house, due, external
    assert found == [exactly(amount, unit) for amount in (odd, -even, even, -odd)]
    assert each == [exactly(units, unit) for amount in amounts for units in (-amount, amount)]


AMOUNTS = [0, 1, -1, LIMB - 1, LIMB, -LIMB, -LIMB - 1, 2**63, -(2**63), 2**100, -(2**100), -7]
AMOUNTS += [2**64, -(2**64), 2**64 - 1, 2**120]


def entries_of_amounts() -> Any:
    """A transfer of each amount: from the clearing house to client 5, and the next to the house."""
    entries = np.zeros(2 * len(AMOUNTS), dtype=ENTRY)
    both = [units for amount in AMOUNTS for units in (-amount, amount)]
    entries["amount_low"] = [units % 2**64 for units in both]
    entries["amount_high"] = [units >> 64 for units in both]
    entries["index"] = np.arange(len(both))
    entries["seq"] = 9
    entries["account"] = np.tile([Account.CLEARING_HOUSE, Account.DUE] * 2, len(both))[: len(both)]
    entries["account"][2:4] = Account.DUE, Account.FEES
    entries["client"] = np.where(entries["account"] == Account.DUE, 5, HOUSE)
    return entries


def test_entries_become_transfers_with_their_amounts_exact() -> None:
    named = transfers(entries_of_amounts())
    names = ("amount_high", "amount_low", "other_amount_high", "other_amount_low")
    halves = (named[name] for name in names)
    rows = zip(*(column.tolist() for column in halves), strict=True)
    found = [wide.join(*half) for row in rows for half in (row[:2], row[2:])]
    assert found == AMOUNTS
    assert named["client"].tolist() == [5] * (len(AMOUNTS) // 2)
    assert named["entry"].tolist() == list(range(0, 2 * len(AMOUNTS), 4))
    assert (named["other_source"][0], named["other_target"][0]) == (Account.DUE, Account.FEES)
    assert all(0 <= low < LIMB for low in named["amount_low"].tolist())
    assert all(0 <= low < LIMB for low in named["other_amount_low"].tolist())


def transfers(entries: Any) -> dict[str, Any]:
    columns = transfer_columns(entries, np.arange(len(entries)))
    return dict(zip(ledger_transfers.columns.keys(), columns, strict=True))


@pytest.mark.parametrize("field", ["seq", "client", "kind", "reference", "reference_index"])
@pytest.mark.parametrize("differs_from", range(2, 12, 2))
def test_two_transfers_stand_in_a_row_where_they_belong_together(
    field: str, differs_from: int
) -> None:
    entries = entries_of_amounts()[:10]
    entries["account"] = np.tile([Account.CLEARING_HOUSE, Account.DUE], 5)
    entries["client"] = np.tile([HOUSE, 5], 5)
    entries[field][differs_from:] += (
        entries["client"][differs_from:] != HOUSE if (field == "client") else 1
    )
    named = transfers(entries)
    whole = [range(0, differs_from, 2), range(differs_from, 10, 2)]
    expected = [(run[at], run[at + 1 : at + 2]) for run in whole for at in range(0, len(run), 2)]
    assert named["entry"].tolist() == [first for first, _ in expected]
    assert [bool(each) for each in named["other_source"]] == [bool(rest) for _, rest in expected]
    assert len(named["other_asset"]) == len(named["timestamp_ns"]) == len(expected)


@pytest.mark.parametrize(
    ("field", "at", "value"),
    [
        ("amount_low", 2, 5), ("amount_high", 20, 7), ("asset", 3, 1), ("index", 4, 9),
        ("client", 1, HOUSE), ("client", 0, 5), ("account", 0, Account.HELD), ("seq", 0, 8),
        ("reference", 7, 1), ("reference_index", 6, 1), ("kind", 5, 1),
    ],
)  # fmt: skip
def test_entries_that_are_not_in_pairs_are_refused(field: str, at: int, value: int) -> None:
    entries = entries_of_amounts()
    entries[field][at] = value
    with pytest.raises(LedgerFault, match="expected entries in pairs that sum to zero, found"):
        transfer_columns(entries, np.arange(len(entries)))


def test_an_entry_without_another_is_refused() -> None:
    with pytest.raises(LedgerFault, match="found others at seq 9"):
        transfer_columns(entries_of_amounts()[:-1], np.arange(2 * len(AMOUNTS) - 1))


def test_a_transfer_between_two_clients_is_refused() -> None:
    entries = entries_of_amounts()[:2]
    entries["account"], entries["client"] = Account.DUE, [4, 5]
    with pytest.raises(LedgerFault, match="expected entries in pairs"):
        transfer_columns(entries, np.arange(2))


def test_wide_products_and_sums_are_exact() -> None:
    chance = np.random.default_rng(5)
    left = (10 ** chance.uniform(0, 15, 4_000)).astype(np.int64)
    right = chance.permutation(left)
    left[:3] = right[:3] = 10**15
    high, low = wide.multiply(left, right)
    products = [a * b for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    assert [wide.join(h, n) for h, n in zip(high.tolist(), low.tolist(), strict=True)] == products
    groups = chance.integers(0, 5, len(left))
    sums = wide.sums(groups, 5, high, low)
    for group in range(5):
        exact = sum(
            product for product, each in zip(products, groups, strict=True) if each == group
        )
        assert wide.join(int(sums[0][group]), int(sums[1][group])) == exact
        assert 0 <= sums[1][group] < LIMB


@pytest.mark.parametrize(
    ("trades", "expected"),
    [
        ([(5, 100)], [5, 500, 0]),
        ([(5, 100), (5, 110)], [10, 1050, 0]),
        ([(5, 100), (-2, 120)], [3, 300, 40]),
        ([(5, 100), (-8, 120)], [-3, -360, 100]),
        ([(-5, 100), (2, 90)], [-3, -300, 20]),
        ([(3, 100), (4, 101), (-5, 103)], [2, 202, 13]),  # 704 * 5 // 7 = 502 is taken off
        ([(-3, 100), (-4, 101), (5, 99)], [-2, -202, 7]),
        ([(3, 100), (4, 101), (-7, 100)], [0, 0, -4]),
    ],
)
def test_a_position_by_average_cost(trades: list[tuple[int, int]], expected: list[int]) -> None:
    position = [0, 0, 0]
    for lots, price in trades:
        trade(position, lots, price)
    assert position == expected


def test_names_are_hashed_by_their_text_alone() -> None:
    assert name_hash("ffffffff-ffff-4fff-8000-000000000001") == -(2**63) + 1
    assert name_hash("order-1") == name_hash("order-1") != name_hash("order-2")
    assert -(2**63) <= name_hash("order-1") < 2**63


def test_copied_text_is_escaped_where_it_must_be() -> None:
    assert text_rows([(1, "a"), (2, "b")]) == b"1\ta\n2\tb\n"
    assert text_rows([(1, "a\tb\n"), (2, "\\")]) == b"1\ta\\tb\\n\n2\t\\\\\n"


@pytest.mark.parametrize("url", ["mysql://h/d", "postgres", "oracle://x", "sqlite"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="ledger_url: expected"):
        database.url_of(url, Path("data"))


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    assert "secret" not in database.shown("postgresql://user:secret@127.0.0.1/ledger")
    engine = database.open_writer("postgresql://user:secret@127.0.0.1:1/ledger")
    with pytest.raises(LedgerAway) as away:
        database.migrate(engine)
    assert "secret" not in str(away.value)


class Clearing:
    """Two entries a record, as the core's accounts give them."""

    def __init__(self) -> None:
        self.seq = 0

    def assets(self) -> list[tuple[str, int]]:
        return [("USD", 2), ("BTC", 8)][: self.seq]

    def take_entries(self) -> np.ndarray:
        self.seq += 1
        fields = ("seq", "index", "asset", "account", "client", "kind", "reference")
        kinds = [(name, "<u4") for name in (*fields, "reference_index")]
        entries = np.zeros(2, dtype=[*kinds, ("amount_low", "<u8"), ("amount_high", "<i8")])
        entries["seq"], entries["index"], entries["asset"] = self.seq, [0, 1], self.seq - 1
        entries["account"], entries["client"] = [Account.CLEARING_HOUSE, Account.DUE], [HOUSE, 0]
        entries["amount_low"] = [self.seq, 2**64 - self.seq]
        entries["amount_high"] = [0, -1]
        return entries


def test_entries_of_clearing_are_written_with_the_events_they_came_with(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    engine = Engine()
    store = LedgerStore(url)
    projection = Projection(engine, store.standing(), Clearing())
    for seq in (1, 2):
        instrument = Instrument(name=f"I-{seq}", base="B", quote="Q")
        command = codec.pack_create_instrument(instrument)
        events = engine.apply(command, seq, seq * 10**9)
        projection.add(command, events, seq, seq * 10**9, bytes(32))
        store.write(projection.build(store.load_positions))
    assert store.standing().assets == 2
    store.close()
    with database.open_writer(url).connect() as connection:
        query = "SELECT seq, asset, amount, time FROM entry_list ORDER BY seq, entry"
        assert connection.exec_driver_sql(query).all() == [
            (1, "USD", "0.01", "1970-01-01T00:00:01.000000Z"),
            (1, "USD", "-0.01", "1970-01-01T00:00:01.000000Z"),
            (2, "BTC", "0.00000002", "1970-01-01T00:00:02.000000Z"),
            (2, "BTC", "-0.00000002", "1970-01-01T00:00:02.000000Z"),
        ]
        query = "SELECT asset, account, amount FROM entry_sums ORDER BY asset, account"
        assert connection.exec_driver_sql(query).all() == [
            ("BTC", "clearing_house", "0.00000002"),
            ("BTC", "due", "-0.00000002"),
            ("USD", "clearing_house", "0.01"),
            ("USD", "due", "-0.01"),
        ]


@pytest.mark.parametrize("left", ["nothing", "an empty file", "an empty database"])
def test_a_ledger_that_is_not_made_yet_is_said_to_be_so(
    left: str, tmp_path: Path, postgres: Postgres
) -> None:
    url = database.url_of("", tmp_path)
    if left == "an empty file":
        (tmp_path / LEDGER_FILE).touch()
    elif left == "an empty database":
        url = postgres.make_database("not_made_yet")
    answers = open_answers(url, 30.0, 1, 0)
    try:
        for ask in (Answers.seq, lambda each: each.orders(OrderFilter(limit=1))):
            with pytest.raises(LedgerAway, match=r"^the ledger is not made yet; the follower"):
                ask(answers)
    finally:
        answers.close()


@pytest.mark.slow
def test_the_verbs_name_the_ledger_that_they_can_not_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with pytest.raises(LedgerAway, match=r"data/ledger\.db: .*can't be opened or made"):
        run_migrate(settings)
    settings.data_dir.mkdir()
    with pytest.raises(LedgerAway, match=r"data/ledger\.db: the ledger is not made yet"):
        run_digest(settings)
    assert list(settings.data_dir.iterdir()) == [], "what only reads makes no file"
    assert [run_migrate(settings), run_migrate(settings), run_digest(settings)] == [0, 0, 0]
    first, again, everything, *_ = capsys.readouterr().out.splitlines()
    assert re.search(r"ledger\.db migrated to revision \w+$", first)
    assert re.search(r"ledger\.db was at revision \w+$", again)
    assert everything.endswith("  all tables")


@pytest.mark.slow
def test_a_digest_waits_for_no_writer_and_keeps_none_waiting(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    run_migrate(settings)
    writer = database.open_writer(database.url_of("", tmp_path))
    with writer.begin():  # holds the lock on the database
        assert run_digest(settings) == 0
    writer.dispose()
