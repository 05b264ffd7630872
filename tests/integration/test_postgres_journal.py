"""The journal in PostgreSQL when something goes wrong: what it answers, and what is there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from novate.config import Settings
from novate.journal.interface import Appended
from novate.journal.postgres import PostgresJournal
from novate.journal.postgres_link import PostgresLink, StatementFailed, place_of
from novate.journal.postgres_reading import PostgresReader, PostgresTail
from novate.journal.verify import verify_journal
from novate.model.errors import (
    ConfigurationError,
    JournalAway,
    JournalBehindWitness,
    JournalCorrupt,
    JournalFailed,
    JournalFenced,
    JournalLocked,
)
from tests.conftest import PATIENCE_SECONDS, wait_until
from tests.integration.journals import Place, append, batch_of, batches_in, fill
from tests.integration.postgres_proxy import Proxy
from tests.postgres import Postgres


@pytest.fixture
def place(postgres: Postgres, tmp_path: Path) -> Iterator[Place]:
    """An empty journal."""
    made = Place(tmp_path / "data", postgres.url)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _patient_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """First answers are waited for as long as all else; the event loop is not held up here."""
    monkeypatch.setattr("novate.journal.postgres.OUTCOMES_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def proxied(place: Place, postgres: Postgres) -> Iterator[tuple[PostgresJournal, Proxy]]:
    """A journal with three batches, and the proxy that its connections go through."""
    proxy = Proxy(postgres.port)
    journal = PostgresJournal(
        proxy.url("postgres"), place.folder, partition=place.partition, seconds=PATIENCE_SECONDS
    )
    fill(journal, 3, count=1)
    yield journal, proxy
    proxy.close()
    journal.close()


@contextmanager
def in_a_hurry(journal: PostgresJournal) -> Iterator[None]:
    """Have it wait for half a second only; what connects afterwards is patient again."""
    journal._seconds = journal._link.seconds = 0.5
    yield
    journal._seconds = PATIENCE_SECONDS


def rows(place: Place) -> list[int]:
    """First seqs of what is stored."""
    found = place.execute(
        "SELECT first_seq FROM novate_journal.record "
        f"WHERE partition = {place.partition} ORDER BY first_seq"
    )
    return [seq for (seq,) in found]


def writers(place: Place) -> str:
    """The rows of the server's connections by which this journal is written."""
    return f"pg_stat_activity WHERE application_name = 'novate writer, partition {place.partition}'"


def end_writer(place: Place) -> None:
    """Have the server end the writer's connection, and wait until its lock is free."""
    found = writers(place)
    place.execute(f"SELECT pg_terminate_backend(pid) FROM {found}")
    wait_until(lambda: not place.execute(f"SELECT pid FROM {found}"), what="an ended writer")


# --- a lost connection ------------------------------------------------------------------------


def test_a_commit_whose_answer_was_lost_is_found_and_not_written_again(
    place: Place, proxied: tuple[PostgresJournal, Proxy]
) -> None:
    journal, proxy = proxied
    proxy.lose_answers = True
    with pytest.raises(JournalAway, match="connection is lost"):
        journal.append(3, journal.epoch, batch_of(4))
    assert proxy.lost == 1
    assert rows(place) == [1, 2, 3, 4]
    assert journal.last().seq == 3
    proxy.lose_answers = False
    assert journal.append(3, journal.epoch, batch_of(4)) is Appended.DURABLE
    assert rows(place) == [1, 2, 3, 4]
    append(journal)
    assert batches_in(journal) == [batch_of(seq) for seq in range(1, 6)]


def test_an_insert_that_never_arrived_is_written(
    place: Place, proxied: tuple[PostgresJournal, Proxy]
) -> None:
    journal, proxy = proxied
    proxy.cut()
    with pytest.raises(JournalAway, match="connection is lost"):
        journal.append(3, journal.epoch, batch_of(4))
    assert rows(place) == [1, 2, 3]
    assert journal.append(3, journal.epoch, batch_of(4)) is Appended.DURABLE
    assert batches_in(journal) == [batch_of(seq) for seq in range(1, 5)]


@pytest.mark.slow
def test_an_insert_that_arrives_late_is_not_carried_out_twice(
    proxied: tuple[PostgresJournal, Proxy],
) -> None:
    journal, proxy = proxied
    proxy.hold_requests = True
    with in_a_hurry(journal), pytest.raises(JournalAway, match=r"no answer in 0\.5 s"):
        journal.append(3, journal.epoch, batch_of(4))
    wait_until(lambda: proxy.held, what="a held INSERT")
    proxy.hold_requests = False  # for the new connection; the old one waits for the release
    assert journal.append(3, journal.epoch, batch_of(4)) is Appended.DURABLE
    proxy.release()
    append(journal)
    assert batches_in(journal) == [batch_of(seq) for seq in range(1, 6)]


@pytest.mark.slow
def test_what_is_asked_anew_waits_for_the_insert_that_is_still_under_way(
    place: Place, proxied: tuple[PostgresJournal, Proxy]
) -> None:
    journal, proxy = proxied
    with psycopg.connect(place.url) as blocker:
        # Whoever holds the row holds the INSERT up; it is carried out after the writer gave up.
        blocker.execute(
            "SELECT FROM novate_journal.writer WHERE partition = %s FOR UPDATE", [place.partition]
        )
        proxy.silent = True
        with in_a_hurry(journal), pytest.raises(JournalAway, match="no answer"):
            journal.append(3, journal.epoch, batch_of(4))
        proxy.speak()
        with in_a_hurry(journal), pytest.raises(JournalAway, match=r"no answer|timeout"):
            journal.append(3, journal.epoch, batch_of(4))
        blocker.rollback()
    assert journal.append(3, journal.epoch, batch_of(4)) is Appended.DURABLE
    assert batches_in(journal) == [batch_of(seq) for seq in range(1, 5)]


@pytest.mark.slow
def test_a_server_that_hangs_is_given_up_and_taken_up_again(
    proxied: tuple[PostgresJournal, Proxy],
) -> None:
    journal, proxy = proxied
    proxy.silent = True
    with in_a_hurry(journal), pytest.raises(JournalAway, match=r"no answer in 0\.5 s"):
        journal.append(3, journal.epoch, batch_of(4))
    proxy.speak()
    assert journal.append(3, journal.epoch, batch_of(4)) is Appended.DURABLE
    assert batches_in(journal) == [batch_of(seq) for seq in range(1, 5)]


# --- another writer ---------------------------------------------------------------------------


@pytest.mark.slow
def test_a_second_writer_is_refused_while_the_first_is_connected(
    place: Place, tmp_path: Path
) -> None:
    journal = place.open()
    other = Place(tmp_path / "other", place.url, place.partition)
    with pytest.raises(JournalLocked, match=f"novate writer, partition {place.partition}"):
        other.open()
    append(journal)


def test_a_writer_whose_place_was_taken_is_fenced_and_writes_nothing(
    place: Place, tmp_path: Path
) -> None:
    first = place.open()
    fill(first, 2, count=1)
    end_writer(place)
    second = Place(tmp_path / "other", place.url, place.partition).open()
    assert second.epoch == first.epoch + 1
    with pytest.raises(JournalAway):
        first.append(2, first.epoch, batch_of(3))
    assert first.append(2, first.epoch, batch_of(3)) is Appended.FENCED
    assert first.append(2, first.epoch, batch_of(3)) is Appended.FENCED
    assert rows(place) == [1, 2]
    append(second)
    assert first.append(2, first.epoch, batch_of(3)) is Appended.FENCED
    second.close()


@pytest.mark.parametrize("column", ["epoch", "session"])
def test_a_stale_writer_that_is_still_connected_inserts_nothing(place: Place, column: str) -> None:
    journal = place.open()
    append(journal)
    place.execute(
        f"UPDATE novate_journal.writer SET {column} = {column} + 1 "
        f"WHERE partition = {place.partition}"
    )
    assert journal.append(1, journal.epoch, batch_of(2)) is Appended.FENCED
    assert rows(place) == [1]


def test_an_insert_that_waits_while_another_takes_over_inserts_nothing(place: Place) -> None:
    journal = place.open()
    append(journal)
    answers: list[Any] = []
    with psycopg.connect(place.url) as taker:
        taker.execute(
            "UPDATE novate_journal.writer SET epoch = epoch + 1 WHERE partition = %s",
            [place.partition],
        )
        stale = threading.Thread(
            target=lambda: answers.append(journal.append(1, journal.epoch, batch_of(2)))
        )
        stale.start()
        waiting = f"SELECT pid FROM {writers(place)} AND wait_event_type = 'Lock'"
        wait_until(lambda: place.execute(waiting), what="a waiting INSERT")
        taker.commit()
        stale.join(PATIENCE_SECONDS)
    assert answers == [Appended.FENCED]
    assert rows(place) == [1]


def test_a_record_by_a_strange_hand_fences(place: Place) -> None:
    journal = place.open()
    append(journal)
    place.execute(
        f"INSERT INTO novate_journal.record VALUES ({place.partition}, 2, 'not a record')"
    )
    assert journal.append(1, journal.epoch, batch_of(2)) is Appended.FENCED


# --- a server that lost something -------------------------------------------------------------


def lose_last(place: Place, seq: int) -> None:
    place.execute(
        "DELETE FROM novate_journal.record "
        f"WHERE partition = {place.partition} AND first_seq >= {seq}"
    )


@pytest.mark.slow
def test_a_server_that_comes_back_with_less_is_not_written_to(place: Place) -> None:
    journal = place.open()
    fill(journal, 4, count=1)
    lose_last(place, 3)
    end_writer(place)
    with pytest.raises(JournalAway):
        journal.append(4, journal.epoch, batch_of(5))
    with pytest.raises(JournalBehindWitness, match="ends with seq 2, but this writer saw 4"):
        journal.append(4, journal.epoch, batch_of(5))
    assert rows(place) == [1, 2]
    journal.close()
    with pytest.raises(JournalBehindWitness, match="ends with seq 2, but the durable mark saw 4"):
        place.open()
    # What an operator does who gives the lost batches up.
    (place.folder / "durable").unlink()
    assert append(place.open()) == batch_of(3)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_journal_that_lost_something_and_grew_again_is_refused(
    place: Place, tmp_path: Path, count: int
) -> None:
    journal = place.open()
    fill(journal, 4, count=3)
    journal.close()
    lose_last(place, 7)
    other = Place(tmp_path / "other", place.url, place.partition)
    journal = other.open()
    journal.append(6, journal.epoch, replace(batch_of(7, count), timestamp_ns=1))
    fill(journal, 6, count=count)
    journal.close()
    with pytest.raises(JournalBehindWitness, match=r"another record of seq 12 than .* mark saw"):
        place.open()
    other.open().close()


def test_a_server_that_has_forgotten_the_writer_is_not_written_to(place: Place) -> None:
    journal = place.open()
    append(journal)
    place.execute(
        f"UPDATE novate_journal.writer SET epoch = epoch - 1 WHERE partition = {place.partition}"
    )
    end_writer(place)
    with pytest.raises(JournalAway):
        journal.append(1, journal.epoch, batch_of(2))
    with pytest.raises(JournalBehindWitness, match="knows no writer after epoch 0"):
        journal.append(1, journal.epoch, batch_of(2))
    assert rows(place) == [1]


@pytest.mark.parametrize(
    ("damage", "seq", "why"),
    [
        ("DELETE FROM {} WHERE {} AND first_seq = 7", 7, "a record is missing"),
        ("DELETE FROM {} WHERE {} AND first_seq = 1", 4, "seq 1 to 3 are missing"),
        ("DELETE FROM {} WHERE {} AND first_seq > 10", 13, "but the durable mark saw 18"),
        ("UPDATE {} SET first_seq = 8 WHERE {} AND first_seq = 7", 7, "begins with seq 8"),
        ("UPDATE {} SET image = '' WHERE {} AND first_seq = 7", 7, "holds no record"),
        ("UPDATE {} SET image = image || image WHERE {} AND first_seq = 7", 7, "one of"),
        ("UPDATE {} SET image = substr(image, 1, 150) WHERE {} AND first_seq = 7", 7, "length"),
    ],
)
def test_what_is_missing_or_misplaced_is_found(
    place: Place, damage: str, seq: int, why: str
) -> None:
    fill(place.open(), 6)
    place.execute(damage.format("novate_journal.record", f"partition = {place.partition}"))
    with pytest.raises((JournalCorrupt, JournalBehindWitness), match=why) as caught:
        verify_journal(place.reader())
    assert caught.value.seq == seq


# --- what a server must be --------------------------------------------------------------------


@pytest.mark.slow
def test_durable_means_what_the_server_is_asked_to_mean_by_it(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    place = Place(tmp_path / "data", own_postgres.url)
    set_server(place, "synchronous_commit", "off")
    journal = place.open()
    append(journal)
    link = PostgresLink(own_postgres.url, PATIENCE_SECONDS, "test")
    assert link.query("SELECT current_setting('synchronous_commit')") == [(b"on",)]
    link.close()

    # A replica that is named and not there: nothing is durable, and a cancelled wait is no answer.
    name_replica(place, "nobody")
    answers: list[Any] = []

    def try_append() -> None:
        try:
            answers.append(journal.append(1, journal.epoch, batch_of(2)))
        except JournalAway as fault:
            answers.append(fault)

    writing = threading.Thread(target=try_append)
    writing.start()
    end_wait_for_replica(place)
    writing.join(PATIENCE_SECONDS)
    assert len(answers) == 1
    assert isinstance(answers[0], JournalAway)
    assert "answered with a warning" in str(answers[0])
    assert journal.last().seq == 1
    set_server(place, "synchronous_standby_names", "")
    assert journal.append(1, journal.epoch, batch_of(2)) is Appended.DURABLE
    assert batches_in(journal) == [batch_of(1), batch_of(2)]
    journal.close()

    set_server(place, "fsync", "off")
    with pytest.raises(JournalFailed, match="expected fsync = on, found off"):
        place.open()
    with pytest.raises(JournalFailed, match="expected fsync = on, found off"):
        place.reader().end()


def set_server(place: Place, name: str, value: str) -> None:
    """Change a setting of the server, and wait until new connections have it."""
    place.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    place.execute("SELECT pg_reload_conf()")
    wait_until(lambda: place.execute(f"SHOW {name}") == [(value,)], what=f"{name} = {value}")


def name_replica(place: Place, name: str) -> None:
    """Have commits wait for a replica, and wait until they do.

    A connection that shows the setting says nothing of that: it is the checkpointer, when it gets
    round to it, that tells whoever commits.
    """
    place.execute("CREATE TABLE probe (n int)")
    set_server(place, "synchronous_standby_names", name)
    warnings: list[str] = []

    def commit() -> None:
        with psycopg.connect(place.url, autocommit=True) as connection:
            connection.execute("SET synchronous_commit = on")
            connection.add_notice_handler(lambda told: warnings.append(str(told.message_primary)))
            while not warnings:
                connection.execute("INSERT INTO probe VALUES (1)")

    committing = threading.Thread(target=commit)
    committing.start()
    end_wait_for_replica(place)
    committing.join(PATIENCE_SECONDS)
    assert "synchronous replication" in warnings[0]


def end_wait_for_replica(place: Place) -> None:
    """Wait until somebody waits for a replica, and cancel that."""
    waiting = "pg_stat_activity WHERE wait_event = 'SyncRep'"
    wait_until(lambda: place.execute(f"SELECT pid FROM {waiting}"), what="a wait for a replica")
    place.execute(f"SELECT pg_cancel_backend(pid) FROM {waiting}")


@pytest.mark.slow
def test_tables_that_are_gone_end_it(postgres: Postgres, tmp_path: Path) -> None:
    place = Place(tmp_path / "data", postgres.make_database("dropped"))
    journal = place.open()
    append(journal)
    place.execute("DROP SCHEMA novate_journal CASCADE")
    with pytest.raises(JournalFailed, match=r"does not exist.*seq 2"):
        journal.append(1, journal.epoch, batch_of(2))
    place.close()


def test_a_newer_format_is_refused(place: Place) -> None:
    place.open().close()
    place.execute(
        f"UPDATE novate_journal.writer SET format = 2 WHERE partition = {place.partition}"
    )
    with pytest.raises(JournalCorrupt, match="expected format 1, found 2"):
        place.open()


def test_a_server_that_is_not_there_is_said(tmp_path: Path, free_port: Any) -> None:
    port = free_port()
    url = f"postgresql://someone:secret@127.0.0.1:{port}/trades"
    with pytest.raises(JournalAway) as caught:
        PostgresJournal(url, tmp_path / "data")
    said = str(caught.value)
    assert f"PostgreSQL at 127.0.0.1:{port}, database trades: can't be reached" in said
    assert "refused" in said
    assert "secret" not in said


def test_settings_that_can_not_go_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="durability: expected fsync where journal_url"):
        Settings(data_dir=tmp_path, journal_url="postgresql://127.0.0.1/x", durability="relaxed=10")
    with pytest.raises(ConfigurationError, match="journal_url: expected a postgresql:// URL"):
        place_of("postgresql://127.0.0.1/x?no_such_option=1")


# --- readers ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_tail_waits_while_the_server_is_away_and_goes_on(
    place: Place, postgres: Postgres
) -> None:
    journal = place.open()
    proxy = Proxy(postgres.port)
    reader = PostgresReader(
        proxy.url("postgres"), place.folder, partition=place.partition, seconds=PATIENCE_SECONDS
    )
    tail = PostgresTail(reader, None, 1)
    appended = fill(journal, 3)
    assert [record.batch for record in tail.records()] == appended
    proxy.cut()
    appended += fill(journal, 2)
    assert tail.take() is None
    found: list[Any] = []
    wait_until(lambda: found.extend(r.batch for r in tail.records()) or len(found) == 2)
    assert found == appended[3:]
    tail.close()
    proxy.close()


def test_first_answers_are_read_again_when_the_connection_is_back(
    proxied: tuple[PostgresJournal, Proxy],
) -> None:
    journal, proxy = proxied
    assert journal.outcomes_of(1) == batch_of(2).outcomes
    proxy.cut()
    for _ in range(2):
        with pytest.raises(JournalAway, match="the connection is lost"):
            journal.outcomes_of(1)
    # The first look may be the one that finds the writing side lost, too.
    wait_until(lambda: not is_away(journal) and journal._reader.connected, what="a server again")
    assert journal.outcomes_of(1) == batch_of(2).outcomes


@pytest.mark.slow
def test_an_idle_writer_notices_that_the_server_is_away_and_back(
    proxied: tuple[PostgresJournal, Proxy], place: Place
) -> None:
    journal, proxy = proxied
    journal.prepare()
    proxy.refuse = True
    proxy.cut()
    wait_until(lambda: is_away(journal), what="an absent server that is noticed")
    assert is_away(journal)
    proxy.refuse = False
    wait_until(lambda: not is_away(journal), what="a server that is back")
    append(journal)
    assert rows(place) == [1, 2, 3, 4]


def is_away(journal: PostgresJournal) -> bool:
    try:
        journal.prepare()
    except JournalAway:
        return True
    return False


@pytest.mark.slow
def test_an_idle_writer_notices_that_another_took_over(place: Place) -> None:
    journal = place.open()
    append(journal)
    place.execute(
        f"UPDATE novate_journal.writer SET epoch = epoch + 1 WHERE partition = {place.partition}"
    )

    def is_fenced() -> bool:
        try:
            journal.prepare()
        except JournalFenced:
            return True
        return False

    wait_until(is_fenced, what="a newer writer that is noticed")
    assert journal.append(1, journal.epoch, batch_of(2)) is Appended.FENCED


def test_a_refused_statement_leaves_the_connection_usable(place: Place) -> None:
    link = PostgresLink(place.url, PATIENCE_SECONDS, "test")
    with pytest.raises(StatementFailed) as caught:
        link.query("SELECT 1 / $1", 0)
    assert caught.value.sqlstate == "22012"
    assert link.query("SELECT $1, $2, $3", 7, b"\0\1", "text") == [
        ((7).to_bytes(8), b"\0\1", b"text")
    ]
    link.close()
    with pytest.raises(JournalAway):
        link.query("SELECT 1")
