"""Names in the ledger: an order id is looked up by a short hash of it."""

from __future__ import annotations

from hashlib import blake2b


def name_hash(order_id: str) -> int:
    """The first 64 bits of a BLAKE2b hash of an id, as a signed number.

    Several orders may have one hash, and one id several orders (it is unique within the exchange's
    window alone): whoever looks an id up compares the text.
    """
    return int.from_bytes(blake2b(order_id.encode(), digest_size=8).digest(), "big", signed=True)
