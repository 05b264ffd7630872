"""The core's requests for memory: none in a steady state, and none that grow with a command."""

from bench import allocations, apart
from bench.machine import ROOT
from bench.row import Figures, Row, Scale, at_most

MESSAGES = 500_000
ORDERS = 1_000_000


def measure(scale: Scale) -> Figures:
    """Requests per command, counted before the allocator; and one command that moves a million."""
    env = allocations.preloaded(allocations.built(ROOT / "build"))
    steady = apart.run("bench.core_alone", "steady", scale.count(MESSAGES), env=env)
    chunks = apart.run("bench.core_alone", "chunks", scale.count(ORDERS))
    return {**steady, **chunks}


def say(figures: Figures) -> str:
    return (
        f"{figures['requests']:,.0f} requests in {figures['commands']:,.0f} commands; "
        f"{figures['moved']:,.0f} orders moved by one command in {figures['seconds']:.2f} s, the "
        f"process {figures['grown_mib']:.1f} MiB larger"
    )


ROW = Row(
    name="core_memory",
    title="Core: allocation per command in steady state; events of one command that moves 1 M",
    flow="the challenge's flow with full windows, requests counted by a library before malloc; "
    "one order that takes 1,000,000 others, its events into a ring of 16,384 in chunks of 1,024",
    target="none; bounded",
    checks=(at_most("requests_per_command", 0), at_most("grown_mib", 16)),
    measure=measure,
    say=say,
)
