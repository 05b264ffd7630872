"""A dump of a large book, and loading it."""

from bench import apart
from bench.row import Figures, Row, Scale, at_most

ORDERS = 1_000_000


def measure(scale: Scale) -> Figures:
    return apart.run("bench.core_alone", "dump", scale.count(ORDERS))


def say(figures: Figures) -> str:
    return f"{figures['dump_seconds']:.2f} s; {figures['load_seconds']:.2f} s"


ROW = Row(
    name="core_dump",
    title="Core: dump and load of 1,000,000 resting orders",
    flow="one book of 5,000 levels a side; to bytes and back, the hash equal",
    target="0.5 s each",
    checks=(at_most("dump_seconds", 0.5), at_most("load_seconds", 0.5)),
    measure=measure,
    say=say,
)
