"""Terms that few orders have: read from their commands, with what changed them later."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from novate.ledger.books import EngineView
from novate.ledger.decoding import Commands
from novate.ledger.schema import order_terms
from novate.model.commands import CommandKind, Flag, Sets, TimeInForce
from novate.model.events import EventKind
from novate.model.instrument import DAY_S, Rules

_NS: Final = 10**9

COLUMNS: Final = tuple(column.name for column in order_terms.columns)[1:]
"""The terms, by the names of their columns."""

TermsChange = tuple[int, dict[str, int]]
"""Number of an order, and its terms that changed, by column."""

_PLACED_WITH: Final = {
    "stop_price_ticks": "stop_price_ticks",
    "display_lots": "display_lots",
    "minimum_lots": "minimum_lots",
    "expire_ns": "expire_ns",
    "self_trade": "self_trade",
    "self_trade_group": "group",
    "session": "session",
    "link_use": "link_use",
}
_AMENDED_BY: Final = {
    Sets.STOP_PRICE: ("stop_price_ticks", "stop_price_ticks"),
    Sets.DISPLAY: ("display_lots", "display_lots"),
    Sets.EXPIRY: ("expire_ns", "expire_ns"),
    Sets.SELF_TRADE: ("self_trade", "self_trade"),
}


class TermsReader:
    """Reads terms; remembers when the day ends of each instrument, which DAY orders need."""

    def __init__(self, engine: EngineView) -> None:
        listed = engine.instruments()
        self._session_ends = {each.index: engine.rules(each.index).session_end_s for each in listed}

    def changes(
        self, events: NDArray[Any], times: NDArray[np.int64], commands: Commands
    ) -> tuple[list[tuple[int, ...]], list[TermsChange]]:
        """What these events say of terms.

        Returns:
            Rows of orders that were placed with terms, and changes of orders placed before.
        """
        kinds = events["kind"]
        placed = (kinds == EventKind.ORDER_ACCEPTED) | (kinds == EventKind.ORDER_REJECTED)
        special = (events["flags"] & Flag.EXTENDED != 0) | (
            events["time_in_force"] == TimeInForce.DAY
        )
        relevant = (placed & special) | np.isin(
            kinds,
            (EventKind.ORDER_AMENDED, EventKind.ORDER_TRIGGERED, EventKind.RULES_SET),
        )
        rows: dict[int, dict[str, int]] = {}
        changes: list[TermsChange] = []
        for at in np.flatnonzero(relevant).tolist():
            change = self._change(events[at], int(times[at]), commands)
            order = int(events["order"][at])
            if order in rows:
                rows[order] |= change
            elif change and placed[at]:
                rows[order] = change
            elif change:
                changes.append((order, change))
        listed = [
            (order, *(terms.get(column, 0) for column in COLUMNS)) for order, terms in rows.items()
        ]
        return listed, changes

    def _change(self, event: Any, time_ns: int, commands: Commands) -> dict[str, int]:
        place = commands.at(int(event["seq"]))
        kind = event["kind"]
        if kind == EventKind.RULES_SET:
            rules = msgspec.json.decode(commands.text(place), type=Rules)
            self._session_ends[int(event["instrument"])] = rules.session_end_s
            return {}
        if kind == EventKind.ORDER_TRIGGERED:
            return {"triggered": 1}
        extension = commands.extension(place)
        if kind == EventKind.ORDER_AMENDED:
            return self._amended(event, extension, int(commands.heads["kind"][place]))
        change = {
            column: int(extension[name])
            for column, name in _PLACED_WITH.items()
            if int(extension[name])
        }
        if event["time_in_force"] == TimeInForce.DAY:
            change["expire_ns"] = self._day_end(int(event["instrument"]), time_ns)
        return change

    def _amended(self, event: Any, extension: Any, command: int) -> dict[str, int]:
        """What an AMEND set; a decrement, or an amendment by anything else, sets nothing here."""
        if event["reason"] or command != CommandKind.AMEND:
            return {}
        return {
            column: int(extension[name])
            for bit, (column, name) in _AMENDED_BY.items()
            if int(extension["sets"]) & bit
        }

    def _day_end(self, instrument: int, time_ns: int) -> int:
        """The first session end after a time."""
        day_ns = DAY_S * _NS
        end = time_ns - time_ns % day_ns + self._session_ends.get(instrument, 0) * _NS
        return end if end > time_ns else end + day_ns
