"""The rate limit: a token bucket for each client.

Owns who may send how much. Never looks at what is sent. What it keeps of a client is one number:
the moment at which its bucket is full again.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Throttle:
    """Token buckets by client id, bounded in number.

    The table has two generations. A client that sends stands in the young one; when that is full it
    becomes the old one, and the old one is forgotten: what is forgotten was silent while
    `clients_max` others sent.

    Args:
        rate: Tokens a second; 0 means no limit.
        burst: Tokens that a client has who was quiet.
        clients_max: Clients of one generation.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        rate: float,
        burst: float,
        clients_max: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds_per_token = 1.0 / rate if rate > 0 else 0.0
        self._burst = burst
        self._burst_seconds = burst * self._seconds_per_token
        self._clients_max = clients_max
        self._clock = clock
        self._full_at: dict[str, float] = {}
        self._full_at_old: dict[str, float] = {}

    def take(self, client_id: str, tokens: int = 1) -> float:
        """Take tokens of a client: 0.0 when it may go on, else the seconds it has to wait.

        Nothing is taken from one who has to wait. More tokens than a bucket holds are given to a
        full bucket, which then owes them.
        """
        cost = tokens * self._seconds_per_token
        if cost == 0.0:
            return 0.0
        now = self._clock()
        full_at = self._full_at.get(client_id)
        if full_at is None:
            full_at = self._full_at_old.get(client_id, now)
            self._make_room()
        full_at = max(full_at, now)
        wait = full_at + min(cost, self._burst_seconds) - now - self._burst_seconds
        if wait > 1e-9:
            return wait
        self._full_at[client_id] = full_at + cost
        return 0.0

    def __len__(self) -> int:
        return len(self._full_at) + len(self._full_at_old)

    def _make_room(self) -> None:
        if len(self._full_at) >= self._clients_max:
            self._full_at_old = self._full_at
            self._full_at = {}
