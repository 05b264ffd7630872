"""Kinds of settings: how a value of each is read, what it may be, and how it is described.

`novate.config` makes its table of them. It reads no file and no variable.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from novate.model.errors import ConfigurationError
from novate.model.instrument import Instrument

PREFIX = "NOVATE_"

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
INT64_MAX = 2**63 - 1

_BYTES = re.compile(r"([0-9]{1,18}) ?(B|KiB|MiB|GiB)?", re.ASCII)
_BYTE_UNITS = {"B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB}
_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
NAME = re.compile(r"[A-Za-z0-9._:-]{1,32}", re.ASCII)
JOURNAL_URL = re.compile(r"(postgres(ql)?://[!-~]{1,2000})?", re.ASCII)
DURABILITY = re.compile(r"fsync|relaxed=([1-9][0-9]{0,4})", re.ASCII)
_TRUTHS = {"1": True, "true": True, "yes": True, "on": True}
_TRUTHS |= {"0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True)
class Rule:
    """What a setting may be: how its text is read, and how the limit is said to a person."""

    parse: Callable[[object], Any]
    expected: str
    doc: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: a name, its default and its rule."""

    name: str
    default: Any
    rule: Rule

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """The command line's flag that sets it."""
        return "--" + self.name.replace("_", "-")

    @property
    def default_text(self) -> str:
        """The default as a person would write it."""
        return size_text(self.default) if self.rule.unit == "bytes" else to_text(self.default)


@dataclass(frozen=True, slots=True)
class InstrumentSettings:
    """An instrument made at the first start; sizes are exact decimal text.

    `tick_size` counts in the quote asset, `lot_size` in the base asset. `quote_scale` is the
    decimal places of the quote asset's smallest unit; tick x lot must be whole in such units.
    """

    name: str
    tick_size: str
    lot_size: str
    base_asset: str
    quote_asset: str
    quote_scale: int = 12

    def to_instrument(self) -> Instrument:
        """The instrument as the engine knows it, without a number yet.

        Raises:
            ConfigurationError: tick x lot is not a whole number of quote units.
        """
        tick, tick_exponent = _coefficient(self.tick_size)
        lot, lot_exponent = _coefficient(self.lot_size)
        if (Decimal(self.tick_size) * Decimal(self.lot_size)).scaleb(self.quote_scale) % 1:
            expected = f"tick_size x lot_size of {self.name} whole in units of quote_scale"
            raise refuse(expected, f"{self.tick_size} x {self.lot_size}, {self.quote_scale}")
        return Instrument(
            name=self.name,
            base=self.base_asset,
            quote=self.quote_asset,
            tick_coefficient=tick,
            tick_exponent=tick_exponent,
            lot_coefficient=lot,
            lot_exponent=lot_exponent,
            quote_scale=self.quote_scale,
        )


def _coefficient(size: str) -> tuple[int, int]:
    """A decimal size as `coefficient * 10**-exponent`, the exponent not below 0."""
    _, digits, exponent = Decimal(size).normalize().as_tuple()
    coefficient = int("".join(map(str, digits)))
    power = int(exponent)
    return (coefficient * 10**power, 0) if power > 0 else (coefficient, -power)


def refuse(expected: str, found: object) -> ConfigurationError:
    """The error that says what was expected and what came."""
    shown = repr(found)
    return ConfigurationError(f"expected {expected}, found {shown[:200]}")


def whole(default: int, minimum: int, maximum: int, doc: str, unit: str = "") -> Any:
    """A whole number within bounds."""
    expected = f"a whole number from {minimum} to {maximum}"

    def parse(raw: object) -> int:
        text = raw if isinstance(raw, str) else str(raw)
        if isinstance(raw, bool) or not _INTEGER.fullmatch(text):
            raise refuse(expected, raw)
        if not minimum <= int(text) <= maximum:
            raise refuse(expected, raw)
        return int(text)

    return field(default=default, metadata={"rule": Rule(parse, expected, doc, unit)})


def size(default: int, minimum: int, maximum: int, doc: str) -> Any:
    """A number of bytes within bounds."""
    expected = f"a size from {size_text(minimum)} to {size_text(maximum)}, as 65536 or 64KiB"

    def parse(raw: object) -> int:
        match = None if isinstance(raw, bool) else _BYTES.fullmatch(str(raw))
        if match is None:
            raise refuse(expected, raw)
        size = int(match[1]) * _BYTE_UNITS[match[2] or "B"]
        if not minimum <= size <= maximum:
            raise refuse(expected, raw)
        return size

    return field(default=default, metadata={"rule": Rule(parse, expected, doc, "bytes")})


def seconds(default: float, minimum: float, maximum: float, doc: str) -> Any:
    """A number of seconds within bounds."""
    expected = f"a number of seconds from {minimum:g} to {maximum:g}"

    def parse(raw: object) -> float:
        if isinstance(raw, bool) or not _NUMBER.fullmatch(str(raw)):
            raise refuse(expected, raw)
        seconds = float(str(raw))
        if not math.isfinite(seconds) or not minimum <= seconds <= maximum:
            raise refuse(expected, raw)
        return seconds

    return field(default=default, metadata={"rule": Rule(parse, expected, doc, "seconds")})


def switch(default: bool, doc: str) -> Any:
    """True or false."""
    expected = "true or false"

    def parse(raw: object) -> bool:
        if isinstance(raw, bool):
            return raw
        truth = _TRUTHS.get(str(raw).lower())
        if truth is None:
            raise refuse(expected, raw)
        return truth

    return field(default=default, metadata={"rule": Rule(parse, expected, doc)})


def choice(default: str, choices: tuple[str, ...], doc: str) -> Any:
    """One of a few words."""
    expected = "one of " + ", ".join(choices)

    def parse(raw: object) -> str:
        if raw not in choices:
            raise refuse(expected, raw)
        return str(raw)

    return field(default=default, metadata={"rule": Rule(parse, expected, doc)})


def matching(default: str, pattern: re.Pattern[str], expected: str, doc: str) -> Any:
    """A text of a form."""

    def parse(raw: object) -> str:
        if not isinstance(raw, str) or not pattern.fullmatch(raw):
            raise refuse(expected, raw)
        return raw

    return field(default=default, metadata={"rule": Rule(parse, expected, doc)})


def ledger_address(default: str, doc: str) -> Any:
    """Where the ledger is kept."""
    expected = "empty, none, sqlite:///PATH or postgresql://USER@HOST:PORT/DATABASE"

    def parse(raw: object) -> str:
        text = raw if isinstance(raw, str) else ""
        known = text in ("", "none") or text.startswith(("sqlite:///", "postgresql://"))
        if not isinstance(raw, str) or not known:
            raise refuse(expected, str(raw).partition("://")[0])  # never show a password
        return text

    return field(default=default, metadata={"rule": Rule(parse, expected, doc)})


def folder(default: str, doc: str) -> Any:
    """A folder; `~` is the home of the user."""
    expected = "the path of a folder"

    def parse(raw: object) -> Path:
        if not isinstance(raw, (str, Path)) or not str(raw) or "\0" in str(raw):
            raise refuse(expected, raw)
        return Path(raw).expanduser()

    return field(default=Path(default), metadata={"rule": Rule(parse, expected, doc)})


def optional_folder(doc: str) -> Any:
    """A folder, or none."""
    expected = "nothing, or the path of a folder"

    def parse(raw: object) -> Path | None:
        if not isinstance(raw, (str, Path)) or "\0" in str(raw):
            raise refuse(expected, raw)
        return Path(raw).expanduser() if str(raw) else None

    return field(default=None, metadata={"rule": Rule(parse, expected, doc)})


def _instrument(row: object) -> InstrumentSettings:
    names = [each.name for each in dataclasses.fields(InstrumentSettings)]
    if not isinstance(row, dict) or not set(names[:-1]) <= set(row) <= set(names):
        raise refuse(f"an instrument with {', '.join(names)}", row)
    texts = {name: str(value) for name, value in row.items()}
    for name in ("name", "base_asset", "quote_asset"):
        if not NAME.fullmatch(texts[name]):
            raise refuse(f"{name} of 1 to 32 of A-Z a-z 0-9 . _ : -", row[name])
    for name in ("tick_size", "lot_size"):
        if not _DECIMAL.fullmatch(texts[name]) or not Decimal(texts[name]):
            raise refuse(f"{name} as a positive decimal", row[name])
    scale = texts.pop("quote_scale", "12")
    if not _INTEGER.fullmatch(scale) or not 0 <= int(scale) <= 18:
        raise refuse("quote_scale from 0 to 18", scale)
    instrument = InstrumentSettings(**texts, quote_scale=int(scale))
    instrument.to_instrument()
    return instrument


def instruments_given(default: tuple[InstrumentSettings, ...], doc: str) -> Any:
    """The instruments that an exchange begins with."""
    expected = "a list of instruments (TOML tables, or a JSON list)"

    def parse(raw: object) -> tuple[InstrumentSettings, ...]:
        try:
            rows = json.loads(raw, parse_float=str) if isinstance(raw, str) else raw
        except (ValueError, RecursionError):
            rows = None
        if not isinstance(rows, list):
            raise refuse(expected, raw)
        instruments = tuple(_instrument(row) for row in rows)
        if len({each.name for each in instruments}) != len(instruments):
            raise refuse("every instrument once", [each.name for each in instruments])
        return instruments

    return field(default=default, metadata={"rule": Rule(parse, expected, doc)})


def size_text(size_bytes: int) -> str:
    """A size in the largest unit that holds it whole: 65536 is 64KiB."""
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes >= _BYTE_UNITS[unit] and size_bytes % _BYTE_UNITS[unit] == 0:
            return f"{size_bytes // _BYTE_UNITS[unit]}{unit}"
    return str(size_bytes)


def to_text(value: object) -> str:
    """A setting's value as a variable or a flag would give it; `load` reads it back equal."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.9f}".rstrip("0").rstrip(".")
    if isinstance(value, tuple):
        return json.dumps([dataclasses.asdict(row) for row in value], separators=(",", ":"))
    return str(value)
