"""Clearing's calls: funds, terms, marks, tiers, settlements; each becomes one command."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from novate.gateway import clearing_forms as forms
from novate.gateway.accounts import AccountReader
from novate.gateway.busts import Busts
from novate.gateway.fields import (
    check_id,
    decoded,
    given,
    not_one_of,
    one_key,
    raise_all,
    read_decimal,
    read_price,
    read_signed,
)
from novate.gateway.operations import Operations, Reply
from novate.gateway.past_accounts import PastAccounts
from novate.gateway.problems import FieldError, ProblemError, refused, shown
from novate.gateway.submissions import Submission
from novate.model import clearing, codec
from novate.model.clearing import RATE_MAX, TIERS_MAX, UNITS_MAX, ClearingTerms, FeeTier
from novate.model.instrument import Instrument

Handler = Callable[[bytes, str | None, Reply], None]

_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)")
_STATES: Final = {"instructed": 2, "settled": 3, "failed": 4}


class Clearing:
    """Clearing's calls for one partition.

    Args:
        operations: Where commands are submitted.
        accounts: The engine's accounts.
        past: What is answered of them, from memory and ledger.
        busts: Takes trades back; is told when rates change.
        clock: ns since 1970 UTC; its date numbers a cycle that is closed without a number, and no
            cycle has a later one.
    """

    def __init__(
        self,
        operations: Operations,
        accounts: AccountReader,
        past: PastAccounts,
        busts: Busts,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._operations = operations
        self._accounts = accounts
        self.past = past
        self.reads = past.reads
        self.busts = busts
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

        def handler(body: bytes, header_key: str | None, reply: Reply) -> None:
            found = self._operations.validator.instruments.find(name)
            noted = reply if found is None else self.busts.rates.change(found.index, reply)
            inner(body, header_key, noted)

        inner = self._handler(command, lambda said: self.reads.terms(self.instrument(name)))
        return handler

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

        inner = self._handler(command)
        return lambda body, key, reply: inner(body, key, self.busts.rates.change(None, reply))

    # --- settlements ------------------------------------------------------------------------------

    def close_cycle(self) -> Handler:
        """POST /admin/settlements: 201 with the report; 200 where the cycle is closed already."""

        def handler(body: bytes, header_key: str | None, reply: Reply) -> None:
            try:
                asked = decoded(forms.decode_close, body or b"{}")
                number = self._cycle_number(asked.cycle)
            except ProblemError as error:
                self._operations.refuse(error, reply)
                return

            def answer(
                status: int, body: bytes, replayed: bool = False, retry_after: int | None = None
            ) -> None:
                if status == 200:
                    reply(201, self.reads.settlement(str(number)))
                elif status == 409:
                    self.past.closed_again(number, reply, lambda: reply(status, body))
                else:
                    reply(status, body, replayed, retry_after)

            self._operations.command(clearing.pack_settle(number), answer)

        return handler

    def _cycle_number(self, asked: int | None) -> int:
        """The number that a cycle is to be closed under: the one asked for, or today's date.

        No number is past today's date, for it would leave none to the days and cut-offs before it.
        Where one is, as journals of older versions may have it, the one after it can be asked for.
        Raises ProblemError 400, or 409 where today's date is not over the last cycle's number.
        """
        today, last = self._today(), self._accounts.last_cycle
        if asked is None and last > today:
            detail = f"the last cycle, {last}, is past today's date, {today}: expected its number"
            raise ProblemError(409, "cycle_closed_already", f"{detail}, {last + 1}, found nothing")
        number = asked or today
        most = today if last <= today else last + 1
        if number > most:
            which = "today's date" if last <= today else "the one after the last"
            message = f"expected at most {most}, {which}, found {number}"
            raise refused([FieldError("cycle", message, "out_of_bounds")])
        return number

    def _today(self) -> int:
        """Today's UTC date as a number such as 20250131, never before the journal's last time."""
        now_ns = max(self._clock(), self.reads.time_ns)
        return int(datetime.fromtimestamp(now_ns // 10**9, UTC).strftime("%Y%m%d"))

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
