"""Problems: every error body of the API, in the form of RFC 9457.

Owns the form and the bound on what of a client's input is repeated back. Never decides what is an
error; that is said by whoever raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec

CONTENT_TYPE: Final = b"application/problem+json"
"""Content type of every problem."""

SHOWN_MAX: Final = 64
"""Characters of a client's input that a message repeats."""

_encode = msgspec.json.Encoder().encode


class FieldError(NamedTuple):
    """One thing that is wrong with one field.

    Attributes:
        field: Path of the field: `price`, `operations[3].order.price`, or "" for the whole body.
        message: What was expected and what came.
        code: Stable code of this kind of mistake.
    """

    field: str
    message: str
    code: str


class ProblemError(Exception):
    """A request that is answered with a problem and goes no further.

    Attributes:
        status: HTTP status.
        code: Stable code.
        detail: A sentence for people.
        errors: What is wrong, field by field.
        retry_after: Seconds, of a 429 or 503; else None.
        key: Digests of the request's key and body, where a first answer may be kept.
        client_id: Who asked, "" where that is not known; for the log.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: Iterable[FieldError] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after = retry_after
        self.key: tuple[bytes, int] | None = None
        self.client_id = ""

    @property
    def field(self) -> str:
        """The first field that is wrong, "" where it is none."""
        return self.errors[0].field if self.errors else ""

    def body(self) -> bytes:
        """The problem as JSON."""
        return problem(self.status, self.code, self.detail, self.errors)

    def answer(self, reply: Callable[..., None]) -> None:
        """Give it as an operation's answer: `reply(status, body, replayed, retry_after)`."""
        reply(self.status, self.body(), False, self.retry_after)


def problem(status: int, code: str, detail: str, errors: Iterable[FieldError] = ()) -> bytes:
    """A problem as JSON: type, title, status, detail, code, and errors where there are any."""
    members: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    listed = [{"field": each.field, "message": each.message} for each in errors]
    if listed:
        members["errors"] = listed
    return _encode(members)


def refused(errors: list[FieldError]) -> ProblemError:
    """The 400 of a request with mistakes in its fields; the first one gives code and detail.

    Args:
        errors: At least one.
    """
    first = errors[0]
    detail = f"{first.field}: {first.message}" if first.field else first.message
    return ProblemError(400, first.code, detail, errors)


def shown(value: object) -> str:
    """A client's input for a message: printable ASCII, at most `SHOWN_MAX` characters of it.

    Text is quoted; raw JSON (bytes) stands as it came.
    """
    if isinstance(value, str):
        return ascii(value) if len(value) <= SHOWN_MAX else ascii(value[:SHOWN_MAX]) + "..."
    raw = (
        bytes(value) if isinstance(value, bytes | bytearray | memoryview) else repr(value).encode()
    )
    text = raw[:SHOWN_MAX].decode("ascii", "backslashreplace")
    text = "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)
    return text if len(raw) <= SHOWN_MAX else text + "..."


def shown_name(name: str) -> str:
    """A name that a client made up, for a message: as `shown`, without the quotes."""
    return shown(name).replace("'", "")


_RETRY_AFTER: Final = {
    b'"code":"idempotency_window_full"': 60,
    b'"code":"clients_limit"': 3600,
    b'"code":"instruments_limit"': 3600,
}
"""Seconds, of conditions that do not pass by themselves within one."""


def retry_after_of(body: bytes, given: int | None) -> int | None:
    """Retry-After of a problem in seconds: the one given, else what its code says, else None."""
    if given is not None:
        return given
    return next((seconds for code, seconds in _RETRY_AFTER.items() if code in body), None)
