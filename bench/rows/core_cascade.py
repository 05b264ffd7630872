"""What one command may set off: a cascade of stop orders, the uncross of an auction."""

from bench import apart
from bench.row import Figures, Row, Scale, at_most

STOPS = 10_000
ORDERS = 1_000_000


def measure(scale: Scale) -> Figures:
    """A cascade of which each step triggers the next, one of a single wave, and an uncross."""
    steps, wave = (
        apart.run("bench.core_alone", "cascade", scale.count(STOPS), at_once) for at_once in (0, 1)
    )
    uncross = apart.run("bench.core_alone", "uncross", scale.count(ORDERS))
    return {
        "cascade_ms": max(steps["seconds"], wave["seconds"]) * 1e3,
        "steps_ms": steps["seconds"] * 1e3,
        "wave_ms": wave["seconds"] * 1e3,
        "uncross_seconds": uncross["seconds"],
        "trades": uncross["trades"],
    }


def say(figures: Figures) -> str:
    return (
        f"{figures['steps_ms']:.1f} ms one after the other, {figures['wave_ms']:.1f} ms at one "
        f"price; {figures['uncross_seconds']:.2f} s ({figures['trades']:,.0f} trades)"
    )


ROW = Row(
    name="core_cascade",
    title="Core: stop cascade of 10,000 triggers in one command; auction uncross of 1 M orders",
    flow="10,000 sell stops of which each triggers the next, or all wait for one price; buyers "
    "over and sellers under the middle, 5,000 levels a side; events as arrays",
    target="20 ms; 1 s",
    checks=(at_most("cascade_ms", 20), at_most("uncross_seconds", 1)),
    measure=measure,
    say=say,
)
