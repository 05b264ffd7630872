"""Submissions: requests that were checked, and the commands that they become."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from novate.gateway.problems import ProblemError
from novate.model import codec


class Submission(msgspec.Struct, gc=False):
    """A request that may be submitted.

    Attributes:
        command: The packed command.
        client_id: Whose rate it is charged to; "" where nobody is named.
        key_digest: 16 bytes, None without an idempotency key.
        command_digest: Digest of what is asked; 0 without a key.
        tokens: What it costs of the client's rate.
        other_digest: Of a cancel's or amendment's key in its other scope, client or order.
    """

    command: bytes
    client_id: str
    key_digest: bytes | None = None
    command_digest: int = 0
    tokens: int = 1
    other_digest: bytes | None = None


class BatchSubmission(msgspec.Struct):
    """A batch, operation by operation.

    Attributes:
        operations: In the order asked: what may be submitted, or the problem of what may not.
        kinds: `place`, `cancel`, `amend` or `mass_cancel` of each; "" where it can't be told.
        client_id: Whose key and rate it is; "" where nobody is named.
        key: The batch's own idempotency key.
        command_digest: Digest of the whole batch; 0 without a key.
        charges: Tokens by client id.
        digests: Of the batch's key at each operation; empty without a key.
    """

    operations: list[Submission | ProblemError]
    kinds: list[str]
    client_id: str
    key: str | None
    command_digest: int
    charges: dict[str, int]
    digests: list[bytes]


class Prepared(msgspec.Struct, gc=False):
    """A checked operation, before it is packed: `pack(*values, key_digest, command_digest)`."""

    pack: Callable[..., bytes]
    values: tuple[Any, ...]
    client_id: str
    key: str | None
    scope: str = ""
    asked: bytes = b""
    other_scope: str = ""

    def meaning(self) -> bytes:
        """What is asked, in one form however it was written and whatever the books hold."""
        return self.asked or repr((self.pack.__name__, self.values)).encode()

    def digests(self) -> tuple[bytes, int]:
        """Digests of the key in its scope and of what is asked."""
        scope = self.scope or self.client_id
        digest = codec.key_digest(scope.encode(), (self.key or "").encode())
        return digest, codec.body_digest(self.meaning())

    def submission(self, key_digest: bytes | None, command_digest: int) -> Submission:
        """The command, with its key; a key that no client can hold is only looked up."""
        held = (key_digest, command_digest) if self.client_id else (None, 0)
        command = self.pack(*self.values, *held)
        other = None
        if self.other_scope and self.key is not None:
            other = codec.key_digest(self.other_scope.encode(), self.key.encode())
        return Submission(command, self.client_id, key_digest, command_digest, 1, other)


def operation_digest(client_id: str, batch_key: str, index: int) -> bytes:
    """The key digest of the operation at this place (from 0) of a batch with a key.

    The first place has the key itself, so that no single operation may use it. It depends on
    nothing else, so that a repeat finds it whatever has become of the books.
    """
    key = f"{batch_key}#{index}" if index else batch_key
    return codec.key_digest(client_id.encode(), key.encode())
