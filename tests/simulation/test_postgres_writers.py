"""Writers of one journal in PostgreSQL, seeded: lost answers, late words, cuts and take-overs.

Each writer has a data folder and a proxy of its own and behaves as a sequencer does: it appends one
batch after the other, tries the same one again while the journal is away, and stops for good when
it is fenced. Whatever the order of events, what was called durable is there, in its place, once.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest

from novate.journal import postgres as writing
from novate.journal.interface import Appended, Batch
from novate.journal.postgres import PostgresJournal
from novate.journal.postgres_reading import PostgresReader
from novate.journal.verify import verify_journal
from novate.model.errors import JournalAway, JournalLocked
from tests.conftest import PATIENCE_SECONDS, scaled, wait_until
from tests.integration.postgres_proxy import Proxy
from tests.postgres import Postgres

ANSWER_SECONDS = 0.2
"""What is lost or held costs so much; an answer that is late is one that is lost."""

STEPS = 60
PARTITION_FIRST = 5000


class Writer:
    """A server's part: it holds a batch until it knows what became of it."""

    def __init__(self, postgres: Postgres, folder: Path, partition: int, name: str) -> None:
        self.proxy = Proxy(postgres.port)
        self.name = name
        self.fenced = False
        self.durable: list[Batch] = []
        self._held: Batch | None = None
        try:
            self.journal = PostgresJournal(
                self.proxy.url("postgres"), folder, partition=partition, seconds=ANSWER_SECONDS
            )
        except BaseException:
            self.proxy.close()
            raise

    def step(self, chance: random.Random) -> None:
        """Append a batch, or try the held one again."""
        seq = self.journal.last().seq
        if self._held is None:
            text = f"{self.name} {seq} {chance.random()}".encode()
            self._held = Batch(seq + 1, chance.randint(1, 3), seq, text, events_hash=bytes(32))
        try:
            appended = self.journal.append(seq, self.journal.epoch, self._held)
        except JournalAway:
            return
        finally:
            self.proxy.hold_requests = False  # what is held stays so; new connections pass
        if appended is Appended.FENCED:
            self.fenced = True
            return
        assert appended is Appended.DURABLE
        self.durable.append(self._held)
        self._held = None

    def disturb(self, chance: random.Random) -> None:
        """Let something happen to its connection, or end what happens."""
        proxy = self.proxy
        fault = chance.choice(["cut", "lose", "hold", "release", "refuse", "mend", "mend"])
        if fault == "cut":
            proxy.cut()
        elif fault == "release":
            proxy.release()
        elif fault == "mend":
            proxy.lose_answers = proxy.refuse = False
        else:
            proxy.lose_answers = fault == "lose"
            proxy.hold_requests = fault == "hold"
            proxy.refuse = fault == "refuse"

    def close(self) -> None:
        self.proxy.close()
        self.journal.close()


class Play:
    """One seeded run."""

    def __init__(self, postgres: Postgres, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.partition = PARTITION_FIRST + seed
        self.writers: list[Writer] = []
        self.take_overs = 0
        self._postgres = postgres
        self._folder = folder
        wait_until(self._start, PATIENCE_SECONDS, "a first writer")

    def _start(self) -> bool:
        """Another server comes; whether it could."""
        name = f"writer-{len(self.writers)}"
        folder = self._folder / name
        try:
            self.writers.append(Writer(self._postgres, folder, self.partition, name))
        except (JournalLocked, JournalAway):
            return False
        return True

    def run(self) -> None:
        """Every writer that is not fenced goes on, the old ones beside the newest."""
        for _ in range(STEPS):
            going = [writer for writer in self.writers if not writer.fenced]
            writer = self.chance.choice(going or self.writers)
            if self.chance.random() < 0.25:
                writer.disturb(self.chance)
            if self.chance.random() < 0.06:
                self._take_over()
            writer.step(self.chance)
        self._end()

    def _take_over(self) -> None:
        """Another server comes, when the newest one's connection is gone."""
        self.writers[-1].proxy.cut()
        wait_until(self._is_unlocked, PATIENCE_SECONDS, "the end of a connection that was cut")
        self.take_overs += self._start()

    def _is_unlocked(self) -> bool:
        """Whether the server has seen that nobody writes any more."""
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s::int8"
        with psycopg.connect(self._postgres.url, autocommit=True) as connection:
            (row,) = connection.execute(held, [self.partition]).fetchall()
        return bool(row[0] == 0)

    def _end(self) -> None:
        """Let the newest finish, so that nothing is open any more."""
        for writer in self.writers:
            writer.proxy.lose_answers = writer.proxy.hold_requests = writer.proxy.refuse = False
            writer.proxy.release()
        for _ in range(10):
            wait_until(self._newest_writes, PATIENCE_SECONDS, "a durable batch")
        for writer in self.writers[:-1]:
            wait_until(partial(self._is_fenced, writer), PATIENCE_SECONDS, "a fenced writer")

    def _newest_writes(self) -> bool:
        """Whether the newest writes its next batch, or what it holds.

        One that was fenced by a start which then came to nothing, as of an answer that was late,
        is replaced.
        """
        newest = self.writers[-1]
        if newest.fenced:
            self.take_overs += self._start()
            return False
        before = len(newest.durable)
        newest.step(self.chance)
        return len(newest.durable) > before

    def _is_fenced(self, writer: Writer) -> bool:
        """Whether an older writer hears that it is none any more."""
        writer.step(self.chance)
        return writer.fenced

    def stored(self) -> list[Batch]:
        """What is in the journal, checked record by record."""
        reader = PostgresReader(self._postgres.url, self._folder / "none", partition=self.partition)
        try:
            verify_journal(reader)
            return [record.batch for record in reader.read(1)]
        finally:
            reader.close()


@pytest.fixture
def plays(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[Play]]:
    """Some runs, one seed each."""
    monkeypatch.setattr(writing, "LOCK_SECONDS", 0.2)
    made = [Play(postgres, tmp_path / f"seed-{seed}", seed) for seed in range(scaled(30))]
    yield made
    for play in made:
        for writer in play.writers:
            writer.close()


@pytest.mark.slow
def test_what_any_writer_was_told_is_durable_is_there_once(plays: list[Play]) -> None:
    for play in plays:
        play.run()
        stored = play.stored()
        told = [batch for writer in play.writers for batch in writer.durable]
        assert len({batch.first_seq for batch in told}) == len(told)
        assert {batch.commands for batch in told} <= {batch.commands for batch in stored}
        for batch in told:
            assert stored.count(batch) == 1
        # What nobody was told of is at most the last word of a writer that was replaced.
        untold = [batch for batch in stored if batch not in told]
        assert len(untold) <= play.take_overs
    assert sum(play.take_overs for play in plays) > 0
