"""Analytics: pure functions over arrays of trades, orders and price levels.

No clock, no I/O, no state. Prices are in ticks and quantities in lots (int64), times in
nanoseconds since 1970 UTC. Money (notional, cost, profit and loss) is exact: it is in units of one
tick times one lot, summed beyond 64 bits, in Python integers or columns of them. Ratios, returns
and volatilities are statistics and float64; the docstring says so where it is the case.

`candles` and `trading` read trades, `activity` events and trades by second, `book` reads price
levels, `positions` keeps average cost, `exact` sums, `decimals` and `rendering` write amounts and
candles as text.
"""

from novate.analytics.activity import (
    MeanMarkout,
    Messages,
    Quotes,
    TakerSeconds,
    mean_markout,
    messages_of,
    taker_seconds,
)
from novate.analytics.book import Depth, Slippage, Spread, depth_within, imbalance, slippage, spread
from novate.analytics.candles import (
    Candles,
    TimeOrderError,
    candles,
    join_candles,
    merge_candles,
    with_gaps,
)
from novate.analytics.positions import Positions, positions
from novate.analytics.trading import (
    WindowStatistics,
    effective_spread,
    markouts,
    order_to_trade_ratio,
    realized_volatility,
    vwap,
    window_statistics,
)

__all__ = [
    "Candles",
    "Depth",
    "MeanMarkout",
    "Messages",
    "Positions",
    "Quotes",
    "Slippage",
    "Spread",
    "TakerSeconds",
    "TimeOrderError",
    "WindowStatistics",
    "candles",
    "depth_within",
    "effective_spread",
    "imbalance",
    "join_candles",
    "markouts",
    "mean_markout",
    "merge_candles",
    "messages_of",
    "order_to_trade_ratio",
    "positions",
    "realized_volatility",
    "slippage",
    "spread",
    "taker_seconds",
    "vwap",
    "window_statistics",
    "with_gaps",
]
