"""The extension of a command's record, for tests: the block between header and text."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import numpy as np

from novate.model.commands import COMMAND, EXTENSION, Flag, IdKind


def extend(record: bytes, fields: Mapping[str, int], link: str | int | None = None) -> bytes:
    """The record with an extension of these fields, and the linked order's id behind its text."""
    header = np.frombuffer(record[: COMMAND.itemsize], COMMAND).copy()
    text = record[COMMAND.itemsize :][: int(header["text_length"][0])]
    block = np.zeros(1, EXTENSION)
    for name, number in fields.items():
        block[name] = number
    name = b""
    if isinstance(link, str):
        kind, name = named(link)
        block["link_kind"], block["link_length"] = kind, len(name)
    elif link is not None:
        block["link_kind"], block["link_number"] = IdKind.NUMBER, link
    header["flags"] |= np.uint8(Flag.EXTENDED)
    header["text_length"] = len(text) + len(name)
    body = text + name
    return bytes(header.tobytes() + block.tobytes()) + body + bytes(-len(body) % 8)


def named(text: str) -> tuple[IdKind, bytes]:
    """An id as it travels: a canonical UUID in its 16 bytes, any other text as it is."""
    try:
        number = uuid.UUID(text)
    except ValueError:
        return IdKind.TEXT, text.encode()
    return (IdKind.UUID, number.bytes) if str(number) == text else (IdKind.TEXT, text.encode())
