"""Names in the ledger: an order id is looked up by a short hash of it."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def name_hash(order_id: str) -> int:
    """64 bits of an id, as a signed number: a UUID's last, else the first of a BLAKE2b hash.

    Several orders may have one hash, and one id several orders (it is unique within the exchange's
    window alone): whoever looks an id up compares the text.
    """
    if _UUID.fullmatch(order_id):
        last = bytes.fromhex(order_id.replace("-", ""))[8:]
    else:
        last = blake2b(order_id.encode(), digest_size=8).digest()
    return int.from_bytes(last, "big", signed=True)
