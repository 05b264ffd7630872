"""Liquibook's own published workload."""

from bench import apart
from bench.row import Figures, Row, Scale, at_least

ORDERS = 2_000_000


def measure(scale: Scale) -> Figures:
    return apart.run("bench.core_alone", "liquibook", scale.count(ORDERS))


def say(figures: Figures) -> str:
    return (
        f"{figures['orders_per_second'] / 1e6:.1f} M orders/s "
        f"({figures['trades']:,.0f} trades, {figures['resting_after']:,.0f} resting at the end)"
    )


ROW = Row(
    name="core_liquibook",
    title="Core: Liquibook's own published workload",
    flow="sides in turn, ten prices each, 100 to 1,000 lots, orders added and nothing else; no "
    "windows of closed orders and trades; room for a million open orders reserved beforehand "
    "(`novate.engine.reserve`); the second of two runs, on one processor",
    target="20 M orders/s",
    checks=(at_least("orders_per_second", 20e6),),
    measure=measure,
    say=say,
)
