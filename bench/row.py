"""A row of the table of figures: what is measured, its target, and how to say it."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Figures = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """How much a run measures: the full counts, or a smoke run's."""

    quick: bool

    def seconds(self, full: float) -> float:
        """A duration of the load."""
        return min(full, 1.0) if self.quick else full

    def count(self, full: int) -> int:
        """A count of commands, orders or keys."""
        return max(1, full // 50) if self.quick else full


@dataclass(frozen=True)
class Check:
    """One figure's bound: at least, or at most."""

    figure: str
    bound: float
    at_least: bool

    def holds(self, figures: Figures) -> bool:
        """Whether the figure is there and within its bound."""
        value = figures.get(self.figure)
        if not isinstance(value, (int, float)):
            return False
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True)
class Row:
    """One row; `measure` runs it once and gives its figures, plain JSON values by name."""

    name: str
    title: str
    flow: str
    target: str
    checks: tuple[Check, ...]
    measure: Callable[[Scale], Figures]
    say: Callable[[Figures], str]
    runs: int = 3


def at_least(figure: str, bound: float) -> Check:
    """The figure must reach the bound."""
    return Check(figure, bound, at_least=True)


def at_most(figure: str, bound: float) -> Check:
    """The figure must not pass the bound."""
    return Check(figure, bound, at_least=False)


def medians(runs: list[Figures]) -> Figures:
    """The median of every number over the runs; counts of errors are added up instead."""
    found: Figures = {}
    for name, first in runs[0].items():
        values = [run[name] for run in runs]
        if isinstance(first, dict):
            found[name] = medians(values) if all(set(v) == set(first) for v in values) else values
        elif isinstance(first, (bool, str)) or first is None:
            found[name] = first if all(value == first for value in values) else values
        elif name in ("errors", "unmatched", "books_wrong", "gaps"):
            found[name] = sum(values)
        else:
            found[name] = round(statistics.median(values), 4)
    return found
