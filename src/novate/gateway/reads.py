"""Reads: what is answered from memory at once. Everything it shows is durable.

Owns how the parameters of a read are understood. Never submits, never waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol
from urllib.parse import parse_qsl

from novate.gateway.fields import check_id
from novate.gateway.instruments import Instruments
from novate.gateway.market_rules import rules_json
from novate.gateway.problems import FieldError, ProblemError, refused, shown, shown_name
from novate.gateway.validation import OrderReader
from novate.model.instrument import Instrument, Rules

LEVELS_DEFAULT: Final = 20
LIST_DEFAULT: Final = 50
LIST_MAX: Final = 1000
"""Most levels, trades or orders of one reply."""

PARAMETERS_MAX: Final = 20
"""Parameters of one request."""

STATUSES: Final = ("open", "partially_filled", "filled", "cancelled", "rejected")

Query = Mapping[str, str]


class Reporter(OrderReader, Protocol):
    """What reads ask of a reporter; see `novate.engine.Reporter`."""

    def orders_json(
        self, client_id: str | None, instrument: int, status: str | None, limit: int, cursor: int
    ) -> tuple[list[bytes], int]:
        """Orders, newest first, and where to go on, 0 at the end."""
        ...

    def orders_listed(
        self, client_id: str | None, instrument: int, status: str | None, limit: int, cursor: int
    ) -> tuple[list[tuple[int, bytes]], int]:
        """The same, each with the sequence that placed it."""
        ...

    def forgotten_seq(self) -> int:
        """Orders placed at or before it may have left memory; 0: none has."""
        ...

    def trades_forgotten(self, instrument: int) -> bool:
        """Whether trades of an instrument have left memory."""
        ...

    def orderbook_json(self, instrument: int, levels: int) -> bytes:
        """A book."""
        ...

    def trades_json(
        self, instrument: int, limit: int, before: str | None, detailed: bool
    ) -> bytes | None:
        """Trades, newest first; None if `before` is none of them."""
        ...

    def instrument_json(self, instrument: int) -> bytes:
        """An instrument."""
        ...


def parse_query(raw: bytes, known: tuple[str, ...]) -> dict[str, str]:
    """The parameters of a query string, an empty one counting as absent.

    Raises:
        ProblemError: 400, for an unknown parameter, one given twice, or too many.
    """
    if not raw:
        return {}
    try:
        pairs = parse_qsl(
            raw.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=PARAMETERS_MAX
        )
    except ValueError:
        message = f"expected at most {PARAMETERS_MAX} parameters"
        raise refused([FieldError("", message, "malformed_query")]) from None
    query: dict[str, str] = {}
    errors = []
    for name, value in pairs:
        if name not in known:
            expected = ", ".join(known) or "none"
            message = f"expected no such parameter (there are: {expected})"
            errors.append(FieldError(shown_name(name), message, "unknown_parameter"))
        elif name in query:
            errors.append(FieldError(name, "expected once, found twice", "duplicate_parameter"))
        query[name] = value
    if errors:
        raise refused(errors)
    return {name: value for name, value in query.items() if value}


class Reads:
    """The reads of one partition.

    Args:
        reporter: Reads its engine.
        instruments: Its instruments.
        rules: The rules of an instrument, by its number; None: there are none.
    """

    def __init__(
        self,
        reporter: Reporter,
        instruments: Instruments,
        rules: Callable[[int], Rules] | None = None,
    ) -> None:
        self._reporter = reporter
        self._instruments = instruments
        self._rules = rules

    def order(self, order_id: str) -> bytes:
        """An order as it is now; ProblemError 400 or 404."""
        errors: list[FieldError] = []
        check_id("order_id", order_id, errors)
        if errors:
            raise refused(errors)
        body = self._reporter.order_json(order_id)
        if body is None:
            raise ProblemError(
                404, "unknown_order", f"no order in memory has the order_id {shown(order_id)}"
            )
        return body

    def orders(self, query: Query) -> bytes:
        """Orders in memory, newest first; ProblemError 400."""
        client_id, instrument, status, limit, cursor = self.orders_wanted(query)
        listed, next_cursor = self._reporter.orders_json(
            client_id, instrument, status, limit, cursor
        )
        return orders_body(listed, next_cursor)

    def orders_wanted(self, query: Query) -> tuple[str | None, int, str | None, int, int]:
        """(client id, instrument or -1, status, limit, cursor) of a query; ProblemError 400."""
        errors: list[FieldError] = []
        client_id = query.get("client_id")
        if client_id is not None:
            check_id("client_id", client_id, errors)
        status = query.get("status")
        if status is not None and status not in STATUSES:
            message = f"expected one of {', '.join(STATUSES)}, found {shown(status)}"
            errors.append(FieldError("status", message, "invalid_value"))
        limit = whole(query, "limit", LIST_DEFAULT, 1, LIST_MAX, errors)
        cursor = whole(query, "cursor", 0, 1, 2**63 - 1, errors)
        instrument = -1
        if "instrument" in query:
            instrument = self._instrument(query, errors)
        if errors:
            raise refused(errors)
        return client_id, instrument, status, limit, cursor

    def orderbook(self, query: Query) -> bytes:
        """A book; ProblemError 400."""
        errors: list[FieldError] = []
        levels = whole(query, "levels", LEVELS_DEFAULT, 1, LIST_MAX, errors)
        instrument = self._instrument(query, errors)
        if errors:
            raise refused(errors)
        return self._reporter.orderbook_json(instrument, levels)

    def trades(self, query: Query, detailed: bool = False) -> bytes:
        """Trades in memory, newest first; ProblemError 400."""
        instrument, limit, before = self.trades_wanted(query)
        body = self._reporter.trades_json(instrument, limit, before, detailed)
        if body is None:
            message = f"expected a trade_id of this exchange, found {shown(before)}"
            raise refused([FieldError("before", message, "unknown_trade")])
        return body

    def trades_wanted(self, query: Query) -> tuple[int, int, str | None]:
        """(instrument, limit, before) of a query; ProblemError 400."""
        errors: list[FieldError] = []
        limit = whole(query, "limit", LIST_DEFAULT, 1, LIST_MAX, errors)
        instrument = self._instrument(query, errors)
        before = query.get("before")
        if before is not None and not (before.isascii() and before.isprintable()):
            before = "?"
        if errors:
            raise refused(errors)
        return instrument, limit, before

    def instrument_of(self, query: Query, errors: list[FieldError]) -> Instrument | None:
        """The instrument that a query names; one more error if there is none of this name."""
        if self._instrument(query, errors) < 0:
            return None
        return self._instruments.find(query.get("instrument"))

    def instruments(self) -> bytes:
        """Every instrument."""
        listed = [self._instrument_body(each) for each in self._instruments.all()]
        return b'{"count":%d,"instruments":[%b]}' % (len(listed), b",".join(listed))

    def instrument(self, name: str) -> bytes:
        """One instrument; ProblemError 404."""
        found = self._instruments.find(name)
        if found is None:
            raise ProblemError(404, "unknown_instrument", f"no instrument is named {shown(name)}")
        return self._instrument_body(found)

    def _instrument_body(self, instrument: Instrument) -> bytes:
        """An instrument, with its rules where it has any."""
        body = self._reporter.instrument_json(instrument.index)
        if self._rules is None:
            return body
        rules = rules_json(self._rules(instrument.index), instrument)
        return body if rules == b"{}" else b'%b,"rules":%b}' % (body[:-1], rules)

    def _instrument(self, query: Query, errors: list[FieldError]) -> int:
        name = query.get("instrument")
        found = self._instruments.find(name)
        if found is not None:
            return found.index
        message = f"expected an instrument of this exchange, found {shown(name)}"
        errors.append(FieldError("instrument", message, "unknown_instrument"))
        return -1


def orders_body(listed: list[bytes], next_cursor: int, ledger_seq: int | None = None) -> bytes:
    """A list of orders; `ledger_seq`: up to where what came from the ledger is true."""
    after = b'"%d"' % next_cursor if next_cursor else b"null"
    more = b"" if ledger_seq is None else b',"ledger_sequence":%d' % ledger_seq
    return b'{"count":%d,"orders":[%b],"next_cursor":%b%b}' % (
        len(listed), b",".join(listed), after, more,
    )  # fmt: skip


def whole(
    query: Query, name: str, default: int, least: int, most: int, errors: list[FieldError]
) -> int:
    """A whole number of a query; one more error if it is none, or out of its bounds."""
    text = query.get(name)
    if text is None:
        return default
    if text.isascii() and text.isdigit() and len(text) <= 19 and least <= int(text) <= most:
        return int(text)
    message = f"expected a whole number from {least} to {most}, found {shown(text)}"
    errors.append(FieldError(name, message, "invalid_value"))
    return default
