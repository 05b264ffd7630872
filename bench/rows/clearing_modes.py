"""What clearing costs in the engine: open mode against none, funded mode against open."""

from bench import apart
from bench.row import Figures, Row, Scale, at_least

COMMANDS = 1_000_000


def measure(scale: Scale) -> Figures:
    return apart.run("bench.clearing_alone", "modes", scale.count(COMMANDS))


def say(figures: Figures) -> str:
    return (
        f"open {figures['open_of_uncleared']:.2f} of uncleared, "
        f"funded {figures['funded_of_open']:.2f} of open "
        f"({figures['funded_per_second'] / 1e6:.1f} M commands/s)"
    )


ROW = Row(
    name="clearing_modes",
    title="Clearing in the engine, open and funded",
    flow="the flow of the engine alone, 1,000,000 commands, modes taking turns, best of 5",
    target="open 0.95 of uncleared, funded 0.7 of open",
    checks=(at_least("open_of_uncleared", 0.95), at_least("funded_of_open", 0.7)),
    measure=measure,
    say=say,
    runs=1,
)
