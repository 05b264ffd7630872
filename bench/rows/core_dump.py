"""A dump of a large book, and loading it."""

from bench import apart
from bench.row import Figures, Row, Scale, at_most

ORDERS = 1_000_000


def measure(scale: Scale) -> Figures:
    """Of orders that have nothing but price and quantity, and of such that have all there is."""
    plain, marked = (
        apart.run("bench.core_alone", "dump", scale.count(ORDERS), kind)
        for kind in ("plain", "marked")
    )
    return {
        "dump_seconds": plain["dump_seconds"],
        "load_seconds": plain["load_seconds"],
        "marked_dump_seconds": marked["dump_seconds"],
        "marked_load_seconds": marked["load_seconds"],
        "bytes": plain["bytes"],
        "marked_bytes": marked["bytes"],
    }


def say(figures: Figures) -> str:
    return (
        f"{figures['dump_seconds']:.2f} s; {figures['load_seconds']:.2f} s; "
        f"with terms of their own {figures['marked_dump_seconds']:.2f} s; "
        f"{figures['marked_load_seconds']:.2f} s"
    )


ROW = Row(
    name="core_dump",
    title="Core: dump and load of 1,000,000 resting orders",
    flow="one book of 5,000 levels a side; to bytes and back, the hash equal; plain orders, and "
    "such of which each has a group, and one in four a display, an end, or a stop price",
    target="0.5 s each",
    checks=tuple(
        at_most(f"{kind}{what}_seconds", 0.5)
        for kind in ("", "marked_")
        for what in ("dump", "load")
    ),
    measure=measure,
    say=say,
)
