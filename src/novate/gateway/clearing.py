"""Clearing's calls: funds, terms, marks, tiers, settlements, busts; each becomes one command."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from novate.gateway import clearing_forms as forms
from novate.gateway.accounts import AccountReader
from novate.gateway.fields import (
    check_id,
    decoded,
    given,
    not_one_of,
    one_key,
    raise_all,
    read_decimal,
    read_price,
    read_quantity,
)
from novate.gateway.operations import Operations, Reply
from novate.gateway.past_accounts import PastAccounts
from novate.gateway.problems import FieldError, ProblemError, refused, shown
from novate.gateway.reads import Reporter
from novate.gateway.submissions import Submission
from novate.model import clearing, codec
from novate.model.clearing import RATE_MAX, TIERS_MAX, ClearingTerms, FeeTier, TradeCorrection
from novate.model.instrument import Instrument

Handler = Callable[[bytes, str | None, Reply], None]

UNITS_MAX: Final = 10**33
"""Most units of an asset that one command may move."""

_TRADE_ID = re.compile(r"(\d{1,10})-(\d{1,15})-(\d{1,9})")
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)")
_STATES: Final = {"instructed": 2, "settled": 3, "failed": 4}


class Clearing:
    """Clearing's calls for one partition.

    Args:
        operations: Where commands are submitted.
        accounts: The engine's accounts.
        past: What is answered of them, from memory and ledger.
        reporter: Knows the last trades.
        partition: The first part of every trade id.
        clock: ns since 1970 UTC; its date numbers a cycle that is closed without a number.
    """

    def __init__(
        self,
        operations: Operations,
        accounts: AccountReader,
        past: PastAccounts,
        reporter: Reporter,
        partition: int = 0,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._operations = operations
        self._accounts = accounts
        self.past = past
        self.reads = past.reads
        self._reporter = reporter
        self._partition = partition
        self._clock = clock

    # --- funds ------------------------------------------------------------------------------------

    def transfer(self, comes: bool) -> Handler:
        """POST /admin/deposits and /admin/withdrawals."""

        def handler(body: bytes, header_key: str | None, reply: Reply) -> None:
            try:
                submission = self._transfer(comes, body, header_key)
            except ProblemError as error:
                self._operations.refuse(error, reply)
                return
            self._operations.submit(submission, created(reply))

        return handler

    def _transfer(self, comes: bool, body: bytes, header_key: str | None) -> Submission:
        asked = decoded(forms.decode_transfer, body)
        errors: list[FieldError] = []
        client_id = check_id("client_id", asked.client_id, errors)
        key = one_key(asked.idempotency_key, header_key)
        asset = -1 if asked.asset is None else self._accounts.asset(asked.asset)
        if asset < 0:
            names = ", ".join(sorted({name for name, _ in self._accounts.assets()})[:20])
            errors.append(not_one_of("asset", f"one of {names}", asked.asset))
            raise refused(errors)
        scale = self._accounts.assets()[asset][1]
        raw = given(asked.amount)
        if not raw:
            message = "expected a positive decimal, found nothing"
            errors.append(FieldError("amount", message, "missing_field"))
            raise refused(errors)
        units = read_decimal("amount", raw, (1, scale), (1, UNITS_MAX), errors)
        raise_all(errors)
        pack = clearing.pack_deposit if comes else clearing.pack_withdraw
        if key is None:
            return Submission(pack(client_id.encode(), asset, units), "")
        digest = codec.key_digest(client_id.encode(), key.encode())
        meaning = codec.body_digest(repr((comes, client_id, asset, units)).encode())
        command = pack(client_id.encode(), asset, units, digest, meaning)
        return Submission(command, "", digest, meaning)

    # --- terms ------------------------------------------------------------------------------------

    def terms(self, name: str) -> Handler:
        """POST /admin/instruments/{instrument}/clearing."""

        def command(body: bytes) -> bytes:
            instrument = self.instrument(name)
            asked = decoded(forms.decode_clearing, body)
            errors: list[FieldError] = []
            terms = read_terms(asked, errors)
            raise_all(errors)
            return clearing.pack_set_clearing(instrument.index, terms)

        return self._handler(command, lambda said: self.reads.terms(self.instrument(name)))

    def then_cleared(self, name: str, reply: Reply) -> Reply:
        """A reply that lets a new instrument be cleared in open mode before it is given."""

        def answer(
            status: int, body: bytes, replayed: bool = False, retry_after: int | None = None
        ) -> None:
            if status != 201:
                reply(status, body, replayed, retry_after)
                return
            number = self.instrument(name).index
            command = clearing.pack_set_clearing(number, ClearingTerms())
            self._operations.command(command, lambda *_: reply(201, body))

        return answer

    def mark(self, name: str) -> Handler:
        """POST /admin/instruments/{instrument}/mark."""

        def command(body: bytes) -> bytes:
            instrument = self.instrument(name)
            asked = decoded(forms.decode_mark, body)
            errors: list[FieldError] = []
            price = read_price(asked.price, instrument, errors) if given(asked.price) else 0
            raise_all(errors)
            return clearing.pack_set_mark(instrument.index, price)

        return self._handler(command, lambda said: self.reads.terms(self.instrument(name)))

    def tier(self, client_id: str) -> Handler:
        """POST /admin/clients/{client_id}/tier."""

        def command(body: bytes) -> bytes:
            asked = decoded(forms.decode_tier, body)
            errors: list[FieldError] = []
            client = check_id("client_id", client_id, errors)
            if asked.tier is None:
                message = f"expected 0 to {TIERS_MAX - 1}, found nothing"
                errors.append(FieldError("tier", message, "missing_field"))
            raise_all(errors)
            return clearing.pack_set_tier(client.encode(), asked.tier)

        return self._handler(command)

    # --- settlements ------------------------------------------------------------------------------

    def close_cycle(self) -> Handler:
        """POST /admin/settlements: 201 with the report; 200 where the cycle is closed already."""

        def handler(body: bytes, header_key: str | None, reply: Reply) -> None:
            try:
                asked = decoded(forms.decode_close, body or b"{}")
            except ProblemError as error:
                self._operations.refuse(error, reply)
                return
            number = asked.cycle or self._today()

            def answer(
                status: int, body: bytes, replayed: bool = False, retry_after: int | None = None
            ) -> None:
                if status == 200:
                    reply(201, self.reads.settlement(str(number)))
                elif status == 409 and self.reads.cycle_exists(number):
                    reply(200, self.reads.settlement(str(number)))
                else:
                    reply(status, body, replayed, retry_after)

            self._operations.command(clearing.pack_settle(number), answer)

        return handler

    def _today(self) -> int:
        """Today's UTC date as a number such as 20260131."""
        return int(datetime.fromtimestamp(self._clock() // 10**9, UTC).strftime("%Y%m%d"))

    def move_settlement(self, name: str) -> Handler:
        """POST /admin/settlements/{cycle}/state."""

        def command(body: bytes) -> bytes:
            asked = decoded(forms.decode_move, body)
            if asked.state not in _STATES:
                expected = "one of " + ", ".join(_STATES)
                raise refused([not_one_of("state", expected, asked.state)])
            if not name.isdecimal() or len(name) > 18:
                raise ProblemError(404, "unknown_cycle", f"no closed cycle is {shown(name)}")
            return clearing.pack_move_settlement(
                int(name), clearing.SettlementState(_STATES[asked.state])
            )

        return self._handler(command, lambda said: self.reads.settlement(name))

    def cutoff(self) -> Handler:
        """POST /admin/settlements/cutoff."""

        def command(body: bytes) -> bytes:
            asked = decoded(forms.decode_cutoff, body)
            if asked.at is None:
                return clearing.pack_set_cutoff(-1)
            match = _TIME_OF_DAY.fullmatch(asked.at)
            if match is None:
                message = f"expected a time of day in UTC like 17:05:00, found {shown(asked.at)}"
                raise refused([FieldError("at", message, "invalid_value")])
            seconds = int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])
            return clearing.pack_set_cutoff(seconds)

        return self._handler(command)

    # --- busts ------------------------------------------------------------------------------------

    def bust(self, trade_id: str) -> Handler:
        """POST /admin/trades/{trade_id}/bust."""

        def command(body: bytes) -> bytes:
            asked = decoded(forms.decode_bust, body)
            return clearing.pack_correct_trade(self._correction(trade_id, asked))

        return self._handler(command)

    def _correction(self, trade_id: str, asked: forms.BustTrade) -> TradeCorrection:
        match = _TRADE_ID.fullmatch(trade_id)
        if match is None or int(match[1]) != self._partition:
            raise ProblemError(404, "unknown_trade", f"no trade is named {shown(trade_id)}")
        seq, index = int(match[2]), int(match[3])
        errors: list[FieldError] = []
        instrument = self._operations.validator.find_instrument(asked.instrument, errors)
        if instrument is None:
            raise refused(errors)
        known = self._remembered(instrument, seq, index)
        price, lots = self._as_it_was(asked, known, instrument, errors)
        buyer = self._party("buy_client_id", asked.buy_client_id, known, errors)
        seller = self._party("sell_client_id", asked.sell_client_id, known, errors)
        new_price = new_lots = 0
        if given(asked.new_quantity) or given(asked.new_price):
            new_price = read_price(asked.new_price, instrument, errors, "new_price")
            new_lots = read_quantity(asked.new_quantity, instrument, errors)
        raise_all(errors)
        fees = [
            self._fee(instrument, client, side, units, known)
            for units in (
                price * lots * instrument.quote_units,
                new_price * new_lots * instrument.quote_units,
            )
            for client, side in ((buyer, "buy"), (seller, "sell"))
        ]
        fees[0] = self._given_fee("buy_fee", asked.buy_fee, fees[0], instrument, errors)
        fees[1] = self._given_fee("sell_fee", asked.sell_fee, fees[1], instrument, errors)
        raise_all(errors)
        return TradeCorrection(
            seq=seq,
            index=index,
            instrument=instrument.index,
            buyer=buyer,
            seller=seller,
            price_ticks=price,
            quantity_lots=lots,
            buyer_fee=fees[0],
            seller_fee=fees[1],
            new_price_ticks=new_price,
            new_quantity_lots=new_lots,
            new_buyer_fee=fees[2],
            new_seller_fee=fees[3],
        )

    def _remembered(self, instrument: Instrument, seq: int, index: int) -> dict[str, Any]:
        """The trade as the window of last trades has it, {}: it left."""
        after = f"{self._partition}-{seq}-{index + 1}"
        text = self._reporter.trades_json(instrument.index, 1, after, True)
        found = json.loads(text or b'{"trades": []}', parse_float=Decimal)["trades"]
        wanted = f"{self._partition}-{seq}-{index}"
        return found[0] if found and found[0]["trade_id"] == wanted else {}

    def _as_it_was(
        self,
        asked: forms.BustTrade,
        known: dict[str, Any],
        instrument: Instrument,
        errors: list[FieldError],
    ) -> tuple[int, int]:
        """Price in ticks and quantity in lots, as remembered or given, which must agree."""
        raw_price, raw_quantity = asked.price, asked.quantity
        if known and not given(raw_price):
            raw_price = msgspec.Raw(str(known["price"]).encode())
        if known and not given(raw_quantity):
            raw_quantity = msgspec.Raw(str(known["quantity"]).encode())
        price = read_price(raw_price, instrument, errors)
        lots = read_quantity(raw_quantity, instrument, errors)
        if not errors and known and (price, lots) != self._steps(known, instrument):
            message = "expected price and quantity as the trade had them"
            errors.append(FieldError("price", message, "out_of_bounds"))
        return price, lots

    def _steps(self, known: dict[str, Any], instrument: Instrument) -> tuple[int, int]:
        errors: list[FieldError] = []
        return (
            read_price(msgspec.Raw(str(known["price"]).encode()), instrument, errors),
            read_quantity(msgspec.Raw(str(known["quantity"]).encode()), instrument, errors),
        )

    def _party(
        self, field: str, asked: str | None, known: dict[str, Any], errors: list[FieldError]
    ) -> int:
        name = asked or known.get(field)
        if name is None:
            message = "expected a client, for the exchange does not remember the trade"
            errors.append(FieldError(field, message, "missing_field"))
            return 0
        number = self._accounts.client(name)
        if number < 0 or name != known.get(field, name):
            message = f"expected the client of the trade, found {shown(name)}"
            errors.append(FieldError(field, message, "invalid_value"))
        return number

    def _fee(
        self, instrument: Instrument, client: int, side: str, units: int, known: dict[str, Any]
    ) -> int:
        """The fee of a side at present rates; 0 where it is not known who was the taker."""
        if not known:
            return 0
        taker = known["taker_side"] in (None, side)
        rate = self._accounts.rate(instrument.index, client, taker)
        return clearing.fee_units(units, rate)

    def _given_fee(
        self,
        field: str,
        raw: msgspec.Raw,
        usual: int,
        instrument: Instrument,
        errors: list[FieldError],
    ) -> int:
        text = given(raw)
        if not text:
            return usual
        return read_signed(field, text, instrument.quote_scale, UNITS_MAX, errors)

    # --- what all share ---------------------------------------------------------------------------

    def instrument(self, name: str) -> Instrument:
        """The instrument of this name; ProblemError 404."""
        found = self._operations.validator.instruments.find(name)
        if found is None:
            raise ProblemError(404, "unknown_instrument", f"no instrument is named {shown(name)}")
        return found

    def _handler(
        self, command: Callable[[bytes], bytes], said: Callable[[bytes], bytes] | None = None
    ) -> Handler:
        """A handler that submits a command; `said` makes the answer once it is done."""

        def handler(body: bytes, header_key: str | None, reply: Reply) -> None:
            try:
                packed = command(body)
            except ProblemError as error:
                self._operations.refuse(error, reply)
                return

            def answer(
                status: int, body: bytes, replayed: bool = False, retry_after: int | None = None
            ) -> None:
                if status == 200 and said is not None:
                    body = said(body)
                reply(status, body, replayed, retry_after)

            self._operations.command(packed, answer)

        return handler


def created(reply: Reply) -> Reply:
    """A reply that says 201 where the command says 200."""

    def answer(
        status: int, body: bytes, replayed: bool = False, retry_after: int | None = None
    ) -> None:
        reply(201 if status == 200 else status, body, replayed, retry_after)

    return answer


def read_terms(asked: forms.SetClearing, errors: list[FieldError]) -> ClearingTerms:
    """The terms that a request asks for."""
    mode, mark = asked.mode or "open", asked.mark or "last"
    if mode not in ("open", "funded"):
        errors.append(not_one_of("mode", "open or funded", mode))
    if mark not in ("last", "mid"):
        errors.append(not_one_of("mark", "last or mid", mark))
    bodies = asked.fees or []
    if len(bodies) > TIERS_MAX:
        message = f"expected at most {TIERS_MAX} tiers, found {len(bodies)}"
        errors.append(FieldError("fees", message, "out_of_bounds"))
    tiers = []
    for number, each in enumerate(bodies[:TIERS_MAX]):
        maker, taker = (
            read_signed(f"fees[{number}].{name}", text, 2, RATE_MAX, errors) if text else 0
            for name, text in (
                ("maker_bps", given(each.maker_bps)),
                ("taker_bps", given(each.taker_bps)),
            )
        )
        tiers.append(FeeTier(maker, taker))
        if not tiers[-1].sound():
            message = "expected a taker's fee from 0 to 10000, and no rebate above it"
            errors.append(FieldError(f"fees[{number}]", message, "out_of_bounds"))
    if errors:
        return ClearingTerms()
    return ClearingTerms(mode=mode, tiers=tuple(tiers), mark=mark)  # type: ignore[arg-type]


def read_signed(field: str, raw: bytes, exponent: int, most: int, errors: list[FieldError]) -> int:
    """A decimal that may be under 0, in steps of `10**-exponent`."""
    text = raw.strip(b'"')
    below = text.startswith(b"-")
    value = read_decimal(field, text[1:] if below else raw, (1, exponent), (0, most), errors)
    return -value if below else value
