"""Accounts: what is answered of balances, positions, settlements and statements, from memory.

Everything shown is durable. Never submits, never waits.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

from novate.gateway.amounts import exact_text
from novate.gateway.fields import check_id
from novate.gateway.problems import FieldError, ProblemError, refused, shown
from novate.model import codec
from novate.model.clearing import CYCLES_KEPT, HOUSE, ClearingTerms, SettlementState
from novate.model.instrument import Instrument
from novate.model.rejects import Reason

AVERAGE_DIGITS: Final = 4
"""Digits that an average price has beyond the tick's."""

_encode = msgspec.json.Encoder().encode
Row = tuple[int, int, int]


class AccountReader(Protocol):
    """What is asked of an engine's accounts; see `novate.engine.Accounts`."""

    @property
    def last_cycle(self) -> int:
        """The number of the last closed cycle."""
        ...

    @property
    def cutoff_s(self) -> int:
        """Seconds after 00:00 UTC at which cycles close by themselves, -1: none."""
        ...

    @property
    def next_cutoff_ns(self) -> int:
        """When the next cut-off is due, 0: none is set."""
        ...

    @property
    def last_cutoff(self) -> tuple[int, int, int] | None:
        """(when it was due in ns, its cycle's number, 0 or why none closed), None: no cut-off."""
        ...

    def cycle_numbers(self) -> list[int]:
        """The numbers of the closed cycles that are kept, the newest first."""
        ...

    def assets(self) -> list[tuple[str, int]]:
        """(name, scale) by number."""
        ...

    def asset(self, name: str) -> int:
        """The number of an asset, -1: none."""
        ...

    def client(self, client_id: str) -> int:
        """The number of a client, -1: not known."""
        ...

    def client_id(self, client: int) -> str:
        """The id of a client."""
        ...

    def market(self, instrument: int) -> tuple[int, int, int, int]:
        """Base, quote, base units of a lot, quote units of a step."""
        ...

    def terms(self, instrument: int) -> ClearingTerms | None:
        """The terms in force."""
        ...

    def tier(self, client: int) -> int:
        """A client's tier."""
        ...

    def rate(self, instrument: int, client: int, taker: bool) -> int:
        """What a client pays, in millionths."""
        ...

    def balances_of(self, client: int) -> list[Row]:
        """(asset, available, held) of a client."""
        ...

    def positions_of(self, client: int) -> list[tuple[int, int, int, int, int, int, int]]:
        """(client, instrument, lots, basis, realized, fees, time) of a client."""
        ...

    def mark_price(self, instrument: int) -> tuple[int, int]:
        """Price, and what divides it."""
        ...

    def open_cycle(self) -> tuple[list[Row], list[dict[str, int]]]:
        """Obligations and totals of the open cycle."""
        ...

    def cycles(self) -> list[dict[str, Any]]:
        """The closed cycles, newest first."""
        ...

    def cycle(self, number: int) -> tuple[dict[str, Any], list[Row]] | None:
        """A closed cycle and its obligations."""
        ...


class Engine(Protocol):
    """What is asked of an engine beside its accounts."""

    @property
    def last_seq(self) -> int:
        """The sequence that everything shown is true at."""
        ...

    @property
    def last_timestamp_ns(self) -> int:
        """The time of the command of that sequence."""
        ...

    def instruments(self) -> list[Instrument]:
        """Every instrument, by number."""
        ...


def scaled(units: int, scale: int) -> msgspec.Raw:
    """Units as a JSON number."""
    return msgspec.Raw(exact_text(units, 1, scale))


class AccountReads:
    """The reads of one engine's accounts."""

    def __init__(self, engine: Engine, accounts: AccountReader) -> None:
        self._engine = engine
        self._accounts = accounts

    @property
    def time_ns(self) -> int:
        """The journal's last time, ns since 1970 UTC."""
        return self._engine.last_timestamp_ns

    # --- clients ----------------------------------------------------------------------------------

    def balances(self, client_id: str) -> bytes:
        """GET /clients/{client_id}/balances."""
        client = self._client(client_id)
        return self._said(client_id, balances=self._balances(client))

    def positions(self, client_id: str) -> bytes:
        """GET /market/positions/{client_id}."""
        client = self._client(client_id)
        return self._said(client_id, positions=self._positions(client))

    def statement(self, client_id: str) -> bytes:
        """GET /clients/{client_id}/statement: every account of a client as it is now."""
        client = self._client(client_id)
        due, _ = self._accounts.open_cycle()
        settling = []
        for cycle in self._accounts.cycles():
            found = self._accounts.cycle(cycle["cycle"])
            if found is None or cycle["state"] == SettlementState.SETTLED:
                continue
            own = [row for row in found[1] if row[0] == client]
            if own:
                settling.append({**self._heading(cycle), "obligations": self._owed(own)})
        return self._said(
            client_id,
            tier=self._accounts.tier(client),
            balances=self._balances(client),
            positions=self._positions(client),
            due=self._owed([row for row in due if row[0] == client]),
            settling=settling,
        )

    def _client(self, client_id: str) -> int:
        errors: list[FieldError] = []
        check_id("client_id", client_id, errors)
        if errors:
            raise refused(errors)
        number = self._accounts.client(client_id)
        if number < 0:
            raise ProblemError(404, "unknown_client", f"no client is named {shown(client_id)}")
        return number

    def _said(self, client_id: str, **members: Any) -> bytes:
        body = {"client_id": client_id, "sequence": self._engine.last_seq, **members}
        return _encode(body)

    def _balances(self, client: int) -> list[dict[str, Any]]:
        assets = self._accounts.assets()
        return [
            balance_of(*assets[asset], available, held)
            for asset, available, held in self._accounts.balances_of(client)
        ]

    def _positions(self, client: int) -> list[dict[str, Any]]:
        instruments = self._engine.instruments()
        return [
            position_of(instruments[row[1]], row[2:], *self._accounts.mark_price(row[1]))
            for row in self._accounts.positions_of(client)
        ]

    def standing(self, client_id: str, settling: list[dict[str, Any]]) -> dict[str, Any]:
        """What the stream says first of a client, known or not."""
        client = self._accounts.client(client_id)
        known = client >= 0
        return {
            "tier": self._accounts.tier(client) if known else 0,
            "balances": self._balances(client) if known else [],
            "positions": self._positions(client) if known else [],
            "settlements": settling,
        }

    # --- settlements ------------------------------------------------------------------------------

    def settlements(self, limit: int, before: int) -> list[dict[str, Any]]:
        """Rows of GET /settlements that memory has, newest first.

        Args:
            limit: Most that are given.
            before: Only cycles of a lower number; 0: all, first of them the open one.
        """
        rows = []
        if not before:
            _, totals = self._accounts.open_cycle()
            rows = [self._heading(None) | {"instruments": self._totals(totals)}]
        numbers = self._accounts.cycle_numbers()
        if before and (not numbers or before <= numbers[-1]):
            return rows
        kept = [row for row in self._accounts.cycles() if not before or row["cycle"] < before]
        return rows + [self.closed_row(cycle) for cycle in kept[: limit - len(rows)]]

    def closed_row(self, cycle: dict[str, Any]) -> dict[str, Any]:
        """The row of a closed cycle, as `Accounts.cycles` says it."""
        return self._heading(cycle) | {"instruments": self._totals(cycle["totals"])}

    def listed(self, rows: list[dict[str, Any]], **more: int) -> bytes:
        """GET /settlements: these rows, with `more` members."""
        body = {"count": len(rows), "settlements": rows, "cutoff": self._cutoff()}
        return _encode(body | more)

    def oldest_cycle(self) -> int:
        """The oldest cycle that is kept, where others may have left memory; 0: none has."""
        numbers = self._accounts.cycle_numbers()
        return numbers[-1] if len(numbers) >= CYCLES_KEPT else 0

    def _cutoff(self) -> dict[str, Any]:
        """When cycles close by themselves, and what came of the last time."""
        seconds, next_ns = self._accounts.cutoff_s, self._accounts.next_cutoff_ns
        last = self._accounts.last_cutoff
        hour, rest = divmod(seconds, 3600)
        at = f"{hour:02}:{rest // 60:02}:{rest % 60:02}" if seconds >= 0 else None
        return {
            "at": at,
            "next_at": _time(next_ns) if next_ns else None,
            "last": last
            and {
                "due_at": _time(last[0]),
                "cycle": last[1],
                "closed": not last[2],
                "reason": Reason(last[2]).name.lower() if last[2] else None,
            },
        }

    def settlement(self, name: str, form: str = "json") -> bytes:
        """GET /settlements/{cycle}: the report, as JSON or CSV."""
        return self.report(form, *self._cycle(name))

    def report(
        self,
        form: str,
        cycle: dict[str, Any] | None,
        rows: list[Row],
        totals: list[dict[str, int]],
        **more: int,
    ) -> bytes:
        """The report of a cycle.

        Args:
            form: json or csv.
            cycle: What `Accounts.cycle` says of it; None: it is open.
            rows: Its obligations.
            totals: What each instrument's cycle came to.
            more: Members that the JSON has besides.
        """
        if form == "csv":
            return self._csv(cycle, rows)
        body = self._heading(cycle, len(rows))
        body |= {"instruments": self._totals(totals), "obligations": self._with_house(rows)}
        return _encode(body | more)

    def _csv(self, cycle: dict[str, Any] | None, rows: list[Row]) -> bytes:
        """Obligations as CSV: cycle, client, asset, direction, amount."""
        number = "" if cycle is None else cycle["cycle"]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["cycle", "client_id", "asset", "direction", "amount"])
        assets = self._accounts.assets()
        for client, asset, units in self._house_rows(rows):
            who = "house" if client == HOUSE else self._accounts.client_id(client)
            amount = exact_text(abs(units), 1, assets[asset][1]).decode()
            direction = "receive" if units > 0 else "pay"
            writer.writerow([number, who, assets[asset][0], direction, amount])
        return text.getvalue().encode()

    def forgotten(self, name: str) -> int:
        """The number of a cycle that was closed and may have left memory, 0: it was not."""
        number = int(name) if name.isdecimal() and len(name) < 19 else 0
        return number if number <= self._accounts.last_cycle else 0

    def cycle_exists(self, number: int) -> bool:
        """Whether a closed cycle of this number is kept."""
        return self._accounts.cycle(number) is not None

    def _cycle(self, name: str) -> tuple[dict[str, Any] | None, list[Row], list[dict[str, int]]]:
        if name == "open":
            rows, totals = self._accounts.open_cycle()
            return None, rows, totals
        found = self._accounts.cycle(int(name)) if name.isdecimal() and len(name) < 19 else None
        if found is None:
            raise ProblemError(404, "unknown_cycle", f"no cycle that is kept is {shown(name)}")
        return found[0], found[1], found[0]["totals"]

    def _heading(self, cycle: dict[str, Any] | None, count: int | None = None) -> dict[str, Any]:
        if cycle is None:
            if count is None:
                count = len(self._accounts.open_cycle()[0])
            return {
                "cycle": None,
                "state": "trading",
                "closed_at": None,
                "sequence": self._engine.last_seq,
                "obligation_count": count,
            }
        return {
            "cycle": cycle["cycle"],
            "state": state_name(cycle["state"]),
            "closed_at": _time(cycle["closed_ns"]),
            "sequence": cycle["moved_seq"],
            "obligation_count": cycle["obligations"],
        }

    def _house_rows(self, rows: list[Row]) -> list[Row]:
        """The obligations, and at the end the house's own, so that every asset sums to nothing."""
        sums: dict[int, int] = {}
        for _, asset, units in rows:
            sums[asset] = sums.get(asset, 0) + units
        return [*rows, *((HOUSE, asset, -units) for asset, units in sorted(sums.items()) if units)]

    def _with_house(self, rows: list[Row]) -> list[dict[str, Any]]:
        return self._owed(self._house_rows(rows))

    def _owed(self, rows: list[Row]) -> list[dict[str, Any]]:
        assets = self._accounts.assets()
        return [
            {
                "client_id": None if client == HOUSE else self._accounts.client_id(client),
                "asset": assets[asset][0],
                "amount": scaled(units, assets[asset][1]),
            }
            for client, asset, units in rows
        ]

    def _totals(self, totals: list[dict[str, int]]) -> list[dict[str, Any]]:
        """What every instrument's cycle came to, where there was anything."""
        rows = []
        for spec, row in zip(self._engine.instruments(), totals, strict=False):
            if not row["trades"] and not row["busts"]:
                continue
            lots = spec.lot_coefficient, spec.lot_exponent
            rows.append(
                {
                    "instrument": spec.name,
                    "trade_count": row["trades"],
                    "quantity": on_grid(row["lots"], *lots),
                    "turnover": scaled(row["turnover"] * spec.quote_units, spec.quote_scale),
                    "fees": scaled(row["fees"], spec.quote_scale),
                    "bust_count": row["busts"],
                    "bust_quantity": on_grid(row["bust_lots"], *lots),
                    "bust_turnover": scaled(
                        row["bust_turnover"] * spec.quote_units, spec.quote_scale
                    ),
                }
            )
        return rows

    # --- instruments ------------------------------------------------------------------------------

    def terms(self, spec: Instrument) -> bytes:
        """GET /admin/instruments/{instrument}/clearing."""
        terms = self._accounts.terms(spec.index)
        mark, parts = self._accounts.mark_price(spec.index)
        tiers = terms.tiers if terms else ()
        return _encode(
            {
                "instrument": spec.name,
                "mode": terms.mode if terms else None,
                "fees": [
                    {"maker_bps": scaled(each.maker, 2), "taker_bps": scaled(each.taker, 2)}
                    for each in tiers
                ],
                "mark": terms.mark if terms else None,
                "mark_price": _parted(mark * spec.tick_coefficient, parts, spec.tick_exponent)
                if mark
                else None,
                "sequence": self._engine.last_seq,
            }
        )


def _time(timestamp_ns: int) -> str:
    return codec.format_time(timestamp_ns // 1000).decode()


def state_name(state: int) -> str:
    """A settlement state as requests and replies have it."""
    return SettlementState(state).name.lower()


def on_grid(value: int, coefficient: int, exponent: int) -> msgspec.Raw:
    """So many ticks or lots as a JSON number."""
    return msgspec.Raw(exact_text(value, coefficient, exponent))


def balance_of(asset: str, scale: int, available: int, held: int) -> dict[str, Any]:
    """A balance of so many units."""
    return {
        "asset": asset,
        "available": scaled(available, scale),
        "held": scaled(held, scale),
        "total": scaled(available + held, scale),
    }


def position_of(spec: Instrument, row: Sequence[int], mark: int, parts: int) -> dict[str, Any]:
    """A position.

    Args:
        spec: Its instrument.
        row: Lots, basis, realized, fees, time, as `Accounts.positions_of` has them.
        mark: The mark price, in ticks; 0: there is none.
        parts: What divides it.
    """
    lots, basis, realized, fees, updated_us = row
    step, scale = spec.quote_units, spec.quote_scale
    # a mark between two ticks is worth half a step, for which there may be no unit
    gain = (lots * mark - basis * parts) * step
    return {
        "instrument": spec.name,
        "net_quantity": on_grid(lots, spec.lot_coefficient, spec.lot_exponent),
        "total_cost": scaled(basis * step, scale),
        "avg_price": average(spec, basis, lots) if lots else None,
        "realized_pnl": scaled(realized * step, scale),
        "unrealized_pnl": _parted(gain, parts, scale) if mark or not lots else None,
        "mark_price": _parted(mark * spec.tick_coefficient, parts, spec.tick_exponent)
        if mark
        else None,
        "fees": scaled(fees, scale),
        "last_updated": codec.format_time(updated_us).decode(),
    }


def _parted(value: int, parts: int, exponent: int) -> msgspec.Raw:
    """A value that is counted in halves, exactly."""
    return on_grid(value, 1, exponent) if parts == 1 else on_grid(value, 5, exponent + 1)


def average(spec: Instrument, basis: int, lots: int) -> msgspec.Raw:
    """The average cost of a position's lots, half-even to four digits more than the tick has."""
    wanted = abs(basis) * spec.tick_coefficient * 10**AVERAGE_DIGITS
    whole, rest = divmod(wanted, abs(lots))
    if rest * 2 > abs(lots) or (rest * 2 == abs(lots) and whole % 2):
        whole += 1
    return on_grid(whole, 1, spec.tick_exponent + AVERAGE_DIGITS)


def wanted_format(query: dict[str, str]) -> str:
    """The format of a report: json or csv; ProblemError 400."""
    found = query.get("format", "json")
    if found not in ("json", "csv"):
        message = f"expected json or csv, found {shown(found)}"
        raise refused([FieldError("format", message, "invalid_value")])
    return found
