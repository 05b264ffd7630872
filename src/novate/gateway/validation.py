"""Validation: what a client may ask, rule by rule, and the command it becomes.

Everything malformed, out of bounds or not in this version ends here with a 400 and is never
journaled. Owns no state but what it has looked up of the engine; never submits, never waits.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from novate.gateway import requests
from novate.gateway.fields import (
    AMOUNTS,
    ID_EXPECTED,
    SIDES,
    TIMES_IN_FORCE,
    TYPES,
    check_id,
    check_names,
    check_post_only,
    decoded,
    given,
    given_any,
    not_one_of,
    one_key,
    read_price,
    read_quantity,
    undecodable,
)
from novate.gateway.instruments import Instruments, OrderBooks, RecentOrders
from novate.gateway.problems import FieldError, ProblemError, refused, shown
from novate.gateway.requests import ABSENT, AmendOrder, Operation, PlaceOrder
from novate.gateway.submissions import BatchSubmission, Prepared, Submission, operation_digest
from novate.gateway.terms import (
    amend_terms,
    amends_terms,
    any_terms,
    asked_terms,
    check_force,
    explain_words,
    place_terms,
)
from novate.model import codec, packing
from novate.model.commands import Flag, TimeInForce
from novate.model.instrument import Instrument
from novate.model.plain import PlainBatch, PlainOrder, PlainOrders

BATCH_OPERATIONS_MAX: Final = 1000
"""Operations of one batch."""

RECENT_ORDERS_MAX: Final = 100_000
"""Orders with an id of the client's that are remembered until the engine knows them."""

BY_QUOTE: Final = int(Flag.BY_QUOTE)
POST_ONLY: Final = int(Flag.POST_ONLY)
FOK: Final = int(TimeInForce.FOK)
GTD: Final = int(TimeInForce.GTD)
PLACE_VALUES: Final = 10
"""What `codec.pack_place` takes, without the key."""

_INSTRUMENT = re.compile(rb'"instrument": ?"([^"]+)"')
_UNUSED = (
    b',"self_trade_group":null,"oco":null,"replaces":null',
    b',"stop_price":,"display_quantity":,"expires_at":,"self_trade_prevention":null',
    b',"instrument":null,"side":null',
)
_TERMS = ("stop_price", "display_quantity", "expires_at", "self_trade_prevention")
_CANCEL_FIELDS = ("order_id", "client_id", "idempotency_key")
_AMEND_FIELDS = ("order_id", "price", "quantity", "client_id", "idempotency_key", *_TERMS)
_MASS_CANCEL_FIELDS = ("client_id", "instrument", "side", "idempotency_key")
_OPERATION_FIELDS = ("order", *_AMEND_FIELDS, "instrument", "side")


class OrderReader(Protocol):
    """What validation asks of a reporter."""

    def order_json(self, order_id: str) -> bytes | None:
        """An order, None if unknown."""
        ...

    def order_client(self, order_id: str) -> bytes | None:
        """An order's client, None if unknown."""
        ...


class PartitionView(Protocol):
    """What validation asks of a partition."""

    @property
    def number(self) -> int:
        """Its number."""
        ...

    @property
    def engine(self) -> OrderBooks:
        """Its engine."""
        ...

    @property
    def reporter(self) -> OrderReader:
        """The engine's reporter."""
        ...


class Validator:
    """Reads requests for one partition.

    Args:
        partition: Whose instruments and orders are meant.
        default_instrument: Instrument of a request that names none.

    Attributes:
        plain: Reads what is plain, and leaves all else to the rules here.
    """

    def __init__(self, partition: PartitionView, default_instrument: str = "BTC-USD") -> None:
        self._reporter = partition.reporter
        self._number = partition.number
        self.plain = PlainOrders(partition.number)
        self._recent = RecentOrders(RECENT_ORDERS_MAX)
        self.instruments = Instruments(partition.engine, default_instrument)

    # --- single operations ------------------------------------------------------------------------

    def place(self, body: bytes, header_key: str | None = None) -> Submission:
        """A `place` request.

        Args:
            body: JSON as it came.
            header_key: The header Idempotency-Key.

        Raises:
            ProblemError: 400, with every field that is wrong.
        """
        if header_key is None:
            plain = self.plain.place(body, self.instruments.known)
            if plain is not None:
                return self._of_plain(plain)
        return self._place(body, header_key)

    def _of_plain(self, plain: PlainOrder) -> Submission:
        if plain.order_id is not None:
            self._recent.add(plain.order_id, plain.instrument, plain.client_id)
        return Submission(plain.command, plain.client_id)

    def _place(self, body: bytes, header_key: str | None) -> Submission:
        """Any order, with every rule."""
        order = decoded(requests.decode_place, body)
        key = one_key(order.idempotency_key, header_key)
        values = self.place_values(order)
        if key is None:
            return self._unkeyed(order, values)
        return self._keyed(Prepared(self._pack_place, values, order.client_id or "", key))

    def cancel(self, order_id: str, body: bytes = b"", header_key: str | None = None) -> Submission:
        """A `cancel` request; an empty body says nothing more.

        Raises:
            ProblemError: 400.
        """
        request = decoded(requests.decode_cancel, body) if body else requests.CancelOrder()
        key = one_key(request.idempotency_key, header_key)
        return self._keyed(self._prepared_cancel(order_id, request.client_id, key))

    def amend(self, order_id: str, body: bytes, header_key: str | None = None) -> Submission:
        """An `amend` request.

        Raises:
            ProblemError: 400, or 404 for an order that is not known.
        """
        request = decoded(requests.decode_amend, body)
        key = one_key(request.idempotency_key, header_key)
        return self._keyed(self._prepared_amend(order_id, request, key))

    def mass_cancel(
        self,
        client_id: str | None,
        instrument: str | None,
        side: str | None,
        header_key: str | None = None,
    ) -> Submission:
        """A mass cancel; None for instrument or side means every one.

        Raises:
            ProblemError: 400.
        """
        return self._keyed(self._mass_cancel(client_id, instrument, side, header_key))

    def _mass_cancel(
        self, client_id: str | None, instrument: str | None, side: str | None, key: str | None
    ) -> Prepared:
        errors: list[FieldError] = []
        client = check_id("client_id", client_id, errors)
        index = -1
        if instrument is not None:
            found = self.find_instrument(instrument, errors)
            index = found.index if found else -1
        chosen = SIDES.get(side or "", -1)
        if side is not None and chosen < 0:
            errors.append(not_one_of("side", "buy or sell", side))
        if errors:
            raise refused(errors)
        values = (client.encode(), index, chosen)
        return Prepared(codec.pack_mass_cancel, values, client, one_key(key, None))

    def _keyed(self, prepared: Prepared) -> Submission:
        if prepared.key is None:
            return prepared.submission(None, 0)
        return prepared.submission(*prepared.digests())

    # --- an order, rule by rule -------------------------------------------------------------------

    def place_values(self, order: PlaceOrder) -> tuple[Any, ...]:
        """What `codec.pack_place` takes, without the key; the order id is None if not given.

        Behind them stand the terms of an order that has any, for its extension.

        Raises:
            ProblemError: 400, with every field that is wrong.
        """
        errors: list[FieldError] = []
        side = SIDES.get(order.side)  # type: ignore[arg-type]
        kind = TYPES.get(order.type)  # type: ignore[arg-type]
        time_in_force = TIMES_IN_FORCE.get(order.time_in_force)
        client_id = order.client_id
        order_id = order.order_id
        if client_id is None or not codec.valid_id(client_id):
            client_id = check_id("client_id", client_id, errors)
        if order_id is not None and not codec.valid_id(order_id):
            check_id("order_id", order_id, errors)
        if side is None or kind is None or time_in_force is None:
            explain_words(order, errors)
        instrument = self.instruments.known.get(order.instrument)
        if instrument is None:
            instrument = self.find_instrument(order.instrument, errors)
        if instrument is None or kind is None:
            raise refused(errors)
        price, lots, quote = AMOUNTS[kind](order, instrument, errors)
        flags = BY_QUOTE if quote else 0
        if quote and time_in_force == FOK:
            message = "expected gtc or ioc, as the order is by quote_quantity"
            errors.append(FieldError("time_in_force", message, "unexpected_field"))
        if order.post_only:
            flags |= POST_ONLY
            check_post_only(kind, time_in_force, errors)
        check_force(kind, time_in_force, errors)
        terms = None
        if kind > 1 or time_in_force == GTD or any_terms(order):
            terms = place_terms(order, instrument, kind, time_in_force, lots, errors)
        if errors:
            raise refused(errors)
        if order_id is not None:
            self._recent.add(order_id, instrument, client_id)
        values = (
            instrument.index, side, kind, time_in_force, flags, price, lots, quote,
            None if order_id is None else order_id.encode(), client_id.encode(),
        )  # fmt: skip
        return (*values, terms) if terms else values

    def find_instrument(self, name: str | None, errors: list[FieldError]) -> Instrument | None:
        """The instrument of this name; else one more error."""
        instrument = self.instruments.find(name)
        if instrument is None:
            message = f"expected an instrument of this exchange, found {shown(name)}"
            errors.append(FieldError("instrument", message, "unknown_instrument"))
        return instrument

    def _unkeyed(self, order: PlaceOrder, values: tuple[Any, ...]) -> Submission:
        """The submission of an order without a key."""
        named = values[8] or codec.new_order_id(self._number)
        command = codec.pack_place(*(*values[:8], named, values[9]))
        if len(values) > PLACE_VALUES:
            command = packing.extend(command, **values[PLACE_VALUES])
        return Submission(command, order.client_id or "")

    def _pack_place(self, *values: Any) -> bytes:
        terms, at = None, PLACE_VALUES
        if isinstance(values[at], dict):
            terms, values = values[at], (*values[:at], *values[at + 1 :])
        if values[8] is None:
            values = (*values[:8], codec.new_order_id(self._number), *values[9:])
        command = codec.pack_place(*values)
        return packing.extend(command, **terms) if terms else command

    def _prepared_cancel(self, order_id: str, client_id: str | None, key: str | None) -> Prepared:
        errors: list[FieldError] = []
        check_id("order_id", order_id, errors)
        if client_id is not None:
            check_id("client_id", client_id, errors)
        if errors:
            raise refused(errors)
        prepared = self._about_order("cancel", order_id, client_id, key)
        owner = self._checked_owner(order_id, client_id, prepared)
        prepared.pack = codec.pack_cancel
        prepared.values = (order_id.encode(), owner.encode() or None)
        prepared.client_id = owner
        return prepared

    def _about_order(
        self, verb: str, order_id: str, client_id: str | None, key: str | None, *amounts: str
    ) -> Prepared:
        """A cancel or amendment that is not packed yet.

        Its key's scope is the client that the request names, or else the order: neither changes
        when the order is closed and forgotten.
        """
        asked = repr((verb, order_id, *amounts)).encode()
        scope = client_id or f"order/{order_id}"
        return Prepared(codec.pack_cancel, (), client_id or "", key, scope, asked)

    def _checked_owner(self, order_id: str, client_id: str | None, prepared: Prepared) -> str:
        """The order's client, "" if neither it nor the request tells."""
        owner = self._owner(order_id)
        if client_id is not None and owner and owner != client_id:
            raise _unknown_order(order_id, prepared)
        prepared.other_scope = owner if client_id is None else f"order/{order_id}"
        return owner or client_id or ""

    def _prepared_amend(
        self, order_id: str, request: AmendOrder | Operation, key: str | None
    ) -> Prepared:
        errors: list[FieldError] = []
        check_id("order_id", order_id, errors)
        client_id = request.client_id
        if client_id is not None:
            check_id("client_id", client_id, errors)
        amends = given(request.price) or given(request.quantity) or amends_terms(request)
        if not amends:
            errors.append(FieldError("", "expected price, quantity or both", "missing_field"))
        if errors:
            raise refused(errors)
        prepared = self._about_order(
            "amend", order_id, client_id, key,
            _canonical(given(request.price)), _canonical(given(request.quantity)),
            *asked_terms(request),
        )  # fmt: skip
        owner = self._checked_owner(order_id, client_id, prepared)
        instrument = self._instrument_of(order_id)
        if instrument is None:
            raise _unknown_order(order_id, prepared)
        price = read_price(request.price, instrument, errors) if given(request.price) else 0
        lots = 0
        if given(request.quantity):
            lots = read_quantity(request.quantity, instrument, errors)
        terms = amend_terms(request, instrument, errors)
        if errors:
            raise refused(errors)
        prepared.pack = partial(_pack_amend, terms) if terms else codec.pack_amend
        prepared.values = (order_id.encode(), price, lots, owner.encode() or None)
        prepared.client_id = owner
        return prepared

    def _owner(self, order_id: str) -> str:
        owner = self._reporter.order_client(order_id)
        return owner.decode() if owner else self._recent.client(order_id)

    def _instrument_of(self, order_id: str) -> Instrument | None:
        body = self._reporter.order_json(order_id)
        match = _INSTRUMENT.search(body) if body else None
        return self.instruments.find(match[1].decode()) if match else self._recent.get(order_id)

    # --- batches ----------------------------------------------------------------------------------

    def plain_batch(self, body: bytes) -> PlainBatch | None:
        """A `batch` request of plain orders and nothing else; None if it is to be read by rule."""
        plain = self.plain.batch(body, self.instruments.known, BATCH_OPERATIONS_MAX)
        if plain is not None:
            for order_id, instrument, client_id in plain.named:
                self._recent.add(order_id, instrument, client_id)
        return plain

    def batch(self, body: bytes, header_key: str | None = None) -> BatchSubmission:
        """A `batch` request; an operation that is wrong stands in its place as a problem.

        Raises:
            ProblemError: 400, if the batch itself is wrong.
        """
        request, operations = _decode_batch(body)
        errors: list[FieldError] = []
        if not 1 <= len(operations) <= BATCH_OPERATIONS_MAX:
            message = f"expected 1 to {BATCH_OPERATIONS_MAX} operations, found {len(operations)}"
            errors.append(FieldError("operations", message, "batch_size"))
        if request.client_id is not None:
            check_id("client_id", request.client_id, errors)
        if errors:
            raise refused(errors)
        key = one_key(request.idempotency_key, header_key)
        client_id = request.client_id or _first_client(operations)
        if key is not None and not client_id:
            message = "expected, as the batch has an idempotency key and places no order"
            raise refused([FieldError("client_id", message, "missing_field")])
        prepared = [self._prepared(each, key is not None) for each in operations]
        return self._batch_submission(prepared, operations, client_id, key)

    def _prepared(
        self, operation: Operation | ProblemError, batch_key: bool
    ) -> Prepared | Submission | ProblemError:
        if isinstance(operation, ProblemError):
            return operation
        try:
            order = operation.order
            if not batch_key and order is not None and _is_plain(operation, order):
                return self._unkeyed(order, self.place_values(order))
            prepared = self._prepared_operation(operation)
        except ProblemError as error:
            return error
        if batch_key and prepared.key is not None:
            message = "expected null, as the batch has a key of its own"
            return refused([FieldError("idempotency_key", message, "idempotency_key_conflict")])
        return prepared

    def _prepared_operation(self, operation: Operation) -> Prepared:
        if operation.op == "place":
            order = operation.order
            if _misfits(operation):
                _only(operation, "place", ("order",))
            if order is None:
                raise refused([FieldError("order", "expected an order", "missing_field")])
            key = one_key(order.idempotency_key, None)
            return Prepared(self._pack_place, self.place_values(order), order.client_id or "", key)
        if operation.op == "mass_cancel":
            _only(operation, "mass_cancel", _MASS_CANCEL_FIELDS)
            return self._mass_cancel(
                operation.client_id, operation.instrument, operation.side, operation.idempotency_key
            )
        if operation.op not in ("cancel", "amend"):
            expected = "place, cancel, amend or mass_cancel"
            raise refused([not_one_of("op", expected, operation.op)])
        if operation.order_id is None:
            raise refused([FieldError("order_id", ID_EXPECTED, "missing_field")])
        key = one_key(operation.idempotency_key, None)
        if operation.op == "amend":
            if operation.order is not None or _of_mass_cancel(operation):
                _only(operation, "amend", _AMEND_FIELDS)
            return self._prepared_amend(operation.order_id, operation, key)
        amends = operation.price is not ABSENT or operation.quantity is not ABSENT
        amends = amends or amends_terms(operation) or _of_mass_cancel(operation)
        if amends or operation.order is not None:
            _only(operation, "cancel", _CANCEL_FIELDS)
        return self._prepared_cancel(operation.order_id, operation.client_id, key)

    def _batch_submission(
        self,
        prepared: list[Prepared | Submission | ProblemError],
        operations: list[Operation | ProblemError],
        client_id: str,
        key: str | None,
    ) -> BatchSubmission:
        kinds = ["" if isinstance(each, ProblemError) else each.op or "" for each in operations]
        batch = BatchSubmission([], kinds, client_id, key, 0, {}, [])
        if key is not None:
            meanings = [_as_asked(each) for each in operations]
            batch.command_digest = codec.body_digest(b"batch", *meanings)
            batch.digests = [operation_digest(client_id, key, at) for at in range(len(operations))]
        for index, each in enumerate(prepared):
            if isinstance(each, ProblemError):
                batch.operations.append(each)
                _charge(batch, client_id)
                continue
            if isinstance(each, Submission):
                batch.operations.append(each)
                _charge(batch, each.client_id)
                continue
            if key is None:
                batch.operations.append(self._keyed(each))
            else:
                batch.operations.append(_of_keyed_batch(each, batch, index))
            _charge(batch, each.client_id or client_id)
        return batch


def _pack_amend(terms: dict[str, Any], *values: Any) -> bytes:
    """An AMEND of more than price and quantity."""
    return packing.extend(codec.pack_amend(*values), **terms)


def _of_keyed_batch(prepared: Prepared, batch: BatchSubmission, index: int) -> Submission:
    """An operation that bears the batch's key; the batch's client holds it if no other is known."""
    if not prepared.client_id:
        prepared.client_id = batch.client_id
        prepared.values = (*prepared.values[:-1], batch.client_id.encode())
    return prepared.submission(batch.digests[index], batch.command_digest)


def _unknown_order(order_id: str, prepared: Prepared) -> ProblemError:
    """The 404 of an order that is not known, or not the named client's.

    It bears the request's key, under which there may be a first answer.
    """
    error = ProblemError(404, "unknown_order", f"no order has the order_id {shown(order_id)}")
    if prepared.key is not None:
        error.key = prepared.digests()
    return error


def _canonical(raw: bytes) -> str:
    """A decimal in one form however it was written; what is none, as it came."""
    try:
        return str(codec.parse_scaled(raw, 1, 18, 10**37)) if raw else ""
    except codec.DecimalError:
        return shown(raw)


def _charge(batch: BatchSubmission, client_id: str) -> None:
    batch.charges[client_id] = batch.charges.get(client_id, 0) + 1


def _as_asked(operation: Operation | ProblemError) -> bytes:
    """An operation as it was asked, whatever the instruments are by now.

    Members that came later than a journal's oldest keys stand in it only where they are used.
    """
    if isinstance(operation, ProblemError):
        return operation.detail.encode()
    said = msgspec.json.encode(operation)
    for unused in _UNUSED:
        said = said.replace(unused, b"", 1)
    return said


def _first_client(operations: list[Operation | ProblemError]) -> str:
    for each in operations:
        if isinstance(each, Operation) and each.order is not None:
            client_id = each.order.client_id or ""
            return client_id if codec.valid_id(client_id) else ""
    return ""


def _decode_batch(
    body: bytes,
) -> tuple[requests.Batch | requests.RawBatch, list[Operation | ProblemError]]:
    try:
        batch = decoded(requests.decode_batch, body)
        return batch, list(batch.operations or ())
    except ProblemError:  # one of its operations may be at fault: they are tried alone
        pass
    try:
        raw = requests.decode_raw_batch(body)
    except Exception as error:
        raise undecodable(error) from None
    check_names(body, outermost=True)
    listed = raw.operations or []
    if len(listed) > BATCH_OPERATIONS_MAX:
        return raw, [refused([FieldError("", "one too many", "batch_size")])] * len(listed)
    return raw, [_decode_operation(each) for each in listed]


def _decode_operation(raw: msgspec.Raw) -> Operation | ProblemError:
    try:
        operation: Operation = decoded(requests.decode_operation, bytes(raw))
    except ProblemError as error:
        return error
    return operation


def _is_plain(operation: Operation, order: PlaceOrder) -> bool:
    return operation.op == "place" and order.idempotency_key is None and not _misfits(operation)


def _misfits(operation: Operation) -> bool:
    """Whether any field stands there that a place has not: mostly none, and then all is said."""
    return (
        operation.order_id is not None
        or operation.price is not ABSENT
        or operation.quantity is not ABSENT
        or operation.client_id is not None
        or operation.idempotency_key is not None
        or amends_terms(operation)
        or _of_mass_cancel(operation)
    )


def _of_mass_cancel(operation: Operation) -> bool:
    return operation.instrument is not None or operation.side is not None


def _only(operation: Operation, op: str, fields: tuple[str, ...]) -> None:
    """Refuse fields that belong to another kind of operation."""
    errors = [
        FieldError(name, f"expected null for {op}", "unexpected_field")
        for name in _OPERATION_FIELDS
        if name not in fields and given_any(getattr(operation, name))
    ]
    if errors:
        raise refused(errors)
