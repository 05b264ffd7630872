"""Records that no gateway would write: refused as malformed, or read as what they say; no worse."""

from __future__ import annotations

import numpy as np
import pytest

from novate.engine import Engine
from novate.model.commands import COMMAND, EXTENSION, CommandKind, Flag
from novate.model.events import EventKind
from novate.model.rejects import Reason
from tests.conftest import scaled
from tests.oracle.duel import START_NS, spec
from tests.oracle.exchange import Exchange
from tests.oracle.market import Market, MarketWorkload
from tests.oracle.words import Create, Place, to_bytes, to_record
from tests.oracle.workload import TINY, Shape, Workload

SPECS = [spec(0), spec(1, price_ticks_max=103)]


def engine_with_books() -> Engine:
    """An engine with tiny limits and two instruments."""
    engine = Engine(TINY)
    for each in SPECS:
        engine.apply(to_bytes(Create(each)))
    return engine


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_changed_bytes_never_break_the_engine(seed: int) -> None:
    """One byte of every command is changed; what is no batch any more changes nothing."""
    chance, engine, refused = np.random.default_rng(seed), engine_with_books(), 0
    shape = Shape(instruments=2)
    for number, command in enumerate(Workload(seed, shape).commands(scaled(40_000))):
        record = bytearray(to_bytes(command))
        # The instrument's and the client's numbers are left out: high ones are valid and big.
        place = int(chance.choice([*range(8), *range(16, len(record))]))
        record[place] = int(chance.integers(0, 256))
        seq = engine.last_seq
        try:
            events = engine.apply(bytes(record), timestamp_ns=START_NS + number)
        except ValueError:
            refused += 1
            assert engine.last_seq == seq
            continue
        assert engine.last_seq == seq + 1
        assert len(events) > 0
        if number % 50 == 0:
            engine.check_invariants()
            engine = Engine.load(engine.dump())
    assert refused
    engine.check_invariants()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_changed_bytes_of_the_whole_rulebook_never_break_the_engine(seed: int) -> None:
    """The same with extensions: links, ends, sessions, phases, rules and limits are changed too."""
    chance, engine = np.random.default_rng(seed), engine_with_books()
    oracle = Exchange.with_limits(TINY)
    for each in SPECS:
        oracle.apply(Create(each))
    workload = MarketWorkload(seed, oracle, Market(instruments=2))
    for number, command in enumerate(workload.commands(scaled(40_000))):
        record = bytearray(to_bytes(command))
        oracle.apply(command, START_NS + number)
        for _ in range(int(chance.integers(0, 3))):
            place = int(chance.choice([*range(8), *range(16, len(record))]))
            record[place] = int(chance.integers(0, 256))
        try:
            events = engine.apply(bytes(record), timestamp_ns=START_NS + number * 10**7)
        except ValueError:
            continue
        assert len(events) > 0
        if number % 50 == 0:
            engine.check_invariants()
            engine = Engine.load(engine.dump())
    engine.check_invariants()


@pytest.mark.slow
def test_random_bytes_never_break_the_engine() -> None:
    chance, engine = np.random.default_rng(1), engine_with_books()
    for _ in range(scaled(20_000)):
        header = np.frombuffer(chance.bytes(COMMAND.itemsize), COMMAND).copy()
        header["kind"] = chance.integers(0, 18)
        header["client"] %= 8
        header["instrument"] %= 4
        header["text_length"] = length = int(chance.integers(0, 200))
        text = chance.bytes(length) + bytes(-length % 8)
        if header["flags"] & Flag.EXTENDED:
            text = chance.bytes(EXTENSION.itemsize) + text
        try:
            engine.apply(header.tobytes() + text)
        except ValueError:
            continue
    engine.check_invariants()


def test_a_kind_without_meaning_is_malformed() -> None:
    engine = engine_with_books()
    record = to_record(Place(0, 1, 0, 1, 1))
    record["kind"] = 99
    (event,) = engine.apply(record)
    assert event["kind"] == EventKind.COMMAND_REFUSED
    assert event["reason"] == Reason.MALFORMED_COMMAND


@pytest.mark.parametrize("kind", [CommandKind.CREATE_INSTRUMENT, CommandKind.CONFIGURE])
@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[]", b'{"name": 1}', b"{}" * 40])
def test_an_operators_command_that_does_not_read_is_malformed(
    kind: CommandKind, text: bytes
) -> None:
    engine = engine_with_books()
    before = engine.limits()
    record = np.zeros(1, COMMAND)
    record["kind"], record["text_length"] = kind, len(text)
    (event,) = engine.apply(record.tobytes() + text + bytes(-len(text) % 8))
    assert event["reason"] == Reason.MALFORMED_COMMAND
    assert engine.limits() == before


def test_a_batch_whose_lengths_do_not_add_up_changes_nothing() -> None:
    engine = engine_with_books()
    batch = to_bytes(Place("c", "a", 0, 1, 1)) + to_bytes(Place("c", "b", 0, 1, 1))
    before = engine.state_hash()
    for length in range(1, len(batch)):
        if length == len(batch) // 2:
            continue
        with pytest.raises(ValueError):
            engine.apply(batch[:length])
    with pytest.raises(ValueError):
        engine.apply(batch, first_seq=engine.last_seq + 2)
    assert engine.state_hash() == before
    assert len(engine.apply(batch)) == 2
