"""The PostgreSQL that other tests build on: it runs, it dies, it comes back with what it had."""

from __future__ import annotations

import psycopg
import pytest

from tests.postgres import Postgres


@pytest.mark.slow
def test_what_was_committed_survives_a_kill(own_postgres: Postgres) -> None:
    url = own_postgres.make_database("kept")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE notes (note bigint PRIMARY KEY)")
        connection.execute("INSERT INTO notes VALUES (7)")
    own_postgres.kill()
    assert own_postgres.pid == 0
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=5)
    own_postgres.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT note FROM notes").fetchall() == [(7,)]


@pytest.mark.slow
def test_a_restart_keeps_port_and_folder(own_postgres: Postgres) -> None:
    url = own_postgres.make_database("again")
    own_postgres.restart()
    psycopg.connect(url).close()
