"""The channel `account`: a client's balances, positions, funds, fees, settlements and busts.

A snapshot first, then a message for each command that changed anything of it, in the order of
sequence and chained; each leaves with its batch. What a command did is noted when it was applied,
so that a message says how things stood at its sequence. Encoded once for all who follow a client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from novate.engine import AccountWatch
from novate.model.events import EVENT
from novate.streams import frames
from novate.streams.consumers import Consumer, Frame
from novate.streams.sources import AppliedEvents, SequencedEngine

if TYPE_CHECKING:
    from novate.engine.account_watch import Noted


Rows = Mapping[int, tuple[int, ...]]
"""The fields of events, each in the order of `EVENT`, by their places in a batch."""


class WatchedReporter(Protocol):
    """What the channel asks of the engine's reporter."""

    account_watch: AccountWatch | None

    @property
    def engine(self) -> SequencedEngine:
        """The engine it reports of."""


class AccountTexts(Protocol):
    """Renders accounts as members of JSON."""

    def standing(self, client_id: str, /) -> bytes:
        """How a client's accounts stand now."""

    def changes(self, told: Noted, events: Rows, time_us: int, /) -> Iterator[bytes]:
        """What a command did to them, as one message or more."""


@dataclass(eq=False, slots=True)
class AccountFeed:
    """The subscribers of one client's accounts.

    Attributes:
        published: Sequence of the last message, -1 before the first.
        pending: Messages (frames) that wait for the sending before them to end, oldest first.
        pending_bytes: Their size.
        waiting: New subscribers, who get a snapshot next.
    """

    client_id: str
    published: int = -1
    pending: list[bytes] = field(default_factory=list)
    pending_bytes: int = 0
    members: dict[Consumer, None] = field(default_factory=dict)
    waiting: dict[Consumer, None] = field(default_factory=dict)


SureFrame = Callable[..., Frame]
"""`sure_frame(content, members, receivers)`: a frame that nobody may miss."""


class AccountChannel:
    """The accounts of one partition that are followed.

    Args:
        reporter: Has the watch told of every command while anybody follows.
        watch: Notes what commands did.
        texts: Renders it.
    """

    def __init__(self, reporter: WatchedReporter, watch: AccountWatch, texts: AccountTexts) -> None:
        self._reporter = reporter
        self._watch = watch
        self._texts = texts
        self._feeds: dict[str, AccountFeed] = {}
        self._ready: dict[AccountFeed, None] = {}

    def __bool__(self) -> bool:
        return bool(self._feeds)

    @property
    def has_ready(self) -> bool:
        """Whether anything waits to be sent."""
        return bool(self._ready)

    def subscribe(self, consumer: Consumer, client_id: str) -> None:
        """Follow a client's accounts: a snapshot next, each change from there on."""
        feed = self._feeds.get(client_id)
        if feed is None:
            if not self._feeds:
                self._watch.take()  # what was noted when the last one had just gone
            feed = self._feeds[client_id] = AccountFeed(client_id)
            self._watch.watch(client_id)
            self._reporter.account_watch = self._watch
        feed.members.pop(consumer, None)
        feed.waiting[consumer] = None
        self._ready[feed] = None

    def unsubscribe(self, consumer: Consumer, client_id: str) -> bool:
        """True if it was subscribed."""
        feed = self._feeds.get(client_id)
        if feed is None or not (consumer in feed.members or consumer in feed.waiting):
            return False
        feed.members.pop(consumer, None)
        feed.waiting.pop(consumer, None)
        if not feed.members and not feed.waiting:
            del self._feeds[client_id]
            self._ready.pop(feed, None)
            self._watch.unwatch(client_id)
            if not self._feeds:
                self._reporter.account_watch = None
        return True

    def leave(self, consumer: Consumer) -> None:
        """The consumer has gone."""
        for client_id in list(self._feeds):
            self.unsubscribe(consumer, client_id)

    def gather(self, applied: AppliedEvents, bytes_max: int) -> list[AccountFeed]:
        """Take what a batch did; the feeds of which more waits to be sent than may."""
        too_many: dict[AccountFeed, None] = {}
        noted = self._watch.take()
        events = _rows(applied.events, [fact[0] for told in noted for fact in told[2]])
        for told in noted:
            feed = self._feeds.get(told[0])
            if feed is None or feed in too_many:
                continue
            for members in self._changes(feed, told, events, applied.timestamp_ns // 1000):
                frame = frames.account_update(feed.client_id, told[1], feed.published, members)
                feed.published = told[1]
                feed.pending.append(frame)
                feed.pending_bytes += len(frame)
                self._ready[feed] = None
                if feed.pending_bytes > bytes_max:
                    too_many[feed] = None
                    break
            feed.published = told[1]
        return list(too_many)

    def _changes(
        self, feed: AccountFeed, told: Noted, events: Rows, time_us: int
    ) -> Iterator[bytes]:
        """Nothing where all who follow it wait for a snapshot, which will have it."""
        return self._texts.changes(told, events, time_us) if feed.members else iter(())

    def frames(self, sure_frame: SureFrame) -> list[Frame]:
        """What is to be sent now: what changed, and snapshots to those who are new."""
        made = []
        for feed in self._ready:
            if feed.pending:
                made.append(sure_frame(b"".join(feed.pending), feed.members))
                feed.pending.clear()
                feed.pending_bytes = 0
            if feed.waiting:
                if feed.published < 0:
                    feed.published = self._reporter.engine.last_seq
                content = frames.account_snapshot(
                    feed.client_id, feed.published, self._texts.standing(feed.client_id)
                )
                waiting, feed.waiting = feed.waiting, {}
                feed.members.update(waiting)
                made.append(sure_frame(content, feed.members, waiting))
        self._ready.clear()
        return made


def _rows(events: bytes, places: list[int]) -> Rows:
    """The fields of the events at these places."""
    if not places:
        return {}
    found = np.frombuffer(events, EVENT)[places].tolist()
    return dict(zip(places, found, strict=True))
