from novate.engine.engine import Engine
from novate.engine.teller import Teller

TRADES_LISTED_MAX: int
IDS_LISTED_MAX: int

class Applied:
    first_seq: int
    last_seq: int
    timestamp_ns: int
    count: int
    replies: list[tuple[int, bytes | None, int]]
    events: bytes
    trades: list[tuple[int, int, bytes]]
    updates: list[tuple[int, int, str, bytes]]
    changes: list[tuple[int, int, bytes]]
    outcomes: list[tuple[int, bytes]]
    snapshots: list[int]
    def __init__(self, first_seq: int, count: int) -> None: ...

class Reporter(Teller):
    want_updates: bool
    def __init__(self, engine: Engine, partition: int = 0) -> None: ...
    def apply(self, batch: bytes, first_seq: int, timestamp_ns: int) -> Applied: ...
    def render_outcome(self, outcome: bytes) -> tuple[int, bytes]: ...
    def watch_book(self, instrument: int, on: bool) -> None: ...
    def take_deltas(self) -> list[tuple[int, int, bytes, bytes]]: ...

def problem(status: int, code: str, detail: str, order: bytes | None = None) -> bytes: ...
