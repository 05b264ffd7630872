"""What the tables of the rulebook share: a case, and how it is played.

A requirement's id stands at the head of a case's name: `m_sto_4_...` is of M-STO-4 in
docs/matching.md. Cases are played to the oracle and to the engine.
"""

from __future__ import annotations

from typing import NamedTuple

from novate.model.commands import NEWEST_RULES
from novate.model.instrument import Limits
from tests.oracle.duel import Duel, spec
from tests.tables.notation import Scene


class Case(NamedTuple):
    """`given` is played first and its events aren't looked at; `book` of None isn't either."""

    requirement: str
    given: str
    asked: str
    events: str
    book: str | None = None


def scene(limits: Limits | None = None, rules: int = NEWEST_RULES) -> Scene:
    """An empty exchange of two instruments."""
    return Scene(Duel.begin(limits, [spec(0), spec(1)], rules=rules))


def check(case: Case, limits: Limits | None = None, rules: int = NEWEST_RULES) -> None:
    """Play a case and compare events and book."""
    played = scene(limits, rules)
    played.play(case.given)
    said = played.play(case.asked)
    assert said == case.events, f"\nsaid     {said}\nexpected {case.events}"
    book = played.book()
    assert case.book in (None, book), f"\nbook     {book}\nexpected {case.book}"


def names(cases: list[Case]) -> list[str]:
    """The names of cases, each of them once."""
    found = [case.requirement for case in cases]
    assert len(found) == len(set(found))
    assert all(name.startswith("m_") for name in found)
    return found
