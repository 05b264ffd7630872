"""A short way to write commands, events and books, so that a case of a table is a line.

Commands, separated by `;`:

    a: buy 5 @ 101          a limit order with the id `a`; then, in any order: ioc, fok, post,
                            client=NAME, key=KEY, body=N, ins=N
    a: sell 5               a market order; `a: sell quote 500` by quote quantity
    cancel a                amend a 5 @ 102      amend a 5      amend a @ 102
    mass NAME buy           mass cancel of a client's bids; also `sell`, or neither
    wait 60                 the clock goes on by seconds

Events, separated by `;` (see `said`), and a book as `5@100 3@99 | 2@101`: bids best first, asks
best first.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from novate.model.commands import OrderType, Side, TimeInForce
from novate.model.events import EventKind
from tests.oracle.duel import Duel
from tests.oracle.words import Amend, Cancel, Command, Event, MassCancel, Place

SIDES = {"buy": Side.BUY, "sell": Side.SELL}
FORCES = {"ioc": TimeInForce.IOC, "fok": TimeInForce.FOK}
NS_PER_SECOND = 10**9


def split(text: str) -> list[str]:
    """The parts between the semicolons."""
    return [part.strip() for part in text.split(";") if part.strip()]


def options(words: list[str]) -> dict[str, str]:
    """The words of the form name=value."""
    return dict(word.split("=", 1) for word in words if "=" in word)


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
    return place_of(plain, chosen, key)


def amend_of(plain: list[str], chosen: dict[str, str], key: dict[str, object]) -> Amend:
    """`amend a 5 @ 102`, either part of which may be left out."""
    rest = plain[2:]
    price = int(rest[rest.index("@") + 1]) if "@" in rest else 0
    quantity = int(rest[0]) if rest and rest[0] != "@" else 0
    client = chosen.get("client", "c")
    return Amend(plain[1], price, quantity, client, **key)


def place_of(plain: list[str], chosen: dict[str, str], key: dict[str, object]) -> Place:
    """`a: buy 5 @ 101 ioc` or `a: buy quote 500`."""
    name, side, *rest = plain
    by_quote = rest[0] == "quote"
    amount = int(rest[1] if by_quote else rest[0])
    limit = "@" in rest
    return Place(
        client=chosen.get("client", "c"),
        order=name.rstrip(":"),
        side=SIDES[side],
        quantity=0 if by_quote else amount,
        price=int(rest[rest.index("@") + 1]) if limit else 0,
        instrument=int(chosen.get("ins", 0)),
        type=OrderType.LIMIT if limit else OrderType.MARKET,
        force=next((FORCES[word] for word in rest if word in FORCES), TimeInForce.GTC),
        post_only="post" in rest,
        quote_units=amount if by_quote else 0,
        **key,
    )


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
            case EventKind.TRADE:
                return f"{self.names[event.taker]} took {event.quantity} @ {event.price} of {name}"
            case EventKind.ORDER_ENDED:
                return f"{name} ended {event.quantity} {reason}"
            case EventKind.ORDER_AMENDED:
                return f"{name} amended {event.quantity} @ {event.price} left {event.remaining}"
            case EventKind.COMMAND_REFUSED:
                return f"refused {reason} {name}".rstrip()
            case EventKind.MASS_CANCELLED:
                return f"mass cancelled {event.quantity}"
            case _:
                return event.kind.name.lower()

    def book(self, instrument: int = 0) -> str:
        """The book in the notation."""
        sides = self.duel.oracle.books[instrument]
        bids, asks = (
            " ".join(f"{quantity}@{price}" for price, quantity, _ in sides.levels(side))
            for side in (Side.BUY, Side.SELL)
        )
        return f"{bids} | {asks}".strip()
