"""Trades that the operator takes back or corrects: what is undone is the trade that was.

Memory knows the last trades, the ledger all of them; what a caller says of one only confirms it.
Each becomes one command, which carries the whole trade with the fees that were charged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec

from novate.gateway import clearing_forms as forms
from novate.gateway.accounts import AccountReader, scaled
from novate.gateway.fields import (
    check_id,
    decoded,
    given,
    raise_all,
    read_decimal,
    read_price,
    read_signed,
)
from novate.gateway.history import RETRY_OFF_SECONDS, History
from novate.gateway.operations import Operations, Reply
from novate.gateway.problems import FieldError, ProblemError, refused, shown
from novate.gateway.reads import Reporter
from novate.model import clearing, codec
from novate.model.clearing import UNITS_MAX, ClearedTrade, TradeCorrection
from novate.model.commands import Side
from novate.model.instrument import Instrument
from novate.model.packing import pack_advance_time

if TYPE_CHECKING:
    from novate.ledger.answers import Answers

Handler = Callable[[bytes, str | None, Reply], None]

BEHIND_SECONDS: Final = 1
"""Retry-After of a trade that the ledger has not come to; it is written every 0.15 s."""

_TRADE_ID = re.compile(r"(\d{1,10})-(\d{1,15})-(\d{1,9})", re.ASCII)
_SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL, None: None}


class Engine(Protocol):
    """What is asked of an engine beside its accounts."""

    @property
    def last_seq(self) -> int:
        """The last command that was applied."""
        ...


class RatesInForce:
    """Since when the rates of fees are what they are: later trades were charged by these.

    What was before this process began is not known here.

    Args:
        accounts: Has the rates.
        engine: Stands where its state is.
    """

    def __init__(self, accounts: AccountReader, engine: Engine) -> None:
        self._accounts = accounts
        self._engine = engine
        self._terms: dict[int, int] = {}
        self._began = self._tiers = engine.last_seq

    def since(self, instrument: int) -> int:
        """The seq behind which no rate of an instrument has changed for anybody."""
        since = self._terms.get(instrument, self._began)
        terms = self._accounts.terms(instrument)
        return max(since, self._tiers) if terms is not None and terms.tiers else since

    def change(self, instrument: int | None, reply: Reply) -> Reply:
        """A reply to a command that may change rates: of an instrument, or (None) a client's tier.

        The sequencer answers a command in the same step in which it is applied.
        """

        def answer(
            status: int, body: bytes, replayed: bool = False, retry_after: int | None = None
        ) -> None:
            if instrument is None:
                self._tiers = self._engine.last_seq
            else:
                self._terms[instrument] = self._engine.last_seq
            reply(status, body, replayed, retry_after)

        return answer


class Place(NamedTuple):
    """Which trade is meant."""

    name: str
    instrument: Instrument
    seq: int
    trade_index: int


class Said(NamedTuple):
    """What a request says that a trade was: a value, the field it came in, how it stands there."""

    value: int | str
    field: str
    found: bytes | str


class Asked(NamedTuple):
    """What a request says of a trade, read.

    Attributes:
        said: What the trade was, by the names of `ClearedTrade`; of its clients the ids.
        price_ticks, quantity_lots: As it is to be; no lots: it is busted.
    """

    said: dict[str, Said]
    price_ticks: int
    quantity_lots: int


class Busts:
    """Busts and corrections for one partition.

    Args:
        operations: Where commands are submitted.
        accounts: The engine's accounts.
        engine: Stands where its state is.
        reporter: Knows the last trades.
        history: Asks the ledger for the others.
        partition: The first part of every trade id.

    Attributes:
        rates: To be told of every command that changes them.
    """

    def __init__(
        self,
        operations: Operations,
        accounts: AccountReader,
        engine: Engine,
        reporter: Reporter,
        history: History,
        partition: int = 0,
    ) -> None:
        self._operations = operations
        self._accounts = accounts
        self._engine = engine
        self._reporter = reporter
        self._history = history
        self._partition = partition
        self.rates = RatesInForce(accounts, engine)

    def bust(self, trade_id: str) -> Handler:
        """POST /admin/trades/{trade_id}/bust."""

        def handler(body: bytes, header_key: str | None, reply: Reply) -> None:
            self._refusing(reply, lambda: self._begin(trade_id, body, reply))

        return handler

    def _refusing(self, reply: Reply, step: Callable[[], None]) -> None:
        try:
            step()
        except ProblemError as error:
            self._operations.refuse(error, reply)

    def _begin(self, trade_id: str, body: bytes, reply: Reply) -> None:
        match = _TRADE_ID.fullmatch(trade_id)
        if match is None or int(match[1]) != self._partition:
            raise ProblemError(404, "unknown_trade", f"no trade is named {shown(trade_id)}")
        form: forms.BustTrade = decoded(forms.decode_bust, body)
        errors: list[FieldError] = []
        instrument = self._operations.validator.find_instrument(form.instrument, errors)
        if instrument is None:
            raise refused(errors)
        asked = read_asked(form, instrument, errors)
        raise_all(errors)
        place = Place(trade_id, instrument, int(match[2]), int(match[3]))
        if not 0 < place.seq <= self._engine.last_seq:
            raise self._unknown(place, "in memory")
        known = self._remembered(place)
        if known is not None:
            self._submit(place, asked, known, reply)
        else:
            self._ask(place, asked, reply)

    def _unknown(self, place: Place, where: str) -> ProblemError:
        detail = f"no trade of {place.instrument.name} {where} has the id {shown(place.name)}"
        return ProblemError(404, "unknown_trade", detail)

    # --- the trade that was -----------------------------------------------------------------------

    def _remembered(self, place: Place) -> ClearedTrade | None:
        """The trade from the window of last trades; None: it, or what it was charged, is not there.

        What it was charged is known where the rates then are those in force.
        """
        instrument = place.instrument
        if place.seq <= self.rates.since(instrument.index):
            return None
        after = f"{self._partition}-{place.seq}-{place.trade_index + 1}"
        text = self._reporter.trades_json(instrument.index, 1, after, True)
        found = json.loads(text or b'{"trades": []}', parse_float=str, parse_int=str)["trades"]
        wanted = f"{self._partition}-{place.seq}-{place.trade_index}"
        if not found or found[0]["trade_id"] != wanted:
            return None
        return self._read(found[0], instrument)

    def _read(self, row: dict[str, Any], instrument: Instrument) -> ClearedTrade | None:
        """A trade of `Reporter.trades_json`, its numbers as text, with its fees."""
        ticks = instrument.tick_coefficient, instrument.tick_exponent
        lots = instrument.lot_coefficient, instrument.lot_exponent
        buyer, seller = (
            self._accounts.client(row[name]) for name in ("buy_client_id", "sell_client_id")
        )
        if buyer < 0 or seller < 0:
            return None
        trade = ClearedTrade(
            buyer=buyer,
            seller=seller,
            price_ticks=codec.parse_scaled(row["price"].encode(), *ticks, 2**63 - 1),
            quantity_lots=codec.parse_scaled(row["quantity"].encode(), *lots, 2**63 - 1),
            taker_side=_SIDES[row["taker_side"]],
        )
        fees = self._fees(instrument, trade, trade.price_ticks, trade.quantity_lots)
        return msgspec.structs.replace(trade, buyer_fee=fees[0], seller_fee=fees[1])

    def _fees(
        self, instrument: Instrument, trade: ClearedTrade, price: int, lots: int
    ) -> tuple[int, int]:
        """What buyer and seller pay at the rates in force for a price and so many lots."""
        units = price * lots * instrument.quote_units
        buyer, seller = (
            clearing.fee_units(
                units,
                self._accounts.rate(instrument.index, client, trade.taker_side in (None, side)),
            )
            for client, side in ((trade.buyer, Side.BUY), (trade.seller, Side.SELL))
        )
        return buyer, seller

    def _ask(self, place: Place, asked: Asked, reply: Reply) -> None:
        """Go on with the trade as the ledger has it."""
        if not self._history.is_on:
            detail = (
                f"memory does not have the trade {shown(place.name)} of {place.instrument.name} "
                "with what it was charged, and this exchange keeps no ledger to read it from"
            )
            raise ProblemError(503, "ledger_off", detail, retry_after=RETRY_OFF_SECONDS)
        number = place.instrument.index

        def question(answers: Answers) -> tuple[int, ClearedTrade | None]:
            return answers.cleared_trade(number, place.seq, place.trade_index)

        def answered(found: tuple[int, ClearedTrade | None]) -> None:
            self._refusing(reply, partial(self._go_on, place, asked, *found, reply))

        self._history.ask(
            question, answered, lambda problem: self._operations.refuse(problem, reply)
        )

    def _go_on(
        self, place: Place, asked: Asked, seq: int, found: ClearedTrade | None, reply: Reply
    ) -> None:
        if found is not None:
            self._submit(place, asked, found, reply)
            return
        if seq < place.seq:
            detail = (
                f"memory does not have the trade {shown(place.name)} with what it was charged, and "
                f"the ledger has come to sequence {seq}"
            )
            raise ProblemError(503, "ledger_behind", detail, retry_after=BEHIND_SECONDS)
        raise self._unknown(place, f"in memory or, up to sequence {seq}, in the ledger")

    # --- the command ------------------------------------------------------------------------------

    def _submit(self, place: Place, asked: Asked, trade: ClearedTrade, reply: Reply) -> None:
        self._confirm(place, asked, trade)
        if not trade.cleared:
            detail = f"{place.instrument.name} was not cleared when the trade was made"
            raise ProblemError(409, "not_cleared", f"{detail}: no account has it")
        new = asked.price_ticks, asked.quantity_lots
        new_fees = self._fees(place.instrument, trade, *new)
        correction = TradeCorrection(
            seq=place.seq,
            index=place.trade_index,
            instrument=place.instrument.index,
            buyer=trade.buyer,
            seller=trade.seller,
            price_ticks=trade.price_ticks,
            quantity_lots=trade.quantity_lots,
            buyer_fee=trade.buyer_fee,
            seller_fee=trade.seller_fee,
            new_price_ticks=new[0],
            new_quantity_lots=new[1],
            new_buyer_fee=new_fees[0],
            new_seller_fee=new_fees[1],
        )
        command = clearing.pack_correct_trade(correction)
        if not correction.new_quantity_lots:
            self._operations.command(command, reply)
            return
        # The trade in the other's place is named by the command's seq and 0. So would be the first
        # trade of an auction that falls due with it: what is due happens at a command before.
        self._operations.together(
            [pack_advance_time(), command], lambda outcomes: reply(*outcomes[1][:2]), reply
        )

    def _confirm(self, place: Place, asked: Asked, trade: ClearedTrade) -> None:
        """Raise a ProblemError 409 that names whatever the request has otherwise."""
        errors = []
        for name, said in asked.said.items():
            was = getattr(trade, name)
            if name in ("buyer", "seller"):
                was = self._accounts.client_id(was)
            if was != said.value:
                expected = self._shown(place.instrument, name, was)
                message = f"expected {expected} as the trade had it, found {shown(said.found)}"
                errors.append(FieldError(said.field, message, "trade_differs"))
        if errors:
            detail = f"{errors[0].field}: {errors[0].message}"
            raise ProblemError(409, "trade_differs", detail, errors)

    @staticmethod
    def _shown(instrument: Instrument, name: str, value: int | str) -> str:
        """A value of a trade as a request has it."""
        if isinstance(value, str):
            return shown(value)
        if name == "price_ticks":
            grid = instrument.tick_coefficient, instrument.tick_exponent
        elif name == "quantity_lots":
            grid = instrument.lot_coefficient, instrument.lot_exponent
        else:
            return bytes(scaled(value, instrument.quote_scale)).decode()
        return codec.format_scaled(value, *grid).decode()


def read_asked(asked: forms.BustTrade, instrument: Instrument, errors: list[FieldError]) -> Asked:
    """What a request says of a trade; one more error for every field that is malformed."""
    said: dict[str, Said] = {}
    if given(asked.price):
        price = read_price(asked.price, instrument, errors)
        said["price_ticks"] = Said(price, "price", given(asked.price))
    if given(asked.quantity):
        lots = _read_lots("quantity", asked.quantity, instrument, errors)
        said["quantity_lots"] = Said(lots, "quantity", given(asked.quantity))
    for name, field, client_id in (
        ("buyer", "buy_client_id", asked.buy_client_id),
        ("seller", "sell_client_id", asked.sell_client_id),
    ):
        if client_id is not None:
            said[name] = Said(check_id(field, client_id, errors), field, client_id)
    for name, field, raw in (
        ("buyer_fee", "buy_fee", asked.buy_fee),
        ("seller_fee", "sell_fee", asked.sell_fee),
    ):
        text = given(raw)
        if text:
            units = read_signed(field, text, instrument.quote_scale, UNITS_MAX, errors)
            said[name] = Said(units, field, text)
    if not given(asked.new_price) and not given(asked.new_quantity):
        return Asked(said, 0, 0)
    price = read_price(asked.new_price, instrument, errors, "new_price")
    return Asked(said, price, _read_lots("new_quantity", asked.new_quantity, instrument, errors))


def _read_lots(
    field: str, raw: msgspec.Raw, instrument: Instrument, errors: list[FieldError]
) -> int:
    """A trade's lots, which may be fewer than an order's."""
    text = given(raw)
    if not text:
        errors.append(FieldError(field, "expected a quantity, found nothing", "missing_field"))
        return 0
    grid = instrument.lot_coefficient, instrument.lot_exponent
    return read_decimal(field, text, grid, (1, instrument.quantity_lots_max), errors)
