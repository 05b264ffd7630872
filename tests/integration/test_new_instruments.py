"""New instruments are cleared from their first moment: one record has them and their terms."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from novate.engine import Accounts
from novate.gateway.new_instruments import WAITING_MAX, NewInstruments
from novate.gateway.operations import Operations
from novate.gateway.throttle import Throttle
from novate.journal.disk import RealDisk
from novate.journal.reading import JournalReader
from novate.metrics import Metrics
from novate.model.commands import CommandKind
from novate.model.errors import NotAccepting
from novate.model.instrument import Instrument
from tests.conftest import Server
from tests.golden.test_golden import kinds_of
from tests.integration.gateway_stand import StandPartition

CREATE, SET_CLEARING = CommandKind.CREATE_INSTRUMENT, CommandKind.SET_CLEARING


def asked(name: str) -> dict[str, object]:
    return {"name": name, "base": name, "quote": "USD", "tick_size": 0.01, "lot_size": 0.001}


def mode(client: httpx.Client, name: str) -> str | None:
    found = client.get(f"/admin/instruments/{name}/clearing")
    assert found.status_code == 200, found.text
    return found.json()["mode"]


@pytest.mark.slow
def test_an_instrument_and_its_terms_are_one_record(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=10) as client:
        assert client.post("/admin/instruments", json=asked("SOL")).status_code == 201
        server.kill()
        server.start()
        assert mode(client, "SOL") == "open"
    records = list(JournalReader(server.data_dir, RealDisk()).read(1))
    made = [kinds_of(each.batch.commands) for each in records[1:]]  # the first sets all up
    assert [kinds for kinds in made if CREATE in kinds] == [{CREATE, SET_CLEARING}]
    assert [each.batch.count for each in records if each.batch.commands[0] == CREATE] == [2]


@pytest.mark.slow
def test_of_many_at_once_each_is_cleared_and_none_takes_anothers_terms(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=20) as client:
        funded = {"mode": "funded"}
        path = "/admin/instruments/ETH-USD/clearing"
        assert client.post(path, json=funded).status_code == 200
        names = [f"N{number % 12}" for number in range(24)]  # each of them twice
        with ThreadPoolExecutor(8) as threads:
            answers = list(
                threads.map(lambda name: client.post("/admin/instruments", json=asked(name)), names)
            )
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [201] * 12 + [409] * 12
        refusals = {answer.json()["code"] for answer in answers if answer.status_code == 409}
        assert refusals == {"instrument_exists"}
        assert {name: mode(client, name) for name in names} == dict.fromkeys(names, "open")
        assert mode(client, "ETH-USD") == "funded"


def play(ask: Any) -> None:
    """Run `ask(partition, new, replies)` on a loop of its own, before a partition."""

    async def scenario() -> None:
        partition = StandPartition(asyncio.get_running_loop())
        operations = Operations(partition, Throttle(0, 0, 10), Metrics())
        new = NewInstruments(operations, operations.validator.instruments)
        await ask(partition, new)

    asyncio.run(scenario())


def modes(partition: StandPartition) -> dict[str, str]:
    accounts = Accounts(partition.engine)
    every = ((each.name, accounts.terms(each.index)) for each in partition.engine.instruments())
    return {name: terms.mode for name, terms in every if terms is not None}


def test_where_there_is_no_room_nothing_is_made_and_the_next_one_is(monkeypatch: Any) -> None:
    async def ask(partition: StandPartition, new: NewInstruments) -> None:
        def full(commands: list[bytes], on_outcomes: Any) -> None:
            raise NotAccepting("queue_full", "no room for 2 more", 1)

        answers: list[tuple[Any, ...]] = []
        with monkeypatch.context() as patched:
            patched.setattr(partition.sequencer, "submit_many", full)
            new.create(
                Instrument(name="SOL", base="SOL", quote="USD"), lambda *each: answers.append(each)
            )
        assert [(status, retry) for status, _, _, retry in answers] == [(503, 1)]
        assert b"no room for 2 more" in answers[0][1]
        assert modes(partition) == {}
        new.create(
            Instrument(name="SOL", base="SOL", quote="USD"), lambda *each: answers.append(each)
        )
        await asyncio.sleep(0)
        assert answers[1][0] == 201
        assert modes(partition) == {"SOL": "open"}

    play(ask)


@pytest.mark.slow
def test_those_that_wait_have_a_bound() -> None:
    async def ask(partition: StandPartition, new: NewInstruments) -> None:
        answers: list[tuple[Any, ...]] = []
        for number in range(WAITING_MAX + 2):
            named = Instrument(name=f"N{number}", base="N", quote="USD")
            new.create(named, lambda *each: answers.append(each))
        ((status, body, _, retry),) = answers
        assert (status, retry) == (503, 1)
        assert b"1000 new instruments wait already" in body
        for _ in range(WAITING_MAX + 1):
            await asyncio.sleep(0)
        assert [each[0] for each in answers[1:]] == [201] * (WAITING_MAX + 1)
        assert set(modes(partition).values()) == {"open"}
        assert len(modes(partition)) == WAITING_MAX + 1

    play(ask)
