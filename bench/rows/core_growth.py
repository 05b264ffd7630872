"""What a command costs as a book grows: in levels, in orders, in instruments."""

from bench import apart
from bench.row import Figures, Row, Scale, at_least, at_most

COMMANDS = 300_000
LEVELS = (10, 100_000)
ORDERS = (1_000, 1_000_000)
INSTRUMENTS = 10_000
NEAR = 10


def measure(scale: Scale) -> Figures:
    """Ratios of the cost, and of the rate over many instruments to that of one."""
    count = scale.count(COMMANDS)
    orders = scale.count(200_000)

    def cost(orders: int, levels: int, near: int) -> float:
        run = apart.run("bench.core_alone", "growth", orders, levels, near, count)
        return float(run["ns_per_command"])

    few = cost(orders, LEVELS[0], 0)
    single, many = (
        apart.run("bench.core_alone", "instruments", scale.count(500_000), books)
        for books in (1, INSTRUMENTS)
    )
    return {
        "levels_near": cost(orders, LEVELS[1], NEAR) / few,
        "levels_far": cost(orders, LEVELS[1], 0) / few,
        "orders": cost(scale.count(ORDERS[1]), 500, 0) / cost(ORDERS[0], 500, 0),
        "instruments": many["messages_per_second"] / single["messages_per_second"],
        "ns_per_command": few,
    }


def say(figures: Figures) -> str:
    return (
        f"{figures['levels_near']:.1f} times near the best and {figures['levels_far']:.1f} times "
        f"far from it; {figures['orders']:.1f} times; {figures['instruments']:.2f} of the rate "
        f"(from {figures['ns_per_command']:.0f} ns a command)"
    )


ROW = Row(
    name="core_growth",
    title="Core: cost from 10 to 100,000 levels; from 1,000 to 1 M orders; over 10,000 instruments",
    flow="new orders and cancels in turn, near the best or anywhere in the book, the process's own "
    "time, best of 3; the challenge's flow over 10,000 instruments by a Pareto law, against one",
    target="3 times; 5 times; 0.5 of the rate",
    checks=(
        at_most("levels_near", 3),
        at_most("levels_far", 3),
        at_most("orders", 5),
        at_least("instruments", 0.5),
    ),
    measure=measure,
    say=say,
)
