"""A short way to write commands, events and books, so that a case of a table is a line.

Commands, separated by `;`:

    a: buy 5 @ 101          a limit order with the id `a`; then, in any order: ioc, fok, day, post,
                            gtd=SECONDS, show=N, min=N, stp=newest|oldest|both|decrement, group=N,
                            session=N, oco=ID, replaces=ID, client=NAME, key=KEY, body=N, ins=N
    a: sell 5               a market order; `a: sell quote 500` by quote quantity
    a: buy 5 stop 105       a stop order; with `@ 106`, a stop-limit order
    cancel a                amend a 5 @ 102      amend a 5      amend a @ 102 stop 99 show=2 gtd=9
    mass NAME buy           mass cancel of a client's bids; also `sell`, or neither
    wait 60                 the clock goes on by seconds
    tick                    a command that does nothing itself
    rules ins=1 NAME=VALUE  the rules of an instrument: `protection.ticks=5`, `band_action=auction`,
                            `limits.open_orders_max=3`, `schedule=28800:auction,29100:continuous`
    limits NAME FIELD=N     a client's own limits
    phase auction until=60  a phase of instrument 0; `ins=1`, `ins=all`
    open 7; close 7; lost   sessions
    after NAME 60           a dead-man timer, seconds since the start; 0: none
    kill NAME on            a kill switch, of a client or the `venue`; `off`
    skip 5; adopt 2         a command that was skipped; the next version of the rules

Times are seconds since the start of the scene, which is 00:00:00 UTC. Events, separated by `;` (see
`said`), and a book as `5@100 3@99 | 2@101`: bids best first, asks best first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from novate.model.commands import (
    LinkUse,
    OrderType,
    Phase,
    SelfTrade,
    Side,
    TimeInForce,
)
from novate.model.events import AUCTION_TRADE, EventKind
from novate.model.instrument import OrderLimits, Rules
from novate.model.rejects import Reason
from tests.oracle.duel import START_NS, Duel
from tests.oracle.words import (
    Adopt,
    Advance,
    Amend,
    Cancel,
    CancelAfter,
    Command,
    Event,
    Kill,
    MassCancel,
    Place,
    SessionClose,
    SessionOpen,
    SessionsLost,
    SetClientLimits,
    SetPhase,
    SetRules,
    Skip,
)

SIDES = {"buy": Side.BUY, "sell": Side.SELL}
FORCES = {"ioc": TimeInForce.IOC, "fok": TimeInForce.FOK, "day": TimeInForce.DAY}
MODES = {
    "none": SelfTrade.NONE,
    "newest": SelfTrade.CANCEL_NEWEST,
    "oldest": SelfTrade.CANCEL_OLDEST,
    "both": SelfTrade.CANCEL_BOTH,
    "decrement": SelfTrade.DECREMENT,
}
NS_PER_SECOND = 10**9


def split(text: str) -> list[str]:
    """The parts between the semicolons."""
    return [part.strip() for part in text.split(";") if part.strip()]


def options(words: list[str]) -> dict[str, str]:
    """The words of the form name=value."""
    return dict(word.split("=", 1) for word in words if "=" in word)


def moment(seconds: str | None) -> int:
    """Seconds since the start as a time; 0 where there are none."""
    return START_NS + round(float(seconds) * NS_PER_SECOND) if seconds else 0


def after(words: list[str], word: str) -> int:
    """The number behind a word; 0 where the word is not there."""
    return int(words[words.index(word) + 1]) if word in words else 0


def command_of(text: str) -> Command:
    """One command of the notation."""
    words = text.split()
    chosen = options(words)
    key = {"key": chosen.get("key"), "body": int(chosen.get("body", 0))}
    plain = [word for word in words if "=" not in word]
    if plain[0] == "cancel":
        return Cancel(plain[1], chosen.get("client", "c"), **key)
    if plain[0] == "amend":
        return amend_of(plain, chosen, key)
    if plain[0] == "mass":
        side = SIDES[plain[2]] if len(plain) > 2 else -1
        return MassCancel(plain[1], int(chosen.get("ins", -1)), side, **key)
    if plain[0].endswith(":"):
        return place_of(plain, chosen, key)
    return operation_of(plain, chosen)


def operation_of(plain: list[str], chosen: dict[str, str]) -> Command:
    """A command that is nobody's order."""
    instrument = int(chosen.get("ins", 0)) if chosen.get("ins") != "all" else -1
    chosen = {name: value for name, value in chosen.items() if name != "ins"}
    match plain:
        case ["tick"]:
            return Advance()
        case ["rules"]:
            return SetRules(msgspec.convert(tree_of(chosen), Rules), instrument)
        case ["limits", client]:
            return SetClientLimits(
                client, msgspec.convert(tree_of(chosen), OrderLimits), instrument
            )
        case ["phase", name]:
            return SetPhase(Phase[name.upper()], instrument, moment(chosen.get("until")))
        case ["open", session]:
            return SessionOpen(int(session))
        case ["close", session]:
            return SessionClose(int(session))
        case ["lost"]:
            return SessionsLost()
        case ["skip", seq]:
            return Skip(int(seq))
        case ["adopt", version]:
            return Adopt(int(version))
        case ["after", client, seconds]:
            return CancelAfter(client, 0 if seconds == "0" else moment(seconds))
        case ["kill", client, switch]:
            return Kill(None if client == "venue" else client, switch == "on")
        case _:
            raise AssertionError(plain)


def tree_of(chosen: dict[str, str]) -> dict[str, Any]:
    """`limits.open_orders_max=3` and so on as the structs have them."""
    tree: dict[str, Any] = {}
    for path, value in chosen.items():
        *above, name = path.split(".")
        place = tree
        for part in above:
            place = place.setdefault(part, {})
        if name == "schedule":
            pairs = [entry.split(":") for entry in value.split(",")]
            place[name] = [{"at_s": int(at), "phase": phase} for at, phase in pairs]
        else:
            place[name] = int(value) if value.isdigit() else value
    return tree


def amend_of(plain: list[str], chosen: dict[str, str], key: dict[str, object]) -> Amend:
    """`amend a 5 @ 102`, any part of which may be left out."""
    rest = plain[2:]
    quantity = int(rest[0]) if rest and rest[0].isdigit() else 0
    display = chosen.get("show")
    mode = chosen.get("stp")
    return Amend(
        plain[1],
        after(rest, "@"),
        quantity,
        chosen.get("client", "c"),
        stop_price=after(rest, "stop"),
        expire_ns=moment(chosen.get("gtd")),
        display=None if display is None else int(display),
        self_trade=None if mode is None else MODES[mode],
        **key,
    )


def place_of(plain: list[str], chosen: dict[str, str], key: dict[str, object]) -> Place:
    """`a: buy 5 @ 101 ioc` or `a: buy quote 500`."""
    name, side, *rest = plain
    by_quote = rest[0] == "quote"
    amount = int(rest[1] if by_quote else rest[0])
    limit, stop = "@" in rest, "stop" in rest
    force = next((FORCES[word] for word in rest if word in FORCES), TimeInForce.GTC)
    return Place(
        client=chosen.get("client", "c"),
        order=name.rstrip(":"),
        side=SIDES[side],
        quantity=0 if by_quote else amount,
        price=after(rest, "@"),
        instrument=int(chosen.get("ins", 0)),
        type=OrderType((0 if limit else 1) + (2 if stop else 0)),
        force=TimeInForce.GTD if "gtd" in chosen else force,
        post_only="post" in rest,
        quote_units=amount if by_quote else 0,
        stop_price=after(rest, "stop"),
        display=int(chosen.get("show", 0)),
        minimum=int(chosen.get("min", 0)),
        expire_ns=moment(chosen.get("gtd")),
        group=int(chosen.get("group", 0)),
        session=int(chosen.get("session", 0)),
        self_trade=MODES[chosen.get("stp", "none")],
        link=chosen.get("oco") or chosen.get("replaces"),
        link_use=link_use(chosen),
        **key,
    )


def link_use(chosen: dict[str, str]) -> LinkUse:
    """What another order is named for."""
    if "oco" in chosen:
        return LinkUse.ONE_CANCELS_OTHER
    return LinkUse.REPLACES if "replaces" in chosen else LinkUse.NONE


@dataclass
class Scene:
    """Plays the notation to a duel and says what happened in it."""

    duel: Duel
    names: dict[int, str] = field(default_factory=dict)

    def play(self, text: str) -> str:
        """Play commands and say their events."""
        said = []
        for part in split(text):
            if part.startswith("wait "):
                self.duel.now_ns += round(float(part[5:]) * NS_PER_SECOND)
                continue
            command = command_of(part)
            if isinstance(command, Place):
                self.names[self.duel.oracle.seq + 1] = str(command.order)
            said += [self.said(event) for event in self.duel.play(command)]
            self.duel.compare()
        return "; ".join(said)

    def said(self, event: Event) -> str:
        """An event in the notation."""
        name = self.names.get(event.order, "")
        reason = event.reason.name.lower()
        match event.kind:
            case EventKind.ORDER_ACCEPTED:
                return f"{name} accepted"
            case EventKind.ORDER_REJECTED:
                return f"{name} rejected {reason}"
            case EventKind.ORDER_TRIGGERED:
                return f"{name} triggered"
            case EventKind.TRADE if event.flags == AUCTION_TRADE:
                bought = f"{event.quantity} @ {event.price}"
                return f"{self.names[event.taker]} bought {bought} from {name}"
            case EventKind.TRADE:
                return f"{self.names[event.taker]} took {event.quantity} @ {event.price} of {name}"
            case EventKind.ORDER_ENDED:
                return f"{name} ended {event.quantity} {reason}"
            case EventKind.ORDER_AMENDED:
                why = f" {reason}" if event.reason else ""
                total = f"{event.quantity} @ {event.price}"
                return f"{name} amended {total} left {event.remaining}{why}"
            case EventKind.COMMAND_REFUSED:
                return f"refused {reason} {name}".rstrip()
            case EventKind.MASS_CANCELLED:
                return f"mass cancelled {event.quantity}"
            case _:
                return self.said_of_the_venue(event)

    def said_of_the_venue(self, event: Event) -> str:
        """An event that is about no order."""
        why = f" {event.reason.name.lower()}" if event.reason else ""
        match event.kind:
            case EventKind.PHASE_CHANGED:
                phases = (Phase(event.taker_client), Phase(event.index))
                before, now = (phase.name.lower() for phase in phases)
                until = f" until {seconds(event.order)}" if event.order else ""
                return f"phase {before} to {now}{until}{why}"
            case EventKind.AUCTION_UNCROSSED:
                return f"uncrossed {event.quantity} @ {event.price} surplus {event.remaining}"
            case EventKind.CLIENT_LIMITS_SET:
                return f"limits of {self.client(event)} set"
            case EventKind.SESSION_OPENED:
                return f"session {event.order} opened"
            case EventKind.SESSION_CLOSED:
                lost = " lost" if event.reason is Reason.SESSION_LOST else ""
                return f"session {event.order} closed {event.quantity}{lost}"
            case EventKind.SESSIONS_LOST:
                return f"sessions lost {event.quantity}"
            case EventKind.COMMAND_SKIPPED:
                return f"skipped {event.order}"
            case EventKind.RULES_ADOPTED:
                return f"rules {event.order} adopted"
            case EventKind.TIMER_SET:
                when = f"at {seconds(event.order)}" if event.order else "stopped"
                return f"timer {self.client(event)} {when}"
            case EventKind.TIMER_EXPIRED:
                return f"timer {self.client(event)} expired {event.quantity}"
            case EventKind.KILL_SWITCHED:
                who = "venue" if event.index & 2 else self.client(event)
                return f"kill {who} {'on' if event.index & 1 else 'off'} {event.quantity}"
            case _:
                return event.kind.name.lower().replace("_", " ")

    def client(self, event: Event) -> str:
        """The name of an event's client."""
        return str(self.duel.oracle.registry.clients[event.client])

    def book(self, instrument: int = 0) -> str:
        """The book in the notation."""
        sides = self.duel.oracle.books[instrument]
        bids, asks = (
            " ".join(f"{quantity}@{price}" for price, quantity, _ in sides.levels(side))
            for side in (Side.BUY, Side.SELL)
        )
        return f"{bids} | {asks}".strip()


def seconds(time_ns: int) -> str:
    """A time as seconds since the start."""
    return f"{(time_ns - START_NS) / NS_PER_SECOND:g}"
