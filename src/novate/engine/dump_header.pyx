# cython: language_level=3
"""The header of a dump: its version, and what of a state is Python's.

The version says what stands behind it: 1, 2 or 3, of which each has more than those before and
which a state gets by what it holds. Under newer rules than 1 it is 4, so that no build that lacks
them takes the dump for one of its own; `parts` then says which of the others it is.
"""

from novate.engine.rules cimport instrument_sound, limits_sound

import msgspec

from novate.model.commands import NEWEST_RULES
from novate.model.errors import SnapshotCorrupt
from novate.model.instrument import Instrument, Limits, OrderLimits, Rules

DUMP_VERSION = 4
_MAGIC = b"NOVATE\0D"
_UNDER_NEWER_RULES = 4


class DumpHeader(msgspec.Struct):
    """What a dump's header says."""

    version: int
    limits: Limits
    instruments: list[Instrument]
    rules: list[tuple[int, Rules]] = []
    own_limits: list[tuple[tuple[int, int], OrderLimits]] = []
    parts: int = 0
    rules_version: int = 1

    def rules_fault(self):
        """What is wrong with the version of the rules in a dump of this version, or None."""
        newest = NEWEST_RULES if self.version >= _UNDER_NEWER_RULES else 1
        oldest = 2 if self.version >= _UNDER_NEWER_RULES else 1
        if oldest <= self.rules_version <= newest:
            return None
        return (f"dump version {self.version} goes with rules of version {oldest} to {newest}, "
                f"{self.rules_version} found")


cdef bytes header_bytes(int parts, int rules_version, object limits, list instruments,
                        dict rules, dict own_limits):
    """A dump up to where its state begins; `parts`: 1, 2 or 3, as the state holds it."""
    header = {"version": parts}
    if rules_version > 1:
        header = {
            "version": _UNDER_NEWER_RULES, "parts": parts, "rules_version": rules_version}
    header |= {"limits": limits, "instruments": instruments}
    if parts > 1:
        header["rules"] = sorted(rules.items())
        header["own_limits"] = sorted(own_limits.items())
    text = msgspec.json.encode(header)
    return _MAGIC + len(text).to_bytes(8, "little") + text


cdef tuple header_of(object dump):
    """The `DumpHeader` of a dump, and how many bytes stand before the state.

    Raises SnapshotCorrupt where it is no dump, or of an unknown version.
    """
    if bytes(dump[:8]) != _MAGIC:
        raise SnapshotCorrupt("a dump starts with NOVATE, this one does not")
    size = min(int.from_bytes(dump[8:16], "little"), len(dump))
    try:
        header = msgspec.json.decode(dump[16:16 + size], type=DumpHeader)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SnapshotCorrupt(f"the dump's header can't be read: {error}") from error
    if not 1 <= header.version <= DUMP_VERSION:
        raise SnapshotCorrupt(
            f"dump version 1 to {DUMP_VERSION} expected, {header.version} found")
    fault = header.rules_fault()
    if fault is not None:
        raise SnapshotCorrupt(fault)
    if header.version < _UNDER_NEWER_RULES:
        header.parts = header.version
    if not 1 <= header.parts <= 3:
        raise SnapshotCorrupt(f"the dump's header has parts {header.parts}, 1 to 3 expected")
    if not limits_sound(header.limits) or not all(
            [instrument_sound(each) for each in header.instruments]):
        raise SnapshotCorrupt("the dump's header has limits or instruments that can't be")
    return header, 16 + size
