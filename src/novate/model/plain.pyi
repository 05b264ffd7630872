from novate.model.instrument import Instrument

class PlainOrder:
    command: bytes
    client_id: str
    order_id: str | None
    instrument: Instrument
    order_type: int
    side: int

class PlainBatch:
    commands: list[bytes]
    charges: dict[str, int]
    received: tuple[int, int, int, int]
    named: list[tuple[str, Instrument, str]]

class PlainOrders:
    def __init__(self, partition: int) -> None: ...
    def place(self, body: bytes, known: dict[str | None, Instrument]) -> PlainOrder | None: ...
    def batch(
        self, body: bytes, known: dict[str | None, Instrument], operations_max: int
    ) -> PlainBatch | None: ...
