"""Questions that look into block after block of sequences, against a look at every row."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from novate.ledger import blocks, database, queries, settlements
from novate.ledger.blocks import BLOCK
from novate.ledger.naming import name_hash
from novate.ledger.queries import LedgerReader, OrderFilter
from novate.ledger.schema import metadata
from novate.model.clearing import Account

TABLES = metadata.tables
SEQ = 2_500 * BLOCK + 77
CLIENTS = {"often": 0, "rarely": 1, "once": 2, "never": 3, "long-ago": 4}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "postgresql":
        made = request.getfixturevalue("postgres").make_database("blocks")
    else:
        made = f"sqlite:///{tmp_path_factory.mktemp('blocks')}/ledger.db"
    engine = database.open_writer(made)
    database.migrate(engine)
    with engine.begin() as connection:
        fill(connection)
    yield made
    engine.dispose()


@pytest.fixture
def reader(url: str) -> Iterator[LedgerReader]:
    opened = LedgerReader(url, 30.0, 1)
    yield opened
    opened.close()


def zeros(table: str) -> dict[str, Any]:
    return {
        column.name: "" if isinstance(column.type, sa.Text) else 0
        for column in TABLES[table].columns
    }


def numbers(chance: random.Random) -> dict[str, list[int]]:
    """The orders of each client: at the edges of blocks, and far from each other."""
    edges = [block * BLOCK + place for block in (1, 1_024, 2_499) for place in (-1, 0, BLOCK - 1)]
    return {
        "often": sorted({*edges, *(chance.randrange(1, SEQ) for _ in range(900))}),
        "rarely": sorted({SEQ, 1, 1_024 * BLOCK + 1, *chance.sample(range(1, SEQ), 9)}),
        "once": [1_024 * BLOCK + 3],
        "never": [],
        "long-ago": list(range(5 * BLOCK - 40, 5 * BLOCK + 40)),
    }


NUMBERS = numbers(random.Random(17))


def owners() -> dict[int, str]:
    found: dict[int, str] = {}
    for client, listed in NUMBERS.items():
        for number in listed:
            found.setdefault(number, client)
    return found


OWNERS = owners()


def of(client: str) -> list[int]:
    """A client's orders, newest first."""
    return sorted((number for number, owner in OWNERS.items() if owner == client), reverse=True)


def name_of(number: int) -> str:
    """Some names are those of several orders."""
    return f"again-{number % 7}" if number % 5 == 0 else f"order-{number}"


def fill(connection: sa.engine.Connection) -> None:
    insert = connection.execute
    state = zeros("ledger_state") | {"seq": SEQ, "events_hash": b""}
    insert(TABLES["ledger_state"].insert(), state)
    insert(TABLES["instruments"].insert(), zeros("instruments") | {"name": "I", "tick_exponent": 2})
    insert(TABLES["assets"].insert(), zeros("assets") | {"name": "USD", "scale": 2})
    insert(
        TABLES["clients"].insert(),
        [zeros("clients") | {"client": n, "client_id": name} for name, n in CLIENTS.items()],
    )
    owned = [(number, CLIENTS[client]) for number, client in sorted(OWNERS.items())]
    insert(
        TABLES["orders"].insert(),
        [zeros("orders") | {"order_number": n, "client": c, "ended": n % 3 // 2} for n, c in owned],
    )
    insert(
        TABLES["order_names"].insert(),
        [
            {"order_number": n, "name_hash": name_hash(name_of(n)), "order_id": name_of(n)}
            for n, _ in owned
        ],
    )
    insert(TABLES["ledger_transfers"].insert(), [transfer(n, c) for n, c in owned])


def transfer(number: int, client: int) -> dict[str, Any]:
    """Of an even number from the house to a client and back; of an odd one the first alone."""
    row = zeros("ledger_transfers") | {
        "seq": number, "entry": 4, "client": client, "amount_low": number,
        "source": Account.CLEARING_HOUSE, "target": Account.DUE, "kind": 5,
    }  # fmt: skip
    if number % 2 == 0:
        row |= {"other_source": Account.DUE, "other_target": Account.HELD}
    return row


def entries_of(client: str) -> list[tuple[int, int]]:
    """(seq, entry) of a client's entries, newest first."""
    places = {0: (7, 6, 5), 1: (5,)}
    return [(number, place) for number in of(client) for place in places[number % 2]]


def listed(reader: LedgerReader, **wanted: Any) -> list[int]:
    found = reader.orders(OrderFilter(**wanted))
    assert found.seq == SEQ
    return [row["order_number"] for row in found.rows]


@pytest.mark.parametrize("client", [*CLIENTS, "nobody"])
def test_orders_of_a_client_come_newest_first_page_by_page(
    reader: LedgerReader, client: str
) -> None:
    pages, before = [], 0
    while page := listed(reader, client_id=client, limit=37, before=before):
        pages += page
        before = page[-1]
    assert pages == of(client)
    assert len(of("often")) > 800
    assert bool(pages) == (client not in ("never", "nobody"))


def test_orders_of_a_client_are_filtered_in_every_block(reader: LedgerReader) -> None:
    ended = [number for number in of("often") if number % 3 == 2]
    found = listed(reader, client_id="often", status="cancelled", limit=200)
    assert found == ended[:200]
    assert listed(reader, client_id="often", instrument=1, limit=50) == []
    assert listed(reader, limit=20) == sorted(OWNERS, reverse=True)[:20]


def test_a_name_is_found_in_the_newest_block_that_has_it(reader: LedgerReader) -> None:
    names: dict[str, int] = {}
    for number in sorted(OWNERS):
        names[name_of(number)] = number
    asked = [*random.Random(3).sample(sorted(names), 40), *(f"again-{n}" for n in range(7))]
    for name in asked:
        rows = reader.order(name).rows
        assert [(row["order_number"], row["order_id"]) for row in rows] == [(names[name], name)]
    assert reader.order("order-0-unheard-of").rows == []


@pytest.mark.parametrize("client", [*CLIENTS, "nobody"])
def test_entries_of_a_client_come_newest_first_page_by_page(
    reader: LedgerReader, client: str
) -> None:
    pages: list[tuple[int, int]] = []
    before = None
    while rows := reader.lines(client, 50, before).rows:
        pages += [(row["seq"], row["entry"]) for row in rows]
        before = pages[-1]
    expected = entries_of(client) if client in CLIENTS else []
    assert pages == expected


def test_no_block_is_looked_into_before_it_is_wanted(url: str) -> None:
    engine = database.open_reader(url, 30.0, 1)
    with engine.connect() as connection:
        asked: list[Any] = []
        sa.event.listen(
            connection, "before_cursor_execute", lambda *said: asked.append(said[3] or None)
        )
        found = blocks.newest(connection, queries._CLIENTS_NEWEST, SEQ, client=CLIENTS["rarely"])
        assert next(found) == (SEQ // BLOCK, SEQ)
        assert len(asked) - asked.count(None) == 1
        assert [block for block, _ in found] == sorted(
            {number // BLOCK for number in of("rarely")} - {SEQ // BLOCK}, reverse=True
        )
        assert len(asked) - asked.count(None) == 3
    engine.dispose()


def test_every_question_by_block_steps_into_its_index(tmp_path: Path) -> None:
    engine = database.open_writer(f"sqlite:///{tmp_path}/ledger.db")
    database.migrate(engine)
    orders = f"{queries._ORDERS} WHERE {blocks.block_of('o.order_number')} IN (7, 9)"
    lines = settlements._LINES.format(listed="7, 9", before_row="", before="")
    asked = {
        "orders_of_client": [
            f"{orders} AND o.client = :client ORDER BY o.order_number DESC LIMIT 5",
            blocks.question(queries._CLIENTS_NEWEST),
        ],
        "order_names_by_hash": [blocks.question(queries._NAMES_NEWEST)],
        "ledger_transfers_of_client": [lines, blocks.question(settlements._NEWEST)],
    }
    values = {"client": 1, "limit": 9, "name_hash": 1, "order_id": "a", "newest": 9, "oldest": 0}
    with engine.connect() as connection:
        for index, statements in asked.items():
            for statement in statements:
                plan = connection.execute(sa.text(f"EXPLAIN QUERY PLAN {statement}"), values).all()
                assert any(f"INDEX {index} (<expr>=? AND " in row[3] for row in plan), plan
    engine.dispose()
