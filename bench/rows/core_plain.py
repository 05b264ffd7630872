"""What plain orders pay for stop orders, icebergs, rules, kill switches and sessions of others."""

from bench import apart
from bench.row import Figures, Row, Scale, at_least

COMMANDS = 1_000_000
ROUNDS = 5
CHALLENGE = 1_000_000


def measure(scale: Scale) -> Figures:
    """The least ratio of each setting over the flows, and the challenge among all of them."""
    rounds = 1 if scale.quick else ROUNDS
    flows = apart.run("bench.core_plain", scale.count(COMMANDS), rounds)
    settings = flows["alone"]["ratios"]
    least = {name: min(flow["ratios"][name] for flow in flows.values()) for name in settings}
    challenge = apart.run("bench.core_alone", "challenge", scale.count(CHALLENGE), "1%", "all")
    return {
        "each": min(ratio for name, ratio in least.items() if name != "all"),
        "all": least["all"],
        "challenge": challenge["messages_per_second"],
        "least": least,
        "flows": flows,
    }


def say(figures: Figures) -> str:
    each = ", ".join(f"{ratio:.2f} {name}" for name, ratio in figures["least"].items())
    return f"{each}; {figures['challenge'] / 1e6:.1f} M messages/s among all"


ROW = Row(
    name="core_plain",
    title="Core: plain orders in a book where others have stops, icebergs and pairs, rules and "
    "limits, a killed client, sessions; all of them",
    flow="of the rate with none of them the least over the flow of the engine alone and the "
    "challenge's (1%, 60%), 1,000,000 commands, settings taking turns, the process's own time, "
    "best of 5; then the challenge's flow among all, 2 M messages, into a ring",
    target="0.9 each; all 0.8; 10 M messages/s",
    checks=(at_least("each", 0.9), at_least("all", 0.8), at_least("challenge", 10e6)),
    measure=measure,
    say=say,
)
