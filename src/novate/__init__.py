"""Novate: an exchange and clearing house in a box.

    1. gateway     reads a request, checks it, makes it a command
    2. sequencer   gives the command its place (seq) and time, in a batch with its neighbours
    3. journal     makes the batch durable; only then does anybody hear of it
    4. engine      matches: a pure function from commands to events
    5. gateway     answers each client with its outcome
    6. streams     show the books, the trades and the orders to whoever subscribed
    7. follower    replays the journal in a process of its own, checks it and takes the snapshots

`novate serve` runs all of it (`novate.exchange` wires it). For the engine alone, inside a Python
process: `novate.Engine`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from novate.engine import Engine
    from novate.model.errors import InvariantViolated, NovateError
    from novate.model.instrument import Instrument, Limits

__version__ = "0.1.0"

__all__ = [
    "Engine",
    "Instrument",
    "InvariantViolated",
    "Limits",
    "NovateError",
    "__version__",
    "get_include",
]

_HOMES = {
    "Engine": "novate.engine",
    "Instrument": "novate.model.instrument",
    "InvariantViolated": "novate.model.errors",
    "Limits": "novate.model.instrument",
    "NovateError": "novate.model.errors",
}


def get_include() -> str:
    """The folder for a C compiler's `-I`, which has `novate/engine/state.h` (docs/native.md)."""
    return __path__[0].rpartition("/")[0]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for, so that `novate version` loads no engine."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
