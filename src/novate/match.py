"""`novate match FILE`: plays an order file of the matching-engine challenge through the engine.

Owns that file format and its rules, which differ from the exchange's in two points: a modify is a
cancel and a new order with the full new quantity, and an id is free again once its order is closed.
It never touches a journal: nothing here is durable.

Input: `seq,type,order_id,side,price,qty,ioc`; type N new, C cancel, M modify; side B or S; prices
in ticks. Reports, sorted by (seq, type): `0,seq,side,id,price,qty` accepted, `1,seq,price,qty,
maker,taker` trade, `2,seq,side,id,price` cancelled, `3,seq,side,id,price,qty` modified, `4,seq,id`
cancel rejected, `5,seq,id` modify rejected.

Source: the public matching-engine challenge (flash1-dev/matching-engine-benchmark).
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from novate.engine import Engine
from novate.model import codec
from novate.model.commands import COMMAND, CommandKind, IdKind, TimeInForce
from novate.model.errors import NovateError
from novate.model.events import EventKind
from novate.model.instrument import Instrument, Limits
from novate.model.rejects import Reason

Records = np.ndarray[Any, np.dtype[np.void]]

COLUMNS: Final = "seq,type,order_id,side,price,qty,ioc"
BBO_COLUMNS: Final = "seq,best_bid,bid_qty,best_ask,ask_qty"
LINES_PER_BATCH: Final = 65_536

INSTRUMENT: Final = Instrument(
    name="MATCH", base="MATCH", quote="TICK", tick_exponent=0, lot_exponent=0, quote_scale=0
)
# Ids are free again once their order is closed, so nothing that closed is remembered.
LIMITS: Final = Limits(closed_orders_max=0, trades_per_instrument_max=0)


class MatchFileError(NovateError):
    """A line of the file does not have the form of the challenge, or asks what can't be."""


class Message(NamedTuple):
    """One line of the file; `side` is 0 buy, 1 sell."""

    seq: int
    kind: str
    order_id: int
    side: int
    price: int
    quantity: int
    ioc: bool


class Report(NamedTuple):
    """One line of the answer, sorted by `seq` (the file's) and `kind`."""

    seq: int
    kind: int
    text: str


def run(file: Path, bbo: Path | None = None) -> int:
    """Play the file (plain or .gz) and write the reports to stdout, without a newline at the end.

    Args:
        file: The order file.
        bbo: Where the best bid and ask after each message go, if wanted.

    Returns:
        The exit code, 0.

    Raises:
        MatchFileError: a line is malformed, with its number and what was expected.
    """
    reports: list[Report] = []
    quotes = [BBO_COLUMNS]
    game = Game()
    for batch in batches(read_messages(file), 1 if bbo else LINES_PER_BATCH):
        reports += game.play(batch)
        if bbo:
            quotes.append(game.best_text(batch[0].seq))
    reports.sort(key=lambda report: (report.seq, report.kind))
    sys.stdout.write("\n".join(report.text for report in reports))
    sys.stdout.flush()
    if bbo:
        bbo.write_text("\n".join(quotes) + "\n", encoding="ascii")
    return 0


def read_messages(file: Path) -> Iterator[Message]:
    """The messages of a file, in its order."""
    try:
        with open_text(file) as lines:
            header = next(lines, "").strip()
            if header != COLUMNS:
                raise MatchFileError(f"{file}: expected the columns {COLUMNS}, found {header!r}")
            for number, line in enumerate(lines, start=2):
                if line.strip():
                    yield parse_message(line.rstrip("\r\n"), f"{file}:{number}")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise MatchFileError(f"{file}: {error}") from error


def open_text(file: Path) -> Any:
    """The file as lines of text, unpacked if its name ends with .gz."""
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="ascii")
    return file.open(encoding="ascii")


def parse_message(line: str, place: str) -> Message:
    """A line as a message; `place` names it in the error."""
    fields = line.split(",")
    try:
        seq, kind, order_id, side, price, quantity, ioc = fields
        is_cancel = kind == "C"
        sides = {"B": 0, "S": 1, **({"-": 0} if is_cancel else {})}
        if kind not in ("N", "C", "M") or ioc not in ("0", "1"):
            raise ValueError("type is N, C or M and ioc 0 or 1")
        texts = (seq, order_id, price, quantity)
        # isdecimal: int() would also take 1_000 and blanks.
        numbers = [int(text) for text in texts if text.isdecimal()]
        if len(numbers) != len(texts) or max(numbers) >= 2**63:
            raise ValueError("numbers are digits, and lie in 0..2^63-1")
        at, order, ticks, lots = numbers
        return Message(at, kind, order, sides[side], ticks, lots, ioc == "1")
    except (ValueError, KeyError) as error:
        raise MatchFileError(f"{place}: expected {COLUMNS}, found {line!r} ({error})") from error


def batches(messages: Iterator[Message], size: int) -> Iterator[list[Message]]:
    """Runs of messages that one call of the engine can take.

    A modify stands alone, as whether its new order is placed hangs on what its cancel finds.
    """
    batch: list[Message] = []
    for message in messages:
        if batch and (len(batch) >= size or "M" in (message.kind, batch[-1].kind)):
            yield batch
            batch = []
        batch.append(message)
    if batch:
        yield batch


class Game:
    """An engine with one book, and the challenge's rules on top of it."""

    def __init__(self) -> None:
        self.engine = Engine(LIMITS)
        self.engine.apply(codec.pack_create_instrument(INSTRUMENT))

    def play(self, batch: list[Message]) -> Iterator[Report]:
        """Carry out one batch and report what came of it, in the order of the events."""
        if batch[0].kind != "M":
            yield from self.report(batch, self.apply(batch))
            return
        (modify,) = batch
        cancelled = self.apply([modify._replace(kind="C")])
        if cancelled["kind"][0] == EventKind.COMMAND_REFUSED:
            yield Report(modify.seq, 5, f"5,{modify.seq},{modify.order_id}")
            return
        yield from self.report(batch, self.apply([modify._replace(kind="N", ioc=False)]))

    def apply(self, batch: list[Message]) -> Records:
        """The events of new orders and cancels."""
        events: Records = self.engine.apply(commands_of(batch))
        return events

    def report(self, batch: list[Message], events: Records) -> Iterator[Report]:
        """The reports of a batch's events."""
        first_seq = self.engine.last_seq - len(batch) + 1
        fields = ["seq", "kind", "side", "reason", "order", "taker", "price_ticks", "quantity_lots"]
        for seq, kind, side, reason, order, taker, price, quantity in events[fields].tolist():
            message = batch[seq - first_seq]
            at = message.seq
            if kind == EventKind.ORDER_ACCEPTED:
                code = 3 if message.kind == "M" else 0
                yield Report(at, code, f"{code},{at},{side},{order},{price},{quantity}")
            elif kind == EventKind.TRADE:
                yield Report(at, 1, f"1,{at},{price},{quantity},{order},{taker}")
            elif kind == EventKind.ORDER_ENDED:
                yield Report(at, 2, f"2,{at},{side},{order},{price}")
            elif message.kind == "C":
                yield Report(at, 4, f"4,{at},{message.order_id}")
            else:
                raise MatchFileError(
                    f"seq {at}: the engine refused {message}: {Reason(reason).name}"
                )

    def best_text(self, seq: int) -> str:
        """The best bid and ask now, empty where there is none."""
        bid, bid_lots, ask, ask_lots = self.engine.best(0)
        best_bid = f"{bid},{bid_lots}" if bid_lots else ","
        best_ask = f"{ask},{ask_lots}" if ask_lots else ","
        return f"{seq},{best_bid},{best_ask}"


def commands_of(batch: list[Message]) -> Records:
    """New orders and cancels as an array of commands."""
    _, kinds, order_ids, sides, prices, quantities, iocs = zip(*batch, strict=True)
    records = np.zeros(len(batch), COMMAND)
    is_new = np.array(kinds) == "N"
    records["kind"] = np.where(is_new, CommandKind.PLACE, CommandKind.CANCEL)
    records["order_id_kind"] = IdKind.NUMBER
    records["order_number"] = order_ids
    records["side"] = np.where(is_new, sides, 0)
    records["price_ticks"] = np.where(is_new, prices, 0)
    records["quantity_lots"] = np.where(is_new, quantities, 0)
    records["time_in_force"] = np.where(iocs, TimeInForce.IOC, TimeInForce.GTC) * is_new
    return records
