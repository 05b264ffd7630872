from novate.engine.engine import Engine

def reserve(
    engine: Engine, *, orders: int = 0, closed_orders: int = 0, numbers: int = 0
) -> None: ...
