"""Operations: what a client can have done, the same over HTTP and WebSocket.

Each method validates, throttles, looks for an earlier use of the idempotency key, submits, and
calls `reply` once: at once where the answer is known, else with the batch that made it durable.
Never waits and never raises for anything that a client can send.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from novate.gateway.problems import ProblemError, problem
from novate.gateway.submissions import BatchSubmission, Submission
from novate.gateway.throttle import Throttle
from novate.gateway.validation import PartitionView, Validator
from novate.model import codec, packing
from novate.model.commands import CommandKind
from novate.model.errors import NotAccepting
from novate.model.plain import PlainBatch

RETRY_AFTER_MAX: Final = 3600
"""Most that Retry-After says, in seconds."""

_SIDES: Final = ("buy", "sell")
_TYPES: Final = ("limit", "market", "stop_limit", "stop")
_RECEIVED: Final = tuple((order_type, side) for order_type in _TYPES[:2] for side in _SIDES)
_PLACE: Final = int(CommandKind.PLACE)


class Reply(Protocol):
    """How an operation answers.

    Args:
        status: HTTP status.
        body: JSON: an order, a list of outcomes, or a problem.
        replayed: Whether this is the first answer to a repeated idempotency key.
        retry_after: Seconds, where a 429 or 503 knows better than 1.
    """

    def __call__(
        self, status: int, body: bytes, replayed: bool = False, retry_after: int | None = None
    ) -> None:
        """Answer the request."""
        ...


class Submitter(Protocol):
    """What operations ask of a sequencer."""

    def submit(self, command: bytes, on_outcome: Callable[[int, bytes, bool], None]) -> None:
        """Queue a command; NotAccepting if it can't be."""
        ...

    def submit_many(
        self, commands: list[bytes], on_outcomes: Callable[[list[tuple[int, bytes, int]]], None]
    ) -> None:
        """Queue commands with consecutive sequences, all of them or none."""
        ...


class Partition(PartitionView, Protocol):
    """What operations ask of a partition."""

    @property
    def sequencer(self) -> Submitter:
        """Its sequencer."""
        ...

    def replay(self, key_digest: bytes, command_digest: int) -> tuple[int, bytes] | None:
        """The first answer to a key; a 422 if it came with another command; None if unknown."""
        ...


class Counters(Protocol):
    """What operations count."""

    def order_received(self, order_type: str, side: str, count: int = 1) -> None:
        """Placed orders came in."""
        ...

    def rejected(self, reason: str, field: str = "", client_id: str = "") -> None:
        """A request was refused."""
        ...


class Operations:
    """The operations of one partition.

    Args:
        partition: Where commands are submitted.
        throttle: Who may submit how much.
        metrics: Counts what came and what was refused here.
        default_instrument: Instrument of a request that names none.
    """

    def __init__(
        self,
        partition: Partition,
        throttle: Throttle,
        metrics: Counters,
        default_instrument: str = "BTC-USD",
    ) -> None:
        self.validator = Validator(partition, default_instrument)
        self._partition = partition
        self._throttle = throttle
        self._metrics = metrics
        self._submit_command = partition.sequencer.submit
        self._take = throttle.take
        self._read_place = self.validator.place
        self._received = metrics.order_received

    def place(self, body: bytes, header_key: str | None, reply: Reply, session: int = 0) -> None:
        """Place an order: 201 with it, or why not. It ends with its session, if it has one."""
        try:
            submission = self._read_place(body, header_key)
        except ProblemError as error:
            self._received("invalid", "invalid")
            self.refuse(error, reply, client_named(body))
            return
        if session:
            submission.command = packing.with_session(submission.command, session)
        command = submission.command
        self._received(_TYPES[command[2]], _SIDES[command[1]])
        if submission.key_digest is not None:
            self._submit(submission, reply)
            return
        wait = self._take(submission.client_id)
        if wait:
            self.refuse(too_many(submission.client_id, wait), reply)
            return
        try:
            self._submit_command(command, reply)
        except NotAccepting as error:
            self.refuse(unavailable(error), reply, submission.client_id)

    def cancel(self, order_id: str, body: bytes, header_key: str | None, reply: Reply) -> None:
        """Cancel an order: 200 with its final state, or why not. The body may be empty."""
        try:
            submission = self.validator.cancel(order_id, body, header_key)
        except ProblemError as error:
            self._first_or_refuse(error, reply, client_named(body))
            return
        self._submit(submission, reply)

    def amend(self, order_id: str, body: bytes, header_key: str | None, reply: Reply) -> None:
        """Amend an order: 200 with it, or why not."""
        try:
            submission = self.validator.amend(order_id, body, header_key)
        except ProblemError as error:
            self._first_or_refuse(error, reply, client_named(body))
            return
        self._submit(submission, reply)

    def mass_cancel(
        self,
        client_id: str | None,
        instrument: str | None,
        side: str | None,
        header_key: str | None,
        reply: Reply,
    ) -> None:
        """Cancel a client's orders, of every instrument and side where those are None."""
        try:
            submission = self.validator.mass_cancel(client_id, instrument, side, header_key)
        except ProblemError as error:
            self.refuse(error, reply)
            return
        self._submit(submission, reply)

    def command(self, command: bytes, reply: Reply) -> None:
        """Submit an operator's command: packed, not throttled, without a key."""
        try:
            self._submit_command(command, reply)
        except NotAccepting as error:
            self.refuse(unavailable(error), reply)

    def together(
        self,
        commands: list[bytes],
        on_outcomes: Callable[[list[tuple[int, bytes, int]]], None],
        reply: Reply,
    ) -> bool:
        """Submit an operator's commands as one record; `reply` and False where they can't be."""
        try:
            self._partition.sequencer.submit_many(commands, on_outcomes)
        except NotAccepting as error:
            self.refuse(unavailable(error), reply)
            return False
        return True

    def client_command(self, command: bytes, client_id: str, reply: Reply) -> None:
        """Submit a client's command that is about no order: throttled, without a key."""
        wait = self._take(client_id)
        if wait:
            self.refuse(too_many(client_id, wait), reply)
        else:
            self.command(command, reply)

    def batch(self, body: bytes, header_key: str | None, reply: Reply, session: int = 0) -> None:
        """Do up to 1,000 operations: 200 with an outcome for each, or why none was done."""
        try:
            plain = self.validator.plain_batch(body) if header_key is None else None
            if plain is not None:
                self._place_all(plain, reply, session)
                return
            batch = self.validator.batch(body, header_key)
            if session:
                _join(batch, session)
            self._count(batch)
            self._charge(batch.charges)
            if batch.key is not None and self._replay_batch(batch, reply):
                return
            self._submit_batch(batch, reply)
        except ProblemError as error:
            self.refuse(error, reply)
        except NotAccepting as error:
            self.refuse(unavailable(error), reply)

    # --- one command ------------------------------------------------------------------------------

    def submit(self, submission: Submission, reply: Reply) -> None:
        """Submit what was checked, or give the first answer to its key."""
        self._submit(submission, reply)

    def _submit(self, submission: Submission, reply: Reply) -> None:
        wait = self._take(submission.client_id, submission.tokens)
        if wait:
            self.refuse(too_many(submission.client_id, wait), reply)
            return
        if submission.key_digest is not None:
            first = self._first_answer(submission)
            if first is not None:
                reply(first[0], first[1], is_first_answer(*first))
                return
        try:
            self._submit_command(submission.command, reply)
        except NotAccepting as error:
            self.refuse(unavailable(error), reply, submission.client_id)

    def refuse(self, error: ProblemError, reply: Reply, client_id: str = "") -> None:
        """Answer with a problem, and count it; `client_id` is who asked, if that is known."""
        self._metrics.rejected(error.code, error.field, error.client_id or client_id)
        error.answer(reply)

    def _first_answer(self, submission: Submission) -> tuple[int, bytes] | None:
        """The answer that the request's key got before, in either of its scopes; None if none."""
        digest = submission.command_digest
        first = self._partition.replay(submission.key_digest or b"", digest)
        if first is None and submission.other_digest is not None:
            first = self._partition.replay(submission.other_digest, digest)
        return first

    def _first_or_refuse(self, error: ProblemError, reply: Reply, client_id: str) -> None:
        """The first answer to the request's key, though its order is gone by now; or why not."""
        first = self._partition.replay(*error.key) if error.key else None
        if first is None:
            self.refuse(error, reply, client_id)
        else:
            reply(first[0], first[1], is_first_answer(*first))

    # --- batches ----------------------------------------------------------------------------------

    def _count(self, batch: BatchSubmission) -> None:
        for kind, operation in zip(batch.kinds, batch.operations, strict=True):
            if isinstance(operation, ProblemError):
                if kind == "place":
                    self._received("invalid", "invalid")
                self._metrics.rejected(operation.code, operation.field, operation.client_id)
            elif kind == "place":
                self._received(_TYPES[operation.command[2]], _SIDES[operation.command[1]])

    def _place_all(self, batch: PlainBatch, reply: Reply, session: int) -> None:
        """A batch of plain orders, which have no key to look up."""
        for (order_type, side), count in zip(_RECEIVED, batch.received, strict=True):
            if count:
                self._received(order_type, side, count)
        self._charge(batch.charges)

        def on_outcomes(answers: list[tuple[int, bytes, int]]) -> None:
            reply(200, codec.outcomes_body(answers))

        commands = batch.commands
        if session:
            commands = [packing.with_session(each, session) for each in commands]
        self._partition.sequencer.submit_many(commands, on_outcomes)

    def _charge(self, charges: dict[str, int]) -> None:
        for client_id, tokens in charges.items():
            wait = self._take(client_id, tokens)
            if wait:
                raise too_many(client_id, wait)

    def _submit_batch(self, batch: BatchSubmission, reply: Reply) -> None:
        outcomes: list[tuple[int, bytes]] = []
        commands: list[bytes] = []
        places: list[int] = []
        for index, operation in enumerate(batch.operations):
            first = self._known(operation, batch.key is not None)
            outcomes.append(first or _UNKNOWN)
            if first is None and isinstance(operation, Submission):
                commands.append(operation.command)
                places.append(index)
        if not commands:
            reply(200, codec.outcomes_body(outcomes))
            return

        def on_outcomes(answers: list[tuple[int, bytes, int]]) -> None:
            for index, (status, body, _) in zip(places, answers, strict=True):
                outcomes[index] = status, body
            replayed = batch.key is not None and all(each[2] for each in answers)
            reply(200, codec.outcomes_body(outcomes), replayed)

        self._partition.sequencer.submit_many(commands, on_outcomes)

    def _known(
        self, operation: Submission | ProblemError, batch_key: bool
    ) -> tuple[int, bytes] | None:
        """The answer that needs no submission: of what is refused, or of a repeated key."""
        if isinstance(operation, ProblemError):
            first = self._partition.replay(*operation.key) if operation.key else None
            return first or (operation.status, operation.body())
        if batch_key or operation.key_digest is None:
            return None
        return self._first_answer(operation)

    def _replay_batch(self, batch: BatchSubmission, reply: Reply) -> bool:
        """Answer a batch whose key was used before; False if it was not."""
        firsts = [self._partition.replay(each, batch.command_digest) for each in batch.digests]
        found = next(filter(None, firsts), None)
        if found is None:
            return False
        if _is_reuse(*found):
            detail = "the idempotency key was used before, with another body"
            raise ProblemError(422, "idempotency_key_reused", detail)
        outcomes = []
        for first, operation in zip(firsts, batch.operations, strict=True):
            if first is None and isinstance(operation, ProblemError):
                first = operation.status, operation.body()
            outcomes.append(first or _NOT_KEPT)
        reply(200, codec.outcomes_body(outcomes), True)
        return True


_UNKNOWN: Final = (0, b"")
"""Stands for an answer until it comes."""

_NOT_KEPT: Final = (
    400,
    problem(
        400,
        "not_kept",
        "this operation was refused when the batch first came, and that was not kept: "
        "send it again in another batch",
    ),
)


def _join(batch: BatchSubmission, session: int) -> None:
    """Make what a batch places a session's orders."""
    for operation in batch.operations:
        if isinstance(operation, Submission) and operation.command[0] == _PLACE:
            operation.command = packing.with_session(operation.command, session)


def is_first_answer(status: int, body: bytes) -> bool:
    """Whether what a repeated key is answered is its first answer.

    It is not where the key came with another body, or where the first answer can't be read.
    """
    if not codec.is_problem(body):
        return True
    return status != 503 and not _is_reuse(status, body)


def _is_reuse(status: int, body: bytes) -> bool:
    """Whether an answer says that a key came with another body before."""
    return status == 422 and codec.is_problem(body) and b'"code":"idempotency_key_reused"' in body


def too_many(client_id: str, wait_seconds: float) -> ProblemError:
    """The 429 of a client past its rate."""
    retry_after = min(math.ceil(wait_seconds), RETRY_AFTER_MAX)
    named = f"client {client_id}" if client_id else "requests that name no client"
    detail = f"too many commands of {named}; try again in {retry_after} s"
    refusal = ProblemError(429, "rate_limited", detail, (), retry_after)
    refusal.client_id = client_id
    return refusal


class _Named(msgspec.Struct):
    client_id: str | None = None


_decode_named = msgspec.json.Decoder(_Named).decode


def client_named(body: bytes) -> str:
    """The client that a refused body names; "" if it can't be read, or its name is none."""
    try:
        client_id = _decode_named(body).client_id
    except Exception:  # whatever a text can make a decoder raise is the client's doing
        return ""
    return client_id if client_id is not None and codec.valid_id(client_id) else ""


def unavailable(error: NotAccepting) -> ProblemError:
    """The 503 of an exchange that takes no commands now."""
    return ProblemError(503, error.code, error.detail, (), error.retry_after)
