"""The load generator against its own bare echo: every way of loading, and the exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from novate.loadtest import Options, main, run
from novate.loadtest.ceiling import echo_server, measure_ceiling
from tests.conftest import ROOT, Server

pytestmark = pytest.mark.slow

SHORT = Options(duration_s=0.2, warmup_s=0.0, connections=4, window=16, probe=False)
"""Without a warm-up, every connection's first request counts, however little time is left then."""


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"rate": 500.0},
        {"transport": "ws", "connections": 2},
        {"transport": "ws", "rate": 500.0},
        {"batch": 200},
        {"read": "/orderbook"},
        {"limit": 50, "cancel": 40},
    ],
)
def test_every_way_of_loading_gets_every_answer(asked: dict[str, object]) -> None:
    with echo_server() as port:
        report = run(msgspec.structs.replace(SHORT, port=port, **asked))
    assert report.error_count == 0
    assert report.answered > 0
    assert report.latency_ms["p99.99"] >= report.latency_ms["p50"] > 0
    if report.options.rate:
        assert report.answered == pytest.approx(500 * 0.2, abs=2)


def test_the_ceiling_is_measured_in_processes_of_its_own() -> None:
    ceiling = measure_ceiling(SHORT)
    assert ceiling["requests_per_second"] > 0
    assert 0 < ceiling["generator_cpu"] <= 1.5


def test_command_line_writes_the_report_and_says_what_went_wrong(tmp_path, capsys) -> None:
    file = tmp_path / "report.json"
    short = ["--duration", "0.1", "--warmup", "0", "--connections", "2", "--no-probe"]
    with echo_server() as port:
        url = f"http://127.0.0.1:{port}"
        assert main(["--url", url, "--json", str(file), *short]) == 0
    assert msgspec.json.decode(file.read_bytes())["errors"] == {}
    assert "latency" in capsys.readouterr().out
    assert main(["--url", url, *short]) == 1
    assert main(["--mix", "limit=0", *short]) == 2


def test_a_load_on_a_real_exchange(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    command = [sys.executable, "-m", "novate", "loadtest", "--url", server.url, "--json", str(file)]
    command += ["--rate", "200", "--duration", "1", "--warmup", "0.2", "--connections", "4"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    report = json.loads(file.read_bytes())
    assert report["errors"] == {}
    assert report["answered"] == report["orders_accepted"] == pytest.approx(200, abs=2)
    assert report["orders_received"] >= report["orders_accepted"]
    assert report["answered_in_all"] >= report["answered"]
    assert report["commands_cleared"] >= report["answered_in_all"] - report["late_cancels"]
    assert report["commands_cleared_per_second"] > 0
    assert report["queue_at_end"] == 0
    assert report["orders_matched"] > 0
    assert report["trades"] > 0
    assert report["queue_at_end"] == 0


K6_TIME_ALONE = 99
"""k6's exit code where a threshold was missed; those of time may be, on a busy machine."""


def run_k6(script: str, server: Server, summary: Path) -> dict[str, Any]:
    """Run a script of `load-test/` briefly, and give its summary's metrics."""
    k6 = Path(sys.executable).with_name("k6")
    asked = {"NOVATE_URL": server.url, "SUMMARY": str(summary), "RATE": "20", "DURATION": "5s"}
    finished = subprocess.run(
        [k6, "run", "--quiet", "--no-usage-report", ROOT / "load-test" / f"{script}.js"],
        env={**os.environ, **asked, "SUBSCRIBERS": "5", "HOME": str(summary.parent)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode in (0, K6_TIME_ALONE), finished.stdout + finished.stderr
    metrics: dict[str, Any] = json.loads(summary.read_bytes())["metrics"]
    return metrics


@pytest.mark.parametrize("script", ["orders", "reads", "stream"])
def test_a_k6_script_on_a_real_exchange(server: Server, tmp_path: Path, script: str) -> None:
    metrics = run_k6(script, server, tmp_path / "summary.json")
    assert metrics["http_reqs"]["values"]["count"] > 10
    assert metrics["http_req_failed"]["values"]["rate"] == 0
    assert metrics["checks"]["values"]["rate"] == 1
    assert metrics["checks"]["values"]["passes"] > 10
    if script == "stream":
        assert metrics["stream_deltas"]["values"]["count"] > 0
        for wrong in ("stream_gaps", "stream_errors"):
            assert metrics.get(wrong, {"values": {"count": 0}})["values"]["count"] == 0
    assert '"level":"error"' not in server.log()


def test_every_k6_script_is_run() -> None:
    scripts = {path.stem for path in (ROOT / "load-test").glob("*.js")}
    assert scripts == {"common", "orders", "reads", "stream"}
