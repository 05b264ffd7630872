"""The rows of the table of figures, in its order; one module each."""

from bench.row import Row
from bench.rows import (
    batches,
    clearing_modes,
    core_challenge,
    core_dump,
    core_growth,
    core_liquibook,
    engine_alone,
    memory,
    open_loop,
    orderbook_reads,
    post_orders,
    restart,
    settlement,
    subscribers,
    ws_orders,
)

ROWS: tuple[Row, ...] = (
    engine_alone.ROW,
    clearing_modes.ROW,
    settlement.ROW,
    post_orders.ROW,
    open_loop.ROW,
    ws_orders.ROW,
    batches.ROW,
    orderbook_reads.ROW,
    restart.ROW,
    subscribers.ROW,
    memory.ROW,
    core_challenge.ROW,
    core_liquibook.ROW,
    core_growth.ROW,
    core_dump.ROW,
)
