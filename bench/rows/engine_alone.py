"""The engine alone: arrays of commands in, arrays of events out."""

from bench import apart
from bench.row import Figures, Row, Scale, at_least

COMMANDS = 3_000_000


def measure(scale: Scale) -> Figures:
    return apart.measure("engine", scale.count(COMMANDS))


def say(figures: Figures) -> str:
    return (
        f"{figures['commands_per_second'] / 1e6:.1f} M commands/s "
        f"({figures['resting_after']:,.0f} resting, {figures['trades']:,.0f} trades)"
    )


ROW = Row(
    name="engine_alone",
    title="Engine alone, arrays in and events out",
    flow="40% new, 45% cancel, 15% marketable around a walking price; 100,000 orders resting; "
    "batches of 10,000 commands; the second of two runs, on one processor",
    target="10 M commands/s",
    checks=(at_least("commands_per_second", 10e6),),
    measure=measure,
    say=say,
    runs=5,
)
