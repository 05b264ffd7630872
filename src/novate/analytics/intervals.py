"""Lengths of candles as people write them: `1s`, `5m`, `1h`, `1d`."""

from __future__ import annotations

import re
from typing import Final

from novate.analytics.candles import DAY_NS, SECOND_NS

INTERVAL_EXPECTED: Final = "expected an interval from 1s to 1d, as 1s, 30s, 5m, 4h or 1d"
INTERVAL_DEFAULT: Final = "1m"
INTERVAL_PATTERN: Final = "^[1-9][0-9]{0,4}[smhd]$"

_INTERVAL = re.compile(r"([1-9][0-9]{0,4})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_interval(text: str) -> int | None:
    """The length in ns, from a second to a day; None for what is none of that form."""
    match = _INTERVAL.fullmatch(text)
    if match is None:
        return None
    length = int(match[1]) * _SECONDS[match[2]] * SECOND_NS
    return length if length <= DAY_NS else None


def interval_text(interval_ns: int) -> str:
    """The shortest way to write a length of whole seconds: 3600 seconds are `1h`."""
    seconds = interval_ns // SECOND_NS
    for unit in ("d", "h", "m"):
        if seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"
