"""Controls: an operator's hold on the market, and a client's dead-man timer.

Each call is checked, becomes one command, and is answered when that is durable. What is said of an
instrument is what `Reads` says of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from novate.gateway import requests
from novate.gateway.fields import (
    check_id,
    decoded,
    given,
    not_one_of,
    raise_all,
    read_decimal,
)
from novate.gateway.market_rules import PHASES, PHASES_EXPECTED, read_limits, read_rules
from novate.gateway.operations import Operations, Reply
from novate.gateway.problems import FieldError, ProblemError, refused, shown
from novate.gateway.reads import Reads
from novate.gateway.terms import read_time
from novate.model import packing
from novate.model.commands import Phase
from novate.model.instrument import DAY_S, Instrument

Handler = Callable[[bytes, str | None, Reply], None]

TIMER_MS_MAX: Final = DAY_S * 1000
"""The longest dead-man timer, in milliseconds."""


class Controls:
    """The controls of one partition.

    Args:
        operations: Where commands are submitted.
        reads: What is answered of an instrument.
        clock: ns since 1970 UTC, from which a timer's deadline is counted.
    """

    def __init__(
        self, operations: Operations, reads: Reads, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._operations = operations
        self._reads = reads
        self._clock = clock

    def rules(self, name: str) -> Handler:
        """POST /admin/instruments/{instrument}/rules."""

        def command(body: bytes) -> bytes:
            instrument = self._instrument(name)
            errors: list[FieldError] = []
            rules = read_rules(decoded(requests.decode_rules, body), instrument, errors)
            raise_all(errors)
            return packing.pack_set_rules(instrument.index, rules)

        return self._handler(command, name)

    def phase(self, name: str) -> Handler:
        """POST /admin/instruments/{instrument}/phase."""

        def command(body: bytes) -> bytes:
            instrument = self._instrument(name)
            asked = decoded(requests.decode_phase, body)
            errors: list[FieldError] = []
            if asked.phase not in PHASES:
                errors.append(not_one_of("phase", PHASES_EXPECTED, asked.phase))
            until = given(asked.until)
            until_ns = read_time("until", until, errors) if until else 0
            if until and asked.phase == "continuous":
                message = "expected null, as continuous trading has no end of its own"
                errors.append(FieldError("until", message, "unexpected_field"))
            raise_all(errors)
            phase = Phase[asked.phase.upper()]
            return packing.pack_set_phase(instrument.index, phase, until_ns)

        return self._handler(command, name)

    def limits(self, client_id: str) -> Handler:
        """POST /admin/clients/{client_id}/limits."""

        def command(body: bytes) -> bytes:
            asked = decoded(requests.decode_limits, body)
            errors: list[FieldError] = []
            client = check_id("client_id", client_id, errors)
            instrument = self._operations.validator.find_instrument(asked.instrument, errors)
            if instrument is None:
                raise refused(errors)
            limits = read_limits(asked, instrument, errors)
            raise_all(errors)
            return packing.pack_set_client_limits(client.encode(), instrument.index, limits)

        return self._handler(command)

    def kill(self, client_id: str | None) -> Handler:
        """POST /admin/kill, and POST /admin/clients/{client_id}/kill."""

        def command(body: bytes) -> bytes:
            asked = decoded(requests.decode_kill, body)
            errors: list[FieldError] = []
            if asked.on is None:
                message = "expected true or false, found nothing"
                errors.append(FieldError("on", message, "missing_field"))
            if client_id is not None:
                check_id("client_id", client_id, errors)
            raise_all(errors)
            client = None if client_id is None else client_id.encode()
            return packing.pack_kill(client, asked.on)

        return self._handler(command)

    def cancel_after(self) -> Handler:
        """POST /orders/cancel-after."""

        def handler(body: bytes, header_key: str | None, reply: Reply) -> None:
            try:
                asked = decoded(requests.decode_cancel_after, body)
                errors: list[FieldError] = []
                client = check_id("client_id", asked.client_id, errors)
                deadline_ns = self._deadline(given(asked.seconds), errors)
                raise_all(errors)
            except ProblemError as error:
                self._operations.refuse(error, reply)
                return
            command = packing.pack_cancel_after(client.encode(), deadline_ns)
            self._operations.client_command(command, client, reply)

        return handler

    def _deadline(self, raw: bytes, errors: list[FieldError]) -> int:
        if not raw:
            message = "expected seconds from now, 0 to stop the timer, found nothing"
            errors.append(FieldError("seconds", message, "missing_field"))
            return 0
        wait_ms = read_decimal("seconds", raw, (1, 3), (0, TIMER_MS_MAX), errors)
        return self._clock() + wait_ms * 10**6 if wait_ms else 0

    def _handler(self, command: Callable[[bytes], bytes], name: str | None = None) -> Handler:
        """A handler that submits a command; `name` is the instrument that it answers with."""

        def handler(body: bytes, header_key: str | None, reply: Reply) -> None:
            try:
                packed = command(body)
            except ProblemError as error:
                self._operations.refuse(error, reply)
                return

            def answer(
                status: int, body: bytes, replayed: bool = False, retry_after: int | None = None
            ) -> None:
                if status == 200 and name is not None:
                    body = self._reads.instrument(name)
                reply(status, body, replayed, retry_after)

            self._operations.command(packed, answer)

        return handler

    def _instrument(self, name: str) -> Instrument:
        found = self._operations.validator.instruments.find(name)
        if found is None:
            raise ProblemError(404, "unknown_instrument", f"no instrument is named {shown(name)}")
        return found
