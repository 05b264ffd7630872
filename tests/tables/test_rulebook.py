"""The examples of docs/matching.md, executed as they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from novate.model.rejects import REASONS, Reason
from tests.conftest import ROOT
from tests.oracle.duel import Duel, spec
from tests.tables.notation import Scene

RULEBOOK = (ROOT / "docs" / "matching.md").read_text("utf-8")


def examples() -> Iterator[tuple[str, list[str]]]:
    """The lines of every example, and the number and turn of its section."""
    section, turn = "0", 0
    for found in re.finditer(r"^## (\d+)\.|^```example\n(.*?)^```", RULEBOOK, re.M | re.S):
        if found[1]:
            section, turn = found[1], 0
        else:
            turn += 1
            yield f"section_{section}_{turn}", found[2].splitlines()


EXAMPLES = dict(examples())


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_of_the_rulebook(name: str) -> None:
    scene = Scene(Duel.begin(specs=[spec(0), spec(1)]))
    said = ""
    for line in EXAMPLES[name]:
        mark, text = line[0], line[1:].strip()
        if mark == ">":
            assert said == "", f"the example says nothing of {said}"
            said = scene.play(text)
        elif mark == "<":
            assert said == text
            said = ""
        else:
            assert mark == "="
            assert scene.book() == text
    assert said == ""


def test_every_rule_is_named_once() -> None:
    names = re.findall(r"\*\*(M-[A-Z]+-\d+)\*\*", RULEBOOK)
    assert len(names) == len(set(names)) > 90
    referred = set(re.findall(r"M-[A-Z]+-\d+", RULEBOOK))
    assert referred == set(names)


def test_every_rule_has_a_case() -> None:
    """Its id stands in the name of a case, or it is one that every case shows."""
    tables = [path.read_text("utf-8") for path in (ROOT / "tests" / "tables").glob("test_*.py")]
    tested = {found.upper() for text in tables for found in re.findall(r"m_[a-z]+_\d+", text)}
    rules = {name.replace("-", "_") for name in re.findall(r"\*\*(M-[A-Z]+-\d+)\*\*", RULEBOOK)}
    assert rules - tested == set()


def test_every_reason_is_in_the_rulebook() -> None:
    rows = [
        f"| {int(reason)} | {reason.name.lower()} | {row.status} | {row.text} |"
        for reason, row in REASONS.items()
        if reason is not Reason.NONE
    ]
    assert "\n".join(rows) in RULEBOOK
    assert set(REASONS) == set(Reason)
