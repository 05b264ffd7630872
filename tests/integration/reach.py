"""Four ways to the same rulebook: HTTP, WebSocket, batches, and the arrays of the engine alone.

A case is a list of steps; each way plays them on an instrument of its own, with a tick and a lot of
1, and gives for every order operation an answer in a few words: what of the order is filled, and
why it ended (`2 expired`), or else whether it is `open` or `filled`; or the code of the problem.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
import numpy as np

from novate.engine import Engine
from novate.gateway import requests
from novate.gateway.market_rules import read_limits, read_rules
from novate.gateway.terms import PREVENTIONS, read_time
from novate.model import codec, packing
from novate.model.commands import (
    ANY_SIDE,
    COMMAND,
    EXTENDED_COMMAND,
    CommandKind,
    Flag,
    KillSwitch,
    LinkUse,
    Phase,
    Sets,
)
from novate.model.events import EventKind
from novate.model.instrument import Instrument
from novate.model.rejects import Reason
from tests.conftest import wait_until
from tests.integration.http_client import encode
from tests.integration.ws_client import WsClient

SIDES = ("buy", "sell")
TYPES = ("limit", "market", "stop_limit", "stop")
FORCES = ("gtc", "ioc", "fok", "day", "gtd")
LINKS = {"oco": LinkUse.ONE_CANCELS_OTHER, "replaces": LinkUse.REPLACES}
SECONDS_MAX = 10.0
"""All that a case waits for falls due within these."""


class Step(NamedTuple):
    """One step; `says` is what an order operation is answered."""

    verb: str
    members: dict[str, Any]
    says: str = ""


def place(order_id: str, client_id: str, side: str, price: Any, quantity: Any, **more: Any) -> Step:
    """An order, limit unless `type` says otherwise; `says` is its answer, `0 open` if not given."""
    says = more.pop("says", "0 open")
    order = {"order_id": order_id, "client_id": client_id, "side": side, "type": "limit"}
    order |= {"price": price, "quantity": quantity, **more}
    return Step("place", {name: each for name, each in order.items() if each is not None}, says)


def cancel(order_id: str, says: str) -> Step:
    return Step("cancel", {"order_id": order_id}, says)


def amend(order_id: str, says: str, **members: Any) -> Step:
    return Step("amend", {"order_id": order_id, **members}, says)


def mass_cancel(client_id: str, says: str, **members: Any) -> Step:
    return Step("mass_cancel", {"client_id": client_id, **members}, says)


def rules(**members: Any) -> Step:
    return Step("rules", members)


def phase(name: str) -> Step:
    return Step("phase", {"phase": name})


def limits(client_id: str, **members: Any) -> Step:
    return Step("limits", {"client_id": client_id, **members})


def kill(client_id: str, on: bool) -> Step:
    return Step("kill", {"client_id": client_id, "on": on})


def until_ended(order_id: str) -> Step:
    return Step("until_ended", {"order_id": order_id})


def until_phase(name: str) -> Step:
    return Step("until_phase", {"phase": name})


def in_words(body: Any) -> str:
    """The answer of a server in the words of a case."""
    if "code" in body:
        return str(body["code"])
    if "cancelled_count" in body:
        return f"{body['cancelled_count']} cancelled"
    state = "open" if body["working"] else "filled"
    return f"{body['filled_quantity']} {body['reason'] or state}"


class ServerWay:
    """What the ways through a server share: names, the operator's calls, waiting."""

    def __init__(self, http: httpx.Client, port: int, name: str) -> None:
        self.http, self.port, self.name = http, port, name
        created = {"name": name, "base": name, "quote": "USD", "tick_size": 1, "lot_size": 1}
        assert http.post("/admin/instruments", json=created).status_code == 201

    def play(self, steps: list[Step]) -> list[str]:
        """Do the steps; the answers of the order operations, in order."""
        said: list[str] = []
        waiting: list[Step] = []
        for step in steps:
            if step.verb in ("place", "cancel", "amend", "mass_cancel"):
                waiting.append(step._replace(members=self.named(step)))
                continue
            said += self.operate(waiting) if waiting else []
            waiting = []
            getattr(self, step.verb)(**step.members)
        return said + (self.operate(waiting) if waiting else [])

    def end(self, order_id: str) -> str:
        return in_words(self.http.get(f"/orders/{self.name}-{order_id}").json())

    def operate(self, steps: list[Step]) -> list[str]:
        raise NotImplementedError

    def named(self, step: Step) -> dict[str, Any]:
        """A step's members with names that no other case has."""
        ids = ("order_id", "client_id", "oco", "replaces")
        members = {
            name: f"{self.name}-{each}" if name in ids else each
            for name, each in step.members.items()
        }
        if step.verb in ("place", "mass_cancel"):
            members["instrument"] = self.name
        return members

    def post(self, path: str, members: dict[str, Any]) -> None:
        reply = self.http.post(path, json=members)
        assert reply.status_code == 200, reply.text

    def rules(self, **members: Any) -> None:
        self.post(f"/admin/instruments/{self.name}/rules", members)

    def phase(self, phase: str) -> None:
        self.post(f"/admin/instruments/{self.name}/phase", {"phase": phase})

    def limits(self, client_id: str, **members: Any) -> None:
        path = f"/admin/clients/{self.name}-{client_id}/limits"
        self.post(path, {"instrument": self.name, **members})

    def kill(self, client_id: str, on: bool) -> None:
        self.post(f"/admin/clients/{self.name}-{client_id}/kill", {"on": on})

    def until_ended(self, order_id: str) -> None:
        path = f"/orders/{self.name}-{order_id}"
        wait_until(lambda: not self.http.get(path).json()["working"], what="the end")

    def until_phase(self, phase: str) -> None:
        path = f"/instruments/{self.name}"
        wait_until(lambda: self.http.get(path).json()["state"] == phase, what=phase)


class HttpWay(ServerWay):
    """Each operation is a request of its own."""

    def operate(self, steps: list[Step]) -> list[str]:
        return [in_words(self.call(each.verb, dict(each.members)).json()) for each in steps]

    def call(self, verb: str, members: dict[str, Any]) -> httpx.Response:
        if verb == "place":
            return self.http.post("/orders", json=members)
        if verb == "mass_cancel":
            return self.http.delete("/orders", params=members)
        path = f"/orders/{members.pop('order_id')}"
        if verb == "cancel":
            return self.http.post(f"{path}/cancel")
        return self.http.patch(path, json=members)


class StreamWay(ServerWay):
    """Each operation is a message on `/stream`."""

    def operate(self, steps: list[Step]) -> list[str]:
        with WsClient(self.port) as client:
            return [self.ask(client, each) for each in steps]

    def ask(self, client: WsClient, step: Step) -> str:
        members = {"order": step.members} if step.verb == "place" else step.members
        reply = client.ask({"op": step.verb, **members})
        return in_words(reply.get("problem") or reply.get("order") or reply)


class BatchWay(ServerWay):
    """All operations between two of the operator's calls are one batch."""

    def operate(self, steps: list[Step]) -> list[str]:
        operations = [
            {"op": each.verb, **({"order": each.members} if each.verb == "place" else each.members)}
            for each in steps
        ]
        reply = self.http.post("/orders/batch", json={"operations": operations})
        assert reply.status_code == 200, reply.text
        outcomes = reply.json()["outcomes"]
        assert len(outcomes) == len(steps)
        return [
            in_words(each[next(name for name in each if name != "status")]) for each in outcomes
        ]


class ArrayWay:
    """Rows of numbers into the engine alone, and rows of events out of it."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.instrument = Instrument(
            name="A", base="A", quote="USD", tick_coefficient=1, tick_exponent=0,
            lot_coefficient=1, lot_exponent=0,
        )  # fmt: skip
        self.engine.apply(codec.pack_create_instrument(self.instrument))
        self.time_ns = int(datetime.now(UTC).timestamp() * 1e6) * 1000
        self.numbers: dict[str, int] = {}
        self.total: dict[int, int] = {}
        self.filled: dict[int, int] = {}
        self.why: dict[int, str] = {}

    def play(self, steps: list[Step]) -> list[str]:
        said = []
        for step in steps:
            answer = getattr(self, step.verb)(**step.members)
            if step.says:
                said.append(answer)
        return said

    def end(self, order_id: str) -> str:
        number = self.numbers[order_id]
        filled = self.filled[number]
        return f"{filled} {self.why.get(number) or self.open_or_filled(number)}"

    def open_or_filled(self, number: int) -> str:
        by_quote = self.total[number] == 0
        return "filled" if by_quote or self.filled[number] == self.total[number] else "open"

    def number(self, name: str) -> int:
        """The number of an order or a client."""
        return self.numbers.setdefault(name, len(self.numbers) + 1)

    def apply(self, commands: Any, later_ns: int = 0) -> Any:
        """Apply a batch, and note of every order what its events say."""
        self.time_ns += later_ns
        events = self.engine.apply(commands, timestamp_ns=self.time_ns)
        for each in events:
            kind, order = EventKind(each["kind"]), int(each["order"])
            lots = int(each["quantity_lots"])
            if kind in (EventKind.ORDER_ACCEPTED, EventKind.ORDER_REJECTED):
                self.total[order], self.filled[order] = lots, 0
            if kind == EventKind.ORDER_AMENDED:
                self.total[order] = lots
            elif kind == EventKind.TRADE:
                self.filled[order] += lots
                self.filled[int(each["taker"])] += lots
            elif kind in (EventKind.ORDER_ENDED, EventKind.ORDER_REJECTED):
                self.why[order] = Reason(each["reason"]).name.lower()
        return events

    def row(self, kind: CommandKind, **members: Any) -> Any:
        """One command as an array of one row; where a field stands is told by its name."""
        rows = np.zeros(1, EXTENDED_COMMAND)
        rows["command"]["kind"] = kind
        rows["command"]["flags"] = Flag.EXTENDED | members.pop("flags", 0)
        for name, value in members.items():
            rows["command" if name in COMMAND.names else "extension"][name] = value
        return rows

    def about(self, order_id: str, rows: Any) -> str:
        """Apply a command about an order, and say what became of it."""
        events = self.apply(rows)
        refused = [each for each in events if each["kind"] == EventKind.COMMAND_REFUSED]
        return Reason(refused[0]["reason"]).name.lower() if refused else self.end(order_id)

    def place(self, order_id: str, client_id: str, side: str, type: str, **more: Any) -> str:
        members: dict[str, Any] = {
            "order_number": self.number(order_id), "client": self.number(client_id),
            "side": SIDES.index(side), "order_type": TYPES.index(type),
            "time_in_force": FORCES.index(more.get("time_in_force", "gtc")),
            "price_ticks": more.get("price", 0), "quantity_lots": more.get("quantity", 0),
            "stop_price_ticks": more.get("stop_price", 0), "group": more.get("self_trade_group", 0),
            "display_lots": more.get("display_quantity", 0),
            "minimum_lots": more.get("minimum_quantity", 0),
            "self_trade": PREVENTIONS[more.get("self_trade_prevention", "none")],
            "flags": Flag.POST_ONLY if more.get("post_only") else 0,
        }  # fmt: skip
        if "quote_quantity" in more:
            members["flags"] |= Flag.BY_QUOTE
            members["quote_units_low"] = more["quote_quantity"] * 10**self.instrument.quote_scale
        if "expires_at" in more:
            members["expire_ns"] = read_time("expires_at", encode(more["expires_at"]), [])
        for name, use in LINKS.items():
            if name in more:
                members |= {"link_use": use, "link_number": self.number(more[name])}
        return self.about(order_id, self.row(CommandKind.PLACE, **members))

    def cancel(self, order_id: str) -> str:
        number = self.number(order_id)
        return self.about(order_id, self.row(CommandKind.CANCEL, order_number=number))

    def amend(self, order_id: str, **more: Any) -> str:
        flags = Flag.SET_PRICE if "price" in more else Flag(0)
        flags |= Flag.SET_QUANTITY if "quantity" in more else Flag(0)
        sets = Sets.STOP_PRICE if "stop_price" in more else Sets(0)
        sets |= Sets.DISPLAY if "display_quantity" in more else Sets(0)
        row = self.row(
            CommandKind.AMEND, order_number=self.number(order_id), flags=flags, sets=sets,
            price_ticks=more.get("price", 0), quantity_lots=more.get("quantity", 0),
            stop_price_ticks=more.get("stop_price", 0),
            display_lots=more.get("display_quantity", 0),
        )  # fmt: skip
        return self.about(order_id, row)

    def mass_cancel(self, client_id: str, side: str | None = None) -> str:
        chosen = ANY_SIDE if side is None else SIDES.index(side)
        client = self.number(client_id)
        events = self.apply(self.row(CommandKind.MASS_CANCEL, client=client, side=chosen))
        return f"{events[-1]['quantity_lots']} cancelled"

    def rules(self, **members: Any) -> None:
        errors: list[Any] = []
        asked = requests.decode_rules(encode(members))
        self.apply(packing.pack_set_rules(0, read_rules(asked, self.instrument, errors)))
        assert not errors

    def phase(self, phase: str) -> None:
        self.apply(self.row(CommandKind.SET_PHASE, phase=Phase[phase.upper()]))

    def limits(self, client_id: str, **members: Any) -> None:
        asked = requests.decode_limits(encode(members))
        record = packing.pack_set_client_limits(b"", 0, read_limits(asked, self.instrument, []))
        command = bytearray(record)
        np.frombuffer(command, COMMAND, 1)["client"] = self.number(client_id)
        self.apply(bytes(command))

    def kill(self, client_id: str, on: bool) -> None:
        switch = KillSwitch.ON if on else KillSwitch(0)
        self.apply(self.row(CommandKind.KILL, client=self.number(client_id), kill=switch))

    def until_ended(self, order_id: str) -> None:
        self.advance()
        assert self.number(order_id) in self.why

    def until_phase(self, phase: str) -> None:
        self.advance()
        assert Phase(self.engine.phase(0)).name.lower() == phase

    def advance(self) -> None:
        """Let the time of commands pass, and so all fall due that a server waits for."""
        self.apply(packing.pack_advance_time(), int(SECONDS_MAX * 1e9))


def soon(seconds: float) -> str:
    """A time so many seconds from now."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def soon_of_day(seconds: float) -> str:
    """A time of day at least so many seconds from now: it has no fractions, so up to one more."""
    return (datetime.now(UTC) + timedelta(seconds=seconds + 1)).strftime("%H:%M:%S")
