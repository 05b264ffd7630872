"""A copy of a data folder, made as docs/operations.md says: followed and rebuilt by itself."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from novate.config import Settings
from novate.rebuild import WholeJournal, run_rebuild, write
from tests.conftest import PATIENCE_SECONDS
from tests.integration.data_folder import fill, replayed, settings_of, take_snapshot
from tests.integration.test_ledger_faults import digest_of


def copied(settings: Settings, folder: Path) -> Path:
    """Snapshots and journal, and nothing else."""
    for name in ("snapshots", "journal"):
        if (settings.data_dir / name).exists():
            shutil.copytree(settings.data_dir / name, folder / name)
    return folder


def tear(folder: Path, offset: int) -> None:
    """Have the copy end in the middle of a record, as one that is made under load may."""
    last = max((folder / "journal").glob("*.journal"))
    with last.open("r+b") as file:
        file.seek(offset)
        head = file.read(40)
        file.seek(offset)
        file.write(head[:20] + b"half a record")


def follow(folder: Path, ledger_url: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "novate", "follow", "--data-dir", str(folder)]
    command += ["--ledger-url", ledger_url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def followed(folder: Path, ledger_url: str, seq: int) -> list[dict[str, object]]:
    """What `novate follow` on a folder says until ledger and follower are at `seq`."""
    said: list[dict[str, object]] = []
    with follow(folder, ledger_url) as follower:
        assert follower.stdout is not None
        assert follower.stderr is not None
        while not {"ledger", "progress"} <= {each["kind"] for each in said if each["seq"] == seq}:
            line = follower.stdout.readline()
            assert line, follower.stderr.read()
            said.append(json.loads(line))
        follower.send_signal(signal.SIGINT)
        assert follower.wait(PATIENCE_SECONDS) == 0
    return said


@pytest.mark.slow
def test_a_copy_without_durable_mark_feeds_a_ledger(ledger_url: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(200))
    taken = take_snapshot(settings)
    fill(settings, range(200, 300))
    end = replayed(settings).position
    assert end is not None
    copy = copied(settings, tmp_path / "copy")
    tear(copy, end.end_offset)
    said = followed(copy, ledger_url, end.seq)
    assert {"kind": "ready", "seq": taken.seq} in said
    assert {each["state"] for each in said if each["kind"] == "ledger"} == {"up"}
    write(whole := f"sqlite:///{tmp_path}/whole.db", WholeJournal(settings))
    rows = digest_of(whole)
    assert digest_of(ledger_url) == rows
    assert run_rebuild(Settings(data_dir=copy, ledger_url=ledger_url)) == 0
    assert digest_of(ledger_url) == rows
    assert sorted(path.name for path in copy.iterdir()) == ["journal", "snapshots"]


@pytest.mark.slow
def test_a_copy_that_lacks_something_is_refused_and_named(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    fill(settings, range(40))
    copy = copied(settings, tmp_path / "copy")
    fill(settings, range(40, 60))
    seq = take_snapshot(settings).seq
    shutil.copytree(settings.data_dir / "snapshots", copy / "snapshots")
    (empty := tmp_path / "empty").mkdir()
    begun = [follow(folder, "none") for folder in (copy, empty)]
    said = [each.communicate(timeout=PATIENCE_SECONDS)[1].decode() for each in begun]
    assert [each.returncode for each in begun] == [1, 1]
    assert f"but the snapshot of seq {seq} saw {seq}" in said[0]
    assert "expected a folder that an exchange has served from, found no journal" in said[1]
