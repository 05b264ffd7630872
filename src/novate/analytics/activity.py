"""What clients ask of a market and what becomes of it: messages by kind, and markouts in the mean.

Both are made to be kept over a long time in little room: messages are counted by minute, trades
are summed by second and side of the taker, and the middle of the book is taken at whole seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from novate.analytics.candles import SECOND_NS, group_starts
from novate.analytics.exact import Int64s, Integers, columns, sums, sums_of_products
from novate.analytics.trading import BASIS_POINTS, order_to_trade_ratio
from novate.model.events import EventKind
from novate.model.rejects import Reason

MESSAGES: Final = ("orders", "rejected", "amendments", "cancels", "trades")
"""What events are counted as: orders accepted, orders that a rule refused, amendments and cancels
by the client (of a mass cancel each order that it ended), trades."""

HORIZONS_S: Final = (1, 5, 30, 60, 300)
"""How long after a trade the middle is looked at, seconds."""

_OF_KIND: Final = np.full(256, -1, np.int8)
_OF_KIND[
    [
        EventKind.ORDER_ACCEPTED,
        EventKind.ORDER_REJECTED,
        EventKind.ORDER_AMENDED,
        EventKind.ORDER_ENDED,
        EventKind.TRADE,
    ]
] = range(len(MESSAGES))
_BY_CLIENT: Final = np.isin(np.arange(256), (Reason.BY_CLIENT, Reason.MASS_CANCEL))


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages about orders, and trades, of a span of time.

    Attributes:
        orders: Orders accepted.
        rejected: Orders that a rule of the market refused; not in the ratio.
        amendments: Amendments by the client.
        cancels: Orders that their client cancelled, alone or with others.
        trades: Trades; each counts once.
    """

    orders: int = 0
    rejected: int = 0
    amendments: int = 0
    cancels: int = 0
    trades: int = 0

    @property
    def ratio(self) -> float | None:
        """`order_to_trade_ratio` of them."""
        return order_to_trade_ratio(self.orders, self.amendments, self.cancels, self.trades)


def messages_of(kind: Any, reason: Any) -> NDArray[np.int8]:
    """Which of `MESSAGES` each event is, -1: none.

    Args:
        kind: EventKind of each event.
        reason: Its Reason.
    """
    kinds, reasons = np.asarray(kind, np.uint8), np.asarray(reason, np.uint8)
    found = _OF_KIND[kinds]
    found[(found == _OF_KIND[EventKind.ORDER_ENDED]) & ~_BY_CLIENT[reasons]] = -1
    found[(found == _OF_KIND[EventKind.ORDER_AMENDED]) & (reasons != Reason.NONE)] = -1
    return found


@dataclass(frozen=True, slots=True)
class TakerSeconds:
    """Trades summed by second, oldest first; columns of one length.

    Trades of auctions, which have no taker, are not in them.

    Attributes:
        second: Whole seconds since 1970 UTC (int64).
        trades: Number of trades (int64).
        lots: Quantity traded (Python integers).
        notional: Sum of price times quantity, ticks times lots (Python integers).
        signed_lots: Bought by takers less sold by them.
        signed_notional: The same of price times quantity.
    """

    second: Int64s
    trades: Int64s
    lots: Integers
    notional: Integers
    signed_lots: Integers
    signed_notional: Integers


def taker_seconds(
    timestamp_ns: Any, price_ticks: Any, quantity_lots: Any, taker_sign: Any
) -> TakerSeconds:
    """Trades in the order in which they happened, by second.

    Args:
        timestamp_ns: Time of each trade, ns since 1970 UTC, never going back.
        price_ticks: Its price, ticks.
        quantity_lots: Its quantity, lots.
        taker_sign: +1 where the taker bought, -1 where it sold, 0 in an auction.
    """
    times, prices, lots, signs = columns(
        timestamp_ns=timestamp_ns, price_ticks=price_ticks, quantity_lots=quantity_lots,
        taker_sign=taker_sign,
    )  # fmt: skip
    taken = signs != 0
    seconds, prices, lots, signs = (
        times[taken] // SECOND_NS,
        prices[taken],
        lots[taken],
        signs[taken],
    )
    starts = group_starts(seconds)
    return TakerSeconds(
        second=seconds[starts],
        trades=np.diff(starts, append=len(seconds)).astype(np.int64),
        lots=sums(lots, starts),
        notional=sums_of_products(prices, lots, starts),
        signed_lots=sums(signs * lots, starts),
        signed_notional=sums_of_products(prices, signs * lots, starts),
    )


class Quotes(NamedTuple):
    """Best prices where they became others; columns of one length.

    Attributes:
        second: Seconds at whose end they were others than at the end of the one listed before;
            ascending.
        bid_ticks: Best bid then, ticks, 0: none.
        ask_ticks: Best ask then, 0: none.
    """

    second: Any
    bid_ticks: Any
    ask_ticks: Any


@dataclass(frozen=True, slots=True)
class MeanMarkout:
    """How far the middle stood from trades, a time after them, for their takers.

    Attributes:
        horizon_s: How long after.
        trades: Trades whose later middle is known.
        lots: Their quantity.
        notional: Their price times quantity, ticks times lots.
        moved_twice: Sum of quantity x D x (2M - 2P), exact, in ticks times lots, twice: an integer,
            as the middle is half of one.
    """

    horizon_s: int
    trades: int
    lots: int
    notional: int
    moved_twice: int

    @property
    def average_ticks(self) -> float | None:
        """The mean by quantity, ticks, float64; None: nothing is known."""
        return self.moved_twice / (2 * self.lots) if self.lots else None

    @property
    def basis_points(self) -> float | None:
        """The same in 1/10,000 of the price paid, float64."""
        return BASIS_POINTS * self.moved_twice / (2 * self.notional) if self.notional else None


def mean_markout(traded: TakerSeconds, quotes: Quotes, end_s: int, horizon_s: int) -> MeanMarkout:
    """Markouts of trades summed by second, in the mean by quantity.

    Markout = D x (M - P), D = +1 for a buying taker and -1 for a selling one, P the price, M the
    middle `horizon_s` after the end of the second in which was traded: so between `horizon_s` and
    one second more after the trade. Over 0: the market went the taker's way, and against the maker.
    It is what `markouts` gives of each trade, with the end of its second as its time, weighted by
    quantity. Where a side of the book was empty then, or the book was crossed (in an auction), or
    that time is still to come, it is not known, and the trades are left out.

    Source: the "realized spread" of R. Huang and H. Stoll, "Dealer versus auction markets", Journal
    of Financial Economics 41 (1996), section 4, is -2 x markout.

    Args:
        traded: The trades.
        quotes: Best prices of the book.
        end_s: The second that is running: what was at its end is not known yet.
        horizon_s: At least 0.
    """
    if horizon_s < 0:
        raise ValueError(f"horizon_s: expected at least 0, got {horizon_s}")
    changed, bids, asks = columns(**quotes._asdict())
    later = traded.second + horizon_s
    at = np.searchsorted(changed, later, side="right") - 1
    known = (at >= 0) & (later < end_s)
    known[known] = (bids[at[known]] > 0) & (asks[at[known]] > bids[at[known]])
    mids = (bids[at[known]] + asks[at[known]]).astype(object)
    moved = (mids * traded.signed_lots[known] - 2 * traded.signed_notional[known]).sum()
    return MeanMarkout(
        horizon_s=horizon_s,
        trades=int(traded.trades[known].sum()),
        lots=int(traded.lots[known].sum()),
        notional=int(traded.notional[known].sum()),
        moved_twice=int(moved),
    )
