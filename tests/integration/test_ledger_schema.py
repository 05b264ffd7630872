"""The ledger's tables, views and wide numbers, on both databases."""

from __future__ import annotations

import decimal
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from novate.engine import Engine
from novate.ledger import database, views, wide
from novate.ledger.answers import open_answers
from novate.ledger.copying import text_rows
from novate.ledger.entries import entry_columns
from novate.ledger.naming import name_hash
from novate.ledger.positions import trade
from novate.ledger.projection import Projection
from novate.ledger.schema import LIMB, ledger_entries, metadata
from novate.ledger.store import LedgerStore
from novate.model import codec
from novate.model.errors import ConfigurationError, LedgerAway
from novate.model.instrument import Instrument
from tests.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.engine.Engine]:
    url = f"sqlite:///{tmp_path}/ledger.db"
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.make_database(f"schema_{random.getrandbits(64):x}")
    engine = database.open_writer(url)
    database.migrate(engine)
    yield engine
    engine.dispose()


@pytest.mark.slow
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


@pytest.mark.slow
def test_entries_are_summed_exactly_past_64_bits(ledger: sa.engine.Engine) -> None:
    chance = random.Random(9)
    amounts = [chance.randint(-(10**35), 10**35) for _ in range(200)]
    amounts += [LIMB - 1] * 40 + [-(LIMB - 1)] * 60 + [-7]
    rows = [
        {
            **dict.fromkeys(("client", "kind", "reference", "reference_index", "timestamp_ns"), 0),
            "seq": number, "entry": 0, "asset": 3, "account": number % 2,
            "amount_high": wide.split(amount)[0], "amount_low": wide.split(amount)[1],
        }
        for number, amount in enumerate(amounts)
    ]  # fmt: skip
    with ledger.begin() as connection:
        connection.execute(
            metadata.tables["assets"].insert(), {"asset": 3, "name": "USD", "scale": 12}
        )
        connection.execute(ledger_entries.insert(), rows)
        query = "SELECT account, amount FROM entry_sums ORDER BY account"
        found = [Decimal(str(amount)) for _, amount in connection.exec_driver_sql(query)]
        listed = "SELECT amount FROM entry_list ORDER BY seq"
        each = [Decimal(str(row[0])) for row in connection.exec_driver_sql(listed)]
    unit = Decimal("1E-12")
    assert found == [exactly(sum(amounts[0::2]), unit), exactly(sum(amounts[1::2]), unit)]
    assert each == [exactly(amount, unit) for amount in amounts]


def test_entries_become_rows_with_their_amounts_exact() -> None:
    amounts = [0, 1, -1, LIMB - 1, LIMB, -LIMB, -LIMB - 1, 2**63, -(2**63), 2**100, -(2**100), -7]
    fields = ("seq", "index", "asset", "account", "client", "kind", "reference", "reference_index")
    kinds = [(name, "<u4") for name in fields] + [("amount_low", "<u8"), ("amount_high", "<i8")]
    entries = np.zeros(len(amounts), dtype=kinds)
    entries["amount_low"] = [amount % 2**64 for amount in amounts]
    entries["amount_high"] = [amount >> 64 for amount in amounts]
    entries["client"][1] = 0xFFFFFFFF
    columns = entry_columns(entries, np.arange(len(amounts)))
    assert len(columns) == len(ledger_entries.columns)
    named = dict(zip(ledger_entries.columns.keys(), columns, strict=True))
    found = zip(named["amount_high"].tolist(), named["amount_low"].tolist(), strict=True)
    assert [wide.join(high, low) for high, low in found] == amounts
    assert named["client"].tolist() == [0, -1] + [0] * (len(amounts) - 2)
    assert all(0 <= low < LIMB for low in named["amount_low"].tolist())


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
        sums = connection.exec_driver_sql("SELECT asset, amount FROM entry_sums ORDER BY asset")
        assert sums.all() == [("BTC", "0"), ("USD", "0")]


def test_a_ledger_that_is_not_made_yet_is_said_to_be_so(tmp_path: Path) -> None:
    answers = open_answers(database.url_of("", tmp_path), 1.0, 1, 0)
    with pytest.raises(LedgerAway, match="not there yet; the follower makes it"):
        answers.seq()
    answers.close()
