"""Market data of other venues, coming in as orders. A client of the public API like any other."""

from __future__ import annotations

from novate.model.errors import NovateError


class FeedError(NovateError):
    """A venue, a capture or the exchange gave what the feed can't go on with."""
