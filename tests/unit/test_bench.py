"""The benches' own bookkeeping: medians, verdicts, and documents that say what was measured."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bench import core_flows, core_plain, engine_flow, machine, table
from bench.row import Scale, at_least, at_most, medians
from bench.rows import ROWS
from novate.engine import engine
from novate.model.commands import CommandKind, TimeInForce
from novate.model.events import EventKind


def test_documents_show_the_last_results() -> None:
    assert not table.stale(), "python -m bench.table writes them"


def test_every_row_was_measured_and_stands_in_the_documents() -> None:
    results = json.loads(table.LATEST.read_text())
    measured = results["rows"]
    assert {row.name for row in ROWS} == set(measured)
    assert {name: each["title"] for name, each in measured.items()} == {
        row.name: row.title for row in ROWS
    }
    for document in table.DOCUMENTS:
        shown = re.search(r"<!-- figures -->\n(.*?)<!-- /figures -->", document.read_text(), re.S)
        assert shown, document
        assert [
            row.title for row in ROWS if f"| {row.title} | {row.target} |" not in shown[1]
        ] == []


def test_every_row_has_a_bound_and_a_name_of_its_own() -> None:
    assert all(row.checks and row.target for row in ROWS)
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_medians_are_of_each_figure_and_errors_add_up() -> None:
    runs = [
        {"ratio": ratio, "errors": errors, "latency_ms": {"p50": ratio}}
        for ratio, errors in ((0.5, 0), (0.9, 2), (0.7, 1))
    ]
    assert medians(runs) == {"ratio": 0.7, "errors": 3, "latency_ms": {"p50": 0.7}}


def test_a_bound_is_held_by_a_number_alone() -> None:
    assert at_least("ratio", 0.7).holds({"ratio": 0.7})
    assert not at_most("p99_ms", 15).holds({"p99_ms": 15.1})
    assert not at_least("ratio", 0.7).holds({})


def test_marked_parts_of_a_document_are_replaced_and_nothing_else() -> None:
    results = {
        "machine": {
            "processor": "P", "cores": 2, "memory_gib": 4, "file_system": "ext4", "system": "S",
            "python": "3", "versions": {"novate": "1"},
        },
        "rows": {
            "a": {"title": "T", "target": "1 s", "said": "0.5 s", "met": True, "commit": "c",
                  "began": "now", "load_before": 0.1, "runs": [{}, {}]},
        },
    }  # fmt: skip
    text = "before\n<!-- figures -->\nold\n<!-- /figures -->\nafter <!-- machine -->\n"
    filled = table.fill(text, results)
    assert "old" not in filled
    assert "| T | 1 s | 0.5 s | 2 | met |" in filled
    assert filled.startswith("before\n")
    assert filled.endswith("after <!-- machine -->\n")
    assert table.fill(filled, results) == filled


def test_the_build_is_named_beside_the_machine() -> None:
    module = Path(engine.__file__).read_bytes()
    build = machine.build(module)
    assert build["kind"] == "release"
    assert re.fullmatch(r"GCC: .*\d+\.\d+\.\d+|clang version .*", build["compiler"])
    assert {"-O3", "-fno-strict-aliasing"} <= set(build["flags"].split())
    checked = module.replace(b"-fno-strict-aliasing", b"-fsanitize=bounds   ")
    assert machine.build(checked)["kind"] == "checked"
    assert set(machine.build(b"").values()) == {"unknown"}
    described = {"machine": machine.describe(), "rows": {"a": {
        "commit": "c", "began": "now", "load_before": 0.1}}}  # fmt: skip
    line = table.machine_lines(described)
    assert f"Release build, {build['compiler']}, `{build['flags']}`. Commit `c`" in line


def test_the_engines_flow_has_the_shares_it_says() -> None:
    count = 20_000
    filling, timed = engine_flow.make_flow(count)
    cancels = timed["kind"] == CommandKind.CANCEL
    marketable = ~cancels & (timed["time_in_force"] == TimeInForce.IOC)
    assert len(filling) == engine_flow.RESTING
    assert cancels.mean() == pytest.approx(0.45, abs=0.02)
    assert marketable.mean() == pytest.approx(0.15, abs=0.02)
    placed = timed["order_number"][~cancels]
    assert len(np.unique(placed)) == len(placed)


def test_a_smoke_run_is_small() -> None:
    assert Scale(quick=True).seconds(60) == 1
    assert Scale(quick=True).count(1_000_000) == 20_000
    assert Scale(quick=False).count(1_000_000) == 1_000_000


@pytest.mark.parametrize("setting", core_plain.SETTINGS)
def test_what_others_have_in_the_plain_row_is_there_and_stops_nothing(setting: str) -> None:
    """Nothing of it is refused or set off; only icebergs are something to trade with."""
    engine = core_plain.new_engine(setting, core_flows.MIDDLE)
    kinds = len(core_plain.SETTINGS[setting])
    others = {"nothing": 0, "rules": 0, "killed": 0, "icebergs": 2, "all": 4}.get(setting, kinds)
    assert engine.usage()["open_orders"] == others * core_plain.EACH
    flow = core_flows.challenge(2_000, core_flows.SWINGS["1%"])
    plain = core_plain.new_engine("nothing", core_flows.MIDDLE).apply(flow)
    events = engine.apply(flow)
    accepted = events["kind"] == EventKind.ORDER_ACCEPTED
    assert accepted.sum() == 2_000
    assert set(events["kind"].tolist()) <= set(plain["kind"].tolist())
    if setting not in ("icebergs", "all"):
        assert (events["kind"] == plain["kind"]).all()
        assert (events["price_ticks"] == plain["price_ticks"]).all()
