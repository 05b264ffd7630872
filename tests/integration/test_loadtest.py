"""The load generator against its own bare echo: every way of loading, and the exit codes."""

import msgspec
import pytest

from novate.loadtest import Options, main, run
from novate.loadtest.ceiling import echo_server, measure_ceiling

pytestmark = pytest.mark.slow

SHORT = Options(duration_s=0.2, warmup_s=0.05, connections=4, window=16, probe=False)


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
