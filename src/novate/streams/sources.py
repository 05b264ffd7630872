"""What the streams need of the rest: a reader of the engine, timers, settings, counters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class AppliedEvents(Protocol):
    """What windows and the channel of accounts read of an applied batch."""

    @property
    def events(self) -> bytes:
        """Its events, records `EVENT`."""

    @property
    def timestamp_ns(self) -> int:
        """Its time."""

    @property
    def last_seq(self) -> int:
        """Sequence of its last command."""


class AppliedBatch(AppliedEvents, Protocol):
    """What publishing reads of an applied batch."""

    @property
    def trades(self) -> list[tuple[int, int, bytes]]:
        """Instrument, sequence and JSON of each trade, oldest first."""

    @property
    def updates(self) -> list[tuple[int, int, str, bytes]]:
        """Instrument, sequence, client and JSON of each order that changed, oldest first."""

    @property
    def changes(self) -> list[tuple[int, int, bytes]]:
        """Instrument, sequence and members (JSON) of each change of a phase and each uncross."""

    @property
    def busts(self) -> list[tuple[int, int, bytes]]:
        """Instrument, sequence and members (JSON) of each trade that was taken back."""


class SequencedEngine(Protocol):
    """What publishing asks of an engine."""

    @property
    def last_seq(self) -> int:
        """Sequence of the last command applied."""


class BookReader(Protocol):
    """What publishing asks of the engine's reporter."""

    want_updates: bool

    @property
    def engine(self) -> SequencedEngine:
        """The engine it reports of."""

    def watch_book(self, instrument: int, on: bool, /) -> None:
        """Begin or end to note the changes of a book."""

    def take_deltas(self) -> list[tuple[int, int, bytes, bytes]]:
        """Instrument, sequence, bids and asks of the watched books that changed since the last."""

    def book_json(self, instrument: int, /) -> tuple[int, bytes, bytes]:
        """Sequence, bids and asks of the whole book."""

    def state_members(self, instrument: int, /) -> bytes:
        """The phase of an instrument, and what goes with it, as members of JSON."""

    def auction_json(self, instrument: int, /) -> bytes | None:
        """What an uncross would be now, as members of JSON; None: there is no auction."""

    def trades_json(
        self, instrument: int, limit: int, before: str | None, detailed: bool, /
    ) -> bytes | None:
        """The newest trades before one, newest first; None where that is no trade id."""

    def trades_forgotten(self, instrument: int, /) -> bool:
        """Whether trades of an instrument have left memory."""


class TimerHandle(Protocol):
    """A callback that is to run later."""

    def cancel(self) -> object:
        """Don't run it."""


class Timers(Protocol):
    """The part of an event loop that publishing needs; a manual clock in tests."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> TimerHandle:
        """Run a callback after so many seconds."""


class StreamSettings(Protocol):
    """The settings that publishing reads."""

    @property
    def publish_interval_ms(self) -> int:
        """Milliseconds between two ticks, 0 = every batch."""

    @property
    def publish_interval_ms_max(self) -> int:
        """Milliseconds to which load may stretch it."""

    @property
    def websocket_buffer_bytes(self) -> int:
        """Unsent bytes past which book deltas are conflated."""

    @property
    def websocket_buffer_bytes_max(self) -> int:
        """Unsent bytes past which a consumer is closed."""

    @property
    def heartbeat_seconds(self) -> float:
        """Seconds between two heartbeats."""


class StreamCounters(Protocol):
    """Where publishing counts."""

    stream_messages: int
    stream_snapshots: int
    consumers_conflated: int
    consumers_closed: int
