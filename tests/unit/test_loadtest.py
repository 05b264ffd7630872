"""The load generator's own arithmetic: percentiles, plans, request bytes, frames."""

import subprocess
import sys

import msgspec
import numpy as np
import pytest

from novate.loadtest import frames
from novate.loadtest.audience import Frame, fold, top
from novate.loadtest.flow import CANCEL, POOL, make_flow
from novate.loadtest.histogram import Histogram
from novate.loadtest.http import content_length
from novate.loadtest.options import Options
from novate.loadtest.pacing import NS_PER_S, Plan
from novate.loadtest.probe import parse_metrics
from novate.loadtest.tally import Tally


@pytest.mark.parametrize("percent", [0.01, 50, 90, 99, 99.9, 99.99, 100])
def test_percentile_is_never_better_and_at_most_one_percent_worse(percent: float) -> None:
    values = np.sort(np.random.default_rng(1).lognormal(13, 2, 50_000).astype(np.int64))
    histogram = Histogram()
    for part in np.array_split(values, 7):
        histogram.add(part)
    exact = int(values[max(0, int(np.ceil(len(values) * percent / 100)) - 1)])
    assert exact <= histogram.percentile_ns(percent) <= exact * 1.0079 + 1
    assert histogram.count == len(values)


def test_histogram_of_nothing_and_of_extremes() -> None:
    histogram = Histogram()
    assert histogram.percentile_ns(99) == 0
    histogram.add(np.array([-5, 0, 1, 255, 256, 1 << 62], dtype=np.int64))
    assert histogram.minimum_ns == 0
    assert histogram.percentile_ns(100) == histogram.maximum_ns == (1 << 43) - 1


def test_plan_gives_every_request_once_at_its_own_time() -> None:
    plan = Plan(rate=1_000.0, start_ns=0, stop_ns=NS_PER_S)
    times = [due for now in range(0, 2 * NS_PER_S, 777_777) for due in plan.due(now)]
    assert times == [i * 1_000_000 for i in range(1_000)]


def test_plan_after_a_pause_gives_what_was_missed_with_its_planned_time() -> None:
    plan = Plan(rate=100.0, start_ns=0, stop_ns=NS_PER_S)
    assert plan.due(0) == [0]
    assert plan.due(35_000_000) == [10_000_000, 20_000_000, 30_000_000]


def test_requests_have_the_length_they_say_and_unique_names() -> None:
    flow = make_flow(Options(limit=50, market=10, cancel=40, keys=True))
    named, placed, cancelled = set(), set(), []
    for _ in range(2 * POOL):
        number, request = flow.take()
        head, _, body = request.partition(b"\r\n\r\n")
        assert content_length(request, len(head)) == len(body)
        if flow.kind(number) == CANCEL:
            cancelled.append(head.split(b" ")[1].split(b"/")[2].decode())
            continue
        order = msgspec.json.decode(body)
        placed.add(order["order_id"])
        named.add(order["idempotency_key"])
    assert len(placed) == len(named) == 2 * POOL - len(cancelled)
    assert len(set(cancelled)) == len(cancelled) > POOL / 4
    assert placed.issuperset(cancelled)


def test_websocket_requests_are_whole_frames_with_their_number() -> None:
    flow = make_flow(Options(transport="ws", limit=50, market=10, cancel=40))
    for _ in range(2 * POOL):
        number, frame = flow.take()
        assert frame[1] & 0x80, "a client masks"
        at = 8 if frame[1] & 0x7F == 126 else 6
        assert int(msgspec.json.decode(frame[at:])["request_id"]) == number


def test_frames_come_out_whole_however_they_are_cut() -> None:
    payloads = [b"a", b"b" * 125, b"c" * 126, b"d" * 70_000, b""]
    stream = b"".join(_server_frame(payload) for payload in payloads)
    for cut in (997, 4_096, len(stream)):
        reader = frames.FrameReader()
        pieces = [stream[at : at + cut] for at in range(0, len(stream), cut)]
        assert [payload for piece in pieces for _, payload in reader.feed(piece)] == payloads


def test_frames_cut_at_every_byte() -> None:
    stream = _server_frame(b"a") + _server_frame(b"b" * 300)
    for at in range(len(stream)):
        reader = frames.FrameReader()
        pieces = (stream[:at], stream[at:])
        assert [payload for piece in pieces for _, payload in reader.feed(piece)] == [
            b"a",
            b"b" * 300,
        ]


def _server_frame(payload: bytes) -> bytes:
    masked = frames.ws_frame(payload)
    head = masked[: len(masked) - len(payload) - 4]
    return bytes([head[0], head[1] & 0x7F]) + head[2:] + payload


def test_errors_are_counted_by_status_and_code_and_late_cancels_are_not_errors() -> None:
    tally = Tally()
    for status, body in (
        (201, b"{}"),
        (409, b'{"code":"already_closed"}'),
        (503, b'{"code":"queue_full"}'),
        (503, b"not json"),
    ):
        head = b"HTTP/1.1 %d X\r\n\r\n" % status
        tally.http(head + body, len(head), 1, 2)
    assert (tally.good, tally.late_cancels, tally.answered) == (1, 1, 4)
    assert tally.errors == {"503 queue_full": 1, "503 ?": 1}


def test_a_book_is_folded_from_its_snapshot_and_deltas() -> None:
    chain = [
        Frame(b'{"type":"orderbook_snapshot","sequence":1,"bids":[{"price":1.5,"quantity":2}],'
              b'"asks":[{"price":2,"quantity":0.1}]}'),
        Frame(b'{"type":"orderbook_delta","sequence":2,"prev_sequence":1,'
              b'"bids":[{"price":1.5,"quantity":0},{"price":1.4,"quantity":3}],"asks":[]}'),
    ]  # fmt: skip
    bids, asks = top(fold(chain), 10)
    assert [(str(price), str(size)) for price, size in bids] == [("1.4", "3")]
    assert [(str(price), str(size)) for price, size in asks] == [("2", "0.1")]


def test_metrics_are_summed_over_their_labels() -> None:
    text = '# HELP a x\na_total{side="buy"} 2\na_total{side="sell"} 3.0\nqueue_depth 7\n'
    assert parse_metrics(text) == {"a_total": 5.0, "queue_depth": 7.0}


@pytest.mark.parametrize(
    "wrong",
    [{"rate": -1}, {"batch": 5, "cancel": 5}, {"limit": 0, "market": 0}, {"transport": "x"}],
)
def test_options_that_cannot_be_run_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"rate|batch|mix|transport"):
        msgspec.structs.replace(Options(), **wrong).check()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["audience", "echo"])
def test_processes_of_a_load_test_start_without_a_warning(name: str) -> None:
    command = [sys.executable, "-W", "error", "-m", f"novate.loadtest.{name}", "--help"]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
