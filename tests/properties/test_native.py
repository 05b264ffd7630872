"""The engine at the C level answers as the array API does, in bounded chunks."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novate.engine import Engine, native
from novate.model import codec
from novate.model.commands import (
    ANY_INSTRUMENT,
    ANY_SIDE,
    COMMAND,
    EXTENDED_COMMAND,
    EXTENSION,
    CommandKind,
    Flag,
    Side,
)
from novate.model.events import EVENT, EventKind
from novate.model.instrument import Instrument
from tests.conftest import scaled
from tests.oracle.duel import Duel, spec
from tests.oracle.market import Market, MarketWorkload
from tests.oracle.words import Create, Event, events_of, to_bytes, to_numbered
from tests.oracle.workload import TINY
from tests.properties.test_determinism import fresh, records
from tests.properties.test_layout import new_engine, orders

CHUNK_MAX = 1024
SINK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32)


class Api(ctypes.Structure):
    """`NativeApi` of engine/native.pxd."""

    _fields_ = [
        ("version", ctypes.c_uint32),
        ("event_size", ctypes.c_uint32),
        ("state_of", ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)),
        ("set_time", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)),
        (
            "apply_one",
            ctypes.CFUNCTYPE(
                ctypes.c_int,
                ctypes.c_void_p,
                ctypes.c_char_p,
                ctypes.c_ssize_t,
                SINK,
                ctypes.c_void_p,
            ),
        ),
    ]


def capsule() -> Api:
    """The capsule's struct, found as C code finds it."""
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype = ctypes.c_void_p
    pointer_of.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return Api.from_address(pointer_of(native.CAPI, b"novate.engine.native.CAPI"))


def apply_each(engine: Engine, commands: list[bytes]) -> tuple[list[int], np.ndarray, list[int]]:
    """(what each call returned, all events, the chunks' sizes) of one command at a time."""
    api = capsule()
    state = api.state_of(engine)
    chunks: list[bytes] = []

    @SINK
    def sink(_context: int, events: int, count: int) -> None:
        chunks.append(ctypes.string_at(events, count * EVENT.itemsize))

    returned = [api.apply_one(state, each, len(each), sink, None) for each in commands]
    sizes = [len(chunk) // EVENT.itemsize for chunk in chunks]
    return returned, np.frombuffer(b"".join(chunks), EVENT), sizes


@given(st.integers(0, 30))
def test_one_command_at_a_time_gives_the_events_of_a_batch(seed: int) -> None:
    rows = records(seed, 200)
    engines = [numbered_engine(), numbered_engine()]
    expected = engines[0].apply(rows)
    returned, events, _ = apply_each(engines[1], [row.tobytes() for row in rows])
    assert set(returned) == {0}
    assert (events == expected).all()
    assert engines[0].state_hash() == engines[1].state_hash()


def numbered_engine() -> Engine:
    engine = fresh()
    for name in ("A", "B"):
        instrument = Instrument(name=name, base=name, quote="USD")
        engine.apply(codec.pack_create_instrument(instrument))
    return engine


def test_the_capsule_says_what_it_is() -> None:
    api = capsule()
    assert (api.version, api.event_size) == (1, EVENT.itemsize)
    with pytest.raises(TypeError, match="expected an Engine, got str"):
        api.state_of("no engine")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda row: row[:87],
        lambda row: row[:80] + b"\x08\x00" + row[82:],
        lambda row: row[:6] + b"\x05" + row[7:],
        lambda row: bytes([CommandKind.CREATE_INSTRUMENT]) + row[1:],
        lambda row: bytes([CommandKind.CONFIGURE]) + row[1:],
    ],
    ids=["short", "text is missing", "ids without text", "instrument", "configuration"],
)
def test_records_that_can_not_be_applied_change_nothing(wrong: Callable[[bytes], bytes]) -> None:
    engine = new_engine()
    before = engine.state_hash()
    row = orders(range(1, 2), Side.BUY, [100])[0].tobytes()
    assert apply_each(engine, [wrong(row)])[0] == [-1]
    assert engine.state_hash() == before
    assert apply_each(engine, [row])[0] == [0]


def test_a_sweep_of_a_whole_book_leaves_in_bounded_chunks() -> None:
    count = 10_000
    engine = new_engine()
    engine.apply(orders(range(1, count + 1), Side.SELL, [100] * count))
    sweep = orders(range(count + 1, count + 2), Side.BUY, [100])
    sweep["quantity_lots"] = count
    _, events, sizes = apply_each(engine, [sweep[0].tobytes()])
    assert max(sizes) <= CHUNK_MAX
    assert len(events) == count + 1
    assert (events["kind"][1:] == EventKind.TRADE).all()
    assert (events["index"][1:] == np.arange(count)).all()
    engine.check_invariants()


@pytest.mark.parametrize("seed", range(3))
def test_chunks_that_end_within_a_command_do_not_show(seed: int) -> None:
    """Over the whole rulebook, where one command sets off others and sums up what it did."""
    specs = [spec(0), spec(1, price_ticks_max=103)]
    duel = Duel.begin(TINY, specs, alone=True)
    workload = MarketWorkload(seed, duel.oracle, Market(instruments=2))
    played = []
    for command in workload.commands(scaled(30_000)):
        duel.play(command)
        played.append(to_bytes(command))
    created = b"".join(to_bytes(Create(each)) for each in specs)
    whole = created + b"".join(played)
    engines = [Engine(TINY), Engine(TINY)]
    expected = engines[0].apply(whole)
    ring = native.EventRing(1 << 16)
    native.stream(engines[1], whole, ring)
    assert (ring.take() == expected).all()
    assert engines[0].state_hash() == engines[1].state_hash()
    assert len(expected) > 2 * CHUNK_MAX


def extended(records: list[bytes]) -> np.ndarray:
    """Records without text as one array, in which every one bears an extension."""
    rows = np.zeros(len(records), EXTENDED_COMMAND)
    for row, record in zip(rows, records, strict=True):
        row["command"] = np.frombuffer(record[: COMMAND.itemsize], COMMAND)[0]
        if len(record) > COMMAND.itemsize:
            row["extension"] = np.frombuffer(record[COMMAND.itemsize :], EXTENSION)[0]
    rows["command"]["flags"] |= np.uint8(Flag.EXTENDED)
    return rows


def without_the_bit(events: list[Event]) -> list[Event]:
    """Events that don't show whether a command bore an extension."""
    return [event._replace(flags=event.flags & ~Flag.EXTENDED) for event in events]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_arrays_of_commands_with_extensions_are_applied_and_streamed(seed: int) -> None:
    """Over the whole rulebook against the oracle; what has a text comes between the arrays."""
    duel = Duel.begin(TINY, [spec(0), spec(1)], alone=True)
    workload = MarketWorkload(seed, duel.oracle, Market(instruments=2, numbered=True))
    engines = [Engine(TINY), Engine(TINY)]
    for engine in engines:
        engine.apply(b"".join(to_bytes(Create(spec(number))) for number in range(2)))
    ring = native.EventRing(1 << 16)
    waiting: list[bytes] = []
    expected: list[Event] = []
    arrays = 0

    def apply_both(commands: bytes | np.ndarray) -> list[Event]:
        found = engines[0].apply(commands, timestamp_ns=duel.now_ns)
        native.stream(engines[1], commands, ring, timestamp_ns=duel.now_ns)
        assert (ring.take() == found).all()
        return events_of(found)

    for command in workload.commands(scaled(20_000)):
        record = to_numbered(command)
        has_text = record[80:82] != bytes(2)
        if has_text or len(waiting) > 99:
            found = apply_both(extended(waiting)) if waiting else []
            assert without_the_bit(found) == without_the_bit(expected)
            arrays += len(waiting) > 1
            waiting, expected = [], []
        if has_text:
            assert apply_both(record) == duel.play(command)
        else:
            waiting.append(record)
            expected += duel.play(command)
    assert arrays > 10
    assert engines[0].state_hash() == engines[1].state_hash()


def test_a_mass_cancel_counts_orders_beyond_a_chunk() -> None:
    count = 3 * CHUNK_MAX
    sweep = np.zeros(1, COMMAND)
    sweep["kind"] = CommandKind.MASS_CANCEL
    sweep["side"] = ANY_SIDE
    sweep["instrument"] = ANY_INSTRUMENT
    engine = new_engine()
    engine.apply(orders(range(1, count + 1), Side.BUY, [100] * count))
    _, events, sizes = apply_each(engine, [sweep[0].tobytes()])
    assert len(events) == count + 1
    assert events["quantity_lots"][-1] == count
    assert max(sizes) <= CHUNK_MAX


@pytest.mark.parametrize("capacity", [1024, 65536])
def test_a_ring_carries_every_event_to_another_thread(capacity: int) -> None:
    rows = records(7, 3000)
    engines = [numbered_engine(), numbered_engine()]
    expected = engines[0].apply(rows)
    ring = native.EventRing(capacity)
    taken: list[np.ndarray] = []

    def take_all() -> None:
        while not (ring.closed and len(ring) == 0):
            taken.append(ring.take(500))

    reader = threading.Thread(target=take_all)
    reader.start()
    try:
        native.stream(engines[1], rows[:1000], ring)
        native.stream(engines[1], rows[1000:].tobytes(), ring)
    finally:
        ring.close()
        reader.join()
    assert (np.concatenate(taken) == expected).all()
    assert engines[0].state_hash() == engines[1].state_hash()
    again = engines[1].apply(rows[:1])
    assert len(again) == 1  # events are gathered again


def test_a_ring_that_is_full_waits_and_one_that_is_stopped_does_not() -> None:
    rows = orders(range(1, 5001), Side.BUY, list(range(100, 5100)))
    ring = native.EventRing(1024)
    tallies = []
    reader = threading.Thread(target=lambda: tallies.append(ring.tally()))
    reader.start()
    native.stream(new_engine(), rows, ring)
    ring.close()
    reader.join()
    assert tallies == [(5000, 0, 0)]
    stopped = native.EventRing(1024)
    stopped.stop()
    engine = new_engine()
    native.stream(engine, rows, stopped)
    assert engine.usage()["open_orders"] == 5000
    assert len(stopped) <= 1024


def test_what_is_no_batch_or_no_ring_is_refused() -> None:
    ring = native.EventRing()
    engine = new_engine()
    with pytest.raises(
        ValueError, match="expected an array of COMMAND or EXTENDED_COMMAND, got int64"
    ):
        native.stream(engine, np.zeros(3, np.int64), ring)
    with pytest.raises(
        ValueError, match="expected an array of COMMAND or EXTENDED_COMMAND, got int64"
    ):
        engine.apply(np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="first_seq: expected 2, found 9"):
        native.stream(engine, np.zeros(1, COMMAND), ring, first_seq=9)
    assert len(ring) == 0
    assert len(engine.apply(np.zeros(1, COMMAND))) == 1
    for capacity in (0, 1000, 1 << 25):
        with pytest.raises(ValueError, match="capacity: expected a power of two"):
            native.EventRing(capacity)
