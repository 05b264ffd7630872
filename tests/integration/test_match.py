"""`novate match` against the public matching-engine challenge: reports and best prices to the byte.

The data stands beside the project (../shared/data); its folder's README.md has the formats. It is
part of every run in CI.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from novate import cli, match
from tests.conftest import ROOT

FOLDER = ROOT.parent / "shared" / "data" / "matching"
FLOWS = ("normal_s23_n5000", "static_s23_n5000", "flash-crash_s23_n5000")
EDGE_CASES = 34


def edge_cases(folder: Path) -> list[str]:
    """The names of the hand-made cases."""
    return sorted(path.name.split(".")[0] for path in (folder / "edge34").glob("*.input.csv"))


def matched(file: Path, *flags: str | Path) -> subprocess.CompletedProcess[bytes]:
    """`novate match` on a file, through the command line."""
    command = [sys.executable, "-m", "novate", "match", str(file), *map(str, flags)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=110, check=False)


@pytest.fixture
def challenge() -> Path:
    """The challenge's folder; without it a test is skipped, and in CI it fails."""
    if not FOLDER.is_dir():
        message = f"the challenge's data is not at {FOLDER}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return FOLDER


def expected(stem: Path) -> tuple[bytes, bytes]:
    """The reports and the best prices that the challenge has for a case or flow."""
    plain = [stem.with_name(stem.name + end) for end in (".reports.txt", ".bbo.csv")]
    if plain[0].exists():
        return plain[0].read_bytes(), plain[1].read_bytes()
    reports, bbo = (path.with_name(path.name + ".gz").read_bytes() for path in plain)
    return gzip.decompress(reports), gzip.decompress(bbo)


@pytest.mark.slow
def test_the_edge_cases(
    challenge: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    """Through the command line's own entry; a process for each would be most of the time."""
    names = edge_cases(challenge)
    assert len(names) == EDGE_CASES
    for name in names:
        stem = challenge / "edge34" / name
        bbo = tmp_path / f"{name}.bbo.csv"
        argv = ["novate", "match", f"{stem}.input.csv", "--bbo", str(bbo)]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as done:
            cli.main()
        said = capsysbinary.readouterr()
        assert (done.value.code, said.err) == (0, b""), name
        assert (said.out, bbo.read_bytes()) == expected(stem), name


@pytest.mark.slow
@pytest.mark.parametrize("flow", FLOWS)
def test_the_flows(challenge: Path, tmp_path: Path, flow: str) -> None:
    file = challenge / f"{flow}.input.csv.gz"
    bbo = tmp_path / "bbo.csv"
    reports, best = expected(challenge / flow)
    done = matched(file, "--bbo", bbo)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == reports
    assert bbo.read_bytes() == best


@pytest.mark.parametrize("flow", FLOWS)
def test_batches_answer_as_single_messages_do(
    challenge: Path, capsys: pytest.CaptureFixture[str], flow: str
) -> None:
    assert match.run(challenge / f"{flow}.input.csv.gz") == 0
    assert capsys.readouterr().out.encode() == expected(challenge / flow)[0]


MALFORMED = {
    "a_missing_header": "0,N,1,B,100,10,0",
    "a_missing_column": match.COLUMNS + "\n0,N,1,B,100,10",
    "an_unknown_type": match.COLUMNS + "\n0,X,1,B,100,10,0",
    "an_unknown_side": match.COLUMNS + "\n0,N,1,-,100,10,0",
    "a_negative_number": match.COLUMNS + "\n0,N,1,B,-100,10,0",
    "a_price_too_big_for_the_engine": match.COLUMNS + "\n0,N,1,B,9000000000000000000,10,0",
    "no_number": match.COLUMNS + "\n0,N,1,B,1e3,10,0",
    "an_id_that_is_taken": match.COLUMNS + "\n0,N,1,B,1,10,0\n1,N,1,B,1,10,0",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(text, encoding="ascii")
    with pytest.raises(match.MatchFileError):
        match.run(file)


@pytest.mark.slow
def test_the_command_line_says_where_a_file_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(f"{match.COLUMNS}\n0,N,1,B,100,10,0\n1,N,2,B,x,10,0\n", encoding="ascii")
    done = matched(file)
    assert done.returncode == 1
    assert f"{file}:3" in done.stderr.decode()
    assert done.stdout == b""


def test_an_empty_flow_has_no_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(match.COLUMNS + "\n", encoding="ascii")
    assert match.run(file, tmp_path / "bbo.csv") == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "bbo.csv").read_text(encoding="ascii") == match.BBO_COLUMNS + "\n"
