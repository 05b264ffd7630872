"""Messages: what a client may send on `/stream`, member by member.

Amounts and keys stay raw JSON: they are handed to the operations as they came.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw, Struct

from novate.analytics.intervals import (
    INTERVAL_DEFAULT,
    INTERVAL_EXPECTED,
    interval_text,
    parse_interval,
)
from novate.gateway.fields import ID_EXPECTED
from novate.gateway.problems import FieldError, refused, shown
from novate.model import codec

ABSENT: Final = Raw()
NULL: Final = Raw(b"null")

OPS: Final = (
    "place, cancel, amend, batch, mass_cancel, cancel_all_after, status, subscribe, unsubscribe, "
    "resync, ping, cancel_on_disconnect"
)

NOTHING: Final = (b"", b"null")
"""What stands where nothing is said."""

REQUEST_ID_MAX: Final = 64
"""Characters of a request id."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_INTEGER = re.compile(rb"-?(0|[1-9][0-9]{0,18})")
_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))


class Request(Struct, tag_field="op", forbid_unknown_fields=True, gc=False):
    """What every message may bear."""

    request_id: Raw = ABSENT
    type: str | None = None


class Place(Request, tag="place"):
    """An order."""

    order: Raw = ABSENT


class Cancel(Request, tag="cancel"):
    """The end of one."""

    order_id: str | None = None
    client_id: Raw = NULL
    idempotency_key: Raw = NULL


class Amend(Request, tag="amend"):
    """A change of one."""

    order_id: str | None = None
    price: Raw = NULL
    quantity: Raw = NULL
    client_id: Raw = NULL
    idempotency_key: Raw = NULL
    stop_price: Raw = NULL
    display_quantity: Raw = NULL
    expires_at: Raw = NULL
    self_trade_prevention: Raw = NULL


class Batch(Request, tag="batch"):
    """Many at once."""

    operations: Raw = NULL
    client_id: Raw = NULL
    idempotency_key: Raw = NULL


class MassCancel(Request, tag="mass_cancel"):
    """The end of all orders of a client."""

    client_id: str | None = None
    instrument: str | None = None
    side: str | None = None
    idempotency_key: str | None = None


class CancelAllAfter(Request, tag="cancel_all_after"):
    """A client's dead-man timer."""

    client_id: Raw = NULL
    seconds: Raw = NULL


class Status(Request, tag="status"):
    """A look at an order."""

    order_id: str | None = None


class Ping(Request, tag="ping"):
    """A sign of life."""


class CancelOnDisconnect(Request, tag="cancel_on_disconnect"):
    """The wish that orders end with this connection."""

    grace_seconds: Raw = NULL
    resume: str | None = None


class Resync(Request, tag="resync"):
    """A new snapshot of a book."""

    instrument: str | None = None


class Follow(Struct, forbid_unknown_fields=True):
    """What a message about channels may bear."""

    request_id: Raw = ABSENT
    channels: list[str] | None = None
    instrument: str | None = None
    client_id: str | None = None
    interval: str | None = None


class Subscribe(Follow, tag_field="op", tag="subscribe"):
    """Channels to follow."""

    from_trade_id: str | None = None
    type: str | None = None


class Unsubscribe(Follow, tag_field="op", tag="unsubscribe"):
    """Channels not to follow any more."""

    type: str | None = None


class SubscribeByType(Follow, tag_field="type", tag="subscribe"):
    """The same by `type`."""

    from_trade_id: str | None = None


class UnsubscribeByType(Follow, tag_field="type", tag="unsubscribe"):
    """The same by `type`."""


class Envelope(Struct):
    """What is looked for in a message that could not be read."""

    op: Raw = ABSENT
    type: Raw = ABSENT
    request_id: Raw = ABSENT


Message = Request | Follow

decode = msgspec.json.Decoder(
    Place
    | Cancel
    | Amend
    | Batch
    | MassCancel
    | CancelAllAfter
    | Status
    | Ping
    | Subscribe
    | Unsubscribe
    | Resync
    | CancelOnDisconnect
).decode
decode_by_type = msgspec.json.Decoder(SubscribeByType | UnsubscribeByType).decode
decode_envelope = msgspec.json.Decoder(Envelope).decode
BY_TYPE: Final = (b'"subscribe"', b'"unsubscribe"')
ENTRIES: Final = (Place, Cancel, Amend, Batch)
OTHER_OPS: Final = (
    b'"status"', b'"ping"', b'"resync"', b'"cancel_on_disconnect"', b'"subscribe"',
    b'"unsubscribe"',
)  # fmt: skip
"""Messages whose refusals count as refused orders; and those about no order, which don't."""


def interval_of(text: str | None) -> str:
    """The length of candles in its shortest form; a minute where none is said.

    Raises:
        ProblemError: 400.
    """
    length = parse_interval(text or INTERVAL_DEFAULT)
    if length is None:
        found = f"{INTERVAL_EXPECTED}, found {shown(text)}"
        raise refused([FieldError("interval", found, "invalid_value")])
    return interval_text(length)


def check_op(raw: bytes) -> None:
    """Refuse an `op` that is missing or none of those there are.

    Raises:
        ProblemError: 400.
    """
    if raw in NOTHING:
        raise refused([FieldError("op", f"expected {OPS}, found nothing", "missing_field")])
    if raw.strip(b'"').decode("ascii", "replace") not in OPS.split(", "):
        raise refused([FieldError("op", f"expected {OPS}, found {shown(raw)}", "invalid_value")])


def request_id_of(raw: Raw) -> bytes:
    """The JSON of a request id, to be sent back as it came; b"" where there is none.

    Raises:
        ProblemError: 400.
    """
    text = bytes(raw)
    if not text or text == b"null":
        return b""
    if text[0] == 0x22:
        # Each character is at least a byte, so that only long texts need decoding to be measured.
        if len(text) <= REQUEST_ID_MAX + 2:
            return text
        if len(msgspec.json.decode(text, type=str)) <= REQUEST_ID_MAX:
            return text
    elif _INTEGER.fullmatch(text):
        return text
    expected = f"expected a text of at most {REQUEST_ID_MAX} characters or an integer"
    raise refused([FieldError("request_id", f"{expected}, found {shown(text)}", "invalid_value")])


def json_depth(text: bytes) -> int:
    """How deep JSON is nested: the most brackets open at once, those in strings left out."""
    deepest = depth = 0
    for bracket in _STRING.sub(b"", text).translate(None, _NOT_BRACKETS):
        if bracket in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def terms_members(message: Amend) -> bytes:
    """What an amendment sets beside price and quantity, as further members."""
    members = {
        b"stop_price": message.stop_price,
        b"display_quantity": message.display_quantity,
        b"expires_at": message.expires_at,
        b"self_trade_prevention": message.self_trade_prevention,
    }
    said = [b',"%b":%b' % (name, raw) for name, raw in members.items() if raw is not NULL]
    return b"".join(said)


def required_id(field: str, value: str | None) -> str:
    """An id that a message must bear.

    Raises:
        ProblemError: 400.
    """
    if value is not None and codec.valid_id(value):
        return value
    found = "nothing" if value is None else shown(value)
    code = "missing_field" if value is None else "invalid_id"
    raise refused([FieldError(field, f"{ID_EXPECTED}, found {found}", code)])
