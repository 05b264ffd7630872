from collections.abc import Sequence

from novate.model.instrument import Instrument, Limits

DIGITS_MAX: int
EXPONENT_MAX: int

class DecimalError(ValueError):
    code: str
    def __init__(self, code: str, message: str) -> None: ...

def parse_scaled(raw: bytes | str, coefficient: int, exponent: int, maximum: int) -> int: ...
def format_scaled(value: int, coefficient: int, exponent: int) -> bytes: ...
def format_time(time_us: int) -> bytes: ...
def is_problem(body: bytes) -> bool: ...
def outcomes_body(answers: Sequence[tuple[int, bytes] | tuple[int, bytes, int]]) -> bytes: ...
def valid_id(text: bytes | str) -> bool: ...
def new_order_id(partition: int) -> bytes: ...
def key_digest(client_id: bytes, key: bytes) -> bytes: ...
def body_digest(*parts: bytes) -> int: ...
def pack_place(
    instrument: int,
    side: int,
    order_type: int,
    time_in_force: int,
    flags: int,
    price_ticks: int,
    quantity_lots: int,
    quote_quantity_units: int,
    order_id: bytes,
    client_id: bytes,
    key_digest: bytes | None = None,
    command_digest: int = 0,
) -> bytes: ...
def pack_cancel(
    order_id: bytes,
    client_id: bytes | None = None,
    key_digest: bytes | None = None,
    command_digest: int = 0,
) -> bytes: ...
def pack_amend(
    order_id: bytes,
    price_ticks: int,
    quantity_lots: int,
    client_id: bytes | None = None,
    key_digest: bytes | None = None,
    command_digest: int = 0,
) -> bytes: ...
def pack_mass_cancel(
    client_id: bytes,
    instrument: int = -1,
    side: int = -1,
    key_digest: bytes | None = None,
    command_digest: int = 0,
) -> bytes: ...
def pack_create_instrument(instrument: Instrument) -> bytes: ...
def pack_configure(limits: Limits) -> bytes: ...
def pack_take_snapshot() -> bytes: ...
