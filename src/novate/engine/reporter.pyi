from collections.abc import Callable

from novate.engine.account_watch import AccountWatch
from novate.engine.engine import Engine
from novate.engine.teller import Teller

_Trades = list[tuple[int, int, bytes]]
_Updates = list[tuple[int, int, str, bytes]]

TRADES_LISTED_MAX: int
IDS_LISTED_MAX: int

class Applied:
    first_seq: int
    last_seq: int
    timestamp_ns: int
    count: int
    replies: list[tuple[int, bytes | None, int]]
    events: bytes
    trades: _Trades
    updates: _Updates
    changes: list[tuple[int, int, bytes]]
    busts: list[tuple[int, int, bytes]]
    outcomes: list[tuple[int, bytes]]
    snapshots: list[int]
    def __init__(self, first_seq: int, count: int) -> None: ...

class Reporter(Teller):
    want_updates: bool
    account_watch: AccountWatch | None
    on_part: Callable[[_Trades, _Updates], None] | None
    def __init__(self, engine: Engine, partition: int = 0) -> None: ...
    def apply(self, batch: bytes, first_seq: int, timestamp_ns: int) -> Applied: ...
    def render_outcome(self, outcome: bytes) -> tuple[int, bytes]: ...
    def watch_book(self, instrument: int, on: bool) -> None: ...
    def take_deltas(self) -> list[tuple[int, int, bytes, bytes]]: ...

def problem(status: int, code: str, detail: str, order: bytes | None = None) -> bytes: ...
