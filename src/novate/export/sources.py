"""Where an export's rows come from: what a source gives, and what is wanted of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from numpy.typing import NDArray

from novate.model.instrument import Instrument

INT64_MAX: Final = 2**63 - 1

Int64s = NDArray[Any]
Seen = Callable[[int], None]
"""Told of the last sequence that was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which rows are wanted.

    Attributes:
        instruments: Names; empty: every instrument.
        first_seq, last_seq: Sequences, both included.
        since_ns: Time from which on.
        until_ns: Time up to which, itself not included.
    """

    instruments: tuple[str, ...] = ()
    first_seq: int = 1
    last_seq: int = INT64_MAX
    since_ns: int = 0
    until_ns: int = INT64_MAX

    def covers_time(self, time_ns: int) -> bool:
        """Whether this time is wanted."""
        return self.since_ns <= time_ns < self.until_ns

    def covers_seq(self, seq: int) -> bool:
        """Whether this sequence is wanted."""
        return self.first_seq <= seq <= self.last_seq


class Correction(NamedTuple):
    """The trade that stands in another's place, however often that was corrected."""

    trade_id: str
    price_ticks: int
    quantity_lots: int


class NamedTrade(NamedTuple):
    """A trade, with the texts that belong to it; `taker_side` None for one of an auction.

    `bust_seq` is the sequence at which the operator took it back, None where it stands.
    """

    trade_id: str
    seq: int
    trade_index: int
    time_ns: int
    instrument: int
    price_ticks: int
    quantity_lots: int
    taker_side: str | None
    buy_order_id: str
    sell_order_id: str
    buy_client_id: str
    sell_client_id: str
    bust_seq: int | None
    correction: Correction | None


class TradeColumns(NamedTuple):
    """Trades as columns of one length, in the order in which they happened."""

    time_ns: Int64s
    seq: Int64s
    instrument: Int64s
    price_ticks: Int64s
    quantity_lots: Int64s


class Source(Protocol):
    """A history. It may give more than is wanted: a table takes of it what is."""

    @property
    def wanted(self) -> Wanted:
        """What of it is wanted."""

    @property
    def instruments(self) -> dict[int, Instrument]:
        """The wanted instruments, by number."""

    @property
    def warnings(self) -> list[str]:
        """What of the wanted is not there any more, in words."""

    @property
    def first_seq(self) -> int:
        """Where reading begins."""

    @property
    def last_seq(self) -> int:
        """Where it ends."""

    def trades(self, seen: Seen) -> Iterator[TradeColumns]:
        """The trades, without their texts, some at a time."""

    def named_trades(self, seen: Seen) -> Iterator[list[NamedTrade]]:
        """The trades with their texts, some at a time, in the order in which they happened."""

    def close(self) -> None:
        """Let go of what it reads from."""

    def orders(self, seen: Seen) -> Iterator[list[bytes]]:
        """Every order once, as JSON, as it ended or as it is; some at a time."""
