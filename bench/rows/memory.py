"""Memory of a resting order and of an idempotency key."""

from bench import apart
from bench.row import Figures, Row, Scale, at_most

COUNT = 1_000_000


def measure(scale: Scale) -> Figures:
    orders = apart.measure("orders", scale.count(COUNT))
    keys = apart.measure("keys", scale.count(COUNT))
    return {
        "bytes_per_resting_order": orders["bytes_each"],
        "resting_orders": orders["count"],
        "bytes_per_key": keys["bytes_each"],
        "keys": keys["count"],
    }


def say(figures: Figures) -> str:
    return (
        f"{figures['bytes_per_resting_order']:.0f} bytes; {figures['bytes_per_key']:.0f} bytes "
        f"(at {figures['resting_orders']:,.0f} orders and {figures['keys']:,.0f} keys)"
    )


ROW = Row(
    name="memory",
    title="Memory per resting order; per idempotency key",
    flow="growth of the process's resident memory over 1,000,000 resting orders with server-made "
    "ids; over 1,000,000 keyed orders less the same without keys",
    target="100 bytes; 64 bytes",
    checks=(at_most("bytes_per_resting_order", 100), at_most("bytes_per_key", 64)),
    measure=measure,
    say=say,
    runs=1,
)
