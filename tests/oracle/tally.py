"""How much the engine and the oracle have agreed on, for the end of a run to say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.oracle.words import Command, Event

Tally = dict[str, Counter[str]]

AGREED: Tally = {"commands": Counter(), "events": Counter()}
"""What this process played to both, and the events in which the two did not differ; by kind."""


def agree(commands: Iterable[Command], events: Sequence[Event]) -> None:
    """Count commands and events that were compared and are the same."""
    AGREED["commands"].update(type(command).__name__ for command in commands)
    AGREED["events"].update(event.kind.name for event in events)


def so_far() -> Tally:
    """A copy of the counts."""
    return {what: Counter(counts) for what, counts in AGREED.items()}


def since(before: Tally) -> dict[str, dict[str, int]]:
    """What was added to the counts since they were `before`."""
    return {what: dict(counts - before[what]) for what, counts in AGREED.items()}


def in_words(tallies: Iterable[dict[str, dict[str, int]]]) -> list[str]:
    """The sum of tallies, a line for commands and one for events, the most frequent first."""
    total: Tally = {"commands": Counter(), "events": Counter()}
    for tally in tallies:
        for what, counts in tally.items():
            total[what].update(counts)
    return [
        f"{counts.total():,} {what} compared: "
        + ", ".join(f"{count:,} {name}" for name, count in counts.most_common())
        for what, counts in total.items()
    ]
