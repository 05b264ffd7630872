"""Plays the same commands to the oracle and to the engine, and compares all that can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from novate.engine import Engine
from novate.model import codec
from novate.model.commands import NEWEST_RULES, OrderType, Side
from novate.model.instrument import Instrument, Limits
from tests.oracle.auction import indicative
from tests.oracle.book import Book
from tests.oracle.due import next_item
from tests.oracle.exchange import Exchange
from tests.oracle.tally import agree
from tests.oracle.words import (
    Command,
    Create,
    Event,
    Place,
    events_of,
    to_bytes,
    to_numbered,
)

LEVELS_SEEN = 1000
START_NS = 1_767_225_600_000_000_000


def spec(number: int = 0, **fields: int) -> Instrument:
    """A small instrument whose one tick times one lot is 10 quote units."""
    shape = {
        "tick_exponent": 2,
        "lot_exponent": 3,
        "quote_scale": 6,
        "price_ticks_max": 1000,
        "quantity_lots_max": 10_000,
    }
    return Instrument(name=f"INS-{number}", base="INS", quote="USD", **{**shape, **fields})


@dataclass(slots=True)
class Duel:
    """An oracle and an engine that have seen the same commands; or an oracle alone."""

    oracle: Exchange
    engine: Engine | None
    numbered: bool = False
    now_ns: int = START_NS

    @classmethod
    def begin(
        cls,
        limits: Limits | None = None,
        specs: Sequence[Instrument] = (spec(),),
        numbered: bool = False,
        alone: bool = False,
        rules: int = NEWEST_RULES,
    ) -> Duel:
        """Two empty exchanges with the same limits and instruments, under a version of the rules.

        `numbered`: orders and clients are numbers and commands go in as arrays. `alone`: there is
        no engine.
        """
        limits = limits or Limits()
        engine = None if alone else Engine(limits, rules)
        duel = cls(Exchange.with_limits(limits, rules), engine, numbered)
        for instrument in specs:
            duel.play(Create(instrument))
        return duel

    def play(self, command: Command, later_ns: int = 0) -> list[Event]:
        """Give both the command, compare events and books, and return the events."""
        self.now_ns += later_ns
        expected = self.oracle.apply(command, self.now_ns)
        if self.engine is None:
            return expected
        asked = to_numbered(command) if self.numbered else to_bytes(command)
        found = events_of(self.engine.apply(asked, timestamp_ns=self.now_ns))
        assert found == expected, f"{command}\nengine {found}\noracle {expected}"
        assert self.engine.last_seq == self.oracle.seq
        assert self.engine.rules_version == self.oracle.rules
        agree([command], found)
        return found

    def play_batch(self, commands: Sequence[Command], later_ns: int = 0) -> None:
        """Give the engine the commands as one batch and the oracle each, and compare all events."""
        self.now_ns += later_ns
        expected = [e for each in commands for e in self.oracle.apply(each, self.now_ns)]
        if self.engine is None:
            return
        if self.numbered:
            asked = b"".join(to_numbered(each) for each in commands)
        else:
            asked = batch(commands)
        found = events_of(self.engine.apply(asked, timestamp_ns=self.now_ns))
        for event, wanted in zip(found, expected, strict=False):
            assert event == wanted, f"engine {event}\noracle {wanted}"
        assert len(found) == len(expected)
        agree(commands, found)

    def compare(self) -> None:
        """Compare the books and the counts, and check the invariants of both."""
        self.oracle.check()
        if self.engine is None:
            return
        for number, book in enumerate(self.oracle.books):
            bids, asks = self.engine.depth(number, LEVELS_SEEN)
            assert levels_of(bids) == book.levels(Side.BUY)
            assert levels_of(asks) == book.levels(Side.SELL)
            found = tuple(self.engine.trading_state(number))
            assert found == state_of(book, self.oracle.rules)
            best = [level for side in (Side.BUY, Side.SELL) for level in top(book.levels(side))]
            assert list(self.engine.best(number)) == best
        soonest = next_item(self.oracle)
        assert self.engine.next_due_ns() == (soonest.time_ns if soonest else 0)
        usage = self.engine.usage()
        expected = self.oracle.usage()
        assert {name: usage[name] for name in expected} == expected
        self.engine.check_invariants()

    def compare_keys(self) -> None:
        """Every key that the oracle holds answers the same in the engine."""
        if self.engine is None:
            return
        for key in self.oracle.registry.keys.values():
            digest = codec.key_digest(*(str(part).encode() for part in key.name))
            assert self.engine.find_key(digest) == (key.seq, key.body, key.timestamp_ns)

    def drain(self) -> None:
        """Sweep every book with market orders, so that the order of the queues shows."""
        for number in range(len(self.oracle.books)):
            for side in (Side.BUY, Side.SELL):
                name = 10**9 + self.oracle.seq if self.numbered else f"drain-{self.oracle.seq}"
                client = 0 if self.numbered else "drainer"
                quantity = self.oracle.books[number].instrument.quantity_lots_max
                sweep = Place(
                    client, name, side, quantity, instrument=number, type=OrderType.MARKET
                )
                self.play(sweep)
        self.compare()


def state_of(book: Book, rules: int) -> tuple[int, ...]:
    """Phase, its own end, whether it is held, last and reference price, and the indicative."""
    found = (book.phase, book.until_ns, book.held, book.last_price, book.reference_price)
    return (*(int(each) for each in found), *indicative(book, rules))


def top(levels: list[tuple[int, int, int]]) -> tuple[int, int]:
    """Price and total of the best level; zeros where there is none."""
    return (levels[0][0], levels[0][1]) if levels else (0, 0)


def levels_of(depth: object) -> list[tuple[int, int, int]]:
    """A side of `Engine.depth` as the oracle's tuples."""
    return [tuple(row[:3]) for row in depth.tolist()]


def batch(commands: Sequence[Command]) -> bytes:
    """Commands as one batch."""
    return b"".join(to_bytes(command) for command in commands)
