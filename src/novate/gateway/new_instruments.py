"""New instruments: each is journaled with the terms of its clearing, as one record.

So no instrument is there that is not cleared, whenever the exchange is killed. Terms name their
instrument by number, so instruments are made one after the other; those that wait have a bound.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from novate.gateway.instruments import Instruments
from novate.gateway.operations import Operations, Reply
from novate.gateway.problems import ProblemError
from novate.model import codec
from novate.model.clearing import ClearingTerms, pack_set_clearing
from novate.model.instrument import Instrument

WAITING_MAX: Final = 1000
"""Instruments that wait for the one that is being made."""


class NewInstruments:
    """Makes a partition's instruments. Used on its loop's thread only.

    Args:
        operations: Where commands are submitted.
        instruments: Those that there are.
    """

    def __init__(self, operations: Operations, instruments: Instruments) -> None:
        self._operations = operations
        self._instruments = instruments
        self._waiting: deque[tuple[Instrument, Reply]] = deque()
        self._is_making = False

    def create(self, wanted: Instrument, reply: Reply) -> None:
        """Make an instrument that is cleared in open mode: 201 with it, or why not."""
        if len(self._waiting) >= WAITING_MAX:
            detail = f"{WAITING_MAX} new instruments wait already"
            self._operations.refuse(ProblemError(503, "queue_full", detail, (), 1), reply)
            return
        self._waiting.append((wanted, reply))
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting and not self._is_making:
            self._make(*self._waiting.popleft())

    def _make(self, wanted: Instrument, reply: Reply) -> None:
        number = len(self._instruments.all())
        commands = [
            codec.pack_create_instrument(wanted),
            pack_set_clearing(number, ClearingTerms()),
        ]

        def on_outcomes(outcomes: list[tuple[int, bytes, int]]) -> None:
            self._is_making = False
            # Where none was made, its terms found no instrument: the first says why.
            wrong = [each for each in outcomes if each[0] >= 400]
            status, body, _ = (wrong or outcomes)[0]
            reply(status, body)
            self._go_on()

        self._is_making = True
        if not self._operations.together(commands, on_outcomes, reply):
            self._is_making = False
