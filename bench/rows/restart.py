"""Restart with a million commands in the journal: with no snapshot, and with one."""

from bench import load, servers
from bench.row import Figures, Row, Scale, at_most
from novate.loadtest import Options

COMMANDS = 1_000_000
BATCH = 1_000


def measure(scale: Scale) -> Figures:
    commands = scale.count(COMMANDS)
    with servers.data_folder() as folder:
        exchange = servers.Exchange(folder, "--no-follower")
        try:
            exchange.start()
            written = _fill(exchange, commands)
            exchange.kill()
            without = exchange.start()
            exchange.stop()
            exchange.flags = ()
            exchange.start()
            taken = _snapshot(exchange)
            exchange.kill()
            with_one = exchange.start()
        finally:
            exchange.stop()
    return {
        "seconds_without_snapshot": without,
        "seconds_with_snapshot": with_one,
        "commands": written,
        "snapshot_status": taken,
    }


def _fill(exchange: servers.Exchange, commands: int) -> int:
    """Orders by batches until the journal holds this many commands; how many were accepted."""
    options = Options(
        batch=BATCH, connections=2, duration_s=2, warmup_s=0, clients=2_000, probe=False
    )
    written = 0
    while written < commands:
        written += load.on_port(options, exchange.port)["orders_accepted"]
    return written


def _snapshot(exchange: servers.Exchange) -> int:
    """Have a snapshot taken, once the follower has caught up; the status of the answer."""
    for _ in range(10):
        status, _ = exchange.post("/admin/snapshot")
        if status in (200, 201):
            return status
    raise RuntimeError(f"no snapshot was taken: {status}, {exchange.log_tail()}")


def say(figures: Figures) -> str:
    return (
        f"{figures['seconds_without_snapshot']:.2f} s; {figures['seconds_with_snapshot']:.2f} s "
        f"(killed with {figures['commands']:,.0f} commands in the journal)"
    )


ROW = Row(
    name="restart",
    title="Restart with 1,000,000 commands in the journal, no snapshot; with one",
    flow="from the start of the process after kill -9 until /readyz answers 200",
    target="5 s; 2 s",
    checks=(at_most("seconds_without_snapshot", 5), at_most("seconds_with_snapshot", 2)),
    measure=measure,
    say=say,
)
