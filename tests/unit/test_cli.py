"""The command line: what goes wrong is one line and an exit code, and nothing loads needlessly."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAILING = """
import signal
from novate import cli
from novate.model.errors import *

@cli.app.command()
def fail():
    {statement}

cli.main()
"""


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "code", "line"),
    [
        ("raise JournalCorrupt('bad record', 'a.journal', 96, 7)", 1, "a.journal, offset 96, seq"),
        ("raise ConfigurationError('expected this, found that')", 2, "expected this, found that"),
        ("raise InvariantViolated('book crossed', 9)", 1, "invariant violated: book crossed"),
        ("open('/dev/null/x')", 1, "/dev/null/x: Not a directory"),
        ("raise OSError(28, 'No space left on device')", 1, "system: No space left on device"),
        ("signal.raise_signal(signal.SIGINT)", 130, "interrupted"),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(statement, code, line):
    ended = python(FAILING.format(statement=statement), "fail")
    assert ended.returncode == code
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("novate: ")
    assert line in ended.stderr
    assert ended.stdout == ""


@pytest.mark.slow
def test_an_unknown_verb_is_bad_usage():
    ended = python("from novate.cli import main; main()", "serv")
    assert ended.returncode == 2
    assert "serv" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_the_table_of_verbs_loads_no_server():
    code = "import sys, novate.cli; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["uvicorn", "starlette", "numpy", "novate.exchange", "novate.loadtest", "novate.feeds"]
    assert python(code, *heavy).stdout == "[]\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "found"),
    [
        (["--follower", "false"], "False"),
        (["--follower=true"], "True"),
        (["--no-follower"], "False"),
        ([], "True"),
        (["--no-follower", "--follower", "true"], "expected --follower or --no-follower"),
        (["--follower", "maybe"], "--follower: expected true or false, found 'maybe'"),
    ],
)
def test_a_switch_takes_a_value_as_the_help_says(flags: list[str], found: str) -> None:
    code = (
        "from novate import cli\n"
        "@cli.app.command()\n"
        "@cli.settings_flags('follower', *cli.LOG_SETTINGS)\n"
        "def look(*, settings): print(settings.follower)\n"
        "cli.main()\n"
    )
    ended = python(code, "look", *flags)
    assert found in ended.stdout + ended.stderr
    assert ended.returncode == (2 if "expected" in found else 0)
