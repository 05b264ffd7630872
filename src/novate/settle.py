"""`novate settle`: asks a running exchange to close its cycle, and prints what is owed."""

from __future__ import annotations

from typing import Final

import httpx

from novate.model.errors import ConfigurationError, NovateError

TIMEOUT_SECONDS: Final = 60


def run(base: str, cycle: int = 0, form: str = "json") -> int:
    """Close a cycle and print its report; one that is closed already is printed as it is.

    Args:
        base: The exchange's address.
        cycle: The cycle's number; 0: today's date.
        form: json or csv.

    Returns:
        The exit code: 0, or 1 where the exchange refused.
    """
    if form not in ("json", "csv"):
        raise ConfigurationError(f"--format: expected json or csv, found {form!r}")
    try:
        reply = httpx.post(
            f"{base}/admin/settlements",
            json={"cycle": cycle} if cycle else {},
            timeout=TIMEOUT_SECONDS,
        )
        if reply.is_success and form == "csv":
            number = reply.json()["cycle"]
            reply = httpx.get(f"{base}/settlements/{number}?format=csv", timeout=TIMEOUT_SECONDS)
    except httpx.HTTPError as error:
        raise NovateError(f"expected an exchange at {base}, found: {error}") from error
    print(reply.text.rstrip("\n"))
    return 0 if reply.is_success else 1
