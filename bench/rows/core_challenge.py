"""The matching challenge's kind of flow, its events into a ring that another thread drains."""

from bench import apart, core_flows
from bench.row import Figures, Row, Scale, at_least

ORDERS = 1_000_000


def measure(scale: Scale) -> Figures:
    """The rate at each swing of the middle, and the worst of them."""
    runs = {
        swing: apart.run("bench.core_alone", "challenge", scale.count(ORDERS), swing)
        for swing in core_flows.SWINGS
    }
    rates = {swing: run["messages_per_second"] for swing, run in runs.items()}
    return {"worst": min(rates.values()), "rates": rates, "messages": runs["fixed"]["messages"]}


def say(figures: Figures) -> str:
    rates = ", ".join(f"{rate / 1e6:.1f} ({swing})" for swing, rate in figures["rates"].items())
    return f"{figures['worst'] / 1e6:.1f} M messages/s at worst: {rates}"


ROW = Row(
    name="core_challenge",
    title="Core: the matching challenge's kind of flow, worst of five volatilities",
    flow="15% IOC; of the others 95% cancelled and 20% modified; 2 M messages; the middle fixed to "
    "swinging by 60%; events into a ring that a second thread reads, on a processor each; the "
    "second of two runs",
    target="10 M messages/s",
    checks=(at_least("worst", 10e6),),
    measure=measure,
    say=say,
)
