"""The deterministic core: books, names and windows in compiled code.

`Engine` takes batches of commands and gives events. It has no clock, no chance and no I/O: equal
commands give equal events and an equal `state_hash()`, on any machine.
"""

from novate.engine.account_watch import AccountWatch
from novate.engine.engine import Engine
from novate.engine.reporter import Applied, Reporter
from novate.engine.reserve import reserve
from novate.engine.statements import Accounts
from novate.engine.switches import Switches

__all__ = ["AccountWatch", "Accounts", "Applied", "Engine", "Reporter", "Switches", "reserve"]
