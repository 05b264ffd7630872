"""Settlement: a cycle of many trades closed, and its report read."""

from bench import apart
from bench.row import Figures, Row, Scale, at_most

TRADES = 1_000_000


def measure(scale: Scale) -> Figures:
    return apart.run("bench.clearing_alone", "settle", scale.count(TRADES))


def say(figures: Figures) -> str:
    return (
        f"{figures['seconds']:.3f} s for {figures['trades']:,.0f} trades among "
        f"{figures['clients']:,.0f} clients ({figures['obligations']:,.0f} obligations)"
    )


ROW = Row(
    name="settlement",
    title="Settlement of a cycle",
    flow="1,000,000 trades among 10,000 clients with fees; closed, and every obligation read",
    target="3 s",
    checks=(at_most("seconds", 3.0),),
    measure=measure,
    say=say,
)
