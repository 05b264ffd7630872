"""Bodies of replies about kill switches, limits of clients and dead-man timers.

As in `novate.gateway.replies`, of which these are the part that operators read.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from novate.gateway.replies import CURSOR_PATTERN, OptionalNumber, Time


class TimerSet(Struct, kw_only=True):
    """A client's dead-man timer as it is now."""

    client_id: str
    cancels_at: Annotated[Time | None, Meta(description="null: never.")]
    sequence: int


class LimitsSet(Struct, kw_only=True):
    """A client has limits of its own."""

    client_id: str
    instrument: str
    sequence: int


class Killed(Struct, kw_only=True):
    """A kill switch as it is now; `client_id` null: the venue's."""

    client_id: str | None
    on: bool
    cancelled_count: Annotated[int, Meta(description="How many orders it ended.")]
    sequence: int


class ClientLimits(Struct, kw_only=True):
    """A client's own limits on an instrument; those that are off are left out."""

    instrument: str
    quantity_min: OptionalNumber = None
    quantity_max: OptionalNumber = None
    notional_min: OptionalNumber = None
    notional_max: OptionalNumber = None
    open_orders_max: int | None = None
    last_price_distance: Annotated[Any, Meta(description="As it was set.")] = None


class ClientControls(Struct, kw_only=True):
    """A client's kill switch, timer and limits, of which at least one is set."""

    client_id: str
    killed: bool
    cancels_at: Annotated[Time | None, Meta(description="When its timer runs out; null: never.")]
    limits: list[ClientLimits]


class Controls(Struct, kw_only=True):
    """The venue's kill switch, and the clients that have anything set, the first known first."""

    sequence: Annotated[int, Meta(description="It is true up to this sequence.")]
    venue_killed: bool
    count: int
    clients: list[ClientControls]
    next_cursor: Annotated[
        Annotated[str, Meta(pattern=CURSOR_PATTERN)] | None,
        Meta(description="For the page after; null at the end."),
    ]


REPLIES: Final = [TimerSet, LimitsSet, Killed, Controls]
"""What the OpenAPI document is made of; those within them come along."""
